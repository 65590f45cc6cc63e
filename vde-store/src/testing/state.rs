//! The state of a simulated disk: the bytes that every power cut keeps, and the page cache over them.

use std::fmt;
use std::io;
use std::sync::Arc;

use fastrand::Rng;

use super::image::Image;
use super::{Fault, Operation, PowerCut};

/// The unit that a disk writes whole or not at all.
const SECTOR: usize = 512;
/// The unit of the page cache.
const PAGE: usize = 4096;

/// A change that is only in the page cache.
#[derive(Clone)]
pub(super) enum Pending {
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

pub(super) type Hook = Arc<dyn Fn(&PowerCut<'_>) + Send + Sync>;

#[derive(Default)]
pub(super) struct State {
    /// The bytes that every power cut keeps.
    durable: Image,
    /// The bytes that reads see: the page cache over the disk.
    current: Image,
    /// The changes in the page cache that are not saved yet.
    pending: Vec<Pending>,
    /// The ranges that could not be saved: their pages count as clean.
    lost: Vec<(usize, usize)>,
    operations: u64,
    fault: Option<(Fault, Option<Operation>)>,
    write_back_fault: Option<(u64, io::ErrorKind)>,
    failures: Failures,
    hook: Option<Hook>,
}

/// The failures to save a page. Each open file gets each of them once.
#[derive(Default)]
struct Failures {
    count: u64,
    /// The newest failure that was reported to any file.
    reported: u64,
    error: Option<io::ErrorKind>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("operations", &self.operations).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn of(image: Image) -> Self {
        Self { durable: image.clone(), current: image, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.current.len()
    }

    pub(super) fn contents(&self) -> Vec<u8> {
        self.current.to_vec()
    }

    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) -> Option<()> {
        self.current.read(offset, buf)
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    pub(super) fn set_hook(&mut self, hook: Hook) {
        self.hook = Some(hook);
    }

    pub(super) fn set_fault(&mut self, fault: Fault) {
        self.fault = Some((fault, None));
    }

    pub(super) fn set_write_back_fault(&mut self, at: u64, error: io::ErrorKind) {
        self.write_back_fault = Some((at, error));
    }

    /// The image after a power cut.
    pub(super) fn left(&self, seed: u64) -> Image {
        let mut rng = Rng::with_seed(seed);
        let mut image = self.durable.clone();
        // The kinds of crashes: everything unsynced is lost, nothing is lost, whole writes are lost, single sectors
        // are lost.
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
                    for (from, to) in parts(*offset, data.len(), SECTOR) {
                        if rng.f64() < sectors {
                            image.write(offset + from, &data[from..to]);
                        }
                    }
                }
            }
        }
        image
    }

    /// Counts the operation, lets the hook see the disk before it, and decides whether it fails.
    pub(super) fn begin(&mut self, operation: Operation) -> io::Result<()> {
        let number = self.operations;
        if operation != Operation::Read
            && let Some(hook) = self.hook.clone()
        {
            hook(&PowerCut { disk: self, operation });
        }
        self.operations += 1;
        if let Some((at, error)) = self.write_back_fault
            && number >= at
            && !self.pending.is_empty()
        {
            self.write_back_fault = None;
            self.lose(error);
        }
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

    pub(super) fn change(&mut self, pending: Pending) {
        pending.apply(&mut self.current);
        self.pending.push(pending);
    }

    /// How many bytes of a failed write of `len` bytes are written nevertheless.
    pub(super) fn short(&self, len: usize) -> usize {
        Rng::with_seed(self.operations).usize(..=len)
    }

    /// Saves all unsaved changes.
    pub(super) fn save(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            pending.apply(&mut self.durable);
        }
    }

    /// As [`save`](Self::save), but about half of the pages cannot be saved. The number of operations so far decides
    /// which.
    pub(super) fn lose(&mut self, error: io::ErrorKind) {
        let mut rng = Rng::with_seed(self.operations);
        for pending in std::mem::take(&mut self.pending) {
            match &pending {
                Pending::SetLen(_) => pending.apply(&mut self.durable),
                Pending::Write { offset, data } => {
                    for (from, to) in parts(*offset, data.len(), PAGE) {
                        let (page, at) = (&data[from..to], offset + from);
                        if rng.bool() {
                            self.durable.write(at, page);
                            continue;
                        }
                        // The disk may have written some sectors before it gave up.
                        for (from, to) in parts(at, page.len(), SECTOR).filter(|_| rng.bool()) {
                            self.durable.write(at + from, &page[from..to]);
                        }
                        self.lost.push((at, page.len()));
                    }
                }
            }
        }
        self.failures.count += 1;
        self.failures.error = Some(error);
    }

    /// The number of failures that were reported already. A file that is opened now does not receive them.
    pub(super) fn known_when_opened(&self) -> u64 {
        self.failures.reported
    }

    /// Whether there is a failure that was not reported to a file with `known` reported failures.
    pub(super) fn has_unreported(&self, known: u64) -> bool {
        known != self.failures.count
    }

    /// Reports to a file the failures that were not reported to it yet.
    pub(super) fn report(&mut self, known: &mut u64) -> io::Result<()> {
        if !self.has_unreported(*known) {
            return Ok(());
        }
        *known = self.failures.count;
        self.failures.reported = self.failures.count;
        self.failures.error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Drops some clean pages, so that reads return the disk's bytes again.
    pub(super) fn evict(&mut self, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        for (offset, len) in &self.lost {
            if rng.bool() {
                let mut page = vec![0; *len];
                let there = self.durable.len().saturating_sub(*offset).min(*len);
                self.durable.read(*offset, &mut page[..there]);
                self.current.write(*offset, &page);
            }
        }
        for pending in &self.pending {
            pending.apply(&mut self.current);
        }
    }
}

/// The parts of a write that lie in one unit each.
fn parts(offset: usize, len: usize, unit: usize) -> impl Iterator<Item = (usize, usize)> {
    let (first, last) = (offset / unit, (offset + len).div_ceil(unit));
    (first..last).map(move |at| {
        let from = (at * unit).max(offset) - offset;
        let to = ((at + 1) * unit).min(offset + len) - offset;
        (from, to)
    })
}
