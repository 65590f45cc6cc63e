//! The striped read-write lock.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

#[cfg(feature = "std")]
use std::time::{Duration, Instant};

use crate::blocking::batch::Batch;
use crate::blocking::faces::{many_stripes, one_stripe};
use crate::blocking::holding::Uniform;
use crate::blocking::lock::StripedLock;
use crate::blocking::multi::MultiGuard;
use crate::blocking::raw::{
    DefaultRawRwLock, For, ForRwLock, RawRwLock, RawRwLockTimed, RawRwLockUpgrade, RawRwLockUpgradeTimed,
    Try, Until,
};
use crate::shared::hash::{DefaultHasher, Located};
use crate::shared::stripe_set::StripeSet;

mod guards;

pub use guards::{
    ArcBatchGuard, ArcMappedRwLockReadGuard, ArcMappedRwLockWriteGuard, ArcReadMultiGuard,
    ArcRwLockReadGuard, ArcRwLockUpgradableReadGuard, ArcRwLockWriteGuard, ArcWriteMultiGuard, BatchGuard,
    MappedRwLockReadGuard, MappedRwLockWriteGuard, ReadMultiGuard, RwLockReadGuard,
    RwLockUpgradableReadGuard, RwLockWriteGuard, WriteMultiGuard,
};

/// A fixed number of read-write locks, each with a `T` of its own. Every key belongs to one of them.
///
/// It is a [`StripedMutex`](crate::StripedMutex) with readers, which may share a stripe. It helps if sections are long
/// and nearly all operations read. For short sections a mutex is faster, because readers write to the lock too.
///
/// `R` decides whether readers or writers go first. With `parking_lot::RawRwLock` a waiting writer holds off new
/// readers, so neither starves. [`WordRwLock`](crate::raw::WordRwLock), the default without the feature `parking_lot`, also limits for how
/// long newcomers may overtake.
///
/// # Panics
///
/// In debug builds (with the feature `std`), a method that would wait for a stripe panics if this thread already
/// holds that stripe in any mode, or a higher stripe. Without the check, the thread could hang. The message names
/// both places in the program. A second read panics too: it would hang if a writer joined the queue in between.
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
/// It is `Sync` only if its data is `Sync`, because readers share the data:
///
/// ```compile_fail,E0277
/// fn share<T: Sync>(_: T) {}
/// share(stripe_lock::StripedRwLock::<u64, std::cell::Cell<u32>>::new(64));
/// ```
pub type StripedRwLock<K, T = (), R = DefaultRawRwLock, S = DefaultHasher> =
    StripedLock<K, T, ForRwLock<R>, S>;

#[cfg(any(feature = "parking_lot", all(feature = "std", loom)))]
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

one_stripe!(StripedRwLock: StripedRwLock<K, T, R, S>, "Read-locks", "In debug builds, instead of hanging: see [`StripedRwLock`].";
    impl[R: RawRwLock];
    RwLockReadGuard<'_, T, R>, ArcRwLockReadGuard<K, T, R, S>, where R: RawRwLockTimed;
    read, try_read, try_read_for, try_read_until;
    read_arc, try_read_arc, try_read_arc_for, try_read_arc_until;
    read_stripe, try_read_stripe);
one_stripe!(StripedRwLock: StripedRwLock<K, T, R, S>, "Write-locks", "In debug builds, instead of hanging: see [`StripedRwLock`].";
    impl[R: RawRwLock];
    RwLockWriteGuard<'_, T, R>, ArcRwLockWriteGuard<K, T, R, S>, where R: RawRwLockTimed;
    write, try_write, try_write_for, try_write_until;
    write_arc, try_write_arc, try_write_arc_for, try_write_arc_until;
    write_stripe, try_write_stripe);
one_stripe!(StripedRwLock: StripedRwLock<K, T, R, S>, "Takes an upgradable read lock of", "In debug builds, instead of hanging: see [`StripedRwLock`].";
    impl[R: RawRwLockUpgrade];
    RwLockUpgradableReadGuard<'_, T, R>, ArcRwLockUpgradableReadGuard<K, T, R, S>, where R: RawRwLockUpgradeTimed;
    upgradable_read, try_upgradable_read, try_upgradable_read_for, try_upgradable_read_until;
    upgradable_read_arc, try_upgradable_read_arc, try_upgradable_read_arc_for, try_upgradable_read_arc_until;
    upgradable_read_stripe, try_upgradable_read_stripe);
many_stripes!(StripedRwLock: StripedRwLock<K, T, R, S>, "Read-locks", "In debug builds, instead of hanging: see [`StripedRwLock`].";
    impl[R: RawRwLock];
    ReadMultiGuard<'_, K, T, R, S>, ArcReadMultiGuard<K, T, R, S>, where R: RawRwLockTimed;
    read_many, try_read_many, try_read_many_for, try_read_many_until, read_all, try_read_all;
    read_many_arc, try_read_many_arc, read_all_arc, try_read_all_arc);
many_stripes!(StripedRwLock: StripedRwLock<K, T, R, S>, "Write-locks", "In debug builds, instead of hanging: see [`StripedRwLock`].";
    impl[R: RawRwLock];
    WriteMultiGuard<'_, K, T, R, S>, ArcWriteMultiGuard<K, T, R, S>, where R: RawRwLockTimed;
    write_many, try_write_many, try_write_many_for, try_write_many_until, write_all, try_write_all;
    write_many_arc, try_write_many_arc, write_all_arc, try_write_all_arc);

impl<K: ?Sized, T, R: RawRwLock, S: BuildHasher> StripedRwLock<K, T, R, S> {
    /// Starts a batch of keys to read and keys to write, which are locked together.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let prices = stripe_lock::StripedRwLock::<str, HashMap<String, u32>>::new(64);
    /// prices.write("apples").insert("apples".into(), 3);
    /// let mut guard = prices.batch().read("apples").write("total").lock();
    /// let apples = guard.get("apples").unwrap()["apples"];
    /// *guard.get_mut("total").unwrap().entry("total".into()).or_default() += apples;
    /// ```
    pub fn batch(&self) -> Batch<&Self> {
        Batch::new(self)
    }

    /// As [`batch`](Self::batch), for a guard that keeps the set alive.
    ///
    /// # Examples
    ///
    /// ```
    /// let prices = std::sync::Arc::new(stripe_lock::StripedRwLock::<str>::new(64));
    /// let guard = prices.batch_arc().read("apples").write("total").lock();
    /// drop(prices);
    /// assert!(guard.holds("total"));
    /// ```
    pub fn batch_arc(self: &Arc<Self>) -> Batch<Arc<Self>> {
        Batch::new(self.clone())
    }

    /// Locks the stripe of `key` for writing, calls `f` with its data, and releases it.
    ///
    /// # Panics
    ///
    /// If `f` panics: the stripe is released then. In debug builds, instead of hanging: see [`StripedRwLock`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::StripedRwLock::<str, HashMap<String, u32>>::new(64);
    /// stock.with("apples", |stock| stock.insert("apples".into(), 3));
    /// assert_eq!(stock.with_read("apples", |stock| stock["apples"]), 3);
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

    /// Locks the stripe of `key` for reading, calls `f` with its data, and releases it.
    ///
    /// # Panics
    ///
    /// If `f` panics: the stripe is released then. In debug builds, instead of hanging: see [`StripedRwLock`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::StripedRwLock::<str, HashMap<String, u32>>::new(64);
    /// assert_eq!(stock.with_read("apples", |stock| stock.get("apples").copied()), None);
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
