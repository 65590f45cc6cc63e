//! The core workloads of YCSB (Cooper et al., Benchmarking cloud serving systems with YCSB, 2010) on disk engines, side by side.
//!
//! `cargo bench-disk ycsb -- --help`

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use benches::{
    cli::{self, Measure},
    contenders::stores::{Durability, ENGINES, Engine, Failure, Store},
    harness::{Case, Comparison},
    workloads::closed_loop,
};
use clap::{Parser, ValueEnum};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Zipf};
use tempfile::TempDir;

/// YCSB on disk engines: interleaved rounds, medians and quartiles.
#[derive(Parser)]
struct Options {
    /// Workloads (all by default).
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Workload>,
    /// How many records are loaded.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// The size of a value in bytes.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_value = "1,2,8")]
    threads: Vec<usize>,
    /// Acknowledge writes before they are durable.
    #[arg(long)]
    buffered: bool,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Half reads, half updates.
    A,
    /// 95 % reads, 5 % updates.
    B,
    /// Reads only.
    C,
    /// 95 % reads of the records that were inserted last, 5 % insertions.
    D,
    /// 95 % scans of 1 to 100 records, 5 % insertions.
    E,
    /// Half reads, half reads followed by an update of the same record.
    F,
}

/// What a client does next.
#[derive(Clone, Copy)]
enum Step {
    Read,
    Update,
    Insert,
    Scan,
    ReadAndUpdate,
}

impl Workload {
    /// The most frequent step, its share in percent, and the other step.
    fn mix(self) -> (Step, u8, Step) {
        match self {
            Self::A => (Step::Read, 50, Step::Update),
            Self::B => (Step::Read, 95, Step::Update),
            Self::C => (Step::Read, 100, Step::Read),
            Self::D => (Step::Read, 95, Step::Insert),
            Self::E => (Step::Scan, 95, Step::Insert),
            Self::F => (Step::Read, 50, Step::ReadAndUpdate),
        }
    }
}

/// The key of a record. The order of the keys is independent of the order of insertion.
fn key(record: u64) -> [u8; 12] {
    // The finaliser of SplitMix64, which maps different numbers to different numbers.
    let mut mixed = record.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let mut key = *b"user12345678";
    key[4..].copy_from_slice(&mixed.to_be_bytes());
    key
}

/// A store with its records.
struct Loaded {
    name: &'static str,
    store: Box<dyn Store>,
    records: AtomicU64,
    _dir: TempDir,
}

impl Loaded {
    fn new(engine: &Engine, options: &Options) -> Result<Self, Failure> {
        let dir = tempfile::tempdir_in(&options.measure.dir)?;
        let store = (engine.open)(dir.path())?;
        let mut rng = SmallRng::seed_from_u64(1);
        let mut value = vec![0; options.size];
        let mut pairs = Vec::new();
        for record in 0..options.records {
            rng.fill_bytes(&mut value);
            pairs.push((key(record), value.clone()));
            if pairs.len() == 10_000 || record + 1 == options.records {
                let borrowed: Vec<_> = pairs.iter().map(|(key, value)| (&key[..], &value[..])).collect();
                store.put_all(&borrowed)?;
                pairs.clear();
            }
        }
        store.checkpoint()?;
        Ok(Self { name: engine.name, store, records: AtomicU64::new(options.records), _dir: dir })
    }
}

/// One thread's state.
struct Client<'a> {
    loaded: &'a Loaded,
    workload: Workload,
    durability: Durability,
    rng: SmallRng,
    popularity: Zipf<f64>,
    value: Vec<u8>,
}

impl Client<'_> {
    /// Draws a record. Those with small numbers are the most popular; in workload D, those that were inserted last.
    #[allow(clippy::cast_sign_loss, reason = "ranks begin with 1")]
    fn record(&mut self) -> u64 {
        let rank = self.popularity.sample(&mut self.rng) as u64 - 1;
        match self.workload {
            Workload::D => self.loaded.records.load(Relaxed) - 1 - rank,
            _ => rank,
        }
    }

    fn put(&mut self, record: u64) -> Result<(), Failure> {
        self.rng.fill_bytes(&mut self.value);
        self.loaded.store.put(&key(record), &self.value, self.durability)
    }

    fn step(&mut self) -> Result<(), Failure> {
        let (most, often, else_) = self.workload.mix();
        let step = if self.rng.random_range(0..100) < often { most } else { else_ };
        match step {
            Step::Insert => {
                let record = self.loaded.records.fetch_add(1, Relaxed);
                self.put(record)
            }
            Step::Scan => {
                let (from, count) = (key(self.record()), self.rng.random_range(1..=100));
                self.loaded.store.scan(&from, count).map(drop)
            }
            Step::Read | Step::Update | Step::ReadAndUpdate => {
                let record = self.record();
                if !matches!(step, Step::Update) {
                    let found = self.loaded.store.get(&key(record))?;
                    // The record that was inserted last may not be written yet.
                    assert!(found.is_some() || self.workload == Workload::D, "record {record} is there");
                }
                if matches!(step, Step::Read) { Ok(()) } else { self.put(record) }
            }
        }
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let mut engines = options.measure.chosen(ENGINES, |engine| engine.name)?;
    engines.retain(|engine| ["vde-store", "fjall", "redb", "rocksdb"].contains(&engine.name));
    let stores: Vec<_> =
        engines.iter().map(|engine| Loaded::new(engine, &options)).collect::<Result<_, _>>()?;
    for workload in Workload::value_variants() {
        if !options.only.is_empty() && !options.only.contains(workload) {
            continue;
        }
        for &threads in &options.threads {
            compare(&options, &stores, *workload, threads)?;
        }
    }
    Ok(options.measure.save.printed("ycsb")?)
}

fn compare(options: &Options, stores: &[Loaded], workload: Workload, threads: usize) -> Result<(), Failure> {
    let durability = if options.buffered { Durability::Buffered } else { Durability::Synced };
    let popularity = Zipf::new(options.records as f64, 0.99)?;
    let mut session = 0;
    let mut cases: Vec<_> = stores
        .iter()
        .map(|loaded| {
            session += 1;
            let mut sample = session << 32;
            Case::new(loaded.name, move |operations| {
                sample += 1;
                let client = |thread: usize| Client {
                    loaded,
                    workload,
                    durability,
                    rng: SmallRng::seed_from_u64(sample << 8 | thread as u64),
                    popularity,
                    value: vec![0; options.size],
                };
                closed_loop(threads, operations, client, |client| {
                    client.step().expect("the engine does every step");
                })
            })
        })
        .collect();
    let result = Comparison::measure(&mut cases, options.measure.plan(), |_| ());
    let kind = if options.buffered { "buffered" } else { "synced" };
    let (records, size) = (options.records, options.size);
    let title =
        format!("workload {workload:?}, {threads} threads, {records} records of {size} bytes, {kind}");
    let mut table = cli::table(["engine", "steps/s", "quartiles", "vde-store's rate / this"]);
    for samples in result.samples() {
        let rate = samples.rate();
        let ours = result.samples().iter().find(|other| other.label == "vde-store");
        let ratio =
            ours.map_or_else(String::new, |ours| format!("{:.2}", samples.times_slower_than(ours).median));
        table.add_row([
            samples.label.clone(),
            format!("{:.0}", rate.median),
            format!("{:.0} .. {:.0}", rate.low, rate.high),
            ratio,
        ]);
    }
    cli::print(&title, table);
    Ok(())
}
