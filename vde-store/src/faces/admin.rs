//! Looking after a store: checkpoints, snapshots, space, figures, health.

use std::sync::Arc;
use std::time::SystemTime;

use crate::container::catalog::SnapshotRecord;
use crate::container::error::{Error, Result};
use crate::container::format::DATA_START;
use crate::container::memtable::{Horizon, Memtable};
use crate::engine::checkpoint::Purpose;
use crate::engine::layers::Layers;
use crate::engine::shared::Figures;
use crate::engine::value::time_from_micros;
use crate::engine::view::ReadView;
use crate::faces::store::Vde;

/// A named snapshot.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "v")?;
/// let snapshot = store.snapshot("monday")?;
/// assert_eq!((&*snapshot.name, snapshot.keys), ("monday", 1));
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// When it was taken.
    pub created: SystemTime,
    /// How many keys it shows.
    pub keys: u64,
}

impl From<&SnapshotRecord> for Snapshot {
    fn from(record: &SnapshotRecord) -> Self {
        Self { name: record.name.clone(), created: time_from_micros(record.created), keys: record.keys }
    }
}

/// Figures of a store, as they are at the moment.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "v")?;
/// store.checkpoint()?;
/// assert_eq!(store.stats()?.keys, 1);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many keys there were at the last checkpoint.
    pub keys: u64,
    /// Length of the container in bytes.
    pub container_bytes: u64,
    /// Bytes of log segments, live and dead.
    pub log_bytes: u64,
    /// Bytes of records in them that something refers to.
    pub live_log_bytes: u64,
    /// Bytes of pages that hold index and large values.
    pub page_bytes: u64,
    /// Bytes of free segments, and of free pages in others: what new writes take before the container grows. Of these,
    /// [`Vde::compact`] gives back what the file system has not had back yet.
    pub free_bytes: u64,
    /// At most so many bytes [`Vde::compact`] could give back to the file system: what the container takes of it, and nothing
    /// live is in. It needs some of them itself.
    pub reclaimable_bytes: u64,
    /// Bytes of segments that will be free once readers are gone.
    pub retired_bytes: u64,
    /// Roughly what the recent writes take in memory.
    pub memtable_bytes: u64,
    /// How many checkpoints were made since the container was created.
    pub checkpoints: u64,
    /// How many named snapshots there are.
    pub snapshots: usize,
    /// The number of the newest write: how many were logged since the container was created, and in a copy made by
    /// [`backup`](Vde::backup) those before it too.
    pub writes: u64,
    /// How many of those are durable.
    pub durable_writes: u64,
    /// How many damaged structures readers have met since the store was opened.
    pub corruptions: u64,
    /// Bytes that the file system has left for the container, where the device can tell.
    pub available_bytes: Option<u64>,
}

/// Whether a store needs somebody's attention.
///
/// # Examples
///
/// ```
/// use vde_store::{Health, Vde};
/// assert_eq!(Vde::in_memory()?.health()?, Health::Healthy);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// All is well.
    Healthy,
    /// It works, but not for long if this goes on.
    Degraded {
        /// What is the matter.
        reason: &'static str,
    },
    /// Something does not work.
    Critical {
        /// What is the matter.
        reason: &'static str,
    },
}

/// Recent writes beyond this multiple of [`VdeOptions::checkpoint_bytes`]: checkpoints do not keep up.
const DEGRADED_BACKLOG: u64 = 2;
/// Beyond this multiple they do not happen at all.
const CRITICAL_BACKLOG: u64 = 8;

impl Vde {
    /// Persists the index of everything logged so far, so that opening the store need not replay it. Writers go on
    /// meanwhile. Happens by itself whenever
    /// [`VdeOptions::checkpoint_bytes`](crate::VdeOptions::checkpoint_bytes) have gathered.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] where the disk has no space for it: the next checkpoint finishes it. [`Error::ReadOnly`],
    /// [`Error::Io`], [`Error::Poisoned`]; [`Error::Corrupt`] where the index is damaged: that turns the store read-only and
    /// loses nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// store.checkpoint()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn checkpoint(&self) -> Result<()> {
        self.shared().checkpoint(Purpose::Changes)
    }

    /// Keeps the store as it is now under `name`, durably. What it shows is not collected until it is deleted.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotExists`]; [`Error::InvalidOption`] where the name is empty or longer than 255 bytes; as
    /// [`checkpoint`](Self::checkpoint).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "old")?;
    /// store.snapshot("before")?;
    /// store.put("k", "new")?;
    /// assert_eq!(store.open_snapshot("before")?.get("k")?.unwrap(), b"old");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn snapshot(&self, name: &str) -> Result<Snapshot> {
        self.shared().checkpoint(Purpose::AddSnapshot(name))?;
        let state = self.shared().checkpoint.lock();
        let found = state.catalog.snapshots.iter().find(|snapshot| snapshot.name == name);
        found.map(Snapshot::from).ok_or_else(|| Error::SnapshotNotFound { name: name.into() })
    }

    /// The named snapshots, oldest first.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.snapshot("a")?;
    /// assert_eq!(store.list_snapshots().len(), 1);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn list_snapshots(&self) -> Vec<Snapshot> {
        self.shared().checkpoint.lock().catalog.snapshots.iter().map(Snapshot::from).collect()
    }

    /// Deletes a named snapshot. Views of it that are open stay as they are.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotNotFound`]; as [`checkpoint`](Self::checkpoint).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.snapshot("a")?;
    /// store.delete_snapshot("a")?;
    /// assert!(store.list_snapshots().is_empty());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete_snapshot(&self, name: &str) -> Result<()> {
        self.shared().checkpoint(Purpose::RemoveSnapshot(name))
    }

    /// A view of the store as it was when the snapshot was taken.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotNotFound`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.snapshot("empty")?;
    /// assert_eq!(store.open_snapshot("empty")?.list("").count(), 0);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn open_snapshot(&self, name: &str) -> Result<ReadView> {
        let state = self.shared().checkpoint.lock();
        let tree = state.snapshot_trees.get(name).cloned();
        let tree = tree.ok_or_else(|| Error::SnapshotNotFound { name: name.into() })?;
        let memtable = Arc::new(Memtable::default());
        let layers = Arc::new(Layers { memtable, frozen: None, tree, log: None, maintenance: None });
        Ok(ReadView { layers, horizon: Horizon::LATEST })
    }

    /// Lets writes go on that were refused because the disk was full, if it has space again. What was on its way is made
    /// durable first. A store whose disk was never full stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] where there is no space yet; [`Error::Poisoned`] after a failure that only opening the store again
    /// mends; [`Error::ReadOnly`].
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Error, Vde};
    ///
    /// let store = Vde::in_memory()?;
    /// if let Err(Error::Full { .. }) = store.put("k", "v") {
    ///     // Somebody makes space; then:
    ///     store.try_resume()?;
    ///     store.put("k", "v")?;
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_resume(&self) -> Result<()> {
        self.shared().resume()
    }

    /// Gives space back to the file system: collects segments that are not nearly whole, writes the index anew without
    /// gaps, moves what lies at the container's end into free space before it, cuts the container, and makes holes of what is
    /// free inside of it. Returns how many bytes the file system got. Writers and readers go on meanwhile; what readers still
    /// hold is not given back.
    ///
    /// A store does this by itself where most of the container is free, so that this is worth its time where less is.
    ///
    /// # Errors
    ///
    /// As [`checkpoint`](Self::checkpoint).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.compact()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn compact(&self) -> Result<u64> {
        self.shared().compact()
    }

    /// Figures of the store, as they are at the moment.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the container cannot be measured.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(vde_store::Vde::in_memory()?.stats()?.writes, 0);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        let shared = self.shared();
        let Figures { keys, checkpoints, snapshots } = *shared.figures.lock();
        let device = shared.pages.device();
        let container_bytes = device.len().map_err(|e| Error::io("measure the container", e))?;
        let (usage, free_bytes) = {
            let segments = shared.segments.lock();
            (segments.usage(), segments.free_bytes_of(container_bytes))
        };
        let size = u64::from(shared.pages.geometry().segment_size);
        let layers = shared.layers.load();
        let live = DATA_START + usage.live_log_bytes + usage.page_bytes;
        Ok(Stats {
            keys,
            container_bytes,
            reclaimable_bytes: device.allocated().unwrap_or(container_bytes).saturating_sub(live),
            log_bytes: usage.log_segments * size,
            live_log_bytes: usage.live_log_bytes,
            page_bytes: usage.page_bytes,
            free_bytes,
            retired_bytes: usage.held_segments * size,
            memtable_bytes: layers.memtable.bytes()
                + layers.frozen.as_ref().map_or(0, |frozen| frozen.bytes()),
            checkpoints,
            snapshots,
            writes: shared.log.published(),
            durable_writes: shared.log.durable(),
            corruptions: shared.pages.corruptions(),
            available_bytes: device.available(),
        })
    }

    /// Whether the store needs somebody's attention.
    ///
    /// Critical: a write or sync has failed; a checksum did not match; less than 1/64 of the container's length is left
    /// on the file system, or less than one segment; recent writes are more than eight times
    /// [`VdeOptions::checkpoint_bytes`](crate::VdeOptions::checkpoint_bytes). Degraded: less than 1/8 of the length is left;
    /// recent writes are more than twice that.
    ///
    /// # Errors
    ///
    /// As [`stats`](Self::stats).
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Health, Vde};
    /// assert_eq!(Vde::in_memory()?.health()?, Health::Healthy);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn health(&self) -> Result<Health> {
        let stats = self.stats()?;
        let shared = self.shared();
        let backlog = stats.memtable_bytes / shared.options.checkpoint_bytes;
        let segment = u64::from(shared.pages.geometry().segment_size);
        let left = stats.available_bytes.unwrap_or(u64::MAX);
        let critical = |reason| Ok(Health::Critical { reason });
        if shared.line.check().is_err() {
            return critical("a write or sync has failed; the store is read-only until it is opened again");
        }
        if stats.corruptions > 0 {
            return critical("stored bytes failed their checksum; run verify");
        }
        if left < segment.max(stats.container_bytes / 64) {
            return critical("the disk is nearly full");
        }
        if backlog >= CRITICAL_BACKLOG {
            return critical("checkpoints have stopped");
        }
        Ok(if left < stats.container_bytes / 8 {
            Health::Degraded { reason: "the disk is filling up" }
        } else if backlog >= DEGRADED_BACKLOG {
            Health::Degraded { reason: "checkpoints do not keep up with the writes" }
        } else {
            Health::Healthy
        })
    }
}
