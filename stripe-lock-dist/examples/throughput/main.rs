//! Measures locks per second and the median time to acquire one, beside the bare calls of the engine.
//!
//! `cargo run --release -p stripe-lock-dist --example throughput -- ADDRESS [SECONDS]`, with the address of a
//! PostgreSQL server such as `host=/run/postgresql dbname=test`, or, with the feature `etcd`, `http://127.0.0.1:2379`.

#[cfg(feature = "etcd")]
mod etcd;
mod postgres;

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use stripe_lock_dist::{DistributedMutex, Postgres};

/// The namespace.
const SPACE: &str = "throughput";

/// How many processes there are at most.
const PROCESSES: u32 = 16;

/// How many stripes the namespace has.
const STRIPES: u32 = 4096;

/// How often the locks and the bare calls take turns.
const ROUNDS: u32 = 20;

/// Repeats `cycle` on a task for each of `workers`. Returns cycles per second, and the median of the times that `cycle`
/// returns.
async fn repeat<W, F>(
    seconds: f64,
    workers: Vec<W>,
    cycle: impl Fn(W, u32) -> F + Clone + Send + 'static,
) -> (f64, Duration)
where
    W: Clone + Send + Sync + 'static,
    F: Future<Output = Duration> + Send,
{
    let (start, time) = (Instant::now(), Duration::from_secs_f64(seconds));
    let tasks = workers.into_iter().zip(1..).map(|(worker, mut seed): (W, u32)| {
        let cycle = cycle.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < time {
                seed = seed.wrapping_mul(0x9E37_79B1).wrapping_add(12_345);
                times.push(cycle(worker.clone(), seed >> 16).await);
            }
            times
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no cycle panics"));
    }
    times.sort_unstable();
    (times.len() as f64 / start.elapsed().as_secs_f64(), times[times.len() / 2])
}

/// A client that makes the calls of the engine itself.
trait Bare: Clone + Send + Sync + 'static {
    /// Takes a ticket for the stripes, and gives it back. Returns the time to take it.
    fn cycle(self, ticket: u32, stripes: Vec<i32>) -> impl Future<Output = Duration> + Send;
}

async fn bare_cycle(bare: impl Bare, seed: u32, keys: u32) -> Duration {
    let first = i32::try_from(seed % (STRIPES - 64)).expect("it is small");
    bare.cycle(seed, (0..keys.cast_signed()).map(|n| first + 7 * n).collect()).await
}

async fn cycle(locks: DistributedMutex<u32>, seed: u32, keys: u32) -> Duration {
    let start = Instant::now();
    let keys: Vec<u32> = (0..keys).map(|n| seed + n * 65_537).collect();
    let guard = locks.lock_many(&keys).await.expect("the server answers");
    let time = start.elapsed();
    guard.release().await.expect("it is held");
    time
}

async fn hot(locks: DistributedMutex<u32>, _: u32) -> Duration {
    cycle(locks, 7, 1).await
}

/// The rates of all rounds, and the times to acquire.
#[derive(Default)]
struct Rounds(Vec<(f64, Duration)>);

impl Rounds {
    fn print(&self, work: &str, ratio: &str) {
        let rate = median(self.0.iter().map(|(rate, _)| *rate));
        let time = median(self.0.iter().map(|(_, time)| time.as_secs_f64()));
        println!("| {work} | {rate:.0} | {:.3} | {ratio} |", time * 1000.0);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures locks beside bare calls: both take turns, and the ratio is the median of the ratios of the rounds.
async fn beside<A, B>(seconds: f64, work: &str, bare: impl Fn(f64) -> A, locks: impl Fn(f64) -> B)
where
    A: Future<Output = (f64, Duration)>,
    B: Future<Output = (f64, Duration)>,
{
    let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        theirs.0.push(bare(seconds / f64::from(ROUNDS)).await);
        ours.0.push(locks(seconds / f64::from(ROUNDS)).await);
    }
    let ratio = median(ours.0.iter().zip(&theirs.0).map(|((ours, _), (theirs, _))| theirs / ours));
    theirs.print(&format!("bare calls, {work}"), "");
    ours.print(&format!("locks, {work}"), &format!("{ratio:.2}"));
}

/// Measures the clients, of which each stands for a process, beside the bare calls.
async fn measure(seconds: f64, many: Vec<DistributedMutex<u32>>, bare: Vec<impl Bare>) {
    println!("| work | cycles/s | ms to acquire | x bare calls |\n|---|---:|---:|---:|");
    for (work, keys) in [("1 process, 1 key", 1), ("1 process, 4 keys", 4)] {
        let bare =
            |seconds| repeat(seconds, vec![bare[0].clone()], move |bare, seed| bare_cycle(bare, seed, keys));
        let locks =
            |seconds| repeat(seconds, vec![many[0].clone()], move |locks, seed| cycle(locks, seed, keys));
        beside(seconds, work, bare, locks).await;
    }
    let all_bare = |seconds| repeat(seconds, bare.clone(), |bare, seed| bare_cycle(bare, seed, 1));
    let all_locks = |seconds| repeat(seconds, many.clone(), |locks, seed| cycle(locks, seed, 1));
    beside(seconds, "16 processes, 1 key", all_bare, all_locks).await;
    let tasks = vec![many[0].clone(); 16];
    for (work, rate) in [
        (
            "locks, 16 tasks of 1 process",
            repeat(seconds, tasks.clone(), |locks, seed| cycle(locks, seed, 1)).await,
        ),
        ("one hot key, 16 tasks of 1 process", repeat(seconds, tasks, hot).await),
        ("one hot key, 16 processes", repeat(seconds, many.clone(), hot).await),
    ] {
        Rounds(vec![rate]).print(work, "");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("the address of a server is missing")?;
    let seconds = arguments.next().map_or(Ok(2.0), |seconds| seconds.parse())?;
    let builder = || DistributedMutex::<u32>::builder(SPACE).stripes(STRIPES);
    let (mut many, mut bare) = (Vec::new(), Vec::new());
    #[cfg(feature = "etcd")]
    if address.starts_with("http") {
        let mut bare = Vec::new();
        for _ in 0..PROCESSES {
            many.push(builder().connect(stripe_lock_dist::Etcd::new([&address])).await?);
            bare.push(etcd::Transactions::connect(&address).await?);
        }
        measure(seconds, many, bare).await;
        return Ok(());
    }
    for _ in 0..PROCESSES {
        many.push(builder().connect(Postgres::new(&address)?).await?);
        bare.push(postgres::Statements::connect(&address).await?);
    }
    measure(seconds, many, bare).await;
    Ok(())
}
