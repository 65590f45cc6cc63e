//! The async striped semaphore.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use super::acquire::{Acquire, AcquireMany, Checked, Enqueued};
use super::error::AcquireError;
use super::guard::{AsyncGuard, try_one};
use super::kind::{Permits, Read, SemaphoreKind, access};
use super::methods::{Timeout, block, block_for, one_stripe, several_keys};
use super::multi::{AsyncMultiGuard, try_many};
use super::plan::UniformPlan;
use super::release;
use super::sealed::{AccessParts, LockSet};
use super::set::AsyncStriped;
use super::word::{MAX_SHARES, shares_left, with_shares};
use crate::shared::hash::DefaultHasher;

/// An async semaphore for every key: it limits the number of holders that a stripe has at a time.
///
/// Use it for limits by key: at most four downloads from one host, at most two jobs of one customer. Waiters get
/// permits in the order in which they came, even if the first one wants more permits than are free and the next one
/// fewer. **The permits belong to the stripe, not to the key**: keys that share a stripe share its permits.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use stripe_lock::AsyncStripedSemaphore;
///
/// let downloads = AsyncStripedSemaphore::<str>::new(64, 4);
/// let permit = downloads.acquire("example.org").await;
/// let three = downloads.acquire_many("example.org", 3).await;
/// assert_eq!(downloads.available("example.org"), 0);
/// # }
/// ```
pub type AsyncStripedSemaphore<K, S = DefaultHasher> = AsyncStriped<K, (), S, SemaphoreKind>;

/// One permit of an [`AsyncStripedSemaphore`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedSemaphore;
/// use stripe_lock::asynchronous::AsyncPermit;
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
/// use stripe_lock::asynchronous::OwnedAsyncPermit;
///
/// let limits = Arc::new(AsyncStripedSemaphore::<u64>::new(4, 2));
/// let permit: OwnedAsyncPermit<u64> = limits.acquire_owned(&1).await;
/// # }
/// ```
pub type OwnedAsyncPermit<K, S = DefaultHasher> = AsyncGuard<Arc<AsyncStripedSemaphore<K, S>>, Read>;

/// Several permits of one stripe of an [`AsyncStripedSemaphore`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedSemaphore;
/// use stripe_lock::asynchronous::AsyncPermits;
///
/// let limits = AsyncStripedSemaphore::<u64>::new(4, 2);
/// let both: AsyncPermits<'_, u64> = limits.blocking_acquire_many(&1, 2);
/// ```
pub type AsyncPermits<'a, K, S = DefaultHasher> = AsyncGuard<&'a AsyncStripedSemaphore<K, S>, Permits>;

/// Several permits of one stripe of an [`AsyncStripedSemaphore`]; keeps the set alive.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedSemaphore;
/// use stripe_lock::asynchronous::OwnedAsyncPermits;
///
/// let limits = Arc::new(AsyncStripedSemaphore::<u64>::new(4, 2));
/// let both: OwnedAsyncPermits<u64> = limits.acquire_many_owned(&1, 2).await;
/// # }
/// ```
pub type OwnedAsyncPermits<K, S = DefaultHasher> = AsyncGuard<Arc<AsyncStripedSemaphore<K, S>>, Permits>;

/// One permit of each of several stripes of an [`AsyncStripedSemaphore`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedSemaphore;
/// use stripe_lock::asynchronous::AsyncMultiPermit;
///
/// let limits = AsyncStripedSemaphore::<u64>::new(4, 2);
/// let permits: AsyncMultiPermit<'_, u64> = limits.blocking_acquire_keys(&[1, 2]);
/// ```
pub type AsyncMultiPermit<'a, K, S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedSemaphore<K, S>, UniformPlan<Read>>;

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
        Self::build(stripes, hasher, with_shares(permits), |_| ()).with_permits(permits)
    }
}

one_stripe! {
    [K: ?Sized, S: BuildHasher] AsyncStripedSemaphore<K, S>, Read, "stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 1)",
    "Waits for a permit of the stripe", "Takes a permit of the stripe";
    acquire, try_acquire, acquire_owned, try_acquire_owned, acquire_timeout, blocking_acquire, blocking_acquire_owned,
    blocking_acquire_timeout, acquire_unless_crowded, enqueue_acquire_owned, acquire_stripe, try_acquire_stripe
}

several_keys! {
    [K: ?Sized, S: BuildHasher] AsyncStripedSemaphore<K, S>, Read, "stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 1)",
    "Waits for a permit of the stripe", "Takes a permit of the stripe";
    acquire_keys, try_acquire_keys, acquire_keys_owned, try_acquire_keys_owned, blocking_acquire_keys,
    blocking_acquire_keys_timeout
}

impl<K: ?Sized, S: BuildHasher> AsyncStripedSemaphore<K, S> {
    /// Waits for `permits` permits of the stripe of `key`, and gets all of them at once.
    ///
    /// If `permits` is more than the stripe has, it waits until the missing ones are [added](Self::add_permits).
    ///
    /// # Panics
    ///
    /// If `permits` is more than [`MAX_PERMITS`](Self::MAX_PERMITS). When polled, if the set is
    /// [closed](super::AsyncStriped::close).
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves no permit taken, and gives up its place in the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 3);
    /// let _two = limits.acquire_many(&1, 2).await;
    /// assert_eq!(limits.available(&1), 1);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn acquire_many<Q>(&self, key: &Q, permits: u32) -> Acquire<&Self, Permits>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Acquire::new(self, self.place_of(key), Self::permits_within_the_limit(permits))
    }

    /// Takes `permits` permits of the stripe of `key` if enough are free and there is no waiter.
    ///
    /// # Panics
    ///
    /// If `permits` is more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    ///
    /// # Examples
    ///
    /// ```
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 3);
    /// let _two = limits.try_acquire_many(&1, 2).unwrap();
    /// assert!(limits.try_acquire_many(&1, 2).is_none());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_acquire_many<Q>(&self, key: &Q, permits: u32) -> Option<AsyncPermits<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        try_one(self, self.place_of(key), Self::permits_within_the_limit(permits))
    }

    /// As [`acquire_many`](Self::acquire_many), with a guard that keeps the set alive by an `Arc`.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    ///
    /// As for [`acquire_many`](Self::acquire_many).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let limits = std::sync::Arc::new(stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 3));
    /// let two = limits.acquire_many_owned(&1, 2).await;
    /// tokio::spawn(async move { drop(two) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn acquire_many_owned<Q>(self: &Arc<Self>, key: &Q, permits: u32) -> Acquire<Arc<Self>, Permits>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Acquire::new(self.clone(), self.place_of(key), Self::permits_within_the_limit(permits))
    }

    /// As [`acquire_many`](Self::acquire_many), but blocks the thread. Do not call it from a task.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Examples
    ///
    /// ```
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 3);
    /// let _two = limits.blocking_acquire_many(&1, 2);
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_acquire_many<Q>(&self, key: &Q, permits: u32) -> AsyncPermits<'_, K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        block(self.acquire_many(key, permits))
    }

    fn permits_within_the_limit(permits: u32) -> Permits {
        let most = Self::MAX_PERMITS;
        assert!(permits <= most, "a stripe has at most {most} permits, got {permits}");
        Permits(permits)
    }

    /// How many permits the stripe of `key` has left at this moment. Use it for metrics and assertions only: the result
    /// may be out of date when it is returned.
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

    /// Adds `permits` permits to the stripe of `key`.
    ///
    /// # Panics
    ///
    /// If the stripe would have more than [`MAX_PERMITS`](Self::MAX_PERMITS), including those that are taken.
    ///
    /// # Examples
    ///
    /// ```
    /// let limits = stripe_lock::AsyncStripedSemaphore::<u64>::new(64, 1);
    /// limits.add_permits(&1, 2);
    /// assert_eq!(limits.available(&1), 3);
    /// ```
    pub fn add_permits<Q>(&self, key: &Q, permits: u32)
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        release::add_permits(self, self.stripe_of(key), permits, Self::MAX_PERMITS);
    }
}

/// `forget` of the guards of permits.
macro_rules! forget {
    ($access:ty, $alias:literal, $acquire:literal, $left:literal) => {
        impl<P, K: ?Sized, S> AsyncGuard<P, $access>
        where
            P: std::ops::Deref<Target = AsyncStripedSemaphore<K, S>>,
        {
            /// Removes the permits from the stripe for good: they are not given back.
            ///
            /// # Examples
            ///
            /// ```
            /// use stripe_lock::AsyncStripedSemaphore;
            #[doc = concat!("use stripe_lock::asynchronous::", $alias, ";")]
            ///
            /// let limits = AsyncStripedSemaphore::<u64>::new(64, 3);
            #[doc = concat!($alias, "::forget(limits.blocking_", $acquire, ");")]
            #[doc = concat!("assert_eq!(limits.available(&1), ", $left, ");")]
            /// ```
            pub fn forget(guard: Self) {
                let (set, place, access, record) = guard.hold.into_parts();
                let erased = set.queue().monitor.released(&record);
                release::forget_permits(&*set, place.stripe(), access.mode());
                drop((erased, set));
            }
        }
    };
}

forget!(Read, "AsyncPermit", "acquire(&1)", "2");
forget!(Permits, "AsyncPermits", "acquire_many(&1, 2)", "1");
