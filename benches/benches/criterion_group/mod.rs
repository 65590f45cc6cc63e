//! What the criterion targets have in common.

use std::time::Duration;

use benches::harness::Case;
use criterion::Criterion;

/// A group of the cases of one suite.
pub(crate) fn group(criterion: &mut Criterion, name: &str, cases: Vec<Case<'_>>) {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1)).sample_size(30);
    for mut case in cases {
        let label = case.label().to_owned();
        group.bench_function(label, |bencher| bencher.iter_custom(|operations| case.run(operations)));
    }
    group.finish();
}
