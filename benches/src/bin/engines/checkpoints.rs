//! What a checkpoint costs writers that run at the same time.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Instant,
};

use benches::{
    contenders::stores::Failure,
    spread::{Spread, quantile},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use vde_store::{Durability, Vde};

use crate::{Options, print};

const WRITERS: u64 = 16;

/// Durable puts of 1 KiB per second, and the 99th percentile of their times, until `is_over` returns true.
fn sample(store: &Vde, is_over: impl Fn() -> bool + Sync) -> (f64, f64) {
    let start = Instant::now();
    let mut times: Vec<f64> = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut rng = SmallRng::seed_from_u64(writer);
                    let mut times = Vec::new();
                    while !is_over() {
                        let begin = Instant::now();
                        store.put(rng.random::<[u8; 16]>(), [7; 1024]).expect("the store takes every put");
                        times.push(begin.elapsed().as_secs_f64());
                    }
                    times
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().expect("writers do not panic")).collect()
    });
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    (rate, quantile(&times, 0.99))
}

pub(crate) fn measure(options: &Options) -> Result<(), Failure> {
    let dir = tempfile::tempdir_in(&options.measure.dir)?;
    let store = Vde::create(dir.path().join("store.vde"))?;
    let time = options.measure.sample();
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..options.measure.rounds {
        // 40 MiB of recent writes: enough for a checkpoint of some length, too few for the store to start one by
        // itself.
        let buffered = store.with_durability(Durability::Buffered);
        store.checkpoint()?;
        for key in 0..400_000 / options.divide {
            buffered.put(key.to_be_bytes(), [7; 20])?;
        }
        store.flush()?;
        let start = Instant::now();
        let (rate, p99) = sample(&store, || start.elapsed() >= time);
        let done = AtomicBool::new(false);
        let (during, p99_during) = thread::scope(|scope| {
            scope.spawn(|| {
                let made = store.checkpoint();
                done.store(true, Relaxed);
                made.expect("the store makes a checkpoint");
            });
            sample(&store, || done.load(Relaxed))
        });
        for (samples, figure) in figures.iter_mut().zip([rate, p99, during, p99_during]) {
            samples.push(figure);
        }
    }
    let [rates, p99s, during, p99s_during] = &figures;
    let ratio =
        |one: &[f64], other: &[f64]| Spread::of(one.iter().zip(other).map(|(one, other)| one / other));
    let row = |label: &str, rates: &[f64], p99s: &[f64], rate: f64, p99: f64| {
        [
            label.to_owned(),
            format!("{:.0}", Spread::of(rates.iter().copied()).median),
            format!("{rate:.2}"),
            format!("{:.0}", Spread::of(p99s.iter().copied()).median * 1e6),
            format!("{p99:.2}"),
        ]
    };
    print(
        "durable puts of 1 KiB by 16 writers of vde-store, with and without a checkpoint of 400,000 keys beside them",
        ["", "puts/s", "of the rate", "p99 us", "of the p99"],
        [
            row("no checkpoint", rates, p99s, 1.0, 1.0),
            row(
                "during one",
                during,
                p99s_during,
                ratio(during, rates).median,
                ratio(p99s_during, p99s).median,
            ),
        ],
    );
    Ok(())
}
