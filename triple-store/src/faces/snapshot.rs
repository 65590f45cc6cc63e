//! Consistent reads.

use crate::engine::core::Engine;
use crate::engine::source::{QuadIter, Source};
use crate::error::Result;
use crate::terms::term::TermId;
use oxrdf::{GraphNameRef, NamedNodeRef, NamedOrBlankNode, NamedOrBlankNodeRef, Quad, QuadRef, TermRef};
use std::sync::Arc;

/// The state of a store at one moment: all commits up to some point, and none after it.
///
/// A snapshot neither blocks writers nor waits for them, and it never changes. While it exists, the memory of the
/// quads in it is not freed, and the store's file stays open and locked. Cloning is cheap.
///
/// # Examples
///
/// ```
/// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
/// use triple_store::TripleStore;
///
/// let ex = NamedNodeRef::new("http://example.com/")?;
/// let store = TripleStore::in_memory();
/// let before = store.snapshot();
/// store.insert(QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph))?;
/// assert_eq!((before.len(), store.snapshot().len()), (0, 1));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) source: Source,
    quads: u64,
}

impl Snapshot {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        let (view, quads) = engine.snapshot();
        Self { source: Source { engine: Arc::clone(engine), view: Arc::new(view), reads: None }, quads }
    }

    /// The number of quads in all graphs. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(triple_store::TripleStore::in_memory().snapshot().len(), 0);
    /// ```
    pub fn len(&self) -> u64 {
        self.quads
    }

    /// Whether there are no quads.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(triple_store::TripleStore::in_memory().snapshot().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.quads == 0
    }

    /// Whether the store has the quad.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`](crate::Error::Storage) or [`Error::Corrupt`](crate::Error::Corrupt) if what it reads is damaged.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
    ///
    /// let ex = NamedNodeRef::new("http://example.com/")?;
    /// let snapshot = triple_store::TripleStore::in_memory().snapshot();
    /// assert!(!snapshot.contains(QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph))?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains<'a>(&self, quad: impl Into<QuadRef<'a>>) -> Result<bool> {
        self.source.contains_quad(quad.into())
    }

    /// The quads that match the pattern, in no particular order. `None` matches every term, and every graph including
    /// the default graph. The scan reads one range of one sorted index.
    ///
    /// # Examples
    ///
    /// ```
    /// let snapshot = triple_store::TripleStore::in_memory().snapshot();
    /// assert_eq!(snapshot.quads_for_pattern(None, None, None, None).count(), 0);
    /// ```
    pub fn quads_for_pattern(
        &self,
        subject: Option<NamedOrBlankNodeRef<'_>>,
        predicate: Option<NamedNodeRef<'_>>,
        object: Option<TermRef<'_>>,
        graph_name: Option<GraphNameRef<'_>>,
    ) -> QuadIter {
        self.source.quads_for_pattern(subject, predicate, object, graph_name)
    }

    /// The named graphs that are not empty. O(named graphs).
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) if the store is damaged.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStore::in_memory();
    /// store.update("INSERT DATA { GRAPH <urn:g> { <urn:s> <urn:p> 1, 2 } }")?;
    /// assert_eq!(store.snapshot().named_graphs()?[0].to_string(), "<urn:g>");
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn named_graphs(&self) -> Result<Vec<NamedOrBlankNode>> {
        let graphs = self.source.view.graphs()?.into_iter();
        graphs.map(|graph| self.source.engine.dictionary.resolve_subject(TermId(graph))).collect()
    }

    /// Whether the graph exists: it is the default graph, or it is not empty.
    #[cfg(feature = "server")]
    pub(crate) fn has_graph(&self, graph: GraphNameRef<'_>) -> Result<bool> {
        if graph.is_default_graph() {
            return Ok(true);
        }
        Ok(self.quads_for_pattern(None, None, None, Some(graph)).next().transpose()?.is_some())
    }

    /// Every quad, in no particular order.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(triple_store::TripleStore::in_memory().snapshot().iter().count(), 0);
    /// ```
    pub fn iter(&self) -> QuadIter {
        self.quads_for_pattern(None, None, None, None)
    }
}

impl IntoIterator for &Snapshot {
    type Item = Result<Quad>;
    type IntoIter = QuadIter;

    fn into_iter(self) -> QuadIter {
        self.iter()
    }
}
