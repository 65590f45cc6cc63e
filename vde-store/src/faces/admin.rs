//! Administration of a store: checkpoints, snapshots, space, statistics, health.

use std::sync::Arc;
use std::time::SystemTime;

use crate::container::catalog::SnapshotRecord;
use crate::container::error::{Error, Result};
use crate::container::format::DATA_START;
use crate::container::memtable::{Horizon, Memtable};
use crate::engine::checkpoint::Purpose;
use crate::engine::layers::Layers;
use crate::engine::shared::Figures;
use crate::engine::shipping::ShipLag;
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

/// Statistics of a store at one moment.
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
    /// Bytes of live records in log segments.
    pub live_log_bytes: u64,
    /// Bytes of pages that hold the index and large values.
    pub page_bytes: u64,
    /// Bytes of free segments, and of free pages in other segments. New writes use them before the container grows.
    /// [`Vde::compact`] returns them to the file system.
    pub free_bytes: u64,
    /// An upper bound of the bytes that [`Vde::compact`] could return to the file system: the bytes allocated to the
    /// container, without live data. `compact` itself needs some of this space.
    pub reclaimable_bytes: u64,
    /// Bytes of segments that will be free once older readers have ended.
    pub retired_bytes: u64,
    /// Roughly how many bytes of memory the recent writes take.
    pub memtable_bytes: u64,
    /// How many checkpoints were made since the container was created.
    pub checkpoints: u64,
    /// How many named snapshots there are.
    pub snapshots: usize,
    /// The number of writes that were logged since the container was created. In a copy made by
    /// [`backup`](Vde::backup), it includes the writes of the original.
    pub writes: u64,
    /// How many of those are durable; see [`Vde::durable`].
    pub durable_writes: u64,
    /// How many damaged structures reads have found since the store was opened.
    pub corruptions: u64,
    /// Free bytes of the file system, if the device knows.
    pub available_bytes: Option<u64>,
    /// How far what is shipped is behind the store, as the program that ships it last reported. `None` if none does; see
    /// [`Vde::shipping`].
    pub ship_lag: Option<ShipLag>,
}

/// Whether a store needs attention.
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
    /// The store needs no attention.
    Healthy,
    /// The store works, but it will stop working if the cause continues.
    Degraded {
        /// The reason, as text.
        reason: &'static str,
    },
    /// The store has failed in part, or is about to fail.
    Critical {
        /// The reason, as text.
        reason: &'static str,
    },
}

/// If recent writes exceed this multiple of [`VdeOptions::checkpoint_bytes`](crate::VdeOptions::checkpoint_bytes),
/// checkpoints do not keep up.
const DEGRADED_BACKLOG: u64 = 2;
/// Beyond this multiple, checkpoints have stopped.
const CRITICAL_BACKLOG: u64 = 8;

impl Vde {
    /// Persists the index of everything logged so far, so that opening the store need not replay it. Writers continue
    /// meanwhile. The store makes a checkpoint by itself whenever recent writes exceed
    /// [`VdeOptions::checkpoint_bytes`](crate::VdeOptions::checkpoint_bytes).
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if the disk has no space for the checkpoint: the next checkpoint includes its work.
    /// [`Error::ReadOnly`], [`Error::Io`], [`Error::Poisoned`]. [`Error::Corrupt`] if the index is damaged: the store
    /// turns read-only, and no data is lost.
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

    /// Takes a named snapshot of the store as it is now, and makes it durable. The space of its data is not reused
    /// until the snapshot is deleted.
    ///
    /// # Errors
    ///
    /// [`Error::SnapshotExists`]; [`Error::InvalidOption`] if the name is empty or longer than 255 bytes; the errors
    /// of [`checkpoint`](Self::checkpoint).
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
    /// [`Error::SnapshotNotFound`]; the errors of [`checkpoint`](Self::checkpoint).
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

    /// Lets writes continue after [`Error::Full`], if the disk has space again. It first syncs the writes that are
    /// logged but not yet durable. It does nothing if the disk was not full.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if there is still no space; [`Error::Poisoned`] after a failure from which a store recovers
    /// only by being opened again; [`Error::ReadOnly`].
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Error, Vde};
    ///
    /// let store = Vde::in_memory()?;
    /// if let Err(Error::Full { .. }) = store.put("k", "v") {
    ///     // Make space on the disk; then:
    ///     store.try_resume()?;
    ///     store.put("k", "v")?;
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn try_resume(&self) -> Result<()> {
        self.shared().resume()
    }

    /// Returns space to the file system. It moves live records out of log segments that are less than 97 % live,
    /// rewrites the index without gaps, moves data from the container's end into free space before it, shortens the
    /// container, and punches holes into free space inside it. Returns how many bytes the file system got. Writers
    /// and readers continue meanwhile. Space that readers still need is not returned.
    ///
    /// A store does this by itself if most of the container is free. Call it to return space earlier.
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

    /// Statistics of the store at this moment.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the length of the container cannot be read.
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
            ship_lag: shared.shipped.lag(),
        })
    }

    /// Whether the store needs attention.
    ///
    /// It is critical if a write or sync has failed, a checksum did not match, the file system has less free space
    /// than 1/64 of the container's length or than one segment, or recent writes are more than eight times
    /// [`VdeOptions::checkpoint_bytes`](crate::VdeOptions::checkpoint_bytes). It is degraded if the file system has
    /// less free space than 1/8 of the container's length, or recent writes are more than twice `checkpoint_bytes`.
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
        if shared.group_commit.check().is_err() {
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
