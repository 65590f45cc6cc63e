//! Async locks under criterion: the suites that `comparison` measures, one group for each.
//!
//! Criterion measures one contender after the other; for ratios within interleaved rounds, see `comparison`.

mod criterion_group;

use benches::{
    keys,
    suites::{self, Sharing, one_in_twenty},
    workloads::Held,
};
use criterion::{Criterion, criterion_group, criterion_main};
use criterion_group::group;

fn free(criterion: &mut Criterion) {
    group(criterion, "one key, awaited", suites::awaited(&keys::random(keys::RING, 1)));
    for count in [2, 4, 8, 16, 64] {
        group(criterion, &format!("{count} keys, awaited"), suites::awaited_many(&keys::batches(count)));
    }
}

fn several_threads(criterion: &mut Criterion) {
    let random = keys::random(keys::RING, 2);
    let popular = keys::zipf(keys::RING, 10_000, 0.99, 2);
    for count in suites::thread_counts() {
        for (name, keys, sharing) in [
            ("a key each", &random, Sharing::Disjoint),
            ("random keys", &random, Sharing::Random),
            ("keys by Zipf", &popular, Sharing::Random),
            ("one key", &random, Sharing::Same),
        ] {
            for section in suites::SECTIONS {
                let name = format!("{count} threads that await, {name}, over {section:?}");
                group(criterion, &name, suites::threaded_awaited(count, sharing, keys, section));
            }
        }
        let name = format!("{count} threads that await, 95 of 100 read");
        group(criterion, &name, suites::read_awaited(count, &random, one_in_twenty));
    }
}

fn tasks(criterion: &mut Criterion) {
    for (held, over) in [(Held::Briefly, "nothing"), (Held::OverAYield, "one yield")] {
        group(criterion, &format!("8 tasks, one key, over {over}"), suites::one_key_by_tasks(8, held));
    }
}

criterion_group!(async_locks, free, several_threads, tasks);
criterion_main!(async_locks);
