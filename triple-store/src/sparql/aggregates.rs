//! Aggregates (SPARQL 1.1 Query, 18.5.1) of [terms](super::exact) instead of values.

use super::functions;
use super::rules::{Rules, is_internal, take};
use oxrdf::{Literal, NamedNode, Variable};
use spargebra::algebra::{AggregateExpression, AggregateFunction, Expression, GraphPattern};

impl Rules<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &mut AggregateExpression, inner: &mut GraphPattern) {
        let (name, expr, distinct) = match aggregate {
            AggregateExpression::CountSolutions { distinct: false } => return,
            AggregateExpression::CountSolutions { distinct: true } => {
                let row = self.row(inner);
                *aggregate = self.count(row, true, inner);
                return;
            }
            AggregateExpression::FunctionCall { name, expr, distinct } => (name, expr, distinct),
        };
        match name {
            // By 18.5.1.2, errors are not counted. The evaluator fails at an error, except in expressions that return
            // terms unchanged.
            AggregateFunction::Count => {
                let (mut expression, distinct) = (take(expr), *distinct);
                let is_internal = is_internal(&expression);
                self.term(&mut expression);
                if is_internal {
                    *expr = expression;
                } else {
                    *aggregate = self.count(expression, distinct, inner);
                }
            }
            // `DISTINCT` compares terms, not their values.
            AggregateFunction::Sum | AggregateFunction::Avg if *distinct => {
                self.exactly(expr);
                let own = if *name == AggregateFunction::Sum { functions::SUM } else { functions::AVG };
                *name = AggregateFunction::Custom(self.used.name(own));
            }
            AggregateFunction::Sum | AggregateFunction::Avg => self.value(expr),
            AggregateFunction::Min | AggregateFunction::Max => {
                self.exactly(expr);
                let own = if *name == AggregateFunction::Min { functions::MIN } else { functions::MAX };
                (*name, *distinct) = (AggregateFunction::Custom(self.used.name(own)), false);
            }
            AggregateFunction::GroupConcat { separator } => {
                let own = self.used.concat(separator.as_deref().unwrap_or(" "));
                *name = AggregateFunction::Custom(own);
                self.exactly(expr);
            }
            AggregateFunction::Sample | AggregateFunction::Custom(_) => self.exactly(expr),
        }
    }

    /// Counts the values of an expression, which is first bound to a new variable.
    fn count(
        &mut self,
        expression: Expression,
        distinct: bool,
        inner: &mut GraphPattern,
    ) -> AggregateExpression {
        let variable = self.variable();
        let rows = std::mem::take(inner).into();
        *inner = GraphPattern::Extend { inner: rows, variable: variable.clone(), expression };
        AggregateExpression::FunctionCall { name: AggregateFunction::Count, expr: variable.into(), distinct }
    }

    /// One term that stands for a whole solution, made of the variables in scope.
    fn row(&mut self, inner: &GraphPattern) -> Expression {
        let mut variables: Vec<Variable> = Vec::new();
        inner.on_in_scope_variable(|variable| {
            if !variable.as_str().starts_with(' ') && !variables.contains(variable) {
                variables.push(variable.clone());
            }
        });
        let unbound = Literal::new_typed_literal("", NamedNode::new_unchecked("  unbound"));
        let term = |variable| {
            let kept = self.call(functions::KEEP, vec![Expression::Variable(variable)]);
            Expression::Coalesce(vec![kept, unbound.clone().into()])
        };
        let terms = variables.into_iter().map(term).collect();
        self.call(functions::ROW, terms)
    }
}
