//! How much has to be read from the disk after a load. Data that was written through the page cache is in the cache.

use std::{fs, time::Instant};

use benches::contenders::stores::{Engine, Failure};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

use crate::{Options, print};

const SIZE: usize = 1024;

/// How many bytes the system has read from disks for this process.
fn read_from_disk() -> std::io::Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    Ok(line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0))
}

pub(crate) fn measure(options: &Options, engines: &[Engine]) -> Result<(), Failure> {
    let keys = 1_000_000 / options.divide;
    let mut rows = Vec::new();
    for engine in engines {
        let dir = tempfile::tempdir_in(&options.measure.dir)?;
        let store = (engine.open)(dir.path())?;
        let mut rng = SmallRng::seed_from_u64(1);
        let mut value = [0; SIZE];
        let start = Instant::now();
        for first in (0..keys).step_by(1000) {
            let pairs: Vec<([u8; 8], [u8; SIZE])> = (first..keys.min(first + 1000))
                .map(|key| {
                    rng.fill_bytes(&mut value);
                    (key.to_be_bytes(), value)
                })
                .collect();
            let pairs: Vec<(&[u8], &[u8])> =
                pairs.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            store.put_all(&pairs)?;
        }
        store.checkpoint()?;
        let loaded = start.elapsed().as_secs_f64();
        let (before, start) = (read_from_disk()?, Instant::now());
        for _ in 0..keys {
            assert!(store.get(&rng.random_range(..keys).to_be_bytes())?.is_some());
        }
        let took = start.elapsed().as_secs_f64();
        rows.push([
            engine.name.to_owned(),
            format!("{:.0}", keys as f64 / loaded),
            format!("{}", (read_from_disk()? - before) >> 20),
            format!("{:.0}", keys as f64 / took),
        ]);
    }
    print(
        &format!("{keys} random reads by one thread after a load of as many values of 1 KiB"),
        ["engine", "puts/s of the load", "MiB read from the disk", "reads/s"],
        rows,
    );
    Ok(())
}
