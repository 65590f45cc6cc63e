#!/usr/bin/env bash
# ThreadSanitizer over the concurrency tests of vde-store, after a control: a planted race, in updates of two keys, that it
# has to report. Needs a nightly toolchain.
#
# No suppression hides a race of the store: tsan.supp lists accesses that threads, Arcs and OnceLocks of std order without
# ThreadSanitizer seeing it. crossbeam-epoch replaces its fences by operations that ThreadSanitizer understands. The first
# thread that needs its collector makes it, through a OnceLock of std. ThreadSanitizer would report a race there if tests ran
# in parallel, so they run one after the other. One test uses the thread pool of the crate `blocking`, which synchronises by
# std alone. That test is left out.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp halt_on_error=1"
export RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
RUSTFLAGS+=" --cfg crossbeam_sanitize_thread --cfg stripe_lock_sanitize"
# Histories are checked in full without the sanitizer.
export VDE_LINEARIZABLE=20000
run=(cargo +nightly test --quiet -p vde-store --no-default-features --features testing --target "$host"
  --target-dir target/sanitize)
"${run[@]}" --test sanitizers --no-run
control=$("${run[@]}" --test sanitizers -- --ignored --exact planted_race 2>&1) && {
  echo "ThreadSanitizer does not report the planted race"
  exit 1
}
grep -o "ThreadSanitizer: data race" <<<"$control" | head -1
"${run[@]}" --test sanitizers --test engine --test durability --test linearizable -- --skip the_async_handle --test-threads=1
