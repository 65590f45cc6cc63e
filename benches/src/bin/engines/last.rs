//! How long it takes to find the greatest key.

use std::{hint::black_box, time::Instant};

use benches::{
    contenders::stores::{Engine, Failure},
    spread::Spread,
};

use crate::{Options, print, reads};

/// How many calls are timed together.
const CALLS: u32 = 1000;

pub(crate) fn measure(options: &Options, engines: &[Engine]) -> Result<(), Failure> {
    let keys = 300_000 / options.divide;
    let dirs: Vec<_> =
        engines.iter().map(|_| tempfile::tempdir_in(&options.measure.dir)).collect::<Result<_, _>>()?;
    let mut stores = Vec::new();
    for (engine, dir) in engines.iter().zip(&dirs) {
        let store = (engine.open)(dir.path())?;
        reads::fill(&*store, keys)?;
        // Some contenders do not implement this.
        if store.last().is_ok() {
            stores.push((engine.name, store, Vec::new()));
        }
    }
    for round in 0..options.measure.rounds {
        for turn in 0..stores.len() {
            let index = (turn + round) % stores.len();
            let (_, store, samples) = &mut stores[index];
            let start = Instant::now();
            for _ in 0..CALLS {
                black_box(store.last()?);
            }
            samples.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
        }
    }
    print(
        &format!("the greatest of {keys} keys"),
        ["engine", "us", "quartiles"],
        stores.iter().map(|(name, _, samples)| {
            let spread = Spread::of(samples.iter().copied());
            [
                (*name).to_owned(),
                format!("{:.2}", spread.median),
                format!("{:.2} .. {:.2}", spread.low, spread.high),
            ]
        }),
    );
    Ok(())
}
