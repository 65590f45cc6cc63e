//! Locks under criterion: the suites that the report measures, one group for each.
//!
//! Criterion measures one contender after the other; for ratios within interleaved rounds, see the `targets` binary.

use std::time::Duration;

use benches::{
    harness::Case,
    keys,
    suites::{self, Sharing},
    workloads::busy,
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
    let random = keys::random(keys::RING, 2);
    let popular = keys::zipf(keys::RING, 10_000, 0.99, 2);
    for count in suites::thread_counts() {
        for (name, keys, sharing) in [
            ("a key each", &random, Sharing::Disjoint),
            ("random keys", &random, Sharing::Random),
            ("keys by Zipf", &popular, Sharing::Random),
            ("one key", &random, Sharing::Same),
        ] {
            let threads = format!("{count} threads, {name}");
            group(criterion, &threads, suites::threaded(count, sharing, keys, || ()));
            for length in [Duration::from_micros(1), Duration::from_micros(100)] {
                let cases = suites::threaded(count, sharing, keys, || busy(length));
                group(criterion, &format!("{threads}, over {length:?}"), cases);
            }
        }
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
