//! Recent quads in memory.
//!
//! A delta is split by subject: a stripe owns the quads of its subjects, in every order. Each quad knows when it
//! was added and removed, by the sequence numbers of the commits that did it, so that a reader at any sequence
//! number sees one moment. Nothing leaves a delta: a checkpoint replaces it as a whole, and whoever still reads it
//! keeps it.
//!
//! Two writers never meet in a stripe, because they hold the stripe's lock of the store. Readers take only the
//! latch here, for the length of one buffer of rows, and a writer holds it only while it inserts into the orders.

use crate::pattern::Range;
use crate::quad::{EncodedQuad, Key, QuadKey};
use crate::run::{Run, Sorted};
use parking_lot::RwLock;
use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use stripe_lock::Striped;
use vde_store::StripeHasher;

/// The position of a commit in the order of commits. 0 is before all of them.
pub(crate) type Seq = u64;

/// A reader that sees everything applied, committed or not: one that holds the stripes it reads.
pub(crate) const LATEST: Seq = Seq::MAX - 1;

/// The end of a life that has not ended.
const ALIVE: Seq = Seq::MAX;

/// The beginning of a life that began below the delta that records it: in an older delta, or in a run.
const BELOW: Seq = 0;

/// The order of named quads that begins with the graph.
pub(crate) const GRAPH_FIRST: usize = 3;

/// When a quad was there: from `added` until just before `removed`.
///
/// | added   | removed | meaning in a delta |
/// |---------|---------|--------------------|
/// | `n > 0` | `ALIVE` | added by commit n |
/// | `n > 0` | `m > n` | added by commit n, removed by commit m |
/// | `BELOW` | `m`     | held by what lies below, removed by commit m: hides it from m on |
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

/// One kind of change to one quad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) quad: EncodedQuad,
    pub(crate) adds: bool,
}

/// The recent quads of a store, or the pending changes of one transaction.
#[derive(Debug)]
pub(crate) struct Delta {
    stripes: Striped<u64, RwLock<Stripe>, StripeHasher>,
    /// Quads that were ever recorded as removed from below: while there are none, no reader has to ask.
    hiding: AtomicUsize,
    entries: AtomicUsize,
}

#[derive(Debug, Default)]
pub(crate) struct Stripe {
    triples: Orders<[u64; 3]>,
    named: Orders<[u64; 4]>,
}

impl Delta {
    /// An empty delta whose stripes are those of a lock with as many stripes and the same hasher.
    pub(crate) fn new(stripes: usize, hasher: StripeHasher) -> Self {
        Self {
            stripes: Striped::from_fn(stripes, hasher, |_| RwLock::default()),
            hiding: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
        }
    }

    /// Quads this delta knows of, present or removed.
    pub(crate) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    pub(crate) fn stripes(&self) -> usize {
        self.stripes.stripes()
    }

    pub(crate) fn stripe_of(&self, subject: u64) -> usize {
        self.stripes.stripe_of(&subject)
    }

    /// Applies changes as one commit. The caller holds the stripes of their subjects, and knows that each changes
    /// something: adds a quad that is absent, or removes one that is present.
    pub(crate) fn apply(&self, seq: Seq, changes: &[Change]) {
        if let [change] = changes {
            let stripe = self.stripe_of(change.quad.subject.0);
            return self.apply_to(stripe, seq, [change].into_iter());
        }
        let mut by_stripe: Vec<_> =
            changes.iter().map(|change| (self.stripe_of(change.quad.subject.0), change)).collect();
        by_stripe.sort_by_key(|(stripe, _)| *stripe);
        for changes in by_stripe.chunk_by(|(a, _), (b, _)| a == b) {
            self.apply_to(changes[0].0, seq, changes.iter().map(|(_, change)| *change));
        }
    }

    fn apply_to<'a>(&self, stripe: usize, seq: Seq, changes: impl Iterator<Item = &'a Change>) {
        let (mut new, mut hiding) = (0, 0);
        let mut stripe = self.stripes.stripe(stripe).write();
        for change in changes {
            let outcome = match change.quad.key() {
                QuadKey::Triple(key) => stripe.triples.apply(seq, key, change.adds),
                QuadKey::Named(key) => stripe.named.apply(seq, key, change.adds),
            };
            new += usize::from(outcome.new);
            hiding += usize::from(outcome.hides);
        }
        // Before the latch is released: whoever sees the change must see that there is something to ask for.
        if hiding > 0 {
            self.hiding.fetch_add(hiding, Ordering::Release);
        }
        self.entries.fetch_add(new, Ordering::Relaxed);
    }

    /// Whether the quad is there at `seq`, as far as this delta knows: `None` leaves it to what lies below.
    pub(crate) fn shows(&self, quad: EncodedQuad, seq: Seq) -> Option<bool> {
        let stripe = self.stripes.get(&quad.subject.0).read();
        match quad.key() {
            QuadKey::Triple(key) => stripe.triples.shows(key, seq),
            QuadKey::Named(key) => stripe.named.shows(key, seq),
        }
    }

    /// Whether any quad held below is hidden from anybody.
    pub(crate) fn hides_any(&self) -> bool {
        self.hiding.load(Ordering::Acquire) > 0
    }

    /// Whether a quad held below is hidden from a reader at `seq`.
    pub(crate) fn hides(&self, quad: EncodedQuad, seq: Seq) -> bool {
        if !self.hides_any() {
            return false;
        }
        let stripe = self.stripes.get(&quad.subject.0).read();
        match quad.key() {
            QuadKey::Triple(key) => stripe.triples.hides(key, seq),
            QuadKey::Named(key) => stripe.named.hides(key, seq),
        }
    }

    /// Calls `row` with up to `limit` rows of one stripe that a reader at `seq` sees, in the arrangement of the range,
    /// from the bound on. Returns where to go on, or `None` at the end.
    pub(crate) fn rows<K: Held>(
        &self,
        stripe: usize,
        range: &Range<K>,
        from: Bound<K>,
        seq: Seq,
        limit: usize,
        row: impl FnMut(K),
    ) -> Option<Bound<K>> {
        let stripe = self.stripes.stripe(stripe).read();
        K::orders(&stripe).rows(range, from, seq, limit, row)
    }

    /// Whether a commit after `seq` changed a quad in the range.
    pub(crate) fn changed_since<K: Held>(&self, range: &Range<K>, seq: Seq) -> bool {
        let stripes = match range.subject {
            Some(subject) => self.stripe_of(subject)..self.stripe_of(subject) + 1,
            None => 0..self.stripes(),
        };
        stripes.into_iter().any(|stripe| {
            let stripe = self.stripes.stripe(stripe).read();
            K::orders(&stripe).changed_since(range, seq)
        })
    }

    /// Adds the named graphs that any quad known here is in, visible or not.
    pub(crate) fn graphs(&self, graphs: &mut BTreeSet<u64>) {
        for stripe in self.stripes.iter() {
            let stripe = stripe.read();
            let by_graph = &stripe.named.others[GRAPH_FIRST - 1];
            let mut next = by_graph.first();
            while let Some([graph, ..]) = next {
                graphs.insert(*graph);
                next = by_graph.range([*graph, u64::MAX, u64::MAX, u64::MAX]..).next();
            }
        }
    }

    /// Calls `problem` with each disagreement between the orders.
    pub(crate) fn verify(&self, problem: &mut impl FnMut(String)) {
        for (index, stripe) in self.stripes.iter().enumerate() {
            let stripe = stripe.read();
            let stray = |subject: &u64| self.stripe_of(*subject) != index;
            if stripe.triples.lives.keys().map(|key| &key[0]).any(stray)
                || stripe.named.lives.keys().map(|key| &key[0]).any(stray)
            {
                problem(format!("stripe {index} holds a subject of another stripe"));
            }
            stripe.triples.verify(problem);
            stripe.named.verify(problem);
        }
    }

    /// What everything in this delta comes to, for whom sees all of it: what it adds to what lies below, and what it
    /// removes from there. Sorted by quad.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.entries());
        for stripe in self.stripes.iter() {
            let stripe = stripe.read();
            stripe.triples.changes(&mut changes);
            stripe.named.changes(&mut changes);
        }
        changes.sort_unstable_by_key(|change| change.quad);
        changes
    }
}

/// The key types that stripes and runs hold.
pub(crate) trait Held: Key {
    fn orders(stripe: &Stripe) -> &Orders<Self>;
    fn sorted(run: &Run) -> &Sorted<Self>;
}

impl Held for [u64; 3] {
    fn orders(stripe: &Stripe) -> &Orders<Self> {
        &stripe.triples
    }

    fn sorted(run: &Run) -> &Sorted<Self> {
        &run.triples
    }
}

impl Held for [u64; 4] {
    fn orders(stripe: &Stripe) -> &Orders<Self> {
        &stripe.named
    }

    fn sorted(run: &Run) -> &Sorted<Self> {
        &run.named
    }
}

struct Outcome {
    new: bool,
    hides: bool,
}

/// The quads of one stripe and one width, in every order.
#[derive(Debug)]
pub(crate) struct Orders<K> {
    /// The first order, with the latest life of each quad.
    lives: BTreeMap<K, Life>,
    /// The lives before the latest one, of quads that were removed and added again.
    earlier: BTreeMap<K, Vec<Life>>,
    others: Vec<BTreeSet<K>>,
    /// The latest commit here, and whether any removed something: a reader that sees all of it need not look at
    /// the lives.
    newest: Seq,
    removals: bool,
}

impl<K: Key> Default for Orders<K> {
    fn default() -> Self {
        Self {
            lives: BTreeMap::new(),
            earlier: BTreeMap::new(),
            others: vec![BTreeSet::new(); K::ORDERS.len() - 1],
            newest: 0,
            removals: false,
        }
    }
}

impl<K: Key> Orders<K> {
    fn apply(&mut self, seq: Seq, key: K, adds: bool) -> Outcome {
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
                    keys.insert(key.arrange(order + 1));
                }
                Outcome { new: true, hides: !adds }
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
                Outcome { new: false, hides: false }
            }
        }
    }

    fn lives(&self, key: K) -> impl Iterator<Item = Life> {
        let earlier = if self.removals { self.earlier.get(&key) } else { None };
        earlier.into_iter().flatten().chain(self.lives.get(&key)).copied()
    }

    fn shows(&self, key: K, seq: Seq) -> Option<bool> {
        let mut verdict = None;
        for life in self.lives(key) {
            if life.is_shown_at(seq) {
                return Some(true);
            }
            if life.hides_below_at(seq) {
                verdict = Some(false);
            }
        }
        verdict
    }

    fn hides(&self, key: K, seq: Seq) -> bool {
        self.lives(key).any(|life| life.hides_below_at(seq))
    }

    fn is_shown(&self, key: K, life: Life, seq: Seq) -> bool {
        life.is_shown_at(seq)
            || self.earlier.get(&key).is_some_and(|lives| lives.iter().any(|life| life.is_shown_at(seq)))
    }

    fn rows(
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
        let settled = !self.removals && self.newest <= seq;
        let shown = |arranged: &&K| {
            range.accepts(arranged)
                && (settled || {
                    let key = arranged.restore(range.order);
                    self.is_shown(key, self.lives[&key], seq)
                })
        };
        self.others[range.order - 1].range(bounds).filter(shown).find_map(show)
    }

    fn changed_since(&self, range: &Range<K>, seq: Seq) -> bool {
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
        self.others[range.order - 1].range(bounds).any(|arranged| {
            range.accepts(arranged) && self.lives[&arranged.restore(range.order)].last_change() > seq
        })
    }

    fn verify(&self, problem: &mut impl FnMut(String)) {
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

    fn changes(&self, changes: &mut Vec<Change>) {
        for (key, life) in &self.lives {
            let was_below = self.hides(*key, LATEST);
            let is_there = life.removed == ALIVE;
            // Removed from below and added again: nothing changes. Added here and removed: neither.
            if was_below != is_there {
                changes.push(Change { quad: key.to_quad(), adds: is_there });
            }
        }
    }
}
