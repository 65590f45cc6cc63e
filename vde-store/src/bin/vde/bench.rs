//! A quick benchmark of a disk: puts by many writers.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use vde_store::{Durability, Vde};

use crate::{Failure, at, print};

#[derive(Args)]
pub(crate) struct Workload {
    /// The container to create; the benchmark does not delete it
    store: PathBuf,
    /// How many threads write
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    writers: u16,
    /// Length of each value in bytes
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// How many seconds to write
    #[arg(long, default_value = "2", value_parser = parse_seconds)]
    seconds: Duration,
    /// Do not wait for the disk: a put returns once it is logged in memory
    #[arg(long)]
    buffered: bool,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Random bytes, which cannot be compressed.
fn noise(size: usize) -> Result<Vec<u8>, Failure> {
    let source = Path::new("/dev/urandom");
    let mut value = vec![0; size];
    File::open(source).and_then(|mut file| file.read_exact(&mut value)).map_err(at(source))?;
    Ok(value)
}

/// How long each put took.
type Times = Vec<Duration>;

pub(crate) fn run(workload: &Workload, as_json: bool) -> Result<(), Failure> {
    let durability = if workload.buffered { Durability::Buffered } else { Durability::Sync };
    let value = noise(workload.size)?;
    let store = Vde::create(&workload.store)?.with_durability(durability);
    let start = Instant::now();
    let times: Vec<vde_store::Result<Times>> = thread::scope(|scope| {
        let write = |writer: u16| {
            let (store, value) = (&store, &value);
            move || {
                let mut times = Times::new();
                while times.is_empty() || start.elapsed() < workload.seconds {
                    let begun = Instant::now();
                    store.put(format!("{writer}/{:012}", times.len()), value)?;
                    times.push(begun.elapsed());
                }
                Ok(times)
            }
        };
        let threads: Vec<_> = (0..workload.writers).map(|writer| scope.spawn(write(writer))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let elapsed = start.elapsed();
    let mut times: Times = times.into_iter().collect::<vde_store::Result<Vec<_>>>()?.concat();
    times.sort_unstable();
    let micros =
        |percent| times.get(times.len() * percent / 100).map(|time: &Duration| time.as_micros() as u64);
    let (puts, rate) = (times.len(), times.len() as f64 / elapsed.as_secs_f64());
    let (p50, p99) = (micros(50), micros(99));
    let value = json!({
        "writers": workload.writers,
        "size": workload.size,
        "buffered": workload.buffered,
        "puts": puts,
        "per_second": rate,
        "p50_micros": p50,
        "p99_micros": p99,
    });
    let text = format!(
        "{puts} puts, {rate:.0} a second, p50 {} µs, p99 {} µs",
        p50.unwrap_or_default(),
        p99.unwrap_or_default()
    );
    print(as_json, &value, &text)
}
