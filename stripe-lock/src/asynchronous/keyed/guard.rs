//! The guard of keys.

use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;

use super::super::instrument::{Record, Taker};
use super::super::panics::Panics;
use super::record::Recording;
use super::set::{FaceParts, KeyedSet};
use super::tags::{Many, One, Tags};

/// Holds keys until it is dropped: `N` is [`One`], [`Many`] or [`Every`](super::Every).
///
/// `P` is the guard's pointer to the set: a reference, or an `Arc` that keeps the set alive. Programs name the guard by
/// an alias, such as [`KeyedMutexGuard`](crate::asynchronous::keyed::KeyedMutexGuard).
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::KeyedMutex::<str>::new();
/// let guard = locks.lock("alice");
/// assert!(locks.try_lock("alice").is_none());
/// drop(guard);
/// assert!(locks.try_lock("alice").is_some());
/// ```
#[must_use = "if unused, the key is released at once"]
pub struct KeyedGuard<P: Deref<Target: KeyedSet>, N: Tags> {
    pub(super) set: P,
    pub(super) tags: N,
    /// The debug record, in debug builds of the sets for threads.
    pub(super) record: <<P::Target as KeyedSet>::Face as FaceParts>::Record,
    /// The entry in the record of the set.
    pub(super) watched: Record,
}

impl<P: Deref<Target: KeyedSet>, N: Tags> KeyedGuard<P, N> {
    /// # Safety
    ///
    /// The keys were entered for this guard.
    #[inline(always)]
    pub(super) unsafe fn of(set: P, tags: N) -> Self {
        for &tag in tags.all() {
            set.buckets().of(tag).count();
        }
        Self { set, tags, record: Default::default(), watched: Record::NONE }
    }

    /// Notes that its keys were entered.
    #[inline(always)]
    #[track_caller]
    pub(super) fn entered(&mut self) {
        for &tag in self.tags.all() {
            self.set.buckets().of(tag).count();
        }
        self.record = Recording::of(self.set.buckets().id, self.tags.all());
    }

    /// Puts the guard on the record of the set.
    #[inline(always)]
    pub(super) fn watched(mut self, taker: Taker) -> Self {
        self.watched = self.set.buckets().monitor.guard(taker, self.tags.all());
        self
    }

    /// Puts the guard on the record of this thread.
    #[inline(always)]
    #[track_caller]
    pub(super) fn recorded(mut self) -> Self {
        self.record = Recording::of(self.set.buckets().id, self.tags.all());
        self
    }

    /// Releases the keys, and hands each to the waiter that has waited longest, if there is one: no newcomer comes first.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::KeyedMutex;
    /// use stripe_lock::asynchronous::keyed::KeyedGuard;
    ///
    /// let locks = KeyedMutex::<u64>::new();
    /// KeyedGuard::unlock_fair(locks.lock(&1));
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    pub fn unlock_fair(guard: Self) {
        let buckets = guard.set.buckets();
        for &tag in guard.tags.all() {
            buckets.of(tag).prefer_waiters(tag);
        }
        drop(guard);
    }
}

impl<P: Deref<Target: KeyedSet>> KeyedGuard<P, Many> {
    /// The guard of no keys.
    #[inline(always)]
    pub(super) fn of_none(set: P) -> Self {
        Self { set, tags: Many::none(), record: Default::default(), watched: Record::NONE }
    }

    /// The tags of keys that were not entered for the guard.
    #[cold]
    pub(super) fn into_tags(mut self) -> Many {
        mem::replace(&mut self.tags, Many::none())
    }
}

impl<S: KeyedSet> KeyedGuard<&S, One> {
    /// Gives the key to the caller, who has to release it.
    pub(super) fn into_key(self) {
        let guard = ManuallyDrop::new(self);
        drop(guard.set.buckets().monitor.released(&guard.watched));
    }
}

impl<P: Deref<Target: KeyedSet>, N: Tags> Drop for KeyedGuard<P, N> {
    #[inline(always)]
    fn drop(&mut self) {
        let buckets = self.set.buckets();
        let _erased = buckets.monitor.released(&self.watched);
        buckets.release(&self.tags, self.tags.count(buckets), &mut Panics::default());
    }
}

impl<P: Deref<Target: KeyedSet>, N: Tags> fmt::Debug for KeyedGuard<P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedGuard").field("keys", &self.tags.all().len()).finish_non_exhaustive()
    }
}
