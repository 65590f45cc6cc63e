//! Code of the caller that runs inside an acquisition: hashes that change, keys that panic or lock, guards that are
//! forgotten or dropped by a panic.

use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::common::spin_mutex::SpinMutex;
use crate::common::{elsewhere, keys, watched};
use crate::fickle::{Explosive, Fickle};
use stripe_lock::blocking::{Guard, MutexGuard};
use stripe_lock::{DefaultHasher, Extended, StripedMutex, StripedReentrantMutex, StripedRwLock};

#[test]
fn a_hash_that_changes_leaves_nothing_held() {
    let locks =
        StripedMutex::<Fickle, u64, SpinMutex, DefaultHasher>::with_hasher(64, DefaultHasher::default());
    for _ in 0..2_000 {
        let mut guard = locks.lock_many([&Fickle, &Fickle]);
        let held = guard.len();
        _ = guard.extend(&Fickle);
        _ = guard.try_extend(&Fickle);
        assert_eq!(guard.extend_or_restart([&Fickle, &Fickle]), Extended::Kept, "there is no other holder");
        assert!(guard.len() >= held);
        _ = (guard.get(&Fickle).is_some(), guard.get_mut(&Fickle).is_some());
        _ = guard.get_pair_mut(&Fickle, &Fickle).is_some();
        let before = guard.len();
        let released = guard.release(&Fickle);
        assert_eq!(guard.len() + usize::from(released), before);
        drop(guard);
        *locks.lock(&Fickle) += 1;
        assert!(locks.try_lock_all().is_some());
    }
    assert_eq!(locks.into_inner().into_iter().sum::<u64>(), 2_000);
}

#[test]
fn a_hash_that_panics_changes_nothing() {
    let locks = StripedMutex::<Explosive, u64>::new(8);
    let mut guard = locks.extendable(locks.lock_stripe(3));
    macro_rules! panics {
        ($($call:expr),* $(,)?) => {
            $(assert!(catch_unwind(AssertUnwindSafe(|| _ = $call)).is_err(), stringify!($call));)*
        };
    }
    panics!(
        locks.lock(&Explosive),
        locks.try_lock(&Explosive),
        locks.lock_many([&Explosive]),
        guard.extend(&Explosive),
        guard.release(&Explosive),
        guard.extend_or_restart([&Explosive]),
        guard.get_mut(&Explosive)
    );
    assert!(guard.stripes().iter().eq([3]));
    drop(guard);
    assert!(locks.try_lock_all().is_some());
}

#[test]
fn keys_that_panic_or_lock_come_before_the_first_stripe() {
    watched(|| {
        let locks = StripedMutex::<u64, u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        let until = |panics: usize| {
            keys.iter().enumerate().map(move |(i, key)| if i == panics { panic!("no key") } else { key })
        };
        let mut guard = locks.lock_many(&keys[..2]);
        for panics in 0..8 {
            assert!(catch_unwind(AssertUnwindSafe(|| drop(locks.lock_many(until(panics))))).is_err());
            assert!(catch_unwind(AssertUnwindSafe(|| drop(locks.try_lock_many(until(panics))))).is_err());
            let extends = catch_unwind(AssertUnwindSafe(|| _ = guard.extend_or_restart(until(panics))));
            assert!(extends.is_err() && guard.len() == 2);
        }
        drop(guard);
        // For each key, the iterator locks and releases all keys.
        let locking = || keys.iter().inspect(|_| keys.iter().for_each(|key| *locks.lock(key) += 1));
        assert_eq!(locks.lock_many(locking()).len(), 8);
        let mut nothing = locks.lock_many(&[]);
        assert_eq!(nothing.extend_or_restart(locking()), Extended::Kept);
        drop(nothing);
        assert!(locks.try_lock_all().is_some());
        assert_eq!(locks.into_inner(), [16; 8]);
    });
}

#[test]
fn a_forgotten_guard_keeps_its_stripe_and_no_other() {
    let (locks, rw) = (StripedMutex::<u64, u64>::new(8), StripedRwLock::<u64, u64>::new(8));
    let again = StripedReentrantMutex::<u64, u64>::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    mem::forget(locks.lock(&keys[0]));
    mem::forget(MutexGuard::map(locks.lock(&keys[1]), |data| data));
    mem::forget(locks.lock_many(&keys[2..4]));
    let mut guard = locks.lock_many(&keys[4..6]);
    assert!(guard.release(&keys[4]));
    mem::forget(guard);
    mem::forget(locks.extendable(locks.lock(&keys[6])));
    for (stripe, key) in keys.iter().enumerate() {
        assert_eq!(elsewhere(|| locks.try_lock(key).is_some()), [4, 7].contains(&stripe), "stripe {stripe}");
    }
    mem::forget((rw.read_stripe(0), rw.write_stripe(1), rw.upgradable_read_stripe(2)));
    assert!(rw.try_read_stripe(0).is_some() && rw.try_write_stripe(0).is_none());
    assert!(rw.try_read_stripe(1).is_none() && rw.try_read_stripe(2).is_some());
    assert!(rw.try_upgradable_read_stripe(2).is_none() && rw.try_write_stripe(3).is_some());
    mem::forget(again.lock_all());
    assert!(again.try_lock_all().is_some() && elsewhere(|| again.try_lock(&1).is_none()));
    // The set is dropped as usual, with its data.
    assert_eq!(locks.into_inner().len() + rw.into_inner().len() + again.into_inner().len(), 24);
}

#[test]
fn guards_dropped_by_a_panic_release_what_they_hold() {
    let (locks, rw) = (StripedMutex::<u64, u64>::new(8), StripedRwLock::<u64, u64>::new(8));
    let keys = keys(8, |key| locks.stripe_of(key));
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _one = MutexGuard::map(locks.lock(&keys[0]), |data| data);
        let mut several = locks.lock_many(&keys[1..4]);
        several.release(&keys[2]);
        let _restarted = several.extend_or_restart(&keys[5..7]);
        let mut unlocked = locks.lock(&keys[7]);
        let mut reader = rw.read(&1);
        Guard::unlocked(&mut unlocked, || Guard::unlocked(&mut reader, || panic!("inside")));
    }));
    assert!(panic.is_err());
    assert!(locks.try_lock_all().is_some() && rw.try_write_all().is_some());
}

/// A guard in a thread-local variable is dropped when the thread ends, possibly after the record of what the thread
/// holds.
#[test]
fn a_guard_may_outlive_the_record_of_its_thread() {
    thread_local! {
        static KEPT: Cell<Option<MutexGuard<'static, u64>>> = const { Cell::new(None) };
    }
    let locks: &StripedMutex<u64, u64> = Box::leak(Box::new(StripedMutex::new(8)));
    std::thread::spawn(|| KEPT.set(Some(locks.lock(&7)))).join().unwrap();
    assert!(locks.try_lock_all().is_some());
}
