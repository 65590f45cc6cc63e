//! Estimates of the number of rows of a pattern, from the counts of the indexes.

use super::super::paths::{self, Step};
use super::Planner;
use super::condition::holds_a_pattern;
use super::join::{self, Part};
use super::names::{Names, is_flat, names, of_term};
use crate::error::Result;
use crate::storage::fanouts::Fanout;
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::term::TermId;
use oxrdf::{NamedNodeRef, TermRef};
use spargebra::algebra::{Expression, GraphPattern, PropertyPathExpression};
use spargebra::term::{NamedNodePattern, TermPattern, TriplePattern};

/// Estimates without counts: the quads of a subject, those of an object, and the share of a predicate in all quads.
const PER_SUBJECT: f64 = 8.0;
const PER_OBJECT: f64 = 4.0;
const PER_PREDICATE: f64 = 0.1;

/// The rows of `a+` or `a*` for each row of `a`.
const PER_STEP: f64 = 16.0;
/// The rows of patterns with quoted triples.
const QUOTING: f64 = 100.0;
/// The share of rows that pass a condition.
const PASSED: f64 = 0.3;
/// The share of the rows of a group, or of a list of values, that have the same value as a row in one variable.
const AGREE: f64 = 0.01;

/// The estimated number of quads that match a pattern, and the share of the predicate's quads for one value of a
/// bound variable.
pub(super) struct Expected {
    rows: f64,
    of_a_subject: f64,
    of_an_object: f64,
}

impl Expected {
    const NOTHING: Self = Self { rows: 0.0, of_a_subject: 1.0, of_an_object: 1.0 };

    /// The rows of a pattern with these names by column, for each row that binds these variables.
    pub(super) fn rows_per_row(&self, names: &[Option<String>; 3], bound: &Names) -> f64 {
        let shares = names.iter().zip([self.of_a_subject, PER_PREDICATE, self.of_an_object]);
        let is_bound = |name: &Option<String>| name.as_ref().is_some_and(|name| bound.contains(name));
        shares.filter(|(name, _)| is_bound(name)).fold(self.rows, |rows, (_, share)| rows * share)
    }
}

impl Planner<'_> {
    /// The estimate for a triple pattern.
    pub(super) fn expected(&self, pattern: &TriplePattern) -> Expected {
        if let NamedNodePattern::NamedNode(predicate) = &pattern.predicate
            && let Some(steps) = paths::steps(predicate, self.steps)
        {
            return self.expected_of_path(pattern, steps);
        }
        // If a term can't be looked up, the evaluation returns the error.
        let Ok(Some(constants)) = self.constants(pattern, Graphs::All) else { return Expected::NOTHING };
        let view = &self.source.view;
        let (all, of_a_subject, of_an_object) = match constants.predicate {
            Some(predicate) => {
                // If the run can't be read, a scan of its quads returns the error.
                let Fanout { quads, of_a_subject, of_an_object } =
                    view.base.fanout(predicate).unwrap_or(Fanout::UNKNOWN);
                let recent = view.estimate_recent(&Pattern { predicate: Some(predicate), ..Pattern::ALL });
                (Some(quads + recent), of_a_subject, of_an_object)
            }
            None => (None, PER_SUBJECT, PER_OBJECT),
        };
        let rows = match (constants, all) {
            (Pattern { subject: None, object: None, .. }, Some(all)) => all,
            _ => view.estimate(&constants),
        };
        let share = |fanout: f64| (fanout / all.unwrap_or(rows).max(1.0)).min(1.0);
        Expected { rows, of_a_subject: share(of_a_subject), of_an_object: share(of_an_object) }
    }

    /// The estimate for a pattern whose predicate stands for these steps.
    fn expected_of_path(&self, pattern: &TriplePattern, steps: &[Step]) -> Expected {
        let TriplePattern { subject, object, .. } = pattern;
        let rows = |bound: &Names| -> f64 {
            let rows = steps.iter().map(|step| match step {
                Step::One(node) => {
                    let path = PropertyPathExpression::NamedNode(node.clone());
                    self.path_rows(subject, &path, object, bound)
                }
                Step::NoneOf(nodes) => {
                    let path = PropertyPathExpression::NegatedPropertySet(nodes.clone());
                    self.path_rows(subject, &path, object, bound)
                }
                Step::Closure(path) => self.path_rows(subject, path, object, bound),
            });
            rows.sum()
        };
        let all = rows(&Names::default());
        let share = |end| (rows(&of_term(end).into_iter().collect()) / all.max(1.0)).min(1.0);
        Expected { rows: all, of_a_subject: share(subject), of_an_object: share(object) }
    }

    /// The pattern of a triple pattern's constants. `None` if one of them has no id.
    pub(super) fn constants(&self, pattern: &TriplePattern, graphs: Graphs) -> Result<Option<Pattern>> {
        let dictionary = &self.source.engine.dictionary;
        let mut has_ids = true;
        let mut id = |term: Option<TermRef<'_>>| -> Result<Option<TermId>> {
            let id = term.map_or(Ok(None), |term| dictionary.lookup(term))?;
            has_ids &= term.is_none() || id.is_some();
            Ok(id)
        };
        let predicate = match &pattern.predicate {
            NamedNodePattern::NamedNode(node) if !paths::is_path(node) => {
                Some(NamedNodeRef::from(node).into())
            }
            NamedNodePattern::NamedNode(_) | NamedNodePattern::Variable(_) => None,
        };
        let pattern = Pattern {
            subject: id(constant(&pattern.subject))?,
            predicate: id(predicate)?,
            object: id(constant(&pattern.object))?,
            graphs,
        };
        Ok(has_ids.then_some(pattern))
    }

    /// The rows of a pattern for each row that binds these variables.
    pub(super) fn rows_per_row(&self, pattern: &GraphPattern, bound: &Names) -> f64 {
        match pattern {
            GraphPattern::Bgp { patterns } if patterns.is_empty() => 1.0,
            GraphPattern::Bgp { patterns } if !patterns.iter().all(is_flat) => QUOTING,
            GraphPattern::Bgp { .. } | GraphPattern::Join { .. } => {
                let parts: Vec<_> = join::leaves(pattern).into_iter().map(|leaf| self.part(leaf)).collect();
                self.order(&parts, bound).last().map_or(1.0, |step| step.rows)
            }
            GraphPattern::Path { subject, path, object } => self.path_rows(subject, path, object, bound),
            GraphPattern::Lateral { left, right } => {
                let rows = self.rows_per_row(left, bound);
                rows * self.rows_per_row(right, &with_scope(bound, left))
            }
            GraphPattern::LeftJoin { left, right, .. } => {
                let rows = self.rows_per_row(left, bound);
                rows * self.rows_per_row(right, &with_scope(bound, left)).max(1.0)
            }
            GraphPattern::Union { left, right } => {
                self.rows_per_row(left, bound) + self.rows_per_row(right, bound)
            }
            GraphPattern::Values { variables, bindings } => {
                let shared = variables.iter().filter(|variable| bound.contains(&variable.to_string()));
                shared.fold(bindings.len() as f64, |rows, _| rows * AGREE)
            }
            GraphPattern::Filter { inner, .. } => self.rows_per_row(inner, bound) * PASSED,
            GraphPattern::Slice { inner, length, .. } => {
                self.rows_per_row(inner, bound).min(length.map_or(f64::MAX, |length| length as f64))
            }
            GraphPattern::Group { variables, .. } if variables.is_empty() => 1.0,
            GraphPattern::Minus { left: inner, .. }
            | GraphPattern::Graph { inner, .. }
            | GraphPattern::Extend { inner, .. }
            | GraphPattern::OrderBy { inner, .. }
            | GraphPattern::Project { inner, .. }
            | GraphPattern::Distinct { inner }
            | GraphPattern::Reduced { inner }
            | GraphPattern::Group { inner, .. }
            | GraphPattern::Service { inner, .. } => self.rows_per_row(inner, bound),
        }
    }

    /// The number of rows for which an expression is evaluated. It matters only if the expression contains a pattern.
    pub(super) fn rows_for(&self, expression: &Expression, of: &GraphPattern, bound: &Names) -> f64 {
        if holds_a_pattern(expression) { self.rows_per_row(of, bound) } else { 1.0 }
    }

    fn path_rows(
        &self,
        subject: &TermPattern,
        path: &PropertyPathExpression,
        object: &TermPattern,
        bound: &Names,
    ) -> f64 {
        let rows = |predicate| {
            let triple = TriplePattern { subject: subject.clone(), predicate, object: object.clone() };
            self.expected(&triple).rows_per_row(&names(&triple), bound)
        };
        match path {
            PropertyPathExpression::NamedNode(node) => rows(node.clone().into()),
            PropertyPathExpression::Reverse(path) => self.path_rows(object, path, subject, bound),
            PropertyPathExpression::Sequence(a, b) => {
                let middle = TermPattern::BlankNode(oxrdf::BlankNode::default());
                let mut with_middle = bound.clone();
                with_middle.extend(of_term(&middle));
                let there = self.path_rows(subject, a, &middle, bound);
                there * self.path_rows(&middle, b, object, &with_middle)
            }
            PropertyPathExpression::Alternative(a, b) => {
                self.path_rows(subject, a, object, bound) + self.path_rows(subject, b, object, bound)
            }
            PropertyPathExpression::OneOrMore(path) => {
                PER_STEP * self.path_rows(subject, path, object, bound)
            }
            PropertyPathExpression::ZeroOrMore(path) => {
                self.ends(subject, object, bound) + PER_STEP * self.path_rows(subject, path, object, bound)
            }
            PropertyPathExpression::ZeroOrOne(path) => {
                self.ends(subject, object, bound) + self.path_rows(subject, path, object, bound)
            }
            PropertyPathExpression::NegatedPropertySet(_) => {
                rows(NamedNodePattern::Variable(oxrdf::Variable::new_unchecked("a predicate")))
            }
        }
    }

    /// The rows of a path of length zero: all nodes, unless one end is bound.
    fn ends(&self, subject: &TermPattern, object: &TermPattern, bound: &Names) -> f64 {
        let is_open = |term| of_term(term).is_some_and(|name| !bound.contains(&name));
        if is_open(subject) && is_open(object) { self.source.view.estimate(&Pattern::ALL) } else { 1.0 }
    }

    pub(super) fn part<'p>(&self, leaf: join::Leaf<'p>) -> Part<'p> {
        Part::new(leaf, |pattern| self.expected(pattern))
    }
}

pub(super) fn with_scope(bound: &Names, pattern: &GraphPattern) -> Names {
    let mut bound = bound.clone();
    pattern.on_in_scope_variable(|variable| _ = bound.insert(variable.to_string()));
    bound
}

fn constant(term: &TermPattern) -> Option<TermRef<'_>> {
    match term {
        TermPattern::NamedNode(node) => Some(node.as_ref().into()),
        TermPattern::Literal(literal) => Some(literal.as_ref().into()),
        TermPattern::BlankNode(_) | TermPattern::Triple(_) | TermPattern::Variable(_) => None,
    }
}
