//! The exact mutex for tasks, and for threads that wait with them.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use super::super::error::AcquireError;
use super::super::methods::{Timeout, block, block_for};
use super::super::panics::Panics;
use super::bucket::Bucket;
use super::guard::KeyedGuard;
use super::set::{Keyed, KeyedSet, Tasks, attempt};
use super::tags::{Many, One};
use super::wait::AcquireKeys;
use crate::shared::hash::DefaultHasher;

/// An async mutex for every key: equal keys exclude each other, unequal keys never wait for each other.
///
/// It may be held across an `.await`. It works on every runtime, and without one by its `blocking_` methods; threads
/// and tasks wait for a key in the same queue. Memory, cost and fairness are those of
/// [`KeyedMutex`](crate::KeyedMutex).
///
/// # Deadlock
///
/// Several keys that are locked by [`lock_many`](Self::lock_many) can't deadlock, whatever their order. Where they are locked
/// one by one, all tasks have to lock them in the same order. A task that awaits a key that it holds waits for itself.
///
/// A future that waits must be polled or dropped. A future that is put aside, as by `select!` with `&mut future`, keeps its place
/// in the queue and what it was granted, and all other waiters wait for it:
/// [async pitfalls](crate::guide::async_pitfalls#a-future-that-is-put-aside).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use stripe_lock::AsyncKeyedMutex;
///
/// let accounts = AsyncKeyedMutex::<str>::new();
/// let _alice = accounts.lock("alice").await;
/// let _bob = accounts.lock("bob").await; // never waits for a holder of "alice"
/// assert!(accounts.try_lock("alice").is_none());
/// # }
/// ```
pub type AsyncKeyedMutex<K, S = DefaultHasher> = Keyed<K, S, Tasks>;

/// Holds a key of an [`AsyncKeyedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncKeyedMutex;
/// use stripe_lock::asynchronous::keyed::AsyncKeyedMutexGuard;
///
/// let locks = AsyncKeyedMutex::<u64>::new();
/// let guard: AsyncKeyedMutexGuard<'_, u64> = locks.blocking_lock(&1);
/// ```
pub type AsyncKeyedMutexGuard<'a, K, S = DefaultHasher> = KeyedGuard<&'a AsyncKeyedMutex<K, S>, One>;

/// Holds a key of an [`AsyncKeyedMutex`], and keeps the set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::AsyncKeyedMutex;
/// use stripe_lock::asynchronous::keyed::OwnedAsyncKeyedMutexGuard;
///
/// let locks = Arc::new(AsyncKeyedMutex::<u64>::new());
/// let guard: OwnedAsyncKeyedMutexGuard<u64> = locks.blocking_lock_owned(&1);
/// ```
pub type OwnedAsyncKeyedMutexGuard<K, S = DefaultHasher> = KeyedGuard<Arc<AsyncKeyedMutex<K, S>>, One>;

/// Holds several keys of an [`AsyncKeyedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncKeyedMutex;
/// use stripe_lock::asynchronous::keyed::AsyncKeyedMutexMultiGuard;
///
/// let locks = AsyncKeyedMutex::<u64>::new();
/// let guard: AsyncKeyedMutexMultiGuard<'_, u64> = locks.blocking_lock_many(&[1, 2]);
/// ```
pub type AsyncKeyedMutexMultiGuard<'a, K, S = DefaultHasher> = KeyedGuard<&'a AsyncKeyedMutex<K, S>, Many>;

/// Holds several keys of an [`AsyncKeyedMutex`], and keeps the set alive.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncKeyedMutex;
/// use stripe_lock::asynchronous::keyed::OwnedAsyncKeyedMutexMultiGuard;
///
/// let locks = Arc::new(AsyncKeyedMutex::<u64>::new());
/// let guard: OwnedAsyncKeyedMutexMultiGuard<u64> = locks.lock_many_owned(&[1, 2]).await;
/// # }
/// ```
pub type OwnedAsyncKeyedMutexMultiGuard<K, S = DefaultHasher> = KeyedGuard<Arc<AsyncKeyedMutex<K, S>>, Many>;

impl<K: ?Sized, S: BuildHasher> AsyncKeyedMutex<K, S> {
    /// Waits for `key`.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held, and gives up its place in the queue.
    ///
    /// # Panics
    ///
    /// When polled, if the set is [closed](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let guard = locks.lock(&1).await;
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock<Q>(&self, key: &Q) -> AcquireKeys<&Self, One>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        AcquireKeys::new(self, self.one(key))
    }

    /// Locks `key` if it is free.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let guard = locks.try_lock(&1);
    /// assert!(locks.try_lock(&1).is_none());
    /// assert!(locks.try_lock(&2).is_some());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock<Q>(&self, key: &Q) -> Option<AsyncKeyedMutexGuard<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        attempt(self, self.one(key))
    }

    /// As [`lock`](Self::lock), with a guard that keeps the set alive by an `Arc`.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held, and gives up its place in the queue.
    ///
    /// # Panics
    ///
    /// When polled, if the set is [closed](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = std::sync::Arc::new(stripe_lock::AsyncKeyedMutex::<u64>::new());
    /// let guard = locks.lock_owned(&1).await;
    /// tokio::spawn(async move { drop(guard) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_owned<Q>(self: &Arc<Self>, key: &Q) -> AcquireKeys<Arc<Self>, One>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        AcquireKeys::new(self.clone(), self.one(key))
    }

    /// As [`try_lock`](Self::try_lock), with a guard that keeps the set alive by an `Arc`.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::AsyncKeyedMutex::<u64>::new());
    /// assert!(locks.try_lock_owned(&1).is_some());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock_owned<Q>(self: &Arc<Self>, key: &Q) -> Option<OwnedAsyncKeyedMutexGuard<K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        attempt(self.clone(), self.one(key))
    }

    /// Waits for `key` until the future `sleep` ends. A free key is taken even if `sleep` has ended already. For a
    /// time limit on other futures of this set, use [`within`](crate::asynchronous::within).
    ///
    /// # Errors
    ///
    /// [`AcquireError::Elapsed`] if `sleep` ends first, [`AcquireError::Closed`] if the set is closed.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held, and gives up its place in the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::time::Duration;
    /// use tokio::time::sleep;
    ///
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let guard = locks.lock_timeout(&1, sleep(Duration::from_millis(5))).await.unwrap();
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_timeout<Q, F>(&self, key: &Q, sleep: F) -> Timeout<AcquireKeys<&Self, One>, F>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
        F: Future,
    {
        Timeout::new(self.lock(key), sleep)
    }

    /// As [`lock`](Self::lock), but blocks the thread, which waits in the same queue as the tasks.
    ///
    /// Do not call it from a task: it stops the executor's thread, and hangs for ever if that thread has to run the
    /// holder.
    ///
    /// # Panics
    ///
    /// If the set is [closed](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let guard = locks.blocking_lock(&1);
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_lock<Q>(&self, key: &Q) -> AsyncKeyedMutexGuard<'_, K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        // Without the feature `diagnose`, which records the caller.
        if cfg!(not(feature = "diagnose"))
            && let Some(guard) = self.try_lock(key)
        {
            return guard;
        }
        block(self.lock(key))
    }

    /// As [`blocking_lock`](Self::blocking_lock), with a guard that keeps the set alive by an `Arc`.
    ///
    /// # Panics
    ///
    /// If the set is [closed](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::AsyncKeyedMutex::<u64>::new());
    /// let guard = locks.blocking_lock_owned(&1);
    /// std::thread::spawn(move || drop(guard));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_lock_owned<Q>(self: &Arc<Self>, key: &Q) -> OwnedAsyncKeyedMutexGuard<K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        block(self.lock_owned(key))
    }

    /// As [`blocking_lock`](Self::blocking_lock), with a time limit.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Elapsed`] if the time is up first, [`AcquireError::Closed`] if the set is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// assert!(locks.blocking_lock_timeout(&1, Duration::from_millis(5)).is_ok());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_lock_timeout<Q>(
        &self,
        key: &Q,
        limit: Duration,
    ) -> Result<AsyncKeyedMutexGuard<'_, K, S>, AcquireError>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        block_for(self.lock(key), limit)
    }

    /// Waits for all `keys`, and takes them in the order of their hashes. So acquisitions of several keys can't
    /// deadlock with each other, whatever the order of their keys. A key that is named twice counts once.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held, and gives up its place in the queue.
    ///
    /// # Panics
    ///
    /// When polled, if the set is [closed](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let both = locks.lock_many(&[2, 1, 2]).await;
    /// assert!(locks.try_lock(&1).is_none() && locks.try_lock(&2).is_none());
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> AcquireKeys<&Self, Many>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        AcquireKeys::new(self, self.many(keys))
    }

    /// Locks all `keys` if all are free; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let one = locks.try_lock(&1);
    /// assert!(locks.try_lock_many(&[1, 2]).is_none());
    /// assert!(!locks.is_locked(&2));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<AsyncKeyedMutexMultiGuard<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        attempt(self, self.many(keys))
    }

    /// As [`lock_many`](Self::lock_many), with a guard that keeps the set alive by an `Arc`.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held, and gives up its place in the queue.
    ///
    /// # Panics
    ///
    /// When polled, if the set is [closed](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = std::sync::Arc::new(stripe_lock::AsyncKeyedMutex::<u64>::new());
    /// let guard = locks.lock_many_owned(&[1, 2]).await;
    /// tokio::spawn(async move { drop(guard) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_many_owned<'q, Q>(
        self: &Arc<Self>,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AcquireKeys<Arc<Self>, Many>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        AcquireKeys::new(self.clone(), self.many(keys))
    }

    /// As [`try_lock_many`](Self::try_lock_many), with a guard that keeps the set alive by an `Arc`.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::AsyncKeyedMutex::<u64>::new());
    /// assert!(locks.try_lock_many_owned(&[1, 2]).is_some());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock_many_owned<'q, Q>(
        self: &Arc<Self>,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<OwnedAsyncKeyedMutexMultiGuard<K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        attempt(self.clone(), self.many(keys))
    }

    /// As [`lock_many`](Self::lock_many), but blocks the thread. Do not call it from a task.
    ///
    /// # Panics
    ///
    /// If the set is [closed](Self::close).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let guard = locks.blocking_lock_many(&[1, 2]);
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AsyncKeyedMutexMultiGuard<'_, K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        block(self.lock_many(keys))
    }
}

impl<K: ?Sized, S> AsyncKeyedMutex<K, S> {
    /// Closes the set, as for a shutdown: no key can be locked from now on, and all waiters get an error. Holders keep their keys
    /// until they release them.
    ///
    /// Futures that wait, and later ones, end with [`AcquireError::Closed`] if they are
    /// [`checked`](AcquireKeys::checked) or have a time limit. All others panic. Closing a set twice does no harm.
    ///
    /// # Panics
    ///
    /// If a waker panics, after all waiters were woken.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let guard = locks.lock(&1).await;
    /// locks.close();
    /// assert!(locks.lock(&2).checked().await.is_err());
    /// drop(guard); // it was valid until now
    /// # }
    /// ```
    pub fn close(&self) {
        let mut panics = Panics::default();
        KeyedSet::buckets(self).each().for_each(|bucket| bucket.close(&mut panics));
    }

    /// Whether [`close`](Self::close) was called and has returned.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// locks.close();
    /// assert!(locks.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        KeyedSet::buckets(self).each().next_back().is_some_and(Bucket::is_closed)
    }
}
