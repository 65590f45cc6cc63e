//! Expressions: section 17 of SPARQL 1.1 Query. An error is `None`.

use crate::algebra::{Evaluation, Row, name};
use crate::value::{self, Number, Value, boolean, compare, equal, number, string, truth};
use oxrdf::vocab::xsd;
use oxrdf::{Literal, NamedNode, Term};
use oxsdatatypes::Double;
use spargebra::algebra::{Expression, Function};
use std::cmp::Ordering;

impl Evaluation<'_> {
    /// The value of an expression for a solution.
    pub(crate) fn expression(&self, expression: &Expression, row: &Row) -> Option<Term> {
        let value = |expression: &Expression| self.expression(expression, row);
        let test = |expression: &Expression| value(expression).as_ref().and_then(truth);
        let less = |a: &Expression, b: &Expression, wanted: &[Ordering]| {
            let ordering = compare(&value(a)?, &value(b)?).ok()?;
            Some(boolean(ordering.is_some_and(|ordering| wanted.contains(&ordering))))
        };
        let compute = |a: &Expression, operator, b: &Expression| {
            let (a, b) = (value(a)?, value(b)?);
            // 17.3.1 lets an implementation add operators. The store can subtract dates, so such a case is skipped.
            if operator == '-' && value::are_dates(&a, &b) {
                self.budget.set(0);
            }
            Some(number(&a)?.compute(operator, number(&b)?)?.term())
        };
        match expression {
            Expression::NamedNode(node) => Some(node.clone().into()),
            Expression::Literal(literal) => Some(literal.clone().into()),
            Expression::Variable(variable) => {
                row.get(&name(variable)).or_else(|| self.outer.get(&name(variable))).cloned()
            }
            Expression::Bound(variable) => {
                Some(boolean(row.contains_key(&name(variable)) || self.outer.contains_key(&name(variable))))
            }
            // 17.2: if one operand of `||` or `&&` is an error, the result is the other operand if that decides it.
            Expression::Or(a, b) => match (test(a), test(b)) {
                (Some(true), _) | (_, Some(true)) => Some(boolean(true)),
                (Some(false), Some(false)) => Some(boolean(false)),
                _ => None,
            },
            Expression::And(a, b) => match (test(a), test(b)) {
                (Some(false), _) | (_, Some(false)) => Some(boolean(false)),
                (Some(true), Some(true)) => Some(boolean(true)),
                _ => None,
            },
            Expression::Not(a) => Some(boolean(!test(a)?)),
            Expression::Equal(a, b) => equal(&value(a)?, &value(b)?).map(boolean),
            Expression::SameTerm(a, b) => Some(boolean(value(a)? == value(b)?)),
            Expression::Less(a, b) => less(a, b, &[Ordering::Less]),
            Expression::LessOrEqual(a, b) => less(a, b, &[Ordering::Less, Ordering::Equal]),
            Expression::Greater(a, b) => less(a, b, &[Ordering::Greater]),
            Expression::GreaterOrEqual(a, b) => less(a, b, &[Ordering::Greater, Ordering::Equal]),
            // 17.4.1.9: true if any member is equal, and an error if none is equal and one comparison is an error.
            Expression::In(a, list) => {
                let a = value(a)?;
                let found: Vec<_> =
                    list.iter().map(|item| value(item).and_then(|item| equal(&a, &item))).collect();
                match found.contains(&Some(true)) {
                    true => Some(boolean(true)),
                    false if found.contains(&None) => None,
                    false => Some(boolean(false)),
                }
            }
            Expression::Add(a, b) => compute(a, '+', b),
            Expression::Subtract(a, b) => compute(a, '-', b),
            Expression::Multiply(a, b) => compute(a, '*', b),
            Expression::Divide(a, b) => compute(a, '/', b),
            Expression::UnaryPlus(a) => Some(number(&value(a)?)?.term()),
            Expression::UnaryMinus(a) => negated(number(&value(a)?)?),
            Expression::If(test_of, then, other) => value(if test(test_of)? { then } else { other }),
            Expression::Coalesce(list) => list.iter().find_map(value),
            Expression::Exists(pattern) => {
                let mut outer = self.outer.clone();
                outer.extend(row.clone());
                let inner = Evaluation { outer, ..self.clone() };
                Some(boolean(!inner.pattern(pattern).is_empty()))
            }
            Expression::FunctionCall(function, arguments) => {
                call(function, &arguments.iter().map(value).collect::<Option<Vec<_>>>()?)
            }
        }
    }

    pub(crate) fn holds(&self, expression: &Expression, row: &Row) -> bool {
        self.expression(expression, row).as_ref().and_then(truth) == Some(true)
    }
}

fn negated(number: Number) -> Option<Term> {
    Some(
        match number {
            Number::Integer(n) => Number::Integer(n.checked_neg()?),
            Number::Decimal(n) => Number::Decimal(n.checked_neg()?),
            Number::Float(n) => Number::Float(-n),
            Number::Double(n) => Number::Double(-n),
        }
        .term(),
    )
}

/// 17.4.2.5: the lexical form of a literal, the text of an IRI.
pub(crate) fn text(term: &Term) -> Option<String> {
    match term {
        Term::NamedNode(node) => Some(node.as_str().to_owned()),
        Term::Literal(literal) => Some(literal.value().to_owned()),
        Term::BlankNode(_) | Term::Triple(_) => None,
    }
}

/// 17.4.3: string literals, including those with a language tag.
fn tagged(term: &Term) -> Option<(String, Option<String>)> {
    let Term::Literal(literal) = term else { return None };
    match value::value(literal) {
        Value::String(text) => Some((text, None)),
        Value::Tagged(text, language) => Some((text, Some(language))),
        _ => None,
    }
}

fn plain(text: String, language: Option<String>) -> Term {
    match language {
        Some(language) => Literal::new_language_tagged_literal_unchecked(text, language).into(),
        None => string(text),
    }
}

fn call(function: &Function, arguments: &[Term]) -> Option<Term> {
    let literal = |at: usize| match &arguments[at] {
        Term::Literal(literal) => Some(literal),
        _ => None,
    };
    // 17.4.3.1.2: the second argument has no language, or the language of the first.
    let compatible = || {
        let ((a, x), (b, y)) = (tagged(&arguments[0])?, tagged(&arguments[1])?);
        (y.is_none() || x == y).then_some((a, b, x))
    };
    Some(match function {
        Function::Str => string(text(&arguments[0])?),
        Function::Datatype => literal(0)?.datatype().into_owned().into(),
        Function::Lang => string(literal(0)?.language().unwrap_or_default()),
        // 17.4.2.8: there is no base IRI here.
        Function::Iri => match &arguments[0] {
            Term::NamedNode(node) => node.clone().into(),
            Term::BlankNode(_) | Term::Triple(_) => return None,
            Term::Literal(_) => {
                let (text, None) = tagged(&arguments[0])? else { return None };
                NamedNode::new(text).ok()?.into()
            }
        },
        Function::IsIri => boolean(arguments[0].is_named_node()),
        Function::IsBlank => boolean(arguments[0].is_blank_node()),
        Function::IsLiteral => boolean(arguments[0].is_literal()),
        Function::IsNumeric => boolean(number(&arguments[0]).is_some()),
        Function::Abs => match number(&arguments[0])? {
            Number::Integer(n) => Number::Integer(n.checked_abs()?),
            Number::Decimal(n) => Number::Decimal(n.checked_abs()?),
            Number::Float(n) => Number::Float(n.abs()),
            Number::Double(n) => Number::Double(n.abs()),
        }
        .term(),
        Function::Ceil => match number(&arguments[0])? {
            Number::Integer(n) => Number::Integer(n),
            Number::Decimal(n) => Number::Decimal(n.checked_ceil()?),
            Number::Float(n) => Number::Float(n.ceil()),
            Number::Double(n) => Number::Double(n.ceil()),
        }
        .term(),
        Function::StrLen => Number::count(tagged(&arguments[0])?.0.chars().count()).term(),
        Function::UCase => {
            let (text, language) = tagged(&arguments[0])?;
            plain(text.to_uppercase(), language)
        }
        Function::Concat => {
            let parts = arguments.iter().map(tagged).collect::<Option<Vec<_>>>()?;
            let language = parts.first().and_then(|(_, language)| language.clone());
            let same = parts.iter().all(|(_, other)| *other == language);
            let text: String = parts.into_iter().map(|(text, _)| text).collect();
            plain(text, language.filter(|_| same))
        }
        Function::Contains => {
            let (a, b, _) = compatible()?;
            boolean(a.contains(&b))
        }
        Function::StrStarts => {
            let (a, b, _) = compatible()?;
            boolean(a.starts_with(&b))
        }
        Function::StrDt => {
            let (text, None) = tagged(&arguments[0])? else { return None };
            let Term::NamedNode(datatype) = &arguments[1] else { return None };
            Literal::new_typed_literal(text, datatype.clone()).into()
        }
        Function::StrLang => {
            let ((text, None), (tag, None)) = (tagged(&arguments[0])?, tagged(&arguments[1])?) else {
                return None;
            };
            Literal::new_language_tagged_literal(text, tag).ok()?.into()
        }
        Function::Custom(datatype) => cast(datatype, &arguments[0])?,
        other => panic!("the generator writes no {other}"),
    })
}

/// 17.5: casts.
fn cast(datatype: &NamedNode, term: &Term) -> Option<Term> {
    let Term::Literal(literal) = term else {
        return (datatype.as_ref() == xsd::STRING).then(|| text(term).map(string)).flatten();
    };
    let value = value::value(literal);
    if datatype.as_ref() == xsd::STRING {
        // The canonical form of the value.
        return Some(string(match value {
            Value::Number(number) => text(&number.term())?,
            Value::Boolean(value) => value.to_string(),
            Value::DateTime(value) => value.to_string(),
            Value::Date(value) => value.to_string(),
            Value::String(_) | Value::Tagged(..) | Value::Unknown => literal.value().to_owned(),
        }));
    }
    let trimmed = match &value {
        Value::String(text) => Some(text.trim_matches([' ', '\t', '\r', '\n']).to_owned()),
        _ => None,
    };
    let parsed = |datatype| {
        let literal = Literal::new_typed_literal(trimmed.clone()?, datatype);
        match value::value(&literal) {
            Value::Unknown => None,
            value => Some(value),
        }
    };
    let term = |value| match value {
        Value::Number(number) => Some(number.term()),
        Value::Boolean(value) => Some(boolean(value)),
        _ => None,
    };
    let wanted = datatype.as_ref();
    term(match (wanted, value) {
        (_, Value::String(_)) => parsed(wanted)?,
        (xsd::BOOLEAN, Value::Boolean(value)) => Value::Boolean(value),
        (xsd::BOOLEAN, Value::Number(number)) => {
            Value::Boolean(f64::from(number.double()) != 0.0 && !number.double().is_nan())
        }
        (xsd::INTEGER, Value::Boolean(value)) => Value::Number(Number::Integer(value.into())),
        (xsd::DECIMAL, Value::Boolean(value)) => Value::Number(Number::Decimal(value.into())),
        (xsd::DOUBLE, Value::Boolean(value)) => {
            Value::Number(Number::Double(Double::from(f64::from(u8::from(value)))))
        }
        (xsd::INTEGER, Value::Number(number)) => Value::Number(Number::Integer(match number {
            Number::Integer(n) => n,
            Number::Decimal(n) => n.try_into().ok()?,
            number => {
                let whole = f64::from(number.double()).trunc();
                if !whole.is_finite() {
                    return None;
                }
                format!("{whole}").parse().ok()?
            }
        })),
        (xsd::DECIMAL, Value::Number(number)) => Value::Number(Number::Decimal(match number {
            Number::Integer(n) => n.into(),
            Number::Decimal(n) => n,
            number if f64::from(number.double()).is_finite() => {
                format!("{}", f64::from(number.double())).parse().ok()?
            }
            _ => return None,
        })),
        (xsd::DOUBLE, Value::Number(number)) => Value::Number(Number::Double(number.double())),
        _ => return None,
    })
}
