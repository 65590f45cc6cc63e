//! `TripleStore`, the type that users call.

use crate::documents::nesting;
use crate::engine::core::Engine;
use crate::engine::options::TripleStoreOptions;
use crate::engine::source::QuadIter;
use crate::error::Result;
use crate::faces::snapshot::Snapshot;
use crate::storage::journal::Journal;
use crate::terms::quad::Change;
use oxrdf::{GraphNameRef, NamedNodeRef, NamedOrBlankNodeRef, Quad, QuadRef, TermRef};
use std::path::Path;
use std::sync::Arc;

/// An RDF quad store.
///
/// It is a handle: clones share one store, and may be used from any number of threads. Every write is one transaction.
/// When the call returns, the write is complete, durable (see [`Durability`](crate::Durability)), and visible to every
/// later read.
///
/// # Fairness
///
/// Writers of subjects on different stripes don't wait for each other, and one sync of the disk serves many of them.
/// Readers never wait for writers. Writers of one stripe are served in no particular order.
///
/// # Examples
///
/// ```
/// use oxrdf::{GraphName, NamedNode, Quad};
/// use triple_store::TripleStore;
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("data.vde");
/// let alice = NamedNode::new("http://example.com/alice")?;
/// let knows = NamedNode::new("http://xmlns.com/foaf/0.1/knows")?;
/// let bob = NamedNode::new("http://example.com/bob")?;
///
/// let store = TripleStore::open(&path)?;
/// store.insert(&Quad::new(alice.clone(), knows, bob, GraphName::DefaultGraph))?;
/// drop(store);
///
/// let store = TripleStore::open(&path)?;
/// for quad in store.quads_for_pattern(Some(alice.as_ref().into()), None, None, None) {
///     println!("{}", quad?);
/// }
/// assert_eq!(store.len(), 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TripleStore {
    pub(crate) engine: Arc<Engine>,
}

/// The result of an update.
///
/// # Examples
///
/// ```
/// let store = triple_store::TripleStore::in_memory();
/// let updated = store.update("INSERT DATA { <urn:s> <urn:p> 1, 2 }; DELETE DATA { <urn:s> <urn:p> 2 }")?;
/// assert_eq!((updated.added, updated.removed), (1, 0));
/// # Ok::<_, triple_store::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Updated {
    /// The number of quads that were added.
    pub added: u64,
    /// The number of quads that were removed.
    pub removed: u64,
}

impl TripleStore {
    /// Opens the store in this file with the default [options](TripleStoreOptions). Creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// As [`TripleStoreOptions::open`].
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir()?;
    /// let store = triple_store::TripleStore::open(dir.path().join("data.vde"))?;
    /// assert!(store.is_empty());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        TripleStoreOptions::new().open(path)
    }

    /// Creates an empty store in memory, with the default [options](TripleStoreOptions).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(triple_store::TripleStore::in_memory().is_empty());
    /// ```
    pub fn in_memory() -> Self {
        TripleStoreOptions::new().in_memory()
    }

    pub(crate) fn with_empty_journal(options: &TripleStoreOptions) -> Self {
        Self::with_journal(options, Journal::in_memory()).expect("an empty journal has no errors")
    }

    pub(crate) fn with_journal(options: &TripleStoreOptions, journal: Journal) -> Result<Self> {
        Ok(Self { engine: Arc::new(Engine::new(options, journal)?) })
    }

    /// Adds a quad. Returns whether it is new. Holds one stripe.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`](crate::Error::Storage) or [`Error::Failed`](crate::Error::Failed) if it can't be made
    /// durable: readers never see it then. [`Error::TooDeep`](crate::Error::TooDeep) if it has more than 64 triple
    /// terms inside each other.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
    ///
    /// let ex = NamedNodeRef::new("http://example.com/")?;
    /// let store = triple_store::TripleStore::in_memory();
    /// let quad = QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph);
    /// assert!(store.insert(quad)?);
    /// assert!(!store.insert(quad)?, "it was there");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert<'a>(&self, quad: impl Into<QuadRef<'a>>) -> Result<bool> {
        // The view holds its epoch, without a write to shared memory.
        let _terms = self.engine.latest();
        let quad = self.engine.dictionary.intern_quad(nesting::checked(quad.into())?)?;
        Ok(self.engine.commit(vec![Change { quad, adds: true }])?.added == 1)
    }

    /// Adds quads as one transaction. Returns how many are new. Encodes and sorts them first, then takes the stripes
    /// of their subjects in ascending order.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert): none of the quads is added then.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{GraphName, Literal, NamedNode, Quad};
    ///
    /// let ex = NamedNode::new("http://example.com/")?;
    /// let quad = |n: i32| Quad::new(ex.clone(), ex.clone(), Literal::from(n), GraphName::DefaultGraph);
    /// let store = triple_store::TripleStore::in_memory();
    /// assert_eq!(store.extend((0..1000).map(quad))?, 1000);
    /// assert_eq!(store.extend((999..1001).map(quad))?, 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn extend(&self, quads: impl IntoIterator<Item = Quad>) -> Result<u64> {
        let _terms = self.engine.hold_terms();
        let intern = |quad: Quad| self.engine.dictionary.intern_quad(nesting::checked(quad.as_ref())?);
        self.engine.add_all(quads.into_iter().map(intern).collect::<Result<_>>()?)
    }

    /// Removes a quad. Returns whether the store had it. Holds one stripe.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert): the quad is not removed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
    ///
    /// let ex = NamedNodeRef::new("http://example.com/")?;
    /// let store = triple_store::TripleStore::in_memory();
    /// let quad = QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph);
    /// store.insert(quad)?;
    /// assert!(store.remove(quad)?);
    /// assert!(!store.remove(quad)?, "it was gone");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove<'a>(&self, quad: impl Into<QuadRef<'a>>) -> Result<bool> {
        let _terms = self.engine.latest();
        // A term without an id is in no quad, because a term gets its id before its first quad is added.
        let Some(quad) = self.engine.dictionary.lookup_quad(quad.into())? else { return Ok(false) };
        Ok(self.engine.commit(vec![Change { quad, adds: false }])?.removed == 1)
    }

    /// Removes every quad that matches, as one transaction. `None` matches everything. Returns how many were removed.
    ///
    /// With a bound subject it holds one stripe, otherwise all of them. So no matching quad is added between the
    /// search and the removal.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert): no quad is removed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
    ///
    /// let ex = NamedNodeRef::new("http://example.com/")?;
    /// let store = triple_store::TripleStore::in_memory();
    /// store.insert(QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph))?;
    /// store.insert(QuadRef::new(ex, ex, ex, ex))?;
    /// assert_eq!(store.remove_matching(None, Some(ex), None, None)?, 2);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_matching(
        &self,
        subject: Option<NamedOrBlankNodeRef<'_>>,
        predicate: Option<NamedNodeRef<'_>>,
        object: Option<TermRef<'_>>,
        graph_name: Option<GraphNameRef<'_>>,
    ) -> Result<u64> {
        let _terms = self.engine.hold_terms();
        let Some(pattern) = self.engine.pattern(subject, predicate, object, graph_name)? else {
            return Ok(0);
        };
        Ok(self.engine.remove_matching(&pattern)?.removed)
    }

    /// Removes every quad of a graph, as one transaction. Returns how many were removed.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
    ///
    /// let ex = NamedNodeRef::new("http://example.com/")?;
    /// let store = triple_store::TripleStore::in_memory();
    /// store.insert(QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph))?;
    /// store.insert(QuadRef::new(ex, ex, ex, ex))?;
    /// assert_eq!(store.clear(GraphNameRef::DefaultGraph)?, 1);
    /// assert_eq!(store.len(), 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear<'a>(&self, graph_name: impl Into<GraphNameRef<'a>>) -> Result<u64> {
        self.remove_matching(None, None, None, Some(graph_name.into()))
    }

    /// A consistent view of everything acknowledged so far.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(triple_store::TripleStore::in_memory().snapshot().is_empty());
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(&self.engine)
    }

    /// Whether the store has the quad.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::contains`].
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
    ///
    /// let ex = NamedNodeRef::new("http://example.com/")?;
    /// let store = triple_store::TripleStore::in_memory();
    /// assert!(!store.contains(QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph))?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains<'a>(&self, quad: impl Into<QuadRef<'a>>) -> Result<bool> {
        self.snapshot().contains(quad)
    }

    /// The quads that match now: [`Snapshot::quads_for_pattern`] of a new snapshot.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::GraphNameRef;
    ///
    /// let store = triple_store::TripleStore::in_memory();
    /// let default_graph = store.quads_for_pattern(None, None, None, Some(GraphNameRef::DefaultGraph));
    /// assert_eq!(default_graph.count(), 0);
    /// ```
    pub fn quads_for_pattern(
        &self,
        subject: Option<NamedOrBlankNodeRef<'_>>,
        predicate: Option<NamedNodeRef<'_>>,
        object: Option<TermRef<'_>>,
        graph_name: Option<GraphNameRef<'_>>,
    ) -> QuadIter {
        self.snapshot().quads_for_pattern(subject, predicate, object, graph_name)
    }

    /// The number of quads in all graphs. O(1).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(triple_store::TripleStore::in_memory().len(), 0);
    /// ```
    pub fn len(&self) -> u64 {
        self.engine.commits.now().1
    }

    /// Whether there are no quads.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(triple_store::TripleStore::in_memory().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Merges the recent quads into a new compressed run, and truncates the journal. The quads then take less memory,
    /// and opening the store does not have to replay them. Writers and readers keep working, and snapshots don't
    /// change. O(quads).
    ///
    /// The store makes checkpoints by itself: see [`TripleStoreOptions::checkpoint_after`].
    ///
    /// If many quads are gone since it was done last, the terms that no quad has any more are removed after a checkpoint: in the
    /// background, or without a background thread before this returns. They stay while a snapshot, query or write is there that
    /// was begun before, and a later checkpoint removes them then.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`](crate::Error::Storage) or [`Error::Failed`](crate::Error::Failed): no data is lost then.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStore::in_memory();
    /// store.update("INSERT DATA { <urn:s> <urn:p> 1, 2, 3 }")?;
    /// store.checkpoint()?;
    /// assert_eq!(store.len(), 3);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn checkpoint(&self) -> Result<()> {
        self.engine.checkpoint()
    }

    /// Copies the current state of the store to a new file, which can be opened as a store. Writers and readers keep
    /// working.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`](crate::Error::Storage) if the file exists or can't be written,
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a store in memory.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir()?;
    /// let store = triple_store::TripleStore::open(dir.path().join("data.vde"))?;
    /// store.update("INSERT DATA { <urn:s> <urn:p> 1 }")?;
    /// store.backup(dir.path().join("copy.vde"))?;
    /// assert_eq!(triple_store::TripleStore::open(dir.path().join("copy.vde"))?.len(), 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        self.engine.commits.check()?;
        self.engine.journal.backup(path.as_ref())
    }

    /// Waits until everything acknowledged before is durable. It is needed only if writes are
    /// [buffered](crate::Durability::Buffered).
    ///
    /// # Errors
    ///
    /// [`Error::Storage`](crate::Error::Storage) or [`Error::Failed`](crate::Error::Failed) if it can't be made
    /// durable.
    ///
    /// # Examples
    ///
    /// ```
    /// triple_store::TripleStore::in_memory().flush()?;
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.engine.flush()
    }
}
