//! Closed sets, limits of waiters, and timeouts.

use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::common::{LONG, SHORT, key_on, watched};
use crate::task::Task;
use stripe_lock::asynchronous::{AcquireError, AsyncMutexGuard, AsyncUpgradableGuard, within};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, ExtendError};

type Locks = AsyncStripedMutex<u64>;

fn panics(code: impl FnOnce()) -> String {
    crate::common::message_of(&*std::panic::catch_unwind(std::panic::AssertUnwindSafe(code)).unwrap_err())
}

#[test]
fn a_closed_set_gives_nothing_out_and_takes_everything_back() {
    let locks = Arc::new(Locks::new(4));
    let guard = locks.try_lock(&1).unwrap();
    let several = Arc::new(Locks::new(4));
    let mut all = several.try_lock_many(&[1]).unwrap();
    locks.close();
    locks.close();
    several.close();
    assert!(locks.is_closed() && locks.is_locked(&1), "a guard that was there is not touched");
    assert!(locks.try_lock(&1).is_none() && locks.try_lock(&2).is_none() && locks.try_lock_all().is_none());
    let other = key_on((several.stripe_of(&1) + 1) % 4, 0, |key| several.stripe_of(key));
    assert_eq!(all.try_extend(&1), Ok(()), "it is held already");
    assert_eq!(all.try_extend(&other), Err(ExtendError::Closed));
    let mut extended = Task::new(all.extend(&other));
    assert_eq!(extended.poll(), Poll::Ready(Err(ExtendError::Closed)));
    drop(extended);
    let mut restarted = Task::new(all.extend_or_restart([&other]));
    assert_eq!(restarted.poll(), Poll::Ready(Err(ExtendError::Closed)));
    drop(restarted);
    drop(guard);
    assert!(!locks.is_locked(&1) && locks.try_lock(&1).is_none());
    let closed = "the set of locks is closed";
    assert!(panics(|| drop(Task::new(locks.lock(&1)).poll())).starts_with(closed));
    assert!(panics(|| drop(Task::new(locks.lock_many(&[1, 2])).poll())).starts_with(closed));
    assert!(panics(|| drop(locks.blocking_lock(&1))).starts_with(closed));
    assert!(panics(|| drop(locks.enqueue_owned(&1))).starts_with(closed));
    assert_eq!(locks.blocking_lock_timeout(&1, LONG).err(), Some(AcquireError::Closed));
    assert_eq!(locks.blocking_lock_many_timeout(&[1, 2], LONG).err(), Some(AcquireError::Closed));
    let mut crowded = Task::new(locks.lock_unless_crowded(&1, 0));
    assert!(matches!(crowded.poll(), Poll::Ready(Err(AcquireError::Closed))));
    let mut timed = Task::new(locks.lock_timeout(&1, ready(())));
    assert!(matches!(timed.poll(), Poll::Ready(Err(AcquireError::Closed))));
}

#[test]
fn a_close_wakes_every_waiter() {
    let rw = AsyncStripedRwLock::<u64>::new(4);
    let held = (rw.try_read_stripe(0).unwrap(), rw.try_write_stripe(3).unwrap());
    let mut one = Task::waiting(rw.write_stripe(0).checked());
    let mut reader = Task::waiting(rw.read_stripe(3).checked());
    let mut upgradable = Task::waiting(rw.upgradable_read_stripe(3).checked());
    let mut all = Task::waiting(rw.write_all().checked());
    let key = key_on(0, 0, |key| rw.stripe_of(key));
    let upgrade = {
        let other = AsyncStripedRwLock::<u64>::new(1);
        let reader = other.try_read(&1);
        let mut upgrade =
            Task::waiting(AsyncUpgradableGuard::upgrade(other.try_upgradable_read(&1).unwrap()).checked());
        other.close();
        let error = upgrade.done().err();
        drop(reader);
        assert!(!other.is_locked(&1), "what was to be upgraded is released");
        error
    };
    assert_eq!(upgrade, Some(AcquireError::Closed));
    rw.close();
    assert_eq!(rw.waiters(&key), 0);
    assert!(matches!(one.done(), Err(AcquireError::Closed)));
    assert!(matches!(reader.done(), Err(AcquireError::Closed)));
    assert!(matches!(upgradable.done(), Err(AcquireError::Closed)));
    assert!(matches!(all.done(), Err(AcquireError::Closed)));
    drop(held);
    assert!((0..64).all(|key| !rw.is_locked(&key)));
}

/// A future that was granted before the set is closed, and polled after it, gets its guard.
#[test]
fn a_grant_before_the_close_is_kept_after_it() {
    let limits = AsyncStripedSemaphore::<u64>::new(1, 2);
    let held = limits.try_acquire_many(&1, 2);
    let mut granted = Task::waiting(limits.acquire(&1));
    let mut both = Task::waiting(limits.acquire_many(&1, 2).checked());
    drop(held);
    limits.close();
    drop(granted.done());
    assert_eq!(both.done().err(), Some(AcquireError::Closed));
    assert_eq!(limits.available(&1), 2);
}

/// Threads and tasks wait while another thread closes the set. Every wait ends.
#[test]
fn a_close_ends_every_wait_of_threads_and_tasks() {
    watched(|| {
        for round in 0..200 {
            let locks = Locks::new(4);
            let acquired = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                let spawn = |thread: u64| {
                    let (locks, acquired) = (&locks, &acquired);
                    scope.spawn(move || {
                        for key in 0.. {
                            let outcome =
                                locks.blocking_lock_many_timeout(&[key, key + thread], LONG).map(drop);
                            if outcome == Err(AcquireError::Closed) {
                                break;
                            }
                            acquired.fetch_add(1, SeqCst);
                        }
                    })
                };
                let threads: Vec<_> = (0..3).map(spawn).collect();
                while acquired.load(SeqCst) < round {
                    std::thread::yield_now();
                }
                locks.close();
                // Each thread is joined, because sanitizers don't see what the end of a scope waits for.
                for thread in threads {
                    thread.join().unwrap();
                }
            });
            assert!((0..64).all(|key| !locks.is_locked(&key) && locks.waiters(&key) == 0));
        }
    });
}

#[test]
fn waiters_are_counted_when_the_wait_begins() {
    let locks = Locks::new(4).strict_fifo();
    let held = locks.try_lock_all();
    let key = |stripe| key_on(stripe, 0, |key| locks.stripe_of(key));
    let mut waiting: Vec<_> = (0..3).map(|_| Task::waiting(locks.lock_unless_crowded(&key(1), 3))).collect();
    let mut fourth = Task::new(locks.lock_unless_crowded(&key(1), 3));
    assert_eq!(fourth.poll().map(Result::err), Poll::Ready(Some(AcquireError::Crowded)));
    assert_eq!(locks.waiters(&key(1)), 3, "it took no place");
    let mut multi = Task::new(locks.lock_many([&key(1), &key(2)]).unless_crowded(3));
    assert_eq!(multi.poll().map(Result::err), Poll::Ready(Some(AcquireError::Crowded)));
    let mut patient = Task::waiting(locks.lock_many([&key(0), &key(1)]).unless_crowded(3));
    drop(waiting.pop());
    let again = Task::waiting(locks.lock_unless_crowded(&key(1), 3));
    drop(held);
    // It began to wait when there were few waiters, and continues when there are too many.
    drop(waiting.remove(0).done());
    while let Some(mut next) = waiting.pop() {
        drop(next.poll());
    }
    drop(again);
    drop(patient.done());
    assert!(locks.try_lock_all().is_some());
}

/// A multi that has entered some stripes and then finds too many waiters releases these.
#[test]
fn a_multi_that_is_refused_holds_nothing() {
    let locks = Locks::new(4);
    let held = locks.try_lock_stripe(2);
    let mut all = Task::new(locks.lock_all().unless_crowded(0));
    assert_eq!(all.poll().map(|outcome| outcome.is_err()), Poll::Ready(true));
    assert!([0, 1, 3].iter().all(|&stripe| locks.try_lock_stripe(stripe).is_some()));
    drop((held, all));
    assert!(locks.try_lock_all().is_some());
}

/// A future that timed out keeps no place in the queue, even if it is not dropped.
#[test]
fn a_wait_that_timed_out_keeps_no_place() {
    for strict in [false, true] {
        let locks = Locks::new(1);
        let locks = if strict { locks.strict_fifo() } else { locks };
        let held = locks.try_lock(&1);
        let mut timed = Task::new(locks.lock_timeout(&1, ready(())));
        assert_eq!(timed.poll().map(Result::err), Poll::Ready(Some(AcquireError::Elapsed)));
        assert_eq!(locks.waiters(&1), 0);
        let mut next = Task::waiting(locks.lock(&1));
        drop(held);
        drop(next.done());
        drop((next, timed));
        assert!(locks.try_lock(&1).is_some());
    }
}

/// The grant comes between the last poll of the lock and the timeout.
#[test]
fn a_grant_at_the_timeout_goes_to_the_next_waiter() {
    let locks = Locks::new(1).strict_fifo();
    let held = std::cell::RefCell::new(locks.try_lock(&1));
    let releases = std::future::poll_fn(|_| {
        drop(held.take());
        Poll::Ready(())
    });
    let mut timed = pin!(locks.lock_timeout(&1, releases));
    let polled = timed.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(AcquireError::Elapsed))));
    assert!(locks.try_lock(&1).is_some(), "granted in vain, it went on");
    let releases = std::future::poll_fn(|_| {
        drop(held.take());
        Poll::Ready(())
    });
    *held.borrow_mut() = locks.try_lock(&1);
    let mut several = Task::new(within(locks.lock_all(), releases));
    assert!(matches!(several.poll(), Poll::Ready(Err(AcquireError::Elapsed))));
    assert!(locks.try_lock(&1).is_some());
}

#[test]
fn a_section_runs_with_its_lock_or_not_at_all() {
    let locks = AsyncStripedMutex::<u64, u32>::new(1);
    let section = || Task::new(within(locks.with(&1, async |count| *count += 1), ready(())));
    let held = locks.try_lock(&1);
    assert_eq!(section().poll(), Poll::Ready(Err(AcquireError::Elapsed)));
    drop(held);
    assert_eq!(*locks.try_lock(&1).unwrap(), 0);
    assert_eq!(section().poll(), Poll::Ready(Ok(())));
    assert_eq!(*locks.try_lock(&1).unwrap(), 1);
}

/// The same with threads: one waits for about as long as the other holds the lock, repeatedly, so that a grant and a
/// timeout sometimes coincide.
#[test]
fn a_grant_at_a_deadline_is_not_lost() {
    watched(|| {
        let locks = Locks::new(2);
        let (stop, had) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        let limit = Duration::from_micros(50);
                        had.fetch_add(usize::from(locks.blocking_lock_timeout(&1, limit).is_ok()), SeqCst);
                        drop(locks.blocking_lock_many_timeout(&[1, 2, 3], limit));
                    }
                });
            }
            for _ in 0..500 {
                let guard = locks.blocking_lock(&1);
                std::thread::sleep(Duration::from_micros(50));
                drop(guard);
            }
            stop.store(true, SeqCst);
        });
        assert!(locks.try_lock_all().is_some() && locks.waiters(&1) == 0);
    });
}

#[test]
fn a_thread_waits_no_longer_than_its_limit() {
    let locks = Arc::new(Locks::new(4));
    let rw = AsyncStripedRwLock::<u64>::new(4);
    let limits = AsyncStripedSemaphore::<u64>::new(4, 1);
    let held = (locks.blocking_lock(&1), rw.blocking_read(&1), limits.blocking_acquire(&1));
    let elapsed = Some(AcquireError::Elapsed);
    assert_eq!(locks.blocking_lock_timeout(&1, SHORT).err(), elapsed);
    assert_eq!(locks.blocking_lock_timeout(&1, Duration::ZERO).err(), elapsed);
    assert_eq!(locks.blocking_lock_many_timeout(&[1, 2], SHORT).err(), elapsed);
    assert_eq!(rw.blocking_write_timeout(&1, SHORT).err(), elapsed);
    assert!(rw.blocking_read_timeout(&1, Duration::ZERO).is_ok());
    assert_eq!(limits.blocking_acquire_timeout(&1, SHORT).err(), elapsed);
    assert_eq!(limits.blocking_acquire_keys_timeout(&[1, 2], SHORT).err(), elapsed);
    drop(held);
    assert!(locks.blocking_lock_timeout(&1, Duration::MAX).is_ok(), "no deadline overflows");
    assert!(locks.try_lock_all().is_some() && rw.try_write_all().is_some());
}

/// No future borrows the key that it was made from.
#[test]
fn a_future_borrows_no_key() {
    let locks = AsyncStripedMutex::<str, u32>::new(4);
    let rw = AsyncStripedRwLock::<str, u32>::new(4);
    let name = |n: u32| format!("name {n}");
    let mut timed = Task::new(locks.lock_timeout(&name(1), pending::<()>()));
    assert!(timed.poll().is_ready());
    let mut within_time = Task::new(within(locks.lock(&name(1)), pending::<()>()));
    assert!(within_time.poll().is_ready());
    let mut crowded = Task::new(locks.lock_unless_crowded(&name(2), 3));
    assert!(crowded.poll().is_ready());
    let mut with = Task::new(locks.with(&name(3), async |n| *n += 1));
    assert!(with.poll().is_ready());
    let mut read = Task::new(rw.with_read(&name(3), async |n| *n));
    assert_eq!(read.poll(), Poll::Ready(0));
    let mut batch = Task::new(rw.batch().read(&name(1)).write(&name(2)).lock());
    assert!(batch.poll().is_ready());
    let mut guard = AsyncMutexGuard::extendable(locks.try_lock(&name(4)).unwrap());
    let mut extends = Task::new(guard.extend(&name(5)));
    assert!(extends.poll().is_ready());
}
