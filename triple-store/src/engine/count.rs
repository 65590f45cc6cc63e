//! How many quads match a pattern, by the indexes.

use crate::engine::delta::Held;
use crate::engine::view::View;
use crate::error::Result;
use crate::terms::pattern::{Pattern, Range};
use std::ops::Bound;
use std::sync::Arc;

/// The most rows of one stripe of a delta that are counted one by one.
const COUNTED_ROWS: usize = 64;

impl View {
    /// The number of quads that match. Recent quads are counted one by one, and those of the run by its index.
    pub(crate) fn count(self: &Arc<Self>, pattern: &Pattern) -> Result<u64> {
        let ranges = (pattern.triples(), pattern.quads());
        let filters =
            ranges.0.is_some_and(|range| range.filters()) || ranges.1.is_some_and(|range| range.filters());
        if filters || self.layers.iter().any(|layer| layer.delta.hides_any()) {
            return self.count_rows(pattern);
        }
        let recent = Arc::new(Self { base: Arc::new(self.base.emptied()), ..View::clone(self) });
        match self.base.count(pattern) {
            Ok(count) => Ok(count + recent.count_rows(pattern)?),
            Err(_) => self.count_rows(pattern),
        }
    }

    fn count_rows(self: &Arc<Self>, pattern: &Pattern) -> Result<u64> {
        self.scan(pattern)?.try_fold(0, |rows, quad| quad.map(|_| rows + 1))
    }

    /// An estimate of the number of quads that match. Quads that were removed from the run or that a filter rejects
    /// are counted too. If there are many recent quads, not all are counted. Where the run can't be read, it is not
    /// counted, and a scan of its quads returns the error.
    pub(crate) fn estimate(&self, pattern: &Pattern) -> f64 {
        self.base.count(pattern).unwrap_or_default() as f64 + self.estimate_recent(pattern)
    }

    /// The part of the estimate that is for recent quads.
    pub(crate) fn estimate_recent(&self, pattern: &Pattern) -> f64 {
        let triples = pattern.triples().map_or(0, |range| self.recent(&range));
        let named = pattern.quads().map_or(0, |range| self.recent(&range));
        (triples + named) as f64
    }

    fn recent<K: Held>(&self, range: &Range<K>) -> u64 {
        let mut rows = 0;
        for layer in self.layers.iter().filter(|layer| layer.delta.entries() > 0) {
            let stripes = match range.subject {
                Some(subject) => layer.delta.stripe_of(subject)..layer.delta.stripe_of(subject) + 1,
                None => 0..layer.delta.stripes(),
            };
            for stripe in stripes {
                let from = Bound::Included(range.low);
                layer.delta.rows(stripe, range, from, layer.seq, COUNTED_ROWS, |_| rows += 1);
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TripleStore;
    use crate::terms::pattern::Graphs;
    use crate::terms::quad::EncodedQuad;
    use crate::terms::term::TermId;

    /// Counts are those of a scan, with the quads in the run, in a delta, in both, and some removed.
    #[test]
    fn counts_are_those_of_a_scan() {
        let store = TripleStore::in_memory();
        let update = |text: String| store.update(&text).unwrap();
        let data = |s: u64, o: u64| format!("<urn:s{s}> <urn:p{}> <urn:o{o}> .", o % 3);
        let check = || {
            let view = Arc::clone(&store.snapshot().source.view);
            let quads: Vec<EncodedQuad> = view.scan(&Pattern::ALL).unwrap().map(Result::unwrap).collect();
            let graphs =
                [Graphs::All, Graphs::Named, Graphs::One(TermId::DEFAULT_GRAPH), Graphs::One(quads[0].graph)];
            for quad in quads.iter().step_by(17) {
                for bound in 0..8 {
                    for graphs in graphs {
                        let term = |bit: u32, term: TermId| (bound >> bit & 1 == 1).then_some(term);
                        let (subject, predicate, object) =
                            (term(0, quad.subject), term(1, quad.predicate), term(2, quad.object));
                        let pattern = Pattern { subject, predicate, object, graphs };
                        let rows = view.scan(&pattern).unwrap().count() as u64;
                        assert_eq!(view.count(&pattern).unwrap(), rows, "{pattern:?}");
                    }
                }
            }
        };
        for round in 0..4 {
            for s in 0..20 {
                let triples = [0, 1, 2, 3, 4].map(|o| data(s, 100 * round + o)).concat();
                update(format!("INSERT DATA {{ {triples} GRAPH <urn:g{}> {{ {triples} }} }}", s % 2));
            }
            check();
            if round == 1 {
                store.checkpoint().unwrap();
                check();
            }
            if round == 2 {
                update("DELETE WHERE { <urn:s1> ?p ?o }".into());
                check();
            }
        }
    }
}
