//! The container's segments: which are free, which hold log and how much of it is live, which hold pages.
//!
//! Knows nothing of readers or checkpoints: whoever frees something here has made sure that nobody needs it.

mod codec;
mod packing;
mod page_map;

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};

use crate::error::{Error, Result};
use crate::format::{BLOCK, DATA_START, Geometry};

pub(crate) use page_map::{PageMap, PageRun};

/// What a segment is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Free,
    Log(LogSegment),
    Pages(PageMap),
    /// Dead log that a reader may still need.
    Retired,
    /// Being written beforehand; nobody may take it meanwhile.
    Preparing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSegment {
    pub(crate) ordinal: u64,
    /// No record in it is older.
    pub(crate) first_seq: u64,
    /// Bytes of records that the index or the memtables refer to.
    pub(crate) live: u64,
}

/// Something that nothing refers to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    Segment(u32),
    Pages(PageRun),
}

/// How the container's space is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) segments: u64,
    pub(crate) free_segments: u64,
    pub(crate) retired_segments: u64,
    pub(crate) log_segments: u64,
    pub(crate) live_log_bytes: u64,
    pub(crate) page_bytes: u64,
}

/// The segment table.
pub(crate) struct Segments {
    geometry: Geometry,
    table: Vec<Segment>,
    /// Free segments whose bytes were written beforehand, so that a sync has no file-system metadata to commit.
    ready: VecDeque<u32>,
    /// The pages of each segment that hold values which no persisted index refers to yet. A crash forgets them, so a
    /// catalog leaves them out.
    unborn: BTreeMap<u32, PageMap>,
    /// Segments of pages from which none are to be taken.
    closed: Vec<bool>,
    /// No segment before this one is free or has free pages.
    open_from: usize,
    behind: Behind,
}

/// What came to life since the newest checkpoint in the segment in which that ends.
#[derive(Default)]
struct Behind {
    segment: u32,
    bytes: u64,
}

impl Segments {
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            table: Vec::new(),
            ready: VecDeque::new(),
            unborn: BTreeMap::new(),
            closed: Vec::new(),
            open_from: 0,
            behind: Behind::default(),
        }
    }

    fn pages_per_segment(&self) -> u32 {
        self.geometry.segment_size / BLOCK as u32
    }

    /// The segment and the page in it at `offset`.
    fn place(&self, offset: u64) -> (usize, u32) {
        let in_data = offset.saturating_sub(DATA_START);
        let size = u64::from(self.geometry.segment_size);
        ((in_data / size) as usize, ((in_data % size) / BLOCK) as u32)
    }

    pub(crate) fn table(&self) -> &[Segment] {
        &self.table
    }

    fn slot(&mut self, segment: u32) -> &mut Segment {
        let index = segment as usize;
        if self.table.len() <= index {
            self.table.resize(index + 1, Segment::Free);
        }
        &mut self.table[index]
    }

    /// The segment is free, or has free pages.
    fn reopen(&mut self, segment: usize) {
        self.open_from = self.open_from.min(segment);
    }

    fn skip_full(&mut self) {
        let has_room = |segment: &Segment| match segment {
            Segment::Free => true,
            Segment::Pages(map) => !map.is_full(),
            _ => false,
        };
        let rest = self.table.iter().skip(self.open_from);
        self.open_from += rest.take_while(|segment| !has_room(segment)).count();
    }

    fn take_free(&mut self) -> u32 {
        if let Some(ready) = self.ready.pop_front() {
            return ready;
        }
        self.skip_full();
        self.first(|_, segment| *segment == Segment::Free)
    }

    /// The first of the segments with room that is as wanted, or else the one behind the container's end.
    fn first(&self, is_wanted: impl Fn(u32, &Segment) -> bool) -> u32 {
        let mut open = (0u32..).zip(&self.table).skip(self.open_from);
        open.find(|(index, segment)| is_wanted(*index, segment))
            .map_or(self.table.len() as u32, |(index, _)| index)
    }

    /// A segment for the log to continue in.
    pub(crate) fn take_log(&mut self, ordinal: u64, first_seq: u64) -> u32 {
        let segment = self.take_free();
        *self.slot(segment) = Segment::Log(LogSegment { ordinal, first_seq, live: 0 });
        segment
    }

    /// Recovery has found that the log uses `segment`.
    pub(crate) fn mark_log(&mut self, segment: u32, ordinal: u64, first_seq: u64) {
        let slot = self.slot(segment);
        if !matches!(slot, Segment::Log(log) if log.ordinal == ordinal) {
            *slot = Segment::Log(LogSegment { ordinal, first_seq, live: 0 });
        }
    }

    /// Records of `bytes` at `offset` came to life.
    pub(crate) fn add_live(&mut self, offset: u64, bytes: u64) {
        let (segment, _) = self.place(offset);
        if let Some(Segment::Log(log)) = self.table.get_mut(segment) {
            log.live += bytes;
            if segment == self.behind.segment as usize {
                self.behind.bytes += bytes;
            }
        }
    }

    /// A checkpoint ends here, in `segment`: what comes to life from now on is left to the replay of the log to count.
    pub(crate) fn end_checkpoint_in(&mut self, segment: u32) {
        self.behind = Behind { segment, bytes: 0 };
    }

    /// Records of `bytes` at `offset` died.
    pub(crate) fn sub_live(&mut self, offset: u64, bytes: u64) {
        let (segment, _) = self.place(offset);
        if let Some(Segment::Log(log)) = self.table.get_mut(segment) {
            log.live = log.live.saturating_sub(bytes);
        }
    }

    /// A run of `count` pages, at most a segment's worth.
    pub(crate) fn take_pages(&mut self, count: u32) -> u64 {
        self.skip_full();
        let closed = &self.closed;
        let is_open = |index: usize| !closed.get(index).copied().unwrap_or(false);
        let found =
            self.table.iter_mut().enumerate().skip(self.open_from).find_map(
                |(index, segment)| match segment {
                    Segment::Pages(map) if is_open(index) => map.take(count).map(|page| (index as u32, page)),
                    _ => None,
                },
            );
        let (segment, page) = found.unwrap_or_else(|| {
            let segment = self.take_free();
            let mut map = PageMap::new(self.pages_per_segment());
            let page = map.take(count).unwrap_or(0);
            *self.slot(segment) = Segment::Pages(map);
            (segment, page)
        });
        self.geometry.segment_offset(segment) + u64::from(page) * BLOCK
    }

    /// As [`take_pages`](Self::take_pages), for a value that no persisted index refers to yet.
    pub(crate) fn take_unborn(&mut self, count: u32) -> PageRun {
        let run = PageRun { offset: self.take_pages(count), pages: count };
        self.begin_unborn(run);
        run
    }

    fn begin_unborn(&mut self, run: PageRun) {
        let (segment, page) = self.place(run.offset);
        let none = PageMap::new(self.pages_per_segment());
        self.unborn.entry(segment as u32).or_insert(none).change(page, run.pages, true);
    }

    /// The persisted index refers to `run` now, or nobody ever will.
    pub(crate) fn end_unborn(&mut self, run: PageRun) {
        let (segment, page) = self.place(run.offset);
        if let Entry::Occupied(mut unborn) = self.unborn.entry(segment as u32) {
            unborn.get_mut().change(page, run.pages, false);
            if unborn.get().used() == 0 {
                unborn.remove();
            }
        }
    }

    /// The segment is dead, but not yet to be reused.
    pub(crate) fn retire(&mut self, segment: u32) {
        *self.slot(segment) = Segment::Retired;
    }

    /// Takes the pages of `run`; `false` where one of them is not free.
    pub(crate) fn mark_pages(&mut self, run: PageRun) -> bool {
        let pages = self.pages_per_segment();
        let (segment, page) = self.place(run.offset);
        let slot = self.slot(segment as u32);
        if *slot == Segment::Free {
            *slot = Segment::Pages(PageMap::new(pages));
        }
        let taken = match slot {
            Segment::Pages(map) => map.change(page, run.pages, true),
            _ => false,
        };
        self.reopen(segment);
        taken
    }

    /// Recovery has found that a replayed value uses `run`, in one of the first `reach` segments. A value that was only
    /// moved may have it already.
    pub(crate) fn mark_unborn(&mut self, run: PageRun, moved: bool, reach: u64) -> Result<()> {
        let (segment, _) = self.place(run.offset);
        let is_possible = run.is_valid(self.geometry) && (segment as u64) < reach;
        if is_possible && moved && self.is_taken(run) {
            return Ok(());
        }
        if !is_possible || !self.mark_pages(run) {
            return Err(Error::corrupt("blob extent", run.offset));
        }
        self.begin_unborn(run);
        Ok(())
    }

    /// Whether all pages of the run are taken.
    pub(crate) fn is_taken(&self, run: PageRun) -> bool {
        let (segment, page) = self.place(run.offset);
        match self.table.get(segment) {
            Some(Segment::Pages(map)) if run.is_valid(self.geometry) => {
                (page..page + run.pages).all(|page| map.is_set(page))
            }
            _ => false,
        }
    }

    /// Sets aside what is free. It becomes available when it is [released](Self::release).
    pub(crate) fn set_aside(&mut self) -> Vec<Freed> {
        let mut set_aside = Vec::new();
        for (index, segment) in (0u32..).zip(&mut self.table) {
            match segment {
                Segment::Free => {
                    *segment = Segment::Retired;
                    set_aside.push(Freed::Segment(index));
                }
                Segment::Pages(map) => {
                    let start = self.geometry.segment_offset(index);
                    for (page, pages) in map.runs(false) {
                        map.change(page, pages, true);
                        let offset = start + u64::from(page) * BLOCK;
                        set_aside.push(Freed::Pages(PageRun { offset, pages }));
                    }
                }
                Segment::Log(_) | Segment::Retired | Segment::Preparing => {}
            }
        }
        set_aside
    }

    /// Makes what was freed available again.
    pub(crate) fn release(&mut self, freed: &[Freed]) {
        for freed in freed {
            match *freed {
                Freed::Segment(segment) => {
                    *self.slot(segment) = Segment::Free;
                    self.reopen(segment as usize);
                }
                Freed::Pages(run) => {
                    let (segment, page) = self.place(run.offset);
                    if let Some(Segment::Pages(map)) = self.table.get_mut(segment) {
                        map.change(page, run.pages, false);
                        if map.used() == 0 {
                            self.table[segment] = Segment::Free;
                        }
                        self.reopen(segment);
                    }
                }
            }
        }
    }

    /// Sets a free segment aside to be written beforehand, unless enough are ready.
    pub(crate) fn begin_preparing(&mut self, wanted: usize) -> Option<u32> {
        if self.ready.len() >= wanted {
            return None;
        }
        let segment = self.first(|index, segment| *segment == Segment::Free && !self.ready.contains(&index));
        *self.slot(segment) = Segment::Preparing;
        Some(segment)
    }

    /// The bytes of `segment` were written, or could not be.
    pub(crate) fn end_preparing(&mut self, segment: u32, is_ready: bool) {
        *self.slot(segment) = Segment::Free;
        self.reopen(segment as usize);
        if is_ready {
            self.ready.push_back(segment);
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage { segments: self.table.len() as u64, ..Usage::default() };
        for segment in &self.table {
            match segment {
                Segment::Free | Segment::Preparing => usage.free_segments += 1,
                Segment::Retired => usage.retired_segments += 1,
                Segment::Log(log) => {
                    usage.log_segments += 1;
                    usage.live_log_bytes += log.live;
                }
                Segment::Pages(map) => usage.page_bytes += u64::from(map.used()) * BLOCK,
            }
        }
        usage
    }

    /// The table as a checkpoint persists it: what a crash would forget, or nobody will need after one, is free.
    pub(crate) fn persistent(&self, log_ordinal: u64, freed: impl Iterator<Item = Freed>) -> Self {
        let mut copy = Self::new(self.geometry);
        copy.table.clone_from(&self.table);
        let unborn = self.unborn.iter().flat_map(|(segment, map)| {
            let start = self.geometry.segment_offset(*segment);
            map.runs(true).into_iter().map(move |(page, pages)| {
                Freed::Pages(PageRun { offset: start + u64::from(page) * BLOCK, pages })
            })
        });
        let gone: Vec<_> = freed.chain(unborn).collect();
        copy.release(&gone);
        for segment in &mut copy.table {
            match segment {
                Segment::Log(log) if log.ordinal > log_ordinal => *segment = Segment::Free,
                Segment::Log(log) if log.ordinal == log_ordinal => {
                    log.live = log.live.saturating_sub(self.behind.bytes);
                }
                _ => {}
            }
        }
        copy
    }
}

#[cfg(test)]
mod tests;
