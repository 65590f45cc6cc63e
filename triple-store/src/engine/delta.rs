//! Recent quads in memory.
//!
//! A delta is split by subject: a stripe owns the quads of its subjects, in every order. Each quad has the sequence
//! numbers of the commits that added and removed it, so a reader at any sequence number sees a consistent state.
//! Nothing is removed from a delta. A checkpoint replaces it as a whole, and its readers keep it in memory.
//!
//! A stripe has one writer at a time, which holds the store's lock of the stripe. Readers take only the latch, for
//! one buffer of rows. A writer holds the latch exclusively only while it adds to the orders. While it merges lists,
//! it shares the latch with readers.

mod orders;
mod tiers;

use crate::storage::run::Stored;
use crate::terms::pattern::Range;
use crate::terms::quad::{Change, EncodedQuad, QuadKey, Seq};
use orders::Orders;
use parking_lot::{RwLock, RwLockUpgradableReadGuard};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use stripe_lock::Striped;
use vde_store::StripeHasher;

/// The sequence number of a reader that holds the stripes it reads. It sees everything that was applied, committed or
/// not.
pub(crate) const LATEST: Seq = Seq::MAX - 1;

/// The recent quads of a store, or the pending changes of one transaction.
#[derive(Debug)]
pub(crate) struct Delta {
    stripes: Striped<u64, RwLock<Stripe>, StripeHasher>,
    /// The number of quads that were recorded as removed from a lower layer. While it is 0, no reader has to check
    /// for them.
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

    /// The number of entries: one for each quad, present or removed, and one for each time that a quad was added
    /// again.
    pub(crate) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    pub(crate) fn stripes(&self) -> usize {
        self.stripes.stripes()
    }

    pub(crate) fn stripe_of(&self, subject: u64) -> usize {
        self.stripes.stripe_of(&subject)
    }

    /// Makes room for one change to the subject, whose stripe the caller holds. Applying the change is then fast. The
    /// caller takes its commit number after this, so other commits do not wait long for its publication.
    pub(crate) fn make_room(&self, subject: u64) {
        merge_if_full(self.stripes.get(&subject));
    }

    /// Applies changes as one commit. The caller holds the stripes of their subjects, and has checked that each
    /// change has an effect: it adds an absent quad, or removes a present one.
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
        let latch = self.stripes.stripe(stripe);
        let mut changes = changes.peekable();
        while changes.peek().is_some() {
            merge_if_full(latch);
            let (mut grown, mut hiding) = (0, 0);
            let mut stripe = latch.write();
            while !stripe.is_full()
                && let Some(change) = changes.next()
            {
                let outcome = match change.quad.key() {
                    QuadKey::Triple(key) => stripe.triples.apply(seq, key, change.adds),
                    QuadKey::Named(key) => stripe.named.apply(seq, key, change.adds),
                };
                grown += usize::from(outcome.grows);
                hiding += usize::from(outcome.hides);
            }
            // This happens before the latch is released, so a reader that sees the change also sees that this delta
            // hides quads.
            if hiding > 0 {
                self.hiding.fetch_add(hiding, Ordering::Release);
            }
            self.entries.fetch_add(grown, Ordering::Relaxed);
        }
    }

    /// Whether the quad exists at `seq`, according to this delta. `None` means that the layers below decide.
    pub(crate) fn shows(&self, quad: EncodedQuad, seq: Seq) -> Option<bool> {
        let stripe = self.stripes.get(&quad.subject.0).read();
        match quad.key() {
            QuadKey::Triple(key) => stripe.triples.shows(key, seq),
            QuadKey::Named(key) => stripe.named.shows(key, seq),
        }
    }

    /// Whether this delta hides any quad of a lower layer from any reader.
    pub(crate) fn hides_any(&self) -> bool {
        self.hiding.load(Ordering::Acquire) > 0
    }

    /// Whether this delta hides a quad of a lower layer from a reader at `seq`.
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
    /// from the bound on. Returns where to continue, or `None` at the end.
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

    /// Adds the named graphs of all quads of this delta, visible or not.
    pub(crate) fn graphs(&self, graphs: &mut BTreeSet<u64>) {
        for stripe in self.stripes.iter() {
            stripe.read().named.graphs(graphs);
        }
    }

    /// Calls `problem` for each inconsistency between the orders.
    pub(crate) fn verify(&self, problem: &mut impl FnMut(String)) {
        for (index, stripe) in self.stripes.iter().enumerate() {
            let stripe = stripe.read();
            let mut subjects = stripe.triples.subjects().chain(stripe.named.subjects());
            if subjects.any(|subject| self.stripe_of(subject) != index) {
                problem(format!("stripe {index} has a subject of another stripe"));
            }
            stripe.triples.verify(problem);
            stripe.named.verify(problem);
        }
    }

    /// The quads of this delta that are `wanted`, present or removed, each with whether a lower layer has it.
    pub(crate) fn quads(&self, wanted: impl Fn(&EncodedQuad) -> bool) -> Vec<(EncodedQuad, bool)> {
        let mut quads = Vec::new();
        for stripe in self.stripes.iter() {
            let stripe = stripe.read();
            let all = stripe.triples.quads().chain(stripe.named.quads());
            quads.extend(all.filter(|(quad, _)| wanted(quad)));
        }
        quads
    }

    /// The net changes of this delta for a reader that sees all of it: what it adds to the layers below, and what it
    /// removes from them. Sorted by quad.
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

impl Stripe {
    fn is_full(&self) -> bool {
        self.triples.is_full() || self.named.is_full()
    }
}

/// Merges full lists. Readers continue, and there is no other writer.
fn merge_if_full(latch: &RwLock<Stripe>) {
    let stripe = latch.upgradable_read();
    if stripe.is_full() {
        let (triples, named) = (stripe.triples.merge(), stripe.named.merge());
        let mut stripe = RwLockUpgradableReadGuard::upgrade(stripe);
        let replaced = (stripe.triples.put(triples), stripe.named.put(named));
        drop(stripe);
        drop(replaced);
    }
}

/// The key types of stripes.
pub(crate) trait Held: Stored {
    fn orders(stripe: &Stripe) -> &Orders<Self>;
}

impl Held for [u64; 3] {
    fn orders(stripe: &Stripe) -> &Orders<Self> {
        &stripe.triples
    }
}

impl Held for [u64; 4] {
    fn orders(stripe: &Stripe) -> &Orders<Self> {
        &stripe.named
    }
}
