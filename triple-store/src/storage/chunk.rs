//! A chunk: thousands of consecutive keys of a run, delta-coded in blocks. It is immutable, and stored as one value.
//!
//! ```text
//! block:  the keys from one index entry to the next; the first key is stored only in the index entry
//! key:    the number of leading columns that are equal in the previous key (1 byte), the difference of the next
//!         column, then the other columns, as varints; ids are rotated so that their kind is in the low bits
//! chunk:  number of keys, keys of a full block, then per block: its first key, its length; then the blocks.
//!         All blocks except the last are full.
//! ```
//!
//! Every key of a chunk is checked when it is first read from the disk. Until the store is opened again, the checksums of
//! the `vde-store` are then enough.

use crate::error::{Error, Result};
use crate::storage::pages::Page;
use crate::terms::codec::{put_varint, take, varint};
use crate::terms::quad::Columns;
use std::ops::ControlFlow;

/// The most keys in a chunk. Its stored value takes about 80 KiB.
pub(crate) const CHUNK_KEYS: usize = 16_384;

/// Consecutive keys in ascending order.
#[derive(Debug)]
pub(crate) struct Chunk<K> {
    keys: usize,
    block_keys: usize,
    /// The first key of each block, and where the block begins.
    index: Vec<(K, u32)>,
    blocks: Vec<u8>,
}

impl<K: Columns> Chunk<K> {
    fn empty(block_keys: usize) -> Self {
        Self { keys: 0, block_keys, index: Vec::new(), blocks: Vec::new() }
    }

    /// Calls `visit` with the keys from `from` on, until it breaks.
    #[inline]
    pub(crate) fn visit_from(&self, from: K, mut visit: impl FnMut(K) -> ControlFlow<()>) -> ControlFlow<()> {
        let first = self.block_of(from);
        for key in self.block(first) {
            if key >= from {
                visit(key)?;
            }
        }
        (first + 1..self.index.len()).try_for_each(|block| self.block(block).try_for_each(&mut visit))
    }

    /// The key with `rank` keys of this chunk before it.
    pub(crate) fn key_at(&self, rank: usize) -> Option<K> {
        let block = rank / self.block_keys;
        (block < self.index.len()).then(|| self.block(block).nth(rank % self.block_keys))?
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        (0..self.index.len()).flat_map(|block| self.block(block))
    }

    /// The number of keys for which `is_before` holds. It must hold for all keys before `key` and for none after it.
    /// Decodes one block.
    pub(crate) fn count_while(&self, key: K, is_before: impl Fn(&K) -> bool) -> usize {
        let block = self.block_of(key);
        block * self.block_keys + self.block(block).take_while(is_before).count()
    }

    /// The number of keys from `low` to `high`. Decodes one block if both are in the same block.
    pub(crate) fn span(&self, low: K, high: K) -> usize {
        let block = self.block_of(low);
        if block == self.block_of(high) {
            return self.block(block).skip_while(|key| *key < low).take_while(|key| *key <= high).count();
        }
        self.count_while(high, |key| *key <= high) - self.count_while(low, |key| *key < low)
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

    fn decoded(bytes: &mut &[u8]) -> Option<Self> {
        let keys = varint(bytes)? as usize;
        let block_keys = varint(bytes)? as usize;
        let blocks = keys.checked_add(block_keys.checked_sub(1)?)? / block_keys;
        let mut index = Vec::with_capacity(blocks.min(bytes.len()));
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
        let chunk = Self { keys, block_keys, index, blocks };
        (bytes.is_empty() && keys > 0).then_some(chunk)
    }

    /// Whether every block can be read to its end, is full unless it is the last, and all keys ascend.
    fn is_sound(&self) -> bool {
        let mut last = None;
        let mut left = self.keys;
        for block in 0..self.index.len() {
            let mut block = self.block(block);
            let mut found = 0;
            for key in &mut block {
                if last.is_some_and(|last| last >= key) {
                    return false;
                }
                (last, found) = (Some(key), found + 1);
            }
            if !block.bytes.is_empty() || found != left.min(self.block_keys) {
                return false;
            }
            left -= found;
        }
        left == 0
    }
}

impl<K: Columns> Page for Chunk<K> {
    type Key = K;

    fn memory(&self) -> usize {
        size_of::<Self>() + self.index.capacity() * size_of::<(K, u32)>() + self.blocks.capacity()
    }

    fn len(&self) -> usize {
        self.keys
    }

    fn first(&self) -> K {
        self.index[0].0
    }

    fn last(&self) -> Option<K> {
        self.block(self.index.len() - 1).last()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.blocks.len() + 20 * self.index.len() + 20);
        put_varint(&mut bytes, self.keys as u64);
        put_varint(&mut bytes, self.block_keys as u64);
        for (block, (first, start)) in self.index.iter().enumerate() {
            first.columns().iter().for_each(|column| put_varint(&mut bytes, column.rotate_left(4)));
            let end = self.index.get(block + 1).map_or(self.blocks.len(), |(_, start)| *start as usize);
            put_varint(&mut bytes, (end - *start as usize) as u64);
        }
        bytes.extend_from_slice(&self.blocks);
        bytes
    }

    fn decode(mut bytes: &[u8], known: bool) -> Result<Self> {
        Self::decoded(&mut bytes)
            .filter(|chunk| known || chunk.is_sound())
            .ok_or_else(|| Error::Corrupt("a chunk of a run can't be read".into()))
    }
}

/// The keys of a block.
struct Block<'a, K> {
    next: Option<K>,
    bytes: &'a [u8],
}

impl<K: Columns> Iterator for Block<'_, K> {
    type Item = K;

    #[inline]
    fn next(&mut self) -> Option<K> {
        let key = self.next.take()?;
        let rest = self.bytes;
        self.next = follow(key, &mut self.bytes);
        if self.next.is_none() {
            // This is the end, or damage. Damage leaves bytes unread.
            self.bytes = rest;
        }
        Some(key)
    }
}

/// The key after `key`, or `None` if there is none to be read.
#[inline(always)]
fn follow<K: Columns>(mut key: K, bytes: &mut &[u8]) -> Option<K> {
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
pub(crate) struct Writer<K> {
    done: Vec<Chunk<K>>,
    chunk: Chunk<K>,
    chunk_keys: usize,
    last: Option<K>,
}

impl<K: Columns> Writer<K> {
    /// A writer of `keys` keys. It writes as few chunks as possible, all of about the same size.
    pub(crate) fn new(keys: usize, block_keys: usize) -> Self {
        let chunk_keys = keys.div_ceil(keys.div_ceil(CHUNK_KEYS).max(1)).max(1);
        Self { done: Vec::new(), chunk: Chunk::empty(block_keys), chunk_keys, last: None }
    }

    pub(crate) fn push(&mut self, key: K) {
        debug_assert!(self.last.is_none_or(|last| last < key), "keys come in order");
        if self.chunk.keys == self.chunk_keys {
            self.end_chunk();
        }
        let chunk = &mut self.chunk;
        match self.last.filter(|_| !chunk.keys.is_multiple_of(chunk.block_keys)) {
            Some(last) => {
                let same = last.columns().iter().zip(key.columns()).take_while(|(a, b)| a == b).count();
                chunk.blocks.push(same as u8);
                put_varint(&mut chunk.blocks, key.columns()[same] - last.columns()[same]);
                for column in &key.columns()[same + 1..] {
                    put_varint(&mut chunk.blocks, column.rotate_left(4));
                }
            }
            None => chunk.index.push((key, chunk.blocks.len() as u32)),
        }
        chunk.keys += 1;
        self.last = Some(key);
    }

    fn end_chunk(&mut self) {
        let next = Chunk::empty(self.chunk.block_keys);
        let mut chunk = std::mem::replace(&mut self.chunk, next);
        chunk.index.shrink_to_fit();
        chunk.blocks.shrink_to_fit();
        self.done.push(chunk);
    }

    pub(crate) fn finish(mut self) -> Vec<Chunk<K>> {
        if self.chunk.keys > 0 {
            self.end_chunk();
        }
        self.done
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Keys that repeat columns, have large gaps, and need all 64 bits.
    pub(crate) fn keys(count: u64) -> BTreeSet<[u64; 3]> {
        let mix = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..count).map(|n| [mix(n / 7) >> (n % 50), n % 5, mix(n)]).collect()
    }

    fn chunks(keys: &BTreeSet<[u64; 3]>, block_keys: usize) -> Vec<Chunk<[u64; 3]>> {
        let mut writer = Writer::new(keys.len(), block_keys);
        for key in keys {
            writer.push(*key);
        }
        writer.finish()
    }

    #[test]
    fn keys_come_back_through_their_stored_form() {
        for block_keys in [1, 7, 128] {
            for count in [0, 1, 127, 128, 129, 50_000] {
                let keys = keys(count);
                let written = chunks(&keys, block_keys);
                assert!(written.iter().all(|chunk| chunk.len() <= CHUNK_KEYS));
                let read: Vec<_> = written
                    .iter()
                    .map(|chunk| Chunk::<[u64; 3]>::decode(&chunk.encode(), false).unwrap())
                    .collect();
                assert!(read.iter().flat_map(Chunk::keys).eq(keys.iter().copied()));
            }
        }
    }

    #[test]
    fn the_rank_of_a_key_is_how_many_come_before_it() {
        let rank = |chunk: &Chunk<_>, key: [u64; 3]| chunk.count_while(key, |other| *other < key);
        let keys = keys(1000);
        for block_keys in [1, 7, 128, 2000] {
            let [chunk] = &*chunks(&keys, block_keys) else { panic!("a thousand keys are one chunk") };
            for (place, key) in keys.iter().enumerate() {
                assert_eq!(rank(chunk, *key), place);
                assert_eq!(chunk.count_while(*key, |other| *other <= *key), place + 1);
                assert_eq!(chunk.key_at(place), Some(*key));
                assert_eq!(rank(chunk, [key[0], key[1], key[2].saturating_add(1)]), place + 1);
            }
            assert_eq!((rank(chunk, [0; 3]), rank(chunk, [u64::MAX; 3])), (0, 1000));
            assert_eq!(chunk.key_at(1000), None);
        }
    }

    #[test]
    fn every_damaged_chunk_is_refused_or_can_be_read() {
        let bytes = chunks(&keys(300), 64)[0].encode();
        for end in 0..bytes.len() {
            assert!(Chunk::<[u64; 3]>::decode(&bytes[..end], false).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(chunk) = Chunk::<[u64; 3]>::decode(&damaged, false) {
                    assert!(chunk.keys().is_sorted_by(|a, b| a < b));
                    assert_eq!(chunk.keys().count(), chunk.len());
                }
            }
        }
    }
}
