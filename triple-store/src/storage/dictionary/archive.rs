//! The terms of the last checkpoint, which are read from the disk when they are needed.
//!
//! From a number to its term: the number says in which [block](super::block) it is. From a term to its number: the
//! *index* is an [order](crate::storage::order) of pairs of a hash of the term and its id. A term with that hash is read
//! and compared, so a hash that two terms share does no harm. The hash is keyed, and the key is in the manifest.
//!
//! An archive is immutable. A checkpoint makes the next one, which shares what has not changed.

use super::block::{Block, Found, compress, decompress};
use super::hints::Hints;
use crate::error::{Error, Result};
use crate::parallel;
use crate::storage::live::Live;
use crate::storage::order::{Order, sort};
use crate::storage::pages::{InMemory, Page, Pages, Slot};
use crate::storage::planted::{self, Bug};
use crate::terms::stored_term;
use crate::terms::term::{Kind, TermId};
use siphasher::sip::SipHasher13;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::{ControlFlow, Deref};
use std::sync::Arc;

/// The bits of a hash that are in the index. In a store of a billion terms, one lookup in a thousand then reads a term
/// in vain. A bit more would take a bit of disk for each term.
const HASH_BITS: u32 = 40;

/// The number of keys in a block of the index.
const INDEX_BLOCK: usize = 16;

/// The hints take this part of the memory that the cache of pages takes.
const HINTED: usize = 16;

/// The blocks whose terms are added to a new index at once: a million terms.
const BLOCKS_AT_ONCE: usize = 4096;

/// More bytes than a term can have: `nesting::checked` refuses texts of more than 16 MiB.
const MOST_BYTES: u64 = 1 << 26;

#[derive(Clone, Debug)]
pub(crate) struct Archive {
    /// By the number of the block.
    pub(crate) blocks: Vec<Option<Arc<Slot<Block>>>>,
    pub(crate) index: Order<[u64; 2]>,
    pub(crate) key: HashKey,
    /// The ids of terms that were found in it, or in another archive that has all its terms or of which it has all terms.
    pub(super) hints: Arc<Hints>,
}

/// A stored block, and the keys in the index of its new terms.
type Written = (Arc<Slot<Block>>, Vec<[u64; 2]>);

/// The key of the hash of terms.
pub(crate) type HashKey = [u64; 2];

/// The bytes of a term of an archive.
pub(crate) enum Bytes {
    Short(InMemory<Block>, (usize, usize)),
    Long(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short(block, place) => block.bytes(*place),
            Self::Long(bytes) => bytes,
        }
    }
}

impl Archive {
    pub(crate) fn empty(pages: &Arc<Pages>) -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self::new(Vec::new(), Order::new(Vec::new(), pages), [random(), random()])
    }

    pub(crate) fn new(blocks: Vec<Option<Arc<Slot<Block>>>>, index: Order<[u64; 2]>, key: HashKey) -> Self {
        let hints = Arc::new(Hints::new(index.pages.most() / HINTED));
        Self { blocks, index, key, hints }
    }

    /// The number of terms.
    pub(crate) fn len(&self) -> u64 {
        self.index.len()
    }

    /// The numbers of its stored pages.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        let blocks = self.blocks.iter().flatten().filter_map(|slot| slot.number());
        blocks.chain(self.index.slots.iter().filter_map(|slot| slot.number()))
    }

    /// The numbers of its pages that none of the others has.
    pub(crate) fn numbers_beyond(&self, others: &[&Self]) -> Vec<u64> {
        let others: HashSet<_> = others.iter().flat_map(|other| other.numbers()).collect();
        self.numbers().filter(|number| !others.contains(number)).collect()
    }

    /// The blocks that are not the same in the other archive, in ascending order.
    pub(crate) fn blocks_beyond(&self, other: &Self) -> impl DoubleEndedIterator<Item = &Arc<Slot<Block>>> {
        self.blocks.iter().flatten().filter(|slot| {
            let other = other.blocks.get(slot.first as usize).and_then(Option::as_ref);
            !other.is_some_and(|other| Arc::ptr_eq(other, slot))
        })
    }

    /// Whether both archives have the same block for the term with this number.
    pub(crate) fn shares_block(&self, other: &Self, number: u64) -> bool {
        match (self.slot(number), other.slot(number)) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// Marks the parts of the marked terms in these blocks, which come in descending order.
    pub(crate) fn mark_parts<'a>(
        &self,
        blocks: impl Iterator<Item = &'a Arc<Slot<Block>>>,
        live: &Live,
    ) -> Result<()> {
        // A part has a lower number than the term.
        for slot in blocks.filter(|slot| live.count_of(Block::numbers(slot.first)) > 0) {
            let block = self.index.pages.get(slot, None)?;
            for Found { id, bytes } in block.terms().rev().filter(|found| live.has(found.id)) {
                match bytes {
                    Some(place) => {
                        stored_term::parts(id, block.bytes(place)).for_each(|part| live.mark(part));
                    }
                    None => stored_term::parts(id, &self.long(id)?).for_each(|part| live.mark(part)),
                }
            }
        }
        Ok(())
    }

    /// The live terms of this block that the other archive does not have.
    pub(crate) fn missing(&self, slot: &Arc<Slot<Block>>, other: &Self, live: &Live) -> Result<Vec<TermId>> {
        let mut missing = Vec::new();
        if live.count_of(Block::numbers(slot.first)) > 0 {
            for found in self.index.pages.get(slot, None)?.terms().filter(|found| live.has(found.id)) {
                if !other.has(found.id)? {
                    missing.push(found.id);
                }
            }
        }
        Ok(missing)
    }

    /// The number of [missing](Self::missing) terms. Most blocks need not be read for it.
    pub(crate) fn count_missing(&self, slot: &Arc<Slot<Block>>, other: &Self, live: &Live) -> Result<u64> {
        let numbers = Block::numbers(slot.first);
        if other.slot(numbers.start).is_none() {
            return Ok(live.count_of(numbers));
        }
        Ok(self.missing(slot, other, live)?.len() as u64)
    }

    /// Whether it has a term with this id.
    pub(crate) fn has(&self, id: TermId) -> Result<bool> {
        Ok(self.found(id)?.is_some())
    }

    /// Whether it has a term with this number.
    pub(crate) fn has_number(&self, number: u64) -> Result<bool> {
        Ok(self.block(number)?.is_some_and(|block| block.get(number).is_some()))
    }

    /// The bytes of a term.
    pub(crate) fn bytes(&self, id: TermId) -> Result<Option<Bytes>> {
        let Some((block, found)) = self.found(id)? else { return Ok(None) };
        Ok(Some(match found.bytes {
            Some(place) => Bytes::Short(block, place),
            None => Bytes::Long(self.long(id)?),
        }))
    }

    /// The id of a term, from its kind, its bytes and their [hash](Self::hash).
    pub(crate) fn find(&self, kind: Kind, bytes: &[u8], hash: u64) -> Result<Option<TermId>> {
        let mut from = 0;
        loop {
            let mut next = None;
            self.index.visit([indexed(hash), from], [indexed(hash), u64::MAX], |[_, id]| {
                next = Some(TermId(id));
                ControlFlow::Break(())
            })?;
            let Some(id) = next else { return Ok(None) };
            if id.kind() == Some(kind) {
                let found = self.bytes(id)?.ok_or_else(|| lost(id))?;
                if *found == *bytes || planted::has(Bug::TrustHash) {
                    return Ok(Some(id));
                }
            }
            let Some(next) = id.0.checked_add(1) else { return Ok(None) };
            from = next;
        }
    }

    /// All ids, in the order of their numbers, block by block.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Result<Vec<TermId>>> {
        let ids = |slot: &Arc<Slot<Block>>| {
            Ok(self.index.pages.get(slot, None)?.terms().map(|found| found.id).collect())
        };
        self.blocks.iter().flatten().map(ids)
    }

    /// This archive with more terms, in the order of their numbers. Its new pages are stored.
    pub(crate) fn with<B: Deref<Target = [u8]>>(
        &self,
        terms: &[TermId],
        bytes: impl Fn(TermId) -> Result<B> + Sync,
    ) -> Result<Self> {
        let groups: Vec<_> =
            terms.chunk_by(|a, b| Block::of(a.payload()) == Block::of(b.payload())).collect();
        let written = parallel::map(&groups, |terms| self.written(terms, &bytes));
        let (mut blocks, mut keys) = (self.blocks.clone(), Vec::with_capacity(terms.len()));
        for written in written {
            let (slot, found) = written?;
            let number = slot.first as usize;
            if blocks.len() <= number {
                blocks.resize(number + 1, None);
            }
            blocks[number] = Some(slot);
            keys.extend(found);
        }
        sort(&mut keys);
        let index = self.index.merged(&keys, &[], INDEX_BLOCK)?;
        Self { blocks, index, key: self.key, hints: Arc::clone(&self.hints) }.checked()
    }

    /// Refuses an archive whose index does not have all terms, which happens only with damaged data.
    fn checked(self) -> Result<Self> {
        let terms: usize = self.blocks.iter().flatten().map(|slot| slot.len()).sum();
        let problem = || Error::Corrupt("the index of terms does not have all terms".into());
        if terms as u64 == self.len() { Ok(self) } else { Err(problem()) }
    }

    /// A block with some more terms, which is stored.
    fn written<B: Deref<Target = [u8]>>(
        &self,
        terms: &[TermId],
        bytes: &impl Fn(TermId) -> Result<B>,
    ) -> Result<Written> {
        let number = Block::of(terms[0].payload());
        let old = self.blocks.get(number as usize).and_then(Option::as_ref);
        let old = old.map(|slot| self.index.pages.get(slot, None)).transpose()?;
        let mut kept = old.iter().flat_map(|block| block.terms()).peekable();
        let (mut block, mut keys) = (Block::new(number), Vec::with_capacity(terms.len()));
        let mut copy = |block: &mut Block, end: Option<TermId>| {
            while let Some(found) =
                kept.next_if(|found| end.is_none_or(|end| found.id.payload() < end.payload()))
            {
                if let Some(old) = &old {
                    block.push_from(old, found);
                }
            }
        };
        for id in terms {
            let bytes = bytes(*id)?;
            copy(&mut block, Some(*id));
            if block.push(*id, &bytes) {
                self.index.pages.put_long(id.payload(), &compress(&bytes))?;
            }
            keys.push(self.index_key(*id, &bytes));
        }
        copy(&mut block, None);
        Ok((self.index.pages.keep(block)?, keys))
    }

    /// This archive with only the terms that are live, and with their parts, which are then live too. Its new pages are
    /// stored.
    pub(crate) fn without(&self, live: &Live) -> Result<Self> {
        self.mark_parts(self.blocks.iter().flatten().rev(), live)?;
        let (mut blocks, mut dead) = (self.blocks.clone(), Vec::new());
        for slot in &mut blocks {
            let Some(old) = &*slot else { continue };
            let old = self.index.pages.get(old, None)?;
            let mut kept = Block::new(old.first());
            for found in old.terms() {
                if live.has(found.id) {
                    kept.push_from(&old, found);
                } else {
                    let bytes = self.bytes(found.id)?.ok_or_else(|| lost(found.id))?;
                    dead.push(self.index_key(found.id, &bytes));
                }
            }
            if kept.len() < old.len() {
                *slot = if kept.len() == 0 { None } else { Some(self.index.pages.keep(kept)?) };
            }
        }
        sort(&mut dead);
        let index = self.index.merged(&[], &dead, INDEX_BLOCK)?;
        // The hints have terms that are gone.
        Self::new(blocks, index, self.key).checked()
    }

    /// This archive with an index that is made from the blocks. Its pages are stored.
    pub(crate) fn indexed_again(&self) -> Result<Self> {
        let mut index = Order::new(Vec::new(), &self.index.pages);
        for blocks in self.blocks.chunks(BLOCKS_AT_ONCE) {
            let mut keys = Vec::new();
            for slot in blocks.iter().flatten() {
                for found in self.index.pages.get(slot, None)?.terms() {
                    let bytes = self.bytes(found.id)?.ok_or_else(|| lost(found.id))?;
                    keys.push(self.index_key(found.id, &bytes));
                }
            }
            sort(&mut keys);
            index = index.merged(&keys, &[], INDEX_BLOCK)?;
        }
        Self { index, ..self.clone() }.checked()
    }

    fn found(&self, id: TermId) -> Result<Option<(InMemory<Block>, Found)>> {
        let Some(number) = id.dictionary_index() else { return Ok(None) };
        let Some(block) = self.block(number)? else { return Ok(None) };
        Ok(block.get(number).filter(|found| found.id == id).map(|found| (block, found)))
    }

    /// The block of the term with this number.
    fn slot(&self, number: u64) -> Option<&Arc<Slot<Block>>> {
        usize::try_from(Block::of(number)).ok().and_then(|number| self.blocks.get(number)?.as_ref())
    }

    fn block(&self, number: u64) -> Result<Option<InMemory<Block>>> {
        self.slot(number).map(|slot| self.index.pages.get(slot, None)).transpose()
    }

    fn long(&self, id: TermId) -> Result<Vec<u8>> {
        let stored = self.index.pages.long(id.payload())?.ok_or_else(|| lost(id))?;
        let bytes = decompress(&stored, MOST_BYTES)?;
        if stored_term::is_sound(id, &bytes) { Ok(bytes) } else { Err(lost(id)) }
    }

    /// The hashes of all terms, as they are in the index.
    pub(crate) fn hashes(&self, mut each: impl FnMut(u64)) -> Result<()> {
        for number in 0..self.index.slots.len() {
            self.index.chunk(number)?.keys().for_each(|[hash, _]| each(hash));
        }
        Ok(())
    }

    /// The key of a term in the index.
    fn index_key(&self, id: TermId, bytes: &[u8]) -> [u64; 2] {
        [indexed(self.hash(id.kind().unwrap_or(Kind::Local), bytes)), id.0]
    }

    /// The hash of a term. Its upper bits are in the index.
    pub(crate) fn hash(&self, kind: Kind, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.key[0], self.key[1]);
        hasher.write(&[kind as u8]);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// The part of a hash that is in the index.
pub(super) fn indexed(hash: u64) -> u64 {
    let bits = if planted::has(Bug::ShortHash) { 4 } else { HASH_BITS };
    hash >> (64 - bits)
}

fn lost(id: TermId) -> Error {
    Error::Corrupt(format!("the text of {id:?} can't be read"))
}
