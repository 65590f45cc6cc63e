//! The options of an open store.

use std::time::Duration;

use crate::container::blob::PART_PIECES;
use crate::container::device::Lock;
use crate::container::error::{Error, Result};
use crate::container::format::SEGMENT_SIZES;
use crate::container::planted::Planted;
use crate::engine::stripes::StripeHasher;

/// When a write is acknowledged, that is, when its method returns.
///
/// # Examples
///
/// ```
/// use vde_store::{Durability, Vde};
///
/// let store = Vde::in_memory()?;
/// let hasty = store.with_durability(Durability::Buffered);
/// hasty.put("k", "v")?; // in the log, not yet on the disk
/// hasty.flush()?;       // now it is
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once the write is durable: it survives a crash.
    #[default]
    Sync,
    /// Once the write is in the log's buffer in memory. It is synced within [`VdeOptions::sync_interval`] and by
    /// [`Vde::flush`](crate::Vde::flush). A power cut or a kill of the process before that may lose it, and every
    /// write after it.
    Buffered,
    /// Once the write is durable, and whoever [ships](crate::Vde::shipping) the store has reported that it is in the
    /// other place, too. Readers see it as soon as it is durable. While the other place cannot be reached, the write
    /// waits. If nobody ships the store, or the shipper ends, the method returns
    /// [`Error::NotShipped`], and the write stays.
    Shipped,
}

/// Whether values are compressed before they are written.
///
/// # Examples
///
/// ```
/// use vde_store::{Compression, VdeOptions};
///
/// let store = VdeOptions::new().compression(Compression::Lz4).in_memory()?;
/// store.put("k", "over and over and ".repeat(1000))?;
/// assert!(store.get("k")?.unwrap().starts_with(b"over and over"));
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Values are written as they are. If the file is mapped, they can be read in place.
    #[default]
    None,
    /// Each value is compressed by LZ4, if that makes it at least an eighth shorter.
    Lz4,
}

/// How a store is opened. The options are checked when it is opened.
///
/// There is no option for a cache size. A container file is read through a [memory map](Self::memory_map), so the
/// operating system's page cache is the only cache, and it uses the free memory. The memory of the store itself grows
/// with [`checkpoint_bytes`](Self::checkpoint_bytes). In addition, the store keeps up to 32 bytes for each key that
/// is read, at most 32 MiB, to find the key faster the next time.
///
/// # Examples
///
/// ```
/// use vde_store::{Durability, VdeOptions};
///
/// let dir = tempfile::tempdir().unwrap();
/// let store = VdeOptions::new()
///     .stripes(256)
///     .durability(Durability::Buffered)
///     .open(dir.path().join("store.vde"))?;
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[must_use = "options do nothing until a store is opened with them"]
pub struct VdeOptions {
    pub(crate) stripes: usize,
    pub(crate) hasher: StripeHasher,
    pub(crate) durability: Durability,
    pub(crate) sync_interval: Duration,
    pub(crate) compression: Compression,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) segment_size: u32,
    pub(crate) read_only: bool,
    pub(crate) salvage: bool,
    pub(crate) create_if_missing: bool,
    pub(crate) background: bool,
    pub(crate) memory_map: bool,
    pub(crate) read_ahead: bool,
    pub(crate) lock: Lock,
    pub(crate) watch_bytes: usize,
    pub(crate) first_version: u64,
    /// Whether a writer may have the container open while this store reads it. It is set when the container is
    /// opened.
    pub(crate) beside_writer: bool,
    /// How many pieces a part of a large value has.
    pub(crate) part_pieces: u64,
    pub(crate) planted: Planted,
}

impl Default for VdeOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl VdeOptions {
    /// The default options. Each method of this type names its default.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::VdeOptions::new().in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn new() -> Self {
        Self {
            stripes: 64,
            hasher: StripeHasher::default(),
            durability: Durability::Sync,
            sync_interval: Duration::from_millis(100),
            compression: Compression::None,
            checkpoint_bytes: 64 << 20,
            segment_size: 16 << 20,
            read_only: false,
            salvage: false,
            create_if_missing: true,
            background: true,
            memory_map: true,
            read_ahead: true,
            lock: Lock::File,
            watch_bytes: 4 << 20,
            first_version: 1,
            beside_writer: false,
            part_pieces: PART_PIECES,
            planted: Planted::default(),
        }
    }

    /// The number of stripes, 1 to 65,536, rounded up to a power of two. Default 64. A write holds the stripe of its
    /// key for some microseconds, while it is appended to the log. An update also holds it while its closure runs. No
    /// stripe is held during a sync.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Error, VdeOptions};
    /// let refused = VdeOptions::new().stripes(0).in_memory();
    /// assert!(matches!(refused, Err(Error::InvalidOption { option: "stripes", .. })));
    /// ```
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = stripes;
        self
    }

    /// Which hash function chooses a key's stripe. Default [`StripeHasher::keyed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{StripeHasher, VdeOptions};
    /// let store = VdeOptions::new().hasher(StripeHasher::Fnv1a).in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn hasher(mut self, hasher: StripeHasher) -> Self {
        self.hasher = hasher;
        self
    }

    /// When writes are acknowledged, unless a handle says otherwise. Default [`Durability::Sync`].
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Durability, VdeOptions};
    /// let store = VdeOptions::new().durability(Durability::Buffered).in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The longest time that a buffered write stays unsynced, 1 ms to 1 hour. Default 100 ms.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use vde_store::VdeOptions;
    /// let store = VdeOptions::new().sync_interval(Duration::from_secs(1)).in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// Whether new values of 257 bytes to 64 KiB are compressed. Longer and shorter values never are. Stored values
    /// can be read with either setting. Default [`Compression::None`].
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Compression, VdeOptions};
    /// let store = VdeOptions::new().compression(Compression::Lz4).in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How many bytes of recent writes are kept in memory before a checkpoint persists their index, 64 KiB to 16 GiB.
    /// Default 64 MiB. The memory that a store takes, and the time to open it after a crash, grow with it.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::VdeOptions::new().checkpoint_bytes(16 << 20).in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn checkpoint_bytes(mut self, bytes: u64) -> Self {
        self.checkpoint_bytes = bytes;
        self
    }

    /// The size in bytes of the container's segments, the unit in which space is reused: a power of two from 256 KiB
    /// to 1 GiB, fixed when the container is created. Default 16 MiB.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::VdeOptions::new().segment_size(1 << 20).in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn segment_size(mut self, bytes: u32) -> Self {
        self.segment_size = bytes;
        self
    }

    /// Opens for reading only: nothing is written, and several processes may read at the same time. Default `false`.
    ///
    /// On 64-bit Linux and file systems with byte-range locks, a store that another process writes can be read, too.
    /// A lock tells the writer of the reader. Such a reader sees the newest checkpoint at the time of opening, and
    /// [`Recovery::beside_writer`](crate::Recovery::beside_writer) is `true`. To see a newer checkpoint, open the
    /// store again. The writer reuses the space that the reader needs only after the reader has closed the store, or
    /// died. A reader that opens the store while no process writes it sees everything, and no writer can open the
    /// store meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Error, Vde, VdeOptions};
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("store.vde");
    /// Vde::create(&path)?.put("k", "v")?;
    /// let reader = VdeOptions::new().read_only(true).open(&path)?;
    /// assert!(reader.contains("k")?);
    /// assert!(matches!(reader.put("k", "w"), Err(Error::ReadOnly)));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Opens a store with a damaged log, for reading only. The store has everything that was logged before the
    /// damage, and [`Recovery::damaged_at`](crate::Recovery::damaged_at) says where the damage is.
    /// [`Vde::backup`](crate::Vde::backup) then copies everything that can be read, and
    /// [`Vde::verify`](crate::Vde::verify) lists the rest. Default `false`.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Vde, VdeOptions};
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("store.vde");
    /// Vde::create(&path)?.put("k", "v")?;
    /// let store = VdeOptions::new().read_only(true).salvage(true).open(&path)?;
    /// assert_eq!(store.recovery().damaged_at, None);
    /// store.backup(dir.path().join("whole.vde"))?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.salvage = salvage;
        self
    }

    /// Whether [`open`](Self::open) creates the container if it does not exist. Default `true`.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir().unwrap();
    /// let missing = dir.path().join("missing.vde");
    /// assert!(vde_store::VdeOptions::new().create_if_missing(false).open(missing).is_err());
    /// ```
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// Whether the container is read through a memory map, which saves a system call and a copy for each read.
    /// Default `true`.
    ///
    /// Reading through a map cannot return an error: if the disk cannot read a page, or another program truncates the
    /// file, the system ends the process with SIGBUS. Without the map, such a read returns [`Error::Io`] or
    /// [`Error::Corrupt`], and each read costs a system call and a copy. Bytes that may never have been written are
    /// always read without the map.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = vde_store::VdeOptions::new().memory_map(false).open(dir.path().join("store.vde"))?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn memory_map(mut self, memory_map: bool) -> Self {
        self.memory_map = memory_map;
        self
    }

    /// Whether a read may make the system read more of the file than was asked for. Default `true`.
    ///
    /// Linux then reads up to 128 KiB or what is configured around the place of a read, and keeps that in the page cache. That
    /// makes scans faster, and also point reads of a store that fits into memory. If a store is larger than the memory, and is
    /// read at random places, `false` spares these reads, and the memory that they take from other data. Values and pages of
    /// up to 4 KiB are then read through the map, and longer ones by a call that copies them.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = vde_store::VdeOptions::new().read_ahead(false).open(dir.path().join("store.vde"))?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn read_ahead(mut self, read_ahead: bool) -> Self {
        self.read_ahead = read_ahead;
        self
    }

    /// The lock that keeps other processes out. Default [`Lock::File`].
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Lock, VdeOptions};
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = VdeOptions::new().lock(Lock::None).open(dir.path().join("store.vde"))?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn lock(mut self, lock: Lock) -> Self {
        self.lock = lock;
        self
    }

    /// How many bytes of changes are kept in memory for [watchers](crate::Vde::watch) that have not received them
    /// yet, 4 KiB to 1 GiB. A change takes the length of its key and about 64 bytes. Default 4 MiB. Without watchers,
    /// nothing is kept.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::VdeOptions::new().watch_bytes(64 << 20).in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn watch_bytes(mut self, bytes: usize) -> Self {
        self.watch_bytes = bytes;
        self
    }

    /// The version of the first write, if the store is created: from 1 to 2^61. A copy of another store begins after
    /// the versions that it contains, so that versions keep growing. Default 1.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::VdeOptions::new().first_version(100).in_memory()?;
    /// assert_eq!(store.put("k", "v")?, 100);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn first_version(mut self, version: u64) -> Self {
        self.first_version = version;
        self
    }

    /// Whether the store may run threads of its own. Default `true`. Without them, buffered writes are synced only by
    /// [`Vde::flush`](crate::Vde::flush), a checkpoint is made only by [`Vde::checkpoint`](crate::Vde::checkpoint),
    /// and a task that awaits a durable write syncs on the executor's thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::VdeOptions::new().background(false).in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// How many pieces a part of a large value has. A piece is 1 MiB, or a segment if that is less. With a small
    /// number, short values have many parts, for tests. Default 512.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::VdeOptions::new().part_pieces(1).in_memory()?;
    /// store.put("k", vec![7; 3 << 20])?; // in three parts
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    #[cfg(feature = "testing")]
    pub fn part_pieces(mut self, pieces: u64) -> Self {
        self.part_pieces = pieces;
        self
    }

    /// Opens the store with a bug, to see whether a test finds it.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{VdeOptions, testing::Bug};
    /// let broken = VdeOptions::new().plant(Bug::HalfTransactions).in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    #[cfg(feature = "testing")]
    pub fn plant(mut self, bug: crate::container::planted::Bug) -> Self {
        self.planted.bug = Some(bug);
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |option, reason| Err(Error::InvalidOption { option, reason });
        if !(1..=65_536).contains(&self.stripes) {
            return refuse("stripes", "must be from 1 to 65,536");
        }
        if !self.segment_size.is_power_of_two() || !SEGMENT_SIZES.contains(&self.segment_size) {
            return refuse("segment_size", "must be a power of two from 256 KiB to 1 GiB");
        }
        if !(64 << 10..=16 << 30).contains(&self.checkpoint_bytes) {
            return refuse("checkpoint_bytes", "must be from 64 KiB to 16 GiB");
        }
        if !(Duration::from_millis(1)..=Duration::from_hours(1)).contains(&self.sync_interval) {
            return refuse("sync_interval", "must be from 1 ms to 1 hour");
        }
        if !(4 << 10..=1 << 30).contains(&self.watch_bytes) {
            return refuse("watch_bytes", "must be from 4 KiB to 1 GiB");
        }
        if !(1..=1 << 61).contains(&self.first_version) {
            return refuse("first_version", "must be from 1 to 2^61");
        }
        if self.salvage && !self.read_only {
            return refuse("salvage", "needs read_only");
        }
        Ok(())
    }
}
