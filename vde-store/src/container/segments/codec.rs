//! The encoding of the segment table in a catalog.

use super::{LogSegment, PageMap, Segment, Table};
use crate::container::format::{Fields, Geometry, MAX_COUNT};

impl Table {
    /// The greatest number of bytes that the encoding grows by when pages of a segment are taken.
    pub(crate) fn encoded_map_len(&self) -> usize {
        1 + self.pages_per_segment().div_ceil(64) as usize * 8
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.len().to_le_bytes());
        for (_, segment) in self.iter() {
            match segment {
                Segment::Free | Segment::Held | Segment::Preparing | Segment::Ready => out.push(0),
                Segment::Log(log) => {
                    out.push(1);
                    for field in [log.ordinal, log.first_seq, log.live] {
                        out.extend_from_slice(&field.to_le_bytes());
                    }
                }
                Segment::Pages(map) if map.is_full() => out.push(3),
                Segment::Pages(map) => {
                    out.push(2);
                    for word in map.words() {
                        out.extend_from_slice(&word.to_le_bytes());
                    }
                }
            }
        }
    }

    pub(crate) fn decode(f: &mut Fields<'_>, geometry: Geometry) -> Option<Self> {
        let mut table = Self::new(geometry);
        let pages = table.pages_per_segment();
        for _ in 0..f.u32()? {
            table.push(match f.u8()? {
                0 => Segment::Free,
                1 => {
                    let log = LogSegment::new(f.u64()?, f.u64()?);
                    let log = LogSegment { live: f.u64()?, ..log };
                    let size = u64::from(geometry.segment_size);
                    if log.ordinal.max(log.first_seq) >= MAX_COUNT || log.live > size {
                        return None;
                    }
                    Segment::Log(log)
                }
                2 => {
                    let words = (0..pages.div_ceil(64)).map(|_| f.u64()).collect::<Option<_>>()?;
                    Segment::Pages(PageMap::of_words(words, pages))
                }
                3 => Segment::Pages(PageMap::full(pages)),
                _ => return None,
            });
        }
        Some(table)
    }
}
