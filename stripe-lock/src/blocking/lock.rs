//! The blocking striped lock, generic in its raw lock. Mutexes, read-write locks and reentrant mutexes are aliases of
//! it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::ops::Deref;

use crate::blocking::growth::Growth;
use crate::blocking::held::SetId;
use crate::blocking::raw::RawLock;
use crate::blocking::sealed::Sealed;
use crate::blocking::stripe::Stripe;
use crate::shared::hash::Located;
use crate::shared::owners::Owners;
use crate::shared::stripe_set::StripeSet;
use crate::shared::striped::{DEFAULT_STRIPES, Striped};
use crate::shared::waits::Patience;

/// A fixed number of locks, each with a `T` of its own. Every key belongs to one of them.
///
/// Programs name it by an alias: [`StripedMutex`](crate::StripedMutex), [`StripedRwLock`](crate::StripedRwLock) or
/// [`StripedReentrantMutex`](crate::StripedReentrantMutex). `L` is one of the adapters of [`raw`](crate::raw).
///
/// # Examples
///
/// ```
/// use stripe_lock::StripedMutex;
///
/// let locks: StripedMutex<String> = StripedMutex::default();
/// let _guard = locks.lock("alice");
/// ```
pub struct StripedLock<K: ?Sized, T, L, S> {
    pub(crate) striped: Striped<K, Stripe<L, T>, S>,
    pub(crate) id: SetId,
    pub(crate) patience: Patience,
    /// The means to split stripes, if they can be split.
    pub(crate) growth: Option<Box<GrowthOf<K, T, L, S>>>,
}

/// Splits a stripe if it needs no waiting for that. Returns whether it did. The caller holds it exclusively, and no
/// reference to its data is used during the call.
type SplitFn<K, T, L, S> = unsafe fn(&StripedLock<K, T, L, S>, usize) -> bool;

/// The means of a set of this type to split its stripes.
pub(crate) type GrowthOf<K, T, L, S> = Growth<SplitFn<K, T, L, S>>;

/// Which stripe owns which place, and the means to split them.
pub(crate) type Splitting<'a, K, T, L, S> = (&'a Owners, &'a GrowthOf<K, T, L, S>);

/// How a guard of several stripes reaches its set: by reference, or by an `Arc` that keeps it alive. Sealed.
///
/// # Examples
///
/// ```
/// fn handle<P: stripe_lock::blocking::Handle>(_: P) {}
///
/// let locks = std::sync::Arc::new(stripe_lock::StripedMutex::<u64>::new(4));
/// handle(&*locks);
/// handle(locks);
/// ```
pub trait Handle:
    Sealed
    + Deref<
        Target = StripedLock<
            <Self as Handle>::Key,
            <Self as Handle>::Data,
            <Self as Handle>::Raw,
            <Self as Handle>::Hasher,
        >,
    >
{
    /// The type of the keys.
    type Key: ?Sized;
    /// The data of each stripe.
    type Data;
    /// The raw lock of each stripe.
    type Raw;
    /// The hasher that assigns keys to stripes.
    type Hasher;
}

macro_rules! handle {
    ($($handle:ty),*) => {
        $(
            impl<K: ?Sized, T, L, S> Sealed for $handle {}

            impl<K: ?Sized, T, L, S> Handle for $handle {
                type Key = K;
                type Data = T;
                type Raw = L;
                type Hasher = S;
            }
        )*
    };
}

handle!(&StripedLock<K, T, L, S>, Arc<StripedLock<K, T, L, S>>);

impl<K: ?Sized, T, L: RawLock, S> StripedLock<K, T, L, S> {
    /// Creates `stripes` stripes, rounded up to a power of two, each with the default value of `T`.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`](crate::MAX_STRIPES).
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::raw::DefaultRawMutex;
    /// use stripe_lock::{Fnv1a, StripedMutex};
    ///
    /// let locks = StripedMutex::<str, u32, DefaultRawMutex, _>::with_hasher(16, Fnv1a::default());
    /// assert_eq!(locks.stripes(), 16);
    /// ```
    pub fn with_hasher(stripes: usize, hasher: S) -> Self
    where
        T: Default,
    {
        Self::from_fn(stripes, hasher, |_| T::default())
    }

    /// Creates `stripes` stripes, rounded up to a power of two, with `make(i)` as the data of stripe `i`.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`](crate::MAX_STRIPES), or if `make` panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, StripedMutex};
    ///
    /// let locks: StripedMutex<u64, String> =
    ///     StripedMutex::from_fn(4, DefaultHasher::default(), |i| format!("stripe {i}"));
    /// assert_eq!(*locks.lock(&9), format!("stripe {}", locks.stripe_of(&9)));
    /// ```
    pub fn from_fn(stripes: usize, hasher: S, mut make: impl FnMut(usize) -> T) -> Self {
        Self {
            striped: Striped::from_fn(stripes, hasher, |i| Stripe::new(make(i))),
            id: SetId::new::<L>(),
            patience: Patience::ENDLESS,
            growth: None,
        }
    }

    /// Whether the stripe of `key` is held at this moment, in any mode. Use it for metrics and assertions only: the
    /// result may be out of date when it is returned.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// let guard = locks.lock(&1);
    /// assert!(locks.is_locked(&1));
    /// ```
    pub fn is_locked<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
        S: BuildHasher,
    {
        self.striped.get(key).raw().is_locked()
    }
}

impl<K: ?Sized, T: Default, L: RawLock, S: Default> Default for StripedLock<K, T, L, S> {
    /// [`DEFAULT_STRIPES`] stripes.
    fn default() -> Self {
        Self::with_hasher(DEFAULT_STRIPES, S::default())
    }
}

impl<K: ?Sized, T, L, S> StripedLock<K, T, L, S> {
    /// The number of stripes, a power of two. For a set that [grows](crate::StripedMutex::growing), the largest number
    /// it can have.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripedMutex::<str>::new(7).stripes(), 8);
    /// ```
    #[inline]
    pub fn stripes(&self) -> usize {
        self.striped.stripes()
    }

    /// The stripes in use: all of them, unless the set [grows](crate::StripedMutex::growing). In such a set, other
    /// threads may change their number at any time.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::StripedMutex;
    ///
    /// assert_eq!(StripedMutex::<str>::new(64).active_stripes().len(), 64);
    /// assert_eq!(StripedMutex::<str>::growing(8..=64).active_stripes().len(), 8);
    /// ```
    pub fn active_stripes(&self) -> StripeSet {
        self.striped.owners().map_or_else(|| StripeSet::all(self.stripes()), Owners::active)
    }

    /// The hasher.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::hash::BuildHasher;
    ///
    /// let locks = stripe_lock::StripedMutex::<str>::new(4);
    /// assert_eq!(locks.hasher().hash_one("a"), locks.hasher().hash_one("a"));
    /// ```
    pub fn hasher(&self) -> &S {
        self.striped.hasher()
    }

    /// The data of every stripe in ascending order. A stripe that is not in use has the default value. No locking:
    /// `&mut self` proves that there are no guards.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut per_stripe = stripe_lock::StripedMutex::<u64, u32>::new(4);
    /// *per_stripe.lock(&1) += 2;
    /// assert_eq!(per_stripe.iter_mut().map(|n| *n).sum::<u32>(), 2);
    /// ```
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.striped.iter_mut().map(Stripe::get_mut)
    }

    /// The data of every stripe in ascending order. A stripe that is not in use has the default value.
    ///
    /// # Examples
    ///
    /// ```
    /// let per_stripe = stripe_lock::StripedMutex::<u64, u32>::new(4);
    /// *per_stripe.lock(&1) += 2;
    /// assert_eq!(per_stripe.into_inner().iter().sum::<u32>(), 2);
    /// ```
    pub fn into_inner(self) -> Vec<T> {
        self.striped.into_inner().into_iter().map(Stripe::into_inner).collect()
    }

    /// Sends an event of [`tracing`](https://docs.rs/tracing) for each wait in this set that lasts longer than
    /// `patience` (feature `tracing`). By default, no events are sent.
    ///
    /// The event has the level `WARN`, the target `stripe_lock`, and the fields
    /// - `stripe`: its index;
    /// - `key_hash`: the hash of the key by the [`hasher`](Self::hasher); absent if several keys were named together;
    /// - `waited_us`: the length of the wait in microseconds;
    /// - `acquired`: whether the wait ended with the stripe, or by a timeout;
    /// - `at`: the place in the program that waited;
    /// - `holder`: the place that had taken the stripe when the wait began. Only in debug builds
    ///   and with the feature `check`.
    ///
    /// The event is sent when the wait is over, in the span in which the thread waited. By then the thread holds the
    /// stripe, so a subscriber that waits for stripes of the same set can deadlock. A wait inside
    /// [`upgrade`](crate::blocking::RwLockUpgradableReadGuard::upgrade) sends no event.
    ///
    /// Without a limit, an acquisition costs one extra branch. With a limit, an acquisition tries the stripe once
    /// before it waits, and a wait reads the clock twice.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let locks = stripe_lock::StripedMutex::<str>::new(64).warn_after(Duration::from_millis(50));
    /// let _guard = locks.lock("alice"); // it was free: no event
    /// ```
    #[cfg(feature = "tracing")]
    #[must_use = "the returned set is the one that sends events"]
    pub fn warn_after(mut self, patience: core::time::Duration) -> Self {
        self.patience = Patience::ending_after(patience);
        self
    }

    /// The counters of every stripe (feature `stats`).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// drop(locks.lock(&1));
    /// assert_eq!(locks.stats().acquisitions(), 1);
    /// ```
    #[cfg(feature = "stats")]
    pub fn stats(&self) -> crate::blocking::stats::Stats {
        let stripes = self.striped.iter().map(|stripe| stripe.counters().snapshot()).collect();
        crate::blocking::stats::Stats::new(stripes, self.active_stripes().len())
    }
}

impl<K: ?Sized, T, L, S> StripedLock<K, T, L, S> {
    /// Which stripe owns which place and the means to split them, if stripes can be split.
    #[inline]
    pub(crate) fn splitting(&self) -> Option<Splitting<'_, K, T, L, S>> {
        self.striped.owners().zip(self.growth.as_deref())
    }

    /// Counts an acquisition for this place, and splits the stripe if that is due. Returns whether it did.
    ///
    /// # Safety
    ///
    /// The caller holds the stripe, exclusively if `exclusive` is set, and no reference to its data is used during
    /// this call.
    pub(crate) unsafe fn count_and_split(
        &self,
        growth: &GrowthOf<K, T, L, S>,
        stripe: usize,
        place: impl FnOnce() -> Option<usize>,
        exclusive: bool,
    ) -> bool {
        // A stripe that can't be split leaves no mark, as in every set that is fully grown.
        if !self.striped.owners().is_some_and(|owners| owners.can_split(stripe)) {
            return false;
        }
        // SAFETY: the caller holds the stripe exclusively, and no reference to its data is used.
        let split = growth.acquired(stripe, place(), exclusive) && unsafe { (growth.split)(self, stripe) };
        #[cfg(feature = "tracing")]
        if split {
            tracing::info!(
                target: "stripe_lock",
                stripe,
                active_stripes = self.active_stripes().len(),
                stripes = self.stripes(),
                "a stripe was split, since its keys waited for each other"
            );
        }
        split
    }
}

impl<K: ?Sized, T, L, S: BuildHasher> StripedLock<K, T, L, S> {
    /// The index of the stripe that `key` belongs to: below [`stripes`](Self::stripes), and the same for equal keys. If
    /// stripes can be [split](crate::StripedMutex::growing), the index may be out of date when it is returned, unless
    /// the stripe is held.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<String>::new(8);
    /// assert_eq!(locks.stripe_of("key"), locks.stripe_of(&String::from("key")));
    /// ```
    #[inline]
    pub fn stripe_of<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.striped.stripe_of(key)
    }

    /// The data of the stripe of `key`. No locking: `&mut self` proves that there are no guards.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut per_stripe = stripe_lock::StripedMutex::<u64, u32>::new(4);
    /// *per_stripe.get_mut(&1) += 2;
    /// assert_eq!(*per_stripe.lock(&1), 2);
    /// ```
    #[inline]
    pub fn get_mut<Q>(&mut self, key: &Q) -> &mut T
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.striped.get_mut(key).get_mut()
    }

    /// The places of `keys`. These are their stripes, unless stripes can be split.
    #[inline(always)]
    pub(crate) fn set_of<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> StripeSet
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        StripeSet::collect(self.stripes(), keys.into_iter().map(|key| self.place_of(key)))
    }

    /// The place of `key`. This is its stripe, unless stripes can be split.
    #[inline]
    pub(crate) fn place_of<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.striped.place_of(key)
    }

    #[inline]
    pub(crate) fn locate<Q>(&self, key: &Q) -> Located
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.striped.locate(key)
    }
}

impl<K: ?Sized, T, L, S> fmt::Debug for StripedLock<K, T, L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripedLock").field("stripes", &self.stripes()).finish_non_exhaustive()
    }
}
