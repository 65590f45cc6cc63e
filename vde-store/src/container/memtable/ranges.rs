//! Ranges of keys that were deleted by one record each.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use super::{Change, Horizon, Location};

/// The deletion of a range of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Erasure {
    pub(crate) seq: u64,
    pub(crate) buffered: bool,
}

impl Erasure {
    /// The change of a single key that this deletion stands for.
    pub(crate) fn change(self) -> Change {
        Change { seq: self.seq, location: Location::default(), buffered: self.buffered, stored: None }
    }
}

/// All deleted ranges. A writer changes a copy, so that readers need not wait.
#[derive(Clone, Default)]
pub(crate) struct Ranges {
    /// Maps the first key of each part of the key space to the deletions of that part, the newest first. A part ends
    /// at the next key of the map. No key before the first part is deleted.
    cuts: BTreeMap<Arc<[u8]>, Arc<[Erasure]>>,
    /// The log records of the deletions.
    pub(crate) records: Vec<Location>,
}

impl Ranges {
    /// Adds the deletion of the keys from `from` up to, but not including, `until`.
    pub(crate) fn add(&mut self, from: &[u8], until: Option<&[u8]>, erasure: Erasure) {
        if until.is_some_and(|until| until <= from) {
            return;
        }
        for cut in [Some(from), until].into_iter().flatten() {
            let here = self.at(cut);
            self.cuts.entry(cut.into()).or_insert(here);
        }
        let until = until.map_or(Bound::Unbounded, Bound::Excluded);
        for (_, erasures) in self.cuts.range_mut::<[u8], _>((Bound::Included(from), until)) {
            let place = erasures.partition_point(|other| other.seq > erasure.seq);
            let (newer, older) = erasures.split_at(place);
            *erasures = [newer, &[erasure], older].concat().into();
        }
    }

    /// The ranges that were deleted by records whose numbers are in `seqs`: the first key, the first key after the
    /// range, and the number of the newest such record.
    pub(crate) fn within(
        &self,
        seqs: &RangeInclusive<u64>,
    ) -> impl Iterator<Item = (&[u8], Option<&[u8]>, u64)> {
        self.cuts.iter().filter_map(move |(from, erasures)| {
            let newest = erasures.iter().find(|erasure| seqs.contains(&erasure.seq))?;
            let behind = self.cuts.range::<[u8], _>((Bound::Excluded(&**from), Bound::Unbounded)).next();
            Some((&**from, behind.map(|(key, _)| &**key), newest.seq))
        })
    }

    /// The deletions of `key`.
    fn at(&self, key: &[u8]) -> Arc<[Erasure]> {
        let cut = self.cuts.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        cut.map_or_else(Arc::default, |(_, erasures)| erasures.clone())
    }

    /// The newest deletion of `key` that a reader may see.
    pub(crate) fn erasure(&self, key: &[u8], horizon: Horizon) -> Option<Erasure> {
        let cut = self.cuts.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        cut?.1.iter().copied().find(|erasure| horizon.admits(erasure.seq, erasure.buffered))
    }

    /// The newer of two changes of `key`: `own`, and the newest deletion.
    pub(super) fn newest(&self, key: &[u8], own: Option<Change>, horizon: Horizon) -> Option<Change> {
        match self.erasure(key, horizon) {
            Some(erasure) if own.as_ref().is_none_or(|own| own.seq < erasure.seq) => Some(erasure.change()),
            _ => own,
        }
    }

    /// The range around `key` whose keys have the same deletions: its first key, and the first key after it.
    pub(crate) fn around(&self, key: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
        let first = self.cuts.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back();
        let behind = self.cuts.range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded)).next();
        (first.map(|(key, _)| &**key), behind.map(|(key, _)| &**key))
    }

    /// Whether keys from `from` on, but before `until`, were deleted.
    pub(crate) fn overlap(&self, from: &[u8], until: Option<&[u8]>) -> bool {
        let until = until.map_or(Bound::Unbounded, Bound::Excluded);
        !self.at(from).is_empty()
            || until != Bound::Excluded(from)
                && self
                    .cuts
                    .range::<[u8], _>((Bound::Excluded(from), until))
                    .any(|(_, erased)| !erased.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_deleted_by_the_newest_visible_range_over_it() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let mut ranges = Ranges::default();
            let mut all: Vec<(u8, Option<u8>, u64)> = Vec::new();
            for seq in 1..rng.u64(2..12) {
                let (from, until) = (rng.u8(..20), rng.bool().then(|| rng.u8(..20)));
                ranges.add(
                    &[from],
                    until.as_ref().map(std::slice::from_ref),
                    Erasure { seq, buffered: false },
                );
                all.push((from, until, seq));
            }
            let over = |key: u8| {
                all.iter()
                    .filter(move |(from, until, _)| *from <= key && until.is_none_or(|until| key < until))
            };
            for key in 0..22 {
                for durable in 0..12 {
                    let horizon = Horizon { durable, published: 20 };
                    let found = ranges.erasure(&[key], horizon).map(|erasure| erasure.seq);
                    let newest = over(key).map(|(.., seq)| *seq).filter(|seq| *seq <= durable).max();
                    assert_eq!(found, newest, "key {key} at {durable} of {all:?}");
                }
                let until = key + rng.u8(1..4);
                assert_eq!(
                    ranges.overlap(&[key], Some(&[until])),
                    (key..until).any(|key| over(key).count() > 0)
                );
                let (first, behind) = ranges.around(&[key]);
                for other in 0..22 {
                    let is_around = first.is_none_or(|first| first[0] <= other)
                        && behind.is_none_or(|behind| other < behind[0]);
                    assert!(!is_around || over(other).eq(over(key)));
                }
            }
        }
    }
}
