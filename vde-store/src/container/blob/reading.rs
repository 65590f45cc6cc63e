//! Reading a value from any position.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::map::CHUNK;
use super::{BlobMap, Held};
use crate::container::pages::{Bytes, Pages, PinnedBytes};

/// What a [`ValueReader`](crate::ValueReader) reads from.
pub(crate) enum Source {
    Bytes(PinnedBytes),
    Blob { map: Arc<BlobMap>, pages: Arc<Pages>, part: Held, chunk: Option<(u64, Bytes)> },
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
            Source::Blob { map, pages, part, chunk } => {
                let index = self.at / CHUNK as u64;
                if chunk.as_ref().is_none_or(|(held, _)| *held != index) {
                    *chunk = Some((index, map.chunk(pages, index, part).map_err(io::Error::other)?));
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
