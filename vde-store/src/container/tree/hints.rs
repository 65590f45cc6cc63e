//! Hints: where earlier searches of a tree ended, so that a search for the same key can begin there.
//!
//! A search reads three or four pages, with one or two cache misses each. A hint points to the cell itself. A hint
//! may be lost, or point to another key's cell, so a search that follows a hint checks the key. But a hint always
//! points to a page of this tree, because a tree never changes and has its own hints.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use xxhash_rust::xxh3::xxh3_64;

/// Hints of keys whose hashes have the same top bits: half a cache line. A hint is 0, or has these fields from the
/// lowest bit on: 12 bits of the key's hash, 12 bits of the cell's offset in its page, the page's block.
#[derive(Default)]
#[repr(align(32))]
struct Bucket([AtomicU64; WAYS]);

const WAYS: usize = 4;
const TAG_BITS: u32 = 12;
const AT_BITS: u32 = 12;
/// How many buckets are allocated together, when the first of them is needed: 32 KiB.
const BUCKETS: usize = 1024;
/// At most 32 MiB.
const MAX_CHUNKS: u64 = 1024;

/// The hints of one tree.
pub(crate) struct Hints(Box<[OnceLock<Box<[Bucket]>>]>);

/// The bucket of a key, and the tag of the key in its hints.
pub(crate) struct Spot<'a> {
    chunk: &'a OnceLock<Box<[Bucket]>>,
    bucket: usize,
    tag: u64,
}

impl Hints {
    /// Room for two hints per key, up to the limit.
    pub(crate) fn new(keys: u64) -> Self {
        let chunks = keys.saturating_mul(2).div_ceil((BUCKETS * WAYS) as u64).clamp(1, MAX_CHUNKS);
        Self((0..chunks.next_power_of_two()).map(|_| OnceLock::new()).collect())
    }

    pub(crate) fn spot(&self, key: &[u8]) -> Spot<'_> {
        let hash = xxh3_64(key);
        let chunk = &self.0[(hash as usize / BUCKETS) % self.0.len()];
        Spot { chunk, bucket: hash as usize % BUCKETS, tag: hash >> (u64::BITS - TAG_BITS) }
    }
}

impl Spot<'_> {
    /// The blocks of pages, and the offsets in them, at which the key's cell may begin.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u64, usize)> {
        let bucket = self.chunk.get().map(|chunk| &chunk[self.bucket]);
        let hints = bucket.into_iter().flat_map(|bucket| &bucket.0).map(|hint| hint.load(Relaxed));
        hints.filter(|hint| *hint != 0 && hint & ((1 << TAG_BITS) - 1) == self.tag).map(|hint| {
            let at = (hint >> TAG_BITS) & ((1 << AT_BITS) - 1);
            (hint >> (TAG_BITS + AT_BITS), at as usize)
        })
    }

    /// Records that the key's cell begins at offset `at` of the page in block `block`. Another key may lose its hint.
    pub(crate) fn note(&self, block: u64, at: u32) {
        if block >> (u64::BITS - TAG_BITS - AT_BITS) != 0 || at >> AT_BITS != 0 {
            return;
        }
        let chunk = self.chunk.get_or_init(|| (0..BUCKETS).map(|_| Bucket::default()).collect());
        let ways = &chunk[self.bucket].0;
        let free = ways.iter().find(|hint| hint.load(Relaxed) == 0);
        let way = free.unwrap_or(&ways[self.tag as usize % WAYS]);
        way.store(block << (TAG_BITS + AT_BITS) | u64::from(at) << TAG_BITS | self.tag, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(hints: &Hints, key: u64) -> Vec<(u64, usize)> {
        hints.spot(&key.to_le_bytes()).places().collect()
    }

    #[test]
    fn every_noted_hint_is_found_and_few_others() {
        let hints = Hints::new(10_000);
        for key in 0..10_000u64 {
            hints.spot(&key.to_le_bytes()).note(2 + key, key as u32 % 4096);
        }
        let found = (0..10_000).filter(|key| places(&hints, *key).contains(&(2 + key, *key as usize % 4096)));
        let found = found.count();
        assert!(found > 9_000, "{found} of 10,000");
        let mistaken: usize = (10_000..20_000).map(|key| places(&hints, key).len()).sum();
        assert!(mistaken < 100, "{mistaken} for 10,000 others");
    }

    #[test]
    fn the_last_noted_hint_is_found_however_many_there_are() {
        let hints = Hints::new(1);
        for key in 0..50_000u64 {
            hints.spot(&key.to_le_bytes()).note(2 + key, 7);
            assert!(places(&hints, key).contains(&(2 + key, 7)));
        }
        assert!(places(&hints, 49_999).len() <= WAYS);
    }

    #[test]
    fn a_place_that_does_not_fit_is_not_noted() {
        let hints = Hints::new(1);
        for (block, at) in [(1 << 40, 0), (2, 4096), (u64::MAX, u32::MAX)] {
            hints.spot(b"k").note(block, at);
        }
        assert_eq!(hints.spot(b"k").places().count(), 0);
        hints.spot(b"k").note((1 << 40) - 1, 4095);
        assert_eq!(hints.spot(b"k").places().collect::<Vec<_>>(), [((1 << 40) - 1, 4095)]);
    }
}
