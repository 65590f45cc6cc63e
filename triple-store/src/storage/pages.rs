//! Pages: the values that are read when they are needed. Where they are stored, and which of them are in memory.
//!
//! A page is a [chunk](crate::storage::chunk) of sorted keys or a [block](crate::storage::dictionary::block) of terms.
//! A [`Slot`] stands for one page. The page is read and checked when it is first used. The cache keeps the pages
//! that were used last, up to a number of bytes: it goes round its slots, and drops each page that was not used since
//! it last came by. A reader that uses a page keeps it alive. The pages of a store in memory are never dropped.

use crate::error::{Error, Result};
use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use vde_store::{ReadView, Value, Vde};

/// The first byte of the key of a page.
pub(crate) const PAGE: u8 = b'p';

/// The first byte of the key of a long term.
pub(crate) const LONG: u8 = b'l';

/// A part of a store that is stored as one value, and is read when it is needed. It has at least one item.
pub(crate) trait Page: Send + Sync + Sized + 'static {
    /// By what its items are sorted.
    type Key: Copy + Ord + Send + Sync;

    fn first(&self) -> Self::Key;
    fn last(&self) -> Option<Self::Key>;

    /// The number of items.
    fn len(&self) -> usize;

    /// The bytes that it takes in memory.
    fn memory(&self) -> usize;

    fn encode(&self) -> Vec<u8>;

    /// Reads a page. Unless its items are known to be sound, every one is checked.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] unless [`encode`](Self::encode) could have written it.
    fn decode(bytes: &[u8], known: bool) -> Result<Self>;
}

/// What a store is kept in.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A vde-store. Writes return once they are logged.
    Store(Vde),
    /// A vde-store as it was at one point in time.
    View(ReadView),
}

impl Source {
    /// The vde-store to write to. A view has none.
    pub(crate) fn vde(&self) -> Option<&Vde> {
        match self {
            Self::Store(vde) => Some(vde),
            Self::View(_) => None,
        }
    }

    /// The vde-store as it is now.
    pub(crate) fn view(&self) -> ReadView {
        match self {
            Self::Store(vde) => vde.read_view(),
            Self::View(view) => view.clone(),
        }
    }

    fn value(&self, key: [u8; 9]) -> Result<Option<Value>> {
        Ok(match self {
            Self::Store(vde) => vde.value(key)?,
            Self::View(view) => view.value(key)?,
        })
    }
}

/// The pages of one store.
#[derive(Debug)]
pub(crate) struct Pages {
    /// A store in memory has none.
    source: Option<Source>,
    /// The number of the next page. A number is never used again.
    next: AtomicU64,
    cache: Mutex<Cache>,
    /// The most bytes in the cache.
    most: usize,
    /// The [holds](Hold): for each, the number of the next page when it was taken.
    holds: Mutex<Vec<u64>>,
}

/// While it exists, no page is deleted that was stored after it was taken. A load has one: nothing else refers to its pages.
#[derive(Debug)]
pub(crate) struct Hold {
    pages: Arc<Pages>,
    from: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.pages.holds.lock();
        if let Some(place) = holds.iter().position(|from| *from == self.from) {
            holds.swap_remove(place);
        }
    }
}

/// The stored pages that are in memory. Those at the front have been there for the longest time.
#[derive(Debug, Default)]
struct Cache {
    cached: VecDeque<(Weak<dyn Evict>, usize)>,
    bytes: usize,
}

/// A slot of any kind of page.
trait Evict: fmt::Debug + Send + Sync {
    /// Drops the page, unless it was used since the last call. Returns whether it was dropped.
    fn evict(&self) -> bool;
}

/// The place of one page.
pub(crate) struct Slot<P: Page> {
    pub(crate) first: P::Key,
    items: usize,
    /// The number under which the page is stored.
    number: Option<u64>,
    page: ArcSwapOption<P>,
    /// Whether the page was used since the cache last came by.
    used: AtomicBool,
    /// Whether its items were checked since the store was opened.
    checked: AtomicBool,
}

impl<P: Page> Slot<P> {
    /// The slot of a stored page, which is not read yet.
    pub(crate) fn stored(number: u64, first: P::Key, items: usize) -> Arc<Self> {
        Arc::new(Self::new(first, items, Some(number), false))
    }

    fn new(first: P::Key, items: usize, number: Option<u64>, checked: bool) -> Self {
        let (page, used) = (ArcSwapOption::empty(), AtomicBool::new(false));
        Self { first, items, number, page, used, checked: AtomicBool::new(checked) }
    }

    pub(crate) fn len(&self) -> usize {
        self.items
    }

    pub(crate) fn number(&self) -> Option<u64> {
        self.number
    }
}

impl<P: Page> fmt::Debug for Slot<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("items", &self.items)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl<P: Page> Evict for Slot<P> {
    fn evict(&self) -> bool {
        let unused = !self.used.swap(false, Ordering::Relaxed);
        if unused {
            self.page.store(None);
        }
        unused
    }
}

/// A page in memory. It stays there while it is used.
pub(crate) struct InMemory<P: Page>(Guard<Option<Arc<P>>>);

impl<P: Page> Deref for InMemory<P> {
    type Target = P;

    #[inline]
    fn deref(&self) -> &P {
        self.0.as_deref().expect("it is made with a page")
    }
}

impl Pages {
    /// The pages of a store in memory, or those in a vde-store, of which up to `most` bytes are kept in memory.
    pub(crate) fn new(source: Option<Source>, most: usize) -> Arc<Self> {
        let (cache, holds) = (Mutex::default(), Mutex::default());
        Arc::new(Self { source, next: AtomicU64::new(0), cache, most, holds })
    }

    fn vde(&self) -> Option<&Vde> {
        self.source.as_ref().and_then(Source::vde)
    }

    /// The most bytes of the cache.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// The number of the next page.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Leaves all numbers below `next` to the pages that are stored already.
    pub(crate) fn continue_at(&self, next: u64) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// Keeps all pages that are stored from now on.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        let mut holds = self.holds.lock();
        let from = self.next();
        holds.push(from);
        Hold { pages: Arc::clone(self), from }
    }

    /// The first page that must not be deleted although nothing refers to it.
    pub(crate) fn held(&self) -> u64 {
        let holds = self.holds.lock();
        // What is stored while the caller looks for pages may belong to a load that has just begun.
        holds.iter().copied().fold(self.next(), u64::min)
    }

    /// Stores a page. Nothing on disk refers to it before the next manifest does.
    pub(crate) fn keep<P: Page>(&self, page: P) -> Result<Arc<Slot<P>>> {
        let number = match self.vde() {
            Some(vde) => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                vde.put(page_key(number), page.encode())?;
                Some(number)
            }
            None => None,
        };
        let slot = Arc::new(Slot::new(page.first(), page.len(), number, true));
        if number.is_some() {
            self.cache(&slot, Arc::new(page));
        } else {
            slot.page.store(Some(Arc::new(page)));
        }
        Ok(slot)
    }

    /// The page of a slot. All its items are before `end`, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] or [`Error::Corrupt`] if it can't be read.
    #[inline]
    pub(crate) fn get<P: Page>(&self, slot: &Arc<Slot<P>>, end: Option<P::Key>) -> Result<InMemory<P>> {
        let page = slot.page.load();
        if page.is_some() {
            // Reading first spares the other readers of the page a write to shared memory.
            if !slot.used.load(Ordering::Relaxed) {
                slot.used.store(true, Ordering::Relaxed);
            }
            return Ok(InMemory(page));
        }
        self.read(slot, end)
    }

    #[cold]
    fn read<P: Page>(&self, slot: &Arc<Slot<P>>, end: Option<P::Key>) -> Result<InMemory<P>> {
        let wrong = |what| Error::Corrupt(format!("page {:?} {what}", slot.number));
        let (Some(source), Some(number)) = (&self.source, slot.number) else {
            return Err(wrong("is nowhere"));
        };
        let bytes = source.value(page_key(number))?.ok_or_else(|| wrong("is missing"))?;
        let page = P::decode(&bytes, slot.checked.load(Ordering::Relaxed))?;
        if page.first() != slot.first || page.len() != slot.items {
            return Err(wrong("is another one"));
        }
        if end.is_some_and(|end| page.last() >= Some(end)) {
            return Err(wrong("overlaps the next one"));
        }
        slot.checked.store(true, Ordering::Relaxed);
        let page = Arc::new(page);
        self.cache(slot, Arc::clone(&page));
        Ok(InMemory(Guard::from_inner(Some(page))))
    }

    /// Puts a page into the cache, and drops others if it is full.
    fn cache<P: Page>(&self, slot: &Arc<Slot<P>>, page: Arc<P>) {
        let mut cache = self.cache.lock();
        if slot.page.load().is_some() {
            // Another thread has read it at the same time.
            return;
        }
        let bytes = page.memory();
        slot.page.store(Some(page));
        let weak: Weak<Slot<P>> = Arc::downgrade(slot);
        cache.cached.push_back((weak, bytes));
        cache.bytes += bytes;
        while cache.bytes > self.most
            && let Some((slot, bytes)) = cache.cached.pop_front()
        {
            // A slot that nothing refers to any more is gone already.
            if slot.upgrade().is_none_or(|slot| slot.evict()) {
                cache.bytes -= bytes;
            } else {
                cache.cached.push_back((slot, bytes));
            }
        }
    }

    /// Stores the bytes of a long term.
    pub(crate) fn put_long(&self, number: u64, bytes: &[u8]) -> Result<()> {
        if let Some(vde) = self.vde() {
            vde.put(numbered(LONG, number), bytes)?;
        }
        Ok(())
    }

    /// The stored bytes of a long term. They are in no cache.
    pub(crate) fn long(&self, number: u64) -> Result<Option<Value>> {
        self.source.as_ref().map_or(Ok(None), |source| source.value(numbered(LONG, number)))
    }

    /// The bytes of the cache that are in use.
    #[cfg(test)]
    pub(crate) fn cached(&self) -> usize {
        self.cache.lock().bytes
    }
}

/// The key of a page in the vde-store.
pub(crate) fn page_key(number: u64) -> [u8; 9] {
    numbered(PAGE, number)
}

/// A key of the vde-store that is a letter and a number.
pub(crate) fn numbered(letter: u8, number: u64) -> [u8; 9] {
    let mut key = [letter; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::chunk::{Chunk, Writer};
    use std::thread;
    use vde_store::VdeOptions;

    type Slots = Vec<Arc<Slot<Chunk<[u64; 3]>>>>;

    const SLOTS: u64 = 40;

    fn stored(most: usize) -> (Arc<Pages>, Slots) {
        let pages =
            Pages::new(Some(Source::Store(VdeOptions::new().background(false).in_memory().unwrap())), most);
        let slot = |number: u64| {
            let mut writer = Writer::new(100, 16);
            (0..100).for_each(|n| writer.push([number, n, n]));
            pages.keep(writer.finish().remove(0)).unwrap()
        };
        let slots = (0..SLOTS).map(slot).collect();
        (pages, slots)
    }

    #[test]
    fn pages_are_read_again_and_the_cache_is_bounded() {
        let one = {
            let (pages, slots) = stored(usize::MAX);
            assert!(slots.iter().all(|slot| slot.page.load().is_some()));
            pages.cached() / slots.len()
        };
        for fitting in [0, 1, 3, 17] {
            let (pages, slots) = stored(fitting * one);
            thread::scope(|scope| {
                for thread in 0..4 {
                    let (pages, slots) = (&pages, &slots);
                    scope.spawn(move || {
                        for n in 0..2000 {
                            let number = (n * 7 + thread * 11) % SLOTS as usize;
                            let chunk = pages.get(&slots[number], None).unwrap();
                            assert!(chunk.keys().all(|[first, ..]| first == number as u64));
                            assert!(pages.cached() <= fitting * one);
                        }
                    });
                }
            });
            let in_memory = slots.iter().filter(|slot| slot.page.load().is_some()).count();
            assert!(in_memory <= fitting, "{in_memory} of {fitting}");
        }
    }

    #[test]
    fn what_is_used_stays() {
        let one = {
            let (pages, slots) = stored(usize::MAX);
            pages.cached() / slots.len()
        };
        let (pages, slots) = stored(4 * one);
        for slot in &slots {
            pages.get(&slots[0], None).unwrap();
            pages.get(slot, None).unwrap();
        }
        assert!(slots[0].page.load().is_some(), "it was used all the time");
    }

    #[test]
    fn the_chunk_must_be_the_one_that_the_manifest_describes() {
        let (pages, slots) = stored(0);
        let number = slots[3].number.unwrap();
        let refused =
            |slot: &Arc<Slot<Chunk<[u64; 3]>>>, end| matches!(pages.get(slot, end), Err(Error::Corrupt(_)));
        assert!(!refused(&Slot::stored(number, [3, 0, 0], 100), Some([3, 99, 100])));
        assert!(refused(&Slot::stored(number, [3, 0, 0], 100), Some([3, 99, 99])), "it overlaps");
        assert!(refused(&Slot::stored(number, [3, 0, 0], 99), None), "it is too long");
        assert!(refused(&Slot::stored(number, [3, 0, 1], 100), None), "it begins elsewhere");
        assert!(refused(&Slot::stored(number + SLOTS, [3, 0, 0], 100), None), "it is missing");
    }
}
