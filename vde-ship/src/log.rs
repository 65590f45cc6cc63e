//! The log: numbered entries, each of which has the checksum of the one before.

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::format::{Entry, Kind, LOG, now, numbered};

/// The end of the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    /// The number of the next entry.
    pub(crate) next: u64,
    /// The checksum of the last entry.
    pub(crate) previous: u64,
    pub(crate) history: u64,
    pub(crate) version: u64,
    pub(crate) time: u64,
}

impl End {
    /// The end of the log after `entry`, whose checksum is `sum`.
    pub(crate) fn after(entry: &Entry, sum: u64) -> Self {
        Self {
            next: entry.number + 1,
            previous: sum,
            history: entry.history,
            version: entry.version,
            time: entry.time,
        }
    }

    /// The next entry, without content.
    pub(crate) fn entry(&self, kind: Kind, writer: [u8; 16], identity: u64, version: u64) -> Entry {
        Entry {
            kind,
            writer,
            number: self.next,
            history: self.history,
            identity,
            before: self.version,
            version,
            time: self.time.max(now()),
            previous: self.previous,
            attempt: 0,
            chunks: Vec::new(),
            rest: Vec::new(),
        }
    }

    /// The manifest of a base of the store at this end of the log, without content.
    pub(crate) fn manifest(&self, writer: [u8; 16], identity: u64, attempt: u64) -> Entry {
        let entry = self.entry(Kind::Base, writer, identity, self.version);
        Entry { before: 0, time: self.time, attempt, ..entry }
    }

    /// Moves on to `entry`, which must be the next one.
    pub(crate) fn advance(&mut self, entry: &Entry, sum: u64) -> Result<()> {
        let continues = entry.history != entry.number && entry.history == self.history;
        let is_next = entry.number == self.next
            && entry.previous == self.previous
            && entry.kind != Kind::Base
            && (!continues || entry.before == self.version);
        if !is_next {
            return Err(Error::Damaged { object: numbered(LOG, entry.number) });
        }
        *self = Self::after(entry, sum);
        Ok(())
    }

    /// The end of the log before an entry, by what the entry says.
    pub(crate) fn before(entry: &Entry) -> Self {
        Self {
            next: entry.number,
            previous: entry.previous,
            history: entry.history,
            version: entry.before,
            time: entry.time,
        }
    }

    /// The end of the log that a base contains.
    pub(crate) fn of_base(base: &Entry) -> Self {
        Self {
            next: base.number,
            previous: base.previous,
            history: base.history,
            version: base.version,
            time: base.time,
        }
    }
}

/// The entry or the manifest in the object `name`, and its checksum.
pub(crate) async fn read(bucket: &Bucket, name: &str) -> Result<(Entry, u64)> {
    let bytes = bucket.get(name).await?;
    let (entry, sum) = Entry::decode(name, &bytes)?;
    // A copy of another object is not in its place.
    if name.ends_with(&format!("{:020}", entry.number)) {
        Ok((entry, sum))
    } else {
        Err(Error::Damaged { object: name.into() })
    }
}
