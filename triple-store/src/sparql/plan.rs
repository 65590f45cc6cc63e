//! What the store knows that the optimizer can't: how many quads match.
//!
//! The optimizer of `sparopt` orders the patterns of a join by their shape alone. Here they are ordered by what the
//! indexes count, before it sees them: a basic graph pattern becomes a chain of lateral joins, which is the same join
//! in an order that it keeps. Each step takes the pattern of which the fewest matches are expected for every row so
//! far, given the quads that match its constants and, for variables bound by then, how many quads of the predicate
//! share a subject or an object. A count of one pattern is answered by the index altogether.

use super::paths;
use super::simple;
use crate::count::Fanout;
use crate::pattern::{Graphs, Pattern};
use crate::source::Source;
use crate::term::TermId;
use oxrdf::{Literal, NamedNodeRef, TermRef, Variable};
use spargebra::Query;
use spargebra::algebra::{AggregateExpression, AggregateFunction, Expression, GraphPattern};
use spargebra::term::{GroundTerm, NamedNodePattern, TermPattern, TriplePattern};
use std::collections::HashSet;

/// Rewrites the pattern of a query. `plain` says that its default graph is the store's, and that alone. Returns whether
/// there is anything left to optimize.
pub(super) fn improve_query(query: &mut Query, source: &Source, plain: bool) -> bool {
    let (Query::Select { pattern, .. }
    | Query::Construct { pattern, .. }
    | Query::Describe { pattern, .. }
    | Query::Ask { pattern, .. }) = query;
    let simple = simple::is_simple(pattern);
    Planner { source, plain, simple }.visit(pattern, &Names::default());
    !(simple && simple::is_connected(pattern))
}

/// Rewrites the pattern of an update; see [`improve_query`].
pub(super) fn improve(pattern: &mut GraphPattern, source: &Source, plain: bool) {
    Planner { source, plain, simple: false }.visit(pattern, &Names::default());
}

/// Variables by their names, and blank nodes, which are variables here.
pub(super) type Names = HashSet<String, ahash::RandomState>;

struct Planner<'a> {
    source: &'a Source,
    plain: bool,
    /// Whether the optimizer is not to see the pattern.
    simple: bool,
}

impl Planner<'_> {
    /// Rewrites what is below, where these variables are bound.
    fn visit(&self, pattern: &mut GraphPattern, bound: &Names) {
        match pattern {
            GraphPattern::Bgp { patterns } => {
                if patterns.len() > 1 && patterns.iter().all(is_flat) {
                    *pattern = self.chain(std::mem::take(patterns), bound.clone());
                }
            }
            GraphPattern::LeftJoin { left, right, .. } | GraphPattern::Lateral { left, right } => {
                self.visit(left, bound);
                let mut bound = bound.clone();
                left.on_in_scope_variable(|variable| _ = bound.insert(variable.to_string()));
                self.visit(right, &bound);
                if self.simple {
                    *pattern = simple::row_by_row(std::mem::take(left), std::mem::take(right));
                }
            }
            GraphPattern::Join { left, right }
            | GraphPattern::Union { left, right }
            | GraphPattern::Minus { left, right } => {
                self.visit(left, bound);
                self.visit(right, bound);
            }
            GraphPattern::Graph { inner, .. } => Self { plain: false, ..*self }.visit(inner, bound),
            GraphPattern::Group { inner, variables, aggregates } => match (&**inner, &**aggregates) {
                (GraphPattern::Bgp { patterns }, [(variable, aggregate)]) if variables.is_empty() => {
                    match self.count(patterns, aggregate) {
                        Some(count) => *pattern = constant(variable.clone(), count),
                        None => self.visit(inner, bound),
                    }
                }
                _ => self.visit(inner, bound),
            },
            GraphPattern::Filter { inner, .. }
            | GraphPattern::Extend { inner, .. }
            | GraphPattern::OrderBy { inner, .. }
            | GraphPattern::Project { inner, .. }
            | GraphPattern::Distinct { inner }
            | GraphPattern::Reduced { inner }
            | GraphPattern::Slice { inner, .. } => self.visit(inner, bound),
            GraphPattern::Path { .. } | GraphPattern::Values { .. } | GraphPattern::Service { .. } => {}
        }
    }

    /// Patterns as a chain of joins, or as several that share no variable.
    fn chain(&self, patterns: Vec<TriplePattern>, mut bound: Names) -> GraphPattern {
        let mut links: Vec<_> = patterns.into_iter().map(|pattern| self.link(pattern)).collect();
        let mut unconnected: Option<GraphPattern> = None;
        while !links.is_empty() {
            let (mut chain, mut rows) = (Vec::new(), 1.0);
            while let Some(next) = self::next(&links, &bound, rows, chain.is_empty()) {
                let next = links.swap_remove(next);
                rows *= next.rows_per_row(&bound);
                bound.extend(next.names.into_iter().flatten());
                chain.push(GraphPattern::Bgp { patterns: vec![next.pattern] });
            }
            // The optimizer infers the types of the left side of each join anew: the shorter they are, the faster.
            let chain = chain
                .into_iter()
                .rev()
                .reduce(|rest, next| GraphPattern::Lateral { left: next.into(), right: rest.into() });
            unconnected = match (unconnected, chain) {
                (Some(left), Some(right)) => {
                    Some(GraphPattern::Join { left: left.into(), right: right.into() })
                }
                (left, right) => left.or(right),
            };
        }
        unconnected.unwrap_or_default()
    }

    fn link(&self, pattern: TriplePattern) -> Link {
        Link { expected: self.expected(&pattern), names: names(&pattern), pattern }
    }

    /// What is expected of a pattern, by what the indexes count.
    fn expected(&self, pattern: &TriplePattern) -> Expected {
        let Some(constants) = self.constants(pattern, Graphs::All) else { return Expected::NOTHING };
        let view = &self.source.view;
        let (all, of_a_subject, of_an_object) = match constants.predicate {
            Some(predicate) => {
                let Fanout { quads, of_a_subject, of_an_object } = view.fanout(predicate);
                let recent = view.estimate_recent(&Pattern { predicate: Some(predicate), ..Pattern::ALL });
                (Some(quads + recent), of_a_subject, of_an_object)
            }
            None => (None, PER_SUBJECT, PER_OBJECT),
        };
        let rows = match (constants, all) {
            (Pattern { subject: None, object: None, .. }, Some(all)) => all,
            _ => view.estimate(&constants),
        };
        let share = |fanout: f64| (fanout / all.unwrap_or(rows).max(1.0)).min(1.0);
        Expected { rows, of_a_subject: share(of_a_subject), of_an_object: share(of_an_object) }
    }

    /// The pattern of a triple pattern's constants, or `None` if one of them occurs nowhere.
    fn constants(&self, pattern: &TriplePattern, graphs: Graphs) -> Option<Pattern> {
        let dictionary = &self.source.engine.dictionary;
        let id = |term: Option<TermRef<'_>>| -> Option<Option<TermId>> {
            term.map_or(Some(None), |term| dictionary.lookup(term).map(Some))
        };
        let predicate = match &pattern.predicate {
            NamedNodePattern::NamedNode(node) if !paths::is_path(node) => {
                Some(NamedNodeRef::from(node).into())
            }
            NamedNodePattern::NamedNode(_) | NamedNodePattern::Variable(_) => None,
        };
        Some(Pattern {
            subject: id(constant_term(&pattern.subject))?,
            predicate: id(predicate)?,
            object: id(constant_term(&pattern.object))?,
            graphs,
        })
    }

    /// The value of an aggregate that counts the matches of one pattern, in the store's default graph.
    fn count(&self, patterns: &[TriplePattern], aggregate: &AggregateExpression) -> Option<u64> {
        let [pattern] = patterns else { return None };
        let names = names(pattern);
        let counts = match aggregate {
            AggregateExpression::CountSolutions { distinct } => !distinct,
            AggregateExpression::FunctionCall {
                name: AggregateFunction::Count,
                expr: Expression::Variable(counted),
                distinct: false,
            } => names.contains(&Some(counted.to_string())),
            AggregateExpression::FunctionCall { .. } => false,
        };
        let open = names.iter().flatten().count();
        let distinct = names.into_iter().flatten().collect::<Names>();
        // A variable that occurs twice asks for more than a range, and so does a path.
        let is_path = matches!(&pattern.predicate, NamedNodePattern::NamedNode(node) if paths::is_path(node));
        if is_path || !(self.plain && counts && is_flat(pattern) && distinct.len() == open) {
            return None;
        }
        match self.constants(pattern, Graphs::One(TermId::DEFAULT_GRAPH)) {
            Some(pattern) => self.source.count(&pattern).ok(),
            // A transaction has to note what it found missing, which takes an id.
            None if self.source.reads.is_some() => None,
            None => Some(0),
        }
    }
}

/// Expected where nothing is counted: quads of a subject, of an object, and the share of a predicate among all.
const PER_SUBJECT: f64 = 8.0;
const PER_OBJECT: f64 = 4.0;
const PER_PREDICATE: f64 = 0.1;

/// Quads expected to match a pattern, and the share of its predicate's quads that one value of a bound variable is
/// expected to have.
struct Expected {
    rows: f64,
    of_a_subject: f64,
    of_an_object: f64,
}

impl Expected {
    const NOTHING: Self = Self { rows: 0.0, of_a_subject: 1.0, of_an_object: 1.0 };
}

/// A pattern that is to be joined: what is expected of it, and the names of its variables by column.
struct Link {
    pattern: TriplePattern,
    expected: Expected,
    names: [Option<String>; 3],
}

impl Link {
    /// Rows of the pattern for each row before it.
    fn rows_per_row(&self, bound: &Names) -> f64 {
        let Expected { rows, of_a_subject, of_an_object } = self.expected;
        let shares = self.names.iter().zip([of_a_subject, PER_PREDICATE, of_an_object]);
        let is_bound = |name: &Option<String>| name.as_ref().is_some_and(|name| bound.contains(name));
        shares.filter(|(name, _)| is_bound(name)).fold(rows, |rows, (_, share)| rows * share)
    }

    /// Whether it has a variable in common with what is bound, or none at all.
    fn is_connected(&self, bound: &Names) -> bool {
        let mut names = self.names.iter().flatten().peekable();
        names.peek().is_none() || names.any(|name| bound.contains(name))
    }
}

/// Rows that are few enough to look up other few anew for each of them.
const FEW: f64 = 64.0;

/// The pattern to go on with from so many rows, or to begin with. One that has nothing in common with what is before it
/// goes into the same chain if there are few rows of both: of a subject that is named, each pattern is such a one.
fn next(links: &[Link], bound: &Names, rows: f64, begins: bool) -> Option<usize> {
    let unconnected = || {
        let next = cheapest(links, bound, false)?;
        (begins || rows.max(links[next].rows_per_row(bound)) <= FEW).then_some(next)
    };
    cheapest(links, bound, true).filter(|_| !begins).or_else(unconnected)
}

/// The pattern that the fewest rows are expected of; of those only that have a variable in common with what is bound, if
/// that is asked for.
fn cheapest(links: &[Link], bound: &Names, connected: bool) -> Option<usize> {
    let able = links.iter().enumerate().filter(|(_, link)| !connected || link.is_connected(bound));
    let costs = able.map(|(number, link)| (number, link.rows_per_row(bound)));
    costs.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(number, _)| number)
}

fn constant(variable: Variable, count: u64) -> GraphPattern {
    let count = GroundTerm::Literal(Literal::from(count.cast_signed()));
    GraphPattern::Values { variables: vec![variable], bindings: vec![vec![Some(count)]] }
}

/// Whether no triple is quoted in it.
pub(super) fn is_flat(pattern: &TriplePattern) -> bool {
    !matches!(pattern.subject, TermPattern::Triple(_)) && !matches!(pattern.object, TermPattern::Triple(_))
}

fn constant_term(term: &TermPattern) -> Option<TermRef<'_>> {
    match term {
        TermPattern::NamedNode(node) => Some(node.as_ref().into()),
        TermPattern::Literal(literal) => Some(literal.as_ref().into()),
        TermPattern::BlankNode(_) | TermPattern::Triple(_) | TermPattern::Variable(_) => None,
    }
}

fn name(term: &TermPattern) -> Option<String> {
    match term {
        TermPattern::Variable(_) | TermPattern::BlankNode(_) => Some(term.to_string()),
        TermPattern::NamedNode(_) | TermPattern::Literal(_) | TermPattern::Triple(_) => None,
    }
}

/// Of subject, predicate and object, those that are variables.
pub(super) fn names(pattern: &TriplePattern) -> [Option<String>; 3] {
    let predicate = match &pattern.predicate {
        NamedNodePattern::Variable(variable) => Some(variable.to_string()),
        NamedNodePattern::NamedNode(_) => None,
    };
    [name(&pattern.subject), predicate, name(&pattern.object)]
}
