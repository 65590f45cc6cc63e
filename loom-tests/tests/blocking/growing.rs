//! Stripes that are split and merged while others lock them.

use std::sync::Arc;

use loom_tests::{LoomMutex, LoomRwLock, explore};
use stripe_lock::blocking::{MutexGuard, Split};
use stripe_lock::{StripedMutex, StripedRwLock};

use super::{ByStripe, Counter, join};

/// A stripe's own number for each of two keys.
#[derive(Default)]
struct Pot([u32; 2]);

impl Split<u64> for Pot {
    fn split(&mut self, upper: &mut Self, mut moves: impl FnMut(&u64) -> bool) {
        for key in 0..2 {
            if moves(&key) {
                upper.0[key as usize] += std::mem::take(&mut self.0[key as usize]);
            }
        }
    }

    fn merge(&mut self, upper: &mut Self) {
        for key in 0..2 {
            self.0[key] += std::mem::take(&mut upper.0[key]);
        }
    }
}

/// Locks without data.
type Locks = StripedMutex<u64, (), LoomMutex, ByStripe>;

/// Keys 0 and 1, which may share a stripe, and the data that each protects.
struct Keys {
    locks: StripedMutex<u64, Pot, LoomMutex, ByStripe>,
    data: [Counter; 2],
}

impl Keys {
    fn new(stripes: usize) -> Arc<Self> {
        let locks = StripedMutex::growing_with_hasher(1..=2, ByStripe::of(2));
        locks.resize(2);
        assert_eq!([0, 1].map(|key: u64| locks.stripe_of(&key)), [0, 1], "the hasher maps key n to stripe n");
        locks.resize(stripes);
        Arc::new(Self { locks, data: Default::default() })
    }

    /// A section of one key.
    fn add(&self, key: u64) {
        let mut pot = self.locks.lock(&key);
        self.data[key as usize].add();
        pot.0[key as usize] += 1;
    }

    /// A section of both keys.
    fn add_both(&self) {
        let mut pots = self.locks.lock_many(&[0, 1]);
        for key in [0, 1] {
            self.data[key as usize].add();
            pots.get_mut(&key).expect("it is held").0[key as usize] += 1;
        }
    }

    /// Asserts how many sections each key had.
    fn have(&self, counts: [u32; 2]) {
        let pots = self.locks.lock_all();
        assert_eq!([0, 1].map(|key| self.data[key].get()), counts, "sections");
        assert_eq!(
            [0, 1].map(|key: u64| pots.get(&key).unwrap().0[key as usize]),
            counts,
            "data of the stripe"
        );
    }
}

fn beside(keys: &Arc<Keys>, others: &[fn(&Keys)], here: impl FnOnce(&Keys)) {
    let threads: Vec<_> = others.iter().map(|&other| super::spawn(keys, other)).collect();
    here(keys);
    join(threads);
}

fn grow(keys: &Keys) {
    assert!(keys.locks.resize(2));
}

fn shrink(keys: &Keys) {
    assert!(keys.locks.resize(1));
}

#[test]
fn one_key_across_a_split() {
    explore("one key across a split", Some(3), || {
        let keys = Keys::new(1);
        beside(&keys, &[grow, |keys| keys.add(1)], |keys| keys.add(1));
        keys.have([0, 2]);
    });
}

#[test]
fn one_key_across_a_merge() {
    explore("one key across a merge", Some(3), || {
        let keys = Keys::new(2);
        beside(&keys, &[shrink, |keys| keys.add(1)], |keys| keys.add(1));
        keys.have([0, 2]);
    });
}

#[test]
fn one_key_across_both() {
    explore("one key across a split and a merge", Some(3), || {
        let keys = Keys::new(1);
        beside(&keys, &[|keys| keys.add(1)], |keys| {
            grow(keys);
            keys.add(1);
            shrink(keys);
        });
        keys.have([0, 2]);
    });
}

#[test]
fn two_resize() {
    explore("two resize beside a single", Some(3), || {
        let keys = Keys::new(1);
        beside(&keys, &[grow, |keys| keys.add(1)], |keys| {
            shrink(keys);
            keys.add(1);
        });
        keys.have([0, 2]);
    });
}

#[test]
fn many_across_a_split() {
    explore("lock_many across a split", Some(3), || {
        let keys = Keys::new(1);
        beside(&keys, &[grow, |keys| keys.add(1)], Keys::add_both);
        keys.have([1, 2]);
    });
}

#[test]
fn many_across_a_merge() {
    explore("lock_many across a merge", Some(3), || {
        let keys = Keys::new(2);
        beside(&keys, &[shrink, |keys| keys.add(1)], Keys::add_both);
        keys.have([1, 2]);
    });
}

#[test]
fn all_across_a_split() {
    explore("lock_all across a split", Some(3), || {
        let keys = Keys::new(1);
        beside(&keys, &[grow, |keys| keys.add(1)], |keys| {
            let all = keys.locks.lock_all();
            assert!(all.holds(&0) && all.holds(&1), "all are held");
            let _counts = [0, 1].map(|key| keys.data[key].get());
        });
        keys.have([0, 1]);
    });
}

#[test]
fn a_try_across_a_split() {
    explore("try_lock across a split", Some(3), || {
        let keys = Keys::new(1);
        beside(&keys, &[grow, |keys| keys.add(1)], |keys| {
            if let Some(mut pot) = keys.locks.try_lock(&1) {
                keys.data[1].add();
                pot.0[1] += 1;
                drop(pot);
            } else {
                keys.add(1);
            }
        });
        keys.have([0, 2]);
    });
}

#[test]
fn an_extension_across_a_split() {
    explore("extend across a split", Some(3), || {
        let keys = Keys::new(1);
        let add_next = |keys: &Keys| {
            let mut guard = keys.locks.lock_many(&[]);
            guard.extend(&1).expect("nothing is held");
            keys.data[1].add();
            guard.get_mut(&1).expect("it is held").0[1] += 1;
        };
        beside(&keys, &[grow, |keys| keys.add(1)], add_next);
        keys.have([0, 2]);
    });
}

#[test]
fn a_restart_keeps_what_it_named() {
    explore("extend_or_restart across a split", Some(3), || {
        let locks = Arc::new(Locks::growing_with_hasher(2..=4, ByStripe::of(4)));
        let others = [|locks: &Locks| drop(locks.lock(&0)), |locks: &Locks| assert!(locks.resize(4))]
            .map(|other| super::spawn(&locks, other));
        let mut guard = locks.lock_many(&[3]);
        let _restarted = guard.extend_or_restart(&[0]);
        assert!(guard.holds(&3) && guard.holds(&0), "it is held");
        drop(guard);
        join(others);
    });
}

#[test]
fn an_unlocked_guard_keeps_its_stripe() {
    explore("unlocked beside a split", Some(3), || {
        let keys = Keys::new(1);
        beside(&keys, &[|keys| _ = keys.locks.resize(2), |keys| keys.add(1)], |keys| {
            let mut pot = keys.locks.lock(&1);
            MutexGuard::unlocked(&mut pot, || ());
            keys.data[1].add();
            pot.0[1] += 1;
        });
        keys.have([0, 2]);
    });
}

#[test]
fn false_contention_splits() {
    explore("a stripe is split because its keys wait", Some(3), || {
        let keys = Keys::new(1);
        beside(&keys, &[|keys| keys.add(0), |keys| keys.add(1)], |keys| keys.add(1));
        keys.have([1, 2]);
    });
}

#[test]
fn a_false_wait_for_many_splits() {
    explore("a stripe is split because lock_many waits", Some(3), || {
        let keys = Keys::new(1);
        beside(&keys, &[|keys| keys.add(0), |keys| keys.add(1)], |keys| {
            let mut pots = keys.locks.lock_many(&[1]);
            assert_eq!(pots.len(), 1, "no other stripe is held");
            keys.data[1].add();
            pots.get_mut(&1).expect("it is held").0[1] += 1;
        });
        keys.have([1, 2]);
    });
}

/// Two keys that are read and written.
struct Readable {
    locks: StripedRwLock<u64, (), LoomRwLock, ByStripe>,
    data: [Counter; 2],
}

impl Readable {
    fn new(stripes: usize) -> Arc<Self> {
        let locks = StripedRwLock::growing_with_hasher(1..=2, ByStripe::of(2));
        locks.resize(2);
        locks.resize(stripes);
        Arc::new(Self { locks, data: Default::default() })
    }

    fn write(&self, key: u64) {
        let _guard = self.locks.write(&key);
        self.data[key as usize].add();
    }

    fn read(&self, key: u64) {
        let _guard = self.locks.read(&key);
        self.data[key as usize].get();
    }
}

#[test]
fn a_batch_across_a_merge() {
    explore("a batch across a merge", Some(3), || {
        let keys = Readable::new(2);
        let others = [|keys: &Readable| assert!(keys.locks.resize(1)), |keys: &Readable| keys.read(1)]
            .map(|other| super::spawn(&keys, other));
        let guard = keys.locks.batch().read(&0).write(&1).lock();
        assert!(guard.holds(&0) && guard.holds(&1), "it is held");
        keys.data[0].get();
        keys.data[1].add();
        drop(guard);
        join(others);
    });
}

#[test]
fn many_carry_out_a_split() {
    explore("lock_many splits a stripe in passing", Some(3), || {
        let keys = Readable::new(1);
        let other = super::spawn(&keys, |keys| keys.write(0));
        // This may wait falsely. Only a writer can split the stripe.
        keys.read(1);
        let guard = keys.locks.write_many(&[1]);
        assert!(guard.holds(&1), "it is held");
        keys.data[1].add();
        drop(guard);
        join([other]);
    });
}
