//! Writing entries of another store with their metadata.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Bound;

use crate::container::error::{Error, Result};
use crate::container::format::MAX_RECORD_VALUE;
use crate::container::log::record::Origin;
use crate::container::memtable::Horizon;
use crate::engine::shared::Shared;
use crate::engine::value::{Metadata, encode_user, micros_from_time};
use crate::engine::writes::{Content, PreparedValue, Write};
use crate::faces::store::Vde;

/// A batch whose puts keep the metadata that the values have in another store: version, times and user metadata. The
/// copy of a store is written with it. Its writes happen together, in the order in which they were added.
///
/// A value of more than 64 KiB goes to the disk when it is added, so it takes no memory. The versions must be smaller
/// than those that this store gives to its own writes; see [`VdeOptions::first_version`](crate::VdeOptions::first_version).
/// For a copied value, [`Change::version`](crate::Change::version) is the number of the copying write.
///
/// # Examples
///
/// ```
/// use vde_store::{Vde, VdeOptions};
///
/// let store = Vde::in_memory()?;
/// let version = store.put("k", "v")?;
/// let copy = VdeOptions::new().first_version(version + 1).in_memory()?;
/// let mut batch = copy.copy_batch();
/// for entry in store.list("") {
///     let entry = entry?;
///     batch.put(entry.key(), entry.reader()?, &entry.metadata()?)?;
/// }
/// batch.commit()?;
/// assert_eq!(copy.metadata("k")?, store.metadata("k")?);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct CopyBatch {
    store: Vde,
    writes: Vec<(Box<[u8]>, Copied)>,
    bytes: u64,
}

enum Copied {
    /// `continues`: if it replaces a value, it gets the creation time of that value.
    Put {
        value: Held,
        user: Vec<u8>,
        origin: Origin,
        modified: u64,
        continues: bool,
    },
    Delete,
    DeleteRange(Option<Box<[u8]>>),
}

/// A value, or a large one that is on the disk already.
enum Held {
    Bytes(Vec<u8>),
    Large(PreparedValue<'static>),
}

impl std::fmt::Debug for Copied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Put { .. } => "Put",
            Self::Delete => "Delete",
            Self::DeleteRange(_) => "DeleteRange",
        })
    }
}

/// The creation times of the values that the writes of a batch replace. The caller holds the stripes of its keys.
struct CreationTimes<'a> {
    shared: &'a Shared,
    /// Of the values that the batch has put. `None`: it has deleted the key.
    changed: BTreeMap<&'a [u8], Option<u64>>,
    /// The ranges that the batch has deleted, by their first keys. None of them overlap.
    ranges: BTreeMap<&'a [u8], Option<&'a [u8]>>,
}

/// The later one of the ends of two ranges. `None`: there is no upper bound.
fn later<'a>(one: Option<&'a [u8]>, other: Option<&'a [u8]>) -> Option<&'a [u8]> {
    one.zip(other).map(|(one, other)| one.max(other))
}

impl<'a> CreationTimes<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, changed: BTreeMap::new(), ranges: BTreeMap::new() }
    }

    /// The creation time of the next value of `key`. `own`: the time if it replaces no value.
    fn of_put(&mut self, key: &'a [u8], own: u64, continues: bool) -> Result<u64> {
        let created = match self.changed.get(key) {
            _ if !continues => own,
            Some(before) => before.unwrap_or(own),
            None if self.is_in_range(key) => own,
            None => {
                let layers = self.shared.layers.load();
                let before = layers.change(key, Horizon::LATEST)?;
                let value = before.as_ref().and_then(|change| Some((change, change.stored.as_ref()?)));
                let origin = value.map(|(change, stored)| layers.origin(key, change, stored)).transpose()?;
                origin.map_or(own, |origin| origin.created)
            }
        };
        self.changed.insert(key, Some(created));
        Ok(created)
    }

    fn note_deletion(&mut self, key: &'a [u8]) {
        self.changed.insert(key, None);
    }

    fn note_range(&mut self, from: &'a [u8], until: Option<&'a [u8]>) {
        let end = until.map_or(Bound::Unbounded, Bound::Excluded);
        if end == Bound::Excluded(from) || until.is_some_and(|until| until < from) {
            return;
        }
        self.changed.extract_if((Bound::Included(from), end), |_, _| true).for_each(drop);
        let mut merged = (from, until);
        if let Some((before, its_end)) = self.ranges.range(..from).next_back()
            && its_end.is_none_or(|its_end| its_end >= from)
        {
            merged = (before, later(*its_end, until));
        }
        for (_, its_end) in self.ranges.extract_if((Bound::Included(from), end), |_, _| true) {
            merged.1 = later(its_end, merged.1);
        }
        self.ranges.insert(merged.0, merged.1);
    }

    fn is_in_range(&self, key: &[u8]) -> bool {
        let before = self.ranges.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        before.is_some_and(|(_, until)| until.is_none_or(|until| key < until))
    }
}

/// The memory of a write without its bytes.
const WEIGHT: usize = 64;

impl Vde {
    /// A new batch of writes that copy entries of another store.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.copy_batch();
    /// batch.delete("k");
    /// batch.commit()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn copy_batch(&self) -> CopyBatch {
        CopyBatch { store: self.clone(), writes: Vec::new(), bytes: 0 }
    }
}

impl CopyBatch {
    fn add(&mut self, key: &[u8], write: Copied, bytes: usize) {
        self.bytes += (key.len() + bytes + WEIGHT) as u64;
        self.writes.push((key.into(), write));
    }

    /// Adds a put of the bytes of `value`, with version, times and user metadata from `metadata`.
    ///
    /// # Errors
    ///
    /// As [`Vde::put_with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Metadata, UserMetadata, VdeOptions};
    ///
    /// let store = VdeOptions::new().first_version(100).in_memory()?;
    /// let now = std::time::SystemTime::now();
    /// let mut batch = store.copy_batch();
    /// batch.put("k", &b"v"[..], &Metadata::copied(7, now, now, UserMetadata::new()))?;
    /// batch.commit()?;
    /// assert_eq!(store.metadata("k")?.unwrap().version, 7);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl Read, metadata: &Metadata) -> Result<&mut Self> {
        self.add_put(key.as_ref(), value, metadata, false)
    }

    /// As [`put`](Self::put), but a value that replaces another one gets the creation time of that one. The time in
    /// `metadata` counts if there is none.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use vde_store::{Metadata, UserMetadata, VdeOptions};
    ///
    /// let store = VdeOptions::new().first_version(100).in_memory()?;
    /// let (then, now) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    /// let mut batch = store.copy_batch();
    /// batch.replace("k", &b"v"[..], &Metadata::copied(7, then, then, UserMetadata::new()))?;
    /// batch.replace("k", &b"w"[..], &Metadata::copied(8, now, now, UserMetadata::new()))?;
    /// batch.commit()?;
    /// let metadata = store.metadata("k")?.unwrap();
    /// assert_eq!((metadata.version, metadata.created, metadata.modified), (8, then, now));
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn replace(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl Read,
        metadata: &Metadata,
    ) -> Result<&mut Self> {
        self.add_put(key.as_ref(), value, metadata, true)
    }

    fn add_put(
        &mut self,
        key: &[u8],
        mut value: impl Read,
        metadata: &Metadata,
        continues: bool,
    ) -> Result<&mut Self> {
        let shared = self.store.shared();
        let user = encode_user(&metadata.user);
        shared.admit(key, &user)?;
        let mut start = Vec::new();
        let limit = MAX_RECORD_VALUE as u64 + 1;
        let read = (&mut value).take(limit).read_to_end(&mut start);
        read.map_err(Error::source)?;
        let held = if start.len() <= MAX_RECORD_VALUE {
            Held::Bytes(start)
        } else {
            let (map, pending) = shared.write_blob(&start, &mut value)?;
            Held::Large(PreparedValue::Blob(map, Box::new(pending)))
        };
        let bytes = user.len() + if let Held::Bytes(bytes) = &held { bytes.len() } else { 0 };
        let origin = Origin { version: metadata.version, created: micros_from_time(metadata.created) };
        let modified = micros_from_time(metadata.modified);
        self.add(key, Copied::Put { value: held, user, origin, modified, continues }, bytes);
        Ok(self)
    }

    /// Adds a deletion.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.copy_batch();
    /// assert!(batch.delete("k").bytes() > 0);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        self.add(key.as_ref(), Copied::Delete, 0);
        self
    }

    /// Adds the deletion of every key from `from` on, up to but not including `until`. With `None`, there is no upper
    /// bound.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("b", "old")?;
    /// let mut batch = store.copy_batch();
    /// batch.delete_range("a", None);
    /// batch.commit()?;
    /// assert!(!store.contains("b")?);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete_range(&mut self, from: impl AsRef<[u8]>, until: Option<&[u8]>) -> &mut Self {
        self.add(from.as_ref(), Copied::DeleteRange(until.map(Box::from)), until.map_or(0, <[u8]>::len));
        self
    }

    /// Roughly how many bytes of memory the batch takes.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(vde_store::Vde::in_memory()?.copy_batch().bytes(), 0);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes all the writes. Returns the number of the last one; a batch without writes returns 0.
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(vde_store::Vde::in_memory()?.copy_batch().commit()?, 0);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn commit(self) -> Result<u64> {
        if self.writes.is_empty() {
            return Ok(0);
        }
        let shared = self.store.shared();
        self.writes.iter().try_for_each(|(key, _)| shared.check_delete(key))?;
        let prepared = self.writes.iter().map(|(_, copied)| match copied {
            Copied::Put { value: Held::Bytes(bytes), .. } => shared.prepare_value(bytes).map(Some),
            _ => Ok(None),
        });
        let prepared = prepared.collect::<Result<Vec<_>>>()?;
        let has_range = self.writes.iter().any(|(_, copied)| matches!(copied, Copied::DeleteRange(_)));
        let stripes = if has_range {
            shared.stripes.lock_all()
        } else {
            shared.stripes.lock_many(self.writes.iter().map(|(key, _)| &**key))
        };
        let mut times = CreationTimes::new(shared);
        let writes = self.writes.iter().zip(&prepared).map(|((key, copied), prepared)| match copied {
            Copied::Put { value, user, origin, modified, continues } => {
                let origin = Origin { created: times.of_put(key, origin.created, *continues)?, ..*origin };
                let content = match (value, prepared) {
                    (_, Some(prepared)) => prepared.content(),
                    (Held::Large(large), None) => large.content(),
                    (Held::Bytes(bytes), None) => Content::Bytes(bytes),
                };
                Ok(Write { user, origin: Some((origin, *modified)), ..Write::new(key, content) })
            }
            Copied::Delete => {
                times.note_deletion(key);
                Ok(Write::new(key, Content::Delete))
            }
            Copied::DeleteRange(until) => {
                let until = until.as_deref();
                times.note_range(key, until);
                let replaced = Some(shared.bytes_in(key, until));
                Ok(Write { replaced, ..Write::new(key, Content::DeleteRange(until)) })
            }
        });
        let seq = shared.log(&writes.collect::<Result<Vec<_>>>()?, self.store.durability())?;
        drop(stripes);
        drop(prepared);
        for (_, copied) in self.writes {
            if let Copied::Put { value: Held::Large(large), .. } = copied {
                large.keep();
            }
        }
        self.store.acknowledge(seq)?;
        Ok(seq)
    }
}
