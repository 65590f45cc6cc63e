//! Rewriting a run with more changes than fit into memory. The new quads are in other runs.

use crate::allocator;
use crate::error::Result;
use crate::parallel;
use crate::storage::order::Order;
use crate::storage::run::{Run, Sorted, Stored};
use crate::terms::pattern::Pattern;
use crate::terms::quad::{Columns, EncodedQuad};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::vec;

/// The most changes that are merged at once. They take up to 16 MiB for each order.
const MOST_AT_ONCE: usize = 1 << 19;

/// How a run is rewritten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    /// The changes of each order that are in memory at once.
    at_once: usize,
    block_keys: usize,
}

impl Steps {
    /// Up to this number of changes of each order are in memory at once. New blocks have `block_keys` keys.
    pub(crate) fn new(most: usize, block_keys: usize) -> Self {
        Self { at_once: most.min(MOST_AT_ONCE), block_keys }
    }
}

/// A run, and by how many quads it differs from the one before.
pub(crate) struct Rewritten {
    pub(crate) run: Run,
    pub(crate) added: u64,
    pub(crate) removed: u64,
}

impl Run {
    /// This run with all quads of other runs, and without those that match any of `removed` and are not among them. Memory
    /// does not depend on how many these are.
    pub(crate) fn rewritten(&self, added: &[Self], removed: &[Pattern], steps: Steps) -> Result<Rewritten> {
        let (triples, gone) = self.triples.rewritten(added, removed, steps)?;
        let (named, gone_named) = self.named.rewritten(added, removed, steps)?;
        let (run, removed) = (Self::new(triples, named), gone + gone_named);
        let added = (run.len() + removed).saturating_sub(self.len());
        Ok(Rewritten { run, added, removed })
    }

    /// Calls `visit` with all quads, on all cores.
    pub(crate) fn for_each(&self, visit: impl Fn(EncodedQuad) + Sync) -> Result<()> {
        self.triples.for_each(&visit)?;
        self.named.for_each(&visit)
    }
}

impl<K: Stored> Sorted<K> {
    /// Also returns how many keys went.
    fn rewritten(&self, added: &[Run], removed: &[Pattern], steps: Steps) -> Result<(Self, u64)> {
        let removed: Vec<_> = removed.iter().filter(|pattern| K::range(pattern).is_some()).collect();
        let numbers: Vec<_> = (0..self.orders.len()).collect();
        let rewritten = parallel::map(&numbers, |number| {
            let goes = |key: K| {
                let quad = key.restore(*number).to_quad();
                removed.iter().any(|pattern| pattern.matches(quad))
            };
            let goes = (!removed.is_empty()).then_some(goes);
            let added = added.iter().map(|run| &K::sorted(run).orders[*number]);
            self.orders[*number].rewritten(added.filter(|order| order.len() > 0).collect(), goes, steps)
        });
        let (mut orders, mut gone) = (Vec::new(), 0);
        for rewritten in rewritten {
            let (order, removed) = rewritten?;
            orders.push(order);
            gone = removed;
        }
        Ok((Self { orders }, gone))
    }

    fn for_each(&self, visit: &(impl Fn(EncodedQuad) + Sync)) -> Result<()> {
        let order = &self.orders[0];
        let numbers: Vec<_> = (0..order.slots.len()).collect();
        let read = parallel::map(&numbers, |number| -> Result<()> {
            order.chunk(*number)?.keys().for_each(|key| visit(key.to_quad()));
            Ok(())
        });
        read.into_iter().collect()
    }
}

impl<K: Columns> Order<K> {
    fn rewritten(
        &self,
        added: Vec<&Self>,
        goes: Option<impl Fn(K) -> bool>,
        steps: Steps,
    ) -> Result<(Self, u64)> {
        if let ([], [only]) = (&*self.slots, &*added) {
            return Ok((Self::clone(only), 0));
        }
        let mut added = Keys::new(added)?;
        let mut changes =
            Changes { order: self.clone(), steps, added: Vec::new(), removed: Vec::new(), gone: 0 };
        if let Some(goes) = goes {
            for chunk in 0..self.slots.len() {
                for key in self.chunk(chunk)?.keys() {
                    while let Some(added) = added.next_if(|added| *added < key)? {
                        changes.added.push(added);
                        changes.merge_if_many()?;
                    }
                    if added.next_if(|added| *added == key)?.is_none() && goes(key) {
                        changes.removed.push(key);
                    }
                }
                changes.merge_if_many()?;
            }
        }
        while let Some(key) = added.next_if(|_| true)? {
            changes.added.push(key);
            changes.merge_if_many()?;
        }
        changes.merge()?;
        Ok((changes.order, changes.gone))
    }
}

/// Changes, in ascending order, that are merged into an order step by step.
struct Changes<K: Columns> {
    order: Order<K>,
    steps: Steps,
    added: Vec<K>,
    removed: Vec<K>,
    gone: u64,
}

impl<K: Columns> Changes<K> {
    fn merge_if_many(&mut self) -> Result<()> {
        if self.added.len() + self.removed.len() < self.steps.at_once { Ok(()) } else { self.merge() }
    }

    fn merge(&mut self) -> Result<()> {
        if !self.added.is_empty() || !self.removed.is_empty() {
            self.order = self.order.merged(&self.added, &self.removed, self.steps.block_keys)?;
            self.gone += self.removed.len() as u64;
            self.added.clear();
            self.removed.clear();
            allocator::trim();
        }
        Ok(())
    }
}

/// The keys of several orders, in ascending order, each once.
struct Keys<'a, K: Columns> {
    cursors: Vec<Cursor<'a, K>>,
    /// The next key of each cursor that has one.
    heads: BinaryHeap<Reverse<(K, usize)>>,
    next: Option<K>,
}

/// A position in an order. One chunk of it is in memory.
struct Cursor<'a, K: Columns> {
    order: &'a Order<K>,
    chunk: usize,
    keys: vec::IntoIter<K>,
}

impl<K: Columns> Cursor<'_, K> {
    fn next(&mut self) -> Result<Option<K>> {
        loop {
            if let Some(key) = self.keys.next() {
                return Ok(Some(key));
            }
            if self.chunk == self.order.slots.len() {
                return Ok(None);
            }
            self.keys = self.order.chunk(self.chunk)?.keys().collect::<Vec<_>>().into_iter();
            self.chunk += 1;
        }
    }
}

impl<'a, K: Columns> Keys<'a, K> {
    fn new(orders: Vec<&'a Order<K>>) -> Result<Self> {
        let cursor = |order| Cursor { order, chunk: 0, keys: Vec::new().into_iter() };
        let mut keys =
            Self { cursors: orders.into_iter().map(cursor).collect(), heads: BinaryHeap::new(), next: None };
        for (number, cursor) in keys.cursors.iter_mut().enumerate() {
            keys.heads.extend(cursor.next()?.map(|key| Reverse((key, number))));
        }
        keys.next = keys.heads.peek().map(|Reverse((key, _))| *key);
        Ok(keys)
    }

    /// The next key, if it is wanted.
    fn next_if(&mut self, is_wanted: impl Fn(&K) -> bool) -> Result<Option<K>> {
        let Some(key) = self.next.filter(is_wanted) else { return Ok(None) };
        while let Some(mut head) = self.heads.peek_mut()
            && head.0.0 == key
        {
            let number = head.0.1;
            match self.cursors[number].next()? {
                Some(next) => *head = Reverse((next, number)),
                None => _ = PeekMut::pop(head),
            }
        }
        self.next = self.heads.peek().map(|Reverse((key, _))| *key);
        Ok(Some(key))
    }
}
