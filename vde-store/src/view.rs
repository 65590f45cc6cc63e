//! Reading: one point in time, without a lock.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::blob::{BlobMap, Reading, Source};
use crate::error::{Error, Result};
use crate::format::{FLAG_BLOB, MAX_KEY_LEN, checksum};
use crate::log::record::{Origin, Record};
use crate::memtable::{Change, Facts, Horizon, Location, Memtable, Payload, Stored};
use crate::pages::{Bytes, Pages, PinnedBytes};
use crate::tree::Tree;
use crate::tree::node::{LeafValue, Place};
use crate::value::{Metadata, Value, ValueReader, decode_user, time_from_micros};

/// What the store consists of at a moment. Readers load it once and keep it as long as they need it.
pub(crate) struct Layers {
    pub(crate) memtable: Arc<Memtable>,
    /// What a checkpoint is merging into the index right now.
    pub(crate) frozen: Option<Arc<Memtable>>,
    pub(crate) tree: Arc<Tree>,
}

/// Reads and verifies the record of `key` at `location`, and hands it over with the bytes that it is read from.
pub(crate) fn read_record<T>(
    pages: &Pages,
    key: &[u8],
    location: Location,
    use_it: impl FnOnce(&Record<'_>, &Bytes) -> T,
) -> Result<T> {
    let bytes = pages.read(location.offset, location.len as usize, "log record")?;
    let read = || {
        let record = Record::read(&bytes, location.offset, pages.geometry().salt)?;
        if record.key != key {
            return Err(Error::corrupt("log record", location.offset));
        }
        record.verify_value(location.offset)?;
        Ok(record)
    };
    match read() {
        Err(Error::Corrupt { what, offset }) => Err(pages.corrupt(what, offset)),
        other => other.map(|record| use_it(&record, &bytes)),
    }
}

/// Sequence number 0: what is in the index is durable and older than any sequence number that anyone waits for.
fn indexed(value: LeafValue<'_>) -> Change {
    let origin = Some(Origin { version: value.version, created: value.created });
    let (facts, payload) = match value.place {
        Place::Inline { modified, user, bytes } => {
            let user = (!user.is_empty()).then(|| user.into());
            (Some(Facts { modified, user }), Payload::Memory(bytes.into()))
        }
        Place::Record { location, blob } => (None, Payload::Record { location, blob }),
    };
    let stored = Some(Stored { len: value.len, origin, facts, payload });
    Change { seq: 0, location: Location { offset: 0, len: 0 }, buffered: false, stored }
}

impl Layers {
    fn memtables(&self) -> impl Iterator<Item = &Memtable> {
        std::iter::once(&*self.memtable).chain(self.frozen.as_deref())
    }

    pub(crate) fn find(&self, key: &[u8], horizon: Horizon) -> Result<Option<Stored>> {
        Ok(self.change(key, horizon)?.and_then(|change| change.stored))
    }

    pub(crate) fn change(&self, key: &[u8], horizon: Horizon) -> Result<Option<Change>> {
        match self.memtables().find_map(|memtable| memtable.find(key, horizon)) {
            Some(change) => Ok(Some(change)),
            None => self.tree.find(key, indexed),
        }
    }

    /// A copy of the value of `key`, with no step in between where the index has it.
    pub(crate) fn get(&self, key: &[u8], horizon: Horizon) -> Result<Option<Vec<u8>>> {
        if let Some(change) = self.memtables().find_map(|memtable| memtable.find(key, horizon)) {
            return match change.stored.map(|stored| stored.payload) {
                None => Ok(None),
                Some(Payload::Memory(bytes)) => Ok(Some(bytes.to_vec())),
                Some(Payload::Blob(map)) => self.whole_blob(&BlobMap::decode(&map, 0)?),
                Some(Payload::Record { location, blob }) => self.get_record(key, location, blob),
            };
        }
        let found = self.tree.find(key, |value| match value.place {
            Place::Inline { bytes, .. } => Ok(bytes.to_vec()),
            Place::Record { location, blob } => Err((location, blob)),
        })?;
        match found {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err((location, blob))) => self.get_record(key, location, blob),
        }
    }

    fn get_record(&self, key: &[u8], location: Location, blob: bool) -> Result<Option<Vec<u8>>> {
        if blob {
            return self.whole_blob(&self.blob_map(key, location)?);
        }
        read_record(&self.tree.pages, key, location, |record, _| {
            Ok(Some(record.content(location.offset)?.into_owned()))
        })?
    }

    fn whole_blob(&self, map: &BlobMap) -> Result<Option<Vec<u8>>> {
        map.range(&self.tree.pages, 0, map.len).map(Some)
    }

    /// The bytes of a value.
    pub(crate) fn value(&self, key: &[u8], stored: &Stored) -> Result<Value> {
        let pages = &self.tree.pages;
        let bytes = match &stored.payload {
            Payload::Memory(bytes) => {
                return Ok(Value { bytes: PinnedBytes::Owned(bytes.clone()), pin: None });
            }
            Payload::Blob(map) => BlobMap::decode(map, 0)?.pin(pages)?,
            Payload::Record { location, blob: true } => self.blob_map(key, *location)?.pin(pages)?,
            Payload::Record { location, blob: false } => {
                read_record(pages, key, *location, |record, bytes| {
                    let end = record.len as usize;
                    Ok::<_, Error>(match record.content(location.offset)? {
                        Cow::Borrowed(value) => bytes.pin(end - value.len(), end),
                        Cow::Owned(value) => PinnedBytes::Owned(value.into()),
                    })
                })??
            }
        };
        Ok(Value { bytes, pin: Some(self.tree.clone()) })
    }

    fn blob_map(&self, key: &[u8], location: Location) -> Result<BlobMap> {
        read_record(&self.tree.pages, key, location, |record, _| {
            BlobMap::decode(record.value, location.offset)
        })?
    }

    fn range(&self, key: &[u8], stored: &Stored, from: u64, to: u64) -> Result<Vec<u8>> {
        match &stored.payload {
            Payload::Blob(map) => BlobMap::decode(map, 0)?.range(&self.tree.pages, from, to),
            Payload::Record { location, blob: true } => {
                self.blob_map(key, *location)?.range(&self.tree.pages, from, to)
            }
            Payload::Memory(_) | Payload::Record { blob: false, .. } => {
                let value = self.value(key, stored)?;
                let len = value.len() as u64;
                let (from, to) = (from.min(len) as usize, to.min(len) as usize);
                Ok(value.get(from..to).unwrap_or_default().to_vec())
            }
        }
    }

    fn reader(&self, key: &[u8], stored: &Stored) -> Result<ValueReader> {
        let blob =
            |map: BlobMap| Source::Blob { map: Arc::new(map), pages: self.tree.pages.clone(), chunk: None };
        let source = match &stored.payload {
            Payload::Blob(map) => blob(BlobMap::decode(map, 0)?),
            Payload::Record { location, blob: true } => blob(self.blob_map(key, *location)?),
            Payload::Memory(_) | Payload::Record { blob: false, .. } => {
                Source::Bytes(self.value(key, stored)?.bytes)
            }
        };
        Ok(ValueReader { reading: Reading { source, at: 0 }, _pin: self.tree.clone() })
    }

    /// When the key was first put since it was last absent, as far as the changes before `seq` tell.
    fn created_before(&self, key: &[u8], mut seq: u64, mut created: u64) -> Result<u64> {
        while seq > 0 {
            let Some(before) = self.change(key, Horizon { durable: seq - 1, published: seq - 1 })? else {
                break;
            };
            let Some(stored) = before.stored else { break };
            if let Some(origin) = stored.origin {
                return Ok(origin.created);
            }
            created = stored.facts.map_or(created, |facts| facts.modified);
            seq = before.seq;
        }
        Ok(created)
    }

    /// Version and creation time of a value that is there.
    pub(crate) fn origin(&self, key: &[u8], change: &Change, stored: &Stored) -> Result<Origin> {
        if let Some(origin) = stored.origin {
            return Ok(origin);
        }
        let modified = stored.facts.as_ref().map_or(0, |facts| facts.modified);
        Ok(Origin { version: change.seq, created: self.created_before(key, change.seq, modified)? })
    }

    pub(crate) fn metadata(&self, key: &[u8], change: &Change, stored: &Stored) -> Result<Metadata> {
        let origin = self.origin(key, change, stored)?;
        let (facts, sum) = match &stored.payload {
            Payload::Memory(bytes) => (stored.facts.clone(), checksum(bytes)),
            Payload::Blob(map) => (stored.facts.clone(), BlobMap::decode(map, 0)?.checksum),
            Payload::Record { location, blob } => {
                read_record(&self.tree.pages, key, *location, |record, _| {
                    debug_assert_eq!(*blob, record.head.flags & FLAG_BLOB != 0);
                    let user = (!record.user.is_empty()).then(|| record.user.into());
                    let sum = if *blob {
                        BlobMap::decode(record.value, location.offset)?.checksum
                    } else {
                        checksum(&record.content(location.offset)?)
                    };
                    Ok::<_, Error>((Some(Facts { modified: record.head.modified, user }), sum))
                })??
            }
        };
        let facts = facts.unwrap_or(Facts { modified: origin.created, user: None });
        Ok(Metadata {
            len: stored.len,
            created: time_from_micros(origin.created),
            modified: time_from_micros(facts.modified),
            version: origin.version,
            checksum: sum,
            user: decode_user(facts.user.as_deref().unwrap_or_default()),
        })
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

    /// The bytes of the value of `key` that lie in `range`, as far as it is that long. What it skips is not read.
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
        let found = self.layers.find(key, self.horizon)?;
        found.map(|stored| self.layers.range(key, &stored, from, to)).transpose()
    }

    /// A reader of the value of `key`, which holds no more than a chunk of it in memory.
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
    /// The next entry of each layer, the newest layer first.
    heads: [Head; 3],
    from: Bound<Box<[u8]>>,
    end: Bound<Box<[u8]>>,
    done: bool,
}

/// The next entry of one layer.
enum Head {
    Unread,
    End,
    At(Box<[u8]>, Change),
}

impl Head {
    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::At(key, _) => Some(key),
            Self::Unread | Self::End => None,
        }
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("from", &self.from).field("end", &self.end).finish_non_exhaustive()
    }
}

fn as_slice(bound: &Bound<Box<[u8]>>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &**key)
}

impl Entries {
    fn new(view: ReadView, from: Bound<Box<[u8]>>, end: Bound<Box<[u8]>>) -> Self {
        Self { view, heads: [Head::Unread, Head::Unread, Head::Unread], from, end, done: false }
    }

    /// Reads the next entry of a layer.
    fn read(&self, layer: usize) -> Result<Head> {
        let layers = &self.view.layers;
        let from = as_slice(&self.from);
        let found = match layer {
            0 => layers.memtable.first(from, self.view.horizon),
            1 => layers.frozen.as_ref().and_then(|frozen| frozen.first(from, self.view.horizon)),
            _ => layers.tree.first(from, |key, value| (key.into(), indexed(value)))?,
        };
        Ok(found.map_or(Head::End, |(key, change)| Head::At(key, change)))
    }

    /// The next key of any layer, with its newest change.
    fn advance(&mut self) -> Result<Option<(Box<[u8]>, Change)>> {
        for layer in 0..self.heads.len() {
            if matches!(self.heads[layer], Head::Unread) {
                self.heads[layer] = self.read(layer)?;
            }
        }
        let Some(least) = self.heads.iter().filter_map(Head::key).min().map(Box::<[u8]>::from) else {
            return Ok(None);
        };
        let mut newest = None;
        for head in &mut self.heads {
            if head.key() == Some(&*least)
                && let Head::At(_, change) = std::mem::replace(head, Head::Unread)
            {
                newest.get_or_insert(change);
            }
        }
        self.from = Bound::Excluded(least.clone());
        Ok(newest.map(|change| (least, change)))
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
            match self.advance() {
                Ok(Some((key, change))) if !self.is_past_end(&key) => {
                    if change.stored.is_some() {
                        return Some(Ok(Entry { view: self.view.clone(), key, change }));
                    }
                }
                Ok(_) => self.done = true,
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
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
    change: Change,
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
        self.change.stored.as_ref().map_or(0, |stored| stored.len)
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
        let stored = self.change.stored.as_ref().ok_or(Error::corrupt("index entry", 0))?;
        self.view.layers.value(&self.key, stored)
    }

    /// A reader of the value, which holds no more than a chunk of it in memory.
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
        let stored = self.change.stored.as_ref().ok_or(Error::corrupt("index entry", 0))?;
        self.view.layers.reader(&self.key, stored)
    }

    /// The map of a large value that the index knows, and the record that it lies in.
    pub(crate) fn recorded_blob(&self) -> Result<Option<(Location, BlobMap)>> {
        match self.change.stored.as_ref().map(|stored| &stored.payload) {
            Some(Payload::Record { location, blob: true }) => {
                Ok(Some((*location, self.view.layers.blob_map(&self.key, *location)?)))
            }
            _ => Ok(None),
        }
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
        let stored = self.change.stored.as_ref().ok_or(Error::corrupt("index entry", 0))?;
        self.view.layers.metadata(&self.key, &self.change, stored)
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
