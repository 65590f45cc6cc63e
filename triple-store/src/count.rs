//! How many quads match, told from the indexes.

use crate::delta::Held;
use crate::pattern::{Pattern, Range};
use crate::run::{Order, Run};
use crate::term::TermId;
use crate::view::View;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

/// Quads that are drawn to learn how many others share their subject or object.
const SAMPLE: u64 = 24;

/// Rows of one stripe of a delta that are counted before they are called many.
const COUNTED_ROWS: usize = 64;

/// The quads of a predicate in a run, and how many of them share a subject or an object with one of them, on average.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Fanout {
    pub(crate) quads: f64,
    pub(crate) of_a_subject: f64,
    pub(crate) of_an_object: f64,
}

/// What is known of predicates; filled as queries ask.
#[derive(Debug, Default)]
pub(crate) struct Fanouts(Mutex<HashMap<TermId, Fanout, ahash::RandomState>>);

impl View {
    /// How many quads match. Counts recent ones one by one, those of the run from its index.
    pub(crate) fn count(self: &Arc<Self>, pattern: &Pattern) -> u64 {
        let ranges = (pattern.triples(), pattern.quads());
        let filters =
            ranges.0.is_some_and(|range| range.filters()) || ranges.1.is_some_and(|range| range.filters());
        if filters || self.layers.iter().any(|layer| layer.delta.hides_any()) {
            return self.scan(pattern).count() as u64;
        }
        let recent = Arc::new(Self { layers: self.layers.clone(), base: Arc::new(Run::empty()) });
        self.merged(pattern) + recent.scan(pattern).count() as u64
    }

    /// Quads of the run in the ranges of a pattern.
    fn merged(&self, pattern: &Pattern) -> u64 {
        pattern.triples().map_or(0, |range| span(&self.base, &range))
            + pattern.quads().map_or(0, |range| span(&self.base, &range))
    }

    /// About how many quads match. What is removed from the run, or filtered out of a range, counts; of many recent
    /// quads, not all do.
    pub(crate) fn estimate(&self, pattern: &Pattern) -> f64 {
        self.merged(pattern) as f64 + self.estimate_recent(pattern)
    }

    /// Of these, the recent ones.
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

    /// What is known of a predicate, whose quads in the run are counted and drawn from the first time.
    pub(crate) fn fanout(&self, predicate: TermId) -> Fanout {
        let mut known = self.base.fanouts.0.lock();
        *known.entry(predicate).or_insert_with(|| {
            let pattern = Pattern { predicate: Some(predicate), ..Pattern::ALL };
            let triples = pattern.triples().map(|range| sample(&self.base, &range));
            let named = pattern.quads().map(|range| sample(&self.base, &range));
            let [subjects, objects, drawn] = [triples, named]
                .into_iter()
                .flatten()
                .fold([0; 3], |sum, one| [sum[0] + one[0], sum[1] + one[1], sum[2] + one[2]]);
            let mean = |sum: u64| if drawn == 0 { 1.0 } else { sum as f64 / drawn as f64 };
            let quads = self.merged(&pattern) as f64;
            Fanout { quads, of_a_subject: mean(subjects), of_an_object: mean(objects) }
        })
    }
}

fn span<K: Held>(run: &Run, range: &Range<K>) -> u64 {
    K::sorted(run).orders[range.order].span(range)
}

/// Draws keys of a range evenly: the sums of those that share a subject and an object with them, and how many were
/// drawn.
fn sample<K: Held>(run: &Run, range: &Range<K>) -> [u64; 3] {
    let order: &Order<K> = &K::sorted(run).orders[range.order];
    let (first, keys) = (order.rank(range.low), order.span(range));
    let mut sums = [0; 3];
    for number in 0..keys.min(SAMPLE) {
        let place = first + number * keys / keys.min(SAMPLE);
        let Some(key) = order.key_at(place) else { continue };
        let key = key.restore(range.order);
        let [subject, predicate, object] = [0, 1, 2].map(|column| Some(key.columns()[column]));
        sums[0] += span::<K>(run, &Range::new([subject, predicate, None, None]));
        sums[1] += span::<K>(run, &Range::new([None, predicate, object, None]));
        sums[2] += 1;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TripleStore;
    use crate::pattern::Graphs;
    use crate::quad::EncodedQuad;
    use crate::term::Kind;

    /// Counts are those of a scan, with the quads in the run, in a delta, in both, and some removed.
    #[test]
    fn counts_are_those_of_a_scan() {
        let store = TripleStore::in_memory();
        let update = |text: String| store.update(&text).unwrap();
        let data = |s: u64, o: u64| format!("<urn:s{s}> <urn:p{}> <urn:o{o}> .", o % 3);
        let check = || {
            let view = Arc::clone(&store.snapshot().source.view);
            let quads: Vec<EncodedQuad> = view.scan(&Pattern::ALL).collect();
            let graphs =
                [Graphs::All, Graphs::Named, Graphs::One(TermId::DEFAULT_GRAPH), Graphs::One(quads[0].graph)];
            for quad in quads.iter().step_by(17) {
                for bound in 0..8 {
                    for graphs in graphs {
                        let term = |bit: u32, term: TermId| (bound >> bit & 1 == 1).then_some(term);
                        let (subject, predicate, object) =
                            (term(0, quad.subject), term(1, quad.predicate), term(2, quad.object));
                        let pattern = Pattern { subject, predicate, object, graphs };
                        assert_eq!(view.count(&pattern), view.scan(&pattern).count() as u64, "{pattern:?}");
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

    #[test]
    fn fanouts_are_those_of_the_data() {
        let store = TripleStore::in_memory();
        for n in 0..200 {
            let triples = format!("<urn:s{}> <urn:p> {n} . <urn:s{n}> <urn:q> <urn:o>", n / 5);
            store.update(&format!("INSERT DATA {{ {triples} }}")).unwrap();
        }
        store.checkpoint().unwrap();
        let view = Arc::clone(&store.snapshot().source.view);
        let id = |iri: &str| {
            let node = oxrdf::NamedNode::new_unchecked(iri);
            store.engine.dictionary.lookup(node.as_ref().into()).unwrap()
        };
        let of = |quads, of_a_subject, of_an_object| Fanout { quads, of_a_subject, of_an_object };
        assert_eq!(view.fanout(id("urn:p")), of(200.0, 5.0, 1.0));
        assert_eq!(view.fanout(id("urn:q")), of(200.0, 1.0, 200.0));
        assert_eq!(view.fanout(TermId::new(Kind::NamedNode, 1 << 30)), of(0.0, 1.0, 1.0));
    }
}
