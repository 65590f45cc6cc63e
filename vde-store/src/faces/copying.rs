//! Writing entries of another store with their metadata.

use std::io::Read;

use crate::container::error::{Error, Result};
use crate::container::format::MAX_RECORD_VALUE;
use crate::container::log::record::Origin;
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
    Put { value: Held, user: Vec<u8>, origin: Origin, modified: u64 },
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
    pub fn put(
        &mut self,
        key: impl AsRef<[u8]>,
        mut value: impl Read,
        metadata: &Metadata,
    ) -> Result<&mut Self> {
        let (key, shared) = (key.as_ref(), self.store.shared());
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
        self.add(key, Copied::Put { value: held, user, origin, modified }, bytes);
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
        let writes = self.writes.iter().zip(&prepared).map(|((key, copied), prepared)| match copied {
            Copied::Put { value, user, origin, modified } => {
                let content = match (value, prepared) {
                    (_, Some(prepared)) => prepared.content(),
                    (Held::Large(large), None) => large.content(),
                    (Held::Bytes(bytes), None) => Content::Bytes(bytes),
                };
                Write { user, origin: Some((*origin, *modified)), ..Write::new(key, content) }
            }
            Copied::Delete => Write::new(key, Content::Delete),
            Copied::DeleteRange(until) => {
                let until = until.as_deref();
                let replaced = Some(shared.bytes_in(key, until));
                Write { replaced, ..Write::new(key, Content::DeleteRange(until)) }
            }
        });
        let seq = shared.log(&writes.collect::<Vec<_>>(), self.store.durability())?;
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
