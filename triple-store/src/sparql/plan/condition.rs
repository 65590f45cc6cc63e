//! Conditions of filters.

use super::join::{Leaf, leaves};
use super::members::nodes;
use super::names::Names;
use super::variables::{Scope, expressions, fits, mentioned_in_expression, patterns};
use super::{Planner, with_scope};
use crate::sparql::custom::EXACTLY;
use crate::sparql::functions;
use crate::sparql::walk::children;
use oxrdf::NamedNode;
use spargebra::algebra::{Expression, Function, GraphPattern};

impl Planner<'_> {
    /// Rewrites a condition and its pattern.
    pub(super) fn visit_filter(&self, pattern: &mut GraphPattern, bound: &Names) {
        let GraphPattern::Filter { expr, inner } = pattern else { return };
        let mut conditions = conjuncts(std::mem::replace(expr, true_value()));
        for condition in &mut conditions {
            if let Some(absent) = absence(condition, inner, bound) {
                *condition = absent;
            }
        }
        self.begin_with_a_list(&mut conditions, inner, bound);
        self.join_by_value(&conditions, inner, bound);
        self.visit(inner, bound);
        let scope = with_scope(bound, inner);
        let rows = if conditions.iter().any(holds_a_pattern) { self.rows_per_row(inner, bound) } else { 1.0 };
        for condition in &mut conditions {
            self.visit_expression(condition, &scope, rows);
        }
        let mut inner = std::mem::take(inner);
        if self.simple {
            for condition in conditions {
                put(condition, &mut inner);
            }
            *pattern = *inner;
            return;
        }
        *pattern = match cheap_first(conditions) {
            Some(expr) => GraphPattern::Filter { expr, inner },
            None => *inner,
        };
    }

    /// Turns `?x IN (...)` or `?x = ...` into `VALUES` if all compared terms are nodes and the join should begin with
    /// these nodes.
    fn begin_with_a_list(&self, conditions: &mut Vec<Expression>, inner: &mut GraphPattern, bound: &Names) {
        if !matches!(inner, GraphPattern::Bgp { .. } | GraphPattern::Join { .. }) {
            return;
        }
        let certain = Scope::of(inner).certain;
        for number in 0..conditions.len() {
            let Some(values) =
                nodes(&conditions[number], |name| certain.contains(name) && !bound.contains(name))
            else {
                continue;
            };
            let mut joined = leaves(inner);
            joined.push(Leaf::Other(&values));
            let last = joined.len() - 1;
            let parts: Vec<_> = joined.into_iter().map(|leaf| self.part(leaf)).collect();
            if self.order(&parts, bound).iter().any(|step| step.begins_with(last)) {
                let join = GraphPattern::Join { left: values.into(), right: std::mem::take(inner).into() };
                *inner = join;
                conditions.swap_remove(number);
                return;
            }
        }
    }
}

/// Moves a condition of a [simple](crate::sparql::simple) pattern, whose joins are in order, to the first place where
/// its variables are bound.
fn put(condition: Expression, pattern: &mut GraphPattern) {
    let mut used = Names::default();
    mentioned_in_expression(&condition, &mut used);
    put_where_bound(condition, used, pattern);
}

/// `unbound` are the variables of the condition that nothing before the pattern binds.
fn put_where_bound(condition: Expression, mut unbound: Names, pattern: &mut GraphPattern) {
    if let GraphPattern::Lateral { left, right } = pattern {
        let certain = Scope::of(left).certain;
        if unbound.is_subset(&certain) {
            return put_where_bound(condition, unbound, left);
        }
        if let GraphPattern::Lateral { .. } = **right {
            unbound.retain(|name| !certain.contains(name));
            return put_where_bound(condition, unbound, right);
        }
    }
    let inner = std::mem::take(pattern).into();
    *pattern = GraphPattern::Filter { expr: condition, inner };
}

/// Turns `!BOUND(?x)` into `NOT EXISTS` of the `OPTIONAL` before it, whose evaluation ends at the first row. This
/// requires that only the `OPTIONAL` binds `?x`, and that each of its rows does. Within `EXISTS` or `LATERAL`, the
/// outer row may bind `?x` too.
fn absence(condition: &Expression, inner: &mut GraphPattern, bound: &Names) -> Option<Expression> {
    let Expression::Not(condition) = condition else { return None };
    let Expression::Bound(variable) = &**condition else { return None };
    let name = variable.to_string();
    let GraphPattern::LeftJoin { left, right, expression } = inner else { return None };
    let known = Scope::of(left).all;
    let is_its_own = !bound.contains(&name) && !known.contains(&name);
    if !is_its_own || !Scope::of(right).certain.contains(&name) || !fits(right, &known) {
        return None;
    }
    let right = std::mem::take(right);
    let right = match expression.take() {
        Some(expr) => GraphPattern::Filter { expr, inner: right }.into(),
        None => right,
    };
    let left = std::mem::take(&mut **left);
    *inner = left;
    Some(Expression::Not(Expression::Exists(right).into()))
}

/// The parts of a conjunction.
pub(super) fn conjuncts(condition: Expression) -> Vec<Expression> {
    let (mut conditions, mut rest) = (Vec::new(), vec![condition]);
    while let Some(condition) = rest.pop() {
        match condition {
            Expression::And(left, right) => rest.extend([*right, *left]),
            condition => conditions.push(condition),
        }
    }
    conditions
}

/// Combines all conditions into one that evaluates patterns only if the other conditions hold. The optimizer
/// evaluates conditions in any order, except those of `IF`. So the other conditions become the condition of an `IF`,
/// and they also stand beside it, so that they are evaluated as early as possible.
fn cheap_first(conditions: Vec<Expression>) -> Option<Expression> {
    let (expensive, cheap): (Vec<_>, Vec<_>) = conditions.into_iter().partition(holds_a_pattern);
    let all = |conditions: Vec<Expression>| conditions.into_iter().reduce(and);
    let again: Vec<_> = cheap.iter().filter(|condition| is_repeatable(condition)).cloned().collect();
    let guarded = match (all(again), all(expensive)) {
        (Some(cheap), Some(expensive)) => {
            let no = Expression::Literal(false.into());
            Some(Expression::If(cheap.into(), expensive.into(), no.into()))
        }
        (_, expensive) => expensive,
    };
    match (all(cheap), guarded) {
        (Some(cheap), Some(guarded)) => Some(and(cheap, guarded)),
        (cheap, guarded) => cheap.or(guarded),
    }
}

fn and(left: Expression, right: Expression) -> Expression {
    Expression::And(left.into(), right.into())
}

fn true_value() -> Expression {
    Expression::Literal(true.into())
}

pub(super) fn holds_a_pattern(condition: &Expression) -> bool {
    matches!(condition, Expression::Exists(_)) || children(condition).into_iter().any(holds_a_pattern)
}

/// Whether a condition has the same value each time that it is evaluated.
fn is_repeatable(condition: &Expression) -> bool {
    use Function::{BNode, Custom, Rand, StrUuid, Uuid};
    let varies = matches!(condition, Expression::FunctionCall(BNode | Custom(_) | Rand | StrUuid | Uuid, _));
    !varies && children(condition).into_iter().all(is_repeatable)
}

/// The namespace of the casts.
const XSD: &str = "http://www.w3.org/2001/XMLSchema#";

/// Whether a pattern has the same rows each time that it is evaluated, also in different evaluations.
pub(super) fn is_deterministic_pattern(pattern: &GraphPattern) -> bool {
    !matches!(pattern, GraphPattern::Service { .. })
        && expressions(pattern).into_iter().all(is_deterministic)
        && patterns(pattern).into_iter().all(is_deterministic_pattern)
}

pub(super) fn is_deterministic(expression: &Expression) -> bool {
    use Function::{BNode, Now, Rand, StrUuid, Uuid};
    let is_own = |name: &NamedNode| {
        let name = name.as_str();
        let varies = name == functions::BNODE || name == functions::ROW || name.starts_with(EXACTLY);
        name.starts_with(' ') && !varies || name.starts_with(XSD)
    };
    match expression {
        Expression::Exists(pattern) => is_deterministic_pattern(pattern),
        Expression::FunctionCall(BNode | Now | Rand | StrUuid | Uuid, _) => false,
        Expression::FunctionCall(Function::Custom(name), _) if !is_own(name) => false,
        expression => children(expression).into_iter().all(is_deterministic),
    }
}
