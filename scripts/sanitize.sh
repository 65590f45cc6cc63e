#!/usr/bin/env bash
# The tests of stripe-lock under ThreadSanitizer and AddressSanitizer, each after a control: a planted race and a
# planted use after free that it has to name. Needs a nightly toolchain.
#
#   scripts/sanitize.sh [thread|address]...
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export TSAN_OPTIONS="suppressions=$PWD/scripts/tsan.supp halt_on_error=1"
# The parts of the runtime that live until the process ends are no leaks of ours.
export ASAN_OPTIONS=detect_leaks=0
# Threads that panic share what a backtrace knows, under a lock of std's that the sanitizers don't see.
export RUST_BACKTRACE=0
# Schedules cost ten times more here.
export STRIPE_LOCK_SCHEDULES=5000
declare -A finds=([thread]="ThreadSanitizer: data race" [address]="AddressSanitizer: heap-use-after-free")

(($#)) || set -- thread address
for sanitizer; do
  echo "== $sanitizer"
  # The standard library is there without sanitizers only; the suppressions name what they miss for that reason.
  export RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer --cfg stripe_lock_sanitize"
  run=(cargo +nightly test --quiet -p stripe-lock --target "$host" --target-dir target/sanitize)
  "${run[@]}" --test sanitizers --no-run
  control=$("${run[@]}" --test sanitizers -- --ignored --exact "planted_$sanitizer" 2>&1) && {
    echo "the $sanitizer sanitizer does not see what was planted"
    exit 1
  }
  grep -o "${finds[$sanitizer]}" <<<"$control" | head -1
  # What orders the threads of the blocking tests are std's scopes and mutexes, which ThreadSanitizer does not see.
  tests=(stripe-lock/tests/*.rs)
  [[ $sanitizer == address ]] || tests=(stripe-lock/tests/async_*.rs)
  "${run[@]}" --features diagnose,stats,tracing --no-fail-fast $(basename --suffix .rs "${tests[@]}" | grep -v sanitizers | sed 's/^/--test /')
done
