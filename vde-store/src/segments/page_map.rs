//! The pages of a segment: which are taken, and runs of them.

use crate::format::{BLOCK, DATA_START, Geometry};

/// Which pages of a segment are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageMap {
    pub(super) words: Vec<u64>,
    pub(super) used: u32,
    /// Where the next search begins.
    next: u32,
}

impl PageMap {
    pub(super) fn new(pages: u32) -> Self {
        Self { words: vec![0; pages.div_ceil(64) as usize], used: 0, next: 0 }
    }

    pub(super) fn is_set(&self, page: u32) -> bool {
        self.words[page as usize / 64] >> (page % 64) & 1 == 1
    }

    /// Sets or clears a run of pages; `false` where one of them was so already.
    pub(super) fn change(&mut self, first: u32, count: u32, set: bool) -> bool {
        let fresh = (first..first + count).all(|page| self.is_set(page) != set);
        for page in first..first + count {
            let bit = 1 << (page % 64);
            let word = &mut self.words[page as usize / 64];
            if set { *word |= bit } else { *word &= !bit }
        }
        if fresh {
            self.used = if set { self.used + count } else { self.used - count };
        }
        fresh
    }

    fn find(&self, from: u32, count: u32, pages: u32) -> Option<u32> {
        let mut run = 0;
        let mut page = from;
        while page < pages {
            if run == 0 && page.is_multiple_of(64) && self.words[page as usize / 64] == u64::MAX {
                page += 64;
                continue;
            }
            run = if self.is_set(page) { 0 } else { run + 1 };
            page += 1;
            if run == count {
                return Some(page - count);
            }
        }
        None
    }

    /// Runs of pages that are not taken: the first page and the count of each.
    pub(super) fn unused(&self, pages: u32) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for page in (0..pages).filter(|page| !self.is_set(*page)) {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == page => *count += 1,
                _ => runs.push((page, 1)),
            }
        }
        runs
    }

    pub(super) fn take(&mut self, count: u32, pages: u32) -> Option<u32> {
        if pages - self.used < count {
            return None;
        }
        let first = self.find(self.next, count, pages).or_else(|| self.find(0, count, pages))?;
        self.change(first, count, true);
        self.next = first + count;
        Some(first)
    }
}

/// A run of whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PageRun {
    pub(crate) offset: u64,
    pub(crate) pages: u32,
}

impl PageRun {
    pub(crate) fn of(offset: u64, len: u64) -> Self {
        Self { offset, pages: u32::try_from(len.div_ceil(BLOCK)).unwrap_or(u32::MAX) }
    }

    /// Whether `next` continues it in the same segment.
    pub(crate) fn is_followed_by(self, next: Self, geometry: Geometry) -> bool {
        self.offset + u64::from(self.pages) * BLOCK == next.offset
            && geometry.segment_of(self.offset) == geometry.segment_of(next.offset)
    }

    /// Whether it lies in one segment, and only there.
    pub(crate) fn is_valid(self, geometry: Geometry) -> bool {
        let at = self.offset.wrapping_sub(DATA_START);
        let size = u64::from(geometry.segment_size);
        self.offset >= DATA_START
            && at.is_multiple_of(BLOCK)
            && at % size + u64::from(self.pages) * BLOCK <= size
            && u32::try_from(at / size).is_ok()
    }
}
