//! What has changed since the last part, without the values: they are read from the store when a part is made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vde_store::{Change, ChangeKind};

use crate::format::{encode_delete, encode_delete_range};

/// The key in a follower's store that says what it has applied. It is not shipped.
pub(crate) const POSITION_KEY: &[u8] = b"\0vde-ship";

/// The memory of a key or range without its bytes.
const WEIGHT: usize = 96;

/// The first key of a range, and the first key after it, if there is an upper bound.
type KeyRange = (Arc<[u8]>, Option<Arc<[u8]>>);

/// The keys and the ranges of keys that changed.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    ranges: BTreeSet<KeyRange>,
    /// The keys, each with the length of its newest value.
    pub(crate) keys: BTreeMap<Arc<[u8]>, u64>,
    /// Roughly the bytes of memory.
    pub(crate) memory: usize,
    /// Roughly the bytes that a part of them has.
    pub(crate) bytes: u64,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.keys.is_empty()
    }

    pub(crate) fn add(&mut self, changes: Vec<Change>) {
        for Change { key, kind, len, .. } in changes {
            match kind {
                ChangeKind::DeleteRange(until) => self.add_range((key, until)),
                _ if *key == *POSITION_KEY => {}
                _ => self.add_key(key, len),
            }
        }
    }

    fn add_key(&mut self, key: Arc<[u8]>, len: u64) {
        let bytes = key.len() as u64;
        self.bytes += len;
        if let Some(before) = self.keys.insert(key, len) {
            self.bytes -= before;
        } else {
            self.bytes += bytes;
            self.memory += bytes as usize + WEIGHT;
        }
    }

    fn add_range(&mut self, range: KeyRange) {
        let bytes = range.0.len() + range.1.as_ref().map_or(0, |until| until.len());
        if self.ranges.insert(range) {
            self.bytes += bytes as u64;
            self.memory += bytes + WEIGHT;
        }
    }

    /// Adds what was to be sent and could not be.
    pub(crate) fn add_unsent(&mut self, unsent: &Self) {
        for range in &unsent.ranges {
            self.add_range(range.clone());
        }
        for (key, len) in &unsent.keys {
            if !self.keys.contains_key(key) {
                self.add_key(key.clone(), *len);
            }
        }
    }

    /// The records of the deleted ranges. They come first in a part: the keys' records say what is there afterwards.
    pub(crate) fn range_records(&self) -> impl Iterator<Item = Vec<u8>> {
        self.ranges.iter().flat_map(|(from, until)| {
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
    use super::*;
    use crate::format::Record;

    fn ranges(from: &[u8], until: Option<&[u8]>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut pending = Pending::default();
        pending.add_range((from.into(), until.map(Arc::from)));
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

    #[test]
    fn a_key_that_changes_often_counts_once() {
        let mut pending = Pending::default();
        for len in 1..=100 {
            pending.add_key(b"key"[..].into(), len);
        }
        assert_eq!((pending.keys.len(), pending.bytes, pending.memory), (1, 103, 3 + WEIGHT));
        let mut newer = Pending::default();
        newer.add_key(b"key"[..].into(), 7);
        newer.add_unsent(&pending);
        assert_eq!(newer.bytes, 10, "the newer length counts");
    }
}
