//! The async locks beside their peers: how long each row of work takes, and its longest waits.
//!
//! `cargo bench-locks peers -- --help`. With link-time optimisation, the order of the
//! locks differs. To see this, replace `--release` by `--profile bench`.

use std::{io, time::Duration};

use benches::{
    cli,
    harness::{Case, Comparison, Plan, Samples},
    keys,
    spread::Spread,
    suites::{self, ASYNC_LOCK, BITMAP, CAS_PAIR, FUTURES, OURS, SAA, Sharing, TOKEN_RING, TOKIO},
    workloads::Held,
};
use clap::Parser;
use comfy_table::Table;

const PEERS: [&str; 4] = [SAA, FUTURES, ASYNC_LOCK, TOKIO];
const LIMITS: [&str; 3] = [CAS_PAIR, BITMAP, TOKEN_RING];
/// A peer that takes less than this share of our time is ahead.
const AHEAD: f64 = 0.95;

/// Async locks beside their peers: interleaved rounds, medians of ratios within rounds, and the longest waits.
#[derive(Parser)]
struct Options {
    /// Only rows whose names contain one of these.
    rows: Vec<String>,
    /// Print the names of the rows and measure nothing.
    #[arg(long)]
    list: bool,
    /// Rounds of a row. The waits are measured in the same number of separate rounds.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Milliseconds of one sample.
    #[arg(long, default_value_t = 60)]
    sample: u64,
    /// All rows in some 20 seconds, for a first look.
    #[arg(long, conflicts_with_all = ["rounds", "sample"])]
    quick: bool,
    #[command(flatten)]
    save: cli::Save,
}

/// The number of threads or workers that share the work of a row.
const THREADS: usize = 2;
/// Threads that only multiply. The work of two threads as a multiple of the work of one is the number of processors
/// that the threads of a row had. Below 1.8, another process took one of them, and the row is not valid.
const PROCESSORS: [&str; 2] = ["registers, one thread", "registers, two threads"];

/// One kind of work.
struct Row<'a> {
    name: String,
    /// Whether two threads do it.
    shared: bool,
    /// Whether they contend, so that waits are measured.
    contended: bool,
    cases: Box<dyn Fn() -> Vec<Case<'a>> + 'a>,
}

impl<'a> Row<'a> {
    fn contended(name: &str, cases: impl Fn() -> Vec<Case<'a>> + 'a) -> Self {
        Self { name: name.to_owned(), shared: true, contended: true, cases: Box::new(cases) }
    }

    fn free(name: impl Into<String>, cases: impl Fn() -> Vec<Case<'a>> + 'a) -> Self {
        Self { name: name.into(), shared: false, contended: false, cases: Box::new(cases) }
    }

    fn measure(&self, plan: Plan) -> Comparison {
        let mut cases = (self.cases)();
        cases.retain(|case| case.label() == OURS || PEERS.iter().chain(&LIMITS).any(|&l| l == case.label()));
        let locks = cases.len();
        if self.shared {
            cases.extend([1, THREADS].map(|count| suites::registers(PROCESSORS[count - 1], count)));
        }
        let mut result = Comparison::measure(&mut cases, plan, |_| ());
        if self.contended {
            result.measure_waits(&mut cases[..locks], plan);
        }
        result
    }
}

/// The rows for keys of a ring and batches of 2, 4, 8, 16 and 64 of them.
fn rows<'a>(ring: &'a [u64], batches: &'a [Vec<Vec<u64>>]) -> Vec<Row<'a>> {
    let (empty, busy) = (Duration::ZERO, Duration::from_micros(1));
    let threads = |sharing, section| move || suites::threaded_awaited(THREADS, sharing, ring, section);
    let mut rows = vec![
        Row::contended("8 tasks, 2 workers, one key, empty", || suites::one_key_by_tasks(8, Held::Briefly)),
        Row::contended("8 tasks, 2 workers, one key, one yield", || {
            suites::one_key_by_tasks(8, Held::OverAYield)
        }),
        Row::contended("2 threads, one key, 1 us", threads(Sharing::Same, busy)),
        Row::contended("2 threads, one key, empty", threads(Sharing::Same, empty)),
        Row::contended("2 threads, random keys, 1 us", threads(Sharing::Random, busy)),
        Row::contended("2 threads, random keys, empty", threads(Sharing::Random, empty)),
        Row {
            contended: false,
            ..Row::contended("2 threads, a key each, empty", threads(Sharing::Disjoint, empty))
        },
        Row::free("free key, polled once", || suites::awaited(ring)),
        Row::free("free key, block_on", || suites::blocked_on(ring)),
        Row::free("free key, blocking_lock", || suites::blocking(ring)),
    ];
    rows.extend(batches.iter().map(|batches| {
        let name = format!("{} free keys, polled once", batches[0].len());
        Row::free(name, || suites::awaited_many(batches))
    }));
    rows
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let plan = if options.quick {
        Plan { rounds: 5, sample: Duration::from_millis(16) }
    } else {
        Plan { rounds: options.rounds, sample: Duration::from_millis(options.sample) }
    };
    let (ring, batches) = (keys::random(keys::RING, 1), [2, 4, 8, 16, 64].map(keys::batches));
    let mut rows = rows(&ring, &batches);
    rows.retain(|row| options.rows.is_empty() || options.rows.iter().any(|part| row.name.contains(part)));
    if options.list {
        for row in &rows {
            println!("{}", row.name);
        }
        return Ok(());
    }
    let mut summary = [
        ("time, ns", 1e9, seconds as Values),
        ("p99.9 of the waits, us", 1e6, p999),
        ("longest wait, us", 1e6, longest),
    ]
    .map(|(title, unit, values)| {
        let header = ["work", "ours", SAA, FUTURES, ASYNC_LOCK, TOKIO, "limit", "processors"];
        (title, cli::table(header), unit, values)
    });
    for row in &rows {
        let result = row.measure(plan);
        cli::print(&row.name, details(&result));
        for (_, table, unit, values) in &mut summary {
            table.add_rows(compared(&row.name, &result, *unit, *values));
        }
    }
    println!(
        "\nSummary, x ours. Bold: less than {AHEAD} of ours. A row with fewer than 1.8 processors is not valid."
    );
    for (title, table, ..) in summary {
        cli::print(title, table);
    }
    options.save.printed("peers")
}

/// One figure for each round.
type Values = fn(&Samples) -> Vec<f64>;

fn seconds(samples: &Samples) -> Vec<f64> {
    samples.seconds.clone()
}

fn p999(samples: &Samples) -> Vec<f64> {
    samples.waits.iter().map(|wait| wait.p999).collect()
}

fn longest(samples: &Samples) -> Vec<f64> {
    samples.waits.iter().map(|wait| wait.longest).collect()
}

/// Our figure, and the figures of the peers and the limit as multiples of it. `None` if ours was not measured.
fn compared(name: &str, result: &Comparison, unit: f64, values: Values) -> Option<Vec<String>> {
    let ours = values(result.of(OURS));
    if ours.is_empty() {
        return None;
    }
    let ratio = |label: &str| {
        let theirs = values(result.samples().iter().find(|samples| samples.label == label)?);
        if theirs.is_empty() {
            return None;
        }
        Some(Spread::of(theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours)).median)
    };
    let peer = |label| match ratio(label) {
        Some(ratio) if ratio < AHEAD => format!("**{ratio:.2}**"),
        Some(ratio) => format!("{ratio:.2}"),
        None => String::new(),
    };
    let [one, two] = PROCESSORS.map(|label| result.samples().iter().find(|samples| samples.label == label));
    let processors = one.zip(two).map(|(one, two)| format!("{:.2}", one.times_slower_than(two).median));
    let limit = LIMITS.iter().find_map(|label| ratio(label)).map_or_else(String::new, |r| format!("{r:.2}"));
    let median = Spread::of(ours.iter().copied()).median * unit;
    Some(
        [name.to_owned(), format!("{median:.1}")]
            .into_iter()
            .chain(PEERS.map(peer))
            .chain([limit, processors.unwrap_or_default()])
            .collect(),
    )
}

/// Every figure of a row of work, with the longest wait of all its rounds.
fn details(result: &Comparison) -> Table {
    let mut table =
        cli::table(["", "ns", "quartiles", "p99.9 of waits, us", "longest wait, us", "of all rounds"]);
    for samples in result.samples() {
        let time = samples.time().map(|time| time * 1e9);
        let wait = |values: Vec<f64>| match values.len() {
            0 => String::new(),
            _ => format!("{:.1}", Spread::of(values).median * 1e6),
        };
        let of_all = longest(samples).into_iter().reduce(f64::max);
        table.add_row([
            samples.label.clone(),
            format!("{:.1}", time.median),
            format!("{:.1} .. {:.1}", time.low, time.high),
            wait(p999(samples)),
            wait(longest(samples)),
            of_all.map(|wait| format!("{:.1}", wait * 1e6)).unwrap_or_default(),
        ]);
    }
    table
}
