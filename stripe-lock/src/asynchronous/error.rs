//! Why a stripe was not acquired.

use std::error::Error;
use std::fmt;

/// Why a stripe was not acquired.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::asynchronous::AcquireError;
///
/// let locks = AsyncStripedMutex::<u64>::new(64);
/// let _guard = locks.lock(&1).await;
/// let crowded = locks.lock_unless_crowded(&1, 0).await.unwrap_err();
/// assert_eq!(crowded, AcquireError::Crowded);
/// assert_eq!(crowded.to_string(), "too many waiters want the stripe already");
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AcquireError {
    /// The time was up first.
    Elapsed,
    /// The set is closed.
    Closed,
    /// The stripe has as many waiters as were allowed.
    Crowded,
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elapsed => "the time was up before the stripe was free",
            Self::Closed => "the set of locks is closed",
            Self::Crowded => "too many waiters want the stripe already",
        })
    }
}

impl Error for AcquireError {}
