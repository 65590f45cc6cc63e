//! Async locks from other crates: mutexes without keys, and locks by key.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hash},
    num::NonZeroUsize,
};

use lockable::LockPool;

use super::super::traits::{
    AsyncKeyLock, AsyncMultiLock, AsyncMutex, AsyncRwLock, BlockingMutex, async_mutex, async_rw_lock,
};

async_mutex! {
    async_lock::Mutex<()>: async_lock::MutexGuard<'a, ()>;
    futures_util::lock::Mutex<()>: futures_util::lock::MutexGuard<'a, ()>;
}

async_rw_lock! {
    async_lock::RwLock<()>: async_lock::RwLockReadGuard<'a, ()>, async_lock::RwLockWriteGuard<'a, ()>;
}

/// Holds a lock of `saa` exclusively. The crate has no guards of its own.
pub struct SaaAlone<'a>(&'a saa::Lock);

impl Drop for SaaAlone<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.release_lock();
    }
}

impl AsyncMutex for saa::Lock {
    type Guard<'a> = SaaAlone<'a>;

    #[inline]
    async fn lock(&self) -> SaaAlone<'_> {
        self.lock_async().await;
        SaaAlone(self)
    }
}

/// Holds a lock of `saa` together with other readers.
pub struct SaaShared<'a>(&'a saa::Lock);

impl Drop for SaaShared<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.release_share();
    }
}

impl AsyncRwLock for saa::Lock {
    type Reading<'a> = SaaShared<'a>;
    type Writing<'a> = SaaAlone<'a>;

    #[inline]
    async fn read(&self) -> SaaShared<'_> {
        self.share_async().await;
        SaaShared(self)
    }

    #[inline]
    fn write(&self) -> impl Future<Output = SaaAlone<'_>> + Send {
        AsyncMutex::lock(self)
    }
}

impl BlockingMutex for async_lock::Mutex<()> {
    #[inline]
    fn blocking_lock(&self) -> async_lock::MutexGuard<'_, ()> {
        self.lock_blocking()
    }
}

impl BlockingMutex for saa::Lock {
    #[inline]
    fn blocking_lock(&self) -> SaaAlone<'_> {
        self.lock_sync();
        SaaAlone(self)
    }
}

/// `lockable::LockPool`, awaited: an exact lock for each key, created and removed on demand.
#[derive(Default)]
pub struct LockableAsync<K: Hash + Eq + Clone>(LockPool<K>);

impl<K: Hash + Eq + Clone + Send + Sync> AsyncKeyLock<K> for LockableAsync<K> {
    type Guard<'a>
        = <LockPool<K> as lockable::Lockable<K, ()>>::Guard<'a>
    where
        K: 'a;

    #[inline]
    fn lock<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Guard<'a>> + Send {
        self.0.async_lock(key.clone())
    }
}

impl<K: Ord + Hash + Eq + Clone + Send + Sync> AsyncMultiLock<K> for LockableAsync<K> {
    type Guards<'a>
        = Vec<<Self as AsyncKeyLock<K>>::Guard<'a>>
    where
        K: 'a;

    async fn lock_many<'a>(&'a self, keys: &'a [K]) -> Self::Guards<'a> {
        let sorted: BTreeSet<_> = keys.iter().cloned().collect();
        let mut guards = Vec::with_capacity(sorted.len());
        for key in sorted {
            guards.push(self.0.async_lock(key).await);
        }
        guards
    }
}

/// `keyed_lock`, awaited: an exact lock for each key, created and removed on demand under one lock.
pub struct KeyedLockAsync<K: Hash + Eq + Clone + Send>(keyed_lock::r#async::KeyedLock<K>);

impl<K: Hash + Eq + Clone + Send> Default for KeyedLockAsync<K> {
    fn default() -> Self {
        Self(keyed_lock::r#async::KeyedLock::new())
    }
}

impl<K: Hash + Eq + Clone + Send + Sync> AsyncKeyLock<K> for KeyedLockAsync<K> {
    type Guard<'a>
        = keyed_lock::r#async::Guard<'a, K>
    where
        K: 'a;

    #[inline]
    fn lock<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Guard<'a>> + Send {
        self.0.lock(key.clone())
    }
}

/// `striped_lock`, awaited; it locks at most four keys at once.
pub struct StripedLockAsync<K: Hash, S: BuildHasher>(striped_lock::tokio::StripedLock<K, S>);

impl<K: Hash, S: BuildHasher> StripedLockAsync<K, S> {
    /// Over `stripes` stripes.
    ///
    /// # Panics
    ///
    /// Panics for no stripes.
    pub fn new(stripes: usize, hasher: S) -> Self {
        let stripes = NonZeroUsize::new(stripes).expect("at least one stripe");
        Self(striped_lock::tokio::StripedLock::with_hasher(hasher, stripes))
    }
}

impl<K: Hash + Clone + Send + Sync, S: BuildHasher + Send + Sync> AsyncKeyLock<K> for StripedLockAsync<K, S> {
    type Guard<'a>
        = striped_lock::tokio::StripedLockGuard<'a>
    where
        K: 'a,
        S: 'a;

    #[inline]
    fn lock<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Guard<'a>> + Send {
        self.0.lock(key.clone())
    }
}

impl<K: Hash + Clone + Send + Sync, S: BuildHasher + Send + Sync> AsyncMultiLock<K>
    for StripedLockAsync<K, S>
{
    type Guards<'a>
        = striped_lock::tokio::StripedBatchLockGuard<'a>
    where
        K: 'a,
        S: 'a;

    async fn lock_many<'a>(&'a self, keys: &'a [K]) -> Self::Guards<'a> {
        match keys {
            [one, two] => self.0.lock_batch((one.clone(), two.clone())).await,
            [one, two, three, four] => {
                self.0.lock_batch((one.clone(), two.clone(), three.clone(), four.clone())).await
            }
            other => panic!("striped-lock is measured with 2 and 4 keys, not {}", other.len()),
        }
    }
}
