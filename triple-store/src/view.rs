//! What a reader sees: layers of deltas, newest first, each at a sequence number, and below them a run.
//!
//! A row is visible if its layer, or the run, shows it and no layer above hides it. A writer adds a quad only where
//! it is absent, so no two of them show the same quad to one reader.

use crate::delta::{Delta, Held, Seq};
use crate::pattern::{Graphs, Pattern, Range};
use crate::quad::EncodedQuad;
use crate::run::Run;
use crate::term::TermId;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// One delta as of one commit.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) delta: Arc<Delta>,
    pub(crate) seq: Seq,
}

/// An immutable view of a store.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) layers: Vec<Layer>,
    pub(crate) base: Arc<Run>,
}

impl View {
    pub(crate) fn contains(&self, quad: EncodedQuad) -> bool {
        let shown = self.layers.iter().find_map(|layer| layer.delta.shows(quad, layer.seq));
        shown.unwrap_or_else(|| self.base.contains(quad))
    }

    /// Whether a layer above `depth` hides the quad.
    fn is_hidden(&self, depth: usize, quad: EncodedQuad) -> bool {
        self.layers[..depth].iter().any(|layer| layer.delta.hides(quad, layer.seq))
    }

    /// The named graphs that hold a quad. O(graphs), not O(quads): the order by graph is skipped through.
    pub(crate) fn graphs(self: &Arc<Self>) -> Vec<u64> {
        let mut graphs = BTreeSet::new();
        for layer in &self.layers {
            layer.delta.graphs(&mut graphs);
        }
        self.base.graphs(&mut graphs);
        let holds = |graph: &u64| {
            let graphs = Graphs::One(TermId(*graph));
            self.scan(&Pattern { subject: None, predicate: None, object: None, graphs }).next().is_some()
        };
        graphs.into_iter().filter(holds).collect()
    }

    /// The quads that match, in no particular order.
    pub(crate) fn scan(self: &Arc<Self>, pattern: &Pattern) -> Scan {
        Scan {
            view: Arc::clone(self),
            triples: pattern.triples().map(|range| Cursor::new(self, range)),
            named: pattern.quads().map(|range| Cursor::new(self, range)),
            buffer: Vec::new(),
        }
    }
}

/// The quads of a view that match a pattern; owns the view, so it outlives every checkpoint.
#[derive(Debug)]
pub(crate) struct Scan {
    view: Arc<View>,
    triples: Option<Cursor<[u64; 3]>>,
    named: Option<Cursor<[u64; 4]>>,
    /// Rows read ahead, last first.
    buffer: Vec<EncodedQuad>,
}

impl Iterator for Scan {
    type Item = EncodedQuad;

    fn next(&mut self) -> Option<EncodedQuad> {
        loop {
            if let Some(quad) = self.buffer.pop() {
                return Some(quad);
            }
            if let Some(cursor) = &mut self.triples {
                if cursor.fill(&self.view, &mut self.buffer) {
                    self.triples = None;
                }
            } else if let Some(cursor) = &mut self.named {
                if cursor.fill(&self.view, &mut self.buffer) {
                    self.named = None;
                }
            } else {
                return None;
            }
            self.buffer.reverse();
        }
    }
}

/// Rows a cursor reads under one latch. The first fill is small, since most patterns of a query match few rows or
/// are asked for one; then it grows.
const FIRST_ROWS: usize = 16;
const MOST_ROWS: usize = 1024;

/// A position in the scan of one range.
#[derive(Debug)]
struct Cursor<K> {
    range: Range<K>,
    depth: usize,
    stripe: usize,
    from: Bound<K>,
    limit: usize,
    rows: Vec<K>,
}

impl<K: Held> Cursor<K> {
    fn new(view: &View, range: Range<K>) -> Self {
        let mut cursor = Self {
            range,
            depth: 0,
            stripe: 0,
            from: Bound::Included(range.low),
            limit: FIRST_ROWS,
            rows: Vec::new(),
        };
        cursor.enter(view, 0);
        cursor
    }

    /// Goes to the first stripe that may hold rows of the range, in this layer or below.
    fn enter(&mut self, view: &View, depth: usize) {
        let filled = |layer: &Layer| layer.delta.entries() > 0;
        let skipped =
            view.layers.get(depth..).map_or(0, |layers| layers.iter().take_while(|l| !filled(l)).count());
        self.depth = depth + skipped;
        let depth = self.depth;
        self.stripe = match (view.layers.get(depth), self.range.subject) {
            (Some(layer), Some(subject)) => layer.delta.stripe_of(subject),
            _ => 0,
        };
    }

    /// Appends some visible rows to the buffer, or none at the end; returns whether this was the end.
    fn fill(&mut self, view: &View, buffer: &mut Vec<EncodedQuad>) -> bool {
        while self.depth <= view.layers.len() {
            let (range, from, limit) = (&self.range, self.from, self.limit);
            let (next, stripes) = if let Some(Layer { delta, seq }) = view.layers.get(self.depth) {
                (delta.rows(self.stripe, range, from, *seq, limit, &mut self.rows), delta.stripes())
            } else {
                let order = &K::sorted(&view.base).orders[range.order];
                (order.rows(range, from, limit, &mut self.rows), 1)
            };
            let depth = self.depth;
            self.from = next.unwrap_or(Bound::Included(self.range.low));
            self.stripe += usize::from(next.is_none());
            if next.is_none() && (self.range.subject.is_some() || self.stripe == stripes) {
                self.enter(view, depth + 1);
            }
            let order = self.range.order;
            buffer.extend(
                self.rows
                    .drain(..)
                    .map(|row| row.restore(order).to_quad())
                    .filter(|quad| !view.is_hidden(depth, *quad)),
            );
            if !buffer.is_empty() {
                self.limit = (self.limit * 4).min(MOST_ROWS);
                return false;
            }
        }
        true
    }
}
