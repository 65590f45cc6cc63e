//! What compacting asks of the segment table: what is free, where the container could end, what lies behind that.

use super::{PageRun, Segment, Segments};
use crate::format::BLOCK;

impl Segments {
    /// From here on, pages are taken from the lowest free segments and not from those that hold pages already; until
    /// [`end_packing`](Self::end_packing).
    pub(crate) fn begin_packing(&mut self) {
        self.ready.clear();
        self.closed = self.table.iter().map(|segment| matches!(segment, Segment::Pages(_))).collect();
    }

    pub(crate) fn end_packing(&mut self) {
        self.closed.clear();
    }

    /// The lowest free segment, if there is one below `segment`.
    pub(crate) fn has_free_below(&self, segment: u32) -> bool {
        self.table.iter().take(segment as usize).any(|segment| *segment == Segment::Free)
    }

    /// Runs of the container that hold nothing: free segments, and free pages of at least so many at a time.
    pub(crate) fn unused(&self, least: u32) -> Vec<PageRun> {
        let pages = self.pages_per_segment();
        let mut runs = Vec::new();
        for (index, segment) in (0u32..).zip(&self.table) {
            let offset = self.geometry.segment_offset(index);
            match segment {
                Segment::Free => runs.push(PageRun { offset, pages }),
                Segment::Pages(map) => {
                    let free = map.runs(false).into_iter().filter(|(_, count)| *count >= least);
                    runs.extend(free.map(|(first, count)| PageRun {
                        offset: offset + u64::from(first) * BLOCK,
                        pages: count,
                    }));
                }
                _ => {}
            }
        }
        runs
    }

    /// Whether a free segment lies before one that is not.
    pub(crate) fn has_gaps(&self) -> bool {
        let last = self.table.iter().rposition(|segment| *segment != Segment::Free);
        last.is_some_and(|last| self.table[..last].contains(&Segment::Free))
    }

    /// Where the container would end if no segment before were free.
    pub(crate) fn packed_end(&self) -> u32 {
        self.table.iter().filter(|segment| **segment != Segment::Free).count() as u32
    }

    /// Log segments before that of `newest` which would fit into free ones before them. What writers have taken since then need
    /// not be on the device yet.
    pub(crate) fn tail_logs(&self, newest: u64) -> Vec<(u32, u64)> {
        let tail = (0u32..).zip(&self.table).skip(self.packed_end() as usize);
        tail.filter_map(|(index, segment)| match segment {
            Segment::Log(log) if log.ordinal < newest => Some((index, log.ordinal)),
            _ => None,
        })
        .collect()
    }

    /// Forgets free segments at the container's end; returns how many bytes are left.
    pub(crate) fn trim(&mut self) -> u64 {
        self.ready.clear();
        while self.table.last() == Some(&Segment::Free) {
            self.table.pop();
        }
        self.reopen(self.table.len());
        self.geometry.segment_offset(self.table.len() as u32)
    }
}
