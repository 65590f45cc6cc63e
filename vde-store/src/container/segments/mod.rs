//! The container's segments: a free list that knows the use of each segment and each page.
//!
//! The states and their transitions are in [`state`]. A caller frees only space to which the newest index does not
//! refer. If readers may still refer to it, the caller uses [`hold`](Segments::hold). Every method takes O(log
//! segments) unless it says otherwise.

mod announcing;
mod codec;
mod packing;
mod page_map;
mod room;
mod state;
mod table;

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};

use crate::container::error::{Error, Result};
use crate::container::format::BLOCK;

pub(crate) use page_map::{PageMap, PageRun};
use room::Room;
use state::Event;
pub(crate) use state::{LogSegment, Segment};
pub(crate) use table::Table;

/// How many changes of the free list are made under one lock, so that other threads need not wait long.
pub(crate) const AT_ONCE: usize = 64;

/// Space that the newest index does not refer to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Freed {
    Segment(u32),
    Pages(PageRun),
}

/// A reader that may still need space to which the newest index does not refer. It exists as long as this can be
/// upgraded.
pub(crate) type Reader = Weak<dyn Any + Send + Sync>;

/// The space that a checkpoint has freed, and the readers that may still need it.
struct Held {
    /// The readers of this process.
    readers: Vec<Reader>,
    /// The number of the checkpoint. Other processes that read an earlier checkpoint may need the space.
    checkpoint: u64,
    freed: Arc<[Freed]>,
    /// How many items of `freed` are free already.
    released: usize,
}

/// How the container's space is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) segments: u64,
    pub(crate) free_segments: u64,
    pub(crate) held_segments: u64,
    pub(crate) log_segments: u64,
    pub(crate) live_log_bytes: u64,
    pub(crate) page_segments: u64,
    pub(crate) page_bytes: u64,
}

impl Usage {
    /// Bytes of free segments, and of free pages in other segments. `segment` is the segment size.
    pub(crate) fn free_bytes(&self, segment: u64) -> u64 {
        (self.free_segments + self.page_segments) * segment - self.page_bytes
    }

    /// The mean number of bytes that each of `keys` values takes, with its share of the index.
    pub(crate) fn mean_value(&self, keys: u64) -> u64 {
        (self.live_log_bytes + self.page_bytes) / keys.max(1)
    }
}

/// The segment table, with indexes for searching it.
pub(crate) struct Segments {
    table: Table,
    free: BTreeSet<u32>,
    ready: BTreeSet<u32>,
    /// Log segments without live records.
    idle: BTreeSet<u32>,
    /// The announced segments, in one of which the log continues.
    announced: Vec<u32>,
    /// The free pages of the segments that hold pages.
    room: Room,
    /// Marks the pages of large values to which no persisted index refers yet. After a crash, they are free.
    pending: Table,
    /// The space that checkpoints have freed and that readers may need, the oldest first.
    held: VecDeque<Held>,
    usage: Usage,
    /// Whether pages are taken from the front, to empty the container's end.
    packing: bool,
    /// Whether pages are taken only from preallocated space.
    scarce: bool,
    /// The preallocated segment from which pages are taken while space is scarce.
    spare: Option<u32>,
}

impl Segments {
    pub(crate) fn new(table: Table) -> Self {
        let mut segments = Self {
            table: Table::new(table.geometry()),
            free: BTreeSet::new(),
            ready: BTreeSet::new(),
            idle: BTreeSet::new(),
            announced: Vec::new(),
            room: Room::default(),
            pending: Table::new(table.geometry()),
            held: VecDeque::new(),
            usage: Usage::default(),
            packing: false,
            scarce: false,
            spare: None,
        };
        segments.table = table;
        for segment in 0..segments.table.len() {
            segments.index(segment);
            segments.pending.push(Segment::Free);
        }
        segments
    }

    /// A copy of the current table. Takes microseconds for 65,536 segments.
    pub(crate) fn table(&self) -> Table {
        self.table.clone()
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage { segments: u64::from(self.table.len()), ..self.usage }
    }

    pub(crate) fn get(&self, segment: u32) -> Option<&Segment> {
        self.table.get(segment)
    }

    /// Adds a segment to the indexes.
    fn index(&mut self, segment: u32) {
        let mut room = 0;
        match self.table.get(segment) {
            Some(Segment::Free) => {
                self.free.insert(segment);
                self.usage.free_segments += 1;
            }
            Some(Segment::Ready) => {
                self.ready.insert(segment);
                self.usage.free_segments += 1;
            }
            Some(Segment::Preparing) => self.usage.free_segments += 1,
            Some(Segment::Held) => self.usage.held_segments += 1,
            Some(Segment::Log(log)) => {
                self.usage.log_segments += 1;
                self.usage.live_log_bytes += log.live;
                if log.live == 0 {
                    self.idle.insert(segment);
                }
            }
            Some(Segment::Pages(map)) => {
                self.usage.page_segments += 1;
                self.usage.page_bytes += u64::from(map.used()) * BLOCK;
                room = map.longest_free();
            }
            None => {}
        }
        self.room.set(segment, room);
    }

    /// Undoes [`index`](Self::index), before the segment changes.
    fn unindex(&mut self, segment: u32) {
        match self.table.get(segment) {
            Some(Segment::Free | Segment::Ready | Segment::Preparing) => {
                self.free.remove(&segment);
                self.ready.remove(&segment);
                self.usage.free_segments -= 1;
            }
            Some(Segment::Held) => self.usage.held_segments -= 1,
            Some(Segment::Log(log)) => {
                self.usage.log_segments -= 1;
                self.usage.live_log_bytes -= log.live;
                self.idle.remove(&segment);
            }
            Some(Segment::Pages(map)) => {
                self.usage.page_segments -= 1;
                self.usage.page_bytes -= u64::from(map.used()) * BLOCK;
            }
            None => {}
        }
    }

    /// Changes a segment. The table grows if it has fewer segments.
    fn change<T>(&mut self, segment: u32, change: impl FnOnce(&mut Table) -> T) -> T {
        while self.table.len() <= segment {
            self.table.push(Segment::Free);
            self.index(self.table.len() - 1);
        }
        self.unindex(segment);
        let changed = change(&mut self.table);
        self.index(segment);
        changed
    }

    fn step(&mut self, segment: u32, event: Event) -> bool {
        self.change(segment, |table| table.step(segment, event))
    }

    /// Recovery has found that the log uses `segment`.
    pub(crate) fn mark_log(&mut self, segment: u32, ordinal: u64, first_seq: u64) {
        if !matches!(self.table.get(segment), Some(Segment::Log(log)) if log.ordinal == ordinal) {
            self.step(segment, Event::LogFound(LogSegment::new(ordinal, first_seq)));
        }
    }

    /// Records of `bytes` bytes at `offset` became live.
    pub(crate) fn add_live(&mut self, offset: u64, bytes: u64) {
        let (segment, _) = self.table.place(offset);
        if let Some(Segment::Log(log)) = self.table.get_mut(segment) {
            log.live += bytes;
            log.recent += bytes;
            self.usage.live_log_bytes += bytes;
            if log.live > 0 {
                self.idle.remove(&segment);
            }
        }
    }

    /// Records of `bytes` bytes at `offset` became dead.
    pub(crate) fn sub_live(&mut self, offset: u64, bytes: u64) {
        let (segment, _) = self.table.place(offset);
        if let Some(Segment::Log(log)) = self.table.get_mut(segment) {
            let bytes = bytes.min(log.live);
            log.live -= bytes;
            self.usage.live_log_bytes -= bytes;
            if log.live == 0 {
                self.idle.insert(segment);
            }
        }
    }

    /// A checkpoint ends here, in `segment`. Records that become live from now on are counted by the replay of the
    /// log after a crash.
    pub(crate) fn end_checkpoint_in(&mut self, segment: u32) {
        if let Some(Segment::Log(log)) = self.table.get_mut(segment) {
            log.recent = 0;
        }
    }

    /// Retires a log segment that has no live record: the first one from segment `from` on that comes before
    /// `ordinal` in the log, and for whose first sequence number `is_needed` is false.
    pub(crate) fn end_dead_log(
        &mut self,
        from: u32,
        ordinal: u64,
        is_needed: impl Fn(u64) -> bool,
    ) -> Option<u32> {
        let is_dead = |segment: &u32| match self.table.get(*segment) {
            Some(Segment::Log(log)) => log.ordinal < ordinal && !is_needed(log.first_seq),
            _ => false,
        };
        let dead = self.idle.range(from..).copied().find(is_dead)?;
        self.step(dead, Event::LogDied);
        Some(dead)
    }

    /// A run of `count` pages, at most a segment's worth.
    pub(crate) fn take_pages(&mut self, count: u32) -> PageRun {
        if self.scarce {
            return self.take_scarce_pages(count);
        }
        let (open, free) = (self.room.first(count), self.first_free());
        let found = match (open, free) {
            (Some(open), Some(free)) if self.packing => Some(open.min(free)),
            _ => open.or(free),
        };
        self.take_pages_of(found.unwrap_or(self.first_behind()), count)
    }

    /// A run of `count` pages of a segment that has such a free run.
    fn take_pages_of(&mut self, segment: u32, count: u32) -> PageRun {
        let pages = self.table.pages_per_segment();
        let first = self.change(segment, |table| {
            table.step(segment, Event::PageTaken(pages));
            match table.get_mut(segment) {
                Some(Segment::Pages(map)) => map.take(count),
                _ => None,
            }
        });
        self.table.run(segment, first.unwrap_or(0), count)
    }

    /// As [`take_pages`](Self::take_pages), for a value to which no persisted index refers yet.
    pub(crate) fn take_pending(&mut self, count: u32) -> PageRun {
        let run = self.take_pages(count);
        self.begin_pending(run);
        run
    }

    fn begin_pending(&mut self, run: PageRun) {
        self.pending.take(run);
    }

    /// `run` is no longer pending: the persisted index refers to it now, or nothing ever will.
    pub(crate) fn end_pending(&mut self, run: PageRun) {
        self.pending.free(Freed::Pages(run));
    }

    /// Frees a run to which nothing has ever referred.
    pub(crate) fn drop_pending(&mut self, run: PageRun) {
        self.end_pending(run);
        self.release(&[Freed::Pages(run)]);
    }

    /// Recovery has found that a replayed value uses `run`, which must be in one of the first `reach` segments. If
    /// the value was only moved, `run` may be taken already.
    pub(crate) fn mark_pending(&mut self, run: PageRun, moved: bool, reach: u64) -> Result<()> {
        let (segment, _) = self.table.place(run.offset);
        let is_possible = run.is_valid(self.table.geometry()) && u64::from(segment) < reach;
        if is_possible && moved && self.is_taken(run) {
            return Ok(());
        }
        if !is_possible || !self.change(segment, |table| table.take(run)) {
            return Err(Error::corrupt("blob extent", run.offset));
        }
        self.begin_pending(run);
        Ok(())
    }

    /// Whether all pages of the run are taken.
    pub(crate) fn is_taken(&self, run: PageRun) -> bool {
        self.table.is_taken(run)
    }

    /// Makes freed space available at once, without waiting for readers.
    pub(crate) fn release(&mut self, freed: &[Freed]) {
        let mut freed = freed.to_vec();
        freed.sort_unstable();
        let geometry = self.table.geometry();
        let segment_of = |freed: &Freed| match freed {
            Freed::Segment(segment) => *segment,
            Freed::Pages(run) => geometry.segment_of(run.offset),
        };
        for freed in freed.chunk_by(|a, b| segment_of(a) == segment_of(b)) {
            let segment = segment_of(&freed[0]);
            self.change(segment, |table| freed.iter().for_each(|freed| table.free(*freed)));
        }
    }

    /// Holds space to which the durable index of `checkpoint` does not refer. Its release waits for these readers,
    /// for earlier ones, and for other processes that read an earlier checkpoint.
    pub(crate) fn hold(&mut self, readers: Vec<Reader>, checkpoint: u64, freed: Arc<[Freed]>) {
        self.held.push_back(Held { readers, checkpoint, freed, released: 0 });
    }

    /// Holds all free space: other processes read checkpoints before `checkpoint`, and an earlier writer freed the
    /// space. It visits the whole table; opening a store calls it at most once.
    pub(crate) fn hold_free(&mut self, checkpoint: u64) {
        let mut freed = Vec::new();
        for segment in 0..self.table.len() {
            if self.step(segment, Event::SetAside) {
                freed.push(Freed::Segment(segment));
            }
            let runs: Vec<_> = match self.table.get(segment) {
                Some(Segment::Pages(map)) => self.table.runs(segment, map, false).collect(),
                _ => Vec::new(),
            };
            for run in runs {
                self.change(segment, |table| table.take(run));
                freed.push(Freed::Pages(run));
            }
        }
        self.hold(Vec::new(), checkpoint, freed.into());
    }

    /// Makes up to `limit` held items available that no reader needs any more. Returns whether there may be more.
    /// `is_read_before(n)`: whether another process reads a checkpoint before number `n`.
    pub(crate) fn release_unread(&mut self, limit: usize, is_read_before: impl Fn(u64) -> bool) -> bool {
        let is_unread = |held: &&mut Held| {
            held.readers.iter().all(|reader| reader.strong_count() == 0) && !is_read_before(held.checkpoint)
        };
        let Some(held) = self.held.front_mut().filter(|held| is_unread(held)) else { return false };
        let freed = held.freed.clone();
        let from = held.released;
        let to = freed.len().min(from + limit);
        held.released = to;
        if to == freed.len() {
            self.held.pop_front();
        }
        self.release(&freed[from..to]);
        true
    }

    /// Whether any space is held for readers.
    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes a free segment to preallocate it, unless enough are ready.
    pub(crate) fn begin_preparing(&mut self, wanted: usize) -> Option<u32> {
        if self.ready.len() >= wanted || self.packing {
            return None;
        }
        let segment = self.first_open().or(self.first_free()).unwrap_or(self.first_behind());
        self.step(segment, Event::Prepare);
        Some(segment)
    }

    /// How many segments are preallocated.
    pub(crate) fn count_ready(&self) -> usize {
        self.ready.len()
    }

    /// The preallocation of `segment` has succeeded or failed.
    pub(crate) fn end_preparing(&mut self, segment: u32, is_ready: bool) {
        self.step(segment, if is_ready { Event::Prepared } else { Event::NotPrepared });
        if !is_ready {
            self.forget_free_end(AT_ONCE);
        }
    }

    /// A copy of the segments at this moment, from which a checkpoint makes the table that it persists; see
    /// [`Copy::table`]. Takes microseconds for 65,536 segments.
    pub(crate) fn copy(&self) -> Copy {
        let held = self.held.iter().map(|held| (held.freed.clone(), held.released)).collect();
        Copy { table: self.table.clone(), pending: self.pending.clone(), held }
    }
}

/// The segments at one moment.
pub(crate) struct Copy {
    table: Table,
    pending: Table,
    held: Vec<(Arc<[Freed]>, usize)>,
}

impl Copy {
    /// The table to persist in a checkpoint that ends in the log's segment `ordinal`. It marks space as free if it is
    /// not needed after a crash, or if only a replay of the log finds its use. `freed` is the space that the
    /// checkpoint itself frees.
    pub(crate) fn table(self, ordinal: u64, freed: &[Freed]) -> Table {
        let mut table = self.table;
        let held = self.held.iter().flat_map(|(freed, released)| &freed[*released..]);
        for freed in held.chain(freed) {
            table.free(*freed);
        }
        for (segment, pending) in self.pending.iter() {
            if let Segment::Pages(map) = pending {
                self.pending.runs(segment, map, true).for_each(|run| table.free(Freed::Pages(run)));
            }
        }
        let recent: Vec<_> =
            table.iter().filter_map(|(index, segment)| recent(index, segment, ordinal)).collect();
        for (segment, live) in recent {
            match (live, table.get_mut(segment)) {
                (Some(live), Some(Segment::Log(log))) => log.live = live,
                _ => {
                    table.step(segment, Event::LogForgotten);
                }
            }
        }
        table
    }
}

/// For a log segment with records after a checkpoint that ends in segment `ordinal`: how many of its bytes were live
/// at the checkpoint, if the checkpoint knows the segment.
fn recent(index: u32, segment: &Segment, ordinal: u64) -> Option<(u32, Option<u64>)> {
    match segment {
        Segment::Log(log) if log.ordinal > ordinal => Some((index, None)),
        Segment::Log(log) if log.ordinal == ordinal => {
            Some((index, Some(log.live.saturating_sub(log.recent))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
