//! The errors of this crate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of every fallible operation of this crate.
///
/// # Examples
///
/// ```
/// fn nothing() -> vde_ship::Result<()> {
///     Ok(())
/// }
/// assert!(nothing().is_ok());
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed.
///
/// # Examples
///
/// ```
/// use vde_ship::{Bucket, Error};
/// assert!(matches!(Bucket::open("nowhere://bucket"), Err(Error::Url { .. })));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] vde_store::Error),
    /// The object store failed, or could not be reached.
    #[error("could not {action} `{object}`: {source}")]
    Objects {
        /// What was tried.
        action: &'static str,
        /// The object.
        object: String,
        /// The reason.
        source: Arc<object_store::Error>,
    },
    /// The object store did not answer in time. The operation may have succeeded.
    #[error("could not {action} `{object}` within the time limit")]
    TimedOut {
        /// What was tried.
        action: &'static str,
        /// The object.
        object: String,
    },
    /// Another shipper has taken over. What this one had reported as shipped is safe; it ships nothing more.
    #[error("another shipper has taken over with entry {number}")]
    Fenced {
        /// The number of the entry with which the other one began.
        number: u64,
    },
    /// The shipper was closed or dropped.
    #[error("the shipper was closed")]
    Closed,
    /// An object fails its checksum, or contradicts the format.
    #[error("damaged object `{object}`")]
    Damaged {
        /// The object.
        object: String,
    },
    /// An object is missing that others refer to. If it was removed because it was older than what is kept, try again.
    #[error("object `{object}` is missing")]
    Missing {
        /// The object.
        object: String,
    },
    /// A newer version of this crate wrote the object.
    #[error("object `{object}` needs format version {needed}, this build knows {known}")]
    NewerFormat {
        /// The object.
        object: String,
        /// The version that the object asks for.
        needed: u32,
        /// The newest version that this build knows.
        known: u32,
    },
    /// There is no base from which the point could be restored: nothing was shipped, or the point is older than what
    /// is kept.
    #[error("there is no base from which this point could be restored")]
    NoBase,
    /// A file of this machine could not be read or written.
    #[error("could not {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Arc<io::Error>,
    },
    /// A text is no point that could be restored.
    #[error("`{text}` is no point: {reason}")]
    NoPoint {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL names no object store that this build supports.
    #[error("`{url}`: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.into(), source: Arc::new(source) }
    }

    /// The error that travelled through a [`Read`](io::Read).
    pub(crate) fn of_read(error: io::Error, object: &str) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(_) => Self::Damaged { object: object.into() },
        }
    }

    /// Whether it helps to try again later.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!vde_ship::Error::NoBase.is_passing());
    /// ```
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Objects { .. } | Self::TimedOut { .. })
    }
}
