//! Reading a memtable in order, several keys at a time.

use std::ops::Bound;

use crossbeam_skiplist::map::Entry;

use super::slot::{AsSlot, Slot, slot};
use super::{Change, Horizon, Memtable};

/// A key and the newest change of it that a reader may see.
pub(crate) struct Recent {
    pub(crate) key: Box<[u8]>,
    pub(crate) change: Change,
}

/// How many older changes of a key a scan skips one by one. After that, searching for the next key is cheaper.
const STEPS: usize = 8;

type SlotEntry<'a> = Entry<'a, Slot, Change>;

fn admits(entry: &SlotEntry<'_>, horizon: Horizon) -> bool {
    horizon.admits(entry.value().seq, entry.value().buffered)
}

impl Memtable {
    /// The key of an entry, and the key's newest change: that of the entry, or a later deletion of a range.
    fn recent(&self, entry: &SlotEntry<'_>, horizon: Horizon) -> Recent {
        let (key, mut change) = (entry.key().key.clone(), entry.value().clone());
        if let Some(ranges) = &*self.ranges.load()
            && let Some(erasure) = ranges.erasure(&key, horizon).filter(|erasure| erasure.seq > change.seq)
        {
            change = erasure.change();
        }
        Recent { key, change }
    }

    fn from(&self, key: &[u8], seq: u64) -> Option<SlotEntry<'_>> {
        self.map.lower_bound(Bound::Included(&slot(key, seq) as &dyn AsSlot))
    }

    pub(super) fn before(&self, key: &[u8], seq: u64) -> Option<SlotEntry<'_>> {
        self.map.upper_bound(Bound::Excluded(&slot(key, seq) as &dyn AsSlot))
    }

    fn behind(&self, key: &[u8]) -> Option<SlotEntry<'_>> {
        self.map.lower_bound(Bound::Excluded(&slot(key, 0) as &dyn AsSlot))
    }

    /// The newest change of `key` within the horizon. O(log n).
    pub(super) fn newest(&self, key: &[u8], horizon: Horizon) -> Option<SlotEntry<'_>> {
        // Nothing newer is admitted.
        let mut at = self.from(key, horizon.newest());
        loop {
            let entry = at.filter(|entry| *entry.key().key == *key)?;
            if admits(&entry, horizon) {
                return Some(entry);
            }
            at = entry.next();
        }
    }

    /// The first entry of the next key.
    fn next_key<'a>(&'a self, entry: &SlotEntry<'a>) -> Option<SlotEntry<'a>> {
        let key = &entry.key().key;
        let mut next = entry.next();
        for _ in 0..STEPS {
            match next {
                Some(older) if older.key().key == *key => next = older.next(),
                next => return next,
            }
        }
        self.behind(key)
    }

    /// Up to `count` keys from `from` on, as far as `end`, in ascending order.
    pub(crate) fn ascending(
        &self,
        from: Bound<&[u8]>,
        end: Bound<&[u8]>,
        count: usize,
        horizon: Horizon,
    ) -> Vec<Recent> {
        let mut at = match from {
            _ if self.map.is_empty() => None,
            Bound::Unbounded => self.map.front(),
            Bound::Included(key) => self.from(key, u64::MAX),
            Bound::Excluded(key) => self.behind(key),
        };
        let mut found = Vec::new();
        while let Some(mut entry) = at.filter(|_| found.len() < count) {
            if entry.key().seq > horizon.newest() {
                // The entry that is found may belong to another key.
                let Some(older) = self.from(&entry.key().key, horizon.newest()) else { break };
                entry = older;
            }
            if is_behind(&entry.key().key, end) {
                break;
            }
            at = if admits(&entry, horizon) {
                found.push(self.recent(&entry, horizon));
                self.next_key(&entry)
            } else {
                entry.next()
            };
        }
        found
    }

    /// Up to `count` keys from `from` on, as far as `end`, in descending order. Each key takes two searches, because
    /// the list has no backward links.
    pub(crate) fn descending(
        &self,
        from: Bound<&[u8]>,
        end: Bound<&[u8]>,
        count: usize,
        horizon: Horizon,
    ) -> Vec<Recent> {
        let mut at = match from {
            _ if self.map.is_empty() => None,
            Bound::Unbounded => self.map.back(),
            Bound::Included(key) => self.before(key, 0),
            Bound::Excluded(key) => self.before(key, u64::MAX),
        };
        let mut found = Vec::new();
        while let Some(oldest) = at.filter(|_| found.len() < count) {
            let key = &oldest.key().key;
            if is_before(key, end) {
                break;
            }
            found.extend(self.newest(key, horizon).map(|entry| self.recent(&entry, horizon)));
            at = self.before(key, u64::MAX);
        }
        found
    }
}

/// Whether `key` lies after the range that ends with `end`.
pub(crate) fn is_behind(key: &[u8], end: Bound<&[u8]>) -> bool {
    match end {
        Bound::Unbounded => false,
        Bound::Included(end) => key > end,
        Bound::Excluded(end) => key >= end,
    }
}

/// Whether `key` lies before the range that begins with `start`.
pub(crate) fn is_before(key: &[u8], start: Bound<&[u8]>) -> bool {
    match start {
        Bound::Unbounded => false,
        Bound::Included(start) => key < start,
        Bound::Excluded(start) => key <= start,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Location;
    use super::*;

    fn table(changes: impl IntoIterator<Item = (&'static [u8], u64)>) -> Memtable {
        let table = Memtable::default();
        for (key, seq) in changes {
            table.insert_key(key.into(), Change::new(seq, Location::default(), false, None));
        }
        table
    }

    fn found(recents: Vec<Recent>) -> Vec<(Box<[u8]>, u64)> {
        recents.into_iter().map(|recent| (recent.key, recent.change.seq)).collect()
    }

    #[test]
    fn older_versions_and_changes_beyond_the_horizon_are_skipped() {
        let many = (20..90).map(|seq| (&b"b"[..], seq));
        let table =
            table([(&b"a"[..], 1), (b"a", 4), (b"b", 3), (b"c", 2), (b"d", 9)].into_iter().chain(many));
        let key = |key: &[u8], seq| (Box::from(key), seq);
        let all = (Bound::Unbounded, Bound::Unbounded);
        for (durable, expected) in [
            (5, vec![key(b"a", 4), key(b"b", 3), key(b"c", 2)]),
            (1, vec![key(b"a", 1)]),
            (100, vec![key(b"a", 4), key(b"b", 89), key(b"c", 2), key(b"d", 9)]),
        ] {
            let horizon = Horizon { durable, published: 200 };
            assert_eq!(found(table.ascending(all.0, all.1, 9, horizon)), expected);
            let mut descending = found(table.descending(all.0, all.1, 9, horizon));
            descending.reverse();
            assert_eq!(descending, expected);
        }
    }

    #[test]
    fn a_scan_keeps_to_its_bounds_and_its_count() {
        let table = table([(&b"a"[..], 1), (b"b", 2), (b"c", 3), (b"d", 4)]);
        let keys = |recents: Vec<Recent>| recents.into_iter().map(|recent| recent.key[0]).collect::<Vec<_>>();
        let (a, d) = (&b"a"[..], &b"d"[..]);
        let up = |from, end, count| keys(table.ascending(from, end, count, Horizon::LATEST));
        let down = |from, end, count| keys(table.descending(from, end, count, Horizon::LATEST));
        assert_eq!(up(Bound::Excluded(a), Bound::Excluded(d), 9), b"bc");
        assert_eq!(up(Bound::Included(a), Bound::Included(d), 3), b"abc");
        assert_eq!(down(Bound::Excluded(d), Bound::Excluded(a), 9), b"cb");
        assert_eq!(down(Bound::Included(d), Bound::Included(a), 3), b"dcb");
    }
}
