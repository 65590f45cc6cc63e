//! Async locks by key: ours, those of other crates, and async locks without keys, striped by hand.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hash},
    iter,
    num::NonZeroUsize,
};

use crossbeam_utils::CachePadded;
use lockable::LockPool;
use stripe_lock::{
    AsyncKeyedMutex, AsyncStripedMutex, AsyncStripedRwLock, DefaultHasher, Striped,
    asynchronous::keyed::AsyncKeyedMutexGuard,
    asynchronous::{AsyncMutexGuard, AsyncMutexMultiGuard, AsyncReadGuard, AsyncWriteGuard},
};

use super::{AsyncKeyLock, AsyncKeyRwLock, AsyncMultiLock};

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

/// Stripes of a lock without keys, as one would write them: each on cache lines of its own, found by our hasher.
pub type Padded<L> = Striped<u64, CachePadded<L>, DefaultHasher>;

/// So many stripes of a lock without keys.
pub fn padded<L: Default>(stripes: usize) -> Padded<L> {
    Striped::from_fn(stripes, DefaultHasher::default(), |_| CachePadded::default())
}

/// An async mutex without keys.
pub trait AsyncMutex: Default + Send + Sync {
    /// Holds the mutex.
    type Guard<'a>: Send
    where
        Self: 'a;

    /// Waits for the mutex.
    fn lock(&self) -> impl Future<Output = Self::Guard<'_>> + Send;
}

macro_rules! async_mutex {
    ($($mutex:ty: $guard:ident),*) => {$(
        impl AsyncMutex for $mutex {
            type Guard<'a> = $guard<'a, ()>;

            #[inline]
            fn lock(&self) -> impl Future<Output = Self::Guard<'_>> + Send {
                self.lock()
            }
        }
    )*};
}

use async_lock::MutexGuard as AsyncLockGuard;
use futures_util::lock::MutexGuard as FuturesGuard;
use tokio::sync::MutexGuard as TokioGuard;

async_mutex! {
    tokio::sync::Mutex<()>: TokioGuard,
    async_lock::Mutex<()>: AsyncLockGuard,
    futures_util::lock::Mutex<()>: FuturesGuard
}

/// Holds a lock of `saa`, which has no guards of its own, alone.
pub struct SaaAlone<'a>(pub(super) &'a saa::Lock);

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

    /// By sorting, as it is usually done by hand.
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

/// An async read-write lock without keys.
pub trait AsyncRwLock: Default + Send + Sync {
    /// Holds the lock together with other readers.
    type Reading<'a>: Send
    where
        Self: 'a;
    /// Holds the lock alone.
    type Writing<'a>: Send
    where
        Self: 'a;

    /// Waits until there is no writer.
    fn read(&self) -> impl Future<Output = Self::Reading<'_>> + Send;

    /// Waits until there is no other holder.
    fn write(&self) -> impl Future<Output = Self::Writing<'_>> + Send;
}

macro_rules! async_rw_lock {
    ($($lock:ty: $reading:ty, $writing:ty;)*) => {$(
        impl AsyncRwLock for $lock {
            type Reading<'a> = $reading;
            type Writing<'a> = $writing;

            #[inline]
            fn read(&self) -> impl Future<Output = Self::Reading<'_>> + Send {
                self.read()
            }

            #[inline]
            fn write(&self) -> impl Future<Output = Self::Writing<'_>> + Send {
                self.write()
            }
        }
    )*};
}

async_rw_lock! {
    tokio::sync::RwLock<()>: tokio::sync::RwLockReadGuard<'a, ()>, tokio::sync::RwLockWriteGuard<'a, ()>;
    async_lock::RwLock<()>: async_lock::RwLockReadGuard<'a, ()>, async_lock::RwLockWriteGuard<'a, ()>;
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

/// `lockable::LockPool`, awaited: an exact lock for each key, made and removed on the way.
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

/// `keyed_lock`, awaited: an exact lock for each key, made and removed on the way under one lock.
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
