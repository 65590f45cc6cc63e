//! The quads of one stripe, in every order.

use super::LATEST;
use super::tiers::{Merge, Tiers};
use crate::terms::pattern::Range;
use crate::terms::quad::{Change, EncodedQuad, GRAPH_FIRST, Seq};
use crate::terms::quad::{Columns, Key};
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Bound;

/// The end of a lifetime that has not ended.
const ALIVE: Seq = Seq::MAX;

/// The beginning of a lifetime that began in a lower layer: in an older delta, or in a run.
const BELOW: Seq = 0;

/// When a quad existed: from `added` until just before `removed`.
///
/// | added   | removed | meaning in a delta |
/// |---------|---------|--------------------|
/// | `n > 0` | `ALIVE` | added by commit n |
/// | `n > 0` | `m > n` | added by commit n, removed by commit m |
/// | `BELOW` | `m`     | in a lower layer, removed by commit m: hidden from m on |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Life {
    added: Seq,
    removed: Seq,
}

impl Life {
    /// Whether the delta itself shows the quad to a reader at `seq`.
    fn is_shown_at(self, seq: Seq) -> bool {
        self.added != BELOW && self.added <= seq && seq < self.removed
    }

    fn hides_below_at(self, seq: Seq) -> bool {
        self.added == BELOW && self.removed <= seq
    }

    fn last_change(self) -> Seq {
        if self.removed == ALIVE { self.added } else { self.removed }
    }
}

/// The effect of a change on the delta.
pub(super) struct Outcome {
    /// Whether the delta stores one more lifetime of a quad.
    pub(super) grows: bool,
    pub(super) hides: bool,
}

/// The quads of one stripe and one width, in every order.
#[derive(Debug)]
pub(crate) struct Orders<K> {
    /// The first order, with the latest lifetime of each quad.
    lives: BTreeMap<K, Life>,
    /// The earlier lifetimes of quads that were removed and added again. They are in order, so that one is found by
    /// binary search.
    earlier: BTreeMap<K, Vec<Life>>,
    others: Vec<Tiers<K>>,
    /// The latest commit in this stripe.
    newest: Seq,
    /// Whether any commit removed a quad. If none did, a reader that sees the newest quad of a list sees the whole
    /// list, and does not have to check the lifetime of each quad.
    removals: bool,
}

impl<K: Key> Default for Orders<K> {
    fn default() -> Self {
        Self {
            lives: BTreeMap::new(),
            earlier: BTreeMap::new(),
            others: K::ORDERS[1..].iter().map(|_| Tiers::default()).collect(),
            newest: 0,
            removals: false,
        }
    }
}

impl<K: Key> Orders<K> {
    pub(super) fn apply(&mut self, seq: Seq, key: K, adds: bool) -> Outcome {
        self.newest = self.newest.max(seq);
        self.removals |= !adds;
        match self.lives.entry(key) {
            Entry::Vacant(slot) => {
                slot.insert(if adds {
                    Life { added: seq, removed: ALIVE }
                } else {
                    Life { added: BELOW, removed: seq }
                });
                for (order, keys) in self.others.iter_mut().enumerate() {
                    keys.insert(key.arrange(order + 1), seq);
                }
                Outcome { grows: true, hides: !adds }
            }
            Entry::Occupied(mut slot) => {
                let life = slot.get_mut();
                debug_assert_eq!(adds, life.removed != ALIVE, "a change must change something");
                if adds {
                    let ended = std::mem::replace(life, Life { added: seq, removed: ALIVE });
                    self.earlier.entry(key).or_default().push(ended);
                } else {
                    life.removed = seq;
                }
                Outcome { grows: adds, hides: false }
            }
        }
    }

    /// Whether the orders have to be [merged](Self::merge). Every order has the same quads, so this is true for all
    /// orders or for none.
    pub(super) fn is_full(&self) -> bool {
        self.others[0].is_full()
    }

    /// Merges the orders, if they are full. The result is not visible before it is [`put`](Self::put) in.
    pub(super) fn merge(&self) -> Vec<Merge<K>> {
        if self.is_full() { self.others.iter().map(Tiers::merge).collect() } else { Vec::new() }
    }

    /// Installs merged lists. No change was applied since the merge. Returns the old lists for the caller to drop.
    pub(super) fn put(&mut self, merged: Vec<Merge<K>>) -> impl Sized + use<K> {
        self.others.iter_mut().zip(merged).map(|(keys, merged)| keys.put(merged)).collect::<Vec<_>>()
    }

    fn earlier(&self, key: K) -> &[Life] {
        let earlier = if self.removals { self.earlier.get(&key) } else { None };
        earlier.map_or(&[], |lives| lives)
    }

    pub(super) fn shows(&self, key: K, seq: Seq) -> Option<bool> {
        let latest = *self.lives.get(&key)?;
        if self.is_shown(key, latest, seq) {
            return Some(true);
        }
        self.hides(key, seq).then_some(false)
    }

    /// Only the first lifetime can be that of a quad in a lower layer.
    pub(super) fn hides(&self, key: K, seq: Seq) -> bool {
        let first = self.earlier(key).first().or_else(|| self.lives.get(&key));
        first.is_some_and(|life| life.hides_below_at(seq))
    }

    /// `latest` is the latest lifetime of the quad.
    fn is_shown(&self, key: K, latest: Life, seq: Seq) -> bool {
        if latest.added <= seq {
            return latest.is_shown_at(seq);
        }
        let earlier = self.earlier(key);
        let begun = earlier.partition_point(|life| life.added <= seq);
        begun.checked_sub(1).is_some_and(|last| earlier[last].is_shown_at(seq))
    }

    pub(super) fn rows(
        &self,
        range: &Range<K>,
        from: Bound<K>,
        seq: Seq,
        limit: usize,
        mut row: impl FnMut(K),
    ) -> Option<Bound<K>> {
        let bounds = (from, Bound::Included(range.high));
        let mut left = limit;
        let mut show = |arranged: &K| {
            row(*arranged);
            left -= 1;
            (left == 0).then_some(Bound::Excluded(*arranged))
        };
        if range.order == 0 {
            let shown = |(key, life): &(&K, &Life)| range.accepts(key) && self.is_shown(**key, **life, seq);
            return self.lives.range(bounds).filter(shown).find_map(|(key, _)| show(key));
        }
        let shown = |(arranged, newest): &(K, Seq)| {
            range.accepts(arranged)
                && (!self.removals && *newest <= seq || {
                    let key = arranged.restore(range.order);
                    self.is_shown(key, self.lives[&key], seq)
                })
        };
        let arranged = self.others[range.order - 1].range(from, &range.high);
        arranged.filter(shown).find_map(|(arranged, _)| show(&arranged))
    }

    pub(super) fn changed_since(&self, range: &Range<K>, seq: Seq) -> bool {
        if self.newest <= seq {
            return false;
        }
        let bounds = (Bound::Included(range.low), Bound::Included(range.high));
        if range.order == 0 {
            return self
                .lives
                .range(bounds)
                .any(|(key, life)| range.accepts(key) && life.last_change() > seq);
        }
        self.others[range.order - 1].range(Bound::Included(range.low), &range.high).any(
            |(arranged, newest)| {
                (self.removals || newest > seq)
                    && range.accepts(&arranged)
                    && self.lives[&arranged.restore(range.order)].last_change() > seq
            },
        )
    }

    /// The subjects of the quads in this stripe, one for each quad.
    pub(super) fn subjects(&self) -> impl Iterator<Item = u64> {
        self.lives.keys().map(|key| key.columns()[0])
    }

    /// All quads, each with whether a lower layer has it.
    pub(super) fn quads(&self) -> impl Iterator<Item = (EncodedQuad, bool)> {
        self.lives.keys().map(|key| (key.to_quad(), self.hides(*key, LATEST)))
    }

    pub(super) fn verify(&self, problem: &mut impl FnMut(String)) {
        for (order, keys) in self.others.iter().enumerate() {
            let order = order + 1;
            if keys.len() != self.lives.len() {
                problem(format!("order {order} holds {} quads, order 0 {}", keys.len(), self.lives.len()));
            }
            for key in self.lives.keys().filter(|key| !keys.contains(&key.arrange(order))) {
                problem(format!("order {order} lacks {:?}", key.to_quad()));
            }
        }
    }

    pub(super) fn changes(&self, changes: &mut Vec<Change>) {
        for (key, life) in &self.lives {
            let was_below = self.hides(*key, LATEST);
            let is_there = life.removed == ALIVE;
            // A quad that was removed from a lower layer and added again is no change. Neither is one that was added
            // here and removed.
            if was_below != is_there {
                changes.push(Change { quad: key.to_quad(), adds: is_there });
            }
        }
    }
}

impl Orders<[u64; 4]> {
    /// Adds the graphs of the quads in this stripe. O(graphs), not O(quads).
    pub(super) fn graphs(&self, graphs: &mut BTreeSet<u64>) {
        let next = |from| self.others[GRAPH_FIRST - 1].range(from, &Columns::MAX).next();
        let mut from = Bound::Unbounded;
        while let Some(([graph, ..], _)) = next(from) {
            graphs.insert(graph);
            from = Bound::Excluded([graph, u64::MAX, u64::MAX, u64::MAX]);
        }
    }
}
