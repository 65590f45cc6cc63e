//! Keys with hostile hashes, and many keys.

use std::cell::Cell;
use std::hash::{BuildHasher, Hash, Hasher};

use crate::hostile::panic_of;
use crate::threads;
use stripe_lock::KeyedMutex;

/// A key whose hash panics on demand.
struct Fickle(u64, Cell<bool>);

impl PartialEq for Fickle {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Fickle {}

impl Hash for Fickle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert!(!self.1.get(), "no hash today");
        self.0.hash(state);
    }
}

#[test]
fn a_hash_that_panics_leaves_nothing_held() {
    let locks = KeyedMutex::<Fickle>::new();
    let keys = [Fickle(1, Cell::new(false)), Fickle(2, Cell::new(true))];
    assert!(panic_of(|| drop(locks.lock_many(&keys))).unwrap().contains("no hash today"));
    keys[1].1.set(false);
    assert!(locks.try_lock_many(&keys).is_some());
}

/// A hasher that gives every key the same hash. Then all keys exclude each other. Apart from that, the locks work.
#[derive(Clone, Default)]
struct Constant;

impl BuildHasher for Constant {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self
    }
}

impl Hasher for Constant {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, _: &[u8]) {}
}

#[test]
fn keys_with_one_hash_are_one_key() {
    let locks = KeyedMutex::<u64, Constant>::with_hasher(16, Constant);
    let guard = locks.lock_many(&[1, 2, 3]);
    assert!(locks.try_lock(&4).is_none());
    drop(guard);
    assert!(locks.try_lock(&4).is_some());
}

/// The memory of a bucket depends on the number of keys that are held at the same time.
#[test]
fn a_million_keys_are_held_at_once() {
    let locks = threads(64);
    let keys = 0..if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };
    let held: Vec<_> = keys.clone().map(|key| locks.try_lock(&key).expect("it is free")).collect();
    assert!(keys.clone().step_by(997).all(|key| locks.is_locked(&key)));
    drop(held);
    assert!(!keys.into_iter().any(|key| locks.is_locked(&key)));
}
