//! The segment table as a catalog holds it.

use super::{LogSegment, PageMap, Segment, Segments};
use crate::format::{Fields, Geometry, MAX_COUNT};

impl Segments {
    /// The most bytes that [`encode`](Self::encode) will need, even if one more segment is taken for pages meanwhile.
    pub(crate) fn encoded_bound(&self) -> usize {
        let map = 1 + self.pages_per_segment().div_ceil(64) as usize * 8;
        let of = |segment: &Segment| match segment {
            Segment::Pages(_) => map,
            Segment::Log(_) | Segment::Free | Segment::Retired | Segment::Preparing => 25,
        };
        4 + self.table.iter().map(of).sum::<usize>() + map + 25
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.table.len() as u32).to_le_bytes());
        for segment in &self.table {
            match segment {
                Segment::Free | Segment::Retired | Segment::Preparing => out.push(0),
                Segment::Log(log) => {
                    out.push(1);
                    for field in [log.ordinal, log.first_seq, log.live] {
                        out.extend_from_slice(&field.to_le_bytes());
                    }
                }
                Segment::Pages(map) => {
                    out.push(2);
                    for word in &map.words {
                        out.extend_from_slice(&word.to_le_bytes());
                    }
                }
            }
        }
    }

    pub(crate) fn decode(f: &mut Fields<'_>, geometry: Geometry) -> Option<Self> {
        let mut segments = Self::new(geometry);
        let pages = segments.pages_per_segment();
        for _ in 0..f.u32()? {
            segments.table.push(match f.u8()? {
                0 => Segment::Free,
                1 => {
                    let log = LogSegment { ordinal: f.u64()?, first_seq: f.u64()?, live: f.u64()? };
                    let size = u64::from(geometry.segment_size);
                    if log.ordinal.max(log.first_seq) >= MAX_COUNT || log.live > size {
                        return None;
                    }
                    Segment::Log(log)
                }
                2 => {
                    let mut map = PageMap::new(pages);
                    for word in &mut map.words {
                        *word = f.u64()?;
                        map.used += word.count_ones();
                    }
                    Segment::Pages(map)
                }
                _ => return None,
            });
        }
        Some(segments)
    }
}
