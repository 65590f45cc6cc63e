//! Salvaging a container whose index cannot be read.
//!
//! All segments are searched for log units: each record has a checksum and a sequence number. Small values may be
//! only in the index, so all segments are also searched for index pages. A page has no checksum of its own. It is
//! valid if any extent that was found refers to it and has a matching checksum. For each key, the newest version
//! counts. A key whose deletion was overwritten may reappear.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::container::error::{Error, Result};
use crate::container::format::{
    BLOCK, DATA_START, Extent, Fields, Kind, LogPosition, Superblock, UNIT_HEAD, UNIT_MAGIC, UnitHead,
};
use crate::container::log::record::{Origin, Record};
use crate::container::log::unit::Unit;
use crate::container::memtable::{Change, Facts, Location, Memtable, Payload, Stored, Target};
use crate::container::pages::Pages;
use crate::container::tree::node::{LeafValue, Node, PAGE_MAGIC, Place};
use crate::engine::recovery::{Recovery, Replayed, change, target};

/// The age of a version of a key: its sequence number, and for a value that was moved, the sequence number of the
/// move.
type Age = (u64, u64);

struct Salvage<'a> {
    pages: &'a Pages,
    newest: HashMap<Box<[u8]>, (Age, Change)>,
    /// The deleted ranges of the log records that were found.
    ranges: Vec<(Target, Change)>,
    /// The extents in inner pages and in the superblocks' catalogs. Not all of them are valid.
    extents: Vec<Extent>,
    seq: u64,
}

/// Fills the memtable with everything that can be read, in a container whose index is damaged at `lost_at`.
pub(crate) fn salvage(
    pages: &Arc<Pages>,
    superblock: &Superblock,
    memtable: &Memtable,
    lost_at: u64,
) -> Result<Replayed> {
    let mut salvage = Salvage {
        pages,
        newest: HashMap::new(),
        ranges: Vec::new(),
        extents: Vec::new(),
        seq: superblock.log.seq,
    };
    let geometry = pages.geometry();
    let len = pages.device().len().map_err(|e| Error::io("measure the container", e))?;
    let size = u64::from(geometry.segment_size);
    for start in (DATA_START..len).step_by(geometry.segment_size as usize) {
        let bytes = pages.read_copy(start, size.min(len - start) as usize, "segment")?;
        salvage.look_for_units(&bytes, start);
        salvage.look_for_pages(&bytes);
    }
    salvage.look_at_root(superblock.catalog);
    for extent in std::mem::take(&mut salvage.extents) {
        salvage.leaf(extent)?;
    }
    let mut records = 0;
    for (key, (_, change)) in salvage.newest.into_iter().filter(|(_, (_, change))| change.stored.is_some()) {
        memtable.insert(Target::Key(key), change);
        records += 1;
    }
    for (range, change) in salvage.ranges {
        memtable.insert(range, change);
    }
    let recovery = Recovery { records, damaged_at: Some(lost_at), ..Recovery::default() };
    Ok(Replayed { position: LogPosition { seq: salvage.seq, ..superblock.log }, recovery })
}

impl Salvage<'_> {
    fn found(&mut self, key: Box<[u8]>, change: Change) {
        self.seq = self.seq.max(change.seq);
        let age = (change.version().unwrap_or(change.seq), change.seq);
        match self.newest.entry(key) {
            Entry::Occupied(mut known) if known.get().0 < age => drop(known.insert((age, change))),
            Entry::Occupied(_) => {}
            Entry::Vacant(unknown) => drop(unknown.insert((age, change))),
        }
    }

    /// The records of all units in a segment that begins at `start`.
    fn look_for_units(&mut self, segment: &[u8], start: u64) {
        let magic = UNIT_MAGIC.to_le_bytes();
        let mut at = 0;
        while let Some(found) = memchr::memmem::find(&segment[at..], &magic) {
            at += found;
            let rest = &segment[at..];
            let end = match Unit::read(rest, self.pages.geometry().salt) {
                Some(unit) => {
                    for (i, (place, record)) in changes(&unit.records).enumerate() {
                        let seq = unit.head.first_seq.saturating_add(i as u64);
                        self.record(&record, seq, start + at as u64 + place);
                    }
                    unit.head.len as usize
                }
                None => self.damaged_unit(rest, start + at as u64),
            };
            at += end.max(magic.len());
        }
    }

    /// Adds the records before the first damaged one. Returns their total length.
    fn damaged_unit(&mut self, bytes: &[u8], start: u64) -> usize {
        let Some((head, _)) = UnitHead::decode(bytes) else { return 0 };
        let mut records = Vec::new();
        let mut at = UNIT_HEAD;
        while at < (head.len as usize).min(bytes.len())
            && let Some(record) = Record::parse(&bytes[at..], self.pages.geometry().salt)
        {
            records.push((at as u64, record));
            at += record.len as usize;
        }
        // All records are whole, so the header is damaged, and its sequence number cannot be trusted.
        if at == head.len as usize {
            return at;
        }
        for (i, (place, record)) in changes(&records).enumerate() {
            self.record(&record, head.first_seq.saturating_add(i as u64), start + place);
        }
        at
    }

    fn record(&mut self, record: &Record<'_>, seq: u64, offset: u64) {
        if record.has_whole_value()
            && let Ok(change) = change(record, seq, offset)
        {
            match target(record) {
                Target::Key(key) => self.found(key, change),
                range @ Target::Range(..) => {
                    self.seq = self.seq.max(seq);
                    self.ranges.push((range, change));
                }
            }
        } else if record.head.kind == Kind::Put {
            // The value is damaged: reading it will return an error.
            let payload = Payload::Record { location: Location::default(), blob: false, seq: 0 };
            let facts = Some(Facts::new(record.head.modified, record.user));
            let len = u64::from(record.head.value_len);
            let stored = Stored { len, origin: record.origin, facts, payload };
            let location = Location { offset, len: record.len };
            self.found(record.key.into(), Change::new(seq, location, false, Some(stored)));
        }
    }

    /// Adds the extents of the inner pages in a segment.
    fn look_for_pages(&mut self, segment: &[u8]) {
        for at in (0..segment.len()).step_by(BLOCK as usize) {
            let page = &segment[at..];
            if !page.starts_with(&PAGE_MAGIC.to_le_bytes()) {
                continue;
            }
            let Some(node) = Node::new(page).filter(|node| node.level > 0) else { continue };
            self.extents.extend((0..node.count).filter_map(|index| node.child(index)));
        }
    }

    /// Adds the root of the index, which follows the catalog's magic, and everything else in the catalog that may be
    /// a reference. If one byte of the catalog is damaged, the other references are still right.
    fn look_at_root(&mut self, catalog: Extent) {
        let pages = self.pages;
        let read = |extent: Extent| pages.read_copy(extent.offset, extent.len as usize, "index page").ok();
        let start = Extent { len: catalog.len.min(BLOCK as u32), ..catalog };
        let root = read(start).and_then(|bytes| Extent::decode(&mut Fields(bytes.get(4..)?)));
        let Some(root) = root.filter(|root| root.len <= pages.geometry().segment_size) else { return };
        self.extents.push(root);
        let page = read(root);
        let page: &[u8] = page.as_deref().unwrap_or_default();
        let references = page.windows(Extent::LEN).filter_map(|bytes| Extent::decode(&mut Fields(bytes)));
        self.extents.extend(references.filter(|extent| {
            extent.offset >= DATA_START
                && extent.offset.is_multiple_of(BLOCK)
                && (1..=pages.geometry().segment_size).contains(&extent.len)
        }));
    }

    /// Adds the entries of a leaf, if `extent` refers to a valid one.
    fn leaf(&mut self, extent: Extent) -> Result<()> {
        let bytes = match self.pages.overlooking(|| self.pages.extent(extent, "index page")) {
            Err(Error::Corrupt { .. }) => return Ok(()),
            read => read?,
        };
        let Some(node) = Node::new(&bytes).filter(|node| node.level == 0) else { return Ok(()) };
        for index in 0..node.count {
            if let (Some(key), Some(value)) = (node.key(index), node.value(index)) {
                self.entry(key, value);
            }
        }
        Ok(())
    }

    fn entry(&mut self, key: &[u8], value: LeafValue<'_>) {
        match value.place {
            Place::Inline { modified, user, bytes } => {
                let origin = Some(Origin { version: value.version, created: value.created });
                let facts = Some(Facts::new(modified, user));
                let stored = Stored { len: value.len, origin, facts, payload: Payload::of(bytes) };
                self.found(key.into(), Change::new(value.version, Location::default(), false, Some(stored)));
            }
            Place::Record { location, .. } => {
                let read = self.pages.read_copy(location.offset, location.len as usize, "log record");
                let Ok(bytes) = read else { return };
                // The record's segment may have been reused.
                match Record::parse(&bytes, self.pages.geometry().salt) {
                    Some(record) if record.key == key => {
                        self.record(&record, value.version, location.offset);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The records of a unit that have a sequence number, in order.
fn changes<'a>(records: &[(u64, Record<'a>)]) -> impl Iterator<Item = (u64, Record<'a>)> {
    records.iter().filter(|(_, record)| record.head.kind != Kind::Link).copied()
}
