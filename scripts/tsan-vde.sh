#!/usr/bin/env bash
# ThreadSanitizer over the concurrency tests of vde-store, after a control: a planted race, in updates of two keys, that it
# has to name. Needs a nightly toolchain.
#
# No suppression is there for the store's sake: tsan.supp names what std's threads, Arcs and OnceLocks order unseen. crossbeam-epoch
# replaces its fences by what ThreadSanitizer understands; its collector is made by whoever comes first, through a OnceLock
# of std, so that tests side by side would be reported: they run one after the other. The one test that uses the thread
# pool of the crate `blocking`, which synchronises by std alone, is left out.
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
  echo "ThreadSanitizer does not see what was planted"
  exit 1
}
grep -o "ThreadSanitizer: data race" <<<"$control" | head -1
"${run[@]}" --test sanitizers --test engine --test durability --test linearizable -- --skip the_async_twin --test-threads=1
