//! Loading very many small values under random keys, in durable commits.

use std::time::Instant;

use benches::{
    contenders::stores::{Engine, Failure},
    spread::quantile,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{Options, print};

/// How many values one commit puts.
const COMMIT: u64 = 1000;

pub(crate) fn measure(options: &Options, engines: &[Engine]) -> Result<(), Failure> {
    let keys = 10_000_000 / options.divide;
    let mut rows = Vec::new();
    for engine in engines {
        let dir = tempfile::tempdir_in(&options.measure.dir)?;
        let store = (engine.open)(dir.path())?;
        if store.commit(&[(b"first", b"")]).is_err() {
            continue;
        }
        let mut rng = SmallRng::seed_from_u64(1);
        let mut times = Vec::new();
        let start = Instant::now();
        for _ in 0..keys / COMMIT {
            let pairs: Vec<[u8; 32]> = (0..COMMIT).map(|_| rng.random()).collect();
            let pairs: Vec<_> = pairs.iter().map(|pair| pair.split_at(16)).collect();
            let begin = Instant::now();
            store.commit(&pairs)?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let rate = keys as f64 / start.elapsed().as_secs_f64();
        times.sort_by(f64::total_cmp);
        rows.push([
            engine.name.to_owned(),
            format!("{rate:.0}"),
            format!("{:.1}", quantile(&times, 0.5)),
            format!("{:.1}", quantile(&times, 0.99)),
            format!("{:.0}", quantile(&times, 1.0)),
        ]);
    }
    print(
        &format!("{keys} random keys with values of 16 bytes, in durable commits of {COMMIT}"),
        ["engine", "puts/s", "ms a commit", "p99", "longest"],
        rows,
    );
    Ok(())
}
