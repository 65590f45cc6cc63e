//! Compressed values: their length, then one block of LZ4.

use crate::container::format::{Fields, MAX_LEAF_VALUE, MAX_RECORD_VALUE};

/// The compressed form of `value`, if that saves at least an eighth. A smaller saving is not worth the cost of
/// decompression.
pub(crate) fn pack(value: &[u8]) -> Option<Vec<u8>> {
    // A checkpoint copies shorter values into the index uncompressed.
    if value.len() <= MAX_LEAF_VALUE {
        return None;
    }
    let mut packed = vec![0; 4 + lz4_flex::block::get_maximum_output_size(value.len())];
    packed[..4].copy_from_slice(&(value.len() as u32).to_le_bytes());
    let len = 4 + lz4_flex::block::compress_into(value, &mut packed[4..]).ok()?;
    packed.truncate(len);
    (len <= value.len() - value.len() / 8).then_some(packed)
}

/// The uncompressed value; `None` if the bytes are not a compressed value of a record.
pub(crate) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut f = Fields(packed);
    let len = f.u32()? as usize;
    if len > MAX_RECORD_VALUE {
        return None;
    }
    let mut value = vec![0; len];
    let unpacked = lz4_flex::block::decompress_into(f.0, &mut value).ok()?;
    (unpacked == len).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpack_reverses_pack() {
        let text = b"stripe by stripe, ".repeat(100);
        let packed = pack(&text).unwrap();
        assert!(packed.len() < text.len() / 4);
        assert_eq!(unpack(&packed).as_deref(), Some(&text[..]));
    }

    #[test]
    fn short_and_incompressible_values_are_not_packed() {
        let mut rng = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(5000).collect();
        assert_eq!(pack(&noise), None);
        assert_eq!(pack(&[7; MAX_LEAF_VALUE]), None);
    }

    #[test]
    fn damaged_bytes_do_not_unpack() {
        let packed = pack(&[7; 1000]).unwrap();
        for len in 0..packed.len() {
            assert_eq!(unpack(&packed[..len]), None);
        }
        let mut huge = packed;
        huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(unpack(&huge), None);
    }
}
