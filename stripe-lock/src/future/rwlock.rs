//! The async striped read-write lock.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::acquire::{Acquire, AcquireMany};
use super::batch::AsyncBatch;
use super::guard::{AsyncGuard, AsyncMultiGuard};
use super::kind::ForRwLock;
use super::plan::{Mixed, Read, Uniform, Write};
use super::set::AsyncStriped;
use super::sync::block_on;
use super::timeout::{Elapsed, within};
use crate::DefaultHasher;

/// An async read-write lock for every key: a fixed number of four-byte locks, one of which belongs to each key.
///
/// As [`AsyncStripedMutex`](crate::AsyncStripedMutex), with readers that share a stripe.
///
/// # Fairness
///
/// Neither readers nor writers starve. While somebody waits, newcomers of either sort wait behind; only when a
/// writer that waits alone was woken to a free stripe may up to twelve newcomers overtake it. Readers that are next to
/// each other in the line go in together.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use stripe_lock::AsyncStripedRwLock;
///
/// let prices = AsyncStripedRwLock::<str, u32>::new(64);
/// *prices.write("tea").await = 3;
/// let (one, two) = (prices.read("tea").await, prices.read("tea").await);
/// assert_eq!((*one, *two), (3, 3));
/// # }
/// ```
pub type AsyncStripedRwLock<K, T = (), S = DefaultHasher> = AsyncStriped<K, T, S, ForRwLock>;

/// Reads a stripe of an [`AsyncStripedRwLock`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::future::AsyncReadGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let guard: AsyncReadGuard<'_, u64> = locks.blocking_read(&1);
/// ```
pub type AsyncReadGuard<'a, K, T = (), S = DefaultHasher> = AsyncGuard<&'a AsyncStripedRwLock<K, T, S>, Read>;

/// Writes a stripe of an [`AsyncStripedRwLock`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::future::AsyncWriteGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let guard: AsyncWriteGuard<'_, u64> = locks.blocking_write(&1);
/// ```
pub type AsyncWriteGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncGuard<&'a AsyncStripedRwLock<K, T, S>, Write>;

/// Reads a stripe of an [`AsyncStripedRwLock`], and keeps the set alive.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::future::OwnedAsyncReadGuard;
///
/// let locks = Arc::new(AsyncStripedRwLock::<u64>::new(4));
/// let guard: OwnedAsyncReadGuard<u64> = locks.read_owned(&1).await;
/// # }
/// ```
pub type OwnedAsyncReadGuard<K, T = (), S = DefaultHasher> =
    AsyncGuard<Arc<AsyncStripedRwLock<K, T, S>>, Read>;

/// Writes a stripe of an [`AsyncStripedRwLock`], and keeps the set alive.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::future::OwnedAsyncWriteGuard;
///
/// let locks = Arc::new(AsyncStripedRwLock::<u64>::new(4));
/// let guard: OwnedAsyncWriteGuard<u64> = locks.write_owned(&1).await;
/// # }
/// ```
pub type OwnedAsyncWriteGuard<K, T = (), S = DefaultHasher> =
    AsyncGuard<Arc<AsyncStripedRwLock<K, T, S>>, Write>;

/// Reads several stripes of an [`AsyncStripedRwLock`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::future::AsyncReadMultiGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let guard: AsyncReadMultiGuard<'_, u64> = locks.blocking_read_all();
/// ```
pub type AsyncReadMultiGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedRwLock<K, T, S>, Uniform<Read>>;

/// Writes several stripes of an [`AsyncStripedRwLock`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::future::AsyncWriteMultiGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let guard: AsyncWriteMultiGuard<'_, u64> = locks.blocking_write_all();
/// ```
pub type AsyncWriteMultiGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedRwLock<K, T, S>, Uniform<Write>>;

/// Reads some and writes other stripes of an [`AsyncStripedRwLock`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::future::AsyncBatchGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let guard: AsyncBatchGuard<'_, u64> = locks.batch().read(&1).blocking_lock();
/// ```
pub type AsyncBatchGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedRwLock<K, T, S>, Mixed>;

impl<K: ?Sized, T: Default> AsyncStripedRwLock<K, T> {
    /// Creates `stripes` locks, rounded up to a power of two, with the default hasher.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`](crate::MAX_STRIPES).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(7);
    /// assert_eq!(locks.stripes(), 8);
    /// ```
    pub fn new(stripes: usize) -> Self
    where
        DefaultHasher: Default,
    {
        Self::with_hasher(stripes, DefaultHasher::default())
    }
}

impl<K: ?Sized, T, S: BuildHasher> AsyncStripedRwLock<K, T, S> {
    /// Waits for the stripe of `key` to read. Others may read it meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held, and gives up its place in the line.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// assert_eq!(*locks.read(&1).await, 0);
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read<Q>(&self, key: &Q) -> Acquire<&Self, Read>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.wait_for(key)
    }

    /// Takes the stripe of `key` to read if that needs no waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_read(&1).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_read<Q>(&self, key: &Q) -> Option<AsyncReadGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.try_for(key)
    }

    /// As [`read`](Self::read), with a guard that keeps the set alive by one `Arc`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::sync::Arc;
    /// use stripe_lock::AsyncStripedRwLock;
    ///
    /// let locks = Arc::new(AsyncStripedRwLock::<u64>::new(64));
    /// let guard = locks.read_owned(&1).await;
    /// tokio::spawn(async move { drop(guard) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read_owned<Q>(self: &Arc<Self>, key: &Q) -> Acquire<Arc<Self>, Read>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Acquire::new(self.clone(), self.place_of(key))
    }

    /// As [`read`](Self::read), waiting as a thread, in the same line as the tasks. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// assert_eq!(*locks.blocking_read(&1), 0);
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_read<Q>(&self, key: &Q) -> AsyncReadGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.block_for(key)
    }

    /// Waits for the stripe of `key` to read until `sleep` is over, which is any future that takes as long as one is
    /// willing to wait.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if `sleep` ends first.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.write(&1).await;
    /// assert!(locks.read_timeout(&1, std::future::ready(())).await.is_err());
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read_timeout<Q>(
        &self,
        key: &Q,
        sleep: impl Future,
    ) -> impl Future<Output = Result<AsyncReadGuard<'_, K, T, S>, Elapsed>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        within(self.read(key), sleep)
    }

    /// Waits for the stripes of several keys to read. Whatever the order of the keys, it can't deadlock with others of
    /// this kind.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// assert!(locks.read_many(&[2, 1]).await.holds(&1));
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> AcquireMany<&Self, Uniform<Read>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.wait_for_all(Uniform::new(self.set_of(keys)))
    }

    /// Takes the stripes of several keys to read if that needs no waiting; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_read_many(&[1, 2]).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_read_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<AsyncReadMultiGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.try_for_all(Uniform::new(self.set_of(keys)))
    }

    /// As [`read_many`](Self::read_many), waiting as a thread. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// assert!(locks.blocking_read_many(&[1, 2]).holds(&2));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_read_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AsyncReadMultiGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        block_on(self.read_many(keys))
    }

    /// Waits for every stripe to read.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// assert_eq!(locks.read_all().await.len(), 4);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read_all(&self) -> AcquireMany<&Self, Uniform<Read>> {
        self.wait_for_all(Uniform::new(self.every()))
    }

    /// Takes every stripe to read if that needs no waiting; none otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_read_all().is_none());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_read_all(&self) -> Option<AsyncReadMultiGuard<'_, K, T, S>> {
        self.try_for_all(Uniform::new(self.every()))
    }

    /// As [`read_all`](Self::read_all), waiting as a thread. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// assert_eq!(locks.blocking_read_all().len(), 4);
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_read_all(&self) -> AsyncReadMultiGuard<'_, K, T, S> {
        block_on(self.read_all())
    }
}

impl<K: ?Sized, T, S: BuildHasher> AsyncStripedRwLock<K, T, S> {
    /// Waits for the stripe of `key` to write. Nobody else has it meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held, and gives up its place in the line.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// assert_eq!(*locks.write(&1).await, 0);
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write<Q>(&self, key: &Q) -> Acquire<&Self, Write>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.wait_for(key)
    }

    /// Takes the stripe of `key` to write if that needs no waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_write(&1).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_write<Q>(&self, key: &Q) -> Option<AsyncWriteGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.try_for(key)
    }

    /// As [`write`](Self::write), with a guard that keeps the set alive by one `Arc`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::sync::Arc;
    /// use stripe_lock::AsyncStripedRwLock;
    ///
    /// let locks = Arc::new(AsyncStripedRwLock::<u64>::new(64));
    /// let guard = locks.write_owned(&1).await;
    /// tokio::spawn(async move { drop(guard) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write_owned<Q>(self: &Arc<Self>, key: &Q) -> Acquire<Arc<Self>, Write>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Acquire::new(self.clone(), self.place_of(key))
    }

    /// As [`write`](Self::write), waiting as a thread, in the same line as the tasks. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// assert_eq!(*locks.blocking_write(&1), 0);
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_write<Q>(&self, key: &Q) -> AsyncWriteGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.block_for(key)
    }

    /// Waits for the stripe of `key` to write until `sleep` is over, which is any future that takes as long as one is
    /// willing to wait.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if `sleep` ends first.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.write(&1).await;
    /// assert!(locks.write_timeout(&1, std::future::ready(())).await.is_err());
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write_timeout<Q>(
        &self,
        key: &Q,
        sleep: impl Future,
    ) -> impl Future<Output = Result<AsyncWriteGuard<'_, K, T, S>, Elapsed>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        within(self.write(key), sleep)
    }

    /// Waits for the stripes of several keys to write. Whatever the order of the keys, it can't deadlock with others of
    /// this kind.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// assert!(locks.write_many(&[2, 1]).await.holds(&1));
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AcquireMany<&Self, Uniform<Write>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.wait_for_all(Uniform::new(self.set_of(keys)))
    }

    /// Takes the stripes of several keys to write if that needs no waiting; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_write_many(&[1, 2]).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_write_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<AsyncWriteMultiGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.try_for_all(Uniform::new(self.set_of(keys)))
    }

    /// As [`write_many`](Self::write_many), waiting as a thread. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// assert!(locks.blocking_write_many(&[1, 2]).holds(&2));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_write_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AsyncWriteMultiGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        block_on(self.write_many(keys))
    }

    /// Waits for every stripe to write.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// assert_eq!(locks.write_all().await.len(), 4);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write_all(&self) -> AcquireMany<&Self, Uniform<Write>> {
        self.wait_for_all(Uniform::new(self.every()))
    }

    /// Takes every stripe to write if that needs no waiting; none otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_write_all().is_none());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_write_all(&self) -> Option<AsyncWriteMultiGuard<'_, K, T, S>> {
        self.try_for_all(Uniform::new(self.every()))
    }

    /// As [`write_all`](Self::write_all), waiting as a thread. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// assert_eq!(locks.blocking_write_all().len(), 4);
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_write_all(&self) -> AsyncWriteMultiGuard<'_, K, T, S> {
        block_on(self.write_all())
    }
}

impl<K: ?Sized, T, S: BuildHasher> AsyncStripedRwLock<K, T, S> {
    /// Names keys to read and keys to write, to be locked together.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let stock = stripe_lock::AsyncStripedRwLock::<str, u32>::new(64);
    /// let mut guard = stock.batch().read("prices").write("orders").lock().await;
    /// *guard.get_mut("orders").unwrap() += 1;
    /// # }
    /// ```
    pub fn batch(&self) -> AsyncBatch<'_, K, T, S> {
        AsyncBatch::new(self)
    }

    /// Runs `section` with the data of the stripe of `key`, which is held for writing meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let counts = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// counts.with(&1, async |n| *n += 1).await;
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn with<Q, O>(&self, key: &Q, section: impl AsyncFnOnce(&mut T) -> O) -> impl Future<Output = O>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let lock = self.write(key);
        async move { section(&mut *lock.await).await }
    }

    /// Runs `section` with the data of the stripe of `key`, which is held for reading meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let counts = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// assert_eq!(counts.with_read(&1, async |n| *n).await, 0);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn with_read<Q, O>(&self, key: &Q, section: impl AsyncFnOnce(&T) -> O) -> impl Future<Output = O>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let lock = self.read(key);
        async move { section(&*lock.await).await }
    }
}
