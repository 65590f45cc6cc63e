//! What the store knows that the optimizer can't: how many quads match.
//!
//! The optimizer of `sparopt` orders the patterns of a join by their shape alone. Here they are ordered by what the
//! indexes count, before it sees them: a basic graph pattern becomes a chain of lateral joins, which is the same join
//! in an order that it keeps. Each step takes the pattern of which the fewest matches are expected for every row so
//! far, given the quads that match its constants and, for variables bound by then, how many quads of the predicate
//! share a subject or an object. A count of one pattern is answered by the index altogether.

use crate::pattern::{Graphs, Pattern};
use crate::source::Source;
use crate::term::TermId;
use oxrdf::{Literal, NamedNodeRef, TermRef, Variable};
use spargebra::Query;
use spargebra::algebra::{AggregateExpression, AggregateFunction, Expression, GraphPattern};
use spargebra::term::{GroundTerm, NamedNodePattern, TermPattern, TriplePattern};
use std::collections::HashSet;

/// Rewrites the pattern of a query. `plain` says that its default graph is the store's, and that alone.
pub(super) fn improve_query(query: &mut Query, source: &Source, plain: bool) {
    let (Query::Select { pattern, .. }
    | Query::Construct { pattern, .. }
    | Query::Describe { pattern, .. }
    | Query::Ask { pattern, .. }) = query;
    improve(pattern, source, plain);
}

/// Rewrites a pattern; see [`improve_query`].
pub(super) fn improve(pattern: &mut GraphPattern, source: &Source, plain: bool) {
    Planner { source, plain }.visit(pattern, &HashSet::new());
}

/// Variables by their names, and blank nodes, which are variables here.
type Names = HashSet<String>;

struct Planner<'a> {
    source: &'a Source,
    plain: bool,
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
        let expect = |pattern: TriplePattern| (self.expected(&pattern), pattern);
        let mut patterns: Vec<_> = patterns.into_iter().map(expect).collect();
        let mut unconnected: Option<GraphPattern> = None;
        while !patterns.is_empty() {
            let mut chain: Option<GraphPattern> = None;
            while let Some(next) = cheapest(&patterns, &bound, chain.is_some()) {
                let (_, next) = patterns.swap_remove(next);
                bound.extend(names(&next));
                let next = GraphPattern::Bgp { patterns: vec![next] };
                chain = Some(match chain {
                    None => next,
                    Some(left) => GraphPattern::Lateral { left: left.into(), right: next.into() },
                });
            }
            unconnected = match (unconnected, chain) {
                (Some(left), Some(right)) => {
                    Some(GraphPattern::Join { left: left.into(), right: right.into() })
                }
                (left, right) => left.or(right),
            };
        }
        unconnected.unwrap_or_default()
    }

    /// What is expected of a pattern, by what the indexes count.
    fn expected(&self, pattern: &TriplePattern) -> Expected {
        let Some(constants) = self.constants(pattern, Graphs::All) else { return Expected::NOTHING };
        let rows = self.source.view.estimate(&constants);
        let (per_subject, per_object) = match constants.predicate {
            Some(predicate) => self.source.view.fanouts(predicate),
            None => (PER_SUBJECT, PER_OBJECT),
        };
        let all = match constants.predicate {
            Some(_) if constants.subject.is_some() || constants.object.is_some() => {
                self.source.view.estimate(&Pattern { predicate: constants.predicate, ..Pattern::ALL })
            }
            _ => rows,
        };
        let share = |fanout: f64| (fanout / all.max(1.0)).min(1.0);
        Expected { rows, of_a_subject: share(per_subject), of_an_object: share(per_object) }
    }

    /// The pattern of a triple pattern's constants, or `None` if one of them occurs nowhere.
    fn constants(&self, pattern: &TriplePattern, graphs: Graphs) -> Option<Pattern> {
        let dictionary = &self.source.engine.dictionary;
        let id = |term: Option<TermRef<'_>>| -> Option<Option<TermId>> {
            term.map_or(Some(None), |term| dictionary.lookup(term).map(Some))
        };
        let predicate = match &pattern.predicate {
            NamedNodePattern::NamedNode(node) => Some(NamedNodeRef::from(node).into()),
            NamedNodePattern::Variable(_) => None,
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
        let counts = match aggregate {
            AggregateExpression::CountSolutions { distinct } => !distinct,
            AggregateExpression::FunctionCall {
                name: AggregateFunction::Count,
                expr: Expression::Variable(counted),
                distinct: false,
            } => names(pattern).any(|name| name == counted.to_string()),
            AggregateExpression::FunctionCall { .. } => false,
        };
        let distinct: Names = names(pattern).collect();
        let open = usize::from(constant_term(&pattern.subject).is_none())
            + usize::from(matches!(pattern.predicate, NamedNodePattern::Variable(_)))
            + usize::from(constant_term(&pattern.object).is_none());
        // A variable that occurs twice asks for more than a range.
        if !(self.plain && counts && is_flat(pattern) && distinct.len() == open) {
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

    /// Rows of the pattern for each row before it.
    fn per_row(&self, pattern: &TriplePattern, bound: &Names) -> f64 {
        let is_bound = |term: &TermPattern| name(term).is_some_and(|name| bound.contains(&name));
        let share = |is_bound: bool, share: f64| if is_bound { share } else { 1.0 };
        let predicate = match &pattern.predicate {
            NamedNodePattern::Variable(variable) => bound.contains(&variable.to_string()),
            NamedNodePattern::NamedNode(_) => false,
        };
        self.rows
            * share(is_bound(&pattern.subject), self.of_a_subject)
            * share(is_bound(&pattern.object), self.of_an_object)
            * share(predicate, PER_PREDICATE)
    }
}

/// The pattern that the fewest rows are expected of; of those only that have a variable in common with what is bound, if
/// that is asked for.
fn cheapest(patterns: &[(Expected, TriplePattern)], bound: &Names, connected: bool) -> Option<usize> {
    let costs = patterns.iter().enumerate().filter_map(|(number, (expected, pattern))| {
        let mut names = names(pattern).peekable();
        let is_connected = names.peek().is_none() || names.any(|name| bound.contains(&name));
        (is_connected || !connected).then(|| (number, expected.per_row(pattern, bound)))
    });
    costs.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(number, _)| number)
}

fn constant(variable: Variable, count: u64) -> GraphPattern {
    let count = GroundTerm::Literal(Literal::from(count.cast_signed()));
    GraphPattern::Values { variables: vec![variable], bindings: vec![vec![Some(count)]] }
}

/// Whether no triple is quoted in it.
fn is_flat(pattern: &TriplePattern) -> bool {
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

fn names(pattern: &TriplePattern) -> impl Iterator<Item = String> {
    let predicate = match &pattern.predicate {
        NamedNodePattern::Variable(variable) => Some(variable.to_string()),
        NamedNodePattern::NamedNode(_) => None,
    };
    [name(&pattern.subject), predicate, name(&pattern.object)].into_iter().flatten()
}
