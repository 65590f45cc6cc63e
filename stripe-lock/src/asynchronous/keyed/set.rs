//! The set of exact locks: what the types for threads and for tasks have in common.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::ops::Deref;

use crossbeam_utils::CachePadded;

use super::super::instrument::Taker;
use super::super::panics::Panics;
use super::bucket::Bucket;
use super::guard::KeyedGuard;
use super::monitor::Monitor;
use super::record::{Recording, SetId, ThreadRecord};
#[cfg(feature = "stats")]
use super::stats::KeyedStats;
use super::tags::Tag;
use super::tags::{Many, One, Tags};
use crate::shared::hash;
use crate::shared::hash::DefaultHasher;
use crate::shared::striped::MAX_STRIPES;

/// The number of buckets for each thread that can run in parallel. Sections that don't sleep hold at most one key for
/// each such thread.
const BUCKETS_PER_THREAD: usize = 128;

/// The most buckets that a set has by default.
const MOST_DEFAULT_BUCKETS: usize = 4096;

/// All buckets of a set.
pub struct Buckets {
    all: Box<[CachePadded<Bucket>]>,
    pub(super) id: SetId,
    pub(super) monitor: Monitor,
}

impl Buckets {
    fn new(count: usize) -> Self {
        assert!(count > 0, "a set of exact locks needs at least one bucket, got 0");
        assert!(count <= MAX_STRIPES, "a set of exact locks has at most {MAX_STRIPES} buckets, got {count}");
        let monitor = Monitor::new();
        let buckets = (0..count.next_power_of_two()).map(|_| CachePadded::new(Bucket::new(monitor.clone())));
        Self { all: buckets.collect(), id: SetId::new(), monitor }
    }

    /// The bucket of a key.
    #[inline(always)]
    pub(super) fn of(&self, tag: Tag) -> &Bucket {
        &self.all[hash::part(tag.to_bits(), self.all.len())]
    }

    /// The number of buckets.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn nth(&self, place: usize) -> &Bucket {
        &self.all[place]
    }

    /// Releases the first `held` acquisitions of `tags`, the last first. A waker's panic is left in `panics`.
    #[inline(always)]
    pub(super) fn release<N: Tags>(&self, tags: &N, held: usize, panics: &mut Panics) {
        if N::EVERY {
            self.all[..held].iter().rev().for_each(|bucket| bucket.release(Tag::EVERY, panics));
        } else {
            tags.all()[..held].iter().rev().for_each(|&tag| self.of(tag).release(tag, panics));
        }
    }

    /// Enters the keys from the first on, until a bucket is not free. Returns how many it entered.
    #[inline(always)]
    pub(super) fn enter_free(&self, keys: &[Tag]) -> usize {
        keys.iter().take_while(|&&tag| self.of(tag).enter_free(tag)).count()
    }

    pub(super) fn each(&self) -> impl DoubleEndedIterator<Item = &Bucket> {
        self.all.iter().map(|bucket| &**bucket)
    }

    /// Enters all the keys or none, without waiting.
    #[inline(always)]
    fn try_enter<N: Tags>(&self, tags: &N) -> bool {
        for place in 0..tags.count(self) {
            let (bucket, tag) = tags.at(place, self);
            let enters = if N::EVERY { bucket.try_enter_every() } else { bucket.try_enter(tag) };
            if !enters {
                self.release(tags, place, &mut Panics::default());
                return false;
            }
        }
        true
    }
}

/// What guards and futures need of a set. Private: no code outside the crate can name it.
pub trait KeyedSet {
    /// Whether threads or tasks lock.
    type Face: Face;
    /// The buckets.
    fn buckets(&self) -> &Buckets;
}

/// Whether threads or tasks lock: [`Threads`] or [`Tasks`].
///
/// The trait is sealed. It has no methods.
///
/// # Examples
///
/// ```
/// fn face<F: stripe_lock::asynchronous::keyed::Face>() {}
/// face::<stripe_lock::asynchronous::keyed::Tasks>();
/// ```
///
/// ```compile_fail,E0277
/// enum Mine {}
/// impl stripe_lock::asynchronous::keyed::Face for Mine {}
/// ```
pub trait Face: FaceParts {}

/// The supertrait of [`Face`]. Private.
pub trait FaceParts: 'static {
    /// What a guard leaves on record.
    type Record: Recording;
}

/// Threads lock, and each thread releases the keys that it locked.
///
/// # Examples
///
/// ```
/// use stripe_lock::asynchronous::keyed::{Keyed, Threads};
///
/// fn same(locks: Keyed<u64, stripe_lock::DefaultHasher, Threads>) -> stripe_lock::KeyedMutex<u64> {
///     locks
/// }
/// ```
#[derive(Debug)]
pub enum Threads {}

/// Tasks lock, and threads that wait in the same queues. Guards may move between threads.
///
/// # Examples
///
/// ```
/// use stripe_lock::asynchronous::keyed::{Keyed, Tasks};
///
/// fn same(locks: Keyed<u64, stripe_lock::DefaultHasher, Tasks>) -> stripe_lock::AsyncKeyedMutex<u64> {
///     locks
/// }
/// ```
#[derive(Debug)]
pub enum Tasks {}

impl Face for Threads {}
impl Face for Tasks {}

impl FaceParts for Threads {
    type Record = ThreadRecord;
}

impl FaceParts for Tasks {
    type Record = ();
}

/// A lock for every key: equal keys exclude each other, unequal ones don't wait for each other.
///
/// Usually named by an alias: [`KeyedMutex`](crate::KeyedMutex) or [`AsyncKeyedMutex`](crate::AsyncKeyedMutex).
///
/// # Examples
///
/// ```
/// let locks: stripe_lock::KeyedMutex<String> = stripe_lock::KeyedMutex::default();
/// let _alice = locks.lock("alice");
/// let _bob = locks.lock("bob");
/// ```
pub struct Keyed<K: ?Sized, S, F> {
    buckets: Buckets,
    hasher: S,
    key: PhantomData<fn(&K) -> F>,
}

impl<K: ?Sized, S, F: Face> KeyedSet for Keyed<K, S, F> {
    type Face = F;

    #[inline(always)]
    fn buckets(&self) -> &Buckets {
        &self.buckets
    }
}

impl<K: ?Sized, F: Face> Keyed<K, DefaultHasher, F> {
    /// Creates a set with the default hasher, and 128 buckets for each thread that can run, up to 4,096.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// assert!(locks.buckets() >= 128);
    /// ```
    pub fn new() -> Self
    where
        DefaultHasher: Default,
    {
        Self::default()
    }
}

impl<K: ?Sized, S, F: Face> Keyed<K, S, F> {
    /// Creates a set of `buckets` buckets, rounded up to a power of two.
    ///
    /// The number of buckets changes the speed only: if two keys of one bucket are held at the same time, locking and
    /// releasing each takes some ten times as long. A bucket takes 128 bytes.
    ///
    /// # Panics
    ///
    /// If `buckets` is 0 or more than [`MAX_STRIPES`].
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{KeyedMutex, SipHash};
    ///
    /// let locks = KeyedMutex::<u64, _>::with_hasher(100, SipHash::new());
    /// assert_eq!(locks.buckets(), 128);
    /// ```
    pub fn with_hasher(buckets: usize, hasher: S) -> Self {
        Self { buckets: Buckets::new(buckets), hasher, key: PhantomData }
    }

    /// The number of buckets, a power of two.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, KeyedMutex};
    ///
    /// assert_eq!(KeyedMutex::<u64>::with_hasher(7, DefaultHasher::default()).buckets(), 8);
    /// ```
    pub fn buckets(&self) -> usize {
        self.buckets.all.len()
    }

    /// The hasher.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::hash::BuildHasher;
    ///
    /// let locks = stripe_lock::KeyedMutex::<str>::new();
    /// assert_eq!(locks.hasher().hash_one("a"), locks.hasher().hash_one("a"));
    /// ```
    pub fn hasher(&self) -> &S {
        &self.hasher
    }
}

impl<K: ?Sized, S, F: Face> Keyed<K, S, F> {
    /// The counters of this set (feature `stats`).
    ///
    /// # Complexity
    ///
    /// O(buckets + keys with waiters). The table of one bucket is locked at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// drop(locks.lock(&1));
    /// assert_eq!((locks.stats().acquired, locks.stats().contended), (1, 0));
    /// ```
    #[cfg(feature = "stats")]
    pub fn stats(&self) -> KeyedStats {
        KeyedStats::of(&self.buckets)
    }
}

impl<K: ?Sized, S: BuildHasher, F: Face> Keyed<K, S, F> {
    /// How many waiters `key` has at this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    ///
    /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
    /// let _guard = locks.blocking_lock(&1);
    /// let mut waiting = pin!(locks.lock(&1));
    /// assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    /// assert_eq!((locks.waiters(&1), locks.waiters(&2)), (1, 0));
    /// ```
    pub fn waiters<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let tag = self.tag(key);
        self.buckets.of(tag).waiters(tag)
    }

    /// Whether `key` is held at this moment. The result may be out of date when it is returned.
    ///
    /// # Examples
    ///
    /// ```
    /// let jobs = stripe_lock::KeyedMutex::<str>::new();
    /// let _running = jobs.lock("backup");
    /// assert!(jobs.is_locked("backup"));
    /// assert!(!jobs.is_locked("report"));
    /// ```
    pub fn is_locked<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let tag = self.tag(key);
        self.buckets.of(tag).is_held(tag)
    }

    #[inline(always)]
    pub(super) fn tag<Q>(&self, key: &Q) -> Tag
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Tag::new(hash::tag(&self.hasher, key))
    }

    #[inline(always)]
    pub(super) fn one<Q>(&self, key: &Q) -> One
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        One::of(self.tag(key))
    }

    #[inline]
    pub(super) fn many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> Many
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        Many::of(keys.into_iter().map(|key| self.tag(key)))
    }
}

/// Takes all the keys or none, without waiting.
#[inline(always)]
#[track_caller]
pub(super) fn attempt<P: Deref<Target: KeyedSet>, N: Tags>(set: P, tags: N) -> Option<KeyedGuard<P, N>> {
    // SAFETY: all the keys have just been entered.
    let guard = set.buckets().try_enter(&tags).then(|| unsafe { KeyedGuard::of(set, tags) })?;
    Some(guard.watched(Taker::trying()).recorded())
}

impl<K: ?Sized, S: Default, F: Face> Default for Keyed<K, S, F> {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_hasher((BUCKETS_PER_THREAD * threads).min(MOST_DEFAULT_BUCKETS), S::default())
    }
}

impl<K: ?Sized, S, F: Face> fmt::Debug for Keyed<K, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("buckets", &self.buckets()).finish_non_exhaustive()
    }
}
