//! Async locks under criterion: the suites that `comparison` measures, one group for each.
//!
//! Criterion measures one contender after the other. For ratios within interleaved rounds, use `comparison`.

mod criterion_group;

use benches::{
    keys,
    suites::{self, one_in_twenty},
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
    suites::on_keys(suites::thread_counts(), " that await", suites::threaded_awaited, |title, cases| {
        group(criterion, title, cases);
    });
    let random = keys::random(keys::RING, 1);
    for count in suites::thread_counts() {
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
