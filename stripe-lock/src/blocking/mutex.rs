//! The striped mutex.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

#[cfg(feature = "std")]
use std::time::{Duration, Instant};

use crate::blocking::faces::{many_stripes, one_stripe};
use crate::blocking::guard::{ArcStripe, Guard, MappedGuard};
use crate::blocking::holding::Uniform;
use crate::blocking::lock::StripedLock;
use crate::blocking::multi::MultiGuard;
use crate::blocking::raw::{DefaultRawMutex, Exclusive, For, ForMutex, RawMutex, RawMutexTimed, Try, Until};
use crate::blocking::stripe::Stripe;
use crate::shared::hash::{DefaultHasher, Located};
use crate::shared::stripe_set::StripeSet;

/// A fixed number of mutexes, each with a `T` of its own. Every key belongs to one of them.
///
/// **`T` belongs to the stripe, not to the key.** Equal keys always share a mutex. The chance that two unequal keys
/// share one is 1 in [`stripes`](Self::stripes).
///
/// `K` is the key type. It is fixed, so that one entity can't be locked through two types that hash differently.
/// Methods take any borrowed form of `K`, as those of `HashMap` do. `R` is any raw mutex of [`lock_api`], and `S` any
/// [`BuildHasher`].
///
/// Fairness depends on `R`. `parking_lot::RawMutex` lets newcomers overtake waiters, and `parking_lot::RawFairMutex`
/// does not. With either, a single release can be fair: [`unlock_fair`](crate::blocking::Guard::unlock_fair).
///
/// A panic in a section releases the stripes that its guards hold. There is no poisoning: the next holder sees the
/// data as the panic left it.
///
/// # Panics
///
/// In debug builds (with the feature `std`), a method that would wait for a stripe panics if this thread already
/// holds that stripe or a higher one. Without the check, the thread could hang. The message names both places in the
/// program.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use stripe_lock::StripedMutex;
///
/// // A map, because keys may share the stripe.
/// let visits: StripedMutex<String, HashMap<String, u32>> = StripedMutex::new(64);
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| *visits.lock("alice").entry("alice".into()).or_default() += 1);
///     }
/// });
/// assert_eq!(visits.lock("alice")["alice"], 4);
/// ```
///
/// A key of another type does not compile, because it might hash differently:
///
/// ```compile_fail,E0277
/// let visits = stripe_lock::StripedMutex::<u64, u32>::new(64);
/// visits.lock(&7_u32);
/// ```
///
/// It is `Sync` only if its data is `Send`:
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
/// use stripe_lock::blocking::MutexGuard;
/// use stripe_lock::StripedMutex;
///
/// let per_stripe = StripedMutex::<u64, u32>::new(4);
/// let guard: MutexGuard<'_, u32> = per_stripe.lock(&1);
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
/// use stripe_lock::blocking::ArcMutexGuard;
/// use stripe_lock::StripedMutex;
///
/// let per_stripe = Arc::new(StripedMutex::<u64, u32>::new(4));
/// let guard: ArcMutexGuard<u64, u32> = per_stripe.lock_arc(&1);
/// drop(per_stripe);
/// assert_eq!(*guard, 0);
/// ```
pub type ArcMutexGuard<K, T, R = DefaultRawMutex, S = DefaultHasher> =
    Guard<ArcStripe<K, T, ForMutex<R>, S>, ForMutex<R>, T, Exclusive>;

/// Holds one stripe of a [`StripedMutex`], and gives access to a part of its data: see [`Guard::map`].
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::{MappedMutexGuard, MutexGuard};
/// use stripe_lock::StripedMutex;
///
/// let pairs = StripedMutex::<u64, (u32, u32)>::new(4);
/// let first: MappedMutexGuard<'_, (u32, u32), u32> = MutexGuard::map(pairs.lock(&1), |pair| &mut pair.0);
/// assert_eq!(*first, 0);
/// ```
pub type MappedMutexGuard<'a, T, U, R = DefaultRawMutex> =
    MappedGuard<&'a Stripe<ForMutex<R>, T>, ForMutex<R>, T, U, Exclusive>;

/// As [`MappedMutexGuard`], and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::blocking::{ArcMappedMutexGuard, ArcMutexGuard};
/// use stripe_lock::StripedMutex;
///
/// let pairs = Arc::new(StripedMutex::<u64, (u32, u32)>::new(4));
/// let first: ArcMappedMutexGuard<u64, (u32, u32), u32> = ArcMutexGuard::map(pairs.lock_arc(&1), |pair| &mut pair.0);
/// assert_eq!(*first, 0);
/// ```
pub type ArcMappedMutexGuard<K, T, U, R = DefaultRawMutex, S = DefaultHasher> =
    MappedGuard<ArcStripe<K, T, ForMutex<R>, S>, ForMutex<R>, T, U, Exclusive>;

/// Holds several stripes of a [`StripedMutex`].
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::MutexMultiGuard;
/// use stripe_lock::StripedMutex;
///
/// let per_stripe = StripedMutex::<u64, u32>::new(4);
/// let guard: MutexMultiGuard<'_, u64, u32> = per_stripe.lock_many(&[1, 2]);
/// assert!(guard.holds(&2));
/// ```
pub type MutexMultiGuard<'a, K, T, R = DefaultRawMutex, S = DefaultHasher> =
    MultiGuard<&'a StripedMutex<K, T, R, S>, Uniform<ForMutex<R>, Exclusive>>;

/// Holds several stripes of a [`StripedMutex`] and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::blocking::ArcMutexMultiGuard;
/// use stripe_lock::StripedMutex;
///
/// let per_stripe = Arc::new(StripedMutex::<u64, u32>::new(4));
/// let guard: ArcMutexMultiGuard<u64, u32> = per_stripe.lock_many_arc(&[1, 2]);
/// drop(per_stripe);
/// assert!(guard.holds(&2));
/// ```
pub type ArcMutexMultiGuard<K, T, R = DefaultRawMutex, S = DefaultHasher> =
    MultiGuard<Arc<StripedMutex<K, T, R, S>>, Uniform<ForMutex<R>, Exclusive>>;

#[cfg(feature = "std")]
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

one_stripe!(StripedMutex: StripedMutex<K, T, R, S>, "Locks", "In debug builds, instead of hanging: see [`StripedMutex`].";
    impl[R: RawMutex];
    MutexGuard<'_, T, R>, ArcMutexGuard<K, T, R, S>, where R: RawMutexTimed;
    lock, try_lock, try_lock_for, try_lock_until; lock_arc, try_lock_arc, try_lock_arc_for, try_lock_arc_until;
    lock_stripe, try_lock_stripe);
many_stripes!(StripedMutex: StripedMutex<K, T, R, S>, "Locks", "In debug builds, instead of hanging: see [`StripedMutex`].";
    impl[R: RawMutex];
    MutexMultiGuard<'_, K, T, R, S>, ArcMutexMultiGuard<K, T, R, S>, where R: RawMutexTimed;
    lock_many, try_lock_many, try_lock_many_for, try_lock_many_until, lock_all, try_lock_all;
    lock_many_arc, try_lock_many_arc, lock_all_arc, try_lock_all_arc);

impl<K: ?Sized, T, R: RawMutex, S: BuildHasher> StripedMutex<K, T, R, S> {
    /// Locks the stripe of `key`, calls `f` with its data, and releases it.
    ///
    /// # Panics
    ///
    /// If `f` panics: the stripe is released then. In debug builds, instead of hanging: see [`StripedMutex`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::StripedMutex::<str, HashMap<String, u32>>::new(64);
    /// let left = stock.with("apples", |stock| {
    ///     let left = stock.entry("apples".into()).or_default();
    ///     *left += 3;
    ///     *left
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
