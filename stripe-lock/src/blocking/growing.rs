//! Sets that grow: their constructors, and how stripes are split and merged.

use alloc::boxed::Box;
use core::hash::{BuildHasher, Hash};
use core::ops::{Range, RangeInclusive};

use crate::blocking::growth::Growth;
use crate::blocking::guard::Guard;
use crate::blocking::held::SetId;
use crate::blocking::holding::Uniform;
use crate::blocking::lock::StripedLock;
use crate::blocking::multi::MultiGuard;
use crate::blocking::pins;
use crate::blocking::raw::{Exclusive, RawAcquire, Try, Wait, Way};
use crate::blocking::split::Split;
use crate::blocking::stripe::Stripe;
#[cfg(any(feature = "std", feature = "parking_lot"))]
use crate::shared::hash::DefaultHasher;
use crate::shared::hash::Located;
use crate::shared::owners::Owners;
use crate::shared::stripe_set::StripeSet;
use crate::shared::striped::Striped;
use crate::shared::waits::Patience;

#[cfg(feature = "std")]
use crate::blocking::mutex::StripedMutex;
#[cfg(any(feature = "parking_lot", all(feature = "std", loom)))]
use crate::blocking::rwlock::StripedRwLock;

/// Sets that grow, over the default raw lock and hasher.
#[cfg(any(feature = "std", feature = "parking_lot"))]
macro_rules! growing {
    ($set:ident, $lock:literal) => {
        impl<K: ?Sized + Hash, T: Split<K>> $set<K, T> {
            /// Creates a set that begins with the lower number of stripes. It splits stripes while it is in use, up to the upper
            /// number. Both are rounded up to a power of two.
            ///
            /// A stripe is split when its keys wait for each other. In the long run, that is when more than one acquisition of
            /// eight finds the stripe held for *another* key, and finer stripes would separate the two keys. Neither threads
            /// that wait for the same key nor failed attempts cause a split. The thread that finds a split due and holds the
            /// stripe exclusively splits it. It waits for no other stripe. `T` says which part of its data goes to the new
            /// stripe: see [`Split`]. A set merges no stripes by itself; [`resize`](Self::resize) does.
            ///
            /// While a stripe can be split, an acquisition writes a hint to a cache line that the stripe's holders share. A
            /// stripe that can't be split further costs two more reads than a stripe of a set that never grows.
            ///
            /// [`active_stripes`](Self::active_stripes) returns the stripes in use. With the feature `tracing`, each split sends
            /// an event with the level `INFO`, the target `stripe_lock`, and the fields `stripe`, `active_stripes` and `stripes`.
            /// The thread holds the stripe while it sends the event.
            ///
            /// # Panics
            ///
            /// If the lower number is 0 or above the upper one, or the upper one is more than
            /// [`MAX_STRIPES`](crate::MAX_STRIPES). A method that takes a stripe panics if [`Split::split`] does.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::collections::HashMap;
            #[doc = concat!("use stripe_lock::", stringify!($set), ";")]
            ///
            #[doc = concat!("let visits: ", stringify!($set), "<str, HashMap<String, u32>> = ", stringify!($set), "::growing(8..=1024);")]
            #[doc = concat!("*visits.", $lock, "(\"alice\").entry(\"alice\".into()).or_default() += 1;")]
            /// assert_eq!(visits.active_stripes().len(), 8);
            /// ```
            pub fn growing(range: RangeInclusive<usize>) -> Self {
                Self::growing_with_hasher(range, DefaultHasher::default())
            }
        }
    };
}

#[cfg(feature = "std")]
growing!(StripedMutex, "lock");
#[cfg(any(feature = "parking_lot", all(feature = "std", loom)))]
growing!(StripedRwLock, "write");

impl<K, T, L, S> StripedLock<K, T, L, S>
where
    K: ?Sized + Hash,
    T: Split<K>,
    L: RawAcquire<Exclusive>,
    S: BuildHasher,
{
    /// As [`growing`](crate::StripedMutex::growing), with a hasher, over any raw lock that is not reentrant.
    ///
    /// # Panics
    ///
    /// As [`growing`](crate::StripedMutex::growing).
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{Fnv1a, StripedMutex, raw::DefaultRawMutex};
    ///
    /// let locks = StripedMutex::<str, (), DefaultRawMutex, _>::growing_with_hasher(8..=64, Fnv1a::default());
    /// assert_eq!(locks.stripes(), 64);
    /// ```
    pub fn growing_with_hasher(range: RangeInclusive<usize>, hasher: S) -> Self {
        let (fewest, most) = range.into_inner();
        assert!(fewest > 0 && fewest <= most, "a set can't grow from {fewest} stripes to {most}");
        let striped = Striped::splitting(fewest, most, hasher, |_| Stripe::new(T::default()));
        let growth = Growth::new(striped.stripes(), Self::split_at_once as _);
        pins::needed();
        Self { striped, id: SetId::new::<L>(), patience: Patience::ENDLESS, growth: Some(Box::new(growth)) }
    }

    /// Splits and merges stripes until there are `stripes` of equal size, rounded up to a power of two. Returns whether all
    /// stripes have that size.
    ///
    /// To split a stripe, it locks that stripe only. To merge stripes, it locks those that become one. So other threads keep
    /// working, and may split stripes again. A stripe whose guard is [`unlocked`](crate::blocking::Guard::unlocked) at the moment
    /// is left as it is, and then the result is `false`. An unlocked guard of another set can have the same effect by chance.
    ///
    /// # Panics
    ///
    /// If the set is not a growing one, if `stripes` is 0 or more than [`stripes`](Self::stripes), or if [`Split`] panics. In debug
    /// builds, instead of hanging, if this thread holds a stripe that would be waited for, or a higher one.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<str>::growing(8..=64);
    /// assert!(locks.resize(32));
    /// assert_eq!(locks.active_stripes().len(), 32);
    /// ```
    #[track_caller]
    pub fn resize(&self, stripes: usize) -> bool {
        let Some(owners) = self.striped.owners() else { panic!("the set is not a growing one") };
        let most = self.stripes();
        assert!((1..=most).contains(&stripes), "a set of at most {most} stripes can't have {stripes}");
        let width = most / stripes.next_power_of_two();
        let mut everywhere = true;
        for first in (0..most).step_by(width) {
            everywhere &= self.bring_to(owners, first..first + width);
        }
        everywhere
    }

    /// Makes one stripe the owner of exactly these places, which are a block. Returns `false` if a pinned stripe prevents
    /// it.
    #[track_caller]
    fn bring_to(&self, owners: &Owners, block: Range<usize>) -> bool {
        loop {
            let places = owners.places(owners.of(block.start));
            if places == block {
                return true;
            }
            let done = if places.len() > block.len() {
                let _guard = self.wait::<Exclusive>(Located::of_stripe(block.start));
                let stripe = owners.of(block.start);
                // SAFETY: the guard holds the stripe of its place exclusively, and is not used.
                owners.places(stripe).len() <= block.len() || unsafe { self.split_by(&Wait, stripe) }
            } else {
                self.merge(owners, block.clone())
            };
            if !done {
                return false;
            }
        }
    }

    /// Splits a stripe if its upper half is free, which is nearly always so.
    ///
    /// # Safety
    ///
    /// As for [`split_by`](Self::split_by).
    unsafe fn split_at_once(&self, stripe: usize) -> bool {
        // SAFETY: the caller promises it.
        unsafe { self.split_by(&Try, stripe) }
    }

    /// Splits a stripe. Returns `false` if it owns only one place, if it is pinned, or if `way` can't take its upper half. No
    /// other thread holds the upper half for long, because it owns no place.
    ///
    /// # Safety
    ///
    /// The caller holds the stripe exclusively, and no reference to its data is used during this call.
    unsafe fn split_by(&self, way: &impl Way<L, Exclusive>, stripe: usize) -> bool {
        let Some(owners) = self.striped.owners() else { return false };
        let (lower, places) = (self.striped.stripe(stripe), owners.places(stripe));
        let upper = places.start + places.len() / 2;
        if places.len() < 2 || pins::is_pinned(lower) {
            return false;
        }
        let Some(mut taken) = Guard::take(self.striped.stripe(upper), upper, way) else { return false };
        // SAFETY: the caller holds the stripe exclusively, and no reference to its data is used.
        let data = unsafe { &mut *lower.data() };
        data.split(&mut taken, |key| (upper..places.end).contains(&self.striped.place_of(key)));
        owners.give(upper..places.end, upper);
        if let Some(growth) = &self.growth {
            growth.halved(upper);
        }
        true
    }

    /// Makes the lowest stripe of a block of places the owner of all of them, unless a larger stripe owns them. Returns `false`
    /// if a pinned stripe prevents it.
    #[track_caller]
    fn merge(&self, owners: &Owners, block: Range<usize>) -> bool {
        let mut places = StripeSet::empty(self.stripes());
        for place in block.clone() {
            places.insert(place);
        }
        let mut all = MultiGuard::wait(self, places, Uniform::<L, Exclusive>::new());
        if all.stripes().iter().any(|stripe| pins::is_pinned(self.striped.stripe(stripe))) {
            return false;
        }
        let mut stripes = all.iter_mut();
        let Some((lowest, data)) = stripes.next() else { return true };
        for (_, upper) in stripes {
            data.merge(upper);
        }
        if lowest == block.start {
            owners.give(block, lowest);
        }
        true
    }
}
