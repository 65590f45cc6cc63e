//! The chunks of runs: where they are stored, and which of them are in memory.
//!
//! A [`Slot`] stands for one chunk. The chunk is read and checked when it is first used. The cache keeps the chunks
//! that were used last, up to a number of bytes: it goes round its slots, and drops each chunk that was not used since
//! it last came by. A reader that uses a chunk keeps it alive. The chunks of a store in memory are never dropped.

use crate::error::{Error, Result};
use crate::storage::chunk::Chunk;
use crate::terms::quad::Key;
use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use vde_store::Vde;

/// The first byte of the key of a chunk.
pub(crate) const RUN: u8 = b'r';

/// The chunks of one store.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// Writes return once they are logged. A store in memory has none.
    vde: Option<Vde>,
    /// The number of the next chunk. A number is never used again.
    next: AtomicU64,
    cache: Mutex<Cache>,
    /// The most bytes in the cache.
    most: usize,
}

/// The stored chunks that are in memory. Those at the front have been there for the longest time.
#[derive(Debug, Default)]
struct Cache {
    cached: VecDeque<(Weak<dyn Evict>, usize)>,
    bytes: usize,
}

/// A slot of any width.
trait Evict: fmt::Debug + Send + Sync {
    /// Drops the chunk, unless it was used since the last call. Returns whether it was dropped.
    fn evict(&self) -> bool;
}

/// The place of one chunk of a run.
pub(crate) struct Slot<K> {
    pub(crate) first: K,
    keys: usize,
    /// The number under which the chunk is stored.
    number: Option<u64>,
    chunk: ArcSwapOption<Chunk<K>>,
    /// Whether the chunk was used since the cache last came by.
    used: AtomicBool,
    /// Whether its keys were checked since the store was opened.
    checked: AtomicBool,
}

impl<K: Key> Slot<K> {
    /// The slot of a stored chunk, which is not read yet.
    pub(crate) fn stored(number: u64, first: K, keys: usize) -> Arc<Self> {
        Arc::new(Self::new(first, keys, Some(number), false))
    }

    fn new(first: K, keys: usize, number: Option<u64>, checked: bool) -> Self {
        let (chunk, used) = (ArcSwapOption::empty(), AtomicBool::new(false));
        Self { first, keys, number, chunk, used, checked: AtomicBool::new(checked) }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys
    }

    pub(crate) fn number(&self) -> Option<u64> {
        self.number
    }
}

impl<K> fmt::Debug for Slot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("keys", &self.keys).field("number", &self.number).finish_non_exhaustive()
    }
}

impl<K: Key> Evict for Slot<K> {
    fn evict(&self) -> bool {
        let unused = !self.used.swap(false, Ordering::Relaxed);
        if unused {
            self.chunk.store(None);
        }
        unused
    }
}

/// A chunk in memory. It stays there while it is used.
pub(crate) struct InMemory<K>(Guard<Option<Arc<Chunk<K>>>>);

impl<K> Deref for InMemory<K> {
    type Target = Chunk<K>;

    #[inline]
    fn deref(&self) -> &Chunk<K> {
        self.0.as_deref().expect("it is made with a chunk")
    }
}

impl Chunks {
    /// The chunks of a store in memory, or those in a vde-store, of which up to `most` bytes are kept in memory.
    pub(crate) fn new(vde: Option<Vde>, most: usize) -> Arc<Self> {
        Arc::new(Self { vde, next: AtomicU64::new(0), cache: Mutex::default(), most })
    }

    /// The number of the next chunk.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Leaves all numbers below `next` to the chunks that are stored already.
    pub(crate) fn continue_at(&self, next: u64) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// Stores a chunk. Nothing on disk refers to it before the next manifest does.
    pub(crate) fn keep<K: Key>(&self, chunk: Chunk<K>) -> Result<Arc<Slot<K>>> {
        let number = match &self.vde {
            Some(vde) => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                vde.put(chunk_key(number), chunk.encode())?;
                Some(number)
            }
            None => None,
        };
        let slot = Arc::new(Slot::new(chunk.first(), chunk.len(), number, true));
        if number.is_some() {
            self.cache(&slot, Arc::new(chunk));
        } else {
            slot.chunk.store(Some(Arc::new(chunk)));
        }
        Ok(slot)
    }

    /// The chunk of a slot. All its keys are before `end`, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] or [`Error::Corrupt`] if it can't be read.
    #[inline]
    pub(crate) fn get<K: Key>(&self, slot: &Arc<Slot<K>>, end: Option<K>) -> Result<InMemory<K>> {
        let chunk = slot.chunk.load();
        if chunk.is_some() {
            // Reading first spares the other readers of the chunk a write to shared memory.
            if !slot.used.load(Ordering::Relaxed) {
                slot.used.store(true, Ordering::Relaxed);
            }
            return Ok(InMemory(chunk));
        }
        self.read(slot, end)
    }

    #[cold]
    fn read<K: Key>(&self, slot: &Arc<Slot<K>>, end: Option<K>) -> Result<InMemory<K>> {
        let wrong = |what| Error::Corrupt(format!("chunk {:?} of the run {what}", slot.number));
        let (Some(vde), Some(number)) = (&self.vde, slot.number) else { return Err(wrong("is nowhere")) };
        let bytes = vde.value(chunk_key(number))?.ok_or_else(|| wrong("is missing"))?;
        let chunk = Chunk::<K>::decode(&bytes, slot.checked.load(Ordering::Relaxed))?;
        if chunk.first() != slot.first || chunk.len() != slot.keys {
            return Err(wrong("is another one"));
        }
        if end.is_some_and(|end| chunk.last() >= Some(end)) {
            return Err(wrong("overlaps the next one"));
        }
        slot.checked.store(true, Ordering::Relaxed);
        let chunk = Arc::new(chunk);
        self.cache(slot, Arc::clone(&chunk));
        Ok(InMemory(Guard::from_inner(Some(chunk))))
    }

    /// Puts a chunk into the cache, and drops others if it is full.
    fn cache<K: Key>(&self, slot: &Arc<Slot<K>>, chunk: Arc<Chunk<K>>) {
        let mut cache = self.cache.lock();
        if slot.chunk.load().is_some() {
            // Another thread has read it at the same time.
            return;
        }
        let bytes = chunk.memory();
        slot.chunk.store(Some(chunk));
        let weak: Weak<Slot<K>> = Arc::downgrade(slot);
        cache.cached.push_back((weak, bytes));
        cache.bytes += bytes;
        while cache.bytes > self.most
            && let Some((slot, bytes)) = cache.cached.pop_front()
        {
            // A slot that no run has any more is gone already.
            if slot.upgrade().is_none_or(|slot| slot.evict()) {
                cache.bytes -= bytes;
            } else {
                cache.cached.push_back((slot, bytes));
            }
        }
    }

    /// The bytes of the cache that are in use.
    #[cfg(test)]
    pub(crate) fn cached(&self) -> usize {
        self.cache.lock().bytes
    }
}

/// The key of a chunk in the vde-store.
pub(crate) fn chunk_key(number: u64) -> [u8; 9] {
    let mut key = [RUN; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::chunk::Writer;
    use std::thread;
    use vde_store::VdeOptions;

    type Slots = Vec<Arc<Slot<[u64; 3]>>>;

    const SLOTS: u64 = 40;

    fn stored(most: usize) -> (Arc<Chunks>, Slots) {
        let chunks = Chunks::new(Some(VdeOptions::new().background(false).in_memory().unwrap()), most);
        let slot = |number: u64| {
            let mut writer = Writer::new(100, 16);
            (0..100).for_each(|n| writer.push([number, n, n]));
            chunks.keep(writer.finish().remove(0)).unwrap()
        };
        let slots = (0..SLOTS).map(slot).collect();
        (chunks, slots)
    }

    #[test]
    fn chunks_are_read_again_and_the_cache_is_bounded() {
        let one = {
            let (chunks, slots) = stored(usize::MAX);
            assert!(slots.iter().all(|slot| slot.chunk.load().is_some()));
            chunks.cached() / slots.len()
        };
        for fitting in [0, 1, 3, 17] {
            let (chunks, slots) = stored(fitting * one);
            thread::scope(|scope| {
                for thread in 0..4 {
                    let (chunks, slots) = (&chunks, &slots);
                    scope.spawn(move || {
                        for n in 0..2000 {
                            let number = (n * 7 + thread * 11) % SLOTS as usize;
                            let chunk = chunks.get(&slots[number], None).unwrap();
                            assert!(chunk.keys().all(|[first, ..]| first == number as u64));
                            assert!(chunks.cached() <= fitting * one);
                        }
                    });
                }
            });
            let in_memory = slots.iter().filter(|slot| slot.chunk.load().is_some()).count();
            assert!(in_memory <= fitting, "{in_memory} of {fitting}");
        }
    }

    #[test]
    fn what_is_used_stays() {
        let one = {
            let (chunks, slots) = stored(usize::MAX);
            chunks.cached() / slots.len()
        };
        let (chunks, slots) = stored(4 * one);
        for slot in &slots {
            chunks.get(&slots[0], None).unwrap();
            chunks.get(slot, None).unwrap();
        }
        assert!(slots[0].chunk.load().is_some(), "it was used all the time");
    }

    #[test]
    fn the_chunk_must_be_the_one_that_the_manifest_describes() {
        let (chunks, slots) = stored(0);
        let number = slots[3].number.unwrap();
        let refused =
            |slot: &Arc<Slot<[u64; 3]>>, end| matches!(chunks.get(slot, end), Err(Error::Corrupt(_)));
        assert!(!refused(&Slot::stored(number, [3, 0, 0], 100), Some([3, 99, 100])));
        assert!(refused(&Slot::stored(number, [3, 0, 0], 100), Some([3, 99, 99])), "it overlaps");
        assert!(refused(&Slot::stored(number, [3, 0, 0], 99), None), "it is too long");
        assert!(refused(&Slot::stored(number, [3, 0, 1], 100), None), "it begins elsewhere");
        assert!(refused(&Slot::stored(number + SLOTS, [3, 0, 0], 100), None), "it is missing");
    }
}
