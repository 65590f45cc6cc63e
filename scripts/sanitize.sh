#!/usr/bin/env bash
# The tests of stripe-lock under ThreadSanitizer and AddressSanitizer, each after a control: a planted race or a
# planted use after free that the sanitizer has to report. Needs a nightly toolchain.
#
#   scripts/sanitize.sh [thread|address]...
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp halt_on_error=1"
# Parts of the runtime live until the process ends. They are not leaks of the library.
export ASAN_OPTIONS=detect_leaks=0
# Threads that panic share the data of backtraces, under a lock of std that the sanitizers don't see.
export RUST_BACKTRACE=0
# A schedule takes ten times as long under a sanitizer.
export STRIPE_LOCK_SCHEDULES=5000
declare -A finds=([thread]="ThreadSanitizer: data race" [address]="AddressSanitizer: heap-use-after-free")

(($#)) || set -- thread address
for sanitizer; do
  echo "== $sanitizer"
  # The standard library is not instrumented. The suppressions list the synchronisation that is missed for that reason.
  export RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer --cfg stripe_lock_sanitize"
  run=(cargo +nightly test --quiet -p stripe-lock --target "$host" --target-dir target/sanitize)
  "${run[@]}" --test sanitizers --no-run
  control=$("${run[@]}" --test sanitizers -- --ignored --exact "planted_$sanitizer" 2>&1) && {
    echo "the $sanitizer sanitizer does not report the planted bug"
    exit 1
  }
  grep -o "${finds[$sanitizer]}" <<<"$control" | head -1
  # Scopes and mutexes of std order the threads of the blocking tests. ThreadSanitizer does not see these.
  tests=(--test asynchronous)
  [[ $sanitizer == thread ]] || tests=(--tests)
  "${run[@]}" --features diagnose,stats,tracing --no-fail-fast "${tests[@]}"
done
