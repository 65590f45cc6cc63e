//! Planted bugs, to test the tests: a crash test that does not find a planted bug would not find a real one. Without
//! the feature `testing` there are none, and checking for one costs nothing.

/// A deliberate bug for tests.
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
#[cfg_attr(not(feature = "testing"), allow(dead_code, unreachable_pub, reason = "they can't be planted"))]
pub enum Bug {
    /// Writes are acknowledged without a sync.
    AcknowledgeEarly,
    /// The superblock is written before the index that it refers to is durable.
    SuperblockFirst,
    /// Space is reused before the superblock that no longer refers to it is durable.
    ReuseAtOnce,
    /// Recovery applies the records of incomplete transactions.
    HalfTransactions,
    /// Updates release their stripe before they are logged, so they may be published in another order than they were
    /// computed.
    PublishOutOfOrder,
    /// Recovery does not check whether the blobs of unsynced records are whole.
    TornBlobs,
    /// Only the thread whose sync failed learns of the failure at once; other threads learn of it later.
    SyncsApart,
    /// Opening regards the log's tail as durable, although a failed sync may have left it in the page cache only.
    TrustCachedLog,
    /// Opening regards the superblock as durable, although a failed sync may have left it in the page cache only.
    TrustCachedSuperblock,
    /// Opening falls back to the older superblock if the newest one refers to damaged data.
    FallBack,
    /// The writer overwrites data that readers in other processes read.
    ForgetReaders,
    /// Watchers receive changes that are not durable yet.
    TellEarly,
    /// The view of a new watch lacks writes that were logged and not durable.
    WatchLate,
    /// A container reserves no space at its end for a full disk.
    NothingKept,
    /// A checkpoint on a full disk takes any free pages, not only preallocated ones.
    HolesTaken,
    /// Puts use the space that the log reserves for deletions.
    NothingForDeletions,
    /// A record counts as verified if the record that it has overwritten was verified.
    TrustRewritten,
    /// Pages and the log take segments without regard to what is announced.
    ForgetAnnounced,
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
