//! Locks under criterion: the suites that the report measures, one group for each.
//!
//! Criterion measures one contender after the other; for ratios within interleaved rounds, see the `targets` binary.

use std::time::Duration;

use benches::{
    harness::Case,
    keys,
    suites::{self, Sharing},
};
use criterion::{Criterion, criterion_group, criterion_main};

fn group(criterion: &mut Criterion, name: &str, cases: Vec<Case<'_>>) {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1)).sample_size(30);
    for mut case in cases {
        let label = case.label().to_owned();
        group.bench_function(label, |bencher| bencher.iter_custom(|operations| case.run(operations)));
    }
    group.finish();
}

fn one_key(criterion: &mut Criterion) {
    let ring = keys::random(keys::RING, 1);
    group(criterion, "one u64 key", suites::one(&ring));
    group(criterion, "one key of 32 bytes", suites::one_string(&keys::strings(keys::RING, 1)));
    group(criterion, "one u64 key, awaited", suites::awaited(&ring));
}

fn many_keys(criterion: &mut Criterion) {
    for count in [2, 4, 8, 16, 64] {
        let ring = keys::random(keys::RING * count, count as u64);
        let batches: Vec<_> = ring.chunks(count).map(<[u64]>::to_vec).collect();
        group(criterion, &format!("{count} keys"), suites::many(&batches));
    }
}

fn two_threads(criterion: &mut Criterion) {
    let ring = keys::random(keys::RING, 2);
    for sharing in [Sharing::Disjoint, Sharing::Random, Sharing::Same] {
        group(criterion, &format!("2 threads, {sharing:?} keys"), suites::threaded(2, sharing, &ring, || ()));
    }
}

fn asleep(criterion: &mut Criterion) {
    group(criterion, "16 writers asleep", suites::asleep(16, Duration::from_millis(1)));
}

criterion_group!(locks, one_key, many_keys, two_threads, asleep);
criterion_main!(locks);
