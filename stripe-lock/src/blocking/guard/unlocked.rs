//! Releasing a stripe temporarily.

use core::mem::ManuallyDrop;
use core::ops::Deref;

use super::Guard;
use crate::blocking::held::Suspended;
use crate::blocking::pins::Pin;
use crate::blocking::raw::{Mode, RawAcquire, RawAcquireFair, Wait};
use crate::blocking::stripe::Stripe;

impl<P, L, T, M> Guard<P, L, T, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    /// Releases the stripe, calls `f`, and takes the stripe again, even if `f` panics.
    ///
    /// Other threads may change the data while `f` runs. With a reentrant mutex, the stripe is free for them only if
    /// this is the thread's only guard of it.
    ///
    /// # Panics
    ///
    /// If `f` panics. In debug builds also if this thread holds the same stripe or a higher one by another guard,
    /// because taking the stripe again could then hang.
    ///
    /// # Aborts
    ///
    /// If the stripe can't be taken again, because no code may see a guard without its stripe. That happens if the raw
    /// lock panics, and in debug builds if `f` leaves a guard of the same stripe or of a higher one on this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::MutexGuard;
    /// use stripe_lock::StripedMutex;
    ///
    /// let locks = StripedMutex::<u64, u32>::new(64);
    /// let mut guard = locks.lock(&1);
    /// MutexGuard::unlocked(&mut guard, || *locks.lock(&1) += 1);
    /// assert_eq!(*guard, 1);
    /// ```
    #[track_caller]
    pub fn unlocked<O>(guard: &mut Self, f: impl FnOnce() -> O) -> O {
        // SAFETY: the state comes from this stripe, and `&mut` proves that no reference to the data is left.
        Self::without(guard, |stripe, state| unsafe { stripe.release(state) }, f)
    }

    /// As [`unlocked`](Self::unlocked), and hands the stripe to the waiter that has waited longest.
    ///
    /// # Panics
    ///
    /// As [`unlocked`](Self::unlocked).
    ///
    /// # Aborts
    ///
    /// As [`unlocked`](Self::unlocked).
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::MutexGuard;
    /// use stripe_lock::StripedMutex;
    ///
    /// let locks = StripedMutex::<u64, u32>::new(64);
    /// let mut guard = locks.lock(&1);
    /// MutexGuard::unlocked_fair(&mut guard, || *locks.lock(&1) += 1);
    /// assert_eq!(*guard, 1);
    /// ```
    #[track_caller]
    pub fn unlocked_fair<O>(guard: &mut Self, f: impl FnOnce() -> O) -> O
    where
        L: RawAcquireFair<M>,
    {
        // SAFETY: the state comes from this stripe, and `&mut` proves that no reference to the data is left.
        Self::without(guard, |stripe, state| unsafe { stripe.release_fair(state) }, f)
    }

    /// Hands the stripe to the waiter that has waited longest, and takes it again. Does nothing if there are no
    /// waiters. Use it in long sections that can be interrupted: other threads may change the data in between.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging, if this thread holds the same stripe or a higher one by another guard.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::blocking::MutexGuard;
    /// use stripe_lock::StripedMutex;
    ///
    /// let locks = StripedMutex::<u64, Vec<u32>>::new(64);
    /// let mut guard = locks.lock(&1);
    /// for n in 0..1_000 {
    ///     guard.push(n);
    ///     MutexGuard::bump(&mut guard);
    /// }
    /// ```
    #[track_caller]
    pub fn bump(guard: &mut Self)
    where
        L: RawAcquireFair<M>,
    {
        guard.held.check_again(M::ACCESS);
        let _pin = Pin::new(&*guard.stripe);
        // SAFETY: the state comes from this stripe, and `&mut` proves that no reference to the data is left.
        unsafe { guard.stripe.raw().bump(&mut guard.state) }
    }

    /// Releases the stripe by `release`, calls `f`, and takes the stripe again.
    #[track_caller]
    fn without<O>(
        guard: &mut Self,
        release: impl FnOnce(&Stripe<L, T>, L::State),
        f: impl FnOnce() -> O,
    ) -> O {
        guard.held.check_again(M::ACCESS);
        let suspended = Some(guard.held.suspend());
        let _pin = Pin::new(&*guard.stripe);
        // SAFETY: `Retake` puts another state in its place before other code sees the guard, or aborts.
        let state = unsafe { ManuallyDrop::take(&mut guard.state) };
        let retake = Retake { guard, suspended };
        release(&retake.guard.stripe, state);
        f()
    }
}

/// A guard without its stripe. Dropping this takes the stripe again.
struct Retake<'g, P, L, T, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    guard: &'g mut Guard<P, L, T, M>,
    suspended: Option<Suspended>,
}

impl<P, L, T, M> Drop for Retake<'_, P, L, T, M>
where
    P: Deref<Target = Stripe<L, T>>,
    L: RawAcquire<M>,
    M: Mode,
{
    fn drop(&mut self) {
        let abort = AbortOnPanic;
        if let Some(suspended) = self.suspended.take() {
            suspended.check();
            // The index is for events about long waits.
            let state = self.guard.stripe.take(&Wait, 0).expect("a wait without a limit gets the stripe");
            self.guard.state = ManuallyDrop::new(state);
            self.guard.held.resume(suspended);
        }
        core::mem::forget(abort);
    }
}

/// If a panic drops it, it panics too, which aborts the process.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        panic!("a guard can't take its stripe again");
    }
}
