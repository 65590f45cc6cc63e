//! The raw mutex of the library: its own code over loom's atomics, mutexes and threads.

use std::sync::Arc;
use std::time::Instant;

use loom_tests::explore;
use stripe_lock::lock_api::{RawMutex, RawMutexFair, RawMutexTimed};
use stripe_lock::raw::ByteMutex;

use super::{Counter, join, spawn};

/// A mutex and its data.
struct Guarded {
    raw: ByteMutex,
    data: Counter,
}

/// The atomics of a mutex are made on first use, which is here, before the threads start.
fn guarded() -> Arc<Guarded> {
    let guarded = Guarded { raw: RawMutex::INIT, data: Counter::default() };
    guarded.add();
    Arc::new(guarded)
}

impl Guarded {
    fn add(&self) {
        let state = self.raw.lock();
        self.data.add();
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock(state) }
    }

    fn add_fair(&self) {
        let state = self.raw.lock();
        self.data.add();
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock_fair(state) }
    }

    /// Adds 1 if it gets the lock although the deadline has passed: immediately, or by a hand-over at the moment of
    /// giving up.
    fn add_or_give_up(&self, past: Instant) -> bool {
        let Some(state) = self.raw.try_lock_until(past) else { return false };
        self.data.add();
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock(state) }
        true
    }

    /// The count after the first, once all threads have ended.
    fn count(&self) -> u32 {
        let state = self.raw.try_lock().expect("nothing is left locked");
        let count = self.data.get() - 1;
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock(state) }
        count
    }
}

#[test]
fn two_exclude_each_other() {
    explore("the byte mutex, 2 threads", None, || {
        let lock = guarded();
        let other = spawn(&lock, Guarded::add);
        lock.add();
        join([other]);
        assert_eq!(lock.count(), 2);
    });
}

#[test]
fn one_sleeps_again_and_again() {
    explore("the byte mutex, 2 threads, twice each", Some(4), || {
        let lock = guarded();
        let other = spawn(&lock, |lock| {
            lock.add();
            lock.add();
        });
        lock.add();
        lock.add();
        join([other]);
        assert_eq!(lock.count(), 4);
    });
}

#[test]
fn three_exclude_each_other() {
    explore("the byte mutex, 3 threads", Some(3), || {
        let lock = guarded();
        let threads = [0; 2].map(|_| spawn(&lock, Guarded::add));
        lock.add();
        join(threads);
        assert_eq!(lock.count(), 3);
    });
}

#[test]
fn a_waiter_that_lost_is_handed_the_lock() {
    explore("the byte mutex, 3 threads, of which one locks twice", Some(3), || {
        let lock = guarded();
        let threads = [0; 2].map(|_| spawn(&lock, Guarded::add));
        lock.add();
        lock.add();
        join(threads);
        assert_eq!(lock.count(), 4);
    });
}

#[test]
fn a_fair_release_hands_over() {
    explore("the byte mutex, 3 threads, fair releases", Some(3), || {
        let lock = guarded();
        let threads = [0; 2].map(|_| spawn(&lock, Guarded::add_fair));
        lock.add_fair();
        join(threads);
        assert_eq!(lock.count(), 3);
    });
}

/// The waiter that is handed the lock was told to compete before, so it is awake and may release at once.
#[test]
fn a_fair_release_hands_over_to_a_waiter_that_is_awake() {
    explore("the byte mutex, 3 threads, a fair release after another one", Some(3), || {
        let lock = guarded();
        let threads = [0; 2].map(|_| spawn(&lock, Guarded::add));
        lock.add();
        lock.add_fair();
        join(threads);
        assert_eq!(lock.count(), 4);
    });
}

#[test]
fn giving_up_passes_the_turn_on() {
    let past = Instant::now();
    explore("the byte mutex, 3 threads, of which one gives up", Some(3), move || {
        let lock = guarded();
        let other = spawn(&lock, Guarded::add);
        let third = lock.clone();
        let third = loom::thread::spawn(move || third.add_or_give_up(past));
        lock.add();
        join([other]);
        let added = third.join().expect("no thread of a model panics");
        assert_eq!(lock.count(), 2 + u32::from(added));
    });
}

#[test]
fn giving_up_is_too_late() {
    let past = Instant::now();
    explore("the byte mutex, a fair release beside a waiter that gives up", None, move || {
        let lock = guarded();
        let other = lock.clone();
        let other = loom::thread::spawn(move || other.add_or_give_up(past));
        lock.add_fair();
        let added = other.join().expect("no thread of a model panics");
        assert_eq!(lock.count(), 1 + u32::from(added));
    });
}

#[test]
fn two_locks_meet_in_a_bucket() {
    explore("two byte mutexes in one bucket", Some(3), || {
        let locks = Arc::new([(); 2].map(|()| guarded()));
        let other = spawn(&locks, |locks| {
            locks[0].add();
            locks[1].add();
        });
        locks[1].add();
        locks[0].add();
        join([other]);
        assert!(locks.iter().all(|lock| lock.count() == 2));
    });
}
