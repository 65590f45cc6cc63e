//! The tests of Guava's `Striped`, as far as they apply to sets of this crate.
//!
//! Left out: null (`testNull`), and locks that are made on demand and garbage-collected (`testWeakImplementations`,
//! `testWeakReadWrite`, `testMaximalWeakStripedLock`, `testMaxSize`), because this crate has neither. Stripes live as
//! long as the set, and a set has at most `MAX_STRIPES`.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use stripe_lock::{MAX_STRIPES, StripedMutex, StripedReentrantMutex, StripedRwLock};

/// `testSizes`: never fewer stripes than requested, in all kinds of sets.
#[test]
fn a_set_is_no_smaller_than_asked_for() {
    for asked in [1, 2, 3, 100, 255, 256, 1_025] {
        let sizes = [
            StripedMutex::<u64>::new(asked).stripes(),
            StripedRwLock::<u64>::new(asked).stripes(),
            StripedReentrantMutex::<u64>::new(asked).stripes(),
        ];
        assert!(
            sizes.iter().all(|&size| size >= asked && size < 2 * asked && size.is_power_of_two()),
            "{sizes:?}"
        );
    }
    for asked in [0, MAX_STRIPES + 1] {
        assert!(catch_unwind(|| StripedMutex::<u64>::new(asked)).is_err());
    }
}

/// `testStrongImplementations`: a key has one lock for the lifetime of the set.
#[test]
fn a_key_keeps_its_stripe() {
    let locks = StripedMutex::<String, u64>::new(16);
    for round in 0..3 {
        for key in 0..1_000 {
            let key = format!("key {key}");
            let held = locks.lock(&key);
            assert!(locks.try_lock_stripe(locks.stripe_of(key.as_str())).is_none(), "{key} in round {round}");
            drop(held);
        }
    }
}

/// `testBulkGetReturnsSorted`: the locks of several keys come in the order of their indices, each once.
#[test]
fn many_keys_are_sorted() {
    for stripes in [16, 1 << 12] {
        let locks = StripedMutex::<u64, u64>::new(stripes);
        let keys: Vec<u64> = (0..200).map(|key| key * 7 % 131).collect();
        let guard = locks.lock_many(&keys);
        let expected: BTreeSet<usize> = keys.iter().map(|key| locks.stripe_of(key)).collect();
        assert!(guard.iter().map(|(stripe, _)| stripe).eq(expected));
    }
}

/// `testBasicInvariants`: every index has a stripe of its own, every key belongs to one of them, and there are no
/// others.
#[test]
fn every_index_has_a_stripe_and_every_key_one_of_them() {
    let mut locks = StripedMutex::<u64, usize>::from_fn(64, <_>::default(), |index| index);
    let mut seen = BTreeSet::new();
    for index in 0..locks.stripes() {
        let guard = locks.lock_stripe(index);
        assert!(seen.insert(*guard), "a stripe of its own");
        assert!((0..locks.stripes()).all(|other| locks.try_lock_stripe(other).is_some() == (other != index)));
    }
    for key in 0..10_000 {
        let stripe = locks.stripe_of(&key);
        assert_eq!(*locks.lock(&key), stripe);
        assert_eq!(*locks.get_mut(&key), stripe);
    }
    for beyond in [locks.stripes(), usize::MAX] {
        assert!(catch_unwind(AssertUnwindSafe(|| drop(locks.lock_stripe(beyond)))).is_err());
    }
}
