//! Returning space to the file system: data at the container's end is moved into free space before it, the container
//! is shortened, and free space inside it becomes holes.

use crate::container::blob::{self, PendingBlob};
use crate::container::error::{Error, Result};
use crate::container::format::BLOCK;
use crate::container::memtable::{Horizon, Payload};
use crate::container::planted::Bug;
use crate::container::segments::{AT_ONCE, Usage};
use crate::engine::checkpoint::Purpose;
use crate::engine::collect::THOROUGH;
use crate::engine::entry::Entry;
use crate::engine::layers::read_record;
use crate::engine::options::Durability;
use crate::engine::shared::Shared;
use crate::engine::writes::{Content, Write};

/// The fewest free pages that become a hole in the file.
const LEAST_HOLE: u32 = 16;

/// A container with at most this many free segments is not packed.
const LEAST_FREE_SEGMENTS: u64 = 4;

/// The most rounds of packing. The space that a round frees can be filled only by the next round.
const MAX_ROUNDS: usize = 8;

/// How many bytes are reserved for a checkpoint on a full disk. `segment` is the segment size.
pub(crate) fn reserve_of(segment: u32) -> u64 {
    u64::from(segment / 8)
}

/// A packing. It ends when this is dropped, even by a panic.
struct Packing<'a>(&'a Shared);

impl<'a> Packing<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.segments.lock().begin_packing();
        Self(shared)
    }
}

impl Drop for Packing<'_> {
    fn drop(&mut self) {
        self.0.segments.lock().end_packing();
    }
}

impl Shared {
    /// Returns as much space as possible to the file system: [collects](THOROUGH), rewrites the index without gaps,
    /// and packs. Returns how many bytes the file system got.
    pub(crate) fn compact(&self) -> Result<u64> {
        self.check_not_updating()?;
        let _collecting = self.collecting.lock();
        let before = self.footprint()?;
        // Dead space becomes free. Live records leave sparse segments, which then become free too.
        self.checkpoint(Purpose::Changes)?;
        self.collect(THOROUGH)?;
        let packing = Packing::begin(self);
        self.checkpoint(Purpose::WholeIndex)?;
        self.pack()?;
        drop(packing);
        Ok(before.saturating_sub(self.footprint()?))
    }

    /// As [`compact`](Self::compact), without collection and rewriting the index. The caller holds `collecting`.
    pub(crate) fn give_back(&self) -> Result<()> {
        let _packing = Packing::begin(self);
        self.pack()
    }

    /// Whether most of the container is free.
    pub(crate) fn is_mostly_free(&self, usage: Usage) -> bool {
        let segment = u64::from(self.geometry.segment_size);
        let free = usage.free_bytes(segment);
        free > LEAST_FREE_SEGMENTS * segment && free > usage.segments * segment / 2
    }

    /// How many bytes the container takes on the file system.
    fn footprint(&self) -> Result<u64> {
        let device = self.pages.device();
        match device.allocated() {
            Some(bytes) => Ok(bytes),
            None => device.len().map_err(|e| Error::io("measure the container", e)),
        }
    }

    /// Moves data from the container's end into free space before it, as far as possible, and returns the free space
    /// to the file system.
    fn pack(&self) -> Result<()> {
        let mut last = u32::MAX;
        for _ in 0..MAX_ROUNDS {
            self.cut_free_end()?;
            let (len, end) = {
                let segments = self.segments.lock();
                (segments.usage().segments as u32, segments.packed_end())
            };
            if len <= end || (self.empty_behind(end)? == 0 && len == last) {
                break;
            }
            last = len;
        }
        self.cut_free_end()?;
        self.punch_holes()
    }

    /// Moves data from segment `end` on to the front. Returns how many values and log segments were moved.
    fn empty_behind(&self, end: u32) -> Result<usize> {
        let mut moved = 0;
        if self.log.can_move_before(end) {
            // From this checkpoint on, no segment is announced: the log does not continue in an announced one.
            self.checkpoint(Purpose::Log)?;
        }
        let purpose = if self.log.move_before(end) { Purpose::Log } else { Purpose::Changes };
        self.checkpoint(purpose)?;
        for entry in self.view().list("") {
            moved += usize::from(self.lower_blob(&entry?, end)?);
        }
        let newest = self.checkpoint.lock().superblock.log.ordinal;
        let logs = self.segments.lock().table().logs_behind(end, newest);
        for (segment, ordinal) in logs {
            self.empty_segment(segment, ordinal)?;
            moved += 1;
        }
        self.checkpoint(Purpose::Changes)?;
        self.cut_free_end()?;
        if self.segments.lock().usage().segments > u64::from(end) {
            self.checkpoint(Purpose::WholeIndex)?;
        }
        Ok(moved)
    }

    /// If a large value has pages in segment `end` or later, copies it to the first free pages in segments before its
    /// last one, and logs it again. Returns whether it was moved.
    fn lower_blob(&self, entry: &Entry, end: u32) -> Result<bool> {
        let Some((location, map)) = entry.recorded_blob()? else { return Ok(false) };
        let runs = map.runs(&self.pages)?;
        let Some(last) = runs.iter().map(|run| self.geometry.segment_of(run.offset)).max() else {
            return Ok(false);
        };
        if last < end {
            return Ok(false);
        }
        let pending =
            PendingBlob::before(last, self.pages.clone(), self.segments.clone(), self.options.part_pieces);
        let Some((bytes, pending)) = blob::write_if_room(pending, &mut entry.reader()?)? else {
            return Ok(false);
        };
        let key = entry.key();
        let _stripe = self.stripes.lock(key);
        let layers = self.layers.load();
        let Some(change) = layers.change(key, Horizon::LATEST)? else { return Ok(false) };
        let Some(stored) = &change.stored else { return Ok(false) };
        if !matches!(stored.payload, Payload::Record { location: now, .. } if now == location) {
            return Ok(false);
        }
        let origin = layers.origin(key, &change, stored)?;
        read_record(&self.pages, key, location, |record, _| {
            let content = Content::Blob(&bytes, map.len);
            let origin = Some((origin, record.head.modified));
            self.log(
                &[Write { key, content, user: record.user, origin, moves: true, replaced: None }],
                Durability::Buffered,
            )
        })??;
        pending.keep();
        Ok(true)
    }

    /// Removes the free end of the container.
    pub(crate) fn cut_free_end(&self) -> Result<()> {
        // No checkpoint runs while the container is shortened, and the log takes no segment.
        let _state = self.checkpoint.lock();
        self.release_unread();
        let device = self.pages.device();
        loop {
            // It is shortened in steps, so that the log need not wait for all of them.
            let mut segments = self.segments.lock();
            let (left, is_all) = segments.trim(AT_ONCE);
            let end = left + self.reserve();
            if end < device.len().map_err(|e| Error::io("measure the container", e))? {
                self.pages.cut(end);
                device.set_len(end).map_err(|e| self.fail("shorten the container", e))?;
            }
            if is_all {
                return Ok(());
            }
        }
    }

    /// How many bytes a container reserves after its last page, so that a checkpoint has space on a full disk.
    fn reserve(&self) -> u64 {
        // A device that does not know its free space is not limited.
        let is_limited = self.pages.device().available().is_some();
        if is_limited && !self.options.planted.has(Bug::NothingKept) {
            reserve_of(self.geometry.segment_size)
        } else {
            0
        }
    }

    /// Writes the reserved space, because a hole would not reserve anything.
    pub(crate) fn keep_reserve(&self) {
        let len = self.reserve() as usize;
        let (end, _) = self.segments.lock().trim(AT_ONCE);
        if len > 0 && end.is_multiple_of(BLOCK) {
            // If the disk is full already, there is no reserve.
            let _ = self.pages.device().write_bulk(&vec![0; len], end);
        }
    }

    /// Returns the free space inside of the container to the file system.
    pub(crate) fn punch_holes(&self) -> Result<()> {
        let table = self.segments.lock().table();
        for run in table.unused(LEAST_HOLE) {
            // The run is taken, so that no writer uses it meanwhile.
            if self.segments.lock().try_take(run) {
                let given = self.pages.device().discard(run.offset, u64::from(run.pages) * BLOCK);
                self.segments.lock().drop_pending(run);
                given.map_err(|e| Error::io("give space back", e))?;
            }
        }
        Ok(())
    }
}
