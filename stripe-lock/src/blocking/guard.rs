//! The guard of one stripe, for every kind of lock and every mode, borrowed or with an `Arc`.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr;

use crate::blocking::held::Held;
use crate::blocking::lock::StripedLock;
use crate::blocking::raw::{Exclusive, Mode, RawAcquire, RawAcquireFair, Way};
use crate::blocking::stripe::Stripe;

mod mapped;
mod modes;
mod unlocked;

pub use mapped::MappedGuard;

/// Holds one stripe in mode `M` until it is dropped, and gives access to the stripe's data.
///
/// Programs name it by an alias: [`MutexGuard`](crate::blocking::MutexGuard),
/// [`RwLockReadGuard`](crate::blocking::RwLockReadGuard), [`ArcMutexGuard`](crate::blocking::ArcMutexGuard) and so
/// on. `P` says how the guard reaches the stripe: by a reference, or by an `Arc` of the whole set and an index.
///
/// The methods are associated functions, so that they can't hide methods of `T`.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use stripe_lock::StripedMutex;
///
/// let stock = StripedMutex::<str, HashMap<String, u32>>::new(64);
/// let mut guard = stock.lock("apples");
/// guard.insert("apples".into(), 3);
/// drop(guard);
/// assert_eq!(stock.lock("apples")["apples"], 3);
/// ```
///
/// A guard may move to another thread only if the raw lock permits it. `parking_lot`'s locks do not, because the
/// thread that locked has to unlock:
///
/// ```compile_fail,E0277
/// let locks = stripe_lock::StripedMutex::<str>::new(64);
/// let guard = locks.lock("apples");
/// std::thread::scope(|scope| {
///     scope.spawn(move || drop(guard));
/// });
/// ```
///
/// References to the data can't outlive the guard:
///
/// ```compile_fail,E0505
/// let stock = stripe_lock::StripedMutex::<str, Vec<String>>::new(64);
/// let mut guard = stock.lock("apples");
/// let names: &mut Vec<String> = &mut guard;
/// drop(guard);
/// names.push("apples".into());
/// ```
#[must_use = "if unused, the stripe is released at once"]
pub struct Guard<P, L, T, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    stripe: P,
    state: ManuallyDrop<L::State>,
    held: Held,
    /// Makes the guard `Send` only if `T` is `Send`, and `Sync` only if `T` is `Sync`.
    data: PhantomData<T>,
}

impl<P, L, T, M> Guard<P, L, T, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    /// Takes the stripe, which has this index. `None` if `way` ended without it.
    #[inline]
    pub(crate) fn take(stripe: P, index: usize, way: &impl Way<L, M>) -> Option<Self> {
        let state = ManuallyDrop::new(stripe.take(way, index)?);
        Some(Self { stripe, state, held: Held::none(), data: PhantomData })
    }

    /// The guard with its record. It is built again, because a guard whose fields were just written one by one is slow
    /// to move.
    #[inline]
    pub(crate) fn recorded(self, held: Held) -> Self {
        let (stripe, state, _) = self.into_parts();
        Self::from_parts(stripe, state, held)
    }

    #[inline]
    pub(crate) fn stripe(guard: &Self) -> &Stripe<L, T> {
        &guard.stripe
    }

    /// Takes the guard apart without releasing the stripe.
    #[inline]
    pub(crate) fn into_parts(self) -> (P, L::State, Held) {
        let mut guard = ManuallyDrop::new(self);
        // SAFETY: `guard` is never dropped nor used again, so each of the three fields is moved out once.
        unsafe {
            (
                ptr::read(&raw const guard.stripe),
                ManuallyDrop::take(&mut guard.state),
                ptr::read(&raw const guard.held),
            )
        }
    }

    /// Builds a guard from parts that hold the stripe in mode `M`.
    #[inline]
    fn from_parts(stripe: P, state: L::State, held: Held) -> Self {
        Self { stripe, state: ManuallyDrop::new(state), held, data: PhantomData }
    }

    /// Removes the guard from this thread's debug record. Call it before the guard moves to another thread.
    ///
    /// Without this call, the guard counts for the thread that took it until it is dropped. Until then that thread
    /// can't wait for the same stripe or a lower one. Raw locks whose guards cannot move to another thread do not
    /// need it.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::Guard;
    /// use stripe_lock::{StripedMutex, lock_api::RawMutex};
    ///
    /// fn work_elsewhere<R>(locks: &StripedMutex<u64, u32, R>)
    /// where
    ///     R: RawMutex<Guard: Send> + Sync,
    /// {
    ///     let mut guard = Guard::hand_over(locks.lock(&1));
    ///     std::thread::scope(|scope| {
    ///         scope.spawn(move || *guard += 1);
    ///         // It waits for the other thread, not for itself.
    ///         *locks.lock(&1) += 1;
    ///     });
    /// }
    /// ```
    pub fn hand_over(mut guard: Self) -> Self
    where
        Self: Send,
    {
        guard.held.end();
        guard
    }

    /// Releases the stripe and hands it to the waiter that has waited longest, if there is one. No newcomer can
    /// overtake it. With waiters, this is slower than dropping the guard.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::MutexGuard;
    /// use stripe_lock::StripedMutex;
    ///
    /// let locks = StripedMutex::<u64>::new(64);
    /// MutexGuard::unlock_fair(locks.lock(&1));
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    #[inline]
    pub fn unlock_fair(guard: Self)
    where
        L: RawAcquireFair<M>,
    {
        let (stripe, state, mut held) = guard.into_parts();
        held.end();
        // SAFETY: `state` comes from this stripe, and the guard, which alone gave out references to the data, no
        // longer exists.
        unsafe { stripe.release_fair(state) }
    }
}

impl<P, L, T, M> Drop for Guard<P, L, T, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    #[inline]
    fn drop(&mut self) {
        self.held.end();
        // SAFETY: the state is taken out once, here, since every other way to do so forgets the guard; it comes from
        // this stripe, and references that the guard gave out can't outlive it.
        unsafe { self.stripe.release(ManuallyDrop::take(&mut self.state)) }
    }
}

impl<P, L, T, M> Deref for Guard<P, L, T, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the stripe, so there is no `&mut T` elsewhere.
        unsafe { &*self.stripe.data() }
    }
}

impl<P, L, T> DerefMut for Guard<P, L, T, Exclusive>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<Exclusive>,
{
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the stripe exclusively, and `&mut self` makes this the only reference through it.
        unsafe { &mut *self.stripe.data() }
    }
}

impl<P, L, T: fmt::Debug, M> fmt::Debug for Guard<P, L, T, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<P, L, T: fmt::Display, M> fmt::Display for Guard<P, L, T, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// How a guard reaches its stripe through an `Arc` of the whole set. Such a guard is `'static`.
pub struct ArcStripe<K: ?Sized, T, L, S> {
    pub(crate) set: Arc<StripedLock<K, T, L, S>>,
    pub(crate) stripe: usize,
}

impl<K: ?Sized, T, L, S> ArcStripe<K, T, L, S> {
    #[inline]
    pub(crate) fn new(set: Arc<StripedLock<K, T, L, S>>, stripe: usize) -> Self {
        Self { set, stripe }
    }
}

impl<K: ?Sized, T, L, S> Deref for ArcStripe<K, T, L, S> {
    type Target = Stripe<L, T>;

    #[inline]
    fn deref(&self) -> &Stripe<L, T> {
        self.set.striped.stripe(self.stripe)
    }
}
