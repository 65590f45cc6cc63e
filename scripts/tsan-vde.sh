#!/bin/sh
# ThreadSanitizer over vde-store's concurrency tests. Needs a nightly compiler.
#
# The standard library is not instrumented, so what it synchronises is invisible; the suppressions name what the tests
# meet of that, and nothing of this project; the one test that uses the thread pool of the crate `blocking`, which
# synchronises by std alone, is left out. crossbeam-epoch leaves out its fences, which ThreadSanitizer does not know.
set -eu
cd "$(dirname "$0")/.."
suppressions=$(mktemp)
trap 'rm -f "$suppressions"' EXIT
cat > "$suppressions" <<'LIST'
race:drop_slow
race:alloc::sync::Arc<*as core::ops::drop::Drop>::drop
race:std::sync::mpmc
LIST
export RUSTFLAGS="-Zsanitizer=thread --cfg crossbeam_sanitize_thread -Cunsafe-allow-abi-mismatch=sanitizer"
export TSAN_OPTIONS="suppressions=$suppressions"
exec cargo +nightly test --target "$(rustc -vV | sed -n 's/^host: //p')" --target-dir target/tsan -p vde-store \
    --no-default-features --features testing --test engine "$@" -- --skip the_async_twin
