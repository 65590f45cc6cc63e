//! The options of a shipper.

use std::path::Path;
use std::time::Duration;

use vde_store::Vde;

use crate::bucket::Bucket;
use crate::error::Result;
use crate::shipper::{CheckpointShipper, Shipper};

/// A planted bug, to test the tests.
///
/// # Examples
///
/// ```
/// let broken = vde_ship::ShipOptions::new().plant(vde_ship::Bug::TellEarly);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "testing"), allow(dead_code, unreachable_pub, reason = "they can't be planted"))]
pub enum Bug {
    /// Entries of the log overwrite those of another shipper.
    Unconditional,
    /// Changes are reported as shipped before they are uploaded.
    TellEarly,
    /// Every third part lacks a key.
    LeaveOut,
    /// Every put continues the value that was shipped before, also if the key was deleted between.
    ContinueAlways,
    /// A failed part is not added to the next one.
    ForgetUnsent,
    /// What was removed includes the entries that keep other shippers out.
    RemoveTakeovers,
    /// What was removed includes the base of the oldest point that is to be kept.
    RemoveTooMuch,
    /// A follower does not store its position with a part.
    ForgetPosition,
    /// A follower stores its position before it has read the part.
    NoteEarly,
}

/// The options of a [`Shipper`].
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use vde_ship::ShipOptions;
///
/// # let bucket = vde_ship::Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
/// let store = vde_store::Vde::in_memory()?;
/// let shipper = ShipOptions::new()
///     .interval(Duration::from_millis(200))
///     .keep(Duration::from_hours(24 * 30))
///     .start(&store, bucket)
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ShipOptions {
    pub(crate) interval: Duration,
    pub(crate) base_every: Duration,
    pub(crate) base_bytes: u64,
    pub(crate) keep: Duration,
    pub(crate) chunk_bytes: usize,
    pub(crate) memory: usize,
    bug: Option<Bug>,
}

impl Default for ShipOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            base_every: Duration::from_hours(24),
            base_bytes: 64 << 20,
            keep: Duration::from_hours(24 * 7),
            chunk_bytes: 4 << 20,
            memory: 32 << 20,
            bug: None,
        }
    }
}

impl ShipOptions {
    /// The default options.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = vde_ship::ShipOptions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The pause between two uploads of changes. It bounds how far what is shipped is behind, and each upload is one
    /// point that can be restored. Default 1 s.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let options = vde_ship::ShipOptions::new().interval(Duration::from_secs(10));
    /// ```
    #[must_use = "it returns the changed options"]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// A new base is made after this time, if anything has changed. Default 24 hours. It is made earlier once the
    /// parts since the last base have more than four times its bytes, and more than 64 MiB.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let options = vde_ship::ShipOptions::new().base_every(Duration::from_hours(1));
    /// ```
    #[must_use = "it returns the changed options"]
    pub fn base_every(mut self, time: Duration) -> Self {
        self.base_every = time;
        self
    }

    /// How long points are kept. After each new base, what only older points need is removed. Default 7 days.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let options = vde_ship::ShipOptions::new().keep(Duration::from_hours(24 * 30));
    /// ```
    #[must_use = "it returns the changed options"]
    pub fn keep(mut self, time: Duration) -> Self {
        self.keep = time;
        self
    }

    /// The size of an object of a base or of a large part, at least 1 KiB. Up to three of them are in memory. Default
    /// 4 MiB.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = vde_ship::ShipOptions::new().chunk_bytes(16 << 20);
    /// ```
    #[must_use = "it returns the changed options"]
    pub fn chunk_bytes(mut self, bytes: usize) -> Self {
        self.chunk_bytes = bytes.max(1 << 10);
        self
    }

    /// How many bytes of memory the changed keys may take while the object store cannot be reached. If there are
    /// more, they are forgotten, and a new base is made afterwards. Default 32 MiB, about 190,000 short keys.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = vde_ship::ShipOptions::new().memory(256 << 20);
    /// ```
    #[must_use = "it returns the changed options"]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Ships with a bug, to see whether a test finds it.
    ///
    /// # Examples
    ///
    /// ```
    /// let broken = vde_ship::ShipOptions::new().plant(vde_ship::Bug::LeaveOut);
    /// ```
    #[cfg(feature = "testing")]
    #[must_use = "it returns the changed options"]
    pub fn plant(mut self, bug: Bug) -> Self {
        self.bug = Some(bug);
        self
    }

    /// Starts to ship `store` into `bucket`, and keeps every earlier shipper out: its next upload fails with
    /// [`Error::Fenced`](crate::Error::Fenced). Call it in a tokio runtime.
    ///
    /// If the bucket has the changes of this store up to a version from which the store knows all later changes, the
    /// shipper continues there. Otherwise it begins with a base: a copy of the whole store.
    ///
    /// # Errors
    ///
    /// [`Error::Objects`](crate::Error::Objects) and [`Error::TimedOut`](crate::Error::TimedOut) if the bucket cannot
    /// be used; [`Error::Store`](crate::Error::Store) if the store cannot be watched, for example because it is
    /// read-only.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, earlier shippers may be kept out already.
    ///
    /// # Examples
    ///
    /// See [`ShipOptions`].
    pub async fn start(self, store: &Vde, bucket: Bucket) -> Result<Shipper> {
        Shipper::start(store, bucket, self).await
    }

    /// Will ship the checkpoints of a store that another process writes, each time that it is asked to.
    ///
    /// # Examples
    ///
    /// ```
    /// # let bucket = vde_ship::Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
    /// use std::time::Duration;
    /// let options = vde_ship::ShipOptions::new().keep(Duration::from_hours(24 * 30));
    /// let shipper = options.checkpoints("store.vde", bucket);
    /// ```
    pub fn checkpoints(self, path: impl AsRef<Path>, bucket: Bucket) -> CheckpointShipper {
        CheckpointShipper::with(self, path.as_ref(), bucket)
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}
