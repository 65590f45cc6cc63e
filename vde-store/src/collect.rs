//! Collecting: what is live in segments that are mostly dead is logged anew, so that they become free.
//!
//! A record is moved under its key's stripe and only if it is still the newest of its key, so that collecting is a
//! writer like any other, to readers and to recovery. The segment itself is freed by the next checkpoint.

use crate::blob::BlobMap;
use crate::checkpoint::Edit;
use crate::engine::Shared;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::format::{BLOCK, FLAG_BLOB, FLAG_PACKED, Kind};
use crate::layers::read_record;
use crate::log::record::Record;
use crate::log::unit::Unit;
use crate::memtable::{Horizon, Payload};
use crate::options::Durability;
use crate::segments::Segment;
use crate::writes::{Content, Write};

/// When and how much to collect.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    /// So many dead bytes may lie in the log for a hundred live ones.
    tolerated: u64,
    /// A segment of which so many percent are live is left alone.
    sparse: u64,
}

/// Beside other work: space is worth less than writes.
pub(crate) const BACKGROUND: Policy = Policy { tolerated: 25, sparse: 75 };
/// On demand: everything that is not nearly whole.
pub(crate) const THOROUGH: Policy = Policy { tolerated: 0, sparse: 97 };

/// When a store is closed: what stays then stays for long.
pub(crate) const CLOSING: Policy = Policy { tolerated: 25, sparse: 90 };

/// Fewer free pages than these are not worth a hole in the file.
const LEAST_GIVEN_BACK: u32 = 16;

/// What one round of packing leaves behind is free only after it, so that another may be needed to fill that.
const PACKING_ROUNDS: usize = 3;

impl Shared {
    /// Logs anew what is live in sparse segments. Returns how many segments were emptied.
    pub(crate) fn collect(&self, policy: Policy) -> Result<usize> {
        let victims = self.victims(policy);
        for (segment, ordinal) in &victims {
            self.empty_segment(*segment, *ordinal)?;
            if self.layers.load().memtable.bytes() > self.options.checkpoint_bytes {
                self.checkpoint(&Edit::Nothing, false)?;
            }
        }
        Ok(victims.len())
    }

    /// Sparse segments, the sparsest first, as many as it takes for no more to be dead than is tolerated.
    fn victims(&self, policy: Policy) -> Vec<(u32, u64)> {
        let (newest, oldest_snapshot) = {
            let state = self.checkpoint.lock();
            let snapshots = state.catalog.snapshots.iter().map(|snapshot| snapshot.seq);
            (state.superblock.log.ordinal, snapshots.max())
        };
        let size = u64::from(self.pages.geometry().segment_size);
        let segments = self.segments.lock();
        let mut logs: Vec<_> = (0u32..)
            .zip(segments.table())
            .filter_map(|(index, segment)| match segment {
                Segment::Log(log) if log.ordinal < newest => Some((index, *log)),
                _ => None,
            })
            .collect();
        let live: u64 = logs.iter().map(|(_, log)| log.live).sum();
        let mut dead = (logs.len() as u64 * size).saturating_sub(live);
        let tolerated = live * policy.tolerated / 100;
        let sparse = size * policy.sparse / 100;
        // A segment that a snapshot refers to would stay even if nothing else did.
        logs.retain(|(_, log)| oldest_snapshot.is_none_or(|seq| log.first_seq > seq));
        logs.sort_unstable_by_key(|(_, log)| log.live);
        logs.into_iter()
            .take_while(|(_, log)| {
                let wanted = dead > tolerated && log.live < sparse;
                dead = dead.saturating_sub(size.saturating_sub(log.live));
                wanted
            })
            .map(|(index, log)| (index, log.ordinal))
            .collect()
    }

    /// Moves every live record of a segment to the log's end.
    fn empty_segment(&self, segment: u32, ordinal: u64) -> Result<()> {
        // What is freed from here on is not written over while this is held. What was freed before has nothing live.
        let _held = self.layers.load_full();
        let is_there =
            |log: &Segment| matches!(log, Segment::Log(log) if log.ordinal == ordinal && log.live > 0);
        if !self.segments.lock().table().get(segment as usize).is_some_and(is_there) {
            return Ok(());
        }
        let geometry = self.pages.geometry();
        let start = geometry.segment_offset(segment);
        let device_len = self.pages.device().len().map_err(|e| Error::io("measure the container", e))?;
        let len = u64::from(geometry.segment_size).min(device_len.saturating_sub(start));
        // Not through the map: the end of the segment may never have been written.
        let bytes = self.pages.read_copy(start, len as usize, "segment")?;
        let mut at = 0;
        while let Some(unit) = bytes.get(at as usize..).and_then(|rest| Unit::read(rest, geometry.salt)) {
            if unit.head.ordinal != ordinal {
                break;
            }
            for (place, record) in &unit.records {
                if record.head.kind == Kind::Put {
                    self.move_record(record, start + u64::from(at) + place)?;
                }
            }
            at = unit.head.end(at);
        }
        Ok(())
    }

    fn move_record(&self, record: &Record<'_>, offset: u64) -> Result<()> {
        let _stripe = self.stripes.lock(record.key);
        let layers = self.layers.load();
        let Some(change) = layers.change(record.key, Horizon::LATEST)? else { return Ok(()) };
        let Some(stored) = &change.stored else { return Ok(()) };
        let Payload::Record { location, .. } = stored.payload else { return Ok(()) };
        if location.offset != offset {
            return Ok(());
        }
        record.verify_value(offset)?;
        let origin = layers.origin(record.key, &change, stored)?;
        let bytes = record.content(offset)?;
        let content = if record.head.flags & FLAG_BLOB != 0 {
            Content::Blob(&bytes, BlobMap::decode(&bytes, offset)?.len)
        } else if record.head.flags & FLAG_PACKED != 0 {
            Content::Packed(record.value, &bytes)
        } else {
            Content::Bytes(&bytes)
        };
        let origin = Some((origin, record.head.modified));
        self.log(&[Write { key: record.key, content, user: record.user, origin }], Durability::Buffered)?;
        Ok(())
    }

    /// Gives back what space can be given back: collects every segment that is not nearly whole, writes the index anew
    /// without gaps, moves large values from the container's end into free segments before it, and cuts it. Returns how
    /// many bytes the container lost.
    pub(crate) fn compact(&self) -> Result<u64> {
        self.check_not_updating()?;
        let _collecting = self.collecting.lock();
        let device = self.pages.device();
        let len = || device.len().map_err(|e| Error::io("measure the container", e));
        let before = len()?;
        // What is dead becomes free; what is live leaves sparse segments, and those become free.
        self.checkpoint(&Edit::Nothing, false)?;
        self.collect(THOROUGH)?;
        self.checkpoint(&Edit::Nothing, true)?;
        // What is left leaves the container's end for free segments before it.
        for _ in 0..PACKING_ROUNDS {
            self.segments.lock().begin_packing();
            let packed = self.pack();
            self.segments.lock().end_packing();
            packed?;
            if !self.segments.lock().has_gaps() {
                break;
            }
        }
        self.cut_free_end()?;
        Ok(before.saturating_sub(len()?))
    }

    /// Cuts free segments off the container's end.
    pub(crate) fn cut_free_end(&self) -> Result<()> {
        // Checkpoints are excluded while the container is cut, and the log takes no segment.
        let device = self.pages.device();
        let mut state = self.checkpoint.lock();
        self.reclaim(&mut state);
        let mut segments = self.segments.lock();
        let end = segments.trim();
        if end < device.len().map_err(|e| Error::io("measure the container", e))? {
            self.pages.cut(end);
            device.set_len(end).map_err(|e| self.fail("cut the container", e))?;
        }
        Ok(())
    }

    /// Gives the space of what is free back to the file system. Nobody takes any of it meanwhile.
    pub(crate) fn give_back_free(&self) -> Result<()> {
        for run in self.segments.lock().unused(LEAST_GIVEN_BACK) {
            let given = self.pages.device().discard(run.offset, u64::from(run.pages) * BLOCK);
            given.map_err(|e| self.fail("give space back", e))?;
        }
        Ok(())
    }

    /// Copies a large value that reaches behind segment `end` to free pages, and logs it anew.
    fn lower_blob(&self, entry: &Entry, end: u32) -> Result<()> {
        let geometry = self.pages.geometry();
        let Some((location, map)) = entry.recorded_blob()? else { return Ok(()) };
        if map.runs(&self.pages)?.iter().all(|run| geometry.segment_of(run.offset) < end) {
            return Ok(());
        }
        let (bytes, unborn) = self.write_blob(&[], &mut entry.reader()?)?;
        let key = entry.key();
        let _stripe = self.stripes.lock(key);
        let layers = self.layers.load();
        let Some(change) = layers.change(key, Horizon::LATEST)? else { return Ok(()) };
        let Some(stored) = &change.stored else { return Ok(()) };
        if !matches!(stored.payload, Payload::Record { location: now, .. } if now == location) {
            return Ok(());
        }
        let origin = layers.origin(key, &change, stored)?;
        read_record(&self.pages, key, location, |record, _| {
            let content = Content::Blob(&bytes, map.len);
            let origin = Some((origin, record.head.modified));
            self.log(&[Write { key, content, user: record.user, origin }], Durability::Buffered)
        })??;
        unborn.keep();
        Ok(())
    }

    fn pack(&self) -> Result<()> {
        self.log.move_down();
        self.checkpoint(&Edit::Nothing, false)?;
        let end = self.segments.lock().packed_end();
        for entry in self.view().list("") {
            self.lower_blob(&entry?, end)?;
        }
        let newest = self.checkpoint.lock().superblock.log.ordinal;
        let tail = self.segments.lock().tail_logs(newest);
        for (segment, ordinal) in tail {
            self.empty_segment(segment, ordinal)?;
        }
        self.checkpoint(&Edit::Nothing, true)
    }
}
