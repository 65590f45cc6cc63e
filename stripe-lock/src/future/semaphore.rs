//! The async striped semaphore.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::acquire::{Acquire, AcquireMany};
use super::guard::{AsyncGuard, AsyncMultiGuard};
use super::kind::ForSemaphore;
use super::plan::{Read, Uniform};
use super::set::AsyncStriped;
use super::sync::block_on;
use super::timeout::{Elapsed, within};
use super::word::{MAX_SHARES, shares_left, with_shares};
use crate::DefaultHasher;

/// An async semaphore for every key: at most so many holders at a time for each stripe.
///
/// For limits by key: at most four downloads from one host, at most two jobs of one customer. Permits are handed to
/// those who wait in the order in which they came. Keys that share a stripe share its permits.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use stripe_lock::AsyncStripedSemaphore;
///
/// let downloads = AsyncStripedSemaphore::<str>::new(64, 4);
/// let permit = downloads.acquire("example.org").await;
/// assert_eq!(downloads.available("example.org"), 3);
/// # }
/// ```
pub type AsyncStripedSemaphore<K, S = DefaultHasher> = AsyncStriped<K, (), S, ForSemaphore>;

/// One permit of an [`AsyncStripedSemaphore`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedSemaphore;
/// use stripe_lock::future::AsyncPermit;
///
/// let limits = AsyncStripedSemaphore::<u64>::new(4, 2);
/// let permit: AsyncPermit<'_, u64> = limits.blocking_acquire(&1);
/// ```
pub type AsyncPermit<'a, K, S = DefaultHasher> = AsyncGuard<&'a AsyncStripedSemaphore<K, S>, Read>;

/// One permit of an [`AsyncStripedSemaphore`]; keeps the set alive.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedSemaphore;
/// use stripe_lock::future::OwnedAsyncPermit;
///
/// let limits = Arc::new(AsyncStripedSemaphore::<u64>::new(4, 2));
/// let permit: OwnedAsyncPermit<u64> = limits.acquire_owned(&1).await;
/// # }
/// ```
pub type OwnedAsyncPermit<K, S = DefaultHasher> = AsyncGuard<Arc<AsyncStripedSemaphore<K, S>>, Read>;

/// One permit of each of several stripes of an [`AsyncStripedSemaphore`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedSemaphore;
/// use stripe_lock::future::AsyncMultiPermit;
///
/// let limits = AsyncStripedSemaphore::<u64>::new(4, 2);
/// let permits: AsyncMultiPermit<'_, u64> = limits.blocking_acquire_many(&[1, 2]);
/// ```
pub type AsyncMultiPermit<'a, K, S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedSemaphore<K, S>, Uniform<Read>>;

impl<K: ?Sized> AsyncStripedSemaphore<K> {
    /// Creates `stripes` semaphores, rounded up to a power of two, of `permits` permits each, with the default hasher.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`](crate::MAX_STRIPES), or `permits` is 0 or more than
    /// [`MAX_PERMITS`](Self::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(7, 2);
    /// assert_eq!(limits.stripes(), 8);
    /// ```
    pub fn new(stripes: usize, permits: u32) -> Self
    where
        DefaultHasher: Default,
    {
        Self::with_hasher(stripes, permits, DefaultHasher::default())
    }
}

impl<K: ?Sized, S> AsyncStripedSemaphore<K, S> {
    /// The most permits that a stripe can have, 2^24 - 1.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedSemaphore::<u64>::MAX_PERMITS, 16_777_215);
    /// ```
    pub const MAX_PERMITS: u32 = MAX_SHARES;

    /// Creates `stripes` semaphores, rounded up to a power of two, of `permits` permits each.
    ///
    /// # Panics
    ///
    /// As [`new`](AsyncStripedSemaphore::new).
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{AsyncStripedSemaphore, Fnv1a};
    ///
    /// let limits = AsyncStripedSemaphore::<str, _>::with_hasher(16, 4, Fnv1a::default());
    /// assert_eq!(limits.stripes(), 16);
    /// ```
    pub fn with_hasher(stripes: usize, permits: u32, hasher: S) -> Self {
        let most = Self::MAX_PERMITS;
        assert!((1..=most).contains(&permits), "a stripe has from 1 to {most} permits, got {permits}");
        Self::build(stripes, hasher, with_shares(permits), |_| ())
    }
}

impl<K: ?Sized, S: BuildHasher> AsyncStripedSemaphore<K, S> {
    /// Waits for a permit of the stripe of `key`.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves no permit taken, and gives up its place in the line.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 2);
    /// let (_one, _two) = (limits.acquire(&1).await, limits.acquire(&1).await);
    /// assert!(limits.try_acquire(&1).is_none());
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn acquire<Q>(&self, key: &Q) -> Acquire<&Self, Read>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.wait_for(key)
    }

    /// Takes a permit of the stripe of `key` if there is one and nobody waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 1);
    /// let permit = limits.try_acquire(&1).unwrap();
    /// assert!(limits.try_acquire(&1).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_acquire<Q>(&self, key: &Q) -> Option<AsyncPermit<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.try_for(key)
    }

    /// As [`acquire`](Self::acquire), with a permit that keeps the set alive by one `Arc`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::sync::Arc;
    /// use stripe_lock::AsyncStripedSemaphore;
    ///
    /// let limits = Arc::new(AsyncStripedSemaphore::<u64>::new(64, 2));
    /// let permit = limits.acquire_owned(&1).await;
    /// tokio::spawn(async move { drop(permit) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn acquire_owned<Q>(self: &Arc<Self>, key: &Q) -> Acquire<Arc<Self>, Read>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Acquire::new(self.clone(), self.place_of(key))
    }

    /// As [`acquire`](Self::acquire), waiting as a thread, in the same line as the tasks. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 2);
    /// let _permit = limits.blocking_acquire(&1);
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_acquire<Q>(&self, key: &Q) -> AsyncPermit<'_, K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.block_for(key)
    }

    /// Waits for a permit of the stripe of `key` until `sleep` is over.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if `sleep` ends first.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 1);
    /// let permit = limits.acquire_timeout(&1, std::future::ready(())).await.unwrap();
    /// assert!(limits.acquire_timeout(&1, std::future::ready(())).await.is_err());
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn acquire_timeout<Q>(
        &self,
        key: &Q,
        sleep: impl Future,
    ) -> impl Future<Output = Result<AsyncPermit<'_, K, S>, Elapsed>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        within(self.acquire(key), sleep)
    }

    /// Waits for a permit of every stripe that one of `keys` belongs to: one for each stripe, however many of the
    /// keys share it.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves no permit taken.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 1);
    /// assert!(limits.acquire_many(&[1, 2, 1]).await.holds(&2));
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn acquire_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AcquireMany<&Self, Uniform<Read>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.wait_for_all(Uniform::new(self.set_of(keys)))
    }

    /// Takes a permit of every stripe that one of `keys` belongs to if they are all to be had at once; none otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 1);
    /// let permit = limits.try_acquire(&1).unwrap();
    /// assert!(limits.try_acquire_many(&[1, 2]).is_none());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_acquire_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<AsyncMultiPermit<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.try_for_all(Uniform::new(self.set_of(keys)))
    }

    /// As [`acquire_many`](Self::acquire_many), waiting as a thread. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 1);
    /// assert!(limits.blocking_acquire_many(&[1, 2]).holds(&2));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_acquire_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AsyncMultiPermit<'_, K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        block_on(self.acquire_many(keys))
    }

    /// How many permits the stripe of `key` has left at this moment. Good for metrics and assertions only: the answer
    /// may be out of date when it arrives.
    ///
    /// # Examples
    ///
    /// ```
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 3);
    /// let _permit = limits.blocking_acquire(&1);
    /// assert_eq!(limits.available(&1), 2);
    /// ```
    pub fn available<Q>(&self, key: &Q) -> u32
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        shares_left(self.peek(self.stripe_of(key)))
    }
}
