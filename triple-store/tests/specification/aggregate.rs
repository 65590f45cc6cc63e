//! Aggregates: section 18.5.1 of SPARQL 1.1 Query. An error is `None`.

use crate::algebra::{Evaluation, Row, distinct};
use crate::expression::text;
use crate::value::{Number, number, order, string};
use oxrdf::Term;
use spargebra::algebra::{AggregateExpression, AggregateFunction};

pub(crate) fn value(
    evaluation: &Evaluation<'_>,
    aggregate: &AggregateExpression,
    rows: &[Row],
) -> Option<Term> {
    let (function, expression, is_distinct) = match aggregate {
        AggregateExpression::CountSolutions { distinct: false } => {
            return Some(Number::count(rows.len()).term());
        }
        AggregateExpression::CountSolutions { distinct: true } => {
            let mut rows = rows.to_vec();
            // Blank nodes of patterns are not variables of solutions.
            for row in &mut rows {
                row.retain(|name, _| !name.starts_with("_:"));
            }
            return Some(Number::count(distinct(rows).len()).term());
        }
        AggregateExpression::FunctionCall { name, expr, distinct } => (name, expr, *distinct),
    };
    let mut values: Vec<_> = rows.iter().map(|row| evaluation.expression(expression, row)).collect();
    if is_distinct {
        values = distinct(values);
    }
    if *function == AggregateFunction::Count {
        return Some(Number::count(values.iter().flatten().count()).term());
    }
    if *function == AggregateFunction::Sample {
        return values.into_iter().flatten().next();
    }
    // For the other aggregates, an error among the values is an error of the aggregate.
    let values = values.into_iter().collect::<Option<Vec<_>>>()?;
    let sum = || values.iter().try_fold(Number::count(0), |sum, value| sum.compute('+', number(value)?));
    match function {
        AggregateFunction::Sum => Some(sum()?.term()),
        AggregateFunction::Avg if values.is_empty() => Some(Number::count(0).term()),
        AggregateFunction::Avg => Some(sum()?.compute('/', Number::count(values.len()))?.term()),
        AggregateFunction::Min => values.into_iter().min_by(order),
        AggregateFunction::Max => values.into_iter().max_by(order),
        AggregateFunction::GroupConcat { separator } => {
            let parts = values.iter().map(text).collect::<Option<Vec<_>>>()?;
            Some(string(parts.join(separator.as_deref().unwrap_or(" "))))
        }
        other => panic!("the generator writes no {other}"),
    }
}
