//! Adding stripes to those that a guard holds, and releasing some of them.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem;
use std::ops::Deref;

use super::acquire::{Acquire, AcquireMany};
use super::guard::AsyncGuard;
use super::instrument::{Place, Record, Site, Watch};
use super::kind::{Access, Kind};
use super::multi::AsyncMultiGuard;
use super::plan::UniformPlan;
use super::release;
use super::sealed::{LockSet, PlainAccess};
use super::set::AsyncStriped;
use crate::shared::extend::{ExtendError, Extended};
use crate::shared::stripe_set::StripeSet;
use crate::shared::waits::KeyHash;

impl<P: Deref<Target: LockSet>, A: Access + PlainAccess> AsyncGuard<P, A> {
    /// Turns the guard into a guard of several stripes, to which keys can be added.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::asynchronous::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let mut guard = AsyncGuard::extendable(locks.lock(&1).await);
    /// assert!(guard.try_extend(&2).is_ok());
    /// # }
    /// ```
    pub fn extendable<K, T, S, M>(guard: Self) -> AsyncMultiGuard<P, UniformPlan<A>>
    where
        P: Deref<Target = super::AsyncStriped<K, T, S, M>>,
        K: ?Sized,
        M: super::Kind,
    {
        let (set, place, access, record) = guard.hold.into_parts();
        release::forget_key(&*set, place, access.mode());
        let mut stripes = StripeSet::empty(set.stripes());
        stripes.insert(place.stripe());
        AsyncMultiGuard::from_parts(set, UniformPlan::new(stripes), record)
    }
}

impl<P, A, K, T, S, M> AsyncMultiGuard<P, UniformPlan<A>>
where
    P: Deref<Target = AsyncStriped<K, T, S, M>>,
    A: Access + PlainAccess,
    K: ?Sized,
    S: BuildHasher,
    M: Kind,
{
    /// Adds one more key without waiting.
    ///
    /// It does nothing if this guard holds the stripe already; `lock` on the set would hang for ever there. It works
    /// for a stripe below those held, too, because trying can't deadlock.
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

    /// Adds one more key. It waits for the key's stripe if that is above all those held.
    ///
    /// # Errors
    ///
    /// The guard keeps what it holds, and:
    /// - [`ExtendError::WouldInvert`]: another guard holds the stripe, and it is below the highest one held. Release
    ///   the guard and take all the keys together, or use [`extend_or_restart`](Self::extend_or_restart).
    /// - [`ExtendError::Closed`]: the set is closed.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped while it waits, the guard keeps what it held.
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

    /// Adds keys as [`extend`](Self::extend) does, if the order of stripes admits that. Otherwise it releases all
    /// stripes and waits for all of them together.
    ///
    /// The result says whether the stripes were released. If so, data that was read before may be out of date.
    ///
    /// # Errors
    ///
    /// [`ExtendError::Closed`] if the set is closed. The guard may hold nothing then.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped while it waits, the guard has what it held, or some of the keys in addition, or no stripe at
    /// all.
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
        let acquire = AcquireMany::new(set, UniformPlan::<A>::new(wanted)).watched(Watch::at(site));
        let guard = acquire.checked().await.map_err(|_| ExtendError::Closed)?;
        (_, self.plan, self.record) = guard.into_parts();
        Ok(Extended::Restarted)
    }

    fn release_everything(&mut self) {
        let _erased = self.set.queue().monitor.released(&mem::replace(&mut self.record, Record::NONE));
        let none = UniformPlan::new(StripeSet::empty(self.set.stripes()));
        release::release_all(&*self.set, &mem::replace(&mut self.plan, none));
    }

    /// Releases the stripe of `key`, and keeps the others. Returns whether the stripe was held.
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
