//! Durable puts per second of the store, and of a bare log with the same number of writers and the same bytes. The
//! log does nothing but one write and one sync for all waiting writers. Rounds are interleaved, and medians are
//! printed.
//!
//! `cargo run --release -p vde-store --example durable_puts -- [DIR] [SECONDS] [ROUNDS]`

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use vde_store::{Durability, Vde};

/// The smallest group commit: a buffer under a mutex, one leader, one write and one sync for the group.
struct BareLog {
    file: File,
    state: Mutex<Bare>,
    waiting: AtomicUsize,
    durable: AtomicU64,
}

#[derive(Default)]
struct Bare {
    buffer: Vec<u8>,
    appended: u64,
    offset: u64,
    flushing: bool,
    expected: usize,
    waiters: Vec<(u64, Thread)>,
}

impl BareLog {
    fn create(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(path).unwrap();
        // The space is allocated in advance, so that a sync has no file-system metadata to commit.
        let zeros = vec![0; 1 << 20];
        for i in 0..1024 {
            file.write_all_at(&zeros, i << 20).unwrap();
        }
        file.sync_all().unwrap();
        Self { file, state: Mutex::default(), waiting: AtomicUsize::new(0), durable: AtomicU64::new(0) }
    }

    fn put(&self, value: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.buffer.extend_from_slice(value);
        state.appended += 1;
        let mine = state.appended;
        loop {
            if self.durable.load(Ordering::Acquire) >= mine {
                return;
            }
            if state.flushing {
                if state.waiters.iter().all(|(seq, _)| *seq != mine) {
                    state.waiters.push((mine, thread::current()));
                    self.waiting.store(state.waiters.len(), Ordering::Relaxed);
                }
                drop(state);
                thread::park();
            } else {
                state.flushing = true;
                state.waiters.retain(|(seq, _)| *seq != mine);
                let company = state.expected.saturating_sub(1);
                drop(state);
                self.lead(company);
            }
            state = self.state.lock().unwrap();
        }
    }

    fn lead(&self, company: usize) {
        let start = Instant::now();
        while self.waiting.load(Ordering::Relaxed) < company && start.elapsed() < Duration::from_micros(300) {
            thread::yield_now();
        }
        let mut state = self.state.lock().unwrap();
        let buffer = std::mem::take(&mut state.buffer);
        let upto = state.appended;
        let offset = state.offset % (1 << 30);
        state.offset = (offset + buffer.len() as u64) % ((1 << 30) - (8 << 20));
        drop(state);
        self.file.write_all_at(&buffer, offset).unwrap();
        self.file.sync_data().unwrap();
        let mut state = self.state.lock().unwrap();
        self.durable.store(upto, Ordering::Release);
        state.flushing = false;
        let (released, left): (Vec<_>, Vec<_>) = state.waiters.drain(..).partition(|(seq, _)| *seq <= upto);
        state.expected = released.len() + left.len() + 1;
        let next = left.first().map(|(_, thread)| thread.clone());
        state.waiters = left;
        self.waiting.store(state.waiters.len(), Ordering::Relaxed);
        drop(state);
        if let Some(next) = next {
            next.unpark();
        }
        for (_, thread) in released {
            thread.unpark();
        }
    }
}

/// Runs `put(writer, i)` on `writers` threads for `time`. Returns the operations per second, and the 99th percentile
/// of their latency.
fn rate(writers: usize, time: Duration, put: impl Fn(usize, u64) + Sync) -> (f64, Duration) {
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let mut latencies: Vec<Duration> = thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let (put, stop) = (&put, &stop);
                scope.spawn(move || {
                    let mut latencies = Vec::new();
                    let mut i = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let start = Instant::now();
                        put(writer, i);
                        latencies.push(start.elapsed());
                        i += 1;
                    }
                    latencies
                })
            })
            .collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let elapsed = start.elapsed();
    latencies.sort_unstable();
    (latencies.len() as f64 / elapsed.as_secs_f64(), latencies[latencies.len() * 99 / 100])
}

fn median(mut rates: Vec<(f64, Duration)>) -> (f64, Duration) {
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    rates[rates.len() / 2]
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap_or_else(|| ".".into()));
    let seconds: f64 = args.next().map_or(1.0, |arg| arg.parse().expect("SECONDS is a number"));
    let rounds: usize = args.next().map_or(3, |arg| arg.parse().expect("ROUNDS is a number"));
    let time = Duration::from_secs_f64(seconds);
    let bare_path = dir.join("bare.log");
    let store_path = dir.join("store.vde");
    let bare = BareLog::create(&bare_path);
    println!(
        "{:>8} {:>8} {:>12} {:>10} {:>12} {:>10} {:>6}",
        "bytes", "writers", "bare ops/s", "p99", "vde ops/s", "p99", "ratio"
    );
    for size in [1024, 65_000] {
        let value = vec![0xA5; size];
        for writers in [1, 4, 16, 64] {
            let (mut of_bare, mut of_store) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                of_bare.push(rate(writers, time, |_, _| bare.put(&value)));
                let _ = std::fs::remove_file(&store_path);
                let store = Vde::create(&store_path).unwrap();
                of_store.push(rate(writers, time, |w, i| {
                    store.put(format!("{w}/{i:08}"), &value).unwrap();
                }));
            }
            let (a, b) = (median(of_bare), median(of_store));
            println!(
                "{size:>8} {writers:>8} {:>12.0} {:>10.1?} {:>12.0} {:>10.1?} {:>6.2}",
                a.0,
                a.1,
                b.0,
                b.1,
                b.0 / a.0
            );
        }
    }
    for writers in [1, 4, 16] {
        let _ = std::fs::remove_file(&store_path);
        let store = Vde::create(&store_path).unwrap().with_durability(Durability::Buffered);
        let value = vec![0xA5; 1024];
        let (ops, p99) = rate(writers, time, |w, i| {
            store.put(format!("{w}/{i:08}"), &value).unwrap();
        });
        println!("buffered {writers:>8} {ops:>48.0} {p99:>10.1?}");
    }
    for path in [bare_path, store_path] {
        let _ = std::fs::remove_file(path);
    }
}
