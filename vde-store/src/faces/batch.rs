//! Batches: writes of many keys that happen together.

use std::ops::RangeBounds;

use crate::container::error::Result;
use crate::engine::operation::{Condition, Writes};
use crate::faces::store::Vde;

/// Puts and deletes of many keys that happen together: readers see all of them or none, and so does recovery after a
/// crash.
///
/// If a key is written twice, the later write counts. Dropping a batch that was not committed does nothing.
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

    /// Adds the deletion of every key in `range`; see [`Vde::delete_range`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("b", "old")?;
    /// let mut batch = store.batch();
    /// batch.delete_range("a".."c").put("b", "new");
    /// batch.commit()?;
    /// assert_eq!(store.get("b")?.unwrap(), b"new");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete_range<K: AsRef<[u8]>>(&mut self, range: impl RangeBounds<K>) -> &mut Self {
        self.writes.delete_range(&range);
        self
    }

    /// Adds the deletion of every key that begins with `prefix`; see [`Vde::delete_range`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("user/1", "old")?;
    /// let mut batch = store.batch();
    /// batch.delete_prefix("user/").put("user/2", "new");
    /// batch.commit()?;
    /// assert_eq!(store.list("user/").count(), 1);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete_prefix(&mut self, prefix: impl AsRef<[u8]>) -> &mut Self {
        self.writes.delete_prefix(prefix.as_ref());
        self
    }

    /// Adds a condition: if it does not hold for `key` when the batch is committed, nothing is written. It is checked
    /// before the batch's own writes. With conditions, a caller can read several keys, and write only if none of them
    /// has changed since.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Condition, Error, Vde};
    ///
    /// // Two consumers saw the same message; one of them gets it.
    /// let store = Vde::in_memory()?;
    /// store.put("queue/1", "message")?;
    /// let take = || {
    ///     let mut batch = store.batch();
    ///     batch.require("queue/1", Condition::Present).delete("queue/1").put("taken/1", "message");
    ///     batch.commit()
    /// };
    /// take()?;
    /// assert!(matches!(take(), Err(Error::ConditionFailed { key }) if *key == *b"queue/1"));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn require(&mut self, key: impl AsRef<[u8]>, condition: Condition) -> &mut Self {
        self.writes.require(key, condition);
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

    /// Makes all the writes. Returns the version of the last one; the others have smaller ones, in the order in which they were
    /// added. A batch without writes returns 0.
    ///
    /// # Errors
    ///
    /// As [`Vde::put`]. [`Error::ConditionFailed`](crate::Error::ConditionFailed) if a condition does not hold; then
    /// nothing is written.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let mut batch = store.batch();
    /// batch.put("a", "1").put("b", "2");
    /// let version = batch.commit()?;
    /// assert_eq!(store.metadata("b")?.unwrap().version, version);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn commit(self) -> Result<u64> {
        self.store.write(&self.writes)
    }
}
