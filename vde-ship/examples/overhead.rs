//! What shipping costs the writers: 16 threads put durable values of 1 KiB into one store of 100 MB, in turns with and
//! without a shipper.
//!
//! `overhead STORE_FOLDER CYCLES SECONDS ROW...`. A row is `plain`, or `ship:FOLDER`, after which options may follow:
//! `ship:/mnt/objects,chunk_mib=64,interval_ms=5000,unsynced`. With `unsynced`, objects are not synced, to see what
//! that costs. Each cycle gives each row one turn, in another order. The base, and the first second of writing, are not
//! counted, so that uploads are on their way from the beginning of what is counted.
//!
//! Ratios are those of two turns of one cycle, to the first row, and so are the differences of processor time. Their
//! medians come with the interval that has the true median with a probability of at least 95 %. A second `plain` row
//! shows how far equal rows scatter.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use object_store::local::LocalFileSystem;
use tokio::runtime::Runtime;
use vde_ship::{Bucket, ShipOptions};
use vde_store::{Durability, Vde};

const WRITERS: usize = 16;
const KEYS: u64 = 100_000;
const WARM_UP: Duration = Duration::from_millis(1100);
/// The shortest time from the beginning of a turn to its first write. The base is uploaded meanwhile.
const REST: Duration = Duration::from_millis(1200);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What this process has done so far.
struct Done {
    at: Instant,
    puts: u64,
    /// Processor time, in hundredths of a second.
    ticks: u64,
    /// Bytes written towards a disk.
    written: u64,
}

impl Done {
    fn now(puts: &AtomicU64) -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // The name of the command ends with the last parenthesis. The 12th and 13th fields after it are user and
        // system time.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        let io = std::fs::read_to_string("/proc/self/io")?;
        let written =
            io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap_or("0").parse()?;
        Ok(Self { at: Instant::now(), puts: puts.load(Ordering::Relaxed), ticks, written })
    }
}

/// The figures of one turn.
struct Turn {
    puts_per_second: f64,
    cpu_micros_per_put: f64,
    bytes_written_per_put: f64,
}

impl Turn {
    fn between(from: &Done, to: &Done) -> Self {
        let puts = (to.puts - from.puts) as f64;
        Self {
            puts_per_second: puts / (to.at - from.at).as_secs_f64(),
            cpu_micros_per_put: (to.ticks - from.ticks) as f64 * 10_000.0 / puts,
            bytes_written_per_put: (to.written - from.written) as f64 / puts,
        }
    }
}

struct Row {
    name: String,
    turns: Vec<Turn>,
    lag: Duration,
    behind: u64,
}

/// The folder, the options, and whether objects are synced.
fn parse(row: &str) -> Result<(PathBuf, ShipOptions, bool)> {
    let mut parts = row.split(',');
    let folder = parts.next().unwrap_or_default().into();
    let (mut options, mut is_synced) = (ShipOptions::new(), true);
    for part in parts {
        match part.split_once('=') {
            Some(("chunk_mib", mib)) => options = options.chunk_bytes(mib.parse::<usize>()? << 20),
            Some(("interval_ms", ms)) => options = options.interval(Duration::from_millis(ms.parse()?)),
            None if part == "unsynced" => is_synced = false,
            _ => return Err(format!("no option `{part}`").into()),
        }
    }
    Ok((folder, options, is_synced))
}

/// A new store with a value of each key.
fn filled(path: &Path) -> Result<Vde> {
    let store = Vde::create(path)?;
    let filling = store.with_durability(Durability::Buffered);
    for key in 0..KEYS {
        filling.put(format!("key/{key:08}"), value(key))?;
    }
    store.checkpoint()?;
    Ok(store)
}

impl Row {
    /// Writes for `time`. The objects are in a folder of this name, and are removed afterwards.
    fn turn(&mut self, store: &Vde, name: &str, time: Duration, runtime: &Runtime) -> Result<()> {
        let begun = Instant::now();
        let mut shipping = None;
        if let Some(row) = self.name.strip_prefix("ship:") {
            let (folder, options, is_synced) = parse(row)?;
            let folder = folder.join(name);
            let mut bucket = Bucket::open(&format!("file://{}", folder.display()))?;
            if !is_synced {
                bucket = Bucket::new(Arc::new(LocalFileSystem::new_with_prefix(&folder)?), "");
            }
            let shipper = runtime.block_on(options.start(store, bucket))?;
            runtime.block_on(shipper.wait(store.durable()))?;
            shipping = Some((shipper, folder));
        } else if self.name != "plain" {
            return Err(format!("no row `{}`", self.name).into());
        }
        thread::sleep(REST.saturating_sub(begun.elapsed()));
        let (puts, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let turn = thread::scope(|scope| {
            for seed in 0..WRITERS {
                let (puts, is_over) = (&puts, &is_over);
                scope.spawn(move || write(store, seed as u64, puts, is_over));
            }
            thread::sleep(WARM_UP);
            let from = Done::now(&puts)?;
            while from.at.elapsed() < time {
                thread::sleep(Duration::from_millis(100));
                if let Some((shipper, _)) = &shipping {
                    self.lag = self.lag.max(shipper.lag().age);
                    self.behind = self.behind.max(shipper.lag().bytes);
                }
            }
            let to = Done::now(&puts);
            is_over.store(true, Ordering::Relaxed);
            Ok::<_, Box<dyn Error>>(Turn::between(&from, &to?))
        });
        self.turns.push(turn?);
        if let Some((shipper, folder)) = shipping {
            drop(shipper);
            std::fs::remove_dir_all(folder)?;
        }
        Ok(())
    }

    fn median(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        median(self.turns.iter().map(figure).collect())[1]
    }

    fn print(&self, first: &Self) {
        let pairs = || self.turns.iter().zip(&first.turns);
        let ratio = |(turn, first): (&Turn, &Turn)| turn.puts_per_second / first.puts_per_second;
        let more = |(turn, first): (&Turn, &Turn)| turn.cpu_micros_per_put - first.cpu_micros_per_put;
        let [low, middle, high] = median(pairs().map(ratio).collect());
        let [less_cpu, cpu, more_cpu] = median(pairs().map(more).collect());
        println!(
            "| {} | {:.0} | {middle:.3} | {low:.3} to {high:.3} | {:.1} | {cpu:.2} | {less_cpu:.2} to {more_cpu:.2} \
             | {:.2} | {:.1} | {:.0} |",
            self.name,
            self.median(|turn| turn.puts_per_second),
            self.median(|turn| turn.cpu_micros_per_put),
            self.median(|turn| turn.bytes_written_per_put) / 1024.0,
            self.lag.as_secs_f64(),
            self.behind as f64 / 1e6,
        );
    }
}

/// Half of the value can be compressed.
fn value(random: u64) -> [u8; 1 << 10] {
    let mut value = [b'x'; 1 << 10];
    let mut state = random;
    for bytes in value[..512].as_chunks_mut::<8>().0 {
        state = next(state);
        *bytes = state.to_le_bytes();
    }
    value
}

/// Splitmix64.
fn next(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn write(store: &Vde, seed: u64, puts: &AtomicU64, is_over: &AtomicBool) {
    let mut random = next(seed ^ store.durable());
    while !is_over.load(Ordering::Relaxed) {
        random = next(random);
        if store.put(format!("key/{:08}", random % KEYS), value(random)).is_err() {
            return;
        }
        puts.fetch_add(1, Ordering::Relaxed);
    }
}

/// The median, between the ends of an interval that has the true median with a probability of at least 95 %; with
/// fewer than six figures, between the least and the greatest.
fn median(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    let count = figures.len();
    let figure = |at: usize| figures.get(at).copied().unwrap_or_default();
    // The number of figures below the true median has a binomial distribution.
    let (mut at, mut chance) = (0, (-(count as f64)).exp2());
    let mut below = chance;
    while below + chance * (count - at) as f64 / (at + 1) as f64 <= 0.025 {
        chance *= (count - at) as f64 / (at + 1) as f64;
        below += chance;
        at += 1;
    }
    let last = count.saturating_sub(1);
    [figure(at), f64::midpoint(figure(last / 2), figure(count / 2)), figure(last - at)]
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "overhead STORE_FOLDER CYCLES SECONDS ROW...";
    let folder = PathBuf::from(arguments.next().ok_or(usage)?);
    let cycles: usize = arguments.next().ok_or(usage)?.parse()?;
    let time = Duration::from_secs(arguments.next().ok_or(usage)?.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let new = |name| Row { name, turns: Vec::new(), lag: Duration::ZERO, behind: 0 };
    let mut rows: Vec<_> = arguments.map(new).collect();
    let count = rows.len();
    let name = format!("overhead-{}", std::process::id());
    let path = folder.join(&name);
    let store = filled(&path)?;
    for cycle in 0..cycles {
        for number in 0..count {
            // Each row comes at each place, and after as well as before each other row.
            let number = if cycle % 2 == 0 { number } else { count - 1 - number };
            rows[(number + cycle / 2) % count].turn(&store, &name, time, &runtime)?;
        }
    }
    println!(
        "| row | puts/s | ratio | 95 % | CPU, us/put | more | 95 % | KiB written/put | lag, s | behind, MB |"
    );
    println!("|---|---:|---:|---|---:|---:|---|---:|---:|---:|");
    for row in &rows {
        row.print(&rows[0]);
    }
    store.close()?;
    std::fs::remove_file(path)?;
    Ok(())
}
