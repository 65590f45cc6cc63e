//! Async locks by key: ours, and async locks without keys, striped by hand.

use std::{
    hash::{BuildHasher, Hash},
    iter,
    sync::Arc,
};

use crossbeam_utils::CachePadded;
use stripe_lock::{
    AsyncKeyedMutex, AsyncStripedMutex, AsyncStripedRwLock, DefaultHasher, Striped,
    asynchronous::keyed::AsyncKeyedMutexGuard,
    asynchronous::{AsyncMutexGuard, AsyncMutexMultiGuard, AsyncReadGuard, AsyncWriteGuard},
};

use super::{
    others::MapOfMutexes,
    traits::{
        AsyncKeyLock, AsyncKeyRwLock, AsyncMultiLock, AsyncMutex, AsyncRwLock, async_mutex, async_rw_lock,
    },
};

impl<K: Hash + Sync, S: BuildHasher + Send + Sync> AsyncKeyLock<K> for AsyncStripedMutex<K, (), S> {
    type Guard<'a>
        = AsyncMutexGuard<'a, K, (), S>
    where
        Self: 'a,
        K: 'a;

    #[inline]
    fn lock<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Guard<'a>> + Send {
        self.lock(key)
    }

    fn apart(&self, one: &K, other: &K) -> bool {
        self.stripe_of(one) != self.stripe_of(other)
    }
}

impl<K: Hash + Sync, S: BuildHasher + Send + Sync> AsyncKeyLock<K> for AsyncKeyedMutex<K, S> {
    type Guard<'a>
        = AsyncKeyedMutexGuard<'a, K, S>
    where
        Self: 'a,
        K: 'a;

    #[inline]
    fn lock<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Guard<'a>> + Send {
        self.lock(key)
    }
}

impl<K: Hash + Sync, S: BuildHasher + Send + Sync> AsyncMultiLock<K> for AsyncStripedMutex<K, (), S> {
    type Guards<'a>
        = AsyncMutexMultiGuard<'a, K, (), S>
    where
        Self: 'a,
        K: 'a;

    #[inline]
    fn lock_many<'a>(&'a self, keys: &'a [K]) -> impl Future<Output = Self::Guards<'a>> + Send {
        self.lock_many(keys)
    }
}

impl<K: Hash + Sync, S: BuildHasher + Send + Sync> AsyncKeyRwLock<K> for AsyncStripedRwLock<K, (), S> {
    type Reading<'a>
        = AsyncReadGuard<'a, K, (), S>
    where
        Self: 'a,
        K: 'a;
    type Writing<'a>
        = AsyncWriteGuard<'a, K, (), S>
    where
        Self: 'a,
        K: 'a;

    #[inline]
    fn read<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Reading<'a>> + Send {
        self.read(key)
    }

    #[inline]
    fn write<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Writing<'a>> + Send {
        self.write(key)
    }
}

/// Stripes of a lock without keys, as one would write them: each on cache lines of its own, chosen by our hasher.
pub type Padded<L> = Striped<u64, CachePadded<L>, DefaultHasher>;

/// This many stripes of a lock without keys.
pub fn padded<L: Default>(stripes: usize) -> Padded<L> {
    Striped::from_fn(stripes, DefaultHasher::default(), |_| CachePadded::default())
}

async_mutex! {
    tokio::sync::Mutex<()>: tokio::sync::MutexGuard<'a, ()>;
}

async_rw_lock! {
    tokio::sync::RwLock<()>: tokio::sync::RwLockReadGuard<'a, ()>, tokio::sync::RwLockWriteGuard<'a, ()>;
}

impl<L: AsyncMutex> AsyncKeyLock<u64> for Padded<L> {
    type Guard<'a>
        = L::Guard<'a>
    where
        L: 'a;

    #[inline]
    fn lock<'a>(&'a self, key: &'a u64) -> impl Future<Output = Self::Guard<'a>> + Send {
        L::lock(self.get(key))
    }

    fn apart(&self, one: &u64, other: &u64) -> bool {
        self.stripe_of(one) != self.stripe_of(other)
    }
}

impl<L: AsyncMutex> AsyncMultiLock<u64> for Padded<L> {
    type Guards<'a>
        = Vec<L::Guard<'a>>
    where
        L: 'a;

    /// Locks the stripes in sorted order, as is usually done by hand.
    #[inline]
    async fn lock_many<'a>(&'a self, keys: &'a [u64]) -> Self::Guards<'a> {
        let mut stripes: Vec<_> = keys.iter().map(|key| self.stripe_of(key)).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            guards.push(L::lock(self.stripe(stripe)).await);
        }
        guards
    }
}

impl<L: AsyncRwLock> AsyncKeyRwLock<u64> for Padded<L> {
    type Reading<'a>
        = L::Reading<'a>
    where
        L: 'a;
    type Writing<'a>
        = L::Writing<'a>
    where
        L: 'a;

    #[inline]
    fn read<'a>(&'a self, key: &'a u64) -> impl Future<Output = Self::Reading<'a>> + Send {
        L::read(self.get(key))
    }

    #[inline]
    fn write<'a>(&'a self, key: &'a u64) -> impl Future<Output = Self::Writing<'a>> + Send {
        L::write(self.get(key))
    }
}

/// A lock of another crate for each key from zero up, side by side.
pub struct PerKey<L>(Vec<L>);

impl<L: Default> PerKey<L> {
    /// With this many keys.
    pub fn new(keys: usize) -> Self {
        Self(iter::repeat_with(L::default).take(keys).collect())
    }
}

impl<L: AsyncMutex> AsyncKeyLock<u64> for PerKey<L> {
    type Guard<'a>
        = L::Guard<'a>
    where
        L: 'a;

    #[inline]
    fn lock<'a>(&'a self, key: &'a u64) -> impl Future<Output = Self::Guard<'a>> + Send {
        L::lock(&self.0[*key as usize])
    }
}

impl<L: AsyncRwLock> AsyncKeyRwLock<u64> for PerKey<L> {
    type Reading<'a>
        = L::Reading<'a>
    where
        L: 'a;
    type Writing<'a>
        = L::Writing<'a>
    where
        L: 'a;

    #[inline]
    fn read<'a>(&'a self, key: &'a u64) -> impl Future<Output = Self::Reading<'a>> + Send {
        L::read(&self.0[*key as usize])
    }

    #[inline]
    fn write<'a>(&'a self, key: &'a u64) -> impl Future<Output = Self::Writing<'a>> + Send {
        L::write(&self.0[*key as usize])
    }
}

/// A mutex of `tokio` for each key, in a map, as one would write it for tasks.
pub type MapOfTokioMutexes<K> = MapOfMutexes<K, tokio::sync::Mutex<()>>;

/// Holds a key of a [`MapOfTokioMutexes`].
pub struct InMap<'a, K: Hash + Eq + Clone> {
    map: &'a MapOfTokioMutexes<K>,
    key: &'a K,
    /// It is `None` only while the guard is dropped.
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl<K: Hash + Eq + Clone> Drop for InMap<'_, K> {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            let mutex = Arc::clone(tokio::sync::OwnedMutexGuard::mutex(&guard));
            drop(guard);
            self.map.leave(self.key, mutex);
        }
    }
}

impl<K: Hash + Eq + Clone + Send + Sync> AsyncKeyLock<K> for MapOfTokioMutexes<K> {
    type Guard<'a>
        = InMap<'a, K>
    where
        K: 'a;

    async fn lock<'a>(&'a self, key: &'a K) -> InMap<'a, K> {
        let guard = self.get(key).lock_owned().await;
        InMap { map: self, key, guard: Some(guard) }
    }
}
