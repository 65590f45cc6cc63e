//! The guarantees of a striped mutex, over several raw mutexes: exclusion by key, timeouts, trying, several keys, all
//! keys.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::spin_mutex::SpinMutex;
use crate::common::{LONG, Numbers, SHORT, elsewhere, key_on, keys, watched};
use stripe_lock::blocking::Guard;
use stripe_lock::raw::{RawMutexFair, RawMutexTimed};
use stripe_lock::{DefaultHasher, StripedMutex};

/// The requirements of the suite on a raw mutex.
trait Raw: RawMutexTimed<Duration = Duration, Instant = Instant> + RawMutexFair + Send + Sync + 'static {}

impl<R: RawMutexTimed<Duration = Duration, Instant = Instant> + RawMutexFair + Send + Sync + 'static> Raw
    for R
{
}

type Locks<R, T = u64> = StripedMutex<u64, T, R, DefaultHasher>;

fn locks<R: Raw, T: Default>(stripes: usize) -> Locks<R, T> {
    Locks::with_hasher(stripes, DefaultHasher::default())
}

fn same_key_is_serialised<R: Raw>() {
    // A load and a store, so that a second thread inside loses an update.
    let (locks, count) = (locks::<R, ()>(4), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let _guard = locks.lock(&7);
                    let before = count.load(Relaxed);
                    thread::yield_now();
                    count.store(before + 1, Relaxed);
                }
            });
        }
    });
    assert_eq!(count.into_inner(), 8_000);
}

fn different_stripes_are_held_at_the_same_time<R: Raw>() {
    watched(|| {
        let (locks, all_inside) = (locks::<R, u64>(8), Barrier::new(8));
        let keys = keys(8, |key| locks.stripe_of(key));
        thread::scope(|scope| {
            for key in &keys {
                scope.spawn(|| {
                    let mut guard = locks.lock(key);
                    *guard += 1;
                    // No thread passes this point before all have reached it, so locks of two stripes that excluded
                    // each other would hang.
                    all_inside.wait();
                    drop(guard);
                });
            }
        });
        assert_eq!(locks.into_inner(), [1; 8]);
    });
}

fn keys_of_one_stripe_exclude_each_other_and_no_others<R: Raw>() {
    let locks = locks::<R, u64>(4);
    let first = key_on(1, 0, |key| locks.stripe_of(key));
    let second = key_on(1, first + 1, |key| locks.stripe_of(key));
    let guard = locks.lock(&first);
    elsewhere(|| {
        assert!(locks.try_lock(&second).is_none() && locks.try_lock(&first).is_none());
        assert!(locks.is_locked(&second));
        for stripe in [0, 2, 3] {
            let other = key_on(stripe, 0, |key| locks.stripe_of(key));
            assert!(!locks.is_locked(&other) && locks.try_lock(&other).is_some());
        }
    });
    drop(guard);
    assert!(!locks.is_locked(&first) && locks.try_lock(&second).is_some());
    drop(locks.lock(&first));
}

fn timed_attempts_give_up_on_a_held_stripe<R: Raw>() {
    let locks = Arc::new(locks::<R, u64>(4));
    let keys = keys(4, |key| locks.stripe_of(key));
    let guard = locks.lock(&keys[2]);
    elsewhere(|| {
        let began = Instant::now();
        assert!(locks.try_lock_for(&keys[2], SHORT).is_none());
        assert!(locks.try_lock_until(&keys[2], Instant::now() + SHORT).is_none());
        assert!(locks.try_lock_arc_until(&keys[2], Instant::now() + SHORT).is_none());
        assert!(locks.try_lock_many_until(&keys, Instant::now() + SHORT).is_none());
        assert!(began.elapsed() >= 4 * SHORT, "gave up before its time");
        assert!(locks.try_lock_until(&keys[2], began).is_none(), "a deadline that has passed");
        // The failed attempt on all four had taken two of them.
        let free = locks.try_lock_many([&keys[0], &keys[1], &keys[3]]);
        assert_eq!(free.expect("given back").len(), 3);
    });
    drop(guard);
}

/// Whether an attempt on the third key, or on all of them, succeeded.
type Attempt<R> = fn(&Arc<Locks<R>>, &[u64]) -> bool;

fn timed_attempts_get_a_stripe_that_becomes_free<R: Raw>() {
    watched(|| {
        let locks = Arc::new(locks::<R, u64>(4));
        let keys = keys(4, |key| locks.stripe_of(key));
        let attempts: [Attempt<R>; 4] = [
            |locks, keys| locks.try_lock_for(&keys[2], LONG).is_some(),
            |locks, keys| locks.try_lock_until(&keys[2], Instant::now() + LONG).is_some(),
            |locks, keys| locks.try_lock_arc_until(&keys[2], Instant::now() + LONG).is_some(),
            |locks, keys| locks.try_lock_many_until(keys, Instant::now() + LONG).is_some(),
        ];
        for attempt in attempts {
            assert!(attempt(&locks, &keys), "free from the start");
            let (tell, told) = channel();
            thread::scope(|scope| {
                let guard = locks.lock(&keys[2]);
                let waiter = scope.spawn(|| {
                    tell.send(()).unwrap();
                    attempt(&locks, &keys)
                });
                told.recv().unwrap();
                thread::sleep(SHORT);
                drop(guard);
                assert!(waiter.join().unwrap(), "free in time");
            });
            assert!(locks.try_lock_all().is_some());
        }
    });
}

fn a_failed_attempt_on_many_takes_nothing<R: Raw>() {
    let locks = locks::<R, u64>(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    for held in 0..8 {
        let guard = locks.lock(&keys[held]);
        elsewhere(|| {
            assert!(locks.try_lock_many(&keys).is_none());
            assert!(locks.try_lock_all().is_none());
            for (stripe, key) in keys.iter().enumerate() {
                assert_eq!(
                    locks.try_lock(key).is_some(),
                    stripe != held,
                    "stripe {stripe}, with {held} held"
                );
            }
        });
        drop(guard);
        assert!(locks.try_lock_many(&keys).is_some() && locks.try_lock_all().is_some());
    }
}

fn a_panic_in_a_section_releases<R: Raw>() {
    let locks = Arc::new(locks::<R, u64>(8));
    let keys = keys(8, |key| locks.stripe_of(key));
    let sections: [&dyn Fn(); 6] = [
        &|| locks.with(&keys[1], |_| panic!("planted")),
        &|| {
            let _guard = locks.lock(&keys[1]);
            panic!("planted");
        },
        &|| {
            let _guard = locks.lock_arc(&keys[1]);
            panic!("planted");
        },
        &|| {
            let _guard = locks.lock_many(&keys[2..]);
            panic!("planted");
        },
        &|| {
            let mut guard = locks.lock_many(&keys[2..4]);
            guard.extend(&keys[6]).unwrap();
            panic!("planted");
        },
        &|| {
            let _guard = locks.lock_all();
            panic!("planted");
        },
    ];
    for section in sections {
        assert!(catch_unwind(AssertUnwindSafe(section)).is_err());
        assert!(elsewhere(|| locks.try_lock_all().is_some()), "something is still held");
        drop(locks.lock_all());
    }
}

fn no_update_is_lost<R: Raw>() {
    const THREADS: u64 = 16;
    const SUBJECTS: u64 = 1_000;
    watched(|| {
        let locks = locks::<R, HashMap<u64, u64>>(64);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let locks = &locks;
                scope.spawn(move || {
                    // Each thread begins with another key.
                    for i in 0..SUBJECTS {
                        let subject = (i + thread * SUBJECTS / THREADS) % SUBJECTS;
                        locks.with(&subject, |counts| *counts.entry(subject).or_default() += 1);
                    }
                });
            }
        });
        let mut counts = HashMap::new();
        locks.into_inner().into_iter().for_each(|stripe| counts.extend(stripe));
        assert_eq!(counts, (0..SUBJECTS).map(|subject| (subject, THREADS)).collect());
    });
}

fn all_excludes_every_single_and_every_many<R: Raw>() {
    watched(|| {
        let locks = locks::<R, i64>(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        thread::scope(|scope| {
            for seed in 0..3 {
                let (locks, keys) = (&locks, &keys);
                scope.spawn(move || {
                    let mut numbers = Numbers(seed);
                    for _ in 0..1_000 {
                        let (from, to) = (numbers.below(8) as usize, numbers.below(8) as usize);
                        let mut both = locks.lock_many([&keys[from], &keys[to]]);
                        *both.get_mut(&keys[from]).unwrap() -= 5;
                        thread::yield_now();
                        *both.get_mut(&keys[to]).unwrap() += 5;
                    }
                });
            }
            for _ in 0..300 {
                assert_eq!(locks.lock_all().iter().map(|(_, amount)| amount).sum::<i64>(), 0);
            }
        });
    });
}

fn owned_guards_outlive_every_other_owner<R: Raw>() {
    let locks = Arc::new(locks::<R, Arc<()>>(4));
    let (key, data) = (7, Arc::new(()));
    *locks.lock(&key) = data.clone();
    let guard = locks.lock_arc(&key);
    assert!(elsewhere(|| locks.try_lock_arc(&key).is_none()));
    drop(guard);
    let guard = locks.try_lock_arc(&key).expect("free again");
    drop(locks);
    assert!(Arc::ptr_eq(&guard, &data));
    assert_eq!(Arc::strong_count(&data), 2);
    drop(guard);
    assert_eq!(Arc::strong_count(&data), 1, "the last guard frees the set");
}

fn fair_release_releases<R: Raw>() {
    let locks = Arc::new(locks::<R, u64>(8));
    let keys = keys(8, |key| locks.stripe_of(key));
    Guard::unlock_fair(locks.lock(&keys[1]));
    Guard::unlock_fair(locks.lock_arc(&keys[1]));
    locks.lock_many(&keys[2..6]).unlock_fair();
    locks.lock_all().unlock_fair();
    assert!(elsewhere(|| locks.try_lock_all().is_some()));
    drop(locks.lock_all());
}

suite! {
    byte: ::stripe_lock::raw::ByteMutex, parking_lot: ::parking_lot::RawMutex, parking_lot_fair: ::parking_lot::RawFairMutex,
    spin: super::SpinMutex,
    #[cfg(feature = "lock_api_04")] lock_api_04: ::stripe_lock::raw::LockApi04<::parking_lot_012::RawMutex>;
    same_key_is_serialised
    different_stripes_are_held_at_the_same_time
    keys_of_one_stripe_exclude_each_other_and_no_others
    timed_attempts_give_up_on_a_held_stripe
    timed_attempts_get_a_stripe_that_becomes_free
    a_failed_attempt_on_many_takes_nothing
    a_panic_in_a_section_releases
    no_update_is_lost
    all_excludes_every_single_and_every_many
    owned_guards_outlive_every_other_owner
    fair_release_releases
}
