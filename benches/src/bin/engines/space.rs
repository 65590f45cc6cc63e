//! The size of a store on the disk after values were overwritten and deleted.

use benches::contenders::stores::{Engine, Failure};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

use crate::{Options, allocated, print};

pub(crate) fn measure(options: &Options, engines: &[Engine]) -> Result<(), Failure> {
    let keys = 200_000 / options.divide;
    let live = keys * 4 / 5 * 1024;
    let mut rows = Vec::new();
    for engine in engines {
        let dir = tempfile::tempdir_in(&options.measure.dir)?;
        let store = (engine.open)(dir.path())?;
        let mut rng = SmallRng::seed_from_u64(1);
        let mut value = [0; 1024];
        // Written once and overwritten four times, in random order. The values cannot be compressed.
        for _ in 0..5 * keys / 1000 {
            let pairs: Vec<([u8; 8], [u8; 1024])> = (0..1000)
                .map(|_| {
                    rng.fill_bytes(&mut value);
                    (rng.random_range(..keys).to_be_bytes(), value)
                })
                .collect();
            let pairs: Vec<(&[u8], &[u8])> =
                pairs.iter().map(|(key, value)| (&key[..], &value[..])).collect();
            store.put_all(&pairs)?;
        }
        for key in 0..keys {
            if key % 5 == 0 {
                store.delete(&key.to_be_bytes())?;
            } else if store.get(&key.to_be_bytes())?.is_none() {
                store.put_all(&[(&key.to_be_bytes(), &value)])?;
            }
        }
        store.checkpoint()?;
        drop(store);
        let taken = allocated(dir.path())?;
        rows.push([
            engine.name.to_owned(),
            format!("{}", taken >> 20),
            format!("{:.2}", taken as f64 / live as f64),
        ]);
    }
    print(
        &format!(
            "space after {keys} values of 1 KiB were overwritten four times and a fifth of them deleted"
        ),
        ["engine", "MiB", "of the live bytes"],
        rows,
    );
    Ok(())
}
