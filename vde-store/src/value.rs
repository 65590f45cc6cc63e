//! Values as readers receive them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The bytes of a value, pinned: they stay what they were when read, whatever is written or collected meanwhile.
/// Cheap to clone and to send.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "old")?;
/// let value = store.value("k")?.unwrap();
/// store.put("k", "new")?;
/// assert_eq!(&*value, b"old");
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone)]
pub struct Value(pub(crate) Arc<[u8]>);

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes)", self.len())
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

/// What is known of a stored value beside its bytes.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "12345")?;
/// let metadata = store.metadata("k")?.unwrap();
/// assert_eq!(metadata.len, 5);
/// assert!(metadata.created <= metadata.modified);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Length of the value in bytes.
    pub len: u64,
    /// When the key was first put since it was last absent.
    pub created: SystemTime,
    /// When the value was put.
    pub modified: SystemTime,
    /// Grows with every write to the store; two different values of one key never share it.
    pub version: u64,
    /// XXH3 (64 bits, seed 0) of the value.
    pub checksum: u64,
}

pub(crate) fn time_from_micros(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

pub(crate) fn now_micros() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}
