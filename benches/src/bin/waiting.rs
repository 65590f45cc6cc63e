//! What it costs to wait, by the number of waiters. A cost that grows with the number comes from a list that is searched.
//!
//! `cargo bench-locks waiting -- --help`. With `--features diagnose` it also measures what
//! a diagnosis costs; the other figures of such a build are not valid.

use std::{
    io, mem,
    pin::pin,
    task::{Context, Waker},
    time::Instant,
};

use benches::{
    cli,
    contenders::PerKey,
    keys,
    spread::Spread,
    workloads::{
        Steps, threads_wait_for_a_key_each, wait_behind_granted, wait_for_a_key_each, wait_for_one_key,
    },
};
use clap::{Parser, ValueEnum};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, StripedMutex};

const STRIPES: usize = 1 << 20;
const OURS: &str = "stripe-lock";
const TOKIO: &str = "tokio, a lock per key";
const TOKIO_STRIPES: &str = "tokio, 2^20 locks";
const WRITERS: usize = 2_000;

/// What it costs to wait: interleaved rounds, medians, and ratios within rounds.
#[derive(Parser)]
struct Options {
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "each,one,granted,all,threads,diagnose")]
    only: Vec<Part>,
    /// The largest number of waiters.
    #[arg(long, default_value_t = 1_000_000)]
    most: usize,
    #[command(flatten)]
    save: cli::Save,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Tasks that wait for a key each.
    Each,
    /// Tasks that wait for one key.
    One,
    /// Writers that join behind readers that were granted the key and have not been polled since.
    Granted,
    /// One guard that is dropped while a `lock_all` waits for it.
    All,
    /// 1,000 threads that wait for a key each. There can't be a million threads.
    Threads,
    /// A diagnosis.
    Diagnose,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let counts = |counts: &[usize]| -> Vec<usize> {
        counts.iter().copied().filter(|&count| count <= options.most).collect()
    };
    for part in options.only {
        match part {
            Part::Each => a_key_each(&counts(&[1_000, 32_000, 1_000_000])),
            Part::One => one_key(&counts(&[1_000, 32_000, 1_000_000])),
            Part::Granted => behind_granted(&counts(&[0, 1_000, 16_000, 100_000, 1_000_000])),
            Part::All => lock_all(),
            Part::Threads => threads(),
            Part::Diagnose => diagnose(&counts(&[1_000, 10_000, 100_000])),
        }
    }
    options.save.printed("waiting")
}

type Contender<'a, const N: usize> = (&'a str, Box<dyn Fn(usize) -> Steps<N> + 'a>);

/// Prints nanoseconds for each waiter, by step, and the ratios of the first contender to the second.
fn measure<const N: usize>(title: &str, steps: [&str; N], counts: &[usize], contenders: &[Contender<'_, N>]) {
    let header: Vec<_> = ["ns for each that waits"].into_iter().chain(steps).collect();
    let mut table = cli::table([]);
    table.set_header(header);
    for &count in counts {
        let rounds = (30_000 / count.max(1)).clamp(3, 15);
        // By contender, round and step.
        let mut figures: Vec<Vec<Steps<N>>> = vec![Vec::new(); contenders.len()];
        for _ in 0..rounds {
            for ((_, run), figures) in contenders.iter().zip(&mut figures) {
                // A contender that has given up a step is not measured again.
                if figures.iter().all(|steps| !steps.contains(&None)) {
                    figures.push(run(count));
                }
            }
        }
        let median = |rounds: &[Steps<N>], step: usize| -> Option<f64> {
            let all: Option<Vec<_>> = rounds.iter().map(|steps| steps[step]).collect();
            Some(Spread::of(all?).median)
        };
        let mut row = |label: String, cells: [String; N]| {
            table.add_row([format!("{label}, {count}")].into_iter().chain(cells));
        };
        for ((label, _), figures) in contenders.iter().zip(&figures) {
            row(
                (*label).to_owned(),
                std::array::from_fn(|step| {
                    median(figures, step).map_or("given up".to_owned(), |time| format!("{:.0}", time * 1e9))
                }),
            );
        }
        if let [ours, theirs, ..] = &figures[..] {
            let ratios: Vec<Steps<N>> = ours
                .iter()
                .zip(theirs)
                .map(|(ours, theirs)| std::array::from_fn(|step| Some(ours[step]? / theirs[step]?)))
                .collect();
            row(
                format!("x {}", contenders[1].0),
                std::array::from_fn(|step| {
                    median(&ratios, step).map_or(String::new(), |ratio| format!("{ratio:.2}"))
                }),
            );
        }
    }
    cli::print(title, table);
}

/// Measures with `lock`, and drops it only if no step was given up. Otherwise futures still wait in it.
fn once<L, const N: usize>(lock: L, measure: impl FnOnce(&L) -> Steps<N>) -> Steps<N> {
    let steps = measure(&lock);
    if steps.contains(&None) {
        mem::forget(lock);
    }
    steps
}

/// The first waits in a set touch memory that the system has not mapped yet, so second waits in the same set are
/// measured too.
fn a_key_each(counts: &[usize]) {
    for (waits, title) in [
        (1, "Tasks that wait for a key each, of 2^20 stripes, the first time"),
        (2, "The same tasks wait in the same set for the second time"),
    ] {
        let ours = |count| {
            once(AsyncStripedMutex::<u64>::new(STRIPES), |locks| {
                let keys = keys::apart(count, STRIPES, |key| locks.stripe_of(key));
                last_of(waits, || wait_for_a_key_each(locks, &keys))
            })
        };
        let tokio = |count| {
            once(PerKey::<tokio::sync::Mutex<()>>::new(count), |locks| {
                last_of(waits, || wait_for_a_key_each(locks, &keys::shuffled(count)))
            })
        };
        let tokio_stripes = |count| {
            once(PerKey::<tokio::sync::Mutex<()>>::new(STRIPES), |locks| {
                last_of(waits, || wait_for_a_key_each(locks, &keys::shuffled(STRIPES)[..count]))
            })
        };
        measure(
            title,
            ["join", "release", "claim", "give up"],
            counts,
            &[(OURS, Box::new(ours)), (TOKIO, Box::new(tokio)), (TOKIO_STRIPES, Box::new(tokio_stripes))],
        );
    }
}

/// The figures of the last of `runs` runs, or of the first run that gave up a step.
fn last_of<const N: usize>(runs: usize, run: impl Fn() -> Steps<N>) -> Steps<N> {
    let mut steps = run();
    for _ in 1..runs {
        if steps.contains(&None) {
            break;
        }
        steps = run();
    }
    steps
}

fn one_key(counts: &[usize]) {
    let ours = |count| once(AsyncStripedMutex::<u64>::new(STRIPES), |locks| wait_for_one_key(locks, count));
    let tokio =
        |count| once(PerKey::<tokio::sync::Mutex<()>>::new(2), |locks| wait_for_one_key(locks, count));
    measure(
        "Tasks that wait for one key",
        ["join", "claim and release", "give up"],
        counts,
        &[(OURS, Box::new(ours)), (TOKIO, Box::new(tokio))],
    );
}

fn behind_granted(counts: &[usize]) {
    let ours =
        |count| once(AsyncStripedRwLock::<u64>::new(64), |locks| wait_behind_granted(locks, count, WRITERS));
    let tokio = |count| {
        once(PerKey::<tokio::sync::RwLock<()>>::new(2), |locks| wait_behind_granted(locks, count, WRITERS))
    };
    measure(
        "Writers that join behind a number of readers, which were granted the key and have not been polled since",
        ["join"],
        counts,
        &[(OURS, Box::new(ours)), (TOKIO, Box::new(tokio))],
    );
}

fn threads() {
    let each = |count| {
        let locks = StripedMutex::<u64>::new(STRIPES);
        let keys = keys::apart(count, STRIPES, |key| locks.stripe_of(key));
        threads_wait_for_a_key_each(|thread| locks.lock(&keys[thread as usize]), count)
    };
    let parking_lot = |count: usize| {
        let locks: Vec<_> = (0..count).map(|_| parking_lot::Mutex::new(())).collect();
        threads_wait_for_a_key_each(|thread| locks[thread as usize].lock(), count)
    };
    let awaited = |count| {
        let locks = AsyncStripedMutex::<u64>::new(STRIPES);
        let keys = keys::apart(count, STRIPES, |key| locks.stripe_of(key));
        threads_wait_for_a_key_each(|thread| locks.blocking_lock(&keys[thread as usize]), count)
    };
    measure(
        "Threads that wait for a key each, of 2^20 stripes. There can't be a million threads.",
        ["release", "until the last has claimed"],
        &[1_000],
        &[
            ("stripe-lock, blocking_lock", Box::new(awaited)),
            ("parking_lot, a lock per key", Box::new(parking_lot)),
            ("stripe-lock, StripedMutex", Box::new(each)),
        ],
    );
}

/// The cost of dropping one guard that a `lock_all` waits for, and then the cost of the `lock_all`.
fn lock_all() {
    let mut table = cli::table([
        "stripes",
        "drop of the guard, us",
        "polls until all are held",
        "longest poll, us",
        "all together, ns per stripe",
    ]);
    for bits in (10..=20).step_by(2) {
        let rounds: Vec<_> = (0..9).map(|_| in_front_of_lock_all(1 << bits)).collect();
        let median = |figure: fn(&[f64; 4]) -> f64| Spread::of(rounds.iter().map(figure)).median;
        table.add_row([
            format!("2^{bits}"),
            format!("{:.2}", median(|round| round[0]) * 1e6),
            format!("{:.0}", median(|round| round[1])),
            format!("{:.2}", median(|round| round[2]) * 1e6),
            format!("{:.2}", median(|round| round[3]) * 1e9),
        ]);
    }
    cli::print("One guard dropped in front of a lock_all", table);
}

/// Seconds of the drop, polls, seconds of the longest poll, seconds for each stripe.
fn in_front_of_lock_all(stripes: usize) -> [f64; 4] {
    let locks = AsyncStripedMutex::<u64>::new(stripes);
    let first = (0..u64::MAX).find(|key| locks.stripe_of(key) == 0).expect("every stripe has keys");
    let held = locks.try_lock(&first).expect("nobody else holds it");
    let mut all = pin!(locks.lock_all());
    let mut context = Context::from_waker(Waker::noop());
    assert!(all.as_mut().poll(&mut context).is_pending(), "the first stripe is held");
    let start = Instant::now();
    drop(held);
    let dropped = start.elapsed();
    let (mut polls, mut longest) = (0.0, 0.0);
    loop {
        let polled = Instant::now();
        let ready = all.as_mut().poll(&mut context).is_ready();
        longest = f64::max(longest, polled.elapsed().as_secs_f64());
        polls += 1.0;
        if ready {
            break;
        }
    }
    [dropped.as_secs_f64(), polls, longest, start.elapsed().as_secs_f64() / stripes as f64]
}

#[cfg(not(feature = "diagnose"))]
fn diagnose(_counts: &[usize]) {
    println!("\nA diagnosis is measured in a build with the feature `diagnose`.");
}

#[cfg(feature = "diagnose")]
fn diagnose(counts: &[usize]) {
    let mut table = cli::table(["that wait for a key each", "ms", "ns for each"]);
    for &count in counts {
        let took = Spread::of((0..3).map(|_| diagnosis_of(count))).median;
        table.add_row([
            count.to_string(),
            format!("{:.1}", took * 1e3),
            format!("{:.0}", took * 1e9 / count as f64),
        ]);
    }
    cli::print("A diagnosis of a set of 2^20 stripes", table);
}

/// Seconds that a diagnosis takes while this many tasks wait, for a key each.
#[cfg(feature = "diagnose")]
fn diagnosis_of(count: usize) -> f64 {
    let locks = AsyncStripedMutex::<u64>::new(STRIPES);
    let keys = keys::apart(count, STRIPES, |key| locks.stripe_of(key));
    let _held: Vec<_> = keys.iter().map(|key| locks.blocking_lock(key)).collect();
    let mut waiting: Vec<_> = keys.iter().map(|key| Box::pin(locks.lock(key))).collect();
    for future in &mut waiting {
        assert!(
            future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(),
            "its key is held"
        );
    }
    let start = Instant::now();
    let diagnosis = locks.diagnose();
    let took = start.elapsed().as_secs_f64();
    assert_eq!(diagnosis.claims().len(), 2 * count, "each waiter and each holder has a claim");
    took
}
