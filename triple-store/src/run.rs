//! The run: the quads that a checkpoint has merged, immutable, sorted in every order.
//!
//! An order is a sequence of [chunks](crate::chunk). A merge writes those chunks anew whose keys change, and shares
//! the others with the run before, in memory and on disk.

use crate::chunk::{CHUNK_KEYS, Chunk, Writer};
use crate::count::Fanouts;
use crate::delta::{Change, GRAPH_FIRST};
use crate::pattern::Range;
use crate::quad::{EncodedQuad, Key, QuadKey};
use std::collections::BTreeSet;
use std::ops::Bound;
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
    pub(crate) fn empty() -> Self {
        Self::new(Sorted::empty(), Sorted::empty())
    }

    pub(crate) fn new(triples: Sorted<[u64; 3]>, named: Sorted<[u64; 4]>) -> Self {
        Self { triples, named, fanouts: Fanouts::default() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.triples.len() + self.named.len()
    }

    pub(crate) fn contains(&self, quad: EncodedQuad) -> bool {
        match quad.key() {
            QuadKey::Triple(key) => self.triples.contains(key),
            QuadKey::Named(key) => self.named.contains(key),
        }
    }

    /// Adds the named graphs that hold a quad here. O(graphs): it leaps from one to the next.
    pub(crate) fn graphs(&self, graphs: &mut BTreeSet<u64>) {
        let order = &self.named.orders[GRAPH_FIRST];
        let everything = Range::everything(GRAPH_FIRST);
        let (mut from, mut row) = (Bound::Included([0; 4]), Vec::new());
        while order.rows(&everything, from, 1, &mut row).is_some() {
            let [graph, ..] = row[0];
            graphs.insert(graph);
            from = Bound::Excluded([graph, u64::MAX, u64::MAX, u64::MAX]);
            row.clear();
        }
    }

    pub(crate) fn verify(&self, problem: &mut impl FnMut(String)) {
        self.triples.verify(problem);
        self.named.verify(problem);
    }

    /// This run with changes applied: the quads they add are not in it, those they remove are. New blocks hold
    /// `block_keys` keys.
    pub(crate) fn merged(&self, changes: &[Change], block_keys: usize) -> Self {
        let (mut triples, mut named) = (Vec::new(), Vec::new());
        for change in changes {
            match change.quad.key() {
                QuadKey::Triple(key) => triples.push((key, change.adds)),
                QuadKey::Named(key) => named.push((key, change.adds)),
            }
        }
        Self::new(self.triples.merged(&triples, block_keys), self.named.merged(&named, block_keys))
    }
}

/// The part of a run that has keys of one width, in every order.
#[derive(Debug)]
pub(crate) struct Sorted<K> {
    pub(crate) orders: Vec<Order<K>>,
}

/// Changes that are merged into all orders at once: below, threads cost more than they bring.
const PARALLEL: usize = 1 << 15;

impl<K: Key> Sorted<K> {
    fn empty() -> Self {
        Self { orders: K::ORDERS.iter().map(|_| Order::new(Vec::new())).collect() }
    }

    fn len(&self) -> u64 {
        self.orders[0].len()
    }

    fn contains(&self, key: K) -> bool {
        let mut rows = Vec::new();
        self.orders[0].rows(&Range::exactly(key), Bound::Included(key), 1, &mut rows);
        !rows.is_empty()
    }

    fn verify(&self, problem: &mut impl FnMut(String)) {
        for (number, order) in self.orders.iter().enumerate() {
            if !order.keys().is_sorted_by(|a, b| a < b) {
                problem(format!("order {number} of the run is not sorted"));
            }
            if order.len() != self.len() {
                problem(format!(
                    "order {number} of the run holds {} quads, order 0 {}",
                    order.len(),
                    self.len()
                ));
            }
            if number > 0 {
                for key in order.keys().map(|key| key.restore(number)).filter(|key| !self.contains(*key)) {
                    problem(format!("order 0 of the run lacks {:?}", key.to_quad()));
                }
            }
        }
    }

    fn merged(&self, changes: &[(K, bool)], block_keys: usize) -> Self {
        let merge = |(number, order): (usize, &Order<K>)| {
            let mut changes: Vec<_> =
                changes.iter().map(|(key, adds)| (key.arrange(number), *adds)).collect();
            changes.sort_unstable_by_key(|(key, _)| *key);
            order.merged(&changes, block_keys)
        };
        let orders = self.orders.iter().enumerate();
        if changes.len() < PARALLEL {
            return Self { orders: orders.map(merge).collect() };
        }
        thread::scope(|scope| {
            let threads: Vec<_> = orders.map(|order| scope.spawn(move || merge(order))).collect();
            let joined = threads.into_iter().map(|thread| thread.join().expect("merging does not panic"));
            Self { orders: joined.collect() }
        })
    }
}

/// Keys in one order, arranged as it has them.
#[derive(Clone, Debug)]
pub(crate) struct Order<K> {
    pub(crate) chunks: Vec<Arc<Chunk<K>>>,
    /// Per chunk, how many keys come before it.
    before: Vec<u64>,
}

impl<K: Key> Order<K> {
    pub(crate) fn new(chunks: Vec<Arc<Chunk<K>>>) -> Self {
        let mut keys = 0;
        let before = |chunk: &Arc<Chunk<K>>| {
            let before = keys;
            keys += chunk.len() as u64;
            before
        };
        Self { before: chunks.iter().map(before).collect(), chunks }
    }

    pub(crate) fn len(&self) -> u64 {
        self.chunks.last().zip(self.before.last()).map_or(0, |(chunk, before)| before + chunk.len() as u64)
    }

    /// Appends up to `limit` keys of the range from the bound on; returns where to go on, or `None` at the end.
    pub(crate) fn rows(
        &self,
        range: &Range<K>,
        from: Bound<K>,
        limit: usize,
        rows: &mut Vec<K>,
    ) -> Option<Bound<K>> {
        let (Bound::Included(low) | Bound::Excluded(low)) = from else { return None };
        let end = rows.len() + limit;
        let is_after = |key: &K| match from {
            Bound::Excluded(last) => *key > last,
            _ => *key >= low,
        };
        for chunk in &self.chunks[self.chunk_of(low)..] {
            for key in chunk.keys_around(low) {
                if key > range.high {
                    return None;
                }
                if is_after(&key) && range.accepts(&key) {
                    rows.push(key);
                    if rows.len() == end {
                        return Some(Bound::Excluded(key));
                    }
                }
            }
        }
        None
    }

    /// How many keys the range spans, whether its filter accepts them or not. Decodes two blocks.
    pub(crate) fn span(&self, range: &Range<K>) -> u64 {
        self.rank(range.high) + u64::from(self.holds(range.high)) - self.rank(range.low)
    }

    /// How many keys come before this one. Decodes one block.
    pub(crate) fn rank(&self, key: K) -> u64 {
        let number = self.chunk_of(key);
        self.chunks.get(number).map_or(0, |chunk| self.before[number] + chunk.rank(key) as u64)
    }

    /// The key that so many come before.
    pub(crate) fn key_at(&self, rank: u64) -> Option<K> {
        let number = self.before.partition_point(|before| *before <= rank).checked_sub(1)?;
        self.chunks[number].keys().nth((rank - self.before[number]) as usize)
    }

    fn holds(&self, key: K) -> bool {
        let chunk = self.chunks.get(self.chunk_of(key));
        chunk.is_some_and(|chunk| chunk.keys_around(key).find(|other| *other >= key) == Some(key))
    }

    /// The last chunk that begins at the key or before it.
    fn chunk_of(&self, key: K) -> usize {
        self.chunks.partition_point(|chunk| chunk.first() <= key).saturating_sub(1)
    }

    fn keys(&self) -> impl Iterator<Item = K> {
        self.chunks.iter().flat_map(|chunk| chunk.keys())
    }

    /// This order with changes applied, which are sorted: what it holds of them is removed, the rest added.
    fn merged(&self, mut changes: &[(K, bool)], block_keys: usize) -> Self {
        let (mut old, mut new) = (&*self.chunks, Vec::with_capacity(self.chunks.len()));
        while !old.is_empty() || !changes.is_empty() {
            let stretch = Stretch::next(old, changes);
            let (touched, here);
            (touched, old) = old.split_at(stretch.chunks);
            (here, changes) = changes.split_at(stretch.changes);
            if here.is_empty() && touched.len() == 1 {
                new.extend_from_slice(touched);
            } else {
                new.extend(rewrite(touched, here, Writer::new(stretch.keys, block_keys)).map(Arc::new));
            }
        }
        Self::new(new)
    }
}

/// Chunks at the front of an order that are written together, and the changes at the front that fall there.
#[derive(Default)]
struct Stretch {
    chunks: usize,
    changes: usize,
    /// Keys that there will be.
    keys: usize,
}

impl Stretch {
    /// One chunk, and those after it as long as too few keys would be left for a chunk of their own.
    fn next<K: Key>(old: &[Arc<Chunk<K>>], changes: &[(K, bool)]) -> Self {
        let mut stretch = Self::default();
        loop {
            let from = stretch.changes;
            let here = old.get(stretch.chunks).map_or(0, |chunk| chunk.len());
            stretch.chunks = (stretch.chunks + 1).min(old.len());
            stretch.changes = match old.get(stretch.chunks) {
                Some(next) => from + changes[from..].partition_point(|(key, _)| *key < next.first()),
                None => changes.len(),
            };
            let added = changes[from..stretch.changes].iter().filter(|(_, adds)| *adds).count();
            let removed = stretch.changes - from - added;
            stretch.keys = (stretch.keys + here + added).saturating_sub(removed);
            let untouched = stretch.changes == 0 && stretch.chunks == 1;
            if untouched || stretch.keys >= CHUNK_KEYS / 2 || stretch.chunks == old.len() {
                return stretch;
            }
        }
    }
}

fn rewrite<K: Key>(
    chunks: &[Arc<Chunk<K>>],
    changes: &[(K, bool)],
    mut writer: Writer<K>,
) -> impl Iterator<Item = Chunk<K>> {
    let mut changes = changes.iter().map(|(key, _)| *key).peekable();
    for key in chunks.iter().flat_map(|chunk| chunk.keys()) {
        while let Some(added) = changes.next_if(|change| *change < key) {
            writer.push(added);
        }
        if changes.next_if_eq(&key).is_none() {
            writer.push(key);
        }
    }
    changes.for_each(|added| writer.push(added));
    writer.finish().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::tests::keys;

    fn order(keys: &BTreeSet<[u64; 3]>) -> Order<[u64; 3]> {
        let added: Vec<_> = keys.iter().map(|key| (*key, true)).collect();
        Order::new(Vec::new()).merged(&added, 64)
    }

    #[test]
    fn ranges_are_those_of_a_set_and_their_spans_are_counted() {
        let keys = keys(50_000);
        let order = order(&keys);
        assert!(order.chunks.len() > 2);
        let absent = [[0; 3], [u64::MAX; 3], [7, 7, 7]];
        for key in keys.iter().step_by(97).chain(&absent) {
            for pattern in [[Some(key[0]), None, None], [Some(key[0]), Some(key[1]), None], key.map(Some)] {
                let range = Range::<[u64; 3]>::new(pattern);
                assert_eq!(range.order, 0);
                let (mut found, mut from) = (Vec::new(), Some(Bound::Included(range.low)));
                while let Some(bound) = from {
                    from = order.rows(&range, bound, 3, &mut found);
                }
                assert!(found.iter().eq(keys.range(range.low..=range.high)));
                assert_eq!(order.span(&range), found.len() as u64);
                assert_eq!(order.key_at(order.rank(range.low)), keys.range(range.low..).next().copied());
            }
        }
        assert_eq!(order.span(&Range::everything(0)), keys.len() as u64);
        assert_eq!(Order::<[u64; 3]>::new(Vec::new()).span(&Range::everything(0)), 0);
    }

    #[test]
    fn a_merge_is_the_run_with_the_changes() {
        let (before, after) = (keys(30_000), keys(40_000));
        let removed: BTreeSet<_> = before.iter().step_by(3).copied().collect();
        let change = |(key, adds): (&[u64; 3], bool)| Change { quad: key.to_quad(), adds };
        let added = after.difference(&before).map(|key| (key, true));
        let changes: Vec<_> = added.chain(removed.iter().map(|key| (key, false))).map(change).collect();
        let base =
            Run::empty().merged(&before.iter().map(|key| change((key, true))).collect::<Vec<_>>(), 128);
        let merged = base.merged(&changes, 64);
        let expected: BTreeSet<_> = after.difference(&removed).copied().collect();
        for (number, order) in merged.triples.orders.iter().enumerate() {
            let mut arranged: Vec<_> = expected.iter().map(|key| key.arrange(number)).collect();
            arranged.sort_unstable();
            assert!(order.keys().eq(arranged));
        }
        assert!(expected.iter().all(|key| merged.contains(key.to_quad())));
        assert!(removed.iter().all(|key| !merged.contains(key.to_quad())));
        assert_eq!(merged.len(), expected.len() as u64);
    }

    #[test]
    fn a_small_change_leaves_all_chunks_but_one_and_crumbs_are_swept_up() {
        let keys = keys(200_000);
        let order = order(&keys);
        let shared = |other: &Order<[u64; 3]>| {
            let is_shared = |chunk: &&Arc<Chunk<_>>| order.chunks.iter().any(|old| Arc::ptr_eq(old, chunk));
            other.chunks.iter().filter(is_shared).count()
        };
        let middle = *keys.iter().nth(100_000).unwrap();
        let added = order.merged(&[([middle[0], middle[1], middle[2] + 1], true)], 64);
        assert_eq!((added.len(), shared(&added)), (order.len() + 1, order.chunks.len() - 1));

        let emptied: Vec<_> = keys.iter().skip(50_000).take(60_000).map(|key| (*key, false)).collect();
        let removed = order.merged(&emptied, 64);
        assert_eq!(removed.len(), order.len() - 60_000);
        assert!(shared(&removed) >= 6);
        assert!(removed.chunks.iter().rev().skip(1).all(|chunk| chunk.len() >= CHUNK_KEYS / 2));
        let all: Vec<_> = keys.iter().map(|key| (*key, false)).collect();
        assert!(order.merged(&all, 64).chunks.is_empty());
    }
}
