//! Reading the log: its units in order from a position on, and the reason why they end.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::thread;

use crate::container::error::{Error, Result};
use crate::container::format::{Geometry, LogPosition, UNIT_HEAD, UNIT_MAGIC, UnitHead};
use crate::container::log::record::{Link, Record};
use crate::container::log::unit::Unit;
use crate::container::pages::{Bytes, Pages};

/// At the log's end, at most this many threads search the segments that may follow.
const SEARCHERS: usize = 32;
/// The fewest segments that one thread searches.
const SEARCHED_BY_ONE: usize = 256;
/// How many bytes of an announced segment are searched at first. The rest is searched if they contain a unit. Most units
/// are half as long at most, so some are found behind a damaged one.
const SEARCHED_FIRST: usize = 2 << 20;

/// Reads the log forward, unit by unit.
pub(crate) struct LogReader<'a> {
    pages: &'a Pages,
    geometry: Geometry,
    position: LogPosition,
    /// The bytes of the current segment, as far as the device has them.
    segment: Bytes,
    device_len: u64,
    durable_seq: u64,
    /// The announced segments.
    announced: Vec<u32>,
    /// From this sequence number on, units are written back as they are read.
    write_back_from: Option<u64>,
}

impl<'a> LogReader<'a> {
    pub(crate) fn new(pages: &'a Pages, position: LogPosition) -> Result<Self> {
        let geometry = pages.geometry();
        let device_len = pages.device().len().map_err(|e| Error::io("measure the container", e))?;
        let mut reader = Self {
            pages,
            geometry,
            position,
            segment: Bytes::Copied(Vec::new()),
            device_len,
            durable_seq: position.seq,
            announced: position.announced.into_iter().flatten().collect(),
            write_back_from: None,
        };
        reader.load()?;
        Ok(reader)
    }

    /// Goes back to `position`.
    pub(crate) fn rewind(&mut self, position: LogPosition) -> Result<()> {
        let is_elsewhere = self.position.segment != position.segment;
        self.position = position;
        self.announced = position.announced.into_iter().flatten().collect();
        if is_elsewhere { self.load() } else { Ok(()) }
    }

    /// From here on, writes each unit back that has records from `seq` on. After a failed sync, such a unit may be in
    /// the page cache and not on the disk. The system regards the cached page as clean and would never write it.
    pub(crate) fn write_back_from(&mut self, seq: u64) {
        self.write_back_from = Some(seq);
    }

    /// Where the next unit would begin.
    pub(crate) fn position(&self) -> LogPosition {
        let mut newest = self.announced.iter().rev().copied();
        LogPosition { announced: [newest.next(), newest.next()], ..self.position }
    }

    fn load(&mut self) -> Result<()> {
        self.segment = read_segment(self.pages, self.geometry, self.position.segment, self.device_len)?;
        Ok(())
    }

    /// When the last unit that was read was written, the log was known to be durable up to this sequence number.
    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq
    }

    /// Calls `each(record, seq, offset)` for the records of the next unit; `each` returns whether the record is
    /// whole. Returns `false` if the log ends here, and keeps its position.
    pub(crate) fn next_unit(
        &mut self,
        mut each: impl FnMut(&Record<'_>, u64, u64) -> Result<bool>,
    ) -> Result<bool> {
        let at = self.position.offset;
        let rest = self.segment.get(at as usize..).unwrap_or(&[]);
        if !UnitHead::decode(rest).is_some_and(|(head, _)| self.is_next(&head)) {
            return Ok(false);
        }
        let Some(unit) = Unit::read(rest, self.geometry.salt) else { return Ok(false) };
        let start = self.geometry.segment_offset(self.position.segment) + u64::from(at);
        let mut seq = self.position.seq;
        let mut link = None;
        for (place, record) in &unit.records {
            if let Some(next) = record.link() {
                if !self.can_lead_to(next) {
                    return Ok(false);
                }
                link = Some(next);
            } else {
                seq += 1;
                if !each(record, seq, start + place)? {
                    return Ok(false);
                }
            }
        }
        if self.write_back_from.is_some_and(|from| seq >= from) {
            let mut bytes = rest[..unit.head.len as usize].to_vec();
            bytes.resize((unit.head.end(at) - at) as usize, 0);
            let written = self.pages.device().write_at(&bytes, start);
            written.map_err(|e| Error::io("write the log anew", e))?;
        }
        self.durable_seq = unit.head.durable_seq;
        self.position = LogPosition { offset: unit.head.end(at), chain: unit.sum, seq, ..self.position };
        if let Some(Link { segment, ordinal, announced }) = link {
            match announced {
                Some(announced) => {
                    self.announced.retain(|other| ![segment, announced].contains(other));
                    self.announced.push(announced);
                }
                None => self.announced.clear(),
            }
            self.position = LogPosition { segment, offset: 0, ordinal, ..self.position };
            self.load()?;
        }
        Ok(true)
    }

    /// Whether the log can continue in this segment. After a crash, a link may lead beyond the container's end, but
    /// not far.
    fn can_lead_to(&self, link: Link) -> bool {
        link.ordinal == self.position.ordinal + 1
            && u64::from(link.segment) < self.geometry.segments_within_reach(self.device_len)
    }

    /// Whether a unit with this header continues the log here.
    fn is_next(&self, head: &UnitHead) -> bool {
        let expected = (self.position.ordinal, self.position.chain, self.position.seq + 1);
        (head.ordinal, head.chain, head.first_seq) == expected
    }

    /// To be called at the log's end: the offset of a torn unit there, if there is one.
    pub(crate) fn torn_at(&self) -> Option<u64> {
        let at = self.position.offset as usize;
        let (head, _) = UnitHead::decode(self.segment.get(at..)?)?;
        self.is_next(&head).then(|| self.geometry.segment_offset(self.position.segment) + at as u64)
    }

    /// The error for a log that ends too early.
    pub(crate) fn damage(&self) -> Error {
        let offset = self.geometry.segment_offset(self.position.segment) + u64::from(self.position.offset);
        Error::corrupt("log unit", offset)
    }

    /// To be called at the log's end: fails if the log has ended too early. That is proven by a later unit that was
    /// written when the log was already durable beyond this point. `may_follow` are the segments that may contain
    /// such a unit; `None` stands for the announced ones.
    pub(crate) fn check_end(&self, may_follow: Option<&[u32]>) -> Result<()> {
        let rest = self.segment.get(self.position.offset as usize..).unwrap_or(&[]);
        let mut next = self.announced.clone();
        self.search(rest, self.position.ordinal, &mut next)?;
        may_follow.map_or_else(|| self.search_announced(next), |segments| self.search_all(segments))
    }

    /// Whether the segments are announced in which the log may continue after the present one.
    pub(crate) fn is_announced(&self) -> bool {
        !self.announced.is_empty()
    }

    /// Fails if `bytes` contain a unit that proves loss, with this ordinal or a higher one. Adds to `next` the segments to
    /// which such units lead. Returns whether there are such units.
    fn search(&self, bytes: &[u8], ordinal: u64, next: &mut Vec<u32>) -> Result<bool> {
        let mut is_log = false;
        for at in memchr::memmem::find_iter(bytes, &UNIT_MAGIC.to_le_bytes()) {
            let bytes = &bytes[at..];
            if UnitHead::decode(bytes).is_none_or(|(head, _)| head.ordinal < ordinal) {
                continue;
            }
            let Some(unit) = Unit::read(bytes, self.geometry.salt) else { continue };
            if unit.head.durable_seq > self.position.seq {
                return Err(self.damage());
            }
            let links = unit.records.iter().filter_map(|(_, record)| record.link());
            next.extend(links.flat_map(|link| [Some(link.segment), link.announced]).flatten());
            is_log = true;
        }
        Ok(is_log)
    }

    /// Fails if one of the segments `next`, or one to which their units lead, contains a unit that proves loss.
    fn search_announced(&self, mut next: Vec<u32>) -> Result<()> {
        let mut seen = BTreeSet::from([self.position.segment]);
        while let Some(segment) = next.pop() {
            if !seen.insert(segment) {
                continue;
            }
            let offset = self.geometry.segment_offset(segment);
            let size = self.geometry.segment_size as usize;
            let front = read_prefix(self.pages, offset, SEARCHED_FIRST.min(size), self.device_len)?;
            if self.search(&front, self.position.ordinal + 1, &mut next)? && front.len() < size {
                let all = read_segment(self.pages, self.geometry, segment, self.device_len)?;
                self.search(&all, self.position.ordinal + 1, &mut next)?;
            }
        }
        Ok(())
    }

    /// Fails if one of `segments` begins with a unit that proves loss.
    fn search_all(&self, segments: &[u32]) -> Result<()> {
        let search = |segments: &[u32]| {
            for segment in segments.iter().filter(|segment| **segment != self.position.segment) {
                let first = read_first_unit(self.pages, self.geometry, *segment, self.device_len)?;
                self.search(&first, self.position.ordinal + 1, &mut Vec::new())?;
            }
            Ok(())
        };
        // Each segment may cost one read of the disk, and the disk serves many reads at the same time.
        let mut shares = segments.chunks(segments.len().div_ceil(SEARCHERS).max(SEARCHED_BY_ONE));
        let first = shares.next().unwrap_or_default();
        thread::scope(|scope| {
            let others: Vec<_> = shares.map(|share| scope.spawn(|| search(share))).collect();
            let results =
                others.into_iter().map(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            results.fold(search(first), Result::and)
        })
    }
}

fn read_segment(pages: &Pages, geometry: Geometry, segment: u32, device_len: u64) -> Result<Bytes> {
    read_prefix(pages, geometry.segment_offset(segment), geometry.segment_size as usize, device_len)
}

/// The bytes of a segment's first unit. If there is none, other bytes that do not decode as a unit.
fn read_first_unit(pages: &Pages, geometry: Geometry, segment: u32, device_len: u64) -> Result<Bytes> {
    let offset = geometry.segment_offset(segment);
    let head = read_prefix(pages, offset, UNIT_HEAD, device_len)?;
    match head.get(..8) {
        Some([b'V', b'D', b'E', b'U', len @ ..]) => {
            let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]).min(geometry.segment_size);
            read_prefix(pages, offset, len as usize, device_len)
        }
        _ => Ok(head),
    }
}

/// Up to `len` bytes from `offset` on, fewer if the device ends. They are not read through the map, because they may
/// never have been written.
fn read_prefix(pages: &Pages, offset: u64, len: usize, device_len: u64) -> Result<Bytes> {
    let len = (len as u64).min(device_len.saturating_sub(offset)) as usize;
    if len == 0 {
        return Ok(Bytes::Copied(Vec::new()));
    }
    pages.read_copy(offset, len, "log")
}
