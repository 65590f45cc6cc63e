//! `SERVICE` (SPARQL 1.1 Federated Query). Requests are sent before the query is evaluated, and the answers replace the
//! patterns.
//!
//! If the results are joined with other patterns, those are evaluated first. Their solutions are sent to the endpoint
//! in batches of `VALUES`, so that it returns only matching results.

use super::depth::Room;
use super::query::QueryOptions;
use super::walk::{Part, parts_of_expression, parts_of_pattern};
use crate::documents::remote::RemoteDocument;
use crate::engine::source::Source;
use crate::error::{Error, Result};
use oxrdf::{BlankNode, NamedNode, Term, Variable};
use sparesults::{QueryResultsFormat, QueryResultsParser, ReaderQueryResultsParserOutput};
use spareval::QueryResults;
use spargebra::Query;
use spargebra::algebra::{GraphPattern, QueryDataset};
use spargebra::term::{GroundTerm, NamedNodePattern};
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// The most solutions that are sent with one request.
const BATCH: usize = 100;

/// The most solutions of all endpoints for one query, because they are held in memory.
const MOST: usize = 1_000_000;

/// The most solutions of the other patterns that are sent to a service.
const MOST_BOUND: usize = 10_000;

type Row = Vec<Option<GroundTerm>>;

/// Sends the requests of one query.
pub(super) struct Services<'a> {
    options: &'a QueryOptions,
    source: &'a Source,
    /// The dataset that the query names.
    dataset: Option<QueryDataset>,
    started: Instant,
    rows: usize,
    /// Whether the patterns depend on solutions of outer patterns.
    is_alone: bool,
}

impl<'a> Services<'a> {
    pub(super) fn new(
        options: &'a QueryOptions,
        source: &'a Source,
        dataset: Option<QueryDataset>,
        started: Instant,
    ) -> Self {
        Self { options, source, dataset, started, rows: 0, is_alone: false }
    }

    /// Replaces each `SERVICE` by the answers of its endpoint.
    pub(super) fn answer(&mut self, pattern: &mut GraphPattern) -> Result<()> {
        if has_service(pattern) { self.pattern(pattern, None, &[]) } else { Ok(()) }
    }

    /// `beside` is joined with the pattern. `graphs` are the graphs around both.
    fn pattern(
        &mut self,
        pattern: &mut GraphPattern,
        beside: Option<&GraphPattern>,
        graphs: &[NamedNodePattern],
    ) -> Result<()> {
        match pattern {
            GraphPattern::Service { .. } => {
                let GraphPattern::Service { name, inner, silent } = std::mem::take(pattern) else {
                    unreachable!("it was just checked")
                };
                *pattern = match self.service(&name, &inner, beside, graphs) {
                    Err(error) if silent && !matches!(error, Error::Cancelled) => GraphPattern::default(),
                    result => result?,
                };
                Ok(())
            }
            GraphPattern::Join { left, right } => {
                let (first, second) =
                    if is_service(left) && !is_service(right) { (right, left) } else { (left, right) };
                self.pattern(first, None, graphs)?;
                self.pattern(second, Some(first), graphs)
            }
            GraphPattern::LeftJoin { left, right, .. } | GraphPattern::Minus { left, right } => {
                self.pattern(left, None, graphs)?;
                self.pattern(right, Some(left), graphs)
            }
            GraphPattern::Lateral { left, right } => {
                self.pattern(left, None, graphs)?;
                self.alone(right)
            }
            GraphPattern::Union { left, right } => {
                self.pattern(left, beside, graphs)?;
                self.pattern(right, beside, graphs)
            }
            GraphPattern::Graph { name, inner } => {
                self.pattern(inner, None, &[graphs, std::slice::from_ref(name)].concat())
            }
            _ => {
                let is_transparent =
                    matches!(pattern, GraphPattern::Filter { .. } | GraphPattern::Extend { .. });
                let beside = beside.filter(|_| is_transparent);
                let mut result = Ok(());
                parts_of_pattern(pattern, |part| {
                    if let (Part::Pattern(part), Ok(())) = (part, &result) {
                        result = self.pattern(part, beside, graphs);
                    }
                });
                result
            }
        }?;
        let mut result = Ok(());
        parts_of_pattern(pattern, |part| {
            if let Part::Expression(expression) = part {
                each_exists(expression, &mut |pattern| {
                    if result.is_ok() {
                        result = self.alone(pattern);
                    }
                });
            }
        });
        result
    }

    /// Answers the services of a pattern that depends on outer solutions. These are not known yet, so none are sent.
    fn alone(&mut self, pattern: &mut GraphPattern) -> Result<()> {
        let was = std::mem::replace(&mut self.is_alone, true);
        let result = self.pattern(pattern, None, &[]);
        self.is_alone = was;
        result
    }

    /// The solutions of a service, as a table.
    fn service(
        &mut self,
        name: &NamedNodePattern,
        pattern: &GraphPattern,
        beside: Option<&GraphPattern>,
        graphs: &[NamedNodePattern],
    ) -> Result<GraphPattern> {
        let columns = variables(pattern);
        let beside = beside.filter(|_| !self.is_alone);
        let is_wanted = |variable: &Variable| {
            columns.contains(variable) || matches!(name, NamedNodePattern::Variable(name) if name == variable)
        };
        let shared: Vec<_> = beside.map_or_else(Vec::new, variables).into_iter().filter(is_wanted).collect();
        let bound = match beside {
            Some(beside) if !shared.is_empty() => self.bindings(beside, graphs, shared)?,
            _ => Bindings::default(),
        };
        match name {
            NamedNodePattern::NamedNode(endpoint) => {
                let bindings = self.ask(endpoint, pattern, &columns, &bound)?;
                Ok(GraphPattern::Values { variables: columns, bindings })
            }
            NamedNodePattern::Variable(name) => {
                let mut table = columns.clone();
                table.push(name.clone());
                let mut bindings = Vec::new();
                for (endpoint, bound) in bound.by_endpoint(name)? {
                    for mut row in self.ask(&endpoint, pattern, &columns, &bound)? {
                        row.push(Some(endpoint.clone().into()));
                        bindings.push(row);
                    }
                }
                Ok(GraphPattern::Values { variables: table, bindings })
            }
        }
    }

    /// The distinct solutions of the pattern that is joined with a service.
    fn bindings(
        &self,
        beside: &GraphPattern,
        graphs: &[NamedNodePattern],
        shared: Vec<Variable>,
    ) -> Result<Bindings> {
        let pattern = graphs.iter().rev().fold(beside.clone(), |inner, name| GraphPattern::Graph {
            name: name.clone(),
            inner: inner.into(),
        });
        let pattern = GraphPattern::Project { inner: pattern.into(), variables: shared.clone() };
        let pattern = GraphPattern::Distinct { inner: pattern.into() };
        let query = Query::Select { dataset: self.dataset.clone(), pattern, base_iri: None };
        let room = Room::of(&query.to_string())?;
        room.run(|| {
            let results = self.options.evaluate(self.source.clone(), query, self.started, room)?;
            let QueryResults::Solutions(solutions) = results else { unreachable!("a SELECT has solutions") };
            let mut rows = Vec::new();
            for solution in solutions.take(MOST_BOUND + 1) {
                rows.push(solution?.values().iter().map(|term| term.as_ref().and_then(ground)).collect());
            }
            Ok(Bindings::new(shared, rows))
        })
    }

    /// The solutions of an endpoint that match the bindings.
    fn ask(
        &mut self,
        endpoint: &NamedNode,
        pattern: &GraphPattern,
        columns: &[Variable],
        bound: &Bindings,
    ) -> Result<Vec<Row>> {
        if bound.variables.is_empty() {
            return self.request(endpoint, pattern, columns);
        }
        let mut rows = Vec::new();
        for batch in bound.rows.chunks(BATCH) {
            let values =
                GraphPattern::Values { variables: bound.variables.clone(), bindings: batch.to_vec() };
            let joined = GraphPattern::Join { left: values.into(), right: pattern.clone().into() };
            rows.append(&mut self.request(endpoint, &joined, columns)?);
        }
        Ok(rows)
    }

    fn request(
        &mut self,
        endpoint: &NamedNode,
        pattern: &GraphPattern,
        columns: &[Variable],
    ) -> Result<Vec<Row>> {
        let time = self.options.time_left(self.started)?;
        let Some(remote) = &self.options.remote else {
            return Err(Error::Unsupported(format!(
                "SERVICE {endpoint}: requests to other servers are not allowed"
            )));
        };
        // A query must have columns, even if none of its values are needed.
        let column = [Variable::new_unchecked("found")];
        let asked = if columns.is_empty() { &column } else { columns };
        let pattern = GraphPattern::Project { inner: pattern.clone().into(), variables: asked.to_vec() };
        let query = Query::Select { dataset: None, pattern, base_iri: None }.to_string();
        let failed = |source| Error::Remote { iri: endpoint.clone().into_string(), source };
        let RemoteDocument { media_type, body } = remote.query(endpoint, &query, time).map_err(failed)?;
        let invalid = |what: String| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, what));
        let Some(format) = QueryResultsFormat::from_media_type(&media_type) else {
            return Err(invalid(format!("it answers {media_type:?}, which is not a syntax of results")));
        };
        let parsed = QueryResultsParser::from_format(format).for_reader(body);
        let ReaderQueryResultsParserOutput::Solutions(solutions) =
            parsed.map_err(|error| failed(error.into()))?
        else {
            return Err(invalid("it answers a SELECT with a boolean".into()));
        };
        let mut names = HashMap::new();
        let mut rows = Vec::new();
        for solution in solutions {
            let solution = solution.map_err(|error| failed(error.into()))?;
            let term = |column: &Variable| match solution.get(column) {
                None => Ok(None),
                Some(term) => local(term, &mut names)
                    .map(Some)
                    .ok_or_else(|| invalid("it answers a triple term".into())),
            };
            rows.push(columns.iter().map(term).collect::<Result<_>>()?);
            self.rows += 1;
            if self.rows > MOST {
                return Err(invalid(format!("it and others answer more than {MOST} solutions")));
            }
        }
        Ok(rows)
    }
}

/// The solutions that are sent to an endpoint. No two rows match the same solution of the endpoint, which would then be
/// returned twice. Without variables, no solutions are sent.
#[derive(Default)]
struct Bindings {
    variables: Vec<Variable>,
    rows: Vec<Row>,
}

impl Bindings {
    /// The variables that are bound in every row.
    fn new(variables: Vec<Variable>, rows: Vec<Row>) -> Self {
        if rows.len() > MOST_BOUND {
            return Self::default();
        }
        let is_bound: Vec<_> =
            (0..variables.len()).map(|at| rows.iter().all(|row| row[at].is_some())).collect();
        let only =
            |row: Row| row.into_iter().zip(&is_bound).filter(|(_, is)| **is).map(|(term, _)| term).collect();
        let mut seen = HashSet::new();
        let rows = rows.into_iter().map(only).filter(|row: &Row| seen.insert(row.clone())).collect();
        let variables = variables.into_iter().zip(&is_bound).filter(|(_, is)| **is).map(|(name, _)| name);
        Self { variables: variables.collect(), rows }
    }

    /// The bindings of each endpoint that a variable names.
    fn by_endpoint(mut self, name: &Variable) -> Result<HashMap<NamedNode, Self>> {
        let unbound = || {
            Error::Unsupported(format!(
                "SERVICE {name}: not every solution that is joined with it names an endpoint"
            ))
        };
        let at = self.variables.iter().position(|variable| variable == name).ok_or_else(unbound)?;
        self.variables.remove(at);
        let mut endpoints: HashMap<NamedNode, Self> = HashMap::new();
        for mut row in self.rows {
            let Some(GroundTerm::NamedNode(endpoint)) = row.remove(at) else { return Err(unbound()) };
            let one = || Self { variables: self.variables.clone(), rows: Vec::new() };
            endpoints.entry(endpoint).or_insert_with(one).rows.push(row);
        }
        Ok(endpoints)
    }
}

/// A term that has the same meaning on another server.
fn ground(term: &Term) -> Option<GroundTerm> {
    match term {
        Term::NamedNode(node) => Some(node.clone().into()),
        Term::Literal(literal) => Some(literal.clone().into()),
        Term::BlankNode(_) | Term::Triple(_) => None,
    }
}

/// The prefix of names that stand for blank nodes of answers, because a table can't contain blank nodes. No IRI
/// begins with it.
const BLANK: &str = " blank ";

/// A term of an answer in the form for a table. Its blank nodes are local to the answer.
fn local(term: &Term, names: &mut HashMap<BlankNode, NamedNode>) -> Option<GroundTerm> {
    Some(match term {
        Term::NamedNode(node) => node.clone().into(),
        Term::Literal(literal) => literal.clone().into(),
        Term::BlankNode(node) => {
            let fresh = || NamedNode::new_unchecked(format!("{BLANK}{}", BlankNode::default().as_str()));
            names.entry(node.clone()).or_insert_with(fresh).clone().into()
        }
        Term::Triple(_) => return None,
    })
}

/// The original of a term in a table.
pub(super) fn restored(term: Term) -> Term {
    match &term {
        Term::NamedNode(node) => match node.as_str().strip_prefix(BLANK) {
            Some(name) => BlankNode::new_unchecked(name).into(),
            None => term,
        },
        _ => term,
    }
}

fn variables(pattern: &GraphPattern) -> Vec<Variable> {
    let mut variables = Vec::new();
    pattern.on_in_scope_variable(|variable| {
        if !variables.contains(variable) {
            variables.push(variable.clone());
        }
    });
    variables
}

/// Whether a pattern is a service, perhaps with conditions on it.
fn is_service(pattern: &GraphPattern) -> bool {
    match pattern {
        GraphPattern::Service { .. } => true,
        GraphPattern::Filter { inner, .. } | GraphPattern::Extend { inner, .. } => is_service(inner),
        GraphPattern::Union { left, right } => is_service(left) || is_service(right),
        _ => false,
    }
}

fn has_service(pattern: &mut GraphPattern) -> bool {
    if matches!(pattern, GraphPattern::Service { .. }) {
        return true;
    }
    let mut found = false;
    parts_of_pattern(pattern, |part| match part {
        Part::Pattern(pattern) => found |= has_service(pattern),
        Part::Expression(expression) => each_exists(expression, &mut |pattern| found |= has_service(pattern)),
    });
    found
}

fn each_exists(expression: &mut spargebra::algebra::Expression, each: &mut impl FnMut(&mut GraphPattern)) {
    parts_of_expression(expression, |part| match part {
        Part::Pattern(pattern) => each(pattern),
        Part::Expression(expression) => each_exists(expression, each),
    });
}
