//! Records: the contents of log units.

use std::borrow::Cow;

use crate::container::compress;
use crate::container::error::{Error, Result};
use crate::container::format::{
    FLAG_ORIGIN, FLAG_PACKED, FLAG_USER, Fields, Kind, LINK_LEN, RECORD_HEAD, RecordHead, checksum,
    decoded_segment, encoded_segment, head_checksum, head_checksum_of,
};

/// Version and creation time of an entry, if its record contains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) version: u64,
    pub(crate) created: u64,
}

/// A record that is encoded and ready to be copied into the log. Only the copy happens under the log's mutex.
pub(crate) struct Draft<'a> {
    head: [u8; RECORD_HEAD],
    /// The origin and the length of the user metadata, each only if its flag is set.
    extra: [u8; 20],
    extra_len: usize,
    user: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
}

/// The parts of a draft.
pub(crate) struct Parts<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) modified: u64,
    pub(crate) origin: Option<Origin>,
    pub(crate) user: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Draft<'a> {
    /// The record with a [`link_value`].
    pub(crate) fn link(value: &'a [u8], salt: u64) -> Self {
        let parts =
            Parts { kind: Kind::Link, flags: 0, modified: 0, origin: None, user: &[], key: &[], value };
        Self::new(&parts, salt)
    }

    pub(crate) fn new(parts: &Parts<'a>, salt: u64) -> Self {
        let mut flags = parts.flags;
        let mut extra = [0; 20];
        let mut extra_len = 0;
        if let Some(origin) = parts.origin {
            flags |= FLAG_ORIGIN;
            extra[0..8].copy_from_slice(&origin.version.to_le_bytes());
            extra[8..16].copy_from_slice(&origin.created.to_le_bytes());
            extra_len = 16;
        }
        if !parts.user.is_empty() {
            flags |= FLAG_USER;
            extra[extra_len..extra_len + 4].copy_from_slice(&(parts.user.len() as u32).to_le_bytes());
            extra_len += 4;
        }
        let value_checksum = checksum(parts.value);
        let head = RecordHead {
            kind: parts.kind,
            flags,
            key_len: parts.key.len() as u32,
            value_len: parts.value.len() as u32,
            modified: parts.modified,
            value_checksum,
        };
        let prefix = head.prefix();
        let sum = head_checksum_of(&prefix, [&extra[..extra_len], parts.user, parts.key], salt);
        let mut bytes = [0; RECORD_HEAD];
        bytes[..24].copy_from_slice(&prefix);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        Self { head: bytes, extra, extra_len, user: parts.user, key: parts.key, value: parts.value }
    }

    pub(crate) fn len(&self) -> usize {
        RECORD_HEAD + self.extra_len + self.user.len() + self.key.len() + self.value.len()
    }

    /// The byte slices of the record, in order.
    pub(crate) fn parts(&self) -> [&[u8]; 5] {
        [&self.head, &self.extra[..self.extra_len], self.user, self.key, self.value]
    }

    /// Checksum of everything but the value, whose checksum it covers.
    pub(crate) fn sum(&self) -> &[u8] {
        &self.head[RECORD_HEAD - 8..]
    }
}

/// A record that says in which segment the log continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) segment: u32,
    pub(crate) ordinal: u64,
    /// A segment that is announced from there on, beside those that were before. `None`: from there on none is.
    pub(crate) announced: Option<u32>,
}

/// The value of a link record.
pub(crate) fn link_value(link: Link) -> [u8; LINK_LEN - RECORD_HEAD] {
    let mut value = [0; LINK_LEN - RECORD_HEAD];
    value[0..4].copy_from_slice(&link.segment.to_le_bytes());
    value[4..8].copy_from_slice(&encoded_segment(link.announced).to_le_bytes());
    value[8..16].copy_from_slice(&link.ordinal.to_le_bytes());
    value
}

/// A record as it lies in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) head: RecordHead,
    pub(crate) origin: Option<Origin>,
    pub(crate) user: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    /// Length of the whole record in bytes.
    pub(crate) len: u32,
    /// Checksum of everything but the value, whose checksum it covers.
    pub(crate) sum: u64,
}

impl<'a> Record<'a> {
    /// The record at the front of `bytes`. Its value is not verified yet.
    pub(crate) fn parse(bytes: &'a [u8], salt: u64) -> Option<Self> {
        Self::unverified(bytes).filter(|record| record.has_whole_head(bytes, salt))
    }

    /// The record at the front of `bytes`, of which nothing is verified.
    pub(crate) fn unverified(bytes: &'a [u8]) -> Option<Self> {
        let (head, sum) = RecordHead::decode(bytes)?;
        let mut f = Fields(&bytes[RECORD_HEAD..]);
        let mut origin = None;
        if head.flags & FLAG_ORIGIN != 0 {
            origin = Some(Origin { version: f.u64()?, created: f.u64()? });
        }
        let user_len = if head.flags & FLAG_USER != 0 { f.u32()? as usize } else { 0 };
        let user = f.bytes(user_len)?;
        let key = f.bytes(head.key_len as usize)?;
        let value = f.bytes(head.value_len as usize)?;
        let len = (bytes.len() - f.0.len()) as u32;
        Some(Self { head, origin, user, key, value, len, sum })
    }

    /// Whether everything but the value is whole. `bytes` are the bytes from which the record was parsed.
    pub(crate) fn has_whole_head(&self, bytes: &[u8], salt: u64) -> bool {
        let between = &bytes[RECORD_HEAD..self.len as usize - self.value.len()];
        head_checksum(&bytes[..24], between, salt) == self.sum
    }

    pub(crate) fn has_whole_value(&self) -> bool {
        checksum(self.value) == self.head.value_checksum
    }

    pub(crate) fn verify_value(&self, offset: u64) -> Result<()> {
        if self.has_whole_value() { Ok(()) } else { Err(Error::corrupt("value", offset)) }
    }

    /// The value as it was put, or the map of its blob. The caller has verified its checksum.
    pub(crate) fn content(&self, offset: u64) -> Result<Cow<'a, [u8]>> {
        if self.head.flags & FLAG_PACKED == 0 {
            return Ok(Cow::Borrowed(self.value));
        }
        compress::unpack(self.value).map(Cow::Owned).ok_or(Error::corrupt("value", offset))
    }

    /// Where the log continues, if this is a link record.
    pub(crate) fn link(&self) -> Option<Link> {
        if self.head.kind != Kind::Link {
            return None;
        }
        let mut f = Fields(self.value);
        let (segment, announced) = (f.u32()?, decoded_segment(f.u32()?));
        Some(Link { segment, ordinal: f.u64()?, announced })
    }
}
