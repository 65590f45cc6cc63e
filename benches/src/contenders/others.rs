//! Blocking locks by key that need no crate but `dashmap` and `parking_lot`: striped by hand, and maps.

use std::{
    collections::HashMap,
    hash::{BuildHasher, DefaultHasher, Hash},
    iter,
    sync::Arc,
};

use super::traits::{KeyLock, KeyRwLock};

/// `std::sync::Mutex`, striped the way most first versions are: a vector, the standard hash, a remainder.
pub struct StdStriped<S = std::hash::BuildHasherDefault<DefaultHasher>> {
    stripes: Vec<std::sync::Mutex<()>>,
    hasher: S,
}

impl<S: BuildHasher> StdStriped<S> {
    /// Over `stripes` stripes.
    pub fn new(stripes: usize, hasher: S) -> Self {
        Self { stripes: iter::repeat_with(Default::default).take(stripes).collect(), hasher }
    }

    fn stripe_of(&self, key: &(impl Hash + ?Sized)) -> usize {
        (self.hasher.hash_one(key) % self.stripes.len() as u64) as usize
    }
}

impl<K: Hash + ?Sized, S: BuildHasher + Send + Sync> KeyLock<K> for StdStriped<S> {
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.stripes[self.stripe_of(key)].lock().expect("sections do not panic");
        section()
    }

    fn apart(&self, one: &K, other: &K) -> bool {
        self.stripe_of(one) != self.stripe_of(other)
    }
}

/// `std::sync::RwLock`, striped the same way.
pub struct StdStripedRw<S> {
    stripes: Vec<std::sync::RwLock<()>>,
    hasher: S,
}

impl<S: BuildHasher> StdStripedRw<S> {
    /// Over `stripes` stripes.
    pub fn new(stripes: usize, hasher: S) -> Self {
        Self { stripes: iter::repeat_with(Default::default).take(stripes).collect(), hasher }
    }

    fn stripe(&self, key: &(impl Hash + ?Sized)) -> &std::sync::RwLock<()> {
        &self.stripes[(self.hasher.hash_one(key) % self.stripes.len() as u64) as usize]
    }
}

impl<K: Hash + ?Sized, S: BuildHasher + Send + Sync> KeyRwLock<K> for StdStripedRw<S> {
    fn read<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.stripe(key).read().expect("sections do not panic");
        section()
    }

    fn write<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.stripe(key).write().expect("sections do not panic");
        section()
    }
}

/// `dashmap`, whose `get_mut` locks the shard of an existing entry.
pub struct Dashmap<K, S>(dashmap::DashMap<K, (), S>);

impl<K: Hash + Eq, S: BuildHasher + Clone> Dashmap<K, S> {
    /// A map that holds `keys`, in 64 shards.
    pub fn new(keys: impl IntoIterator<Item = K>, hasher: S) -> Self {
        let map = dashmap::DashMap::with_hasher_and_shard_amount(hasher, 64);
        for key in keys {
            map.insert(key, ());
        }
        Self(map)
    }
}

impl<K, S> KeyLock<K> for Dashmap<K, S>
where
    K: Hash + Eq + Send + Sync,
    S: BuildHasher + Clone + Send + Sync,
{
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _entry = self.0.get_mut(key).expect("every key was inserted");
        section()
    }
}

impl<K, S> KeyRwLock<K> for Dashmap<K, S>
where
    K: Hash + Eq + Send + Sync,
    S: BuildHasher + Clone + Send + Sync,
{
    fn read<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _entry = self.0.get(key).expect("every key was inserted");
        section()
    }

    fn write<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        self.with(key, section)
    }
}

/// A mutex for each key, in a map under a mutex. The first holder of a key inserts it, and the last one removes it.
pub struct MapOfMutexes<K, M = parking_lot::Mutex<()>>(
    parking_lot::Mutex<HashMap<K, Arc<M>, stripe_lock::DefaultHasher>>,
);

impl<K, M> Default for MapOfMutexes<K, M> {
    fn default() -> Self {
        Self(parking_lot::Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, M: Default> MapOfMutexes<K, M> {
    /// The mutex of a key.
    pub(super) fn get(&self, key: &K) -> Arc<M> {
        self.0.lock().entry(key.clone()).or_default().clone()
    }

    /// Removes the mutex of a key, which the caller has released, unless another holder or waiter is left.
    pub(super) fn leave(&self, key: &K, mutex: Arc<M>) {
        let mut map = self.0.lock();
        // One reference is the map's and one is the caller's. Every other thread that wants the key has a third.
        if Arc::strong_count(&mutex) == 2 {
            map.remove(key);
        }
        drop(map);
        drop(mutex);
    }
}

impl<K: Hash + Eq + Clone + Send + Sync> KeyLock<K> for MapOfMutexes<K> {
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let mutex = self.get(key);
        let guard = mutex.lock();
        let result = section();
        drop(guard);
        self.leave(key, mutex);
        result
    }
}
