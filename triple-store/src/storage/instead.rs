//! Reading another order where a chunk of the right one can't be read. Every quad is in each order of its width.
//!
//! The other order takes longer, because fewer of its leading columns are bound. If it can't be read either, that is an
//! error.

use crate::error::Result;
use crate::storage::run::Sorted;
use crate::terms::pattern::Range;
use crate::terms::quad::{GRAPH_FIRST, Key};
use std::collections::BTreeSet;
use std::ops::Bound;

/// The rest of a range, in another order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instead<K> {
    range: Range<K>,
    from: Bound<K>,
    /// How far the right order was read.
    after: Bound<K>,
}

impl<K: Key> Sorted<K> {
    /// As [`Order::rows`](crate::storage::order::Order::rows), in the order of the range or in another one. Fewer rows than
    /// `limit` need not be the end.
    #[inline]
    pub(crate) fn rows(
        &self,
        range: &Range<K>,
        from: Bound<K>,
        instead: &mut Option<Instead<K>>,
        limit: usize,
        mut row: impl FnMut(K),
    ) -> Result<Option<Bound<K>>> {
        if let Some(instead) = instead {
            return self.rows_instead(range, instead, limit, row);
        }
        let mut after = from;
        let mut read = |key| {
            after = Bound::Excluded(key);
            row(key);
        };
        self.orders[range.order].rows(range, from, limit, &mut read).or_else(|_| {
            let range = range.in_another_order();
            *instead = Some(Instead { range, from: Bound::Included(range.low), after });
            Ok(Some(after))
        })
    }

    #[cold]
    fn rows_instead(
        &self,
        range: &Range<K>,
        instead: &mut Instead<K>,
        limit: usize,
        mut row: impl FnMut(K),
    ) -> Result<Option<Bound<K>>> {
        let Instead { range: other, from, after } = *instead;
        let next = self.orders[other.order].rows(&other, from, limit, |key| {
            let key = key.restore(other.order).arrange(range.order);
            let is_left = match after {
                Bound::Included(first) => key >= first,
                Bound::Excluded(last) => key > last,
                Bound::Unbounded => true,
            };
            if is_left {
                row(key);
            }
        })?;
        Ok(next.map(|next| {
            instead.from = next;
            after
        }))
    }

    pub(crate) fn contains(&self, key: K) -> Result<bool> {
        let mut found = self.orders[0].holds(key);
        for (number, order) in self.orders.iter().enumerate().skip(1) {
            if found.is_ok() {
                break;
            }
            found = order.holds(key.arrange(number));
        }
        found
    }
}

impl Sorted<[u64; 4]> {
    /// Adds the graphs. The search skips from one graph to the next, so it takes O(graphs).
    pub(crate) fn graphs(&self, graphs: &mut BTreeSet<u64>) -> Result<()> {
        self.skip_through_graphs(graphs).or_else(|_| {
            let (everything, mut instead) = (Range::everything(0), None);
            let mut from = Some(Bound::Included([0; 4]));
            while let Some(bound) = from {
                from = self.rows(&everything, bound, &mut instead, AT_ONCE, |[.., graph]| {
                    graphs.insert(graph);
                })?;
            }
            Ok(())
        })
    }

    fn skip_through_graphs(&self, graphs: &mut BTreeSet<u64>) -> Result<()> {
        let order = &self.orders[GRAPH_FIRST];
        let everything = Range::everything(GRAPH_FIRST);
        let (mut from, mut last) = (Bound::Included([0; 4]), None);
        while order.rows(&everything, from, 1, |[graph, ..]| last = Some(graph))?.is_some() {
            let Some(graph) = last else { break };
            graphs.insert(graph);
            from = Bound::Excluded([graph, u64::MAX, u64::MAX, u64::MAX]);
        }
        Ok(())
    }
}

/// The rows that are read at once.
const AT_ONCE: usize = 1024;
