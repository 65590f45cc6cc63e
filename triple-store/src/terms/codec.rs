//! Variable-length numbers. All stored values of this crate use them.

/// Appends a number in LEB128: seven bits in each byte, low bits first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Removes a number from the front of `bytes`. `None` if the bytes end inside the number, or if it exceeds 64 bits.
#[inline]
pub(crate) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        *bytes = rest;
        return Some(u64::from(*first));
    }
    // Most numbers of a run end within eight bytes, which are read in one load. The first clear top bit marks the
    // end.
    if let Some(word) = bytes.first_chunk() {
        let word = u64::from_le_bytes(*word);
        let ends = !word & 0x8080_8080_8080_8080;
        if ends != 0 {
            *bytes = &bytes[(ends.trailing_zeros() / 8 + 1) as usize..];
            return Some(squeeze(word & (ends ^ (ends - 1))));
        }
    }
    long_varint(bytes)
}

/// Eight groups of seven bits, next to each other.
#[inline]
const fn squeeze(word: u64) -> u64 {
    let bytes = word & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = bytes & 0x00ff_00ff_00ff_00ff | (bytes & 0xff00_ff00_ff00_ff00) >> 1;
    let fours = pairs & 0x0000_ffff_0000_ffff | (pairs & 0xffff_0000_ffff_0000) >> 2;
    fours & 0x0000_0000_ffff_ffff | (fours & 0xffff_ffff_0000_0000) >> 4
}

fn long_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        n |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

/// Removes `length` bytes from the front of `bytes`.
pub(crate) fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mixed = 0x9e37_79b9_7f4a_7c15u64;
        for n in (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1, mixed >> bit]).chain([u64::MAX]) {
            // The result must not depend on the bytes after the number, or on whether there are any.
            for behind in [0, 8] {
                for byte in [0x00, 0x7f, 0x80, 0xff] {
                    let mut out = Vec::new();
                    put_varint(&mut out, n);
                    let length = out.len();
                    out.resize(length + behind, byte);
                    let mut bytes = &*out;
                    assert_eq!(varint(&mut bytes), Some(n));
                    assert_eq!(bytes.len(), behind);
                    assert_eq!(varint(&mut &out[..length - 1]), None, "cut short");
                }
            }
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        assert_eq!(varint(&mut [0xff; 10].as_slice()), None);
        assert_eq!(varint(&mut [0x80; 11].as_slice()), None);
        let mut too_large = [0xff; 10];
        too_large[9] = 0x02;
        assert_eq!(varint(&mut too_large.as_slice()), None);
    }
}
