//! Places in a queue: taken before they are awaited, counted, and shown.

use std::sync::Arc;

use crate::common::{keys, watched};
use crate::task::Task;
use stripe_lock::asynchronous::{AsyncUpgradableGuard, within};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore};

type Locks<T = ()> = AsyncStripedMutex<u64, T>;

/// A dispatcher assigns places in order and spawns the jobs. The runtime starts them in any order.
#[test]
fn jobs_start_in_the_order_of_their_places() {
    const JOBS: u32 = 3_000;
    for workers in [1, 4] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build().unwrap();
        runtime.block_on(async {
            let locks = Arc::new(Locks::<Vec<u32>>::new(4).strict_fifo());
            let jobs: Vec<_> = (0..JOBS)
                .map(|job| {
                    let place = locks.enqueue_owned(&u64::from(job % 3));
                    tokio::spawn(async move {
                        let mut started = place.await;
                        started.push(job);
                        if job % 7 == 0 {
                            tokio::task::yield_now().await;
                        }
                    })
                })
                .collect();
            for job in jobs {
                job.await.unwrap();
            }
            for (_, started) in &locks.lock_all().await {
                for key in 0..3 {
                    let of_key: Vec<_> = started.iter().filter(|job| *job % 3 == key).collect();
                    assert!(of_key.is_sorted(), "jobs of key {key} were started out of order");
                }
                assert!(started.is_sorted(), "jobs of keys that share a stripe were started out of order");
            }
            let started = Arc::into_inner(locks).unwrap().into_inner().concat();
            assert_eq!(started.len(), JOBS as usize);
        });
    }
}

#[test]
fn a_place_is_given_up_when_it_is_dropped() {
    let locks = Arc::new(Locks::<u32>::new(1).strict_fifo());
    let ready = locks.enqueue_owned(&1);
    assert!(locks.try_lock(&1).is_none(), "it was free, and is held now");
    let second = locks.enqueue_owned(&1);
    let mut third = Task::new(locks.enqueue_owned(&1));
    assert_eq!(locks.waiters(&1), 2);
    drop(second);
    drop(ready);
    assert_eq!(third.poll().map(|guard| *guard), std::task::Poll::Ready(0));
    assert!(locks.try_lock(&1).is_some());
    let rw = Arc::new(AsyncStripedRwLock::<u64>::new(1));
    let (reader, other) = (rw.enqueue_read_owned(&1), rw.enqueue_upgradable_read_owned(&1));
    let mut writer = Task::waiting(rw.enqueue_write_owned(&1));
    drop((reader, other));
    drop(writer.done());
    let limits = Arc::new(AsyncStripedSemaphore::<u64>::new(1, 1));
    let first = limits.enqueue_acquire_owned(&1);
    let mut second = Task::waiting(limits.enqueue_acquire_owned(&1));
    drop(first);
    drop(second.done());
    assert_eq!(limits.available(&1), 1);
}

#[test]
fn waiters_are_counted() {
    let locks = Locks::<()>::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let count = || keys.iter().map(|key| locks.waiters(key)).collect::<Vec<_>>();
    assert_eq!(count(), [0; 8]);
    assert!(!locks.is_locked(&keys[3]));
    let held = (locks.try_lock(&keys[3]).unwrap(), locks.try_lock(&keys[5]).unwrap());
    assert!(locks.is_locked(&keys[3]) && !locks.is_locked(&keys[4]));
    let mut one = Task::waiting(locks.lock(&keys[3]));
    let mut several = Task::waiting(locks.lock_many([&keys[2], &keys[3], &keys[5]]));
    assert_eq!(count(), [0, 0, 0, 2, 0, 0, 0, 0]);
    assert!(locks.is_locked(&keys[2]), "by the waiter for the next stripe");
    drop(held.0);
    drop(one.done());
    assert_eq!(count(), [0, 0, 0, 0, 0, 1, 0, 0], "it went on to the next queue");
    drop(held.1);
    drop(several.done());
    assert_eq!(count(), [0; 8]);
    let mut blocked = Task::new(locks.lock(&keys[0]));
    a_thread_waits(&locks, keys[0]);
    assert!(blocked.poll().is_ready());
}

/// A waiting thread counts like a waiting task.
fn a_thread_waits(locks: &Locks, key: u64) {
    let held = locks.blocking_lock(&key);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| drop(locks.blocking_lock(&key)));
        while locks.waiters(&key) == 0 {
            std::thread::yield_now();
        }
        drop(held);
        waits.join().unwrap();
    });
    assert_eq!(locks.waiters(&key), 0);
}

/// `Debug` of a set, a future or a batch takes no lock, so it may be printed anywhere. It shows the state of the
/// future.
#[test]
fn futures_can_be_shown_in_every_state() {
    watched(|| {
        let locks = Arc::new(Locks::<()>::new(4));
        let rw = AsyncStripedRwLock::<u64>::new(4);
        let limits = AsyncStripedSemaphore::<u64>::new(4, 1);
        let held = (locks.try_lock_all(), rw.try_read_all(), limits.try_acquire_many(&1, 1));
        assert_eq!([format!("{locks:?}"), format!("{rw:?}")], ["AsyncStriped { stripes: 4, .. }"; 2]);
        macro_rules! shown {
            ($($future:expr, $name:literal;)*) => {
                $({
                    let mut future = Box::pin($future);
                    let waker = std::task::Waker::noop();
                    let cx = &mut std::task::Context::from_waker(waker);
                    let text = format!("{future:?}");
                    assert!(text.contains($name) && text.contains("idle"), "{text}");
                    assert!(future.as_mut().poll(cx).is_pending());
                    let text = format!("{future:?}");
                    assert!(text.contains($name) && text.contains("waiting"), "{text}");
                })*
            };
        }
        shown! {
            locks.lock(&1), "Acquire";
            locks.lock_many(&[1, 2]), "AcquireMany";
            locks.lock(&1).checked(), "Checked";
            locks.lock_timeout(&1, std::future::pending::<()>()), "Timeout";
            rw.write(&1), "Acquire";
            rw.batch().read(&1).write(&2).lock(), "AcquireMany";
            limits.acquire(&1), "Acquire";
            limits.acquire_many(&1, 1), "Acquire";
            limits.acquire_keys(&[1, 2]), "AcquireMany";
        }
        let place = locks.enqueue_owned(&1);
        assert!(format!("{place:?}").contains("waiting"));
        let batch = rw.batch().read(&1).write(&2);
        assert!(format!("{batch:?}").contains("stripes"));
        let mut late = Task::waiting(locks.lock(&2));
        drop(held);
        drop(place);
        drop(late.done());
        let place = locks.enqueue_owned(&1);
        assert!(format!("{place:?}").contains("granted"));
        let reader = rw.try_read(&1);
        let upgrade = AsyncUpgradableGuard::upgrade(rw.try_upgradable_read(&1).unwrap());
        let mut upgrade = Box::pin(upgrade);
        assert!(format!("{upgrade:?}").contains("idle"));
        let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(upgrade.as_mut().poll(cx).is_pending());
        assert!(format!("{upgrade:?}").contains("waiting"));
        drop(reader);
        assert!(format!("{upgrade:?}").contains("granted"));
        assert!(upgrade.as_mut().poll(cx).is_ready());
        assert!(format!("{upgrade:?}").contains("finished"));
    });
}

/// One task waits in two futures, and the slower one is dropped.
#[test]
fn a_wait_within_a_time_takes_no_place_for_longer() {
    let locks = Locks::<()>::new(1);
    let held = locks.try_lock(&1);
    let mut elapsed = Task::new(within(locks.lock(&1), std::future::ready(())));
    assert!(elapsed.poll().is_ready());
    assert_eq!(locks.waiters(&1), 0);
    drop(held);
    assert!(locks.try_lock(&1).is_some());
}
