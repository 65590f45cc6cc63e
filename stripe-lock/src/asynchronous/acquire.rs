//! The futures.

mod checked;
mod enqueued;
mod many;

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::error::AcquireError;
use super::guard::AsyncGuard;
use super::instrument::{Place, Taker, Watch};
use super::kind::Access;
use super::panics::Panics;
use super::release;
use super::sealed::LockSet;
use super::waiter::{Held, UNLIMITED, Waiter, Want};

pub use checked::{Checked, within};
pub(super) use checked::{CheckedPoll, unless_closed};
pub use enqueued::Enqueued;
pub use many::AcquireMany;

/// The panic message of a future that is polled after it was ready.
pub(super) const FINISHED: &str = "the future was polled after it was ready";

/// Waits for the stripe of one key, and becomes its guard.
///
/// # Panics
///
/// When polled, if the set is closed and the future is not [`checked`](Self::checked), or if it was ready before.
///
/// # Cancel safety
///
/// The future may be dropped at any moment. It then gives up its place in the queue, or the stripe if it was granted
/// that already. The stripe goes to the next waiter.
///
/// A future that was polled and is neither polled again nor dropped keeps its place and what it is granted, and the
/// other waiters wait for it: see [async pitfalls](crate::guide::async_pitfalls#a-future-that-is-put-aside). A leaked
/// future (by `mem::forget` of its box, for example) keeps them for ever, as a leaked guard does.
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
pub struct Acquire<P: Deref<Target: LockSet>, A: Access> {
    /// `None` once the future was ready.
    set: Option<P>,
    place: Place,
    access: A,
    waiter: Waiter,
}

impl<P: Deref<Target: LockSet>, A: Access> Acquire<P, A> {
    #[inline(always)]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn new(set: P, place: Place, access: A) -> Self {
        Self { set: Some(set), place, access, waiter: Waiter::new(Watch::new(place.hash())) }
    }

    /// The same future, whose wait is recorded by `watch`.
    pub(super) fn watched(mut self, watch: Watch) -> Self {
        self.waiter.watch = watch;
        self
    }

    /// The same future, with an error instead of a panic if the set is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::asynchronous::AcquireError;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// assert!(locks.lock(&1).checked().await.is_ok());
    /// locks.close();
    /// assert_eq!(locks.lock(&1).checked().await.unwrap_err(), AcquireError::Closed);
    /// # }
    /// ```
    pub fn checked(self) -> Checked<Self> {
        Checked::of(self)
    }

    /// The same future, with an error instead of a wait if the stripe has `max_waiters` waiters already.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::asynchronous::AcquireError;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).unless_crowded(0).await.unwrap(); // it was free
    /// assert_eq!(locks.lock(&1).unless_crowded(0).await.unwrap_err(), AcquireError::Crowded);
    /// # }
    /// ```
    pub fn unless_crowded(self, max_waiters: u32) -> Checked<Self> {
        Checked::limited(self, max_waiters)
    }
}

impl<P: Deref<Target: LockSet>, A: Access> CheckedPoll for Acquire<P, A> {
    type Guard = AsyncGuard<P, A>;

    #[inline(always)]
    fn poll_checked(
        self: Pin<&mut Self>,
        max_waiters: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AsyncGuard<P, A>, AcquireError>> {
        // SAFETY: only the set is moved out, which is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        if let Some(guard) = this.enter(cx) {
            return Poll::Ready(Ok(guard));
        }
        // SAFETY: this is pinned.
        unsafe { this.wait(max_waiters, cx) }
    }
}

impl<P: Deref<Target: LockSet>, A: Access> Acquire<P, A> {
    /// Enters the stripe if it is free, on the first poll.
    #[inline(always)]
    fn enter(&mut self, cx: &Context<'_>) -> Option<AsyncGuard<P, A>> {
        let enters = self.waiter.is_idle()
            && release::try_enter(&**self.set.as_ref()?, self.place, self.access.mode());
        // SAFETY: the stripe has just been entered.
        enters.then(|| unsafe { self.guard(cx) })
    }

    /// # Safety
    ///
    /// The stripe was acquired, and the waiter is idle.
    #[inline(always)]
    unsafe fn guard(&mut self, cx: &Context<'_>) -> AsyncGuard<P, A> {
        let set = self.set.take().expect(FINISHED);
        // SAFETY: the caller's promise.
        let mut guard = unsafe { AsyncGuard::of(set, self.place, self.access) };
        guard.record(Taker::polling(cx, self.waiter.watch.site));
        guard
    }

    /// Continues if the stripe is not free, or the wait has begun in an earlier poll.
    ///
    /// # Safety
    ///
    /// This is pinned.
    #[cold]
    #[inline(never)]
    unsafe fn wait(
        &mut self,
        max_waiters: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AsyncGuard<P, A>, AcquireError>> {
        let set = &**self.set.as_ref().expect(FINISHED);
        let want = Want { at: (self.place, self.access.mode()), plan: None, max_waiters };
        // SAFETY: the waiter is pinned with this, and is cancelled when this is dropped.
        match ready!(unsafe { self.waiter.poll(set, want, cx) }) {
            Ok(stale) => {
                // SAFETY: the waiter has just got the stripe.
                let guard = unsafe { self.guard(cx) };
                drop(stale);
                self.waiter.watch.end(true);
                Poll::Ready(Ok(guard))
            }
            Err(error) => {
                self.give_up();
                self.set = None;
                Poll::Ready(Err(error))
            }
        }
    }

    #[cold]
    fn give_up(&mut self) {
        let Some(set) = &self.set else { return };
        let mut panics = Panics::default();
        let held = self.waiter.cancel(&**set, &mut panics);
        if held == Held::All {
            panics.run(|| release::release(&**set, self.place, self.access.mode()));
        }
        panics.run(|| self.waiter.watch.end(false));
    }
}

impl<P: Deref<Target: LockSet>, A: Access> Future for Acquire<P, A> {
    type Output = AsyncGuard<P, A>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: as in `poll_checked`. It isn't called here, because a guard inside a `Result` would be copied.
        let this = unsafe { self.get_unchecked_mut() };
        match this.enter(cx) {
            Some(guard) => Poll::Ready(guard),
            // SAFETY: this is pinned.
            None => unsafe { this.wait(UNLIMITED, cx) }.map(unless_closed),
        }
    }
}

impl<P: Deref<Target: LockSet>, A: Access> Drop for Acquire<P, A> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.waiter.is_idle() {
            self.give_up();
        }
    }
}

impl<P: Deref<Target: LockSet>, A: Access> fmt::Debug for Acquire<P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.set.is_some() { self.waiter.describe() } else { "finished" };
        f.debug_struct("Acquire")
            .field("stripe", &self.place.stripe())
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
