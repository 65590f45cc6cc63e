//! Guards of a part of the data.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::guard::{AsyncGuard, Hold};
use super::kind::{Access, Read, Write};
use super::sealed::{AccessParts, LockSet, SharedPointer, UniquePointer};

/// Holds one stripe until it is dropped, and gives access to a part of its data. Made by `map` and `try_map` of
/// [`AsyncGuard`].
///
/// A stripe holds the data of all keys that share it, for example a map. A mapped guard gives access to the entry of
/// one key alone.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::collections::HashMap;
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::asynchronous::AsyncMutexGuard;
///
/// let stock = AsyncStripedMutex::<str, HashMap<String, u32>>::new(64);
/// let guard = stock.lock("apples").await;
/// let mut apples = AsyncMutexGuard::map(guard, |map| map.entry("apples".into()).or_default());
/// *apples += 3;
/// # }
/// ```
#[must_use = "if unused, the stripe is released at once"]
pub struct AsyncMappedGuard<P: Deref<Target: LockSet>, A: Access, U: ?Sized> {
    hold: Hold<P, A>,
    part: <A as AccessParts>::Pointer<U>,
    /// As in [`AsyncGuard`].
    data: PhantomData<<P::Target as LockSet>::Value>,
}

/// `map` and `try_map` of a guard, and what a mapped guard gives access to.
macro_rules! mapped {
    ($access:ty, $pointer:ident, $alias:literal, $method:literal, ($($of:tt)*), $get:ident) => {
        impl<P: Deref<Target: LockSet>> AsyncGuard<P, $access> {
            /// Narrows the guard to a part of the data.
            ///
            /// # Panics
            ///
            /// If `part` panics. The stripe is released then.
            ///
            /// # Examples
            ///
            /// ```
            /// use stripe_lock::AsyncStripedRwLock;
            #[doc = concat!("use stripe_lock::asynchronous::", $alias, ";")]
            ///
            /// let locks = AsyncStripedRwLock::<u64, (u32, u32)>::new(64);
            #[doc = concat!("let guard = locks.blocking_", $method, "(&1);")]
            #[doc = concat!("let second = ", $alias, "::map(guard, |pair| ", stringify!($($of)*), " pair.1);")]
            /// assert_eq!(*second, 0);
            /// ```
            pub fn map<U: ?Sized>(
                guard: Self,
                part: impl FnOnce($($of)* <P::Target as LockSet>::Value) -> $($of)* U,
            ) -> AsyncMappedGuard<P, $access, U> {
                // SAFETY: the guard holds the stripe, and gives it up to the mapped guard.
                let part = part(unsafe { $($of)* *guard.hold.set.value(guard.hold.place.stripe()) });
                AsyncMappedGuard { part: $pointer(part, PhantomData), hold: guard.hold, data: PhantomData }
            }

            /// Narrows the guard to a part of the data, if there is one.
            ///
            /// # Errors
            ///
            /// The guard itself, if `part` returns `None`.
            ///
            /// # Panics
            ///
            /// If `part` panics. The stripe is released then.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::collections::HashMap;
            /// use stripe_lock::AsyncStripedRwLock;
            #[doc = concat!("use stripe_lock::asynchronous::", $alias, ";")]
            ///
            /// let locks = AsyncStripedRwLock::<str, HashMap<String, u32>>::new(64);
            #[doc = concat!("let guard = locks.blocking_", $method, "(\"alice\");")]
            #[doc = concat!("assert!(", $alias, "::try_map(guard, |map| map.", stringify!($get), "(\"alice\")).is_err());")]
            /// ```
            pub fn try_map<U: ?Sized>(
                guard: Self,
                part: impl FnOnce($($of)* <P::Target as LockSet>::Value) -> Option<$($of)* U>,
            ) -> Result<AsyncMappedGuard<P, $access, U>, Self> {
                // SAFETY: the guard holds the stripe, and gives it up to the mapped guard.
                match part(unsafe { $($of)* *guard.hold.set.value(guard.hold.place.stripe()) }) {
                    Some(part) => {
                        let part = $pointer(part, PhantomData);
                        Ok(AsyncMappedGuard { part, hold: guard.hold, data: PhantomData })
                    }
                    None => Err(guard),
                }
            }
        }

        impl<P: Deref<Target: LockSet>, U: ?Sized> Deref for AsyncMappedGuard<P, $access, U> {
            type Target = U;

            #[inline]
            fn deref(&self) -> &U {
                // SAFETY: the guard's existence proves that the stripe is held, and `&mut` needs `&mut` of the guard.
                unsafe { &*self.part.0 }
            }
        }

        impl<P: Deref<Target: LockSet>, U: ?Sized + fmt::Debug> fmt::Debug for AsyncMappedGuard<P, $access, U> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

mapped!(Read, SharedPointer, "AsyncReadGuard", "read", (&), get);
mapped!(Write, UniquePointer, "AsyncWriteGuard", "write", (&mut), get_mut);

impl<P: Deref<Target: LockSet>, U: ?Sized> DerefMut for AsyncMappedGuard<P, Write, U> {
    #[inline]
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: the guard's existence proves that the stripe is held exclusively.
        unsafe { &mut *self.part.0 }
    }
}

impl<P: Deref<Target: LockSet>, A: Access, U: ?Sized> AsyncMappedGuard<P, A, U> {
    /// The index of the stripe that is held.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::asynchronous::{AsyncMappedGuard, AsyncMutexGuard};
    ///
    /// let locks = AsyncStripedMutex::<u64, (u32, u32)>::new(64);
    /// let first = AsyncMutexGuard::map(locks.blocking_lock(&1), |pair| &mut pair.0);
    /// assert_eq!(AsyncMappedGuard::stripe(&first), locks.stripe_of(&1));
    /// ```
    pub fn stripe(guard: &Self) -> usize {
        guard.hold.place.stripe()
    }
}
