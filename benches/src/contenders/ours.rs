//! The blocking locks of this workspace as contenders.

use std::hash::{BuildHasher, Hash};

use stripe_lock::asynchronous::keyed::KeyedMutexGuard;
use stripe_lock::raw::{DefaultRawMutex, DefaultRawRwLock, RawMutex, RawRwLock};
use stripe_lock::{DefaultHasher, KeyedMutex, StripedMutex, StripedRwLock};

use super::traits::{HoldMany, KeyLock, KeyRwLock, MultiLock};

/// `stripe_lock::StripedMutex`.
pub struct Ours<K: ?Sized, S = DefaultHasher, Raw: RawMutex = DefaultRawMutex>(StripedMutex<K, (), Raw, S>);

impl<K: ?Sized, S> Ours<K, S> {
    /// Over `stripes` stripes.
    pub fn new(stripes: usize, hasher: S) -> Self {
        Self::over(stripes, hasher)
    }
}

impl<K: ?Sized, S, Raw: RawMutex> Ours<K, S, Raw> {
    /// Over `stripes` stripes of any raw mutex.
    pub fn over(stripes: usize, hasher: S) -> Self {
        Self(StripedMutex::with_hasher(stripes, hasher))
    }
}

impl<K, S, Raw> KeyLock<K> for Ours<K, S, Raw>
where
    K: Hash + ?Sized,
    S: BuildHasher + Send + Sync,
    Raw: RawMutex + Send + Sync,
{
    #[inline]
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock(key);
        section()
    }

    fn apart(&self, one: &K, other: &K) -> bool {
        self.0.stripe_of(one) != self.0.stripe_of(other)
    }
}

impl<K: Hash, S: BuildHasher + Send + Sync, Raw: RawMutex + Send + Sync> MultiLock<K> for Ours<K, S, Raw> {
    #[inline]
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock_many(keys);
        section()
    }
}

/// `stripe_lock::StripedRwLock`.
pub struct OursRw<K: ?Sized, S = DefaultHasher, Raw: RawRwLock = DefaultRawRwLock>(
    StripedRwLock<K, (), Raw, S>,
);

impl<K: ?Sized, S> OursRw<K, S> {
    /// Over `stripes` stripes.
    pub fn new(stripes: usize, hasher: S) -> Self {
        Self::over(stripes, hasher)
    }
}

impl<K: ?Sized, S, Raw: RawRwLock> OursRw<K, S, Raw> {
    /// Over `stripes` stripes of any raw read-write lock.
    pub fn over(stripes: usize, hasher: S) -> Self {
        Self(StripedRwLock::with_hasher(stripes, hasher))
    }
}

impl<K, S, Raw> KeyRwLock<K> for OursRw<K, S, Raw>
where
    K: Hash + ?Sized,
    S: BuildHasher + Send + Sync,
    Raw: RawRwLock + Send + Sync,
{
    #[inline]
    fn read<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.read(key);
        section()
    }

    #[inline]
    fn write<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.write(key);
        section()
    }
}

/// `stripe_lock::KeyedMutex`.
pub struct OursExact<K: ?Sized, S = DefaultHasher>(KeyedMutex<K, S>);

impl<K: ?Sized, S: Default> Default for OursExact<K, S> {
    fn default() -> Self {
        Self(KeyedMutex::default())
    }
}

impl<K: ?Sized, S> OursExact<K, S> {
    /// Exact locks with `buckets` buckets.
    pub fn new(buckets: usize, hasher: S) -> Self {
        Self(KeyedMutex::with_hasher(buckets, hasher))
    }
}

impl<K: Hash + ?Sized, S: BuildHasher + Send + Sync> KeyLock<K> for OursExact<K, S> {
    #[inline]
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock(key);
        section()
    }
}

impl<K: Hash, S: BuildHasher + Send + Sync> MultiLock<K> for OursExact<K, S> {
    #[inline]
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock_many(keys);
        section()
    }
}

impl<K: Hash, S: BuildHasher> HoldMany<K> for OursExact<K, S> {
    type Guard<'a>
        = KeyedMutexGuard<'a, K, S>
    where
        Self: 'a;

    fn hold(&self, key: K) -> Self::Guard<'_> {
        self.0.lock(&key)
    }
}
