//! The futures.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::error::AcquireError;
use super::guard::AsyncGuard;
use super::instrument::{Place, Taker, Watch};
use super::kind::Access;
use super::multi::AsyncMultiGuard;
use super::panics::Panics;
use super::plan::{Plan, next_from};
use super::release;
use super::sealed::LockSet;
use super::waiter::{Held, UNLIMITED, Waiter, Want};
use super::word::Mode;

/// The panic message of a future that is polled after it was ready.
pub(super) const FINISHED: &str = "the future was polled after it was ready";

/// Waits for the stripe of one key, and becomes its guard.
///
/// # Panics
///
/// If the set is closed, unless it is [`checked`](Self::checked), and if it is polled after it was ready.
///
/// # Cancel safety
///
/// Dropping it, at whatever moment, gives up its place in the queue and whatever it was granted already; the stripe then
/// goes to the next waiter.
///
/// A future that was polled and is neither polled again nor dropped keeps its place and what it is granted, and the
/// other waiters wait for it: see [async pitfalls](crate::guide::async_pitfalls#a-future-that-is-put-aside). A future
/// that is leaked (by `mem::forget` of its box, for example) does so for ever, as a leaked guard does.
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
    /// Until it is ready.
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

    /// The same, asked for at another place in the program.
    pub(super) fn watched(mut self, watch: Watch) -> Self {
        self.waiter.watch = watch;
        self
    }

    /// The same, with an error in place of the panic where the set is closed.
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

    /// The same, with an error instead of a wait if the stripe has `max_waiters` waiters already.
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
        // SAFETY: as in `poll_checked`, which this doesn't call: a guard inside a result would be copied.
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

/// Waits for the stripes of several keys, taken in ascending order, and becomes their guard.
///
/// It waits in one queue at a time. A release that hands it a stripe also takes the next ones for it, at most 32 and
/// only while they are free. So its task is woken once in most cases.
///
/// # Panics
///
/// If the set is closed, unless it is [`checked`](Self::checked), and if it is polled after it was ready.
///
/// # Cancel safety
///
/// As for [`Acquire`]: the stripes that it holds by then go to their next waiters, the highest stripe first.
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
    /// Until it is ready.
    set: Option<P>,
    /// The same.
    plan: N,
    waiter: Waiter,
}

impl<P: Deref<Target: LockSet>, N: Plan> AcquireMany<P, N> {
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn new(set: P, plan: N) -> Self {
        Self { set: Some(set), plan, waiter: Waiter::new(Watch::new(crate::shared::waits::KeyHash::NONE)) }
    }

    /// The same, asked for at another place in the program.
    pub(super) fn watched(mut self, watch: Watch) -> Self {
        self.waiter.watch = watch;
        self
    }

    /// The same, with an error in place of the panic where the set is closed.
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

    /// The same, with an error instead of a wait if the first stripe that is not free has `max_waiters` waiters
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
            // SAFETY: this is pinned, and what is below `at` was entered the first time.
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
        // SAFETY: as in `poll_checked`, which this doesn't call: a guard inside a result would be copied.
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

/// A future that returns an error when it fails.
pub trait CheckedPoll {
    /// The guard that it becomes.
    type Guard;
    /// Goes on.
    fn poll_checked(
        self: Pin<&mut Self>,
        max_waiters: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Guard, AcquireError>>;
}

/// The guard of an acquisition; panics if the set is closed, which is the only error here.
#[inline(always)]
pub(super) fn unless_closed<G>(outcome: Result<G, AcquireError>) -> G {
    #[cold]
    #[inline(never)]
    fn closed(error: AcquireError) -> ! {
        panic!("{error}; `checked()` makes that an error instead of a panic")
    }
    outcome.unwrap_or_else(|error| closed(error))
}

/// The same future, with an error if it can't become a guard. Made by [`Acquire::checked`] and
/// [`Acquire::unless_crowded`], and the same methods of [`AcquireMany`].
///
/// # Errors
///
/// [`AcquireError::Closed`] if the set is closed, and [`AcquireError::Crowded`] if there were too many waiters.
/// Nothing is held then.
///
/// # Cancel safety
///
/// That of the inner future.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// let waiting = locks.lock(&1).checked();
/// locks.close();
/// assert!(waiting.await.is_err());
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Checked<F> {
    future: F,
    max_waiters: u32,
}

impl<F> Checked<F> {
    pub(super) fn of(future: F) -> Self {
        Self::limited(future, UNLIMITED)
    }

    pub(super) fn limited(future: F, max_waiters: u32) -> Self {
        Self { future, max_waiters }
    }
}

impl<F: CheckedPoll> Future for Checked<F> {
    type Output = Result<F::Guard, AcquireError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let max_waiters = self.max_waiters;
        // SAFETY: the future is pinned with this, and never moved out.
        unsafe { self.map_unchecked_mut(|this| &mut this.future) }.poll_checked(max_waiters, cx)
    }
}

/// Waits for `lock` until `sleep` is over. For the futures that have no `_timeout` form of their own.
///
/// `lock` is polled first, so a free lock is taken even if the time is up already.
///
/// # Errors
///
/// [`AcquireError::Elapsed`] if `sleep` ends first; `lock` has then been dropped.
///
/// # Cancel safety
///
/// That of `lock`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::time::Duration;
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::asynchronous::within;
///
/// let locks = AsyncStripedMutex::<u64>::new(64);
/// let sleep = tokio::time::sleep(Duration::from_millis(5));
/// assert!(within(locks.lock_many(&[1, 2]), sleep).await.is_ok());
/// # }
/// ```
pub async fn within<L: Future>(lock: L, sleep: impl Future) -> Result<L::Output, AcquireError> {
    let (mut lock, mut sleep) = (pin!(lock), pin!(sleep));
    poll_fn(|cx| {
        if let Poll::Ready(guard) = lock.as_mut().poll(cx) {
            return Poll::Ready(Ok(guard));
        }
        sleep.as_mut().poll(cx).map(|_| Err(AcquireError::Elapsed))
    })
    .await
}

/// A place in the queue of a stripe, taken when this was made, and awaited later. Made by
/// [`enqueue_owned`](crate::AsyncStripedMutex::enqueue_owned) and the like.
///
/// # Panics
///
/// When polled, as [`Acquire`] does.
///
/// # Cancel safety
///
/// As for [`Acquire`]. Until it is polled or dropped it keeps its place, and whatever it was granted.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedMutex;
///
/// let locks = Arc::new(AsyncStripedMutex::<u64, Vec<u32>>::new(64).strict_fifo());
/// // A dispatcher hands out places in order; the tasks may start in whatever order.
/// let jobs: Vec<_> = (0..3).map(|job| (job, locks.enqueue_owned(&1))).collect();
/// let tasks: Vec<_> =
///     jobs.into_iter().rev().map(|(job, place)| tokio::spawn(async move { place.await.push(job) })).collect();
/// for task in tasks {
///     task.await.unwrap();
/// }
/// assert_eq!(*locks.lock(&1).await, [0, 1, 2]);
/// # }
/// ```
#[must_use = "it keeps its place in the queue until it is awaited or dropped"]
pub struct Enqueued<P: Deref<Target: LockSet>, A: Access>(Turn<P, A>);

enum Turn<P: Deref<Target: LockSet>, A: Access> {
    /// The stripe was free.
    Ready(Option<AsyncGuard<P, A>>),
    Waiting(Pin<Box<Acquire<P, A>>>),
}

impl<L: LockSet, A: Access> Enqueued<Arc<L>, A> {
    /// Takes the stripe, or a place in its queue.
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn new(future: Acquire<Arc<L>, A>) -> Self {
        let mut future = Box::pin(future);
        // The task that awaits it will set the waker.
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(guard) => Self(Turn::Ready(Some(guard))),
            Poll::Pending => Self(Turn::Waiting(future)),
        }
    }
}

impl<P: Deref<Target: LockSet> + Unpin, A: Access> Future for Enqueued<P, A> {
    type Output = AsyncGuard<P, A>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: nothing in here is pinned but what is in the box.
        match unsafe { &mut self.get_unchecked_mut().0 } {
            Turn::Ready(guard) => Poll::Ready(guard.take().expect(FINISHED)),
            Turn::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

impl<P: Deref<Target: LockSet>, A: Access> fmt::Debug for Enqueued<P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Turn::Ready(guard) => {
                let state = if guard.is_some() { "granted" } else { "finished" };
                f.debug_struct("Enqueued").field("state", &state).finish_non_exhaustive()
            }
            Turn::Waiting(future) => f.debug_tuple("Enqueued").field(future).finish(),
        }
    }
}
