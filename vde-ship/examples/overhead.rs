//! What shipping costs the writers: 16 threads put durable values of 1 KiB, in turns without and with a shipper.
//!
//! `overhead STORE_FOLDER BUCKET_FOLDER [SECONDS] [ROUNDS] [CHUNK_MIB] [INTERVAL_MS] [unsynced]`. It prints puts/s of each
//! round, the medians with their ratio, and the longest lag. With `unsynced`, objects are not synced, to see what that
//! costs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use object_store::local::LocalFileSystem;
use vde_ship::{Bucket, Error, ShipOptions};
use vde_store::Vde;

const WRITERS: u64 = 16;
const KEYS: u64 = 100_000;

/// Durable puts per second. `each` is called ten times a second.
fn puts(store: &Vde, time: Duration, mut each: impl FnMut()) -> f64 {
    let (done, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let began = Instant::now();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (done, is_over) = (&done, &is_over);
            scope.spawn(move || {
                let value = vec![writer as u8; 1 << 10];
                let mut key = writer;
                while !is_over.load(Ordering::Relaxed) {
                    key = (key * 6_364_136_223_846_793_005 % (1 << 61))
                        .wrapping_add(1_442_695_040_888_963_407)
                        >> 1;
                    if store.put(format!("key/{:08}", key % KEYS), &value).is_err() {
                        return;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while began.elapsed() < time {
            thread::sleep(Duration::from_millis(100));
            each();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let default = std::env::temp_dir().display().to_string();
    let (store_folder, bucket_folder) = (next(&default), next(&default));
    let seconds: u64 = next("2").parse().unwrap_or(2);
    let rounds: usize = next("3").parse().unwrap_or(3);
    let chunk: usize = next("4").parse().unwrap_or(4);
    let interval = Duration::from_millis(next("1000").parse().unwrap_or(1000));
    let is_synced = next("synced") == "synced";
    let options = ShipOptions::new().chunk_bytes(chunk << 20).interval(interval);
    let path = Path::new(&store_folder).join(format!("overhead-{}.vde", std::process::id()));
    let folder = Path::new(&bucket_folder).join(format!("overhead-{}", std::process::id()));
    let store = Vde::create(&path)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap_or_else(|e| panic!("{e}"));
    let time = Duration::from_secs(seconds);
    puts(&store, time, || {});
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lag, mut bytes) = (Duration::ZERO, 0);
    for round in 0..rounds {
        let alone = puts(&store, time, || {});
        let mut bucket = Bucket::open(&format!("file://{}", folder.display()))?;
        if !is_synced {
            let objects = LocalFileSystem::new_with_prefix(&folder).unwrap_or_else(|e| panic!("{e}"));
            bucket = Bucket::new(Arc::new(objects), "");
        }
        let shipper = runtime.block_on(options.clone().start(&store, bucket))?;
        // The base is not counted.
        runtime.block_on(shipper.wait(store.durable()))?;
        let beside = puts(&store, time, || {
            lag = lag.max(shipper.lag().age);
            bytes = bytes.max(shipper.lag().bytes);
        });
        let began = Instant::now();
        runtime.block_on(shipper.close())?;
        println!(
            "round {round}: {alone:.0} puts/s alone, {beside:.0} with a shipper; the rest took {:?}",
            began.elapsed()
        );
        without.push(alone);
        with.push(beside);
        ratios.push(beside / alone);
    }
    println!(
        "median: {:.0} puts/s alone, {:.0} with a shipper, ratio {:.3}; at most {lag:?} and {bytes} bytes behind",
        median(without),
        median(with),
        median(ratios)
    );
    store.close()?;
    // What is left does no harm.
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
