//! The striped mutex.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use lock_api::{RawMutex, RawMutexTimed};

use crate::guard::{ArcStripe, Guard};
use crate::holding::Uniform;
use crate::lock::StripedLock;
use crate::multi::MultiGuard;
use crate::raw::{DefaultRawMutex, Exclusive, For, ForMutex, Try, Until};
use crate::stripe::Stripe;
use crate::{DefaultHasher, StripeSet};

/// A fixed number of mutexes, one of which belongs to every key, each over a `T` of its own.
///
/// Equal keys always meet on the same mutex; unequal keys meet with a chance of one in [`stripes`](Self::stripes).
/// `K` is the key type, fixed so that one entity can't be locked through two types that hash differently; methods take
/// whatever `K` can be borrowed as, as in `HashMap`. `R` is any raw mutex of [`lock_api`], `S` any
/// [`BuildHasher`].
///
/// Fairness is that of `R`. `parking_lot::RawMutex` lets newcomers overtake those who wait; `parking_lot::RawFairMutex`
/// doesn't, and [`unlock_fair`](crate::Guard::unlock_fair) is the choice of each release.
///
/// A panic in a section releases what its guards hold. There is no poisoning: the next holder finds the data as the
/// panic left it.
///
/// # Panics
///
/// In debug builds (with the feature `std`), the methods that wait for one more stripe panic instead of hanging if this
/// thread holds that stripe already, and if it holds a higher one, whose order they would break. The message names both
/// places.
///
/// # Examples
///
/// ```
/// use stripe_lock::StripedMutex;
///
/// let visits: StripedMutex<String, u32> = StripedMutex::new(64);
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| *visits.lock("alice") += 1);
///     }
/// });
/// assert_eq!(*visits.lock("alice"), 4);
/// ```
///
/// A key of another type, which might hash differently, is refused:
///
/// ```compile_fail,E0277
/// let visits = stripe_lock::StripedMutex::<u64, u32>::new(64);
/// visits.lock(&7_u32);
/// ```
///
/// Threads share it only if its data may go from one to another:
///
/// ```compile_fail,E0277
/// fn share<T: Sync>(_: T) {}
/// share(stripe_lock::StripedMutex::<u64, std::rc::Rc<u32>>::new(64));
/// ```
pub type StripedMutex<K, T = (), R = DefaultRawMutex, S = DefaultHasher> = StripedLock<K, T, ForMutex<R>, S>;

/// Holds one stripe of a [`StripedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::{MutexGuard, StripedMutex};
///
/// let counts = StripedMutex::<u64, u32>::new(4);
/// let guard: MutexGuard<'_, u32> = counts.lock(&1);
/// assert_eq!(*guard, 0);
/// ```
pub type MutexGuard<'a, T, R = DefaultRawMutex> =
    Guard<&'a Stripe<ForMutex<R>, T>, ForMutex<R>, T, Exclusive>;

/// Holds one stripe of a [`StripedMutex`] and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::{ArcMutexGuard, StripedMutex};
///
/// let counts = Arc::new(StripedMutex::<u64, u32>::new(4));
/// let guard: ArcMutexGuard<u64, u32> = counts.lock_arc(&1);
/// drop(counts);
/// assert_eq!(*guard, 0);
/// ```
pub type ArcMutexGuard<K, T, R = DefaultRawMutex, S = DefaultHasher> =
    Guard<ArcStripe<K, T, ForMutex<R>, S>, ForMutex<R>, T, Exclusive>;

/// Holds several stripes of a [`StripedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::{MutexMultiGuard, StripedMutex};
///
/// let counts = StripedMutex::<u64, u32>::new(4);
/// let guard: MutexMultiGuard<'_, u64, u32> = counts.lock_many(&[1, 2]);
/// assert!(guard.holds(&2));
/// ```
pub type MutexMultiGuard<'a, K, T, R = DefaultRawMutex, S = DefaultHasher> =
    MultiGuard<&'a StripedLock<K, T, ForMutex<R>, S>, Uniform<ForMutex<R>, Exclusive>>;

#[cfg(feature = "parking_lot")]
impl<K: ?Sized, T: Default> StripedMutex<K, T> {
    /// Creates `stripes` stripes, rounded up to a power of two, each with the default value of `T`, and a hasher with
    /// a random key.
    ///
    /// [`recommended_stripes`](crate::recommended_stripes) helps to choose how many.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`](crate::MAX_STRIPES).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripedMutex::<str>::new(7).stripes(), 8);
    /// ```
    pub fn new(stripes: usize) -> Self {
        Self::with_hasher(stripes, DefaultHasher::default())
    }
}

impl<K: ?Sized, T, R: RawMutex, S: BuildHasher> StripedMutex<K, T, R, S> {
    /// Locks the stripe of `key`, waiting as long as it needs.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging: see [`StripedMutex`].
    ///
    /// # Examples
    ///
    /// ```
    /// let stock = stripe_lock::StripedMutex::<str, u32>::new(64);
    /// *stock.lock("apples") += 1;
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock<Q>(&self, key: &Q) -> MutexGuard<'_, T, R>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.wait(key)
    }

    /// Locks the stripe of `key` if nobody holds it.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// let guard = locks.lock(&1);
    /// assert!(locks.try_lock(&1).is_none());
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_lock<Q>(&self, key: &Q) -> Option<MutexGuard<'_, T, R>>
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
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// assert!(locks.try_lock_for(&1, Duration::from_millis(5)).is_some());
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_lock_for<Q>(&self, key: &Q, timeout: R::Duration) -> Option<MutexGuard<'_, T, R>>
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
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// assert!(locks.try_lock_until(&1, Instant::now() + Duration::from_millis(5)).is_some());
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_lock_until<Q>(&self, key: &Q, deadline: R::Instant) -> Option<MutexGuard<'_, T, R>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
        R: RawMutexTimed<Instant: Copy>,
    {
        self.attempt(key, Until(deadline))
    }

    /// As [`lock`](Self::lock), with a guard that keeps the set alive and so can be stored or returned freely.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging: see [`StripedMutex`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use stripe_lock::{ArcMutexGuard, StripedMutex};
    ///
    /// fn begin(jobs: &Arc<StripedMutex<str>>, tenant: &str) -> ArcMutexGuard<str, ()> {
    ///     jobs.lock_arc(tenant)
    /// }
    /// drop(begin(&Arc::new(StripedMutex::new(64)), "tenant"));
    /// ```
    #[track_caller]
    pub fn lock_arc<Q>(self: &Arc<Self>, key: &Q) -> ArcMutexGuard<K, T, R, S>
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
    /// let locks = std::sync::Arc::new(stripe_lock::StripedMutex::<u64>::new(4));
    /// assert!(locks.try_lock_arc(&1).is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_arc<Q>(self: &Arc<Self>, key: &Q) -> Option<ArcMutexGuard<K, T, R, S>>
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
    /// let locks = std::sync::Arc::new(stripe_lock::StripedMutex::<u64>::new(4));
    /// assert!(locks.try_lock_arc_until(&1, Instant::now() + Duration::from_millis(5)).is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_arc_until<Q>(
        self: &Arc<Self>,
        key: &Q,
        deadline: R::Instant,
    ) -> Option<ArcMutexGuard<K, T, R, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
        R: RawMutexTimed<Instant: Copy>,
    {
        self.attempt_arc(key, Until(deadline))
    }

    /// Locks the stripes of all `keys`, however many share a stripe, in ascending order of stripes: two such calls
    /// can't deadlock, whatever the order of their keys.
    ///
    /// No heap allocation for up to 16 keys, or up to 64 stripes, where an acquisition of `R` leaves no state to keep:
    /// so it is with `parking_lot`. With a limit in time: [`try_lock_many_until`](Self::try_lock_many_until). A key
    /// that turns up later can be added by the guard's [`extend`](MultiGuard::extend).
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging: see [`StripedMutex`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::StripedMutex::<str, HashMap<String, u32>>::new(64);
    /// let mut guard = stock.lock_many(["apples", "pears"]);
    /// guard.get_mut("apples").unwrap().insert("apples".into(), 5);
    /// guard.get_mut("pears").unwrap().insert("pears".into(), 2);
    /// drop(guard);
    ///
    /// // Keys come as references, so owned ones are lent, and numbers take an ampersand.
    /// let names = vec![String::from("apples"), String::from("figs")];
    /// drop(stock.lock_many(names.iter().map(String::as_str)));
    /// drop(stripe_lock::StripedMutex::<u64>::new(64).lock_many(&[1, 2]));
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> MutexMultiGuard<'_, K, T, R, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        MultiGuard::wait(self, self.set_of(keys), Uniform::new())
    }

    /// Locks the stripes of all `keys` if nobody holds any of them; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// let guard = locks.lock(&1);
    /// assert!(locks.try_lock_many(&[1, 2]).is_none());
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<MutexMultiGuard<'_, K, T, R, S>>
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
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// let soon = Instant::now() + Duration::from_millis(5);
    /// assert!(locks.try_lock_many_until(&[1, 2], soon).is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_many_until<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        deadline: R::Instant,
    ) -> Option<MutexMultiGuard<'_, K, T, R, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
        R: RawMutexTimed<Instant: Copy>,
    {
        MultiGuard::take(self, self.set_of(keys), Uniform::new(), Until(deadline))
    }

    /// Locks every stripe: excludes all other holders, of one key or of many.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging: see [`StripedMutex`].
    ///
    /// # Examples
    ///
    /// ```
    /// let counts = stripe_lock::StripedMutex::<u64, u32>::new(4);
    /// let total: u32 = counts.lock_all().iter().map(|(_stripe, n)| n).sum();
    /// assert_eq!(total, 0);
    /// ```
    #[track_caller]
    pub fn lock_all(&self) -> MutexMultiGuard<'_, K, T, R, S> {
        MultiGuard::wait(self, StripeSet::all(self.stripes()), Uniform::new())
    }

    /// Locks every stripe if nobody holds any of them; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// assert!(locks.try_lock_all().is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_all(&self) -> Option<MutexMultiGuard<'_, K, T, R, S>> {
        MultiGuard::take(self, StripeSet::all(self.stripes()), Uniform::new(), Try)
    }

    /// Calls `f` with the data of the stripe of `key`, locked for just that long.
    ///
    /// # Panics
    ///
    /// If `f` panics, with the stripe released; and in debug builds, instead of hanging: see [`StripedMutex`].
    ///
    /// # Examples
    ///
    /// ```
    /// let stock = stripe_lock::StripedMutex::<str, u32>::new(64);
    /// let left = stock.with("apples", |n| {
    ///     *n += 3;
    ///     *n
    /// });
    /// assert_eq!(left, 3);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with<Q, O>(&self, key: &Q, f: impl FnOnce(&mut T) -> O) -> O
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        f(&mut self.lock(key))
    }
}
