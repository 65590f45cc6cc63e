//! Locking every key.

use std::sync::Arc;
use std::time::Duration;

use super::super::methods::block;
use super::guard::KeyedGuard;
use super::set::attempt;
use super::tags::Every;
use super::tasks::AsyncKeyedMutex;
use super::threads::{KeyedMutex, wait, wait_for};
use super::wait::AcquireKeys;
use crate::shared::hash::DefaultHasher;

/// Holds every key of a [`KeyedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::KeyedMutex;
/// use stripe_lock::asynchronous::keyed::KeyedMutexAllGuard;
///
/// let locks = KeyedMutex::<u64>::new();
/// let guard: KeyedMutexAllGuard<'_, u64> = locks.lock_all();
/// assert!(locks.try_lock(&1).is_none());
/// ```
pub type KeyedMutexAllGuard<'a, K, S = DefaultHasher> = KeyedGuard<&'a KeyedMutex<K, S>, Every>;

/// Holds every key of a [`KeyedMutex`], which it keeps alive.
///
/// # Examples
///
/// ```
/// use stripe_lock::KeyedMutex;
/// use stripe_lock::asynchronous::keyed::ArcKeyedMutexAllGuard;
///
/// let locks = std::sync::Arc::new(KeyedMutex::<u64>::new());
/// let guard: ArcKeyedMutexAllGuard<u64> = locks.lock_all_arc();
/// ```
pub type ArcKeyedMutexAllGuard<K, S = DefaultHasher> = KeyedGuard<Arc<KeyedMutex<K, S>>, Every>;

/// Holds every key of an [`AsyncKeyedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncKeyedMutex;
/// use stripe_lock::asynchronous::keyed::AsyncKeyedMutexAllGuard;
///
/// let locks = AsyncKeyedMutex::<u64>::new();
/// let guard: AsyncKeyedMutexAllGuard<'_, u64> = locks.blocking_lock_all();
/// assert!(locks.try_lock(&1).is_none());
/// ```
pub type AsyncKeyedMutexAllGuard<'a, K, S = DefaultHasher> = KeyedGuard<&'a AsyncKeyedMutex<K, S>, Every>;

/// Holds every key of an [`AsyncKeyedMutex`], which it keeps alive.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncKeyedMutex;
/// use stripe_lock::asynchronous::keyed::OwnedAsyncKeyedMutexAllGuard;
///
/// let locks = std::sync::Arc::new(AsyncKeyedMutex::<u64>::new());
/// let guard: OwnedAsyncKeyedMutexAllGuard<u64> = locks.try_lock_all_owned().unwrap();
/// ```
pub type OwnedAsyncKeyedMutexAllGuard<K, S = DefaultHasher> = KeyedGuard<Arc<AsyncKeyedMutex<K, S>>, Every>;

impl<K: ?Sized, S> KeyedMutex<K, S> {
    /// Locks every possible key: waits until no key is held. No key can be locked until the guard is dropped.
    ///
    /// # Deadlocks
    ///
    /// While a thread waits for every key, newcomers wait behind it. If such a newcomer holds another key already,
    /// the two threads wait for each other. So lock keys that are held together by [`lock_many`](Self::lock_many) or
    /// [`extend`](KeyedGuard::extend): these do not wait behind it.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging, if this thread holds a key of the set.
    ///
    /// # Fairness
    ///
    /// Earlier waiters may be served before it, and newcomers are not. When the guard is dropped, each key is handed to
    /// its first waiter, before the next `lock_all`.
    ///
    /// # Complexity
    ///
    /// O(buckets + keys that are waited for).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// let all = locks.lock_all();
    /// assert!((0..100).all(|key| locks.try_lock(&key).is_none()));
    /// drop(all);
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    #[track_caller]
    pub fn lock_all(&self) -> KeyedMutexAllGuard<'_, K, S> {
        wait(self, Every)
    }

    /// Locks every key if none is held, and no other thread waits to lock every key.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// let guard = locks.lock(&1);
    /// assert!(locks.try_lock_all().is_none());
    /// drop(guard);
    /// assert!(locks.try_lock_all().is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_all(&self) -> Option<KeyedMutexAllGuard<'_, K, S>> {
        attempt(self, Every)
    }

    /// As [`lock_all`](Self::lock_all), unless that takes longer than `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// let guard = locks.lock(&1);
    /// assert!(locks.try_lock_all_for(Duration::from_millis(5)).is_none());
    /// ```
    #[track_caller]
    pub fn try_lock_all_for(&self, timeout: Duration) -> Option<KeyedMutexAllGuard<'_, K, S>> {
        wait_for(self, Every, timeout)
    }

    /// As [`lock_all`](Self::lock_all), with a guard that keeps the set alive.
    ///
    /// # Panics
    ///
    /// As [`lock_all`](Self::lock_all).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::KeyedMutex::<u64>::new());
    /// let guard = locks.lock_all_arc();
    /// drop(locks);
    /// ```
    #[track_caller]
    pub fn lock_all_arc(self: &Arc<Self>) -> ArcKeyedMutexAllGuard<K, S> {
        wait(self.clone(), Every)
    }
}

impl<K: ?Sized, S> AsyncKeyedMutex<K, S> {
    /// Locks every possible key: waits until no key is held. No key can be locked until the guard is dropped.
    ///
    /// # Deadlocks
    ///
    /// While a task waits for every key, newcomers wait behind it. If such a newcomer holds another key already, the
    /// two tasks wait for each other. So lock keys that are held together by [`lock_many`](Self::lock_many) or
    /// [`extend`](KeyedGuard::extend): these do not wait behind it.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any moment. It then gives up its places and releases what it holds, and the waiters
    /// behind it are served.
    ///
    /// # Fairness
    ///
    /// Earlier waiters may be served before it, and newcomers are not. When the guard is dropped, each key is handed to
    /// its first waiter, before the next `lock_all`.
    ///
    /// # Complexity
    ///
    /// O(buckets + keys that are waited for).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let all = locks.lock_all().await;
    /// assert!((0..100).all(|key| locks.try_lock(&key).is_none()));
    /// drop(all);
    /// assert!(locks.try_lock(&1).is_some());
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_all(&self) -> AcquireKeys<&Self, Every> {
        AcquireKeys::new(self, Every)
    }

    /// Locks every key if none is held, and no other task waits to lock every key.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let guard = locks.try_lock(&1);
    /// assert!(locks.try_lock_all().is_none());
    /// drop(guard);
    /// assert!(locks.try_lock_all().is_some());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock_all(&self) -> Option<AsyncKeyedMutexAllGuard<'_, K, S>> {
        attempt(self, Every)
    }

    /// As [`lock_all`](Self::lock_all), with a guard that keeps the set alive.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = std::sync::Arc::new(stripe_lock::AsyncKeyedMutex::<u64>::new());
    /// let guard = locks.lock_all_owned().await;
    /// drop(locks);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_all_owned(self: &Arc<Self>) -> AcquireKeys<Arc<Self>, Every> {
        AcquireKeys::new(self.clone(), Every)
    }

    /// As [`try_lock_all`](Self::try_lock_all), with a guard that keeps the set alive.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::AsyncKeyedMutex::<u64>::new());
    /// assert!(locks.try_lock_all_owned().is_some());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock_all_owned(self: &Arc<Self>) -> Option<OwnedAsyncKeyedMutexAllGuard<K, S>> {
        attempt(self.clone(), Every)
    }

    /// As [`lock_all`](Self::lock_all), but blocks the thread. Do not call it from a task.
    ///
    /// # Panics
    ///
    /// If the set is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// drop(locks.blocking_lock_all());
    /// assert!(!locks.is_locked(&1));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_lock_all(&self) -> AsyncKeyedMutexAllGuard<'_, K, S> {
        block(self.lock_all())
    }
}
