//! The guard of one stripe.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr;

use super::acquire::Acquire;
use super::instrument::{Place, Record, Taker};
use super::kind::{Access, Write};
use super::multi::AsyncMultiGuard;
use super::plan::Uniform;
use super::release;
use super::sealed::{LockSet, PlainAccess};
use crate::StripeSet;

/// Holds a stripe, and releases it when it is dropped. What all guards of one stripe have in common.
pub(super) struct Hold<P: Deref<Target: LockSet>, A: Access> {
    pub(super) set: P,
    pub(super) place: Place,
    pub(super) access: A,
    pub(super) record: Record,
}

impl<P: Deref<Target: LockSet>, A: Access> Hold<P, A> {
    /// Takes it to pieces; the caller has the stripe now.
    pub(super) fn into_parts(self) -> (P, Place, A, Record) {
        let hold = ManuallyDrop::new(self);
        // SAFETY: each is read once, and the hold is not dropped.
        unsafe {
            (ptr::read(&raw const hold.set), hold.place, hold.access, ptr::read(&raw const hold.record))
        }
    }

    /// The same stripe, which is held by `access` now.
    pub(super) fn with_access<B: Access>(self, access: B) -> Hold<P, B> {
        let (set, place, _, record) = self.into_parts();
        set.queue().monitor.changed(&record, place.stripe(), Some(access.mode()));
        Hold { set, place, access, record }
    }
}

impl<P: Deref<Target: LockSet>, A: Access> Drop for Hold<P, A> {
    #[inline(always)]
    fn drop(&mut self) {
        let _erased = self.set.queue().monitor.released(&self.record);
        release::release(&*self.set, self.place, self.access.mode());
    }
}

/// Holds one stripe until it is dropped, and gives access to its data.
///
/// `P` is how it reaches the set: a reference, or an `Arc` that keeps the set alive. The methods are associated functions,
/// so that they can't hide methods of the data. Those that depend on the way of
/// holding are called by the alias of the guard, as in `AsyncWriteGuard::downgrade(guard)`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let per_stripe = stripe_lock::AsyncStripedMutex::<u64, u32>::new(64);
/// let mut guard = per_stripe.lock(&1).await;
/// *guard += 1;
/// drop(guard);
/// assert_eq!(*per_stripe.lock(&1).await, 1);
/// # }
/// ```
#[must_use = "if unused, the stripe is released at once"]
pub struct AsyncGuard<P: Deref<Target: LockSet>, A: Access> {
    pub(super) hold: Hold<P, A>,
    /// Makes the guard `Sync` only where the data is, and `Send` only where the data is.
    data: PhantomData<<P::Target as LockSet>::Value>,
}

impl<P: Deref<Target: LockSet>, A: Access> AsyncGuard<P, A> {
    /// # Safety
    ///
    /// The stripe was acquired for this guard.
    #[inline(always)]
    pub(super) unsafe fn of(set: P, place: Place, access: A) -> Self {
        set.queue().monitor.acquired(std::iter::once(place.stripe()));
        Self::from_hold(Hold { set, place, access, record: Record::NONE })
    }

    #[inline(always)]
    pub(super) fn from_hold(hold: Hold<P, A>) -> Self {
        Self { hold, data: PhantomData }
    }

    /// Puts the guard on record.
    #[inline(always)]
    pub(super) fn record(&mut self, taker: Taker) {
        let stripes = std::iter::once((self.hold.place.stripe(), self.hold.access.mode()));
        self.hold.record = self.hold.set.queue().monitor.record(taker, stripes);
    }

    /// The index of the stripe that is held.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::future::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// assert_eq!(AsyncGuard::stripe(&locks.blocking_lock(&1)), locks.stripe_of(&1));
    /// ```
    pub fn stripe(guard: &Self) -> usize {
        guard.hold.place.stripe()
    }

    /// Releases the stripe, and hands it to the waiter that has waited longest, if there is one: no newcomer comes first.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::future::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// AsyncGuard::unlock_fair(locks.blocking_lock(&1));
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    pub fn unlock_fair(guard: Self) {
        release::prefer_waiters(&*guard.hold.set, guard.hold.place.stripe());
        drop(guard);
    }

    /// Releases the stripe, and waits for it again. Waiters get it in between.
    ///
    /// # Panics
    ///
    /// If the set is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped while waiting, it holds nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::future::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).await;
    /// let _guard = AsyncGuard::bump(guard).await;
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn bump(guard: Self) -> Acquire<P, A>
    where
        P: Clone,
    {
        let (place, access) = (guard.hold.place, guard.hold.access);
        let again = Acquire::new(guard.hold.set.clone(), place, access);
        Self::unlock_fair(guard);
        again
    }

    /// Runs `section` while the stripe is released, and waits for it anew.
    ///
    /// # Panics
    ///
    /// If the set is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it holds nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::future::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).await;
    /// let (_guard, free) = AsyncGuard::unlocked(guard, async { locks.try_lock(&1).is_some() }).await;
    /// assert!(free);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn unlocked<F: Future>(guard: Self, section: F) -> impl Future<Output = (Self, F::Output)>
    where
        P: Clone,
    {
        let again = Self::bump(guard);
        async move {
            let output = section.await;
            (again.await, output)
        }
    }
}

impl<P: Deref<Target: LockSet>, A: Access + PlainAccess> AsyncGuard<P, A> {
    /// The same stripe in a guard to which others can be added.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::future::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let mut guard = AsyncGuard::extendable(locks.lock(&1).await);
    /// assert!(guard.try_extend(&2).is_ok());
    /// # }
    /// ```
    pub fn extendable<K, T, S, M>(guard: Self) -> AsyncMultiGuard<P, Uniform<A>>
    where
        P: Deref<Target = super::AsyncStriped<K, T, S, M>>,
        K: ?Sized,
        M: super::Kind,
    {
        let (set, place, access, record) = guard.hold.into_parts();
        release::forget_key(&*set, place, access.mode());
        let mut stripes = StripeSet::empty(set.stripes());
        stripes.insert(place.stripe());
        AsyncMultiGuard::from_parts(set, Uniform::new(stripes), record)
    }
}

impl<P: Deref<Target: LockSet>, A: Access> Deref for AsyncGuard<P, A> {
    type Target = <P::Target as LockSet>::Value;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        // SAFETY: the guard's existence proves that the stripe is held, and `&mut` needs `&mut` of the guard.
        unsafe { &*self.hold.set.value(self.hold.place.stripe()) }
    }
}

impl<P: Deref<Target: LockSet>> DerefMut for AsyncGuard<P, Write> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: the guard's existence proves that the stripe is held exclusively.
        unsafe { &mut *self.hold.set.value(self.hold.place.stripe()) }
    }
}

impl<P: Deref<Target: LockSet>, A: Access> fmt::Debug for AsyncGuard<P, A>
where
    <P::Target as LockSet>::Value: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What a guard may take. The features `diagnose` and `tracing` need more room.
#[cfg(not(any(feature = "diagnose", feature = "tracing")))]
const _: () = {
    use super::kind::{Permits, Read};
    use crate::{AsyncStripedMutex, AsyncStripedSemaphore};

    assert!(size_of::<Option<AsyncGuard<&AsyncStripedMutex<u64>, Write>>>() <= 16);
    assert!(size_of::<AsyncGuard<&AsyncStripedSemaphore<u64>, Read>>() <= 16);
    assert!(size_of::<AsyncGuard<&AsyncStripedSemaphore<u64>, Permits>>() <= 16);
};
