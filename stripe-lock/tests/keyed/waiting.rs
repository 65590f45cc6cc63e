//! Waiting for a key: limits, fairness, cancellation, closing, wakers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use crate::hostile::{Bomb, CLONE, DROP, Hook, WAKE, panic_of};
use crate::task::Task;
use crate::{BUCKETS, LONG, tasks, threads};
use stripe_lock::asynchronous::keyed::KeyedGuard;
use stripe_lock::asynchronous::{AcquireError, within};

#[test]
fn a_wait_with_a_limit_ends_and_gives_up_its_place() {
    for buckets in BUCKETS {
        let locks = Arc::new(threads(buckets));
        let guard = locks.lock(&1);
        assert!(locks.try_lock_for(&1, Duration::from_millis(1)).is_none());
        assert!(locks.try_lock_until(&1, Instant::now()).is_none());
        assert!(locks.try_lock_arc_for(&1, Duration::ZERO).is_none());
        assert!(locks.try_lock_for(&2, Duration::ZERO).is_some(), "a free key needs no time");
        drop(guard);
        assert!(locks.try_lock(&1).is_some());
        assert!(locks.try_lock_until(&1, Instant::now() + LONG).is_some());
    }
}

#[test]
fn a_blocked_thread_is_woken() {
    for buckets in BUCKETS {
        let locks = threads(buckets);
        let count = AtomicU64::new(0);
        thread::scope(|scope| {
            let guard = locks.lock(&1);
            for _ in 0..4 {
                scope.spawn(|| {
                    let _guard = locks.try_lock_for(&1, LONG).expect("long enough");
                    let now = count.load(Relaxed);
                    thread::yield_now();
                    count.store(now + 1, Relaxed);
                });
            }
            drop(guard);
        });
        assert_eq!(count.into_inner(), 4);
    }
}

#[test]
fn threads_and_tasks_wait_for_the_same_keys() {
    let locks = tasks(1);
    let guard = locks.blocking_lock(&1);
    let mut waiting = Task::waiting(locks.lock(&1));
    let thread = thread::spawn({
        let locks = locks.clone();
        move || drop(locks.blocking_lock(&1))
    });
    drop(guard);
    drop(waiting.done());
    thread.join().unwrap();
    assert!(!locks.is_locked(&1));
}

/// Waiters are served in order once a woken waiter found the key held.
#[test]
fn a_waiter_is_overtaken_twelve_times_at_most() {
    let locks = tasks(1);
    let guard = locks.try_lock(&1).unwrap();
    let mut waiting = Task::waiting(locks.lock(&1));
    drop(guard);
    let overtakes = (0..100).take_while(|_| locks.try_lock(&1).is_some()).count();
    assert_eq!(overtakes, 12);
    drop(waiting.done());
    assert!(locks.try_lock(&1).is_some());
}

#[test]
fn a_fair_release_lets_no_newcomer_overtake() {
    let locks = tasks(1);
    let guard = locks.try_lock(&1).unwrap();
    let mut waiting = Task::waiting(locks.lock(&1));
    KeyedGuard::unlock_fair(guard);
    assert!(locks.try_lock(&1).is_none());
    drop(waiting.done());
}

/// Waiters of a key get it in order, and each release wakes one of them.
#[test]
fn waiters_are_served_in_their_order() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let mut held = locks.try_lock(&1).unwrap();
        let mut waiting: Vec<_> = (0..100).map(|_| Task::waiting(locks.lock(&1))).collect();
        for next in 0..100 {
            KeyedGuard::unlock_fair(held);
            assert_eq!(waiting.iter().filter(|task| task.woken() > 0).count(), next + 1);
            held = waiting[next].done();
        }
    }
}

#[test]
fn a_dropped_future_passes_its_turn_on() {
    for (fair, polled) in [(false, false), (true, false), (false, true)] {
        let locks = tasks(1);
        let guard = locks.try_lock(&1).unwrap();
        let mut first = Task::waiting(locks.lock(&1));
        let mut second = Task::waiting(locks.lock(&1));
        let last = Task::waiting(locks.lock(&1));
        drop(last);
        if fair {
            KeyedGuard::unlock_fair(guard);
        } else {
            drop(guard);
        }
        if polled {
            drop(first.poll());
        }
        drop(first);
        drop(second.done());
        assert!(locks.try_lock(&1).is_some());
    }
}

#[test]
fn a_dropped_future_of_many_keys_leaves_nothing_held() {
    let locks = tasks(1);
    for held in 0..4 {
        let guard = locks.try_lock(&held).unwrap();
        let waiting = Task::waiting(locks.lock_many(&[0, 1, 2, 3]));
        drop(waiting);
        drop(guard);
        assert!(locks.try_lock_many(&[0, 1, 2, 3]).is_some());
    }
}

#[test]
fn limits_of_tasks() {
    let locks = tasks(1);
    let guard = locks.blocking_lock(&1);
    let mut timeout = Task::new(locks.lock_timeout(&1, std::future::ready(())));
    assert!(matches!(timeout.poll(), Poll::Ready(Err(AcquireError::Elapsed))));
    let mut many = Task::new(within(locks.lock_many(&[1, 2]), std::future::ready(())));
    assert!(matches!(many.poll(), Poll::Ready(Err(AcquireError::Elapsed))));
    assert_eq!(locks.blocking_lock_timeout(&1, Duration::ZERO).unwrap_err(), AcquireError::Elapsed);
    let waiting = Task::waiting(locks.lock(&1));
    let mut crowded = Task::new(locks.lock(&1).unless_crowded(1));
    assert!(matches!(crowded.poll(), Poll::Ready(Err(AcquireError::Crowded))));
    drop((guard, waiting));
    assert!(!locks.is_locked(&1) && !locks.is_locked(&2));
}

#[test]
fn a_closed_set_ends_every_wait() {
    let locks = tasks(2);
    let (guard, thin) = (locks.blocking_lock(&1), locks.blocking_lock(&7));
    let mut waiting = Task::waiting(locks.lock(&1).checked());
    let mut many = Task::waiting(locks.lock_many(&[0, 1, 2]).checked());
    locks.close();
    locks.close();
    assert!(locks.is_closed());
    assert_eq!(waiting.done().unwrap_err(), AcquireError::Closed);
    assert_eq!(many.done().unwrap_err(), AcquireError::Closed);
    assert!(locks.is_locked(&1) && !locks.is_locked(&0) && !locks.is_locked(&2));
    assert!(locks.try_lock(&3).is_none() && locks.try_lock_many(&[3]).is_none());
    assert_eq!(locks.blocking_lock_timeout(&3, LONG).unwrap_err(), AcquireError::Closed);
    let said = panic_of(|| drop(locks.blocking_lock(&3))).expect("it is closed");
    assert!(said.contains("the set of locks is closed"), "{said}");
    drop((guard, thin));
    assert!(!locks.is_locked(&1) && !locks.is_locked(&7) && locks.is_closed());
}

/// If a waker were called, cloned or dropped under a lock of the set's, this would hang.
#[test]
fn a_waker_may_use_the_set() {
    let locks = tasks(1);
    let (hook, waker) = Hook::new();
    let guard = locks.try_lock(&1).unwrap();
    let mut waiting = Box::pin(locks.lock(&1));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let inside = locks.clone();
    hook.then(move || assert!(inside.try_lock(&1).is_some() && inside.try_lock_many(&[2, 3]).is_some()));
    drop(guard);
    assert!(hook.is_done());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn a_waker_that_panics_loses_nothing() {
    // In the call: the holder gets the panic, and the waiter has the key.
    let locks = tasks(1);
    let (bomb, waker) = Bomb::new(1);
    let keys = [0, 1, 2];
    let mut waiting: Vec<_> = keys.iter().map(|key| Box::pin(locks.lock(key))).collect();
    let guard = locks.try_lock_many(&keys).unwrap();
    for future in &mut waiting {
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    bomb.arm(WAKE);
    assert!(panic_of(|| drop(guard)).unwrap().contains("bomb 1 in wake"));
    assert_eq!(bomb.wakes(), 3, "the other waiters are woken nevertheless");
    bomb.arm(0);
    for future in &mut waiting {
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }
    drop(waiting);
    // In the clone: no queue was joined.
    let guard = locks.try_lock(&1).unwrap();
    bomb.arm(CLONE);
    let mut future = Box::pin(locks.lock(&1));
    let poll = catch_unwind(AssertUnwindSafe(|| {
        drop(future.as_mut().poll(&mut Context::from_waker(&waker)));
    }));
    assert!(poll.is_err());
    drop(guard);
    assert!(locks.try_lock(&1).is_some());
    // In the drop: the future has given up.
    bomb.arm(0);
    let guard = locks.try_lock(&1).unwrap();
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    bomb.arm(DROP);
    assert!(panic_of(|| drop(future)).unwrap().contains("bomb 1 in drop"));
    drop(guard);
    assert!(locks.try_lock(&1).is_some());
    bomb.arm(0);
    drop(waker);
    assert_eq!(bomb.alive(), 0, "no waker is left behind");
}
