//! Joins of patterns that share no variable, by a condition that compares their values for equality.
//!
//! Each side binds a new variable to a key that is the same for equal values. So the two sides are joined by a hash
//! table. The condition is kept, because unequal values may have the same key.

use super::Planner;
use super::condition::conjuncts;
use super::join::{Leaf, leaves};
use super::names::Names;
use super::variables::{Scope, mentioned_in_expression};
use crate::sparql::functions::KEY;
use oxrdf::{Literal, NamedNode, Variable};
use spargebra::algebra::{Expression, Function, GraphPattern};

/// Joined patterns, and the variables that each of their rows binds.
struct Side {
    pattern: GraphPattern,
    certain: Names,
    all: Names,
}

impl Planner<'_> {
    /// Joins parts that share no variable by equal values, if one of the conditions compares them.
    pub(super) fn join_by_value(&self, conditions: &[Expression], inner: &mut GraphPattern, bound: &Names) {
        // The optimizer chooses no keys in these cases.
        if self.in_exists || !matches!(inner, GraphPattern::Bgp { .. } | GraphPattern::Join { .. }) {
            return;
        }
        let equal: Vec<_> = conditions.iter().filter_map(sides_of).collect();
        if equal.is_empty() {
            return;
        }
        let mut sides = connected(inner, bound);
        for (a, b) in equal {
            let place = |expression| {
                let mut used = Names::default();
                mentioned_in_expression(expression, &mut used);
                let holds = |side: &Side| used.is_subset(&side.certain);
                if used.is_empty() { None } else { sides.iter().position(holds) }
            };
            let (Some(at), Some(other)) = (place(a), place(b)) else { continue };
            if at == other {
                continue;
            }
            let key = self.new_key();
            let second = sides.remove(at.max(other));
            let first = &mut sides[at.min(other)];
            let (of_first, of_second) = if at < other { (a, b) } else { (b, a) };
            first.certain.extend(second.certain);
            first.all.extend(second.all);
            let left = with_key(std::mem::take(&mut first.pattern), &key, of_first, "left");
            let right = with_key(second.pattern, &key, of_second, "right");
            first.pattern = GraphPattern::Join { left: left.into(), right: right.into() };
        }
        let join = |left: GraphPattern, right: GraphPattern| GraphPattern::Join {
            left: left.into(),
            right: right.into(),
        };
        if let Some(joined) = sides.into_iter().map(|side| side.pattern).reduce(join) {
            *inner = joined;
        }
    }

    /// The same for an `OPTIONAL` that shares no variable with the pattern before it and compares values for
    /// equality.
    pub(super) fn optional_by_value(
        &self,
        condition: &Expression,
        left: &mut GraphPattern,
        right: &mut GraphPattern,
    ) {
        let (first, second) = (Scope::of(left), Scope::of(right));
        if self.in_exists || !first.all.is_disjoint(&second.all) {
            return;
        }
        let is_of = |expression: &Expression, scope: &Scope| {
            let mut used = Names::default();
            mentioned_in_expression(expression, &mut used);
            !used.is_empty() && used.is_subset(&scope.certain)
        };
        let conditions = conjuncts(condition.clone());
        let both_ways = |(a, b)| [(a, b), (b, a)];
        let mut sides = conditions.iter().filter_map(sides_of).flat_map(both_ways);
        let sides = sides.find(|(a, b)| is_of(a, &first) && is_of(b, &second));
        if let Some((of_left, of_right)) = sides {
            let key = self.new_key();
            *left = with_key(std::mem::take(left), &key, of_left, "left");
            *right = with_key(std::mem::take(right), &key, of_right, "right");
        }
    }

    fn new_key(&self) -> Variable {
        Variable::new_unchecked(format!(" key {}", self.keys.replace(self.keys.get() + 1)))
    }
}

fn sides_of(condition: &Expression) -> Option<(&Expression, &Expression)> {
    match condition {
        Expression::Equal(a, b) | Expression::SameTerm(a, b) => {
            (!super::condition::holds_a_pattern(condition) && super::condition::is_deterministic(condition))
                .then_some((&**a, &**b))
        }
        _ => None,
    }
}

/// The parts of a join. Patterns that share variables are in the same part.
fn connected(join: &GraphPattern, bound: &Names) -> Vec<Side> {
    let mut sides: Vec<Side> = Vec::new();
    for leaf in leaves(join) {
        let pattern = match leaf {
            Leaf::Triple(triple) => GraphPattern::Bgp { patterns: vec![triple.clone()] },
            Leaf::Other(pattern) => pattern.clone(),
        };
        let Scope { certain, all } = Scope::of(&pattern);
        let mut side = Side { pattern, certain, all };
        let is_shared = |name: &String, other: &Side| !bound.contains(name) && other.all.contains(name);
        while let Some(at) = sides.iter().position(|other| side.all.iter().any(|name| is_shared(name, other)))
        {
            let other = sides.remove(at);
            side.certain.extend(other.certain);
            side.all.extend(other.all);
            side.pattern = GraphPattern::Join { left: other.pattern.into(), right: side.pattern.into() };
        }
        sides.push(side);
    }
    sides
}

/// Binds the key of an expression's value. For an error, the key is one that the other side never has.
fn with_key(pattern: GraphPattern, key: &Variable, expression: &Expression, side: &str) -> GraphPattern {
    let function = Function::Custom(NamedNode::new_unchecked(KEY));
    let of_value = Expression::FunctionCall(function, vec![expression.clone()]);
    let of_error = Literal::new_typed_literal(side, NamedNode::new_unchecked(KEY));
    let expression = Expression::Coalesce(vec![of_value, of_error.into()]);
    GraphPattern::Extend { inner: pattern.into(), variable: key.clone(), expression }
}
