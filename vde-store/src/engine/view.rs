//! Reading at one point in time, without a lock.

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::container::error::{Error, Result};
use crate::container::format::MAX_KEY_LEN;
use crate::container::memtable::{Horizon, Recent};
use crate::engine::cursor::Found;
use crate::engine::entries::{Entries, end_of_prefix};
use crate::engine::entry::Entry;
use crate::engine::layers::Layers;
use crate::engine::value::{Metadata, Value, ValueReader};

/// The store as it was at one point in time. While a view exists, the space of its data is not reused.
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

/// The start of the range, and the byte after its last one.
pub(crate) fn ends(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Unbounded => 0,
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
    };
    let to = match range.end_bound() {
        Bound::Unbounded => u64::MAX,
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
    };
    (from, to)
}

impl ReadView {
    /// The entry of `key`: one lookup for its value and its metadata.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`]; [`Error::Corrupt`] and [`Error::Io`] if the index cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let version = store.put("k", "v")?;
    /// let entry = store.read_view().entry("k")?.unwrap();
    /// assert_eq!((&*entry.value()?, entry.metadata()?.version), (&b"v"[..], version));
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>> {
        let key = key.as_ref();
        check_key(key)?;
        let change = self.layers.change(key, self.horizon)?.filter(|change| change.stored.is_some());
        Ok(change.map(|change| {
            let found = Found::Recent(Arc::new(vec![Recent { key: key.into(), change }]), 0);
            Entry { view: Arc::new(self.clone()), found }
        }))
    }

    /// A copy of the value of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`]; [`Error::Corrupt`] and [`Error::Io`] if the value cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// let view = vde_store::Vde::in_memory()?.read_view();
    /// assert_eq!(view.get("k")?, None);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let key = key.as_ref();
        check_key(key)?;
        self.layers.get(key, self.horizon)
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
        let found = self.layers.find(key, self.horizon)?;
        found.map(|stored| self.layers.value(key, &stored)).transpose()
    }

    /// The bytes of the value of `key` that are in `range`; fewer if the value ends earlier. Bytes outside the range
    /// are not read.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "0123456789")?;
    /// assert_eq!(store.read_view().get_range("k", 3..5)?.unwrap(), b"34");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn get_range(&self, key: impl AsRef<[u8]>, range: impl RangeBounds<u64>) -> Result<Option<Vec<u8>>> {
        let key = key.as_ref();
        check_key(key)?;
        let (from, to) = ends(&range);
        let found = self.layers.find(key, self.horizon)?;
        found.map(|stored| self.layers.range(key, &stored, from, to)).transpose()
    }

    /// A reader of the value of `key`. It holds at most one chunk of the value in memory.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    ///
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "value")?;
    /// let mut text = String::new();
    /// store.read_view().reader("k")?.unwrap().read_to_string(&mut text).unwrap();
    /// assert_eq!(text, "value");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn reader(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueReader>> {
        let key = key.as_ref();
        check_key(key)?;
        let found = self.layers.find(key, self.horizon)?;
        found.map(|stored| self.layers.reader(key, &stored)).transpose()
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
        Ok(self.layers.find(key, self.horizon)?.is_some())
    }

    /// The metadata of the value of `key`.
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
        match self.layers.change(key, self.horizon)? {
            Some(change) => {
                let stored = change.stored.as_ref();
                stored.map(|stored| self.layers.metadata(key, &change, stored)).transpose()
            }
            None => Ok(None),
        }
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

    /// The entry with the least key.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("a", "")?;
    /// store.put("b", "")?;
    /// assert_eq!(store.read_view().first()?.unwrap().key(), b"a");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn first(&self) -> Result<Option<Entry>> {
        self.list("").next().transpose()
    }

    /// The entry with the greatest key. For the last one below a key, use `range(..key).next_back()`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// for key in ["a", "b", "c"] {
    ///     store.put(key, "")?;
    /// }
    /// assert_eq!(store.read_view().last()?.unwrap().key(), b"c");
    /// assert_eq!(store.range(.."c").next_back().unwrap()?.key(), b"b");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn last(&self) -> Result<Option<Entry>> {
        self.list("").next_back().transpose()
    }
}
