//! `Vde`: the orchestrator. Every write takes the same path: its key's stripe, the log, the memtable; the stripe is
//! released; then the wait for the disk.

use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;

use crate::batch::Batch;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::format::{Extent, FLAG_MORE, FLAG_PRIOR, Geometry, Kind, LogPosition, Superblock};
use crate::log::commit::Line;
use crate::log::record::{Draft, Parts};
use crate::log::writer::Log;
use crate::memtable::{Change, Horizon, Memtable, Stored};
use crate::options::{Durability, StripeHasher, VdeOptions};
use crate::recovery::{Recovery, read_superblock, replay};
use crate::value::{Metadata, Value, now_micros};
use crate::view::{Entries, Layers, ReadView, check_key};

type Stripes = stripe_lock::StripedMutex<[u8], (), parking_lot::RawMutex, StripeHasher>;

/// Writers whose unwritten records exceed this write them out themselves, so that memory stays bounded.
const MAX_UNWRITTEN: usize = 8 << 20;

/// The open store; shared by its handles, its views and its threads.
pub(crate) struct Shared {
    pub(crate) log: Log,
    pub(crate) line: Line,
    geometry: Geometry,
    layers: ArcSwap<Layers>,
    stripes: Stripes,
    read_only: bool,
    recovery: Recovery,
}

/// Owns the threads: dropped with the last handle, it ends them and brings the log to the disk.
struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.line.stop();
        for thread in self.threads.drain(..) {
            // A panic there has been reported already, and what was acknowledged is in the log.
            let _ = thread.join();
        }
        if !self.shared.read_only {
            // Whoever needs to know whether buffered writes reached the disk calls `flush`.
            let _ = self.shared.wait_durable(self.shared.log.published());
        }
    }
}

/// A handle to an open store. Clones are cheap and share the store; it is closed when the last one is dropped.
///
/// Its methods block; [`AsyncVde`](crate::AsyncVde) has the same ones as `async fn`.
///
/// # Examples
///
/// ```
/// use vde_store::Vde;
///
/// let dir = tempfile::tempdir().unwrap();
/// let store = Vde::open(dir.path().join("store.vde"))?;
/// store.put("user/1", "Ada")?;
/// assert_eq!(store.get("user/1")?.as_deref(), Some(&b"Ada"[..]));
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone)]
pub struct Vde {
    engine: Arc<Engine>,
    durability: Durability,
}

impl fmt::Debug for Vde {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = &self.shared().log;
        f.debug_struct("Vde")
            .field("published", &log.published())
            .field("durable", &log.durable())
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// One write, before it is given its place in the log.
pub(crate) struct Write<'a> {
    pub(crate) key: &'a [u8],
    /// `None` deletes.
    pub(crate) value: Option<&'a [u8]>,
}

impl Shared {
    pub(crate) fn horizon(&self) -> Horizon {
        Horizon { durable: self.log.durable(), published: self.log.published() }
    }

    pub(crate) fn view(&self) -> ReadView {
        // The layers first: what becomes visible afterwards is missing from them, but never the other way round.
        let layers = self.layers.load_full();
        ReadView { layers, horizon: self.horizon() }
    }

    /// Logs and publishes `writes` as one transaction. The caller holds their stripes.
    fn log(&self, writes: &[Write<'_>], durability: Durability) -> Result<u64> {
        self.line.check()?;
        let modified = now_micros();
        let last = writes.len() - 1;
        let drafts: Vec<_> = writes
            .iter()
            .enumerate()
            .map(|(i, write)| self.draft(write, modified, (i > 0, i < last)))
            .collect();
        let mut entries: Vec<_> = writes
            .iter()
            .zip(&drafts)
            .map(|(write, draft)| {
                let stored = write.value.map(|bytes| Stored {
                    modified,
                    origin: None,
                    user: None,
                    value_checksum: draft.value_checksum(),
                    bytes: bytes.into(),
                });
                Some((Box::<[u8]>::from(write.key), stored))
            })
            .collect();
        let buffered = durability == Durability::Buffered;
        let (seq, unwritten) = self.log.append(&drafts, |memtable, index, seq, location| {
            if let Some((key, stored)) = entries[index].take() {
                memtable.insert(key, Change { seq, location, buffered, stored });
            }
        });
        if unwritten > MAX_UNWRITTEN {
            self.log.flush(false).map_err(|e| self.fail("write the log", e))?;
        }
        Ok(seq)
    }

    fn draft<'a>(&self, write: &Write<'a>, modified: u64, (prior, more): (bool, bool)) -> Draft<'a> {
        let flags = if prior { FLAG_PRIOR } else { 0 } | if more { FLAG_MORE } else { 0 };
        let kind = if write.value.is_some() { Kind::Put } else { Kind::Delete };
        let value = write.value.unwrap_or_default();
        let parts = Parts { kind, flags, modified, origin: None, user: &[], key: write.key, value };
        Draft::new(&parts, self.geometry.salt)
    }

    fn fail(&self, action: &'static str, error: std::io::Error) -> Error {
        let source = Arc::new(error);
        self.line.poison(source.clone());
        Error::Io { action, source }
    }

    fn check_writable(&self) -> Result<()> {
        if self.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    fn check_value(&self, value: &[u8]) -> Result<()> {
        let max = self.geometry.max_value();
        if value.len() <= max {
            return Ok(());
        }
        Err(Error::TooLarge { what: "value", len: value.len() as u64, max: max as u64 })
    }

    pub(crate) fn wait_durable(&self, seq: u64) -> Result<()> {
        self.line.wait(&self.log, seq)
    }

    /// Logs a put and returns the sequence number whose durability acknowledges it.
    pub(crate) fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<u64> {
        self.check_writable()?;
        check_key(key)?;
        self.check_value(value)?;
        let _stripe = self.stripes.lock(key);
        self.log(&[Write { key, value: Some(value) }], durability)
    }

    /// Logs a deletion. Returns whether there was something to delete, and the sequence number that acknowledges it.
    pub(crate) fn delete(&self, key: &[u8], durability: Durability) -> Result<(bool, u64)> {
        self.check_writable()?;
        check_key(key)?;
        let _stripe = self.stripes.lock(key);
        let before = self.layers.load().change(key, Horizon::LATEST);
        match before {
            Some(Change { stored: Some(_), .. }) => {
                Ok((true, self.log(&[Write { key, value: None }], durability)?))
            }
            // Even "there was nothing" may only be told once it is durable that there is nothing.
            before => Ok((false, before.map_or(0, |change| change.seq))),
        }
    }

    /// Logs what `change` makes of the value of `key`, if that is not `Keep`.
    pub(crate) fn modify(
        &self,
        key: &[u8],
        durability: Durability,
        change: impl FnOnce(Option<&[u8]>) -> Next,
    ) -> Result<(Option<Value>, u64)> {
        self.check_writable()?;
        check_key(key)?;
        let _stripe = self.stripes.lock(key);
        let before = self.layers.load().change(key, Horizon::LATEST);
        let seen = before.as_ref().map_or(0, |change| change.seq);
        let old = before.and_then(|change| change.stored).map(|stored| Value(stored.bytes));
        let seq = match change(old.as_deref()) {
            Next::Put(value) => {
                self.check_value(&value)?;
                self.log(&[Write { key, value: Some(&value) }], durability)?
            }
            Next::Delete if old.is_some() => self.log(&[Write { key, value: None }], durability)?,
            Next::Delete | Next::Keep => seen,
        };
        Ok((old, seq))
    }

    /// Logs all of `writes` as one.
    pub(crate) fn write_batch(&self, writes: &[Write<'_>], durability: Durability) -> Result<u64> {
        self.check_writable()?;
        for write in writes {
            check_key(write.key)?;
            self.check_value(write.value.unwrap_or_default())?;
        }
        if writes.is_empty() {
            return Ok(0);
        }
        let _stripes = self.stripes.lock_many(writes.iter().map(|write| write.key));
        self.log(writes, durability)
    }
}

/// What a modification makes of a value.
pub(crate) enum Next {
    Put(Vec<u8>),
    Delete,
    Keep,
}

impl Vde {
    /// Opens the container at `path` with default options, creating it where there is none.
    ///
    /// # Errors
    ///
    /// As [`VdeOptions::open`].
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = vde_store::Vde::open(dir.path().join("store.vde"))?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        VdeOptions::new().open(path)
    }

    /// Creates a container at `path`, where nothing may be yet, with default options.
    ///
    /// # Errors
    ///
    /// As [`VdeOptions::create`].
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = vde_store::Vde::create(dir.path().join("store.vde"))?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        VdeOptions::new().create(path)
    }

    /// A store in memory with default options.
    ///
    /// # Errors
    ///
    /// As [`VdeOptions::in_memory`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn in_memory() -> Result<Self> {
        VdeOptions::new().in_memory()
    }

    pub(crate) fn start(options: VdeOptions, device: Arc<dyn Device>, create: bool) -> Result<Self> {
        if create {
            initialise(&*device, options.segment_size)?;
        }
        let superblock = read_superblock(&*device, !options.read_only)?;
        let geometry = superblock.geometry();
        let memtable = Arc::new(Memtable::default());
        let replayed = replay(&*device, geometry, superblock.log, &memtable)?;
        if !options.read_only {
            // What was replayed may be in the page cache only: nobody may see it before it is durable.
            device.sync().map_err(|e| Error::io("sync the log", e))?;
        }
        let log = Log::new(device, geometry, replayed.position, replayed.last_segment + 1, memtable.clone());
        let shared = Arc::new(Shared {
            log,
            line: Line::new(),
            geometry,
            layers: ArcSwap::from_pointee(Layers { memtable }),
            stripes: Stripes::with_hasher(options.stripes, options.hasher),
            read_only: options.read_only,
            recovery: replayed.recovery,
        });
        let mut threads = Vec::new();
        if options.background && !options.read_only {
            let shared = shared.clone();
            let commit = move || shared.line.commit_until_stopped(&shared.log, options.sync_interval);
            let thread = std::thread::Builder::new().name("vde-commit".into()).spawn(commit);
            threads.push(thread.map_err(|e| Error::io("start the committer thread", e))?);
        }
        Ok(Self { engine: Arc::new(Engine { shared, threads }), durability: options.durability })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.engine.shared
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// Another handle to the same store, whose writes are acknowledged as `durability` says.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Durability, Vde};
    ///
    /// let store = Vde::in_memory()?;
    /// store.with_durability(Durability::Buffered).put("k", "v")?;
    /// store.flush()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    #[must_use = "it returns another handle and leaves this one as it is"]
    pub fn with_durability(&self, durability: Durability) -> Self {
        Self { engine: self.engine.clone(), durability }
    }

    /// The async twin of this handle.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.put("k", "v").await?;
    /// # Ok(()) }
    /// ```
    pub fn to_async(&self) -> crate::AsyncVde {
        crate::AsyncVde::from(self.clone())
    }

    /// What opening the store found in its log.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(vde_store::Vde::in_memory()?.recovery().records, 0);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn recovery(&self) -> Recovery {
        self.shared().recovery
    }

    fn acknowledge(&self, seq: u64) -> Result<()> {
        match self.durability {
            Durability::Sync => self.shared().wait_durable(seq),
            Durability::Buffered => Ok(()),
        }
    }

    /// Stores `value` under `key`, in place of what was there.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`], [`Error::TooLarge`], [`Error::ReadOnly`]: nothing was changed. [`Error::Io`] and
    /// [`Error::Poisoned`]: whether the write survives is known only after the store has been opened again.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let seq = self.shared().put(key.as_ref(), value.as_ref(), self.durability)?;
        self.acknowledge(seq)
    }

    /// Removes `key`; tells whether it had a value.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert!(store.delete("k")?);
    /// assert!(!store.delete("k")?);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let (existed, seq) = self.shared().delete(key.as_ref(), self.durability)?;
        self.acknowledge(seq)?;
        Ok(existed)
    }

    /// Replaces the value of `key` by what `new` makes of it; `None` stands for no value, before and after. Returns
    /// the value before.
    ///
    /// `new` runs under the key's stripe: no other write of the key comes between, and writers of keys on other
    /// stripes go on. It must not write to the same store.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let count = |old: Option<&[u8]>| Some(vec![old.map_or(1, |old| old[0] + 1)]);
    /// store.update("visits", count)?;
    /// store.update("visits", count)?;
    /// assert_eq!(store.get("visits")?, Some(vec![2]));
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        new: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Value>> {
        let next = |old: Option<&[u8]>| new(old).map_or(Next::Delete, Next::Put);
        let (old, seq) = self.shared().modify(key.as_ref(), self.durability, next)?;
        self.acknowledge(seq)?;
        Ok(old)
    }

    /// Puts `new` in the place of `expected`, if that is the value of `key`; `None` stands for no value. Tells whether
    /// it was.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// assert!(store.compare_and_swap("k", None, Some(b"1"))?);
    /// assert!(!store.compare_and_swap("k", None, Some(b"2"))?);
    /// assert!(store.compare_and_swap("k", Some(b"1"), None)?);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        let (swapped, seq) = self.shared().swap(key.as_ref(), expected, new, self.durability)?;
        self.acknowledge(seq)?;
        Ok(swapped)
    }

    /// A batch of writes to be made as one.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let mut batch = store.batch();
    /// batch.put("a", "1");
    /// batch.delete("b");
    /// batch.commit()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    /// Returns once everything logged so far is durable.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] where a write or sync fails or failed.
    ///
    /// # Examples
    ///
    /// ```
    /// vde_store::Vde::in_memory()?.flush()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.shared().wait_durable(self.shared().log.published())
    }

    /// The store as it is now, to read from at leisure. Waits for nobody.
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
        self.read_view().get(key)
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
        self.read_view().contains(key)
    }

    /// What is known of the value of `key` beside its bytes.
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
}

impl Shared {
    pub(crate) fn swap(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        durability: Durability,
    ) -> Result<(bool, u64)> {
        let mut swapped = false;
        let next = |old: Option<&[u8]>| {
            swapped = old == expected;
            match new {
                _ if !swapped => Next::Keep,
                Some(new) => Next::Put(new.to_vec()),
                None => Next::Delete,
            }
        };
        let (_, seq) = self.modify(key, durability, next)?;
        Ok((swapped, seq))
    }
}

/// Writes the first superblocks of a new container.
fn initialise(device: &dyn Device, segment_size: u32) -> Result<()> {
    let mut id = [0; 16];
    for half in id.chunks_exact_mut(8) {
        // A fresh `RandomState` is the standard library's source of randomness.
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), now_micros());
        half.copy_from_slice(&random.to_le_bytes());
    }
    let mut superblock = Superblock {
        id,
        segment_size,
        generation: 0,
        log: LogPosition::default(),
        catalog: Extent::default(),
    };
    let mut blocks = superblock.encode();
    superblock.generation = 1;
    blocks.extend_from_slice(&superblock.encode());
    let written = device.write_at(&blocks, 0).and_then(|()| device.sync());
    written.map_err(|e| Error::io("write the first superblocks", e))
}
