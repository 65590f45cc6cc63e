//! The container's segments: which are free, which hold log and how much of it is live, which hold pages.
//!
//! Knows nothing of readers or checkpoints: whoever frees something here has made sure that nobody needs it.

mod codec;
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

    /// From here on, pages are taken from the lowest free segments and not from those that hold pages already; until
    /// [`end_packing`](Self::end_packing).
    pub(crate) fn begin_packing(&mut self) {
        self.ready.clear();
        self.closed = self.table.iter().map(|segment| matches!(segment, Segment::Pages(_))).collect();
    }

    pub(crate) fn end_packing(&mut self) {
        self.closed.clear();
    }

    /// The lowest free segment, if there is one below `segment`.
    pub(crate) fn has_free_below(&self, segment: u32) -> bool {
        self.table.iter().take(segment as usize).any(|segment| *segment == Segment::Free)
    }

    /// Runs of the container that hold nothing: free segments, and free pages of at least so many at a time.
    pub(crate) fn unused(&self, least: u32) -> Vec<PageRun> {
        let pages = self.pages_per_segment();
        let mut runs = Vec::new();
        for (index, segment) in (0u32..).zip(&self.table) {
            let offset = self.geometry.segment_offset(index);
            match segment {
                Segment::Free => runs.push(PageRun { offset, pages }),
                Segment::Pages(map) => {
                    let free = map.runs(false).into_iter().filter(|(_, count)| *count >= least);
                    runs.extend(free.map(|(first, count)| PageRun {
                        offset: offset + u64::from(first) * BLOCK,
                        pages: count,
                    }));
                }
                _ => {}
            }
        }
        runs
    }

    /// Whether a free segment lies before one that is not.
    pub(crate) fn has_gaps(&self) -> bool {
        let last = self.table.iter().rposition(|segment| *segment != Segment::Free);
        last.is_some_and(|last| self.table[..last].contains(&Segment::Free))
    }

    /// Where the container would end if no segment before were free.
    pub(crate) fn packed_end(&self) -> u32 {
        self.table.iter().filter(|segment| **segment != Segment::Free).count() as u32
    }

    /// Log segments that would fit into free ones before them.
    pub(crate) fn tail_logs(&self) -> Vec<(u32, u64)> {
        let tail = (0u32..).zip(&self.table).skip(self.packed_end() as usize);
        tail.filter_map(|(index, segment)| match segment {
            Segment::Log(log) => Some((index, log.ordinal)),
            _ => None,
        })
        .collect()
    }

    /// Forgets free segments at the container's end; returns how many bytes are left.
    pub(crate) fn trim(&mut self) -> u64 {
        self.ready.clear();
        while self.table.last() == Some(&Segment::Free) {
            self.table.pop();
        }
        self.reopen(self.table.len());
        self.geometry.segment_offset(self.table.len() as u32)
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
mod tests {
    use super::*;
    use crate::format::Fields;

    fn segments() -> Segments {
        Segments::new(Geometry { segment_size: 1 << 18, salt: 0 })
    }

    #[test]
    fn runs_never_overlap_and_come_back() {
        let mut segments = segments();
        let mut runs: Vec<_> =
            [1, 3, 60, 64, 1, 17].map(|n| PageRun { offset: segments.take_pages(n), pages: n }).into();
        runs.sort_unstable();
        for pair in runs.windows(2) {
            assert!(pair[0].offset + u64::from(pair[0].pages) * BLOCK <= pair[1].offset);
        }
        let freed: Vec<_> = runs.iter().map(|run| Freed::Pages(*run)).collect();
        segments.release(&freed);
        assert!(segments.table().iter().all(|segment| *segment == Segment::Free));
    }

    #[test]
    fn what_is_unused_is_what_is_not_taken() {
        let mut segments = segments();
        let runs = [5, 2, 30, 10].map(|n| PageRun { offset: segments.take_pages(n), pages: n });
        segments.take_log(0, 1);
        segments.release(&[Freed::Pages(runs[0]), Freed::Pages(runs[1]), Freed::Pages(runs[3])]);
        let expected = [
            PageRun { offset: DATA_START, pages: 7 },
            PageRun { offset: DATA_START + 37 * BLOCK, pages: 64 - 37 },
        ];
        assert_eq!(segments.unused(1), expected);
        assert_eq!(segments.unused(8), expected[1..]);
    }

    #[test]
    fn a_table_survives_its_encoding() {
        let mut segments = segments();
        segments.take_log(7, 100);
        segments.add_live(DATA_START, 12);
        segments.take_pages(5);
        let mut bytes = Vec::new();
        segments.encode(&mut bytes);
        let decoded = Segments::decode(&mut Fields(&bytes), segments.geometry).unwrap();
        let used = |segments: &Segments| segments.usage();
        assert_eq!(used(&decoded), used(&segments));
    }

    #[test]
    fn a_segment_whose_pages_are_all_taken_takes_one_byte_and_no_memory() {
        let mut segments = Segments::new(Geometry { segment_size: 16 << 20, salt: 0 });
        // 80 GB of them, and what is freed again in the middle.
        let offsets: Vec<_> = (0..5_000).map(|_| segments.take_pages(4096)).collect();
        segments.take_pages(1);
        let encode = |segments: &Segments| {
            let mut bytes = Vec::new();
            segments.encode(&mut bytes);
            bytes
        };
        assert_eq!(encode(&segments).len(), 4 + 5_000 + 513);
        let hole = PageRun { offset: offsets[777] + 10 * BLOCK, pages: 5 };
        segments.release(&[Freed::Pages(hole)]);
        let decoded = Segments::decode(&mut Fields(&encode(&segments)), segments.geometry).unwrap();
        assert_eq!(decoded.table().len(), 5_001);
        let (first, last) =
            (PageRun { offset: offsets[777], pages: 10 }, PageRun { offset: offsets[778], pages: 4096 });
        for segments in [&decoded, &segments] {
            assert!(segments.is_taken(first) && !segments.is_taken(hole) && segments.is_taken(last));
        }
        assert_eq!(segments.take_pages(5), hole.offset, "what is freed is found again");
    }

    #[test]
    fn a_crash_forgets_the_unborn_and_the_later_log() {
        let mut segments = segments();
        segments.take_log(0, 1);
        let run = segments.take_unborn(3);
        segments.take_log(1, 50);
        let persistent = segments.persistent(0, std::iter::empty());
        assert_eq!(persistent.usage().page_bytes, 0);
        assert_eq!(persistent.usage().log_segments, 1);
        segments.end_unborn(PageRun { offset: run.offset + BLOCK, pages: 1 });
        let persistent = segments.persistent(0, std::iter::empty());
        assert!(persistent.is_taken(PageRun { offset: run.offset + BLOCK, pages: 1 }));
        assert_eq!(persistent.usage().page_bytes, BLOCK);
        segments.end_unborn(run);
        assert_eq!(segments.persistent(0, std::iter::empty()).usage().page_bytes, 3 * BLOCK);
    }

    #[test]
    fn what_a_replay_will_count_is_not_persisted() {
        let mut segments = segments();
        let segment = segments.take_log(0, 1);
        segments.add_live(DATA_START, 100);
        segments.end_checkpoint_in(segment);
        segments.add_live(DATA_START + 100, 40);
        segments.sub_live(DATA_START, 30);
        assert_eq!(segments.usage().live_log_bytes, 110);
        assert_eq!(segments.persistent(0, std::iter::empty()).usage().live_log_bytes, 70);
        segments.end_checkpoint_in(segment);
        assert_eq!(segments.persistent(0, std::iter::empty()).usage().live_log_bytes, 110);
    }
}
