#!/usr/bin/env bash
# The checks of the feature `etcd` of stripe-lock-dist, which `.ci/run` does not build. Needs an etcd server, and `protoc` with
# the standard types of Protocol Buffers (Debian: etcd-server, protobuf-compiler, libprotobuf-dev).
set -euo pipefail
cd "$(dirname "$0")/.."
export STRIPE_LOCK_REQUIRE_ETCD=1
for features in etcd etcd,postgres; do
  cargo clippy -p stripe-lock-dist --no-default-features --features "$features" --all-targets -- -D warnings
done
cargo test -p stripe-lock-dist --features etcd --lib --test etcd --test server --test processes
cargo test -p stripe-lock-dist --features etcd --doc
RUSTDOCFLAGS="-D warnings" cargo doc -p stripe-lock-dist --features etcd --no-deps --document-private-items
