//! The options of queries.

use std::sync::Arc;
use std::time::Duration;

use oxrdf::{GraphName, NamedNode, NamedOrBlankNode, Term};
use spareval::{AggregateFunctionAccumulator, CancellationToken};

use crate::documents::remote::Remote;
use crate::sparql::custom::Custom;
#[cfg(feature = "server")]
use crate::sparql::memory::Memory;
use crate::sparql::meter::Budget;

/// The options of a query.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use triple_store::{QueryOptions, QueryResults, TripleStore};
///
/// let store = TripleStore::in_memory();
/// let options = QueryOptions::new().timeout(Duration::from_secs(10)).union_default_graph(true);
/// let results = store.query_with("ASK { ?s ?p ?o }", &options)?;
/// assert!(matches!(results, QueryResults::Boolean(false)));
/// # Ok::<_, triple_store::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "options do nothing until a query is run with them"]
pub struct QueryOptions {
    pub(super) timeout: Option<Duration>,
    pub(super) cancellation: Option<CancellationToken>,
    pub(super) base_iri: Option<String>,
    pub(super) union_default_graph: bool,
    pub(super) default_graphs: Option<Vec<GraphName>>,
    pub(super) named_graphs: Option<Vec<NamedOrBlankNode>>,
    pub(in crate::sparql) remote: Option<Arc<dyn Remote>>,
    pub(in crate::sparql) custom: Custom,
    pub(super) budget: Budget,
}

impl QueryOptions {
    /// The defaults: no limits of time and memory, no base IRI, the dataset that the query names.
    ///
    /// # Examples
    ///
    /// See [`QueryOptions`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the evaluation, including that of the results, with [`Error::Cancelled`](crate::Error::Cancelled) after
    /// this time. The time is checked after about every 1,000 terms that are read, joined, sorted or compared.
    ///
    /// # Examples
    ///
    /// See [`QueryOptions`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Cancelling the token ends the evaluation.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{CancellationToken, Error, QueryOptions, TripleStore};
    ///
    /// let token = CancellationToken::new();
    /// token.cancel();
    /// let options = QueryOptions::new().cancellation(token);
    /// let result = TripleStore::in_memory().query_with("ASK { ?s ?p ?o }", &options);
    /// assert!(matches!(result, Err(Error::Cancelled)));
    /// ```
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.cancellation = Some(token);
        self
    }

    /// Ends the evaluation with [`Error::TooMuchMemory`](crate::Error::TooMuchMemory) if it needs more than this many
    /// bytes for rows that are sorted, grouped, joined by hash or compared for duplicates, for computed terms and
    /// intermediate strings, and for the terms that paths reach. The count is an estimate. For most queries, it is
    /// right within a factor of two. Results that are read one by one take no memory, except the triples of a
    /// `CONSTRUCT`: they are remembered, because none is returned twice.
    ///
    /// The evaluation is ended by unwinding, as by a panic that is caught. If panics abort the process, it ends with
    /// its next result.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{Error, QueryOptions, TripleStore};
    ///
    /// let store = TripleStore::in_memory();
    /// let options = QueryOptions::new().memory(1 << 20);
    /// let doubled: String = (0..30).map(|n| format!("BIND(CONCAT(?x{n}, ?x{n}) AS ?x{})", n + 1)).collect();
    /// let query = format!("ASK {{ BIND('long' AS ?x0) {doubled} }}");
    /// assert!(matches!(store.query_with(&query, &options), Err(Error::TooMuchMemory(_))));
    /// ```
    pub fn memory(mut self, bytes: usize) -> Self {
        self.budget.most = Some(bytes);
        self
    }

    /// Takes the memory of the evaluation from a budget that others share.
    #[cfg(feature = "server")]
    pub(crate) fn shared_memory(mut self, memory: &Arc<Memory>) -> Self {
        self.budget.shared = Some(Arc::clone(memory));
        self
    }

    /// Resolves relative IRIs of the query against this IRI.
    ///
    /// # Examples
    ///
    /// ```
    /// let options = triple_store::QueryOptions::new().base_iri("http://example.com/");
    /// triple_store::TripleStore::in_memory().query_with("ASK { <s> ?p ?o }", &options)?;
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn base_iri(mut self, iri: impl Into<String>) -> Self {
        self.base_iri = Some(iri.into());
        self
    }

    /// Makes the union of all graphs the default graph.
    ///
    /// # Examples
    ///
    /// See [`QueryOptions`].
    pub fn union_default_graph(mut self, union: bool) -> Self {
        self.union_default_graph = union;
        self
    }

    /// Sets the dataset, and overrides that of the query. The default graph is the union of `default_graphs`, and the
    /// named graphs are `named_graphs`. The SPARQL protocol passes the dataset of a request in this way.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::NamedNode;
    ///
    /// let graph = NamedNode::new("http://example.com/graph")?;
    /// let options = triple_store::QueryOptions::new().dataset(vec![graph.into()], vec![]);
    /// triple_store::TripleStore::in_memory().query_with("ASK { ?s ?p ?o }", &options)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn dataset(mut self, default_graphs: Vec<GraphName>, named_graphs: Vec<NamedOrBlankNode>) -> Self {
        self.default_graphs = Some(default_graphs);
        self.named_graphs = Some(named_graphs);
        self
    }

    /// Lets the query call a function by this name. It gets terms in their stored form. `None` is an error, like that
    /// of `1 / 0`. Names of [`xsd`](oxrdf::vocab::xsd) are those of casts and can't be used.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{Literal, NamedNode, Term};
    /// use triple_store::{QueryOptions, QueryResults, TripleStore};
    ///
    /// /// How many letters a text has.
    /// fn letters(arguments: &[Term]) -> Option<Term> {
    ///     let [Term::Literal(text)] = arguments else { return None };
    ///     Some(Literal::from(text.value().chars().filter(|char| char.is_alphabetic()).count() as u64).into())
    /// }
    ///
    /// let options = QueryOptions::new().function(NamedNode::new("http://example.com/letters")?, letters);
    /// let query = "PREFIX ex: <http://example.com/> SELECT (ex:letters('4 words, 1 text') AS ?n) {}";
    /// let QueryResults::Solutions(mut rows) = TripleStore::in_memory().query_with(query, &options)? else { panic!() };
    /// assert_eq!(rows.next().expect("one row")?["n"], Literal::from(9).into());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn function(
        mut self,
        name: NamedNode,
        function: impl Fn(&[Term]) -> Option<Term> + Send + Sync + 'static,
    ) -> Self {
        self.custom.add_function(name, function);
        self
    }

    /// Lets the query call an aggregate by this name. For each group it makes a new accumulator, which gets the terms
    /// of the group in their stored form. The parser does not accept `DISTINCT` in it.
    ///
    /// # Examples
    ///
    /// The example `aggregate` of this crate (`cargo run -p triple-store --example aggregate`) has a median.
    ///
    /// ```
    /// use oxrdf::{Literal, NamedNode, Term};
    /// use triple_store::{AggregateFunctionAccumulator, QueryOptions, QueryResults, TripleStore};
    ///
    /// /// Whether all terms of a group are IRIs.
    /// struct AllIris(bool);
    ///
    /// impl AggregateFunctionAccumulator for AllIris {
    ///     fn accumulate(&mut self, term: Term) {
    ///         self.0 &= term.is_named_node();
    ///     }
    ///
    ///     fn finish(&mut self) -> Option<Term> {
    ///         Some(Literal::from(self.0).into())
    ///     }
    /// }
    ///
    /// let name = NamedNode::new("http://example.com/all-iris")?;
    /// let options = QueryOptions::new().aggregate(name, || Box::new(AllIris(true)));
    /// let query = "SELECT (<http://example.com/all-iris>(?x) AS ?all) { VALUES ?x { <urn:a> 1 } }";
    /// let QueryResults::Solutions(mut rows) = TripleStore::in_memory().query_with(query, &options)? else { panic!() };
    /// assert_eq!(rows.next().expect("one row")?["all"], Literal::from(false).into());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn aggregate(
        mut self,
        name: NamedNode,
        new: impl Fn() -> Box<dyn AggregateFunctionAccumulator + Send + Sync> + Send + Sync + 'static,
    ) -> Self {
        self.custom.add_aggregate(name, new);
        self
    }

    /// Lets `SERVICE` send requests to other servers through this client. The requests are sent before the query is
    /// evaluated. The solutions of the other patterns are sent with them in batches of 100. If there are more than
    /// 10,000 solutions, one request without them asks for all results.
    ///
    /// # Examples
    ///
    /// See [`Remote`].
    pub fn remote(mut self, remote: impl Remote + 'static) -> Self {
        self.remote = Some(Arc::new(remote));
        self
    }
}

impl std::fmt::Debug for QueryOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryOptions")
            .field("timeout", &self.timeout)
            .field("base_iri", &self.base_iri)
            .field("union_default_graph", &self.union_default_graph)
            .field("default_graphs", &self.default_graphs)
            .field("named_graphs", &self.named_graphs)
            .finish_non_exhaustive()
    }
}
