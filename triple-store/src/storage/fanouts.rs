//! Statistics of the predicates of a run, for the query planner.

use crate::error::Result;
use crate::storage::order::Order;
use crate::storage::run::{Run, Stored};
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

impl Fanout {
    pub(crate) const UNKNOWN: Self = Self { quads: 0.0, of_a_subject: 1.0, of_an_object: 1.0 };
}

/// The statistics of predicates. Each is computed when a query first needs it.
#[derive(Debug, Default)]
pub(crate) struct Fanouts(Mutex<HashMap<TermId, Fanout, ahash::RandomState>>);

impl Run {
    /// The number of quads in the ranges of a pattern, including those that their filters reject.
    pub(crate) fn count(&self, pattern: &Pattern) -> Result<u64> {
        let triples = pattern.triples().map_or(Ok(0), |range| span(self, &range))?;
        Ok(triples + pattern.quads().map_or(Ok(0), |range| span(self, &range))?)
    }

    /// The statistics of a predicate. The first call counts and samples its quads in the run.
    pub(crate) fn fanout(&self, predicate: TermId) -> Result<Fanout> {
        let known = self.fanouts.0.lock().get(&predicate).copied();
        if let Some(fanout) = known {
            return Ok(fanout);
        }
        // The lock is not held over reads of the disk. Two threads that count at the same time find the same.
        let pattern = Pattern { predicate: Some(predicate), ..Pattern::ALL };
        let mut sums = [0; 3];
        if let Some(range) = pattern.triples() {
            sample(self, &range, &mut sums)?;
        }
        if let Some(range) = pattern.quads() {
            sample(self, &range, &mut sums)?;
        }
        let [subjects, objects, drawn] = sums;
        let mean = |sum: u64| if drawn == 0 { 1.0 } else { sum as f64 / drawn as f64 };
        let quads = self.count(&pattern)? as f64;
        let fanout = Fanout { quads, of_a_subject: mean(subjects), of_an_object: mean(objects) };
        self.fanouts.0.lock().insert(predicate, fanout);
        Ok(fanout)
    }
}

fn span<K: Stored>(run: &Run, range: &Range<K>) -> Result<u64> {
    K::sorted(run).orders[range.order].span(range)
}

/// Samples keys of a range evenly. Adds the sum of the numbers of keys that share a subject with them, the same
/// for objects, and the number of samples.
fn sample<K: Stored>(run: &Run, range: &Range<K>, sums: &mut [u64; 3]) -> Result<()> {
    let order: &Order<K> = &K::sorted(run).orders[range.order];
    let (first, keys) = (order.rank(range.low)?, order.span(range)?);
    for number in 0..keys.min(SAMPLE) {
        let place = first + number * keys / keys.min(SAMPLE);
        let Some(key) = order.key_at(place)? else { continue };
        let key = key.restore(range.order);
        let [subject, predicate, object] = [0, 1, 2].map(|column| Some(key.columns()[column]));
        sums[0] += span::<K>(run, &Range::new([subject, predicate, None, None]))?;
        sums[1] += span::<K>(run, &Range::new([None, predicate, object, None]))?;
        sums[2] += 1;
    }
    Ok(())
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
            store.engine.dictionary.lookup(node.as_ref().into()).unwrap().unwrap()
        };
        let of = |quads, of_a_subject, of_an_object| Fanout { quads, of_a_subject, of_an_object };
        assert_eq!(view.base.fanout(id("urn:p")).unwrap(), of(200.0, 5.0, 1.0));
        assert_eq!(view.base.fanout(id("urn:q")).unwrap(), of(200.0, 1.0, 200.0));
        assert_eq!(view.base.fanout(TermId::new(Kind::NamedNode, 1 << 30)).unwrap(), of(0.0, 1.0, 1.0));
    }
}
