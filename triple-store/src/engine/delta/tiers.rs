//! A sorted set to which keys are only added.
//!
//! A tree would write each key to a place far from that of the previous key. Here keys are added to a short sorted
//! list. When it is full, it is merged with longer lists, which are rewritten sequentially. Up to a million keys, each
//! key is written about ten times. Readers merge the lists in their range.

use crate::terms::quad::Key;
use crate::terms::quad::Seq;
use std::ops::Bound;

/// The size of the list of new keys. In a longer list, finding a position and moving the keys after it takes longer.
/// With a shorter list, merging takes longer.
const FULL: usize = 64;

/// Each list is at least this many times as long as the next list. With a larger ratio, readers have to search fewer
/// lists, and keys are rewritten more often.
const RATIO: usize = 4;

/// A sorted set of keys.
#[derive(Debug)]
pub(crate) struct Tiers<K> {
    /// The long lists, the longest first.
    merged: Vec<Tier<K>>,
    recent: Tier<K>,
}

/// A sorted list, and the latest commit that added to it.
#[derive(Debug)]
struct Tier<K> {
    keys: Vec<K>,
    newest: Seq,
}

/// A list that will replace the recent list and those after `keep`.
#[derive(Debug)]
pub(crate) struct Merge<K> {
    keep: usize,
    tier: Tier<K>,
}

impl<K> Default for Tiers<K> {
    fn default() -> Self {
        Self { merged: Vec::new(), recent: Tier { keys: Vec::new(), newest: 0 } }
    }
}

impl<K: Key> Tiers<K> {
    /// Adds a key that is not in the set.
    pub(crate) fn insert(&mut self, key: K, seq: Seq) {
        let Tier { keys, newest } = &mut self.recent;
        let place = keys.partition_point(|other| *other < key);
        keys.insert(place, key);
        *newest = seq.max(*newest);
    }

    /// Whether the recent list is full.
    pub(crate) fn is_full(&self) -> bool {
        self.recent.keys.len() >= FULL
    }

    /// Merges the recent list with as many others as necessary. The result is not visible before it is put in.
    pub(crate) fn merge(&self) -> Merge<K> {
        let (mut keep, mut length) = (self.merged.len(), self.recent.keys.len());
        while let Some(tier) = self.merged[..keep].last()
            && tier.keys.len() < RATIO * length
        {
            length += tier.keys.len();
            keep -= 1;
        }
        let mut keys = self.recent.keys.clone();
        let mut newest = self.recent.newest;
        for tier in self.merged[keep..].iter().rev() {
            keys = merged(&tier.keys, &keys);
            newest = newest.max(tier.newest);
        }
        Merge { keep, tier: Tier { keys, newest } }
    }

    /// Installs a merged list. No key was added since the merge. Returns the old lists for the caller to drop.
    pub(crate) fn put(&mut self, merge: Merge<K>) -> impl Sized + use<K> {
        let replaced: Vec<_> = self.merged.drain(merge.keep..).collect();
        self.merged.push(merge.tier);
        self.recent.keys.clear();
        replaced
    }

    pub(crate) fn len(&self) -> usize {
        self.lists().map(|tier| tier.keys.len()).sum()
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.lists().any(|tier| tier.keys.binary_search(key).is_ok())
    }

    /// The keys from the bound to `high`, in order, each with the latest commit of its list.
    pub(crate) fn range(&self, from: Bound<K>, high: &K) -> impl Iterator<Item = (K, Seq)> {
        let mut lists = Vec::new();
        for Tier { keys, newest } in self.lists() {
            let start = match &from {
                Bound::Included(low) => keys.partition_point(|key| key < low),
                Bound::Excluded(last) => keys.partition_point(|key| key <= last),
                Bound::Unbounded => 0,
            };
            if keys.get(start).is_some_and(|key| key <= high) {
                lists.push((&keys[start..], *newest));
            }
        }
        let high = *high;
        std::iter::from_fn(move || {
            let head = |list: usize| lists[list].0[0];
            let least = (0..lists.len()).reduce(|a, b| if head(b) < head(a) { b } else { a })?;
            let (keys, newest) = &mut lists[least];
            let (key, newest) = (keys[0], *newest);
            *keys = &keys[1..];
            if keys.first().is_none_or(|next| high < *next) {
                lists.swap_remove(least);
            }
            Some((key, newest))
        })
    }

    fn lists(&self) -> impl Iterator<Item = &Tier<K>> {
        self.merged.iter().chain([&self.recent])
    }
}

/// Merges sorted lists that have no common key. Usually one list is much longer, so the branch is well predicted. A
/// comparison without branches is slower.
fn merged<K: Key>(a: &[K], b: &[K]) -> Vec<K> {
    let mut keys = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let from_a = a[i] < b[j];
        keys.push(if from_a { a[i] } else { b[j] });
        i += usize::from(from_a);
        j += usize::from(!from_a);
    }
    keys.extend_from_slice(&a[i..]);
    keys.extend_from_slice(&b[j..]);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Adds keys as a stripe does, and compares the ranges with a map from keys to commits.
    fn like_a_map<K: Key + std::fmt::Debug>(mut key: impl FnMut() -> K, mut bound: impl FnMut() -> K) {
        let (mut tiers, mut model) = (Tiers::default(), BTreeMap::new());
        for seq in 1..=6000 {
            let key = key();
            if model.contains_key(&key) {
                assert!(tiers.contains(&key));
                continue;
            }
            assert!(!tiers.contains(&key));
            tiers.insert(key, seq);
            model.insert(key, seq);
            if tiers.is_full() {
                tiers.put(tiers.merge());
                assert!(!tiers.is_full());
            }
            if seq % 50 != 0 {
                continue;
            }
            assert_eq!(tiers.len(), model.len());
            let (low, high) = (bound(), bound());
            for from in [Bound::Included(low), Bound::Excluded(low), Bound::Unbounded] {
                let expected = model.iter().filter(|(key, _)| {
                    **key <= high
                        && match from {
                            Bound::Included(low) => **key >= low,
                            Bound::Excluded(low) => **key > low,
                            Bound::Unbounded => true,
                        }
                });
                let found: Vec<_> = tiers.range(from, &high).collect();
                assert!(found.iter().map(|(key, _)| key).eq(expected.clone().map(|(key, _)| key)));
                assert!(found.iter().zip(expected).all(|((_, newest), (_, seq))| newest >= seq));
            }
            let lengths: Vec<_> = tiers.merged.iter().map(|tier| tier.keys.len()).collect();
            assert!(lengths.windows(2).all(|pair| pair[0] >= RATIO * pair[1]), "{lengths:?}");
        }
        assert!(
            tiers.merged.len() > 1 && tiers.merged[0].newest < tiers.recent.newest,
            "the longest list was left alone"
        );
    }

    /// Pseudo-random numbers below `bound`.
    fn numbers(mut state: u64, bound: u64) -> impl FnMut() -> u64 {
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        }
    }

    #[test]
    fn keys_in_any_order_are_listed_like_those_of_a_map() {
        let (mut keys, mut bounds) = (numbers(1, 30), numbers(2, 30));
        like_a_map(|| [0; 3].map(|_| keys()), || [0; 3].map(|_| bounds()));
        let (mut keys, mut bounds) = (numbers(3, 12), numbers(4, 12));
        like_a_map(|| [0; 4].map(|_| keys()), || [0; 4].map(|_| bounds()));
    }

    #[test]
    fn keys_in_ascending_and_descending_order_are_listed_like_those_of_a_map() {
        let mut bounds = numbers(5, 6000);
        let (mut ascending, mut descending) = (0..6000, (0..6000).rev());
        like_a_map(|| [1, ascending.next().unwrap_or(0), 3], || [1, bounds(), 3]);
        like_a_map(|| [1, descending.next().unwrap_or(0), 3], || [1, bounds(), 3]);
    }
}
