//! The pages of a segment: which are taken, and runs of them.

use crate::format::{BLOCK, DATA_START, Geometry};

/// Which pages of a segment are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageMap {
    /// A bit for each page; nothing where all are taken or none is, as in most segments of a long container.
    words: Vec<u64>,
    pages: u32,
    used: u32,
    /// Where the next search begins.
    next: u32,
}

impl PageMap {
    pub(super) fn new(pages: u32) -> Self {
        Self { words: Vec::new(), pages, used: 0, next: 0 }
    }

    /// That of a segment all of whose pages are taken.
    pub(super) fn full(pages: u32) -> Self {
        Self { used: pages, ..Self::new(pages) }
    }

    pub(super) fn of_words(words: Vec<u64>, pages: u32) -> Self {
        let used = words.iter().map(|word| word.count_ones()).sum();
        let mut map = Self { words, used, ..Self::new(pages) };
        map.shorten();
        map
    }

    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Behind the last page that is taken.
    pub(crate) fn end(&self) -> u64 {
        let bits = self.words.iter().rposition(|word| *word != 0).map(|at| {
            let word = self.words[at];
            64 * at as u64 + u64::from(u64::BITS - word.leading_zeros())
        });
        bits.unwrap_or(u64::from(self.used))
    }

    pub(super) fn is_full(&self) -> bool {
        self.used == self.pages
    }

    /// One bit for each page.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        let all = if self.is_full() { u64::MAX } else { 0 };
        (0..self.pages.div_ceil(64) as usize).map(move |i| self.words.get(i).copied().unwrap_or(all))
    }

    fn shorten(&mut self) {
        if self.used == 0 || self.is_full() {
            self.words = Vec::new();
        }
    }

    pub(super) fn is_set(&self, page: u32) -> bool {
        self.words.get(page as usize / 64).map_or(self.is_full(), |word| word >> (page % 64) & 1 == 1)
    }

    /// Sets or clears a run of pages; `false` where one of them was so already, or is none of the segment's.
    pub(super) fn change(&mut self, first: u32, count: u32, set: bool) -> bool {
        if self.words.is_empty() {
            self.words = self.words().collect();
        }
        let mut changed = 0;
        for page in first..first.saturating_add(count).min(self.pages) {
            let bit = 1 << (page % 64);
            let word = &mut self.words[page as usize / 64];
            changed += u32::from((*word & bit != 0) != set);
            if set { *word |= bit } else { *word &= !bit }
        }
        self.used = if set { self.used + changed } else { self.used - changed };
        self.shorten();
        changed == count
    }

    fn find(&self, from: u32, count: u32) -> Option<u32> {
        let mut run = 0;
        let mut page = from;
        while page < self.pages {
            if run == 0 && page.is_multiple_of(64) && self.words.get(page as usize / 64) == Some(&u64::MAX) {
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

    /// Runs of pages that are taken, or that are not: the first page and the count of each.
    pub(super) fn runs(&self, taken: bool) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for page in (0..self.pages).filter(|page| self.is_set(*page) == taken) {
            match runs.last_mut() {
                Some((first, count)) if *first + *count == page => *count += 1,
                _ => runs.push((page, 1)),
            }
        }
        runs
    }

    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        if self.pages - self.used < count {
            return None;
        }
        let first = self.find(self.next, count).or_else(|| self.find(0, count))?;
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
