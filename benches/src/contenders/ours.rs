//! The crates of this workspace as contenders.

use std::{
    hash::{BuildHasher, Hash},
    path::Path,
};

use stripe_lock::{DefaultHasher, DefaultRawMutex, StripedMutex, StripedRwLock};

use super::{
    KeyLock, KeyRwLock, MultiLock,
    stores::{Durability, Failure, Store},
};

/// `stripe_lock::StripedMutex`.
pub struct Ours<K: ?Sized, S = DefaultHasher>(StripedMutex<K, (), DefaultRawMutex, S>);

impl<K: ?Sized, S> Ours<K, S> {
    /// Over so many stripes.
    pub fn new(stripes: usize, hasher: S) -> Self {
        Self(StripedMutex::with_hasher(stripes, hasher))
    }
}

impl<K: Hash + ?Sized, S: BuildHasher + Send + Sync> KeyLock<K> for Ours<K, S> {
    #[inline]
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock(key);
        section()
    }

    fn apart(&self, one: &K, other: &K) -> bool {
        self.0.stripe_of(one) != self.0.stripe_of(other)
    }
}

impl<K: Hash, S: BuildHasher + Send + Sync> MultiLock<K> for Ours<K, S> {
    #[inline]
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock_many(keys);
        section()
    }
}

/// `stripe_lock::StripedRwLock`.
pub struct OursRw<K: ?Sized, S = DefaultHasher>(StripedRwLock<K, (), stripe_lock::DefaultRawRwLock, S>);

impl<K: ?Sized, S> OursRw<K, S> {
    /// Over so many stripes.
    pub fn new(stripes: usize, hasher: S) -> Self {
        Self(StripedRwLock::with_hasher(stripes, hasher))
    }
}

impl<K: Hash + ?Sized, S: BuildHasher + Send + Sync> KeyRwLock<K> for OursRw<K, S> {
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

/// `vde-store`.
pub struct OurStore {
    synced: vde_store::Vde,
    buffered: vde_store::Vde,
}

impl OurStore {
    /// The store in a directory, a new one where it is empty.
    ///
    /// # Errors
    ///
    /// Where the store cannot be created.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let synced = vde_store::Vde::open(dir.join("store.vde"))?;
        let buffered = synced.with_durability(vde_store::Durability::Buffered);
        Ok(Self { synced, buffered })
    }
}

impl Store for OurStore {
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure> {
        let store = match durability {
            Durability::Synced => &self.synced,
            Durability::Buffered => &self.buffered,
        };
        Ok(store.put(key, value)?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.synced.get(key)?)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.buffered.delete(key)?;
        Ok(())
    }

    fn settle(&self) -> Result<(), Failure> {
        Ok(self.synced.checkpoint()?)
    }
}
