//! The longest durable puts beside checkpoints and collection.

use std::{thread, time::Instant};

use benches::{
    contenders::stores::{Durability, Engine, Failure},
    spread::{Spread, quantile},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{Options, print};

const WRITERS: u64 = 8;
const SIZE: usize = 1024;

pub(crate) fn measure(options: &Options, engines: &[Engine]) -> Result<(), Failure> {
    let keys = 100_000 / options.divide;
    // Each round overwrites every value a few times: there is a checkpoint every 64 MiB, and much to collect.
    let puts = 3 * keys / WRITERS;
    let dirs: Vec<_> =
        engines.iter().map(|_| tempfile::tempdir_in(&options.measure.dir)).collect::<Result<_, _>>()?;
    let mut stores = Vec::new();
    for (engine, dir) in engines.iter().zip(&dirs) {
        stores.push((engine.name, (engine.open)(dir.path())?, [const { Vec::new() }; 5]));
    }
    for round in 0..options.measure.rounds {
        for turn in 0..stores.len() {
            let index = (turn + round) % stores.len();
            let (_, store, figures) = &mut stores[index];
            let start = Instant::now();
            let mut times: Vec<f64> = thread::scope(|scope| {
                let store = &**store;
                let writers: Vec<_> = (0..WRITERS)
                    .map(|writer| {
                        scope.spawn(move || {
                            let mut rng = SmallRng::seed_from_u64((round as u64) << 32 | writer);
                            let mut times = Vec::new();
                            for _ in 0..puts {
                                let key = rng.random_range(..keys).to_be_bytes();
                                let begin = Instant::now();
                                store
                                    .put(&key, &[7; SIZE], Durability::Synced)
                                    .expect("the engine takes every put");
                                times.push(begin.elapsed().as_secs_f64() * 1e3);
                            }
                            times
                        })
                    })
                    .collect();
                writers.into_iter().flat_map(|writer| writer.join().expect("writers do not panic")).collect()
            });
            let rate = times.len() as f64 / start.elapsed().as_secs_f64();
            times.sort_by(f64::total_cmp);
            let tail = [0.5, 0.99, 0.9999, 1.0].map(|at| quantile(&times, at));
            for (samples, figure) in figures.iter_mut().zip([rate].into_iter().chain(tail)) {
                samples.push(figure);
            }
        }
    }
    print(
        &format!("durable puts of 1 KiB by {WRITERS} writers that overwrite {keys} values; ms"),
        ["engine", "puts/s", "p50", "p99", "p99.99", "quartiles", "longest", "longest of all rounds"],
        stores.iter().map(|(name, _, [rates, p50, p99, p9999, longest])| {
            let median = |samples: &[f64]| Spread::of(samples.iter().copied()).median;
            let tail = Spread::of(p9999.iter().copied());
            [
                (*name).to_owned(),
                format!("{:.0}", median(rates)),
                format!("{:.2}", median(p50)),
                format!("{:.2}", median(p99)),
                format!("{:.1}", tail.median),
                format!("{:.1} .. {:.1}", tail.low, tail.high),
                format!("{:.0}", median(longest)),
                format!("{:.0}", longest.iter().copied().fold(0.0, f64::max)),
            ]
        }),
    );
    Ok(())
}
