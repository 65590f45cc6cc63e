//! Guards that give a part of a stripe's data.

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr;

use super::Guard;
use crate::blocking::raw::{Exclusive, Mode, RawAcquire, RawAcquireFair, Shared};
use crate::blocking::stripe::Stripe;

/// Holds one stripe in mode `M` until it is dropped, and gives access to a part of its data, `U`.
///
/// Programs name it by an alias: [`MappedMutexGuard`](crate::blocking::MappedMutexGuard),
/// [`MappedRwLockReadGuard`](crate::blocking::MappedRwLockReadGuard) and so on. Made by `map` and `try_map` of a
/// guard's alias (`MutexGuard::map`, `RwLockReadGuard::map`): exclusive and shared guards have different ones.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use stripe_lock::blocking::{MappedMutexGuard, MutexGuard};
/// use stripe_lock::StripedMutex;
///
/// type Stock = StripedMutex<str, HashMap<String, u32>>;
///
/// fn count<'a>(stock: &'a Stock, name: &str) -> MappedMutexGuard<'a, HashMap<String, u32>, u32> {
///     MutexGuard::map(stock.lock(name), |stock| stock.entry(name.to_owned()).or_default())
/// }
///
/// let stock = Stock::new(64);
/// *count(&stock, "apples") += 3;
/// assert_eq!(*count(&stock, "apples"), 3);
/// ```
///
/// References to the part can't outlive the guard:
///
/// ```compile_fail,E0505
/// use stripe_lock::blocking::MutexGuard;
/// use stripe_lock::StripedMutex;
///
/// let pairs = StripedMutex::<str, (u32, u32)>::new(64);
/// let mut guard = MutexGuard::map(pairs.lock("apples"), |pair| &mut pair.0);
/// let first: &mut u32 = &mut guard;
/// drop(guard);
/// *first += 1;
/// ```
#[must_use = "if unused, the stripe is released at once"]
pub struct MappedGuard<P, L, T, U: ?Sized, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    guard: Guard<P, L, T, M>,
    /// A pointer, not a reference: a reference would have to be valid until the end of the call that drops the guard,
    /// which is longer than the stripe is held.
    part: *mut U,
}

// SAFETY: sending the guard sends a `&mut U`.
unsafe impl<P, L, T, U: ?Sized> Send for MappedGuard<P, L, T, U, Exclusive>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<Exclusive>,
    Guard<P, L, T, Exclusive>: Send,
    U: Send,
{
}

// SAFETY: sending the guard sends a `&U`.
unsafe impl<P, L, T, U: ?Sized> Send for MappedGuard<P, L, T, U, Shared>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<Shared>,
    Guard<P, L, T, Shared>: Send,
    U: Sync,
{
}

// SAFETY: a reference to this gives a `&U`, and nothing else.
unsafe impl<P, L, T, U: ?Sized, M> Sync for MappedGuard<P, L, T, U, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
    Guard<P, L, T, M>: Sync,
    U: Sync,
{
}

fn of_shared<U: ?Sized>(part: &U) -> *mut U {
    ptr::from_ref(part).cast_mut()
}

/// The methods that give a part of the data, by `&mut` or by `&`.
macro_rules! map {
    ($mode:ty, $guard:ident, $mapped:ident, $pointer:path; $map:literal $try_map:literal $map_on:literal $try_map_on:literal $(; $mut:tt)?) => {
        impl<P, L, T> Guard<P, L, T, $mode>
        where
            P: Deref<Target = Stripe<L, T>>,
            L: RawAcquire<$mode>,
        {
            /// Keeps the stripe locked, and gives access to a part of its data only.
            ///
            /// # Panics
            ///
            /// If `f` panics. The stripe is released then.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use stripe_lock::{StripedRwLock, blocking::", stringify!($guard), "};")]
            ///
            /// let pairs = StripedRwLock::<str, (u32, u32)>::new(64);
            #[doc = concat!("let first = ", stringify!($guard), "::map(", $map, ");")]
            /// assert_eq!(*first, 0);
            /// ```
            #[inline]
            pub fn map<U: ?Sized>(
                $($mut)? guard: Self,
                f: impl FnOnce(&$($mut)? T) -> &$($mut)? U,
            ) -> MappedGuard<P, L, T, U, $mode> {
                let part = $pointer(f(&$($mut)? guard));
                MappedGuard { guard, part }
            }

            /// As [`map`](Self::map), for a part that may be absent.
            ///
            /// # Errors
            ///
            /// The unchanged guard, if `f` returns `None`.
            ///
            /// # Panics
            ///
            /// If `f` panics. The stripe is released then.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use stripe_lock::{StripedRwLock, blocking::", stringify!($guard), "};")]
            ///
            /// let lists = StripedRwLock::<str, Vec<u32>>::new(64);
            #[doc = concat!("let list = ", stringify!($guard), "::try_map(", $try_map, ").unwrap_err();")]
            /// assert!(list.is_empty());
            /// ```
            #[inline]
            pub fn try_map<U: ?Sized>(
                $($mut)? guard: Self,
                f: impl FnOnce(&$($mut)? T) -> Option<&$($mut)? U>,
            ) -> Result<MappedGuard<P, L, T, U, $mode>, Self> {
                match f(&$($mut)? guard).map($pointer) {
                    Some(part) => Ok(MappedGuard { guard, part }),
                    None => Err(guard),
                }
            }
        }

        impl<P, L, T, U: ?Sized> MappedGuard<P, L, T, U, $mode>
        where
            P: Deref<Target = Stripe<L, T>>,
            L: RawAcquire<$mode>,
        {
            /// Keeps the stripe locked, and gives access to a part of this part only.
            ///
            /// # Panics
            ///
            /// If `f` panics. The stripe is released then.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use stripe_lock::{StripedRwLock, blocking::{", stringify!($guard), ", ", stringify!($mapped), "}};")]
            ///
            /// let nested = StripedRwLock::<str, ((u32, u32), u32)>::new(64);
            #[doc = concat!("let first = ", stringify!($guard), "::map(", $map_on, ";")]
            /// assert_eq!(*first, 0);
            /// ```
            #[inline]
            pub fn map<V: ?Sized>(
                $($mut)? guard: Self,
                f: impl FnOnce(&$($mut)? U) -> &$($mut)? V,
            ) -> MappedGuard<P, L, T, V, $mode> {
                let part = $pointer(f(&$($mut)? guard));
                MappedGuard { guard: guard.guard, part }
            }

            /// As [`map`](Self::map), for a part that may be absent.
            ///
            /// # Errors
            ///
            /// The unchanged guard, if `f` returns `None`.
            ///
            /// # Panics
            ///
            /// If `f` panics. The stripe is released then.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use stripe_lock::{StripedRwLock, blocking::{", stringify!($guard), ", ", stringify!($mapped), "}};")]
            ///
            /// let nested = StripedRwLock::<str, (Vec<u32>, u32)>::new(64);
            #[doc = concat!("let list = ", stringify!($guard), "::map(", $try_map_on, ".unwrap_err();")]
            /// assert!(list.is_empty());
            /// ```
            #[inline]
            pub fn try_map<V: ?Sized>(
                $($mut)? guard: Self,
                f: impl FnOnce(&$($mut)? U) -> Option<&$($mut)? V>,
            ) -> Result<MappedGuard<P, L, T, V, $mode>, Self> {
                match f(&$($mut)? guard).map($pointer) {
                    Some(part) => Ok(MappedGuard { guard: guard.guard, part }),
                    None => Err(guard),
                }
            }
        }
    };
}

map!(Exclusive, RwLockWriteGuard, MappedRwLockWriteGuard, ptr::from_mut;
    "pairs.write(\"apples\"), |pair| &mut pair.0"
    "lists.write(\"apples\"), |list| list.first_mut()"
    "nested.write(\"apples\"), |nested| &mut nested.0);\nlet first = MappedRwLockWriteGuard::map(first, |pair| &mut pair.0)"
    "nested.write(\"apples\"), |nested| &mut nested.0);\nlet list = MappedRwLockWriteGuard::try_map(list, |list| list.first_mut())"
    ; mut);
map!(Shared, RwLockReadGuard, MappedRwLockReadGuard, of_shared;
    "pairs.read(\"apples\"), |pair| &pair.0"
    "lists.read(\"apples\"), |list| list.first()"
    "nested.read(\"apples\"), |nested| &nested.0);\nlet first = MappedRwLockReadGuard::map(first, |pair| &pair.0)"
    "nested.read(\"apples\"), |nested| &nested.0);\nlet list = MappedRwLockReadGuard::try_map(list, |list| list.first())");

impl<P, L, T, U: ?Sized, M> MappedGuard<P, L, T, U, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    /// As [`Guard::unlock_fair`].
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::{MappedMutexGuard, MutexGuard};
    /// use stripe_lock::StripedMutex;
    ///
    /// let pairs = StripedMutex::<u64, (u32, u32)>::new(64);
    /// MappedMutexGuard::unlock_fair(MutexGuard::map(pairs.lock(&1), |pair| &mut pair.0));
    /// assert!(pairs.try_lock(&1).is_some());
    /// ```
    #[inline]
    pub fn unlock_fair(guard: Self)
    where
        L: RawAcquireFair<M>,
    {
        Guard::unlock_fair(guard.guard);
    }

    /// As [`Guard::hand_over`].
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::{MappedMutexGuard, MutexGuard};
    /// use stripe_lock::{StripedMutex, lock_api::RawMutex};
    ///
    /// fn work_elsewhere<R>(pairs: &StripedMutex<u64, (u32, u32), R>)
    /// where
    ///     R: RawMutex<Guard: Send> + Sync,
    /// {
    ///     let mut first = MappedMutexGuard::hand_over(MutexGuard::map(pairs.lock(&1), |pair| &mut pair.0));
    ///     std::thread::scope(|scope| {
    ///         scope.spawn(move || *first += 1);
    ///         pairs.lock(&1).1 += 1;
    ///     });
    /// }
    /// ```
    pub fn hand_over(mut guard: Self) -> Self
    where
        Self: Send,
    {
        guard.guard.held.end();
        guard
    }
}

impl<P, L, T, U: ?Sized, M> Deref for MappedGuard<P, L, T, U, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    type Target = U;

    #[inline]
    fn deref(&self) -> &U {
        // SAFETY: the guard holds the stripe, and the part was reached through the stripe's data or is `'static`.
        unsafe { &*self.part }
    }
}

impl<P, L, T, U: ?Sized> DerefMut for MappedGuard<P, L, T, U, Exclusive>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<Exclusive>,
{
    #[inline]
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: as in `deref`; the part came from a `&mut U`, and `&mut self` makes this the only reference through
        // it.
        unsafe { &mut *self.part }
    }
}

impl<P, L, T, U: fmt::Debug + ?Sized, M> fmt::Debug for MappedGuard<P, L, T, U, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<P, L, T, U: fmt::Display + ?Sized, M> fmt::Display for MappedGuard<P, L, T, U, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
