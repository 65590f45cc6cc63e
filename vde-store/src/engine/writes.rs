//! The path of every write: take the key's stripe, append to the log, insert into the memtable, release the stripe,
//! wait for the disk.

use std::io::Read;
use std::ops::Bound;
use std::sync::atomic::Ordering::Relaxed;

use crate::container::blob::{self, PendingBlob, WRITE_BLOB};
use crate::container::compress;
use crate::container::error::{Error, Result, is_full};
use crate::container::format::{
    FLAG_BLOB, FLAG_MORE, FLAG_PACKED, FLAG_PRIOR, Kind, MAX_RECORD_VALUE, MAX_USER_LEN,
};
use crate::container::log::record::{Draft, Origin, Parts};
use crate::container::log::writer::Entry;
use crate::container::memtable::{Change, Facts, Horizon, Payload, Stored, Target};
use crate::container::planted::Bug;
use crate::engine::entries::Entries;
use crate::engine::operation::{Condition, Decided, Operation, Writes};
use crate::engine::options::{Compression, Durability};
use crate::engine::shared::Shared;
use crate::engine::value::{Value, now_micros};
use crate::engine::view::{ReadView, check_key};

/// If more than this many bytes are unwritten, writers write them themselves, so that memory stays bounded.
const MAX_UNWRITTEN: usize = 8 << 20;
/// If more than this many buffered bytes are unwritten, the committer thread is asked to write them, while they are
/// still in the processor's cache. A writer that wrote them itself would hold its stripe meanwhile.
const MAX_BUFFERED: usize = 1 << 20;

/// The change that a write makes.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    Delete,
    /// Deletes every key from the write's key on, up to but not including this one.
    DeleteRange(Option<&'a [u8]>),
    Bytes(&'a [u8]),
    /// The compressed form of the bytes, and the bytes.
    Packed(&'a [u8], &'a [u8]),
    /// An encoded blob map, and the length of the blob.
    Blob(&'a [u8], u64),
}

/// One write, before it is logged.
#[derive(Clone, Copy)]
pub(crate) struct Write<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) content: Content<'a>,
    /// Encoded user metadata.
    pub(crate) user: &'a [u8],
    /// For a value that is moved or copied: its version and creation time, and its modification time.
    pub(crate) origin: Option<(Origin, u64)>,
    /// Whether it only moves a value within the container, so that nothing changes for watchers.
    pub(crate) moves: bool,
    /// The length of the replaced value, if the writer knows it.
    pub(crate) replaced: Option<u64>,
}

/// If values have at least this average length, a write looks up the value that it replaces. The lookup costs little
/// compared with the write. Without it, much dead space could go unnoticed.
const LOOKED_FOR: u64 = 4096;

/// A deleted range of more keys than this makes a checkpoint due, whatever the length of their values.
const COUNTED_KEYS: usize = 1 << 14;

impl<'a> Write<'a> {
    pub(crate) fn new(key: &'a [u8], content: Content<'a>) -> Self {
        Self { key, content, user: &[], origin: None, moves: false, replaced: None }
    }

    fn draft(&self, now: u64, flags: u8, salt: u64) -> Draft<'a> {
        let (kind, flags, value) = match self.content {
            Content::Delete => (Kind::Delete, flags, &[][..]),
            Content::DeleteRange(until) => (Kind::DeleteRange, flags, until.unwrap_or_default()),
            Content::Bytes(bytes) => (Kind::Put, flags, bytes),
            Content::Packed(packed, _) => (Kind::Put, flags | FLAG_PACKED, packed),
            Content::Blob(map, _) => (Kind::Put, flags | FLAG_BLOB, map),
        };
        let (origin, modified) =
            self.origin.map_or((None, now), |(origin, modified)| (Some(origin), modified));
        Draft::new(&Parts { kind, flags, modified, origin, user: self.user, key: self.key, value }, salt)
    }

    fn adds_something(&self) -> bool {
        !matches!(self.content, Content::Delete | Content::DeleteRange(_))
    }

    fn target(&self) -> Target {
        match self.content {
            Content::DeleteRange(until) => Target::Range(self.key.into(), until.map(Box::from)),
            _ => Target::Key(self.key.into()),
        }
    }

    /// The value as the memtable stores it: only short values are copied into it.
    fn stored(&self, now: u64) -> Option<Stored> {
        let (len, payload) = match self.content {
            Content::Delete | Content::DeleteRange(_) => return None,
            Content::Bytes(bytes) | Content::Packed(_, bytes) => (bytes.len() as u64, Payload::of(bytes)),
            Content::Blob(map, len) => (len, Payload::Blob(map.into())),
        };
        let (origin, modified) =
            self.origin.map_or((None, now), |(origin, modified)| (Some(origin), modified));
        Some(Stored { len, origin, facts: Some(Facts::new(modified, self.user)), payload })
    }
}

/// One write of a batch.
enum Planned<'a> {
    Put(PreparedValue<'a>),
    Delete,
    /// The end of the range, and how many bytes the deleted values have.
    DeleteRange(Option<&'a [u8]>, u64),
}

impl Planned<'_> {
    fn write<'w>(&'w self, key: &'w [u8]) -> Write<'w> {
        match self {
            Self::Put(value) => Write::new(key, value.content()),
            Self::Delete => Write::new(key, Content::Delete),
            Self::DeleteRange(until, replaced) => {
                Write { replaced: Some(*replaced), ..Write::new(key, Content::DeleteRange(*until)) }
            }
        }
    }

    fn keep(self) {
        if let Self::Put(value) = self {
            value.keep();
        }
    }
}

/// A value that is ready to be logged: it is in memory, or was streamed to a blob.
pub(crate) enum PreparedValue<'a> {
    Bytes(&'a [u8]),
    /// As [`Content::Packed`].
    Packed(Vec<u8>, &'a [u8]),
    Blob(Vec<u8>, Box<PendingBlob>),
}

impl PreparedValue<'_> {
    pub(crate) fn content(&self) -> Content<'_> {
        match self {
            Self::Bytes(bytes) => Content::Bytes(bytes),
            Self::Packed(packed, bytes) => Content::Packed(packed, bytes),
            Self::Blob(map, pending) => Content::Blob(map, pending.len),
        }
    }

    /// A record refers to the value now.
    pub(crate) fn keep(self) {
        if let Self::Blob(_, pending) = self {
            pending.keep();
        }
    }
}

impl Shared {
    /// Logs and publishes `writes` as one transaction. The caller holds their stripes.
    pub(crate) fn log(&self, writes: &[Write<'_>], durability: Durability) -> Result<u64> {
        self.group_commit.check()?;
        let replaced = writes.iter().map(|write| self.replaced_by(write)).sum();
        let now = now_micros();
        let last = writes.len() - 1;
        let flags = |i: usize| if i > 0 { FLAG_PRIOR } else { 0 } | if i < last { FLAG_MORE } else { 0 };
        let entries = writes.iter().enumerate().map(|(i, write)| {
            let draft = write.draft(now, flags(i), self.geometry.salt);
            Entry::new(draft, write.target(), write.stored(now), write.moves)
        });
        let entries: Vec<_> = entries.collect();
        if writes.iter().any(Write::adds_something) {
            self.check_room(entries.iter().map(Entry::len).sum())?;
        }
        let durable = durability != Durability::Buffered;
        let appended = self.log.append(entries, durable, || {
            if durable {
                self.group_commit.arrived(&self.log);
            }
        });
        let backlog =
            if replaced > 0 { self.layers.load().memtable.note_replaced(replaced) } else { appended.backlog };
        // A flush takes all unwritten bytes, so between two flushes only one writer crosses the bound.
        if !durable && (MAX_BUFFERED..MAX_BUFFERED + appended.added).contains(&appended.unwritten) {
            self.group_commit.write_soon();
        }
        if appended.unwritten > MAX_UNWRITTEN {
            let _poisoning = self.group_commit.poison_on_panic();
            self.log.flush(false).map_err(|e| self.fail_log(e))?;
        }
        if appended.half_full || backlog > self.options.checkpoint_bytes {
            self.maintenance.wake();
        }
        Ok(appended.seq)
    }

    /// How many bytes of a replaced value become dead by a write, if that can be found cheaply.
    fn replaced_by(&self, write: &Write<'_>) -> u64 {
        let is_worth_a_look = || write.origin.is_none() && self.mean_value.load(Relaxed) >= LOOKED_FOR;
        match write.replaced {
            Some(len) => len,
            None if is_worth_a_look() => {
                let before = self.layers.load().find(write.key, Horizon::LATEST);
                before.ok().flatten().map_or(0, |stored| stored.len)
            }
            None => 0,
        }
    }

    /// The total length of the values of a range of keys. If there are too many keys to count, a length that makes a
    /// checkpoint due.
    pub(crate) fn bytes_in(&self, from: &[u8], until: Option<&[u8]>) -> u64 {
        let view = ReadView { layers: self.layers.load_full(), horizon: Horizon::LATEST };
        let until = until.map_or(Bound::Unbounded, |until| Bound::Excluded(until.into()));
        let mut entries = Entries::new(view, Bound::Included(from.into()), until);
        // Errors are ignored here; the checkpoint reports them.
        let bytes = entries.by_ref().take(COUNTED_KEYS).flatten().map(|entry| entry.len()).sum();
        if entries.next().is_none() { bytes } else { self.options.checkpoint_bytes.saturating_add(1) }
    }

    /// To be called before a write takes its stripe. Fails if the write is not allowed, and waits while checkpoints
    /// lag far behind.
    pub(crate) fn admit(&self, key: &[u8], user: &[u8]) -> Result<()> {
        self.check_write(key, user)?;
        self.throttle()
    }

    /// Fails if a write is not allowed.
    pub(crate) fn check_write(&self, key: &[u8], user: &[u8]) -> Result<()> {
        self.check_writable()?;
        self.check_delete(key)?;
        self.check_space()?;
        if user.len() > MAX_USER_LEN {
            let (len, max) = (user.len() as u64, MAX_USER_LEN as u64);
            return Err(Error::TooLarge { what: "user metadata", len, max });
        }
        Ok(())
    }

    /// Whether a write of `len` bytes would have to wait for the disk or for a checkpoint before it is logged.
    fn must_wait(&self, len: usize) -> bool {
        len > MAX_RECORD_VALUE
            || self.log.waiting() > MAX_UNWRITTEN / 2
            || self.is_throttled()
            || self.must_prepare()
    }

    /// As [`admit`](Self::admit), for a deletion, which is allowed on a full disk because it makes space.
    fn admit_delete(&self, key: &[u8]) -> Result<()> {
        self.check_delete(key)?;
        self.throttle()
    }

    /// Fails if a deletion is not allowed.
    pub(crate) fn check_delete(&self, key: &[u8]) -> Result<()> {
        self.check_writable()?;
        self.check_not_updating()?;
        check_key(key)
    }

    /// Streams a value to a blob if it is too long for a record. Otherwise compresses it, if the options ask for that
    /// and it becomes short enough.
    pub(crate) fn prepare_value<'a>(&self, value: &'a [u8]) -> Result<PreparedValue<'a>> {
        if value.len() > MAX_RECORD_VALUE {
            return self.prepare_stream(value, &mut std::io::empty());
        }
        let packed = match self.options.compression {
            Compression::None => None,
            Compression::Lz4 => compress::pack(value),
        };
        Ok(packed.map_or(PreparedValue::Bytes(value), |packed| PreparedValue::Packed(packed, value)))
    }

    fn prepare_stream<'a>(&self, start: &[u8], source: &mut dyn Read) -> Result<PreparedValue<'a>> {
        let (map, pending) = self.write_blob(start, source)?;
        Ok(PreparedValue::Blob(map, Box::new(pending)))
    }

    pub(crate) fn pending(&self) -> PendingBlob {
        PendingBlob::new(self.pages.clone(), self.segments.clone(), self.options.part_pieces)
    }

    /// Streams a value to a blob. Returns the blob and its encoded map.
    pub(crate) fn write_blob(&self, start: &[u8], source: &mut dyn Read) -> Result<(Vec<u8>, PendingBlob)> {
        self.noting_blob_failure(blob::write(self.pending(), start, source))
    }

    /// Turns the store read-only if a page could not be written, unless the cause is a lack of space. A failure of
    /// the source does not turn it read-only.
    pub(crate) fn noting_blob_failure<T>(&self, written: Result<T>) -> Result<T> {
        written.map_err(|error| match &error {
            // Nothing refers to the blob's pages yet.
            Error::Io { action: WRITE_BLOB, source } if is_full(source) => self.space.note(error),
            Error::Io { action: WRITE_BLOB, source } => {
                self.group_commit.poison(source.clone());
                error
            }
            _ => error,
        })
    }

    /// Logs a put. Returns its sequence number: the put is acknowledged once the log is durable up to it.
    pub(crate) fn put(&self, key: &[u8], value: &[u8], user: &[u8], durability: Durability) -> Result<u64> {
        self.admit(key, user)?;
        let value = self.prepare_value(value)?;
        self.put_prepared(key, value, user, durability)
    }

    /// As [`put`](Self::put), or `None` if it would have to wait.
    pub(crate) fn try_put(
        &self,
        key: &[u8],
        value: &[u8],
        user: &[u8],
        durability: Durability,
    ) -> Result<Option<u64>> {
        self.check_delete(key)?;
        if self.must_wait(value.len()) {
            return Ok(None);
        }
        self.check_write(key, user)?;
        let value = self.prepare_value(value)?;
        let Some(_stripe) = self.stripes.try_lock(key) else { return Ok(None) };
        self.log(&[Write { user, ..Write::new(key, value.content()) }], durability).map(Some)
    }

    /// As [`put`](Self::put), with the bytes of a reader.
    pub(crate) fn put_with(
        &self,
        key: &[u8],
        source: &mut dyn Read,
        user: &[u8],
        durability: Durability,
    ) -> Result<u64> {
        self.admit(key, user)?;
        let mut start = vec![0; MAX_RECORD_VALUE + 1];
        let len = blob::fill(source, &mut start).map_err(Error::source)?;
        start.truncate(len);
        let value = if len <= MAX_RECORD_VALUE {
            self.prepare_value(&start)?
        } else {
            self.prepare_stream(&start, source)?
        };
        self.put_prepared(key, value, user, durability)
    }

    pub(crate) fn put_prepared(
        &self,
        key: &[u8],
        value: PreparedValue<'_>,
        user: &[u8],
        durability: Durability,
    ) -> Result<u64> {
        let _stripe = self.stripes.lock(key);
        let seq = self.log(&[Write { user, ..Write::new(key, value.content()) }], durability)?;
        value.keep();
        Ok(seq)
    }

    /// Logs a deletion. Returns whether there was something to delete, and the sequence number that acknowledges it.
    pub(crate) fn delete(&self, key: &[u8], durability: Durability) -> Result<(bool, u64)> {
        self.admit_delete(key)?;
        let _stripe = self.stripes.lock(key);
        self.delete_locked(key, durability)
    }

    /// As [`delete`](Self::delete), or `None` if it would have to wait.
    pub(crate) fn try_delete(&self, key: &[u8], durability: Durability) -> Result<Option<(bool, u64)>> {
        self.check_delete(key)?;
        if self.must_wait(0) {
            return Ok(None);
        }
        let Some(_stripe) = self.stripes.try_lock(key) else { return Ok(None) };
        self.delete_locked(key, durability).map(Some)
    }

    /// The caller holds the key's stripe.
    fn delete_locked(&self, key: &[u8], durability: Durability) -> Result<(bool, u64)> {
        match self.layers.load().change(key, Horizon::LATEST)? {
            Some(Change { stored: Some(stored), .. }) => {
                let delete = Write { replaced: Some(stored.len), ..Write::new(key, Content::Delete) };
                Ok((true, self.log(&[delete], durability)?))
            }
            // The answer that there was no value must also wait until the absence is durable.
            before => Ok((false, before.map_or(0, |change| change.seq))),
        }
    }

    /// Calls `change` with the value of `key`, and logs the result; `None` stands for no value. Returns the previous
    /// value.
    pub(crate) fn modify(
        &self,
        key: &[u8],
        durability: Durability,
        change: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<(Option<Value>, u64)> {
        self.admit(key, &[])?;
        let stripe = self.stripes.lock(key);
        let layers = self.layers.load_full();
        let before = layers.change(key, Horizon::LATEST)?;
        let seen = before.as_ref().map_or(0, |change| change.seq);
        let stored = before.and_then(|change| change.stored);
        let replaced = Some(stored.as_ref().map_or(0, |stored| stored.len));
        let old = stored.map(|stored| layers.value(key, &stored)).transpose()?;
        let next = {
            let _updating = self.begin_updating();
            change(old.as_deref())
        };
        let _stripe = if self.options.planted.has(Bug::PublishOutOfOrder) {
            drop(stripe);
            std::thread::yield_now();
            None
        } else {
            Some(stripe)
        };
        let seq = match next {
            Some(value) => {
                let value = self.prepare_value(&value)?;
                let seq = self.log(&[Write { replaced, ..Write::new(key, value.content()) }], durability)?;
                value.keep();
                seq
            }
            None if old.is_some() => {
                self.log(&[Write { replaced, ..Write::new(key, Content::Delete) }], durability)?
            }
            None => seen,
        };
        Ok((old, seq))
    }

    /// Replaces the value by `new`, if it is `expected`.
    pub(crate) fn swap(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        durability: Durability,
    ) -> Result<(bool, u64)> {
        self.admit(key, &[])?;
        let _stripe = self.stripes.lock(key);
        self.swap_locked(key, expected, new, durability)
    }

    /// As [`swap`](Self::swap), or `None` if it would have to wait.
    pub(crate) fn try_swap(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        durability: Durability,
    ) -> Result<Option<(bool, u64)>> {
        self.check_delete(key)?;
        if self.must_wait(expected.map_or(0, <[u8]>::len).max(new.map_or(0, <[u8]>::len))) {
            return Ok(None);
        }
        self.check_write(key, &[])?;
        let Some(_stripe) = self.stripes.try_lock(key) else { return Ok(None) };
        self.swap_locked(key, expected, new, durability).map(Some)
    }

    /// The caller holds the key's stripe.
    fn swap_locked(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        durability: Durability,
    ) -> Result<(bool, u64)> {
        let layers = self.layers.load();
        let change = layers.change(key, Horizon::LATEST)?;
        let stored = change.as_ref().and_then(|change| change.stored.as_ref());
        if !layers.is_value(key, stored, expected)? {
            return Ok((false, change.map_or(0, |change| change.seq)));
        }
        let replaced = Some(stored.map_or(0, |stored| stored.len));
        let seq = match new {
            Some(new) => {
                let value = self.prepare_value(new)?;
                let seq = self.log(&[Write { replaced, ..Write::new(key, value.content()) }], durability)?;
                value.keep();
                seq
            }
            None if expected.is_some() => {
                self.log(&[Write { replaced, ..Write::new(key, Content::Delete) }], durability)?
            }
            None => change.map_or(0, |change| change.seq),
        };
        Ok((true, seq))
    }

    /// Logs `writes` as one transaction, if their conditions hold. `None` if it would have to wait and `may_wait` is
    /// false.
    pub(crate) fn write_batch(
        &self,
        writes: &Writes,
        durability: Durability,
        may_wait: bool,
    ) -> Result<Option<Decided>> {
        self.check_writable()?;
        self.check_not_updating()?;
        let has_range =
            writes.operations.iter().any(|operation| matches!(operation, Operation::DeleteRange(..)));
        // The keys of a deleted range have to be read first, which may take long.
        if !may_wait && (has_range || self.must_wait(writes.weight())) {
            return Ok(None);
        }
        let mut planned = Vec::new();
        for operation in &writes.operations {
            let key = operation.key();
            match operation {
                Operation::Put(..) => self.check_write(key, &[])?,
                Operation::Delete(_) | Operation::DeleteRange(..) => self.check_delete(key)?,
            }
            if may_wait {
                self.throttle()?;
            }
            planned.push((
                key,
                match operation {
                    Operation::Put(_, value) => Planned::Put(self.prepare_value(value)?),
                    Operation::Delete(_) => Planned::Delete,
                    Operation::DeleteRange(_, until) => {
                        let until = until.as_deref();
                        until.map_or(Ok(()), check_key)?;
                        Planned::DeleteRange(until, self.bytes_in(key, until))
                    }
                },
            ));
        }
        let keys = writes.conditions.iter().map(|(key, _)| &**key).chain(planned.iter().map(|(key, _)| *key));
        // The deletion of a range takes all stripes: no write of a key in the range may come between reading the
        // range and logging its deletion.
        let stripes = match (has_range, may_wait) {
            (true, _) => Some(self.stripes.lock_all()),
            (false, true) => Some(self.stripes.lock_many(keys)),
            (false, false) => self.stripes.try_lock_many(keys),
        };
        let Some(stripes) = stripes else { return Ok(None) };
        if let Some((key, seen)) = self.first_unmet(&writes.conditions)? {
            return Ok(Some(Decided { unmet: Some(key.into()), seq: seen }));
        }
        if planned.is_empty() {
            return Ok(Some(Decided { unmet: None, seq: 0 }));
        }
        let records: Vec<_> = planned.iter().map(|(key, write)| write.write(key)).collect();
        let seq = self.log(&records, durability)?;
        drop(stripes);
        for (_, write) in planned {
            write.keep();
        }
        Ok(Some(Decided { unmet: None, seq }))
    }

    /// The first condition that does not hold, with the sequence number of its key's newest change. The caller holds
    /// the keys' stripes.
    fn first_unmet<'c>(&self, conditions: &'c [(Box<[u8]>, Condition)]) -> Result<Option<(&'c [u8], u64)>> {
        let layers = self.layers.load();
        for (key, condition) in conditions {
            check_key(key)?;
            let change = layers.change(key, Horizon::LATEST)?;
            let stored = change.as_ref().and_then(|change| change.stored.as_ref());
            let holds = match (condition, stored) {
                (Condition::Absent, stored) => stored.is_none(),
                (Condition::Present, stored) => stored.is_some(),
                (Condition::Version(version), Some(_)) => {
                    change.as_ref().and_then(Change::version) == Some(*version)
                }
                (Condition::Version(_), None) => false,
                (Condition::Value(value), stored) => layers.is_value(key, stored, Some(value))?,
            };
            if !holds {
                return Ok(Some((key, change.map_or(0, |change| change.seq))));
            }
        }
        Ok(None)
    }
}
