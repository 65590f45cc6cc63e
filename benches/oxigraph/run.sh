#!/usr/bin/env bash
# Quad stores side by side, with Oxigraph. The first build takes some minutes, and needs a C++ compiler and libclang (on Debian:
# libclang-dev). The arguments are those of the `quads` binary.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
export CARGO_TARGET_DIR=$root/target/oxigraph
cargo build --release --manifest-path benches/oxigraph/Cargo.toml
exec "$CARGO_TARGET_DIR/release/quads-with-oxigraph" "$@"
