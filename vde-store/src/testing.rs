//! A simulated disk, for crash tests of this store and of stores built on it (feature `testing`).
//!
//! What it models: nothing is durable before a sync; a power cut keeps any part of what was not synced, in any order,
//! torn at any sector; calls fail on demand, and a failed sync may have lost what it was to save. What it does not
//! model: sectors that rot, and disks that lie about a sync.

use std::fmt;
use std::io;
use std::sync::Arc;

use fastrand::Rng;
use parking_lot::Mutex;

mod image;

use crate::device::Device;
pub use crate::fuzzing::{fuzz_index, fuzz_log, fuzz_superblock};
pub use crate::planted::Bug;
use image::Image;

/// The unit that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// An operation that a simulated disk is asked for.
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
    /// What it fails with.
    pub error: io::ErrorKind,
    /// Whether every later call of the same kind fails too.
    pub forever: bool,
}

#[derive(Clone)]
enum Pending {
    Write { offset: usize, data: Arc<[u8]> },
    SetLen(usize),
}

impl Pending {
    fn apply(&self, image: &mut Image) {
        match self {
            Self::Write { offset, data } => image.write(*offset, data),
            Self::SetLen(len) => image.set_len(*len),
        }
    }
}

type Hook = Arc<dyn Fn(&PowerCut<'_>) + Send + Sync>;

#[derive(Default)]
struct State {
    /// What every crash keeps.
    durable: Image,
    /// What reads see.
    current: Image,
    pending: Vec<Pending>,
    operations: u64,
    fault: Option<(Fault, Option<Operation>)>,
    hook: Option<Hook>,
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
            .field("len", &state.current.len())
            .field("unsynced", &state.pending.len())
            .field("operations", &state.operations)
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

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("operations", &self.operations).finish_non_exhaustive()
    }
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
        self.disk.operations
    }

    /// A disk with what is left if the power is cut here. Which of the unsynced sectors survive follows from `seed`;
    /// equal seeds leave equal disks.
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
        self.disk.image(seed)
    }
}

impl State {
    fn image(&self, seed: u64) -> SimDisk {
        let mut rng = Rng::with_seed(seed);
        let mut image = self.durable.clone();
        // Crashes differ in character: all lost, nothing lost, whole writes lost, single sectors lost.
        let (writes, sectors) = match rng.u8(..8) {
            0 => (0.0, 0.0),
            1 => (1.0, 1.0),
            2..=3 => (0.5, 1.0),
            4..=5 => (0.8, 0.5),
            _ => (1.0, 0.9),
        };
        for pending in &self.pending {
            if rng.f64() >= writes {
                continue;
            }
            match pending {
                Pending::SetLen(_) => pending.apply(&mut image),
                Pending::Write { offset, data } => {
                    for (from, to) in sectors_of(*offset, data.len()) {
                        if rng.f64() < sectors {
                            image.write(offset + from, &data[from..to]);
                        }
                    }
                }
            }
        }
        SimDisk::of(image)
    }

    /// Counts the operation, lets the hook see the disk before it, and decides whether it fails.
    fn begin(&mut self, operation: Operation) -> io::Result<()> {
        let number = self.operations;
        if operation != Operation::Read
            && let Some(hook) = self.hook.clone()
        {
            hook(&PowerCut { disk: self, operation });
        }
        self.operations += 1;
        match &mut self.fault {
            Some((fault, failing)) if number >= fault.at && failing.is_none_or(|kind| kind == operation) => {
                *failing = Some(operation);
                let error = fault.error;
                if !fault.forever {
                    self.fault = None;
                }
                Err(error.into())
            }
            _ => Ok(()),
        }
    }
}

/// The parts of a write that lie in one sector each.
fn sectors_of(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let first = offset / SECTOR;
    let last = (offset + len).div_ceil(SECTOR);
    (first..last).map(move |sector| {
        let from = (sector * SECTOR).max(offset) - offset;
        let to = ((sector + 1) * SECTOR).min(offset + len) - offset;
        (from, to)
    })
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
        let state = State { durable: image.clone(), current: image, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The device to open a store on. All devices of one disk share its bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{VdeOptions, testing::SimDisk};
    /// VdeOptions::new().open_device(SimDisk::new().device())?.put("k", "v")?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn device(&self) -> Arc<dyn Device> {
        Arc::new(self.clone())
    }

    /// What reads see now.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(vde_store::testing::SimDisk::new().contents().is_empty());
    /// ```
    pub fn contents(&self) -> Vec<u8> {
        self.state.lock().current.to_vec()
    }

    /// How many operations were asked of the disk so far; the next one has this number.
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
        self.state.lock().operations
    }

    /// A disk with what is left if the power is cut now; see [`PowerCut::image`].
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
    #[must_use = "the disk itself runs on"]
    pub fn crash(&self, seed: u64) -> Self {
        self.state.lock().image(seed)
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
        self.state.lock().hook = Some(Arc::new(hook));
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
        self.state.lock().fault = Some((fault, None));
    }
}

impl Device for SimDisk {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::Read)?;
        state.current.read(offset as usize, buf).ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let begun = state.begin(Operation::Write);
        // A failing write may have written a part.
        let written = if begun.is_ok() { data } else { &data[..data.len() / 2] };
        let pending = Pending::Write { offset: offset as usize, data: written.into() };
        pending.apply(&mut state.current);
        state.pending.push(pending);
        begun
    }

    /// What is given back becomes noise, so that whoever still needs it notices.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        let len = len.min(self.len()?.saturating_sub(offset));
        self.write_at(&vec![0xD5; len as usize], offset)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let begun = state.begin(Operation::Sync);
        let seed = state.operations;
        let state = &mut *state;
        let pending = std::mem::take(&mut state.pending);
        if begun.is_ok() {
            for write in pending {
                write.apply(&mut state.durable);
            }
        } else {
            // After a failed sync the system may take its pages for clean: what was not saved will never be.
            let mut rng = Rng::with_seed(seed);
            for write in pending.into_iter().filter(|_| rng.bool()) {
                write.apply(&mut state.durable);
            }
        }
        begun
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::SetLen)?;
        let pending = Pending::SetLen(len as usize);
        pending.apply(&mut state.current);
        state.pending.push(pending);
        Ok(())
    }
}
