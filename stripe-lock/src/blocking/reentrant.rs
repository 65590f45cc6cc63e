//! The striped reentrant mutex.

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
use crate::blocking::raw::{
    DefaultRawMutex, DefaultThreadId, For, ForReentrant, GetThreadId, RawMutex, RawMutexTimed, Shared, Try,
    Until,
};
use crate::blocking::stripe::Stripe;
use crate::shared::hash::{DefaultHasher, Located};
use crate::shared::stripe_set::StripeSet;

/// A striped mutex whose stripes a thread may lock again while it holds them. It is for code that relies on reentrant
/// locks, as in Java and .NET. Guards give only `&T`, because a thread may have several.
///
/// A thread that holds a stripe and waits for a *lower* one can deadlock with a thread that does the opposite. So lock
/// all keys of one operation together, by [`lock_many`](Self::lock_many).
///
/// # Panics
///
/// In debug builds and with the feature `check`, methods that wait for a stripe panic if this thread holds a higher
/// stripe and not the stripe itself. The message names both places.
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
/// use std::collections::HashMap;
/// use stripe_lock::StripedReentrantMutex;
///
/// // The data of a stripe belongs to all its keys, so it is a map.
/// let visits = StripedReentrantMutex::<str, RefCell<HashMap<String, u32>>>::new(64);
/// let outer = visits.lock("alice");
/// let inner = visits.lock("alice");
/// *inner.borrow_mut().entry("alice".into()).or_default() += 1;
/// assert_eq!(outer.borrow()["alice"], 1);
/// ```
///
/// A guard gives no `&mut T`, and is not `Send`, whatever the raw mutex:
///
/// ```compile_fail,E0594
/// let visits = stripe_lock::StripedReentrantMutex::<str, Vec<String>>::new(64);
/// *visits.lock("alice") = vec!["alice".to_string()];
/// ```
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// let locks = stripe_lock::StripedReentrantMutex::<str>::new(64);
/// send(locks.lock("alice"));
/// ```
pub type StripedReentrantMutex<K, T = (), R = DefaultRawMutex, G = DefaultThreadId, S = DefaultHasher> =
    StripedLock<K, T, ForReentrant<R, G>, S>;

/// Holds one stripe of a [`StripedReentrantMutex`], once.
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::ReentrantMutexGuard;
/// use stripe_lock::StripedReentrantMutex;
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
/// use stripe_lock::blocking::ArcReentrantMutexGuard;
/// use stripe_lock::StripedReentrantMutex;
///
/// let locks = Arc::new(StripedReentrantMutex::<u64, u32>::new(4));
/// let guard: ArcReentrantMutexGuard<u64, u32> = locks.lock_arc(&1);
/// assert_eq!(*guard, 0);
/// ```
pub type ArcReentrantMutexGuard<K, T, R = DefaultRawMutex, G = DefaultThreadId, S = DefaultHasher> =
    Guard<ArcStripe<K, T, ForReentrant<R, G>, S>, ForReentrant<R, G>, T, Shared>;

/// Holds one stripe of a [`StripedReentrantMutex`], once, and gives access to a part of its data: see [`Guard::map`].
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::{MappedReentrantMutexGuard, ReentrantMutexGuard};
/// use stripe_lock::StripedReentrantMutex;
///
/// let pairs = StripedReentrantMutex::<u64, (u32, u32)>::new(4);
/// let first: MappedReentrantMutexGuard<'_, (u32, u32), u32> =
///     ReentrantMutexGuard::map(pairs.lock(&1), |pair| &pair.0);
/// assert_eq!(*first, 0);
/// ```
pub type MappedReentrantMutexGuard<'a, T, U, R = DefaultRawMutex, G = DefaultThreadId> =
    MappedGuard<&'a Stripe<ForReentrant<R, G>, T>, ForReentrant<R, G>, T, U, Shared>;

/// As [`MappedReentrantMutexGuard`], and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::blocking::{ArcMappedReentrantMutexGuard, ArcReentrantMutexGuard};
/// use stripe_lock::StripedReentrantMutex;
///
/// let pairs = Arc::new(StripedReentrantMutex::<u64, (u32, u32)>::new(4));
/// let first: ArcMappedReentrantMutexGuard<u64, (u32, u32), u32> =
///     ArcReentrantMutexGuard::map(pairs.lock_arc(&1), |pair| &pair.0);
/// assert_eq!(*first, 0);
/// ```
pub type ArcMappedReentrantMutexGuard<K, T, U, R = DefaultRawMutex, G = DefaultThreadId, S = DefaultHasher> =
    MappedGuard<ArcStripe<K, T, ForReentrant<R, G>, S>, ForReentrant<R, G>, T, U, Shared>;

/// Holds several stripes of a [`StripedReentrantMutex`], each once.
///
/// # Examples
///
/// ```
/// use stripe_lock::blocking::ReentrantMultiGuard;
/// use stripe_lock::StripedReentrantMutex;
///
/// let locks = StripedReentrantMutex::<u64, u32>::new(4);
/// let guard: ReentrantMultiGuard<'_, u64, u32> = locks.lock_many(&[1, 2]);
/// assert!(guard.holds(&2));
/// ```
pub type ReentrantMultiGuard<'a, K, T, R = DefaultRawMutex, G = DefaultThreadId, S = DefaultHasher> =
    MultiGuard<&'a StripedReentrantMutex<K, T, R, G, S>, Uniform<ForReentrant<R, G>, Shared>>;

/// Holds several stripes of a [`StripedReentrantMutex`], each once, and keeps the whole set alive.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock::blocking::ArcReentrantMultiGuard;
/// use stripe_lock::StripedReentrantMutex;
///
/// let locks = Arc::new(StripedReentrantMutex::<u64, u32>::new(4));
/// let guard: ArcReentrantMultiGuard<u64, u32> = locks.lock_many_arc(&[1, 2]);
/// assert!(guard.holds(&2));
/// ```
pub type ArcReentrantMultiGuard<K, T, R = DefaultRawMutex, G = DefaultThreadId, S = DefaultHasher> =
    MultiGuard<Arc<StripedReentrantMutex<K, T, R, G, S>>, Uniform<ForReentrant<R, G>, Shared>>;

#[cfg(feature = "std")]
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

one_stripe!(StripedReentrantMutex: StripedReentrantMutex<K, T, R, G, S>, "Locks, or locks again,",
    "If this thread would hold a stripe more often than a `usize` can count.";
    impl[R: RawMutex, G: GetThreadId];
    ReentrantMutexGuard<'_, T, R, G>, ArcReentrantMutexGuard<K, T, R, G, S>, where R: RawMutexTimed;
    lock, try_lock, try_lock_for, try_lock_until; lock_arc, try_lock_arc, try_lock_arc_for, try_lock_arc_until;
    lock_stripe, try_lock_stripe);
many_stripes!(StripedReentrantMutex: StripedReentrantMutex<K, T, R, G, S>, "Locks, or locks again,",
    "If this thread would hold a stripe more often than a `usize` can count.";
    impl[R: RawMutex, G: GetThreadId];
    ReentrantMultiGuard<'_, K, T, R, G, S>, ArcReentrantMultiGuard<K, T, R, G, S>, where R: RawMutexTimed;
    lock_many, try_lock_many, try_lock_many_for, try_lock_many_until, lock_all, try_lock_all;
    lock_many_arc, try_lock_many_arc, lock_all_arc, try_lock_all_arc);

impl<K: ?Sized, T, R: RawMutex, G: GetThreadId, S: BuildHasher> StripedReentrantMutex<K, T, R, G, S> {
    /// Locks the stripe of `key`, calls `f` with its data, and releases it.
    ///
    /// # Panics
    ///
    /// If `f` panics: the stripe is released then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::StripedReentrantMutex::<str, RefCell<HashMap<String, u32>>>::new(64);
    /// stock.with("apples", |stock| stock.borrow_mut().insert("apples".into(), 3));
    /// assert_eq!(stock.lock("apples").borrow()["apples"], 3);
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
