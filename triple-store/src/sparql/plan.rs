//! The query planner. The planner reads from the indexes how many quads match a pattern; the optimizer does not have
//! these counts.
//!
//! The optimizer `sparopt` orders the patterns of a join only by their shape, and those in `EXISTS` not at all. Here
//! they are ordered by the counts of the indexes before the optimizer runs: see [`join`]. A query that counts the
//! matches of one pattern is answered from the index alone.

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

/// What the evaluator needs for a rewritten pattern.
#[derive(Default)]
pub(super) struct Plan {
    /// Whether the optimizer has nothing left to do.
    pub(super) is_finished: bool,
    /// The lists that are searched by hash.
    pub(super) lists: Lists,
    /// The patterns of `EXISTS` that are evaluated once.
    pub(super) onces: Vec<Once>,
    /// Whether the pattern calls functions of the planner.
    pub(super) calls_functions: bool,
}

/// Triple patterns as they are named in the evaluator's plan, with the estimated number of rows.
pub(super) type Estimates = Vec<(String, f64)>;

/// Rewrites the pattern of a query. `plain` says that its default graph is exactly that of the store.
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

/// The graph in which a pattern is matched.
#[derive(Clone, Copy)]
enum In<'a> {
    /// The default graph.
    One,
    Named(&'a NamedNode),
    /// The value of a variable.
    Each(&'a Variable),
    /// The value of a variable that the sub-query does not return.
    Hidden,
}

#[derive(Clone, Copy)]
struct Planner<'a> {
    source: &'a Source,
    /// The steps for which the predicates of [paths] stand.
    steps: &'a [Vec<Step>],
    plain: bool,
    /// Whether the optimizer will not run on the pattern.
    simple: bool,
    /// Whether the pattern is inside `EXISTS`, which the optimizer does not change.
    in_exists: bool,
    graph: In<'a>,
    lists: &'a RefCell<Lists>,
    onces: &'a RefCell<Vec<Once>>,
    /// How many keys were made for joins by value.
    keys: &'a Cell<usize>,
    estimates: Option<&'a RefCell<Estimates>>,
    /// How often the pattern is looked up, by estimate. It is used only for estimates.
    times: f64,
}

impl Planner<'_> {
    /// Rewrites a pattern in which these variables are bound.
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

    /// The planner for a pattern that is looked up for each of `rows` rows.
    fn each_time(&self, rows: impl FnOnce() -> f64) -> Self {
        let times = if self.estimates.is_some() { self.times * rows() } else { self.times };
        Self { times, ..*self }
    }

    /// Records the estimated number of rows of a triple pattern.
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

    /// Wraps a pattern so that the optimizer does not look it up row by row. The optimizer ignores the variables of
    /// patterns in `EXISTS`, so it would do this even where the result is wrong.
    fn alone(&self, pattern: impl Into<Box<GraphPattern>>) -> GraphPattern {
        let inner = pattern.into();
        // In `EXISTS`, the optimizer looks up nothing row by row.
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

    /// Rewrites the patterns in an expression, in which these variables are bound by `rows` rows.
    fn visit_expression(&self, expression: &mut Expression, bound: &Names, rows: f64) {
        // If the pattern assigns a variable of the row again, the evaluator compares the two values only where it joins
        // them.
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

    /// The value of an aggregate that counts the matches of one pattern in the store's default graph.
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
        // A variable that occurs twice needs more than a range, and so does a path. In `EXISTS`, some variables have
        // values.
        let is_path = matches!(&pattern.predicate, NamedNodePattern::NamedNode(node) if paths::is_path(node));
        if is_path || !(self.plain && !self.in_exists && counts && is_flat(pattern) && distinct.len() == open)
        {
            return None;
        }
        match self.constants(pattern, Graphs::One(TermId::DEFAULT_GRAPH)) {
            Ok(Some(pattern)) => self.source.count(&pattern).ok(),
            // A transaction has to record the quads that it found absent, and a record requires ids.
            Ok(None) if self.source.reads.is_some() => None,
            Ok(None) => Some(0),
            // The evaluation returns the error.
            Err(_) => None,
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
