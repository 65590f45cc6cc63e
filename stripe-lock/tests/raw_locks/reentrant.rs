//! The guarantees of a striped reentrant mutex, over several raw mutexes.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::spin_mutex::SpinMutex;
use crate::common::{LONG, SHORT, elsewhere, keys, watched};
use stripe_lock::blocking::Guard;
use stripe_lock::raw::DefaultThreadId;
use stripe_lock::raw::{RawMutexFair, RawMutexTimed};
use stripe_lock::{DefaultHasher, StripedReentrantMutex};

/// The requirements of the suite on a raw mutex.
trait Raw: RawMutexTimed<Duration = Duration, Instant = Instant> + RawMutexFair + Send + Sync + 'static {}

impl<R: RawMutexTimed<Duration = Duration, Instant = Instant> + RawMutexFair + Send + Sync + 'static> Raw
    for R
{
}

type Locks<R> = StripedReentrantMutex<u64, Cell<u64>, R, DefaultThreadId, DefaultHasher>;

fn locks<R: Raw>(stripes: usize) -> Arc<Locks<R>> {
    Arc::new(Locks::with_hasher(stripes, DefaultHasher::default()))
}

fn free_for_others<R: Raw>(locks: &Arc<Locks<R>>, key: u64) -> bool {
    let attempts = elsewhere(|| {
        [
            locks.try_lock(&key).is_some(),
            locks.try_lock_arc(&key).is_some(),
            locks.try_lock_for(&key, Duration::ZERO).is_some(),
            locks.try_lock_until(&key, Instant::now()).is_some(),
            locks.try_lock_arc_until(&key, Instant::now()).is_some(),
            locks.try_lock_many(&[key]).is_some(),
            locks.try_lock_many_until(&[key], Instant::now()).is_some(),
        ]
    });
    assert!(attempts.iter().all(|&got| got == attempts[0]), "{attempts:?}");
    attempts[0]
}

fn its_thread_may_lock_again_and_others_wait_for_the_last_guard<R: Raw>() {
    watched(|| {
        let locks = locks::<R>(4);
        let keys = keys(4, |key| locks.stripe_of(key));
        let guard = locks.lock(&keys[0]);
        let again = [
            locks.try_lock(&keys[0]).unwrap(),
            locks.lock(&keys[0]),
            locks.try_lock_for(&keys[0], SHORT).unwrap(),
            locks.try_lock_until(&keys[0], Instant::now() + SHORT).unwrap(),
        ];
        let owned = [
            locks.lock_arc(&keys[0]),
            locks.try_lock_arc(&keys[0]).unwrap(),
            locks.try_lock_arc_until(&keys[0], Instant::now() + SHORT).unwrap(),
        ];
        let several = [
            locks.lock_many(&keys[..3]),
            locks.try_lock_many(&keys).unwrap(),
            locks.try_lock_many_until(&keys, Instant::now() + SHORT).unwrap(),
            locks.lock_all(),
            locks.try_lock_all().unwrap(),
        ];
        guard.set(7);
        assert!(again.iter().all(|guard| guard.get() == 7) && owned.iter().all(|guard| guard.get() == 7));
        assert!(several.iter().all(|guard| guard.get(&keys[0]).unwrap().get() == 7));
        assert!(elsewhere(|| locks.try_lock_all().is_none()));
        // Guards are released in another order than they were taken.
        for free in [drop as fn(_), Guard::unlock_fair].into_iter().cycle().zip(again).map(|(end, guard)| {
            end(guard);
            free_for_others(&locks, keys[0])
        }) {
            assert!(!free);
        }
        drop(guard);
        assert!(!free_for_others(&locks, keys[0]));
        drop(several);
        assert!(free_for_others(&locks, keys[1]), "held by the guards of several alone");
        assert!(!free_for_others(&locks, keys[0]));
        drop(owned);
        assert!(free_for_others(&locks, keys[0]));
    });
}

fn a_guard_of_several_adds_what_its_thread_holds<R: Raw>() {
    watched(|| {
        let locks = locks::<R>(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        let single = locks.lock(&keys[6]);
        // The stripe is below one that this thread holds, so a wait is an error.
        let several = locks.try_lock_many(&keys[3..5]).unwrap();
        let mut growing = locks.try_lock_many(&keys[..1]).unwrap();
        for key in [&keys[6], &keys[3], &keys[7]] {
            growing.extend(key).unwrap();
            growing.try_extend(key).unwrap();
        }
        growing.try_extend(&keys[1]).unwrap();
        assert!(growing.stripes().iter().eq([0, 1, 3, 6, 7]));
        assert!(growing.get_mut(&keys[6]).is_none(), "its data may be reached through other guards");
        drop((single, several));
        for (key, free) in keys.iter().zip([false, false, true, false, true, true, false, false]) {
            assert_eq!(free_for_others(&locks, *key), free);
        }
        growing.unlock_fair();
        assert!(elsewhere(|| locks.try_lock_all().is_some()));
    });
}

fn no_update_is_lost<R: Raw>() {
    watched(|| {
        let locks = locks::<R>(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for key in 0..1_000 {
                        let outer = locks.lock(&key);
                        let before = outer.get();
                        thread::yield_now();
                        locks.with(&key, |inner| inner.set(before + 1));
                    }
                });
            }
        });
        let locks = Arc::into_inner(locks).unwrap();
        assert_eq!(locks.into_inner().into_iter().map(Cell::into_inner).sum::<u64>(), 4_000);
    });
}

fn a_waiter_gets_it_in_time<R: Raw>() {
    watched(|| {
        let locks = locks::<R>(4);
        let guards = [locks.lock(&7), locks.lock(&7)];
        thread::scope(|scope| {
            let waiter = scope.spawn(|| locks.try_lock_for(&7, LONG).is_some());
            thread::sleep(SHORT);
            drop(guards);
            assert!(waiter.join().unwrap());
        });
    });
}

fn a_panic_in_a_section_releases_as_often_as_it_took<R: Raw>() {
    let locks = locks::<R>(4);
    let outer = locks.lock(&7);
    let section = AssertUnwindSafe(|| {
        let _again = (locks.lock(&7), locks.lock_all());
        locks.with(&7, |_| panic!("planted"));
    });
    assert!(catch_unwind(section).is_err());
    assert!(!free_for_others(&locks, 7), "the outer guard still holds it");
    drop(outer);
    assert!(elsewhere(|| locks.try_lock_all().is_some()));
}

suite! {
    byte: ::stripe_lock::raw::ByteMutex, parking_lot: ::parking_lot::RawMutex, spin: super::SpinMutex;
    its_thread_may_lock_again_and_others_wait_for_the_last_guard
    a_guard_of_several_adds_what_its_thread_holds
    no_update_is_lost
    a_waiter_gets_it_in_time
    a_panic_in_a_section_releases_as_often_as_it_took
}
