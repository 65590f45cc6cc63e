#!/usr/bin/env bash
# ThreadSanitizer over the concurrency tests of vde-store, after a control: a planted race, in updates of two keys, that it
# has to name. Needs a nightly toolchain.
#
# tsan.supp names what it cannot understand, with the reasons. crossbeam-epoch replaces its fences by what it does
# understand. The one test that uses the thread pool of the crate `blocking`, which synchronises by std alone, is left out.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp halt_on_error=1"
export RUSTFLAGS="-Zsanitizer=thread --cfg crossbeam_sanitize_thread -Cunsafe-allow-abi-mismatch=sanitizer"
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
"${run[@]}" --test sanitizers --test engine --test linearizable -- --skip the_async_twin
