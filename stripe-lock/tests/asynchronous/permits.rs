//! Permits: several for one key, in the order of requests; adding and removing permits; limits.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::task::Task;
use stripe_lock::AsyncStripedSemaphore;
use stripe_lock::asynchronous::{AcquireError, AsyncPermit, AsyncPermits};

type Limits = AsyncStripedSemaphore<u64>;

const MOST: u32 = Limits::MAX_PERMITS;

fn panics(code: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(code)).is_err()
}

#[test]
fn a_waiter_for_many_permits_is_not_overtaken_by_one_for_few() {
    let limits = Limits::new(1, 4);
    let (one, two) = (limits.try_acquire(&1).unwrap(), limits.try_acquire_many(&1, 2).unwrap());
    let mut four = Task::waiting(limits.acquire_many(&1, 4));
    let mut single = Task::waiting(limits.acquire(&1));
    assert!(limits.try_acquire(&1).is_none(), "one permit is left, but not for newcomers");
    assert!(limits.try_acquire_many(&1, 0).is_none(), "not even zero permits");
    drop(one);
    assert_eq!((four.woken(), single.woken()), (0, 0), "two are not enough");
    drop(two);
    let all = four.done();
    assert_eq!((single.woken(), limits.available(&1)), (0, 0));
    drop(all);
    drop(single.done());
    assert_eq!(limits.available(&1), 4);
}

/// A waiter that gives up lets those behind it proceed.
#[test]
fn a_waiter_for_many_permits_that_gives_up_lets_others_in() {
    let limits = Limits::new(1, 3);
    let held = limits.try_acquire(&1).unwrap();
    let many = Task::waiting(limits.acquire_many(&1, 3));
    let mut few: Vec<_> = (0..3).map(|_| Task::waiting(limits.acquire(&1))).collect();
    drop(many);
    let two: Vec<_> = few[..2].iter_mut().map(Task::done).collect();
    assert_eq!(few[2].woken(), 0);
    drop((held, two));
    drop(few[2].done());
    assert_eq!(limits.available(&1), 3);
}

/// One call serves more waiters than one lock of a bucket serves.
#[test]
fn added_permits_go_to_waiters_in_order() {
    let limits = Limits::new(1, 1);
    let held = limits.try_acquire(&1).unwrap();
    let mut waiting: Vec<_> = (0..40).map(|at| Task::waiting(limits.acquire_many(&1, 1 + at % 3))).collect();
    let mut granted = Vec::new();
    for (at, task) in (0..40).zip(&mut waiting) {
        assert_eq!(task.woken(), 0);
        limits.add_permits(&1, at % 3);
        assert_eq!(task.woken(), 0, "one is missing");
        limits.add_permits(&1, 1);
        granted.push(task.done());
    }
    drop((granted, held));
    let sum = (0..40).map(|at| 1 + at % 3).sum::<u32>();
    assert_eq!(limits.available(&1), 1 + sum);
    let all = limits.try_acquire_many(&1, 1 + sum).unwrap();
    let mut waiting: Vec<_> = (0..40).map(|_| Task::waiting(limits.acquire(&1))).collect();
    limits.add_permits(&1, 40);
    let granted: Vec<_> = waiting.iter_mut().map(Task::done).collect();
    drop((granted, all));
    assert_eq!(limits.available(&1), 41 + sum);
}

#[test]
fn forgotten_permits_are_gone_until_more_are_added() {
    let limits = Arc::new(Limits::new(1, 5));
    AsyncPermit::forget(limits.try_acquire(&1).unwrap());
    AsyncPermits::forget(limits.try_acquire_many(&1, 2).unwrap());
    AsyncPermits::forget(limits.try_acquire_many(&1, 0).unwrap());
    assert_eq!(limits.available(&1), 2);
    let owned = limits.try_acquire_owned(&1).unwrap();
    AsyncPermit::forget(limits.try_acquire(&1).unwrap());
    drop(owned);
    assert_eq!(limits.available(&1), 1);
    AsyncPermit::forget(limits.try_acquire(&1).unwrap());
    let mut waiting = Task::waiting(limits.acquire(&1));
    limits.add_permits(&1, 1);
    drop(waiting.done());
    assert_eq!((limits.available(&1), Arc::strong_count(&limits)), (1, 1));
}

#[test]
fn a_stripe_never_has_more_than_the_maximum_of_permits() {
    assert!(panics(|| drop(Limits::new(1, 0))) && panics(|| drop(Limits::new(1, MOST + 1))));
    let limits = Arc::new(Limits::new(1, MOST));
    assert!(panics(|| limits.add_permits(&1, 1)));
    for too_many in [MOST + 1, 1 << 31, u32::MAX] {
        assert!(panics(|| drop(limits.acquire_many(&1, too_many))));
        assert!(panics(|| drop(limits.try_acquire_many(&1, too_many))));
        assert!(panics(|| drop(limits.acquire_many_owned(&1, too_many))));
        assert!(panics(|| drop(limits.blocking_acquire_many(&1, too_many))));
    }
    limits.add_permits(&1, 0);
    let all = limits.try_acquire_many(&1, MOST).unwrap();
    assert!(limits.try_acquire(&1).is_none() && limits.try_acquire_many(&1, MOST).is_none());
    assert!(limits.try_acquire_many(&1, 0).is_some(), "zero permits can always be taken");
    assert!(panics(|| limits.add_permits(&1, 1)), "held permits count");
    assert!(panics(|| limits.add_permits(&1, u32::MAX)), "and no sum overflows");
    AsyncPermits::forget(all);
    assert_eq!(limits.available(&1), 0);
    limits.add_permits(&1, MOST);
    assert!(panics(|| limits.add_permits(&1, 1)));
    assert_eq!(limits.available(&1), MOST);
    // Repeated, so that an error in the count of forgotten permits would grow.
    for _ in 0..1_000 {
        AsyncPermits::forget(limits.try_acquire_many(&1, MOST).unwrap());
        limits.add_permits(&1, MOST);
    }
    assert!(panics(|| limits.add_permits(&1, 1)) && limits.available(&1) == MOST);
}

/// Waits for more permits than there are, until enough are added.
#[test]
fn a_waiter_for_more_permits_than_there_are_waits_for_added_ones() {
    let limits = Limits::new(1, 1);
    let mut waiting = Task::waiting(limits.acquire_many(&1, 3));
    limits.add_permits(&1, 1);
    assert_eq!(waiting.woken(), 0);
    limits.add_permits(&1, 4);
    let three = waiting.done();
    assert_eq!(limits.available(&1), 3, "the rest is free");
    drop(three);
    assert_eq!(limits.available(&1), 6);
}

#[test]
fn a_thread_waits_for_permits_that_are_added() {
    let limits = Limits::new(1, 1);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| drop(limits.blocking_acquire_many(&1, 2)));
        while limits.waiters(&1) == 0 {
            std::thread::yield_now();
        }
        limits.add_permits(&1, 1);
        waits.join().unwrap();
    });
    assert_eq!(limits.available(&1), 2);
}

/// No task gets a permit any more, and all are still counted.
#[test]
fn a_closed_stripe_counts_its_permits() {
    let limits = Limits::new(1, 3);
    let (held, forgotten) = (limits.try_acquire(&1).unwrap(), limits.try_acquire(&1).unwrap());
    let mut waiting = Task::waiting(limits.acquire_many(&1, 3).checked());
    limits.close();
    assert_eq!(limits.available(&1), 1);
    limits.add_permits(&1, 2);
    assert_eq!(limits.available(&1), 3);
    AsyncPermit::forget(forgotten);
    drop(held);
    assert_eq!(limits.available(&1), 4);
    assert!(limits.try_acquire(&1).is_none() && limits.try_acquire_many(&1, 2).is_none());
    assert_eq!(waiting.done().err(), Some(AcquireError::Closed));
    assert_eq!(limits.available(&1), 4);
}

#[test]
fn leaked_permits_are_gone_and_the_count_does_not_overflow() {
    let limits = Limits::new(1, MOST);
    mem::forget(limits.try_acquire_many(&1, MOST - 3));
    (0..3).for_each(|_| mem::forget(limits.try_acquire(&1).unwrap()));
    assert!(limits.try_acquire(&1).is_none() && limits.available(&1) == 0);
    let waiting = Task::waiting(limits.acquire(&1));
    drop(waiting);
    assert!(limits.try_acquire_many(&1, 0).is_some());
}

/// Readers are counted in 24 bits. A forgotten guard is never released, so the count can reach its limit. Then readers
/// wait.
#[cfg(not(feature = "diagnose"))]
#[test]
fn leaked_readers_reach_the_maximum_and_the_count_does_not_overflow() {
    let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(1);
    for _ in 0..MOST - 1 {
        mem::forget(locks.try_read(&1).unwrap());
    }
    let upgradable = locks.try_upgradable_read(&1).unwrap();
    assert!(locks.try_read(&1).is_none(), "the last share is kept for the upgradable reader");
    mem::forget(upgradable);
    for _ in 0..100 {
        assert!(locks.try_read(&1).is_none() && locks.try_write(&1).is_none());
        assert!(locks.try_upgradable_read(&1).is_none() && locks.try_read_all().is_none());
    }
    let other = stripe_lock::AsyncStripedRwLock::<u64>::new(1);
    for _ in 0..MOST - 1 {
        mem::forget(other.try_read(&1).unwrap());
    }
    let last = other.try_read(&1).unwrap();
    let mut reader = Task::waiting(other.read(&1));
    drop(last);
    let guard: stripe_lock::asynchronous::AsyncReadGuard<'_, u64> = reader.done();
    assert!(other.try_read(&1).is_none());
    drop(guard);
    assert!(other.try_read(&1).is_some());
}
