//! The options of updates.

#[cfg(feature = "server")]
use std::sync::Arc;
use std::time::Duration;

use oxrdf::{GraphName, NamedNode, Term};
use spareval::{AggregateFunctionAccumulator, CancellationToken};
use spargebra::algebra::QueryDataset;

use crate::documents::remote::Remote;
#[cfg(feature = "server")]
use crate::sparql::memory::Memory;
use crate::sparql::query::QueryOptions;

/// The options of an update.
///
/// # Examples
///
/// ```
/// use triple_store::{Error, TripleStore, UpdateOptions};
///
/// let store = TripleStore::in_memory();
/// let options = UpdateOptions::new().most_changes(1);
/// let update = "INSERT DATA { <urn:s> <urn:p> 1, 2 }";
/// assert!(matches!(store.update_with(update, &options), Err(Error::TooManyChanges(1))));
/// assert!(store.is_empty());
/// # Ok::<_, Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until an update is run with them"]
pub struct UpdateOptions {
    pub(super) query: QueryOptions,
    pub(super) using: Option<QueryDataset>,
    pub(super) graph: Option<GraphName>,
    pub(super) most_changes: Option<usize>,
}

impl UpdateOptions {
    /// The defaults: no limits, no base IRI.
    ///
    /// # Examples
    ///
    /// See [`UpdateOptions`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the evaluation with [`Error::Cancelled`](crate::Error::Cancelled) after this time. Nothing is changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let options = triple_store::UpdateOptions::new().timeout(Duration::from_secs(10));
    /// triple_store::TripleStore::in_memory().update_with("DELETE WHERE { ?s ?p ?o }", &options)?;
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.query = self.query.timeout(timeout);
        self
    }

    /// Cancelling the token ends the evaluation. Nothing is changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{CancellationToken, Error, TripleStore, UpdateOptions};
    ///
    /// let token = CancellationToken::new();
    /// token.cancel();
    /// let options = UpdateOptions::new().cancellation(token);
    /// let result = TripleStore::in_memory().update_with("INSERT DATA { <urn:s> <urn:p> 1 }", &options);
    /// assert!(matches!(result, Err(Error::Cancelled)));
    /// ```
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.query = self.query.cancellation(token);
        self
    }

    /// Ends the evaluation with [`Error::TooMuchMemory`](crate::Error::TooMuchMemory) if it needs more than this many
    /// bytes: see [`QueryOptions::memory`]. Nothing is changed then. [`most_changes`](Self::most_changes) limits the
    /// changes themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::UpdateOptions::new().memory(1 << 30);
    /// triple_store::TripleStore::in_memory().update_with("DELETE WHERE { ?s ?p ?o }", &options)?;
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn memory(mut self, bytes: usize) -> Self {
        self.query = self.query.memory(bytes);
        self
    }

    /// Takes the memory of the evaluation from a budget that others share.
    #[cfg(feature = "server")]
    pub(crate) fn shared_memory(mut self, memory: &Arc<Memory>) -> Self {
        self.query = self.query.shared_memory(memory);
        self
    }

    /// Sets the dataset of every `WHERE`. The default graph is the union of `default_graphs`, and the named graphs
    /// are `named_graphs`. The SPARQL protocol passes the dataset of a request in this way. An update that names a
    /// dataset itself, by `USING` or `WITH`, is refused with [`Error::Unsupported`](crate::Error::Unsupported).
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::NamedNode;
    ///
    /// let store = triple_store::TripleStore::in_memory();
    /// store.update("INSERT DATA { GRAPH <urn:g> { <urn:s> <urn:p> 1 } }")?;
    /// let options = triple_store::UpdateOptions::new().dataset(vec![NamedNode::new("urn:g")?], vec![]);
    /// let updated = store.update_with("INSERT { ?s ?p 2 } WHERE { ?s ?p 1 }", &options)?;
    /// assert_eq!(updated.added, 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn dataset(mut self, default_graphs: Vec<NamedNode>, named_graphs: Vec<NamedNode>) -> Self {
        self.using = Some(QueryDataset { default: default_graphs, named: Some(named_graphs) });
        self
    }

    /// Makes this graph the default graph, for patterns and for writes. An update that may change another graph is
    /// refused with [`Error::Unsupported`](crate::Error::Unsupported), and so is one that names a dataset.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::NamedNode;
    ///
    /// let store = triple_store::TripleStore::in_memory();
    /// let options = triple_store::UpdateOptions::new().within(NamedNode::new("urn:g")?);
    /// store.update_with("INSERT DATA { <urn:s> <urn:p> 1 }", &options)?;
    /// assert!(store.update_with("CLEAR ALL", &options).is_err());
    /// assert_eq!(store.stats()?.named_graphs, 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn within(mut self, graph: impl Into<GraphName>) -> Self {
        self.graph = Some(graph.into());
        self
    }

    /// Lets the update call a function by this name: see [`QueryOptions::function`]. The update may be evaluated
    /// [several times](crate::TripleStore::update).
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{Literal, NamedNode};
    /// use triple_store::{TripleStore, UpdateOptions};
    ///
    /// let name = NamedNode::new("http://example.com/one")?;
    /// let options = UpdateOptions::new().function(name, |_| Some(Literal::from(1).into()));
    /// let update = "INSERT { <urn:s> <urn:p> ?o } WHERE { BIND(<http://example.com/one>() AS ?o) }";
    /// assert_eq!(TripleStore::in_memory().update_with(update, &options)?.added, 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn function(
        mut self,
        name: NamedNode,
        function: impl Fn(&[Term]) -> Option<Term> + Send + Sync + 'static,
    ) -> Self {
        self.query = self.query.function(name, function);
        self
    }

    /// Lets the update call an aggregate by this name: see [`QueryOptions::aggregate`].
    ///
    /// # Examples
    ///
    /// See [`QueryOptions::aggregate`].
    pub fn aggregate(
        mut self,
        name: NamedNode,
        new: impl Fn() -> Box<dyn AggregateFunctionAccumulator + Send + Sync> + Send + Sync + 'static,
    ) -> Self {
        self.query = self.query.aggregate(name, new);
        self
    }

    /// Lets `LOAD` and `SERVICE` send requests to other servers through this client. Documents are fetched before the
    /// transaction begins. A `SERVICE` is queried in the transaction, and again if the update is evaluated again because
    /// another writer changed what it had read.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use triple_store::{HttpClient, TripleStore, UpdateOptions};
    ///
    /// let options = UpdateOptions::new().remote(HttpClient::new());
    /// TripleStore::in_memory().update_with("LOAD <http://xmlns.com/foaf/spec/index.rdf>", &options)?;
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn remote(mut self, remote: impl Remote + 'static) -> Self {
        self.query = self.query.remote(remote);
        self
    }

    /// Resolves relative IRIs against this IRI.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::UpdateOptions::new().base_iri("http://example.com/");
    /// triple_store::TripleStore::in_memory().update_with("INSERT DATA { <s> <p> <o> }", &options)?;
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn base_iri(mut self, iri: impl Into<String>) -> Self {
        self.query = self.query.base_iri(iri);
        self
    }

    /// Refuses an update that changes more quads than this, with
    /// [`Error::TooManyChanges`](crate::Error::TooManyChanges). This limits the memory that it takes before its commit.
    ///
    /// # Examples
    ///
    /// See [`UpdateOptions`].
    pub fn most_changes(mut self, changes: usize) -> Self {
        self.most_changes = Some(changes);
        self
    }
}
