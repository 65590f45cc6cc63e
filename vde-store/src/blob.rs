//! Values too long for a log record: chunks in runs of pages of their own, and a map of them in the log.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Result};
use crate::format::{BLOCK, Fields, Geometry, extent_checksum};
use crate::pages::{Bytes, Pages, PinnedBytes};
use crate::segments::{Freed, PageRun, Segments};

/// What is verified, and read, at once.
const CHUNK: usize = 64 * 1024;
/// What is allocated and written at once; a multiple of the chunk.
const PIECE: usize = 16 * CHUNK;

/// Where a blob's bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlobMap {
    pub(crate) len: u64,
    /// Of the whole content.
    pub(crate) checksum: u64,
    /// Offset in the container and length in bytes of each extent. Every extent but the last is a multiple of [`CHUNK`]
    /// long, so that a chunk lies in one extent.
    extents: Vec<(u64, u64)>,
    /// Of each chunk.
    chunks: Vec<u64>,
}

impl BlobMap {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20 + self.extents.len() * 16 + self.chunks.len() * 8);
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
        out.extend_from_slice(&(self.extents.len() as u32).to_le_bytes());
        for (offset, len) in &self.extents {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&len.to_le_bytes());
        }
        for sum in &self.chunks {
            out.extend_from_slice(&sum.to_le_bytes());
        }
        out
    }

    /// Decodes a map whose own checksum was verified; `offset` says where it was.
    pub(crate) fn decode(bytes: &[u8], offset: u64) -> Result<Self> {
        Self::fields(&mut Fields(bytes)).ok_or(Error::corrupt("blob map", offset))
    }

    fn fields(f: &mut Fields<'_>) -> Option<Self> {
        let mut map = Self { len: f.u64()?, checksum: f.u64()?, ..Self::default() };
        let mut total = 0u64;
        for _ in 0..f.u32()? {
            let (offset, len) = (f.u64()?, f.u64()?);
            map.extents.push((offset, len));
            total = total.checked_add(len)?;
        }
        while !f.0.is_empty() {
            map.chunks.push(f.u64()?);
        }
        (total == map.len && map.chunks.len() as u64 == map.len.div_ceil(CHUNK as u64)).then_some(map)
    }

    /// The pages that the blob occupies.
    pub(crate) fn runs(&self) -> impl Iterator<Item = PageRun> {
        self.extents.iter().map(|(offset, len)| PageRun::of(*offset, *len))
    }

    /// Offset in the container of byte `at` of the blob, and how many bytes follow it in the same extent.
    fn locate(&self, mut at: u64) -> Option<(u64, u64)> {
        for (offset, len) in &self.extents {
            if at < *len {
                return Some((offset + at, len - at));
            }
            at -= len;
        }
        None
    }

    fn chunk(&self, pages: &Pages, index: usize) -> Result<Bytes> {
        let start = index as u64 * CHUNK as u64;
        let (offset, _) = self.locate(start).ok_or(Error::corrupt("blob map", 0))?;
        let len = (self.len - start).min(CHUNK as u64) as usize;
        let bytes = pages.read(offset, len, "blob chunk")?;
        if extent_checksum(&bytes, offset, pages.geometry().salt) == self.chunks[index] {
            Ok(bytes)
        } else {
            Err(pages.corrupt("blob chunk", offset))
        }
    }

    /// The bytes from `from` to `to`, and nothing else but the rest of their first and last chunk.
    pub(crate) fn range(&self, pages: &Pages, from: u64, to: u64) -> Result<Vec<u8>> {
        let (from, to) = (from.min(self.len), to.min(self.len));
        let mut out = Vec::with_capacity(to.saturating_sub(from) as usize);
        let mut at = from;
        while at < to {
            let index = (at / CHUNK as u64) as usize;
            let start = index as u64 * CHUNK as u64;
            let chunk = self.chunk(pages, index)?;
            let end = (to - start).min(chunk.len() as u64);
            out.extend_from_slice(&chunk[(at - start) as usize..end as usize]);
            at = start + end;
        }
        Ok(out)
    }

    /// All of it: in place where it lies in one piece of a mapped file.
    pub(crate) fn pin(&self, pages: &Pages) -> Result<PinnedBytes> {
        if let [(offset, len)] = self.extents[..]
            && let whole @ Bytes::Mapped { .. } = pages.read(offset, len as usize, "blob")?
        {
            self.verify(pages)?;
            return Ok(whole.pin(0, len as usize));
        }
        Ok(PinnedBytes::Owned(self.range(pages, 0, self.len)?.into()))
    }

    /// Checks every chunk.
    pub(crate) fn verify(&self, pages: &Pages) -> Result<()> {
        (0..self.chunks.len()).try_for_each(|index| self.chunk(pages, index).map(drop))
    }
}

/// A blob that no record refers to yet. Dropped before one does, it gives its pages back.
pub(crate) struct Unborn<'a> {
    pages: &'a Pages,
    segments: &'a Mutex<Segments>,
    pub(crate) map: BlobMap,
    runs: Vec<PageRun>,
    content: Xxh3,
}

impl<'a> Unborn<'a> {
    pub(crate) fn new(pages: &'a Pages, segments: &'a Mutex<Segments>) -> Self {
        Self { pages, segments, map: BlobMap::default(), runs: Vec::new(), content: Xxh3::new() }
    }

    /// A buffer for [`push`](Self::push).
    pub(crate) fn piece(&self) -> Vec<u8> {
        vec![0; PIECE.min(self.pages.geometry().segment_size as usize)]
    }

    /// Writes the first `len` bytes of `piece`; only the last piece may be shorter than the buffer. Nothing is synced:
    /// the sync that makes the record durable makes the blob durable as well.
    pub(crate) fn push(&mut self, piece: &mut [u8], len: usize) -> Result<()> {
        self.content.update(&piece[..len]);
        let run = self.segments.lock().take_unborn((len as u64).div_ceil(BLOCK) as u32);
        self.runs.push(run);
        self.map.add(run, &piece[..len], self.pages.geometry());
        let padded = len.next_multiple_of(BLOCK as usize);
        piece[len..padded].fill(0);
        self.pages.forget(run.offset);
        let written = self.pages.device().write_bulk(&piece[..padded], run.offset);
        written.map_err(|e| Error::io(crate::engine::WRITE_BLOB, e))?;
        let max_map = self.pages.geometry().max_value();
        if 20 + self.map.extents.len() * 16 + self.map.chunks.len() * 8 > max_map {
            let max = max_map as u64 / 8 * CHUNK as u64;
            return Err(Error::TooLarge { what: "value", len: self.map.len, max });
        }
        Ok(())
    }

    /// The map of what was pushed, for the record.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.map.checksum = self.content.digest();
        self.map.encode()
    }

    /// A record refers to the blob now.
    pub(crate) fn keep(mut self) {
        self.runs.clear();
    }
}

impl Drop for Unborn<'_> {
    fn drop(&mut self) {
        let mut segments = self.segments.lock();
        for run in self.runs.drain(..) {
            segments.end_unborn(run);
            segments.release(&[Freed::Pages(run)]);
        }
    }
}

/// What `source` yields beyond the `start` of it that was read already, written to the container in constant memory.
pub(crate) fn write<'a>(
    pages: &'a Pages,
    segments: &'a Mutex<Segments>,
    start: &[u8],
    source: &mut dyn Read,
) -> Result<Unborn<'a>> {
    let mut blob = Unborn::new(pages, segments);
    let mut piece = blob.piece();
    let mut source = start.chain(source);
    loop {
        let len = fill(&mut source, &mut piece).map_err(Error::source)?;
        if len > 0 {
            blob.push(&mut piece, len)?;
        }
        if len < piece.len() {
            return Ok(blob);
        }
    }
}

impl BlobMap {
    fn add(&mut self, run: PageRun, bytes: &[u8], geometry: Geometry) {
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

/// What a [`ValueReader`](crate::ValueReader) reads from.
pub(crate) enum Source {
    Bytes(PinnedBytes),
    Blob { map: Arc<BlobMap>, pages: Arc<Pages>, chunk: Option<(usize, Bytes)> },
}

/// A position in a value.
pub(crate) struct Reading {
    pub(crate) source: Source,
    pub(crate) at: u64,
}

impl Reading {
    pub(crate) fn len(&self) -> u64 {
        match &self.source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Blob { map, .. } => map.len,
        }
    }
}

impl Read for Reading {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.len() || buf.is_empty() {
            return Ok(0);
        }
        let (bytes, skip): (&[u8], usize) = match &mut self.source {
            Source::Bytes(bytes) => (bytes, self.at as usize),
            Source::Blob { map, pages, chunk } => {
                let index = (self.at / CHUNK as u64) as usize;
                if chunk.as_ref().is_none_or(|(held, _)| *held != index) {
                    *chunk = Some((index, map.chunk(pages, index).map_err(io::Error::other)?));
                }
                let Some((_, bytes)) = chunk else { return Ok(0) };
                (bytes, (self.at % CHUNK as u64) as usize)
            }
        };
        let len = buf.len().min(bytes.len() - skip);
        buf[..len].copy_from_slice(&bytes[skip..skip + len]);
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Reading {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
