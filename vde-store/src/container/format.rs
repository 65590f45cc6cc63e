//! Every on-disk constant and the codecs of the fixed structures. `FORMAT.md` describes the same bytes in prose.
//!
//! All integers are little-endian. All checksums are 64-bit XXH3.

use std::ops::RangeInclusive;

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::container::device::Device;
use crate::container::error::{Error, Result};

/// First eight bytes of a superblock.
pub(crate) const MAGIC: [u8; 8] = *b"VDEstore";
/// The format that this build writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 4;
/// Size of a superblock, and the unit in which pages are allocated.
pub(crate) const BLOCK: u64 = 4096;
/// The offset of the first segment, after the two superblocks.
pub(crate) const DATA_START: u64 = 2 * BLOCK;

/// The allowed sizes of a segment in bytes, powers of two.
pub(crate) const SEGMENT_SIZES: RangeInclusive<u32> = 1 << 18..=1 << 30;
/// No counter of a container ever reaches this. A file with such a counter is not a container of this crate. So
/// incrementing a counter never overflows.
pub(crate) const MAX_COUNT: u64 = 1 << 62;
/// How many segments beyond the container's end a structure may refer to. A crash may keep the structure and lose the
/// file's new length.
pub(crate) const MAX_BEYOND_END: u64 = 1 << 16;

/// First four bytes of a log unit.
pub(crate) const UNIT_MAGIC: u32 = 0x5545_4456; // "VDEU"
/// Length of a log unit's header.
pub(crate) const UNIT_HEAD: usize = 48;
/// Length of the fixed part of a record.
pub(crate) const RECORD_HEAD: usize = 32;
/// Length of a whole link record.
pub(crate) const LINK_LEN: usize = RECORD_HEAD + 16;
/// Bytes that every segment reserves for the unit that links it to the next segment.
pub(crate) const LINK_RESERVE: usize = UNIT_HEAD + LINK_LEN;
/// A unit of at least this many bytes is followed by zeros up to a multiple of [`BLOCK`], so that large units share
/// no block.
pub(crate) const LARGE_UNIT: usize = 128 << 10;

/// The longest key in bytes.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put(vec![7; vde_store::MAX_KEY_LEN], "long key")?;
/// assert!(store.put(vec![7; vde_store::MAX_KEY_LEN + 1], "too long").is_err());
/// # Ok::<(), vde_store::Error>(())
/// ```
pub const MAX_KEY_LEN: usize = 64 * 1024;
/// The longest value that is stored in a log record; longer ones are blobs beside the log.
pub(crate) const MAX_RECORD_VALUE: usize = 64 * 1024;
/// The longest value.
pub(crate) const MAX_VALUE: u64 = 1 << 48;
/// The longest encoded user metadata.
pub(crate) const MAX_USER_LEN: usize = 64 * 1024;
/// The longest value that a checkpoint copies into the index. The log's copies of such values die, and whole segments
/// become free.
pub(crate) const MAX_LEAF_VALUE: usize = 256;

/// The checksum of bytes that lie at `offset`, so that bytes in a wrong place never validate.
pub(crate) fn extent_checksum(data: &[u8], offset: u64, salt: u64) -> u64 {
    xxh3_64_with_seed(data, salt ^ offset)
}

pub(crate) fn checksum(data: &[u8]) -> u64 {
    xxh3_64(data)
}

/// Reads integers off the front of a slice; `None` where it is too short.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Where the log continues after a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogPosition {
    /// Index of the segment.
    pub(crate) segment: u32,
    /// Offset in the segment at which the next unit begins.
    pub(crate) offset: u32,
    /// How many segments the log had used before this one.
    pub(crate) ordinal: u64,
    /// Checksum of the unit before.
    pub(crate) chain: u64,
    /// Sequence number of the last record before.
    pub(crate) seq: u64,
    /// The segments that are announced: after this segment, the log continues in one of them. Without any, it may continue
    /// in every segment that is free.
    pub(crate) announced: [Option<u32>; 2],
}

/// The number that stands for an announced segment: its index plus 1, or 0 for none.
pub(crate) fn encoded_segment(segment: Option<u32>) -> u32 {
    segment.map_or(0, |segment| segment + 1)
}

/// The segment for which [`encoded_segment`] stands.
pub(crate) fn decoded_segment(number: u32) -> Option<u32> {
    number.checked_sub(1)
}

/// Where a checksummed run of bytes lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) checksum: u64,
}

impl Extent {
    /// Its length as it is encoded.
    pub(crate) const LEN: usize = 20;

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0..8].copy_from_slice(&self.offset.to_le_bytes());
        out[8..12].copy_from_slice(&self.len.to_le_bytes());
        out[12..20].copy_from_slice(&self.checksum.to_le_bytes());
        out
    }

    pub(crate) fn decode(f: &mut Fields<'_>) -> Option<Self> {
        Some(Self { offset: f.u64()?, len: f.u32()?, checksum: f.u64()? })
    }
}

/// The superblock, the root of all references. There are two, written alternately; the newer valid one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// The format version of the build that wrote it. This build writes its own version.
    pub(crate) format: u32,
    pub(crate) id: [u8; 16],
    pub(crate) segment_size: u32,
    pub(crate) generation: u64,
    pub(crate) log: LogPosition,
    /// The persisted index and segment table; of length 0 before the first checkpoint.
    pub(crate) catalog: Extent,
    /// Set while the store is closed: the sequence number with which its log ends.
    pub(crate) closed: Option<u64>,
    /// How many checkpoints there were.
    pub(crate) checkpoints: u64,
}

impl Superblock {
    /// The superblock of a new container.
    pub(crate) fn new(id: [u8; 16], segment_size: u32) -> Self {
        Self {
            format: FORMAT,
            id,
            segment_size,
            generation: 0,
            log: LogPosition::default(),
            catalog: Extent::default(),
            closed: None,
            checkpoints: 0,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BLOCK as usize);
        out.extend_from_slice(&MAGIC);
        // The format version, and the oldest versions that may read and write it.
        for version in [FORMAT, FORMAT, FORMAT] {
            out.extend_from_slice(&version.to_le_bytes());
        }
        out.extend_from_slice(&self.segment_size.to_le_bytes());
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.log.segment.to_le_bytes());
        out.extend_from_slice(&self.log.offset.to_le_bytes());
        out.extend_from_slice(&self.log.ordinal.to_le_bytes());
        out.extend_from_slice(&self.log.chain.to_le_bytes());
        out.extend_from_slice(&self.log.seq.to_le_bytes());
        out.extend_from_slice(&self.catalog.offset.to_le_bytes());
        out.extend_from_slice(&u64::from(self.catalog.len).to_le_bytes());
        out.extend_from_slice(&self.catalog.checksum.to_le_bytes());
        out.extend_from_slice(&u64::from(self.closed.is_some()).to_le_bytes());
        out.extend_from_slice(&self.closed.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.checkpoints.to_le_bytes());
        for segment in self.log.announced {
            out.extend_from_slice(&encoded_segment(segment).to_le_bytes());
        }
        out.resize(BLOCK as usize - 8, 0);
        out.extend_from_slice(&checksum(&out).to_le_bytes());
        out
    }

    /// Decodes the superblock read from `offset`.
    pub(crate) fn decode(block: &[u8], offset: u64, write: bool) -> Result<Self> {
        let not_ours = Error::not_a_store("it does not begin with a superblock");
        if block.len() != BLOCK as usize || block[..8] != MAGIC {
            return Err(not_ours);
        }
        let (body, sum) = block.split_at(BLOCK as usize - 8);
        if sum != checksum(body).to_le_bytes() {
            return Err(Error::corrupt("superblock", offset));
        }
        let superblock = Self::fields(&body[8..], write).unwrap_or(Err(not_ours))?;
        // The checksum is right. So if the contents are impossible, this crate has not written them.
        if superblock.is_plausible() && superblock.offset() == offset {
            Ok(superblock)
        } else {
            Err(Error::corrupt("superblock", offset))
        }
    }

    fn is_plausible(&self) -> bool {
        let log = self.log;
        let counters = [self.generation, self.checkpoints, log.ordinal, log.seq, self.closed.unwrap_or(0)];
        self.segment_size.is_power_of_two()
            && SEGMENT_SIZES.contains(&self.segment_size)
            && counters.iter().all(|count| *count < MAX_COUNT)
            && log.offset <= self.segment_size
    }

    fn fields(body: &[u8], write: bool) -> Option<Result<Self>> {
        let mut f = Fields(body);
        let (format, min_reader, min_writer) = (f.u32()?, f.u32()?, f.u32()?);
        let needed = if write { min_writer.max(min_reader) } else { min_reader };
        if needed > FORMAT {
            return Some(Err(Error::NewerFormat { needed, known: FORMAT }));
        }
        let segment_size = f.u32()?;
        let id = f.array()?;
        let generation = f.u64()?;
        let (segment, at) = (f.u32()?, f.u32()?);
        let (ordinal, chain, seq) = (f.u64()?, f.u64()?, f.u64()?);
        let (offset, len, checksum) = (f.u64()?, f.u64()?, f.u64()?);
        let catalog = Extent { offset, len: u32::try_from(len).ok()?, checksum };
        let (is_closed, end) = (f.u64()? != 0, f.u64()?);
        let closed = is_closed.then_some(end);
        let checkpoints = f.u64()?;
        let announced = [f.u32()?, f.u32()?].map(decoded_segment);
        let log = LogPosition { segment, offset: at, ordinal, chain, seq, announced };
        Some(Ok(Self { format, id, segment_size, generation, log, catalog, closed, checkpoints }))
    }

    /// The next superblock, which differs only in whether the store is closed.
    pub(crate) fn successor(&self, closed: Option<u64>) -> Self {
        Self { format: FORMAT, generation: self.generation + 1, closed, ..self.clone() }
    }

    /// Writes it to its place; nothing is synced.
    pub(crate) fn write(&self, device: &dyn Device) -> Result<()> {
        let written = device.write_at(&self.encode(), self.offset());
        written.map_err(|e| Error::io("write the superblock", e))
    }

    /// Superblocks alternate, so that a torn write of one leaves the other.
    pub(crate) fn offset(&self) -> u64 {
        (self.generation % 2) * BLOCK
    }

    pub(crate) fn geometry(&self) -> Geometry {
        let salt = xxh3_64(&self.id);
        Geometry { segment_size: self.segment_size, salt }
    }
}

/// The properties of a container that codecs need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) segment_size: u32,
    /// Derived from the container's identity; seeds every checksum, so that bytes of another container never validate.
    pub(crate) salt: u64,
}

impl Geometry {
    pub(crate) fn segment_offset(self, segment: u32) -> u64 {
        DATA_START + u64::from(segment) * u64::from(self.segment_size)
    }

    pub(crate) fn segment_of(self, offset: u64) -> u32 {
        (offset.saturating_sub(DATA_START) / u64::from(self.segment_size)) as u32
    }

    /// How many segments a container of `len` bytes may refer to, including those beyond its end.
    pub(crate) fn segments_within_reach(self, len: u64) -> u64 {
        self.segments_of(len) + MAX_BEYOND_END
    }

    /// How many segments a container of `len` bytes has, including an incomplete last one.
    pub(crate) fn segments_of(self, len: u64) -> u64 {
        len.saturating_sub(DATA_START).div_ceil(u64::from(self.segment_size))
    }

    /// The longest value that fits into one record, whatever its key.
    pub(crate) fn max_value(self) -> usize {
        let around = UNIT_HEAD + RECORD_HEAD + 20 + BLOCK as usize + LINK_RESERVE;
        self.segment_size as usize - around - MAX_KEY_LEN - MAX_USER_LEN
    }
}

/// The header of a log unit, a contiguous run of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitHead {
    /// Length of the unit with this header, without the zeros after it.
    pub(crate) len: u32,
    /// Which segment of the log this is, counted from the container's first.
    pub(crate) ordinal: u64,
    /// Sequence number of the unit's first record.
    pub(crate) first_seq: u64,
    /// The log was known to be durable up to this sequence number when the unit was written. So a valid unit proves
    /// that an invalid unit before that point was damaged after its sync, and not torn by a crash.
    pub(crate) durable_seq: u64,
    /// Checksum of the unit before. It also seeds this unit's checksum, so that bytes of a reused segment never
    /// validate.
    pub(crate) chain: u64,
}

impl UnitHead {
    /// Returns the encoded header, and the checksum that it ends with. `sums` are the checksums of the records.
    pub(crate) fn encode(self, sums: &[u8], salt: u64) -> ([u8; UNIT_HEAD], u64) {
        let mut out = [0; UNIT_HEAD];
        out[0..4].copy_from_slice(&UNIT_MAGIC.to_le_bytes());
        out[4..8].copy_from_slice(&self.len.to_le_bytes());
        out[8..16].copy_from_slice(&self.ordinal.to_le_bytes());
        out[16..24].copy_from_slice(&self.first_seq.to_le_bytes());
        out[24..32].copy_from_slice(&self.durable_seq.to_le_bytes());
        out[32..40].copy_from_slice(&self.chain.to_le_bytes());
        let mut hash = self.hash(&out, salt);
        hash.update(sums);
        let sum = hash.digest();
        out[40..48].copy_from_slice(&sum.to_le_bytes());
        (out, sum)
    }

    /// The state of the unit's checksum before the first record. Updating it with the checksums of the records, in
    /// order, gives the unit's checksum. The checksums of the records cover the records, so no byte is hashed twice.
    pub(crate) fn hash(&self, bytes: &[u8], salt: u64) -> Xxh3 {
        let mut hash = Xxh3::with_seed(self.chain ^ salt);
        hash.update(&bytes[..UNIT_HEAD - 8]);
        hash
    }

    /// The header at the front of `bytes`, if there is one, and the checksum that it ends with. Nothing is verified.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, u64)> {
        let mut f = Fields(bytes);
        if f.u32()? != UNIT_MAGIC {
            return None;
        }
        let len = f.u32()?;
        let head =
            Self { len, ordinal: f.u64()?, first_seq: f.u64()?, durable_seq: f.u64()?, chain: f.u64()? };
        Some((head, f.u64()?))
    }

    /// Where the next unit begins, if this one begins at `start`.
    pub(crate) fn end(&self, start: u32) -> u32 {
        unit_end(start, self.len)
    }
}

/// Where the next unit begins after one of `len` bytes at `start`. Offsets count from the start of the segment.
pub(crate) fn unit_end(start: u32, len: u32) -> u32 {
    let end = start.saturating_add(len);
    if (len as usize) < LARGE_UNIT { end } else { end.checked_next_multiple_of(BLOCK as u32).unwrap_or(end) }
}

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put = 1,
    Delete = 2,
    Link = 3,
    /// Deletes the keys from the record's key on. Its value is the first key after them, or empty if there is no
    /// upper bound.
    DeleteRange = 4,
}

/// The record's transaction continues with the next record.
pub(crate) const FLAG_MORE: u8 = 1;
/// The value is the map of a blob.
pub(crate) const FLAG_BLOB: u8 = 2;
/// Version and creation time follow the head.
pub(crate) const FLAG_ORIGIN: u8 = 4;
/// User metadata follows.
pub(crate) const FLAG_USER: u8 = 8;
/// The record's transaction began with an earlier record.
pub(crate) const FLAG_PRIOR: u8 = 16;

/// The value is compressed.
pub(crate) const FLAG_PACKED: u8 = 32;

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHead {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) key_len: u32,
    pub(crate) value_len: u32,
    /// Microseconds since 1970.
    pub(crate) modified: u64,
    pub(crate) value_checksum: u64,
}

impl RecordHead {
    /// The bytes of the head up to its own checksum.
    pub(crate) fn prefix(self) -> [u8; 24] {
        let mut out = [0; 24];
        out[0] = self.kind as u8;
        out[1] = self.flags;
        out[2..4].copy_from_slice(&(self.key_len.saturating_sub(1) as u16).to_le_bytes());
        out[4..8].copy_from_slice(&self.value_len.to_le_bytes());
        out[8..16].copy_from_slice(&self.modified.to_le_bytes());
        out[16..24].copy_from_slice(&self.value_checksum.to_le_bytes());
        out
    }

    /// Decodes a head and its checksum.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, u64)> {
        let mut f = Fields(bytes);
        let kind = match f.u8()? {
            1 => Kind::Put,
            2 => Kind::Delete,
            3 => Kind::Link,
            4 => Kind::DeleteRange,
            _ => return None,
        };
        let flags = f.u8()?;
        let stored = u32::from(f.u16()?);
        let key_len = if kind == Kind::Link { 0 } else { stored + 1 };
        let head =
            Self { kind, flags, key_len, value_len: f.u32()?, modified: f.u64()?, value_checksum: f.u64()? };
        Some((head, f.u64()?))
    }
}

/// The checksum of a record's head with everything between it and the value.
pub(crate) fn head_checksum(prefix: &[u8], between: &[u8], salt: u64) -> u64 {
    head_checksum_of(prefix, [between, &[], &[]], salt)
}

/// As [`head_checksum`], with the bytes between head and value in parts.
pub(crate) fn head_checksum_of(prefix: &[u8], parts: [&[u8]; 3], salt: u64) -> u64 {
    // Most records have only a short key after the head. For them, one call over a small buffer is faster than a
    // streaming hash.
    let len = prefix.len() + parts.iter().map(|p| p.len()).sum::<usize>();
    let mut small = [0; 128];
    if len <= small.len() {
        let mut at = 0;
        for part in [prefix, parts[0], parts[1], parts[2]] {
            small[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        return xxh3_64_with_seed(&small[..len], salt);
    }
    let mut hash = Xxh3::with_seed(salt);
    for part in [prefix, parts[0], parts[1], parts[2]] {
        hash.update(part);
    }
    hash.digest()
}
