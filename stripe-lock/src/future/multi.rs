//! The guard of several stripes.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::mem;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;

use super::acquire::{Acquire, AcquireMany};
use super::instrument::{Place, Record, Site, Taker, Watch};
use super::kind::{Access, Kind};
use super::plan::{Plan, Uniform};
use super::release;
use super::sealed::{LockSet, PlainAccess};
use super::set::AsyncStriped;
use super::word::Mode;
use crate::waits::KeyHash;
use crate::{ExtendError, Extended, Pair, StripeSet, stripe_set};

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
    set: P,
    plan: N,
    record: Record,
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

    /// Takes it to pieces; the caller has the stripes now.
    fn into_parts(self) -> (P, N, Record) {
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

    /// How many stripes are held: at most as many as keys were named, fewer where keys share a stripe.
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

    /// The stripes that are held exclusively, each with its data to change, in ascending order.
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

    /// The data of the stripe of `key` to change, if that stripe is held exclusively: always so in a mutex and after
    /// `write_many`, never after `read_many`.
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

    /// The data of the stripes of two keys to change, if both are held exclusively. They may be the same stripe.
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
        // SAFETY: the guard holds both stripes exclusively, `&mut self` lasts as long as the references, and there are two
        // only where the stripes differ.
        Some(unsafe {
            if one == other {
                Pair::Same(&mut *self.set.value(one))
            } else {
                Pair::Two(&mut *self.set.value(one), &mut *self.set.value(other))
            }
        })
    }
}

impl<P, A, K, T, S, M> AsyncMultiGuard<P, Uniform<A>>
where
    P: Deref<Target = AsyncStriped<K, T, S, M>>,
    A: Access + PlainAccess,
    K: ?Sized,
    S: BuildHasher,
    M: Kind,
{
    /// Adds one more key without waiting.
    ///
    /// Does nothing if its stripe is held already: a task that asks by way of the guard for what it holds gets it,
    /// where awaiting the same stripe anew would hang for ever. Works for a stripe below those held, too: trying can't
    /// deadlock.
    ///
    /// # Errors
    ///
    /// The guard keeps what it holds, and:
    /// - [`ExtendError::WouldBlock`]: another guard holds the stripe, which is above all those held, so that
    ///   [`extend`](Self::extend) may wait for it.
    /// - [`ExtendError::WouldInvert`]: another guard holds the stripe, and waiting for it would break the order.
    ///   Release the guard and take all the keys together, or use [`extend_or_restart`](Self::extend_or_restart).
    /// - [`ExtendError::Closed`]: the set is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let mut guard = locks.blocking_lock_many(&[1, 2]);
    /// assert_eq!(guard.try_extend(&3), Ok(()));
    /// assert!(guard.holds(&3));
    /// ```
    pub fn try_extend<Q>(&mut self, key: &Q) -> Result<(), ExtendError>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.try_add(self.set.stripe_of(key))
    }

    fn try_add(&mut self, stripe: usize) -> Result<(), ExtendError> {
        if self.stripes().contains(stripe) {
            return Ok(());
        }
        if release::try_enter(&*self.set, Place::of_stripe(stripe), A::ACCESS.mode()) {
            self.add(stripe);
            return Ok(());
        }
        if self.set.is_closed() {
            return Err(ExtendError::Closed);
        }
        let below = self.stripes().last().is_some_and(|highest| stripe < highest);
        Err(if below { ExtendError::WouldInvert } else { ExtendError::WouldBlock })
    }

    /// Adds one more key, waiting for it where the order admits that: if its stripe is above all those held.
    ///
    /// # Errors
    ///
    /// The guard keeps what it holds, and:
    /// - [`ExtendError::WouldInvert`]: another guard holds the stripe, and it is below the highest one held. Release the
    ///   guard and take all the keys together, or use [`extend_or_restart`](Self::extend_or_restart).
    /// - [`ExtendError::Closed`]: the set is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped while waiting, it leaves the guard as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), stripe_lock::ExtendError> {
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let mut guard = locks.lock_many(&[1]).await;
    /// guard.extend(&2).await?;
    /// assert!(guard.holds(&2));
    /// # Ok(()) }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn extend<'g, Q>(
        &'g mut self,
        key: &Q,
    ) -> impl Future<Output = Result<(), ExtendError>> + use<'g, P, A, K, T, S, M, Q>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let (stripe, watch) = (self.set.stripe_of(key), Watch::new(KeyHash::NONE));
        self.extend_to(stripe, watch)
    }

    async fn extend_to(&mut self, stripe: usize, watch: Watch) -> Result<(), ExtendError> {
        match self.try_add(stripe) {
            Err(ExtendError::WouldBlock) => {
                let record = {
                    let set: &AsyncStriped<K, T, S, M> = &self.set;
                    let acquire = Acquire::new(set, Place::of_stripe(stripe), A::ACCESS).watched(watch);
                    let guard = acquire.checked().await.map_err(|_| ExtendError::Closed)?;
                    guard.hold.into_parts().3
                };
                let _erased = self.set.queue().monitor.released(&record);
                self.add(stripe);
                Ok(())
            }
            done => done,
        }
    }

    /// Adds keys: as [`extend`](Self::extend) does where the order admits that; else by releasing everything and waiting for
    /// all stripes anew.
    ///
    /// Says whether anything was released meanwhile. If so, what was read before may be out of date.
    ///
    /// # Errors
    ///
    /// [`ExtendError::Closed`] if the set is closed. The guard may hold nothing then.
    ///
    /// # Cancel safety
    ///
    /// Dropped while waiting, it leaves the guard with what it held, with some of the keys added, or without any stripe.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), stripe_lock::ExtendError> {
    /// use stripe_lock::{AsyncStripedMutex, Extended};
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let mut guard = locks.lock_many(&[1]).await;
    /// // They were free, so nothing had to be released.
    /// assert_eq!(guard.extend_or_restart(&[2, 3]).await?, Extended::Kept);
    /// # Ok(()) }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn extend_or_restart<'q, Q>(
        &mut self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> impl Future<Output = Result<Extended, ExtendError>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        let (added, site) = (self.set.set_of(keys), Site::here());
        async move {
            for stripe in &added {
                match self.extend_to(stripe, Watch::at(site)).await {
                    Ok(()) => {}
                    Err(ExtendError::WouldInvert) => return self.restart(&added, site).await,
                    Err(error) => return Err(error),
                }
            }
            Ok(Extended::Kept)
        }
    }

    async fn restart(&mut self, added: &StripeSet, site: Site) -> Result<Extended, ExtendError> {
        let mut wanted = self.stripes().clone();
        for stripe in added {
            wanted.insert(stripe);
        }
        self.release_everything();
        let set: &AsyncStriped<K, T, S, M> = &self.set;
        let acquire = AcquireMany::new(set, Uniform::<A>::new(wanted)).watched(Watch::at(site));
        let guard = acquire.checked().await.map_err(|_| ExtendError::Closed)?;
        (_, self.plan, self.record) = guard.into_parts();
        Ok(Extended::Restarted)
    }

    fn release_everything(&mut self) {
        let _erased = self.set.queue().monitor.released(&mem::replace(&mut self.record, Record::NONE));
        let none = Uniform::new(StripeSet::empty(self.set.stripes()));
        release::release_all(&*self.set, &mem::replace(&mut self.plan, none));
    }

    /// Releases the stripe of `key`, and keeps the others. Says whether it was held.
    ///
    /// Other keys that were named may share the stripe: it is released for them too.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let mut guard = locks.blocking_lock_many(&[1, 2]);
    /// assert!(guard.release(&1) && !guard.release(&1));
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    pub fn release<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let stripe = self.set.stripe_of(key);
        let held = self.plan.stripes.remove(stripe);
        if held {
            self.set.queue().monitor.changed(&self.record, stripe, None);
            release::release(&*self.set, Place::of_stripe(stripe), A::ACCESS.mode());
        }
        held
    }

    /// Notes a stripe that was acquired for this guard.
    fn add(&mut self, stripe: usize) {
        self.plan.stripes.insert(stripe);
        self.set.queue().monitor.extended(&self.record, stripe, A::ACCESS.mode());
    }
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
/// It may go where a reference to the guard may go.
///
/// # Examples
///
/// ```
/// let per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
/// let guard = per_stripe.blocking_lock_all();
/// assert_eq!(guard.iter().next_back(), Some((3, &0)));
/// ```
///
/// Data that threads may not share isn't shared by this:
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

/// The stripes that an [`AsyncMultiGuard`] holds exclusively, each with its data to change, in ascending order. Made by
/// [`iter_mut`](AsyncMultiGuard::iter_mut).
///
/// It may go where the guard may go.
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
    /// Makes it `Send` and `Sync` only where the guard is.
    guard: PhantomData<&'g mut AsyncMultiGuard<P, N>>,
}

impl<'g, P: Deref<Target: LockSet>, N: Plan> AsyncMultiIterMut<'g, P, N> {
    fn item(&mut self, stripe: usize) -> (usize, &'g mut <P::Target as LockSet>::Value) {
        // SAFETY: the guard is borrowed mutably for `'g` and holds this stripe exclusively, as `next` and `next_back` have
        // made sure, and `rest` yields no stripe twice.
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
