//! What can go wrong.

use std::error::Error as StdError;
use std::fmt;

/// Why a lock was not acquired, or not released.
///
/// # Examples
///
/// ```
/// use stripe_lock_dist::Error;
///
/// let error = Error::Refused("no such database".into());
/// assert_eq!(error.to_string(), "the engine refuses: no such database");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The time was up before the lock was free.
    Elapsed,
    /// The lock was lost before it was released.
    Lost,
    /// The engine can't be reached at the moment, or fails. Calls that wait try again by themselves.
    Unreachable(Box<dyn StdError + Send + Sync>),
    /// The keys are on more stripes than the engine can take in one call. Nothing was taken.
    TooManyStripes {
        /// On how many stripes the keys are.
        stripes: usize,
        /// The most that the engine can take.
        most: usize,
    },
    /// The engine does not work for this client, and trying again does not help. For example, the number of stripes
    /// differs, or a right is missing.
    Refused(String),
}

impl Error {
    /// An engine that can't be reached.
    pub(crate) fn unreachable(why: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unreachable(why.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elapsed => f.write_str("the time was up before the lock was free"),
            Self::Lost => f.write_str("the lock was lost before it was released"),
            Self::Unreachable(why) => write!(f, "the engine can't be reached: {why}"),
            Self::TooManyStripes { stripes, most } => {
                write!(
                    f,
                    "the keys are on {stripes} stripes, and the engine takes at most {most} in one call"
                )
            }
            Self::Refused(why) => write!(f, "the engine refuses: {why}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unreachable(why) => Some(&**why),
            _ => None,
        }
    }
}
