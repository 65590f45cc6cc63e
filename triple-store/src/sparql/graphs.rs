//! `GRAPH` (SPARQL 1.1 Query, 18.6) around patterns that do not read the graph themselves.
//!
//! The evaluator pushes the name of the graph down to the triple patterns. That is right if every solution comes from a
//! triple pattern, and wrong around `VALUES`, a subquery or a `MINUS`: the name stays unbound, all graphs are counted
//! together, or both sides of the `MINUS` get a common variable that the query does not give them. Around such a
//! pattern, the graphs are enumerated first, and the pattern is evaluated for each of them.

use super::rename;
use super::rules::Rules;
use super::visible::{self, always_bound, in_scope};
use super::walk::{Part, parts_of_expression, parts_of_pattern};
use oxrdf::Variable;
use spargebra::algebra::{Expression, GraphPattern};
use spargebra::term::NamedNodePattern;
use std::collections::{HashMap, HashSet};

/// Which solutions of a pattern come from triple patterns over the active graph.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Every,
    None,
    Some,
}

type Variables = HashSet<Variable>;

impl Rules<'_> {
    pub(super) fn graph(&mut self, pattern: &mut GraphPattern) {
        let GraphPattern::Graph { name, mut inner } = std::mem::take(pattern) else { return };
        let own = match &name {
            NamedNodePattern::NamedNode(_) => None,
            NamedNodePattern::Variable(graph) => {
                let own = self.own_name(&mut inner, graph);
                self.each_minus(&mut inner);
                pass_through_projections(&mut inner, graph);
                own
            }
        };
        let reads = reads(&inner, matches!(name, NamedNodePattern::NamedNode(_)));
        let of_graph = GraphPattern::Graph { name: name.clone(), inner };
        *pattern = if reads == Reads::Every {
            of_graph
        } else {
            let graphs = GraphPattern::Graph { name: name.clone(), inner: Box::default() };
            GraphPattern::Lateral { left: graphs.into(), right: of_graph.into() }
        };
        if let (Some(own), NamedNodePattern::Variable(graph)) = (own, name) {
            let expr = agree(&own, &graph);
            *pattern = GraphPattern::Filter { expr, inner: std::mem::take(pattern).into() };
        }
    }

    /// The graph's variable is bound after the pattern, not inside it. If the pattern has a variable with the same
    /// name, that variable is renamed, so that it is not bound from outside.
    fn own_name(&mut self, inner: &mut GraphPattern, graph: &Variable) -> Option<Variable> {
        let mut is_named = false;
        rename::variables(inner, &mut |variable| is_named |= variable == graph);
        if !is_named || only_joins(inner) {
            return None;
        }
        let own = self.variable();
        rename::variables(inner, &mut |variable| {
            if variable == graph {
                *variable = own.clone();
            }
        });
        Some(own)
    }

    /// All solutions have the graph's variable, which must not make a `MINUS` remove any of them.
    fn each_minus(&mut self, pattern: &mut GraphPattern) {
        parts_of_pattern(pattern, |part| match part {
            Part::Pattern(part) => self.each_minus(part),
            Part::Expression(part) => self.each_minus_in(part),
        });
        if let GraphPattern::Minus { left, right } = pattern {
            let (of_left, of_right) = (in_scope(left), in_scope(right));
            let mut shared: Vec<_> = of_left.intersection(&of_right).cloned().collect();
            shared.sort();
            if shared.is_empty() {
                *pattern = std::mem::take(left);
            } else if certain(left).is_disjoint(&certain(right)) {
                *pattern = self.not_exists(std::mem::take(left), std::mem::take(right), &shared);
            }
        }
    }

    fn each_minus_in(&mut self, expression: &mut Expression) {
        parts_of_expression(expression, |part| match part {
            Part::Pattern(part) => self.each_minus(part),
            Part::Expression(part) => self.each_minus_in(part),
        });
    }

    /// A `MINUS` as a condition. It fails if a solution of the other side binds at least one variable that this
    /// solution also binds, and has the same value in each of these variables.
    fn not_exists(
        &mut self,
        left: Box<GraphPattern>,
        mut right: Box<GraphPattern>,
        shared: &[Variable],
    ) -> GraphPattern {
        let mut names: HashMap<Variable, Variable> = HashMap::new();
        rename::variables(&mut right, &mut |variable| {
            let name = names.entry(variable.clone()).or_insert_with(|| self.variable());
            *variable = name.clone();
        });
        let pairs = || shared.iter().filter_map(|variable| Some((variable, names.get(variable)?)));
        let bound = |variable: &Variable| Expression::Bound(variable.clone());
        let both = |(a, b): (&Variable, &Variable)| Expression::And(bound(a).into(), bound(b).into());
        let meet = pairs().map(both).reduce(|a, b| Expression::Or(a.into(), b.into()));
        let agree = pairs().map(|(a, b)| {
            let unbound = Expression::Not(bound(a).into());
            Expression::Or(unbound.into(), agree(b, a).into())
        });
        let expr = agree.chain(meet).reduce(|a, b| Expression::And(a.into(), b.into()));
        let removes = GraphPattern::Filter { expr: expr.unwrap_or_else(true_literal), inner: right };
        GraphPattern::Filter { expr: Expression::Not(Expression::Exists(removes.into()).into()), inner: left }
    }
}

fn true_literal() -> Expression {
    oxrdf::Literal::from(true).into()
}

/// The condition that the first variable is unbound, or equal to the second one, which is bound.
fn agree(first: &Variable, second: &Variable) -> Expression {
    let same = Expression::SameTerm(
        Expression::Variable(first.clone()).into(),
        Expression::Variable(second.clone()).into(),
    );
    Expression::Or(Expression::Not(Expression::Bound(first.clone()).into()).into(), same.into())
}

fn only_joins(pattern: &GraphPattern) -> bool {
    match pattern {
        GraphPattern::Bgp { .. } | GraphPattern::Path { .. } => true,
        GraphPattern::Join { left, right } | GraphPattern::Union { left, right } => {
            only_joins(left) && only_joins(right)
        }
        _ => false,
    }
}

/// Passes the graph's name to the patterns below projections.
fn pass_through_projections(pattern: &mut GraphPattern, graph: &Variable) {
    if let GraphPattern::Project { variables, .. } = pattern
        && !variables.contains(graph)
    {
        variables.push(graph.clone());
    }
    if matches!(pattern, GraphPattern::Graph { .. }) {
        return;
    }
    parts_of_pattern(pattern, |part| match part {
        Part::Pattern(part) => pass_through_projections(part, graph),
        Part::Expression(part) => pass_through(part, graph),
    });
}

fn pass_through(expression: &mut Expression, graph: &Variable) {
    parts_of_expression(expression, |part| match part {
        Part::Pattern(part) => pass_through_projections(part, graph),
        Part::Expression(part) => pass_through(part, graph),
    });
}

/// Whether `GRAPH ?g` around the pattern binds `?g` in each solution.
pub(super) fn binds_the_graph(pattern: &GraphPattern) -> bool {
    reads(pattern, false) == Reads::Every
}

/// Which solutions come from triple patterns over the graph. With `of_a_name`, the query names the graph by its IRI: no
/// variable has to be bound to the graph, which only has to exist.
fn reads(pattern: &GraphPattern, of_a_name: bool) -> Reads {
    let of = |pattern: &GraphPattern| reads(pattern, of_a_name);
    match pattern {
        GraphPattern::Bgp { .. } | GraphPattern::Path { .. } => Reads::Every,
        GraphPattern::Values { .. } | GraphPattern::Graph { .. } => Reads::None,
        GraphPattern::Join { left, right } | GraphPattern::Lateral { left, right } => {
            match (of(left), of(right)) {
                (Reads::Every, Reads::Every | Reads::None) | (Reads::None, Reads::Every) => Reads::Every,
                (Reads::None, Reads::None) => Reads::None,
                _ => Reads::Some,
            }
        }
        GraphPattern::LeftJoin { left, right, .. } | GraphPattern::Minus { left, right } => {
            match (of(left), of(right)) {
                (Reads::Every, Reads::Every | Reads::None) => Reads::Every,
                (Reads::None, Reads::None) if !has_exists(pattern) => Reads::None,
                _ => Reads::Some,
            }
        }
        GraphPattern::Union { left, right } => match (of(left), of(right)) {
            (left, right) if left == right => left,
            _ => Reads::Some,
        },
        GraphPattern::Filter { inner, .. } | GraphPattern::Extend { inner, .. } => match of(inner) {
            Reads::None if has_exists(pattern) => Reads::Some,
            reads => reads,
        },
        GraphPattern::OrderBy { inner, .. }
        | GraphPattern::Distinct { inner }
        | GraphPattern::Reduced { inner } => of(inner),
        GraphPattern::Project { inner, .. } | GraphPattern::Slice { inner, .. } => match of(inner) {
            Reads::Every if !of_a_name => Reads::Some,
            reads => reads,
        },
        GraphPattern::Group { inner, variables, .. } => match of(inner) {
            Reads::Every if of_a_name && !variables.is_empty() => Reads::Every,
            _ => Reads::Some,
        },
        GraphPattern::Service { .. } => Reads::Some,
    }
}

fn has_exists(pattern: &GraphPattern) -> bool {
    let mut found = false;
    parts_of_pattern(&mut pattern.clone(), |part| {
        if let Part::Expression(part) = part {
            found |= visible::has_exists(part);
        }
    });
    found
}

/// The variables that each solution binds.
fn certain(pattern: &GraphPattern) -> Variables {
    always_bound(pattern, &|part| match part {
        GraphPattern::Bgp { .. } | GraphPattern::Path { .. } => in_scope(part),
        GraphPattern::Graph { name, inner } => {
            let mut all = certain(inner);
            if let NamedNodePattern::Variable(graph) = name {
                all.insert(graph.clone());
            }
            all
        }
        GraphPattern::Values { variables, bindings } => {
            let always = |at: &usize| bindings.iter().all(|row| row[*at].is_some());
            (0..variables.len()).filter(always).map(|at| variables[at].clone()).collect()
        }
        _ => Variables::new(),
    })
}
