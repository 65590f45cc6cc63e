//! The table of segments: the use of each.

use std::sync::Arc;

use super::state::Event;
use super::{Freed, PageMap, PageRun, Segment};
use crate::container::format::{BLOCK, DATA_START, Geometry};

/// How many segments are copied together.
const CHUNK: usize = 32;

/// The use of each segment, in chunks. Copies of a table share a chunk until one of them changes it, so copying a
/// table of 65,536 segments takes microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    geometry: Geometry,
    chunks: Vec<Arc<Vec<Segment>>>,
    len: u32,
}

impl Table {
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self { geometry, chunks: Vec::new(), len: 0 }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// How many segments there are.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn pages_per_segment(&self) -> u32 {
        self.geometry.segment_size / BLOCK as u32
    }

    /// The segment and the page in it at `offset`.
    pub(super) fn place(&self, offset: u64) -> (u32, u32) {
        let in_data = offset.saturating_sub(DATA_START);
        let size = u64::from(self.geometry.segment_size);
        ((in_data / size) as u32, ((in_data % size) / BLOCK) as u32)
    }

    /// `pages` pages of a segment from `first` on.
    pub(super) fn run(&self, segment: u32, first: u32, pages: u32) -> PageRun {
        PageRun { offset: self.geometry.segment_offset(segment) + u64::from(first) * BLOCK, pages }
    }

    pub(crate) fn get(&self, segment: u32) -> Option<&Segment> {
        self.chunks.get(segment as usize / CHUNK)?.get(segment as usize % CHUNK)
    }

    pub(super) fn get_mut(&mut self, segment: u32) -> Option<&mut Segment> {
        Arc::make_mut(self.chunks.get_mut(segment as usize / CHUNK)?).get_mut(segment as usize % CHUNK)
    }

    /// The segments in order, each with its index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Segment)> {
        (0u32..).zip(self.chunks.iter().flat_map(|chunk| chunk.iter()))
    }

    pub(super) fn push(&mut self, segment: Segment) {
        if (self.len as usize).is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
        }
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).push(segment);
            self.len += 1;
        }
    }

    /// Removes the last segment.
    pub(super) fn pop(&mut self) {
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).pop();
            self.len -= 1;
            if last.is_empty() {
                self.chunks.pop();
            }
        }
    }

    /// Moves a segment to the state that `event` leads to. Returns `false` if the event can't happen in its state.
    pub(super) fn step(&mut self, segment: u32, event: Event) -> bool {
        match self.get(segment).and_then(|state| state.after(event)) {
            Some(state) => self.get_mut(segment).map(|slot| *slot = state).is_some(),
            None => false,
        }
    }

    /// Takes the pages of `run`, which lies in one segment. Returns `false` if one of them is taken already.
    pub(crate) fn take(&mut self, run: PageRun) -> bool {
        let (segment, first) = self.place(run.offset);
        while self.len <= segment {
            self.push(Segment::Free);
        }
        let pages = self.pages_per_segment();
        self.step(segment, Event::PageTaken(pages));
        match self.get_mut(segment) {
            Some(Segment::Pages(map)) => map.change(first, run.pages, true),
            _ => false,
        }
    }

    /// Frees space to which nothing refers any more.
    pub(super) fn free(&mut self, freed: Freed) {
        match freed {
            Freed::Segment(segment) => {
                self.step(segment, Event::LetGo);
            }
            Freed::Pages(run) => {
                let (segment, first) = self.place(run.offset);
                if let Some(Segment::Pages(map)) = self.get_mut(segment) {
                    map.change(first, run.pages, false);
                    if map.used() == 0 {
                        self.step(segment, Event::PagesGone);
                    }
                }
            }
        }
    }

    /// Whether all pages of the run are taken.
    pub(crate) fn is_taken(&self, run: PageRun) -> bool {
        let (segment, first) = self.place(run.offset);
        match self.get(segment) {
            Some(Segment::Pages(map)) if run.is_valid(self.geometry) => map.has(first, run.pages, true),
            _ => false,
        }
    }

    /// Whether none of the run's pages is taken, and its segment is free or holds pages.
    pub(super) fn is_free(&self, run: PageRun) -> bool {
        let (segment, first) = self.place(run.offset);
        match self.get(segment) {
            Some(Segment::Free) => true,
            Some(Segment::Pages(map)) => map.has(first, run.pages, false),
            _ => false,
        }
    }

    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// How many chunks it shares with `other`.
    #[cfg(test)]
    pub(super) fn shared_with(&self, other: &Self) -> usize {
        self.chunks.iter().zip(&other.chunks).filter(|(ours, theirs)| Arc::ptr_eq(ours, theirs)).count()
    }

    /// The runs of pages of a segment with this `map` that are taken, or free if `taken` is false.
    pub(super) fn runs(&self, segment: u32, map: &PageMap, taken: bool) -> impl Iterator<Item = PageRun> {
        map.runs(taken).map(move |(first, count)| self.run(segment, first, count))
    }
}
