//! The exact mutex for threads.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::instrument::Site;
use super::super::methods::{block, block_for};
use super::guard::KeyedGuard;
use super::record::Recording;
use super::set::{FaceParts, Keyed, KeyedSet, Threads, attempt};
use super::tags::{Many, One, Tags};
use super::wait::AcquireKeys;
use crate::shared::hash::DefaultHasher;

/// A mutex for every key: equal keys exclude each other, unequal keys never wait for each other.
///
/// The set has no entry for a free key. If no other key of the same [bucket](Keyed::buckets) is held, locking a key
/// takes one atomic instruction, and so does releasing it, as for a stripe. Memory is allocated only for keys of one
/// bucket that are held at the same time, and freed when they are released.
///
/// It guards no data of its own. If there is data for each key, keep it in a map of your own, or in a
/// [`StripedMutex`](crate::StripedMutex) with a map in each stripe. [Stripes or exact
/// keys](crate::guide::choosing_stripes#stripes-or-exact-keys) says when to take which.
///
/// To lock the same keys from tasks and threads, take [`AsyncKeyedMutex`](crate::AsyncKeyedMutex).
///
/// # Fairness
///
/// When a key is released, the first waiter is woken to take it. At most twelve newcomers overtake it. If it finds the key
/// taken when it runs, the next release hands the key over to it.
///
/// # Deadlock
///
/// Several keys that are locked by [`lock_many`](Self::lock_many) can't deadlock, whatever their order. If threads lock keys
/// one by one, all threads have to lock them in the same order. Any order will do, for example that of the keys.
///
/// The feature `diagnose` shows which threads wait for each other: see
/// [seeing what waits](crate::guide::seeing_what_waits#which-tasks-wait-for-each-other-diagnose).
///
/// [`lock_all`](Self::lock_all) locks every key. It visits every bucket; if you need it often, take a set of stripes.
///
/// # Panics
///
/// In debug builds, the methods that wait without a limit panic instead of hanging if this thread holds the key already. The
/// message names both places.
///
/// # Examples
///
/// ```
/// use stripe_lock::KeyedMutex;
///
/// let accounts: KeyedMutex<str> = KeyedMutex::new();
/// let _alice = accounts.lock("alice");
/// let _bob = accounts.lock("bob"); // never waits for a holder of "alice"
/// assert!(accounts.try_lock("alice").is_none());
/// assert!(accounts.try_lock("carol").is_some());
/// ```
///
/// A key of another type, which might hash differently, is refused:
///
/// ```compile_fail,E0277
/// stripe_lock::KeyedMutex::<u64>::new().lock(&7_u32);
/// ```
pub type KeyedMutex<K, S = DefaultHasher> = Keyed<K, S, Threads>;

/// Holds a key of a [`KeyedMutex`]. It stays on the thread that locked.
///
/// # Examples
///
/// ```
/// use stripe_lock::KeyedMutex;
/// use stripe_lock::asynchronous::keyed::KeyedMutexGuard;
///
/// let locks = KeyedMutex::<u64>::new();
/// let guard: KeyedMutexGuard<'_, u64> = locks.lock(&1);
/// ```
///
/// ```compile_fail,E0277
/// let locks = stripe_lock::KeyedMutex::<u64>::new();
/// let guard = locks.lock(&1);
/// std::thread::scope(|scope| {
///     scope.spawn(move || drop(guard));
/// });
/// ```
pub type KeyedMutexGuard<'a, K, S = DefaultHasher> = KeyedGuard<&'a KeyedMutex<K, S>, One>;

/// Holds a key of a [`KeyedMutex`], and keeps the set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::asynchronous::keyed::ArcKeyedMutexGuard;
/// use stripe_lock::KeyedMutex;
///
/// let locks = Arc::new(KeyedMutex::<u64>::new());
/// let guard: ArcKeyedMutexGuard<u64> = locks.lock_arc(&1);
/// drop(locks);
/// ```
pub type ArcKeyedMutexGuard<K, S = DefaultHasher> = KeyedGuard<Arc<KeyedMutex<K, S>>, One>;

/// Holds several keys of a [`KeyedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::KeyedMutex;
/// use stripe_lock::asynchronous::keyed::KeyedMutexMultiGuard;
///
/// let locks = KeyedMutex::<u64>::new();
/// let guard: KeyedMutexMultiGuard<'_, u64> = locks.lock_many(&[1, 2]);
/// ```
pub type KeyedMutexMultiGuard<'a, K, S = DefaultHasher> = KeyedGuard<&'a KeyedMutex<K, S>, Many>;

/// Holds several keys of a [`KeyedMutex`], and keeps the set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::asynchronous::keyed::ArcKeyedMutexMultiGuard;
/// use stripe_lock::KeyedMutex;
///
/// let locks = Arc::new(KeyedMutex::<u64>::new());
/// let guard: ArcKeyedMutexMultiGuard<u64> = locks.lock_many_arc(&[1, 2]);
/// drop(locks);
/// ```
pub type ArcKeyedMutexMultiGuard<K, S = DefaultHasher> = KeyedGuard<Arc<KeyedMutex<K, S>>, Many>;

/// Takes the keys, and waits as long as that needs.
#[inline(always)]
#[track_caller]
pub(super) fn wait<P: Deref<Target: KeyedSet>, N: Tags>(set: P, tags: N) -> KeyedGuard<P, N> {
    // The feature `diagnose` records which thread holds a key, and a future knows that.
    let held = if cfg!(feature = "diagnose") {
        0
    } else {
        set.buckets().enter_free(if N::EVERY { &[] } else { tags.all() })
    };
    if cfg!(not(feature = "diagnose")) && held == tags.count(set.buckets()) {
        // SAFETY: all the keys have just been entered.
        return unsafe { KeyedGuard::of(set, tags) }.recorded();
    }
    wait_longer(set, tags, held)
}

#[cold]
#[inline(never)]
#[track_caller]
fn wait_longer<P: Deref<Target: KeyedSet>, N: Tags>(set: P, tags: N, held: usize) -> KeyedGuard<P, N> {
    let id = set.buckets().id;
    let wanted = tags.clone();
    // SAFETY: the first `held` keys have just been entered.
    let future = unsafe { AcquireKeys::holding(set, tags, held, Site::here()) };
    // If that panics, what was entered is released when the future is dropped.
    <<P::Target as KeyedSet>::Face as FaceParts>::Record::check(id, wanted.all());
    block(future).recorded()
}

/// Takes the keys, and waits until the deadline at most.
#[track_caller]
pub(super) fn wait_for<P: Deref<Target: KeyedSet>, N: Tags>(
    set: P,
    tags: N,
    timeout: Duration,
) -> Option<KeyedGuard<P, N>> {
    block_for(AcquireKeys::new(set, tags), timeout).ok().map(KeyedGuard::recorded)
}

impl<K: ?Sized, S: BuildHasher> KeyedMutex<K, S> {
    /// Locks `key`, and waits as long as that needs.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging, if this thread holds the key already.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<str>::new();
    /// let guard = locks.lock("alice");
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock<Q>(&self, key: &Q) -> KeyedMutexGuard<'_, K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        wait(self, self.one(key))
    }

    /// Locks `key` if it is free. So the answer to "is this job running?" is exact.
    ///
    /// # Examples
    ///
    /// ```
    /// let jobs = stripe_lock::KeyedMutex::<str>::new();
    /// let _running = jobs.lock("backup");
    /// assert!(jobs.try_lock("backup").is_none());
    /// assert!(jobs.try_lock("report").is_some());
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_lock<Q>(&self, key: &Q) -> Option<KeyedMutexGuard<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        attempt(self, self.one(key))
    }

    /// Locks `key`, or gives up when that takes longer than `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let locks = stripe_lock::KeyedMutex::<str>::new();
    /// assert!(locks.try_lock_for("alice", Duration::from_millis(5)).is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_for<Q>(&self, key: &Q, timeout: Duration) -> Option<KeyedMutexGuard<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        wait_for(self, self.one(key), timeout)
    }

    /// Locks `key`, or gives up when `deadline` passes first.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let locks = stripe_lock::KeyedMutex::<str>::new();
    /// let soon = Instant::now() + Duration::from_millis(5);
    /// assert!(locks.try_lock_until("alice", soon).is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_until<Q>(&self, key: &Q, deadline: Instant) -> Option<KeyedMutexGuard<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.try_lock_for(key, deadline.saturating_duration_since(Instant::now()))
    }

    /// As [`lock`](Self::lock), with a guard that keeps the set alive.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging, if this thread holds the key already.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::KeyedMutex::<str>::new());
    /// let guard = locks.lock_arc("alice");
    /// drop(locks);
    /// ```
    #[track_caller]
    pub fn lock_arc<Q>(self: &Arc<Self>, key: &Q) -> ArcKeyedMutexGuard<K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        wait(self.clone(), self.one(key))
    }

    /// As [`try_lock`](Self::try_lock), with a guard that keeps the set alive.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::KeyedMutex::<str>::new());
    /// assert!(locks.try_lock_arc("alice").is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_arc<Q>(self: &Arc<Self>, key: &Q) -> Option<ArcKeyedMutexGuard<K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        attempt(self.clone(), self.one(key))
    }

    /// As [`try_lock_for`](Self::try_lock_for), with a guard that keeps the set alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let locks = std::sync::Arc::new(stripe_lock::KeyedMutex::<str>::new());
    /// assert!(locks.try_lock_arc_for("alice", Duration::from_millis(5)).is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_arc_for<Q>(
        self: &Arc<Self>,
        key: &Q,
        timeout: Duration,
    ) -> Option<ArcKeyedMutexGuard<K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        wait_for(self.clone(), self.one(key), timeout)
    }

    /// Locks all `keys`, in the order of their hashes. So acquisitions of several keys can't deadlock with each
    /// other, whatever the order of their keys. A key that is named twice counts once. Up to 12 keys need no heap
    /// allocation.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging, if this thread holds one of the keys already.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// let both = locks.lock_many(&[2, 1, 2]);
    /// assert!(locks.try_lock(&1).is_none() && locks.try_lock(&2).is_none());
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> KeyedMutexMultiGuard<'_, K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        // The guard is filled where it is returned, because moving it takes longer than entering a key.
        let mut guard = KeyedGuard::of_none(self);
        let count = guard.tags.gather(keys.into_iter().map(|key| self.tag(key)));
        // The feature `diagnose` records which thread holds a key, and a future knows that.
        let is_watched = cfg!(feature = "diagnose");
        let buckets = KeyedSet::buckets(self);
        let held = if is_watched { 0 } else { buckets.enter_free(guard.tags.first(count)) };
        guard.tags.count_first(count);
        if is_watched || held < count {
            return wait_longer(self, guard.into_tags(), held);
        }
        guard.entered();
        guard
    }

    /// Locks all `keys` if all are free; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// let one = locks.lock(&1);
    /// assert!(locks.try_lock_many(&[1, 2]).is_none());
    /// assert!(!locks.is_locked(&2));
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<KeyedMutexMultiGuard<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        attempt(self, self.many(keys))
    }

    /// Locks all `keys`, or none of them if that takes longer than `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// assert!(locks.try_lock_many_for(&[1, 2], Duration::from_millis(5)).is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_many_for<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        timeout: Duration,
    ) -> Option<KeyedMutexMultiGuard<'_, K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        wait_for(self, self.many(keys), timeout)
    }

    /// As [`lock_many`](Self::lock_many), with a guard that keeps the set alive.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging, if this thread holds one of the keys already.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::KeyedMutex::<u64>::new());
    /// let guard = locks.lock_many_arc(&[1, 2]);
    /// drop(locks);
    /// ```
    #[track_caller]
    pub fn lock_many_arc<'q, Q>(
        self: &Arc<Self>,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> ArcKeyedMutexMultiGuard<K, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        wait(self.clone(), self.many(keys))
    }

    /// As [`try_lock_many`](Self::try_lock_many), with a guard that keeps the set alive.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::KeyedMutex::<u64>::new());
    /// assert!(locks.try_lock_many_arc(&[1, 2]).is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_many_arc<'q, Q>(
        self: &Arc<Self>,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<ArcKeyedMutexMultiGuard<K, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        attempt(self.clone(), self.many(keys))
    }
}
