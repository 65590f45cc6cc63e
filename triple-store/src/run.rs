//! The run: the quads that a checkpoint has merged, immutable, sorted in every order, delta-coded in blocks.
//!
//! ```text
//! block:  the keys between one entry of the index and the next, but for the first, which is the index entry
//! key:    how many leading columns are as in the key before (1 byte), the next column less that of the key
//!         before, then the columns after it, as varints; ids are rotated so that their kind stands in the low bits
//! chunk:  number of keys, number of blocks, then per block: its first key, its length; then the blocks
//! ```
//!
//! A chunk is what is stored as one value. Chunks are checked to the last key when they are read, so that reading
//! a run afterwards cannot fail.

use crate::codec::{put_varint, take, varint};
use crate::delta::{Change, GRAPH_FIRST};
use crate::error::{Error, Result};
use crate::pattern::Range;
use crate::quad::{EncodedQuad, Key, QuadKey};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Keys in a block: a point lookup decodes half of one on average.
const BLOCK_KEYS: usize = 128;

/// Blocks in a chunk: about 100 KiB a value.
const CHUNK_BLOCKS: usize = 128;

/// The merged quads of a store.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) triples: Sorted<[u64; 3]>,
    pub(crate) named: Sorted<[u64; 4]>,
}

impl Run {
    pub(crate) fn empty() -> Self {
        Self { triples: Sorted::empty(), named: Sorted::empty() }
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

    /// This run with changes applied: the quads they add are not in it, those they remove are.
    pub(crate) fn merged(&self, changes: &[Change]) -> Self {
        let (mut triples, mut named) = (Vec::new(), Vec::new());
        for change in changes {
            match change.quad.key() {
                QuadKey::Triple(key) => triples.push((key, change.adds)),
                QuadKey::Named(key) => named.push((key, change.adds)),
            }
        }
        Self { triples: self.triples.merged(&triples), named: self.named.merged(&named) }
    }
}

/// The part of a run that has keys of one width, in every order.
#[derive(Debug)]
pub(crate) struct Sorted<K> {
    pub(crate) orders: Vec<Order<K>>,
}

impl<K: Key> Sorted<K> {
    fn empty() -> Self {
        Self { orders: K::ORDERS.iter().map(|_| Order { chunks: Vec::new() }).collect() }
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

    fn merged(&self, changes: &[(K, bool)]) -> Self {
        if changes.is_empty() {
            return Self { orders: self.orders.clone() };
        }
        let merge = |(number, order): (usize, &Order<K>)| {
            let mut changes: Vec<_> =
                changes.iter().map(|(key, adds)| (key.arrange(number), *adds)).collect();
            changes.sort_unstable_by_key(|(key, _)| *key);
            order.merged(&changes)
        };
        Self { orders: self.orders.iter().enumerate().map(merge).collect() }
    }
}

/// Keys in one order, arranged as it has them.
#[derive(Clone, Debug)]
pub(crate) struct Order<K> {
    pub(crate) chunks: Vec<Arc<Chunk<K>>>,
}

/// Some thousand successive keys.
#[derive(Debug)]
pub(crate) struct Chunk<K> {
    keys: u64,
    /// The first key of each block, and where the block begins.
    index: Vec<(K, u32)>,
    blocks: Vec<u8>,
}

impl<K: Key> Order<K> {
    pub(crate) fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.keys).sum()
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
        let first_chunk = self.chunks.partition_point(|chunk| chunk.first() <= low).saturating_sub(1);
        for (number, chunk) in self.chunks.iter().enumerate().skip(first_chunk) {
            let block = if number == first_chunk { chunk.block_of(low) } else { 0 };
            for key in (block..chunk.index.len()).flat_map(|block| chunk.block(block)) {
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

    fn keys(&self) -> impl Iterator<Item = K> {
        self.chunks.iter().flat_map(|chunk| (0..chunk.index.len()).flat_map(|block| chunk.block(block)))
    }

    fn merged(&self, changes: &[(K, bool)]) -> Self {
        let mut writer = Writer::default();
        let mut changes = changes.iter().peekable();
        for key in self.keys() {
            while let Some((added, _)) = changes.next_if(|(change, _)| *change < key) {
                writer.push(*added);
            }
            // A change of a key that is there removes it.
            if changes.next_if(|(change, _)| *change == key).is_none() {
                writer.push(key);
            }
        }
        changes.for_each(|(added, _)| writer.push(*added));
        writer.finish()
    }
}

impl<K: Key> Chunk<K> {
    fn first(&self) -> K {
        self.index[0].0
    }

    /// The last block that begins at the key or before it.
    fn block_of(&self, key: K) -> usize {
        self.index.partition_point(|(first, _)| *first <= key).saturating_sub(1)
    }

    fn block(&self, block: usize) -> Block<'_, K> {
        let (first, start) = self.index[block];
        let end = self.index.get(block + 1).map_or(self.blocks.len(), |(_, start)| *start as usize);
        Block { next: Some(first), bytes: &self.blocks[start as usize..end] }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.blocks.len() + 20 * self.index.len() + 20);
        put_varint(&mut bytes, self.keys);
        put_varint(&mut bytes, self.index.len() as u64);
        for (block, (first, start)) in self.index.iter().enumerate() {
            first.columns().iter().for_each(|column| put_varint(&mut bytes, column.rotate_left(4)));
            let end = self.index.get(block + 1).map_or(self.blocks.len(), |(_, start)| *start as usize);
            put_varint(&mut bytes, (end - *start as usize) as u64);
        }
        bytes.extend_from_slice(&self.blocks);
        bytes
    }

    /// Reads a chunk, and every key in it.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] unless [`encode`](Self::encode) could have written it.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self> {
        Self::decode_checked(&mut bytes)
            .ok_or_else(|| Error::Corrupt("a chunk of a run can't be read".into()))
    }

    fn decode_checked(bytes: &mut &[u8]) -> Option<Self> {
        let keys = varint(bytes)?;
        let blocks = varint(bytes)?;
        let mut index = Vec::with_capacity((blocks as usize).min(bytes.len()));
        let mut start = 0u32;
        for _ in 0..blocks {
            let mut first = K::MIN;
            for column in first.columns_mut() {
                *column = varint(bytes)?.rotate_right(4);
            }
            index.push((first, start));
            start = start.checked_add(u32::try_from(varint(bytes)?).ok()?)?;
        }
        let blocks = take(bytes, u64::from(start))?.to_vec();
        let chunk = Self { keys, index, blocks };
        let mut found = 0;
        let mut last = None;
        for block in 0..chunk.index.len() {
            let mut block = chunk.block(block);
            for key in &mut block {
                if last.is_some_and(|last| last >= key) {
                    return None;
                }
                (last, found) = (Some(key), found + 1);
            }
            if !block.bytes.is_empty() {
                return None;
            }
        }
        (bytes.is_empty() && found == keys && keys > 0).then_some(chunk)
    }
}

/// The keys of a block.
struct Block<'a, K> {
    next: Option<K>,
    bytes: &'a [u8],
}

impl<K: Key> Iterator for Block<'_, K> {
    type Item = K;

    #[inline]
    fn next(&mut self) -> Option<K> {
        let key = self.next.take()?;
        let rest = self.bytes;
        self.next = follow(key, &mut self.bytes);
        if self.next.is_none() {
            // The end, or damage, which leaves bytes behind.
            self.bytes = rest;
        }
        Some(key)
    }
}

/// The key after `key`, or `None` if there is none to be read.
#[inline]
fn follow<K: Key>(mut key: K, bytes: &mut &[u8]) -> Option<K> {
    let (same, rest) = bytes.split_first()?;
    *bytes = rest;
    let (changed, after) = key.columns_mut().get_mut(usize::from(*same)..)?.split_first_mut()?;
    *changed = changed.checked_add(varint(bytes)?)?;
    for column in after {
        *column = varint(bytes)?.rotate_right(4);
    }
    Some(key)
}

/// Writes keys, in ascending order, into chunks.
#[derive(Debug)]
struct Writer<K> {
    done: Vec<Arc<Chunk<K>>>,
    chunk: Chunk<K>,
    in_block: usize,
    last: Option<K>,
}

impl<K> Default for Writer<K> {
    fn default() -> Self {
        let chunk = Chunk { keys: 0, index: Vec::new(), blocks: Vec::new() };
        Self { done: Vec::new(), chunk, in_block: 0, last: None }
    }
}

impl<K: Key> Writer<K> {
    fn push(&mut self, key: K) {
        debug_assert!(self.last.is_none_or(|last| last < key), "keys come in order");
        if let Some(last) = self.last.filter(|_| (1..BLOCK_KEYS).contains(&self.in_block)) {
            let same = last.columns().iter().zip(key.columns()).take_while(|(a, b)| a == b).count();
            self.chunk.blocks.push(same as u8);
            put_varint(&mut self.chunk.blocks, key.columns()[same] - last.columns()[same]);
            for column in &key.columns()[same + 1..] {
                put_varint(&mut self.chunk.blocks, column.rotate_left(4));
            }
            self.in_block += 1;
        } else {
            if self.chunk.index.len() == CHUNK_BLOCKS {
                self.end_chunk();
            }
            self.chunk.index.push((key, self.chunk.blocks.len() as u32));
            self.in_block = 1;
        }
        self.chunk.keys += 1;
        self.last = Some(key);
    }

    fn end_chunk(&mut self) {
        let mut chunk =
            std::mem::replace(&mut self.chunk, Chunk { keys: 0, index: Vec::new(), blocks: Vec::new() });
        chunk.index.shrink_to_fit();
        chunk.blocks.shrink_to_fit();
        self.done.push(Arc::new(chunk));
    }

    fn finish(mut self) -> Order<K> {
        if self.chunk.keys > 0 {
            self.end_chunk();
        }
        Order { chunks: self.done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that repeat columns, leap far, and need all 64 bits.
    fn keys(count: u64) -> BTreeSet<[u64; 3]> {
        let mix = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..count).map(|n| [mix(n / 7) >> (n % 50), n % 5, mix(n)]).collect()
    }

    fn order(keys: &BTreeSet<[u64; 3]>) -> Order<[u64; 3]> {
        let mut writer = Writer::default();
        for key in keys {
            writer.push(*key);
        }
        writer.finish()
    }

    #[test]
    fn keys_come_back_through_their_stored_form() {
        for count in [0, 1, 127, 128, 129, 50_000] {
            let keys = keys(count);
            let written = order(&keys);
            let chunks = written
                .chunks
                .iter()
                .map(|chunk| Arc::new(Chunk::<[u64; 3]>::decode(&chunk.encode()).unwrap()));
            let read = Order { chunks: chunks.collect() };
            assert!(read.keys().eq(keys.iter().copied()));
            assert_eq!(read.len(), keys.len() as u64);
        }
    }

    #[test]
    fn ranges_are_those_of_a_set() {
        let keys = keys(20_000);
        let order = order(&keys);
        for key in keys.iter().step_by(97) {
            for pattern in [[Some(key[0]), None, None], [Some(key[0]), Some(key[1]), None], key.map(Some)] {
                let range = Range::<[u64; 3]>::new(pattern);
                assert_eq!(range.order, 0);
                let (mut found, mut from) = (Vec::new(), Some(Bound::Included(range.low)));
                while let Some(bound) = from {
                    from = order.rows(&range, bound, 3, &mut found);
                }
                assert!(found.iter().eq(keys.range(range.low..=range.high)));
            }
        }
    }

    #[test]
    fn a_merge_is_the_run_with_the_changes() {
        let (before, after) = (keys(30_000), keys(40_000));
        let removed: BTreeSet<_> = before.iter().step_by(3).copied().collect();
        let change = |(key, adds): (&[u64; 3], bool)| Change { quad: key.to_quad(), adds };
        let added = after.difference(&before).map(|key| (key, true));
        let changes: Vec<_> = added.chain(removed.iter().map(|key| (key, false))).map(change).collect();
        let base = Run::empty().merged(&before.iter().map(|key| change((key, true))).collect::<Vec<_>>());
        let merged = base.merged(&changes);
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
    fn every_damaged_chunk_is_refused_or_can_be_read() {
        let bytes = order(&keys(300)).chunks[0].encode();
        for end in 0..bytes.len() {
            assert!(Chunk::<[u64; 3]>::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(chunk) = Chunk::<[u64; 3]>::decode(&damaged) {
                    let order = Order { chunks: vec![Arc::new(chunk)] };
                    assert!(order.keys().is_sorted_by(|a, b| a < b));
                }
            }
        }
    }
}
