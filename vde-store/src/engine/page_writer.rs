//! Writing the pages of a checkpoint: in large pieces, and slowly enough for concurrent writers.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::container::error::{Error, Result};
use crate::container::format::{BLOCK, Extent, extent_checksum};
use crate::container::pages::Pages;
use crate::container::segments::{Freed, PageRun, Segments};
use crate::container::tree::merge::Output;
use crate::engine::shared::Shared;

/// Index pages are written in pieces of about this size.
const WRITE_PIECE: usize = 256 << 10;

/// Limits the pace of a checkpoint, to leave processor and disk to writers. The checkpoint works for a short time and
/// then rests for twice as long. It does not rest if no thread writes, or if writers would soon have to wait for the
/// checkpoint.
pub(crate) struct Pace<'a> {
    shared: &'a Shared,
    since: Instant,
    published: u64,
}

/// How long a checkpoint works before a rest: far less than the time slice of a thread.
const WORK: Duration = Duration::from_micros(300);

impl<'a> Pace<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, since: Instant::now(), published: shared.log.published() }
    }

    pub(crate) fn keep(&mut self) {
        let worked = self.since.elapsed();
        if worked < WORK {
            return;
        }
        let published = self.shared.log.published();
        let is_urgent =
            self.shared.layers.load().memtable.backlog() > self.shared.options.checkpoint_bytes / 2;
        if published != self.published && !is_urgent {
            std::thread::sleep(worked.min(10 * WORK) * 2);
        }
        self.published = published;
        self.since = Instant::now();
    }
}

/// Allocates new pages and writes them in large pieces.
pub(crate) struct PageWriter<'a> {
    pace: Pace<'a>,
    pages: &'a Pages,
    segments: &'a Mutex<Segments>,
    piece: Vec<u8>,
    piece_offset: u64,
    pub(crate) replaced: Vec<(PageRun, u64)>,
    /// The pages that were taken. Until [`keep`](Self::keep), nothing refers to them, and dropping the writer frees
    /// them.
    taken: Vec<PageRun>,
}

impl Drop for PageWriter<'_> {
    fn drop(&mut self) {
        for run in self.taken.drain(..) {
            self.segments.lock().release(&[Freed::Pages(run)]);
        }
    }
}

impl<'a> PageWriter<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self {
            pace: Pace::new(shared),
            pages: &shared.pages,
            segments: &shared.segments,
            piece: Vec::new(),
            piece_offset: 0,
            replaced: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// To be called once something refers to the written pages.
    pub(crate) fn keep(mut self) {
        self.taken.clear();
    }

    pub(crate) fn take(&mut self, pages: u32) -> PageRun {
        let run = self.segments.lock().take_pages(pages);
        self.taken.push(run);
        run
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.piece.is_empty() {
            let written = self.pages.device().write_cached(&self.piece, self.piece_offset);
            written.map_err(|e| Error::io("write the index", e))?;
            self.piece.clear();
        }
        Ok(())
    }

    /// Adds `bytes` to the next write, for the taken pages at `offset`.
    pub(crate) fn place(&mut self, bytes: &[u8], offset: u64) -> Result<Extent> {
        self.pages.forget(offset);
        let continues = self.piece_offset + self.piece.len() as u64 == offset;
        if !continues || self.piece.len() >= WRITE_PIECE {
            self.flush()?;
        }
        if self.piece.is_empty() {
            self.piece_offset = offset;
        }
        self.piece.extend_from_slice(bytes);
        self.piece.resize(self.piece.len().next_multiple_of(BLOCK as usize), 0);
        let checksum = extent_checksum(bytes, offset, self.pages.geometry().salt);
        Ok(Extent { offset, len: bytes.len() as u32, checksum })
    }
}

impl Output for PageWriter<'_> {
    fn write(&mut self, page: &[u8]) -> Result<Extent> {
        self.pace.keep();
        let count = (page.len() as u64).div_ceil(BLOCK) as u32;
        let run = self.take(count);
        self.place(page, run.offset)
    }

    fn replace(&mut self, page: PageRun, generation: u64) {
        self.replaced.push((page, generation));
    }
}
