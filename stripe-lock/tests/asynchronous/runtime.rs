//! The async locks under a real runtime, tested as in the suites of other async locks.

use std::future::{pending, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::bell::Bell;
use stripe_lock::asynchronous::{AcquireError, within};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore};
use tokio::task::coop::{consume_budget, has_budget_remaining};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

/// Long enough for every test here: a test that reaches it has hung.
const HUNG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost() {
    let counts = Arc::new(AsyncStripedMutex::<u64, u64>::new(4));
    let mut tasks = JoinSet::new();
    for task in 0..16_u64 {
        let counts = counts.clone();
        tasks.spawn(async move {
            for n in 0..500 {
                if n % 16 == task {
                    let mut both = counts.lock_many(&[n, n + 1]).await;
                    both.iter_mut().for_each(|(_, count)| *count += 1);
                    // Two keys may share a stripe. The total must be right in either case.
                    *both.get_mut(&n).unwrap() += 2 - both.len() as u64;
                } else {
                    let mut count = counts.lock(&n).await;
                    let before = *count;
                    if n % 7 == 0 {
                        yield_now().await;
                    }
                    *count = before + 1;
                }
            }
        });
    }
    timeout(HUNG, tasks.join_all()).await.unwrap();
    let multis: u64 = (0..16).map(|task| (0..500).filter(|n| n % 16 == task).count() as u64).sum();
    let total: u64 = counts.lock_all().await.iter().map(|(_, n)| *n).sum();
    assert_eq!(total, 16 * 500 + multis);
}

#[tokio::test]
async fn an_aborted_waiter_is_passed_over() {
    let locks = Arc::new(AsyncStripedMutex::<u64>::new(1));
    let held = locks.lock(&1).await;
    let waiting = |locks: &Arc<AsyncStripedMutex<u64>>| {
        let locks = locks.clone();
        tokio::spawn(async move { drop(locks.lock(&1).await) })
    };
    let (aborted, next) = (waiting(&locks), waiting(&locks));
    yield_now().await;
    aborted.abort();
    assert!(aborted.await.unwrap_err().is_cancelled());
    drop(held);
    timeout(HUNG, next).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborting_many_at_random_leaves_nothing_held() {
    let locks = Arc::new(AsyncStripedMutex::<u64, u64>::new(8));
    for round in 0..200_u64 {
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let locks = locks.clone();
                tokio::spawn(async move {
                    for key in 0..4 {
                        let _guard = locks.lock_many(&[task, key, round]).await;
                        yield_now().await;
                    }
                })
            })
            .collect();
        yield_now().await;
        tasks.iter().step_by(2).for_each(tokio::task::JoinHandle::abort);
        for task in tasks {
            let _ = timeout(HUNG, task).await.unwrap();
        }
        assert!(locks.try_lock_all().is_some(), "after round {round}");
    }
}

#[tokio::test]
async fn joined_futures_of_one_task_all_get_their_turn() {
    let locks = AsyncStripedMutex::<u64, u32>::new(1).strict_fifo();
    let work = || async {
        for _ in 0..50 {
            let mut count = locks.lock(&1).await;
            yield_now().await;
            *count += 1;
        }
    };
    timeout(HUNG, async { tokio::join!(work(), work(), work()) })
        .await
        .expect("they take from each other in turn");
    assert_eq!(*locks.lock(&1).await, 150);
}

#[tokio::test]
async fn a_timeout_of_zero_gets_a_free_stripe() {
    let locks = AsyncStripedMutex::<u64>::new(1);
    let guard = locks.lock_timeout(&1, ready(())).await.unwrap();
    assert_eq!(locks.lock_timeout(&1, ready(())).await.err(), Some(AcquireError::Elapsed));
    drop(guard);
    assert!(timeout(Duration::ZERO, locks.lock(&1)).await.is_ok());
}

#[tokio::test]
async fn a_wait_without_a_limit_ends_with_the_lock_or_a_drop() {
    let locks = Arc::new(AsyncStripedMutex::<u64>::new(1));
    let held = locks.lock(&1).await;
    let mut patient = pin!(locks.lock_timeout(&1, pending::<()>()));
    assert!(timeout(Duration::from_millis(5), patient.as_mut()).await.is_err());
    drop(held);
    drop(timeout(HUNG, patient).await.unwrap().unwrap());
    let held = locks.lock(&1).await;
    let patient = locks.lock_timeout(&1, pending::<()>());
    assert!(timeout(Duration::from_millis(5), patient).await.is_err());
    drop(held);
    assert!(locks.try_lock(&1).is_some());
}

/// Every way to wait: with a timeout of zero and without one, for free and for held stripes, cancelled before the first
/// poll, while it waits, and after it was handed everything.
#[test]
fn timeouts_combined_with_giving_up() {
    let mutex = AsyncStripedMutex::<u64>::new(4);
    let rwlock = AsyncStripedRwLock::<u64>::new(4);
    let limits = AsyncStripedSemaphore::<u64>::new(4, 1);
    let patience = |endless: bool| async move {
        if endless {
            pending::<()>().await;
        }
    };
    for (endless, held, polls, released) in
        (0..24).map(|n| (n % 2 == 0, n / 2 % 2 == 0, n / 4 % 3, n / 12 == 0))
    {
        let case = format!("endless: {endless}, held: {held}, polls: {polls}, released: {released}");
        let time = || patience(endless);
        let mut ways: [Pin<Box<dyn Future<Output = bool>>>; 8] = [
            Box::pin(async { mutex.lock_timeout(&1, time()).await.is_ok() }),
            Box::pin(async { within(mutex.lock_many(&[1, 2, 3]), time()).await.is_ok() }),
            Box::pin(async { within(mutex.lock_all(), time()).await.is_ok() }),
            Box::pin(async { rwlock.read_timeout(&1, time()).await.is_ok() }),
            Box::pin(async { rwlock.write_timeout(&1, time()).await.is_ok() }),
            Box::pin(async { within(rwlock.batch().read(&1).write(&2).lock(), time()).await.is_ok() }),
            Box::pin(async { limits.acquire_timeout(&1, time()).await.is_ok() }),
            Box::pin(async { within(limits.acquire_keys(&[1, 2, 3]), time()).await.is_ok() }),
        ];
        let holders = held.then(|| {
            let permits: Vec<_> = (0..64).filter_map(|key| limits.try_acquire(&key)).collect();
            assert_eq!(permits.len(), 4);
            (mutex.try_lock_all().unwrap(), rwlock.try_write_all().unwrap(), permits)
        });
        for (way, waiting) in ways.iter_mut().enumerate() {
            let cx = &mut Context::from_waker(Waker::noop());
            let polled = (0..polls).map(|_| waiting.as_mut().poll(cx)).find(Poll::is_ready);
            let expected = match (polls, held, endless) {
                (0, ..) | (_, true, true) => None,
                _ => Some(Poll::Ready(!held)),
            };
            assert_eq!(polled, expected, "way {way}, {case}");
        }
        if released {
            drop(holders);
            drop(ways);
        } else {
            drop(ways);
            drop(holders);
        }
        assert!(mutex.try_lock_all().is_some() && rwlock.try_write_all().is_some(), "{case}");
        assert!((0..64).all(|key| limits.available(&key) == 1), "{case}");
    }
}

/// On two threads, some waiters give up while a third thread releases. The others are woken and served, and nothing
/// stays held.
#[test]
fn waiters_that_give_up_at_once_lose_no_other_waiter() {
    for round in 0..100 {
        let locks = Arc::new(AsyncStripedMutex::<u64>::new(2));
        let locks = if round % 2 == 0 { locks } else { Arc::new(AsyncStripedMutex::new(2).strict_fifo()) };
        let held = locks.try_lock_all();
        let mut waiting: Vec<_> = (0..24)
            .map(|task| {
                let locks = locks.clone();
                let mut waiting: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                    if task % 4 == 0 {
                        drop(locks.lock_many(&[task, task + 1]).await);
                    } else {
                        drop(locks.lock(&task).await);
                    }
                });
                let (bell, waker) = Bell::new();
                assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                (waiting, bell, waker, 0)
            })
            .collect();
        let mut staying = waiting.split_off(16);
        let others = waiting.split_off(8);
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for leaving in [waiting, others] {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    drop(leaving);
                });
            }
            start.wait();
            drop(held);
        });
        while !staying.is_empty() {
            let before = staying.len();
            staying.retain_mut(|(waiting, bell, waker, heard)| {
                let woken = std::mem::replace(heard, bell.rings()) < bell.rings();
                !(woken && waiting.as_mut().poll(&mut Context::from_waker(waker)).is_ready())
            });
            assert!(staying.len() < before, "no waiter is served any more");
        }
        assert!(locks.try_lock_all().is_some());
    }
}

/// Each waiter waits until the previous one gives up, so that grants and timeouts coincide.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_that_coincide_with_grants_lose_nothing() {
    let locks = Arc::new(AsyncStripedRwLock::<u64, u64>::new(2));
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for task in 0..8_u64 {
        let (locks, done) = (locks.clone(), done.clone());
        tasks.spawn(async move {
            for n in 0..200 {
                let brief = || within(sleep(Duration::from_micros(50 * (n % 3))), pending::<()>());
                if (task + n) % 4 == 0 {
                    if let Ok(mut guard) = locks.write_timeout(&n, brief()).await {
                        *guard += 1;
                        yield_now().await;
                        done.fetch_add(1, SeqCst);
                    }
                } else if within(locks.read_many(&[n, n + 1]), brief()).await.is_ok() {
                    yield_now().await;
                }
            }
        });
    }
    timeout(HUNG, tasks.join_all()).await.unwrap();
    let total: u64 = locks.try_write_all().expect("nothing stays held").iter().map(|(_, n)| *n).sum();
    assert_eq!(total as usize, done.load(SeqCst));
}

/// Uses up the runtime's budget of the current task.
fn spend_the_budget() {
    while pin!(consume_budget()).poll(&mut Context::from_waker(Waker::noop())).is_ready() {}
    assert!(!has_budget_remaining());
}

/// A task that used up its budget joins the queue in the same poll, and is served in its order.
#[tokio::test]
async fn order_does_not_depend_on_the_budget() {
    let locks = Arc::new(AsyncStripedMutex::<u64, Vec<usize>>::new(1).strict_fifo());
    let held = locks.lock(&1).await;
    let mut tasks = JoinSet::new();
    for task in 0..4 {
        let set = locks.clone();
        tasks.spawn(async move {
            if task % 2 == 0 {
                spend_the_budget();
            }
            set.lock(&1).await.push(task);
        });
        while locks.waiters(&1) == task {
            yield_now().await;
        }
    }
    drop(held);
    timeout(HUNG, tasks.join_all()).await.unwrap();
    assert_eq!(*locks.lock(&1).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_free_stripe_needs_no_budget() {
    let locks = Arc::new(AsyncStripedMutex::<u64>::new(1));
    let set = locks.clone();
    let polled = tokio::spawn(async move {
        spend_the_budget();
        pin!(set.lock(&1)).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    });
    assert!(polled.await.unwrap());
    assert!(locks.try_lock(&1).is_some());
}

#[tokio::test]
async fn a_panic_in_a_section_releases_the_stripe() {
    let locks = Arc::new(AsyncStripedMutex::<u64, u32>::new(1));
    let panicking = {
        let locks = locks.clone();
        tokio::spawn(async move {
            locks
                .with(&1, async |count| {
                    *count += 1;
                    yield_now().await;
                    panic!("in the section");
                })
                .await
        })
    };
    assert!(panicking.await.unwrap_err().is_panic());
    assert_eq!(*locks.try_lock(&1).unwrap(), 1);
}

#[tokio::test]
async fn guards_travel_between_tasks() {
    let locks = Arc::new(AsyncStripedMutex::<String, u32>::new(16));
    let elsewhere = |key: &String| locks.stripe_of(key) != locks.stripe_of("a");
    let b = (0..1_000).map(|n| n.to_string()).find(elsewhere).unwrap();
    let mut guard = locks.lock_owned("a").await;
    let mut many = locks.lock_many_owned([&b]).await;
    tokio::spawn(async move {
        *guard += 1;
        if let Some(count) = many.get_mut(&b) {
            *count += 1;
        }
    })
    .await
    .unwrap();
    assert!(locks.try_lock_all().is_some());
}

#[test]
fn a_leaked_future_takes_its_turn_and_no_more() {
    let locks = AsyncStripedMutex::<u64>::new(2);
    let keys: Vec<u64> =
        (0..2).map(|stripe| (0..1 << 20).find(|k| locks.stripe_of(k) == stripe).unwrap()).collect();
    let held = locks.try_lock(&keys[0]).unwrap();
    let mut leaked = Box::pin(locks.lock(&keys[0]));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(leaked.as_mut().poll(cx).is_pending());
    std::mem::forget(leaked);
    drop(held);
    assert!(locks.try_lock(&keys[1]).is_some());
    drop(locks);
}
