//! The future of several stripes.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::super::error::AcquireError;
use super::super::instrument::{Place, Taker, Watch};
use super::super::multi::AsyncMultiGuard;
use super::super::panics::Panics;
use super::super::plan::{Plan, next_from};
use super::super::release;
use super::super::sealed::LockSet;
use super::super::waiter::{UNLIMITED, Waiter, Want};
use super::super::word::Mode;
use super::{Checked, CheckedPoll, FINISHED, unless_closed};

/// Waits for the stripes of several keys, taken in ascending order, and becomes their guard.
///
/// It waits in one queue at a time. A release that hands it a stripe also takes the next ones for it, at most 32 and
/// only while they are free. So its task is woken once in most cases.
///
/// # Panics
///
/// When polled, if the set is closed and the future is not [`checked`](Self::checked), or if it was ready before.
///
/// # Cancel safety
///
/// As for [`Acquire`](super::Acquire): the stripes that it holds by then go to their next waiters, the highest stripe
/// first.
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
pub struct AcquireMany<P: Deref<Target: LockSet>, N: Plan> {
    /// `None` once the future was ready.
    set: Option<P>,
    /// Moved out when the future is ready.
    plan: N,
    waiter: Waiter,
}

impl<P: Deref<Target: LockSet>, N: Plan> AcquireMany<P, N> {
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(in crate::asynchronous) fn new(set: P, plan: N) -> Self {
        Self { set: Some(set), plan, waiter: Waiter::new(Watch::new(crate::shared::waits::KeyHash::NONE)) }
    }

    /// The same future, whose wait is recorded by `watch`.
    pub(in crate::asynchronous) fn watched(mut self, watch: Watch) -> Self {
        self.waiter.watch = watch;
        self
    }

    /// The same future, with an error instead of a panic if the set is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// assert!(locks.lock_many(&[1, 2]).checked().await.is_ok());
    /// locks.close();
    /// assert!(locks.lock_many(&[1, 2]).checked().await.is_err());
    /// # }
    /// ```
    pub fn checked(self) -> Checked<Self> {
        Checked::of(self)
    }

    /// The same future, with an error instead of a wait if the first stripe that is not free has `max_waiters` waiters
    /// already.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).await;
    /// assert!(locks.lock_many(&[1, 2]).unless_crowded(0).await.is_err());
    /// # }
    /// ```
    pub fn unless_crowded(self, max_waiters: u32) -> Checked<Self> {
        Checked::limited(self, max_waiters)
    }

    /// On the first poll, enters the stripes from the lowest up to the first that is not free. Returns that one.
    #[inline]
    fn enter(&mut self) -> Option<(Place, Mode)> {
        let set = &**self.set.as_ref().expect(FINISHED);
        if self.waiter.is_idle() { release::enter_all(set, &self.plan) } else { next_from(&self.plan, 0) }
    }

    /// # Safety
    ///
    /// The stripes of the plan were acquired, and the waiter is idle.
    #[inline]
    unsafe fn guard(&mut self, cx: &Context<'_>) -> AsyncMultiGuard<P, N> {
        let (set, plan) = (self.set.take().expect(FINISHED), self.plan.take());
        // SAFETY: the caller's promise.
        let mut guard = unsafe { AsyncMultiGuard::of(set, plan) };
        guard.record(Taker::polling(cx, self.waiter.watch.site));
        guard
    }

    /// Continues if a stripe is not free, or the wait has begun in an earlier poll.
    ///
    /// # Safety
    ///
    /// This is pinned. On the first call the stripes below `at` are held.
    #[cold]
    #[inline(never)]
    unsafe fn wait(
        &mut self,
        at: (Place, Mode),
        max_waiters: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AsyncMultiGuard<P, N>, AcquireError>> {
        let set = &**self.set.as_ref().expect(FINISHED);
        let want = Want { at, plan: Some(&self.plan), max_waiters };
        // SAFETY: waiter and plan are pinned with this, and the waiter is cancelled when this is dropped.
        match ready!(unsafe { self.waiter.poll(set, want, cx) }) {
            Ok(stale) => {
                // SAFETY: the waiter has just got all the stripes.
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
        panics.run(|| release::release_held(&**set, &self.plan, held));
        panics.run(|| self.waiter.watch.end(false));
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> CheckedPoll for AcquireMany<P, N> {
    type Guard = AsyncMultiGuard<P, N>;

    #[inline]
    fn poll_checked(
        self: Pin<&mut Self>,
        max_waiters: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AsyncMultiGuard<P, N>, AcquireError>> {
        // SAFETY: the plan is moved out only after the wait; the set is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        match this.enter() {
            // SAFETY: this is pinned, and the stripes below `at` were entered on the first poll.
            Some(at) => unsafe { this.wait(at, max_waiters, cx) },
            // SAFETY: all the stripes have just been entered.
            None => Poll::Ready(Ok(unsafe { this.guard(cx) })),
        }
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> Future for AcquireMany<P, N> {
    type Output = AsyncMultiGuard<P, N>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: as in `poll_checked`. It isn't called here, because a guard inside a `Result` would be copied.
        let this = unsafe { self.get_unchecked_mut() };
        match this.enter() {
            // SAFETY: as there.
            Some(at) => unsafe { this.wait(at, UNLIMITED, cx) }.map(unless_closed),
            // SAFETY: as there.
            None => Poll::Ready(unsafe { this.guard(cx) }),
        }
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> Drop for AcquireMany<P, N> {
    #[inline]
    fn drop(&mut self) {
        if !self.waiter.is_idle() {
            self.give_up();
        }
    }
}

impl<P: Deref<Target: LockSet>, N: Plan> fmt::Debug for AcquireMany<P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.set.is_some() { self.waiter.describe() } else { "finished" };
        f.debug_struct("AcquireMany").field("state", &state).finish_non_exhaustive()
    }
}
