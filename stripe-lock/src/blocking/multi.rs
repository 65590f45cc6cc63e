//! Guards of several stripes. Stripes are taken in ascending order and released in descending order, and their data
//! is accessed by key.

use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::marker::PhantomData;
use core::mem;
#[cfg(feature = "std")]
use std::time::{Duration, Instant};

use crate::blocking::held::{Held, SetId};
use crate::blocking::holding::{Holding, HoldingFair, Take};
use crate::blocking::lock::Handle;
#[cfg(feature = "std")]
use crate::blocking::raw::Until;
use crate::blocking::raw::Wait;
use crate::blocking::watch::{Watched, watch};
use crate::shared::owners::Owners;
use crate::shared::pair::Pair;
use crate::shared::stripe_set::{Bits, StripeSet};
use crate::shared::waits::KeyHash;

mod extend;
mod iter;
mod taking;

pub use iter::{MultiIter, MultiIterMut};
use taking::{Releasing, release_each, release_many, take_each, take_few_for_places, take_many};

/// The message for a case that can't happen: a wait without a limit fails.
const WAITED: &str = "a wait without a limit gets the stripes";

/// Holds the stripes of several keys until it is dropped. It gives access to their data by key.
///
/// Programs name it by an alias: [`MutexMultiGuard`](crate::blocking::MutexMultiGuard),
/// [`ReadMultiGuard`](crate::blocking::ReadMultiGuard), [`WriteMultiGuard`](crate::blocking::WriteMultiGuard) or
/// [`BatchGuard`](crate::blocking::BatchGuard).
///
/// Keys that share a stripe share its data: `get` returns the same `T` for both.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use stripe_lock::StripedMutex;
///
/// let stock = StripedMutex::<str, HashMap<String, u32>>::new(64);
/// let mut both = stock.lock_many(["apples", "pears"]);
/// both.get_mut("apples").unwrap().insert("apples".into(), 5);
/// both.get_mut("pears").unwrap().insert("pears".into(), 2);
/// assert!(both.holds("apples") && both.len() <= 2);
/// ```
///
/// Two keys may share a stripe, so there can't be two `&mut` at a time:
///
/// ```compile_fail,E0499
/// let shelves = stripe_lock::StripedMutex::<str, Vec<u32>>::new(64);
/// let mut both = shelves.lock_many(["apples", "pears"]);
/// std::mem::swap(both.get_mut("apples").unwrap(), both.get_mut("pears").unwrap());
/// ```
#[must_use = "if unused, the stripes are released at once"]
pub struct MultiGuard<P: Handle, H: Holding<P::Raw>> {
    set: P,
    stripes: StripeSet,
    holding: H,
    record: Held,
    /// Makes the guard `Send` only if `T` is `Send`, and `Sync` only if `T` is `Sync`.
    data: PhantomData<P::Data>,
}

impl<P: Handle, H: Holding<P::Raw>> MultiGuard<P, H> {
    /// Takes all of `wanted` in ascending order. If `way` fails for one of them, releases those that it got.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn take<W>(set: P, wanted: StripeSet, holding: H, way: W) -> Option<Self>
    where
        H: Take<P::Raw, Watched<W>>,
    {
        match wanted.bits() {
            Some(bits) => Self::take_few(set, bits, holding, way),
            None => Self::take_rest(set, wanted, holding, way),
        }
    }

    /// As [`take`](Self::take), in a set of at most 64 stripes.
    #[inline(always)]
    #[track_caller]
    fn take_few<W>(set: P, wanted: Bits, mut holding: H, way: W) -> Option<Self>
    where
        H: Take<P::Raw, Watched<W>>,
    {
        let way = &watch(way, set.patience, set.id, KeyHash::NONE);
        let Some(splitting) = set.splitting() else {
            let push = |holding: &mut H, stripe: &_, index| holding.push(stripe, index, way);
            if !take_each(&set, wanted.clone(), &mut holding, push) {
                return None;
            }
            return Some(Self::new(set, wanted.into(), holding));
        };
        let (stripes, holding) = take_few_for_places(&set, splitting, wanted, holding, way)?;
        Some(Self::new(set, stripes.into(), holding))
    }

    /// As [`take`](Self::take), in a set of more stripes.
    #[inline(always)]
    #[track_caller]
    fn take_rest<W>(set: P, wanted: StripeSet, holding: H, way: W) -> Option<Self>
    where
        H: Take<P::Raw, Watched<W>>,
    {
        let way = &watch(way, set.patience, set.id, KeyHash::NONE);
        let (stripes, holding) = take_many(&set, wanted, holding, way)?;
        Some(Self::new(set, stripes, holding))
    }

    #[inline(always)]
    #[track_caller]
    fn new(set: P, stripes: StripeSet, holding: H) -> Self {
        let record = set.id.record(&stripes, &holding);
        Self { set, stripes, holding, record, data: PhantomData }
    }

    /// Waits for all of `wanted` in ascending order.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn wait(set: P, wanted: StripeSet, mut holding: H) -> Self
    where
        H: Take<P::Raw, Watched<Wait>>,
    {
        match set.splitting() {
            Some((owners, _)) if SetId::CHECKS => Self::check_places(&set, owners, &wanted, &mut holding),
            _ => set.id.check(&wanted, &holding),
        }
        // Each case makes its own guard. A guard that is made of two would be copied.
        let guard = match wanted.bits() {
            Some(bits) => Self::take_few(set, bits, holding, Wait),
            None => return Self::take_rest(set, wanted, holding, Wait).expect(WAITED),
        };
        guard.expect(WAITED)
    }

    /// Panics if a wait for the stripes that own `places` could be a wait for this thread itself.
    #[inline(never)]
    #[track_caller]
    fn check_places(set: &P, owners: &Owners, places: &StripeSet, holding: &mut H) {
        let written = holding.writes_mut().map(|written| mem::replace(written, owners.of_each(written)));
        set.id.check(&owners.of_each(places), holding);
        if let (Some(places), Some(written)) = (written, holding.writes_mut()) {
            *written = places;
        }
    }

    /// Takes all of `wanted` in ascending order. If that takes longer than `timeout`, releases those that it got.
    #[cfg(feature = "std")]
    #[track_caller]
    pub(crate) fn take_within(set: P, wanted: StripeSet, holding: H, timeout: Duration) -> Option<Self>
    where
        H: Take<P::Raw, Watched<Wait>> + Take<P::Raw, Watched<Until<Instant>>>,
    {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => Self::take(set, wanted, holding, Until(deadline)),
            // The deadline is beyond what the clock can represent.
            None => Self::take(set, wanted, holding, Wait),
        }
    }

    /// How many stripes are held: one for each named key, or fewer if keys share a stripe.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(1);
    /// assert_eq!(locks.lock_many(&[1, 2, 3]).len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.stripes.len()
    }

    /// Whether no stripe is held, which is so if no key was named.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// assert!(locks.lock_many(&[]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.stripes.is_empty()
    }

    /// The stripes that are held.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// assert!(locks.lock_all().stripes().iter().eq(0..4));
    /// ```
    pub fn stripes(&self) -> &StripeSet {
        &self.stripes
    }

    /// The stripes that are held, each with its data, in ascending order.
    ///
    /// # Examples
    ///
    /// ```
    /// let per_stripe = stripe_lock::StripedMutex::<u64, u32>::new(4);
    /// *per_stripe.lock(&1) += 1;
    /// assert_eq!(per_stripe.lock_all().iter().map(|(_stripe, n)| n).sum::<u32>(), 1);
    /// ```
    pub fn iter(&self) -> MultiIter<'_, P, H> {
        MultiIter::new(self)
    }

    /// The stripes that are held exclusively, each with mutable access to its data, in ascending order. Stripes that a
    /// batch holds for reading are left out.
    ///
    /// # Examples
    ///
    /// ```
    /// let per_stripe = stripe_lock::StripedMutex::<u64, u32>::new(4);
    /// per_stripe.lock_all().iter_mut().for_each(|(_stripe, n)| *n = 7);
    /// assert_eq!(per_stripe.into_inner(), [7; 4]);
    /// ```
    pub fn iter_mut(&mut self) -> MultiIterMut<'_, P, H> {
        MultiIterMut::new(self)
    }

    /// Removes the guard from this thread's debug record, before the guard moves to another thread: see
    /// [`Guard::hand_over`](crate::blocking::Guard::hand_over).
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{StripedMutex, lock_api::RawMutex};
    ///
    /// fn work_elsewhere<R>(locks: &StripedMutex<u64, u32, R>)
    /// where
    ///     R: RawMutex<Guard: Send> + Sync,
    /// {
    ///     let mut guard = locks.lock_many(&[1, 2]).hand_over();
    ///     std::thread::scope(|scope| {
    ///         scope.spawn(move || *guard.get_mut(&1).unwrap() += 1);
    ///         *locks.lock(&1) += 1;
    ///     });
    /// }
    /// ```
    pub fn hand_over(mut self) -> Self
    where
        Self: Send,
    {
        self.record.end();
        self
    }

    /// Releases the stripes, the highest first, each to the waiter that has waited longest for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// locks.lock_many(&[1, 2]).unlock_fair();
    /// assert!(locks.try_lock_all().is_some());
    /// ```
    pub fn unlock_fair(mut self)
    where
        H: HoldingFair<P::Raw>,
    {
        self.record.end();
        let stripes = mem::replace(&mut self.stripes, StripeSet::empty(0));
        let mut releasing = Releasing { set: &*self.set, rest: stripes.iter(), holding: &mut self.holding };
        while let Some(index) = releasing.rest.next_back() {
            // SAFETY: `holding` has the states of `stripes` in their order; no reference to the data outlives `self`.
            unsafe { releasing.holding.pop_fair(self.set.striped.stripe(index), index) }
        }
    }
}

impl<P: Handle<Hasher: BuildHasher>, H: Holding<P::Raw>> MultiGuard<P, H> {
    /// Whether the stripe of `key` is held.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(64);
    /// let guard = locks.lock_many(&[1, 2]);
    /// assert!(guard.holds(&1));
    /// ```
    pub fn holds<Q>(&self, key: &Q) -> bool
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.stripes.contains(self.set.stripe_of(key))
    }

    /// The data of the stripe of `key`, if that stripe is held.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::StripedMutex::<str, HashMap<String, u32>>::new(64);
    /// stock.lock("apples").insert("apples".into(), 3);
    /// assert_eq!(stock.lock_many(["apples"]).get("apples").unwrap()["apples"], 3);
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&P::Data>
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let (index, stripe) = self.set.striped.find(key);
        // SAFETY: the guard holds this stripe, and gives out `&mut T` only against `&mut self`.
        self.stripes.contains(index).then(|| unsafe { &*stripe.data() })
    }

    /// Mutable access to the data of the stripe of `key`, if that stripe is held exclusively. The stripes of a mutex
    /// and of `write_many` are held exclusively, those of `read_many` are not.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::StripedMutex::<str, HashMap<String, u32>>::new(64);
    /// let mut guard = stock.lock_many(["apples", "pears"]);
    /// *guard.get_mut("pears").unwrap().entry("pears".into()).or_default() += 2;
    /// ```
    #[inline]
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut P::Data>
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let (index, stripe) = self.set.striped.find(key);
        // SAFETY: the guard holds this stripe exclusively, and `&mut self` makes this the only reference through it.
        self.changes(index).then(|| unsafe { &mut *stripe.data() })
    }

    /// Mutable access to the data of the stripes of two keys, if both are held exclusively. It is [`Pair::Same`] if
    /// the keys share a stripe.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{Pair, StripedMutex};
    /// use std::collections::HashMap;
    ///
    /// let stock = StripedMutex::<str, HashMap<&str, u32>>::new(64);
    /// let mut guard = stock.lock_many(["old", "new"]);
    /// match guard.get_pair_mut("old", "new").unwrap() {
    ///     Pair::Two(old, new) => new.extend(old.drain()),
    ///     Pair::Same(_) => (), // they are where they belong
    /// }
    /// ```
    pub fn get_pair_mut<Q>(&mut self, a: &Q, b: &Q) -> Option<Pair<'_, P::Data>>
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let ((a, first), (b, second)) = (self.set.striped.find(a), self.set.striped.find(b));
        if !self.changes(a) || !self.changes(b) {
            return None;
        }
        // SAFETY: the guard holds both stripes exclusively, `&mut self` makes these the only references through it, and
        // unequal stripes have data of their own.
        Some(unsafe {
            if a == b {
                Pair::Same(&mut *first.data())
            } else {
                Pair::Two(&mut *first.data(), &mut *second.data())
            }
        })
    }

    /// Whether a stripe is held exclusively.
    #[inline]
    fn changes(&self, index: usize) -> bool {
        self.stripes.contains(index) && self.holding.exclusive(index)
    }

    /// Releases the stripe of `key` and keeps the others. Returns whether it was held.
    ///
    /// Other keys of the same stripe are released too. [`holds`](Self::holds) says which keys are left.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(64);
    /// let mut guard = locks.lock_many(&[1, 2]);
    /// assert!(guard.release(&1));
    /// assert!(!guard.holds(&1) && locks.try_lock(&1).is_some());
    /// assert!(!guard.release(&1));
    /// ```
    pub fn release<Q>(&mut self, key: &Q) -> bool
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.release_stripe(self.set.stripe_of(key))
    }
}

impl<P: Handle, H: Holding<P::Raw>> MultiGuard<P, H> {
    /// Releases a stripe and keeps the others. Returns whether it was held.
    fn release_stripe(&mut self, index: usize) -> bool {
        let held = self.stripes.remove(index);
        if held {
            self.record.remove(index);
            // SAFETY: this stripe was held until now, and `&mut self` proves that no reference to its data is left.
            unsafe { self.holding.remove(self.set.striped.stripe(index), index, &self.stripes) }
        }
        held
    }
}

impl<P: Handle, H: Holding<P::Raw>> Drop for MultiGuard<P, H> {
    #[inline]
    fn drop(&mut self) {
        let Self { set, stripes, holding, record, .. } = self;
        record.end();
        // SAFETY: `holding` holds the stripes of the guard; no reference to the data outlives it.
        unsafe {
            match stripes.bits() {
                Some(bits) => release_each(set, bits, holding),
                // The parts are moved first: a guard of which another function gets a reference is in memory.
                None => release_many(set, &mem::replace(stripes, StripeSet::empty(0)), &mut holding.take()),
            }
        }
    }
}

impl<P: Handle<Data: fmt::Debug>, H: Holding<P::Raw>> fmt::Debug for MultiGuard<P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
