//! The async striped lock, generic in its kind: what mutexes, read-write locks and semaphores have in common.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use super::instrument::Place;
use super::kind::{Guards, Kind};
use super::panics::Panics;
use super::queue::Queue;
use super::release;
use super::sealed::{LockSet, Slot};
use super::word::{self, CLOSED, Word};
use crate::shared::stripe_set::StripeSet;
use crate::shared::striped::{DEFAULT_STRIPES, Striped};

/// A fixed number of async locks, each over a `T` of its own. Each key belongs to one of them.
///
/// **`T` belongs to the stripe, not to the key**: keys that share a stripe share its `T`.
///
/// Usually named by an alias: [`AsyncStripedMutex`](crate::AsyncStripedMutex),
/// [`AsyncStripedRwLock`](crate::AsyncStripedRwLock) or [`AsyncStripedSemaphore`](crate::AsyncStripedSemaphore).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use stripe_lock::AsyncStripedMutex;
///
/// let locks: AsyncStripedMutex<String> = AsyncStripedMutex::default();
/// let _guard = locks.lock("alice").await;
/// # }
/// ```
pub struct AsyncStriped<K: ?Sized, T, S, M: Kind> {
    striped: Striped<K, Slot<T, M>, S>,
    queue: Queue,
}

impl<K: ?Sized, T, S, M: Kind> LockSet for AsyncStriped<K, T, S, M> {
    type Word = M::Word;
    type Value = T;

    #[inline(always)]
    fn word(&self, stripe: usize) -> &M::Word {
        &self.striped.stripe(stripe).word
    }

    #[inline(always)]
    fn value(&self, stripe: usize) -> *mut T {
        self.striped.stripe(stripe).value.get()
    }

    #[inline(always)]
    fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl<K: ?Sized, T, S, M: Guards> AsyncStriped<K, T, S, M> {
    /// Creates `stripes` stripes, rounded up to a power of two, each with the default value of `T`.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`](crate::MAX_STRIPES).
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{AsyncStripedMutex, Fnv1a};
    ///
    /// let locks = AsyncStripedMutex::<str, u32, _>::with_hasher(16, Fnv1a::default());
    /// assert_eq!(locks.stripes(), 16);
    /// ```
    pub fn with_hasher(stripes: usize, hasher: S) -> Self
    where
        T: Default,
    {
        Self::from_fn(stripes, hasher, |_| T::default())
    }

    /// Creates `stripes` stripes, rounded up to a power of two, with `make(i)` as the data of stripe `i`.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`](crate::MAX_STRIPES), or if `make` panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{AsyncStripedMutex, DefaultHasher};
    ///
    /// let locks: AsyncStripedMutex<u64, usize> = AsyncStripedMutex::from_fn(4, DefaultHasher::default(), |i| i);
    /// assert_eq!(*locks.try_lock(&9).unwrap(), locks.stripe_of(&9));
    /// ```
    pub fn from_fn(stripes: usize, hasher: S, make: impl FnMut(usize) -> T) -> Self {
        Self::build(stripes, hasher, 0, make)
    }
}

impl<K: ?Sized, T, S, M: Guards> AsyncStriped<K, T, S, M>
where
    S: BuildHasher,
{
    /// Whether the stripe of `key` is held at this moment, for this key or another one. The result may be out of date
    /// when it is returned.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.blocking_lock(&1);
    /// assert!(locks.is_locked(&1));
    /// drop(guard);
    /// assert!(!locks.is_locked(&1));
    /// ```
    pub fn is_locked<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        word::is_held(self.peek(self.stripe_of(key)))
    }
}

impl<K: ?Sized, T, S, M: Kind> AsyncStriped<K, T, S, M> {
    pub(super) fn build(stripes: usize, hasher: S, word: u32, mut make: impl FnMut(usize) -> T) -> Self {
        let set = Striped::from_fn(stripes, hasher, |stripe| Slot::new(word, make(stripe)));
        let queue = Queue::new(set.stripes());
        Self { striped: set, queue }
    }

    /// Sets how many permits each stripe has.
    pub(super) fn with_permits(mut self, permits: u32) -> Self {
        self.queue.permits = permits;
        self
    }

    /// Makes every stripe strictly first in, first out: it is handed to the waiter that has waited longest, and no
    /// newcomer overtakes.
    ///
    /// That costs throughput on short sections, because a stripe stays idle until the task that it was handed to
    /// runs. Without it, up to twelve newcomers overtake the first waiter before the stripe is handed over. So a
    /// waiter is overtaken at most twelve times for each position it has in the queue.
    ///
    /// A waiter for several stripes is in one queue at a time. When it joins the queue of the next stripe, it comes
    /// after the waiters that are there already.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64).strict_fifo();
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    #[must_use = "the returned set is the strict one"]
    pub fn strict_fifo(mut self) -> Self {
        self.queue.strict = true;
        self
    }

    /// Sends an event of [`tracing`](https://docs.rs/tracing) for each wait in this set that lasts longer than
    /// `patience` (feature `tracing`), as described at
    /// [`StripedLock::warn_after`](crate::blocking::StripedLock::warn_after).
    ///
    /// A future that is dropped while it waits counts as a wait that ended without the stripe. The event has `at` and
    /// `holder` only with the feature `diagnose`, which records them in every build.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let locks = stripe_lock::AsyncStripedMutex::<str>::new(64).warn_after(Duration::from_millis(50));
    /// assert!(locks.try_lock("alice").is_some()); // free at once: no event
    /// ```
    #[cfg(feature = "tracing")]
    #[must_use = "the returned set is the one that sends events"]
    pub fn warn_after(mut self, patience: std::time::Duration) -> Self {
        self.queue.monitor.patience = crate::shared::waits::Patience::ending_after(patience);
        self
    }

    /// Closes the set: all waiters, and all acquisitions from now on, get an error. Guards keep what they hold.
    ///
    /// A future that is [`checked`](super::Acquire::checked), or has a time limit or a limit of waiters, ends with
    /// [`AcquireError::Closed`](super::AcquireError::Closed). The other futures panic, and the `try_` methods return
    /// `None`. The set can't be opened again.
    ///
    /// # Panics
    ///
    /// If a waker panics, after all waiters were woken.
    ///
    /// # Complexity
    ///
    /// O(stripes + waiters). A bucket is locked for a few waiters at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::asynchronous::AcquireError;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).await;
    /// locks.close();
    /// assert_eq!(locks.lock(&2).checked().await.unwrap_err(), AcquireError::Closed);
    /// drop(guard); // it was valid until now
    /// # }
    /// ```
    pub fn close(&self) {
        let mut panics = Panics::default();
        // `is_closed` reads the last stripe, so that one is closed last.
        (0..self.stripes()).for_each(|stripe| release::close(self, stripe, &mut panics));
    }

    /// Whether [`close`](Self::close) was called and has returned.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// locks.close();
    /// assert!(locks.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        word::queue(self.peek(self.stripes() - 1)) == CLOSED
    }

    /// The number of stripes, a power of two.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedMutex::<str>::new(7).stripes(), 8);
    /// ```
    #[inline]
    pub fn stripes(&self) -> usize {
        self.striped.stripes()
    }

    /// The hasher.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::hash::BuildHasher;
    ///
    /// let locks = stripe_lock::AsyncStripedMutex::<str>::new(4);
    /// assert_eq!(locks.hasher().hash_one("a"), locks.hasher().hash_one("a"));
    /// ```
    pub fn hasher(&self) -> &S {
        self.striped.hasher()
    }

    /// The data of every stripe in ascending order. No locking: `&mut self` proves that there are no guards.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// *per_stripe.blocking_lock(&1) += 2;
    /// assert_eq!(per_stripe.iter_mut().map(|n| *n).sum::<u32>(), 2);
    /// ```
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.striped.iter_mut().map(|slot| slot.value.get_mut())
    }

    /// The data of every stripe in ascending order.
    ///
    /// # Examples
    ///
    /// ```
    /// let per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// *per_stripe.blocking_lock(&1) += 2;
    /// assert_eq!(per_stripe.into_inner().iter().sum::<u32>(), 2);
    /// ```
    pub fn into_inner(self) -> Vec<T> {
        self.striped.into_inner().into_iter().map(|slot| slot.value.into_inner()).collect()
    }

    /// The counters of this set (feature `stats`).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// drop(locks.blocking_lock(&1));
    /// assert_eq!((locks.stats().acquired(), locks.stats().contended()), (1, 0));
    /// ```
    #[cfg(feature = "stats")]
    pub fn stats(&self) -> super::AsyncStats {
        super::AsyncStats::of(self.stripes(), &self.queue)
    }

    /// All holders and waiters with their ages and call sites, and all cycles of waiters (feature `diagnose`).
    ///
    /// Each bucket is locked for as long as it takes to list its waiters.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::asynchronous::{AsyncGuard, Resource};
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.blocking_lock(&1);
    /// let diagnosis = locks.diagnose();
    /// assert_eq!(diagnosis.claims()[0].resource, Resource::Stripe(AsyncGuard::stripe(&guard)));
    /// assert!(diagnosis.cycles().is_empty());
    /// println!("{diagnosis}");
    /// ```
    #[cfg(feature = "diagnose")]
    pub fn diagnose(&self) -> super::Diagnosis {
        super::Diagnosis::of(&self.queue, self.stripes(), M::LIMITED)
    }

    /// The word of a stripe, as it is at this moment.
    pub(super) fn peek(&self, stripe: usize) -> u32 {
        self.word(stripe).load()
    }

    /// The place of a stripe that is named by its index.
    pub(super) fn place_at(&self, stripe: usize) -> Place {
        let stripes = self.stripes();
        assert!(stripe < stripes, "stripe {stripe} of {stripes}");
        Place::of_stripe(stripe)
    }

    /// Every stripe.
    pub(super) fn every(&self) -> StripeSet {
        StripeSet::all(self.stripes())
    }
}

impl<K: ?Sized, T, S: BuildHasher, M: Kind> AsyncStriped<K, T, S, M> {
    /// The index of the stripe that `key` belongs to: below [`stripes`](Self::stripes), and the same for equal keys.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<String>::new(8);
    /// assert_eq!(locks.stripe_of("key"), locks.stripe_of(&String::from("key")));
    /// ```
    #[inline]
    pub fn stripe_of<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.striped.stripe_of(key)
    }

    /// How many waiters the stripe of `key` has at this moment, for this key or another one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let _guard = locks.blocking_lock(&1);
    /// let mut waiting = pin!(locks.lock(&1));
    /// assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    /// assert_eq!(locks.waiters(&1), 1);
    /// ```
    pub fn waiters<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let stripe = self.stripe_of(key);
        self.queue.lock(stripe).known_head(stripe).map_or(0, |head| head.len() as usize)
    }

    /// The data of the stripe of `key`. No locking: `&mut self` proves that there are no guards.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// *per_stripe.get_mut(&1) += 2;
    /// assert_eq!(*per_stripe.blocking_lock(&1), 2);
    /// ```
    #[inline]
    pub fn get_mut<Q>(&mut self, key: &Q) -> &mut T
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.striped.get_mut(key).value.get_mut()
    }

    /// The stripes of `keys`.
    #[inline(always)]
    pub(super) fn set_of<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> StripeSet
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        StripeSet::collect(self.stripes(), keys.into_iter().map(|key| self.stripe_of(key)))
    }

    #[inline(always)]
    pub(super) fn place_of<Q>(&self, key: &Q) -> Place
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let at = self.striped.locate(key);
        Place::of_key(at.stripe, at.rest, at.hash)
    }
}

impl<K: ?Sized, T: Default, S: Default, M: Guards> Default for AsyncStriped<K, T, S, M> {
    /// [`DEFAULT_STRIPES`] stripes.
    fn default() -> Self {
        Self::with_hasher(DEFAULT_STRIPES, S::default())
    }
}

impl<K: ?Sized, T, S, M: Kind> fmt::Debug for AsyncStriped<K, T, S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncStriped").field("stripes", &self.stripes()).finish_non_exhaustive()
    }
}
