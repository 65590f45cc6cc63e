//! Writes of many keys that happen as one.

use crate::error::Result;
use crate::options::Durability;
use crate::store::Vde;

/// A key and its new value; `None` deletes.
type OwnedWrite = (Box<[u8]>, Option<Box<[u8]>>);

/// The writes of a batch, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Writes(Vec<OwnedWrite>);

impl Writes {
    pub(crate) fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.push((key.as_ref().into(), Some(value.as_ref().into())));
    }

    pub(crate) fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.0.push((key.as_ref().into(), None));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Logs them as one transaction; returns the sequence number that acknowledges it.
    pub(crate) fn log(&self, store: &Vde) -> Result<u64> {
        let writes = self.0.iter().map(|(key, value)| (&**key, value.as_deref()));
        store.shared().write_batch(writes, store.durability())
    }
}

/// Puts and deletes of many keys, made as one: readers see all of them or none, and so does recovery after a crash.
///
/// Where one key is written twice, the later write counts. Dropping a batch that was not committed does nothing.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("from", "100")?;
/// let mut batch = store.batch();
/// batch.delete("from").put("to", "100");
/// batch.commit()?;
/// assert!(store.contains("to")? && !store.contains("from")?);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    store: Vde,
    writes: Writes,
}

impl Batch {
    pub(crate) fn new(store: Vde) -> Self {
        Self { store, writes: Writes::default() }
    }

    /// Adds a put.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.batch();
    /// batch.put("k", "v");
    /// batch.commit()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.writes.put(key, value);
        self
    }

    /// Adds a deletion.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.batch();
    /// batch.delete("k");
    /// batch.commit()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        self.writes.delete(key);
        self
    }

    /// How many writes were added.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.batch();
    /// assert_eq!(batch.put("k", "v").len(), 1);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether nothing was added.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(vde_store::Vde::in_memory()?.batch().is_empty());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes all the writes.
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.batch();
    /// batch.put("k", "v");
    /// batch.commit()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn commit(self) -> Result<()> {
        let seq = self.writes.log(&self.store)?;
        match self.store.durability() {
            Durability::Sync => self.store.shared().wait_durable(seq),
            Durability::Buffered => Ok(()),
        }
    }
}
