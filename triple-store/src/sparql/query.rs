//! Queries.

mod options;
mod prepared;
mod steps;

use super::dataset::Dataset;
use super::depth::Room;
use super::exact::Terms;
use super::measure::Measure;
use super::once::{Context, Failure};
use super::plan::Estimates;
use super::rules::Rules;
use super::service::Services;
use super::{fault, parsed, plan, text};
use crate::engine::source::Source;
use crate::error::{Error, Result};
use crate::faces::snapshot::Snapshot;
use crate::faces::store::TripleStore;
use crate::faces::transaction::Transaction;
use oxrdf::Triple;
use spareval::{CancellationToken, QueryEvaluator, QueryResults, QuerySolutionIter, QueryTripleIter};
use spargebra::algebra::QueryDataset;
use spargebra::{Query, SparqlParser, SparqlSyntaxError};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use options::QueryOptions;
pub(super) use prepared::{Prepared, Watchdog};
use steps::{Steps, size};

impl QueryOptions {
    /// The remaining time.
    pub(super) fn time_left(&self, started: Instant) -> Result<Option<Duration>> {
        let left = self.timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        if self.is_cancelled() || left == Some(Duration::ZERO) { Err(Error::Cancelled) } else { Ok(left) }
    }

    pub(super) fn parser(&self) -> Result<SparqlParser> {
        let parser = self.custom.add_aggregates(SparqlParser::new());
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
        let failure = Failure::default();
        let terms = Arc::new(Terms::new(Arc::clone(&source.engine), failure.clone()));
        let evaluator = QueryEvaluator::new().with_cancellation_token(token.clone());
        let evaluator = rules.calls.register(rules.used.register(evaluator, &terms));
        let watchdog = self
            .timeout
            .map(|timeout| Watchdog::new(token.clone(), timeout.saturating_sub(started.elapsed())));
        let meter = measure.meter(token.clone(), self.budget.clone());
        Prepared { evaluator, token, failure, watchdog, terms, steps: rules.steps.into(), meter }
    }

    pub(super) fn parse(&self, text: &str) -> Result<Query> {
        let readable = text::readable(text);
        let mut query = if let Ok(query) = self.parser()?.parse_query(&text::with_new_names(&readable)) {
            query
        } else {
            // The error has the position in the original text.
            let parsed = self.parser()?.parse_query(&readable);
            parsed.map_err(|error| self.misunderstood(text, &error))?
        };
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
        prepared.set_plan(improved, &context);
        Ok((query, prepared))
    }

    fn run(&self, source: Source, text: &str) -> Result<QueryResults<'static>> {
        let started = Instant::now();
        let is_plain = self.base_iri.is_none() && !self.custom.concern_parser();
        if is_plain && let Some((query, room)) = parsed::find(text) {
            return room.run(move || self.evaluate(source, Query::clone(&query), started, room));
        }
        let room = Room::of(text)?;
        room.run(|| {
            let query = self.parse(text)?;
            if is_plain {
                parsed::remember(text, &query, room);
            }
            self.evaluate(source, query, started, room)
        })
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
        let dataset = Dataset::new(source, terms, &steps, prepared.dataset_mut(), token.clone(), watchdog)?;
        Ok(match meter.run(|| prepared.execute(dataset))?? {
            QueryResults::Solutions(rows) => {
                let variables = rows.variables().into();
                let rows = Steps { results: Some(rows), token, failure, room, meter, remembered: None };
                QueryResults::Solutions(QuerySolutionIter::new(variables, rows))
            }
            QueryResults::Graph(triples) => {
                // The evaluator returns each triple once, so it remembers all of them.
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

impl Snapshot {
    /// Evaluates a SPARQL 1.1 query. The results are computed when they are requested, and they own the snapshot.
    ///
    /// # Errors
    ///
    /// [`Error::Sparql`] if the query has a syntax error. [`Error::TooDeep`] if it nests more than 128 brackets or 12
    /// `OPTIONAL`s, or has more than 4,096 linked parts: operators, consecutive brackets, and triple patterns, each of
    /// which counts as four. [`Error::Evaluation`] or [`Error::Cancelled`], from this method or from the results.
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
