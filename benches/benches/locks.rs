//! Locks under criterion: the suites that the report measures, one group for each.
//!
//! Criterion measures one contender after the other. For ratios within interleaved rounds, use the `targets` binary.

mod criterion_group;

use std::time::Duration;

use benches::{keys, suites};
use criterion::{Criterion, criterion_group, criterion_main};
use criterion_group::group;

fn one_key(criterion: &mut Criterion) {
    let ring = keys::random(keys::RING, 1);
    group(criterion, "one u64 key", suites::one(&ring));
    group(criterion, "one key of 32 bytes", suites::one_string(&keys::strings(keys::RING, 1)));
}

fn many_keys(criterion: &mut Criterion) {
    for count in [2, 4, 8, 16, 64] {
        group(criterion, &format!("{count} keys"), suites::many(&keys::batches(count)));
    }
}

fn all_keys(criterion: &mut Criterion) {
    for count in [64, 1024] {
        group(criterion, &format!("all of {count} stripes"), suites::all_of(count));
    }
}

fn by_stripes(criterion: &mut Criterion) {
    let ring = keys::random(keys::RING, 1);
    for count in [1].into_iter().chain(suites::thread_counts()) {
        group(criterion, &format!("threads by stripes: {count}"), suites::by_stripes(count, &ring));
    }
}

fn several_threads(criterion: &mut Criterion) {
    suites::on_keys(suites::thread_counts(), "", suites::threaded, |title, cases| {
        group(criterion, title, cases);
    });
    let random = keys::random(keys::RING, 1);
    for count in suites::thread_counts() {
        group(criterion, &format!("{count} threads, 95 of 100 read"), suites::read_by(count, &random));
    }
}

fn asleep(criterion: &mut Criterion) {
    let section = Duration::from_millis(1);
    group(criterion, "16 writers asleep", suites::asleep(16, section));
    group(criterion, "16 writers asleep, awaited", suites::asleep_awaited(16, section));
    group(criterion, "16 writers asleep, attacked", suites::attacked(16, section));
}

criterion_group!(locks, one_key, many_keys, all_keys, by_stripes, several_threads, asleep);
criterion_main!(locks);
