//! The segments in which the log continues, announced before it gets there.
//!
//! After a crash, the log may end at a damaged unit. Units that were written later prove that. To find them, recovery
//! reads the announced segments, and not all free ones. The superblock and every link of the log announce segments.
//! From then on, only the log takes them, with three exceptions: a checkpoint on a full disk may need their space, readers
//! in other processes may need what they contained, and a hole may be made in them at that moment. The log then
//! continues elsewhere. While the container is packed, no segment is announced.

use super::state::Event;
use super::{LogSegment, Segment, Segments};

/// How many segments are announced. While one of them is preallocated, the log can continue in the other.
const ANNOUNCED: usize = 2;

/// The log does not continue farther behind the container's end than by this many segments. Otherwise, the container could be
/// cut so that an announced segment is out of reach.
const REACH: u32 = 1 << 10;

impl Segments {
    /// A segment in which the log continues: an announced one, if possible, and a preallocated one, if possible.
    pub(crate) fn take_log(&mut self, ordinal: u64, first_seq: u64) -> u32 {
        let ready = self.announced.iter().find(|segment| self.ready.contains(segment)).copied();
        let announced = ready.or(self.first_open());
        let other = self.ready.first().or(self.free.first()).copied();
        let segment = announced.or(other).unwrap_or(self.table.len());
        self.step(segment, Event::LogBegins(LogSegment::new(ordinal, first_seq)));
        self.announced.retain(|announced| *announced != segment);
        segment
    }

    /// Announces one more segment, unless enough are announced. Returns the newest one. `None` while the container is packed;
    /// then none is announced any more.
    pub(crate) fn announce(&mut self) -> Option<u32> {
        if self.packing {
            self.announced.clear();
            return None;
        }
        let mut announced = std::mem::take(&mut self.announced);
        announced.retain(|segment| self.can_become_log(*segment));
        self.announced = announced;
        if self.announced.len() < ANNOUNCED {
            let ready = self.ready.iter().copied().find(|segment| !self.announced.contains(segment));
            let segment = ready.or(self.first_free()).unwrap_or(self.first_behind());
            self.announced.push(segment);
        }
        self.announced.last().copied()
    }

    /// Announces as many segments as possible. Returns them as a log position has them.
    pub(crate) fn announced(&mut self) -> [Option<u32>; ANNOUNCED] {
        while self.announce().is_some() && self.announced.len() < ANNOUNCED {}
        std::array::from_fn(|slot| self.announced.get(slot).copied())
    }

    /// Recovery has found that these are announced.
    pub(crate) fn mark_announced(&mut self, segments: [Option<u32>; ANNOUNCED]) {
        self.announced = segments.into_iter().flatten().collect();
    }

    /// The first segment that is free and not announced.
    pub(super) fn first_free(&self) -> Option<u32> {
        self.free.iter().copied().find(|segment| !self.announced.contains(segment))
    }

    /// The first segment behind the container's end that is not announced.
    pub(super) fn first_behind(&self) -> u32 {
        let mut segment = self.table.len();
        while self.announced.contains(&segment) {
            segment += 1;
        }
        segment
    }

    /// An announced segment that is free, or lies behind the container's end.
    pub(super) fn first_open(&self) -> Option<u32> {
        let is_open = |segment: &&u32| self.free.contains(segment) || self.is_behind(**segment);
        self.announced.iter().find(is_open).copied()
    }

    fn is_behind(&self, segment: u32) -> bool {
        let len = self.table.len();
        (len..len.saturating_add(REACH)).contains(&segment)
    }

    fn can_become_log(&self, segment: u32) -> bool {
        let is_free = |segment| {
            matches!(self.table.get(segment), Some(Segment::Free | Segment::Ready | Segment::Preparing))
        };
        is_free(segment) || self.is_behind(segment)
    }
}
