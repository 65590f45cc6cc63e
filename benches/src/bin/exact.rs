//! Exact locks beside their peers, and beside stripes, as tables in Markdown.
//!
//! `cargo bench-locks exact -- --help`

use std::{
    alloc::System,
    io,
    time::{Duration, Instant},
};

use benches::{
    cli,
    contenders::{
        HoldMany, OursExact,
        peers::{KeyedLock, Lockable},
    },
    harness::Plan,
    keys,
    suites::{self, OURS_EXACT, Sharing},
};
use clap::{Parser, ValueEnum};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Exact locks: interleaved rounds, medians and quartiles.
#[derive(Parser)]
struct Options {
    /// Only these.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "one,many,nested,threads,asleep,crafted,held"
    )]
    only: Vec<Part>,
    #[command(flatten)]
    measure: cli::Rounds,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One key that is free, blocking and awaited.
    One,
    /// Several free keys at once.
    Many,
    /// A key that is locked while another is held.
    Nested,
    /// Two threads on one key and on random keys, over sections of 0, 1 and 100 microseconds.
    Threads,
    /// 16 writers that hold a fresh key over a sleep.
    Asleep,
    /// Keys crafted to share one bucket.
    Crafted,
    /// 1,000,000 keys held at once: time and memory.
    Held,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let plan = options.measure.plan();
    let ring = keys::random(keys::RING, 1);
    for part in options.only {
        match part {
            Part::One => {
                cli::compare("One free key", plan, suites::exact(&ring));
                cli::compare("One free key, awaited", plan, suites::exact_awaited(&ring));
            }
            Part::Many => {
                for count in [2, 4, 8, 16, 64] {
                    let batches = keys::batches(count);
                    cli::compare(&format!("{count} free keys"), plan, suites::exact_many(&batches));
                }
            }
            Part::Nested => cli::compare("A free key under another", plan, suites::nested(&ring)),
            Part::Threads => threads(plan, &ring),
            Part::Asleep => {
                let plan = Plan { sample: Duration::from_millis(300), ..plan };
                for (tasks, who) in [(false, "threads"), (true, "tasks")] {
                    let cases = suites::exact_asleep(16, Duration::from_millis(1), tasks);
                    cli::compare(
                        &format!("16 {who} that hold a fresh key over a sleep of 1 ms"),
                        plan,
                        cases,
                    );
                }
            }
            Part::Crafted => {
                let (honest, crafted) = suites::crafted_keys(1024);
                let cases = suites::exact_crafted(&honest, &crafted);
                cli::compare("Two keys at a time, 64 buckets", plan, cases);
            }
            Part::Held => held(),
        }
    }
    options.measure.save.printed("exact")
}

fn threads(plan: Plan, ring: &[u64]) {
    for (name, sharing) in
        [("one key", Sharing::Same), ("random keys", Sharing::Random), ("a key each", Sharing::Disjoint)]
    {
        for section in [Duration::ZERO, Duration::from_micros(1), Duration::from_micros(100)] {
            let title = format!("2 threads, {name}, section of {section:?}");
            cli::compare(&title, plan, suites::exact_threaded(2, sharing, ring, section));
        }
    }
}

fn held() {
    const COUNT: usize = 1_000_000;
    let ring = keys::random(COUNT.next_power_of_two(), 1);
    let mut table = cli::table(["", "ns to lock one", "ns to release one", "bytes for each", "bytes left"]);
    let mut row = |label: &str, (lock, release, bytes, left): (Duration, Duration, isize, isize)| {
        table.add_row([
            label.to_owned(),
            format!("{:.0}", lock.as_secs_f64() * 1e9 / COUNT as f64),
            format!("{:.0}", release.as_secs_f64() * 1e9 / COUNT as f64),
            format!("{:.1}", bytes as f64 / COUNT as f64),
            left.to_string(),
        ]);
    };
    row(OURS_EXACT, hold_all(&OursExact::<u64>::default(), &ring[..COUNT]));
    row("keyed-lock", hold_all(&KeyedLock::default(), &ring[..COUNT]));
    row("lockable", hold_all(&Lockable::default(), &ring[..COUNT]));
    cli::print("1,000,000 keys held at once", table);
}

/// The time to lock all `keys`, the time to release them, the bytes that they take while they are held (without the
/// guards), and the bytes that are left after the release.
fn hold_all<L: HoldMany<u64>>(lock: &L, keys: &[u64]) -> (Duration, Duration, isize, isize) {
    let mut guards = Vec::with_capacity(keys.len());
    let region = Region::new(ALLOCATOR);
    let in_use = || {
        let change = region.change();
        change.bytes_allocated.cast_signed() - change.bytes_deallocated.cast_signed()
            + change.bytes_reallocated
    };
    let start = Instant::now();
    guards.extend(keys.iter().map(|&key| lock.hold(key)));
    let (locked, bytes) = (start.elapsed(), in_use());
    let start = Instant::now();
    guards.drain(..).for_each(drop);
    (locked, start.elapsed(), bytes, in_use())
}
