//! Quad patterns, and which order is read for which pattern.

use crate::terms::quad::{EncodedQuad, Key};
use crate::terms::term::TermId;

/// The graphs that a pattern matches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Graphs {
    All,
    /// Every graph except the default graph, as for `GRAPH ?g`.
    Named,
    One(TermId),
}

/// A quad pattern of ids.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pattern {
    pub(crate) subject: Option<TermId>,
    pub(crate) predicate: Option<TermId>,
    pub(crate) object: Option<TermId>,
    pub(crate) graphs: Graphs,
}

impl Pattern {
    pub(crate) const ALL: Self = Self { subject: None, predicate: None, object: None, graphs: Graphs::All };

    /// The pattern that one quad matches.
    pub(crate) const fn one(quad: EncodedQuad) -> Self {
        Self {
            subject: Some(quad.subject),
            predicate: Some(quad.predicate),
            object: Some(quad.object),
            graphs: Graphs::One(quad.graph),
        }
    }

    /// The pattern with any subject and object.
    pub(crate) const fn widened(self) -> Self {
        Self { subject: None, object: None, ..self }
    }

    pub(crate) fn matches(&self, quad: EncodedQuad) -> bool {
        let is = |wanted: Option<TermId>, found| wanted.is_none_or(|wanted| wanted == found);
        is(self.subject, quad.subject)
            && is(self.predicate, quad.predicate)
            && is(self.object, quad.object)
            && match self.graphs {
                Graphs::All => true,
                Graphs::Named => !quad.graph.is_default_graph(),
                Graphs::One(graph) => graph == quad.graph,
            }
    }

    /// The range of the default graph, if the pattern matches it.
    pub(crate) fn triples(&self) -> Option<Range<[u64; 3]>> {
        match self.graphs {
            Graphs::All | Graphs::One(TermId::DEFAULT_GRAPH) => Some(Range::new(self.triple())),
            Graphs::Named | Graphs::One(_) => None,
        }
    }

    /// The range of the named graphs, if the pattern matches any.
    pub(crate) fn quads(&self) -> Option<Range<[u64; 4]>> {
        let [s, p, o] = self.triple();
        match self.graphs {
            Graphs::One(TermId::DEFAULT_GRAPH) => None,
            Graphs::One(graph) => Some(Range::new([s, p, o, Some(graph.0)])),
            Graphs::All | Graphs::Named => Some(Range::new([s, p, o, None])),
        }
    }

    fn triple(&self) -> [Option<u64>; 3] {
        [self.subject, self.predicate, self.object].map(|term| term.map(|id| id.0))
    }
}

/// The keys of one order that may match a pattern: a range, and the columns that must be compared for each key in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range<K> {
    pub(crate) order: usize,
    /// The bounds, in the arrangement of `order`, both inclusive.
    pub(crate) low: K,
    pub(crate) high: K,
    pub(crate) subject: Option<u64>,
    /// Bound columns after the first unbound one, by their position in the order.
    rest: [Option<u64>; 4],
    filters: bool,
}

impl<K: Key> Range<K> {
    /// The range in the order that begins with the most bound columns.
    pub(crate) fn new(bound: impl AsRef<[Option<u64>]>) -> Self {
        let bound = bound.as_ref();
        let prefix = |order: usize| K::ORDERS[order].iter().take_while(|c| bound[**c].is_some()).count();
        let order = (0..K::ORDERS.len()).rev().max_by_key(|order| prefix(*order)).unwrap_or(0);
        Self::in_order(bound, order)
    }

    /// The range of the same pattern in the order that is the next best.
    pub(crate) fn in_another_order(&self) -> Self {
        let mut bound = [None; 4];
        for (place, column) in K::ORDERS[self.order].iter().enumerate() {
            let (low, high) = (self.low.columns()[place], self.high.columns()[place]);
            bound[*column] = if low == high { Some(low) } else { self.rest[place] };
        }
        let others = (0..K::ORDERS.len()).filter(|order| *order != self.order);
        let ranges = others.map(|order| Self::in_order(&bound[..self.low.columns().len()], order));
        let prefix = |range: &Self| {
            range.low.columns().iter().zip(range.high.columns()).filter(|(a, b)| a == b).count()
        };
        ranges.max_by_key(prefix).unwrap_or(*self)
    }

    fn in_order(bound: &[Option<u64>], order: usize) -> Self {
        let prefix = K::ORDERS[order].iter().take_while(|column| bound[**column].is_some()).count();
        let (mut low, mut high, mut rest) = (K::MIN, K::MAX, [None; 4]);
        for (place, column) in K::ORDERS[order].iter().enumerate() {
            let Some(value) = bound[*column] else { continue };
            if place < prefix {
                low.columns_mut()[place] = value;
                high.columns_mut()[place] = value;
            } else {
                rest[place] = Some(value);
            }
        }
        Self { order, low, high, subject: bound[0], rest, filters: rest != [None; 4] }
    }

    /// All keys, in the given order.
    pub(crate) fn everything(order: usize) -> Self {
        Self { order, low: K::MIN, high: K::MAX, subject: None, rest: [None; 4], filters: false }
    }

    /// The range of one key, in the first order.
    pub(crate) fn exactly(key: K) -> Self {
        Self {
            order: 0,
            low: key,
            high: key,
            subject: Some(key.columns()[0]),
            rest: [None; 4],
            filters: false,
        }
    }

    /// Whether the range may contain keys that do not match the pattern.
    pub(crate) fn filters(&self) -> bool {
        self.filters
    }

    /// Whether a key of the range, in the arrangement of its order, matches the pattern.
    pub(crate) fn accepts(&self, arranged: &K) -> bool {
        !self.filters
            || arranged
                .columns()
                .iter()
                .zip(&self.rest)
                .all(|(value, wanted)| wanted.is_none_or(|w| w == *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests every pattern over three values for each column against every key. The range and its filter must accept
    /// exactly the keys that match. A filter may be needed only if no order begins with the pattern's bound columns.
    fn ranges_are_exact<K: Key>(width: usize, make: impl Fn(&[u64]) -> K, filtered: &[&[usize]]) {
        let digits = |mut n: usize, base: usize| -> Vec<usize> {
            (0..width)
                .map(|_| {
                    let digit = n % base;
                    n /= base;
                    digit
                })
                .collect()
        };
        for pattern in 0..4usize.pow(width as u32) {
            let bound: Vec<_> = digits(pattern, 4).iter().map(|d| (*d > 0).then_some(*d as u64)).collect();
            let range = Range::<K>::new(&bound);
            for key in 0..3usize.pow(width as u32) {
                let columns: Vec<_> = digits(key, 3).iter().map(|d| *d as u64 + 1).collect();
                let arranged = make(&columns).arrange(range.order);
                let expected = bound.iter().zip(&columns).all(|(b, c)| b.is_none_or(|b| b == *c));
                let found = range.low <= arranged && arranged <= range.high && range.accepts(&arranged);
                assert_eq!(found, expected, "{bound:?} {columns:?}");
                let other = range.in_another_order();
                let arranged = make(&columns).arrange(other.order);
                let found = other.low <= arranged && arranged <= other.high && other.accepts(&arranged);
                assert!(found == expected && other.order != range.order, "{bound:?} {columns:?}");
            }
            let columns: Vec<_> = (0..width).filter(|c| bound[*c].is_some()).collect();
            assert_eq!(range.filters, filtered.contains(&&*columns), "{columns:?}");
        }
    }

    #[test]
    fn every_triple_pattern_is_one_range() {
        ranges_are_exact::<[u64; 3]>(3, |c| [c[0], c[1], c[2]], &[]);
    }

    #[test]
    fn every_quad_pattern_is_one_range_except_a_graph_after_an_unbound_column() {
        let filtered: &[&[usize]] = &[&[1, 3], &[2, 3], &[1, 2, 3], &[0, 2, 3]];
        ranges_are_exact::<[u64; 4]>(4, |c| [c[0], c[1], c[2], c[3]], filtered);
    }
}
