//! Async locks that threads wait for, so that they run the same workloads as blocking locks.

use std::hash::{BuildHasher, Hash};

use futures_lite::future::block_on;
use stripe_lock::AsyncStripedMutex;

use super::{
    awaited::Padded,
    traits::{AsyncKeyLock, AsyncKeyRwLock, BlockingMutex, KeyLock, KeyRwLock},
};

/// An async lock whose future the thread polls. The thread sleeps between polls.
///
/// Lock, section and unlock are one future. If only the lock's future were moved into `block_on`, and the guard out
/// of it, both would be read with wider loads than they were just written with. The processor waits 4 to 5 ns for
/// such a load, and it is chance which locks are affected.
pub struct BlockedOn<L>(pub L);

impl<K, L: AsyncKeyLock<K>> KeyLock<K> for BlockedOn<L> {
    #[inline]
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        block_on(async {
            let _guard = self.0.lock(key).await;
            section()
        })
    }

    fn apart(&self, one: &K, other: &K) -> bool {
        self.0.apart(one, other)
    }
}

impl<K, L: AsyncKeyRwLock<K>> KeyRwLock<K> for BlockedOn<L> {
    #[inline]
    fn read<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        block_on(async {
            let _guard = self.0.read(key).await;
            section()
        })
    }

    #[inline]
    fn write<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        block_on(async {
            let _guard = self.0.write(key).await;
            section()
        })
    }
}

impl BlockingMutex for tokio::sync::Mutex<()> {
    #[inline]
    fn blocking_lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.blocking_lock()
    }
}

/// An async lock that threads lock by its own blocking method.
pub struct Blocking<L>(pub L);

impl<K: Hash + Sync, S: BuildHasher + Send + Sync> KeyLock<K> for Blocking<AsyncStripedMutex<K, (), S>> {
    #[inline]
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.blocking_lock(key);
        section()
    }
}

impl<L: BlockingMutex> KeyLock<u64> for Blocking<Padded<L>> {
    #[inline]
    fn with<R>(&self, key: &u64, section: impl FnOnce() -> R) -> R {
        let _guard = L::blocking_lock(self.0.get(key));
        section()
    }
}
