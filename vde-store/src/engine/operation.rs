//! The parts of a batch: its writes, and its conditions.

use std::ops::{Bound, RangeBounds};

use crate::container::error::{Error, Result};
use crate::container::format::MAX_KEY_LEN;
use crate::engine::entries::end_of_prefix;

/// The [weight](Writes::weight) of an operation or a condition without its bytes.
const WEIGHT: usize = 64;

/// One write of a batch.
#[derive(Debug)]
pub(crate) enum Operation {
    Put(Box<[u8]>, Box<[u8]>),
    Delete(Box<[u8]>),
    /// Deletes the keys from the first one on, up to but not including the second.
    DeleteRange(Box<[u8]>, Option<Box<[u8]>>),
}

impl Operation {
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::Delete(key) | Self::DeleteRange(key, _) => key,
        }
    }
}

/// A condition on a key, without which a batch is not written; see [`Batch::require`](crate::Batch::require).
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
    /// The key has no value.
    Absent,
    /// The key has a value.
    Present,
    /// The key has this value.
    Value(Vec<u8>),
    /// The key's value has this [version](crate::Metadata::version).
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

    /// Roughly how many bytes have to be read and written for the batch.
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

/// The next key after `key`, if there is one. A key that is too long is returned as it is, and fails later.
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

/// The operation that deletes a range; `None` if no key can be in it.
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

/// The outcome of a batch.
pub(crate) struct Decided {
    /// The key of a condition that does not hold, if there is one.
    pub(crate) unmet: Option<Box<[u8]>>,
    /// The outcome is acknowledged once the log is durable up to this sequence number.
    pub(crate) seq: u64,
}

impl Decided {
    /// The result for the caller: the version of the last write.
    pub(crate) fn outcome(self) -> Result<u64> {
        self.unmet.map_or(Ok(self.seq), |key| Err(Error::ConditionFailed { key }))
    }
}
