//! The names and the bytes of the objects. All integers are little-endian; DESIGN.md says what each object is for.
//!
//! An entry (`log/N`), or the manifest of a base (`base/N`):
//!
//! | size | field |
//! |---|---|
//! | 8 | magic `VDEship` and a zero |
//! | 4 | format version: 2; version 1 had no records of kind 5 |
//! | 1 | kind: 1 takeover, 2 part, 3 base |
//! | 16 | writer, random for each shipper |
//! | 8 | number: its place in the log; for a base, that of the first entry after it |
//! | 8 | history: the number of the takeover with which the history began |
//! | 8 | identity of the store |
//! | 8 | version before its changes |
//! | 8 | version after its changes |
//! | 8 | time, in microseconds since 1970: when the view was taken; it never decreases within the log |
//! | 8 | checksum of the entry before, 0 for the first |
//! | 8 | attempt: the name of its chunks |
//! | 4 + 16 n | number of chunks; the length and the checksum of each |
//! | 8 + n | length of the rest, the rest: its content after the chunks |
//! | 8 | checksum (64-bit XXH3) of all bytes before |
//!
//! The content is a sequence of records:
//!
//! | size | field |
//! |---|---|
//! | 1 | kind: 1 put, 2 delete, 3 delete range, 4 delete range without an upper bound, 5 put that continues |
//! | 4 + n | length of the key, key |
//! | 4 + n | for kind 3: length of the upper bound, upper bound |
//! | 8 + 8 + 8 | for puts: version, creation time, modification time |
//! | 4 | for puts: number of texts of the user metadata; for each its length (4) and its UTF-8 bytes |
//! | 8 + n | for puts: length of the value, value |
//!
//! If a put that continues replaces a value, it has the creation time of that one. Otherwise it has the one that it
//! gives.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use vde_store::{Metadata, UserMetadata};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

const MAGIC: &[u8; 8] = b"VDEship\0";
const VERSION: u32 = 2;
/// The bytes of an entry up to the number of its chunks.
const HEAD: usize = 8 + 4 + 1 + 16 + 8 * 8;
/// The longest key, bound or text that is read, in bytes.
const LONGEST: u32 = 1 << 20;

/// The folders of the objects.
pub(crate) const LOG: &str = "log";
pub(crate) const BASES: &str = "base";
pub(crate) const DATA: &str = "data";
pub(crate) const TAKEOVERS: &str = "takeover";

/// The name of a numbered object. Names sort as their numbers do.
pub(crate) fn numbered(folder: &str, number: u64) -> String {
    format!("{folder}/{number:020}")
}

/// The name of a chunk of the entry or base with this number.
pub(crate) fn chunk_name(number: u64, attempt: u64, index: usize) -> String {
    format!("{}/{attempt:016x}-{index:06}", numbered(DATA, number))
}

pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A shipper has begun. It is a new history if its number is that of its history.
    Takeover = 1,
    /// Changes.
    Part = 2,
    /// A whole store, and not an entry of the log.
    Base = 3,
}

/// The length and the checksum of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) len: u64,
    pub(crate) sum: u64,
}

/// An entry of the log, or the manifest of a base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) writer: [u8; 16],
    pub(crate) number: u64,
    pub(crate) history: u64,
    pub(crate) identity: u64,
    pub(crate) before: u64,
    pub(crate) version: u64,
    pub(crate) time: u64,
    pub(crate) previous: u64,
    pub(crate) attempt: u64,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) rest: Vec<u8>,
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

impl Entry {
    /// The bytes of the object, and the checksum by which the next entry refers to it.
    pub(crate) fn encode(&self) -> (Vec<u8>, u64) {
        let mut out = Vec::with_capacity(HEAD + 20 + 16 * self.chunks.len() + self.rest.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.writer);
        for field in [
            self.number,
            self.history,
            self.identity,
            self.before,
            self.version,
            self.time,
            self.previous,
            self.attempt,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&(self.chunks.len() as u32).to_le_bytes());
        for chunk in &self.chunks {
            out.extend_from_slice(&chunk.len.to_le_bytes());
            out.extend_from_slice(&chunk.sum.to_le_bytes());
        }
        out.extend_from_slice(&(self.rest.len() as u64).to_le_bytes());
        out.extend_from_slice(&self.rest);
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        (out, sum)
    }

    /// The entry in the object `name`, and its checksum.
    pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<(Self, u64)> {
        let damaged = || Error::Damaged { object: name.into() };
        let mut f = Fields(bytes);
        if f.array() != Some(*MAGIC) {
            return Err(damaged());
        }
        let version = f.u32().ok_or_else(damaged)?;
        if version > VERSION {
            return Err(Error::NewerFormat { object: name.into(), needed: version, known: VERSION });
        }
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
        let sum = u64::from_le_bytes(*sum);
        if checksum(body) != sum {
            return Err(damaged());
        }
        let entry = Self::fields(Fields(body)).ok_or_else(damaged)?;
        Ok((entry, sum))
    }

    fn fields(mut f: Fields<'_>) -> Option<Self> {
        f.bytes(MAGIC.len() + 4)?;
        let kind = match f.array()? {
            [1] => Kind::Takeover,
            [2] => Kind::Part,
            [3] => Kind::Base,
            _ => return None,
        };
        let writer = f.array()?;
        let mut next = || f.u64();
        let entry = Self {
            kind,
            writer,
            number: next()?,
            history: next()?,
            identity: next()?,
            before: next()?,
            version: next()?,
            time: next()?,
            previous: next()?,
            attempt: next()?,
            chunks: Vec::new(),
            rest: Vec::new(),
        };
        let count = f.u32()?;
        let chunks =
            (0..count).map(|_| Some(Chunk { len: f.u64()?, sum: f.u64()? })).collect::<Option<_>>()?;
        let len = usize::try_from(f.u64()?).ok()?;
        let rest = f.bytes(len)?.to_vec();
        f.0.is_empty().then_some(Self { chunks, rest, ..entry })
    }

    /// The bytes of its content.
    pub(crate) fn len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len).sum::<u64>() + self.rest.len() as u64
    }
}

pub(crate) fn micros(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

pub(crate) fn now() -> u64 {
    micros(SystemTime::now())
}

pub(crate) fn time_of(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

/// A record of the content. The value of a put follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// `continues`: if it replaces a value, it has the creation time of that one.
    Put {
        key: Vec<u8>,
        metadata: Metadata,
        len: u64,
        continues: bool,
    },
    Delete {
        key: Vec<u8>,
    },
    DeleteRange {
        from: Vec<u8>,
        until: Option<Vec<u8>>,
    },
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

pub(crate) fn encode_delete(key: &[u8]) -> Vec<u8> {
    let mut out = vec![2];
    push_bytes(&mut out, key);
    out
}

pub(crate) fn encode_delete_range(from: &[u8], until: Option<&[u8]>) -> Vec<u8> {
    let mut out = vec![if until.is_some() { 3 } else { 4 }];
    push_bytes(&mut out, from);
    if let Some(until) = until {
        push_bytes(&mut out, until);
    }
    out
}

/// What a put says of its value.
pub(crate) struct PutHead<'a> {
    pub(crate) continues: bool,
    pub(crate) key: &'a [u8],
    pub(crate) version: u64,
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) user: &'a UserMetadata,
    pub(crate) len: u64,
}

impl<'a> PutHead<'a> {
    pub(crate) fn of(key: &'a [u8], metadata: &'a Metadata) -> Self {
        Self {
            continues: false,
            key,
            version: metadata.version,
            created: micros(metadata.created),
            modified: micros(metadata.modified),
            user: &metadata.user,
            len: metadata.len,
        }
    }

    /// Appends the put without its value.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(if self.continues { 5 } else { 1 });
        push_bytes(out, self.key);
        for field in [self.version, self.created, self.modified] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&(self.user.len() as u32 * 2).to_le_bytes());
        for (name, value) in self.user {
            push_bytes(out, name.as_bytes());
            push_bytes(out, value.as_bytes());
        }
        out.extend_from_slice(&self.len.to_le_bytes());
    }
}

fn array<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn long(source: &mut impl Read) -> io::Result<u64> {
    array(source).map(u64::from_le_bytes)
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn bytes(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let len = u32::from_le_bytes(array(source)?);
    if len > LONGEST {
        return Err(invalid());
    }
    let mut bytes = vec![0; len as usize];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(source: &mut impl Read) -> io::Result<String> {
    String::from_utf8(bytes(source)?).map_err(|_| invalid())
}

impl Record {
    /// The next record, or `None` at the end.
    pub(crate) fn read(source: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0];
        if source.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let key = bytes(source)?;
        Ok(Some(match kind {
            [kind @ (1 | 5)] => {
                let version = long(source)?;
                let (created, modified) = (time_of(long(source)?), time_of(long(source)?));
                let mut user: UserMetadata = BTreeMap::new();
                for _ in 0..u32::from_le_bytes(array(source)?) / 2 {
                    let name = text(source)?;
                    user.insert(name, text(source)?);
                }
                let len = long(source)?;
                let metadata = Metadata::copied(version, created, modified, user);
                Self::Put { key, metadata, len, continues: kind == 5 }
            }
            [2] => Self::Delete { key },
            [3] => Self::DeleteRange { from: key, until: Some(bytes(source)?) },
            [4] => Self::DeleteRange { from: key, until: None },
            _ => return Err(invalid()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            kind: Kind::Part,
            writer: [7; 16],
            number: 1,
            history: 2,
            identity: 3,
            before: 4,
            version: 5,
            time: 6,
            previous: 7,
            attempt: 8,
            chunks: vec![Chunk { len: 9, sum: 10 }, Chunk { len: 11, sum: 12 }],
            rest: b"rest".to_vec(),
        }
    }

    #[test]
    fn an_entry_survives_encoding_and_no_changed_byte_passes() {
        let (bytes, sum) = entry().encode();
        assert_eq!(Entry::decode("e", &bytes).unwrap(), (entry(), sum));
        assert_eq!(entry().len(), 24);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Entry::decode("e", &changed).is_err(), "byte {at}");
            assert!(Entry::decode("e", &bytes[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn an_entry_of_an_earlier_format_is_read_and_one_of_a_later_format_is_refused() {
        let of_format = |version: u32| {
            let (mut bytes, _) = entry().encode();
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let end = bytes.len() - 8;
            let sum = checksum(&bytes[..end]);
            bytes[end..].copy_from_slice(&sum.to_le_bytes());
            Entry::decode("e", &bytes).map(|(entry, _)| entry)
        };
        assert_eq!(of_format(1).unwrap(), entry());
        assert!(
            matches!(of_format(VERSION + 1), Err(Error::NewerFormat { needed, .. }) if needed == VERSION + 1)
        );
    }

    #[test]
    fn records_survive_encoding_and_no_shorter_form_is_read() {
        let user = UserMetadata::from([("a".to_owned(), "b".to_owned())]);
        let mut metadata = Metadata::copied(1, time_of(2), time_of(3), user);
        let put =
            |continues| Record::Put { key: b"k".to_vec(), metadata: metadata.clone(), len: 9, continues };
        let puts = [put(false), put(true)];
        metadata.len = 9;
        let encoded = |continues| {
            let mut out = Vec::new();
            PutHead { continues, ..PutHead::of(b"k", &metadata) }.encode(&mut out);
            out
        };
        let [put, continuing] = puts;
        for (bytes, record) in [
            (encoded(false), put),
            (encoded(true), continuing),
            (encode_delete(b"k"), Record::Delete { key: b"k".to_vec() }),
            (encode_delete_range(b"a", None), Record::DeleteRange { from: b"a".to_vec(), until: None }),
            (
                encode_delete_range(b"a", Some(b"b")),
                Record::DeleteRange { from: b"a".to_vec(), until: Some(b"b".to_vec()) },
            ),
        ] {
            assert_eq!(Record::read(&mut &bytes[..]).unwrap().as_ref(), Some(&record));
            for len in 1..bytes.len() {
                assert!(Record::read(&mut &bytes[..len]).is_err(), "{record:?}, {len} bytes");
            }
        }
        assert_eq!(Record::read(&mut &[][..]).unwrap(), None);
    }
}
