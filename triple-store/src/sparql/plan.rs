//! What the store knows that the optimizer can't: how many quads match.
//!
//! The optimizer of `sparopt` orders the patterns of a join by their shape alone, and those in `EXISTS` not at all. Here
//! they are ordered by what the indexes count, before it sees them: see [`join`]. A count of one pattern is answered by
//! the index altogether.

mod condition;
mod equal;
mod estimate;
mod join;
mod members;
mod names;
mod once;
mod variables;

use super::paths::{self, Step};
use super::simple;
use crate::engine::source::Source;
use crate::terms::pattern::Graphs;
use crate::terms::term::TermId;
use estimate::with_scope;
pub(super) use members::Lists;
use names::variable;
pub(super) use names::{Names, is_flat, names};
pub(super) use once::{Once, argument};
use oxrdf::{Literal, NamedNode, Variable};
use spargebra::Query;
use spargebra::algebra::{AggregateExpression, AggregateFunction, Expression, GraphPattern, OrderExpression};
use spargebra::term::{GroundTerm, NamedNodePattern, TriplePattern};
use std::cell::{Cell, RefCell};
pub(super) use variables::Scope;
use variables::{assigns, fits};

/// What the evaluator has to know of a pattern that was rewritten.
#[derive(Default)]
pub(super) struct Plan {
    /// Whether there is nothing left to optimize.
    pub(super) is_finished: bool,
    /// The lists that are looked into by hash.
    pub(super) lists: Lists,
    /// The patterns of `EXISTS` that are evaluated once.
    pub(super) onces: Vec<Once>,
    /// Whether it calls the functions that the planner knows.
    pub(super) calls_functions: bool,
}

/// Triple patterns as the evaluator's plan names them, and the rows that are expected of each.
pub(super) type Estimates = Vec<(String, f64)>;

/// Rewrites the pattern of a query. `plain` says that its default graph is the store's, and that alone.
pub(super) fn improve_query(
    query: &mut Query,
    source: &Source,
    steps: &[Vec<Step>],
    plain: bool,
    estimates: Option<&RefCell<Estimates>>,
) -> Plan {
    let (Query::Select { pattern, .. }
    | Query::Construct { pattern, .. }
    | Query::Describe { pattern, .. }
    | Query::Ask { pattern, .. }) = query;
    let simple = simple::is_simple(pattern);
    let improved = improved(pattern, source, steps, plain, simple, estimates);
    Plan { is_finished: simple && simple::is_connected(pattern), ..improved }
}

/// Rewrites the pattern of an update; see [`improve_query`].
pub(super) fn improve(pattern: &mut GraphPattern, source: &Source, steps: &[Vec<Step>], plain: bool) -> Plan {
    improved(pattern, source, steps, plain, false, None)
}

fn improved(
    pattern: &mut GraphPattern,
    source: &Source,
    steps: &[Vec<Step>],
    plain: bool,
    simple: bool,
    estimates: Option<&RefCell<Estimates>>,
) -> Plan {
    let (lists, onces, keys) = (RefCell::default(), RefCell::default(), Cell::new(0));
    let planner = Planner {
        source,
        steps,
        plain,
        simple,
        in_exists: false,
        graph: In::One,
        lists: &lists,
        onces: &onces,
        keys: &keys,
        estimates,
        times: 1.0,
    };
    planner.visit(pattern, &Names::default());
    let onces = onces.into_inner();
    Plan {
        is_finished: false,
        lists: lists.into_inner(),
        calls_functions: keys.get() > 0 || !onces.is_empty(),
        onces,
    }
}

/// The graph that a pattern is matched in.
#[derive(Clone, Copy)]
enum In<'a> {
    /// The default graph.
    One,
    Named(&'a NamedNode),
    /// The value of a variable.
    Each(&'a Variable),
    /// The value of a variable that the sub-query doesn't give out.
    Hidden,
}

#[derive(Clone, Copy)]
struct Planner<'a> {
    source: &'a Source,
    /// What the predicates of [paths] stand for.
    steps: &'a [Vec<Step>],
    plain: bool,
    /// Whether the optimizer is not to see the pattern.
    simple: bool,
    /// Whether the pattern is one of `EXISTS`, into which the optimizer doesn't look.
    in_exists: bool,
    graph: In<'a>,
    lists: &'a RefCell<Lists>,
    onces: &'a RefCell<Vec<Once>>,
    /// Keys that were given to equal values.
    keys: &'a Cell<usize>,
    estimates: Option<&'a RefCell<Estimates>>,
    /// How often the pattern is expected to be looked up. Known only for estimates.
    times: f64,
}

impl Planner<'_> {
    /// Rewrites what is below, where these variables are bound.
    fn visit(&self, pattern: &mut GraphPattern, bound: &Names) {
        match pattern {
            GraphPattern::Bgp { patterns } => {
                if patterns.len() > 1 && patterns.iter().all(is_flat) {
                    *pattern = self.join(pattern, bound);
                } else if let [alone] = &patterns[..]
                    && self.estimates.is_some()
                {
                    self.estimate(alone, self.expected(alone).rows_per_row(&names(alone), bound));
                }
            }
            GraphPattern::Join { .. } => *pattern = self.join(pattern, bound),
            GraphPattern::LeftJoin { left, right, expression } => {
                if let Some(expression) = expression {
                    self.optional_by_value(expression, left, right);
                }
                self.visit(left, bound);
                let scope = with_scope(bound, left);
                self.each_time(|| self.rows_per_row(left, bound)).visit(right, &scope);
                if let Some(expression) = expression {
                    let rows = self.rows_for(expression, left, bound);
                    self.visit_expression(expression, &with_scope(&scope, right), rows);
                }
                if self.simple || self.in_exists && can_be_looked_up(left, right) {
                    *pattern =
                        simple::row_by_row(std::mem::take(left), std::mem::take(right), expression.take());
                } else if !fits(right, &Scope::of(left).all) {
                    let alone = self.alone(std::mem::take(right));
                    *right = alone.into();
                }
            }
            GraphPattern::Lateral { left, right } => {
                self.visit(left, bound);
                let each = self.each_time(|| self.rows_per_row(left, bound));
                each.visit(right, &with_scope(bound, left));
            }
            GraphPattern::Union { left, right } | GraphPattern::Minus { left, right } => {
                self.visit(left, bound);
                self.visit(right, bound);
            }
            GraphPattern::Graph { inner, name } => {
                let graph = match name {
                    NamedNodePattern::Variable(name) => In::Each(name),
                    NamedNodePattern::NamedNode(name) => In::Named(name),
                };
                Planner { plain: false, graph, ..*self }.visit(inner, bound);
            }
            GraphPattern::Group { inner, variables, aggregates } => {
                if let (GraphPattern::Bgp { patterns }, [(variable, aggregate)]) = (&**inner, &**aggregates)
                    && variables.is_empty()
                    && let Some(count) = self.count(patterns, aggregate)
                {
                    *pattern = constant(variable.clone(), count);
                    return;
                }
                self.visit(inner, bound);
                let scope = with_scope(bound, inner);
                for (_, aggregate) in aggregates {
                    if let AggregateExpression::FunctionCall { expr, .. } = aggregate {
                        let rows = self.rows_for(expr, inner, bound);
                        self.visit_expression(expr, &scope, rows);
                    }
                }
            }
            GraphPattern::Filter { .. } => self.visit_filter(pattern, bound),
            GraphPattern::Extend { inner, expression, .. } => {
                self.visit(inner, bound);
                let rows = self.rows_for(expression, inner, bound);
                self.visit_expression(expression, &with_scope(bound, inner), rows);
            }
            GraphPattern::OrderBy { inner, expression } => {
                self.visit(inner, bound);
                let scope = with_scope(bound, inner);
                for OrderExpression::Asc(by) | OrderExpression::Desc(by) in expression {
                    let rows = self.rows_for(by, inner, bound);
                    self.visit_expression(by, &scope, rows);
                }
            }
            GraphPattern::Project { inner, variables } => {
                let visible = variables.iter().map(ToString::to_string).filter(|name| bound.contains(name));
                let graph = match self.graph {
                    In::Each(name) if !variables.contains(name) => In::Hidden,
                    graph => graph,
                };
                Self { graph, ..*self }.visit(inner, &visible.collect());
            }
            GraphPattern::Distinct { inner }
            | GraphPattern::Reduced { inner }
            | GraphPattern::Slice { inner, .. } => self.visit(inner, bound),
            GraphPattern::Path { .. } | GraphPattern::Values { .. } | GraphPattern::Service { .. } => {}
        }
    }

    /// The planner for a pattern that is looked up for each of so many rows.
    fn each_time(&self, rows: impl FnOnce() -> f64) -> Self {
        let times = if self.estimates.is_some() { self.times * rows() } else { self.times };
        Self { times, ..*self }
    }

    /// Notes the rows that are expected of a triple pattern.
    fn estimate(&self, pattern: &TriplePattern, rows: f64) {
        let Some(estimates) = self.estimates else { return };
        let TriplePattern { subject, predicate, object } = pattern;
        let graph = match self.graph {
            In::One | In::Hidden => String::new(),
            In::Named(node) => format!(" {node}"),
            In::Each(variable) => format!(" {variable}"),
        };
        let name = format!("QuadPattern({subject} {predicate} {object}{graph})");
        estimates.borrow_mut().push((name, self.times * rows));
    }

    /// A pattern that the optimizer will not look up row by row, as it does with some that don't allow it: it doesn't see
    /// which variables the patterns of `EXISTS` mention.
    fn alone(&self, pattern: impl Into<Box<GraphPattern>>) -> GraphPattern {
        let inner = pattern.into();
        // In `EXISTS` it looks up nothing that the planner doesn't.
        if self.in_exists || matches!(self.graph, In::Hidden) {
            return *inner;
        }
        let mut variables: Vec<_> = Scope::of(&inner).all.iter().filter_map(|name| variable(name)).collect();
        if let In::Each(name) = self.graph
            && !variables.contains(name)
        {
            variables.push(name.clone());
        }
        GraphPattern::Project { inner, variables }
    }

    /// Rewrites what an expression holds, where these variables are bound in so many rows.
    fn visit_expression(&self, expression: &mut Expression, bound: &Names, rows: f64) {
        // A variable of the row that the pattern assigns anew is compared with that where the evaluator joins, and only
        // there.
        if let Expression::Exists(pattern) = expression
            && !assigns(pattern, bound)
        {
            if let Some(call) = self.once(pattern, bound, rows) {
                *expression = call;
                return;
            }
            Self { in_exists: true, ..self.each_time(|| rows) }.visit(pattern, bound);
        }
        self.lists.borrow_mut().take(expression);
        for child in super::walk::children_mut(expression) {
            self.visit_expression(child, bound, rows);
        }
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
        // A variable that occurs twice asks for more than a range, and so does a path; in `EXISTS` some have values.
        let is_path = matches!(&pattern.predicate, NamedNodePattern::NamedNode(node) if paths::is_path(node));
        if is_path || !(self.plain && !self.in_exists && counts && is_flat(pattern) && distinct.len() == open)
        {
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

/// Whether an `OPTIONAL` may be looked up for each row of its left side: see [`simple`].
fn can_be_looked_up(left: &GraphPattern, right: &GraphPattern) -> bool {
    let left = Scope::of(left).all;
    Scope::of(right).at_times().is_disjoint(&left) && fits(right, &left)
}

fn constant(variable: Variable, count: u64) -> GraphPattern {
    let count = GroundTerm::Literal(Literal::from(count.cast_signed()));
    GraphPattern::Values { variables: vec![variable], bindings: vec![vec![Some(count)]] }
}
