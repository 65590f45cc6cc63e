//! Terms by number, read without a lock.

use crate::terms::term::Kind;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// The dictionary is held in memory, and more terms than this would take hundreds of gigabytes. So a larger number is
/// a sign of damage.
pub(crate) const MOST_TERMS: u64 = 1 << 32;

/// A term in the dictionary.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) bytes: Box<[u8]>,
    /// Set once a durable record contains the term. Before that, every transaction that uses the term writes it too.
    pub(crate) persisted: AtomicBool,
    /// Set before a bulk load writes a quad with the term to a run. It writes no record.
    pub(crate) used: AtomicBool,
    /// Set once a checkpoint contains the term. From then on the records of commits are not needed for it.
    pub(crate) archived: AtomicBool,
}

/// Where a restored term is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    Nowhere,
    /// In the record of a commit.
    InRecord,
    /// In a checkpoint.
    InArchive,
}

impl Entry {
    pub(crate) fn new(kind: Kind, bytes: &[u8], kept: Kept) -> Self {
        let (persisted, archived) = (kept != Kept::Nowhere, kept == Kept::InArchive);
        let flag = AtomicBool::new;
        let (persisted, archived) = (flag(persisted), flag(archived));
        Self { kind, bytes: bytes.into(), persisted, used: flag(false), archived }
    }
}

/// Terms by number: a vector of chunks that grows without moving and is read without a lock. The chunks are in
/// buckets. Bucket `b` has `2^b` chunks, beginning with chunk `2^b - 1`.
pub(crate) struct Entries {
    buckets: [OnceLock<Box<[OnceLock<Chunk>]>>; Self::BUCKETS],
}

type Chunk = Box<[OnceLock<Entry>]>;

impl Entries {
    const CHUNK: u64 = 1024;
    const BUCKETS: usize = (MOST_TERMS / Self::CHUNK).ilog2() as usize + 1;

    pub(crate) fn new() -> Self {
        Self { buckets: [const { OnceLock::new() }; Self::BUCKETS] }
    }

    /// The bucket, the chunk in the bucket, and the slot in the chunk.
    fn place(number: u64) -> (usize, usize, usize) {
        let chunk = number / Self::CHUNK + 1;
        let bucket = chunk.ilog2();
        (bucket as usize, (chunk - (1 << bucket)) as usize, (number % Self::CHUNK) as usize)
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Entry> {
        let (bucket, chunk, slot) = Self::place(number);
        self.buckets.get(bucket)?.get()?.get(chunk)?.get()?.get(slot)?.get()
    }

    /// All terms, by ascending number. Chunks that are not allocated are skipped.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Entry)> {
        let chunks = self.buckets.iter().enumerate().flat_map(|(bucket, chunks)| {
            let chunks = chunks.get().into_iter().flatten().enumerate();
            chunks.filter_map(move |(place, chunk)| Some(((1 << bucket) - 1 + place as u64, chunk.get()?)))
        });
        chunks.flat_map(|(chunk, slots)| {
            let slots = slots.iter().enumerate();
            slots.filter_map(move |(slot, entry)| Some((chunk * Self::CHUNK + slot as u64, entry.get()?)))
        })
    }

    /// Fills a slot. Returns whether it was empty.
    pub(crate) fn set(&self, number: u64, entry: Entry) -> bool {
        assert!(number < MOST_TERMS, "the dictionary holds at most {MOST_TERMS} terms");
        let (bucket, chunk, slot) = Self::place(number);
        let bucket =
            self.buckets[bucket].get_or_init(|| (0..1usize << bucket).map(|_| OnceLock::new()).collect());
        let chunk = bucket[chunk].get_or_init(|| (0..Self::CHUNK).map(|_| OnceLock::new()).collect());
        chunk[slot].set(entry).is_ok()
    }
}
