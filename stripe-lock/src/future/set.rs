//! The async striped lock, generic in its kind: what mutexes, read-write locks and semaphores have in common.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use super::acquire::{Acquire, AcquireMany};
use super::guard::{AsyncGuard, AsyncMultiGuard};
use super::kind::{Guards, Kind, Slot};
use super::lot::{Lot, Queue};
use super::place::Place;
use super::plan::{Access, Plan};
use super::record::Taker;
use super::sync::block_on;
use super::turn;
use super::word::Word;
use crate::striped::DEFAULT_STRIPES;
use crate::{StripeSet, Striped};

/// A fixed number of async locks, one of which belongs to every key, each over a `T` of its own.
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

impl<K: ?Sized, T, S, M: Kind> Lot for AsyncStriped<K, T, S, M> {
    type Word = M::Word;
    type Value = T;

    #[inline]
    fn word(&self, stripe: usize) -> &M::Word {
        &self.striped.stripe(stripe).word
    }

    #[inline]
    fn value(&self, stripe: usize) -> *mut T {
        self.striped.stripe(stripe).value.get()
    }

    #[inline]
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

impl<K: ?Sized, T, S, M: Kind> AsyncStriped<K, T, S, M> {
    pub(super) fn build(stripes: usize, hasher: S, word: u32, mut make: impl FnMut(usize) -> T) -> Self {
        let set = Striped::from_fn(stripes, hasher, |stripe| Slot::new(word, make(stripe)));
        let queue = Queue::new(set.stripes());
        Self { striped: set, queue }
    }

    /// Makes every stripe strictly first in, first out: it goes to whoever has waited longest, and nobody who comes
    /// later overtakes.
    ///
    /// That costs throughput on short sections, for a stripe then stays idle while the task that it was handed to
    /// gets to run. Without it, up to twelve newcomers overtake the first in line before the stripe is handed over.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64).strict_fifo();
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    #[must_use = "it is the set returned that is strict"]
    pub fn strict_fifo(mut self) -> Self {
        self.queue.make_strict();
        self
    }

    /// Makes each wait in this set that lasts longer than `patience` an event of [`tracing`](https://docs.rs/tracing)
    /// (feature `tracing`), as described at [`StripedLock::warn_after`](crate::StripedLock::warn_after).
    ///
    /// A future that is dropped while it waits counts as a wait that ended without the stripe. `at` and `holder` are there
    /// with the feature `diagnose`, which keeps the record they are taken from, in every build.
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
    #[must_use = "it is the set returned that has the patience"]
    pub fn warn_after(mut self, patience: std::time::Duration) -> Self {
        self.queue.patience = crate::waits::Patience::ending_after(patience);
        self
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
    /// let mut counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// *counts.blocking_lock(&1) += 2;
    /// assert_eq!(counts.iter_mut().map(|n| *n).sum::<u32>(), 2);
    /// ```
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.striped.iter_mut().map(|slot| slot.value.get_mut())
    }

    /// The data of every stripe in ascending order.
    ///
    /// # Examples
    ///
    /// ```
    /// let counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// *counts.blocking_lock(&1) += 2;
    /// assert_eq!(counts.into_inner().iter().sum::<u32>(), 2);
    /// ```
    pub fn into_inner(self) -> Vec<T> {
        self.striped.into_inner().into_iter().map(|slot| slot.value.into_inner()).collect()
    }
}

impl<K: ?Sized, T, S, M: Kind> AsyncStriped<K, T, S, M> {
    /// What was counted about those who had to wait (feature `stats`).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// drop(locks.blocking_lock(&1));
    /// assert_eq!(locks.stats().contended(), 0);
    /// ```
    #[cfg(feature = "stats")]
    pub fn stats(&self) -> super::AsyncStats {
        super::AsyncStats::new(self.stripes(), self.queue.tallies())
    }

    /// Who holds and who waits for what, since when and where it was asked for, and who waits in a circle (feature
    /// `diagnose`).
    ///
    /// Stops every line of the set while it looks.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.blocking_lock(&1);
    /// let diagnosis = locks.diagnose();
    /// assert_eq!(diagnosis.claims()[0].stripe, guard.stripe());
    /// assert!(diagnosis.cycles().is_empty());
    /// println!("{diagnosis}");
    /// ```
    #[cfg(feature = "diagnose")]
    pub fn diagnose(&self) -> super::Diagnosis {
        super::Diagnosis::of(&self.queue, M::LIMITED)
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

    /// The data of the stripe of `key`. No locking: `&mut self` proves that there are no guards.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// *counts.get_mut(&1) += 2;
    /// assert_eq!(*counts.blocking_lock(&1), 2);
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

    #[inline]
    pub(super) fn place_of<Q>(&self, key: &Q) -> Place
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let at = self.striped.locate(key);
        Place::of_key(at.stripe, at.rest).asked_for_by(at.hash)
    }

    /// The stripe of `key`, when it is to be had.
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn wait_for<Q, A: Access>(&self, key: &Q) -> Acquire<&Self, A>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Acquire::new(self, self.place_of(key))
    }

    /// The stripe of `key`, when it is to be had, waiting as a thread.
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn block_for<Q, A: Access>(&self, key: &Q) -> AsyncGuard<&Self, A>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        // To diagnose, it has to be known who asks, which trying does not tell.
        if cfg!(not(feature = "diagnose"))
            && let Some(guard) = self.try_for(key)
        {
            return guard;
        }
        block_on(self.wait_for(key))
    }

    /// The stripe of `key`, if it is to be had at once.
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn try_for<Q, A: Access>(&self, key: &Q) -> Option<AsyncGuard<&Self, A>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let (place, taker) = (self.place_of(key), Taker::trying());
        // SAFETY: the stripe has just been entered.
        turn::try_enter(self, place, A::MODE).then(|| unsafe { AsyncGuard::of(self, place, taker) })
    }
}

impl<K: ?Sized, T, S, M: Kind> AsyncStriped<K, T, S, M> {
    /// The word of a stripe, as it is at this moment.
    pub(super) fn peek(&self, stripe: usize) -> u32 {
        self.word(stripe).load()
    }

    /// The stripes of a plan, when they are all to be had.
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn wait_for_all<N: Plan>(&self, plan: N) -> AcquireMany<&Self, N> {
        AcquireMany::new(self, plan)
    }

    /// The stripes of a plan, if they are all to be had at once.
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn try_for_all<N: Plan>(&self, plan: N) -> Option<AsyncMultiGuard<&Self, N>> {
        let taker = Taker::trying();
        // SAFETY: the stripes have just been entered.
        turn::try_enter_all(self, &plan).then(|| unsafe { AsyncMultiGuard::of(self, plan, taker) })
    }

    /// Every stripe.
    pub(super) fn every(&self) -> StripeSet {
        StripeSet::all(self.stripes())
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
