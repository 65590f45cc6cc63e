//! [`Vde`], the handle of a store.

use std::fmt;
use std::io::Read;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::container::device::Device;
use crate::container::error::{Error, Result};
#[cfg(doc)]
use crate::engine::operation::Condition;
use crate::engine::operation::Writes;
use crate::engine::options::{Durability, VdeOptions};
use crate::engine::recovery::Recovery;
use crate::engine::shared::Shared;
use crate::engine::value::{UserMetadata, Value, encode_user};
use crate::faces::asynchronous::AsyncVde;
use crate::faces::batch::Batch;

/// Owns the background threads. It is dropped with the last handle, and then ends the threads and syncs the log.
struct Engine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    is_closed: bool,
}

impl Engine {
    fn spawn(&mut self, name: &str, run: impl FnOnce(&Shared) + Send + 'static) -> Result<()> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            // If the background thread panics, writers that wait for it must get an error.
            let _poisoning = shared.group_commit.poison_on_panic();
            run(&shared);
        });
        self.threads.push(thread.map_err(|e| Error::io("start a thread", e))?);
        Ok(())
    }
}

impl Engine {
    fn close(&mut self) -> Result<()> {
        self.shared.group_commit.stop();
        self.shared.maintenance.stop();
        for thread in self.threads.drain(..) {
            // A panic of the thread has been reported already, and all acknowledged writes are in the log.
            let _ = thread.join();
        }
        let closed = if self.shared.options.read_only { Ok(()) } else { self.shared.close() };
        self.shared.watchers.close();
        closed
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.is_closed {
            // A caller that needs the result calls `Vde::close`.
            let _ = self.close();
        }
    }
}

/// A handle to an open store. Clones are cheap and share the store, between threads too. The store is closed when the
/// last handle is dropped.
///
/// Every read that begins after a write was acknowledged sees that write. The methods block; [`AsyncVde`] has the
/// same ones as `async fn`.
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

impl Vde {
    /// Opens the container at `path` with default options. Creates it if it does not exist.
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

    /// Creates a container at `path`, which must not exist, with default options.
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

    pub(crate) fn start(options: VdeOptions, device: Arc<dyn Device>) -> Result<Self> {
        let background = options.background && !options.read_only;
        let (durability, interval) = (options.durability, options.sync_interval);
        let mut engine = Engine {
            shared: Arc::new(Shared::open(options, device)?),
            threads: Vec::new(),
            is_closed: false,
        };
        if background {
            engine.spawn("vde-commit", move |shared| {
                shared.group_commit.commit_until_stopped(&shared.log, interval);
            })?;
            engine.shared.maintenance.start();
            engine.spawn("vde-maintain", Shared::maintain_until_stopped)?;
        }
        Ok(Self { engine: Arc::new(engine), durability })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.engine.shared
    }

    pub(crate) fn durability(&self) -> Durability {
        self.durability
    }

    /// Another handle to the same store, whose writes have this [`Durability`].
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

    /// The async counterpart of this handle.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.put("k", "v").await?;
    /// # Ok(()) }
    /// ```
    pub fn to_async(&self) -> AsyncVde {
        AsyncVde::from(self.clone())
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

    /// A number that is drawn when a container is created. With it, a program that keeps data about a store elsewhere
    /// notices that another container has taken its place. A copy of the file has the same number.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::Vde;
    /// assert_ne!(Vde::in_memory()?.identity(), Vde::in_memory()?.identity());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn identity(&self) -> u64 {
        self.shared().geometry.salt
    }

    pub(crate) fn acknowledge(&self, seq: u64) -> Result<()> {
        match self.durability {
            Durability::Sync => self.shared().wait_durable(seq),
            Durability::Buffered => Ok(()),
            Durability::Shipped => {
                self.shared().wait_durable(seq)?;
                self.shared().shipped.wait(seq)
            }
        }
    }

    /// Every write with this version or a smaller one survives a crash. It only grows while the store is open.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Durability, Vde};
    ///
    /// let store = Vde::in_memory()?;
    /// let version = store.with_durability(Durability::Buffered).put("k", "v")?;
    /// // The disk gets it within the interval of the options, or now:
    /// store.flush()?;
    /// assert!(version <= store.durable());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn durable(&self) -> u64 {
        self.shared().log.durable()
    }

    /// Stores `value` under `key`, and replaces the previous value. Returns the new value's version: the sequence number of the
    /// write, which [`metadata`](Self::metadata), [`watch`](Self::watch) and [`Condition::Version`] have too. With
    /// [`Durability::Buffered`], the write survives a crash once [`durable`](Self::durable) has reached it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidKey`], [`Error::TooLarge`], [`Error::ReadOnly`]: nothing was changed. [`Error::Full`]: the
    /// disk is full; see the error's documentation. [`Error::Io`] and [`Error::Poisoned`]: whether the write survives
    /// is known only after the store has been opened again.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let version = store.put("k", "v")?;
    /// assert_eq!(store.metadata("k")?.unwrap().version, version);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<u64> {
        let seq = self.shared().put(key.as_ref(), value.as_ref(), &[], self.durability)?;
        self.acknowledge(seq)?;
        Ok(seq)
    }

    /// Stores the bytes of `source` under `key`, with `user` metadata. The memory it takes does not depend on the
    /// length of the value. Readers see the value once all of it is stored. Returns the version, as [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put). [`Error::Io`] if `source` fails; then nothing is changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{UserMetadata, Vde};
    ///
    /// let store = Vde::in_memory()?;
    /// store.put_with("zeros", std::io::Read::take(std::io::repeat(0), 1 << 20), &UserMetadata::new())?;
    /// assert_eq!(store.metadata("zeros")?.unwrap().len, 1 << 20);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn put_with(&self, key: impl AsRef<[u8]>, mut source: impl Read, user: &UserMetadata) -> Result<u64> {
        let user = encode_user(user);
        let seq = self.shared().put_with(key.as_ref(), &mut source, &user, self.durability)?;
        self.acknowledge(seq)?;
        Ok(seq)
    }

    /// Removes `key`. Returns whether it had a value.
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

    /// Calls `new` with the value of `key`, and stores the result. `None` stands for no value, as the argument and as
    /// the result. Returns the previous value.
    ///
    /// `new` runs while the key's stripe is held: no other write of the key comes between, and writers of keys on
    /// other stripes continue. Keep it short: every write to a key of that stripe, and every batch with such a write,
    /// waits for it. It may read the store. A write to the store from inside it fails with [`Error::InsideUpdate`].
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
        let (old, seq) = self.shared().modify(key.as_ref(), self.durability, new)?;
        self.acknowledge(seq)?;
        Ok(old)
    }

    /// Replaces the value of `key` by `new` if the value is `expected`; `None` stands for no value. Returns whether
    /// the value was `expected`.
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

    /// A new batch of writes.
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

    /// Makes the writes of a batch, and returns the version of the last one.
    pub(crate) fn write(&self, writes: &Writes) -> Result<u64> {
        let decided = self.shared().write_batch(writes, self.durability, true)?;
        // `write_batch` was allowed to wait, so it has an outcome.
        decided.map_or(Ok(0), |decided| {
            self.acknowledge(decided.seq)?;
            decided.outcome()
        })
    }

    /// Removes every key in `range`. It logs one record, however many keys there are; the next checkpoint reads the
    /// index pages that contain the keys. All other writes wait while the record is logged.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// for key in ["a", "b", "c"] {
    ///     store.put(key, "")?;
    /// }
    /// store.delete_range("a".."c")?;
    /// assert_eq!(store.first()?.unwrap().key(), b"c");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete_range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<()> {
        let mut writes = Writes::default();
        writes.delete_range(&range);
        self.write(&writes).map(drop)
    }

    /// Removes every key that begins with `prefix`; see [`delete_range`](Self::delete_range).
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("user/1", "")?;
    /// store.put("visits", "")?;
    /// store.delete_prefix("user/")?;
    /// assert_eq!(store.list("").count(), 1);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<()> {
        let mut writes = Writes::default();
        writes.delete_prefix(prefix.as_ref());
        self.write(&writes).map(drop)
    }

    /// Removes every key; see [`delete_range`](Self::delete_range). Named snapshots stay.
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
    /// store.clear()?;
    /// assert!(store.first()?.is_none());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        self.delete_prefix("")
    }

    /// Returns once everything logged so far is durable; on a handle with [`Durability::Shipped`], once it is shipped,
    /// too.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] if a write or sync fails, or has failed before. [`Error::NotShipped`].
    ///
    /// # Examples
    ///
    /// ```
    /// vde_store::Vde::in_memory()?.flush()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        let published = self.shared().log.published();
        match self.durability {
            Durability::Shipped => self.acknowledge(published),
            Durability::Sync | Durability::Buffered => self.shared().wait_durable(published),
        }
    }

    /// Closes the store. If it returns `Ok`, everything is on the disk, and the container's file is unlocked.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if another handle, view, reader or pinned value exists. With another handle, the store stays
    /// open until the last handle is dropped. If only views, readers or pinned values are left, everything is on the
    /// disk, and the file stays locked until they are dropped. [`Error::Io`] and [`Error::Poisoned`]: writes that
    /// were acknowledged as durable are safe, and buffered writes may be lost; the file is unlocked.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Error, Vde};
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = Vde::open(dir.path().join("store.vde"))?;
    /// let other = store.clone();
    /// assert!(matches!(store.close(), Err(Error::InUse { .. })));
    /// other.close()?;
    /// Vde::open(dir.path().join("store.vde"))?.close()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn close(self) -> Result<()> {
        let mut engine = Arc::into_inner(self.engine).ok_or(Error::InUse { by: "another handle" })?;
        engine.is_closed = true;
        let closed = engine.close();
        let pages = Arc::downgrade(&engine.shared.pages);
        drop(engine);
        closed?;
        if pages.strong_count() > 0 {
            Err(Error::InUse { by: "a view, reader or pinned value" })
        } else {
            Ok(())
        }
    }
}
