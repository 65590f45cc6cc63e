//! Checks the promised speeds of `stripe-lock` on this machine: one line for each promise, met or missed.
//!
//! `cargo run --profile bench -p benches --no-default-features --features locks --bin targets`

use std::{io, time::Duration};

use benches::{
    cli,
    contenders::{KeyLock, Ours},
    harness::{Case, Comparison, Plan},
    keys,
    model::Model,
    spread::Spread,
    suites::{
        self, BITMAP, BYTE_BITMAP, CAS_PAIR, DASHMAP, DASHMAP_SAME_HASHER, OURS, OURS_BYTE,
        PARKING_LOT_FOR_ALL, SORT_DEDUP, STD_FOR_ALL, STRIPED_LOCK, STRIPED_LOCK_SAME_HASHER,
    },
    workloads::{one_key_each, threads},
};
use clap::{Parser, ValueEnum};
use comfy_table::{Table, presets};
use stripe_lock::{DefaultHasher, expected_parallelism};

const WRITERS: usize = 16;

/// The promised speeds of stripe-lock, measured here: interleaved rounds, medians and quartiles of ratios.
#[derive(Parser)]
struct Options {
    /// Only these promises.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "one,two,many,asleep")]
    only: Vec<Promise>,
    /// Rounds of the lock comparisons.
    #[arg(long, default_value_t = 31)]
    rounds: usize,
    #[command(flatten)]
    save: cli::Save,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Promise {
    /// One key against the CAS pair and against other crates.
    One,
    /// Two threads against one.
    Two,
    /// Many keys against a bitmap loop and against sorting.
    Many,
    /// Sleeping writers against the formula of `expected_parallelism`.
    Asleep,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let plan = Plan { rounds: options.rounds, sample: Duration::from_millis(20) };
    let mut verdicts = Verdicts::default();
    for promise in options.only {
        match promise {
            Promise::One => one_key(plan, &mut verdicts),
            Promise::Two => two_threads(plan, &mut verdicts),
            Promise::Many => {
                for count in [2, 4, 8, 16, 64] {
                    many_keys(count, plan, &mut verdicts);
                }
            }
            Promise::Asleep => asleep(&mut verdicts),
        }
    }
    cli::print("promises", verdicts.table);
    println!("{} of {} met", verdicts.met, verdicts.all);
    options.save.printed("targets")
}

#[derive(Default)]
struct Verdicts {
    table: Table,
    met: usize,
    all: usize,
}

impl Verdicts {
    fn add(&mut self, promise: &str, bound: Bound, measured: Spread, figures: String) {
        if self.all == 0 {
            self.table.load_style(presets::ASCII_MARKDOWN);
            self.table.set_header(["promise", "bound", "measured", "quartiles", "verdict", "figures"]);
        }
        let (met, bound) = match bound {
            Bound::AtMost(most) => (measured.median <= most, format!("<= {most:.2}")),
            Bound::AtLeast(least) => (measured.median >= least, format!(">= {least:.2}")),
        };
        self.all += 1;
        self.met += usize::from(met);
        self.table.add_row([
            promise.to_owned(),
            bound,
            format!("{:.3}", measured.median),
            format!("{:.3} .. {:.3}", measured.low, measured.high),
            if met { "met" } else { "MISSED" }.to_owned(),
            figures,
        ]);
    }
}

impl Verdicts {
    /// The time of `ours` is at most `most` times that of `other`.
    fn time(&mut self, promise: &str, result: &Comparison, ours: &str, other: &str, most: f64) {
        let ratio = result.of(ours).times_slower_than(result.of(other));
        let figures = figures(result, ours, other);
        self.add(promise, Bound::AtMost(most), ratio, figures);
    }

    /// `ours` is at least `least` times as fast as `other`.
    fn speed(&mut self, promise: &str, result: &Comparison, ours: &str, other: &str, least: f64) {
        let ratio = result.of(other).times_slower_than(result.of(ours));
        let figures = figures(result, ours, other);
        self.add(promise, Bound::AtLeast(least), ratio, figures);
    }
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

fn figures(result: &Comparison, ours: &str, other: &str) -> String {
    let [ours, other] = [ours, other].map(|label| result.of(label).time().median * 1e9);
    format!("{ours:.2} and {other:.2} ns")
}

fn one_key(plan: Plan, verdicts: &mut Verdicts) {
    let ring = keys::random(keys::RING, 1);
    let result = Comparison::measure(&mut suites::one(&ring), plan, |_| ());
    for samples in result.samples() {
        eprintln!("{:32} {:6.2} ns", samples.label, samples.time().median * 1e9);
    }
    verdicts.time("one u64 key: time of a CAS pair", &result, OURS, CAS_PAIR, 1.10);
    for (other, least) in
        [(STRIPED_LOCK, 3.0), (DASHMAP, 3.0), (STRIPED_LOCK_SAME_HASHER, 1.2), (DASHMAP_SAME_HASHER, 1.5)]
    {
        verdicts.speed(&format!("one u64 key: speed of {other}"), &result, OURS, other, least);
    }
    verdicts.time("ByteMutex, one u64 key: time of a CAS pair", &result, OURS_BYTE, CAS_PAIR, 0.72);
    for (other, least) in
        [(STRIPED_LOCK, 2.5), (DASHMAP, 2.5), (STD_FOR_ALL, 1.0), (PARKING_LOT_FOR_ALL, 1.0)]
    {
        let promise = format!("ByteMutex, one u64 key: speed of {other}");
        verdicts.speed(&promise, &result, OURS_BYTE, other, least);
    }
    let result = Comparison::measure(&mut suites::one(&ring[..1]), plan, |_| ());
    verdicts.time("ByteMutex, one key in a loop: time of a CAS pair", &result, OURS_BYTE, CAS_PAIR, 0.90);
}

/// The length of a sample: the system takes milliseconds to give each thread a processor of its own.
const TO_SPREAD: Duration = Duration::from_millis(60);

/// One thread, and two on disjoint keys.
fn by_one_and_two<L: KeyLock<u64> + 'static>(
    name: &str,
    lock: impl Fn() -> L,
    keys: &[u64],
) -> [Case<'static>; 2] {
    [1, 2].map(|count| {
        let lock = lock();
        let lists = one_key_each(&lock, count, keys);
        threads(format!("{name} {count}"), lock, lists, || ())
    })
}

fn two_threads(plan: Plan, verdicts: &mut Verdicts) {
    let ring = keys::random(keys::RING, 2);
    let mut cases: Vec<Case<'_>> = Vec::new();
    cases.extend(by_one_and_two(OURS, || Ours::new(suites::STRIPES, DefaultHasher::default()), &ring));
    cases.extend(by_one_and_two(OURS_BYTE, suites::over_bytes, &ring));
    cases.extend([1, 2].map(|count| suites::registers(format!("{REGISTERS} {count}"), count)));
    let result = Comparison::measure(&mut cases, Plan { sample: TO_SPREAD, ..plan }, |_| ());
    let gain = |name: &str| {
        let [one, two] = [1, 2].map(|count| result.of(&format!("{name} {count}")));
        (
            one.times_slower_than(two).map(|ratio| ratio / 2.0),
            one.time().median * 1e9,
            two.time().median * 1e9,
        )
    };
    let (processors, ..) = gain(REGISTERS);
    for (name, promise) in [(OURS, "two threads"), (OURS_BYTE, "ByteMutex, two threads")] {
        let (gain, one, two) = gain(name);
        let figures = format!("{one:.2} and {two:.2} ns; multiplications: {:.2}", processors.median);
        verdicts.add(
            &format!("{promise}, disjoint keys: of twice one thread"),
            Bound::AtLeast(0.95),
            gain,
            figures,
        );
    }
}

/// Threads that only multiply. If two of them do less than twice the work of one, they had less than two processors.
const REGISTERS: &str = "multiplications";

fn many_keys(count: usize, plan: Plan, verdicts: &mut Verdicts) {
    let result = Comparison::measure(&mut suites::many(&keys::batches(count)), plan, |_| ());
    for samples in result.samples() {
        eprintln!("{count:2} keys {:32} {:6.1} ns", samples.label, samples.time().median * 1e9);
    }
    let promise = |of: &str| format!("lock_many of {count} keys: {of}");
    verdicts.time(&promise("time of a bitmap loop"), &result, OURS, BITMAP, 1.15);
    verdicts.speed(&promise("speed of sort + dedup"), &result, OURS, SORT_DEDUP, 1.8);
    let promise = |of: &str| format!("ByteMutex, lock_many of {count} keys: {of}");
    verdicts.time(&promise("time of a bitmap loop"), &result, OURS_BYTE, BITMAP, 0.80);
    verdicts.time(&promise("time of that loop over ByteMutex"), &result, OURS_BYTE, BYTE_BITMAP, 1.10);
}

fn asleep(verdicts: &mut Verdicts) {
    let plan = Plan { rounds: 7, sample: Duration::from_millis(400) };
    let result = Comparison::measure(&mut suites::asleep(WRITERS, Duration::from_millis(1)), plan, |_| ());
    let one = result.of("1");
    // One stripe is the unit, so it is not checked.
    for stripes in suites::SLEEP_STRIPES.into_iter().filter(|&stripes| stripes > 1) {
        let gain = one.times_slower_than(result.of(&stripes.to_string()));
        let form = expected_parallelism(stripes, WRITERS) / expected_parallelism(1, WRITERS);
        verdicts.add(
            &format!("{WRITERS} sleeping writers, {stripes} stripes: of the form"),
            Bound::AtLeast(0.95),
            gain.map(|gain| gain / form),
            format!("{:.2} and {form:.2} times one stripe", gain.median),
        );
        let model = Model::sleeping(WRITERS, stripes).run(100_000, 1).parallelism;
        let off = gain.map(|gain| (gain / model - 1.0).abs());
        let figures = format!("{:.2} and {model:.2} times one stripe", gain.median);
        let promise = format!("{WRITERS} sleeping writers, {stripes} stripes: off the model by");
        verdicts.add(&promise, Bound::AtMost(0.05), off, figures);
    }
}
