//! Operators that the evaluator or the optimizer gets wrong.

use super::functions;
use super::order::{Number, Ranked};
use super::rules::{Rules, take};
use super::walk::children;
use oxrdf::vocab::xsd;
use spargebra::algebra::{Expression, Function};
use std::cmp::Ordering;

impl Rules<'_> {
    /// By 17.3, `false < true`, nodes have no order, and no comparison with `NaN` is true. The evaluator's operators
    /// return an error for booleans and `NaN`, and treat identical terms as equal. If one operand is a literal, the
    /// evaluator's operators are tried first, because they are the fastest.
    pub(super) fn comparison(&mut self, expression: &mut Expression) {
        self.parts(expression);
        let (Expression::Less(a, b)
        | Expression::LessOrEqual(a, b)
        | Expression::Greater(a, b)
        | Expression::GreaterOrEqual(a, b)) = expression
        else {
            return;
        };
        let is_literal = is_comparable_literal(a) || is_comparable_literal(b);
        if has_order(a) && has_order(b) {
            return;
        }
        let (a, b) = ((**a).clone(), (**b).clone());
        // Both operands are cheap to evaluate twice.
        let is_short = is_literal && is_small(&a) && is_small(&b);
        let own = match expression {
            Expression::Less(..) => self.call(functions::LESS, vec![a, b]),
            Expression::Greater(..) => self.call(functions::LESS, vec![b, a]),
            Expression::LessOrEqual(..) => self.call(functions::LESS_OR_EQUAL, vec![a, b]),
            _ => self.call(functions::LESS_OR_EQUAL, vec![b, a]),
        };
        *expression = if is_short { Expression::Coalesce(vec![take(expression), own]) } else { own };
    }
}

/// `?x IN ()` is false unless `?x` is an error. The optimizer takes `?x` for a condition, so for it an IRI is an error too.
pub(super) fn without_members(expression: &mut Expression) {
    if let Expression::In(sought, members) = expression
        && members.is_empty()
    {
        let is_node = Expression::FunctionCall(Function::IsIri, vec![take(sought)]);
        let no = || Expression::Literal(false.into()).into();
        *expression = Expression::If(is_node.into(), no(), no());
    }
}

/// The optimizer exchanges the operands of `+`, and the evaluator can add a duration to a date but not a date to a
/// duration. So `a + b` becomes `a - -b`, except for numbers.
pub(super) fn as_difference(expression: &mut Expression) {
    let Expression::Add(a, b) = expression else { return };
    let datatype = |operand: &Expression| match operand {
        Expression::Literal(literal) => Some(literal.datatype().as_str().to_owned()),
        _ => None,
    };
    let is_duration =
        |operand| datatype(operand).is_some_and(|name| name.to_lowercase().ends_with("duration"));
    let is_number = |operand: &Expression| match operand {
        Expression::Literal(literal) => Number::of(literal.clone().into()).is_some(),
        _ => false,
    };
    if is_number(b) || is_number(a) {
        return;
    }
    let (a, b) = if is_duration(a) { (take(b), take(a)) } else { (take(a), take(b)) };
    *expression = Expression::Subtract(a.into(), Expression::UnaryMinus(b.into()).into());
}

/// Whether all its values are numbers (but not `NaN`) or text.
fn has_order(expression: &Expression) -> bool {
    use Function::{Day, Hours, LCase, Lang, Minutes, Month, Seconds, Str, StrLen, UCase, Year};
    match expression {
        Expression::FunctionCall(
            Day | Hours | LCase | Lang | Minutes | Month | Seconds | Str | StrLen | UCase | Year,
            _,
        ) => true,
        Expression::Literal(literal) if literal.datatype() == xsd::BOOLEAN => false,
        expression => is_comparable_literal(expression),
    }
}

/// Whether it is a variable, a literal, or an operation on two of them.
fn is_small(expression: &Expression) -> bool {
    let is_leaf = |operand: &Expression| matches!(operand, Expression::Variable(_) | Expression::Literal(_));
    is_leaf(expression) || is_arithmetic(expression) && children(expression).into_iter().all(is_leaf)
}

/// Whether it is a literal that is equal to itself.
fn is_comparable_literal(expression: &Expression) -> bool {
    match expression {
        Expression::Literal(literal) => {
            let literal = Ranked::new(literal.clone().into());
            literal.value_compare(&literal) == Some(Ordering::Equal)
        }
        _ => false,
    }
}

fn is_arithmetic(expression: &Expression) -> bool {
    matches!(
        expression,
        Expression::Add(..)
            | Expression::Subtract(..)
            | Expression::Multiply(..)
            | Expression::Divide(..)
            | Expression::UnaryPlus(_)
            | Expression::UnaryMinus(_)
    )
}
