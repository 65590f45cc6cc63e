//! The data of a stripe that can be split in two.

use alloc::collections::{BTreeMap, BTreeSet};
use core::borrow::Borrow;
use core::mem;

#[cfg(feature = "std")]
use core::hash::{BuildHasher, Hash};
#[cfg(feature = "std")]
use std::collections::{HashMap, HashSet};

/// The data of a stripe of a set that [grows](crate::StripedMutex::growing). When the stripe is split, a part of the
/// data moves to another stripe.
///
/// Maps and sets by key implement it, and so does `()`. A type whose data belongs to no single key, such as one counter
/// for the whole stripe, can't be split and should not implement it.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use stripe_lock::{StripedMutex, blocking::Split};
///
/// /// Values, and how many there are.
/// #[derive(Default)]
/// struct Shelf {
///     values: HashMap<u64, String>,
///     count: usize,
/// }
///
/// impl Split<u64> for Shelf {
///     fn split(&mut self, upper: &mut Self, mut moves: impl FnMut(&u64) -> bool) {
///         upper.values.extend(self.values.extract_if(|key, _| moves(key)));
///         (self.count, upper.count) = (self.values.len(), upper.values.len());
///     }
///
///     fn merge(&mut self, upper: &mut Self) {
///         self.values.extend(upper.values.drain());
///         (self.count, upper.count) = (self.values.len(), 0);
///     }
/// }
///
/// let shelves = StripedMutex::<u64, Shelf>::growing(1..=64);
/// shelves.lock(&7).values.insert(7, "seven".into());
/// shelves.resize(64);
/// assert_eq!(shelves.lock(&7).values[&7], "seven");
/// ```
pub trait Split<K: ?Sized>: Default {
    /// Moves the data of the keys for which `moves` returns true to `upper`. Both stripes are locked. If it panics,
    /// data that is in `upper` can't be accessed until the stripe is split again.
    fn split(&mut self, upper: &mut Self, moves: impl FnMut(&K) -> bool);

    /// Moves all data from `upper` to `self`. Both stripes are locked. If it panics, the stripes keep their keys. Data
    /// that was moved by then, from this stripe or from others that were to be merged with it, can't be accessed until
    /// they are merged.
    fn merge(&mut self, upper: &mut Self);
}

impl<K: ?Sized> Split<K> for () {
    fn split(&mut self, (): &mut Self, _: impl FnMut(&K) -> bool) {}

    fn merge(&mut self, (): &mut Self) {}
}

#[cfg(feature = "std")]
impl<K: ?Sized, Q: Borrow<K> + Eq + Hash, V, S: BuildHasher + Default> Split<K> for HashMap<Q, V, S> {
    fn split(&mut self, upper: &mut Self, mut moves: impl FnMut(&K) -> bool) {
        upper.extend(self.extract_if(|key, _| moves(key.borrow())));
    }

    fn merge(&mut self, upper: &mut Self) {
        self.extend(upper.drain());
    }
}

#[cfg(feature = "std")]
impl<K: ?Sized, Q: Borrow<K> + Eq + Hash, S: BuildHasher + Default> Split<K> for HashSet<Q, S> {
    fn split(&mut self, upper: &mut Self, mut moves: impl FnMut(&K) -> bool) {
        upper.extend(self.extract_if(|key| moves(key.borrow())));
    }

    fn merge(&mut self, upper: &mut Self) {
        self.extend(upper.drain());
    }
}

impl<K: ?Sized, Q: Borrow<K> + Ord, V> Split<K> for BTreeMap<Q, V> {
    fn split(&mut self, upper: &mut Self, mut moves: impl FnMut(&K) -> bool) {
        for (key, value) in mem::take(self) {
            if moves(key.borrow()) { &mut *upper } else { &mut *self }.insert(key, value);
        }
    }

    fn merge(&mut self, upper: &mut Self) {
        self.append(upper);
    }
}

impl<K: ?Sized, Q: Borrow<K> + Ord> Split<K> for BTreeSet<Q> {
    fn split(&mut self, upper: &mut Self, mut moves: impl FnMut(&K) -> bool) {
        for key in mem::take(self) {
            if moves(key.borrow()) { &mut *upper } else { &mut *self }.insert(key);
        }
    }

    fn merge(&mut self, upper: &mut Self) {
        self.append(upper);
    }
}
