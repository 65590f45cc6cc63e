//! Which terms an archive certainly does not have.
//!
//! Most terms of a load are new. Without the filter, finding that out reads a chunk of the index for each of them.

use std::sync::atomic::{AtomicU32, Ordering};

/// The bits for each term if the filter is full. About one in a hundred new terms is then looked up in the index.
const BITS: usize = 10;

/// A Bloom filter of hashes, in which a hash sets one bit in each word of one block (F. Putze, P. Sanders, J. Singler:
/// "Cache-, Hash- and Space-Efficient Bloom Filters", 2007). So a test reads one cache line.
pub(crate) struct Filter {
    blocks: Box<[Block]>,
    room: u64,
}

/// Half a cache line.
type Block = [AtomicU32; 8];

impl Filter {
    /// An empty filter for up to `room` hashes.
    pub(crate) fn new(room: u64) -> Self {
        let blocks = (room as usize * BITS).div_ceil(8 * size_of::<Block>()).max(1);
        Self { blocks: (0..blocks).map(|_| Block::default()).collect(), room }
    }

    /// Whether it has room for this number of hashes in all.
    pub(crate) fn has_room(&self, hashes: u64) -> bool {
        hashes <= self.room
    }

    pub(crate) fn add(&self, hash: u64) {
        let (block, bits) = self.place(hash);
        block.iter().zip(bits).for_each(|(word, bit)| _ = word.fetch_or(bit, Ordering::Relaxed));
    }

    /// Whether the hash may have been added. If not, it certainly was not.
    pub(crate) fn may_have(&self, hash: u64) -> bool {
        let (block, bits) = self.place(hash);
        block.iter().zip(bits).all(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// The block of a hash, and its bit in each word.
    fn place(&self, hash: u64) -> (&Block, [u32; 8]) {
        // The hashes of an archive have 40 bits, so they are spread over all bits first.
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let block = (u128::from(mixed) * self.blocks.len() as u128) >> 64;
        let bits = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (&self.blocks[block as usize], std::array::from_fn(|word| 1 << (bits >> (24 + 5 * word) & 31)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_is_found_and_few_others() {
        const HASHES: u64 = 100_000;
        let hash = |n: u64| n.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 24;
        let filter = Filter::new(HASHES);
        (0..HASHES).for_each(|n| filter.add(hash(n)));
        assert!((0..HASHES).all(|n| filter.may_have(hash(n))));
        let others = (HASHES..2 * HASHES).filter(|n| filter.may_have(hash(*n))).count();
        assert!(others < 2500, "{others} of {HASHES}");
    }
}
