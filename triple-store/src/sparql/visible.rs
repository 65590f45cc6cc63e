//! Which variables an expression sees (SPARQL 1.1 Query, 18.2.2 and 18.6): those in scope at its position, and in an
//! `EXISTS` also those of the row for which it is evaluated. Any other variable is unbound there, or local to the
//! `EXISTS`.
//!
//! The optimizer moves expressions to positions where more variables are bound. So a variable that is out of scope and
//! has the same name as another one is renamed.

use super::rename;
use super::rules::Rules;
use super::walk::{Part, parts_of_expression, parts_of_pattern};
use oxrdf::Variable;
use spargebra::algebra::{Expression, GraphPattern};
use std::collections::{HashMap, HashSet};

type Scope = HashSet<Variable>;
type Counts = HashMap<Variable, usize>;

pub(super) fn in_scope(pattern: &GraphPattern) -> Scope {
    let mut variables = Scope::new();
    pattern.on_in_scope_variable(|variable| _ = variables.insert(variable.clone()));
    variables
}

/// The variables that each solution of a pattern binds. `of_part` returns them for basic graph patterns, paths, graphs,
/// values and services.
pub(super) fn always_bound(pattern: &GraphPattern, of_part: &impl Fn(&GraphPattern) -> Scope) -> Scope {
    let bound = |pattern| always_bound(pattern, of_part);
    match pattern {
        GraphPattern::Join { left, right } | GraphPattern::Lateral { left, right } => {
            bound(left).union(&bound(right)).cloned().collect()
        }
        GraphPattern::Union { left, right } => bound(left).intersection(&bound(right)).cloned().collect(),
        GraphPattern::LeftJoin { left: inner, .. }
        | GraphPattern::Minus { left: inner, .. }
        | GraphPattern::Filter { inner, .. }
        | GraphPattern::Extend { inner, .. }
        | GraphPattern::OrderBy { inner, .. }
        | GraphPattern::Distinct { inner }
        | GraphPattern::Reduced { inner }
        | GraphPattern::Slice { inner, .. } => bound(inner),
        GraphPattern::Project { inner, variables } | GraphPattern::Group { inner, variables, .. } => {
            bound(inner).into_iter().filter(|variable| variables.contains(variable)).collect()
        }
        GraphPattern::Bgp { .. }
        | GraphPattern::Path { .. }
        | GraphPattern::Graph { .. }
        | GraphPattern::Values { .. }
        | GraphPattern::Service { .. } => of_part(pattern),
    }
}

fn counts(pattern: &mut GraphPattern) -> Counts {
    let mut counts = Counts::new();
    rename::variables(pattern, &mut |variable| *counts.entry(variable.clone()).or_default() += 1);
    counts
}

impl Rules<'_> {
    /// Renames variables that are out of scope.
    pub(super) fn separate(&mut self, pattern: &mut GraphPattern) {
        if has_expressions(pattern) {
            let all = counts(pattern);
            self.separate_pattern(pattern, &Scope::new(), &all);
        }
    }

    fn separate_pattern(&mut self, pattern: &mut GraphPattern, outer: &Scope, all: &Counts) {
        let mut scope = match pattern {
            GraphPattern::Filter { inner, .. }
            | GraphPattern::Extend { inner, .. }
            | GraphPattern::OrderBy { inner, .. }
            | GraphPattern::Group { inner, .. } => in_scope(inner),
            GraphPattern::LeftJoin { left, right, .. } => {
                in_scope(left).union(&in_scope(right)).cloned().collect()
            }
            _ => Scope::new(),
        };
        scope.extend(outer.iter().cloned());
        if let GraphPattern::Lateral { left, right } = pattern {
            let mut within = in_scope(left);
            within.extend(scope);
            self.separate_pattern(left, outer, all);
            return self.separate_pattern(right, &within, all);
        }
        parts_of_pattern(pattern, |part| match part {
            Part::Pattern(part) => self.separate_pattern(part, outer, all),
            Part::Expression(part) => self.separate_expression(part, &scope, all),
        });
    }

    fn separate_expression(&mut self, expression: &mut Expression, scope: &Scope, all: &Counts) {
        if let Expression::Variable(variable) | Expression::Bound(variable) = expression
            && !scope.contains(variable)
            && all.get(variable).is_some_and(|count| *count > 1)
        {
            *variable = self.variable();
        }
        if let Expression::Exists(pattern) = expression {
            let own = counts(pattern);
            let is_elsewhere = |variable: &&Variable| all.get(*variable) > own.get(*variable);
            let clash = own.keys().filter(|variable| !scope.contains(*variable)).filter(is_elsewhere);
            let names: HashMap<_, _> = clash.cloned().map(|variable| (variable, self.variable())).collect();
            rename::variables(pattern, &mut |variable| {
                if let Some(name) = names.get(variable) {
                    *variable = name.clone();
                }
            });
            self.separate_pattern(pattern, scope, all);
        } else {
            parts_of_expression(expression, |part| {
                if let Part::Expression(part) = part {
                    self.separate_expression(part, scope, all);
                }
            });
        }
    }
}

fn has_expressions(pattern: &mut GraphPattern) -> bool {
    let mut found = false;
    parts_of_pattern(pattern, |part| {
        found |= match part {
            Part::Pattern(part) => has_expressions(part),
            Part::Expression(_) => true,
        };
    });
    found
}

/// Whether an expression contains an `EXISTS`.
pub(super) fn has_exists(expression: &mut Expression) -> bool {
    let mut found = matches!(expression, Expression::Exists(_));
    parts_of_expression(expression, |part| {
        if let Part::Expression(part) = part {
            found |= has_exists(part);
        }
    });
    found
}
