//! A thread looks up the stripe of its key, takes it, and looks again, because the stripes may have changed in between. Here they
//! change at exactly that moment, for each method that takes a stripe: its raw lock resizes the set before it is taken.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::common::observe::at_take;
use crate::common::spin_mutex::SpinMutex;
use crate::common::spin_rwlock::SpinRwLock;
use crate::common::{LONG, elsewhere, key_on};
use stripe_lock::blocking::{ArcMutexGuard, ArcRwLockWriteGuard, StripedLock};
use stripe_lock::lock_api::RawMutex;
use stripe_lock::raw::{Exclusive, Guards, RawAcquire};
use stripe_lock::{Extended, Fnv1a, StripedMutex, StripedRwLock};

type Mutexes = StripedMutex<u64, (), SpinMutex, Fnv1a>;
type RwLocks = StripedRwLock<u64, (), SpinRwLock, Fnv1a>;
type Locks<L> = StripedLock<u64, (), L, Fnv1a>;

/// A set that was resized, with the key of its last place.
fn resized<L: RawAcquire<Exclusive>>(most: usize, stripes: usize) -> (Arc<Locks<L>>, u64) {
    let locks = Arc::new(Locks::growing_with_hasher(1..=most, Fnv1a::default()));
    assert!(locks.resize(most));
    let key = key_on(most - 1, 0, |key| locks.stripe_of(key));
    assert!(locks.resize(stripes));
    (locks, key)
}

/// Resizes the set, which has up to `most` stripes, when `acquire` is about to take a stripe after `attempts` others. Those fail,
/// because another guard holds the stripe until then. `acquire` passes its key to what it is given while it holds the key.
fn across<L>(
    most: usize,
    attempts: impl IntoIterator<Item = u32>,
    hold: impl Fn(&Arc<Locks<L>>, u64) -> Box<dyn Send>,
    is_held: impl Fn(&Locks<L>, u64) -> bool + Sync,
    acquire: impl Fn(&Arc<Locks<L>>, u64, &dyn Fn()),
) where
    L: RawAcquire<Exclusive> + Guards<()> + Send + Sync + 'static,
{
    for attempts in attempts {
        for (before, after) in [(1, most), (most, 1), (2, most / 2), (most / 2, 2)] {
            let (locks, key) = resized(most, before);
            let blocks = (attempts > 0).then(|| hold(&locks, key));
            let done = Rc::new(Cell::new(false));
            at_take(attempts, {
                let (locks, done) = (locks.clone(), done.clone());
                move || {
                    drop(blocks);
                    assert!(elsewhere(|| locks.resize(after)));
                    done.set(true);
                }
            });
            acquire(&locks, key, &|| {
                assert!(done.get(), "no attempt after {attempts} others");
                assert!(
                    elsewhere(|| is_held(&locks, key)),
                    "a second section: {before} to {after} stripes, {attempts} attempts before"
                );
            });
            assert_eq!(locks.active_stripes().len(), after);
            assert!(!is_held(&locks, key), "a stripe is left locked");
        }
    }
}

/// As [`across`], for mutexes.
fn mutex(
    most: usize,
    attempts: impl IntoIterator<Item = u32>,
    acquire: impl Fn(&Arc<Mutexes>, u64, &dyn Fn()),
) {
    let hold = |locks: &Arc<Mutexes>, key| -> Box<dyn Send> {
        Box::new(ArcMutexGuard::hand_over(locks.lock_arc(&key)))
    };
    across(most, attempts, hold, |locks, key| locks.try_lock(&key).is_none(), acquire);
}

/// As [`across`], for read-write locks. `is_held` says whether the key is held in the right mode.
fn rwlock(
    attempts: impl IntoIterator<Item = u32>,
    is_held: impl Fn(&RwLocks, u64) -> bool + Sync,
    acquire: impl Fn(&Arc<RwLocks>, u64, &dyn Fn()),
) {
    let hold = |locks: &Arc<RwLocks>, key| -> Box<dyn Send> {
        Box::new(ArcRwLockWriteGuard::hand_over(locks.write_arc(&key)))
    };
    across(64, attempts, hold, is_held, acquire);
}

fn is_read(locks: &RwLocks, key: u64) -> bool {
    locks.try_write(&key).is_none()
}

fn is_written(locks: &RwLocks, key: u64) -> bool {
    locks.try_read(&key).is_none()
}

/// Makes a test of each call, whose guard is dropped after a check that it excludes others.
macro_rules! tests {
    ($($name:ident: $set:ident($($how:expr),*; |$locks:ident, $key:ident| $guard:expr);)*) => {
        $(
            #[test]
            fn $name() {
                $set($($how,)* |$locks, $key, check| {
                    let _guard = $guard;
                    check();
                });
            }
        )*
    };
}

tests! {
    lock: mutex(64, 0..2; |locks, key| locks.lock(&key));
    lock_in_a_set_of_two: mutex(4, 0..2; |locks, key| locks.lock(&key));
    try_lock: mutex(64, [0]; |locks, key| locks.try_lock(&key).unwrap());
    try_lock_for: mutex(64, 0..2; |locks, key| locks.try_lock_for(&key, LONG).unwrap());
    lock_arc: mutex(64, 0..2; |locks, key| locks.lock_arc(&key));
    try_lock_arc: mutex(64, [0]; |locks, key| locks.try_lock_arc(&key).unwrap());
    lock_many: mutex(64, 0..3; |locks, key| locks.lock_many(&[key]));
    lock_many_of_more_stripes: mutex(128, 0..2; |locks, key| locks.lock_many(&[key]));
    lock_many_arc: mutex(64, 0..3; |locks, key| locks.lock_many_arc(&[key]));
    try_lock_many: mutex(64, 0..2; |locks, key| locks.try_lock_many(&[key]).unwrap());
    try_lock_many_for: mutex(64, 0..3; |locks, key| locks.try_lock_many_for(&[key], LONG).unwrap());
    lock_all: mutex(64, 0..1; |locks, _key| locks.lock_all());
    try_lock_all: mutex(64, 0..1; |locks, _key| locks.try_lock_all().unwrap());
    extend: mutex(64, 0..1; |locks, key| {
        let mut guard = locks.lock_many(&[]);
        guard.extend(&key).unwrap();
        assert_eq!(guard.len(), 1, "stripes");
        guard
    });
    try_extend: mutex(64, 0..1; |locks, key| {
        let mut guard = locks.lock_many(&[]);
        guard.try_extend(&key).unwrap();
        assert_eq!(guard.len(), 1, "stripes");
        guard
    });
    extend_or_restart: mutex(64, 0..1; |locks, key| {
        let mut guard = locks.lock_many(&[]);
        let _: Extended = guard.extend_or_restart(&[key]);
        assert_eq!(guard.len(), 1, "stripes");
        guard
    });
    write: rwlock(0..2, is_written; |locks, key| locks.write(&key));
    read: rwlock(0..2, is_read; |locks, key| locks.read(&key));
    upgradable_read: rwlock(0..2, is_read; |locks, key| locks.upgradable_read(&key));
    write_many: rwlock(0..3, is_written; |locks, key| locks.write_many(&[key]));
    read_many: rwlock(0..3, is_read; |locks, key| locks.read_many(&[key]));
    batch: rwlock(0..2, is_written; |locks, key| locks.batch().write(&key).lock());
    batch_of_both_modes: rwlock(0..1, is_written; |locks, key| {
        let whole = RwLocks::with_hasher(64, Fnv1a::default());
        let first = key_on(0, 0, |key| whole.stripe_of(key));
        locks.batch().read(&first).write(&key).lock()
    });
}

/// The negative control: a set that does not look again.
#[test]
fn a_set_that_looks_once_is_found() {
    let owner = Rc::new(AtomicUsize::new(0));
    at_take(0, {
        let owner = owner.clone();
        move || owner.store(1, SeqCst)
    });
    let stripes = [SpinMutex::INIT, SpinMutex::INIT];
    let _state = stripes[owner.load(SeqCst)].lock();
    let now = owner.load(SeqCst);
    assert!(elsewhere(|| stripes[now].try_lock().is_some()), "a second section");
}
