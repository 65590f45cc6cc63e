//! The guard of one stripe.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr;

use super::instrument::{Place, Record, Taker};
use super::kind::{Access, Write};
use super::release;
use super::sealed::LockSet;

/// Holds a stripe, and releases it when it is dropped. All guards of one stripe contain it.
pub(super) struct Hold<P: Deref<Target: LockSet>, A: Access> {
    pub(super) set: P,
    pub(super) place: Place,
    pub(super) access: A,
    pub(super) record: Record,
}

impl<P: Deref<Target: LockSet>, A: Access> Hold<P, A> {
    /// Takes it apart; the caller owns the stripe now.
    pub(super) fn into_parts(self) -> (P, Place, A, Record) {
        let hold = ManuallyDrop::new(self);
        // SAFETY: each is read once, and the hold is not dropped.
        unsafe {
            (ptr::read(&raw const hold.set), hold.place, hold.access, ptr::read(&raw const hold.record))
        }
    }

    /// The same stripe, held with `access` from now on.
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
/// `P` is the guard's pointer to the set: a reference, or an `Arc` that keeps the set alive. The methods are associated
/// functions, so that they can't hide methods of the data. A method that only some guards have is called by the alias
/// of the guard: `AsyncWriteGuard::downgrade(guard)`.
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
    /// Makes the guard `Send` only if the data is `Send`, and `Sync` only if the data is `Sync`.
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
    /// use stripe_lock::asynchronous::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// assert_eq!(AsyncGuard::stripe(&locks.blocking_lock(&1)), locks.stripe_of(&1));
    /// ```
    pub fn stripe(guard: &Self) -> usize {
        guard.hold.place.stripe()
    }

    /// Releases the stripe, and hands it to the waiter that has waited longest, if there is one: no newcomer comes
    /// first.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::asynchronous::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// AsyncGuard::unlock_fair(locks.blocking_lock(&1));
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    pub fn unlock_fair(guard: Self) {
        release::prefer_waiters(&*guard.hold.set, guard.hold.place.stripe());
        drop(guard);
    }
}

/// Takes a stripe if that needs no waiting.
#[inline(always)]
#[cfg_attr(feature = "diagnose", track_caller)]
pub(super) fn try_one<P, A>(set: P, place: Place, access: A) -> Option<AsyncGuard<P, A>>
where
    P: Deref<Target: LockSet>,
    A: Access,
{
    if !release::try_enter(&*set, place, access.mode()) {
        return None;
    }
    // SAFETY: the stripe has just been entered.
    let mut guard = unsafe { AsyncGuard::of(set, place, access) };
    guard.record(Taker::trying());
    Some(guard)
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
