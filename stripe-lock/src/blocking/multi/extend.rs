//! Adding keys to a guard of several stripes, without breaking the order.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::marker::PhantomData;
use core::mem;

use super::taking::{release_many, take_many};
use super::{MultiGuard, WAITED};
use crate::blocking::guard::{ArcStripe, Guard};
use crate::blocking::held::Held;
use crate::blocking::holding::Uniform;
use crate::blocking::lock::{Handle, StripedLock};
use crate::blocking::raw::{Mode, RawAcquire, Try, Wait, Way};
use crate::blocking::stripe::Stripe;
use crate::blocking::watch::watch;
use crate::shared::extend::{ExtendError, Extended};
use crate::shared::hash::Located;
use crate::shared::stripe_set::StripeSet;
use crate::shared::waits::KeyHash;
use alloc::sync::Arc;

impl<P: Handle, M: Mode> MultiGuard<P, Uniform<P::Raw, M>>
where
    P::Raw: RawAcquire<M>,
{
    /// A guard of one stripe of `set`, made of its acquisition state and its record.
    pub(crate) fn of_one(
        set: P,
        stripe: usize,
        state: <P::Raw as RawAcquire<M>>::State,
        record: Held,
    ) -> Self {
        let mut stripes = StripeSet::empty(set.stripes());
        stripes.insert(stripe);
        Self { set, stripes, holding: Uniform::of_one(state), record, data: PhantomData }
    }
}

impl<P, M> MultiGuard<P, Uniform<P::Raw, M>>
where
    P: Handle<Raw: RawAcquire<M>, Hasher: BuildHasher>,
    M: Mode,
{
    /// Adds one more key without waiting.
    ///
    /// Does nothing if the guard holds its stripe already. The stripe may be below those that are held, because
    /// trying can't deadlock.
    ///
    /// # Errors
    ///
    /// The guard keeps what it holds, and:
    /// - [`ExtendError::WouldBlock`]: another guard holds the stripe, and the stripe is above all those held.
    ///   [`extend`](Self::extend) may wait for it, unless the other guard is this thread's own.
    /// - [`ExtendError::WouldInvert`]: another guard holds the stripe, and waiting for it would break the order.
    ///   Release this one and take all the keys together.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(64);
    /// let mut guard = locks.lock_many(&[1, 2]);
    /// assert_eq!(guard.try_extend(&3), Ok(()));
    /// assert!(guard.holds(&3));
    /// ```
    #[track_caller]
    pub fn try_extend<Q>(&mut self, key: &Q) -> Result<(), ExtendError>
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.extend_by(key, false)
    }

    /// Adds one more key. Waits for its stripe if it is above all those held.
    ///
    /// # Errors
    ///
    /// [`ExtendError::WouldInvert`] if another guard holds the stripe, and the stripe is below the highest one held.
    /// The guard keeps what it holds. Release it and take all the keys together.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging, if this thread holds that stripe, or a higher one, by another guard.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(64);
    /// let mut guard = locks.lock_many(&[1]);
    /// guard.extend(&2)?;
    /// assert!(guard.holds(&2));
    /// # Ok::<(), stripe_lock::ExtendError>(())
    /// ```
    #[track_caller]
    pub fn extend<Q>(&mut self, key: &Q) -> Result<(), ExtendError>
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.extend_by(key, true)
    }

    /// Adds the stripes of `keys`. Blocks until they are acquired. Returns whether it released its stripes in
    /// between.
    ///
    /// It has to release them in the cases in which [`extend`](Self::extend) returns [`ExtendError::WouldInvert`]:
    /// another guard holds one of the new stripes, and this guard holds a higher one. Then it releases all stripes,
    /// takes all together, and returns [`Extended::Restarted`]. Other threads may have changed the data in between.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging, if this thread holds a stripe that would be waited for, or a higher one, by
    /// another guard. This guard keeps what it held before.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::{Extended, StripedMutex};
    ///
    /// let locks = StripedMutex::<u64>::new(64);
    /// let mut guard = locks.lock_many(&[1]);
    /// assert_eq!(guard.extend_or_restart(&[2, 3]), Extended::Kept);
    /// assert!(guard.holds(&1) && guard.holds(&2) && guard.holds(&3));
    /// ```
    #[track_caller]
    pub fn extend_or_restart<'q, Q>(&mut self, keys: impl IntoIterator<Item = &'q Q>) -> Extended
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        let wanted = self.set.set_of(keys);
        for place in &wanted {
            if self.add(place, true, KeyHash::NONE).is_err() {
                self.restart(wanted);
                return Extended::Restarted;
            }
        }
        Extended::Kept
    }

    /// Releases all stripes. Then takes the stripes of all their places again, together with those of `wanted`.
    #[track_caller]
    fn restart(&mut self, mut wanted: StripeSet) {
        let set = &*self.set;
        for place in self.stripes.iter().flat_map(|index| set.striped.places(index)) {
            wanted.insert(place);
        }
        if let Some((owners, _)) = set.splitting() {
            set.id.check_anew(&owners.of_each(&wanted), &self.holding, &self.record);
        } else {
            set.id.check_anew(&wanted, &self.holding, &self.record);
        }
        self.record.end();
        let held = mem::replace(&mut self.stripes, StripeSet::empty(set.stripes()));
        // SAFETY: `holding` holds what was in `stripes`; `&mut self` proves that no reference to the data is left.
        unsafe { release_many(set, &held, &mut self.holding) }
        let way = &watch(Wait, set.patience, set.id, KeyHash::NONE);
        let (stripes, holding) = take_many(set, wanted, Uniform::new(), way).expect(WAITED);
        self.record = set.id.record(&stripes, &holding);
        (self.stripes, self.holding) = (stripes, holding);
    }

    #[track_caller]
    fn extend_by<Q>(&mut self, key: &Q, may_wait: bool) -> Result<(), ExtendError>
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let Located { stripe, hash, .. } = self.set.striped.locate(key);
        self.add(stripe, may_wait, hash)
    }

    /// Adds the stripe of a place, if it isn't held. Waits for it if `may_wait` is set and the order permits it.
    #[track_caller]
    fn add(&mut self, place: usize, may_wait: bool, hash: KeyHash) -> Result<(), ExtendError> {
        loop {
            let index = self.set.striped.owner(place);
            let result = self.add_stripe(index, may_wait, hash);
            if self.set.striped.owner(place) == index {
                return result;
            }
            // The added stripe owns another place by now. A stripe that was held before can't have lost the place.
            if result.is_ok() {
                self.release_stripe(index);
            }
        }
    }

    /// Adds a stripe, if it isn't held. Waits for it if `may_wait` is set and the order permits it.
    #[track_caller]
    fn add_stripe(&mut self, index: usize, may_wait: bool, hash: KeyHash) -> Result<(), ExtendError> {
        if self.stripes.contains(index) {
            return Ok(());
        }
        let below = self.stripes.last().is_some_and(|highest| index < highest);
        if may_wait && !below {
            self.set.id.check_one(|| index, self.set.stripes(), M::ACCESS);
            self.take_more(index, &watch(Wait, self.set.patience, self.set.id, hash));
            return Ok(());
        }
        match self.take_more(index, &Try) {
            true => Ok(()),
            false if below => Err(ExtendError::WouldInvert),
            false => Err(ExtendError::WouldBlock),
        }
    }

    /// Takes a stripe that is not held, which may be above or below the others. Returns whether `way` got it.
    fn take_more(&mut self, index: usize, way: &impl Way<P::Raw, M>) -> bool {
        let taken = self.holding.insert(self.set.striped.stripe(index), index, &self.stripes, way);
        if taken {
            self.stripes.insert(index);
            self.record.add(index);
        }
        taken
    }
}

impl<K: ?Sized, T, L, S> StripedLock<K, T, L, S> {
    /// Turns a guard of one stripe into a guard of several, to which keys can be added.
    ///
    /// # Panics
    ///
    /// If the guard is of another set.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(64);
    /// let mut guard = locks.extendable(locks.lock(&1));
    /// guard.extend(&2)?;
    /// assert!(guard.holds(&1) && guard.holds(&2));
    /// # Ok::<(), stripe_lock::ExtendError>(())
    /// ```
    pub fn extendable<'a, M: Mode>(
        &'a self,
        guard: Guard<&'a Stripe<L, T>, L, T, M>,
    ) -> MultiGuard<&'a Self, Uniform<L, M>>
    where
        L: RawAcquire<M>,
    {
        let Some(index) = self.striped.index_of(Guard::stripe(&guard)) else {
            panic!("the guard is of another set")
        };
        let (_, state, held) = guard.into_parts();
        MultiGuard::of_one(self, index, state, held)
    }
}

/// A guard of several stripes that keeps the whole set alive.
type ArcMultiGuard<K, T, L, S, M> = MultiGuard<Arc<StripedLock<K, T, L, S>>, Uniform<L, M>>;

impl<K: ?Sized, T, L, S, M> Guard<ArcStripe<K, T, L, S>, L, T, M>
where
    L: RawAcquire<M>,
    M: Mode,
{
    /// Turns the guard into a guard of several stripes, to which keys can be added. A guard that borrows its set
    /// becomes one by [`StripedLock::extendable`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use stripe_lock::blocking::ArcMutexGuard;
    /// use stripe_lock::StripedMutex;
    ///
    /// let locks = Arc::new(StripedMutex::<u64>::new(64));
    /// let mut guard = ArcMutexGuard::extendable(locks.lock_arc(&1));
    /// guard.extend(&2)?;
    /// assert!(guard.holds(&1) && guard.holds(&2));
    /// # Ok::<(), stripe_lock::ExtendError>(())
    /// ```
    pub fn extendable(guard: Self) -> ArcMultiGuard<K, T, L, S, M> {
        let (ArcStripe { set, stripe }, state, held) = guard.into_parts();
        MultiGuard::of_one(set, stripe, state, held)
    }
}
