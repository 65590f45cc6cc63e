//! Bugs on demand, to test the tests: what the simulated disk cannot find with a bug planted, it cannot find at all.
//! Without the feature `testing` there are none, and asking for one costs nothing.

/// A bug that a store can be opened with.
///
/// # Examples
///
/// ```
/// use vde_store::VdeOptions;
/// use vde_store::testing::{Bug, SimDisk};
///
/// let disk = SimDisk::new();
/// let store = VdeOptions::new().plant(Bug::AcknowledgeEarly).open_device(disk.device())?;
/// store.put("k", "v")?;
/// let lost = (0..50).any(|seed| {
///     let left = VdeOptions::new().open_device(disk.crash(seed).device()).unwrap();
///     !left.contains("k").unwrap()
/// });
/// assert!(lost);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "testing"), allow(dead_code, unreachable_pub, reason = "nobody can ask for them"))]
pub enum Bug {
    /// Writes are acknowledged without a sync.
    AcknowledgeEarly,
    /// The superblock is written before the index that it refers to is durable.
    SuperblockFirst,
    /// Space is reused before the superblock that no longer refers to it is durable.
    ReuseAtOnce,
    /// Recovery applies the records of a transaction that it found only in part.
    HalfTransactions,
    /// Updates give their stripe back before they are logged, so that they are not published in the order in which they
    /// were computed.
    PublishOutOfOrder,
    /// Recovery does not look whether the blobs of unsynced records are whole.
    TornBlobs,
    /// A failed sync is known to whoever was told of it, and to others only later.
    SyncsApart,
    /// Opening takes the log's tail for durable as it reads it, though a failed sync may have left it in the page cache alone.
    TrustCachedLog,
    /// As `TrustCachedLog`, of the superblock.
    TrustCachedSuperblock,
    /// Opening falls back to an older superblock where what the newest one refers to is damaged.
    FallBack,
    /// What readers in other processes read is written over.
    ForgetReaders,
    /// Watchers are told of changes that are not durable yet.
    TellEarly,
    /// The view that a watch begins with lacks what was logged and not durable.
    WatchLate,
    /// A container keeps no space at its end for a full disk.
    NothingKept,
    /// A checkpoint on a full disk takes whatever pages are free, written beforehand or not.
    HolesTaken,
    /// Puts use up what the log keeps for deletions.
    NothingForDeletions,
}

/// The bug that a store was opened with, if any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "testing")]
    pub(crate) bug: Option<Bug>,
}

impl Planted {
    #[cfg(feature = "testing")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(not(feature = "testing"))]
    #[allow(clippy::unused_self, reason = "its twin needs it")]
    pub(crate) fn has(self, _: Bug) -> bool {
        false
    }
}
