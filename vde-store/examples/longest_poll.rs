//! How long the store's futures keep an executor with one thread from its other tasks: the longest poll of each kind
//! of work, and how late a timer of 1 ms is meanwhile.
//!
//! `cargo run --release -p vde-store --example longest_poll -- [DIRECTORY]`

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use vde_store::{AsyncVde, Durability, Result, Value, VdeOptions};

/// How long each kind of work is repeated.
const TIME: Duration = Duration::from_secs(5);
/// A large value's length in bytes.
const LARGE: usize = 200 << 20;

/// Times the polls of a future.
struct Timed<F> {
    future: Pin<Box<F>>,
    longest: Duration,
}

impl<F: Future> Future for Timed<F> {
    type Output = Duration;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Duration> {
        let begin = Instant::now();
        let polled = self.future.as_mut().poll(cx);
        self.longest = self.longest.max(begin.elapsed());
        polled.map(|_| self.longest)
    }
}

/// Repeats `work` in `tasks` tasks beside a timer, and prints the longest poll and how late the timer was.
async fn measure<T, F, W>(what: &str, tasks: u64, work: W) -> Result<()>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
    W: Fn(u64) -> F + Clone + Send + 'static,
{
    let start = Instant::now();
    let working: Vec<_> = (0..tasks)
        .map(|task| {
            let work = work.clone();
            let future = async move {
                let mut done = 0;
                while start.elapsed() < TIME {
                    work(task << 40 | done).await?;
                    done += 1;
                }
                Ok::<_, vde_store::Error>(())
            };
            tokio::spawn(Timed { future: Box::pin(future), longest: Duration::ZERO })
        })
        .collect();
    let mut late = Vec::new();
    while start.elapsed() < TIME {
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
        late.push(begin.elapsed().saturating_sub(Duration::from_millis(1)));
    }
    let mut longest = Duration::ZERO;
    for task in working {
        longest = longest.max(task.await.unwrap_or_default());
    }
    late.sort_unstable();
    let p99 = late[late.len() * 99 / 100];
    println!("{what:>44} | {longest:>10.1?} | {p99:>10.1?} | {:>10.1?}", late[late.len() - 1]);
    Ok(())
}

async fn read_all(store: &AsyncVde) -> Result<()> {
    let mut entries = pin!(store.list(""));
    while let Some(entry) = poll_fn(|cx| entries.as_mut().poll_next(cx)).await {
        entry?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let place = std::env::args().nth(1).unwrap_or_else(|| "target".into());
    let dir = tempfile::tempdir_in(place)
        .map_err(|e| vde_store::Error::Io { action: "make a directory", source: e.into() })?;
    let path = dir.path().join("store.vde");
    // So small that several checkpoints are made.
    let synced = VdeOptions::new().checkpoint_bytes(16 << 20).open(path)?.to_async();
    let buffered = synced.with_durability(Durability::Buffered);
    println!(
        "{:>44} | longest poll | p99 of the timer's lateness | longest",
        "16 tasks, unless the row says otherwise"
    );

    let store = buffered.clone();
    let put = move |n: u64| {
        let store = store.clone();
        async move { store.put(n.to_be_bytes(), [7; 1024]).await }
    };
    measure("buffered puts of 1 KiB, with checkpoints", 16, put).await?;
    let store = synced.clone();
    let put = move |n: u64| {
        let store = store.clone();
        async move { store.put(n.to_be_bytes(), [7; 1024]).await }
    };
    measure("durable puts of 1 KiB", 16, put).await?;
    let store = buffered.clone();
    let update = move |_| {
        let store = store.clone();
        async move {
            let slow = |old: Option<&[u8]>| {
                std::thread::sleep(Duration::from_millis(20));
                old.map(<[u8]>::to_vec).or(Some(vec![0]))
            };
            store.update("one key", slow).await.map(drop::<Option<Value>>)
        }
    };
    measure("updates of one key that take 20 ms each", 16, update).await?;
    let (store, value) = (buffered.clone(), std::sync::Arc::<[u8]>::from(vec![7; LARGE]));
    let put = move |_| {
        let (store, value) = (store.clone(), value.clone());
        async move { store.put("large", value).await }
    };
    measure("puts of 200 MiB, one task", 1, put).await?;
    let store = buffered.clone();
    let get = move |_| {
        let store = store.clone();
        async move { store.get("large").await.map(drop) }
    };
    measure("gets of 200 MiB, one task", 1, get).await?;
    let store = buffered.clone();
    let scan = move |_| {
        let store = store.clone();
        async move { read_all(&store).await }
    };
    measure("scans of all keys, one task", 1, scan).await
}
