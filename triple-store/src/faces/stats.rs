//! Statistics of a store.

use crate::error::Result;
use crate::faces::store::TripleStore;

/// Statistics of a store.
///
/// # Examples
///
/// ```
/// let store = triple_store::TripleStore::in_memory();
/// store.update("INSERT DATA { GRAPH <urn:g> { <urn:s> <urn:p> 1 } }")?;
/// let stats = store.stats()?;
/// assert_eq!((stats.quads, stats.terms, stats.named_graphs), (1, 3, 1));
/// assert_eq!(stats.recent, 1);
/// # Ok::<_, triple_store::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The number of quads in all graphs.
    pub quads: u64,
    /// The number of changes since the last checkpoint. They are held separately in memory.
    pub recent: u64,
    /// The number of terms in the dictionary. Small literals are not in it, because they are encoded in their ids.
    pub terms: u64,
    /// The number of named graphs that are not empty.
    pub named_graphs: u64,
}

impl TripleStore {
    /// Statistics of the store. O(named graphs).
    ///
    /// # Errors
    ///
    /// As [`Snapshot::contains`](crate::Snapshot::contains).
    ///
    /// # Examples
    ///
    /// See [`Stats`].
    pub fn stats(&self) -> Result<Stats> {
        let snapshot = self.snapshot();
        Ok(Stats {
            quads: snapshot.len(),
            recent: snapshot.source.view.layers.iter().map(|layer| layer.delta.entries() as u64).sum(),
            terms: self.engine.dictionary.len(),
            named_graphs: snapshot.source.view.graphs()?.len() as u64,
        })
    }
}
