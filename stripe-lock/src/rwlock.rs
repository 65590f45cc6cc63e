//! The striped read-write lock.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use lock_api::{RawRwLock, RawRwLockTimed, RawRwLockUpgrade, RawRwLockUpgradeTimed};

use crate::batch::Batch;
use crate::holding::Uniform;
use crate::lock::StripedLock;
use crate::multi::MultiGuard;
use crate::raw::{DefaultRawRwLock, For, ForRwLock, Try, Until};
use crate::{DefaultHasher, StripeSet};

mod guards;

pub use guards::{
    ArcRwLockReadGuard, ArcRwLockUpgradableReadGuard, ArcRwLockWriteGuard, BatchGuard, ReadMultiGuard,
    RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard, WriteMultiGuard,
};

/// A fixed number of read-write locks, one of which belongs to every key, each over a `T` of its own.
///
/// As [`StripedMutex`](crate::StripedMutex), with readers that share a stripe. Reading pays where sections are long
/// and reads are by far the most; for short sections a mutex is faster, since readers too write to the lock.
///
/// Whether readers or writers go first is up to `R`. With `parking_lot::RawRwLock` a waiting writer holds off new
/// readers, so neither starves.
///
/// # Panics
///
/// In debug builds (with the feature `std`), the methods that wait for one more stripe panic instead of hanging if this
/// thread holds that stripe already, in any mode, and if it holds a higher one, whose order they would break. The
/// message names both places.
///
/// # Examples
///
/// ```
/// use stripe_lock::StripedRwLock;
///
/// let config: StripedRwLock<str, Vec<String>> = StripedRwLock::new(64);
/// config.write("hosts").push("localhost".into());
/// assert_eq!(config.read("hosts").len(), 1);
/// ```
///
/// Threads share it only if its data may be shared, since readers do:
///
/// ```compile_fail,E0277
/// fn share<T: Sync>(_: T) {}
/// share(stripe_lock::StripedRwLock::<u64, std::cell::Cell<u32>>::new(64));
/// ```
pub type StripedRwLock<K, T = (), R = DefaultRawRwLock, S = DefaultHasher> =
    StripedLock<K, T, ForRwLock<R>, S>;

#[cfg(feature = "parking_lot")]
impl<K: ?Sized, T: Default> StripedRwLock<K, T> {
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
    /// assert_eq!(stripe_lock::StripedRwLock::<str>::new(7).stripes(), 8);
    /// ```
    pub fn new(stripes: usize) -> Self {
        Self::with_hasher(stripes, DefaultHasher::default())
    }
}

/// The methods that take one stripe in one mode: waiting, trying, until a time, and by a shared owner.
macro_rules! one_stripe {
    (
        $does:literal, $mode:ty, $plain:path, $timed:path, $guard:ident, $arc_guard:ident;
        $wait:ident, $try:ident, $for:ident, $until:ident, $wait_arc:ident, $try_arc:ident, $until_arc:ident
    ) => {
        impl<K: ?Sized, T, R: $plain, S: BuildHasher> StripedRwLock<K, T, R, S> {
            #[doc = concat!($does, " the stripe of `key`, waiting as long as it needs.")]
            ///
            /// # Panics
            ///
            /// In debug builds, instead of hanging: see [`StripedRwLock`].
            ///
            /// # Examples
            ///
            /// ```
            /// let locks = stripe_lock::StripedRwLock::<str, u32>::new(64);
            #[doc = concat!("assert_eq!(*locks.", stringify!($wait), "(\"key\"), 0);")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $wait<Q>(&self, key: &Q) -> $guard<'_, T, R>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.wait(key)
            }

            #[doc = concat!($does, " the stripe of `key` if that needs no waiting.")]
            ///
            /// # Examples
            ///
            /// ```
            /// let locks = stripe_lock::StripedRwLock::<str, u32>::new(64);
            #[doc = concat!("assert!(locks.", stringify!($try), "(\"key\").is_some());")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $try<Q>(&self, key: &Q) -> Option<$guard<'_, T, R>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.attempt(key, Try)
            }

            #[doc = concat!($does, " the stripe of `key` unless that takes longer than `timeout`.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            ///
            /// let locks = stripe_lock::StripedRwLock::<str, u32>::new(64);
            #[doc = concat!("assert!(locks.", stringify!($for), "(\"key\", Duration::from_millis(5)).is_some());")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $for<Q>(&self, key: &Q, timeout: R::Duration) -> Option<$guard<'_, T, R>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
                R: $timed,
                R::Duration: Copy,
            {
                self.attempt(key, For(timeout))
            }

            #[doc = concat!($does, " the stripe of `key` unless `deadline` passes first.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::{Duration, Instant};
            ///
            /// let locks = stripe_lock::StripedRwLock::<str, u32>::new(64);
            /// let soon = Instant::now() + Duration::from_millis(5);
            #[doc = concat!("assert!(locks.", stringify!($until), "(\"key\", soon).is_some());")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $until<Q>(&self, key: &Q, deadline: R::Instant) -> Option<$guard<'_, T, R>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
                R: $timed,
                R::Instant: Copy,
            {
                self.attempt(key, Until(deadline))
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), with a guard that keeps the set alive.")]
            ///
            /// # Panics
            ///
            /// In debug builds, instead of hanging: see [`StripedRwLock`].
            ///
            /// # Examples
            ///
            /// ```
            /// let locks = std::sync::Arc::new(stripe_lock::StripedRwLock::<str, u32>::new(64));
            #[doc = concat!("let guard = locks.", stringify!($wait_arc), "(\"key\");")]
            /// drop(locks);
            /// assert_eq!(*guard, 0);
            /// ```
            #[track_caller]
            pub fn $wait_arc<Q>(self: &Arc<Self>, key: &Q) -> $arc_guard<K, T, R, S>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.wait_arc(key)
            }

            #[doc = concat!("As [`", stringify!($try), "`](Self::", stringify!($try), "), with a guard that keeps the set alive.")]
            ///
            /// # Examples
            ///
            /// ```
            /// let locks = std::sync::Arc::new(stripe_lock::StripedRwLock::<str, u32>::new(64));
            #[doc = concat!("assert!(locks.", stringify!($try_arc), "(\"key\").is_some());")]
            /// ```
            #[track_caller]
            pub fn $try_arc<Q>(self: &Arc<Self>, key: &Q) -> Option<$arc_guard<K, T, R, S>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.attempt_arc(key, Try)
            }

            #[doc = concat!("As [`", stringify!($until), "`](Self::", stringify!($until), "), with a guard that keeps the set alive.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::{Duration, Instant};
            ///
            /// let locks = std::sync::Arc::new(stripe_lock::StripedRwLock::<str, u32>::new(64));
            /// let soon = Instant::now() + Duration::from_millis(5);
            #[doc = concat!("assert!(locks.", stringify!($until_arc), "(\"key\", soon).is_some());")]
            /// ```
            #[track_caller]
            pub fn $until_arc<Q>(
                self: &Arc<Self>,
                key: &Q,
                deadline: R::Instant,
            ) -> Option<$arc_guard<K, T, R, S>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
                R: $timed,
                R::Instant: Copy,
            {
                self.attempt_arc(key, Until(deadline))
            }
        }
    };
}

one_stripe!("Locks for reading", Shared, RawRwLock, RawRwLockTimed, RwLockReadGuard, ArcRwLockReadGuard;
    read, try_read, try_read_for, try_read_until, read_arc, try_read_arc, try_read_arc_until);
one_stripe!("Locks for writing", Exclusive, RawRwLock, RawRwLockTimed, RwLockWriteGuard, ArcRwLockWriteGuard;
    write, try_write, try_write_for, try_write_until, write_arc, try_write_arc, try_write_arc_until);
one_stripe!("Locks for reading, with the right to upgrade,", Upgradable, RawRwLockUpgrade, RawRwLockUpgradeTimed,
    RwLockUpgradableReadGuard, ArcRwLockUpgradableReadGuard;
    upgradable_read, try_upgradable_read, try_upgradable_read_for, try_upgradable_read_until, upgradable_read_arc,
    try_upgradable_read_arc, try_upgradable_read_arc_until);

/// The methods that take many stripes, or all, in one mode.
macro_rules! many_stripes {
    ($does:literal, $mode:ty, $guard:ident; $many:ident, $try_many:ident, $until:ident, $all:ident, $try_all:ident) => {
        impl<K: ?Sized, T, R: RawRwLock, S: BuildHasher> StripedRwLock<K, T, R, S> {
            #[doc = concat!($does, " the stripes of all `keys` in ascending order of stripes: multi-acquires can't")]
            /// deadlock among each other, whatever the order of their keys.
            ///
            /// No heap allocation for up to 16 keys, or up to 64 stripes, where an acquisition of `R` leaves no state to keep:
            /// so it is with `parking_lot`.
            ///
            /// # Panics
            ///
            /// In debug builds, instead of hanging: see [`StripedRwLock`].
            ///
            /// # Examples
            ///
            /// ```
            /// let locks = stripe_lock::StripedRwLock::<str, u32>::new(64);
            #[doc = concat!("assert!(locks.", stringify!($many), "([\"alice\", \"bob\"]).holds(\"bob\"));")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> $guard<'_, K, T, R, S>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                MultiGuard::wait(self, self.set_of(keys), Uniform::new())
            }

            #[doc = concat!($does, " the stripes of all `keys` if that needs no waiting; none of them otherwise.")]
            ///
            /// # Examples
            ///
            /// ```
            /// let locks = stripe_lock::StripedRwLock::<u64>::new(4);
            #[doc = concat!("assert!(locks.", stringify!($try_many), "(&[1, 2]).is_some());")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $try_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> Option<$guard<'_, K, T, R, S>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                MultiGuard::take(self, self.set_of(keys), Uniform::new(), Try)
            }

            #[doc = concat!($does, " the stripes of all `keys`, or none of them if `deadline` passes first.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::{Duration, Instant};
            ///
            /// let locks = stripe_lock::StripedRwLock::<u64>::new(4);
            /// let soon = Instant::now() + Duration::from_millis(5);
            #[doc = concat!("assert!(locks.", stringify!($until), "(&[1, 2], soon).is_some());")]
            /// ```
            #[track_caller]
            pub fn $until<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
                deadline: R::Instant,
            ) -> Option<$guard<'_, K, T, R, S>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
                R: RawRwLockTimed,
                R::Instant: Copy,
            {
                MultiGuard::take(self, self.set_of(keys), Uniform::new(), Until(deadline))
            }

            #[doc = concat!($does, " every stripe in ascending order.")]
            ///
            /// # Panics
            ///
            /// In debug builds, instead of hanging: see [`StripedRwLock`].
            ///
            /// # Examples
            ///
            /// ```
            /// let locks = stripe_lock::StripedRwLock::<u64>::new(4);
            #[doc = concat!("assert_eq!(locks.", stringify!($all), "().len(), 4);")]
            /// ```
            #[track_caller]
            pub fn $all(&self) -> $guard<'_, K, T, R, S> {
                MultiGuard::wait(self, StripeSet::all(self.stripes()), Uniform::new())
            }

            #[doc = concat!($does, " every stripe if that needs no waiting; none of them otherwise.")]
            ///
            /// # Examples
            ///
            /// ```
            /// let locks = stripe_lock::StripedRwLock::<u64>::new(4);
            #[doc = concat!("assert!(locks.", stringify!($try_all), "().is_some());")]
            /// ```
            #[track_caller]
            pub fn $try_all(&self) -> Option<$guard<'_, K, T, R, S>> {
                MultiGuard::take(self, StripeSet::all(self.stripes()), Uniform::new(), Try)
            }
        }
    };
}

many_stripes!("Locks for reading", Shared, ReadMultiGuard;
    read_many, try_read_many, try_read_many_until, read_all, try_read_all);
many_stripes!("Locks for writing", Exclusive, WriteMultiGuard;
    write_many, try_write_many, try_write_many_until, write_all, try_write_all);

impl<K: ?Sized, T, R: RawRwLock, S: BuildHasher> StripedRwLock<K, T, R, S> {
    /// Begins to name keys of which some are to be read, others written, all of them locked together.
    ///
    /// # Examples
    ///
    /// ```
    /// let prices = stripe_lock::StripedRwLock::<str, u32>::new(64);
    /// let mut guard = prices.batch().read("apples").write("total").lock();
    /// let apples = *guard.get("apples").unwrap();
    /// *guard.get_mut("total").unwrap() += apples;
    /// ```
    pub fn batch(&self) -> Batch<'_, K, T, R, S> {
        Batch::new(self)
    }

    /// Calls `f` with the data of the stripe of `key`, locked for writing for just that long.
    ///
    /// # Panics
    ///
    /// If `f` panics, with the stripe released; and in debug builds, instead of hanging: see [`StripedRwLock`].
    ///
    /// # Examples
    ///
    /// ```
    /// let stock = stripe_lock::StripedRwLock::<str, u32>::new(64);
    /// stock.with("apples", |n| *n += 3);
    /// assert_eq!(stock.with_read("apples", |n| *n), 3);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with<Q, O>(&self, key: &Q, f: impl FnOnce(&mut T) -> O) -> O
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        f(&mut self.write(key))
    }

    /// Calls `f` with the data of the stripe of `key`, locked for reading for just that long.
    ///
    /// # Panics
    ///
    /// If `f` panics, with the stripe released; and in debug builds, instead of hanging: see [`StripedRwLock`].
    ///
    /// # Examples
    ///
    /// ```
    /// let stock = stripe_lock::StripedRwLock::<str, u32>::new(64);
    /// assert_eq!(stock.with_read("apples", |n| *n), 0);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with_read<Q, O>(&self, key: &Q, f: impl FnOnce(&T) -> O) -> O
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        f(&self.read(key))
    }
}
