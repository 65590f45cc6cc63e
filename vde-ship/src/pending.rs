//! What has changed since the last part, without the values. They are read when a part is made: from the log, where a
//! change says where its record is, and otherwise from a view of the store.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vde_store::{Change, ChangeKind, LoggedPut, PutRecord, ReadView, Records};

use crate::error::Result;
use crate::format::{encode_delete, encode_delete_range, micros};

/// The key in a follower's store that says what it has applied. It is not shipped.
pub(crate) const POSITION_KEY: &[u8] = b"\0vde-ship";

/// How long the store keeps records for a part. After that, what has changed is looked up, so that the store can reuse
/// the space.
const HELD: Duration = Duration::from_secs(5);

/// The memory of a key or range without its bytes.
const WEIGHT: usize = 160;

/// The first key of a range, and the first key after it, if there is an upper bound.
type KeyRange = (Arc<[u8]>, Option<Arc<[u8]>>);

/// The newest change of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newest {
    Deleted,
    /// A put whose place is known. `created` is its creation time; if it continues the value that was shipped before,
    /// only if there is none.
    Put {
        put: LoggedPut,
        created: u64,
        continues: bool,
    },
    /// It has to be looked up.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    version: u64,
    /// The length of the value.
    len: u64,
    newest: Newest,
}

impl Item {
    /// The change of a key that has no value.
    fn of(change: &Change) -> Self {
        let newest = match (&change.kind, change.logged) {
            (ChangeKind::Delete, _) => Newest::Deleted,
            (ChangeKind::Put, Some(put)) => {
                Newest::Put { put, created: micros(put.created()), continues: !put.is_copied() }
            }
            _ => Newest::Unknown,
        };
        Self { version: change.version, len: change.len, newest }
    }

    /// The change after `before`. A range was deleted up to version `erased`.
    fn after(self, before: &Self, erased: u64) -> Self {
        let Newest::Put { put, created, continues: true } = self.newest else { return self };
        let newest = match before.newest {
            // It is unknown whether the range has deleted the value before.
            _ if before.version < erased => Newest::Unknown,
            Newest::Unknown => Newest::Unknown,
            Newest::Deleted => Newest::Put { put, created, continues: false },
            Newest::Put { created, continues, .. } => Newest::Put { put, created, continues },
        };
        Self { newest, ..self }
    }
}

/// The keys and the ranges of keys that changed.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Each with the version of its newest deletion.
    ranges: BTreeMap<KeyRange, u64>,
    keys: HashMap<Arc<[u8]>, Item>,
    /// Keeps the records of the changes after some version readable, and since when it does.
    records: Option<(Records, Instant)>,
    /// A range was deleted up to this version.
    erased: u64,
    /// Roughly the bytes of memory.
    pub(crate) memory: usize,
    /// Roughly the bytes that a part of them has.
    pub(crate) bytes: u64,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.keys.is_empty()
    }

    /// Keeps the records of the changes after `view` readable, and no longer those of earlier ones.
    pub(crate) fn hold(&mut self, view: &ReadView) {
        self.records = Some((view.later_records(), Instant::now()));
    }

    /// Whether records are held, and not for too long.
    pub(crate) fn is_holding(&self) -> bool {
        self.records.as_ref().is_some_and(|(_, since)| since.elapsed() < HELD)
    }

    /// Calls `use_it` with a put, read from the log. `None` if its record is not held.
    pub(crate) fn read<T>(
        &self,
        key: &[u8],
        put: &LoggedPut,
        use_it: impl FnOnce(PutRecord<'_>) -> T,
    ) -> Result<Option<T>> {
        let read = self.records.as_ref().map(|(records, _)| records.read(key, put, use_it));
        Ok(read.transpose()?.flatten())
    }

    pub(crate) fn add(&mut self, changes: Vec<Change>) {
        for change in changes {
            let (item, erased) = (Item::of(&change), self.erased);
            match change.kind {
                ChangeKind::DeleteRange(until) => self.add_range((change.key, until), item.version),
                _ if *change.key == *POSITION_KEY => {}
                // A deleted range comes before the keys in a part.
                _ => self.add_key(change.key, item, |before| item.after(before, erased)),
            }
        }
    }

    /// Adds `new`, or if the key is there already, the result of `merge`.
    fn add_key(&mut self, key: Arc<[u8]>, new: Item, merge: impl FnOnce(&Item) -> Item) {
        match self.keys.entry(key) {
            Entry::Occupied(mut known) => {
                let item = merge(known.get());
                self.bytes = self.bytes + item.len - known.insert(item).len;
            }
            Entry::Vacant(vacant) => {
                let len = vacant.key().len();
                vacant.insert(new);
                self.bytes += new.len + len as u64;
                self.memory += len + WEIGHT;
            }
        }
    }

    fn add_range(&mut self, range: KeyRange, version: u64) {
        self.erased = self.erased.max(version);
        let bytes = range.0.len() + range.1.as_ref().map_or(0, |until| until.len());
        if self.ranges.insert(range, version).is_none() {
            self.bytes += bytes as u64;
            self.memory += bytes + WEIGHT;
        }
    }

    /// Adds what was to be sent and could not be. It is looked up when it is sent, so that the store can reuse the
    /// space of the records.
    pub(crate) fn add_unsent(&mut self, unsent: &Self) {
        self.records = None;
        for (range, version) in &unsent.ranges {
            if !self.ranges.contains_key(range) {
                self.add_range(range.clone(), *version);
            }
        }
        for (key, item) in &unsent.keys {
            let newest = Newest::Unknown;
            self.add_key(key.clone(), Item { newest, ..*item }, |newer| Item { newest, ..*newer });
        }
    }

    /// Lets each put continue the value before, to test the tests.
    pub(crate) fn continue_always(&mut self) {
        for item in self.keys.values_mut() {
            if let Newest::Put { continues, .. } = &mut item.newest {
                *continues = true;
            }
        }
    }

    /// Leaves a key out, to test the tests.
    pub(crate) fn leave_out(&mut self) {
        let key = self.keys.keys().next().cloned();
        key.and_then(|key| self.keys.remove(&key));
    }

    /// The keys with their newest changes, in the order of these.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&[u8], Newest)> {
        let mut keys: Vec<_> = self.keys.iter().map(|(key, item)| (item.version, &**key, item)).collect();
        keys.sort_unstable_by_key(|(version, ..)| *version);
        keys.into_iter().map(|(version, key, item)| {
            // A later range may have deleted it.
            (key, if version < self.erased { Newest::Unknown } else { item.newest })
        })
    }

    /// The records of the deleted ranges. They come first in a part: the keys' records say what is there afterwards.
    pub(crate) fn range_records(&self) -> impl Iterator<Item = Vec<u8>> {
        self.ranges.keys().flat_map(|(from, until)| {
            let range = encode_delete_range(from, until.as_deref());
            // The follower's position is no part of the store.
            let own = **from <= *POSITION_KEY && until.as_ref().is_none_or(|until| **until > *POSITION_KEY);
            if !own {
                return vec![range];
            }
            let behind = [POSITION_KEY, &[0]].concat();
            let before = (**from < *POSITION_KEY).then(|| encode_delete_range(from, Some(POSITION_KEY)));
            let is_more = until.as_ref().is_none_or(|until| **until > *behind);
            before
                .into_iter()
                .chain(is_more.then(|| encode_delete_range(&behind, until.as_deref())))
                .collect()
        })
    }

    /// The record of a key that is not there any more.
    pub(crate) fn deletion(key: &[u8]) -> Vec<u8> {
        encode_delete(key)
    }
}

#[cfg(test)]
mod tests {
    use vde_store::Vde;

    use super::*;
    use crate::format::Record;

    fn ranges(from: &[u8], until: Option<&[u8]>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut pending = Pending::default();
        pending.add_range((from.into(), until.map(Arc::from)), 1);
        let records = pending.range_records().map(|bytes| Record::read(&mut &bytes[..]).unwrap().unwrap());
        records
            .map(|record| match record {
                Record::DeleteRange { from, until } => (from, until),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn no_range_deletes_the_followers_position() {
        let behind = [POSITION_KEY, &[0]].concat();
        assert_eq!(ranges(b"a", None), [(b"a".to_vec(), None)]);
        assert_eq!(
            ranges(b"\0", None),
            [(b"\0".to_vec(), Some(POSITION_KEY.to_vec())), (behind.clone(), None)]
        );
        assert_eq!(ranges(POSITION_KEY, Some(&behind)), []);
        assert_eq!(ranges(&behind, None), [(behind, None)]);
    }

    /// What changes a store by `write`, one watch for each step.
    fn pending(steps: &[fn(&Vde)]) -> Pending {
        let store = Vde::in_memory().unwrap();
        let (_, mut watch) = store.watch().unwrap();
        let mut pending = Pending::default();
        for write in steps {
            write(&store);
            pending.add(store.catch_up(&mut watch).unwrap().changes);
        }
        pending
    }

    fn newest(steps: &[fn(&Vde)]) -> Vec<Newest> {
        pending(steps).keys().map(|(_, newest)| newest).collect()
    }

    fn put(store: &Vde) {
        store.put("key", "value").unwrap();
    }

    fn delete(store: &Vde) {
        store.delete("key").unwrap();
    }

    fn delete_all(store: &Vde) {
        store.clear().unwrap();
    }

    #[test]
    fn a_key_that_changes_often_counts_once() {
        let twice = pending(&[put, put]);
        assert_eq!((twice.keys.len(), twice.bytes, twice.memory), (1, 8, 3 + WEIGHT));
        let mut newer = pending(&[|store| _ = store.put("key", "v").unwrap()]);
        newer.add_unsent(&twice);
        assert_eq!(newer.bytes, 4, "the newer length counts");
        assert!(newer.keys().eq([(&b"key"[..], Newest::Unknown)]));
    }

    #[test]
    fn a_put_continues_the_shipped_value_unless_that_is_gone() {
        let first = |newest: Vec<Newest>| match newest[..] {
            [Newest::Put { put, created, continues }] => (micros(put.created()) == created, continues),
            ref other => panic!("{other:?}"),
        };
        let pause: fn(&Vde) = |_| std::thread::sleep(std::time::Duration::from_millis(1));
        assert_eq!(first(newest(&[put])), (true, true));
        assert_eq!(first(newest(&[put, pause, put])), (false, true), "the time of the first one");
        assert_eq!(first(newest(&[put, delete, pause, put])), (true, false));
        assert_eq!(first(newest(&[delete_all, put])), (true, true), "the range comes first in a part");
        assert_eq!(newest(&[put, delete]), [Newest::Deleted]);
        assert_eq!(newest(&[put, delete_all]), [Newest::Unknown]);
        assert_eq!(newest(&[put, delete_all, put]), [Newest::Unknown]);
    }
}
