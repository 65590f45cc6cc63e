//! Appending to the log, and writing the appended records to the device.
//!
//! A record is copied once, into a unit in memory. Readers read it there until the unit is on the device.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::container::error::is_full;
use crate::container::format::{
    BLOCK, Geometry, LARGE_UNIT, LINK_RESERVE, LogPosition, MAX_RECORD_VALUE, UNIT_HEAD, UnitHead, unit_end,
};
use crate::container::log::noted::{New, What};
use crate::container::log::publication::Publication;
use crate::container::log::record::{Draft, Link, link_value};
use crate::container::log::watchers::{LoggedPut, Watchers};
use crate::container::memtable::{Change, Location, Memtable, Stored, Target};
use crate::container::pages::Pages;
use crate::container::planted::{Bug, Planted};
use crate::container::segments::Segments;
use crate::container::sync_point::SyncPoint;

/// The log's tail in memory.
pub(crate) struct Appender {
    /// The memtable that gets the records that are logged now.
    memtable: Arc<Memtable>,
    /// Sequence number of the newest record.
    seq: u64,
    /// The turn of the next transaction in the order of publication.
    turn: u64,
    segment: u32,
    ordinal: u64,
    segments: Arc<Mutex<Segments>>,
    planted: Planted,
    /// Offset in the segment at which the open unit begins.
    unit_start: u32,
    /// The unit to which records are appended. It is empty if it has no record.
    open: Unit,
    /// Bytes of records in the open unit.
    open_records: u64,
    closed: Vec<Unit>,
    closed_bytes: usize,
    /// The units that are being written.
    in_flight: Vec<Arc<Unit>>,
    /// The buffers of written units, kept for later units: new memory would cost a page fault every 4 KiB.
    spare: Vec<Unit>,
}

/// A unit that waits to be written.
#[derive(Default)]
struct Unit {
    offset: u64,
    ordinal: u64,
    first_seq: u64,
    /// Header and records, and zeros up to the end of a page.
    bytes: Vec<u8>,
    /// Length of header and records.
    len: u32,
    /// Checksums of the records.
    sums: Vec<u8>,
}

/// Writing this many bytes takes a disk several times as long as a sync. Later writers can copy their records
/// meanwhile.
const ENOUGH: usize = 1 << 20;

/// The longest unit in bytes, unless one record is longer. The buffer of a longer unit would be reallocated and
/// copied while it grows, under the log's mutex.
fn longest_unit(geometry: Geometry) -> usize {
    ENOUGH.min(geometry.segment_size as usize / 8) - BLOCK as usize
}

/// A buffer with a greater capacity is freed, and not kept as a spare.
const MAX_SPARE: usize = 1 << 20;
/// The most buffers that are kept.
const SPARES: usize = 16;

/// A record on its way into the log and into the memtable.
pub(crate) struct Entry<'a> {
    draft: Draft<'a>,
    target: Target,
    stored: Option<Stored>,
    /// Whether it only moves a value.
    moves: bool,
    /// Its sequence number and where it was logged.
    place: (u64, Location),
}

impl<'a> Entry<'a> {
    pub(crate) fn new(draft: Draft<'a>, target: Target, stored: Option<Stored>, moves: bool) -> Self {
        Self { draft, target, stored, moves, place: Default::default() }
    }

    /// The change for watchers. `None` if the record only moves a value.
    fn change(&self, ends_batch: bool) -> Option<New<'_>> {
        if self.moves {
            return None;
        }
        let (version, location) = self.place;
        let (key, what) = match (&self.target, &self.stored) {
            (Target::Key(key), Some(stored)) => {
                (key, What::Put(stored.len, LoggedPut::of(version, location, stored)))
            }
            (Target::Key(key), None) => (key, What::Delete),
            (Target::Range(from, until), _) => (from, What::DeleteRange(until.as_deref())),
        };
        Some(New { key, what, version, ends_batch })
    }

    /// How many bytes it takes in the log.
    pub(crate) fn len(&self) -> usize {
        self.draft.len()
    }
}

/// The result of appending a transaction.
pub(crate) struct Appended {
    /// Sequence number of its last record.
    pub(crate) seq: u64,
    /// How many bytes wait to be written, and how many of them belong to the transaction.
    pub(crate) unwritten: usize,
    pub(crate) added: usize,
    /// How many bytes count towards the next checkpoint.
    pub(crate) backlog: u64,
    /// Whether the segment has just become half full: it is time to prepare the next one.
    pub(crate) half_full: bool,
}

/// The end of the written log.
#[derive(Default)]
struct Chain {
    /// Checksum of the last unit that was taken to be written.
    sum: u64,
    /// Units for which the device had no space. They come before any other.
    unwritten: Vec<Arc<Unit>>,
}

/// The log of an open store.
pub(crate) struct Log {
    pages: Arc<Pages>,
    geometry: Geometry,
    appender: Mutex<Appender>,
    /// Held by the one flush in flight.
    chain: Mutex<Chain>,
    /// After a failure nothing is written. Otherwise a later sync could succeed and acknowledge records that the
    /// failed sync lost.
    syncs: Arc<SyncPoint>,
    watchers: Arc<Watchers>,
    publication: Publication,
    /// Every record up to here is on the device, durable or not.
    written: AtomicU64,
    /// How many writes wait to be made durable by the next flush.
    wanted: AtomicUsize,
    /// How many bytes wait to be written.
    waiting: AtomicUsize,
    /// Twice the sequence number of the last record that a durable flush took, plus one if the number of that flush
    /// is odd.
    taken: AtomicU64,
    /// Length of the largest unit of the last durable flush.
    usual_unit: AtomicU32,
    durable: AtomicU64,
    /// Whether the segment may lack the room for a value of the greatest length, beside the reserved bytes: see
    /// [`kept_of`].
    is_nearly_full: AtomicBool,
    planted: Planted,
    segments: Arc<Mutex<Segments>>,
}

/// How many bytes of a segment are reserved for deletions on a full disk.
pub(crate) fn kept_of(segment_size: u32) -> usize {
    segment_size as usize / 8
}

impl Log {
    /// A log that continues at `position`; everything before that is durable.
    pub(crate) fn new(
        pages: Arc<Pages>,
        position: LogPosition,
        segments: Arc<Mutex<Segments>>,
        memtable: Arc<Memtable>,
        syncs: Arc<SyncPoint>,
        watchers: Arc<Watchers>,
    ) -> Self {
        let appender = Appender {
            memtable,
            seq: position.seq,
            turn: 0,
            segment: position.segment,
            ordinal: position.ordinal,
            segments: segments.clone(),
            planted: syncs.planted(),
            unit_start: position.offset,
            open: Unit::default(),
            open_records: 0,
            closed: Vec::new(),
            closed_bytes: 0,
            in_flight: Vec::new(),
            spare: Vec::new(),
        };
        Self {
            geometry: pages.geometry(),
            pages,
            appender: Mutex::new(appender),
            chain: Mutex::new(Chain { sum: position.chain, ..Chain::default() }),
            planted: syncs.planted(),
            syncs,
            watchers,
            publication: Publication::new(position.seq),
            written: AtomicU64::new(position.seq),
            wanted: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            taken: AtomicU64::new(position.seq << 1),
            usual_unit: AtomicU32::new(0),
            durable: AtomicU64::new(position.seq),
            is_nearly_full: AtomicBool::new(false),
            segments,
        }
    }

    /// Appends the records of one transaction, calls `logged`, and publishes the transaction. `durable`: whether the
    /// writer will wait until it is durable. If not, the transaction is visible when this returns.
    pub(crate) fn append(
        &self,
        mut entries: Vec<Entry<'_>>,
        durable: bool,
        logged: impl FnOnce(),
    ) -> Appended {
        let mut appender = self.appender.lock();
        while !self.publication.has_room(appender.turn) {
            MutexGuard::unlocked_fair(&mut appender, std::thread::yield_now);
        }
        let before = appender.unwritten();
        let half = self.geometry.segment_size as usize / 2;
        let was_half_full = appender.fill() >= half;
        for entry in &mut entries {
            let location = appender.copy(&entry.draft, self.geometry);
            entry.place = (appender.seq, location);
        }
        let (seq, turn) = (appender.seq, appender.turn);
        appender.turn += 1;
        if self.watchers.is_watched() {
            let last = entries.len() - 1;
            self.watchers.note(entries.iter().enumerate().filter_map(|(i, entry)| entry.change(i == last)));
        }
        if durable {
            // Counted under the appender's lock, so that no flush carries a writer that it has not counted.
            self.wanted.fetch_add(1, Ordering::SeqCst);
        }
        let unwritten = appender.unwritten();
        self.waiting.store(unwritten, Ordering::SeqCst);
        let half_full = !was_half_full && appender.fill() >= half;
        let is_nearly_full = !appender.has_room(MAX_RECORD_VALUE, self.geometry);
        if is_nearly_full != self.is_nearly_full.load(Ordering::Relaxed) {
            self.is_nearly_full.store(is_nearly_full, Ordering::Relaxed);
        }
        let memtable = appender.memtable.clone();
        drop(appender);

        logged();
        for Entry { target, stored, place: (seq, location), .. } in entries {
            memtable.insert(target, Change::new(seq, location, !durable, stored));
        }
        self.publication.finish(turn, seq);
        if !durable {
            self.publication.wait(seq);
        }
        Appended { seq, unwritten, added: unwritten - before, backlog: memtable.backlog(), half_full }
    }

    /// Calls `work` with the sequence number of the newest record. Nothing can be logged meanwhile.
    pub(crate) fn holding<T>(&self, work: impl FnOnce(u64) -> T) -> T {
        let appender = self.appender.lock();
        work(appender.seq)
    }

    /// Continues the log in a segment before `end`, if its current segment is not before `end` and such a segment is
    /// free. Returns whether it moved.
    pub(crate) fn move_before(&self, end: u32) -> bool {
        let mut appender = self.appender.lock();
        let moves = appender.can_move_before(end);
        if moves {
            appender.next_segment(self.geometry);
        }
        moves
    }

    /// Whether [`move_before`](Self::move_before) would move it.
    pub(crate) fn can_move_before(&self, end: u32) -> bool {
        self.appender.lock().can_move_before(end)
    }

    /// Every record up to here is in the memtable.
    pub(crate) fn published(&self) -> u64 {
        self.publication.published()
    }

    /// Every record up to here survives a crash.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Whether syncs carry so many bytes that the bandwidth limits them, and not the file system's overhead for each
    /// sync.
    pub(crate) fn has_large_syncs(&self) -> bool {
        self.usual_unit.load(Ordering::Relaxed) as usize >= LARGE_UNIT
    }

    /// The bytes of the record at `location`, which has this sequence number, if it is not on the device yet.
    pub(crate) fn unwritten(&self, location: Location, seq: u64) -> Option<Vec<u8>> {
        // Pairs with the release in `write`: a record up to here can be read from the device.
        if seq <= self.written.load(Ordering::Acquire) {
            return None;
        }
        let appender = self.appender.lock();
        let in_flight = appender.in_flight.iter().map(|unit| &**unit);
        let mut units = in_flight.chain(&appender.closed).chain(std::iter::once(&appender.open));
        units.find_map(|unit| {
            // The padding after a unit must be left out: the next unit begins at its offset.
            let records = unit.bytes.get(..unit.len as usize)?;
            let from = usize::try_from(location.offset.checked_sub(unit.offset)?).ok()?;
            records.get(from..from + location.len as usize).map(<[u8]>::to_vec)
        })
    }

    /// How many writes wait to be made durable by the next flush.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::SeqCst)
    }

    /// How many bytes wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Whether the next flush carries `expected` writes, or so many bytes that one more sync costs little.
    pub(crate) fn is_worth_a_sync(&self, expected: usize) -> bool {
        self.wanted() >= expected || self.waiting.load(Ordering::SeqCst) >= ENOUGH
    }

    /// Whether a durable flush has taken `seq`. Flushes of checkpoints do not count.
    pub(crate) fn is_taken(&self, seq: u64) -> bool {
        seq <= self.taken.load(Ordering::Acquire) >> 1
    }

    /// Whether the flush that makes `seq` durable has an even number (0) or an odd one (1).
    pub(crate) fn flush_of(&self, seq: u64) -> usize {
        let taken = self.taken.load(Ordering::Acquire);
        let next = u64::from(seq > taken >> 1);
        ((taken + next) & 1) as usize
    }

    /// Writes all appended records; with `sync`, makes them durable. Returns whether this durable flush has an even
    /// number (0) or an odd one (1), and how many writes were waiting for it.
    pub(crate) fn flush(&self, sync: bool) -> Result<(usize, usize), Arc<io::Error>> {
        self.write(sync, |appender| {
            if !sync {
                return (0, 0);
            }
            let odd = (self.taken.load(Ordering::Relaxed) & 1) ^ 1;
            self.taken.store(appender.seq << 1 | odd, Ordering::Release);
            (odd as usize, self.wanted.swap(0, Ordering::Relaxed))
        })
        .map(|(flush, _)| flush)
    }

    /// Makes everything logged so far durable. Records that are logged from now on go into `memtable`. `publish`
    /// makes it known to readers before anything can be logged into it. Returns where the log continues.
    pub(crate) fn rotate(
        &self,
        memtable: Arc<Memtable>,
        publish: impl FnOnce(),
    ) -> Result<LogPosition, Arc<io::Error>> {
        let (position, chain) = self.write(true, |appender| {
            appender.memtable = memtable;
            publish();
            let (segment, offset, ordinal) = (appender.segment, appender.unit_start, appender.ordinal);
            let mut segments = appender.segments.lock();
            segments.end_checkpoint_in(segment);
            let announced = segments.announced();
            LogPosition { segment, offset, ordinal, chain: 0, seq: appender.seq, announced }
        })?;
        Ok(LogPosition { chain, ..position })
    }

    /// Writes all appended records. Nothing is appended between taking them and `mark`. Returns the result of `mark`,
    /// and the checksum of the last unit.
    fn write<T>(
        &self,
        sync: bool,
        mark: impl FnOnce(&mut Appender) -> T,
    ) -> Result<(T, u64), Arc<io::Error>> {
        let mut chain = self.chain.lock();
        self.syncs.check()?;
        let _failing = self.syncs.fail_on_panic();
        let mut appender = self.appender.lock();
        let mut units = std::mem::take(&mut chain.unwritten);
        units.extend(appender.take(self.geometry, &mut chain.sum, self.durable()));
        if sync && let Some(largest) = units.iter().map(|unit| unit.len).max() {
            self.usual_unit.store(largest, Ordering::Relaxed);
        }
        self.waiting.store(0, Ordering::SeqCst);
        let seq = appender.seq;
        let marked = mark(&mut appender);
        drop(appender);
        match self.write_units(&units) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                // These units are written to the same place once there is space.
                chain.unwritten = units;
                return Err(Arc::new(error));
            }
            Err(error) => return Err(self.syncs.fail(Arc::new(error))),
        }
        self.written.store(seq, Ordering::Release);
        self.appender.lock().put_away(units);
        if sync {
            self.make_durable(seq)?;
        }
        Ok((marked, chain.sum))
    }

    /// Whether logged records could not be written for lack of space, and wait for space.
    pub(crate) fn is_waiting_for_space(&self) -> bool {
        let chain = self.chain.lock();
        self.syncs.check().is_ok() && !chain.unwritten.is_empty()
    }

    /// Whether the log's segment has room for `len` bytes beside the reserved bytes, or there are two preallocated
    /// segments: one for the log and one for a checkpoint.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        let appender = self.appender.lock();
        appender.has_room(len, self.geometry) || self.segments.lock().count_ready() > 1
    }

    /// Whether it is time for the next segment, and none is preallocated.
    pub(crate) fn needs_segment(&self) -> bool {
        self.is_nearly_full.load(Ordering::Relaxed) && self.segments.lock().count_ready() == 0
    }

    /// Makes everything logged so far durable.
    pub(crate) fn sync(&self) -> Result<(), Arc<io::Error>> {
        self.write(true, |_| ()).map(drop)
    }

    /// Only the one flush in flight calls it.
    fn write_units(&self, units: &[Arc<Unit>]) -> io::Result<()> {
        let device = self.pages.device();
        for unit in units {
            if !self.planted.has(Bug::TrustRewritten) {
                self.pages.forget_records(unit.offset, unit.bytes.len());
            }
            if unit.len as usize >= LARGE_UNIT {
                device.write_cached(&unit.bytes, unit.offset)?;
            } else {
                device.write_at(&unit.bytes, unit.offset)?;
            }
        }
        Ok(())
    }

    /// Syncs. [`write_units`](Self::write_units) has written everything up to `seq`.
    fn make_durable(&self, seq: u64) -> Result<(), Arc<io::Error>> {
        if self.durable() >= seq {
            return Ok(());
        }
        if !self.planted.has(Bug::AcknowledgeEarly) {
            self.syncs.sync()?;
        }
        // So every durable record is visible, and a memtable that was rotated out is complete.
        self.publication.wait(seq);
        self.durable.store(seq, Ordering::Release);
        Ok(())
    }
}

impl Appender {
    fn copy(&mut self, draft: &Draft<'_>, geometry: Geometry) -> Location {
        if self.open.bytes.len() + draft.len() > longest_unit(geometry) {
            self.close_unit();
        }
        self.make_room(draft.len(), geometry);
        self.begin_unit(geometry);
        self.seq += 1;
        let offset = self.open.offset + self.open.bytes.len() as u64;
        self.open.push(draft);
        self.open_records += draft.len() as u64;
        Location { offset, len: draft.len() as u32 }
    }

    fn unwritten(&self) -> usize {
        self.closed_bytes + self.open.bytes.len()
    }

    /// Whether the segment has room for `len` bytes beside the reserved bytes.
    fn has_room(&self, len: usize, geometry: Geometry) -> bool {
        self.fill() + len + kept_of(geometry.segment_size) < geometry.segment_size as usize
    }

    /// How much of the segment is used.
    fn fill(&self) -> usize {
        self.unit_start as usize + self.open.bytes.len()
    }

    fn begin_unit(&mut self, geometry: Geometry) {
        if self.open.bytes.is_empty() {
            self.open = self.spare.pop().unwrap_or_default();
            self.open.offset = geometry.segment_offset(self.segment) + u64::from(self.unit_start);
            self.open.ordinal = self.ordinal;
            self.open.first_seq = self.seq + 1;
            self.open.bytes.resize(UNIT_HEAD, 0);
            self.open.len = UNIT_HEAD as u32;
        }
    }

    /// Continues in the next segment if this one has no room for `len` more bytes and a link to the next.
    fn make_room(&mut self, len: usize, geometry: Geometry) {
        let used = self.unit_start as usize + self.open.bytes.len().max(UNIT_HEAD);
        let end = (used + len).next_multiple_of(BLOCK as usize);
        if end + LINK_RESERVE <= geometry.segment_size as usize {
            return;
        }
        self.next_segment(geometry);
    }

    fn can_move_before(&self, end: u32) -> bool {
        self.segment >= end && self.segments.lock().has_free_below(end)
    }

    fn next_segment(&mut self, geometry: Geometry) {
        let (segment, announced) = {
            let mut segments = self.segments.lock();
            if self.planted.has(Bug::ForgetAnnounced) {
                segments.mark_announced([None; 2]);
            }
            (segments.take_log(self.ordinal + 1, self.seq + 1), segments.announce())
        };
        self.begin_unit(geometry);
        let link = Link { segment, ordinal: self.ordinal + 1, announced };
        self.open.push(&Draft::link(&link_value(link), geometry.salt));
        self.close_unit();
        self.segment = segment;
        self.ordinal += 1;
        self.unit_start = 0;
    }

    fn close_unit(&mut self) {
        if self.open.bytes.is_empty() {
            return;
        }
        let mut unit = std::mem::take(&mut self.open);
        self.segments.lock().add_live(unit.offset, std::mem::take(&mut self.open_records));
        // The last page is written whole. Otherwise the system may have to read the page from the disk first.
        let end = self.unit_start as usize + unit.bytes.len();
        let padding = end.next_multiple_of(BLOCK as usize) - end;
        unit.bytes.resize(unit.bytes.len() + padding, 0);
        self.unit_start = unit_end(self.unit_start, unit.len);
        self.closed_bytes += unit.bytes.len();
        self.closed.push(unit);
    }

    /// Takes all units that are to be written. Readers find them here until they are [put away](Self::put_away).
    fn take(&mut self, geometry: Geometry, chain: &mut u64, durable_seq: u64) -> Vec<Arc<Unit>> {
        self.close_unit();
        self.closed_bytes = 0;
        let units: Vec<_> = std::mem::take(&mut self.closed)
            .into_iter()
            .map(|mut unit| {
                let (ordinal, first_seq) = (unit.ordinal, unit.first_seq);
                let head = UnitHead { len: unit.len, ordinal, first_seq, durable_seq, chain: *chain };
                let (bytes, sum) = head.encode(&unit.sums, geometry.salt);
                unit.bytes[..UNIT_HEAD].copy_from_slice(&bytes);
                *chain = sum;
                Arc::new(unit)
            })
            .collect();
        self.in_flight.extend_from_slice(&units);
        units
    }

    /// Removes the units that were taken and are now on the device.
    fn put_away(&mut self, units: Vec<Arc<Unit>>) {
        self.in_flight.clear();
        for mut unit in units.into_iter().filter_map(Arc::into_inner) {
            if unit.bytes.capacity() <= MAX_SPARE && self.spare.len() < SPARES {
                unit.bytes.clear();
                unit.sums.clear();
                self.spare.push(unit);
            }
        }
    }
}

impl Unit {
    fn push(&mut self, draft: &Draft<'_>) {
        for part in draft.parts() {
            self.bytes.extend_from_slice(part);
        }
        self.sums.extend_from_slice(draft.sum());
        self.len = self.bytes.len() as u32;
    }
}
