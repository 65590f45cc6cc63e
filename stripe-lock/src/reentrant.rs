//! The striped reentrant mutex.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use lock_api::{GetThreadId, RawMutex, RawMutexTimed};

use crate::guard::{ArcStripe, Guard};
use crate::holding::Uniform;
use crate::lock::StripedLock;
use crate::multi::MultiGuard;
use crate::raw::{DefaultRawMutex, DefaultThreadId, For, ForReentrant, Shared, Try, Until};
use crate::stripe::Stripe;
use crate::{DefaultHasher, StripeSet};

/// A striped mutex that a thread may lock again while it holds it: for code that is built on such locks, as Java's
/// and .NET's are. Guards give `&T` alone, since a thread may have several.
///
/// The record of debug builds exempts it, since locking a held stripe again is its purpose. But going *down* in the
/// order while holding a stripe can still deadlock with another thread that goes up: take keys that are needed
/// together by [`lock_many`](Self::lock_many).
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use stripe_lock::StripedReentrantMutex;
///
/// let counts = StripedReentrantMutex::<str, Cell<u32>>::new(64);
/// let outer = counts.lock("alice");
/// let inner = counts.lock("alice");
/// inner.set(inner.get() + 1);
/// assert_eq!(outer.get(), 1);
/// ```
///
/// A guard gives nothing to change directly, and can't go to another thread, whatever the raw mutex:
///
/// ```compile_fail,E0594
/// let counts = stripe_lock::StripedReentrantMutex::<str, u32>::new(64);
/// *counts.lock("alice") += 1;
/// ```
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// let counts = stripe_lock::StripedReentrantMutex::<str, u32>::new(64);
/// send(counts.lock("alice"));
/// ```
pub type StripedReentrantMutex<K, T = (), R = DefaultRawMutex, G = DefaultThreadId, S = DefaultHasher> =
    StripedLock<K, T, ForReentrant<R, G>, S>;

/// Holds one stripe of a [`StripedReentrantMutex`], once.
///
/// # Examples
///
/// ```
/// use stripe_lock::{ReentrantMutexGuard, StripedReentrantMutex};
///
/// let locks = StripedReentrantMutex::<u64, u32>::new(4);
/// let guard: ReentrantMutexGuard<'_, u32> = locks.lock(&1);
/// assert_eq!(*guard, 0);
/// ```
pub type ReentrantMutexGuard<'a, T, R = DefaultRawMutex, G = DefaultThreadId> =
    Guard<&'a Stripe<ForReentrant<R, G>, T>, ForReentrant<R, G>, T, Shared>;

/// Holds one stripe of a [`StripedReentrantMutex`], once, and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::{ArcReentrantMutexGuard, StripedReentrantMutex};
///
/// let locks = Arc::new(StripedReentrantMutex::<u64, u32>::new(4));
/// let guard: ArcReentrantMutexGuard<u64, u32> = locks.lock_arc(&1);
/// assert_eq!(*guard, 0);
/// ```
pub type ArcReentrantMutexGuard<K, T, R = DefaultRawMutex, G = DefaultThreadId, S = DefaultHasher> =
    Guard<ArcStripe<K, T, ForReentrant<R, G>, S>, ForReentrant<R, G>, T, Shared>;

/// Holds several stripes of a [`StripedReentrantMutex`], each once.
///
/// # Examples
///
/// ```
/// use stripe_lock::{ReentrantMultiGuard, StripedReentrantMutex};
///
/// let locks = StripedReentrantMutex::<u64, u32>::new(4);
/// let guard: ReentrantMultiGuard<'_, u64, u32> = locks.lock_many(&[1, 2]);
/// assert!(guard.holds(&2));
/// ```
pub type ReentrantMultiGuard<'a, K, T, R = DefaultRawMutex, G = DefaultThreadId, S = DefaultHasher> =
    MultiGuard<&'a StripedLock<K, T, ForReentrant<R, G>, S>, Uniform<ForReentrant<R, G>, Shared>>;

#[cfg(feature = "parking_lot")]
impl<K: ?Sized, T: Default> StripedReentrantMutex<K, T> {
    /// Creates `stripes` stripes, rounded up to a power of two, each with the default value of `T`, and a hasher with
    /// a random key.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`](crate::MAX_STRIPES).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripedReentrantMutex::<str>::new(7).stripes(), 8);
    /// ```
    pub fn new(stripes: usize) -> Self {
        Self::with_hasher(stripes, DefaultHasher::default())
    }
}

impl<K: ?Sized, T, R: RawMutex, G: GetThreadId, S: BuildHasher> StripedReentrantMutex<K, T, R, G, S> {
    /// Locks the stripe of `key`, once more if this thread holds it.
    ///
    /// # Panics
    ///
    /// If this thread would hold the stripe more often than a `usize` can count.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedReentrantMutex::<u64>::new(4);
    /// let twice = (locks.lock(&1), locks.lock(&1));
    /// ```
    #[inline]
    pub fn lock<Q>(&self, key: &Q) -> ReentrantMutexGuard<'_, T, R, G>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.wait(key)
    }

    /// Locks the stripe of `key` if no other thread holds it.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedReentrantMutex::<u64>::new(4);
    /// let guard = locks.lock(&1);
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    #[inline]
    pub fn try_lock<Q>(&self, key: &Q) -> Option<ReentrantMutexGuard<'_, T, R, G>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.attempt(key, Try)
    }

    /// Locks the stripe of `key` unless that takes longer than `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let locks = stripe_lock::StripedReentrantMutex::<u64>::new(4);
    /// assert!(locks.try_lock_for(&1, Duration::from_millis(5)).is_some());
    /// ```
    #[inline]
    pub fn try_lock_for<Q>(&self, key: &Q, timeout: R::Duration) -> Option<ReentrantMutexGuard<'_, T, R, G>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
        R: RawMutexTimed<Duration: Copy>,
    {
        self.attempt(key, For(timeout))
    }

    /// Locks the stripe of `key` unless `deadline` passes first.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let locks = stripe_lock::StripedReentrantMutex::<u64>::new(4);
    /// assert!(locks.try_lock_until(&1, Instant::now() + Duration::from_millis(5)).is_some());
    /// ```
    #[inline]
    pub fn try_lock_until<Q>(&self, key: &Q, deadline: R::Instant) -> Option<ReentrantMutexGuard<'_, T, R, G>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
        R: RawMutexTimed<Instant: Copy>,
    {
        self.attempt(key, Until(deadline))
    }

    /// As [`lock`](Self::lock), with a guard that keeps the set alive.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::StripedReentrantMutex::<u64>::new(4));
    /// drop(locks.lock_arc(&1));
    /// ```
    pub fn lock_arc<Q>(self: &Arc<Self>, key: &Q) -> ArcReentrantMutexGuard<K, T, R, G, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.wait_arc(key)
    }

    /// As [`try_lock`](Self::try_lock), with a guard that keeps the set alive.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = std::sync::Arc::new(stripe_lock::StripedReentrantMutex::<u64>::new(4));
    /// assert!(locks.try_lock_arc(&1).is_some());
    /// ```
    pub fn try_lock_arc<Q>(self: &Arc<Self>, key: &Q) -> Option<ArcReentrantMutexGuard<K, T, R, G, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.attempt_arc(key, Try)
    }

    /// As [`try_lock_until`](Self::try_lock_until), with a guard that keeps the set alive.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let locks = std::sync::Arc::new(stripe_lock::StripedReentrantMutex::<u64>::new(4));
    /// assert!(locks.try_lock_arc_until(&1, Instant::now() + Duration::from_millis(5)).is_some());
    /// ```
    pub fn try_lock_arc_until<Q>(
        self: &Arc<Self>,
        key: &Q,
        deadline: R::Instant,
    ) -> Option<ArcReentrantMutexGuard<K, T, R, G, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
        R: RawMutexTimed<Instant: Copy>,
    {
        self.attempt_arc(key, Until(deadline))
    }

    /// Locks the stripes of all `keys` in ascending order, those that this thread holds once more.
    ///
    /// No heap allocation for up to 16 keys, or up to 64 stripes.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedReentrantMutex::<u64>::new(64);
    /// let outer = locks.lock_many(&[1, 2]);
    /// let inner = locks.lock_many(&[2, 1]);
    /// ```
    #[inline]
    pub fn lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> ReentrantMultiGuard<'_, K, T, R, G, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        MultiGuard::wait(self, self.set_of(keys), Uniform::new())
    }

    /// Locks the stripes of all `keys` if no other thread holds any of them; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedReentrantMutex::<u64>::new(64);
    /// let outer = locks.lock(&1);
    /// assert!(locks.try_lock_many(&[1, 2]).is_some());
    /// ```
    #[inline]
    pub fn try_lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<ReentrantMultiGuard<'_, K, T, R, G, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        MultiGuard::take(self, self.set_of(keys), Uniform::new(), Try)
    }

    /// Locks the stripes of all `keys`, or none of them if `deadline` passes first.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let locks = stripe_lock::StripedReentrantMutex::<u64>::new(4);
    /// let soon = Instant::now() + Duration::from_millis(5);
    /// assert!(locks.try_lock_many_until(&[1, 2], soon).is_some());
    /// ```
    pub fn try_lock_many_until<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        deadline: R::Instant,
    ) -> Option<ReentrantMultiGuard<'_, K, T, R, G, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
        R: RawMutexTimed<Instant: Copy>,
    {
        MultiGuard::take(self, self.set_of(keys), Uniform::new(), Until(deadline))
    }

    /// Locks every stripe in ascending order, those that this thread holds once more.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedReentrantMutex::<u64>::new(4);
    /// assert_eq!(locks.lock_all().len(), 4);
    /// ```
    pub fn lock_all(&self) -> ReentrantMultiGuard<'_, K, T, R, G, S> {
        MultiGuard::wait(self, StripeSet::all(self.stripes()), Uniform::new())
    }

    /// Locks every stripe if no other thread holds any of them; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedReentrantMutex::<u64>::new(4);
    /// let guard = locks.lock(&1);
    /// assert!(locks.try_lock_all().is_some());
    /// ```
    pub fn try_lock_all(&self) -> Option<ReentrantMultiGuard<'_, K, T, R, G, S>> {
        MultiGuard::take(self, StripeSet::all(self.stripes()), Uniform::new(), Try)
    }

    /// Calls `f` with the data of the stripe of `key`, locked for just that long.
    ///
    /// # Panics
    ///
    /// If `f` panics, with the stripe released.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// let stock = stripe_lock::StripedReentrantMutex::<str, Cell<u32>>::new(64);
    /// stock.with("apples", |n| n.set(n.get() + 3));
    /// assert_eq!(stock.lock("apples").get(), 3);
    /// ```
    #[inline]
    pub fn with<Q, O>(&self, key: &Q, f: impl FnOnce(&T) -> O) -> O
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        f(&self.lock(key))
    }
}
