//! The order of terms for `MIN` and `MAX`: that of `ORDER BY` (SPARQL 1.1 Query, 15.1 and 18.5.1.4), extended to a
//! total order, so that the answer does not depend on the order of the rows.

use oxrdf::Term;
use oxsdatatypes::{Boolean, Date, DateTime, Decimal, Double, Float, Integer, Time};
use spareval::ExpressionTerm;
use std::cmp::Ordering;

/// A term with its sort key.
pub(super) struct Ranked {
    pub(super) term: Term,
    key: Key,
}

/// The kinds of terms in their order.
#[derive(PartialEq)]
enum Key {
    Blank,
    Iri,
    NotANumber,
    Number(Number),
    Boolean(Boolean),
    Date(Date),
    DateTime(DateTime),
    Time(Time),
    Text,
    Tagged,
    Other,
    Triple,
}

/// A class of values that are sorted together. The values of a class have a total order that agrees with `<`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Node,
    NotANumber,
    Integer,
    /// Ordered among themselves and with integers. Rounded to doubles, they may have another order.
    Decimal,
    Float,
    Double,
    Boolean,
    Text,
    Tagged(String),
    /// Dates, times or both, with a time zone or without.
    Moment(u8, bool),
    Other,
}

/// A number in the type to which it is promoted for a comparison.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(Integer),
    Decimal(Decimal),
    Float(Float),
    Double(Double),
}

impl Number {
    pub(super) fn of(term: Term) -> Option<Self> {
        Some(match ExpressionTerm::from(term) {
            ExpressionTerm::IntegerLiteral(n) => Self::Integer(n),
            ExpressionTerm::DecimalLiteral(n) => Self::Decimal(n),
            ExpressionTerm::FloatLiteral(n) => Self::Float(n),
            ExpressionTerm::DoubleLiteral(n) => Self::Double(n),
            _ => return None,
        })
    }

    pub(super) fn double(self) -> Double {
        match self {
            Self::Integer(n) => n.into(),
            Self::Decimal(n) => n.into(),
            Self::Float(n) => n.into(),
            Self::Double(n) => n,
        }
    }

    fn float(self) -> Float {
        match self {
            Self::Integer(n) => n.into(),
            Self::Decimal(n) => n.into(),
            Self::Float(n) => n,
            Self::Double(n) => n.into(),
        }
    }

    /// The nearest float. Zero has no sign.
    pub(super) fn nearest_float(self) -> Float {
        let float = self.float();
        if float == Float::from(0.0) { Float::from(0.0) } else { float }
    }

    fn decimal(self) -> Option<Decimal> {
        match self {
            Self::Integer(n) => Some(n.into()),
            Self::Decimal(n) => Some(n),
            Self::Float(_) | Self::Double(_) => None,
        }
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.partial_cmp(&b),
            (Self::Double(_), _) | (_, Self::Double(_)) => self.double().partial_cmp(&other.double()),
            (Self::Float(_), _) | (_, Self::Float(_)) => self.float().partial_cmp(&other.float()),
            _ => self.decimal()?.partial_cmp(&other.decimal()?),
        }
    }

    /// The sum. `None` if the datatype can't represent it.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Self::Integer(a.checked_add(b)?),
            (Self::Double(_), _) | (_, Self::Double(_)) => Self::Double(self.double() + other.double()),
            (Self::Float(_), _) | (_, Self::Float(_)) => Self::Float(self.float() + other.float()),
            _ => Self::Decimal(self.decimal()?.checked_add(other.decimal()?)?),
        })
    }

    /// The quotient. For two integers it is a decimal.
    pub(super) fn over(self, count: i64) -> Option<Self> {
        let count = Integer::from(count);
        Some(match self {
            Self::Integer(n) => Self::Decimal(Decimal::from(n).checked_div(count)?),
            Self::Decimal(n) => Self::Decimal(n.checked_div(count)?),
            Self::Float(n) => Self::Float(n / Float::from(count)),
            Self::Double(n) => Self::Double(n / Double::from(count)),
        })
    }

    pub(super) fn term(self) -> Term {
        match self {
            Self::Integer(n) => ExpressionTerm::IntegerLiteral(n),
            Self::Decimal(n) => ExpressionTerm::DecimalLiteral(n),
            Self::Float(n) => ExpressionTerm::FloatLiteral(n),
            Self::Double(n) => ExpressionTerm::DoubleLiteral(n),
        }
        .into()
    }
}

impl Key {
    fn of(term: &Term) -> Self {
        match ExpressionTerm::from(term.clone()) {
            ExpressionTerm::BlankNode(_) => Self::Blank,
            ExpressionTerm::NamedNode(_) => Self::Iri,
            ExpressionTerm::Triple(_) => Self::Triple,
            ExpressionTerm::StringLiteral(_) => Self::Text,
            ExpressionTerm::LangStringLiteral { .. } | ExpressionTerm::DirLangStringLiteral { .. } => {
                Self::Tagged
            }
            ExpressionTerm::BooleanLiteral(value) => Self::Boolean(value),
            ExpressionTerm::DateLiteral(value) => Self::Date(value),
            ExpressionTerm::DateTimeLiteral(value) => Self::DateTime(value),
            ExpressionTerm::TimeLiteral(value) => Self::Time(value),
            _ => match Number::of(term.clone()) {
                Some(number) if number.double().is_nan() => Self::NotANumber,
                Some(number) => Self::Number(number),
                None => Self::Other,
            },
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Blank => 0,
            Self::Iri => 1,
            Self::NotANumber => 2,
            Self::Number(_) => 3,
            Self::Boolean(_) => 4,
            Self::Date(_) => 5,
            Self::DateTime(_) => 6,
            Self::Time(_) => 7,
            Self::Text => 8,
            Self::Tagged => 9,
            Self::Other => 10,
            Self::Triple => 11,
        }
    }

    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.compare(*b),
            (Self::Boolean(a), Self::Boolean(b)) => bool::from(*a).partial_cmp(&bool::from(*b)),
            (Self::Date(a), Self::Date(b)) => a.partial_cmp(b),
            (Self::DateTime(a), Self::DateTime(b)) => a.partial_cmp(b),
            (Self::Time(a), Self::Time(b)) => a.partial_cmp(b),
            _ => None,
        }
    }
}

impl Ranked {
    pub(super) fn new(term: Term) -> Self {
        let key = Key::of(&term);
        Self { term, key }
    }

    /// Whether it has a numeric datatype, even if its text is not a valid number.
    pub(super) fn is_number(&self) -> bool {
        matches!(self.key, Key::NotANumber | Key::Number(_))
    }

    pub(super) fn class(&self) -> Class {
        match (&self.key, &self.term) {
            (Key::Blank | Key::Iri, _) => Class::Node,
            (Key::NotANumber, _) => Class::NotANumber,
            (Key::Number(Number::Integer(_)), _) => Class::Integer,
            (Key::Number(Number::Decimal(_)), _) => Class::Decimal,
            (Key::Number(Number::Float(_)), _) => Class::Float,
            (Key::Number(Number::Double(_)), _) => Class::Double,
            (Key::Boolean(_), _) => Class::Boolean,
            (Key::Text, _) => Class::Text,
            (Key::Tagged, Term::Literal(literal)) if literal.direction().is_none() => {
                Class::Tagged(literal.language().unwrap_or_default().to_owned())
            }
            (Key::Date(date), _) => Class::Moment(self.key.rank(), date.timezone_offset().is_some()),
            (Key::DateTime(time), _) => Class::Moment(self.key.rank(), time.timezone_offset().is_some()),
            (Key::Time(time), _) => Class::Moment(self.key.rank(), time.timezone_offset().is_some()),
            (Key::Tagged | Key::Other | Key::Triple, _) => Class::Other,
        }
    }

    /// The result of the operators `<` and `>`. `None` if they are an error.
    pub(super) fn value_compare(&self, other: &Self) -> Option<Ordering> {
        match (&self.term, &other.term) {
            (Term::Literal(a), Term::Literal(b)) if self.key.rank() == other.key.rank() => match self.key {
                Key::Text => Some(a.value().cmp(b.value())),
                Key::Tagged => {
                    let is_same = a.language() == b.language() && a.direction() == b.direction();
                    is_same.then(|| a.value().cmp(b.value()))
                }
                Key::Other => compare_durations(&self.term, &other.term),
                _ => self.key.compare(&other.key),
            },
            _ => None,
        }
    }

    /// By kind, then by value, then by text.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let by_value = || self.key.compare(&other.key).unwrap_or(Ordering::Equal);
        let by_text = || match (&self.term, &other.term) {
            (Term::Literal(a), Term::Literal(b)) => {
                let text = |literal: &oxrdf::Literal| {
                    let tag = literal.language().unwrap_or_else(|| literal.datatype().as_str()).to_owned();
                    (literal.value().to_owned(), tag)
                };
                text(a).cmp(&text(b))
            }
            (a, b) => a.to_string().cmp(&b.to_string()),
        };
        self.key.rank().cmp(&other.key.rank()).then_with(by_value).then_with(by_text)
    }
}

fn compare_durations(a: &Term, b: &Term) -> Option<Ordering> {
    let duration = |term: &Term| {
        Some(match ExpressionTerm::from(term.clone()) {
            ExpressionTerm::DurationLiteral(value) => value,
            ExpressionTerm::YearMonthDurationLiteral(value) => value.into(),
            ExpressionTerm::DayTimeDurationLiteral(value) => value.into(),
            _ => return None,
        })
    };
    duration(a)?.partial_cmp(&duration(b)?)
}

#[cfg(test)]
mod tests {
    use super::Ranked;
    use oxrdf::Term;
    use std::cmp::Ordering;

    #[test]
    fn terms_have_one_order() {
        let xsd = "http://www.w3.org/2001/XMLSchema#";
        let terms = [
            "_:a".to_owned(),
            "<urn:a>".to_owned(),
            format!("\"NaN\"^^<{xsd}double>"),
            format!("\"-1\"^^<{xsd}integer>"),
            format!("\"01\"^^<{xsd}integer>"),
            format!("\"1\"^^<{xsd}decimal>"),
            format!("\"1\"^^<{xsd}integer>"),
            format!("\"1.5\"^^<{xsd}float>"),
            format!("\"false\"^^<{xsd}boolean>"),
            format!("\"true\"^^<{xsd}boolean>"),
            format!("\"2024-02-29\"^^<{xsd}date>"),
            format!("\"2024-02-29T00:00:00Z\"^^<{xsd}dateTime>"),
            "\"a\"".to_owned(),
            "\"b\"".to_owned(),
            "\"a\"@en".to_owned(),
            format!("\"no number\"^^<{xsd}integer>"),
        ]
        .map(|term| Ranked::new(term.parse::<Term>().unwrap()));
        for (i, a) in terms.iter().enumerate() {
            for (j, b) in terms.iter().enumerate() {
                assert_eq!(a.compare(b), i.cmp(&j), "{} {}", a.term, b.term);
            }
            assert_eq!(a.compare(a), Ordering::Equal);
        }
    }
}
