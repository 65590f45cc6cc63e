//! Point reads of a million values of 100 bytes by two threads: alone, and beside four durable writers. Then the time
//! to open the store, and the space that it takes.
//!
//! `cargo run --release -p vde-store --example point_reads -- [DIR] [SECONDS]`

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use vde_store::{Durability, Vde};

const KEYS: u64 = 1_000_000;

fn reads(store: &Vde, time: Duration, writers: usize) -> (f64, f64) {
    let stop = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    let start = Instant::now();
    let read: u64 = thread::scope(|scope| {
        for writer in 0..writers {
            let (stop, written) = (&stop, &written);
            scope.spawn(move || {
                let mut rng = Rng::with_seed(writer as u64);
                while !stop.load(Ordering::Relaxed) {
                    store.put(rng.u64(..KEYS).to_be_bytes(), [7; 100]).unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                scope.spawn(move || {
                    let mut rng = Rng::with_seed(100 + reader);
                    let mut count = 0;
                    while start.elapsed() < time {
                        for _ in 0..100 {
                            assert!(store.get(rng.u64(..KEYS).to_be_bytes()).unwrap().is_some());
                        }
                        count += 100;
                    }
                    count
                })
            })
            .collect();
        let read = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        stop.store(true, Ordering::Relaxed);
        read
    });
    let seconds = start.elapsed().as_secs_f64();
    (read as f64 / seconds, written.into_inner() as f64 / seconds)
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| ".".into()));
    let time =
        Duration::from_secs_f64(args.next().map_or(3.0, |arg| arg.parse().expect("SECONDS is a number")));
    let path = dir.join("reads.vde");
    let _ = std::fs::remove_file(&path);
    let store = Vde::create(&path).unwrap();
    let start = Instant::now();
    let buffered = store.with_durability(Durability::Buffered);
    for key in 0..KEYS {
        buffered.put(key.to_be_bytes(), [key as u8; 100]).unwrap();
    }
    store.checkpoint().unwrap();
    println!("loaded in {:.1?}", start.elapsed());
    reads(&store, time / 3, 0);
    let (alone, _) = reads(&store, time, 0);
    let (beside, written) = reads(&store, time, 4);
    println!("reads alone            {alone:>12.0} a second");
    println!("beside 4 writers       {beside:>12.0} a second ({written:.0} durable puts a second)");
    println!("{:?}", store.stats().unwrap());
    drop((store, buffered));
    let start = Instant::now();
    let store = Vde::open(&path).unwrap();
    println!("opened in {:.1?}, {} records replayed", start.elapsed(), store.recovery().records);
    drop(store);
    let _ = std::fs::remove_file(&path);
}
