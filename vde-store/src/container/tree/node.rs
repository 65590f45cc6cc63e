//! The pages of the index: a header, the common prefix of the keys, the keys' heads, the cells' offsets, and the
//! cells in key order.
//!
//! A page has as many blocks as its cells need, so keys of any length fit without a special case.
//!
//! A head is the next four bytes of a key after the common prefix, as an integer. Heads are stored side by side, so a
//! search stays within a few cache lines and reads only the cell that it finds. Without heads, every probe of a
//! binary search would be a cache miss. (The "poor man's normalized keys" of Graefe and Larson, B-tree indexes and
//! CPU caches, 2001.)

use crate::container::format::{Extent, Fields};
use crate::container::memtable::Location;

/// First four bytes of a page.
pub(crate) const PAGE_MAGIC: u32 = 0x5045_4456; // "VDEP"
/// Magic, level, length of the prefix, count, padding; then the generation.
const HEAD: usize = 24;
/// The most bytes of the common prefix that the heads leave out.
const MAX_PREFIX: usize = 64;
/// Inner pages have at least two children, so no index has more levels.
const MAX_LEVEL: u8 = 63;
/// A key's head and its cell's offset.
const SLOT: usize = 8;

const CELL_BLOB: u8 = 1;
const CELL_INLINE: u8 = 2;
const CELL_USER: u8 = 4;

/// Appends an integer, seven bits a byte, lowest first.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint(f: &mut Fields<'_>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = f.u8()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The value of a key in a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeafValue<'a> {
    pub(crate) len: u64,
    pub(crate) version: u64,
    pub(crate) created: u64,
    pub(crate) place: Place<'a>,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// In the leaf itself.
    Inline { modified: u64, user: &'a [u8], bytes: &'a [u8] },
    /// In a record of the log, or in the blob that the record maps.
    Record { location: Location, blob: bool },
}

impl LeafValue<'_> {
    /// The most bytes of an encoded leaf value whose bytes are in a record.
    pub(crate) const USUAL_LEN: usize = 48;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flags = match self.place {
            Place::Inline { user, .. } => CELL_INLINE | if user.is_empty() { 0 } else { CELL_USER },
            Place::Record { blob, .. } => u8::from(blob) * CELL_BLOB,
        };
        out.push(flags);
        put_varint(out, self.len);
        put_varint(out, self.version);
        put_varint(out, self.created);
        match self.place {
            Place::Inline { modified, user, bytes } => {
                put_varint(out, modified.wrapping_sub(self.created));
                if !user.is_empty() {
                    put_varint(out, user.len() as u64);
                    out.extend_from_slice(user);
                }
                out.extend_from_slice(bytes);
            }
            Place::Record { location, .. } => {
                put_varint(out, location.offset);
                put_varint(out, u64::from(location.len));
            }
        }
    }
}

impl<'a> LeafValue<'a> {
    fn decode(f: &mut Fields<'a>) -> Option<Self> {
        let flags = f.u8()?;
        let (len, version, created) = (varint(f)?, varint(f)?, varint(f)?);
        let place = if flags & CELL_INLINE != 0 {
            let modified = created.wrapping_add(varint(f)?);
            let user_len = if flags & CELL_USER != 0 { varint(f)? } else { 0 };
            let user = f.bytes(usize::try_from(user_len).ok()?)?;
            Place::Inline { modified, user, bytes: f.bytes(usize::try_from(len).ok()?)? }
        } else {
            let (offset, len) = (varint(f)?, u32::try_from(varint(f)?).ok()?);
            Place::Record { location: Location { offset, len }, blob: flags & CELL_BLOB != 0 }
        };
        Some(Self { len, version, created, place })
    }
}

/// The key of the cell that begins at `at`.
pub(crate) fn key_of(page: &[u8], at: usize) -> Option<&[u8]> {
    let mut f = Fields(page.get(at..)?);
    let len = f.u32()?;
    f.bytes(len as usize)
}

/// The value in the leaf's cell that begins at `at`.
pub(crate) fn value_of(page: &[u8], at: usize) -> Option<LeafValue<'_>> {
    let mut f = Fields(page.get(at..)?);
    let len = f.u32()?;
    f.bytes(len as usize)?;
    LeafValue::decode(&mut f)
}

/// The value in the leaf's cell that begins at `at`, if it is the cell of `key`.
pub(crate) fn cell_of<'a>(page: &'a [u8], at: usize, key: &[u8]) -> Option<LeafValue<'a>> {
    if key_of(page, at)? == key { value_of(page, at) } else { None }
}

/// The head of a key: the first four bytes after the common prefix as one integer. Different heads sort as their keys
/// do.
fn head_of(rest: &[u8]) -> u32 {
    let mut head = [0; 4];
    let len = rest.len().min(4);
    head[..len].copy_from_slice(&rest[..len]);
    u32::from_be_bytes(head)
}

fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take(MAX_PREFIX).take_while(|(a, b)| a == b).count()
}

/// A page, read in place.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    bytes: &'a [u8],
    prefix: &'a [u8],
    heads: &'a [[u8; 4]],
    offsets: &'a [[u8; 4]],
    pub(crate) level: u8,
    pub(crate) count: usize,
    /// The checkpoint that wrote it.
    pub(crate) generation: u64,
}

impl<'a> Node<'a> {
    /// `None` if the bytes contradict the format. Cells are checked when they are read.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut f = Fields(bytes);
        if f.u32()? != PAGE_MAGIC {
            return None;
        }
        let (level, prefix_len, _reserved) = (f.u8()?, f.u8()?, f.u16()?);
        if level > MAX_LEVEL {
            return None;
        }
        let count = f.u32()? as usize;
        let _reserved = f.u32()?;
        let generation = f.u64()?;
        let prefix = f.bytes(usize::from(prefix_len))?;
        let (heads, _) = f.bytes(count.checked_mul(4)?)?.as_chunks();
        let (offsets, _) = f.bytes(count * 4)?.as_chunks();
        Some(Self { bytes, prefix, heads, offsets, level, count, generation })
    }

    /// Where in the page a cell begins.
    pub(crate) fn offset(&self, index: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.offsets.get(index)?))
    }

    fn cell(&self, index: usize) -> Option<Fields<'a>> {
        Some(Fields(self.bytes.get(self.offset(index)? as usize..)?))
    }

    pub(crate) fn key(&self, index: usize) -> Option<&'a [u8]> {
        key_of(self.bytes, self.offset(index)? as usize)
    }

    pub(crate) fn value(&self, index: usize) -> Option<LeafValue<'a>> {
        self.leaf_cell(index).map(|(value, _)| value)
    }

    /// A value, and the bytes that encode it.
    pub(crate) fn leaf_cell(&self, index: usize) -> Option<(LeafValue<'a>, &'a [u8])> {
        let mut f = self.cell(index)?;
        let len = f.u32()?;
        f.bytes(len as usize)?;
        let from = f.0;
        let value = LeafValue::decode(&mut f)?;
        Some((value, &from[..from.len() - f.0.len()]))
    }

    pub(crate) fn child(&self, index: usize) -> Option<Extent> {
        let mut f = self.cell(index)?;
        let len = f.u32()?;
        f.bytes(len as usize)?;
        Extent::decode(&mut f)
    }

    /// The first cell whose key is not less than `key`, and whether it is `key`.
    pub(crate) fn search(&self, key: &[u8]) -> Option<(usize, bool)> {
        let Some(rest) = key.strip_prefix(self.prefix) else {
            return Some((if key < self.prefix { 0 } else { self.count }, false));
        };
        let head = head_of(rest);
        let mut low = self.heads.partition_point(|at| u32::from_le_bytes(*at) < head);
        let equals = |at: &[u8; 4]| u32::from_le_bytes(*at) == head;
        // Most heads belong to only one key, which one more probe shows.
        let mut high = match self.heads[low..] {
            [one, other, ..] if equals(&one) && equals(&other) => {
                low + self.heads[low..].partition_point(equals)
            }
            [one, ..] if equals(&one) => low + 1,
            _ => low,
        };
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.key(middle)?.cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some((middle, true)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Some((low, false))
    }

    /// The child whose range holds `key`: the last whose separator is not greater.
    pub(crate) fn descend(&self, key: &[u8]) -> Option<usize> {
        let (index, exact) = self.search(key)?;
        if exact { Some(index) } else { Some(index.saturating_sub(1)) }
    }

    /// Whether a search finds every cell: the keys ascend, and match the prefix and the heads.
    pub(crate) fn is_ordered(&self) -> bool {
        let mut before = None;
        (0..self.count).all(|index| {
            let Some(key) = self.key(index) else { return false };
            let ascends = before.replace(key).is_none_or(|before| before < key);
            let head = u32::from_le_bytes(self.heads[index]);
            ascends && key.strip_prefix(self.prefix).is_some_and(|rest| head_of(rest) == head)
        })
    }
}

/// The cells of a page that is being built.
#[derive(Default)]
pub(crate) struct Cells {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Cells {
    pub(crate) fn push(&mut self, key: &[u8], payload: &[u8]) {
        self.starts.push(self.bytes.len() as u32);
        self.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(payload);
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The child in the first cell of an inner page.
    pub(crate) fn first_child(&self) -> Option<Extent> {
        let mut f = Fields(&self.bytes);
        let key_len = f.u32()?;
        f.bytes(key_len as usize)?;
        Extent::decode(&mut f)
    }

    fn end(&self, index: usize) -> usize {
        self.starts.get(index + 1).map_or(self.bytes.len(), |start| *start as usize)
    }

    fn key(&self, index: usize) -> &[u8] {
        let cell = &self.bytes[self.starts[index] as usize..];
        let len = u32::from_le_bytes([cell[0], cell[1], cell[2], cell[3]]);
        &cell[4..4 + len as usize]
    }

    /// How many bytes a page of the first `count` cells has at most.
    fn page_len_of(&self, count: usize) -> usize {
        HEAD + MAX_PREFIX + count * SLOT + self.end(count - 1)
    }

    /// How many bytes a page of all cells has at most.
    pub(crate) fn page_len(&self) -> usize {
        self.page_len_of(self.len())
    }

    /// How many cells from the first on fit into a page of `limit` bytes; at least one.
    pub(crate) fn fitting(&self, limit: usize) -> usize {
        (1..self.len()).rfind(|count| self.page_len_of(*count) <= limit).unwrap_or(1)
    }

    /// Builds a page of the first `count` cells and keeps the others. Returns the first key and the page.
    pub(crate) fn build(&mut self, count: usize, level: u8, generation: u64) -> (Vec<u8>, Vec<u8>) {
        let end = self.end(count - 1);
        let prefix = common_prefix(self.key(0), self.key(count - 1));
        let mut page = Vec::with_capacity(HEAD + prefix + count * SLOT + end);
        page.extend_from_slice(&PAGE_MAGIC.to_le_bytes());
        page.extend_from_slice(&[level, prefix as u8, 0, 0]);
        page.extend_from_slice(&(count as u32).to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.extend_from_slice(&generation.to_le_bytes());
        page.extend_from_slice(&self.key(0)[..prefix]);
        for index in 0..count {
            page.extend_from_slice(&head_of(&self.key(index)[prefix..]).to_le_bytes());
        }
        let cells = (HEAD + prefix + count * SLOT) as u32;
        for start in &self.starts[..count] {
            page.extend_from_slice(&(cells + start).to_le_bytes());
        }
        page.extend_from_slice(&self.bytes[..end]);
        let first_key = self.key(0).to_vec();
        self.bytes.drain(..end);
        self.starts.drain(..count);
        for start in &mut self.starts {
            *start -= end as u32;
        }
        (first_key, page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&[u8]]) -> Vec<u8> {
        let mut cells = Cells::default();
        for key in keys {
            cells.push(key, b"payload");
        }
        cells.build(keys.len(), 0, 1).1
    }

    #[test]
    fn a_search_agrees_with_a_binary_search_of_the_keys() {
        let long = [7; 200];
        let pages: [&[&[u8]]; 5] = [
            &[b"a", b"a\0", b"a\0\0\0\0", b"a\0\0\0\0\0", b"b"],
            &[b"user:0001", b"user:0002", b"user:00020", b"user:1", b"user:\xff\xff\xff\xff\xff"],
            &[b"", b"x"],
            &[b"same head 1", b"same head 2", b"same head 3", b"same tail"],
            &[&long[..100], &long[..101], &long[..199], &long],
        ];
        let probes: Vec<Vec<u8>> = pages
            .iter()
            .flat_map(|keys| keys.iter())
            .flat_map(|key| [key.to_vec(), [key, &b"\0"[..]].concat(), key[..key.len() / 2].to_vec()])
            .chain([vec![], vec![255; 9]])
            .collect();
        for keys in pages {
            let bytes = page(keys);
            let node = Node::new(&bytes).unwrap();
            assert!(node.is_ordered());
            for probe in &probes {
                let expected = keys.binary_search(&probe.as_slice());
                let found = node.search(probe).unwrap();
                assert_eq!(found, expected.map_or_else(|at| (at, false), |at| (at, true)), "{probe:?}");
            }
        }
    }

    #[test]
    fn a_page_with_heads_of_other_keys_is_not_ordered() {
        let mut bytes = page(&[b"key 1", b"key 2"]);
        bytes[HEAD + b"key ".len()] ^= 1;
        assert!(!Node::new(&bytes).unwrap().is_ordered());
    }
}
