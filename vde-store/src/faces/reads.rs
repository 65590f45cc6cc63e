//! Reading from a handle: each call sees the store as it is at that moment.

use std::ops::RangeBounds;

use crate::container::error::Result;
use crate::engine::entries::Entries;
use crate::engine::entry::Entry;
use crate::engine::value::{Metadata, Value, ValueReader};
use crate::engine::view::{ReadView, check_key};
use crate::faces::store::Vde;

impl Vde {
    /// A view of the store as it is now. It never blocks.
    ///
    /// # Examples
    ///
    /// ```
    /// let view = vde_store::Vde::in_memory()?.read_view();
    /// assert!(!view.contains("k")?);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn read_view(&self) -> ReadView {
        self.shared().view()
    }

    /// A copy of the value of `key`.
    ///
    /// # Errors
    ///
    /// As [`ReadView::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// assert_eq!(store.get("k")?, None);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let key = key.as_ref();
        check_key(key)?;
        // This takes no view, because all readers would update the view's reference count.
        self.shared().with_layers(|layers, horizon| layers.get(key, horizon))
    }

    /// The value of `key`, pinned.
    ///
    /// # Errors
    ///
    /// As [`ReadView::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(&*store.value("k")?.unwrap(), b"v");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn value(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.read_view().value(key)
    }

    /// The bytes of the value of `key` that are in `range`; fewer if the value ends earlier. Bytes outside the range
    /// are not read.
    ///
    /// # Errors
    ///
    /// As [`ReadView::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "0123456789")?;
    /// assert_eq!(store.get_range("k", 8..)?.unwrap(), b"89");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn get_range(&self, key: impl AsRef<[u8]>, range: impl RangeBounds<u64>) -> Result<Option<Vec<u8>>> {
        self.read_view().get_range(key, range)
    }

    /// A reader of the value of `key`. It holds at most one chunk of the value in memory.
    ///
    /// # Errors
    ///
    /// As [`ReadView::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "value")?;
    /// let text = std::io::read_to_string(store.reader("k")?.unwrap()).unwrap();
    /// assert_eq!(text, "value");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn reader(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueReader>> {
        self.read_view().reader(key)
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`ReadView::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!vde_store::Vde::in_memory()?.contains("k")?);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        check_key(key)?;
        self.shared().with_layers(|layers, horizon| Ok(layers.find(key, horizon)?.is_some()))
    }

    /// The metadata of the value of `key`.
    ///
    /// # Errors
    ///
    /// As [`ReadView::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(vde_store::Vde::in_memory()?.metadata("k")?, None);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn metadata(&self, key: impl AsRef<[u8]>) -> Result<Option<Metadata>> {
        self.read_view().metadata(key)
    }

    /// The entries whose keys begin with `prefix`, in key order, as they are now.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("a/1", "")?;
    /// assert_eq!(store.list("a/").count(), 1);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> Entries {
        self.read_view().list(prefix)
    }

    /// The entries whose keys lie in `range`, in key order, as they are now.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("b", "")?;
    /// assert_eq!(store.range("a".."c").count(), 1);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Entries {
        self.read_view().range(range)
    }

    /// The entry with the least key, as it is now.
    ///
    /// # Errors
    ///
    /// As [`ReadView::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// // A queue: remove the oldest message.
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put(1u64.to_be_bytes(), "hello")?;
    /// let oldest = store.first()?.unwrap();
    /// assert_eq!(&*oldest.value()?, b"hello");
    /// assert!(store.delete(oldest.key())?);
    /// assert!(store.first()?.is_none());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn first(&self) -> Result<Option<Entry>> {
        self.read_view().first()
    }

    /// The entry with the greatest key, as it is now.
    ///
    /// # Errors
    ///
    /// As [`ReadView::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("a", "")?;
    /// store.put("b", "")?;
    /// assert_eq!(store.last()?.unwrap().key(), b"b");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn last(&self) -> Result<Option<Entry>> {
        self.read_view().last()
    }
}
