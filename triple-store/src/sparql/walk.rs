//! The direct parts of patterns and expressions.

use spargebra::algebra::{AggregateExpression, Expression, GraphPattern, OrderExpression};

/// A pattern or an expression.
pub(super) enum Part<'a> {
    Pattern(&'a mut GraphPattern),
    Expression(&'a mut Expression),
}

/// Calls `each` with each direct part of a pattern.
pub(super) fn parts_of_pattern(pattern: &mut GraphPattern, mut each: impl FnMut(Part<'_>)) {
    match pattern {
        GraphPattern::Bgp { .. } | GraphPattern::Path { .. } | GraphPattern::Values { .. } => {}
        GraphPattern::Join { left, right }
        | GraphPattern::Lateral { left, right }
        | GraphPattern::Union { left, right }
        | GraphPattern::Minus { left, right } => {
            each(Part::Pattern(left));
            each(Part::Pattern(right));
        }
        GraphPattern::LeftJoin { left, right, expression } => {
            each(Part::Pattern(left));
            each(Part::Pattern(right));
            if let Some(expression) = expression {
                each(Part::Expression(expression));
            }
        }
        GraphPattern::Filter { expr: expression, inner } | GraphPattern::Extend { inner, expression, .. } => {
            each(Part::Pattern(inner));
            each(Part::Expression(expression));
        }
        GraphPattern::OrderBy { inner, expression } => {
            each(Part::Pattern(inner));
            for order in expression {
                let (OrderExpression::Asc(expression) | OrderExpression::Desc(expression)) = order;
                each(Part::Expression(expression));
            }
        }
        GraphPattern::Group { inner, aggregates, .. } => {
            each(Part::Pattern(inner));
            for (_, aggregate) in aggregates {
                if let AggregateExpression::FunctionCall { expr, .. } = aggregate {
                    each(Part::Expression(expr));
                }
            }
        }
        GraphPattern::Graph { inner, .. }
        | GraphPattern::Project { inner, .. }
        | GraphPattern::Distinct { inner }
        | GraphPattern::Reduced { inner }
        | GraphPattern::Slice { inner, .. }
        | GraphPattern::Service { inner, .. } => each(Part::Pattern(inner)),
    }
}

/// Calls `each` with each direct part of an expression.
pub(super) fn parts_of_expression(expression: &mut Expression, mut each: impl FnMut(Part<'_>)) {
    if let Expression::Exists(pattern) = expression {
        each(Part::Pattern(pattern));
    } else {
        for part in children_mut(expression) {
            each(Part::Expression(part));
        }
    }
}

/// The body of [`children`] and [`children_mut`], which differ in `mut` alone.
macro_rules! children {
    ($expression:expr, $iter:ident $(, $mutable:tt)?) => {
        match $expression {
            Expression::NamedNode(_)
            | Expression::Literal(_)
            | Expression::Variable(_)
            | Expression::Bound(_)
            | Expression::Exists(_) => Vec::new(),
            Expression::Or(a, b)
            | Expression::And(a, b)
            | Expression::Equal(a, b)
            | Expression::SameTerm(a, b)
            | Expression::Greater(a, b)
            | Expression::GreaterOrEqual(a, b)
            | Expression::Less(a, b)
            | Expression::LessOrEqual(a, b)
            | Expression::Add(a, b)
            | Expression::Subtract(a, b)
            | Expression::Multiply(a, b)
            | Expression::Divide(a, b) => vec![a, b],
            Expression::UnaryPlus(a) | Expression::UnaryMinus(a) | Expression::Not(a) => vec![a],
            Expression::If(a, b, c) => vec![a, b, c],
            Expression::In(a, list) => std::iter::once(& $($mutable)? **a).chain(list).collect(),
            Expression::Coalesce(list) | Expression::FunctionCall(_, list) => list.$iter().collect(),
        }
    };
}

/// The expressions that an expression is made of.
pub(super) fn children(expression: &Expression) -> Vec<&Expression> {
    children!(expression, iter)
}

/// As [`children`], but mutable.
pub(super) fn children_mut(expression: &mut Expression) -> Vec<&mut Expression> {
    children!(expression, iter_mut, mut)
}
