//! Bytes on their way to the disk, placed in memory as a write past the page cache needs them.

use std::ops::{Deref, DerefMut};

use crate::container::format::BLOCK;

/// A growing run of bytes that begins at a multiple of [`BLOCK`] in memory.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

/// The least that a buffer is made for.
const LEAST: usize = 16 << 10;

impl Buffer {
    pub(crate) fn extend(&mut self, part: &[u8]) {
        self.reserve(part.len());
        self.bytes.extend_from_slice(part);
    }

    /// Appends zeros.
    pub(crate) fn extend_zeros(&mut self, count: usize) {
        self.reserve(count);
        self.bytes.resize(self.bytes.len() + count, 0);
    }

    /// Makes room for `more` bytes. A vector that grew by itself would move its bytes to any address.
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() >= more {
            return;
        }
        let wanted = (self.len() + more).max(2 * self.len()).max(LEAST) + BLOCK as usize;
        let mut grown: Vec<u8> = Vec::with_capacity(wanted);
        let start = grown.as_ptr().align_offset(BLOCK as usize);
        grown.resize(start, 0);
        grown.extend_from_slice(self);
        *self = Self { bytes: grown, start };
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(self.start);
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() - self.start
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_aligned_and_whole_while_it_grows() {
        let mut buffer = Buffer::default();
        let mut expected = Vec::new();
        for i in 1..40_usize {
            let part = vec![i as u8; i * 997];
            buffer.extend(&part);
            expected.extend_from_slice(&part);
            assert_eq!(*buffer, *expected);
            assert_eq!(buffer.as_ptr().align_offset(BLOCK as usize), 0);
        }
        let capacity = buffer.capacity();
        buffer.clear();
        buffer.extend_zeros(capacity);
        assert_eq!(buffer.capacity(), capacity, "memory is kept");
        assert!(buffer.iter().all(|byte| *byte == 0));
    }
}
