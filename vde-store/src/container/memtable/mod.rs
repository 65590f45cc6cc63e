//! Recent writes in key order.
//!
//! A memtable only grows: every write is an entry of its own. Entries are ordered by key, and then from the newest to
//! the oldest. A reader takes the newest entry within its [`Horizon`]. So an older value stays visible until the
//! newer one may be acknowledged. A read view has a fixed horizon.

mod creation;
mod ranges;
mod scan;
mod slot;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use crossbeam_skiplist::SkipMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::container::format::MAX_LEAF_VALUE;
use crate::container::log::record::Origin;
use slot::Slot;

pub(crate) use creation::Creation;
pub(crate) use ranges::{Erasure, Ranges};
pub(crate) use scan::{Recent, is_before, is_behind};

/// Where a record lies in the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

/// Which writes a reader may see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Horizon {
    /// Writes up to this sequence number are durable.
    pub(crate) durable: u64,
    /// Writes up to this sequence number are logged and in the memtable. Buffered writes are visible from then on.
    pub(crate) published: u64,
}

impl Horizon {
    /// The horizon of a writer that holds the key's stripe: it sees all earlier writes, acknowledged or not.
    pub(crate) const LATEST: Self = Self { durable: u64::MAX, published: u64::MAX };

    fn admits(self, seq: u64, buffered: bool) -> bool {
        seq <= self.durable || (buffered && seq <= self.published)
    }

    /// The newest sequence number that is admitted. Searches begin here.
    fn newest(self) -> u64 {
        self.durable.max(self.published)
    }
}

/// Where a value is.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// In memory.
    Memory(Arc<[u8]>),
    /// In a blob with this map.
    Blob(Arc<[u8]>),
    /// In a record of the log, or in the blob that the record maps. `seq` is the record's sequence number, or 0 if
    /// the record is known to be on the device.
    Record { location: Location, blob: bool, seq: u64 },
}

impl Payload {
    /// The payload of a value: its bytes if it is short enough for the index, otherwise its place in the log.
    pub(crate) fn of(value: &[u8]) -> Self {
        if value.len() <= MAX_LEAF_VALUE {
            Self::Memory(value.into())
        } else {
            Self::Record { location: Location::default(), blob: false, seq: 0 }
        }
    }
}

/// A value's times and its user metadata.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) modified: u64,
    pub(crate) user: Option<Arc<[u8]>>,
}

impl Facts {
    pub(crate) fn new(modified: u64, user: &[u8]) -> Self {
        Self { modified, user: (!user.is_empty()).then(|| user.into()) }
    }
}

/// A value and its metadata, as far as they are in memory.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) len: u64,
    /// `None`: the version is the sequence number, and the creation time is that of the previous entry of the key, if
    /// there is one.
    pub(crate) origin: Option<Origin>,
    /// `None` if only the log record has them.
    pub(crate) facts: Option<Facts>,
    pub(crate) payload: Payload,
}

/// One write of one key.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) seq: u64,
    pub(crate) location: Location,
    pub(crate) buffered: bool,
    /// `None`: the key was deleted.
    pub(crate) stored: Option<Stored>,
}

impl Change {
    /// A change that was logged at `location`.
    pub(crate) fn new(seq: u64, at: Location, buffered: bool, mut stored: Option<Stored>) -> Self {
        if let Some(Stored { payload: Payload::Record { location, seq: of_record, .. }, .. }) = &mut stored {
            (*location, *of_record) = (at, seq);
        }
        Self { seq, location: at, buffered, stored }
    }

    /// The version of the value, if it is one.
    pub(crate) fn version(&self) -> Option<u64> {
        let stored = self.stored.as_ref()?;
        Some(stored.origin.map_or(self.seq, |origin| origin.version))
    }
}

/// Recent writes in key order; see the module.
#[derive(Default)]
pub(crate) struct Memtable {
    map: SkipMap<Slot, Change>,
    /// The changes in the map that do not continue the value before them: deletions, and values that were moved or copied.
    /// Those have their creation time here.
    breaks: SkipMap<Slot, Option<u64>>,
    /// A filter of the keys in the map.
    filter: Filter,
    /// The deleted ranges. They delete keys that have no newer change in the map, also in older memtables and in the
    /// index.
    ranges: ArcSwapOption<Ranges>,
    bytes: AtomicU64,
    /// How many deleted keys readers have skipped.
    stepped_over: AtomicU64,
    /// Bytes of its values that are blobs.
    large: AtomicU64,
    /// Bytes of the values that its changes have replaced, as far as that is known.
    replaced: AtomicU64,
    /// How many of its changes a checkpoint has read.
    merged: AtomicU64,
}

/// A Bloom filter of the keys in the map. Most keys that are read were not written recently, and a search of the map
/// costs many cache misses even if it finds nothing. With 60,000 changes in the map and without the filter, searching
/// the map takes longer than searching the index.
struct Filter(Box<[AtomicU64]>);

impl Default for Filter {
    fn default() -> Self {
        Self((0..Self::WORDS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Filter {
    /// The number of words. A key has one word, so a lookup costs at most one cache miss. The filter takes 256 KiB.
    /// When a checkpoint is due, about a quarter of its bits are set.
    const WORDS: usize = 1 << 15;

    /// The word of a key, and its two bits there.
    fn place(key: &[u8]) -> (usize, u64) {
        let hash = xxh3_64(key);
        (hash as usize % Self::WORDS, 1 << (hash >> 52 & 63) | 1 << (hash >> 58))
    }

    fn note(&self, key: &[u8]) {
        let (word, bits) = Self::place(key);
        self.0[word].fetch_or(bits, Relaxed);
    }

    fn may_have(&self, key: &[u8]) -> bool {
        let (word, bits) = Self::place(key);
        self.0[word].load(Relaxed) & bits == bits
    }
}

/// The memory of a change in bytes, without its key and value.
const CHANGE_OVERHEAD: u64 = 160;

/// A deleted range counts as this many bytes. Adding a range copies all earlier ones, so there should be at most
/// about a thousand.
const RANGE_WEIGHT: u64 = 64 << 10;

/// The length of a change's log record is divided by this, and the change counts as at least that many bytes. So
/// checkpoints and collection keep up with a log whose values are not in memory.
const LOG_PER_BYTE: u64 = 2;

/// A checkpoint takes about as long as skipping this many deleted keys, plus one key for each [`BYTES_PER_STEP`]
/// bytes of the memtable.
const CHECKPOINT_IN_STEPS: u64 = 20_000;
const BYTES_PER_STEP: u64 = 64;

/// The key or the range of a change.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Key(Box<[u8]>),
    /// Every key from the first one on, up to but not including the second. `None`: there is no upper bound.
    Range(Box<[u8]>, Option<Box<[u8]>>),
}

impl Memtable {
    pub(crate) fn insert(&self, target: Target, change: Change) {
        match target {
            Target::Key(key) => self.insert_key(key, change),
            Target::Range(from, until) => self.erase(&from, until.as_deref(), &change),
        }
    }

    fn erase(&self, from: &[u8], until: Option<&[u8]>, change: &Change) {
        self.bytes.fetch_add(RANGE_WEIGHT, Relaxed);
        let erasure = Erasure { seq: change.seq, buffered: change.buffered };
        self.ranges.rcu(|ranges| {
            let mut ranges = ranges.as_deref().cloned().unwrap_or_default();
            ranges.add(from, until, erasure);
            ranges.records.push(change.location);
            Some(Arc::new(ranges))
        });
    }

    /// The deleted ranges, if there are any.
    pub(crate) fn ranges(&self) -> Option<Arc<Ranges>> {
        self.ranges.load_full()
    }

    fn insert_key(&self, key: Box<[u8]>, change: Change) {
        let value = match change.stored.as_ref().map(|stored| &stored.payload) {
            Some(Payload::Memory(bytes) | Payload::Blob(bytes)) => bytes.len(),
            Some(Payload::Record { .. }) | None => 0,
        };
        let bytes = CHANGE_OVERHEAD + (key.len() + value) as u64;
        self.bytes.fetch_add(bytes.max(u64::from(change.location.len) / LOG_PER_BYTE), Relaxed);
        if let Some(Stored { len, payload: Payload::Blob(_), .. }) = change.stored {
            self.large.fetch_add(len, Relaxed);
        }
        // The filter is updated before the map: a thread that sees the change, by the log's counters or under the
        // stripe, also sees the filter's bits.
        self.filter.note(&key);
        self.note_break(&key, &change);
        self.map.insert(Slot::new(key, change.seq), change);
    }

    /// Roughly how many bytes of memory it takes, or half the length of its log records, whichever is more.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Records that a change has replaced values of `len` bytes. Returns the new backlog.
    pub(crate) fn note_replaced(&self, len: u64) -> u64 {
        self.replaced.fetch_add(len, Relaxed);
        self.backlog()
    }

    /// The number of bytes that count towards the next checkpoint. It is the greatest of three:
    /// [`bytes`](Self::bytes), the bytes of large values to which no persisted index refers, and the bytes that only
    /// a checkpoint can free.
    pub(crate) fn backlog(&self) -> u64 {
        self.bytes().max(self.large.load(Relaxed)).max(self.replaced.load(Relaxed))
    }

    /// Whether a checkpoint is due: the backlog is more than `limit` bytes, or readers have spent as much time on
    /// skipping deleted keys as a checkpoint takes to remove them.
    pub(crate) fn is_due(&self, limit: u64) -> bool {
        self.backlog() > limit || self.stepped_over.load(Relaxed) > self.allowed_steps()
    }

    fn allowed_steps(&self) -> u64 {
        CHECKPOINT_IN_STEPS + self.bytes() / BYTES_PER_STEP
    }

    /// Records that a reader has skipped `keys` deleted keys. Returns whether that has made a checkpoint due.
    pub(crate) fn step_over(&self, keys: u64) -> bool {
        let before = self.stepped_over.fetch_add(keys, Relaxed);
        (before..before + keys).contains(&self.allowed_steps())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty() && self.ranges.load().is_none()
    }

    /// All changes of single keys, for a checkpoint: keys in order, the newest change of each key first.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Box<[u8]>, Change)> {
        self.merged.store(0, Relaxed);
        self.map.iter().map(|entry| {
            self.merged.fetch_add(1, Relaxed);
            (entry.key().key.clone(), entry.value().clone())
        })
    }

    /// The keys and ranges that were changed by records whose numbers are in `seqs`, each with such a number and, for a
    /// put, the length of the value. A key may occur several times.
    pub(crate) fn changed_within(&self, seqs: RangeInclusive<u64>) -> Vec<(u64, Target, Option<u64>)> {
        let keys = self.map.iter().filter(|entry| seqs.contains(&entry.key().seq)).map(|entry| {
            let len = entry.value().stored.as_ref().map(|stored| stored.len);
            (entry.key().seq, Target::Key(entry.key().key.clone()), len)
        });
        let mut changed: Vec<_> = keys.collect();
        if let Some(ranges) = &*self.ranges.load() {
            let target = |from: &[u8], until: Option<&[u8]>| Target::Range(from.into(), until.map(Box::from));
            changed.extend(ranges.within(&seqs).map(|(from, until, seq)| (seq, target(from, until), None)));
        }
        changed
    }

    /// The part of `bytes` that corresponds to the share of changes that a checkpoint has read.
    pub(crate) fn merged_of(&self, bytes: u64) -> u64 {
        let (merged, all) = (self.merged.load(Relaxed), self.map.len() as u64);
        if merged >= all { bytes } else { (u128::from(bytes) * u128::from(merged) / u128::from(all)) as u64 }
    }

    /// Drops the memtable. That takes long, so it calls `rest` repeatedly to let other threads run.
    pub(crate) fn end(self, mut rest: impl FnMut()) {
        for (i, change) in self.map.into_iter().enumerate() {
            drop(change);
            if i.is_multiple_of(64) {
                rest();
            }
        }
    }

    /// The newest change of `key` within the horizon. O(log n).
    pub(crate) fn find(&self, key: &[u8], horizon: Horizon) -> Option<Change> {
        let newest = if self.map.is_empty() || !self.filter.may_have(key) {
            None
        } else {
            self.newest(key, horizon).map(|entry| entry.value().clone())
        };
        match &*self.ranges.load() {
            Some(ranges) => ranges.newest(key, newest, horizon),
            None => newest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(seq: u64, buffered: bool, value: Option<&[u8]>) -> Change {
        let stored = value.map(|bytes| Stored {
            len: bytes.len() as u64,
            origin: None,
            facts: None,
            payload: Payload::Memory(bytes.into()),
        });
        Change { seq, location: Location { offset: 0, len: 0 }, buffered, stored }
    }

    fn value(change: Option<Change>) -> Option<Vec<u8>> {
        match change?.stored?.payload {
            Payload::Memory(bytes) => Some(bytes.to_vec()),
            Payload::Blob(_) | Payload::Record { .. } => None,
        }
    }

    #[test]
    fn a_predecessor_stays_visible_until_its_successor_is_durable() {
        let table = Memtable::default();
        table.insert_key(b"k"[..].into(), change(1, false, Some(b"old")));
        table.insert_key(b"k"[..].into(), change(2, false, Some(b"new")));
        let before = Horizon { durable: 1, published: 2 };
        let after = Horizon { durable: 2, published: 2 };
        assert_eq!(value(table.find(b"k", before)).as_deref(), Some(&b"old"[..]));
        assert_eq!(value(table.find(b"k", after)).as_deref(), Some(&b"new"[..]));
        assert!(table.find(b"k", Horizon { durable: 0, published: 2 }).is_none());
    }

    #[test]
    fn a_buffered_change_is_visible_once_published() {
        let table = Memtable::default();
        table.insert_key(b"k"[..].into(), change(5, true, Some(b"v")));
        assert!(table.find(b"k", Horizon { durable: 0, published: 4 }).is_none());
        assert!(table.find(b"k", Horizon { durable: 0, published: 5 }).is_some());
    }

    #[test]
    fn the_filter_has_every_noted_key_and_few_others() {
        let filter = Filter::default();
        assert!(!filter.may_have(b"k"));
        // About as many as a memtable has when it is checkpointed.
        let (noted, others) = (0..240_000_u32, 240_000..480_000_u32);
        noted.clone().for_each(|key| filter.note(&key.to_le_bytes()));
        assert!(noted.clone().all(|key| filter.may_have(&key.to_le_bytes())));
        let mistaken = others.filter(|key| filter.may_have(&key.to_le_bytes())).count();
        assert!(mistaken < noted.len() / 10, "{mistaken} of {} others", noted.len());
    }

    #[test]
    fn the_merged_part_grows_as_a_checkpoint_reads() {
        let table = Memtable::default();
        assert_eq!(table.merged_of(100), 100, "there is nothing to read");
        for seq in 1..=4_u64 {
            table.insert_key(seq.to_be_bytes().into(), change(seq, false, None));
        }
        assert_eq!(table.merged_of(100), 0);
        let mut changes = table.changes();
        assert_eq!((changes.next().is_some(), table.merged_of(100)), (true, 25));
        assert_eq!((changes.by_ref().take(2).count(), table.merged_of(100)), (2, 75));
        assert_eq!((changes.count(), table.merged_of(100)), (1, 100));
        // A new checkpoint reads from the start.
        drop(table.changes());
        assert_eq!(table.merged_of(u64::MAX), 0);
    }

    #[test]
    fn a_lookup_does_not_return_the_neighbour() {
        let table = Memtable::default();
        table.insert_key(b"kk"[..].into(), change(1, false, Some(b"v")));
        assert!(table.find(b"k", Horizon::LATEST).is_none());
        assert!(table.find(b"kl", Horizon::LATEST).is_none());
    }

    #[test]
    fn keys_sort_as_bytes_whatever_their_first_bytes() {
        let table = Memtable::default();
        let mut keys: [&[u8]; 8] =
            [b"12345678b", b"\0\0", b"12345678", b"\xff", b"\0", b"1234567", b"12345678a", b"1234567\0"];
        for (seq, key) in (1..).zip(keys) {
            table.insert_key(key.into(), change(seq, false, Some(b"v")));
        }
        keys.sort_unstable();
        assert!(table.changes().map(|(key, _)| key).eq(keys.map(Box::from)));
    }
}
