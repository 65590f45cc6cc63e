//! Durable puts into disk engines under criterion, each engine in a new directory below the target directory.

use std::time::Duration;

use benches::{
    contenders::stores::{Durability, ENGINES},
    latencies::Latencies,
    workloads::puts,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn durable_puts(criterion: &mut Criterion) {
    for (size, name) in [(1 << 10, "1 KiB"), (64 << 10, "64 KiB")] {
        for writers in [1, 4, 16, 64] {
            let mut group = criterion.benchmark_group(format!("durable puts of {name} by {writers} writers"));
            group
                .warm_up_time(Duration::from_millis(100))
                .measurement_time(Duration::from_secs(1))
                .sample_size(10);
            for engine in ENGINES {
                let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory to write in");
                let store = (engine.open)(dir.path()).expect("an empty directory takes a new store");
                let latencies = Latencies::default();
                let put = Box::new(|key: &[u8], value: &[u8]| store.put(key, value, Durability::Synced));
                let mut case = puts(engine.name, put, writers, size, &latencies);
                group.bench_function(engine.name, |bencher| {
                    bencher.iter_custom(|operations| case.run(operations));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(stores, durable_puts);
criterion_main!(stores);
