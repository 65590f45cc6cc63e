//! Which variables a pattern binds, and whether the pattern may be looked up row by row.

use super::names::{Names, of_term};
use crate::sparql::walk::children;
use spargebra::algebra::{AggregateExpression, Expression, GraphPattern, OrderExpression};
use spargebra::term::{NamedNodePattern, TermPattern, TriplePattern, Variable};

/// The variables of a pattern's rows. Blank nodes are variables here.
#[derive(Clone, Default)]
pub(in super::super) struct Scope {
    /// The variables that each row binds.
    pub(in super::super) certain: Names,
    /// The variables that some row may bind, including `certain`.
    pub(super) all: Names,
}

impl Scope {
    pub(in super::super) fn of(pattern: &GraphPattern) -> Self {
        match pattern {
            GraphPattern::Bgp { patterns } => {
                let mut scope = Self::default();
                for triple in patterns {
                    scope.bind_triple(triple);
                }
                scope
            }
            GraphPattern::Path { subject, object, .. } => {
                let mut scope = Self::default();
                scope.bind_term(subject);
                scope.bind_term(object);
                scope
            }
            GraphPattern::Join { left, right } | GraphPattern::Lateral { left, right } => {
                let (mut left, right) = (Self::of(left), Self::of(right));
                left.certain.extend(right.certain);
                left.all.extend(right.all);
                left
            }
            GraphPattern::LeftJoin { left, right, .. } => {
                let mut left = Self::of(left);
                left.all.extend(Self::of(right).all);
                left
            }
            GraphPattern::Union { left, right } => {
                let (mut left, right) = (Self::of(left), Self::of(right));
                left.certain.retain(|name| right.certain.contains(name));
                left.all.extend(right.all);
                left
            }
            GraphPattern::Graph { name, inner } => {
                let mut scope = Self::of(inner);
                if let NamedNodePattern::Variable(name) = name {
                    scope.all.insert(name.to_string());
                }
                scope
            }
            GraphPattern::Extend { inner, variable, .. } => {
                let mut scope = Self::of(inner);
                scope.all.insert(variable.to_string());
                scope
            }
            GraphPattern::Values { variables, bindings } => {
                let is_certain = |column: usize| bindings.iter().all(|row| row[column].is_some());
                let names = || variables.iter().map(ToString::to_string).enumerate();
                Self {
                    certain: names()
                        .filter(|(column, _)| is_certain(*column))
                        .map(|(_, name)| name)
                        .collect(),
                    all: names().map(|(_, name)| name).collect(),
                }
            }
            GraphPattern::Project { inner, variables } => Self::of(inner).only(variables),
            GraphPattern::Group { inner, variables, aggregates } => {
                let mut scope = Self::of(inner).only(variables);
                scope.all.extend(aggregates.iter().map(|(variable, _)| variable.to_string()));
                scope
            }
            GraphPattern::Minus { left: inner, .. }
            | GraphPattern::Filter { inner, .. }
            | GraphPattern::OrderBy { inner, .. }
            | GraphPattern::Distinct { inner }
            | GraphPattern::Reduced { inner }
            | GraphPattern::Slice { inner, .. } => Self::of(inner),
            GraphPattern::Service { inner, .. } => Self { certain: Names::default(), ..Self::of(inner) },
        }
    }

    /// The variables that some rows bind and others do not.
    pub(super) fn at_times(mut self) -> Names {
        self.all.retain(|name| !self.certain.contains(name));
        self.all
    }

    fn only(mut self, variables: &[Variable]) -> Self {
        let kept: Names = variables.iter().map(ToString::to_string).collect();
        self.certain.retain(|name| kept.contains(name));
        self.all.retain(|name| kept.contains(name));
        self
    }

    fn bind_triple(&mut self, triple: &TriplePattern) {
        self.bind_term(&triple.subject);
        if let NamedNodePattern::Variable(predicate) = &triple.predicate {
            self.bind(predicate.to_string());
        }
        self.bind_term(&triple.object);
    }

    fn bind_term(&mut self, term: &TermPattern) {
        match term {
            TermPattern::Triple(triple) => self.bind_triple(triple),
            term => of_term(term).into_iter().for_each(|name| self.bind(name)),
        }
    }

    fn bind(&mut self, name: String) {
        self.certain.insert(name.clone());
        self.all.insert(name);
    }
}

/// Whether a pattern gives the same rows if it is looked up for each row that binds some of `added`, instead of being
/// evaluated once and joined with those rows.
///
/// The rows may differ if a part of the pattern uses one of these variables before that part binds it. The scope of a
/// variable ends at its group, so the variable would be unbound there if the pattern were evaluated alone.
pub(super) fn fits(pattern: &GraphPattern, added: &Names) -> bool {
    let sees_only_its_own = |expression: &Expression, inner: &GraphPattern| {
        let mut used = Names::default();
        mentioned_in_expression(expression, &mut used);
        let certain = Scope::of(inner).certain;
        used.iter().all(|name| certain.contains(name) || !added.contains(name))
    };
    match pattern {
        GraphPattern::Bgp { .. } | GraphPattern::Path { .. } | GraphPattern::Values { .. } => true,
        GraphPattern::Graph { inner, .. } => fits(inner, added),
        GraphPattern::Join { left, right }
        | GraphPattern::Lateral { left, right }
        | GraphPattern::Union { left, right } => fits(left, added) && fits(right, added),
        GraphPattern::LeftJoin { left, right, expression } => {
            let certain = Scope::of(left).certain;
            let mut optional = Scope::of(right).all;
            optional.retain(|name| !certain.contains(name));
            optional.is_disjoint(added)
                && fits(left, added)
                && fits(right, added)
                && expression.as_ref().is_none_or(|expression| sees_only_its_own(expression, left))
        }
        GraphPattern::Filter { expr, inner } => fits(inner, added) && sees_only_its_own(expr, inner),
        GraphPattern::Extend { inner, variable, expression } => {
            !added.contains(&variable.to_string())
                && fits(inner, added)
                && sees_only_its_own(expression, inner)
        }
        // Rows that differ only in whether they bind a variable would be equal if it is bound already.
        GraphPattern::Distinct { inner } | GraphPattern::Reduced { inner } => {
            Scope::of(inner).at_times().is_disjoint(added) && fits(inner, added)
        }
        // The optimizer confuses a variable of the sub-query with the outer one of the same name.
        GraphPattern::Project { inner, variables } => {
            let is_visible = |name: &String| variables.iter().any(|variable| variable.to_string() == *name);
            let mut used = Names::default();
            mentioned(inner, &mut used);
            let hides = used.iter().any(|name| added.contains(name) && !is_visible(name));
            !hides && fits(inner, &added.iter().filter(|name| is_visible(name)).cloned().collect())
        }
        GraphPattern::Minus { .. }
        | GraphPattern::OrderBy { .. }
        | GraphPattern::Slice { .. }
        | GraphPattern::Group { .. }
        | GraphPattern::Service { .. } => false,
    }
}

/// Adds all variables in an expression, including those of the patterns in it.
pub(super) fn mentioned_in_expression(expression: &Expression, names: &mut Names) {
    match expression {
        Expression::Variable(variable) | Expression::Bound(variable) => {
            names.insert(variable.to_string());
        }
        Expression::Exists(pattern) => mentioned(pattern, names),
        _ => {}
    }
    for child in children(expression) {
        mentioned_in_expression(child, names);
    }
}

pub(super) fn mentioned(pattern: &GraphPattern, names: &mut Names) {
    names.extend(Scope::of(pattern).all);
    for expression in expressions(pattern) {
        mentioned_in_expression(expression, names);
    }
    for pattern in patterns(pattern) {
        mentioned(pattern, names);
    }
}

/// Whether a `BIND` in the pattern assigns one of these variables.
pub(super) fn assigns(pattern: &GraphPattern, names: &Names) -> bool {
    matches!(pattern, GraphPattern::Extend { variable, .. } if names.contains(&variable.to_string()))
        || patterns(pattern).into_iter().any(|pattern| assigns(pattern, names))
}

/// The patterns that a pattern is made of, without those in its expressions.
pub(super) fn patterns(pattern: &GraphPattern) -> Vec<&GraphPattern> {
    match pattern {
        GraphPattern::Bgp { .. } | GraphPattern::Path { .. } | GraphPattern::Values { .. } => Vec::new(),
        GraphPattern::Join { left, right }
        | GraphPattern::LeftJoin { left, right, .. }
        | GraphPattern::Lateral { left, right }
        | GraphPattern::Union { left, right }
        | GraphPattern::Minus { left, right } => vec![left, right],
        GraphPattern::Filter { inner, .. }
        | GraphPattern::Extend { inner, .. }
        | GraphPattern::OrderBy { inner, .. }
        | GraphPattern::Group { inner, .. }
        | GraphPattern::Graph { inner, .. }
        | GraphPattern::Project { inner, .. }
        | GraphPattern::Distinct { inner }
        | GraphPattern::Reduced { inner }
        | GraphPattern::Slice { inner, .. }
        | GraphPattern::Service { inner, .. } => vec![inner],
    }
}

/// The expressions of a pattern, without those of the patterns it is made of.
pub(super) fn expressions(pattern: &GraphPattern) -> Vec<&Expression> {
    match pattern {
        GraphPattern::LeftJoin { expression, .. } => expression.iter().collect(),
        GraphPattern::Filter { expr: expression, .. } | GraphPattern::Extend { expression, .. } => {
            vec![expression]
        }
        GraphPattern::OrderBy { expression, .. } => {
            expression.iter().map(|(OrderExpression::Asc(by) | OrderExpression::Desc(by))| by).collect()
        }
        GraphPattern::Group { aggregates, .. } => {
            let expressions = aggregates.iter().filter_map(|(_, aggregate)| match aggregate {
                AggregateExpression::FunctionCall { expr, .. } => Some(expr),
                AggregateExpression::CountSolutions { .. } => None,
            });
            expressions.collect()
        }
        _ => Vec::new(),
    }
}
