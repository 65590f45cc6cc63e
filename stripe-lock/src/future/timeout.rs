//! Giving up after a time, on any runtime.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// The time was up before the lock was had.
///
/// # Examples
///
/// ```
/// use stripe_lock::future::Elapsed;
///
/// assert_eq!(Elapsed.to_string(), "the lock was not to be had in time");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock was not to be had in time")
    }
}

impl Error for Elapsed {}

/// Waits for `lock` until `sleep` is over. For the futures that have no `_timeout` form of their own.
///
/// `lock` is polled first, so what is free is had even if the time is up already.
///
/// # Errors
///
/// [`Elapsed`] if `sleep` ends first; `lock` has then been dropped.
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
/// use stripe_lock::future::within;
///
/// let locks = AsyncStripedMutex::<u64>::new(64);
/// let sleep = tokio::time::sleep(Duration::from_millis(5));
/// assert!(within(locks.lock_many(&[1, 2]), sleep).await.is_ok());
/// # }
/// ```
pub async fn within<L: Future>(lock: L, sleep: impl Future) -> Result<L::Output, Elapsed> {
    let (mut lock, mut sleep) = (pin!(lock), pin!(sleep));
    poll_fn(|cx| {
        if let Poll::Ready(guard) = lock.as_mut().poll(cx) {
            return Poll::Ready(Ok(guard));
        }
        sleep.as_mut().poll(cx).map(|_| Err(Elapsed))
    })
    .await
}
