//! The raw read-write lock of the library: its own code over loom's atomics, mutexes and threads.

use std::sync::Arc;
use std::time::Instant;

use loom_tests::explore;
use stripe_lock::lock_api::{RawRwLock, RawRwLockDowngrade, RawRwLockFair, RawRwLockTimed};
use stripe_lock::raw::WordRwLock;

use super::{Counter, join, spawn};

/// A read-write lock and its data.
struct Guarded {
    raw: WordRwLock,
    data: Counter,
}

/// The atomics of a lock are made on first use, which is here, before the threads start.
fn guarded() -> Arc<Guarded> {
    let guarded = Guarded { raw: RawRwLock::INIT, data: Counter::default() };
    guarded.write();
    Arc::new(guarded)
}

impl Guarded {
    fn write(&self) {
        let state = self.raw.lock_exclusive();
        self.data.add();
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock_exclusive(state) }
    }

    fn read(&self) {
        let state = self.raw.lock_shared();
        self.data.get();
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock_shared(state) }
    }

    fn write_fair(&self) {
        let state = self.raw.lock_exclusive();
        self.data.add();
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock_exclusive_fair(state) }
    }

    fn read_fair(&self) {
        let state = self.raw.lock_shared();
        self.data.get();
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock_shared_fair(state) }
    }

    fn write_and_read(&self) {
        let state = self.raw.lock_exclusive();
        self.data.add();
        // SAFETY: the state is that of the line before.
        let state = unsafe { self.raw.downgrade(state) };
        self.data.get();
        // SAFETY: the state is that of the downgrade.
        unsafe { self.raw.unlock_shared(state) }
    }

    /// Adds 1 if it gets the lock although the deadline has passed.
    fn write_or_give_up(&self, past: Instant) -> bool {
        let Some(state) = self.raw.try_lock_exclusive_until(past) else { return false };
        self.data.add();
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock_exclusive(state) }
        true
    }

    /// The count after the first, once all threads have ended.
    fn count(&self) -> u32 {
        let state = self.raw.try_lock_exclusive().expect("nothing is left locked");
        let count = self.data.get() - 1;
        // SAFETY: the state is that of the line before.
        unsafe { self.raw.unlock_exclusive(state) }
        count
    }
}

#[test]
fn two_writers_exclude_each_other() {
    explore("the read-write lock, 2 writers", None, || {
        let lock = guarded();
        let other = spawn(&lock, Guarded::write);
        lock.write();
        join([other]);
        assert_eq!(lock.count(), 2);
    });
}

#[test]
fn a_reader_and_a_writer_exclude_each_other() {
    explore("the read-write lock, a reader and a writer", None, || {
        let lock = guarded();
        let other = spawn(&lock, Guarded::read);
        lock.write();
        join([other]);
        assert_eq!(lock.count(), 1);
    });
}

#[test]
fn a_writer_beside_two_readers() {
    explore("the read-write lock, a writer and 2 readers", Some(2), || {
        let lock = guarded();
        let readers = [0; 2].map(|_| spawn(&lock, Guarded::read));
        lock.write();
        join(readers);
        assert_eq!(lock.count(), 1);
    });
}

#[test]
fn two_writers_beside_a_reader() {
    explore("the read-write lock, 2 writers and a reader, of which one locks twice", Some(2), || {
        let lock = guarded();
        let writer = spawn(&lock, Guarded::write);
        let reader = spawn(&lock, Guarded::read);
        lock.write();
        lock.write();
        join([writer, reader]);
        assert_eq!(lock.count(), 3);
    });
}

#[test]
fn fair_releases_hand_over() {
    explore("the read-write lock, 2 writers and a reader, fair releases", Some(2), || {
        let lock = guarded();
        let writer = spawn(&lock, Guarded::write_fair);
        let reader = spawn(&lock, Guarded::read_fair);
        lock.write();
        lock.write_fair();
        join([writer, reader]);
        assert_eq!(lock.count(), 3);
    });
}

#[test]
fn a_downgrade_lets_readers_in_and_no_writer() {
    explore("the read-write lock, a downgrade beside a reader and a writer", Some(2), || {
        let lock = guarded();
        let writer = spawn(&lock, Guarded::write);
        let reader = spawn(&lock, Guarded::read);
        lock.write_and_read();
        join([writer, reader]);
        assert_eq!(lock.count(), 2);
    });
}

#[test]
fn giving_up_passes_the_turn_on() {
    let past = Instant::now();
    explore("the read-write lock, readers beside a writer that gives up", Some(2), move || {
        let lock = guarded();
        let reader = spawn(&lock, Guarded::read);
        let third = lock.clone();
        let third = loom::thread::spawn(move || third.write_or_give_up(past));
        lock.read();
        join([reader]);
        let wrote = third.join().expect("no thread of a model panics");
        assert_eq!(lock.count(), u32::from(wrote));
    });
}

/// The readers behind the writer may share the lock at once. Nobody else would tell them before the first reader leaves, which waits for
/// them here.
#[test]
fn a_writer_that_gives_up_lets_readers_in() {
    let past = Instant::now();
    explore("the read-write lock, a writer that gives up between 2 readers", Some(2), move || {
        let lock = guarded();
        let state = lock.raw.lock_shared();
        let third = lock.clone();
        let third = loom::thread::spawn(move || third.write_or_give_up(past));
        join([spawn(&lock, Guarded::read)]);
        // SAFETY: the state is that of the lock above.
        unsafe { lock.raw.unlock_shared(state) }
        let wrote = third.join().expect("no thread of a model panics");
        assert_eq!(lock.count(), u32::from(wrote));
    });
}
