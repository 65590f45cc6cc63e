//! Where a blob's bytes are.
//!
//! The map of a short blob lists extents and the checksums of chunks. The map of a long blob would not fit into a
//! record. So a long blob is divided into parts of equal length. Each part has such a map in pages of its own, and
//! the blob's map lists the maps of the parts.

use std::fmt;

use crate::container::error::{Error, Result};
use crate::container::format::{Extent, Fields, Geometry, extent_checksum};
use crate::container::pages::{Bytes, Pages, PinnedBytes};
use crate::container::segments::PageRun;

/// The unit in which a blob is read and verified, in bytes.
pub(super) const CHUNK: usize = 64 * 1024;
/// First four bytes of a part's map.
const PART_MAGIC: u32 = 0x4d45_4456; // "VDEM"
/// This value in place of the number of extents marks a map of parts.
const OF_PARTS: u32 = u32::MAX;
const MAP: &str = "blob map";

/// The extents and checksums of a run of chunks: of a short blob, or of one part of a longer one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) len: u64,
    /// Offset in the container and length in bytes of each extent. Every extent but the last is a multiple of [`CHUNK`]
    /// long, so that a chunk lies in one extent.
    extents: Vec<(u64, u64)>,
    /// The checksum of each chunk.
    chunks: Vec<u64>,
}

impl Part {
    /// Adds the bytes that were written to `run`.
    pub(super) fn add(&mut self, run: PageRun, bytes: &[u8], geometry: Geometry) {
        for (i, chunk) in bytes.chunks(CHUNK).enumerate() {
            let offset = run.offset + (i * CHUNK) as u64;
            self.chunks.push(extent_checksum(chunk, offset, geometry.salt));
        }
        self.len += bytes.len() as u64;
        let same_segment = |a: u64, b: u64| geometry.segment_of(a) == geometry.segment_of(b);
        match self.extents.last_mut() {
            Some((offset, len)) if *offset + *len == run.offset && same_segment(*offset, run.offset) => {
                *len += bytes.len() as u64;
            }
            _ => self.extents.push((run.offset, bytes.len() as u64)),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.extents.len() as u32).to_le_bytes());
        for (offset, len) in &self.extents {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&len.to_le_bytes());
        }
        for sum in &self.chunks {
            out.extend_from_slice(&sum.to_le_bytes());
        }
    }

    /// The encoded map of a part, as its pages store it.
    pub(super) fn encode_page(&self) -> Vec<u8> {
        let mut out = PART_MAGIC.to_le_bytes().to_vec();
        self.encode(&mut out);
        out
    }

    /// The part with `extents` extents and `len` bytes.
    fn fields(f: &mut Fields<'_>, extents: u32, len: u64) -> Option<Self> {
        let mut part = Self { len, ..Self::default() };
        let mut total = 0u64;
        for _ in 0..extents {
            let (offset, len) = (f.u64()?, f.u64()?);
            part.extents.push((offset, len));
            total = total.checked_add(len)?;
        }
        while !f.0.is_empty() {
            part.chunks.push(f.u64()?);
        }
        (total == len && part.chunks.len() as u64 == len.div_ceil(CHUNK as u64)).then_some(part)
    }

    fn read(pages: &Pages, map: Extent, len: u64) -> Result<Self> {
        let bytes = pages.extent(map, MAP)?;
        Self::decode_page(&bytes, len).ok_or(Error::corrupt(MAP, map.offset))
    }

    fn decode_page(bytes: &[u8], len: u64) -> Option<Self> {
        let mut f = Fields(bytes);
        if f.u32()? != PART_MAGIC {
            return None;
        }
        let extents = f.u32()?;
        Self::fields(&mut f, extents, len)
    }

    fn runs(&self) -> impl Iterator<Item = PageRun> {
        self.extents.iter().map(|(offset, len)| PageRun::of(*offset, *len))
    }

    /// Where byte `at` lies in the container.
    fn locate(&self, mut at: u64) -> Option<u64> {
        for (offset, len) in &self.extents {
            if at < *len {
                return offset.checked_add(at);
            }
            at -= len;
        }
        None
    }

    /// The chunk with this index, and where it lies.
    fn chunk(&self, pages: &Pages, index: u64) -> Result<(u64, Bytes)> {
        let start = index * CHUNK as u64;
        let sum = self.chunks.get(index as usize).copied();
        let (offset, sum) = self.locate(start).zip(sum).ok_or(Error::corrupt(MAP, 0))?;
        let len = (self.len - start).min(CHUNK as u64) as usize;
        let bytes = pages.read(offset, len, "blob chunk")?;
        if extent_checksum(&bytes, offset, pages.geometry().salt) == sum {
            Ok((offset, bytes))
        } else {
            Err(pages.corrupt("blob chunk", offset))
        }
    }
}

/// Decodes any bytes as a part's map, for a fuzzer.
#[cfg(feature = "testing")]
pub(crate) fn decode_part(bytes: &[u8]) {
    for len in [0, 1, 4 * CHUNK as u64, PART_MAGIC.into()] {
        if let Some(part) = Part::decode_page(bytes, len) {
            let _ = (part.runs().count(), part.locate(len.saturating_sub(1)));
        }
    }
}

/// The list in a blob's map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    Chunks(Part),
    Parts {
        /// How many bytes each part but the last has.
        part_len: u64,
        /// Where the map of each part is.
        maps: Vec<Extent>,
    },
}

/// Where a blob's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlobMap {
    pub(crate) len: u64,
    /// The checksum of the whole content.
    pub(crate) checksum: u64,
    pub(super) listed: Listed,
}

/// The part of a blob that was last read, with its index.
#[derive(Default)]
pub(crate) struct Held(Option<(u64, Part)>);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.0.as_ref().map(|(index, _)| index)).finish()
    }
}

impl BlobMap {
    /// Length of an encoded map without parts, and the length that each part adds.
    pub(super) const PARTS_LEN: (u64, u64) = (28, 20);

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
        match &self.listed {
            Listed::Chunks(part) => part.encode(&mut out),
            Listed::Parts { part_len, maps } => {
                out.extend_from_slice(&OF_PARTS.to_le_bytes());
                out.extend_from_slice(&part_len.to_le_bytes());
                for map in maps {
                    out.extend_from_slice(&map.encode());
                }
            }
        }
        out
    }

    /// Decodes a map whose checksum was verified. `offset` is its place in the container, for errors.
    pub(crate) fn decode(bytes: &[u8], offset: u64) -> Result<Self> {
        Self::fields(&mut Fields(bytes)).ok_or(Error::corrupt(MAP, offset))
    }

    fn fields(f: &mut Fields<'_>) -> Option<Self> {
        let (len, checksum, extents) = (f.u64()?, f.u64()?, f.u32()?);
        if extents != OF_PARTS {
            return Some(Self { len, checksum, listed: Listed::Chunks(Part::fields(f, extents, len)?) });
        }
        let part_len = f.u64()?;
        if part_len == 0 || !part_len.is_multiple_of(CHUNK as u64) {
            return None;
        }
        let mut maps = Vec::new();
        while !f.0.is_empty() {
            maps.push(Extent::decode(f)?);
        }
        let is_whole = maps.len() as u64 == len.div_ceil(part_len);
        is_whole.then_some(Self { len, checksum, listed: Listed::Parts { part_len, maps } })
    }

    /// The parts' maps, and how long each part is.
    fn parts(&self) -> impl Iterator<Item = (Extent, u64)> {
        let (part_len, maps) = match &self.listed {
            Listed::Chunks(_) => (0, &[][..]),
            Listed::Parts { part_len, maps } => (*part_len, &maps[..]),
        };
        let mut left = self.len;
        maps.iter().map(move |map| {
            let len = part_len.min(left);
            left -= len;
            (*map, len)
        })
    }

    /// The pages that the blob occupies, with those of its parts' maps.
    pub(crate) fn runs(&self, pages: &Pages) -> Result<Vec<PageRun>> {
        if let Listed::Chunks(part) = &self.listed {
            return Ok(part.runs().collect());
        }
        let mut runs = Vec::new();
        for (map, len) in self.parts() {
            runs.push(PageRun::of(map.offset, u64::from(map.len)));
            runs.extend(Part::read(pages, map, len)?.runs());
        }
        Ok(runs)
    }

    /// The chunk with this index.
    pub(super) fn chunk(&self, pages: &Pages, index: u64, held: &mut Held) -> Result<Bytes> {
        Ok(self.placed_chunk(pages, index, held)?.1)
    }

    /// The chunk with this index, and where it lies.
    fn placed_chunk(&self, pages: &Pages, index: u64, held: &mut Held) -> Result<(u64, Bytes)> {
        match &self.listed {
            Listed::Chunks(part) => part.chunk(pages, index),
            Listed::Parts { part_len, maps } => {
                let per_part = part_len / CHUNK as u64;
                let which = index / per_part;
                let map = maps.get(which as usize).ok_or(Error::corrupt(MAP, 0))?;
                let part = match &mut held.0 {
                    Some((held, part)) if *held == which => part,
                    held => {
                        let len = (self.len - which * part_len).min(*part_len);
                        &mut held.insert((which, Part::read(pages, *map, len)?)).1
                    }
                };
                part.chunk(pages, index % per_part)
            }
        }
    }

    /// The bytes from `from` to `to`. Only the chunks that contain them are read.
    pub(crate) fn range(&self, pages: &Pages, from: u64, to: u64) -> Result<Vec<u8>> {
        let (from, to) = (from.min(self.len), to.min(self.len));
        let (len, mut out) = (to.saturating_sub(from), Vec::new());
        let reserved = usize::try_from(len).ok().and_then(|len| out.try_reserve_exact(len).ok());
        if reserved.is_none() {
            return Err(Error::TooLarge { what: "value to hold in memory", len, max: isize::MAX as u64 });
        }
        let mut held = Held::default();
        let mut at = from;
        while at < to {
            let index = at / CHUNK as u64;
            let start = index * CHUNK as u64;
            let chunk = self.chunk(pages, index, &mut held)?;
            let end = (to - start).min(chunk.len() as u64);
            out.extend_from_slice(&chunk[(at - start) as usize..end as usize]);
            at = start + end;
        }
        Ok(out)
    }

    /// The whole value. It is not copied if it is one contiguous piece of a mapped file.
    pub(crate) fn pin(&self, pages: &Pages) -> Result<PinnedBytes> {
        if let Listed::Chunks(part) = &self.listed
            && let [(offset, len)] = part.extents[..]
            && let Some(whole) = pages.read_mapped(offset, len as usize, "blob")?
        {
            self.verify(pages)?;
            return Ok(whole.pin(0, len as usize));
        }
        Ok(PinnedBytes::Owned(self.range(pages, 0, self.len)?.into()))
    }

    /// Checks every chunk, and every part's map.
    pub(crate) fn verify(&self, pages: &Pages) -> Result<()> {
        self.check(pages, |_, _| Ok(()))
    }

    /// As [`verify`](Self::verify), and calls `each(bytes, offset)` with each of them after its check.
    pub(crate) fn check(&self, pages: &Pages, mut each: impl FnMut(&[u8], u64) -> Result<()>) -> Result<()> {
        for (map, _) in self.parts() {
            // An earlier reader may have verified the page. Verify its current bytes.
            pages.forget(map.offset);
            each(&pages.extent(map, MAP)?, map.offset)?;
        }
        let mut held = Held::default();
        (0..self.len.div_ceil(CHUNK as u64)).try_for_each(|index| {
            let (offset, bytes) = self.placed_chunk(pages, index, &mut held)?;
            each(&bytes, offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::container::device::{Device, MemoryDevice};
    use crate::container::format::DATA_START;

    const GEOMETRY: Geometry = Geometry { segment_size: 1 << 18, salt: 5 };
    /// The longest value, in parts of 512 MiB.
    const LEN: u64 = 1 << 48;
    const PART_LEN: u64 = 512 << 20;

    /// A value of 2^48 bytes whose chunks are all the same 64 KiB of the container.
    fn longest() -> (BlobMap, Pages) {
        let bytes: Vec<u8> = (0..CHUNK).map(|i| (i / 256) as u8 ^ i as u8).collect();
        let (run, map_at) = (PageRun { offset: DATA_START, pages: 16 }, DATA_START + CHUNK as u64);
        let mut part = Part::default();
        while part.len < PART_LEN {
            part.add(run, &bytes, GEOMETRY);
        }
        let page = part.encode_page();
        let device = Arc::new(MemoryDevice::new());
        device.write_at(&bytes, run.offset).unwrap();
        device.write_at(&page, map_at).unwrap();
        let checksum = extent_checksum(&page, map_at, GEOMETRY.salt);
        let map = Extent { offset: map_at, len: page.len() as u32, checksum };
        let listed = Listed::Parts { part_len: PART_LEN, maps: vec![map; (LEN / PART_LEN) as usize] };
        (BlobMap { len: LEN, checksum: 0, listed }, Pages::new(device, GEOMETRY))
    }

    #[test]
    fn the_longest_value_is_read_at_both_ends_and_across_boundaries() {
        let (map, pages) = longest();
        let map = BlobMap::decode(&map.encode(), 0).unwrap();
        for seam in [5, CHUNK as u64, PART_LEN, LEN / 2, LEN - 5] {
            let read = map.range(&pages, seam - 5, seam + 5).unwrap();
            let expected = (seam - 5..(seam + 5).min(LEN)).map(|at| (at / 256) as u8 ^ at as u8);
            assert_eq!(read, expected.collect::<Vec<_>>(), "at {seam}");
        }
        assert!(matches!(map.range(&pages, 0, LEN), Err(Error::TooLarge { .. })), "nobody has the memory");
    }

    #[test]
    fn a_map_with_too_many_or_too_few_parts_is_refused() {
        let (mut map, _) = longest();
        for len in [LEN + 1, LEN - PART_LEN, 0] {
            map.len = len;
            assert!(BlobMap::decode(&map.encode(), 0).is_err(), "{len}");
        }
    }

    #[test]
    fn a_part_of_another_length_is_corrupt() {
        let (map, pages) = longest();
        let Listed::Parts { maps, .. } = map.listed else { unreachable!() };
        let part = |len| Part::read(&pages, maps[0], len);
        assert!(part(PART_LEN).is_ok());
        assert!(matches!(part(PART_LEN - 1), Err(Error::Corrupt { what: MAP, .. })));
    }
}
