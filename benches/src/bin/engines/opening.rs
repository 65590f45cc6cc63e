//! The time to open a store: one that was closed, and one whose process died.

use std::{fs, io::ErrorKind, path::Path, time::Instant};

use benches::{
    contenders::stores::{Durability, Engine, Failure},
    spread::Spread,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{Options, print};

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            match fs::copy(entry.path(), to) {
                // An engine that works in the background deletes files at any time.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                copied => drop(copied?),
            }
        }
    }
    Ok(())
}

/// Milliseconds until a store can be read from.
fn time(engine: &Engine, dir: &Path, key: &[u8]) -> Result<f64, Failure> {
    let start = Instant::now();
    let store = (engine.open)(dir)?;
    let found = store.get(key)?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    assert!(found.is_some(), "{} lost a value", engine.name);
    Ok(took)
}

pub(crate) fn measure(options: &Options, engines: &[Engine]) -> Result<(), Failure> {
    let puts = 500_000 / options.divide;
    let mut rows = Vec::new();
    for engine in engines {
        let dir = tempfile::tempdir_in(&options.measure.dir)?;
        let (live, dead) = (dir.path().join("live"), dir.path().join("dead"));
        fs::create_dir(&live)?;
        let store = (engine.open)(&live)?;
        let mut rng = SmallRng::seed_from_u64(1);
        let pairs: Vec<([u8; 16], [u8; 1000])> = (0..1000).map(|_| (rng.random(), [7; 1000])).collect();
        let mut last = [0; 16];
        for _ in 0..puts / 1000 {
            let fresh: Vec<([u8; 16], &[u8])> =
                pairs.iter().map(|(_, value)| (rng.random(), &value[..])).collect();
            let fresh: Vec<(&[u8], &[u8])> = fresh.iter().map(|(key, value)| (&key[..], *value)).collect();
            store.put_all(&fresh)?;
            last.copy_from_slice(fresh[fresh.len() - 1].0);
        }
        if engine.name != "lmdb" {
            store.put(&last, &[7; 1000], Durability::Synced)?;
        }
        // A copy of the files, as a crash of the process would leave them now.
        copy(&live, &dead)?;
        drop(store);
        let after_crash = time(engine, &dead, &last)?;
        let after_closing: Vec<f64> =
            (0..options.measure.rounds).map(|_| time(engine, &live, &last)).collect::<Result<_, _>>()?;
        let closing = Spread::of(after_closing);
        rows.push([
            engine.name.to_owned(),
            format!("{:.1}", closing.median),
            format!("{:.1} .. {:.1}", closing.low, closing.high),
            format!("{after_crash:.0}"),
        ]);
    }
    print(
        &format!("opening a store into which {puts} values of 1,000 bytes were put"),
        ["engine", "ms after closing", "quartiles", "ms after a crash"],
        rows,
    );
    Ok(())
}
