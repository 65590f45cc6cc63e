//! What is compared: each kind of contender behind one small trait.
//!
//! A contender takes a closure instead of returning a guard, so that locks with guards of every shape, locks without
//! guards and map entries fit the same trait; the closure is inlined away.

mod bare_log;
mod by_hand;
#[cfg(any(feature = "rocksdb", feature = "lmdb", feature = "sqlite"))]
mod foreign;
mod naive_quads;
mod others;
mod ours;
pub mod quads;
pub mod stores;
mod tasks;

pub use by_hand::{Bitmap, CasPair, GlobalMutex, GlobalRwLock, SortDedup};
pub use others::{Dashmap, Happylock, KeyedLock, Lockable, Scc, StdStriped, StdStripedRw, StripedLock};
pub use ours::{OurStore, Ours, OursAsync, OursRw};
pub use tasks::{AsyncLockStriped, KeyedLockAsync, LockableAsync, StripedLockAsync, TokioStriped};

/// No lock at all: for what needs none.
pub struct Unlocked;

impl<K: ?Sized> KeyLock<K> for Unlocked {
    #[inline]
    fn with<R>(&self, _key: &K, section: impl FnOnce() -> R) -> R {
        section()
    }
}

/// A lock for one key at a time.
pub trait KeyLock<K: ?Sized>: Send + Sync {
    /// Runs `section` while `key` is locked.
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R;

    /// Whether two keys can be held by two threads at once. Exact locks answer yes for every two different keys.
    fn apart(&self, _one: &K, _other: &K) -> bool {
        true
    }
}

/// A read-write lock for one key at a time.
pub trait KeyRwLock<K: ?Sized>: Send + Sync {
    /// Runs `section` while `key` is locked together with other readers.
    fn read<R>(&self, key: &K, section: impl FnOnce() -> R) -> R;

    /// Runs `section` while `key` is locked alone.
    fn write<R>(&self, key: &K, section: impl FnOnce() -> R) -> R;
}

/// A lock for several keys at once.
pub trait MultiLock<K>: Send + Sync {
    /// Runs `section` while all of `keys` are locked.
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R;
}

/// A lock for one key at a time, awaited.
pub trait AsyncKeyLock<K: ?Sized>: Send + Sync {
    /// Runs `section` to its end while `key` is locked.
    fn with<F>(&self, key: &K, section: F) -> impl Future<Output = F::Output> + Send
    where
        F: Future + Send,
        F::Output: Send;
}
