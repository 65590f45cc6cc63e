//! The guards.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::acquire::Acquire;
use super::kind::Kind;
use super::lot::Lot;
use super::place::Place;
use super::plan::{Access, Plan, Uniform, Write};
use super::record::{Record, Taker};
use super::set::AsyncStriped;
use super::trace::Site;
use super::turn;
use super::word::Mode;
use crate::{ExtendError, StripeSet};

/// Holds one stripe until it is dropped, and gives access to its data.
///
/// `P` is how it reaches the set: a reference, or an `Arc` that keeps the set alive.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(64);
/// let mut guard = counts.lock(&1).await;
/// *guard += 1;
/// drop(guard);
/// assert_eq!(*counts.lock(&1).await, 1);
/// # }
/// ```
#[must_use = "if unused, the stripe is released at once"]
pub struct AsyncGuard<P: Deref<Target: Lot>, A: Access> {
    lot: P,
    place: Place,
    record: Record,
    access: PhantomData<A>,
    /// Makes the guard `Sync` only where the data is, and `Send` only where the data is.
    data: PhantomData<<P::Target as Lot>::Value>,
}

impl<P: Deref<Target: Lot>, A: Access> AsyncGuard<P, A> {
    /// # Safety
    ///
    /// The stripe was acquired for this guard.
    #[inline]
    pub(super) unsafe fn of(lot: P, place: Place, taker: Taker) -> Self {
        let record = lot.queue().registry.note(taker, std::iter::once((place.stripe(), A::MODE)));
        Self { lot, place, record, access: PhantomData, data: PhantomData }
    }

    /// The index of the stripe that is held.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// assert_eq!(locks.blocking_lock(&1).stripe(), locks.stripe_of(&1));
    /// ```
    pub fn stripe(&self) -> usize {
        self.place.stripe()
    }
}

impl<P: Deref<Target: Lot>, A: Access> Drop for AsyncGuard<P, A> {
    #[inline]
    fn drop(&mut self) {
        self.lot.queue().registry.end(&self.record);
        turn::release(&*self.lot, self.place, A::MODE);
    }
}

impl<P: Deref<Target: Lot>, A: Access> Deref for AsyncGuard<P, A> {
    type Target = <P::Target as Lot>::Value;

    #[inline]
    fn deref(&self) -> &Self::Target {
        // SAFETY: the guard's existence proves that the stripe is held, and `&mut` needs `&mut` of the guard.
        unsafe { &*self.lot.value(self.stripe()) }
    }
}

impl<P: Deref<Target: Lot>> DerefMut for AsyncGuard<P, Write> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: the guard's existence proves that the stripe is held exclusively.
        unsafe { &mut *self.lot.value(self.stripe()) }
    }
}

impl<P: Deref<Target: Lot>, A: Access> fmt::Debug for AsyncGuard<P, A>
where
    <P::Target as Lot>::Value: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Holds the stripes of several keys until it is dropped, and gives access to their data by key.
///
/// Keys that share a stripe share its data: `get` of either gives the same `T`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let balances = stripe_lock::AsyncStripedMutex::<str, i64>::new(64);
/// let mut both = balances.lock_many(["alice", "bob"]).await;
/// *both.get_mut("alice").unwrap() -= 5;
/// *both.get_mut("bob").unwrap() += 5;
/// assert!(both.holds("alice") && both.len() <= 2);
/// # }
/// ```
#[must_use = "if unused, the stripes are released at once"]
pub struct AsyncMultiGuard<P: Deref<Target: Lot>, N: Plan> {
    lot: P,
    plan: N,
    record: Record,
    /// As in [`AsyncGuard`].
    data: PhantomData<<P::Target as Lot>::Value>,
}

impl<P: Deref<Target: Lot>, N: Plan> AsyncMultiGuard<P, N> {
    /// # Safety
    ///
    /// The stripes of the plan were acquired for this guard.
    #[inline]
    pub(super) unsafe fn of(lot: P, plan: N, taker: Taker) -> Self {
        let stripes = plan.stripes().iter().map(|stripe| (stripe, plan.mode(stripe)));
        let record = lot.queue().registry.note(taker, stripes);
        Self { lot, plan, record, data: PhantomData }
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
    /// let counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// *counts.blocking_lock(&1) += 1;
    /// assert_eq!(counts.blocking_lock_all().iter().map(|(_stripe, n)| n).sum::<u32>(), 1);
    /// ```
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, &<P::Target as Lot>::Value)> {
        // SAFETY: the guard holds every one of these stripes, and gives out `&mut` only against `&mut self`.
        self.stripes().iter().map(|stripe| (stripe, unsafe { &*self.lot.value(stripe) }))
    }

    /// The stripes that are held exclusively, each with its data to change, in ascending order.
    ///
    /// # Examples
    ///
    /// ```
    /// let counts = stripe_lock::AsyncStripedMutex::<u64, u32>::new(4);
    /// counts.blocking_lock_all().iter_mut().for_each(|(_stripe, n)| *n = 7);
    /// assert_eq!(counts.into_inner(), [7; 4]);
    /// ```
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (usize, &mut <P::Target as Lot>::Value)> {
        let Self { lot, plan, .. } = self;
        let exclusive = plan.stripes().iter().filter(|&stripe| plan.mode(stripe) == Mode::Exclusive);
        // SAFETY: the guard holds this stripe exclusively, `&mut self` lasts as long as the items, and no stripe
        // comes twice.
        exclusive.map(|stripe| (stripe, unsafe { &mut *lot.value(stripe) }))
    }
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
        self.stripes().contains(self.lot.stripe_of(key))
    }

    /// The data of the stripe of `key`, if that stripe is held.
    ///
    /// # Examples
    ///
    /// ```
    /// let stock = stripe_lock::AsyncStripedMutex::<str, u32>::new(64);
    /// assert_eq!(stock.blocking_lock_many(["apples"]).get("apples"), Some(&0));
    /// ```
    pub fn get<Q>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let stripe = self.lot.stripe_of(key);
        // SAFETY: the guard holds this stripe, and gives out `&mut` only against `&mut self`.
        self.stripes().contains(stripe).then(|| unsafe { &*self.lot.value(stripe) })
    }

    /// The data of the stripe of `key` to change, if that stripe is held exclusively: always so in a mutex and after
    /// `write_many`, never after `read_many`.
    ///
    /// # Examples
    ///
    /// ```
    /// let stock = stripe_lock::AsyncStripedMutex::<str, u32>::new(64);
    /// *stock.blocking_lock_many(["apples", "pears"]).get_mut("pears").unwrap() += 2;
    /// ```
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut T>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let stripe = self.lot.stripe_of(key);
        let exclusive = self.stripes().contains(stripe) && self.plan.mode(stripe) == Mode::Exclusive;
        // SAFETY: the guard holds this stripe exclusively, and `&mut self` makes this the only reference through it.
        exclusive.then(|| unsafe { &mut *self.lot.value(stripe) })
    }
}

impl<P, A, K, T, S, M> AsyncMultiGuard<P, Uniform<A>>
where
    P: Deref<Target = AsyncStriped<K, T, S, M>>,
    A: Access,
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
    ///   Release the guard and take all the keys together.
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
        let stripe = self.lot.stripe_of(key);
        if self.stripes().contains(stripe) {
            return Ok(());
        }
        if turn::try_enter(&*self.lot, Place::of_stripe(stripe), A::MODE) {
            self.add(stripe);
            return Ok(());
        }
        let below = self.stripes().last().is_some_and(|highest| stripe < highest);
        Err(if below { ExtendError::WouldInvert } else { ExtendError::WouldBlock })
    }

    /// Adds one more key, waiting for it where the order admits that: if its stripe is above all those held.
    ///
    /// # Errors
    ///
    /// [`ExtendError::WouldInvert`], and the guard keeps what it holds, if another guard holds the stripe and it is
    /// below the highest one held. Release the guard and take all the keys together.
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
    pub fn extend<Q>(&mut self, key: &Q) -> impl Future<Output = Result<(), ExtendError>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let site = Site::here();
        async move {
            match self.try_extend(key) {
                Err(ExtendError::WouldBlock) => {
                    let lot: &AsyncStriped<K, T, S, M> = &self.lot;
                    let stripe = lot.stripe_of(key);
                    // Not the place of the key, for the stripe will be left together with the others.
                    let guard = Acquire::<_, A>::new(lot, Place::of_stripe(stripe)).asked_at(site).await;
                    lot.queue().registry.end(&guard.record);
                    std::mem::forget(guard);
                    self.add(stripe);
                    Ok(())
                }
                done => done,
            }
        }
    }

    /// Notes a stripe that was acquired for this guard.
    fn add(&mut self, stripe: usize) {
        self.plan.stripes.insert(stripe);
        self.lot.queue().registry.add(&self.record, stripe, A::MODE);
    }
}

impl<P: Deref<Target: Lot>, N: Plan> Drop for AsyncMultiGuard<P, N> {
    #[inline]
    fn drop(&mut self) {
        self.lot.queue().registry.end(&self.record);
        turn::release_all(&*self.lot, &self.plan);
    }
}

impl<P: Deref<Target: Lot>, N: Plan> fmt::Debug for AsyncMultiGuard<P, N>
where
    <P::Target as Lot>::Value: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What a guard may take. The features `diagnose` and `tracing` need more room.
#[cfg(not(any(feature = "diagnose", feature = "tracing")))]
const _: () = {
    use super::plan::Read;
    use crate::{AsyncStripedMutex, AsyncStripedSemaphore};

    assert!(size_of::<Option<AsyncGuard<&AsyncStripedMutex<u64>, Write>>>() <= 16);
    assert!(size_of::<AsyncGuard<&AsyncStripedSemaphore<u64>, Read>>() <= 16);
};
