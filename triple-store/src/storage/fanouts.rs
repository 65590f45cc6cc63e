//! Statistics of the predicates of a run, for the query planner.

use crate::storage::run::{Order, Run, Stored};
use crate::terms::pattern::{Pattern, Range};
use crate::terms::term::TermId;
use parking_lot::Mutex;
use std::collections::HashMap;

/// How many quads are sampled to estimate how many others share their subject or object.
const SAMPLE: u64 = 24;

/// The quads of a predicate in a run, and how many of them share a subject or an object with one of them, on average.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Fanout {
    pub(crate) quads: f64,
    pub(crate) of_a_subject: f64,
    pub(crate) of_an_object: f64,
}

/// The statistics of predicates. Each is computed when a query first needs it.
#[derive(Debug, Default)]
pub(crate) struct Fanouts(Mutex<HashMap<TermId, Fanout, ahash::RandomState>>);

impl Run {
    /// The number of quads in the ranges of a pattern, including those that their filters reject.
    pub(crate) fn count(&self, pattern: &Pattern) -> u64 {
        pattern.triples().map_or(0, |range| span(self, &range))
            + pattern.quads().map_or(0, |range| span(self, &range))
    }

    /// The statistics of a predicate. The first call counts and samples its quads in the run.
    pub(crate) fn fanout(&self, predicate: TermId) -> Fanout {
        let mut known = self.fanouts.0.lock();
        *known.entry(predicate).or_insert_with(|| {
            let pattern = Pattern { predicate: Some(predicate), ..Pattern::ALL };
            let triples = pattern.triples().map(|range| sample(self, &range));
            let named = pattern.quads().map(|range| sample(self, &range));
            let [subjects, objects, drawn] = [triples, named]
                .into_iter()
                .flatten()
                .fold([0; 3], |sum, one| [sum[0] + one[0], sum[1] + one[1], sum[2] + one[2]]);
            let mean = |sum: u64| if drawn == 0 { 1.0 } else { sum as f64 / drawn as f64 };
            let quads = self.count(&pattern) as f64;
            Fanout { quads, of_a_subject: mean(subjects), of_an_object: mean(objects) }
        })
    }
}

fn span<K: Stored>(run: &Run, range: &Range<K>) -> u64 {
    K::sorted(run).orders[range.order].span(range)
}

/// Samples keys of a range evenly. Returns the sum of the numbers of keys that share a subject with them, the same
/// for objects, and the number of samples.
fn sample<K: Stored>(run: &Run, range: &Range<K>) -> [u64; 3] {
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
    use crate::terms::term::Kind;
    use std::sync::Arc;

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
        assert_eq!(view.base.fanout(id("urn:p")), of(200.0, 5.0, 1.0));
        assert_eq!(view.base.fanout(id("urn:q")), of(200.0, 1.0, 200.0));
        assert_eq!(view.base.fanout(TermId::new(Kind::NamedNode, 1 << 30)), of(0.0, 1.0, 1.0));
    }
}
