//! The async striped read-write lock.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::batch::AsyncBatch;
use super::guard::{AsyncGuard, AsyncMultiGuard};
use super::kind::ForRwLock;
use super::plan::{Mixed, Read, Uniform, Write};
use super::set::AsyncStriped;
use crate::DefaultHasher;

mod read;
mod write;

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
