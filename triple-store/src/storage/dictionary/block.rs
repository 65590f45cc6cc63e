//! A block of terms: those with [`NUMBERS`] consecutive numbers, as far as they exist. It is immutable, and stored as one
//! value.
//!
//! ```text
//! compressed: number of the block, number of terms,
//!     then each: its kind and its place in the block, 0 or one more than the length of its bytes;
//!     then the bytes of all terms
//! ```
//!
//! A length of 0 says that the term is [long](LONG): its bytes are a value of their own.

use crate::error::{Error, Result};
use crate::storage::pages::Page;
use crate::terms::codec::{put_varint, take, varint};
use crate::terms::stored_term;
use crate::terms::term::{Kind, TermId};
use std::ops::Range;

/// How many numbers a block covers.
pub(crate) const NUMBERS: u64 = 256;

/// The bytes of a term from which on they are not stored in a block. So a block is small.
pub(crate) const LONG: usize = 4096;

/// The most bytes of a block before it is compressed.
const MOST_BYTES: u64 = NUMBERS * (LONG as u64 + 16) + 16;

/// The compression level. Text shrinks to a third or less, in a tenth of the time that parsing it took.
const ZSTD_LEVEL: i32 = 1;

#[derive(Debug)]
pub(crate) struct Block {
    number: u64,
    /// By ascending place.
    terms: Vec<Place>,
    bytes: Vec<u8>,
}

/// A term of a block: its number in the block, its kind, and where its bytes are.
#[derive(Clone, Copy, Debug)]
struct Place {
    number: u8,
    kind: Kind,
    is_long: bool,
    /// Where its bytes end. They begin where those of the term before it end.
    end: u32,
}

/// A term as it is in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) id: TermId,
    /// Where its bytes are, unless it is long.
    pub(crate) bytes: Option<(usize, usize)>,
}

impl Block {
    pub(crate) fn new(number: u64) -> Self {
        Self { number, terms: Vec::new(), bytes: Vec::new() }
    }

    /// The number of the block with this term.
    pub(crate) fn of(number: u64) -> u64 {
        number / NUMBERS
    }

    /// The numbers of the terms in a block.
    pub(crate) fn numbers(block: u64) -> Range<u64> {
        block * NUMBERS..(block + 1) * NUMBERS
    }

    /// Adds a term behind the others. Returns whether it is a long one.
    pub(crate) fn push(&mut self, id: TermId, bytes: &[u8]) -> bool {
        let is_long = bytes.len() >= LONG;
        self.push_short(id, if is_long { None } else { Some(bytes) });
        is_long
    }

    /// Adds a term of another block.
    pub(crate) fn push_from(&mut self, other: &Self, found: Found) {
        self.push_short(found.id, found.bytes.map(|place| other.bytes(place)));
    }

    fn push_short(&mut self, id: TermId, bytes: Option<&[u8]>) {
        self.bytes.extend_from_slice(bytes.unwrap_or_default());
        let place = Place {
            number: (id.payload() % NUMBERS) as u8,
            kind: id.kind().unwrap_or(Kind::Local),
            is_long: bytes.is_none(),
            end: self.bytes.len() as u32,
        };
        debug_assert!(self.terms.last().is_none_or(|last| last.number < place.number), "terms come in order");
        self.terms.push(place);
    }

    /// The term with this number.
    pub(crate) fn get(&self, number: u64) -> Option<Found> {
        let place = (number % NUMBERS) as u8;
        let at = match self.terms.get(usize::from(place)) {
            Some(term) if term.number == place => usize::from(place),
            _ => self.terms.binary_search_by_key(&place, |term| term.number).ok()?,
        };
        Some(self.found(at))
    }

    /// All its terms.
    pub(crate) fn terms(&self) -> impl DoubleEndedIterator<Item = Found> {
        (0..self.terms.len()).map(|at| self.found(at))
    }

    pub(crate) fn bytes(&self, (start, end): (usize, usize)) -> &[u8] {
        &self.bytes[start..end]
    }

    fn found(&self, at: usize) -> Found {
        let term = self.terms[at];
        let start = at.checked_sub(1).map_or(0, |before| self.terms[before].end as usize);
        let id = TermId::new(term.kind, self.number * NUMBERS + u64::from(term.number));
        Found { id, bytes: (!term.is_long).then_some((start, term.end as usize)) }
    }

    fn decoded(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let (number, terms) = (varint(bytes)?, varint(bytes)?);
        number.checked_mul(NUMBERS)?.checked_add(NUMBERS)?;
        let mut block = Self::new(number);
        for _ in 0..terms.min(NUMBERS + 1) {
            let id = TermId(varint(bytes)?.rotate_right(4));
            id.dictionary_index()?;
            let place = u8::try_from(id.payload()).ok()?;
            let length = varint(bytes)?;
            let start = block.terms.last().map_or(0, |last| last.end);
            let end = start.checked_add(u32::try_from(length.saturating_sub(1)).ok()?)?;
            block.terms.push(Place { number: place, kind: id.kind()?, is_long: length == 0, end });
        }
        let length = block.terms.last()?.end;
        block.bytes = take(bytes, u64::from(length))?.to_vec();
        (bytes.is_empty() && block.terms.is_sorted_by(|a, b| a.number < b.number)).then_some(block)
    }

    fn is_sound(&self) -> bool {
        self.terms()
            .all(|Found { id, bytes }| bytes.is_none_or(|place| stored_term::is_sound(id, self.bytes(place))))
    }
}

impl Page for Block {
    type Key = u64;

    fn first(&self) -> u64 {
        self.number
    }

    fn last(&self) -> Option<u64> {
        Some(self.number)
    }

    fn len(&self) -> usize {
        self.terms.len()
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + self.terms.capacity() * size_of::<Place>() + self.bytes.capacity()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 4 * self.terms.len() + 16);
        put_varint(&mut bytes, self.number);
        put_varint(&mut bytes, self.terms.len() as u64);
        for Found { id, bytes: place } in self.terms() {
            put_varint(
                &mut bytes,
                TermId::new(id.kind().unwrap_or(Kind::Local), id.payload() % NUMBERS).0.rotate_left(4),
            );
            put_varint(&mut bytes, place.map_or(0, |(start, end)| (end - start + 1) as u64));
        }
        bytes.extend_from_slice(&self.bytes);
        compress(&bytes)
    }

    fn decode(bytes: &[u8], known: bool) -> Result<Self> {
        Self::decoded(&decompress(bytes, MOST_BYTES)?)
            .filter(|block| known || block.is_sound())
            .ok_or_else(|| Error::Corrupt("a block of terms can't be read".into()))
    }
}

/// The length of the bytes, then the compressed bytes.
pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut stored = Vec::new();
    put_varint(&mut stored, bytes.len() as u64);
    let compressed = zstd::bulk::compress(bytes, ZSTD_LEVEL);
    stored.extend(compressed.expect("compression into memory does not fail"));
    stored
}

/// The result of [`compress`] for up to `most` bytes.
pub(super) fn decompress(mut stored: &[u8], most: u64) -> Result<Vec<u8>> {
    let wrong = |why: &str| Error::Corrupt(format!("terms that can't be decompressed: {why}"));
    let length = varint(&mut stored).filter(|length| *length <= most);
    let length = length.ok_or_else(|| wrong("their length is impossible"))? as usize;
    let bytes = zstd::bulk::decompress(stored, length).map_err(|error| wrong(&error.to_string()))?;
    if bytes.len() == length { Ok(bytes) } else { Err(wrong("they are too short")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        let mut block = Block::new(3);
        let text = |n: u64| format!("http://example.com/a/long/path/{n}");
        for n in (0..NUMBERS).filter(|n| n % 7 != 3) {
            let long = "long".repeat(LONG);
            let text = if n == 12 { long } else { text(n) };
            block.push(TermId::new(Kind::NamedNode, 3 * NUMBERS + n), text.as_bytes());
        }
        block
    }

    #[test]
    fn terms_come_back_through_the_stored_form() {
        let block = block();
        let read = Block::decode(&block.encode(), false).unwrap();
        assert!(block.terms().eq(read.terms()));
        for number in 3 * NUMBERS..4 * NUMBERS {
            let (found, n) = (read.get(number), number - 3 * NUMBERS);
            assert_eq!(found.is_some(), n % 7 != 3);
            let Some(Found { id, bytes }) = found else { continue };
            assert_eq!(id, TermId::new(Kind::NamedNode, number));
            assert_eq!(bytes.is_none(), n == 12);
            if let Some(place) = bytes {
                assert_eq!(read.bytes(place), format!("http://example.com/a/long/path/{n}").as_bytes());
            }
        }
    }

    #[test]
    fn every_damaged_block_is_refused_or_can_be_read() {
        let text = decompress(&block().encode(), MOST_BYTES).unwrap();
        for end in 0..text.len() {
            assert!(Block::decode(&compress(&text[..end]), false).is_err(), "cut at {end}");
        }
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 1 << (at % 8);
            if let Ok(block) = Block::decode(&compress(&damaged), false) {
                for found in block.terms() {
                    assert_eq!(block.get(found.id.payload()), Some(found));
                    found.bytes.map(|place| block.bytes(place));
                }
            }
        }
    }
}
