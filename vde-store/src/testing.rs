//! A simulated disk, for crash tests of this store and of stores built on it (feature `testing`).
//!
//! It models the following. Nothing is durable before a sync. A power cut keeps any part of the unsynced writes, in
//! any order, torn at any sector. Calls fail on demand, and a failed write has written a part of its data. The page
//! cache behaves like a kernel's: a page that could not be saved to the disk counts as clean. Reads return the new
//! contents of the page until it is [evicted](SimDisk::evict), even after the process has ended. A power cut loses
//! these contents: the page is saved only if it is written again. The failure is reported once for each open file, to
//! the next sync. The disk does not model bit rot, or a sync that is reported but not done.

use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

mod file;
mod image;
mod state;

use crate::container::device::Device;
pub use crate::container::planted::Bug;
pub use crate::fuzzing::{fuzz_index, fuzz_log, fuzz_superblock};
use file::SimFile;
use image::Image;
use state::State;

/// An operation of a simulated disk.
///
/// # Examples
///
/// ```
/// use vde_store::testing::Operation;
/// assert_ne!(Operation::Write, Operation::Sync);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A read.
    Read,
    /// A write.
    Write,
    /// A sync.
    Sync,
    /// A change of length.
    SetLen,
}

/// Which calls of a simulated disk fail, and how.
///
/// # Examples
///
/// ```
/// use vde_store::testing::{Fault, SimDisk};
/// use vde_store::VdeOptions;
///
/// let disk = SimDisk::new();
/// let store = VdeOptions::new().open_device(disk.device())?;
/// disk.fail(Fault { at: disk.operations(), error: std::io::ErrorKind::StorageFull, forever: false });
/// assert!(store.put("k", "v").is_err());
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The number of the first call that fails; see [`SimDisk::operations`].
    pub at: u64,
    /// The error of the call.
    pub error: io::ErrorKind,
    /// Whether every later call of the same kind fails too.
    pub forever: bool,
}

/// A disk in memory whose power can be cut.
///
/// # Examples
///
/// ```
/// use vde_store::testing::SimDisk;
/// use vde_store::{Durability, VdeOptions};
///
/// let disk = SimDisk::new();
/// let store = VdeOptions::new().background(false).open_device(disk.device())?;
/// store.put("durable", "1")?;
/// store.with_durability(Durability::Buffered).put("buffered", "2")?;
///
/// let after_the_cut = VdeOptions::new().open_device(disk.crash(7).device())?;
/// assert!(after_the_cut.contains("durable")?);
/// assert!(!after_the_cut.contains("buffered")?);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("SimDisk")
            .field("len", &state.len())
            .field("operations", &state.operations())
            .finish_non_exhaustive()
    }
}

/// The moment before a write, sync or change of length, at which the power could be cut.
///
/// # Examples
///
/// ```
/// use vde_store::testing::SimDisk;
///
/// let disk = SimDisk::new();
/// disk.before_each_operation(|cut| println!("{:?} {}", cut.operation(), cut.number()));
/// disk.device().write_at(b"abc", 0).unwrap();
/// ```
#[derive(Debug)]
pub struct PowerCut<'a> {
    disk: &'a State,
    operation: Operation,
}

impl PowerCut<'_> {
    /// The operation that the cut would prevent.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::{Operation, SimDisk};
    /// let disk = SimDisk::new();
    /// disk.before_each_operation(|cut| assert_eq!(cut.operation(), Operation::Sync));
    /// disk.device().sync().unwrap();
    /// ```
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The number of that operation.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::SimDisk;
    /// let disk = SimDisk::new();
    /// disk.before_each_operation(|cut| assert_eq!(cut.number(), 0));
    /// disk.device().sync().unwrap();
    /// ```
    pub fn number(&self) -> u64 {
        self.disk.operations()
    }

    /// The disk as it is after a power cut here. `seed` decides which unsynced sectors survive; equal seeds give
    /// equal disks.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::SimDisk;
    /// let disk = SimDisk::new();
    /// disk.before_each_operation(|cut| {
    ///     assert_eq!(cut.image(7).contents(), cut.image(7).contents());
    /// });
    /// disk.device().write_at(b"abc", 0).unwrap();
    /// ```
    pub fn image(&self, seed: u64) -> SimDisk {
        SimDisk::of(self.disk.left(seed))
    }
}

impl SimDisk {
    /// An empty disk.
    ///
    /// # Examples
    ///
    /// ```
    /// let disk = vde_store::testing::SimDisk::new();
    /// assert_eq!(disk.operations(), 0);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds `image`, all of it durable.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::SimDisk;
    /// assert_eq!(SimDisk::holding(vec![1, 2]).contents(), [1, 2]);
    /// ```
    pub fn holding(image: impl AsRef<[u8]>) -> Self {
        Self::of(Image::from(image.as_ref()))
    }

    fn of(image: Image) -> Self {
        Self { state: Arc::new(Mutex::new(State::of(image))) }
    }

    /// Opens the file on this disk, to open a store on it. It can be opened several times: all open files share the
    /// disk's bytes and its page cache, and each receives a failure once.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{VdeOptions, testing::SimDisk};
    /// VdeOptions::new().open_device(SimDisk::new().device())?.put("k", "v")?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn device(&self) -> Arc<dyn Device> {
        Arc::new(SimFile::open(self.state.clone()))
    }

    /// The bytes that reads see now.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(vde_store::testing::SimDisk::new().contents().is_empty());
    /// ```
    pub fn contents(&self) -> Vec<u8> {
        self.state.lock().contents()
    }

    /// The number of operations so far, which is also the number of the next one.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::SimDisk;
    /// let disk = SimDisk::new();
    /// disk.device().sync().unwrap();
    /// assert_eq!(disk.operations(), 1);
    /// ```
    pub fn operations(&self) -> u64 {
        self.state.lock().operations()
    }

    /// The disk as it is after a power cut now; see [`PowerCut::image`].
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::SimDisk;
    /// let disk = SimDisk::new();
    /// disk.device().write_at(b"synced", 0).unwrap();
    /// disk.device().sync().unwrap();
    /// disk.device().write_at(b"lost?", 0).unwrap();
    /// assert!([&b"synced"[..], b"lost?d"].contains(&&*disk.crash(1).contents()));
    /// ```
    #[must_use = "it returns another disk and leaves this one as it is"]
    pub fn crash(&self, seed: u64) -> Self {
        Self::of(self.state.lock().left(seed))
    }

    /// Calls `hook` before every write, sync and change of length. The disk waits meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::SimDisk;
    /// let disk = SimDisk::new();
    /// disk.before_each_operation(|cut| assert!(cut.image(3).contents().is_empty()));
    /// disk.device().write_at(b"abc", 0).unwrap();
    /// ```
    pub fn before_each_operation(&self, hook: impl Fn(&PowerCut<'_>) + Send + Sync + 'static) {
        self.state.lock().set_hook(Arc::new(hook));
    }

    /// Makes operations fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::{Fault, SimDisk};
    /// let disk = SimDisk::new();
    /// disk.fail(Fault { at: 0, error: std::io::ErrorKind::Other, forever: false });
    /// assert!(disk.device().sync().is_err());
    /// assert!(disk.device().sync().is_ok());
    /// ```
    pub fn fail(&self, fault: Fault) {
        self.state.lock().set_fault(fault);
    }

    /// Makes a write-back of the page cache fail: a part of the unsynced writes is not saved, and the next sync gets
    /// the error. The write-back happens before call number `at`, or later, once there are unsynced writes.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::SimDisk;
    ///
    /// let disk = SimDisk::new();
    /// let file = disk.device();
    /// file.write_at(b"abc", 0).unwrap();
    /// disk.fail_write_back(0, std::io::ErrorKind::Other);
    /// assert!(file.sync().is_err());
    /// assert!(file.sync().is_ok(), "it is told once, and nothing is saved now");
    /// ```
    pub fn fail_write_back(&self, at: u64, error: io::ErrorKind) {
        self.state.lock().set_write_back_fault(at, error);
    }

    /// Drops clean pages from the page cache, as a system that needs memory does. Reads of a dropped page that could
    /// not be saved then return the old bytes of the disk. `seed` decides which pages are dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::testing::SimDisk;
    ///
    /// let disk = SimDisk::new();
    /// disk.device().write_at(b"abc", 0).unwrap();
    /// disk.evict(7);
    /// assert_eq!(disk.contents(), b"abc", "what is still to be saved stays");
    /// ```
    pub fn evict(&self, seed: u64) {
        self.state.lock().evict(seed);
    }
}
