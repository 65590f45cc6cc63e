//! The terms that no checkpoint contains, by number, read without a lock.

use crate::terms::term::{Kind, TermId};
use arc_swap::{ArcSwapOption, Guard};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The most terms. Their numbers are sorted into 2^32 places, so a larger number is a sign of damage.
pub(crate) const MOST_TERMS: u64 = 1 << 32;

/// A term in the dictionary.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) bytes: Box<[u8]>,
    /// Set once a durable record contains the term. Before that, every transaction that uses the term writes it too.
    pub(crate) persisted: AtomicBool,
    /// Set once the archive contains the term. From then on it is read from there.
    pub(crate) archived: AtomicBool,
}

impl Entry {
    pub(crate) fn new(kind: Kind, bytes: &[u8], is_persisted: bool) -> Self {
        let flag = AtomicBool::new;
        Self { kind, bytes: bytes.into(), persisted: flag(is_persisted), archived: flag(false) }
    }
}

/// About how many bytes a term takes in memory: its bytes, the entry, its place in the table of hashes, and what the allocator
/// adds.
pub(crate) fn memory(bytes: &[u8]) -> u64 {
    bytes.len() as u64 + 88
}

/// Terms by number: a vector of pages that grows without moving and is read without a lock. The pages are in
/// buckets. Bucket `b` has `2^b` pages, beginning with page `2^b - 1`. A page goes when a checkpoint contains all its
/// terms.
pub(crate) struct Entries {
    buckets: [OnceLock<Box<[ArcSwapOption<Page>]>>; Self::BUCKETS],
}

type Page = Box<[OnceLock<Entry>]>;

/// A term. Its page stays while it is used.
pub(crate) struct Held {
    page: Guard<Option<Arc<Page>>>,
    slot: usize,
}

impl Deref for Held {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        self.page.as_ref().and_then(|page| page[self.slot].get()).expect("it is made with an entry")
    }
}

impl Entries {
    /// The terms of a page. Unit tests drop pages more often.
    const PAGE: u64 = if cfg!(test) { 16 } else { 1024 };
    const BUCKETS: usize = (MOST_TERMS / Self::PAGE).ilog2() as usize + 1;

    pub(crate) fn new() -> Self {
        Self { buckets: [const { OnceLock::new() }; Self::BUCKETS] }
    }

    /// The bucket, the page in the bucket, and the slot in the page.
    fn place(number: u64) -> (usize, usize, usize) {
        let page = number / Self::PAGE + 1;
        let bucket = page.ilog2();
        (bucket as usize, (page - (1 << bucket)) as usize, (number % Self::PAGE) as usize)
    }

    #[inline]
    pub(crate) fn get(&self, number: u64) -> Option<Held> {
        let (bucket, page, slot) = Self::place(number);
        let page = self.buckets.get(bucket)?.get()?.get(page)?.load();
        page.as_ref()?.get(slot)?.get()?;
        Some(Held { page, slot })
    }

    /// The ids of the terms for which `is_wanted` returns true, by ascending number. If a term that was set meanwhile is
    /// among the terms that were looked at, its parts are too.
    pub(crate) fn ids(&self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<TermId> {
        let mut ids = Vec::new();
        // A part has a lower number than the term, and is set before it. So it is looked at later.
        self.for_each_page(|first, page| {
            let Some(page) = &*page.load() else { return };
            for (slot, entry) in page.iter().enumerate().rev() {
                if let Some(entry) = entry.get().filter(|entry| is_wanted(entry)) {
                    ids.push(TermId::new(entry.kind, first + slot as u64));
                }
            }
        });
        ids.reverse();
        ids
    }

    /// Drops the pages whose terms are all archived. `next` is the number of the next term, and numbers below `floor` are
    /// not assigned any more.
    pub(crate) fn drop_archived(&self, floor: u64, next: u64) {
        self.for_each_page(|first, page| {
            let is_gone = |(slot, entry): (usize, &OnceLock<Entry>)| match entry.get() {
                Some(entry) => entry.archived.load(Ordering::Acquire),
                // Otherwise a thread has taken the number and is about to use it.
                None => first + (slot as u64) < floor,
            };
            let all_gone = |entries: &Arc<Page>| entries.iter().enumerate().all(is_gone);
            if first + Self::PAGE <= next && page.load().as_ref().is_some_and(all_gone) {
                page.store(None);
            }
        });
    }

    /// Drops all terms.
    pub(crate) fn clear(&self) {
        self.for_each_page(|_, page| page.store(None));
    }

    /// Fills a slot. Returns whether it was empty.
    pub(crate) fn set(&self, number: u64, entry: Entry) -> bool {
        assert!(number < MOST_TERMS, "the dictionary holds at most {MOST_TERMS} terms");
        let (bucket, page, slot) = Self::place(number);
        let pages = self.buckets[bucket]
            .get_or_init(|| (0..1usize << bucket).map(|_| ArcSwapOption::empty()).collect());
        let page = &pages[page];
        if page.load().is_none() {
            let empty: Page = (0..Self::PAGE).map(|_| OnceLock::new()).collect();
            page.compare_and_swap(&None::<Arc<Page>>, Some(Arc::new(empty)));
        }
        // A page with a free number is not dropped.
        page.load().as_ref().is_some_and(|page| page[slot].set(entry).is_ok())
    }

    /// The last page comes first.
    fn for_each_page(&self, mut each: impl FnMut(u64, &ArcSwapOption<Page>)) {
        for (bucket, pages) in self.buckets.iter().enumerate().rev() {
            for (place, page) in pages.get().map_or(&[][..], |pages| pages).iter().enumerate().rev() {
                each(((1 << bucket) - 1 + place as u64) * Self::PAGE, page);
            }
        }
    }
}
