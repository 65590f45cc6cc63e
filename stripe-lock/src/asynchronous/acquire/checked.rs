//! Futures that return an error instead of panicking, and time limits.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use super::super::error::AcquireError;
use super::super::waiter::UNLIMITED;

/// A future that returns an error when it fails.
pub trait CheckedPoll {
    /// The guard that it becomes.
    type Guard;
    /// Continues the wait.
    fn poll_checked(
        self: Pin<&mut Self>,
        max_waiters: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Guard, AcquireError>>;
}

/// The guard of an acquisition; panics if the set is closed, which is the only error here.
#[inline(always)]
pub(in crate::asynchronous) fn unless_closed<G>(outcome: Result<G, AcquireError>) -> G {
    #[cold]
    #[inline(never)]
    fn closed(error: AcquireError) -> ! {
        panic!("{error}; `checked()` makes that an error instead of a panic")
    }
    outcome.unwrap_or_else(|error| closed(error))
}

/// A future that returns an error instead of panicking if it can't become a guard. Made by
/// [`Acquire::checked`](super::Acquire::checked) and [`Acquire::unless_crowded`](super::Acquire::unless_crowded), and
/// the same methods of [`AcquireMany`](super::AcquireMany).
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
    pub(in crate::asynchronous) fn of(future: F) -> Self {
        Self::limited(future, UNLIMITED)
    }

    pub(in crate::asynchronous) fn limited(future: F, max_waiters: u32) -> Self {
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
