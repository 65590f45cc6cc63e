//! The properties of a query that the [meter](super::meter) of its evaluation needs.

use super::functions;
use super::meter::{Budget, Meter};
use super::plan::{Names, Scope, names};
use super::rules::Rules;
use super::walk::{Part, parts_of_expression, parts_of_pattern};
use spareval::CancellationToken;
use spargebra::algebra::{Expression, GraphPattern};
use spargebra::term::{NamedNodePattern, TermPattern};

/// The size of a query: how many values its evaluation holds at the same time.
#[derive(Debug, Default)]
pub(super) struct Measure {
    variables: Names,
    aggregates: usize,
    /// The number of nodes in all expressions.
    expressions: usize,
}

impl Measure {
    /// Measures a pattern. Joins whose rows may bind no variable are changed to count these rows, because they have
    /// no terms that count themselves.
    pub(super) fn of(pattern: &mut GraphPattern, rules: &mut Rules<'_>) -> Self {
        let mut measure = Self::default();
        measure.pattern(pattern, rules);
        measure
    }

    pub(super) fn meter(&self, token: CancellationToken, budget: Budget) -> Meter {
        Meter::new(token, budget, self.variables.len(), self.aggregates, self.expressions)
    }

    /// Whether each row of the pattern binds a variable.
    fn pattern(&mut self, pattern: &mut GraphPattern, rules: &mut Rules<'_>) -> bool {
        let mut parts = Vec::new();
        parts_of_pattern(pattern, |part| match part {
            Part::Pattern(part) => parts.push(self.pattern(part, rules)),
            Part::Expression(expression) => self.expression(expression, rules),
        });
        let both = |parts: &[bool]| parts.iter().all(|binds| *binds);
        let either = |parts: &[bool]| parts.iter().any(|binds| *binds);
        match pattern {
            GraphPattern::Bgp { patterns } => {
                let mut binds = false;
                for name in patterns.iter().flat_map(names).flatten() {
                    binds = true;
                    self.variables.insert(name);
                }
                binds
            }
            GraphPattern::Path { subject, object, .. } => {
                let ends = [&*subject, &*object];
                let open = ends.into_iter().filter(|end| is_variable(end));
                let names: Vec<_> = open.map(ToString::to_string).collect();
                let binds = !names.is_empty();
                self.variables.extend(names);
                binds
            }
            GraphPattern::Values { variables, bindings } => {
                self.variables.extend(variables.iter().map(ToString::to_string));
                bindings.iter().all(|row| row.iter().any(Option::is_some))
            }
            GraphPattern::Extend { variable, expression, .. } => {
                self.variables.insert(variable.to_string());
                either(&parts) || matches!(expression, Expression::Literal(_) | Expression::NamedNode(_))
            }
            GraphPattern::Graph { name, .. } => {
                if let NamedNodePattern::Variable(name) = name {
                    self.variables.insert(name.to_string());
                }
                both(&parts)
            }
            GraphPattern::Group { variables, aggregates, .. } => {
                self.aggregates += aggregates.len();
                self.variables.extend(aggregates.iter().map(|(variable, _)| variable.to_string()));
                // Without variables to group by, there is one row.
                variables.is_empty() || !Scope::of(pattern).certain.is_empty()
            }
            GraphPattern::Project { .. } => !Scope::of(pattern).certain.is_empty(),
            GraphPattern::Join { .. } | GraphPattern::Lateral { .. } => {
                let binds = either(&parts);
                if !binds {
                    count_rows(pattern, rules);
                }
                binds
            }
            GraphPattern::LeftJoin { .. } => {
                let binds = parts[0];
                if !binds {
                    count_rows(pattern, rules);
                }
                binds
            }
            GraphPattern::Minus { .. } => parts[0],
            GraphPattern::Filter { .. }
            | GraphPattern::Union { .. }
            | GraphPattern::OrderBy { .. }
            | GraphPattern::Distinct { .. }
            | GraphPattern::Reduced { .. }
            | GraphPattern::Slice { .. }
            | GraphPattern::Service { .. } => both(&parts),
        }
    }

    fn expression(&mut self, expression: &mut Expression, rules: &mut Rules<'_>) {
        self.expressions += 1;
        parts_of_expression(expression, |part| match part {
            Part::Pattern(pattern) => _ = self.pattern(pattern, rules),
            Part::Expression(part) => self.expression(part, rules),
        });
    }
}

fn is_variable(term: &TermPattern) -> bool {
    matches!(term, TermPattern::Variable(_) | TermPattern::BlankNode(_))
}

fn count_rows(pattern: &mut GraphPattern, rules: &mut Rules<'_>) {
    let (inner, variable) = (std::mem::take(pattern).into(), rules.variable());
    let expression = rules.call(functions::COUNTED, Vec::new());
    *pattern = GraphPattern::Extend { inner, variable, expression };
}
