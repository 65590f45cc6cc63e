//! Looking up a key, first in the memtables and then in the index, and reading its value.

use std::borrow::Cow;
use std::sync::Arc;

use crate::container::blob::{BlobMap, Held, Source};
use crate::container::error::{Error, Result};
use crate::container::format::{FLAG_BLOB, checksum};
use crate::container::log::record::{Origin, Record};
use crate::container::log::writer::Log;
use crate::container::memtable::{Change, Creation, Facts, Horizon, Location, Memtable, Payload, Stored};
use crate::container::pages::{Bytes, Pages, PinnedBytes, Verified};
use crate::container::tree::Tree;
use crate::container::tree::cursor::Cell;
use crate::container::tree::node::{LeafValue, Place};
use crate::engine::maintain::Maintenance;
use crate::engine::value::{Metadata, Value, ValueReader, decode_user, time_from_micros};

/// The layers of the store at one moment. A reader loads them once and keeps them as long as it needs them.
pub(crate) struct Layers {
    pub(crate) memtable: Arc<Memtable>,
    /// The memtable that a checkpoint is merging into the index, if there is one.
    pub(crate) frozen: Option<Arc<Memtable>>,
    pub(crate) tree: Arc<Tree>,
    /// The log, which has the records that are not on the device yet. `None` for snapshots.
    pub(crate) log: Option<Arc<Log>>,
    /// Makes the checkpoints. `None` for snapshots.
    pub(crate) maintenance: Option<Arc<Maintenance>>,
}

/// Reads and verifies the record of `key` at `location`, and calls `use_it` with the record and its bytes.
pub(crate) fn read_record<T>(
    pages: &Pages,
    key: &[u8],
    location: Location,
    use_it: impl FnOnce(&Record<'_>, &Bytes) -> T,
) -> Result<T> {
    let bytes = pages.read(location.offset, location.len as usize, "log record")?;
    parse_record(pages, key, location, &bytes, None).map(|record| use_it(&record, &bytes))
}

/// The record of `key` at `location`. It is verified, unless it was verified before.
fn parse_record<'a>(
    pages: &Pages,
    key: &[u8],
    location: Location,
    bytes: &'a [u8],
    verified: Option<Verified<'_>>,
) -> Result<Record<'a>> {
    let read = || {
        let is_noted = verified.is_some_and(Verified::is_noted);
        let record = Record::unverified(bytes)
            .filter(|record| is_noted || record.has_whole_head(bytes, pages.geometry().salt))
            .filter(|record| record.key == key && record.len == location.len)
            .ok_or_else(|| Error::corrupt("log record", location.offset))?;
        if !is_noted {
            record.verify_value(location.offset)?;
            verified.inspect(|verified| verified.note());
        }
        Ok(record)
    };
    read().map_err(|error| match error {
        Error::Corrupt { what, offset } => pages.corrupt(what, offset),
        other => other,
    })
}

/// The change for a value in the index. Its sequence number is 0: the index is durable, and no reader or writer waits
/// for it.
pub(crate) fn indexed(value: LeafValue<'_>) -> Change {
    let origin = Some(Origin { version: value.version, created: value.created });
    let (facts, payload) = match value.place {
        Place::Inline { modified, user, bytes } => {
            let user = (!user.is_empty()).then(|| user.into());
            (Some(Facts { modified, user }), Payload::Memory(bytes.into()))
        }
        Place::Record { location, blob } => (None, Payload::Record { location, blob, seq: 0 }),
    };
    let stored = Some(Stored { len: value.len, origin, facts, payload });
    Change { seq: 0, location: Location { offset: 0, len: 0 }, buffered: false, stored }
}

/// The value of a key.
pub(crate) enum Got {
    Whole(Option<Vec<u8>>),
    /// A value that is too long for a record.
    Long(BlobMap),
}

impl Layers {
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Memtable> {
        std::iter::once(&*self.memtable).chain(self.frozen.as_deref())
    }

    /// Asks the maintenance thread to check whether a checkpoint is due.
    pub(crate) fn suggest_checkpoint(&self) {
        if let Some(maintenance) = &self.maintenance {
            maintenance.wake();
        }
    }

    /// As [`read_record`], for a record that may not be on the device yet.
    fn record<T>(
        &self,
        key: &[u8],
        location: Location,
        seq: u64,
        use_it: impl FnOnce(&Record<'_>, &Bytes) -> T,
    ) -> Result<T> {
        let pages = &self.tree.pages;
        let bytes = match self.log.as_ref().and_then(|log| log.unwritten(location, seq)) {
            Some(bytes) => Bytes::Copied(bytes),
            None => pages.read(location.offset, location.len as usize, "log record")?,
        };
        parse_record(pages, key, location, &bytes, bytes.verified_record())
            .map(|record| use_it(&record, &bytes))
    }

    pub(crate) fn find(&self, key: &[u8], horizon: Horizon) -> Result<Option<Stored>> {
        Ok(self.change(key, horizon)?.and_then(|change| change.stored))
    }

    pub(crate) fn change(&self, key: &[u8], horizon: Horizon) -> Result<Option<Change>> {
        match self.memtables().find_map(|memtable| memtable.find(key, horizon)) {
            Some(change) => Ok(Some(change)),
            None => self.tree.find(key, indexed),
        }
    }

    /// A copy of the value of `key`.
    pub(crate) fn get(&self, key: &[u8], horizon: Horizon) -> Result<Option<Vec<u8>>> {
        match self.get_short(key, horizon)? {
            Got::Whole(bytes) => Ok(bytes),
            Got::Long(map) => map.range(&self.tree.pages, 0, map.len).map(Some),
        }
    }

    /// A copy of the value of `key`, unless it is too long for a record. A value in the index is copied without an
    /// intermediate [`Change`].
    pub(crate) fn get_short(&self, key: &[u8], horizon: Horizon) -> Result<Got> {
        if let Some(change) = self.memtables().find_map(|memtable| memtable.find(key, horizon)) {
            return match change.stored.map(|stored| stored.payload) {
                None => Ok(Got::Whole(None)),
                Some(Payload::Memory(bytes)) => Ok(Got::Whole(Some(bytes.to_vec()))),
                Some(Payload::Blob(map)) => BlobMap::decode(&map, 0).map(Got::Long),
                Some(Payload::Record { location, blob, seq }) => self.get_record(key, location, seq, blob),
            };
        }
        let found = self.tree.find(key, |value| match value.place {
            Place::Inline { bytes, .. } => Ok(bytes.to_vec()),
            Place::Record { location, blob } => Err((location, blob)),
        })?;
        match found {
            None => Ok(Got::Whole(None)),
            Some(Ok(bytes)) => Ok(Got::Whole(Some(bytes))),
            Some(Err((location, blob))) => self.get_record(key, location, 0, blob),
        }
    }

    fn get_record(&self, key: &[u8], location: Location, seq: u64, blob: bool) -> Result<Got> {
        if blob {
            return self.blob_map(key, location).map(Got::Long);
        }
        let content = |record: &Record<'_>| record.content(location.offset).map(Cow::into_owned);
        self.record(key, location, seq, |record, _| Ok(Got::Whole(Some(content(record)?))))?
    }

    /// Whether the value of `key` is `expected`; `None` stands for no value. A value whose length differs is not
    /// read.
    pub(crate) fn is_value(
        &self,
        key: &[u8],
        stored: Option<&Stored>,
        expected: Option<&[u8]>,
    ) -> Result<bool> {
        match (stored, expected) {
            (Some(stored), Some(expected)) => {
                Ok(stored.len == expected.len() as u64 && *expected == *self.value(key, stored)?)
            }
            (stored, expected) => Ok(stored.is_none() && expected.is_none()),
        }
    }

    /// The bytes of a value.
    pub(crate) fn value(&self, key: &[u8], stored: &Stored) -> Result<Value> {
        match &stored.payload {
            Payload::Memory(bytes) => Ok(Value { bytes: PinnedBytes::Owned(bytes.clone()), pin: None }),
            Payload::Blob(map) => {
                let bytes = BlobMap::decode(map, 0)?.pin(&self.tree.pages)?;
                Ok(Value { bytes, pin: Some(self.tree.clone()) })
            }
            Payload::Record { location, blob, seq } => self.recorded_value(key, *location, *seq, *blob),
        }
    }

    /// The bytes of a value whose place is in the index.
    pub(crate) fn indexed_value(&self, cell: &Cell) -> Result<Value> {
        let location = match cell.value()?.place {
            Place::Inline { bytes, .. } => {
                return Ok(Value { bytes: PinnedBytes::Owned(bytes.into()), pin: None });
            }
            Place::Record { location, blob: true } => {
                return self.recorded_value(cell.key(), location, 0, true);
            }
            Place::Record { location, .. } => location,
        };
        let pages = &self.tree.pages;
        let len = location.len as usize;
        let bytes = pages.read_anchored(cell.anchor(), location.offset, len, "log record")?;
        let record = parse_record(pages, cell.key(), location, &bytes, bytes.verified_record())?;
        let before = record.len as usize - record.value.len();
        let value = match record.content(location.offset)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(value) => Some(PinnedBytes::Owned(value.into())),
        };
        Ok(Value { bytes: value.unwrap_or_else(|| bytes.tail(before)), pin: None })
    }

    fn recorded_value(&self, key: &[u8], location: Location, seq: u64, blob: bool) -> Result<Value> {
        let bytes = if blob {
            self.blob_map(key, location)?.pin(&self.tree.pages)?
        } else {
            self.record(key, location, seq, |record, bytes| {
                let end = record.len as usize;
                Ok::<_, Error>(match record.content(location.offset)? {
                    Cow::Borrowed(value) => bytes.pin(end - value.len(), end),
                    Cow::Owned(value) => PinnedBytes::Owned(value.into()),
                })
            })??
        };
        Ok(Value { bytes, pin: Some(self.tree.clone()) })
    }

    pub(crate) fn blob_map(&self, key: &[u8], location: Location) -> Result<BlobMap> {
        read_record(&self.tree.pages, key, location, |record, _| {
            BlobMap::decode(record.value, location.offset)
        })?
    }

    pub(crate) fn range(&self, key: &[u8], stored: &Stored, from: u64, to: u64) -> Result<Vec<u8>> {
        match &stored.payload {
            Payload::Blob(map) => BlobMap::decode(map, 0)?.range(&self.tree.pages, from, to),
            Payload::Record { location, blob: true, .. } => {
                self.blob_map(key, *location)?.range(&self.tree.pages, from, to)
            }
            Payload::Memory(_) | Payload::Record { blob: false, .. } => {
                let value = self.value(key, stored)?;
                let len = value.len() as u64;
                let (from, to) = (from.min(len) as usize, to.min(len) as usize);
                Ok(value.get(from..to).unwrap_or_default().to_vec())
            }
        }
    }

    pub(crate) fn reader(&self, key: &[u8], stored: &Stored) -> Result<ValueReader> {
        let blob = |map: BlobMap| Source::Blob {
            map: Arc::new(map),
            pages: self.tree.pages.clone(),
            part: Held::default(),
            chunk: None,
        };
        let source = match &stored.payload {
            Payload::Blob(map) => blob(BlobMap::decode(map, 0)?),
            Payload::Record { location, blob: true, .. } => blob(self.blob_map(key, *location)?),
            Payload::Memory(_) | Payload::Record { blob: false, .. } => {
                Source::Bytes(self.value(key, stored)?.bytes)
            }
        };
        Ok(ValueReader::new(source, self.tree.clone()))
    }

    /// When the key was first put since it was last absent, according to the changes before `seq`. `created` is the
    /// answer if there are none.
    fn created_before(&self, key: &[u8], seq: u64, mut created: u64) -> Result<u64> {
        for memtable in self.memtables() {
            match memtable.creation(key, seq) {
                Creation::Here(at) => return Ok(at.unwrap_or(created)),
                Creation::Older(at) => created = at.unwrap_or(created),
            }
        }
        Ok(self.tree.find(key, |value| value.created)?.unwrap_or(created))
    }

    /// Version and creation time of an existing value.
    pub(crate) fn origin(&self, key: &[u8], change: &Change, stored: &Stored) -> Result<Origin> {
        if let Some(origin) = stored.origin {
            return Ok(origin);
        }
        let modified = stored.facts.as_ref().map_or(0, |facts| facts.modified);
        Ok(Origin { version: change.seq, created: self.created_before(key, change.seq, modified)? })
    }

    pub(crate) fn metadata(&self, key: &[u8], change: &Change, stored: &Stored) -> Result<Metadata> {
        let origin = self.origin(key, change, stored)?;
        let (facts, sum) = match &stored.payload {
            Payload::Memory(bytes) => (stored.facts.clone(), checksum(bytes)),
            Payload::Blob(map) => (stored.facts.clone(), BlobMap::decode(map, 0)?.checksum),
            Payload::Record { location, blob, seq } => {
                self.record(key, *location, *seq, |record, _| {
                    debug_assert_eq!(*blob, record.head.flags & FLAG_BLOB != 0);
                    let user = (!record.user.is_empty()).then(|| record.user.into());
                    let sum = if *blob {
                        BlobMap::decode(record.value, location.offset)?.checksum
                    } else {
                        checksum(&record.content(location.offset)?)
                    };
                    Ok::<_, Error>((Some(Facts { modified: record.head.modified, user }), sum))
                })??
            }
        };
        let facts = facts.unwrap_or(Facts { modified: origin.created, user: None });
        Ok(Metadata {
            len: stored.len,
            created: time_from_micros(origin.created),
            modified: time_from_micros(facts.modified),
            version: origin.version,
            checksum: sum,
            user: decode_user(facts.user.as_deref().unwrap_or_default()),
        })
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Seek, SeekFrom, Write};

    use crate::testing::Bug;
    use crate::{Error, Vde, VdeOptions};

    const KEYS: u8 = 40;
    /// How often all keys are put: often enough that segments are reused.
    const ROUNDS: u8 = 40;

    fn value(key: u8, round: u8) -> Vec<u8> {
        [&[key, round], &[key ^ round; 998][..]].concat()
    }

    fn put_all(store: &Vde, round: u8) {
        let mut batch = store.batch();
        (0..KEYS).for_each(|key| _ = batch.put([key], value(key, round)));
        batch.commit().unwrap();
        store.checkpoint().unwrap();
    }

    /// Changes a byte of each value of `round` directly in the file.
    fn damage(file: &mut File, round: u8) {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        for key in 0..KEYS {
            for at in memchr::memmem::find_iter(&bytes, &value(key, round)) {
                file.seek(SeekFrom::Start(at as u64 + 500)).unwrap();
                file.write_all(&[!(key ^ round)]).unwrap();
            }
        }
    }

    fn open(path: &std::path::Path, bug: Option<Bug>) -> (Vde, File) {
        let options = VdeOptions::new().background(false).segment_size(1 << 18);
        let options = bug.into_iter().fold(options, VdeOptions::plant);
        (options.open(path).unwrap(), OpenOptions::new().read(true).write(true).open(path).unwrap())
    }

    /// How many damaged values of the last round are returned as if they were whole, if each round is read before the
    /// next one overwrites it.
    fn returned(bug: Option<Bug>) -> usize {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut file) = open(&dir.path().join("store.vde"), bug);
        for round in 0..ROUNDS {
            put_all(&store, round);
            assert!(store.list("").all(|entry| entry.unwrap().value().is_ok()));
        }
        put_all(&store, ROUNDS);
        damage(&mut file, ROUNDS);
        let mut returned = 0;
        for (key, entry) in (0..KEYS).zip(store.list("")) {
            for got in [store.get([key]).map(drop), entry.unwrap().value().map(drop)] {
                assert!(matches!(got, Ok(()) | Err(Error::Corrupt { .. })));
                returned += usize::from(got.is_ok());
            }
        }
        returned
    }

    #[test]
    fn every_record_is_verified_at_its_first_read() {
        assert_eq!(returned(None), 0);
        assert!(returned(Some(Bug::TrustRewritten)) > 0);
    }

    #[test]
    fn verification_finds_damage_of_records_that_were_read_before() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut file) = open(&dir.path().join("store.vde"), None);
        put_all(&store, 1);
        assert!(store.list("").all(|entry| entry.unwrap().value().is_ok()));
        damage(&mut file, 1);
        assert_eq!(store.verify(|_| {}).unwrap().problems.len(), usize::from(KEYS));
    }
}
