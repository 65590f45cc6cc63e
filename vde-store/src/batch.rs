//! Writes of many keys that happen as one.

use std::ops::{Bound, RangeBounds};

use crate::entries::end_of_prefix;
use crate::error::{Error, Result};
use crate::format::MAX_KEY_LEN;
use crate::store::Vde;

/// What an operation or a condition weighs without its bytes.
const WEIGHT: usize = 64;

/// One write of a batch.
#[derive(Debug)]
pub(crate) enum Operation {
    Put(Box<[u8]>, Box<[u8]>),
    Delete(Box<[u8]>),
    /// Deletes the keys from the first on, up to but not including the other.
    DeleteRange(Box<[u8]>, Option<Box<[u8]>>),
}

impl Operation {
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::Delete(key) | Self::DeleteRange(key, _) => key,
        }
    }
}

/// What must be true of a key for a batch to be made; see [`Batch::require`].
///
/// # Examples
///
/// ```
/// use vde_store::{Condition, Vde};
///
/// let store = Vde::in_memory()?;
/// store.put("k", "1")?;
/// let version = store.metadata("k")?.unwrap().version;
/// let mut batch = store.batch();
/// batch.require("k", Condition::Version(version)).put("k", "2");
/// batch.commit()?;
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// It has no value.
    Absent,
    /// It has a value.
    Present,
    /// It has this value.
    Value(Vec<u8>),
    /// Its value has this [version](crate::Metadata::version).
    Version(u64),
}

/// The writes of a batch, in the order in which they were added, and their conditions.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    pub(crate) operations: Vec<Operation>,
    pub(crate) conditions: Vec<(Box<[u8]>, Condition)>,
}

impl Writes {
    pub(crate) fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.operations.push(Operation::Put(key.as_ref().into(), value.as_ref().into()));
    }

    pub(crate) fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.operations.push(Operation::Delete(key.as_ref().into()));
    }

    pub(crate) fn delete_range<K: AsRef<[u8]>>(&mut self, range: &impl RangeBounds<K>) {
        self.operations.extend(operation_of(range.start_bound(), range.end_bound()));
    }

    pub(crate) fn delete_prefix(&mut self, prefix: &[u8]) {
        let end = end_of_prefix(prefix);
        self.operations.extend(operation_of(Bound::Included(&prefix), end.as_ref()));
    }

    pub(crate) fn require(&mut self, key: impl AsRef<[u8]>, condition: Condition) {
        self.conditions.push((key.as_ref().into(), condition));
    }

    pub(crate) fn len(&self) -> usize {
        self.operations.len()
    }

    /// How many bytes have to be read and written to make them, roughly.
    pub(crate) fn weight(&self) -> usize {
        let operations = self.operations.iter().map(|operation| match operation {
            Operation::Put(key, value) => key.len() + value.len(),
            Operation::Delete(key) | Operation::DeleteRange(key, _) => key.len(),
        });
        let conditions = self.conditions.iter().map(|(key, condition)| match condition {
            Condition::Value(value) => key.len() + value.len(),
            Condition::Absent | Condition::Present | Condition::Version(_) => key.len(),
        });
        operations.chain(conditions).map(|bytes| bytes + WEIGHT).sum()
    }
}

/// The key behind `key`, if there is one. Of a key that is too long, the same: it is refused later.
fn successor(key: &[u8]) -> Option<Box<[u8]>> {
    if key.len() < MAX_KEY_LEN {
        return Some([key, &[0]].concat().into());
    }
    match end_of_prefix(key) {
        Bound::Excluded(end) if key.len() == MAX_KEY_LEN => Some(end),
        Bound::Unbounded if key.len() == MAX_KEY_LEN => None,
        _ => Some(key.into()),
    }
}

/// What deletes a range; `None` where no key can lie in it.
fn operation_of<K: AsRef<[u8]> + ?Sized, L: AsRef<[u8]> + ?Sized>(
    from: Bound<&K>,
    end: Bound<&L>,
) -> Option<Operation> {
    let from = match from.map(AsRef::as_ref) {
        Bound::Unbounded | Bound::Included([]) | Bound::Excluded([]) => Box::from([0]),
        Bound::Included(from) => Box::from(from),
        Bound::Excluded(from) => successor(from)?,
    };
    let until = match end.map(AsRef::as_ref) {
        Bound::Unbounded => None,
        Bound::Included([]) | Bound::Excluded([]) => return None,
        Bound::Included(last) => successor(last),
        Bound::Excluded(until) => Some(until.into()),
    };
    let is_empty = until.as_ref().is_some_and(|until| *until <= from);
    (!is_empty).then_some(Operation::DeleteRange(from, until))
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

    /// Adds a condition: unless it holds of `key` when the batch is committed, nothing is written. The batch's own writes
    /// do not count. With conditions, several keys can be read, and written only if none of them has changed since.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Condition, Error, Vde};
    ///
    /// // Two takers saw the same message; one of them gets it.
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

    /// Makes all the writes.
    ///
    /// # Errors
    ///
    /// As [`Vde::put`]; [`Error::ConditionFailed`](crate::Error::ConditionFailed) where a condition does not hold, and
    /// nothing was written.
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
        self.store.write(&self.writes)
    }
}

/// What became of a batch.
pub(crate) struct Decided {
    /// The key of a condition that does not hold.
    pub(crate) unmet: Option<Box<[u8]>>,
    /// The sequence number whose durability acknowledges this.
    pub(crate) seq: u64,
}

impl Decided {
    /// What the caller is told.
    pub(crate) fn outcome(self) -> Result<()> {
        self.unmet.map_or(Ok(()), |key| Err(Error::ConditionFailed { key }))
    }
}
