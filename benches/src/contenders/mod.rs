//! What is compared: each kind of contender behind one small trait.
//!
//! A blocking contender takes a closure instead of returning a guard, so that locks with guards of every shape, locks without
//! guards and map entries fit the same trait; the closure is inlined away.

mod awaited;
#[cfg(feature = "disk")]
mod bare_log;
mod blocked;
mod by_hand;
#[cfg(any(feature = "rocksdb", feature = "lmdb", feature = "sqlite"))]
mod foreign;
#[cfg(feature = "stores")]
mod naive_quads;
mod others;
mod ours;
#[cfg(feature = "stores")]
pub mod quads;
#[cfg(feature = "disk")]
pub mod stores;

pub use awaited::{
    AsyncMutex, AsyncRwLock, KeyedLockAsync, LockableAsync, Padded, PerKey, SaaAlone, StripedLockAsync,
    padded,
};
pub use blocked::{BlockedOn, Blocking, BlockingMutex};
pub use by_hand::{Bitmap, CasPair, GlobalMutex, GlobalRwLock, SortDedup};
pub use others::{
    Dashmap, Happylock, KeyedLock, Lockable, MapOfMutexes, Scc, StdStriped, StdStripedRw, StripedLock,
};
pub use ours::{Ours, OursExact, OursRw};

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

/// An exact lock, of which one thread holds many keys at a time.
pub trait HoldMany<K> {
    /// Holds a key.
    type Guard<'a>
    where
        Self: 'a;

    /// Locks a free key.
    fn hold(&self, key: K) -> Self::Guard<'_>;
}

/// A lock for one key at a time, awaited. It gives a guard, since what is done under it may be awaited as well.
pub trait AsyncKeyLock<K>: Send + Sync {
    /// Holds the lock of a key.
    type Guard<'a>: Send
    where
        Self: 'a,
        K: 'a;

    /// Waits for `key`.
    fn lock<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Guard<'a>> + Send;

    /// Whether two keys can be held by two tasks at once. Exact locks answer yes for every two different keys.
    fn apart(&self, _one: &K, _other: &K) -> bool {
        true
    }
}

/// A lock for several keys at once, awaited.
pub trait AsyncMultiLock<K>: Send + Sync {
    /// Holds the locks of several keys.
    type Guards<'a>: Send
    where
        Self: 'a,
        K: 'a;

    /// Waits for all of `keys`.
    fn lock_many<'a>(&'a self, keys: &'a [K]) -> impl Future<Output = Self::Guards<'a>> + Send;
}

/// A read-write lock for one key at a time, awaited.
pub trait AsyncKeyRwLock<K>: Send + Sync {
    /// Holds the lock of a key together with other readers.
    type Reading<'a>: Send
    where
        Self: 'a,
        K: 'a;
    /// Holds the lock of a key alone.
    type Writing<'a>: Send
    where
        Self: 'a,
        K: 'a;

    /// Waits until there is no writer of `key`.
    fn read<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Reading<'a>> + Send;

    /// Waits until there is no other holder of `key`.
    fn write<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Writing<'a>> + Send;
}
