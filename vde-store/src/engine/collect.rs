//! Collection: the live records of mostly dead segments are logged again, so that the segments become free.
//!
//! A record is moved under its key's stripe, and only if it is still the newest of its key. So for readers and for
//! recovery, the collector is a writer like any other. The segment itself is freed by the next checkpoint.

use crate::container::blob::BlobMap;
use crate::container::error::{Error, Result};
use crate::container::format::{FLAG_BLOB, FLAG_PACKED, Kind};
use crate::container::log::record::Record;
use crate::container::log::unit::Unit;
use crate::container::memtable::{Horizon, Payload};
use crate::container::segments::Segment;
use crate::engine::checkpoint::Purpose;
use crate::engine::options::Durability;
use crate::engine::shared::Shared;
use crate::engine::writes::{Content, Write};

/// When and how much to collect.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    /// How many dead bytes the log may have per 100 live bytes.
    tolerated: u64,
    /// A segment is collected if less than this percentage of it is live.
    sparse: u64,
}

/// For the background, where writes matter more than space.
pub(crate) const BACKGROUND: Policy = Policy { tolerated: 25, sparse: 75 };

/// For [`compact`](crate::Vde::compact).
pub(crate) const THOROUGH: Policy = Policy { tolerated: 0, sparse: 97 };

/// For closing a store: the dead bytes that are left stay until it is opened again.
pub(crate) const CLOSING: Policy = Policy { tolerated: 25, sparse: 90 };

impl Shared {
    /// Logs the live records of sparse segments again. Returns how many segments were emptied.
    pub(crate) fn collect(&self, policy: Policy) -> Result<usize> {
        let victims = self.victims(policy);
        for (segment, ordinal) in &victims {
            self.empty_segment(*segment, *ordinal)?;
            if self.layers.load().memtable.backlog() > self.options.checkpoint_bytes {
                self.checkpoint(Purpose::Changes)?;
            }
        }
        Ok(victims.len())
    }

    /// The segments to collect, the one with the fewest live bytes first. They are as many as have to be emptied to
    /// bring the dead bytes down to the policy's limit.
    fn victims(&self, policy: Policy) -> Vec<(u32, u64)> {
        let (newest, oldest_snapshot) = {
            let state = self.checkpoint.lock();
            let snapshots = state.catalog.snapshots.iter().map(|snapshot| snapshot.seq);
            (state.superblock.log.ordinal, snapshots.max())
        };
        let size = u64::from(self.pages.geometry().segment_size);
        let table = self.segments.lock().table();
        let mut logs: Vec<_> = table
            .iter()
            .filter_map(|(index, segment)| match segment {
                Segment::Log(log) if log.ordinal < newest => Some((index, *log)),
                _ => None,
            })
            .collect();
        let live: u64 = logs.iter().map(|(_, log)| log.live).sum();
        let mut dead = (logs.len() as u64 * size).saturating_sub(live);
        let tolerated = live * policy.tolerated / 100;
        let sparse = size * policy.sparse / 100;
        // Collecting a segment to which a snapshot refers would not free it.
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
    pub(crate) fn empty_segment(&self, segment: u32, ordinal: u64) -> Result<()> {
        // While these layers are held, space that is freed from now on is not overwritten. Space that was freed
        // before has no live records.
        let _held = self.layers.load_full();
        let is_there =
            |log: &Segment| matches!(log, Segment::Log(log) if log.ordinal == ordinal && log.live > 0);
        if !self.segments.lock().get(segment).is_some_and(is_there) {
            return Ok(());
        }
        let geometry = self.pages.geometry();
        let start = geometry.segment_offset(segment);
        let device_len = self.pages.device().len().map_err(|e| Error::io("measure the container", e))?;
        let len = u64::from(geometry.segment_size).min(device_len.saturating_sub(start));
        // The segment is not read through the map, because its end may never have been written.
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
        self.log(
            &[Write { key: record.key, content, user: record.user, origin, moves: true, replaced: None }],
            Durability::Buffered,
        )?;
        Ok(())
    }
}
