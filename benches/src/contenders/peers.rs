//! Locks by key from other crates, each used as its documentation shows.

mod awaited;

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hash},
    iter,
    num::NonZeroUsize,
};

pub use awaited::{KeyedLockAsync, LockableAsync, SaaAlone, StripedLockAsync};
use crossbeam_utils::CachePadded;
use happylock::{LockCollection, ThreadKey};
use lockable::LockPool;

use super::traits::{HoldMany, KeyLock, MultiLock};

/// `scc::HashMap`, whose `get_sync` locks the bucket of an existing entry.
pub struct Scc<K, S: BuildHasher>(scc::HashMap<K, (), S>);

impl<K: Hash + Eq, S: BuildHasher> Scc<K, S> {
    /// A map that holds `keys`.
    pub fn new(keys: impl IntoIterator<Item = K>, hasher: S) -> Self {
        let map = scc::HashMap::with_hasher(hasher);
        for key in keys {
            map.upsert_sync(key, ());
        }
        Self(map)
    }
}

impl<K, S> KeyLock<K> for Scc<K, S>
where
    K: Hash + Eq + Send + Sync,
    S: BuildHasher + Send + Sync,
{
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _entry = self.0.get_sync(key).expect("every key was inserted");
        section()
    }
}

/// `lockable::LockPool`: an exact lock for each key, created and removed on demand.
#[derive(Default)]
pub struct Lockable<K: Hash + Eq + Clone>(LockPool<K>);

impl<K: Hash + Eq + Clone + Send + Sync> KeyLock<K> for Lockable<K> {
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.blocking_lock(key.clone());
        section()
    }
}

impl<K: Ord + Hash + Eq + Clone + Send + Sync> MultiLock<K> for Lockable<K> {
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R {
        let sorted: BTreeSet<_> = keys.iter().cloned().collect();
        let _guards: Vec<_> = sorted.into_iter().map(|key| self.0.blocking_lock(key)).collect();
        section()
    }
}

/// `keyed_lock`: an exact lock for each key, created and removed on demand under one lock.
pub struct KeyedLock<K: Hash + Eq + Clone>(keyed_lock::sync::KeyedLock<K>);

impl<K: Hash + Eq + Clone> Default for KeyedLock<K> {
    fn default() -> Self {
        Self(keyed_lock::sync::KeyedLock::new())
    }
}

impl<K: Hash + Eq + Clone + Send + Sync> KeyLock<K> for KeyedLock<K> {
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock(key.clone());
        section()
    }
}

impl<K: Hash + Eq + Clone + Send + Sync> HoldMany<K> for Lockable<K> {
    type Guard<'a>
        = <LockPool<K> as lockable::Lockable<K, ()>>::Guard<'a>
    where
        K: 'a;

    fn hold(&self, key: K) -> Self::Guard<'_> {
        self.0.blocking_lock(key)
    }
}

impl<K: Hash + Eq + Clone> HoldMany<K> for KeyedLock<K> {
    type Guard<'a>
        = keyed_lock::sync::Guard<'a, K>
    where
        K: 'a;

    fn hold(&self, key: K) -> Self::Guard<'_> {
        self.0.lock(key)
    }
}

/// `striped_lock` 0.1, which locks at most four keys at once.
pub struct StripedLock<K: Hash, S: BuildHasher>(striped_lock::std::StripedLock<K, S>);

impl<K: Hash, S: BuildHasher> StripedLock<K, S> {
    /// Over `stripes` stripes.
    ///
    /// # Panics
    ///
    /// Panics for no stripes.
    pub fn new(stripes: usize, hasher: S) -> Self {
        let stripes = NonZeroUsize::new(stripes).expect("at least one stripe");
        Self(striped_lock::std::StripedLock::with_hasher(hasher, stripes))
    }
}

impl<K: Hash + Clone + Send + Sync, S: BuildHasher + Send + Sync> KeyLock<K> for StripedLock<K, S> {
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock(key.clone()).unwrap_or_else(|_| unreachable!("sections do not panic"));
        section()
    }
}

impl<K: Hash + Clone + Send + Sync, S: BuildHasher + Send + Sync> MultiLock<K> for StripedLock<K, S> {
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R {
        let key = |i: usize| keys[i].clone();
        let guard = match keys.len() {
            2 => self.0.lock_batch((key(0), key(1))),
            4 => self.0.lock_batch((key(0), key(1), key(2), key(3))),
            other => panic!(
                "striped-lock takes up to four keys at once, and is measured with 2 and 4, not {other}"
            ),
        };
        let _guard = guard.unwrap_or_else(|_| unreachable!("sections do not panic"));
        section()
    }
}

/// `happylock` mutexes striped by hand: it has no keys, but it locks several mutexes without deadlock.
pub struct Happylock<S> {
    stripes: Box<[CachePadded<happylock::Mutex<()>>]>,
    hasher: S,
}

impl<S: BuildHasher> Happylock<S> {
    /// Over `stripes` stripes.
    pub fn new(stripes: usize, hasher: S) -> Self {
        let stripes =
            iter::repeat_with(|| CachePadded::new(happylock::Mutex::new(()))).take(stripes).collect();
        Self { stripes, hasher }
    }

    fn stripe_of(&self, key: &(impl Hash + ?Sized)) -> usize {
        (self.hasher.hash_one(key) % self.stripes.len() as u64) as usize
    }
}

impl<K: Hash + ?Sized, S: BuildHasher + Send + Sync> KeyLock<K> for Happylock<S> {
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let thread = ThreadKey::get().expect("sections take no other lock");
        let _guard = self.stripes[self.stripe_of(key)].lock(thread);
        section()
    }

    fn apart(&self, one: &K, other: &K) -> bool {
        self.stripe_of(one) != self.stripe_of(other)
    }
}

impl<K: Hash, S: BuildHasher + Send + Sync> MultiLock<K> for Happylock<S> {
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R {
        // The collection sorts its locks, but refuses duplicates.
        let mut wanted: Vec<_> = keys.iter().map(|key| self.stripe_of(key)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mutexes: Vec<_> = wanted.into_iter().map(|stripe| &*self.stripes[stripe]).collect();
        let locks = LockCollection::try_new(mutexes).expect("no duplicates are left");
        let _guard = locks.lock(ThreadKey::get().expect("sections take no other lock"));
        section()
    }
}
