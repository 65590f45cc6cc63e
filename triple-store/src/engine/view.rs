//! Views. A view has layers of deltas, the newest first, each at a sequence number, and a run below them.
//!
//! A row is visible if its layer or the run shows it and no layer above hides it. A writer adds only absent quads, so
//! no two layers show the same quad to one reader.

use crate::engine::dead_terms::Epoch;
use crate::engine::delta::{Delta, Held};
use crate::error::Result;
use crate::storage::instead::Instead;
use crate::storage::planted::{self, Bug};
use crate::storage::run::Run;
use crate::terms::pattern::{Graphs, Pattern, Range};
use crate::terms::quad::{Change, EncodedQuad, Seq};
use crate::terms::term::TermId;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::vec;

/// A delta at one commit.
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
    /// The last commit that changed the run directly, and not through a delta.
    pub(crate) rewritten: Seq,
    /// No term goes to which a view of this epoch refers.
    pub(crate) epoch: Arc<Epoch>,
}

impl View {
    pub(crate) fn contains(&self, quad: EncodedQuad) -> Result<bool> {
        let shown = self.layers.iter().find_map(|layer| layer.delta.shows(quad, layer.seq));
        shown.map_or_else(|| self.base.contains(quad), Ok)
    }

    /// Drops the changes that have no effect: additions of quads that are there, and removals of quads that are not.
    pub(crate) fn keep_effective(&self, changes: &mut Vec<Change>) -> Result<()> {
        let mut failed = None;
        changes.retain(|change| match self.contains(change.quad) {
            Ok(found) => found != change.adds,
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        });
        failed.map_or(Ok(()), Err)
    }

    /// Whether a layer above `depth` hides the quad.
    fn is_hidden(&self, depth: usize, quad: EncodedQuad) -> bool {
        self.layers[..depth].iter().any(|layer| layer.delta.hides(quad, layer.seq))
    }

    /// The named graphs that are not empty. It skips through the order by graph, so it takes O(graphs), not O(quads).
    pub(crate) fn graphs(self: &Arc<Self>) -> Result<Vec<u64>> {
        let mut graphs = BTreeSet::new();
        for layer in &self.layers {
            layer.delta.graphs(&mut graphs);
        }
        self.base.graphs(&mut graphs)?;
        let holds = |graph: u64| {
            let pattern = Pattern { graphs: Graphs::One(TermId(graph)), ..Pattern::ALL };
            let first = self.scan(&pattern)?.next().transpose()?;
            Ok(first.map(|_| graph))
        };
        graphs.into_iter().filter_map(|graph| holds(graph).transpose()).collect()
    }

    /// The quads that match, in no particular order. The first rows are read immediately, because most patterns of a
    /// query match few quads, or only one is needed.
    pub(crate) fn scan(self: &Arc<Self>, pattern: &Pattern) -> Result<Scan> {
        let mut cursors = Cursors {
            triples: pattern.triples().map(|range| Cursor::new(self, range)),
            named: pattern.quads().map(|range| Cursor::new(self, range)),
        };
        let mut rows = Vec::new();
        cursors.fill(self, FIRST_ROWS, &mut rows)?;
        let rest = (!cursors.are_done())
            .then(|| Box::new(Rest { view: Arc::clone(self), cursors, limit: 4 * FIRST_ROWS }));
        Ok(Scan { rows: rows.into_iter(), rest })
    }
}

/// The size of the first batch of rows, and that of later batches. Batches grow from the first to the second.
const FIRST_ROWS: usize = 16;
const MOST_ROWS: usize = 1024;

/// The quads of a view that match a pattern. An error ends it.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Rows that were read ahead.
    rows: vec::IntoIter<EncodedQuad>,
    rest: Option<Box<Rest>>,
}

/// The rest of a scan. It owns the view, so it stays valid after a checkpoint.
#[derive(Debug)]
struct Rest {
    view: Arc<View>,
    cursors: Cursors,
    limit: usize,
}

impl Iterator for Scan {
    type Item = Result<EncodedQuad>;

    #[inline]
    fn next(&mut self) -> Option<Result<EncodedQuad>> {
        match self.rows.next() {
            Some(quad) => Some(Ok(quad)),
            None => self.more().transpose(),
        }
    }
}

impl Scan {
    /// Reads more rows, and returns the first of them.
    fn more(&mut self) -> Result<Option<EncodedQuad>> {
        // An error leaves no rest.
        let Some(mut rest) = self.rest.take() else { return Ok(None) };
        let mut rows = Vec::with_capacity(rest.limit);
        match rest.cursors.fill(&rest.view, rest.limit, &mut rows) {
            Err(_) if planted::has(Bug::SwallowError) => return Ok(None),
            filled => filled?,
        }
        rest.limit = (rest.limit * 4).min(MOST_ROWS);
        if !rest.cursors.are_done() {
            self.rest = Some(rest);
        }
        self.rows = rows.into_iter();
        Ok(self.rows.next())
    }
}

/// The positions of a scan in the triples of the default graph and in the quads of the named graphs. `None` at the
/// end.
#[derive(Debug)]
struct Cursors {
    triples: Option<Cursor<[u64; 3]>>,
    named: Option<Cursor<[u64; 4]>>,
}

impl Cursors {
    /// Appends `limit` visible rows, or all that are left.
    fn fill(&mut self, view: &View, limit: usize, rows: &mut Vec<EncodedQuad>) -> Result<()> {
        if let Some(cursor) = &mut self.triples
            && cursor.fill(view, limit, rows)?
        {
            self.triples = None;
        }
        if rows.len() < limit
            && let Some(cursor) = &mut self.named
            && cursor.fill(view, limit, rows)?
        {
            self.named = None;
        }
        Ok(())
    }

    fn are_done(&self) -> bool {
        self.triples.is_none() && self.named.is_none()
    }
}

/// A position in the scan of one range.
#[derive(Debug)]
struct Cursor<K> {
    range: Range<K>,
    depth: usize,
    stripe: usize,
    from: Bound<K>,
    /// Where the run is read if its order can't be.
    instead: Option<Instead<K>>,
}

impl<K: Held> Cursor<K> {
    fn new(view: &View, range: Range<K>) -> Self {
        let mut cursor = Self { range, depth: 0, stripe: 0, from: Bound::Included(range.low), instead: None };
        cursor.enter(view, 0);
        cursor
    }

    /// Moves to the first stripe that may have rows of the range, in this layer or below.
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

    /// Appends visible rows until there are `limit`, or to the end. Returns whether the end was reached. The latch of
    /// a stripe is held for at most `limit` rows.
    fn fill(&mut self, view: &View, limit: usize, rows: &mut Vec<EncodedQuad>) -> Result<bool> {
        while self.depth <= view.layers.len() {
            let (range, from, depth, start) = (&self.range, self.from, self.depth, rows.len());
            let (order, left) = (range.order, limit - start);
            let show = |row: K| rows.push(row.restore(order).to_quad());
            let (next, stripes) = if let Some(Layer { delta, seq }) = view.layers.get(depth) {
                (delta.rows(self.stripe, range, from, *seq, left, show), delta.stripes())
            } else {
                (K::sorted(&view.base).rows(range, from, &mut self.instead, left, show)?, 1)
            };
            self.from = next.unwrap_or(Bound::Included(self.range.low));
            self.stripe += usize::from(next.is_none());
            if next.is_none() && (self.range.subject.is_some() || self.stripe == stripes) {
                self.enter(view, depth + 1);
            }
            if view.layers[..depth].iter().any(|layer| layer.delta.hides_any()) {
                rows.extract_if(start.., |quad| view.is_hidden(depth, *quad)).for_each(drop);
            }
            if rows.len() == limit {
                return Ok(self.depth > view.layers.len());
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TripleStoreOptions;
    use crate::error::Error;

    /// Reads a store whose second chunk is missing.
    fn rows_before_the_damage() -> std::result::Result<usize, Error> {
        let vde = vde_store::Vde::in_memory().unwrap();
        let store = TripleStoreOptions::new().background(false).cache(0).open_in(&vde).unwrap();
        let row = |n| format!("<urn:s> <urn:p> {n} . GRAPH <urn:g> {{ <urn:s> <urn:p> {n} }}");
        store.update(&format!("INSERT DATA {{ {} }}", (0..50).map(row).collect::<String>())).unwrap();
        store.checkpoint().unwrap();
        let view = Arc::clone(&store.snapshot().source.view);
        for number in
            view.base.named.orders.iter().flat_map(|order| &order.slots).filter_map(|slot| slot.number())
        {
            vde.delete(crate::storage::pages::page_key(number)).unwrap();
        }
        view.scan(&Pattern::ALL)?.try_fold(0, |rows, row| row.map(|_| rows + 1))
    }

    #[test]
    fn a_scan_that_meets_damage_ends_with_an_error() {
        assert!(matches!(rows_before_the_damage(), Err(Error::Corrupt(_))));
    }

    /// The negative control of the test above.
    #[test]
    fn a_scan_that_swallows_errors_is_found() {
        planted::plant(Bug::SwallowError);
        assert!(rows_before_the_damage().is_ok());
    }
}
