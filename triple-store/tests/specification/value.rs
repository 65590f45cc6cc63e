//! Values of literals, and their comparison and arithmetic: sections 17.2 to 17.4 of SPARQL 1.1 Query.

use oxrdf::vocab::xsd;
use oxrdf::{Literal, NamedNodeRef, Term};
use oxsdatatypes::{Date, DateTime, Decimal, Double, Float, Integer};
use std::cmp::Ordering;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Integer(Integer),
    Decimal(Decimal),
    Float(Float),
    Double(Double),
}

/// The value of a literal, as far as the operators know its datatype.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Number(Number),
    Boolean(bool),
    String(String),
    Tagged(String, String),
    DateTime(DateTime),
    Date(Date),
    /// A datatype without operators, or a lexical form that the datatype does not have.
    Unknown,
}

const INTEGERS: [&str; 13] = [
    "integer",
    "int",
    "long",
    "short",
    "byte",
    "nonNegativeInteger",
    "positiveInteger",
    "nonPositiveInteger",
    "negativeInteger",
    "unsignedInt",
    "unsignedLong",
    "unsignedShort",
    "unsignedByte",
];

fn local(datatype: NamedNodeRef<'_>) -> Option<&str> {
    datatype.as_str().strip_prefix("http://www.w3.org/2001/XMLSchema#")
}

pub(crate) fn is_numeric_type(literal: &Literal) -> bool {
    local(literal.datatype())
        .is_some_and(|name| INTEGERS.contains(&name) || ["decimal", "float", "double"].contains(&name))
}

pub(crate) fn value(literal: &Literal) -> Value {
    let text = literal.value();
    if let Some(language) = literal.language() {
        return Value::Tagged(text.into(), language.into());
    }
    let value = match local(literal.datatype()) {
        Some("string") => Some(Value::String(text.into())),
        Some("boolean") => match text {
            "true" | "1" => Some(Value::Boolean(true)),
            "false" | "0" => Some(Value::Boolean(false)),
            _ => None,
        },
        Some("decimal") => text.parse().ok().map(|n| Value::Number(Number::Decimal(n))),
        Some("float") => text.parse().ok().map(|n| Value::Number(Number::Float(n))),
        Some("double") => text.parse().ok().map(|n| Value::Number(Number::Double(n))),
        Some("dateTime") => text.parse().ok().map(Value::DateTime),
        Some("date") => text.parse().ok().map(Value::Date),
        Some(name) if INTEGERS.contains(&name) => {
            text.parse().ok().map(|n| Value::Number(Number::Integer(n)))
        }
        _ => None,
    };
    value.unwrap_or(Value::Unknown)
}

pub(crate) fn number(term: &Term) -> Option<Number> {
    match term {
        Term::Literal(literal) => match value(literal) {
            Value::Number(number) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

/// Whether both are a date, or both a date and time.
pub(crate) fn are_dates(a: &Term, b: &Term) -> bool {
    let (Term::Literal(a), Term::Literal(b)) = (a, b) else { return false };
    matches!(
        (value(a), value(b)),
        (Value::Date(_), Value::Date(_)) | (Value::DateTime(_), Value::DateTime(_))
    )
}

fn typed(text: &impl ToString, datatype: NamedNodeRef<'_>) -> Term {
    Literal::new_typed_literal(text.to_string(), datatype).into()
}

pub(crate) fn boolean(value: bool) -> Term {
    typed(&value, xsd::BOOLEAN)
}

pub(crate) fn string(text: impl Into<String>) -> Term {
    Literal::new_simple_literal(text).into()
}

impl Number {
    pub(crate) fn count(of: usize) -> Self {
        Self::Integer(i64::try_from(of).expect("small").into())
    }

    pub(crate) fn term(self) -> Term {
        match self {
            Self::Integer(n) => typed(&n, xsd::INTEGER),
            Self::Decimal(n) => typed(&n, xsd::DECIMAL),
            Self::Float(n) => typed(&n, xsd::FLOAT),
            Self::Double(n) => typed(&n, xsd::DOUBLE),
        }
    }

    pub(crate) fn double(self) -> Double {
        match self {
            Self::Integer(n) => n.into(),
            Self::Decimal(n) => n.into(),
            Self::Float(n) => n.into(),
            Self::Double(n) => n,
        }
    }

    /// Converts both to one type: that of the number that comes later in the order of promotion.
    fn promoted(self, other: Self) -> (Self, Self) {
        let rank = |number: &Self| match number {
            Self::Integer(_) => 0,
            Self::Decimal(_) => 1,
            Self::Float(_) => 2,
            Self::Double(_) => 3,
        };
        let to = rank(&self).max(rank(&other));
        let promote = |number: Self| match (to, number) {
            (1, Self::Integer(n)) => Self::Decimal(n.into()),
            (2, Self::Integer(n)) => Self::Float(n.into()),
            (2, Self::Decimal(n)) => Self::Float(n.into()),
            (3, number) => Self::Double(number.double()),
            (_, number) => number,
        };
        (promote(self), promote(other))
    }

    pub(crate) fn compute(self, operator: char, other: Self) -> Option<Self> {
        // The quotient of two integers is a decimal.
        let (a, b) = match (operator, self.promoted(other)) {
            ('/', (Self::Integer(a), Self::Integer(b))) => (Self::Decimal(a.into()), Self::Decimal(b.into())),
            (_, both) => both,
        };
        Some(match (a, b) {
            (Self::Integer(a), Self::Integer(b)) => Self::Integer(match operator {
                '+' => a.checked_add(b)?,
                '-' => a.checked_sub(b)?,
                _ => a.checked_mul(b)?,
            }),
            (Self::Decimal(a), Self::Decimal(b)) => Self::Decimal(match operator {
                '+' => a.checked_add(b)?,
                '-' => a.checked_sub(b)?,
                '*' => a.checked_mul(b)?,
                _ => a.checked_div(b)?,
            }),
            (Self::Float(a), Self::Float(b)) => Self::Float(match operator {
                '+' => a + b,
                '-' => a - b,
                '*' => a * b,
                _ => a / b,
            }),
            (a, b) => {
                let (a, b) = (a.double(), b.double());
                Self::Double(match operator {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    _ => a / b,
                })
            }
        })
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match self.promoted(other) {
            (Self::Integer(a), Self::Integer(b)) => a.partial_cmp(&b),
            (Self::Decimal(a), Self::Decimal(b)) => a.partial_cmp(&b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (a, b) => a.double().partial_cmp(&b.double()),
        }
    }
}

/// The operator `=`. It compares values if both are known. Otherwise it is RDFterm-equal, which is an error for two
/// different literals.
pub(crate) fn equal(a: &Term, b: &Term) -> Option<bool> {
    let (Term::Literal(a), Term::Literal(b)) = (a, b) else { return Some(a == b) };
    match (value(a), value(b)) {
        (Value::Number(a), Value::Number(b)) => Some(a.compare(b) == Some(Ordering::Equal)),
        (Value::DateTime(a), Value::DateTime(b)) => Some(a == b),
        (Value::Date(a), Value::Date(b)) => Some(a == b),
        (Value::Boolean(a), Value::Boolean(b)) => Some(a == b),
        _ if a == b => Some(true),
        (Value::Tagged(..), _) | (_, Value::Tagged(..)) => Some(false),
        (Value::Unknown, _) | (_, Value::Unknown) => None,
        _ => Some(false),
    }
}

/// How the operators `<` and `>` compare. `Err` is a type error, and `Ok(None)` means that neither value is less, as
/// for `NaN`. Texts with equal language tags can be compared.
pub(crate) fn compare(a: &Term, b: &Term) -> Result<Option<Ordering>, ()> {
    let (Term::Literal(a), Term::Literal(b)) = (a, b) else { return Err(()) };
    match (value(a), value(b)) {
        (Value::Number(a), Value::Number(b)) => Ok(a.compare(b)),
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(&b))),
        (Value::Tagged(a, x), Value::Tagged(b, y)) if x == y => Ok(Some(a.cmp(&b))),
        (Value::Boolean(a), Value::Boolean(b)) => Ok(Some(a.cmp(&b))),
        (Value::DateTime(a), Value::DateTime(b)) => a.partial_cmp(&b).map(Some).ok_or(()),
        (Value::Date(a), Value::Date(b)) => a.partial_cmp(&b).map(Some).ok_or(()),
        _ => Err(()),
    }
}

/// The effective boolean value.
pub(crate) fn truth(term: &Term) -> Option<bool> {
    let Term::Literal(literal) = term else { return None };
    match value(literal) {
        Value::Boolean(value) => Some(value),
        Value::String(text) | Value::Tagged(text, _) => Some(!text.is_empty()),
        Value::Number(number) => Some(f64::from(number.double()) != 0.0 && !number.double().is_nan()),
        Value::Unknown if is_numeric_type(literal) || literal.datatype() == xsd::BOOLEAN => Some(false),
        Value::Unknown | Value::DateTime(_) | Value::Date(_) => None,
    }
}

/// The order of `MIN` and `MAX`, as for `ORDER BY`: blank nodes, IRIs, literals. Literals that `<` does not order are
/// sorted by kind, and equal values by their text.
pub(crate) fn order(a: &Term, b: &Term) -> Ordering {
    let rank = |term: &Term| match term {
        Term::BlankNode(_) => 0,
        Term::NamedNode(_) => 1,
        Term::Literal(literal) => match value(literal) {
            Value::Number(number) if number.double().is_nan() => 2,
            Value::Number(_) => 3,
            Value::Boolean(_) => 4,
            Value::Date(_) => 5,
            Value::DateTime(_) => 6,
            Value::String(_) => 7,
            Value::Tagged(..) => 8,
            Value::Unknown => 9,
        },
        Term::Triple(_) => 10,
    };
    let text = |term: &Term| match term {
        Term::Literal(literal) => {
            let tag = literal.language().unwrap_or_else(|| literal.datatype().as_str()).to_owned();
            (literal.value().to_owned(), tag)
        }
        term => (term.to_string(), String::new()),
    };
    let by_value = || compare(a, b).ok().flatten().unwrap_or(Ordering::Equal);
    rank(a).cmp(&rank(b)).then_with(by_value).then_with(|| text(a).cmp(&text(b)))
}
