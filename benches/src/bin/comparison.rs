//! More comparisons of locks than the report has room for, as tables in Markdown.
//!
//! `cargo bench-locks comparison -- --help`

use std::{alloc::System, hint::black_box, io, iter, time::Duration};

use benches::{
    cli,
    contenders::{MultiLock, Ours, SortDedup, StdStriped, peers::Lockable},
    harness::{Comparison, Plan},
    keys,
    spread::{Spread, quantile},
    suites::{self, STRIPES, one_in_twenty},
    workloads::Held,
};
use clap::{Parser, ValueEnum};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use stripe_lock::{AsyncStripedMutex, DefaultHasher, StripedMutex, StripedRwLock};

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
        default_value = "one,many,asleep,threads,contended,victim,rw,reads,stripes,all,adversary,memory,awaited,awaiting,apart,tasks,layouts"
    )]
    only: Vec<Part>,
    #[command(flatten)]
    measure: cli::Rounds,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Threads on disjoint, random, popular and single keys, over sections of 0, 1 and 100 microseconds.
    Threads,
    /// 2 and 8 threads as in `threads`: the library's raw mutex beside others.
    Contended,
    /// How long a thread waits for a lock that two other threads take again and again.
    Victim,
    /// The library's raw read-write lock beside others: one thread, and 2 and 8 threads.
    Rw,
    /// Threads that only read in 95 of 100 sections, or always, with blocking and with async locks.
    Reads,
    /// Our lock with different numbers of stripes.
    Stripes,
    /// All stripes at once.
    All,
    /// Keys crafted to share one stripe.
    Adversary,
    /// Bytes and allocations.
    Memory,
    /// Free async locks, of one key and of several.
    Awaited,
    /// Threads that await async locks, as in `threads`.
    Awaiting,
    /// Threads that await async locks on disjoint keys, against one thread.
    Apart,
    /// Tasks of a runtime on one key.
    Tasks,
    /// Stripes of one byte, side by side or on cache lines of their own.
    Layouts,
    /// One free key, one thread.
    One,
    /// Several free keys at once, one thread.
    Many,
    /// 16 writers that sleep under the lock, by number of stripes.
    Asleep,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let plan = options.measure.plan();
    for part in options.only {
        match part {
            Part::Threads => {
                suites::on_keys(suites::thread_counts(), "", suites::threaded, |title, cases| {
                    cli::compare(title, plan, cases);
                });
            }
            Part::Contended => suites::on_keys([2, 8], " that contend", suites::contended, |title, cases| {
                cli::compare(title, plan, cases);
            }),
            Part::Victim => victims(plan.rounds),
            Part::Rw => read_and_written(plan),
            Part::Reads => reads(plan),
            Part::Stripes => stripes(plan),
            Part::All => all(plan),
            Part::Adversary => adversary(plan),
            Part::Memory => memory(),
            Part::Awaited => awaited(plan),
            Part::Awaiting => {
                suites::on_keys(
                    suites::thread_counts(),
                    " that await",
                    suites::threaded_awaited,
                    |title, cases| {
                        cli::compare(title, plan, cases);
                    },
                );
            }
            Part::Apart => apart(plan),
            Part::Tasks => tasks(plan),
            Part::Layouts => layouts(plan),
            Part::One => one(plan),
            Part::Many => many(plan),
            Part::Asleep => asleep(plan),
        }
    }
    options.measure.save.printed("comparison")
}

/// Which turns write.
type Writes = fn(usize) -> bool;

fn read_and_written(plan: Plan) {
    let ring = keys::random(keys::RING, 1);
    for (name, keys) in [("random keys", &ring[..]), ("one key", &ring[..1])] {
        for (kind, writes) in [("read", (|_| false) as Writes), ("write", |_| true)] {
            let cases = suites::read_and_written(1, keys, writes, Duration::ZERO);
            cli::compare(&format!("One thread, {name}, {kind}"), plan, cases);
        }
        for count in [2, 8] {
            for (share, writes) in [(95, one_in_twenty as Writes), (50, |turn| turn.is_multiple_of(2))] {
                for section in suites::SECTIONS {
                    let title = format!(
                        "{count} threads, {name}, {share} of 100 sections read, section of {section:?}"
                    );
                    let cases = suites::read_and_written(count, keys, writes, section);
                    cli::compare(&title, plan, cases);
                }
            }
        }
    }
}

fn victims(rounds: usize) {
    for section in [1, 100].map(Duration::from_micros) {
        for (who, cases) in [
            ("a thread beside two that lock", suites::victims(section)),
            ("a writer beside two that read", suites::rw_victims(true, section)),
            ("a reader beside two that write", suites::rw_victims(false, section)),
        ] {
            let mut waits = vec![Vec::new(); cases.len()];
            for _ in 0..rounds {
                for ((_, case), waits) in cases.iter().zip(&mut waits) {
                    waits.push(case(Duration::from_millis(500)));
                }
            }
            let mut table =
                cli::table(["", "p50, us", "p99, us", "quartiles of p99", "longest, us", "waits"]);
            for ((label, _), rounds) in cases.iter().zip(&waits) {
                let at = |q| Spread::of(rounds.iter().map(|waits| quantile(waits, q) * 1e6));
                let (half, p99, longest) = (at(0.5), at(0.99), at(1.0));
                table.add_row([
                    (*label).to_owned(),
                    format!("{:.1}", half.median),
                    format!("{:.1}", p99.median),
                    format!("{:.1} .. {:.1}", p99.low, p99.high),
                    format!("{:.1}", longest.median),
                    rounds.iter().map(Vec::len).sum::<usize>().to_string(),
                ]);
            }
            cli::print(&format!("Waits of {who} for {section:?}"), table);
        }
    }
}

fn one(plan: Plan) {
    cli::compare("One free u64 key, one thread", plan, suites::one(&keys::random(keys::RING, 1)));
    cli::compare(
        "One free key of 32 bytes, one thread",
        plan,
        suites::one_string(&keys::strings(keys::RING, 1)),
    );
}

fn many(plan: Plan) {
    for count in [2, 4, 8, 16, 64] {
        let batches = keys::batches(count);
        cli::compare(&format!("{count} free keys, one thread"), plan, suites::many(&batches));
    }
}

fn asleep(plan: Plan) {
    let plan = Plan { sample: Duration::from_millis(400), ..plan };
    let sleep = Duration::from_millis(1);
    for (title, mut cases) in [
        ("16 sleeping threads", suites::asleep(16, sleep)),
        ("16 sleeping tasks", suites::asleep_awaited(16, sleep)),
    ] {
        let result = Comparison::measure(&mut cases, plan, |_| ());
        let mut table = cli::table(["stripes", "times one lock", "quartiles"]);
        for samples in result.samples() {
            let work = result.of("1").times_slower_than(samples);
            let quartiles = format!("{:.2} .. {:.2}", work.low, work.high);
            table.add_row([samples.label.clone(), format!("{:.2}", work.median), quartiles]);
        }
        cli::print(title, table);
    }
}

fn reads(plan: Plan) {
    let random = keys::random(keys::RING, 1);
    let popular = keys::zipf(keys::RING, 10_000, 0.99, 1);
    for count in suites::thread_counts() {
        for (name, keys) in [("random keys", &random), ("10,000 keys by Zipf(0.99)", &popular)] {
            let title = format!("{count} threads, {name}, 95 of 100 sections only read");
            cli::compare(&title, plan, suites::read_by(count, keys));
            let title = format!("{count} threads that await, {name}, 95 of 100 sections only read");
            cli::compare(&title, plan, suites::read_awaited(count, keys, one_in_twenty));
        }
        let one = [random[0]];
        let title = format!("{count} threads that await, one key, which they only read");
        cli::compare(&title, plan, suites::read_awaited(count, &one, |_| false));
    }
}

fn awaited(plan: Plan) {
    cli::compare("One key, awaited, free", plan, suites::awaited(&keys::random(keys::RING, 1)));
    for count in [2, 4, 8, 16, 64] {
        cli::compare(
            &format!("{count} keys, awaited, free"),
            plan,
            suites::awaited_many(&keys::batches(count)),
        );
    }
}

/// Samples of at least 60 ms: the system takes milliseconds to give each thread a processor of its own.
fn to_spread(plan: Plan) -> Plan {
    Plan { sample: plan.sample.max(Duration::from_millis(60)), ..plan }
}

fn apart(plan: Plan) {
    for count in suites::thread_counts() {
        let cases = suites::apart(count, &keys::random(keys::RING, 1));
        cli::compare(&format!("One thread, and {count} on disjoint keys, awaited"), to_spread(plan), cases);
    }
}

fn tasks(plan: Plan) {
    for (held, over) in [(Held::Briefly, "nothing"), (Held::OverAYield, "one yield")] {
        let title = format!("8 tasks, 2 workers, one key, held over {over}");
        cli::compare(&title, to_spread(plan), suites::one_key_by_tasks(8, held));
    }
}

fn layouts(plan: Plan) {
    for stripes in (6..=16).step_by(2).map(|bits| 1 << bits) {
        let title = format!("2 threads, {stripes} stripes of a byte");
        cli::compare(&title, to_spread(plan), suites::layouts(2, stripes));
    }
}

fn stripes(plan: Plan) {
    let ring = keys::random(keys::RING, 1);
    for count in [1].into_iter().chain(suites::thread_counts()) {
        cli::compare(&format!("Threads on random keys: {count}"), plan, suites::by_stripes(count, &ring));
    }
}

fn all(plan: Plan) {
    for count in [64, 1024] {
        cli::compare(&format!("All of {count} stripes, one thread"), plan, suites::all_of(count));
    }
}

fn adversary(plan: Plan) {
    let plan = Plan { sample: Duration::from_millis(300), ..plan };
    let cases = suites::attacked(16, Duration::from_millis(1));
    cli::compare("16 writers that hold a key over a sleep of 1 ms, 64 stripes", plan, cases);
}

fn memory() {
    let mut table = cli::table(["bytes of a set by stripes", "64", "1,024", "65,536"]);
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
    row("tokio Mutex in a vector", &|stripes| {
        drop(black_box(
            iter::repeat_with(tokio::sync::Mutex::<()>::default).take(stripes).collect::<Vec<_>>(),
        ));
    });
    cli::print("Memory of a set of locks", table);

    let mut table = cli::table(["allocations of one lock and unlock by keys", "1", "2", "16", "64"]);
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
    cli::print("Allocations", table);
}
