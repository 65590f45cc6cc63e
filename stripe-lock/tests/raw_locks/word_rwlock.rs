//! The raw read-write lock of the library: tests that do not apply to every raw read-write lock.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{LONG, SHORT, elsewhere, watched};
use stripe_lock::lock_api::{RawRwLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use stripe_lock::raw::WordRwLock;

type Word<T> = RwLock<WordRwLock, T>;

#[test]
fn it_is_eight_bytes_and_says_whether_it_is_locked() {
    assert_eq!((size_of::<WordRwLock>(), align_of::<WordRwLock>()), (8, 8));
    let lock = Word::new(());
    // SAFETY: the raw lock is only inspected.
    let raw = unsafe { lock.raw() };
    assert_eq!(format!("{raw:?}"), "WordRwLock { locked: false, .. }");
    let guard = lock.read();
    assert!(raw.is_locked() && !raw.is_locked_exclusive());
    drop(guard);
    let guard = lock.write();
    assert!(raw.is_locked() && raw.is_locked_exclusive());
    drop(guard);
    assert!(!raw.is_locked());
}

#[test]
fn readers_share_and_a_writer_excludes_all() {
    let lock = Word::new(1);
    let (one, two) = (lock.read(), lock.try_read().expect("readers share"));
    assert!(elsewhere(|| lock.try_read().is_some() && lock.try_write().is_none()));
    assert!(elsewhere(|| lock.try_write_for(SHORT).is_none()));
    drop(one);
    assert!(elsewhere(|| lock.try_write().is_none()), "one is left");
    drop(two);
    let guard = lock.write();
    assert!(elsewhere(|| lock.try_read().is_none() && lock.try_write().is_none()));
    assert!(elsewhere(|| lock.try_read_until(Instant::now() + SHORT).is_none()));
    let guard = RwLockWriteGuard::downgrade(guard);
    assert!(elsewhere(|| lock.try_read().is_some() && lock.try_write().is_none()));
    drop(guard);
    assert!(elsewhere(|| lock.try_write_for(Duration::MAX).is_some()));
}

/// Two threads hold the lock again and again, so that it is never free for long.
fn hogs(lock: &Word<u64>, write: bool, victim: impl FnOnce()) {
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                let busy = || {
                    let since = Instant::now();
                    while since.elapsed() < Duration::from_micros(200) {}
                };
                while !stop.load(Relaxed) {
                    if write {
                        let _guard = lock.write();
                        busy();
                    } else {
                        let _guard = lock.read();
                        busy();
                    }
                }
            });
        }
        victim();
        stop.store(true, Relaxed);
    });
}

/// If these depended on chance, they would not end before the watchdog.
#[test]
fn readers_do_not_keep_a_writer_out() {
    watched(|| {
        let lock = Word::new(0);
        hogs(&lock, false, || (0..100).for_each(|_| *lock.write() += 1));
        assert_eq!(*lock.read(), 100);
    });
}

#[test]
fn writers_keep_neither_readers_nor_a_writer_out() {
    watched(|| {
        let lock = Word::new(0);
        hogs(&lock, true, || {
            for _ in 0..50 {
                let seen = *lock.read();
                *lock.write() = seen + 1;
            }
        });
        assert_eq!(*lock.read(), 50);
    });
}

#[test]
fn a_newcomer_waits_behind_a_writer_that_waits_for_readers() {
    watched(|| {
        let lock = Arc::new(Word::new(0));
        let guard = lock.read();
        let writer = thread::spawn({
            let lock = lock.clone();
            move || *lock.write() += 1
        });
        // The writer goes to sleep at some time. From then on no reader gets in.
        while elsewhere(|| lock.try_read().is_some()) {
            thread::yield_now();
        }
        drop(guard);
        writer.join().unwrap();
        assert_eq!(*lock.try_read().expect("nobody waits any more"), 1);
    });
}

#[test]
fn a_writer_lets_all_readers_in_that_wait() {
    watched(|| {
        let (lock, all) = (Word::new(0), Barrier::new(3));
        let guard = lock.write();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let _guard = lock.read();
                    // All three hold the lock at the same time.
                    all.wait();
                });
            }
            thread::sleep(SHORT);
            drop(guard);
        });
        assert!(lock.try_write().is_some());
    });
}

/// A reader that waits behind a writer does not wait for the other readers, once the writer has given up.
#[test]
fn a_writer_that_gives_up_lets_readers_in() {
    watched(|| {
        let lock = Word::new(0);
        let guard = lock.read();
        thread::scope(|scope| {
            let writer = scope.spawn(|| lock.try_write_for(20 * SHORT).is_none());
            while !writer.is_finished() && elsewhere(|| lock.try_read().is_some()) {
                thread::yield_now();
            }
            scope.spawn(|| drop(lock.read())).join().unwrap();
            assert!(writer.join().unwrap(), "it had no chance");
        });
        drop(guard);
    });
}

#[test]
fn fair_releases_pass_the_lock_on() {
    watched(|| {
        let (lock, writes) = (Word::new(0_u64), AtomicU64::new(0));
        thread::scope(|scope| {
            for writer in [true, false, true, false] {
                let (lock, writes) = (&lock, &writes);
                scope.spawn(move || {
                    for _ in 0..500 {
                        if writer {
                            let mut guard = lock.write();
                            *guard += 1;
                            writes.fetch_add(1, Relaxed);
                            RwLockWriteGuard::unlock_fair(guard);
                        } else {
                            let guard = lock.read();
                            assert_eq!(*guard, writes.load(Relaxed));
                            RwLockReadGuard::unlock_fair(guard);
                        }
                    }
                });
            }
        });
        assert_eq!(*lock.read(), 1000);
    });
}

#[test]
fn waiters_that_give_up_pass_the_turn_on() {
    watched(|| {
        let (lock, entered) = (Word::new(()), AtomicUsize::new(0));
        thread::scope(|scope| {
            for (patient, writes) in
                [(true, true), (false, true), (true, false), (false, false), (false, true)]
            {
                let (lock, entered) = (&lock, &entered);
                scope.spawn(move || {
                    for turn in 0..1_000_u64 {
                        let limit = if patient { LONG } else { Duration::from_micros(turn % 50) };
                        let (read, write);
                        let held = if writes {
                            write = lock.try_write_for(limit);
                            write.is_some()
                        } else {
                            read = lock.try_read_for(limit);
                            read.is_some()
                        };
                        entered.fetch_add(usize::from(held), Relaxed);
                        if turn % 16 == 0 {
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        assert!(entered.into_inner() >= 2_000, "a waiter with enough time gets the lock");
        assert!(lock.try_write().is_some());
    });
}
