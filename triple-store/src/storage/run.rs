//! The run: the quads that a checkpoint has merged. It is immutable and sorted in every order.
//!
//! An order is a sequence of [chunks](crate::storage::chunk). A merge rewrites the chunks whose keys change, and shares
//! the others with the previous run, in memory and on disk.

use crate::error::Result;
use crate::parallel;
use crate::storage::chunk::{CHUNK_KEYS, Writer};
use crate::storage::chunks::{Chunks, InMemory, Slot};
use crate::storage::fanouts::Fanouts;
use crate::terms::pattern::Range;
use crate::terms::quad::GRAPH_FIRST;
use crate::terms::quad::{EncodedQuad, Key, QuadKey};
use std::collections::BTreeSet;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::thread;

/// The merged quads of a store.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) triples: Sorted<[u64; 3]>,
    pub(crate) named: Sorted<[u64; 4]>,
    pub(crate) fanouts: Fanouts,
}

impl Run {
    pub(crate) fn empty(chunks: &Arc<Chunks>) -> Self {
        Self::new(Sorted::empty(chunks), Sorted::empty(chunks))
    }

    /// A run of the same store without quads.
    pub(crate) fn emptied(&self) -> Self {
        Self::empty(&self.triples.orders[0].chunks)
    }

    pub(crate) fn new(triples: Sorted<[u64; 3]>, named: Sorted<[u64; 4]>) -> Self {
        Self { triples, named, fanouts: Fanouts::default() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.triples.len() + self.named.len()
    }

    pub(crate) fn contains(&self, quad: EncodedQuad) -> Result<bool> {
        match quad.key() {
            QuadKey::Triple(key) => self.triples.contains(key),
            QuadKey::Named(key) => self.named.contains(key),
        }
    }

    /// Adds the named graphs that have a quad in this run. The search skips from one graph to the next, so it takes
    /// O(graphs).
    pub(crate) fn graphs(&self, graphs: &mut BTreeSet<u64>) -> Result<()> {
        let order = &self.named.orders[GRAPH_FIRST];
        let everything = Range::everything(GRAPH_FIRST);
        let (mut from, mut last) = (Bound::Included([0; 4]), None);
        while order.rows(&everything, from, 1, |[graph, ..]| last = Some(graph))?.is_some() {
            let Some(graph) = last else { break };
            graphs.insert(graph);
            from = Bound::Excluded([graph, u64::MAX, u64::MAX, u64::MAX]);
        }
        Ok(())
    }

    pub(crate) fn verify(&self, problem: &mut impl FnMut(String)) {
        self.triples.verify(problem);
        self.named.verify(problem);
    }

    /// The numbers of the stored chunks.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.triples.numbers().chain(self.named.numbers())
    }

    /// This run with changes applied. Added quads must not be in it, and removed quads must be. Both are sorted, and
    /// are consumed. New blocks have `block_keys` keys. New chunks are stored, and are in memory only as far as the cache
    /// reaches.
    pub(crate) fn merged(
        &self,
        added: Vec<EncodedQuad>,
        removed: Vec<EncodedQuad>,
        block_keys: usize,
    ) -> Result<Self> {
        let (added, removed) = (Keys::of(added), Keys::of(removed));
        Ok(Self::new(
            self.triples.merged(added.triples, removed.triples, block_keys)?,
            self.named.merged(added.named, removed.named, block_keys)?,
        ))
    }
}

/// Quads as their keys, by width.
struct Keys {
    triples: Vec<[u64; 3]>,
    named: Vec<[u64; 4]>,
}

impl Keys {
    fn of(quads: Vec<EncodedQuad>) -> Self {
        let named = |quad: &EncodedQuad| match quad.key() {
            QuadKey::Named(key) => Some(key),
            QuadKey::Triple(_) => None,
        };
        let triple = |quad: EncodedQuad| match quad.key() {
            QuadKey::Triple(key) => Some(key),
            QuadKey::Named(_) => None,
        };
        // The triples overwrite the quads, because a bulk load needs all the memory.
        Self {
            named: quads.iter().filter_map(named).collect(),
            triples: quads.into_iter().filter_map(triple).collect(),
        }
    }
}

/// The key types of runs.
pub(crate) trait Stored: Key {
    fn sorted(run: &Run) -> &Sorted<Self>;
}

impl Stored for [u64; 3] {
    fn sorted(run: &Run) -> &Sorted<Self> {
        &run.triples
    }
}

impl Stored for [u64; 4] {
    fn sorted(run: &Run) -> &Sorted<Self> {
        &run.named
    }
}

/// The keys of a run with one width, in every order.
#[derive(Debug)]
pub(crate) struct Sorted<K> {
    pub(crate) orders: Vec<Order<K>>,
}

impl<K: Key> Sorted<K> {
    fn empty(chunks: &Arc<Chunks>) -> Self {
        Self { orders: K::ORDERS.iter().map(|_| Order::new(Vec::new(), chunks)).collect() }
    }

    fn len(&self) -> u64 {
        self.orders[0].len()
    }

    fn contains(&self, key: K) -> Result<bool> {
        self.orders[0].holds(key)
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        self.orders.iter().flat_map(|order| &order.slots).filter_map(|slot| slot.number())
    }

    fn verify(&self, problem: &mut impl FnMut(String)) {
        for (number, order) in self.orders.iter().enumerate() {
            if order.len() != self.len() {
                problem(format!(
                    "order {number} of the run has {} quads, order 0 has {}",
                    order.len(),
                    self.len()
                ));
            }
            let mut last = None;
            for chunk in 0..order.slots.len() {
                let verified = order.chunk(chunk).and_then(|chunk| {
                    for key in chunk.keys() {
                        if last.replace(key).is_some_and(|last| last >= key) {
                            problem(format!("order {number} of the run is not sorted"));
                        }
                        let key = key.restore(number);
                        if number > 0 && !self.contains(key)? {
                            problem(format!("order 0 of the run lacks {:?}", key.to_quad()));
                        }
                    }
                    Ok(())
                });
                if let Err(error) = verified {
                    problem(error.to_string());
                }
            }
        }
    }

    fn merged(&self, mut added: Vec<K>, mut removed: Vec<K>, block_keys: usize) -> Result<Self> {
        let merge = |(number, order): (usize, &Order<K>)| {
            // The keys are rearranged in place from one order to the next, so all orders together take the memory of
            // one.
            if number > 0 {
                for keys in [&mut added, &mut removed] {
                    for key in keys.iter_mut() {
                        *key = key.restore(number - 1).arrange(number);
                    }
                    sort(keys);
                }
            }
            order.merged(&added, &removed, block_keys)
        };
        Ok(Self { orders: self.orders.iter().enumerate().map(merge).collect::<Result<_>>()? })
    }
}

/// The keys of one order, with their columns in its sequence.
#[derive(Clone, Debug)]
pub(crate) struct Order<K> {
    pub(crate) slots: Vec<Arc<Slot<K>>>,
    /// The first key of each chunk, in one array for the search.
    firsts: Vec<K>,
    /// For each chunk, how many keys come before it.
    before: Vec<u64>,
    chunks: Arc<Chunks>,
}

impl<K: Key> Order<K> {
    pub(crate) fn new(slots: Vec<Arc<Slot<K>>>, chunks: &Arc<Chunks>) -> Self {
        let mut keys = 0;
        let before = |slot: &Arc<Slot<K>>| {
            let before = keys;
            keys += slot.len() as u64;
            before
        };
        let before = slots.iter().map(before).collect();
        let firsts = slots.iter().map(|slot| slot.first).collect();
        Self { firsts, before, slots, chunks: Arc::clone(chunks) }
    }

    pub(crate) fn len(&self) -> u64 {
        self.slots.last().zip(self.before.last()).map_or(0, |(slot, before)| before + slot.len() as u64)
    }

    /// The chunk with this number, which is read if it is not in memory.
    #[inline]
    fn chunk(&self, number: usize) -> Result<InMemory<K>> {
        self.chunks.get(&self.slots[number], self.firsts.get(number + 1).copied())
    }

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
        let mut visit = |key| {
            if key > range.high {
                return ControlFlow::Break(());
            }
            if range.accepts(&key) && Some(key) != excluded {
                row(key);
                left -= 1;
                if left == 0 {
                    next = Some(Bound::Excluded(key));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        let first = self.chunk_of(low);
        for number in first..self.slots.len() {
            // What begins after the range need not be read.
            if number > first && self.firsts[number] > range.high {
                break;
            }
            if self.chunk(number)?.visit_from(low, &mut visit).is_break() {
                break;
            }
        }
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

    fn holds(&self, key: K) -> Result<bool> {
        let mut found = false;
        self.rows(&Range::exactly(key), Bound::Included(key), 1, |_| found = true)?;
        Ok(found)
    }

    /// The last chunk that begins at the key or before it.
    fn chunk_of(&self, key: K) -> usize {
        self.firsts.partition_point(|first| *first <= key).saturating_sub(1)
    }

    /// This order with the sorted keys `added`, which are not in it, and without the sorted keys `removed`, which are
    /// in it.
    fn merged<'a>(&'a self, mut added: &'a [K], mut removed: &'a [K], block_keys: usize) -> Result<Self> {
        let (mut old, mut stretches) = (0, Vec::new());
        while old < self.slots.len() || !added.is_empty() {
            stretches.push(Stretch::take(self, &mut old, &mut added, &mut removed));
        }
        let rewrite = |stretch: &Stretch<'_, K>| stretch.rewrite(block_keys);
        let rewritten = parallel::map(&stretches, rewrite).into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Self::new(rewritten.into_iter().flatten().collect(), &self.chunks))
    }
}

/// Chunks of an order that are written together, with the changes in their range.
struct Stretch<'a, K> {
    order: &'a Order<K>,
    chunks: std::ops::Range<usize>,
    added: &'a [K],
    removed: &'a [K],
    /// The number of keys after the change.
    keys: usize,
}

/// The number of keys in a stretch of only new keys. A thread writes one stretch at a time.
const NEW_KEYS: usize = 16 * CHUNK_KEYS;

impl<'a, K: Key> Stretch<'a, K> {
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
    fn rewrite(&self, block_keys: usize) -> Result<Vec<Arc<Slot<K>>>> {
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
                // The key exists already only if damage has made the orders differ.
                _ = added.next_if_eq(&key);
                if removed.next_if_eq(&&key).is_none() {
                    writer.push(key);
                }
            }
        }
        added.for_each(|added| writer.push(added));
        writer.finish().into_iter().map(|chunk| self.order.chunks.keep(chunk)).collect()
    }
}

/// From this number of keys on, two threads sort faster than one.
const PARALLEL: usize = 1 << 15;

/// Sorts keys on all cores, in place.
fn sort<K: Key>(keys: &mut [K]) {
    fn sort_with<K: Key>(threads: usize, keys: &mut [K]) {
        if threads < 2 || keys.len() < PARALLEL {
            return keys.sort_unstable();
        }
        let (left, _, right) = keys.select_nth_unstable(keys.len() / 2);
        thread::scope(|scope| {
            scope.spawn(|| sort_with(threads / 2, left));
            sort_with(threads - threads / 2, right);
        });
    }
    sort_with(parallel::threads(), keys);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::chunk::tests::keys;

    fn empty() -> Order<[u64; 3]> {
        Order::new(Vec::new(), &Chunks::new(None, 0))
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
    fn a_merge_is_the_run_with_the_changes() {
        let (before, after) = (keys(30_000), keys(40_000));
        let removed: BTreeSet<_> = before.iter().step_by(3).copied().collect();
        let quads = |keys: &BTreeSet<[u64; 3]>| keys.iter().map(|key| key.to_quad()).collect::<Vec<_>>();
        let base = Run::empty(&Chunks::new(None, 0)).merged(quads(&before), Vec::new(), 128).unwrap();
        let merged = base.merged(quads(&(&after - &before)), quads(&removed), 64).unwrap();
        let expected: BTreeSet<_> = after.difference(&removed).copied().collect();
        for (number, order) in merged.triples.orders.iter().enumerate() {
            let mut arranged: Vec<_> = expected.iter().map(|key| key.arrange(number)).collect();
            arranged.sort_unstable();
            let mut found = Vec::new();
            order
                .rows(&Range::everything(number), Bound::Included([0; 3]), usize::MAX, |key| found.push(key))
                .unwrap();
            assert_eq!(found, arranged);
        }
        assert!(expected.iter().all(|key| merged.contains(key.to_quad()).unwrap()));
        assert!(removed.iter().all(|key| !merged.contains(key.to_quad()).unwrap()));
        assert_eq!(merged.len(), expected.len() as u64);
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
