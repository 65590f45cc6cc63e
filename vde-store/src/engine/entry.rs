//! The items of an iteration over keys.

use std::fmt;
use std::sync::Arc;

use crate::container::blob::BlobMap;
use crate::container::error::{Error, Result};
use crate::container::memtable::{Change, Location, Payload, Stored};
use crate::engine::cursor::Found;
use crate::engine::value::{Metadata, Value, ValueReader};
use crate::engine::view::ReadView;

/// A key and, on demand, its value.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "value")?;
/// let entry = store.list("").next().unwrap()?;
/// assert_eq!((entry.key(), entry.len()), (&b"k"[..], 5));
/// assert_eq!(&*entry.value()?, b"value");
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone)]
pub struct Entry {
    pub(crate) view: Arc<ReadView>,
    pub(crate) found: Found,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("key", &self.key()).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Entry {
    /// The key.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(store.list("").next().unwrap()?.key(), b"k");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn key(&self) -> &[u8] {
        self.found.key()
    }

    /// The key, owned.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(*store.list("").next().unwrap()?.into_key(), *b"k");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn into_key(self) -> Box<[u8]> {
        self.key().into()
    }

    /// The length of the value in bytes. The value is not read.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "12345")?;
    /// assert_eq!(store.list("").next().unwrap()?.len(), 5);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.found.len()
    }

    /// Whether the value has no bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "")?;
    /// assert!(store.list("").next().unwrap()?.is_empty());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The version of the value: that of the write that made it. The value is not read.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] and [`Error::Io`] if the index cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// let version = store.put("k", "v")?;
    /// assert_eq!(store.list("").next().unwrap()?.version()?, version);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn version(&self) -> Result<u64> {
        self.with_stored(|change, stored| Ok(stored.origin.map_or(change.seq, |origin| origin.version)))
    }

    /// The value, loaded now.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] and [`Error::Io`] if the value cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(&*store.list("").next().unwrap()?.value()?, b"v");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn value(&self) -> Result<Value> {
        match &self.found {
            // The cell has only the place of the value, which is read now.
            Found::Indexed(cell) => self.view.layers.indexed_value(cell),
            Found::Recent(..) => self.with_stored(|_, stored| self.view.layers.value(self.key(), stored)),
        }
    }

    /// A reader of the value. It holds at most one chunk of the value in memory.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value).
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// let entry = store.list("").next().unwrap()?;
    /// assert_eq!(std::io::read_to_string(entry.reader()?).unwrap(), "v");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn reader(&self) -> Result<ValueReader> {
        self.with_stored(|_, stored| self.view.layers.reader(self.key(), stored))
    }

    /// The map of a large value in the index, and the place of the record that contains the map.
    pub(crate) fn recorded_blob(&self) -> Result<Option<(Location, BlobMap)>> {
        self.with_stored(|_, stored| match &stored.payload {
            Payload::Record { location, blob: true, .. } => {
                Ok(Some((*location, self.view.layers.blob_map(self.key(), *location)?)))
            }
            _ => Ok(None),
        })
    }

    fn with_stored<T>(&self, read: impl FnOnce(&Change, &Stored) -> Result<T>) -> Result<T> {
        let change = self.found.change()?;
        // A cursor yields no deleted key.
        let stored = change.stored.as_ref().ok_or(Error::corrupt("index entry", 0))?;
        read(&change, stored)
    }

    /// The metadata of the value.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value).
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(store.list("").next().unwrap()?.metadata()?.len, 1);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn metadata(&self) -> Result<Metadata> {
        self.with_stored(|change, stored| self.view.layers.metadata(self.key(), change, stored))
    }
}
