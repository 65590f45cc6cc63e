//! The bytes of a simulated disk, in blocks that images share until one of them changes a block.
//!
//! A container has megabytes, and its image after a power cut differs from it in a few sectors. Tests with thousands
//! of cuts would spend most of their time on copying whole images.

use std::sync::Arc;

const BLOCK: usize = 4096;

#[derive(Clone)]
pub(super) struct Image {
    blocks: Vec<Arc<[u8; BLOCK]>>,
    len: usize,
    /// Stands in for every block that was never written.
    zeros: Arc<[u8; BLOCK]>,
}

impl Default for Image {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0, zeros: Arc::new([0; BLOCK]) }
    }
}

impl From<&[u8]> for Image {
    fn from(bytes: &[u8]) -> Self {
        let mut image = Self::default();
        image.write(0, bytes);
        image
    }
}

/// The parts of the range `offset..offset + len` that lie in one block each: block, start in it, length.
fn parts(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let end = offset + len;
    (offset / BLOCK..end.div_ceil(BLOCK)).map(move |block| {
        let start = (block * BLOCK).max(offset);
        (block, start % BLOCK, ((block + 1) * BLOCK).min(end) - start)
    })
}

impl Image {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Shortens the image, or lengthens it with zeros.
    pub(super) fn set_len(&mut self, len: usize) {
        self.blocks.resize(len.div_ceil(BLOCK), self.zeros.clone());
        if len < self.len && !len.is_multiple_of(BLOCK) {
            // If the image is lengthened again, the bytes that were cut off must not reappear.
            Arc::make_mut(&mut self.blocks[len / BLOCK])[len % BLOCK..].fill(0);
        }
        self.len = len;
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        if self.len < offset + data.len() {
            self.set_len(offset + data.len());
        }
        let mut rest = data;
        for (block, start, len) in parts(offset, data.len()) {
            let (part, behind) = rest.split_at(len);
            rest = behind;
            Arc::make_mut(&mut self.blocks[block])[start..start + len].copy_from_slice(part);
        }
    }

    /// Fills `buf` from `offset` on; `None` if that reaches beyond the end.
    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) -> Option<()> {
        if offset.checked_add(buf.len())? > self.len {
            return None;
        }
        let mut rest = &mut *buf;
        for (block, start, len) in parts(offset, rest.len()) {
            let (part, behind) = rest.split_at_mut(len);
            part.copy_from_slice(&self.blocks[block][start..start + len]);
            rest = behind;
        }
        Some(())
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.blocks.iter().flat_map(|block| block.iter().copied()).collect();
        bytes.truncate(self.len);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_behaves_like_a_vector() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut image, mut vector) = (Image::default(), Vec::new());
        let mut earlier = Vec::new();
        for step in 0..400u32 {
            if rng.u8(..8) == 0 {
                let len = rng.usize(..40_000);
                image.set_len(len);
                vector.resize(len, 0);
            } else {
                let (offset, len) = (rng.usize(..30_000), rng.usize(..9_000));
                let data = vec![step as u8; len];
                image.write(offset, &data);
                vector.resize(vector.len().max(offset + len), 0);
                vector[offset..offset + len].copy_from_slice(&data);
            }
            assert_eq!(image.to_vec(), vector);
            let (offset, mut part) = (rng.usize(..40_000), vec![0; rng.usize(..9_000)]);
            let read = image.read(offset, &mut part);
            assert_eq!(read.map(|()| &*part), vector.get(offset..offset + part.len()));
            if step % 50 == 0 {
                earlier.push((image.clone(), vector.clone()));
            }
        }
        assert!(
            earlier.iter().all(|(image, vector)| image.to_vec() == *vector),
            "a change of one image leaves its copies as they were"
        );
    }
}
