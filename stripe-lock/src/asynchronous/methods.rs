//! The methods that take stripes, written once for all kinds of sets and ways of holding a stripe.

mod every_stripe;
mod one_stripe;
mod several_keys;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::acquire::{CheckedPoll, FINISHED, unless_closed};
use super::block::{block_on, block_on_until};
use super::error::AcquireError;
use super::waiter::UNLIMITED;

pub(super) use every_stripe::every_stripe;
pub(super) use one_stripe::one_stripe;
pub(super) use several_keys::several_keys;

/// A future with a time limit. Made by `lock_timeout` and the like.
///
/// # Errors
///
/// [`AcquireError::Elapsed`] if the time is up first, and [`AcquireError::Closed`] if the set is closed. Nothing is
/// held then.
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
/// let _guard = locks.lock(&1).await;
/// assert!(locks.lock_timeout(&1, std::future::ready(())).await.is_err());
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Timeout<L, F> {
    /// `None` once the future was ready.
    lock: Option<L>,
    sleep: F,
}

impl<L: CheckedPoll, F: Future> Timeout<L, F> {
    pub(super) fn new(lock: L, sleep: F) -> Self {
        Self { lock: Some(lock), sleep }
    }
}

impl<L: CheckedPoll, F: Future> Future for Timeout<L, F> {
    type Output = Result<L::Guard, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: both are pinned with this, and neither is ever moved out.
        let (mut lock, sleep) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.lock), Pin::new_unchecked(&mut this.sleep))
        };
        let outcome = match lock.as_mut().as_pin_mut().expect(FINISHED).poll_checked(UNLIMITED, cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                ready!(sleep.poll(cx));
                Err(AcquireError::Elapsed)
            }
        };
        // A finished future keeps no place in the queue.
        lock.set(None);
        Poll::Ready(outcome)
    }
}

/// A future for [`block_on`] that returns an error when it fails.
struct Checking<L>(L);

impl<L: CheckedPoll> Future for Checking<L> {
    type Output = Result<L::Guard, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: it is pinned with this, and never moved out.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll_checked(UNLIMITED, cx)
    }
}

/// Blocks the thread until the lock is acquired.
pub(super) fn block<L: CheckedPoll>(lock: L) -> L::Guard {
    unless_closed(block_on(Checking(lock)))
}

/// Blocks the thread until the lock is acquired or the time is up.
pub(super) fn block_for<L: CheckedPoll>(lock: L, limit: Duration) -> Result<L::Guard, AcquireError> {
    match Instant::now().checked_add(limit) {
        Some(deadline) => block_on_until(Checking(lock), deadline).unwrap_or(Err(AcquireError::Elapsed)),
        None => block_on(Checking(lock)),
    }
}
