//! Async locks: free locks that are polled once, and locks for which tasks contend.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::{runtime, sync::Notify, task};

use super::{locks::timed, quota::Quota};
use crate::{
    contenders::{AsyncKeyLock, AsyncMultiLock},
    harness::Case,
};

/// Lock and unlock one key after another by futures that are ready when first polled.
pub fn polled_once<'a, K: Sync>(
    label: impl Into<String>,
    lock: impl AsyncKeyLock<K> + 'a,
    keys: &'a [K],
) -> Case<'a> {
    Case::new(label, move |operations| timed(operations, keys, |key| drop(now(lock.lock(key)))))
}

/// Lock and unlock one batch of keys after another, by futures that are ready when first polled. An operation is one
/// batch.
pub fn many_polled_once<'a, K: Sync>(
    label: impl Into<String>,
    lock: impl AsyncMultiLock<K> + 'a,
    batches: &'a [Vec<K>],
) -> Case<'a> {
    Case::new(label, move |operations| timed(operations, batches, |batch| drop(now(lock.lock_many(batch)))))
}

#[inline]
pub(super) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nobody else holds a key"),
    }
}

/// Worker threads of every runtime here.
const WORKERS: usize = 2;

pub(super) fn two_workers() -> runtime::Runtime {
    runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .build()
        .expect("a runtime of two threads starts")
}

/// What a task does under a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Briefly,
    /// It yields to the runtime once.
    OverAYield,
}

impl Held {
    async fn pass(self) {
        if self == Self::OverAYield {
            task::yield_now().await;
        }
    }
}

/// Tasks on two worker threads that lock and unlock one key, `held` in between. The operations are divided among the
/// tasks. The case can measure how long each operation waits for its lock.
///
/// # Panics
///
/// Panics if the runtime cannot be started.
pub fn tasks(
    label: impl Into<String>,
    lock: impl AsyncKeyLock<u64> + 'static,
    tasks: usize,
    held: Held,
) -> Case<'static> {
    let (runtime, lock) = (two_workers(), Arc::new(lock));
    Case::waiting(label, move |operations, latencies| {
        let quota = Arc::new(Quota::new(operations, tasks));
        let took = all(&runtime, tasks, |_| {
            let (lock, quota, latencies) = (Arc::clone(&lock), Arc::clone(&quota), latencies.cloned());
            async move {
                let Some(latencies) = latencies else {
                    for _ in quota.turns() {
                        let _guard = lock.lock(&1).await;
                        held.pass().await;
                    }
                    return;
                };
                let mut times = Vec::new();
                for _ in quota.turns() {
                    let start = Instant::now();
                    let guard = lock.lock(&1).await;
                    let waited = start.elapsed();
                    held.pass().await;
                    drop(guard);
                    times.push(waited.as_secs_f64());
                }
                latencies.add(times);
            }
        });
        quota.whole(took)
    })
}

/// The minimal cost of handing a token from task to task: each task wakes the next, and yields once while it has the
/// token.
///
/// # Panics
///
/// Panics if the runtime cannot be started.
pub fn token_ring(label: impl Into<String>, tasks: usize) -> Case<'static> {
    let runtime = two_workers();
    Case::new(label, move |operations| {
        let bells: Arc<Vec<_>> = Arc::new((0..tasks).map(|_| Notify::new()).collect());
        let rounds = operations.div_ceil(tasks as u64);
        bells[0].notify_one();
        all(&runtime, tasks, |number| {
            let bells = Arc::clone(&bells);
            async move {
                for _ in 0..rounds {
                    bells[number].notified().await;
                    task::yield_now().await;
                    bells[(number + 1) % tasks].notify_one();
                }
            }
        })
    })
}

/// Runs `tasks` tasks until all have ended.
pub(super) fn all<F>(runtime: &runtime::Runtime, tasks: usize, task: impl Fn(usize) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..tasks).map(|number| tokio::spawn(task(number))).collect();
        for task in tasks {
            task.await.expect("workloads do not panic");
        }
    });
    start.elapsed()
}
