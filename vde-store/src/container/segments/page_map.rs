//! The pages of a segment: which are taken, and runs of them.

use crate::container::format::{BLOCK, DATA_START, Geometry};

/// Which pages of a segment are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageMap {
    /// A bit for each page. It is empty if all pages are taken or none is, as in most segments of a long container.
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

    /// The map of a segment whose pages are all taken.
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

    /// Whether all of these pages are taken, or none is.
    pub(super) fn has(&self, first: u32, count: u32, taken: bool) -> bool {
        let end = first.saturating_add(count);
        end <= self.pages && self.next_that_is(!taken, first).is_none_or(|other| other >= end)
    }

    /// Takes or frees a run of pages. Returns `false` if a page had that state already, or is outside of the segment.
    pub(super) fn change(&mut self, first: u32, count: u32, set: bool) -> bool {
        let end = first.saturating_add(count).min(self.pages);
        if self.words.is_empty() {
            self.words = self.words().collect();
        }
        let mut changed = 0;
        let mut page = first;
        while page < end {
            let (word, from) = (&mut self.words[page as usize / 64], page % 64);
            let taken = (64 - from).min(end - page);
            let mask = (u64::MAX >> (64 - taken)) << from;
            let before = *word;
            *word = if set { before | mask } else { before & !mask };
            changed += (before ^ *word).count_ones();
            page += taken;
        }
        self.used = if set { self.used + changed } else { self.used - changed };
        self.shorten();
        changed == count
    }

    /// The first page from `page` on that is taken, or free if `taken` is false.
    fn next_that_is(&self, taken: bool, page: u32) -> Option<u32> {
        let flip = if taken { 0 } else { u64::MAX };
        let mut from = page;
        while from < self.pages {
            let word = self.words.get(from as usize / 64).copied();
            let word = word.unwrap_or(if self.is_full() { u64::MAX } else { 0 }) ^ flip;
            let rest = word >> (from % 64);
            if rest != 0 {
                return Some(from + rest.trailing_zeros()).filter(|page| *page < self.pages);
            }
            from = (from / 64 + 1) * 64;
        }
        None
    }

    /// The runs of pages from page `from` on that are taken, or free if `taken` is false: the first page and the
    /// count of each.
    pub(super) fn runs_from(&self, taken: bool, mut from: u32) -> impl Iterator<Item = (u32, u32)> {
        std::iter::from_fn(move || {
            let first = self.next_that_is(taken, from)?;
            from = self.next_that_is(!taken, first).unwrap_or(self.pages);
            Some((first, from - first))
        })
    }

    /// As [`runs_from`](Self::runs_from), from page 0 on.
    pub(super) fn runs(&self, taken: bool) -> impl Iterator<Item = (u32, u32)> {
        self.runs_from(taken, 0)
    }

    /// The length of the longest run of free pages.
    pub(super) fn longest_free(&self) -> u32 {
        self.runs(false).map(|(_, count)| count).max().unwrap_or(0)
    }

    /// Where the last page that is taken ends.
    pub(crate) fn end(&self) -> u32 {
        self.runs(true).last().map_or(0, |(first, count)| first + count)
    }

    /// How many free pages lie after the last taken one.
    pub(super) fn free_at_end(&self) -> u32 {
        self.pages - self.end()
    }

    /// Takes `count` of the free pages after the last taken one.
    pub(super) fn take_at_end(&mut self, count: u32) -> Option<u32> {
        let first = self.end();
        (self.pages - first >= count && self.change(first, count, true)).then_some(first)
    }

    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        if self.pages - self.used < count {
            return None;
        }
        let find = |from| self.runs_from(false, from).find(|(_, free)| *free >= count);
        let (first, _) = find(self.next).or_else(|| find(0))?;
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

    /// Whether it lies within one segment.
    pub(crate) fn is_valid(self, geometry: Geometry) -> bool {
        let at = self.offset.wrapping_sub(DATA_START);
        let size = u64::from(geometry.segment_size);
        self.offset >= DATA_START
            && at.is_multiple_of(BLOCK)
            && at % size + u64::from(self.pages) * BLOCK <= size
            && u32::try_from(at / size).is_ok()
    }
}
