//! More comparisons of locks than the report has room for, as tables in Markdown.
//!
//! `cargo run --release -p benches --bin comparison -- --help`

use std::{alloc::System, hint::black_box, thread, time::Duration};

use benches::{
    contenders::{
        Dashmap, GlobalRwLock, KeyLock, KeyRwLock, Lockable, MultiLock, Ours, OursRw, SortDedup, StdStriped,
        StdStripedRw, TokioStriped,
    },
    harness::{Case, Comparison, Plan},
    keys::{self, Distinct},
    suites::{self, STRIPES, Sharing},
    workloads::{busy, closed_loop, lock_all, one_key, read_mostly},
};
use clap::{Parser, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use stripe_lock::{AsyncStripedMutex, DefaultHasher, Fnv1a, StripedMutex, StripedRwLock};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Comparisons of locks: interleaved rounds, medians and quartiles.
#[derive(Parser)]
struct Options {
    /// Only these.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "threads,reads,stripes,all,adversary,memory"
    )]
    only: Vec<Part>,
    /// Rounds.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Milliseconds of one sample.
    #[arg(long, default_value_t = 12)]
    sample: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Two threads on random, popular and single keys, over sections of 0, 1 and 100 microseconds.
    Threads,
    /// Two threads, of whose sections 95 of 100 only read.
    Reads,
    /// Ours by number of stripes.
    Stripes,
    /// All stripes at once.
    All,
    /// Keys crafted to meet on one stripe.
    Adversary,
    /// Bytes and allocations.
    Memory,
}

fn main() {
    let options = Options::parse();
    let plan = Plan { rounds: options.rounds, sample: Duration::from_millis(options.sample) };
    for part in options.only {
        match part {
            Part::Threads => shared_keys(plan),
            Part::Reads => reads(plan),
            Part::Stripes => stripes(plan),
            Part::All => all(plan),
            Part::Adversary => adversary(plan),
            Part::Memory => memory(),
        }
    }
}

/// Measures and prints nanoseconds for an operation, and ratios to the first case.
fn print(title: &str, plan: Plan, mut cases: Vec<Case<'_>>) {
    let result = Comparison::measure(&mut cases, plan, |_| ());
    let base = &result.samples()[0];
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["", "ns", "quartiles", &format!("x {}", base.label)]);
    for samples in result.samples() {
        let time = samples.time().map(|time| time * 1e9);
        table.add_row([
            samples.label.clone(),
            format!("{:.1}", time.median),
            format!("{:.1} .. {:.1}", time.low, time.high),
            format!("{:.2}", samples.times_slower_than(base).median),
        ]);
    }
    println!("\n{title}\n\n{}", aligned(table));
}

fn aligned(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn shared_keys(plan: Plan) {
    let random = keys::random(keys::RING, 1);
    let popular = keys::zipf(keys::RING, 10_000, 0.99, 1);
    for (name, keys, sharing) in [
        ("random keys", &random, Sharing::Random),
        ("10,000 keys by Zipf(0.99)", &popular, Sharing::Random),
        ("one key", &random, Sharing::Same),
    ] {
        print(
            &format!("Two threads, {name}, empty section"),
            plan,
            suites::threaded(2, sharing, keys, || ()),
        );
        for length in [Duration::from_micros(1), Duration::from_micros(100)] {
            let title = format!("Two threads, {name}, section of {length:?}");
            print(&title, plan, suites::threaded(2, sharing, keys, || busy(length)));
        }
    }
}

fn reads(plan: Plan) {
    let ring = keys::random(keys::RING, 1);
    let hasher = DefaultHasher::default;
    let popular = keys::zipf(keys::RING, 10_000, 0.99, 1);
    for (name, keys) in [("random keys", &ring), ("10,000 keys by Zipf(0.99)", &popular)] {
        let mutex = Ours::new(STRIPES, hasher());
        let cases = vec![
            read_mostly("stripe-lock StripedRwLock", OursRw::new(STRIPES, hasher()), 2, keys),
            read_mostly("stripe-lock StripedMutex", Exclusive(mutex), 2, keys),
            read_mostly("std RwLock striped by hand", StdStripedRw::new(STRIPES, hasher()), 2, keys),
            read_mostly("parking_lot RwLock, one for all", GlobalRwLock::default(), 2, keys),
            read_mostly(
                "dashmap get and get_mut, same hasher",
                Dashmap::new(keys.iter().copied(), hasher()),
                2,
                keys,
            ),
        ];
        print(&format!("Two threads, {name}, 95 of 100 sections only read"), plan, cases);
    }
}

/// A lock that does not know readers.
struct Exclusive<L>(L);

impl<K: ?Sized, L: KeyLock<K>> KeyRwLock<K> for Exclusive<L> {
    fn read<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        self.0.with(key, section)
    }

    fn write<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        self.0.with(key, section)
    }
}

fn stripes(plan: Plan) {
    let ring = keys::random(keys::RING, 1);
    let counts = [1, 4, 16, 64, 256, 1024, 4096];
    let lock = |stripes| Ours::<u64, _>::new(stripes, DefaultHasher::default());
    let one = counts.map(|count| one_key(format!("{count} stripes"), lock(count), &ring));
    print("One thread, random keys", plan, one.into());
    let rotated = |by: usize| {
        let mut keys = ring.clone();
        keys.rotate_left(by);
        keys
    };
    let two = counts.map(|count| {
        benches::workloads::threads(
            format!("{count} stripes"),
            lock(count),
            vec![rotated(0), rotated(500)],
            || (),
        )
    });
    print("Two threads, random keys", plan, two.into());
}

fn all(plan: Plan) {
    for count in [64, 1024] {
        let ours = StripedMutex::<u64>::new(count);
        let by_hand: Vec<_> = (0..count).map(|_| CachePadded::new(Mutex::new(()))).collect();
        let cases = vec![
            lock_all("stripe-lock lock_all", move || drop(black_box(ours.lock_all()))),
            lock_all("padded parking_lot mutexes by hand, guards in a vector", move || {
                let guards: Vec<_> = by_hand.iter().map(|mutex| mutex.lock()).collect();
                drop(black_box(guards));
            }),
        ];
        print(&format!("All of {count} stripes, one thread"), plan, cases);
    }
}

/// Writers under attack.
const ATTACKED: usize = 16;

/// An attacker who knows the hash function draws keys until they fall on one stripe. A hasher keyed at random leaves
/// nothing to draw for.
fn adversary(plan: Plan) {
    let section = Duration::from_millis(1);
    let known =
        StripedMutex::<u64, (), stripe_lock::DefaultRawMutex, Fnv1a>::with_hasher(STRIPES, Fnv1a::default());
    let crafted = |writer| {
        let known = &known;
        Distinct::of_writer(writer).filter(move |key| known.stripe_of(key) == 0)
    };
    let cases = vec![
        sleeping("FNV-1a, honest keys", Ours::new(STRIPES, Fnv1a::default()), Distinct::of_writer, section),
        sleeping("FNV-1a, crafted keys", Ours::new(STRIPES, Fnv1a::default()), crafted, section),
        sleeping(
            "keyed default, the same crafted keys",
            Ours::new(STRIPES, DefaultHasher::default()),
            crafted,
            section,
        ),
        sleeping("exact locks, the same crafted keys", Lockable::default(), crafted, section),
    ];
    let plan = Plan { sample: Duration::from_millis(300), ..plan };
    print("16 writers that hold a key over a sleep of 1 ms, 64 stripes", plan, cases);
}

/// Writers that hold keys of their own drawing over a sleep.
fn sleeping<'a, Keys: Iterator<Item = u64>>(
    label: &'a str,
    lock: impl KeyLock<u64> + 'a,
    draw: impl Fn(usize) -> Keys + Sync + 'a,
    section: Duration,
) -> Case<'a> {
    Case::new(label, move |operations| {
        closed_loop(ATTACKED, operations, &draw, |keys| {
            let key = keys.next().expect("keys never end");
            lock.with(&key, || thread::sleep(section));
        })
    })
}

fn memory() {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["bytes of a set by stripes", "64", "1,024", "65,536"]);
    let mut row = |label: &str, make: &dyn Fn(usize)| {
        let bytes = [64, 1024, 65_536].map(|stripes| {
            let region = Region::new(ALLOCATOR);
            make(stripes);
            region.change().bytes_allocated.to_string()
        });
        table.add_row([&[label.to_owned()][..], &bytes].concat());
    };
    row("stripe-lock StripedMutex", &|stripes| drop(black_box(StripedMutex::<u64>::new(stripes))));
    row("stripe-lock StripedRwLock", &|stripes| drop(black_box(StripedRwLock::<u64>::new(stripes))));
    row("stripe-lock AsyncStripedMutex", &|stripes| drop(black_box(AsyncStripedMutex::<u64>::new(stripes))));
    row("std Mutex in a vector", &|stripes| {
        drop(black_box(StdStriped::new(stripes, DefaultHasher::default())));
    });
    row("tokio Mutex in a slice", &|stripes| {
        drop(black_box(TokioStriped::new(stripes, DefaultHasher::default())));
    });
    println!("\nMemory of a set of locks\n\n{}", aligned(table));

    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["allocations of one lock and unlock by keys", "1", "2", "16", "64"]);
    let ring = keys::random(64, 1);
    let mut row = |label: &str, lock: &dyn Fn(&[u64])| {
        let counts = [1, 2, 16, 64].map(|count| {
            lock(&ring[..count]);
            let region = Region::new(ALLOCATOR);
            lock(&ring[..count]);
            region.change().allocations.to_string()
        });
        table.add_row([&[label.to_owned()][..], &counts].concat());
    };
    let few = Ours::<u64, _>::new(STRIPES, DefaultHasher::default());
    let many = Ours::<u64, _>::new(4096, DefaultHasher::default());
    let sorted = SortDedup::new(STRIPES, DefaultHasher::default());
    let exact = Lockable::default();
    row("stripe-lock, 64 stripes", &|keys| few.with_many(keys, || ()));
    row("stripe-lock, 4096 stripes", &|keys| many.with_many(keys, || ()));
    row("sort + dedup by hand", &|keys| sorted.with_many(keys, || ()));
    row("lockable", &|keys| exact.with_many(keys, || ()));
    println!("\nAllocations\n\n{}", aligned(table));
}
