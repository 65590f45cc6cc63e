//! Memory: one large value written and read, and very many keys.

use std::{
    env, fs,
    io::{self, Read},
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use benches::contenders::stores::Failure;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use vde_store::{Durability, UserMetadata, Vde};

use crate::{Options, print};

/// The number of reads of the container of many keys: enough to fill the store's memory for hints of where keys are.
const READS: u64 = 2_000_000;

/// The process's memory that no file backs, in KiB. The pages of a mapped container belong to the page cache.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The most memory that `work` took beyond what was taken before, in MiB.
fn peak(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (before, most, done) = (anonymous(), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                most.fetch_max(anonymous(), Relaxed);
                thread::sleep(Duration::from_millis(2));
            }
        });
        let worked = work();
        done.store(true, Relaxed);
        worked
    })?;
    Ok(most.into_inner().saturating_sub(before) as f64 / 1024.0)
}

fn keys(options: &Options) -> u64 {
    10_000_000 / options.divide
}

/// Prints the most memory, in MiB, that it takes to open the container of many keys and to read some of them.
pub(crate) fn open_many(options: &Options, path: &Path) -> Result<(), Failure> {
    let open = peak(|| {
        let store = Vde::open(path)?;
        let mut rng = SmallRng::seed_from_u64(1);
        for _ in 0..READS {
            assert!(store.get(rng.random_range(..keys(options)).to_be_bytes())?.is_some());
        }
        Ok(())
    })?;
    println!("{open}");
    Ok(())
}

pub(crate) fn measure(options: &Options) -> Result<(), Failure> {
    let dir = tempfile::tempdir_in(&options.measure.dir)?;
    let path = dir.path().join("large.vde");
    let len = (4 << 30) / options.divide;
    let store = Vde::create(&path)?;
    let put = peak(|| {
        store.put_with("large", io::repeat(7).take(len), &UserMetadata::new())?;
        Ok(())
    })?;
    let read = peak(|| {
        let mut reader = store.reader("large")?.ok_or("the value is gone")?;
        let copied = io::copy(&mut reader, &mut io::sink())?;
        assert_eq!(copied, len);
        Ok(())
    })?;
    drop(store);
    fs::remove_file(&path)?;

    let path = dir.path().join("many.vde");
    let keys = keys(options);
    let store = Vde::create(&path)?.with_durability(Durability::Buffered);
    let fill = peak(|| {
        for key in 0..keys {
            store.put(key.to_be_bytes(), [7; 10])?;
        }
        Ok(())
    })?;
    drop(store);
    // In a separate process, because this one would use memory again that it has freed, and that would not be counted.
    let child = Command::new(env::current_exe()?)
        .args(["--divide", &options.divide.to_string(), "--open-many"])
        .arg(&path)
        .output()?;
    let open: f64 = String::from_utf8(child.stdout)?.trim().parse()?;
    print(
        "memory of vde-store",
        ["", "MiB at most"],
        [
            [format!("put a value of {} MiB", len >> 20), format!("{put:.1}")],
            ["read it".to_owned(), format!("{read:.1}")],
            [format!("put {keys} keys, buffered"), format!("{fill:.1}")],
            [format!("open them and read {READS}"), format!("{open:.1}")],
        ],
    );
    Ok(())
}
