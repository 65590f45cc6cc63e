//! The async striped mutex.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::acquire::{Acquire, AcquireMany};
use super::guard::{AsyncGuard, AsyncMultiGuard};
use super::kind::ForMutex;
use super::plan::{Uniform, Write};
use super::set::AsyncStriped;
use super::sync::block_on;
use super::timeout::{Elapsed, within};
use crate::DefaultHasher;

/// An async mutex for every key: a fixed number of one-byte mutexes, one of which belongs to each key.
///
/// It may be held across an `.await`. It works on every runtime, and by the `blocking_` methods without one; threads and
/// tasks wait in the same lines.
///
/// # Fairness
///
/// A stripe that is released while others wait for it goes to whoever comes first, for a while: the first in line is
/// woken to compete for it, at most twelve newcomers overtake it, and if it finds the stripe taken when it runs,
/// the next release hands it over. [`strict_fifo`](AsyncStriped::strict_fifo) does away with overtaking.
/// Whoever waits for several stripes is handed each in its turn.
///
/// # Deadlock
///
/// Several keys locked together, by [`lock_many`](Self::lock_many) or [`lock_all`](Self::lock_all), can't deadlock,
/// whatever their order. A task that holds one key and awaits another on its own can, above all where both
/// share a stripe: then it waits for itself. To add a key to those held, use
/// [`try_extend`](AsyncMultiGuard::try_extend) or [`extend`](AsyncMultiGuard::extend).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::collections::HashMap;
/// use stripe_lock::AsyncStripedMutex;
///
/// let stock = AsyncStripedMutex::<str, HashMap<String, u32>>::new(64);
/// stock.lock("apples").await.insert("apples".into(), 3);
///
/// let mut both = stock.lock_many(["apples", "pears"]).await;
/// both.get_mut("apples").unwrap().insert("apples".into(), 5);
/// both.get_mut("pears").unwrap().insert("pears".into(), 2);
/// # }
/// ```
pub type AsyncStripedMutex<K, T = (), S = DefaultHasher> = AsyncStriped<K, T, S, ForMutex>;

/// Holds a stripe of an [`AsyncStripedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::future::AsyncMutexGuard;
///
/// let locks = AsyncStripedMutex::<u64, u32>::new(4);
/// let guard: AsyncMutexGuard<'_, u64, u32> = locks.blocking_lock(&1);
/// ```
pub type AsyncMutexGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncGuard<&'a AsyncStripedMutex<K, T, S>, Write>;

/// Holds a stripe of an [`AsyncStripedMutex`], and keeps the set alive.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::future::OwnedAsyncMutexGuard;
///
/// let locks = Arc::new(AsyncStripedMutex::<u64>::new(4));
/// let guard: OwnedAsyncMutexGuard<u64> = locks.lock_owned(&1).await;
/// # }
/// ```
pub type OwnedAsyncMutexGuard<K, T = (), S = DefaultHasher> =
    AsyncGuard<Arc<AsyncStripedMutex<K, T, S>>, Write>;

/// Holds several stripes of an [`AsyncStripedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::future::AsyncMutexMultiGuard;
///
/// let locks = AsyncStripedMutex::<u64>::new(4);
/// let guard: AsyncMutexMultiGuard<'_, u64> = locks.blocking_lock_all();
/// ```
pub type AsyncMutexMultiGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedMutex<K, T, S>, Uniform<Write>>;

/// Holds several stripes of an [`AsyncStripedMutex`], and keeps the set alive.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::future::OwnedAsyncMutexMultiGuard;
///
/// let locks = Arc::new(AsyncStripedMutex::<u64>::new(4));
/// let guard: OwnedAsyncMutexMultiGuard<u64> = locks.lock_many_owned(&[1, 2]).await;
/// # }
/// ```
pub type OwnedAsyncMutexMultiGuard<K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<Arc<AsyncStripedMutex<K, T, S>>, Uniform<Write>>;

impl<K: ?Sized, T: Default> AsyncStripedMutex<K, T> {
    /// Creates `stripes` mutexes, rounded up to a power of two, with the default hasher.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`](crate::MAX_STRIPES).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(7);
    /// assert_eq!(locks.stripes(), 8);
    /// ```
    pub fn new(stripes: usize) -> Self
    where
        DefaultHasher: Default,
    {
        Self::with_hasher(stripes, DefaultHasher::default())
    }
}

impl<K: ?Sized, T, S: BuildHasher> AsyncStripedMutex<K, T, S> {
    /// Waits for the stripe of `key`.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held, and gives up its place in the line.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(64);
    /// *counts.lock(&1).await += 1;
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock<Q>(&self, key: &Q) -> Acquire<&Self, Write>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.wait_for(key)
    }

    /// Takes the stripe of `key` if it is free and nobody who waits for it has precedence.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.try_lock(&1).unwrap();
    /// assert!(locks.try_lock(&1).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock<Q>(&self, key: &Q) -> Option<AsyncMutexGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.try_for(key)
    }

    /// As [`lock`](Self::lock), with a guard that keeps the set alive by one `Arc`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::sync::Arc;
    /// use stripe_lock::AsyncStripedMutex;
    ///
    /// let locks = Arc::new(AsyncStripedMutex::<u64>::new(64));
    /// let guard = locks.lock_owned(&1).await;
    /// tokio::spawn(async move { drop(guard) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_owned<Q>(self: &Arc<Self>, key: &Q) -> Acquire<Arc<Self>, Write>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Acquire::new(self.clone(), self.place_of(key))
    }

    /// As [`lock`](Self::lock), waiting as a thread, in the same line as the tasks.
    ///
    /// Not to be called from a task: it stops the executor's thread, and hangs for ever if the holder runs on it.
    ///
    /// # Examples
    ///
    /// ```
    /// let counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(64);
    /// *counts.blocking_lock(&1) += 1;
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_lock<Q>(&self, key: &Q) -> AsyncMutexGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.block_for(key)
    }

    /// Waits for the stripe of `key` until `sleep` is over, which is any future that takes as long as one is willing to
    /// wait.
    ///
    /// The stripe is asked for before the time, so a free one is had even if the time is up.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if `sleep` ends first.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::time::Duration;
    /// use tokio::time::{sleep, timeout};
    ///
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock_timeout(&1, sleep(Duration::from_millis(5))).await.unwrap();
    /// assert!(locks.lock_timeout(&1, sleep(Duration::from_millis(5))).await.is_err());
    /// // A runtime's own timeout does as well, since a lock future may be dropped at any time.
    /// assert!(timeout(Duration::from_millis(5), locks.lock(&1)).await.is_err());
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_timeout<Q>(
        &self,
        key: &Q,
        sleep: impl Future,
    ) -> impl Future<Output = Result<AsyncMutexGuard<'_, K, T, S>, Elapsed>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        within(self.lock(key), sleep)
    }

    /// Waits for the stripes of several keys. Whatever the order of the keys, it can't deadlock with others of this
    /// kind.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let stock = stripe_lock::AsyncStripedMutex::<str, u32>::new(64);
    /// let mut guard = stock.lock_many(["pears", "apples"]).await;
    /// *guard.get_mut("pears").unwrap() += 1;
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AcquireMany<&Self, Uniform<Write>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.wait_for_all(Uniform::new(self.set_of(keys)))
    }

    /// Takes the stripes of several keys if they are all to be had at once; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.try_lock(&1).unwrap();
    /// assert!(locks.try_lock_many(&[1, 2]).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<AsyncMutexMultiGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.try_for_all(Uniform::new(self.set_of(keys)))
    }

    /// As [`lock_many`](Self::lock_many), with a guard that keeps the set alive by one `Arc`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::sync::Arc;
    /// use stripe_lock::AsyncStripedMutex;
    ///
    /// let locks = Arc::new(AsyncStripedMutex::<u64>::new(64));
    /// let guard = locks.lock_many_owned(&[1, 2]).await;
    /// tokio::spawn(async move { drop(guard) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_many_owned<'q, Q>(
        self: &Arc<Self>,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AcquireMany<Arc<Self>, Uniform<Write>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        AcquireMany::new(self.clone(), Uniform::new(self.set_of(keys)))
    }

    /// As [`lock_many`](Self::lock_many), waiting as a thread: see [`blocking_lock`](Self::blocking_lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// assert!(locks.blocking_lock_many(&[1, 2]).holds(&2));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AsyncMutexMultiGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        block_on(self.lock_many(keys))
    }

    /// Waits for every stripe. Excludes whoever holds any key.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(64);
    /// let total: u32 = counts.lock_all().await.iter().map(|(_stripe, n)| n).sum();
    /// assert_eq!(total, 0);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock_all(&self) -> AcquireMany<&Self, Uniform<Write>> {
        self.wait_for_all(Uniform::new(self.every()))
    }

    /// Takes every stripe if they are all to be had at once; none otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.try_lock(&1).unwrap();
    /// assert!(locks.try_lock_all().is_none());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock_all(&self) -> Option<AsyncMutexMultiGuard<'_, K, T, S>> {
        self.try_for_all(Uniform::new(self.every()))
    }

    /// As [`lock_all`](Self::lock_all), waiting as a thread: see [`blocking_lock`](Self::blocking_lock).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(4);
    /// assert_eq!(locks.blocking_lock_all().len(), 4);
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_lock_all(&self) -> AsyncMutexMultiGuard<'_, K, T, S> {
        block_on(self.lock_all())
    }

    /// Runs `section` with the data of the stripe of `key`, which is held meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(64);
    /// let count = counts
    ///     .with(&1, async |n| {
    ///         tokio::task::yield_now().await;
    ///         *n += 1;
    ///         *n
    ///     })
    ///     .await;
    /// assert_eq!(count, 1);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn with<Q, O>(&self, key: &Q, section: impl AsyncFnOnce(&mut T) -> O) -> impl Future<Output = O>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let lock = self.lock(key);
        async move { section(&mut *lock.await).await }
    }
}
