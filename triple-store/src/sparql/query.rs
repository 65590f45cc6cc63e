//! Queries.

use super::custom::Custom;
use super::dataset::Dataset;
use super::depth::Room;
use super::exact::Terms;
use super::measure::Measure;
use super::meter::{self, Budget, Meter};
use super::once::{self, Context, Failure};
use super::paths::Step;
use super::plan::Estimates;
use super::rules::Rules;
use super::service::Services;
use super::{fault, functions, plan, text};
use crate::documents::remote::Remote;
use crate::engine::source::Source;
use crate::error::{Error, Result};
use crate::faces::snapshot::Snapshot;
use crate::faces::store::TripleStore;
use crate::faces::transaction::Transaction;
#[cfg(feature = "server")]
use crate::sparql::memory::Memory;
use oxrdf::{GraphName, NamedNode, NamedOrBlankNode, Term, Triple};
use spareval::{
    AggregateFunctionAccumulator, CancellationToken, QueryEvaluationError, QueryEvaluator, QueryResults,
    QuerySolutionIter, QueryTripleIter,
};
use spargebra::algebra::QueryDataset;
use spargebra::{Query, SparqlParser, SparqlSyntaxError};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

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
    timeout: Option<Duration>,
    cancellation: Option<CancellationToken>,
    base_iri: Option<String>,
    union_default_graph: bool,
    default_graphs: Option<Vec<GraphName>>,
    named_graphs: Option<Vec<NamedOrBlankNode>>,
    pub(super) remote: Option<Arc<dyn Remote>>,
    pub(super) custom: Custom,
    budget: Budget,
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

    /// Ends the evaluation, including that of the results, with [`Error::Cancelled`] after this time. The time is
    /// checked after about every 1,000 terms that are read, joined, sorted or compared.
    ///
    /// # Examples
    ///
    /// See [`QueryOptions`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets the holder of the token end the evaluation.
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

    /// Ends the evaluation with [`Error::TooMuchMemory`] if it needs more than this many bytes for rows that are sorted,
    /// grouped, joined by hash or compared for duplicates, for computed terms and intermediate strings, and for the terms that
    /// paths reach. The count is an estimate. For most queries, it is right within a factor of two. Results that are read one by
    /// one take no memory, except the triples of a `CONSTRUCT`: they are remembered, because none is returned twice.
    ///
    /// The evaluation is ended by unwinding, as by a panic that is caught. If panics abort the process, it ends with its next
    /// result.
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

    /// Lets the query call a function by this name. It gets terms in their stored form. `None` is an error, like that of
    /// `1 / 0`. Names of [`xsd`](oxrdf::vocab::xsd) are those of casts and can't be used.
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

    /// Lets the query call an aggregate by this name. For each group it makes a new accumulator, which gets the terms of
    /// the group in their stored form. The parser does not accept `DISTINCT` in it.
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
    /// evaluated. The solutions of the other patterns are sent with them in batches of 100. If there are more than 10,000
    /// solutions, one request without them asks for all results.
    ///
    /// # Examples
    ///
    /// See [`Remote`].
    pub fn remote(mut self, remote: impl Remote + 'static) -> Self {
        self.remote = Some(Arc::new(remote));
        self
    }

    /// The remaining time.
    pub(super) fn time_left(&self, started: Instant) -> Result<Option<Duration>> {
        let left = self.timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if self.is_cancelled() || left == Some(Duration::ZERO) { Err(Error::Cancelled) } else { Ok(left) }
    }

    pub(super) fn parser(&self) -> Result<SparqlParser> {
        let parser = self.custom.tell(SparqlParser::new());
        match &self.base_iri {
            None => Ok(parser),
            Some(iri) => parser
                .with_base_iri(iri)
                .map_err(|error| Error::Unsupported(format!("the base IRI <{iri}>: {error}"))),
        }
    }

    /// The parser's error for a text.
    pub(super) fn misunderstood(&self, text: &str, error: &SparqlSyntaxError) -> Error {
        Error::Sparql(fault::explained(text, error, self.base_iri.is_some()))
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancellation.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    /// An evaluator for a query that began at this time and that these rules rewrote.
    pub(super) fn evaluator(
        &self,
        rules: Rules<'_>,
        source: &Source,
        started: Instant,
        measure: &Measure,
    ) -> Prepared {
        let token = self.cancellation.clone().unwrap_or_default();
        let terms = Arc::new(Terms::new(Arc::clone(&source.engine)));
        let evaluator = QueryEvaluator::new().with_cancellation_token(token.clone());
        let evaluator = rules.calls.register(rules.used.register(evaluator, &terms));
        let watchdog = self
            .timeout
            .map(|timeout| Watchdog::new(token.clone(), timeout.saturating_sub(started.elapsed())));
        let meter = measure.meter(token.clone(), self.budget.clone());
        let (failure, steps) = (Failure::default(), rules.steps.into());
        Prepared { evaluator, token, failure, watchdog, terms, steps, meter }
    }

    pub(super) fn parse(&self, text: &str) -> Result<Query> {
        let parsed = self.parser()?.parse_query(&text::readable(text));
        let mut query = parsed.map_err(|error| self.misunderstood(text, &error))?;
        if let Query::Select { pattern, .. } = &mut query {
            text::order_columns(text, pattern);
        }
        Ok(query)
    }

    /// The planned query, and an evaluator that does the optimizations that are left.
    pub(super) fn plan(
        &self,
        mut query: Query,
        source: &Source,
        started: Instant,
        estimates: Option<&RefCell<Estimates>>,
    ) -> Result<(Query, Prepared)> {
        let dataset = query.dataset().cloned();
        let (Query::Select { pattern, .. }
        | Query::Construct { pattern, .. }
        | Query::Describe { pattern, .. }
        | Query::Ask { pattern, .. }) = &mut query;
        Services::new(self, source, dataset, started).answer(pattern)?;
        let mut rules = Rules::of(pattern, &self.custom);
        let measure = Measure::of(pattern, &mut rules);
        let plain = query.dataset().is_none() && self.default_graphs.is_none() && !self.union_default_graph;
        let improved = plan::improve_query(&mut query, source, &rules.steps, plain, estimates);
        let mut prepared = self.evaluator(rules, source, started, &measure);
        if improved.is_finished {
            prepared.evaluator = prepared.evaluator.without_optimizations();
        }
        let dataset = query.dataset().cloned();
        let context = self.context(source, &prepared, dataset);
        prepared.tell(improved, &context);
        Ok((query, prepared))
    }

    fn run(&self, source: Source, query: &str) -> Result<QueryResults<'static>> {
        let (room, started) = (Room::of(query)?, Instant::now());
        room.run(|| self.evaluate(source, self.parse(query)?, started, room))
    }

    pub(super) fn evaluate(
        &self,
        source: Source,
        query: Query,
        started: Instant,
        room: Room,
    ) -> Result<QueryResults<'static>> {
        let (query, evaluator) = self.plan(query, &source, started, None)?;
        let Prepared { evaluator, token, failure, watchdog, terms, steps, meter } = evaluator;
        if token.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let mut prepared = self.prepare(&evaluator, &query);
        let dataset = Dataset::new(source, terms, &steps, prepared.dataset_mut(), token.clone(), watchdog);
        Ok(match meter.run(|| prepared.execute(dataset))?? {
            QueryResults::Solutions(rows) => {
                let variables = rows.variables().into();
                let rows = Steps { results: Some(rows), token, failure, room, meter, remembered: None };
                QueryResults::Solutions(QuerySolutionIter::new(variables, rows))
            }
            QueryResults::Graph(triples) => {
                // The evaluator returns no triple twice, and remembers all for that.
                let remembered =
                    matches!(query, Query::Construct { .. }).then_some(size as fn(&Triple) -> usize);
                let triples = Steps { results: Some(triples), token, failure, room, meter, remembered };
                QueryResults::Graph(QueryTripleIter::new(triples))
            }
            QueryResults::Boolean(value) => {
                failure.check()?;
                QueryResults::Boolean(value)
            }
        })
    }

    /// The context for an inner evaluation of a prepared query or update.
    pub(super) fn context(
        &self,
        source: &Source,
        prepared: &Prepared,
        dataset: Option<QueryDataset>,
    ) -> Context {
        Context {
            source: source.clone(),
            terms: Arc::clone(&prepared.terms),
            steps: Arc::clone(&prepared.steps),
            token: prepared.token.clone(),
            failure: prepared.failure.clone(),
            options: self.clone(),
            dataset,
        }
    }

    pub(super) fn prepare<'a>(
        &self,
        evaluator: &'a QueryEvaluator,
        query: &'a Query,
    ) -> spareval::PreparedQuery<'a> {
        let mut prepared = evaluator.prepare(query);
        let dataset = prepared.dataset_mut();
        if self.union_default_graph {
            dataset.set_default_graph_as_union();
        }
        if let Some(graphs) = &self.default_graphs {
            dataset.set_default_graph(graphs.clone());
        }
        if let Some(graphs) = &self.named_graphs {
            dataset.set_available_named_graphs(graphs.clone());
        }
        prepared
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

/// Results that are computed when they are requested. Each is computed with enough stack. After a cancellation there
/// are none: a product of large sides would return rows for a long time without reading data.
struct Steps<T, I> {
    /// `None` once dropped.
    results: Option<I>,
    token: CancellationToken,
    failure: Failure,
    room: Room,
    meter: Meter,
    /// How many bytes the evaluator remembers for each result.
    remembered: Option<fn(&T) -> usize>,
}

impl<T, I: Iterator<Item = Result<T, QueryEvaluationError>>> Steps<T, I> {
    fn step(&mut self) -> Result<Option<T>> {
        let Some(results) = &mut self.results else { return Ok(None) };
        let result = self.meter.run(|| {
            let result = self.room.run(|| results.next()).transpose();
            if let (Some(remembered), Ok(Some(result))) = (self.remembered, &result) {
                meter::keep(remembered(result));
            }
            result
        });
        if result.is_err() {
            self.end();
        }
        self.failure.check()?;
        let result = result??;
        if result.is_some() && self.token.is_cancelled() { Err(Error::Cancelled) } else { Ok(result) }
    }
}

impl<T, I> Steps<T, I> {
    fn end(&mut self) {
        // An evaluation that is over its budget is still over it while it is dropped.
        let _ = self.meter.run(|| self.room.run(|| drop(self.results.take())));
    }
}

impl<T, I: Iterator<Item = Result<T, QueryEvaluationError>>> Iterator for Steps<T, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.step().map_err(reported).transpose()
    }
}

impl<T, I> Drop for Steps<T, I> {
    fn drop(&mut self) {
        self.end();
    }
}

/// The error in the form in which results report it.
fn reported(error: Error) -> QueryEvaluationError {
    match error {
        Error::Cancelled => QueryEvaluationError::Cancelled,
        Error::Evaluation(error) => error,
        error => QueryEvaluationError::Dataset(error.into()),
    }
}

/// The bytes for a triple in a set.
fn size(triple: &Triple) -> usize {
    let subject = match &triple.subject {
        NamedOrBlankNode::NamedNode(node) => node.as_str().len(),
        NamedOrBlankNode::BlankNode(node) => node.as_str().len(),
    };
    meter::ENTRY + subject + triple.predicate.as_str().len() + meter::text_length(&triple.object)
}

/// An evaluator and the data for its dataset.
pub(super) struct Prepared {
    pub(super) evaluator: QueryEvaluator,
    /// The token that it checks whenever it reads data, and the watchdog that cancels it in time.
    pub(super) token: CancellationToken,
    pub(super) failure: Failure,
    pub(super) watchdog: Option<Watchdog>,
    pub(super) terms: Arc<Terms>,
    pub(super) steps: Arc<[Vec<Step>]>,
    pub(super) meter: Meter,
}

impl Prepared {
    /// Passes the plan to the evaluator.
    pub(super) fn tell(&mut self, plan: plan::Plan, context: &Context) {
        let mut evaluator = plan.lists.tell(std::mem::take(&mut self.evaluator));
        if plan.calls_functions {
            evaluator = functions::for_plan(evaluator, &self.terms);
        }
        self.evaluator = once::tell(plan.onces, evaluator, context);
    }
}

/// Cancels a token after a time, unless it is dropped before.
#[derive(Debug)]
pub(super) struct Watchdog {
    _stop: Sender<()>,
}

impl Watchdog {
    fn new(token: CancellationToken, timeout: Duration) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        thread::spawn(move || {
            if stopped.recv_timeout(timeout) == Err(RecvTimeoutError::Timeout) {
                token.cancel();
            }
        });
        Self { _stop: stop }
    }
}

impl Snapshot {
    /// Evaluates a SPARQL 1.1 query. The results are computed when they are requested, and they own the snapshot.
    ///
    /// # Errors
    ///
    /// [`Error::Sparql`] if the query has a syntax error. [`Error::TooDeep`] if it nests more than 128 brackets or 12
    /// `OPTIONAL`s, or has more than 4,096 links, of which a triple pattern counts for four. [`Error::Evaluation`] or
    /// [`Error::Cancelled`], from this method or from the results.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{QueryResults, RdfFormat, TripleStore};
    ///
    /// let store = TripleStore::in_memory();
    /// store.load("<urn:s> <urn:p> 1, 2, 3 .".as_bytes(), RdfFormat::Turtle, "numbers.ttl")?;
    /// let results = store.snapshot().query("SELECT (SUM(?o) AS ?sum) WHERE { <urn:s> <urn:p> ?o }")?;
    /// let QueryResults::Solutions(mut solutions) = results else { panic!("a SELECT has solutions") };
    /// let solution = solutions.next().expect("one row")?;
    /// assert_eq!(solution["sum"], oxrdf::Literal::from(6).into());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn query(&self, query: &str) -> Result<QueryResults<'static>> {
        self.query_with(query, &QueryOptions::new())
    }

    /// [`query`](Self::query) with options.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    ///
    /// # Examples
    ///
    /// See [`QueryOptions`].
    pub fn query_with(&self, query: &str, options: &QueryOptions) -> Result<QueryResults<'static>> {
        options.run(self.source.clone(), query)
    }
}

impl TripleStore {
    /// Evaluates a SPARQL 1.1 query on a new snapshot: see [`Snapshot::query`].
    ///
    /// # Errors
    ///
    /// As [`Snapshot::query`].
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{QueryResults, TripleStore};
    ///
    /// let results = TripleStore::in_memory().query("ASK { ?s ?p ?o }")?;
    /// assert!(matches!(results, QueryResults::Boolean(false)));
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn query(&self, query: &str) -> Result<QueryResults<'static>> {
        self.snapshot().query(query)
    }

    /// [`query`](Self::query) with options.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::query`].
    ///
    /// # Examples
    ///
    /// See [`QueryOptions`].
    pub fn query_with(&self, query: &str, options: &QueryOptions) -> Result<QueryResults<'static>> {
        self.snapshot().query_with(query, options)
    }
}

impl Transaction {
    /// Evaluates a SPARQL 1.1 query on the state that the transaction sees, including its own changes.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::query`], and [`Error::OutsideTransaction`].
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{Error, QueryResults, TripleStore};
    ///
    /// let store = TripleStore::in_memory();
    /// let empty = store.transaction(|tx| {
    ///     let results = tx.query("ASK { ?s ?p ?o }")?;
    ///     Ok::<_, Error>(matches!(results, QueryResults::Boolean(false)))
    /// })?;
    /// assert!(empty);
    /// # Ok::<_, Error>(())
    /// ```
    pub fn query(&self, query: &str) -> Result<QueryResults<'static>> {
        QueryOptions::new().run(self.source.clone(), query)
    }
}
