//! Paths of length zero in `EXISTS` (SPARQL 1.1 Query, 18.4 and 18.6).
//!
//! By the specification, `EXISTS` replaces the variables of its pattern by the terms of a row. A path of length zero
//! connects a term of the query with itself, even if it is not a node of the graph. The evaluator binds the variables
//! instead, and then finds paths of length zero between nodes only. So if a row may have a term that is not a node, the
//! path becomes a union with the connection of that term with itself.

use super::rules::Rules;
use super::visible::{always_bound, has_exists, in_scope};
use super::walk::{Part, parts_of_pattern};
use oxrdf::Variable;
use spargebra::algebra::{Expression, GraphPattern};
use spargebra::term::TermPattern;
use std::collections::HashSet;

type Variables = HashSet<Variable>;

/// The variables of the rows for which an `EXISTS` is evaluated.
#[derive(Clone, Default)]
pub(super) struct Outer {
    all: Variables,
    /// The variables whose term may not be a node of the active graph.
    others: Variables,
}

impl Outer {
    /// Adds the variables that the expressions of a pattern can see, if there is an `EXISTS` in these expressions.
    pub(super) fn add_row_of(&mut self, pattern: &mut GraphPattern) {
        let (mut variables, mut known, mut asks) = (Variables::new(), Variables::new(), false);
        parts_of_pattern(pattern, |part| match part {
            Part::Expression(part) => asks |= has_exists(part),
            Part::Pattern(_) => {}
        });
        if !asks {
            return;
        }
        parts_of_pattern(pattern, |part| {
            if let Part::Pattern(part) = part {
                variables.extend(in_scope(part));
                known.extend(nodes(part));
            }
        });
        self.all.extend(variables.iter().cloned());
        self.others.extend(variables);
        self.others.retain(|variable| !known.contains(variable));
    }

    /// The same for another graph, whose nodes are not known.
    pub(super) fn in_another_graph(&self) -> Self {
        Self { all: self.all.clone(), others: self.all.clone() }
    }
}

impl Rules<'_> {
    /// A path between two variables that may have zero steps.
    pub(super) fn with_terms_of_the_row(
        &mut self,
        path: GraphPattern,
        subject: &TermPattern,
        object: &TermPattern,
    ) -> GraphPattern {
        let is_other = |end: &TermPattern| matches!(end, TermPattern::Variable(variable) if self.outer.others.contains(variable));
        if !is_other(subject) && !is_other(object) {
            return path;
        }
        let Some((subject, object)) = self.end(subject).zip(self.end(object)) else { return path };
        let mut pattern = path;
        for (from, to) in [(&subject, &object), (&object, &subject)] {
            if self.outer.others.contains(from) {
                let none = self.no_step(from, to);
                pattern = GraphPattern::Union { left: pattern.into(), right: none.into() };
            }
        }
        pattern
    }

    /// Connects the term of the row with itself.
    fn no_step(&self, from: &Variable, to: &Variable) -> GraphPattern {
        let one_row = |expr| GraphPattern::Filter { expr, inner: Box::default() };
        let bound = |variable: &Variable| Expression::Bound(variable.clone());
        if from == to {
            return one_row(bound(from));
        }
        let assigned = |expr| GraphPattern::Extend {
            inner: one_row(expr).into(),
            variable: to.clone(),
            expression: from.clone().into(),
        };
        if !self.outer.all.contains(to) {
            return assigned(bound(from));
        }
        let same = Expression::SameTerm(Box::new(from.clone().into()), Box::new(to.clone().into()));
        let only_from = Expression::And(bound(from).into(), Expression::Not(bound(to).into()).into());
        GraphPattern::Union { left: one_row(same).into(), right: assigned(only_from).into() }
    }
}

/// The variables that each row of a pattern binds to a node of the active graph.
fn nodes(pattern: &GraphPattern) -> Variables {
    always_bound(pattern, &|part| {
        let GraphPattern::Bgp { patterns } = part else { return Variables::new() };
        let ends = patterns.iter().flat_map(|triple| [&triple.subject, &triple.object]);
        let variable = |end: &TermPattern| match end {
            TermPattern::Variable(variable) => Some(variable.clone()),
            _ => None,
        };
        ends.filter_map(variable).collect()
    })
}
