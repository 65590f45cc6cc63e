//! The stripes, and the index of a key among them. This module knows no lock operation.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr;

use crossbeam_utils::CachePadded;

use crate::shared::hash::{self, Located};
use crate::shared::owners::Owners;

/// The most stripes a set can have, 2^20.
///
/// # Examples
///
/// ```
/// assert_eq!(stripe_lock::MAX_STRIPES, 1_048_576);
/// ```
pub const MAX_STRIPES: usize = 1 << 20;

/// The default number of stripes.
///
/// # Examples
///
/// ```
/// use stripe_lock::{DEFAULT_STRIPES, StripedMutex};
///
/// assert_eq!(StripedMutex::<u64>::default().stripes(), DEFAULT_STRIPES);
/// ```
pub const DEFAULT_STRIPES: usize = 64;

/// Stripes no larger than this are stored side by side once they fill [`DENSE_BYTES`].
const DENSE_STRIPE: usize = 8;

/// 64 cache lines: from this size on, small stripes are stored without padding.
const DENSE_BYTES: usize = 64 * 64;

/// A fixed number of values, a power of two. Each key belongs to one of them.
///
/// All locks of this crate are built on it. Use it to stripe something else: a counter, a channel, a lock of your own. Equal keys
/// always share a value; unequal keys may share one.
///
/// Two threads on two stripes should not contend for one cache line. So each stripe has a line of its own, unless it
/// is small (8 bytes at most) and there are enough stripes to fill 64 lines or more. Then stripes lie side by side:
/// with the same memory, more stripes avoid more collisions than padding avoids shared lines.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use stripe_lock::{DefaultHasher, Striped};
///
/// let hits = Striped::<str, AtomicU64, _>::from_fn(16, DefaultHasher::default(), |_| AtomicU64::new(0));
/// hits.get("alice").fetch_add(1, Ordering::Relaxed);
/// hits.get("alice").fetch_add(1, Ordering::Relaxed);
/// assert_eq!(hits.iter().map(|n| n.load(Ordering::Relaxed)).sum::<u64>(), 2);
/// ```
pub struct Striped<K: ?Sized, L, S> {
    cells: Cells<L>,
    /// Which stripe owns which place, if stripes can be split. Otherwise each owns its own.
    owners: Option<Owners>,
    hasher: S,
    key: PhantomData<fn(&K)>,
}

enum Cells<L> {
    Padded(Box<[CachePadded<L>]>),
    Dense(Box<[L]>),
}

impl<K: ?Sized, L, S> Striped<K, L, S> {
    /// Creates `stripes` stripes, rounded up to a power of two, the `i`-th of them made by `make(i)`.
    ///
    /// # Panics
    ///
    /// If `stripes` is 0 or more than [`MAX_STRIPES`], or if `make` panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// let names = Striped::<u64, String, _>::from_fn(7, DefaultHasher::default(), |i| format!("stripe {i}"));
    /// assert_eq!(names.stripes(), 8);
    /// assert_eq!(names.stripe(3), "stripe 3");
    /// ```
    pub fn from_fn(stripes: usize, hasher: S, make: impl FnMut(usize) -> L) -> Self {
        assert!(stripes > 0, "a striped lock needs at least one stripe, got 0");
        assert!(stripes <= MAX_STRIPES, "a striped lock has at most {MAX_STRIPES} stripes, got {stripes}");
        let stripes = stripes.next_power_of_two();
        let dense = size_of::<L>() <= DENSE_STRIPE && stripes * size_of::<L>() >= DENSE_BYTES;
        let values = (0..stripes).map(make);
        let cells = if dense {
            Cells::Dense(values.collect())
        } else {
            Cells::Padded(values.map(CachePadded::new).collect())
        };
        Self { cells, owners: None, hasher, key: PhantomData }
    }

    /// As [`from_fn`](Self::from_fn) with `places` stripes, of which `active` own all places.
    pub(crate) fn splitting(active: usize, places: usize, hasher: S, make: impl FnMut(usize) -> L) -> Self {
        let mut striped = Self::from_fn(places, hasher, make);
        striped.owners = Some(Owners::new(active.next_power_of_two(), striped.stripes()));
        striped
    }

    /// Which stripe owns which place, if stripes can be split.
    #[inline]
    pub(crate) fn owners(&self) -> Option<&Owners> {
        self.owners.as_ref()
    }

    /// The stripe that owns a place.
    #[inline]
    pub(crate) fn owner(&self, place: usize) -> usize {
        match &self.owners {
            None => place,
            Some(owners) => owners.of(place),
        }
    }

    /// The places of a stripe that owns some.
    pub(crate) fn places(&self, stripe: usize) -> Range<usize> {
        match &self.owners {
            None => stripe..stripe + 1,
            Some(owners) => owners.places(stripe),
        }
    }

    /// The number of stripes, a power of two.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// assert_eq!(Striped::<u64, u8, _>::from_fn(100, DefaultHasher::default(), |_| 0).stripes(), 128);
    /// ```
    #[inline]
    pub fn stripes(&self) -> usize {
        match &self.cells {
            Cells::Padded(cells) => cells.len(),
            Cells::Dense(cells) => cells.len(),
        }
    }

    /// The value of a stripe, by its index.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`stripes`](Self::stripes).
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// let squares = Striped::<u64, usize, _>::from_fn(4, DefaultHasher::default(), |i| i * i);
    /// assert_eq!(squares.stripe(3), &9);
    /// ```
    #[inline]
    pub fn stripe(&self, index: usize) -> &L {
        match &self.cells {
            Cells::Padded(cells) => &cells[index],
            Cells::Dense(cells) => &cells[index],
        }
    }

    /// The index of the stripe at this address, or `None` if it belongs to another set.
    pub(crate) fn index_of(&self, value: &L) -> Option<usize> {
        let stride = match &self.cells {
            Cells::Padded(_) => size_of::<CachePadded<L>>(),
            Cells::Dense(_) => size_of::<L>(),
        };
        let distance = (&raw const *value).addr().checked_sub((&raw const *self.stripe(0)).addr())?;
        let index = distance.checked_div(stride)?;
        (index < self.stripes() && ptr::eq(self.stripe(index), value)).then_some(index)
    }

    /// The hasher.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::hash::BuildHasher;
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// let set = Striped::<str, u8, _>::from_fn(4, DefaultHasher::default(), |_| 0);
    /// assert_eq!(set.hasher().hash_one("a"), set.hasher().hash_one("a"));
    /// ```
    pub fn hasher(&self) -> &S {
        &self.hasher
    }

    /// All stripes, in ascending order.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// let set = Striped::<str, usize, _>::from_fn(4, DefaultHasher::default(), |i| i);
    /// assert!(set.iter().copied().eq(0..4));
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &L> + DoubleEndedIterator {
        (0..self.stripes()).map(|index| self.stripe(index))
    }

    /// All stripes, in ascending order, to change.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// let mut set = Striped::<str, usize, _>::from_fn(4, DefaultHasher::default(), |_| 1);
    /// set.iter_mut().for_each(|n| *n += 1);
    /// assert_eq!(set.get("any"), &2);
    /// ```
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut L> {
        let (padded, dense): (&mut [CachePadded<L>], &mut [L]) = match &mut self.cells {
            Cells::Padded(cells) => (cells, &mut []),
            Cells::Dense(cells) => (&mut [], cells),
        };
        padded.iter_mut().map(|cell| &mut **cell).chain(dense)
    }

    /// The values of all stripes, in ascending order.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// let set = Striped::<str, usize, _>::from_fn(4, DefaultHasher::default(), |i| i);
    /// assert_eq!(set.into_inner(), [0, 1, 2, 3]);
    /// ```
    pub fn into_inner(self) -> Vec<L> {
        match self.cells {
            Cells::Padded(cells) => cells.into_iter().map(CachePadded::into_inner).collect(),
            Cells::Dense(cells) => cells.into_vec(),
        }
    }
}

impl<K: ?Sized, L, S: BuildHasher> Striped<K, L, S> {
    /// The index of the stripe that `key` belongs to: below [`stripes`](Self::stripes), and the same for equal keys.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// let set = Striped::<String, u8, _>::from_fn(8, DefaultHasher::default(), |_| 0);
    /// assert_eq!(set.stripe_of("key"), set.stripe_of(&String::from("key")));
    /// ```
    #[inline]
    pub fn stripe_of<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.owner(self.place_of(key))
    }

    /// The place that `key` leads to: the index of its stripe, unless stripes can be split.
    #[inline]
    pub(crate) fn place_of<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        hash::index(&self.hasher, key, self.stripes())
    }

    /// The place that `key` leads to, with the further bits of the hash.
    #[inline]
    pub(crate) fn locate<Q>(&self, key: &Q) -> Located
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        hash::locate(&self.hasher, key, self.stripes())
    }

    /// The value that `key` belongs to.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// let set = Striped::<u64, usize, _>::from_fn(8, DefaultHasher::default(), |i| i);
    /// assert_eq!(*set.get(&42), set.stripe_of(&42));
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> &L
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.find(key).1
    }

    /// The stripe that `key` belongs to: its index and its value.
    #[inline]
    pub(crate) fn find<Q>(&self, key: &Q) -> (usize, &L)
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let index = self.stripe_of(key);
        (index, self.stripe(index))
    }

    /// The value that `key` belongs to, to change.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{DefaultHasher, Striped};
    ///
    /// let mut set = Striped::<u64, usize, _>::from_fn(8, DefaultHasher::default(), |_| 0);
    /// *set.get_mut(&42) += 1;
    /// assert_eq!(set.get(&42), &1);
    /// ```
    pub fn get_mut<Q>(&mut self, key: &Q) -> &mut L
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let index = self.stripe_of(key);
        match &mut self.cells {
            Cells::Padded(cells) => &mut cells[index],
            Cells::Dense(cells) => &mut cells[index],
        }
    }
}

impl<K: ?Sized, L: fmt::Debug, S> fmt::Debug for Striped<K, L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
