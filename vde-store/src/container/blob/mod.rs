//! Blobs: values too long for a log record. Their chunks are in runs of pages outside the log, and the log has a map
//! of them.

mod map;
mod reading;

use std::io::{self, Read};
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use crate::container::error::{Error, Result, is_full};
use crate::container::format::{BLOCK, Extent, Geometry, MAX_VALUE, extent_checksum};
use crate::container::pages::Pages;
use crate::container::segments::{AT_ONCE, PageRun, Segments};

#[cfg(feature = "testing")]
pub(crate) use map::decode_part;
pub(crate) use map::{BlobMap, Held};
use map::{CHUNK, Listed, Part};
pub(crate) use reading::{Reading, Source};

/// The action named when a blob's pages cannot be written.
pub(crate) const WRITE_BLOB: &str = "write the value";

/// How many bytes at the start of a value are kept in the page cache. A whole value of gigabytes would evict pages
/// that others need.
const CACHED: u64 = 16 << 20;

/// The unit of allocation and writing in bytes; a multiple of the chunk.
const PIECE: usize = 16 * CHUNK;
/// How many pieces a part has. They are few enough that the map of one part fits into a record of any container. They
/// are enough that the map of the longest value fits into a record of a container with the default segment size.
pub(crate) const PART_PIECES: u64 = 512;

/// A blob to which no record refers yet. If it is dropped before a record does, its pages are freed.
pub(crate) struct PendingBlob {
    pages: Arc<Pages>,
    segments: Arc<Mutex<Segments>>,
    /// All its pages must be before this segment, if there is such a limit.
    end: Option<u32>,
    pub(crate) len: u64,
    content: Xxh3,
    part_len: u64,
    /// The part that is being written, and the maps of the parts before it.
    part: Part,
    maps: Vec<Extent>,
    runs: Vec<PageRun>,
}

fn piece_len(geometry: Geometry) -> usize {
    PIECE.min(geometry.segment_size as usize)
}

/// The longest value whose map fits a record.
fn max_len(geometry: Geometry, part_len: u64) -> u64 {
    let (empty, each) = BlobMap::PARTS_LEN;
    ((geometry.max_value() as u64 - empty) / each).saturating_mul(part_len).min(MAX_VALUE)
}

impl PendingBlob {
    /// A blob whose parts have `part_pieces` pieces each.
    pub(crate) fn new(pages: Arc<Pages>, segments: Arc<Mutex<Segments>>, part_pieces: u64) -> Self {
        let part_len = part_pieces * piece_len(pages.geometry()) as u64;
        Self {
            pages,
            segments,
            end: None,
            len: 0,
            content: Xxh3::new(),
            part_len,
            part: Part::default(),
            maps: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// As [`new`](Self::new), for a blob whose pages must all be before segment `end`.
    pub(crate) fn before(
        end: u32,
        pages: Arc<Pages>,
        segments: Arc<Mutex<Segments>>,
        part_pieces: u64,
    ) -> Self {
        let mut blob = Self::new(pages, segments, part_pieces);
        blob.end = Some(end);
        blob
    }

    /// A buffer of one piece, for [`push`](Self::push).
    pub(crate) fn piece(&self) -> Vec<u8> {
        vec![0; piece_len(self.pages.geometry())]
    }

    /// Writes the first `len` bytes of `piece`; only the last piece may be shorter than the buffer. Nothing is synced:
    /// the sync that makes the record durable makes the blob durable as well.
    pub(crate) fn push(&mut self, piece: &mut [u8], len: usize) -> Result<()> {
        let max = max_len(self.pages.geometry(), self.part_len);
        if self.len + len as u64 > max {
            return Err(Error::TooLarge { what: "value", len: self.len + len as u64, max });
        }
        if self.part.len == self.part_len {
            self.end_part()?;
        }
        self.content.update(&piece[..len]);
        let padded = len.next_multiple_of(BLOCK as usize);
        piece[len..padded].fill(0);
        let mut at = 0;
        while at < padded {
            let run = self.write(&piece[at..padded], CHUNK)?;
            let end = at + (u64::from(run.pages) * BLOCK) as usize;
            self.part.add(run, &piece[at..end.min(len)], self.pages.geometry());
            at = end;
        }
        self.len += len as u64;
        Ok(())
    }

    /// Takes a run of `count` pages, or a shorter run of a multiple of `unit` pages.
    fn take(&self, count: u32, unit: u32) -> Option<PageRun> {
        let mut segments = self.segments.lock();
        let Some(end) = self.end else { return Some(segments.take_pending(count)) };
        let mut wanted = count;
        loop {
            if let Some(run) = segments.take_pending_before(end, wanted) {
                return Some(run);
            }
            let half = (wanted / 2).next_multiple_of(unit);
            if half >= wanted {
                return None;
            }
            wanted = half;
        }
    }

    /// Writes all of `bytes`, which are whole pages, or the front of them, a multiple of `unit` bytes.
    fn write(&mut self, bytes: &[u8], unit: usize) -> Result<PageRun> {
        let pages_of = |len: usize| (len as u64 / BLOCK) as u32;
        let Some(run) = self.take(pages_of(bytes.len()), pages_of(unit)) else {
            return Err(Error::io(WRITE_BLOB, io::ErrorKind::StorageFull.into()));
        };
        let bytes = &bytes[..(u64::from(run.pages) * BLOCK) as usize];
        match self.runs.last_mut() {
            Some(last) if last.is_followed_by(run, self.pages.geometry()) => last.pages += run.pages,
            _ => self.runs.push(run),
        }
        self.pages.forget(run.offset);
        let device = self.pages.device();
        let written = if self.len < CACHED {
            device.write_cached(bytes, run.offset)
        } else {
            device.write_bulk(bytes, run.offset)
        };
        written.map_err(|e| Error::io(WRITE_BLOB, e))?;
        Ok(run)
    }

    /// Writes the map of the part, and begins another.
    fn end_part(&mut self) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.part).encode_page();
        let len = bytes.len();
        bytes.resize(len.next_multiple_of(BLOCK as usize), 0);
        let offset = self.write(&bytes, bytes.len())?.offset;
        let checksum = extent_checksum(&bytes[..len], offset, self.pages.geometry().salt);
        self.maps.push(Extent { offset, len: len as u32, checksum });
        Ok(())
    }

    /// The map of the blob, for its record.
    pub(crate) fn finish(&mut self) -> Result<Vec<u8>> {
        let listed = if self.maps.is_empty() {
            Listed::Chunks(std::mem::take(&mut self.part))
        } else {
            self.end_part()?;
            Listed::Parts { part_len: self.part_len, maps: std::mem::take(&mut self.maps) }
        };
        Ok(BlobMap { len: self.len, checksum: self.content.digest(), listed }.encode())
    }

    /// A record refers to the blob now.
    pub(crate) fn keep(mut self) {
        self.runs.clear();
    }
}

impl Drop for PendingBlob {
    fn drop(&mut self) {
        for runs in self.runs.chunks(AT_ONCE) {
            let mut segments = self.segments.lock();
            for run in runs {
                segments.drop_pending(*run);
            }
        }
    }
}

/// Writes a value to the container in constant memory: `start`, which was read from `source` already, and the rest of
/// `source`.
pub(crate) fn write(
    mut blob: PendingBlob,
    start: &[u8],
    source: &mut dyn Read,
) -> Result<(Vec<u8>, PendingBlob)> {
    let mut piece = blob.piece();
    let mut source = start.chain(source);
    loop {
        let len = fill(&mut source, &mut piece).map_err(Error::source)?;
        if len > 0 {
            blob.push(&mut piece, len)?;
        }
        if len < piece.len() {
            return Ok((blob.finish()?, blob));
        }
    }
}

/// As [`write`](write()), for a blob whose pages must be before a segment. `None` if there is no room for it.
pub(crate) fn write_if_room(
    blob: PendingBlob,
    source: &mut dyn Read,
) -> Result<Option<(Vec<u8>, PendingBlob)>> {
    match write(blob, &[], source) {
        Err(Error::Io { action: WRITE_BLOB, source }) if is_full(&source) => Ok(None),
        written => written.map(Some),
    }
}

/// Reads until `buffer` is full or the source ends.
pub(crate) fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match source.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_value_of_each_segment_size() {
        let len_of = |segment_size| {
            let geometry = Geometry { segment_size, salt: 0 };
            max_len(geometry, PART_PIECES * piece_len(geometry) as u64)
        };
        assert_eq!(len_of(16 << 20), MAX_VALUE);
        assert_eq!(len_of(1 << 30), MAX_VALUE);
        // A container with this segment size cannot be much longer than that anyway.
        assert!((700 << 30..800 << 30).contains(&len_of(1 << 18)), "{}", len_of(1 << 18));
    }
}
