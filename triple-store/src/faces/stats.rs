//! Figures about a store.

use crate::faces::store::TripleStore;

/// Figures about a store.
///
/// # Examples
///
/// ```
/// let store = triple_store::TripleStore::in_memory();
/// store.update("INSERT DATA { GRAPH <urn:g> { <urn:s> <urn:p> 1 } }")?;
/// let stats = store.stats();
/// assert_eq!((stats.quads, stats.terms, stats.named_graphs), (1, 3, 1));
/// assert_eq!(stats.recent, 1);
/// # Ok::<_, triple_store::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Quads in all graphs together.
    pub quads: u64,
    /// Changes since the last checkpoint, which are held apart in memory.
    pub recent: u64,
    /// Terms of the dictionary; small literals are none, since they are their own ids.
    pub terms: u64,
    /// Named graphs that hold a quad.
    pub named_graphs: u64,
}

impl TripleStore {
    /// Figures about the store. O(named graphs).
    ///
    /// # Examples
    ///
    /// See [`Stats`].
    pub fn stats(&self) -> Stats {
        let snapshot = self.snapshot();
        Stats {
            quads: snapshot.len(),
            recent: snapshot.source.view.layers.iter().map(|layer| layer.delta.entries() as u64).sum(),
            terms: self.engine.dictionary.len(),
            named_graphs: snapshot.source.view.graphs().len() as u64,
        }
    }
}
