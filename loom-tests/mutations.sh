#!/usr/bin/env bash
# Negative controls of the models: plants one bug after the other in a copy of the async locks, and expects the model
# named beside it to fail. Says so and fails where a model does not, or where a bug can't be planted any more.
#
#   loom-tests/mutations.sh [NAME...]      some of them only
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
tree=$root/target/mutations/tree
rm -rf "$tree"
mkdir -p "$tree"
cp -r Cargo.lock README.md stripe-lock loom-tests "$tree"
sed 's/^members = .*/members = ["stripe-lock", "loom-tests"]/; /^default-members/d' Cargo.toml > "$tree/Cargo.toml"
cd "$tree"

export CARGO_TARGET_DIR=$root/target/mutations/build RUSTFLAGS='--cfg stripe_lock_loom'
models=(cargo test --quiet --release -p loom-tests --test async_locks)

# name, file, model, perl substitution
mutations=(
  'enter-relaxed|word|two_exclude_each_other|s/exchange\(0, HELD, Acquire\)/exchange(0, HELD, Ordering::Relaxed)/'
  'leave-relaxed|word|two_exclude_each_other|s/exchange\(HELD, 0, Release\)/exchange(HELD, 0, Ordering::Relaxed)/'
  'wake-relaxed|turn|three_exclude_each_other|s/turn\.word, AcqRel\)/turn.word, std::sync::atomic::Ordering::Relaxed)/'
  'front-relaxed|waiter|overtaken|s/with_line\(entered, line\), Acquire\)/with_line(entered, line), Relaxed)/'
  'no-second-look|waiter|two_exclude_each_other|s/(Ok\(_\) => break,\s+)Err\(other\) => now = other,/$1Err(_) => break,/'
  'sleep-awake|waiter|overtaken|s/None => \(word::with_line\(now, ASLEEP\), Relaxed\),\n        \};/None => (now, Relaxed),\n        };/'
  'give-up-silently|waiter|giving_up_passes_the_turn_on|s/if bucket\.quit\(node, home\) \{/if bucket.quit(node, home) && home > 64 {/'
  'give-up-holding|waiter|a_multi_gives_up|s/Held::Below\(home\)\n/Held::Nothing\n/'
  'grant-silently|turn|three_in_strict_order|s/wakes\.push\(caller\);/drop(caller);/'
  'grant-the-first-only|turn|a_multi_against_singles|s/let next = plan\.as_ref\(\)\.next_from\(stripe \+ 1\);/let next = plan.as_ref().next_from(usize::MAX);/'
  'unsorted|turn|two_crossing_multis|s/plan\.stripes\(\)\.iter\(\)\.map/plan.stripes().iter().rev().map/'
  'stale-waker|waiter|the_last_waker_counts|s/Look::Waiting \{ current: self\.node\.with\(.*?\) \}\n/Look::Waiting { current: true }\n/'
  'wrong-bucket|lot|a_multi_gives_up|s/if self\.bucket_of\(now\) == self\.bucket_of\(home\)/if now < usize::MAX/'
  'futurelock|lot|no_futurelock_by_a_multi|s/self\.in_lobby\.load\(Relaxed\) == 0/self.in_lobby.load(Relaxed) < 64/'
)

all=()
for mutation in "${mutations[@]}"; do
  IFS='|' read -r _ _ model _ <<<"$mutation"
  all+=("$model")
done
"${models[@]}" -- --exact "${all[@]}" >"$root/target/mutations/none.log" 2>&1 ||
  { echo "the models fail without a bug: target/mutations/none.log"; exit 1; }
echo "without a bug: passed"

survivors=0
for mutation in "${mutations[@]}"; do
  IFS='|' read -r name file model edit <<<"$mutation"
  if (($#)) && [[ " $* " != *" $name "* ]]; then continue; fi
  source=stripe-lock/src/future/$file.rs
  cp "$root/$source" "$source"
  perl -0pi -e "$edit" "$source"
  if cmp -s "$root/$source" "$source"; then
    echo "$name: could not be planted"
    survivors=$((survivors + 1))
    continue
  fi
  if ! "${models[@]}" --no-run 2>/dev/null; then
    echo "$name: does not compile"
    survivors=$((survivors + 1))
  elif "${models[@]}" -- --exact "$model" >"$root/target/mutations/$name.log" 2>&1; then
    echo "$name: SURVIVED $model"
    survivors=$((survivors + 1))
  else
    echo "$name: found by $model ($(grep -m1 -oE 'deadlock|Causality violation|nothing stays held|assertion' "$root/target/mutations/$name.log"))"
  fi
  cp "$root/$source" "$source"
done
exit $((survivors > 0))
