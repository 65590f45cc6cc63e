//! The async striped read-write lock.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use super::acquire::{Acquire, AcquireMany, Checked, Enqueued};
use super::error::AcquireError;
use super::guard::{AsyncGuard, try_one};
use super::kind::{Read, RwLockKind, Upgradable, Write, access};
use super::methods::{Timeout, block, block_for, every_stripe, one_stripe, several_keys};
use super::multi::{AsyncMultiGuard, try_many};
use super::plan::{MixedPlan, UniformPlan};
use super::set::AsyncStriped;
use crate::shared::hash::DefaultHasher;

/// An async read-write lock for every key: a fixed number of four-byte locks. Each key belongs to one of them.
///
/// It is like [`AsyncStripedMutex`](crate::AsyncStripedMutex), but several readers can hold a stripe at the same
/// time.
///
/// **`T` belongs to the stripe, not to the key**: keys that share a stripe share its `T`.
///
/// # Fairness
///
/// Neither readers nor writers starve. While there is a waiter, newcomers of either sort wait behind it. There is one
/// exception: a writer of one stripe that was woken competes for it, and up to twelve newcomers may overtake it. So a
/// waiter is overtaken at most twelve times for each position it has in the queue. Readers that are next to each
/// other in the queue enter together.
///
/// # Deadlock
///
/// As for the mutex. In addition, a task that reads a stripe must not read it again: a writer may have joined the
/// queue between the two reads. The second read would wait for that writer, and the writer waits for the first read.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::collections::HashMap;
/// use stripe_lock::AsyncStripedRwLock;
///
/// let prices = AsyncStripedRwLock::<str, HashMap<String, u32>>::new(64);
/// prices.write("tea").await.insert("tea".into(), 3);
/// assert_eq!(prices.read("tea").await["tea"], 3);
/// # }
/// ```
pub type AsyncStripedRwLock<K, T = (), S = DefaultHasher> = AsyncStriped<K, T, S, RwLockKind>;

/// Reads a stripe of an [`AsyncStripedRwLock`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::AsyncReadGuard;
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
/// use stripe_lock::asynchronous::AsyncWriteGuard;
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
/// use stripe_lock::asynchronous::OwnedAsyncReadGuard;
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
/// use stripe_lock::asynchronous::OwnedAsyncWriteGuard;
///
/// let locks = Arc::new(AsyncStripedRwLock::<u64>::new(4));
/// let guard: OwnedAsyncWriteGuard<u64> = locks.write_owned(&1).await;
/// # }
/// ```
pub type OwnedAsyncWriteGuard<K, T = (), S = DefaultHasher> =
    AsyncGuard<Arc<AsyncStripedRwLock<K, T, S>>, Write>;

/// Reads a stripe of an [`AsyncStripedRwLock`], with the right to upgrade.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::AsyncUpgradableGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let guard: AsyncUpgradableGuard<'_, u64> = locks.blocking_upgradable_read(&1);
/// ```
pub type AsyncUpgradableGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncGuard<&'a AsyncStripedRwLock<K, T, S>, Upgradable>;

/// Reads a stripe of an [`AsyncStripedRwLock`], with the right to upgrade, and keeps the set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::OwnedAsyncUpgradableGuard;
///
/// let locks = Arc::new(AsyncStripedRwLock::<u64>::new(4));
/// let guard: OwnedAsyncUpgradableGuard<u64> = locks.blocking_upgradable_read_owned(&1);
/// ```
pub type OwnedAsyncUpgradableGuard<K, T = (), S = DefaultHasher> =
    AsyncGuard<Arc<AsyncStripedRwLock<K, T, S>>, Upgradable>;

/// Reads several stripes of an [`AsyncStripedRwLock`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::AsyncReadMultiGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let guard: AsyncReadMultiGuard<'_, u64> = locks.blocking_read_all();
/// ```
pub type AsyncReadMultiGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedRwLock<K, T, S>, UniformPlan<Read>>;

/// Writes several stripes of an [`AsyncStripedRwLock`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::AsyncWriteMultiGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let guard: AsyncWriteMultiGuard<'_, u64> = locks.blocking_write_all();
/// ```
pub type AsyncWriteMultiGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedRwLock<K, T, S>, UniformPlan<Write>>;

/// Reads some and writes other stripes of an [`AsyncStripedRwLock`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::AsyncBatchGuard;
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let guard: AsyncBatchGuard<'_, u64> = locks.batch().read(&1).blocking_lock();
/// ```
pub type AsyncBatchGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedRwLock<K, T, S>, MixedPlan>;

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

one_stripe! {
    [K: ?Sized, T, S: BuildHasher] AsyncStripedRwLock<K, T, S>, Read, "stripe_lock::AsyncStripedRwLock::<u64>::new(64)",
    "Waits to read the stripe", "Reads the stripe";
    read, try_read, read_owned, try_read_owned, read_timeout, blocking_read, blocking_read_owned, blocking_read_timeout,
    read_unless_crowded, enqueue_read_owned, read_stripe, try_read_stripe
}

one_stripe! {
    [K: ?Sized, T, S: BuildHasher] AsyncStripedRwLock<K, T, S>, Write, "stripe_lock::AsyncStripedRwLock::<u64>::new(64)",
    "Waits to write the stripe", "Writes the stripe";
    write, try_write, write_owned, try_write_owned, write_timeout, blocking_write, blocking_write_owned,
    blocking_write_timeout, write_unless_crowded, enqueue_write_owned, write_stripe, try_write_stripe
}

one_stripe! {
    [K: ?Sized, T, S: BuildHasher] AsyncStripedRwLock<K, T, S>, Upgradable,
    "stripe_lock::AsyncStripedRwLock::<u64>::new(64)",
    "Waits for an upgradable read of the stripe", "Takes an upgradable read of the stripe";
    upgradable_read, try_upgradable_read, upgradable_read_owned, try_upgradable_read_owned, upgradable_read_timeout,
    blocking_upgradable_read, blocking_upgradable_read_owned, blocking_upgradable_read_timeout,
    upgradable_read_unless_crowded, enqueue_upgradable_read_owned, upgradable_read_stripe, try_upgradable_read_stripe
}

several_keys! {
    [K: ?Sized, T, S: BuildHasher] AsyncStripedRwLock<K, T, S>, Read, "stripe_lock::AsyncStripedRwLock::<u64>::new(64)",
    "Waits to read the stripes", "Reads the stripes";
    read_many, try_read_many, read_many_owned, try_read_many_owned, blocking_read_many, blocking_read_many_timeout
}

several_keys! {
    [K: ?Sized, T, S: BuildHasher] AsyncStripedRwLock<K, T, S>, Write, "stripe_lock::AsyncStripedRwLock::<u64>::new(64)",
    "Waits to write the stripes", "Writes the stripes";
    write_many, try_write_many, write_many_owned, try_write_many_owned, blocking_write_many, blocking_write_many_timeout
}

every_stripe! {
    [K: ?Sized, T, S] AsyncStripedRwLock<K, T, S>, Read, "stripe_lock::AsyncStripedRwLock::<u64>::new(64)",
    "Waits to read every stripe", "Reads every stripe";
    read_all, try_read_all, read_all_owned, blocking_read_all
}

every_stripe! {
    [K: ?Sized, T, S] AsyncStripedRwLock<K, T, S>, Write, "stripe_lock::AsyncStripedRwLock::<u64>::new(64)",
    "Waits to write every stripe", "Writes every stripe";
    write_all, try_write_all, write_all_owned, blocking_write_all
}

impl<K: ?Sized, T, S: BuildHasher> AsyncStripedRwLock<K, T, S> {
    /// Runs `section` with the data of the stripe of `key`, which is held for writing meanwhile.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped while it waits, it leaves nothing held. If it is dropped later, it drops `section` unfinished
    /// and releases the stripe.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let per_stripe = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// per_stripe.with(&1, async |n| *n += 1).await;
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn with<'s, Q, O, F>(
        &'s self,
        key: &Q,
        section: F,
    ) -> impl Future<Output = O> + use<'s, K, T, S, Q, O, F>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
        F: AsyncFnOnce(&mut T) -> O,
    {
        let lock = self.write(key);
        async move { section(&mut *lock.await).await }
    }

    /// Runs `section` with the data of the stripe of `key`, which is held for reading meanwhile.
    ///
    /// # Cancel safety
    ///
    /// As for [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let per_stripe = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// assert_eq!(per_stripe.with_read(&1, async |n| *n).await, 0);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn with_read<'s, Q, O, F>(
        &'s self,
        key: &Q,
        section: F,
    ) -> impl Future<Output = O> + use<'s, K, T, S, Q, O, F>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
        F: AsyncFnOnce(&T) -> O,
    {
        let lock = self.read(key);
        async move { section(&*lock.await).await }
    }
}
