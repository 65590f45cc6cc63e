//! The errors of this crate.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of every fallible operation of this crate.
///
/// # Examples
///
/// ```
/// fn length(store: &vde_store::Vde) -> vde_store::Result<usize> {
///     Ok(store.get("greeting")?.map_or(0, |value| value.len()))
/// }
/// assert_eq!(length(&vde_store::Vde::in_memory()?)?, 0);
/// # Ok::<(), vde_store::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. It is cheap to clone: all writers that waited for a failed sync receive its cause.
///
/// # Examples
///
/// ```
/// use vde_store::{Error, Vde};
///
/// let store = Vde::in_memory()?;
/// assert!(matches!(store.put("", "no key"), Err(Error::InvalidKey { len: 0 })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("could not {action}: {source}")]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The operating system's reason.
        source: Arc<io::Error>,
    },
    /// Stored bytes fail their checksum or contradict the format.
    #[error("corrupt {what} at byte {offset} of the container")]
    Corrupt {
        /// The structure that is damaged.
        what: &'static str,
        /// The byte offset at which it begins in the container file.
        offset: u64,
    },
    /// The file is not a container of this crate.
    #[error("{}not a vde container: {reason}", named(path.as_deref()))]
    NotAStore {
        /// The file, if it was opened by its path.
        path: Option<PathBuf>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The container was written by a newer version of this crate.
    #[error("the container needs format version {needed}, this build knows {known}")]
    NewerFormat {
        /// The version that the container asks for.
        needed: u32,
        /// The newest version that this build knows.
        known: u32,
    },
    /// Another process (or another handle in this one) has the container open.
    #[error("the container {} is already open elsewhere", path.display())]
    AlreadyOpen {
        /// The container.
        path: PathBuf,
    },
    /// The store could not be closed, because something else uses it.
    #[error("the store is still in use by {by}")]
    InUse {
        /// What uses it.
        by: &'static str,
    },
    /// The closure of an update tried to write to the same store. It would wait for the stripe that the update holds.
    #[error("the store cannot be written to from inside an update of it")]
    InsideUpdate,
    /// A write to a store that was opened read-only.
    #[error("the store is open read-only")]
    ReadOnly,
    /// A write or sync has failed, so the store accepts no more writes. Acknowledged writes are safe: opening
    /// the store again recovers them.
    #[error("the store turned read-only after a failure: {cause}")]
    Poisoned {
        /// The first failure.
        cause: Arc<io::Error>,
    },
    /// A watcher received its changes too slowly: those that it has not received exceed
    /// [`VdeOptions::watch_bytes`](crate::VdeOptions::watch_bytes). The watch has ended.
    #[error("the watcher fell behind: the changes that it has not received exceed `watch_bytes`")]
    FellBehind,
    /// A condition of a batch does not hold, so nothing was written.
    #[error("the condition on key `{}` does not hold", key.escape_ascii())]
    ConditionFailed {
        /// The key.
        key: Box<[u8]>,
    },
    /// The device has no space. Reads, deletions and checkpoints continue while the space that is reserved for them
    /// lasts. Once there is space again, [`Vde::try_resume`](crate::Vde::try_resume) lets writes continue.
    ///
    /// Usually nothing was changed. If the log itself had no space, the write may be logged in memory: then
    /// `try_resume` makes it durable, and closing the store before that loses it.
    #[error("the disk is full: {cause}")]
    Full {
        /// The operating system's error.
        cause: Arc<io::Error>,
    },
    /// A key is empty, or longer than [`MAX_KEY_LEN`](crate::MAX_KEY_LEN).
    #[error("a key has 1 to 65536 bytes, this one has {len}")]
    InvalidKey {
        /// The length of the key in bytes.
        len: usize,
    },
    /// A value or its metadata is longer than the format can hold.
    #[error("{what} of {len} bytes is longer than the format's {max}")]
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// Its length in bytes.
        len: u64,
        /// The longest that is allowed.
        max: u64,
    },
    /// There is a snapshot of this name already.
    #[error("there is a snapshot `{name}` already")]
    SnapshotExists {
        /// The name.
        name: String,
    },
    /// There is no snapshot of this name.
    #[error("there is no snapshot `{name}`")]
    SnapshotNotFound {
        /// The name.
        name: String,
    },
    /// The write is durable and visible, but [`Durability::Shipped`](crate::Durability::Shipped) was asked for, and
    /// nobody ships the store any more. It is unknown whether the write was shipped.
    #[error("the write is durable, but the store is not shipped{}", caused(cause.as_deref()))]
    NotShipped {
        /// Why the shipper ended. `None` if there is none, or if it was dropped.
        cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// An option is out of its range.
    #[error("option `{option}`: {reason}")]
    InvalidOption {
        /// The name of the option.
        option: &'static str,
        /// What it must be.
        reason: &'static str,
    },
}

/// The end of a message that has a cause.
fn caused(cause: Option<&(dyn std::error::Error + Send + Sync)>) -> String {
    cause.map_or_else(String::new, |cause| format!(": {cause}"))
}

/// The start of a message about a file.
fn named(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!("{}: ", path.display()))
}

impl Error {
    /// As [`io`](Self::io), for the file at `path`.
    pub(crate) fn at(path: &Path, action: &'static str, source: &io::Error) -> Self {
        Self::io(action, io::Error::new(source.kind(), format!("{}{source}", named(Some(path)))))
    }

    pub(crate) fn not_a_store(reason: &'static str) -> Self {
        Self::NotAStore { path: None, reason }
    }

    /// The same error, with the path of the container.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::NotAStore { reason, .. } => Self::NotAStore { path: Some(path.into()), reason },
            other => other,
        }
    }

    pub(crate) fn io(action: &'static str, source: io::Error) -> Self {
        Self::Io { action, source: Arc::new(source) }
    }

    /// The error of reading a value that was to be stored. A reader of a stored value wraps the store's own error.
    pub(crate) fn source(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(inner) => inner.clone(),
            None => Self::io("read the value", error),
        }
    }

    pub(crate) fn corrupt(what: &'static str, offset: u64) -> Self {
        Self::Corrupt { what, offset }
    }

    /// Whether a write failed for lack of space. A failed sync is always [`Poisoned`](Self::Poisoned), even if its
    /// error is lack of space, because the data may be lost.
    pub(crate) fn is_lack_of_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

/// Whether a device has refused a write for lack of space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
