#!/usr/bin/env bash
# The checks of the feature `aws` of vde-ship, which `.ci/run` does not build: lints, and tests over the server `moto`, which
# speaks the protocol of S3. If there is none in PATH, it is installed from PyPI into a folder of target.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v moto_server >/dev/null; then
  folder=${CARGO_TARGET_DIR:-target}/moto
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet 'moto[server]'
  PATH=$(cd "$folder/bin" && pwd):$PATH
fi
export VDE_SHIP_REQUIRE_S3=1
cargo clippy -p vde-ship --features aws --all-targets -- -D warnings
cargo test -p vde-ship --features aws --test s3
