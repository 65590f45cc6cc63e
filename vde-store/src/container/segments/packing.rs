//! The operations of the free list that return space to the file system. They find the free space, the smallest
//! possible end of the container, and the data beyond that end.

use super::state::Event;
use super::{AT_ONCE, PageRun, Segment, Segments, Table};
use crate::container::format::BLOCK;

impl Segments {
    /// Until [`end_packing`](Self::end_packing), pages are taken from the front, and no segment is preallocated.
    pub(crate) fn begin_packing(&mut self) {
        self.packing = true;
        self.unprepare();
    }

    pub(crate) fn end_packing(&mut self) {
        self.packing = false;
    }

    fn unprepare(&mut self) {
        while let Some(segment) = self.ready.first().copied() {
            self.step(segment, Event::Unprepare);
        }
    }

    /// Whether a segment below `segment` is free.
    pub(crate) fn has_free_below(&self, segment: u32) -> bool {
        self.first_free().is_some_and(|free| free < segment)
    }

    /// Where the container could end if everything were moved to its front. Segments that readers hold stay where
    /// they are.
    pub(crate) fn packed_end(&self) -> u32 {
        let pages = (self.usage.page_bytes / BLOCK).div_ceil(u64::from(self.table.pages_per_segment()));
        (self.usage.log_segments + self.usage.held_segments + pages) as u32
    }

    /// How many of the first `len` bytes of the container are free. Its last segment may reach beyond `len`.
    pub(crate) fn free_bytes_of(&self, len: u64) -> u64 {
        let geometry = self.table.geometry();
        let free = self.usage.free_bytes(u64::from(geometry.segment_size));
        match self.table.len().checked_sub(1).and_then(|last| self.table.get(last)) {
            Some(Segment::Log(_) | Segment::Held) | None => free,
            Some(_) => free.saturating_sub(geometry.segment_offset(self.table.len()).saturating_sub(len)),
        }
    }

    /// As [`take_pending`](Self::take_pending), but before segment `end`. `None` if there is no such run.
    pub(crate) fn take_pending_before(&mut self, end: u32, count: u32) -> Option<PageRun> {
        let candidates = [self.room.first(count), self.first_free()];
        let segment = candidates.into_iter().flatten().min().filter(|segment| *segment < end)?;
        let run = self.take_pages_of(segment, count);
        self.begin_pending(run);
        Some(run)
    }

    /// Takes `run` if all of it is free. It stays taken until [`drop_pending`](Self::drop_pending).
    pub(crate) fn try_take(&mut self, run: PageRun) -> bool {
        let (segment, _) = self.table.place(run.offset);
        let taken = self.table.is_free(run) && self.change(segment, |table| table.take(run));
        if taken {
            self.begin_pending(run);
        }
        taken
    }

    /// Until [`end_scarcity`](Self::end_scarcity), pages are taken only from preallocated space: from segments that
    /// are ready, otherwise from the space after the container's last page.
    pub(crate) fn begin_scarcity(&mut self) {
        self.scarce = true;
        // A failed attempt may have left free segments there, and the reserved space lies before them.
        self.forget_free_end(AT_ONCE);
    }

    pub(crate) fn end_scarcity(&mut self) {
        (self.scarce, self.spare) = (false, None);
    }

    pub(super) fn take_scarce_pages(&mut self, count: u32) -> PageRun {
        let has_room = |segment: &u32| match self.table.get(*segment) {
            Some(Segment::Pages(map)) => map.free_at_end() >= count,
            _ => false,
        };
        let last = self.table.len().checked_sub(1);
        let is_left = |segment: &&u32| !self.announced.contains(segment);
        let ready = self.ready.iter().find(is_left).or(self.ready.last()).copied();
        let segment = self.spare.filter(has_room).or(ready).or(last.filter(has_room));
        let segment = segment.unwrap_or(self.table.len());
        if self.ready.contains(&segment) {
            self.spare = Some(segment);
        }
        let pages = self.table.pages_per_segment();
        let first = self.change(segment, |table| {
            table.step(segment, Event::PageTaken(pages));
            match table.get_mut(segment) {
                Some(Segment::Pages(map)) => map.take_at_end(count),
                _ => None,
            }
        });
        self.table.run(segment, first.unwrap_or(0), count)
    }

    /// Removes up to `limit` free segments at the container's end from the table. Returns whether these were all.
    pub(super) fn forget_free_end(&mut self, limit: usize) -> bool {
        for _ in 0..limit {
            match self.table.len().checked_sub(1) {
                Some(last) if self.free.contains(&last) => {
                    self.unindex(last);
                    self.table.pop();
                }
                _ => return true,
            }
        }
        false
    }

    /// Removes up to `limit` free segments at the container's end from the table. Returns where the container's used
    /// part ends then, and whether these were all.
    pub(crate) fn trim(&mut self, limit: usize) -> (u64, bool) {
        self.unprepare();
        let is_all = self.forget_free_end(limit);
        let end = match self.table.len().checked_sub(1).map(|last| (last, self.table.get(last))) {
            Some((last, Some(Segment::Pages(map)))) => self.table.run(last, map.end(), 0).offset,
            _ => self.table.geometry().segment_offset(self.table.len()),
        };
        (end, is_all)
    }
}

impl Table {
    /// The unused runs of the container: free segments, and runs of at least `least` free pages. It leaves out the
    /// space after the last page, which is reserved for a full disk.
    pub(crate) fn unused(&self, least: u32) -> Vec<PageRun> {
        let mut runs = Vec::new();
        for (index, segment) in self.iter() {
            match segment {
                Segment::Free => runs.push(self.run(index, 0, self.pages_per_segment())),
                Segment::Pages(map) => {
                    let is_last = index + 1 == self.len();
                    let end = if is_last { map.end() } else { self.pages_per_segment() };
                    let free = map.runs(false).filter(|(first, count)| *count >= least && *first < end);
                    runs.extend(free.map(|(first, count)| self.run(index, first, count)));
                }
                _ => {}
            }
        }
        runs
    }

    /// The log segments from segment `end` on that come before the log's segment `newest`. Later segments may not be
    /// on the device yet.
    pub(crate) fn logs_behind(&self, end: u32, newest: u64) -> Vec<(u32, u64)> {
        let is_behind = |(index, segment): (u32, &Segment)| match segment {
            Segment::Log(log) if log.ordinal < newest && index >= end => Some((index, log.ordinal)),
            _ => None,
        };
        self.iter().filter_map(is_behind).collect()
    }
}
