//! When a key was first put since it was last absent, as far as a memtable knows it.

use std::ops::Bound;

use super::slot::{AsSlot, Slot, slot};
use super::{Change, Horizon, Memtable};

/// What the changes of a key before another one say about the time of its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Creation {
    /// The key was absent, or was copied with its time: the answer is this time, or that of the other change.
    Here(Option<u64>),
    /// The memtable knows of no absence. If older layers have no value of the key, the answer is this time, or that of
    /// the other change.
    Older(Option<u64>),
}

impl Memtable {
    /// Notes a change that does not continue the value before it. The caller inserts it into the map afterwards.
    pub(super) fn note_break(&self, key: &[u8], change: &Change) {
        let created = change.stored.as_ref().map(|stored| stored.origin.map(|origin| origin.created));
        // A put without an origin of its own continues the value before it.
        if created != Some(None) {
            self.breaks.insert(Slot::new(key.into(), change.seq), created.flatten());
        }
    }

    /// What the changes of `key` before number `seq` say about its creation. O(log n), however many there are.
    pub(crate) fn creation(&self, key: &[u8], seq: u64) -> Creation {
        let Some(last) = seq.checked_sub(1) else { return Creation::Older(None) };
        let has_key = !self.map.is_empty() && self.filter.may_have(key);
        let newest_break = has_key.then(|| {
            let newest = self.breaks.lower_bound(Bound::Included(&slot(key, last) as &dyn AsSlot));
            newest.filter(|found| *found.key().key == *key).map(|found| (found.key().seq, *found.value()))
        });
        let ranges = self.ranges.load();
        let horizon = Horizon { durable: last, published: last };
        let erased = ranges.as_deref().and_then(|ranges| ranges.erasure(key, horizon));
        let erased = erased.map(|erasure| (erasure.seq, None));
        let begins = newest_break.flatten().max(erased);
        if let Some((_, Some(copied))) = begins {
            return Creation::Here(Some(copied));
        }
        // The changes of a key come in descending order, so the first put is directly before the break.
        let first = self.before(key, begins.map_or(0, |(seq, _)| seq)).filter(|_| has_key);
        let first = first.filter(|first| *first.key().key == *key && first.key().seq <= last);
        let put = first.and_then(|first| Some(first.value().stored.as_ref()?.facts.as_ref()?.modified));
        if begins.is_some() { Creation::Here(put) } else { Creation::Older(put) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::slot::comparisons;
    use super::super::{Facts, Location, Payload, Stored, Target};
    use super::*;
    use crate::container::log::record::Origin;

    #[derive(Clone, Copy, Debug)]
    enum Kind {
        Deletion,
        /// With its creation time.
        Copy(u64),
        Put,
    }

    /// The answer of the changes before `seq`, one after another.
    fn expected(changes: &[(u64, Kind)], seq: u64) -> Creation {
        let mut first = None;
        for (number, kind) in changes.iter().rev().filter(|(number, _)| *number < seq) {
            match kind {
                Kind::Deletion => return Creation::Here(first),
                Kind::Copy(created) => return Creation::Here(Some(*created)),
                Kind::Put => first = Some(number * 10),
            }
        }
        Creation::Older(first)
    }

    fn insert(table: &Memtable, key: &[u8], seq: u64, kind: Kind) {
        let origin = match kind {
            Kind::Deletion => return table.insert(Target::Key(key.into()), deletion(seq)),
            Kind::Copy(created) => Some(Origin { version: 1, created }),
            Kind::Put => None,
        };
        let facts = Some(Facts::new(seq * 10, &[]));
        let stored = Some(Stored { len: 0, origin, facts, payload: Payload::Memory([].into()) });
        table.insert(Target::Key(key.into()), Change::new(seq, Location::default(), false, stored));
    }

    fn deletion(seq: u64) -> Change {
        Change::new(seq, Location::default(), false, None)
    }

    #[test]
    fn it_is_what_the_changes_one_by_one_say() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let table = Memtable::default();
            let mut changes = Vec::new();
            for seq in 1..30 {
                match rng.u8(..10) {
                    0 => insert(&table, b"other", seq, [Kind::Deletion, Kind::Put][rng.usize(..2)]),
                    1 => {
                        changes.push((seq, Kind::Deletion));
                        let until = rng.bool().then(|| b"l"[..].into());
                        table.insert(Target::Range(b"a"[..].into(), until), deletion(seq));
                    }
                    kind => {
                        let kinds = [Kind::Deletion, Kind::Copy(seq + 1000), Kind::Put];
                        let kind = kinds[usize::from(kind).min(4) - 2];
                        changes.push((seq, kind));
                        insert(&table, b"k", seq, kind);
                    }
                }
                for before in 0..=seq + 1 {
                    assert_eq!(table.creation(b"k", before), expected(&changes, before), "{changes:?}");
                }
            }
        }
    }

    #[test]
    fn it_takes_as_many_steps_for_a_key_that_was_overwritten_often() {
        let steps = |overwrites: u64| {
            let table = Memtable::default();
            for other in 0..20_000 - overwrites {
                insert(&table, &other.to_be_bytes(), other + 1, Kind::Put);
            }
            (20_000 - overwrites..20_000).for_each(|seq| insert(&table, b"k", seq + 1, Kind::Put));
            let before = comparisons();
            assert_eq!(table.creation(b"k", 20_000), Creation::Older(Some((20_001 - overwrites) * 10)));
            comparisons() - before
        };
        // The levels of the list are random.
        let (few, many) = (steps(2), steps(19_000));
        assert!(many < 4 * few + 200, "{few} comparisons, {many} after 19,000 overwrites");
    }
}
