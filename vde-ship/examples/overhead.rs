//! What shipping costs the writers: 16 threads put durable values of 1 KiB, in turns into stores of which some are
//! shipped.
//!
//! `overhead STORE_FOLDER CYCLES SECONDS ROW...`. A row is `plain`, or `ship:FOLDER`, after which options may follow:
//! `ship:/mnt/objects,chunk_mib=64,interval_ms=5000,unsynced`. With `unsynced`, objects are not synced, to see what
//! that costs. Each cycle gives each row one turn with a new store of 100 MB, in another order. The base, and the first
//! second of writing, are not counted, so that uploads are on their way from the beginning of what is counted.
//!
//! Ratios are those of a cycle, to its first row. A second `plain` row shows how far equal rows scatter.

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
const WARM_UP: Duration = Duration::from_secs(1);
/// The pause after the base.
const REST: Duration = Duration::from_millis(500);

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

impl Row {
    /// Fills a new store, and then writes for `time`. Its files, and its objects, have the name `file`.
    fn turn(&mut self, folder: &Path, file: &str, time: Duration, runtime: &Runtime) -> Result<Vec<PathBuf>> {
        let path = folder.join(file);
        let store = Vde::create(&path)?;
        let filling = store.with_durability(Durability::Buffered);
        for key in 0..KEYS {
            filling.put(format!("key/{key:08}"), value(key))?;
        }
        store.checkpoint()?;
        let mut left = vec![path];
        let mut shipper = None;
        if let Some(row) = self.name.strip_prefix("ship:") {
            let (folder, options, is_synced) = parse(row)?;
            let folder = folder.join(format!("{file}-objects"));
            let mut bucket = Bucket::open(&format!("file://{}", folder.display()))?;
            if !is_synced {
                bucket = Bucket::new(Arc::new(LocalFileSystem::new_with_prefix(&folder)?), "");
            }
            let started = runtime.block_on(options.start(&store, bucket))?;
            runtime.block_on(started.wait(store.durable()))?;
            left.push(folder);
            shipper = Some(started);
        } else if self.name != "plain" {
            return Err(format!("no row `{}`", self.name).into());
        }
        thread::sleep(REST);
        let (puts, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let turn = thread::scope(|scope| {
            for seed in 0..WRITERS {
                let (store, puts, is_over) = (&store, &puts, &is_over);
                scope.spawn(move || write(store, seed as u64, puts, is_over));
            }
            thread::sleep(WARM_UP);
            let from = Done::now(&puts)?;
            while from.at.elapsed() < time {
                thread::sleep(Duration::from_millis(100));
                if let Some(shipper) = &shipper {
                    self.lag = self.lag.max(shipper.lag().age);
                    self.behind = self.behind.max(shipper.lag().bytes);
                }
            }
            let to = Done::now(&puts);
            is_over.store(true, Ordering::Relaxed);
            Ok::<_, Box<dyn Error>>(Turn::between(&from, &to?))
        });
        self.turns.push(turn?);
        drop(shipper);
        Ok(left)
    }

    fn median(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        quartiles(self.turns.iter().map(figure).collect())[1]
    }

    fn print(&self, first: &Self) {
        let ratio = |(turn, first): (&Turn, &Turn)| turn.puts_per_second / first.puts_per_second;
        let [low, middle, high] = quartiles(self.turns.iter().zip(&first.turns).map(ratio).collect());
        println!(
            "| {} | {:.0} | {middle:.3} | {low:.3} to {high:.3} | {:.1} | {:.2} | {:.1} | {:.0} |",
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

/// The quartiles; of an even number of figures, the middle is the mean of two.
fn quartiles(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    let figure = |at: usize| figures.get(at).copied().unwrap_or_default();
    [1, 2, 3].map(|quarters| {
        let at = quarters * last;
        f64::midpoint(figure(at / 4), figure(at.div_ceil(4)))
    })
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
    let mut left = Vec::new();
    for cycle in 0..cycles {
        for number in 0..count {
            // Each row comes at each place, and after as well as before each other row.
            let number = if cycle % 2 == 0 { number } else { count - 1 - number };
            let file = format!("overhead-{}-{cycle}-{number}", std::process::id());
            left.extend(rows[(number + cycle / 2) % count].turn(&folder, &file, time, &runtime)?);
        }
    }
    println!("| row | puts/s | ratio | quartiles | CPU, us/put | KiB written/put | lag, s | behind, MB |");
    println!("|---|---:|---:|---|---:|---:|---:|---:|");
    for row in &rows {
        row.print(&rows[0]);
    }
    for path in left {
        // Not earlier: to free space on the disk takes time of the next turn. What is left does no harm.
        let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
    }
    Ok(())
}
