//! The async striped mutex.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use super::acquire::{Acquire, AcquireMany, Checked, Enqueued};
use super::error::AcquireError;
use super::guard::{AsyncGuard, try_one};
use super::kind::{MutexKind, Write, access};
use super::methods::{Timeout, block, block_for, every_stripe, one_stripe, several_keys};
use super::multi::{AsyncMultiGuard, try_many};
use super::plan::UniformPlan;
use super::set::AsyncStriped;
use crate::shared::hash::DefaultHasher;

/// An async mutex for every key: a fixed number of one-byte mutexes. Each key belongs to one of them.
///
/// It may be held across an `.await`. It works on every runtime and, by its `blocking_` methods, without one. Threads
/// and tasks wait in the same queues.
///
/// **`T` belongs to the stripe, not to the key**: keys that share a stripe share its `T`.
///
/// # Fairness
///
/// When a stripe is released, the first waiter is woken to compete for it. At most twelve newcomers overtake it. If
/// it finds the stripe taken when it runs, the next release hands the stripe over to it. So a waiter is overtaken at
/// most twelve times for each position it has in the queue. With [`strict_fifo`](AsyncStriped::strict_fifo), no
/// waiter is overtaken. A waiter for several stripes never competes: each stripe is handed to it in its turn.
///
/// # Deadlock
///
/// Several keys locked together, by [`lock_many`](Self::lock_many) or [`lock_all`](Self::lock_all), can't deadlock,
/// whatever their order. A task that holds one guard and awaits a second one can deadlock. If both keys share a
/// stripe, it waits for itself. To add a key to those held, use [`try_extend`](AsyncMultiGuard::try_extend) or
/// [`extend`](AsyncMultiGuard::extend).
///
/// A future that waits must be polled or dropped. A future that is put aside, as by `select!` with `&mut future`, keeps
/// its place in the queue and what it was granted, and all other waiters wait for it: [async
/// pitfalls](crate::guide::async_pitfalls#a-future-that-is-put-aside).
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
pub type AsyncStripedMutex<K, T = (), S = DefaultHasher> = AsyncStriped<K, T, S, MutexKind>;

/// Holds a stripe of an [`AsyncStripedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::asynchronous::AsyncMutexGuard;
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
/// use stripe_lock::asynchronous::OwnedAsyncMutexGuard;
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
/// use stripe_lock::asynchronous::AsyncMutexMultiGuard;
///
/// let locks = AsyncStripedMutex::<u64>::new(4);
/// let guard: AsyncMutexMultiGuard<'_, u64> = locks.blocking_lock_all();
/// ```
pub type AsyncMutexMultiGuard<'a, K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<&'a AsyncStripedMutex<K, T, S>, UniformPlan<Write>>;

/// Holds several stripes of an [`AsyncStripedMutex`], and keeps the set alive.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::asynchronous::OwnedAsyncMutexMultiGuard;
///
/// let locks = Arc::new(AsyncStripedMutex::<u64>::new(4));
/// let guard: OwnedAsyncMutexMultiGuard<u64> = locks.lock_many_owned(&[1, 2]).await;
/// # }
/// ```
pub type OwnedAsyncMutexMultiGuard<K, T = (), S = DefaultHasher> =
    AsyncMultiGuard<Arc<AsyncStripedMutex<K, T, S>>, UniformPlan<Write>>;

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

one_stripe! {
    [K: ?Sized, T, S: BuildHasher] AsyncStripedMutex<K, T, S>, Write, "stripe_lock::AsyncStripedMutex::<u64>::new(64)",
    "Waits for the stripe", "Takes the stripe";
    lock, try_lock, lock_owned, try_lock_owned, lock_timeout, blocking_lock, blocking_lock_owned, blocking_lock_timeout,
    lock_unless_crowded, enqueue_owned, lock_stripe, try_lock_stripe
}

several_keys! {
    [K: ?Sized, T, S: BuildHasher] AsyncStripedMutex<K, T, S>, Write, "stripe_lock::AsyncStripedMutex::<u64>::new(64)",
    "Waits for the stripes", "Takes the stripes";
    lock_many, try_lock_many, lock_many_owned, try_lock_many_owned, blocking_lock_many, blocking_lock_many_timeout
}

every_stripe! {
    [K: ?Sized, T, S] AsyncStripedMutex<K, T, S>, Write, "stripe_lock::AsyncStripedMutex::<u64>::new(64)",
    "Waits for every stripe", "Takes every stripe";
    lock_all, try_lock_all, lock_all_owned, blocking_lock_all
}

impl<K: ?Sized, T, S: BuildHasher> AsyncStripedMutex<K, T, S> {
    /// Runs `section` with the data of the stripe of `key`, which is held meanwhile.
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
    /// let per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(64);
    /// let count = per_stripe
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
        let lock = self.lock(key);
        async move { section(&mut *lock.await).await }
    }
}
