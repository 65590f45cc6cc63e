//! Sorted keys in [chunks](crate::storage::chunk). A merge rewrites the chunks whose keys change, and shares the others
//! with the previous order, in memory and on disk.

use crate::error::Result;
use crate::parallel;
use crate::storage::chunk::{CHUNK_KEYS, Chunk, Writer};
use crate::storage::pages::{InMemory, Pages, Slot};
use crate::terms::pattern::Range;
use crate::terms::quad::{Columns, Key};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::thread;

/// The keys of one order, with their columns in its sequence.
#[derive(Clone, Debug)]
pub(crate) struct Order<K: Columns> {
    pub(crate) slots: Vec<Arc<Slot<Chunk<K>>>>,
    /// The first key of each chunk, in one array for the search.
    firsts: Vec<K>,
    /// For each chunk, how many keys come before it.
    before: Vec<u64>,
    pub(crate) pages: Arc<Pages>,
}

impl<K: Columns> Order<K> {
    pub(crate) fn new(slots: Vec<Arc<Slot<Chunk<K>>>>, pages: &Arc<Pages>) -> Self {
        let mut keys = 0;
        let before = |slot: &Arc<Slot<Chunk<K>>>| {
            let before = keys;
            keys += slot.len() as u64;
            before
        };
        let before = slots.iter().map(before).collect();
        let firsts = slots.iter().map(|slot| slot.first).collect();
        Self { firsts, before, slots, pages: Arc::clone(pages) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.slots.last().zip(self.before.last()).map_or(0, |(slot, before)| before + slot.len() as u64)
    }

    /// The chunk with this number, which is read if it is not in memory.
    #[inline]
    pub(crate) fn chunk(&self, number: usize) -> Result<InMemory<Chunk<K>>> {
        self.pages.get(&self.slots[number], self.firsts.get(number + 1).copied())
    }

    /// Calls `visit` with the keys from `low` to `high`, until it breaks.
    #[inline]
    pub(crate) fn visit(&self, low: K, high: K, mut visit: impl FnMut(K) -> ControlFlow<()>) -> Result<()> {
        let mut within = |key| if key > high { ControlFlow::Break(()) } else { visit(key) };
        let first = self.chunk_of(low);
        for number in first..self.slots.len() {
            // What begins after the range need not be read.
            if number > first && self.firsts[number] > high {
                break;
            }
            if self.chunk(number)?.visit_from(low, &mut within).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The number of keys before this one. Decodes one block.
    pub(crate) fn rank(&self, key: K) -> Result<u64> {
        self.count_while(key, |other| *other < key)
    }

    /// The number of keys for which `is_before` holds. It must hold for all keys before `key` and for none after it.
    fn count_while(&self, key: K, is_before: impl Fn(&K) -> bool) -> Result<u64> {
        let number = self.chunk_of(key);
        match self.before.get(number) {
            Some(before) => Ok(before + self.chunk(number)?.count_while(key, is_before) as u64),
            None => Ok(0),
        }
    }

    /// The key with `rank` keys before it.
    pub(crate) fn key_at(&self, rank: u64) -> Result<Option<K>> {
        match self.before.partition_point(|before| *before <= rank).checked_sub(1) {
            Some(number) => Ok(self.chunk(number)?.key_at((rank - self.before[number]) as usize)),
            None => Ok(None),
        }
    }

    /// The last chunk that begins at the key or before it.
    fn chunk_of(&self, key: K) -> usize {
        self.firsts.partition_point(|first| *first <= key).saturating_sub(1)
    }

    /// This order with the sorted keys `added`, of which some may be in it already, and without the sorted keys `removed`,
    /// which are in it.
    pub(crate) fn merged<'a>(
        &'a self,
        mut added: &'a [K],
        mut removed: &'a [K],
        block_keys: usize,
    ) -> Result<Self> {
        let (mut old, mut stretches) = (0, Vec::new());
        while old < self.slots.len() || !added.is_empty() {
            stretches.push(Stretch::take(self, &mut old, &mut added, &mut removed));
        }
        let rewrite = |stretch: &Stretch<'_, K>| stretch.rewrite(block_keys);
        let rewritten = parallel::map(&stretches, rewrite).into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Self::new(rewritten.into_iter().flatten().collect(), &self.pages))
    }
}

impl<K: Key> Order<K> {
    /// Calls `row` with up to `limit` keys of the range, from the bound on. Returns where to continue, or `None` at the
    /// end.
    #[inline]
    pub(crate) fn rows(
        &self,
        range: &Range<K>,
        from: Bound<K>,
        limit: usize,
        mut row: impl FnMut(K),
    ) -> Result<Option<Bound<K>>> {
        let (Bound::Included(low) | Bound::Excluded(low)) = from else { return Ok(None) };
        let excluded = matches!(from, Bound::Excluded(_)).then_some(low);
        let (mut left, mut next) = (limit, None);
        self.visit(low, range.high, |key| {
            if range.accepts(&key) && Some(key) != excluded {
                row(key);
                left -= 1;
                if left == 0 {
                    next = Some(Bound::Excluded(key));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(next)
    }

    /// The number of keys in the range, including those that its filter rejects. Decodes one or two blocks.
    pub(crate) fn span(&self, range: &Range<K>) -> Result<u64> {
        let number = self.chunk_of(range.low);
        if self.slots.is_empty() {
            return Ok(0);
        }
        if number == self.chunk_of(range.high) {
            return Ok(self.chunk(number)?.span(range.low, range.high) as u64);
        }
        Ok(self.count_while(range.high, |key| *key <= range.high)? - self.rank(range.low)?)
    }

    pub(crate) fn holds(&self, key: K) -> Result<bool> {
        let mut found = false;
        self.rows(&Range::exactly(key), Bound::Included(key), 1, |_| found = true)?;
        Ok(found)
    }
}

/// Chunks of an order that are written together, with the changes in their range.
struct Stretch<'a, K: Columns> {
    order: &'a Order<K>,
    chunks: std::ops::Range<usize>,
    added: &'a [K],
    removed: &'a [K],
    /// The number of keys after the change.
    keys: usize,
}

/// The number of keys in a stretch of only new keys. A thread writes one stretch at a time.
const NEW_KEYS: usize = 16 * CHUNK_KEYS;

impl<'a, K: Columns> Stretch<'a, K> {
    /// Takes one chunk from `old` on, and further ones while too few keys would be left for a chunk.
    fn take(order: &'a Order<K>, old: &mut usize, added: &mut &'a [K], removed: &mut &'a [K]) -> Self {
        let begin = *old;
        if begin == order.slots.len() {
            let pieces = added.len().div_ceil(NEW_KEYS);
            let (here, rest) = added.split_at(added.len().div_ceil(pieces));
            *added = rest;
            return Self { order, chunks: begin..begin, added: here, removed: &[], keys: here.len() };
        }
        let (mut here, mut gone, mut keys) = (0, 0, 0);
        while *old < order.slots.len() {
            keys += order.slots[*old].len();
            *old += 1;
            let end = |keys: &[K]| match order.firsts.get(*old) {
                Some(next) => keys.partition_point(|key| key < next),
                None => keys.len(),
            };
            (here, gone) = (end(added), end(removed));
            let untouched = here + gone == 0 && *old == begin + 1;
            if untouched || (keys + here).saturating_sub(gone) >= CHUNK_KEYS / 2 {
                break;
            }
        }
        let stretch = Self {
            order,
            chunks: begin..*old,
            added: &added[..here],
            removed: &removed[..gone],
            // This is negative only if damage has made the orders differ.
            keys: (keys + here).saturating_sub(gone),
        };
        (*added, *removed) = (&added[here..], &removed[gone..]);
        stretch
    }

    /// The chunks that replace these. It is the same chunk if nothing changes.
    fn rewrite(&self, block_keys: usize) -> Result<Vec<Arc<Slot<Chunk<K>>>>> {
        if self.added.is_empty() && self.removed.is_empty() && self.chunks.len() == 1 {
            return Ok(self.order.slots[self.chunks.clone()].to_vec());
        }
        let mut writer = Writer::new(self.keys, block_keys);
        let mut added = self.added.iter().copied().peekable();
        let mut removed = self.removed.iter().peekable();
        for chunk in self.chunks.clone() {
            for key in self.order.chunk(chunk)?.keys() {
                while let Some(added) = added.next_if(|added| *added < key) {
                    writer.push(added);
                }
                _ = added.next_if_eq(&key);
                if removed.next_if_eq(&&key).is_none() {
                    writer.push(key);
                }
            }
        }
        added.for_each(|added| writer.push(added));
        writer.finish().into_iter().map(|chunk| self.order.pages.keep(chunk)).collect()
    }
}

/// From this number of keys on, two threads sort faster than one.
const PARALLEL: usize = 1 << 15;

/// Sorts keys on all cores, in place.
pub(crate) fn sort<K: Ord + Send>(keys: &mut [K]) {
    fn sort_with<K: Ord + Send>(threads: usize, keys: &mut [K]) {
        if threads < 2 || keys.len() < PARALLEL {
            return keys.sort_unstable();
        }
        let (left, _, right) = keys.select_nth_unstable(keys.len() / 2);
        thread::scope(|scope| {
            scope.spawn(|| sort_with(threads / 2, left));
            sort_with(threads - threads / 2, right);
        });
    }
    if keys.len() < PARALLEL {
        return keys.sort_unstable();
    }
    thread::scope(|scope| {
        scope.spawn(|| {
            parallel::lower_priority();
            sort_with(parallel::threads(), keys);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::chunk::tests::keys;
    use std::collections::BTreeSet;

    fn empty() -> Order<[u64; 3]> {
        Order::new(Vec::new(), &Pages::new(None, 0))
    }

    fn order(keys: &BTreeSet<[u64; 3]>) -> Order<[u64; 3]> {
        let added: Vec<_> = keys.iter().copied().collect();
        empty().merged(&added, &[], 64).unwrap()
    }

    #[test]
    fn ranges_are_those_of_a_set_and_their_spans_are_counted() {
        let keys = keys(50_000);
        let order = order(&keys);
        assert!(order.slots.len() > 2);
        let absent = [[0; 3], [u64::MAX; 3], [7, 7, 7]];
        for key in keys.iter().step_by(97).chain(&absent) {
            for pattern in [[Some(key[0]), None, None], [Some(key[0]), Some(key[1]), None], key.map(Some)] {
                let range = Range::<[u64; 3]>::new(pattern);
                assert_eq!(range.order, 0);
                let (mut found, mut from) = (Vec::new(), Some(Bound::Included(range.low)));
                while let Some(bound) = from {
                    from = order.rows(&range, bound, 3, |key| found.push(key)).unwrap();
                }
                assert!(found.iter().eq(keys.range(range.low..=range.high)));
                assert_eq!(order.span(&range).unwrap(), found.len() as u64);
                assert_eq!(
                    order.key_at(order.rank(range.low).unwrap()).unwrap(),
                    keys.range(range.low..).next().copied()
                );
            }
        }
        assert_eq!(order.span(&Range::everything(0)).unwrap(), keys.len() as u64);
        assert_eq!(empty().span(&Range::everything(0)).unwrap(), 0);
    }

    #[test]
    fn a_small_change_rewrites_one_chunk_and_small_chunks_are_merged() {
        let keys = keys(200_000);
        let order = order(&keys);
        let shared = |other: &Order<[u64; 3]>| {
            let is_shared = |chunk: &&Arc<Slot<_>>| order.slots.iter().any(|old| Arc::ptr_eq(old, chunk));
            other.slots.iter().filter(is_shared).count()
        };
        let middle = *keys.iter().nth(100_000).unwrap();
        let added = order.merged(&[[middle[0], middle[1], middle[2] + 1]], &[], 64).unwrap();
        assert_eq!((added.len(), shared(&added)), (order.len() + 1, order.slots.len() - 1));

        let emptied: Vec<_> = keys.iter().skip(50_000).take(60_000).copied().collect();
        let removed = order.merged(&[], &emptied, 64).unwrap();
        assert_eq!(removed.len(), order.len() - 60_000);
        assert!(shared(&removed) >= 6);
        assert!(removed.slots.iter().rev().skip(1).all(|chunk| chunk.len() >= CHUNK_KEYS / 2));
        let all: Vec<_> = keys.iter().copied().collect();
        assert!(order.merged(&[], &all, 64).unwrap().slots.is_empty());
    }
}
