//! The futures.
//!
//! Where a stripe is free, a future that is polled stores nothing between the exchange that takes it and the one that
//! gives it back: a locked instruction waits for the stores before it.

use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::guard::{AsyncGuard, AsyncMultiGuard};
use super::lot::Lot;
use super::place::Place;
use super::plan::{Access, Plan};
use super::record::Taker;
use super::trace::Site;
use super::turn;
use super::waiter::{Held, Waiter};

/// How a future or a guard reaches its set: by reference, or by an `Arc` that keeps it alive.
///
/// # Examples
///
/// ```
/// fn handle<H: stripe_lock::future::Handle>(_: H) {}
///
/// let locks = std::sync::Arc::new(stripe_lock::AsyncStripedMutex::<u64>::new(4));
/// handle(&*locks);
/// handle(locks);
/// ```
pub trait Handle: Deref<Target: Lot> {
    /// Moves out what is there, for the last time.
    #[doc(hidden)]
    fn depart(slot: &mut Option<Self>) -> Self
    where
        Self: Sized;
}

impl<L: Lot> Handle for &L {
    #[inline(always)]
    fn depart(slot: &mut Option<Self>) -> Self {
        // Left where it is: that saves the store.
        slot.expect("the future was not ready before")
    }
}

impl<L: Lot> Handle for Arc<L> {
    #[inline]
    fn depart(slot: &mut Option<Self>) -> Self {
        slot.take().expect("the future was not ready before")
    }
}

/// Waits for the stripe of one key, and becomes its guard.
///
/// # Cancel safety
///
/// Dropping it, at whatever moment, gives up its place in the line and whatever it was handed already; the stripe then
/// goes to the next in line.
///
/// Leaking it (`mem::forget` of a box, say) after it was polled leaves its place in the line. The stripe goes to it in
/// its turn and is then lost, as with a leaked guard. Nothing else happens: a pinned future that is leaked
/// keeps its memory, and the set never touches a waiter that it is not asked to wake.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use stripe_lock::AsyncStripedMutex;
///
/// let locks = AsyncStripedMutex::<u64>::new(64);
/// let future = locks.lock(&1);
/// assert!(locks.try_lock(&1).is_some(), "nothing happens before it is polled");
/// let _guard = future.await;
/// # }
/// ```
#[must_use = "a future does nothing unless it is awaited"]
pub struct Acquire<P: Deref<Target: Lot>, A: Access> {
    /// Until it is ready.
    lot: Option<P>,
    waiter: Waiter,
    access: PhantomData<A>,
}

impl<P: Deref<Target: Lot>, A: Access> Acquire<P, A> {
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn new(lot: P, place: Place) -> Self {
        Self { lot: Some(lot), waiter: Waiter::new(place), access: PhantomData }
    }

    /// The same, asked for at another place in the program.
    pub(super) fn asked_at(mut self, site: Site) -> Self {
        self.waiter.site = site;
        self
    }
}

impl<P: Handle, A: Access> Future for Acquire<P, A> {
    type Output = AsyncGuard<P, A>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: only the lot is moved out, which is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let lot = &**this.lot.as_ref().expect("polled after it was ready");
        let place = this.waiter.place();
        if this.waiter.is_queued() || !turn::try_enter(lot, place, A::MODE) {
            let at = (place, A::MODE);
            // SAFETY: the waiter is pinned with this, always gets the same arguments, and is cancelled when it is
            // dropped.
            ready!(unsafe { this.waiter.poll(lot, at, at, None, cx) });
        }
        let lot = P::depart(&mut this.lot);
        // SAFETY: the waiter has just got the stripe.
        let guard = unsafe { AsyncGuard::of(lot, place, Taker::polled(cx, this.waiter.site)) };
        this.waiter.watch.end(this.waiter.site, true);
        Poll::Ready(guard)
    }
}

impl<P: Deref<Target: Lot>, A: Access> Drop for Acquire<P, A> {
    #[inline]
    fn drop(&mut self) {
        if self.waiter.is_queued()
            && let Some(lot) = &self.lot
        {
            if let Held::All = self.waiter.cancel(&**lot) {
                turn::release(&**lot, self.waiter.place(), A::MODE);
            }
            self.waiter.watch.end(self.waiter.site, false);
        }
    }
}

/// Waits for the stripes of several keys, taken in ascending order, and becomes their guard.
///
/// It waits in one line at a time. Who hands it a stripe takes the next ones for it as far as they are free, so its task is
/// woken once, when it has all.
///
/// # Cancel safety
///
/// As for [`Acquire`]: whatever it holds by then goes to the next in line, the highest stripe first.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// let all = locks.lock_all();
/// assert_eq!(all.await.len(), 64);
/// # }
/// ```
#[must_use = "a future does nothing unless it is awaited"]
pub struct AcquireMany<P: Deref<Target: Lot>, N: Plan> {
    /// Until it is ready.
    lot: Option<P>,
    /// The same.
    plan: N,
    waiter: Waiter,
}

impl<P: Deref<Target: Lot>, N: Plan> AcquireMany<P, N> {
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn new(lot: P, plan: N) -> Self {
        Self { lot: Some(lot), plan, waiter: Waiter::new(Place::of_stripe(0)) }
    }
}

impl<P: Handle, N: Plan> Future for AcquireMany<P, N> {
    type Output = AsyncMultiGuard<P, N>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the plan is moved out only when nobody waits for it any more, the lot is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let (lot, plan) = (&**this.lot.as_ref().expect("polled after it was ready"), &this.plan);
        let missed = if this.waiter.is_queued() { plan.next_from(0) } else { turn::enter_all(lot, plan) };
        if let Some(at) = missed {
            let first = plan.next_from(0).unwrap_or(at);
            // SAFETY: waiter and plan are pinned with this, the arguments are always the same, and the waiter is
            // cancelled when it is dropped.
            ready!(unsafe { this.waiter.poll(lot, at, first, Some(plan), cx) });
        }
        let (lot, plan) = (this.lot.take().expect("it was there before"), this.plan.depart());
        // SAFETY: the waiter has just got all the stripes.
        let guard = unsafe { AsyncMultiGuard::of(lot, plan, Taker::polled(cx, this.waiter.site)) };
        this.waiter.watch.end(this.waiter.site, true);
        Poll::Ready(guard)
    }
}

impl<P: Deref<Target: Lot>, N: Plan> Drop for AcquireMany<P, N> {
    #[inline]
    fn drop(&mut self) {
        if self.waiter.is_queued()
            && let Some(lot) = &self.lot
        {
            let held = self.waiter.cancel(&**lot);
            turn::release_held(&**lot, &self.plan, held);
            self.waiter.watch.end(self.waiter.site, false);
        }
    }
}

/// What a future may take. The features that keep a record of waits need more room.
#[cfg(not(any(stripe_lock_loom, feature = "stats", feature = "diagnose", feature = "tracing")))]
const _: () = {
    use super::plan::{Mixed, Read, Uniform, Write};
    use crate::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore};

    assert!(size_of::<Acquire<&AsyncStripedMutex<u64>, Write>>() <= 80);
    assert!(size_of::<Acquire<Arc<AsyncStripedMutex<u64>>, Write>>() <= 80);
    assert!(size_of::<Acquire<&AsyncStripedRwLock<u64>, Read>>() <= 80);
    assert!(size_of::<Acquire<&AsyncStripedSemaphore<u64>, Read>>() <= 80);
    assert!(size_of::<AcquireMany<&AsyncStripedMutex<u64>, Uniform<Write>>>() <= 192);
    assert!(size_of::<AcquireMany<&AsyncStripedSemaphore<u64>, Uniform<Read>>>() <= 192);
    assert!(size_of::<AcquireMany<&AsyncStripedRwLock<u64>, Mixed>>() <= 192);
};
