//! Measures locks per second and the median time to acquire one, beside the bare calls of the engine.
//!
//! `cargo run --release -p stripe-lock-dist --example throughput -- ADDRESS [SECONDS]`, with the address of a
//! PostgreSQL server such as `host=/run/postgresql dbname=test`.

use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};

use stripe_lock_dist::{DistributedMutex, Postgres};
use tokio_postgres::{Client, NoTls, Statement};

/// How many stripes the namespaces have.
const STRIPES: u32 = 4096;

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

/// A connection that calls the functions of the engine itself.
#[derive(Clone)]
struct Bare {
    client: std::sync::Arc<Client>,
    take: Statement,
    give_back: Statement,
    space: i32,
    id: String,
}

impl Bare {
    async fn connect(address: &str) -> Result<Self, Box<dyn Error>> {
        let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
        tokio::spawn(connection);
        let of =
            "FROM stripe_lock_1.space, stripe_lock_1.era WHERE era.space = space.id AND name = 'throughput'";
        let join = format!(
            "INSERT INTO stripe_lock_1.client (space, opens, expires)
             SELECT space.id, opens, now() + interval '1 hour' {of} RETURNING space, id::text"
        );
        let row = client.query_one(&join, &[]).await?;
        let take =
            "SELECT state::text, fence, again_ms FROM stripe_lock_1.take($1, $2::text::uuid, $3, $4, true)";
        Ok(Self {
            take: client.prepare(take).await?,
            give_back: client.prepare("SELECT stripe_lock_1.give_back($1, $2::text::uuid, $3, $4)").await?,
            client: client.into(),
            space: row.get(0),
            id: row.get(1),
        })
    }

    async fn cycle(self, seed: u32, keys: i32) -> Duration {
        let first = i32::try_from(seed % (STRIPES - 64)).expect("it is small");
        let stripes: Vec<i32> = (0..keys).map(|n| first + 7 * n).collect();
        let (start, ticket) = (Instant::now(), i64::from(seed));
        let granted = self.client.query_one(&self.take, &[&self.space, &self.id, &ticket, &stripes]).await;
        let time = start.elapsed();
        if granted.expect("the server answers").get::<_, &str>(0) != "g" {
            // Another client holds a stripe, so the ticket was queued.
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        let back = self.client.query_one(&self.give_back, &[&self.space, &self.id, &ticket, &stripes]).await;
        back.expect("the server answers");
        time
    }
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

fn row(work: &str, (rate, median): (f64, Duration)) {
    println!("| {work} | {rate:.0} | {:.3} |", median.as_secs_f64() * 1000.0);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("the address of a server is missing")?;
    let seconds = arguments.next().map_or(Ok(2.0), |seconds| seconds.parse())?;
    let connect = || {
        DistributedMutex::<u32>::builder("throughput")
            .stripes(STRIPES)
            .connect(Postgres::new(&address).unwrap())
    };
    let one = connect().await?;
    let mut many = Vec::new();
    let mut bare = Vec::new();
    for _ in 0..16 {
        many.push(connect().await?);
        bare.push(Bare::connect(&address).await?);
    }

    println!("| work | cycles/s | median time to acquire (ms) |\n|---|---:|---:|");
    let first = vec![bare[0].clone()];
    row("bare calls, 1 client", repeat(seconds, first.clone(), |bare, seed| bare.cycle(seed, 1)).await);
    row("locks, 1 process", repeat(seconds, vec![one.clone()], |locks, seed| cycle(locks, seed, 1)).await);
    row("bare calls, 1 client, 4 stripes", repeat(seconds, first, |bare, seed| bare.cycle(seed, 4)).await);
    row(
        "locks, 1 process, 4 keys",
        repeat(seconds, vec![one.clone()], |locks, seed| cycle(locks, seed, 4)).await,
    );
    row("bare calls, 16 clients", repeat(seconds, bare, |bare, seed| bare.cycle(seed, 1)).await);
    row("locks, 16 processes", repeat(seconds, many.clone(), |locks, seed| cycle(locks, seed, 1)).await);
    let tasks = vec![one.clone(); 16];
    row(
        "locks, 16 tasks of 1 process",
        repeat(seconds, tasks.clone(), |locks, seed| cycle(locks, seed, 1)).await,
    );
    row("one hot key, 16 tasks of 1 process", repeat(seconds, tasks, hot).await);
    row("one hot key, 16 processes", repeat(seconds, many, hot).await);
    Ok(())
}
