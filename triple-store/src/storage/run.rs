//! The run: the quads that a checkpoint has merged. It is immutable and sorted in every order.
//!
//! It has an [order](crate::storage::order) for each way to sort them.

use crate::error::Result;
use crate::storage::fanouts::Fanouts;
use crate::storage::order::{Order, sort};
use crate::storage::pages::{Hold, Pages};
use crate::terms::pattern::{Pattern, Range};
use crate::terms::quad::{EncodedQuad, Key, QuadKey};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The merged quads of a store.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) triples: Sorted<[u64; 3]>,
    pub(crate) named: Sorted<[u64; 4]>,
    pub(crate) fanouts: Fanouts,
}

impl Run {
    pub(crate) fn empty(pages: &Arc<Pages>) -> Self {
        Self::new(Sorted::empty(pages), Sorted::empty(pages))
    }

    /// A run of the same store without quads.
    pub(crate) fn emptied(&self) -> Self {
        Self::empty(self.pages())
    }

    /// Keeps all pages that are stored from now on.
    pub(crate) fn hold(&self) -> Hold {
        self.pages().hold()
    }

    fn pages(&self) -> &Arc<Pages> {
        &self.triples.orders[0].pages
    }

    pub(crate) fn new(triples: Sorted<[u64; 3]>, named: Sorted<[u64; 4]>) -> Self {
        Self { triples, named, fanouts: Fanouts::default() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.triples.len() + self.named.len()
    }

    pub(crate) fn contains(&self, quad: EncodedQuad) -> Result<bool> {
        match quad.key() {
            QuadKey::Triple(key) => self.triples.contains(key),
            QuadKey::Named(key) => self.named.contains(key),
        }
    }

    /// Adds the named graphs that have a quad in this run.
    pub(crate) fn graphs(&self, graphs: &mut BTreeSet<u64>) -> Result<()> {
        self.named.graphs(graphs)
    }

    pub(crate) fn verify(&self, problem: &mut impl FnMut(String)) {
        self.triples.verify(problem);
        self.named.verify(problem);
    }

    /// The numbers of the stored chunks.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.triples.numbers().chain(self.named.numbers())
    }

    /// This run with changes applied. Added quads must not be in it, and removed quads must be. Both are sorted, and
    /// are consumed. New blocks have `block_keys` keys. New chunks are stored, and are in memory only as far as the cache
    /// reaches.
    pub(crate) fn merged(
        &self,
        added: Vec<EncodedQuad>,
        removed: Vec<EncodedQuad>,
        block_keys: usize,
    ) -> Result<Self> {
        let (added, removed) = (Keys::of(added), Keys::of(removed));
        Ok(Self::new(
            self.triples.merged(added.triples, removed.triples, block_keys)?,
            self.named.merged(added.named, removed.named, block_keys)?,
        ))
    }
}

/// Quads as their keys, by width.
struct Keys {
    triples: Vec<[u64; 3]>,
    named: Vec<[u64; 4]>,
}

impl Keys {
    fn of(quads: Vec<EncodedQuad>) -> Self {
        let named = |quad: &EncodedQuad| match quad.key() {
            QuadKey::Named(key) => Some(key),
            QuadKey::Triple(_) => None,
        };
        let triple = |quad: EncodedQuad| match quad.key() {
            QuadKey::Triple(key) => Some(key),
            QuadKey::Named(_) => None,
        };
        // The triples overwrite the quads, because a bulk load needs all the memory.
        Self {
            named: quads.iter().filter_map(named).collect(),
            triples: quads.into_iter().filter_map(triple).collect(),
        }
    }
}

/// The key types of runs.
pub(crate) trait Stored: Key {
    fn sorted(run: &Run) -> &Sorted<Self>;

    /// The range of the quads of this width that match the pattern.
    fn range(pattern: &Pattern) -> Option<Range<Self>>;
}

impl Stored for [u64; 3] {
    fn sorted(run: &Run) -> &Sorted<Self> {
        &run.triples
    }

    fn range(pattern: &Pattern) -> Option<Range<Self>> {
        pattern.triples()
    }
}

impl Stored for [u64; 4] {
    fn sorted(run: &Run) -> &Sorted<Self> {
        &run.named
    }

    fn range(pattern: &Pattern) -> Option<Range<Self>> {
        pattern.quads()
    }
}

/// The keys of a run with one width, in every order.
#[derive(Debug)]
pub(crate) struct Sorted<K: Key> {
    pub(crate) orders: Vec<Order<K>>,
}

impl<K: Key> Sorted<K> {
    fn empty(pages: &Arc<Pages>) -> Self {
        Self { orders: K::ORDERS.iter().map(|_| Order::new(Vec::new(), pages)).collect() }
    }

    fn len(&self) -> u64 {
        self.orders[0].len()
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        self.orders.iter().flat_map(|order| &order.slots).filter_map(|slot| slot.number())
    }

    fn verify(&self, problem: &mut impl FnMut(String)) {
        for (number, order) in self.orders.iter().enumerate() {
            if order.len() != self.len() {
                problem(format!(
                    "order {number} of the run has {} quads, order 0 has {}",
                    order.len(),
                    self.len()
                ));
            }
            let mut last = None;
            for chunk in 0..order.slots.len() {
                let verified = order.chunk(chunk).and_then(|chunk| {
                    for key in chunk.keys() {
                        if last.replace(key).is_some_and(|last| last >= key) {
                            problem(format!("order {number} of the run is not sorted"));
                        }
                        let key = key.restore(number);
                        if number > 0 && !self.orders[0].holds(key)? {
                            problem(format!("order 0 of the run lacks {:?}", key.to_quad()));
                        }
                    }
                    Ok(())
                });
                if let Err(error) = verified {
                    problem(error.to_string());
                }
            }
        }
    }

    fn merged(&self, mut added: Vec<K>, mut removed: Vec<K>, block_keys: usize) -> Result<Self> {
        let merge = |(number, order): (usize, &Order<K>)| {
            // The keys are rearranged in place from one order to the next, so all orders together take the memory of
            // one.
            if number > 0 {
                for keys in [&mut added, &mut removed] {
                    for key in keys.iter_mut() {
                        *key = key.restore(number - 1).arrange(number);
                    }
                    sort(keys);
                }
            }
            order.merged(&added, &removed, block_keys)
        };
        Ok(Self { orders: self.orders.iter().enumerate().map(merge).collect::<Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::chunk::tests::keys;
    use std::ops::Bound;

    #[test]
    fn a_merge_is_the_run_with_the_changes() {
        let (before, after) = (keys(30_000), keys(40_000));
        let removed: BTreeSet<_> = before.iter().step_by(3).copied().collect();
        let quads = |keys: &BTreeSet<[u64; 3]>| keys.iter().map(|key| key.to_quad()).collect::<Vec<_>>();
        let base = Run::empty(&Pages::new(None, 0)).merged(quads(&before), Vec::new(), 128).unwrap();
        let merged = base.merged(quads(&(&after - &before)), quads(&removed), 64).unwrap();
        let expected: BTreeSet<_> = after.difference(&removed).copied().collect();
        for (number, order) in merged.triples.orders.iter().enumerate() {
            let mut arranged: Vec<_> = expected.iter().map(|key| key.arrange(number)).collect();
            arranged.sort_unstable();
            let mut found = Vec::new();
            order
                .rows(&Range::everything(number), Bound::Included([0; 3]), usize::MAX, |key| found.push(key))
                .unwrap();
            assert_eq!(found, arranged);
        }
        assert!(expected.iter().all(|key| merged.contains(key.to_quad()).unwrap()));
        assert!(removed.iter().all(|key| !merged.contains(key.to_quad()).unwrap()));
        assert_eq!(merged.len(), expected.len() as u64);
    }
}
