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
    /// Set before a bulk load writes a quad with the term to a run. It writes no record.
    pub(crate) used: AtomicBool,
    /// Set once a checkpoint contains the term. From then on it is read from there.
    pub(crate) archived: AtomicBool,
}

impl Entry {
    pub(crate) fn new(kind: Kind, bytes: &[u8], is_persisted: bool) -> Self {
        let flag = AtomicBool::new;
        let persisted = flag(is_persisted);
        Self { kind, bytes: bytes.into(), persisted, used: flag(false), archived: flag(false) }
    }
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
    const PAGE: u64 = 1024;
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

    /// The ids of the terms for which `is_wanted` returns true, by ascending number.
    pub(crate) fn ids(&self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<TermId> {
        let mut ids = Vec::new();
        self.for_each_page(|first, page| {
            let Some(page) = &*page.load() else { return };
            for (slot, entry) in page.iter().enumerate() {
                if let Some(entry) = entry.get().filter(|entry| is_wanted(entry)) {
                    ids.push(TermId::new(entry.kind, first + slot as u64));
                }
            }
        });
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

    fn for_each_page(&self, mut each: impl FnMut(u64, &ArcSwapOption<Page>)) {
        for (bucket, pages) in self.buckets.iter().enumerate() {
            for (place, page) in pages.get().into_iter().flatten().enumerate() {
                each(((1 << bucket) - 1 + place as u64) * Self::PAGE, page);
            }
        }
    }
}
