//! Async locks by key from other crates, and async mutexes striped by hand.

use std::{
    hash::{BuildHasher, Hash},
    iter,
    num::NonZeroUsize,
};

use lockable::LockPool;

use super::AsyncKeyLock;

fn remainder<S: BuildHasher>(hasher: &S, key: &(impl Hash + ?Sized), stripes: usize) -> usize {
    (hasher.hash_one(key) % stripes as u64) as usize
}

macro_rules! striped_by_hand {
    ($(#[$docs:meta])* $name:ident($mutex:ty)) => {
        $(#[$docs])*
        pub struct $name<S> {
            stripes: Box<[$mutex]>,
            hasher: S,
        }

        impl<S: BuildHasher> $name<S> {
            /// Over so many stripes.
            pub fn new(stripes: usize, hasher: S) -> Self {
                Self { stripes: iter::repeat_with(Default::default).take(stripes).collect(), hasher }
            }
        }

        impl<K: Hash + Sync + ?Sized, S: BuildHasher + Send + Sync> AsyncKeyLock<K> for $name<S> {
            async fn with<F>(&self, key: &K, section: F) -> F::Output
            where
                F: Future + Send,
                F::Output: Send,
            {
                let _guard = self.stripes[remainder(&self.hasher, key, self.stripes.len())].lock().await;
                section.await
            }
        }
    };
}

striped_by_hand! {
    /// `tokio::sync::Mutex`, striped by hand.
    TokioStriped(tokio::sync::Mutex<()>)
}

striped_by_hand! {
    /// `async_lock::Mutex`, striped by hand.
    AsyncLockStriped(async_lock::Mutex<()>)
}

/// `lockable::LockPool`, awaited.
#[derive(Default)]
pub struct LockableAsync<K: Hash + Eq + Clone>(LockPool<K>);

impl<K: Hash + Eq + Clone + Send + Sync> AsyncKeyLock<K> for LockableAsync<K> {
    async fn with<F>(&self, key: &K, section: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        let _guard = self.0.async_lock(key.clone()).await;
        section.await
    }
}

/// `keyed_lock`, awaited.
pub struct KeyedLockAsync<K: Hash + Eq + Clone + Send>(keyed_lock::r#async::KeyedLock<K>);

impl<K: Hash + Eq + Clone + Send> Default for KeyedLockAsync<K> {
    fn default() -> Self {
        Self(keyed_lock::r#async::KeyedLock::new())
    }
}

impl<K: Hash + Eq + Clone + Send + Sync> AsyncKeyLock<K> for KeyedLockAsync<K> {
    async fn with<F>(&self, key: &K, section: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        let _guard = self.0.lock(key.clone()).await;
        section.await
    }
}

/// `striped_lock`, awaited.
pub struct StripedLockAsync<K: Hash, S: BuildHasher>(striped_lock::tokio::StripedLock<K, S>);

impl<K: Hash, S: BuildHasher> StripedLockAsync<K, S> {
    /// Over so many stripes.
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
    async fn with<F>(&self, key: &K, section: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        let _guard = self.0.lock(key.clone()).await;
        section.await
    }
}
