//! Reading: one point in time, without a lock.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::format::MAX_KEY_LEN;
use crate::memtable::{Change, Horizon, Memtable, Stored};
use crate::value::{Metadata, Value, time_from_micros};

/// What the store consists of at a moment. Readers load it once and keep it as long as they need it.
pub(crate) struct Layers {
    pub(crate) memtable: Arc<Memtable>,
}

impl Layers {
    pub(crate) fn find(&self, key: &[u8], horizon: Horizon) -> Option<Stored> {
        self.change(key, horizon)?.stored
    }

    pub(crate) fn change(&self, key: &[u8], horizon: Horizon) -> Option<Change> {
        self.memtable.find(key, horizon)
    }

    pub(crate) fn metadata(&self, key: &[u8], horizon: Horizon) -> Option<Metadata> {
        let change = self.change(key, horizon)?;
        let stored = change.stored?;
        let (mut version, mut created) = (change.seq, stored.modified);
        if let Some(origin) = stored.origin {
            (version, created) = (origin.version, origin.created);
        } else {
            // The creation time is that of the oldest write since the key was last absent.
            let mut seq = change.seq;
            while let Some(before) = self.change(key, Horizon { durable: seq - 1, published: seq - 1 }) {
                let Some(stored) = before.stored else { break };
                created = stored.modified;
                seq = before.seq;
            }
        }
        Some(Metadata {
            len: stored.bytes.len() as u64,
            created: time_from_micros(created),
            modified: time_from_micros(stored.modified),
            version,
            checksum: stored.value_checksum,
        })
    }

    fn first(&self, from: Bound<&[u8]>, horizon: Horizon) -> Option<(Box<[u8]>, Change)> {
        self.memtable.first(from, horizon)
    }
}

/// The store as it was at one point in time. Holding it keeps what it shows from being collected.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "old")?;
/// let view = store.read_view();
/// store.put("k", "new")?;
/// store.put("l", "new")?;
/// assert_eq!(view.get("k")?.unwrap(), b"old");
/// assert!(!view.contains("l")?);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a view does nothing unless read from"]
pub struct ReadView {
    pub(crate) layers: Arc<Layers>,
    pub(crate) horizon: Horizon,
}

impl fmt::Debug for ReadView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadView").field("durable", &self.horizon.durable).finish_non_exhaustive()
    }
}

pub(crate) fn check_key(key: &[u8]) -> Result<()> {
    if (1..=MAX_KEY_LEN).contains(&key.len()) { Ok(()) } else { Err(Error::InvalidKey { len: key.len() }) }
}

impl ReadView {
    /// A copy of the value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`]; [`Error::Corrupt`] and [`Error::Io`] where the value cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// let view = vde_store::Vde::in_memory()?.read_view();
    /// assert_eq!(view.get("k")?, None);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        Ok(self.value(key)?.map(|value| value.to_vec()))
    }

    /// The value of `key`, pinned.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// let view = vde_store::Vde::in_memory()?.read_view();
    /// assert_eq!(view.value("k")?, None);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn value(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let key = key.as_ref();
        check_key(key)?;
        Ok(self.layers.find(key, self.horizon).map(|stored| Value(stored.bytes)))
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// let view = vde_store::Vde::in_memory()?.read_view();
    /// assert!(!view.contains("k")?);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        check_key(key)?;
        Ok(self.layers.find(key, self.horizon).is_some())
    }

    /// What is known of the value of `key` beside its bytes.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// let view = vde_store::Vde::in_memory()?.read_view();
    /// assert_eq!(view.metadata("k")?, None);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn metadata(&self, key: impl AsRef<[u8]>) -> Result<Option<Metadata>> {
        let key = key.as_ref();
        check_key(key)?;
        Ok(self.layers.metadata(key, self.horizon))
    }

    /// The entries whose keys begin with `prefix`, in key order.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// for key in ["a/1", "a/2", "b/1"] {
    ///     store.put(key, "")?;
    /// }
    /// assert_eq!(store.read_view().list("a/").count(), 2);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> Entries {
        let prefix = prefix.as_ref();
        Entries::new(self.clone(), Bound::Included(prefix.into()), end_of_prefix(prefix))
    }

    /// The entries whose keys lie in `range`, in key order.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// for key in ["a", "b", "c"] {
    ///     store.put(key, "")?;
    /// }
    /// assert_eq!(store.read_view().range("b"..).count(), 2);
    /// assert_eq!(store.read_view().range::<&str>(..).count(), 3);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Entries {
        let own = |bound: Bound<&K>| bound.map(|key| Box::from(key.as_ref()));
        Entries::new(self.clone(), own(range.start_bound()), own(range.end_bound()))
    }
}

/// The first key behind all that begin with `prefix`.
fn end_of_prefix(prefix: &[u8]) -> Bound<Box<[u8]>> {
    match prefix.iter().rposition(|byte| *byte != u8::MAX) {
        None => Bound::Unbounded,
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            Bound::Excluded(end.into())
        }
    }
}

/// Entries in key order, all of one point in time.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("b", "2")?;
/// store.put("a", "1")?;
/// let keys: Vec<_> = store.list("").map(|entry| Ok(entry?.into_key())).collect::<vde_store::Result<_>>()?;
/// assert_eq!(keys, [Box::from(*b"a"), Box::from(*b"b")]);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Entries {
    view: ReadView,
    next: Bound<Box<[u8]>>,
    end: Bound<Box<[u8]>>,
    done: bool,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("next", &self.next).field("end", &self.end).finish_non_exhaustive()
    }
}

fn as_slice(bound: &Bound<Box<[u8]>>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &**key)
}

impl Entries {
    fn new(view: ReadView, start: Bound<Box<[u8]>>, end: Bound<Box<[u8]>>) -> Self {
        Self { view, next: start, end, done: false }
    }

    fn is_past_end(&self, key: &[u8]) -> bool {
        match as_slice(&self.end) {
            Bound::Unbounded => false,
            Bound::Included(end) => key > end,
            Bound::Excluded(end) => key >= end,
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let Some((key, change)) = self.view.layers.first(as_slice(&self.next), self.view.horizon) else {
                break;
            };
            if self.is_past_end(&key) {
                break;
            }
            self.next = Bound::Excluded(key.clone());
            if let Some(stored) = change.stored {
                return Some(Ok(Entry { view: self.view.clone(), key, stored }));
            }
        }
        self.done = true;
        None
    }
}

impl std::iter::FusedIterator for Entries {}

/// Always ready: what is not in memory is read on the polling thread.
impl futures_core::Stream for Entries {
    type Item = Result<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.next())
    }
}

/// A key and, when asked for, its value.
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
    view: ReadView,
    key: Box<[u8]>,
    stored: Stored,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("key", &self.key).field("len", &self.len()).finish_non_exhaustive()
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
        &self.key
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
        self.key
    }

    /// The length of the value in bytes; reads nothing.
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
        self.stored.bytes.len() as u64
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

    /// The value, loaded now.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] and [`Error::Io`] where it cannot be read.
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
        Ok(Value(self.stored.bytes.clone()))
    }

    /// What is known of the value beside its bytes.
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
        let found = self.view.layers.metadata(&self.key, self.view.horizon);
        // The entry came from this very view, which does not change.
        found.ok_or(Error::Corrupt { what: "index entry", offset: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_its_successor() {
        assert_eq!(end_of_prefix(b""), Bound::Unbounded);
        assert_eq!(end_of_prefix(b"ab"), Bound::Excluded(b"ac"[..].into()));
        assert_eq!(end_of_prefix(b"a\xff\xff"), Bound::Excluded(b"b"[..].into()));
        assert_eq!(end_of_prefix(b"\xff\xff"), Bound::Unbounded);
    }
}
