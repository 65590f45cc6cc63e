//! Encoded quads, and their keys in the orders.

use crate::terms::term::{Kind, TermId};
use std::fmt::Debug;

/// A quad of ids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct EncodedQuad {
    pub(crate) subject: TermId,
    pub(crate) predicate: TermId,
    pub(crate) object: TermId,
    pub(crate) graph: TermId,
}

impl EncodedQuad {
    pub(crate) const fn terms(self) -> [TermId; 4] {
        [self.subject, self.predicate, self.object, self.graph]
    }

    /// Whether each term is of a kind that is allowed in its position.
    pub(crate) fn is_well_formed(self) -> bool {
        let node = |id: TermId| matches!(id.kind(), Some(Kind::NamedNode | Kind::BlankNode));
        node(self.subject)
            && self.predicate.kind() == Some(Kind::NamedNode)
            && !matches!(self.object.kind(), None | Some(Kind::DefaultGraph | Kind::Local))
            && (self.graph.is_default_graph() || node(self.graph))
    }

    pub(crate) const fn key(self) -> QuadKey {
        let triple = [self.subject.0, self.predicate.0, self.object.0];
        if self.graph.is_default_graph() {
            QuadKey::Triple(triple)
        } else {
            QuadKey::Named([triple[0], triple[1], triple[2], self.graph.0])
        }
    }
}

/// A change to one quad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) quad: EncodedQuad,
    pub(crate) adds: bool,
}

/// The key of a quad in its orders. Quads of the default graph have three columns, so that a store of triples has no
/// memory cost for the fourth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QuadKey {
    Triple([u64; 3]),
    Named([u64; 4]),
}

/// The number of a commit in the order of commits. 0 is before all commits.
pub(crate) type Seq = u64;

/// The order of named quads that begins with the graph.
pub(crate) const GRAPH_FIRST: usize = 3;

/// Columns of numbers, sorted by the first, then the second, and so on.
pub(crate) trait Columns: Copy + Ord + Debug + Send + Sync + 'static {
    const MIN: Self;
    const MAX: Self;

    fn columns(&self) -> &[u64];
    fn columns_mut(&mut self) -> &mut [u64];
}

impl<const N: usize> Columns for [u64; N] {
    const MIN: Self = [0; N];
    const MAX: Self = [u64::MAX; N];

    fn columns(&self) -> &[u64] {
        self
    }

    fn columns_mut(&mut self) -> &mut [u64] {
        self
    }
}

/// The columns of a quad, subject first, and the orders in which they are kept sorted.
pub(crate) trait Key: Columns {
    /// For each order, the column at each position. The first order is the identity.
    const ORDERS: &'static [&'static [usize]];

    fn to_quad(self) -> EncodedQuad;

    /// This key with its columns in the sequence of `order`.
    fn arrange(self, order: usize) -> Self {
        let mut arranged = self;
        for (place, column) in Self::ORDERS[order].iter().enumerate() {
            arranged.columns_mut()[place] = self.columns()[*column];
        }
        arranged
    }

    /// The inverse of [`arrange`](Self::arrange).
    fn restore(self, order: usize) -> Self {
        let mut restored = self;
        for (place, column) in Self::ORDERS[order].iter().enumerate() {
            restored.columns_mut()[*column] = self.columns()[place];
        }
        restored
    }
}

impl Key for [u64; 3] {
    const ORDERS: &'static [&'static [usize]] = &[&[0, 1, 2], &[1, 2, 0], &[2, 0, 1]]; // SPO POS OSP

    fn to_quad(self) -> EncodedQuad {
        let [subject, predicate, object] = self.map(TermId);
        EncodedQuad { subject, predicate, object, graph: TermId::DEFAULT_GRAPH }
    }
}

impl Key for [u64; 4] {
    const ORDERS: &'static [&'static [usize]] = &[&[0, 1, 2, 3], &[1, 2, 0, 3], &[2, 0, 1, 3], &[3, 0, 1, 2]]; // SPOG POSG OSPG GSPO

    fn to_quad(self) -> EncodedQuad {
        let [subject, predicate, object, graph] = self.map(TermId);
        EncodedQuad { subject, predicate, object, graph }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders_are_permutations<K: Key + std::fmt::Debug>(key: K) {
        for order in 0..K::ORDERS.len() {
            assert_eq!(key.arrange(order).restore(order), key);
            let mut columns = K::ORDERS[order].to_vec();
            columns.sort_unstable();
            assert!(columns.into_iter().eq(0..key.columns().len()));
        }
        assert_eq!(key.arrange(0), key);
    }

    #[test]
    fn every_order_can_be_undone() {
        orders_are_permutations([1, 2, 3]);
        orders_are_permutations([1, 2, 3, 4]);
        assert_eq!([1, 2, 3, 4].arrange(1), [2, 3, 1, 4], "POSG");
        assert_eq!([1, 2, 3, 4].arrange(3), [4, 1, 2, 3], "GSPO");
    }
}
