//! The guard of several stripes.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;

use super::instrument::{Record, Taker};
use super::kind::Kind;
use super::plan::Plan;
use super::release;
use super::sealed::LockSet;
use super::set::AsyncStriped;
use super::word::Mode;
use crate::shared::pair::Pair;
use crate::shared::stripe_set;
use crate::shared::stripe_set::StripeSet;

/// Holds the stripes of several keys until it is dropped, and gives access to their data by key.
///
/// Keys that share a stripe share its data: `get` of either gives the same `T`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::collections::HashMap;
/// use stripe_lock::AsyncStripedMutex;
///
/// let stock = AsyncStripedMutex::<str, HashMap<String, u32>>::new(64);
/// let mut both = stock.lock_many(["apples", "pears"]).await;
/// both.get_mut("apples").unwrap().insert("apples".into(), 5);
/// both.get_mut("pears").unwrap().insert("pears".into(), 2);
/// assert!(both.holds("apples") && both.len() <= 2);
/// # }
/// ```
#[must_use = "if unused, the stripes are released at once"]
pub struct AsyncMultiGuard<P: Deref<Target: LockSet>, N: Plan> {
    pub(super) set: P,
    pub(super) plan: N,
    pub(super) record: Record,
    /// As in [`AsyncGuard`](super::AsyncGuard).
    data: PhantomData<<P::Target as LockSet>::Value>,
}

impl<P: Deref<Target: LockSet>, N: Plan> AsyncMultiGuard<P, N> {
    /// # Safety
    ///
    /// The stripes of the plan were acquired for this guard.
    #[inline]
    pub(super) unsafe fn of(set: P, plan: N) -> Self {
        set.queue().monitor.acquired(plan.stripes().iter());
        Self::from_parts(set, plan, Record::NONE)
    }

    #[inline]
    pub(super) fn from_parts(set: P, plan: N, record: Record) -> Self {
        Self { set, plan, record, data: PhantomData }
    }

    /// Takes it apart; the caller owns the stripes now.
    pub(super) fn into_parts(self) -> (P, N, Record) {
        let guard = ManuallyDrop::new(self);
        // SAFETY: each is read once, and the guard is not dropped.
        unsafe {
            (
                ptr::read(&raw const guard.set),
                ptr::read(&raw const guard.plan),
                ptr::read(&raw const guard.record),
            )
        }
    }

    /// Puts the guard on record.
    #[inline]
    pub(super) fn record(&mut self, taker: Taker) {
        self.record = self.set.queue().monitor.record(taker, modes(&self.plan));
    }

    /// How many stripes are held: one for each named key, or fewer if keys share a stripe.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(1);
    /// assert_eq!(locks.blocking_lock_many(&[1, 2, 3]).len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.stripes().len()
    }

    /// Whether no stripe is held, because no key was named.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(4);
    /// assert!(locks.blocking_lock_many(&[]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.stripes().is_empty()
    }

    /// The stripes that are held.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(4);
    /// assert!(locks.blocking_lock_all().stripes().iter().eq(0..4));
    /// ```
    pub fn stripes(&self) -> &StripeSet {
        self.plan.stripes()
    }

    /// The stripes that are held, each with its data, in ascending order.
    ///
    /// # Examples
    ///
    /// ```
    /// let per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// *per_stripe.blocking_lock(&1) += 1;
    /// assert_eq!(per_stripe.blocking_lock_all().iter().map(|(_stripe, n)| n).sum::<u32>(), 1);
    /// ```
    pub fn iter(&self) -> AsyncMultiIter<'_, P, N> {
        AsyncMultiIter { guard: self, rest: self.stripes().iter() }
    }

    /// The stripes that are held exclusively, each with mutable access to its data, in ascending order.
    ///
    /// # Examples
    ///
    /// ```
    /// let per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// per_stripe.blocking_lock_all().iter_mut().for_each(|(_stripe, n)| *n = 7);
    /// assert_eq!(per_stripe.into_inner(), [7; 4]);
    /// ```
    pub fn iter_mut(&mut self) -> AsyncMultiIterMut<'_, P, N> {
        let Self { set, plan, .. } = self;
        AsyncMultiIterMut { set, plan, rest: plan.stripes().iter(), guard: PhantomData }
    }

    /// Whether this stripe is held exclusively.
    fn writes(&self, stripe: usize) -> bool {
        self.stripes().contains(stripe) && self.plan.mode(stripe) == Mode::Exclusive
    }
}

impl<'g, P: Deref<Target: LockSet>, N: Plan> IntoIterator for &'g AsyncMultiGuard<P, N> {
    type Item = (usize, &'g <P::Target as LockSet>::Value);
    type IntoIter = AsyncMultiIter<'g, P, N>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'g, P: Deref<Target: LockSet>, N: Plan> IntoIterator for &'g mut AsyncMultiGuard<P, N> {
    type Item = (usize, &'g mut <P::Target as LockSet>::Value);
    type IntoIter = AsyncMultiIterMut<'g, P, N>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

/// The stripes of a plan with their modes.
fn modes(plan: &impl Plan) -> impl Iterator<Item = (usize, Mode)> {
    plan.stripes().iter().map(|stripe| (stripe, plan.mode(stripe)))
}

impl<P, N, K, T, S, M> AsyncMultiGuard<P, N>
where
    P: Deref<Target = AsyncStriped<K, T, S, M>>,
    N: Plan,
    K: ?Sized,
    S: BuildHasher,
    M: Kind,
{
    /// Whether the stripe of `key` is held.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// assert!(locks.blocking_lock_many(&[1, 2]).holds(&1));
    /// ```
    pub fn holds<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.stripes().contains(self.set.stripe_of(key))
    }

    /// The data of the stripe of `key`, if that stripe is held.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::AsyncStripedMutex::<str, HashMap<String, u32>>::new(64);
    /// stock.blocking_lock("apples").insert("apples".into(), 3);
    /// assert_eq!(stock.blocking_lock_many(["apples"]).get("apples").unwrap()["apples"], 3);
    /// ```
    pub fn get<Q>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let stripe = self.set.stripe_of(key);
        // SAFETY: the guard holds this stripe, and gives out `&mut` only against `&mut self`.
        self.stripes().contains(stripe).then(|| unsafe { &*self.set.value(stripe) })
    }

    /// Mutable access to the data of the stripe of `key`, if that stripe is held exclusively. The stripes of a mutex
    /// and of `write_many` are held exclusively, those of `read_many` are not.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::AsyncStripedMutex::<str, HashMap<String, u32>>::new(64);
    /// stock.blocking_lock_many(["apples", "pears"]).get_mut("pears").unwrap().insert("pears".into(), 2);
    /// ```
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut T>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let stripe = self.set.stripe_of(key);
        // SAFETY: the guard holds this stripe exclusively, and `&mut self` makes this the only reference through it.
        self.writes(stripe).then(|| unsafe { &mut *self.set.value(stripe) })
    }

    /// Mutable access to the data of the stripes of two keys, if both are held exclusively. It is [`Pair::Same`] if
    /// the keys share a stripe.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use stripe_lock::{AsyncStripedMutex, Pair};
    ///
    /// let stock = AsyncStripedMutex::<str, HashMap<String, u32>>::new(64);
    /// let mut both = stock.blocking_lock_many(["apples", "pears"]);
    /// match both.get_pair_mut("apples", "pears").unwrap() {
    ///     Pair::Same(map) => assert!(map.is_empty()),
    ///     Pair::Two(apples, pears) => std::mem::swap(apples, pears),
    /// }
    /// ```
    pub fn get_pair_mut<Q, R>(&mut self, one: &Q, other: &R) -> Option<Pair<'_, T>>
    where
        K: Borrow<Q> + Borrow<R>,
        Q: Hash + ?Sized,
        R: Hash + ?Sized,
    {
        let (one, other) = (self.set.stripe_of(one), self.set.stripe_of(other));
        if !self.writes(one) || !self.writes(other) {
            return None;
        }
        // SAFETY: the guard holds both stripes exclusively, `&mut self` lasts as long as the references, and there are
        // two references only if the stripes differ.
        Some(unsafe {
            if one == other {
                Pair::Same(&mut *self.set.value(one))
            } else {
                Pair::Two(&mut *self.set.value(one), &mut *self.set.value(other))
            }
        })
    }
}

/// Takes the stripes of a plan if that needs no waiting.
#[inline]
#[cfg_attr(feature = "diagnose", track_caller)]
pub(super) fn try_many<P, N>(set: P, plan: N) -> Option<AsyncMultiGuard<P, N>>
where
    P: Deref<Target: LockSet>,
    N: Plan,
{
    if !release::try_enter_all(&*set, &plan) {
        return None;
    }
    // SAFETY: the stripes have just been entered.
    let mut guard = unsafe { AsyncMultiGuard::of(set, plan) };
    guard.record(Taker::trying());
    Some(guard)
}

impl<P: Deref<Target: LockSet>, N: Plan> Drop for AsyncMultiGuard<P, N> {
    #[inline]
    fn drop(&mut self) {
        let _erased = self.set.queue().monitor.released(&self.record);
        release::release_all(&*self.set, &self.plan);
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> fmt::Debug for AsyncMultiGuard<P, N>
where
    <P::Target as LockSet>::Value: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The stripes of an [`AsyncMultiGuard`], each with its data, in ascending order. Made by
/// [`iter`](AsyncMultiGuard::iter).
///
/// It is `Send` and `Sync` if a reference to the guard is.
///
/// # Examples
///
/// ```
/// let per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
/// let guard = per_stripe.blocking_lock_all();
/// assert_eq!(guard.iter().next_back(), Some((3, &0)));
/// ```
///
/// So it does not share data that threads must not share:
///
/// ```compile_fail,E0277
/// use std::cell::Cell;
///
/// let per_stripe = stripe_lock::AsyncStripedMutex::<u64, Cell<u32>>::new(4);
/// let guard = per_stripe.blocking_lock_all();
/// let stripes = guard.iter();
/// std::thread::scope(|scope| {
///     scope.spawn(move || stripes.for_each(|(_stripe, n)| n.set(1)));
///     guard.get(&1).unwrap().set(2);
/// });
/// ```
#[must_use = "iterators are lazy"]
pub struct AsyncMultiIter<'g, P: Deref<Target: LockSet>, N: Plan> {
    guard: &'g AsyncMultiGuard<P, N>,
    rest: stripe_set::Iter<'g>,
}

impl<'g, P: Deref<Target: LockSet>, N: Plan> AsyncMultiIter<'g, P, N> {
    fn item(&self, stripe: usize) -> (usize, &'g <P::Target as LockSet>::Value) {
        // SAFETY: the guard holds every one of its stripes, and gives out `&mut` only against `&mut self`.
        (stripe, unsafe { &*self.guard.set.value(stripe) })
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> Clone for AsyncMultiIter<'_, P, N> {
    fn clone(&self) -> Self {
        Self { guard: self.guard, rest: self.rest.clone() }
    }
}

impl<'g, P: Deref<Target: LockSet>, N: Plan> Iterator for AsyncMultiIter<'g, P, N> {
    type Item = (usize, &'g <P::Target as LockSet>::Value);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let stripe = self.rest.next()?;
        Some(self.item(stripe))
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> DoubleEndedIterator for AsyncMultiIter<'_, P, N> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let stripe = self.rest.next_back()?;
        Some(self.item(stripe))
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> FusedIterator for AsyncMultiIter<'_, P, N> {}

/// The stripes that an [`AsyncMultiGuard`] holds exclusively, each with mutable access to its data, in ascending order.
/// Made by [`iter_mut`](AsyncMultiGuard::iter_mut).
///
/// It is `Send` and `Sync` if the guard is.
///
/// # Examples
///
/// ```
/// let per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
/// let mut guard = per_stripe.blocking_lock_all();
/// guard.iter_mut().rev().for_each(|(stripe, n)| *n = stripe as u32);
/// assert_eq!(format!("{guard:?}"), "{0: 0, 1: 1, 2: 2, 3: 3}");
/// ```
#[must_use = "iterators are lazy"]
pub struct AsyncMultiIterMut<'g, P: Deref<Target: LockSet>, N: Plan> {
    set: &'g P,
    plan: &'g N,
    rest: stripe_set::Iter<'g>,
    /// Makes it `Send` and `Sync` only if the guard is.
    guard: PhantomData<&'g mut AsyncMultiGuard<P, N>>,
}

impl<'g, P: Deref<Target: LockSet>, N: Plan> AsyncMultiIterMut<'g, P, N> {
    fn item(&mut self, stripe: usize) -> (usize, &'g mut <P::Target as LockSet>::Value) {
        // SAFETY: the guard is borrowed mutably for `'g` and holds this stripe exclusively, as `next` and `next_back`
        // have made sure, and `rest` yields no stripe twice.
        (stripe, unsafe { &mut *self.set.value(stripe) })
    }
}

impl<'g, P: Deref<Target: LockSet>, N: Plan> Iterator for AsyncMultiIterMut<'g, P, N> {
    type Item = (usize, &'g mut <P::Target as LockSet>::Value);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let stripe = self.rest.by_ref().find(|&stripe| self.plan.mode(stripe) == Mode::Exclusive)?;
        Some(self.item(stripe))
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> DoubleEndedIterator for AsyncMultiIterMut<'_, P, N> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let stripe = self.rest.by_ref().rfind(|&stripe| self.plan.mode(stripe) == Mode::Exclusive)?;
        Some(self.item(stripe))
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> FusedIterator for AsyncMultiIterMut<'_, P, N> {}
