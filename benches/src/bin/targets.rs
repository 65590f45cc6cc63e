//! Checks the promised speeds of `stripe-lock` on this machine: one line for each promise, met or missed.
//!
//! `cargo run --profile bench -p benches --no-default-features --features locks --bin targets`

use std::{io, time::Duration};

use benches::{
    cli,
    contenders::Ours,
    harness::{Case, Comparison, Plan},
    keys,
    model::Model,
    spread::Spread,
    suites::{
        self, BITMAP, CAS_PAIR, DASHMAP, DASHMAP_SAME_HASHER, OURS, SORT_DEDUP, STRIPED_LOCK,
        STRIPED_LOCK_SAME_HASHER,
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

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

fn nanos(result: &Comparison, label: &str) -> f64 {
    result.of(label).time().median * 1e9
}

fn one_key(plan: Plan, verdicts: &mut Verdicts) {
    let ring = keys::random(keys::RING, 1);
    let result = Comparison::measure(&mut suites::one(&ring), plan, |_| ());
    for samples in result.samples() {
        eprintln!("{:32} {:6.2} ns", samples.label, samples.time().median * 1e9);
    }
    let mut add = |promise: &str, bound, ratio: Spread, other: &str| {
        let figures = format!("{:.2} and {:.2} ns", nanos(&result, OURS), nanos(&result, other));
        verdicts.add(promise, bound, ratio, figures);
    };
    let cost = result.of(OURS).times_slower_than(result.of(CAS_PAIR));
    add("one u64 key: time of a CAS pair", Bound::AtMost(1.10), cost, CAS_PAIR);
    for (other, least) in
        [(STRIPED_LOCK, 3.0), (DASHMAP, 3.0), (STRIPED_LOCK_SAME_HASHER, 1.2), (DASHMAP_SAME_HASHER, 1.5)]
    {
        let gain = result.of(other).times_slower_than(result.of(OURS));
        add(&format!("one u64 key: speed of {other}"), Bound::AtLeast(least), gain, other);
    }
}

/// The length of a sample: the system takes milliseconds to give each thread a processor of its own.
const TO_SPREAD: Duration = Duration::from_millis(60);

fn two_threads(plan: Plan, verdicts: &mut Verdicts) {
    let ring = keys::random(keys::RING, 2);
    let case = |label: &str, count| {
        let lock = Ours::new(suites::STRIPES, DefaultHasher::default());
        let lists = one_key_each(&lock, count, &ring);
        threads(label, lock, lists, || ())
    };
    let mut cases: [Case<'_>; 2] = [case("one", 1), case("two", 2)];
    let result = Comparison::measure(&mut cases, Plan { sample: TO_SPREAD, ..plan }, |_| ());
    let gain = result.of("one").times_slower_than(result.of("two")).map(|ratio| ratio / 2.0);
    let figures = format!("{:.2} and {:.2} ns", nanos(&result, "one"), nanos(&result, "two"));
    verdicts.add("two threads, disjoint keys: of twice one thread", Bound::AtLeast(0.95), gain, figures);
}

fn many_keys(count: usize, plan: Plan, verdicts: &mut Verdicts) {
    let result = Comparison::measure(&mut suites::many(&keys::batches(count)), plan, |_| ());
    for samples in result.samples() {
        eprintln!("{count:2} keys {:32} {:6.1} ns", samples.label, samples.time().median * 1e9);
    }
    let cost = result.of(OURS).times_slower_than(result.of(BITMAP));
    let figures = format!("{:.1} and {:.1} ns", nanos(&result, OURS), nanos(&result, BITMAP));
    verdicts.add(
        &format!("lock_many of {count} keys: time of a bitmap loop"),
        Bound::AtMost(1.15),
        cost,
        figures,
    );
    let gain = result.of(SORT_DEDUP).times_slower_than(result.of(OURS));
    let figures = format!("{:.1} and {:.1} ns", nanos(&result, OURS), nanos(&result, SORT_DEDUP));
    verdicts.add(
        &format!("lock_many of {count} keys: speed of sort + dedup"),
        Bound::AtLeast(1.8),
        gain,
        figures,
    );
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
