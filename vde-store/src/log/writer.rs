//! Appending to the log, and bringing to the device what was appended.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::device::Device;
use crate::format::{Geometry, LINK_RESERVE, LogPosition, UNIT_HEAD, UnitHead};
use crate::log::record::{Draft, append_link};
use crate::memtable::{Location, Memtable};
use crate::planted::{Bug, Planted};
use crate::segments::Segments;

/// The log's tail in memory.
pub(crate) struct Appender {
    /// Where records are published; belongs here because log order and publication order are one.
    memtable: Arc<Memtable>,
    /// Sequence number of the newest record.
    seq: u64,
    segment: u32,
    ordinal: u64,
    segments: Arc<Mutex<Segments>>,
    /// Offset in the segment at which the open unit begins.
    unit_start: u32,
    /// The open unit, with room for its header; empty when it holds no record.
    open: Vec<u8>,
    /// An empty buffer for the unit after it.
    spare: Vec<u8>,
    open_first_seq: u64,
    /// Bytes of records in the open unit.
    open_records: u64,
    closed: Vec<Unit>,
    closed_bytes: usize,
}

/// A unit that waits to be written.
struct Unit {
    offset: u64,
    ordinal: u64,
    first_seq: u64,
    bytes: Vec<u8>,
}

/// The state that only the one flush in flight touches.
struct Written {
    /// Checksum of the last unit.
    chain: u64,
    /// The buffer of a unit that was written, for one to come: fresh memory would cost a page fault every 4 KiB.
    spare: Vec<u8>,
}

/// A buffer that has grown beyond this is given back to the system.
const MAX_SPARE: usize = 8 << 20;

/// What appending a transaction led to.
pub(crate) struct Appended {
    /// Sequence number of its last record.
    pub(crate) seq: u64,
    /// How many bytes wait to be written.
    pub(crate) unwritten: usize,
    pub(crate) memtable_bytes: u64,
    /// Whether the segment has just become half full: time to make the next one ready.
    pub(crate) half_full: bool,
}

/// The log of an open store.
pub(crate) struct Log {
    device: Arc<dyn Device>,
    geometry: Geometry,
    appender: Mutex<Appender>,
    written: Mutex<Written>,
    published: AtomicU64,
    durable: AtomicU64,
    planted: Planted,
    segments: Arc<Mutex<Segments>>,
}

impl Log {
    /// Continues the log at `position`; everything before it is durable.
    pub(crate) fn new(
        device: Arc<dyn Device>,
        geometry: Geometry,
        position: LogPosition,
        segments: Arc<Mutex<Segments>>,
        memtable: Arc<Memtable>,
        planted: Planted,
    ) -> Self {
        let appender = Appender {
            memtable,
            seq: position.seq,
            segment: position.segment,
            ordinal: position.ordinal,
            segments: segments.clone(),
            unit_start: position.offset,
            open: Vec::new(),
            spare: Vec::new(),
            open_first_seq: 0,
            open_records: 0,
            closed: Vec::new(),
            closed_bytes: 0,
        };
        Self {
            device,
            geometry,
            appender: Mutex::new(appender),
            written: Mutex::new(Written { chain: position.chain, spare: Vec::new() }),
            published: AtomicU64::new(position.seq),
            durable: AtomicU64::new(position.seq),
            planted,
            segments,
        }
    }

    /// Appends the records of one transaction and publishes each through `publish(memtable, index, seq, location)`.
    pub(crate) fn append(
        &self,
        drafts: &[Draft<'_>],
        mut publish: impl FnMut(&Memtable, usize, u64, Location),
    ) -> Appended {
        let mut appender = self.appender.lock();
        let half = self.geometry.segment_size as usize / 2;
        let was_half_full = appender.fill() >= half;
        for (index, draft) in drafts.iter().enumerate() {
            let location = appender.copy(draft, self.geometry);
            publish(&appender.memtable, index, appender.seq, location);
        }
        // Pairs with the acquire in `published`: whoever reads this number finds the memtable filled up to it.
        self.published.store(appender.seq, Ordering::Release);
        Appended {
            seq: appender.seq,
            unwritten: appender.closed_bytes + appender.open.len(),
            memtable_bytes: appender.memtable.bytes(),
            half_full: !was_half_full && appender.fill() >= half,
        }
    }

    /// Goes on in a lower segment, if one is free.
    pub(crate) fn move_down(&self) {
        let mut appender = self.appender.lock();
        if self.segments.lock().has_free_below(appender.segment) {
            appender.next_segment(self.geometry);
        }
    }

    /// Every record up to here is in the memtable.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Every record up to here survives a crash.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Writes what was appended so far; with `sync`, makes it durable.
    pub(crate) fn flush(&self, sync: bool) -> io::Result<()> {
        let mut written = self.written.lock();
        let (units, seq) = {
            let mut appender = self.appender.lock();
            if appender.spare.capacity() == 0 {
                appender.spare = std::mem::take(&mut written.spare);
            }
            appender.take(self.geometry)
        };
        self.write(&mut written, units, seq, sync)
    }

    /// Makes everything logged so far durable and lets `memtable` receive what is logged from here on. `publish` lets
    /// readers know of it before anything can be logged into it. Returns where the log continues.
    pub(crate) fn rotate(&self, memtable: Arc<Memtable>, publish: impl FnOnce()) -> io::Result<LogPosition> {
        let mut written = self.written.lock();
        let mut appender = self.appender.lock();
        let (units, seq) = appender.take(self.geometry);
        appender.memtable = memtable;
        publish();
        let (segment, offset, ordinal) = (appender.segment, appender.unit_start, appender.ordinal);
        drop(appender);
        self.write(&mut written, units, seq, true)?;
        Ok(LogPosition { segment, offset, ordinal, chain: written.chain, seq })
    }

    fn write(&self, written: &mut Written, units: Vec<Unit>, seq: u64, sync: bool) -> io::Result<()> {
        let durable_seq = self.durable();
        for mut unit in units {
            let len = unit.bytes.len() as u32;
            let head = UnitHead {
                len,
                ordinal: unit.ordinal,
                first_seq: unit.first_seq,
                durable_seq,
                chain: written.chain,
            };
            written.chain = head.stamp(&mut unit.bytes, self.geometry.salt);
            self.device.write_at(&unit.bytes, unit.offset)?;
            if (written.spare.capacity()..=MAX_SPARE).contains(&unit.bytes.capacity()) {
                unit.bytes.clear();
                written.spare = unit.bytes;
            }
        }
        if sync && durable_seq < seq {
            if !self.planted.has(Bug::AcknowledgeEarly) {
                self.device.sync()?;
            }
            self.durable.store(seq, Ordering::Release);
        }
        Ok(())
    }
}

impl Appender {
    fn copy(&mut self, draft: &Draft<'_>, geometry: Geometry) -> Location {
        self.make_room(draft.len(), geometry);
        self.begin_unit();
        self.seq += 1;
        let offset =
            geometry.segment_offset(self.segment) + u64::from(self.unit_start) + self.open.len() as u64;
        draft.append_to(&mut self.open);
        self.open_records += draft.len() as u64;
        Location { offset, len: draft.len() as u32 }
    }

    /// How much of the segment is used.
    fn fill(&self) -> usize {
        self.unit_start as usize + self.open.len()
    }

    fn begin_unit(&mut self) {
        if self.open.is_empty() {
            self.open = std::mem::take(&mut self.spare);
            self.open.resize(UNIT_HEAD, 0);
            self.open_first_seq = self.seq + 1;
        }
    }

    /// Moves on to the next segment where this one cannot take `len` more bytes and still link to its successor.
    fn make_room(&mut self, len: usize, geometry: Geometry) {
        let used = self.unit_start as usize + self.open.len().max(UNIT_HEAD);
        if used + len + LINK_RESERVE <= geometry.segment_size as usize {
            return;
        }
        self.next_segment(geometry);
    }

    fn next_segment(&mut self, geometry: Geometry) {
        let next = self.segments.lock().take_log(self.ordinal + 1, self.seq + 1);
        self.begin_unit();
        append_link(&mut self.open, next, self.ordinal + 1, geometry.salt);
        self.close_unit(geometry);
        self.segment = next;
        self.ordinal += 1;
        self.unit_start = 0;
    }

    fn close_unit(&mut self, geometry: Geometry) {
        if self.open.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.open);
        let offset = geometry.segment_offset(self.segment) + u64::from(self.unit_start);
        self.segments.lock().add_live(offset, std::mem::take(&mut self.open_records));
        self.unit_start += bytes.len() as u32;
        self.closed_bytes += bytes.len();
        self.closed.push(Unit { offset, ordinal: self.ordinal, first_seq: self.open_first_seq, bytes });
    }

    fn take(&mut self, geometry: Geometry) -> (Vec<Unit>, u64) {
        self.close_unit(geometry);
        self.closed_bytes = 0;
        (std::mem::take(&mut self.closed), self.seq)
    }
}
