//! Eight tasks and one key.

use std::{hint::black_box, sync::Arc, time::Duration};

use benches::harness::Case;
use stripe_lock::AsyncStripedMutex;

use crate::{
    LONG, compare,
    contenders::{ByHand, Contender, OURS},
    time,
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime")
}

const TASKS: usize = 8;

pub(crate) fn hot() {
    fn case<C: Contender>(yields: bool) -> Case<'static> {
        let (locks, runtime) = (Arc::new(C::new()), runtime());
        Case::new(C::NAME, move |n| {
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let locks = locks.clone();
                    async move {
                        for _ in 0..n.div_ceil(TASKS as u64) {
                            let section = async {
                                black_box(());
                                if yields {
                                    tokio::task::yield_now().await;
                                }
                            };
                            locks.with(1, section).await;
                        }
                    }
                })
                .collect();
            run_all(&runtime, tasks)
        })
    }
    for yields in [false, true] {
        let mut cases = vec![
            case::<AsyncStripedMutex<u64>>(yields),
            case::<ByHand<tokio::sync::Mutex<()>>>(yields),
            case::<ByHand<async_lock::Mutex<()>>>(yields),
            case::<ByHand<saa::Lock>>(yields),
            case::<ByHand<futures_util::lock::Mutex<()>>>(yields),
        ];
        if yields {
            cases.push(token_ring());
        }
        let section = if yields { "one yield" } else { "a short section" };
        compare(&format!("{TASKS} tasks, 2 workers, 1 key, {section}"), OURS, cases, LONG);
    }
}

fn run_all<F: Future<Output = ()> + Send + 'static>(
    runtime: &tokio::runtime::Runtime,
    tasks: Vec<F>,
) -> Duration {
    time(|| {
        runtime.block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
            for task in tasks {
                task.await.expect("no panic");
            }
        });
    })
}

/// The least that handing something from task to task costs: each wakes the next, and yields once while it has the token.
fn token_ring() -> Case<'static> {
    let runtime = runtime();
    Case::new("token ring", move |n| {
        let bells: Arc<Vec<_>> = Arc::new((0..TASKS).map(|_| tokio::sync::Notify::new()).collect());
        let rounds = n.div_ceil(TASKS as u64);
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let bells = bells.clone();
                async move {
                    for _ in 0..rounds {
                        bells[task].notified().await;
                        tokio::task::yield_now().await;
                        bells[(task + 1) % TASKS].notify_one();
                    }
                }
            })
            .collect();
        bells[0].notify_one();
        run_all(&runtime, tasks)
    })
}
