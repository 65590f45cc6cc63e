//! Point reads, alone and beside writers.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use benches::{
    contenders::stores::{Durability, Engine, Failure, Store},
    spread::Spread,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{Options, print};

const READERS: u64 = 2;
const WRITERS: u64 = 4;

/// Fills a store with `keys` values of 100 bytes, without waiting for the disk if the engine allows that.
pub(crate) fn fill(store: &dyn Store, keys: u64) -> Result<(), Failure> {
    let pairs: Vec<_> = (0..keys).map(|key| (key.to_be_bytes(), [key as u8; 100])).collect();
    for chunk in pairs.chunks(10_000) {
        let pairs: Vec<(&[u8], &[u8])> = chunk.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        store.put_all(&pairs)?;
    }
    store.checkpoint()
}

/// Reads and durable puts per second, over `time`.
fn sample(store: &dyn Store, keys: u64, writers: u64, time: Duration) -> (f64, f64) {
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    let read: u64 = thread::scope(|scope| {
        for writer in 0..writers {
            let (stop, written) = (&stop, &written);
            scope.spawn(move || {
                let mut rng = SmallRng::seed_from_u64(writer);
                while !stop.load(Relaxed) {
                    let key = rng.random_range(..keys).to_be_bytes();
                    store.put(&key, &[7; 100], Durability::Synced).expect("the engine takes every put");
                    written.fetch_add(1, Relaxed);
                }
            });
        }
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                scope.spawn(move || {
                    let mut rng = SmallRng::seed_from_u64(100 + reader);
                    let mut count = 0;
                    while start.elapsed() < time {
                        for _ in 0..50 {
                            let key = rng.random_range(..keys).to_be_bytes();
                            let found = store.get(&key).expect("the engine reads");
                            assert_eq!(found.map(|value| value.len()), Some(100));
                        }
                        count += 50;
                    }
                    count
                })
            })
            .collect();
        let read = readers.into_iter().map(|reader| reader.join().expect("readers do not panic")).sum();
        stop.store(true, Relaxed);
        read
    });
    let seconds = start.elapsed().as_secs_f64();
    (read as f64 / seconds, written.into_inner() as f64 / seconds)
}

pub(crate) fn measure(options: &Options, engines: &[Engine]) -> Result<(), Failure> {
    let keys = 1_000_000 / options.divide;
    let time = options.measure.sample();
    let dirs: Vec<_> =
        engines.iter().map(|_| tempfile::tempdir_in(&options.measure.dir)).collect::<Result<_, _>>()?;
    let mut stores = Vec::new();
    for (engine, dir) in engines.iter().zip(&dirs) {
        let store = (engine.open)(dir.path())?;
        fill(&*store, keys)?;
        sample(&*store, keys, 0, time);
        stores.push(store);
    }
    let mut figures = vec![[const { Vec::new() }; 3]; engines.len()];
    for round in 0..options.measure.rounds {
        for turn in 0..engines.len() {
            let index = (turn + round) % engines.len();
            let (alone, _) = sample(&*stores[index], keys, 0, time);
            let (beside, written) = sample(&*stores[index], keys, WRITERS, time);
            for (samples, figure) in figures[index].iter_mut().zip([alone, beside, written]) {
                samples.push(figure);
            }
        }
    }
    print(
        &format!(
            "point reads of {keys} values of 100 bytes, {READERS} threads; beside {WRITERS} durable writers"
        ),
        ["engine", "reads/s alone", "quartiles", "reads/s beside", "kept", "puts/s beside"],
        engines.iter().zip(&figures).map(|(engine, [alone, beside, written])| {
            let spread = Spread::of(alone.iter().copied());
            let kept = Spread::of(beside.iter().zip(alone).map(|(beside, alone)| beside / alone));
            [
                engine.name.to_owned(),
                format!("{:.0}", spread.median),
                format!("{:.0} .. {:.0}", spread.low, spread.high),
                format!("{:.0}", Spread::of(beside.iter().copied()).median),
                format!("{:.2}", kept.median),
                format!("{:.0}", Spread::of(written.iter().copied()).median),
            ]
        }),
    );
    Ok(())
}
