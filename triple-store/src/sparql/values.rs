//! Sorted values for comparisons.

use super::functions::{LESS, LESS_OR_EQUAL};
use super::order::{Class, Ranked};
use oxrdf::{NamedNode, Term, Variable};
use spargebra::algebra::{Expression, Function};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The term that stands for an error. No query can contain it.
pub(super) const NOTHING: &str = " nothing";

/// A comparison of two values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// The comparison with its sides exchanged.
    pub(super) fn reversed(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    pub(super) fn expression(self, a: &Variable, b: &Variable) -> Expression {
        let (a, b) = (Expression::from(a.clone()), Expression::from(b.clone()));
        let call = |name: &str, a: Expression, b: Expression| {
            Expression::FunctionCall(Function::Custom(NamedNode::new_unchecked(name)), vec![a, b])
        };
        match self {
            Self::Less => call(LESS, a, b),
            Self::LessOrEqual => call(LESS_OR_EQUAL, a, b),
            Self::Greater => call(LESS, b, a),
            Self::GreaterOrEqual => call(LESS_OR_EQUAL, b, a),
        }
    }

    /// Whether the matching values are above the other value. Otherwise they are below it.
    fn is_above(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual)
    }

    fn is_below(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual)
    }

    /// The range of the sorted values that match. `compare` compares a value with the other one.
    fn places(self, values: &[Ranked], compare: impl Fn(&Ranked) -> Ordering) -> (usize, usize) {
        let less = || values.partition_point(|value| compare(value).is_lt());
        let less_or_equal = || values.partition_point(|value| compare(value).is_le());
        match self {
            Self::Less => (0, less()),
            Self::LessOrEqual => (0, less_or_equal()),
            Self::Greater => (less_or_equal(), values.len()),
            Self::GreaterOrEqual => (less(), values.len()),
        }
    }
}

/// Values of one variable, sorted by class. For one-sided comparisons, only the decisive values are stored.
#[derive(Default)]
pub(super) struct Values(BTreeMap<Class, Vec<Ranked>>);

impl Values {
    pub(super) fn add(&mut self, term: Term, comparisons: &[Comparison]) {
        let value = Ranked::new(term);
        let values = self.0.entry(value.class()).or_default();
        let above = comparisons.iter().all(|comparison| comparison.is_above());
        let below = comparisons.iter().all(|comparison| comparison.is_below());
        match values.last_mut() {
            Some(kept) if above || below => {
                let wanted = if above { Ordering::Greater } else { Ordering::Less };
                if value.compare(kept) == wanted {
                    *kept = value;
                }
            }
            _ => values.push(value),
        }
    }

    /// Sorts the added values.
    pub(super) fn finish(&mut self) {
        for values in self.0.values_mut() {
            values.sort_by(Ranked::compare);
            values.dedup_by(|a, b| a.value_compare(b) == Some(Ordering::Equal));
        }
    }

    /// Whether a value satisfies all comparisons with `others`. `None` if the sort order does not answer this.
    pub(super) fn any(&self, comparisons: &[Comparison], others: &[Term]) -> Option<bool> {
        let others: Vec<_> = others.iter().cloned().map(Ranked::new).collect();
        let is_held = |class: Class| self.0.contains_key(&class);
        for other in &others {
            match other.class() {
                Class::Other if is_held(Class::Other) => return None,
                Class::Float | Class::Double if is_held(Class::Decimal) => return None,
                Class::Moment(kind, zoned) if is_held(Class::Moment(kind, !zoned)) => return None,
                _ => {}
            }
        }
        Some(self.0.values().any(|values| {
            let (mut from, mut to) = (0, values.len());
            for (comparison, other) in comparisons.iter().zip(&others) {
                if values[0].value_compare(other).is_none() {
                    return false;
                }
                let order = |value: &Ranked| value.value_compare(other).unwrap_or(Ordering::Equal);
                let (least, end) = comparison.places(values, order);
                (from, to) = (from.max(least), to.min(end));
            }
            from < to
        }))
    }
}
