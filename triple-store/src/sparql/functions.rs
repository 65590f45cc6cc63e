//! Functions and aggregates that replace functions of the evaluator: those that return a wrong result, or lose the form
//! of a term. The [rules](super::rules) insert them into queries, under names that no query can contain.

use super::exact::{Terms, disguised, revealed};
use super::meter::{self, ENTRY, Kept, text_length};
use super::order::{Number, Ranked};
use super::regular;
use oxrdf::vocab::xsd;
use oxrdf::{BlankNode, Literal, NamedNode, Term};
use oxsdatatypes::{Decimal, Double, TimezoneOffset};
use spareval::{AggregateFunctionAccumulator, ExpressionTerm, QueryEvaluator};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The names of functions.
pub(super) const KEEP: &str = " keep";
pub(super) const PLAIN: &str = " plain";
pub(super) const STR: &str = " str";
pub(super) const STR_OF: &str = " str of";
pub(super) const DATATYPE: &str = " datatype";
pub(super) const DATATYPE_OF: &str = " datatype of";
pub(super) const STRDT: &str = " strdt";
pub(super) const TRUTH: &str = " truth";
pub(super) const LESS: &str = " less";
pub(super) const LESS_OR_EQUAL: &str = " less or equal";
pub(super) const TRIM: &str = " trim";
pub(super) const DECIMAL: &str = " decimal";
pub(super) const REGEX: &str = " regex";
pub(super) const REPLACE: &str = " replace";
pub(super) const ROW: &str = " row";
pub(super) const BNODE: &str = " bnode";
pub(super) const KEY: &str = " key";
pub(super) const CONCAT: &str = " concat";
pub(super) const ENCODED: &str = " encoded";
/// This function computes nothing. It counts a row that binds no variable.
pub(super) const COUNTED: &str = " counted";
/// The names of aggregates.
pub(super) const MIN: &str = " min";
pub(super) const MAX: &str = " max";
pub(super) const SUM: &str = " sum";
pub(super) const AVG: &str = " avg";

/// The functions and aggregates that a query uses.
#[derive(Default)]
pub(super) struct Used {
    names: BTreeSet<&'static str>,
    separators: Vec<String>,
}

impl Used {
    pub(super) fn name(&mut self, name: &'static str) -> NamedNode {
        self.names.insert(name);
        NamedNode::new_unchecked(name)
    }

    /// The name of a `GROUP_CONCAT` with this separator.
    pub(super) fn concat(&mut self, separator: &str) -> NamedNode {
        let at = self.separators.iter().position(|other| other == separator).unwrap_or_else(|| {
            self.separators.push(separator.to_owned());
            self.separators.len() - 1
        });
        Self::concat_name(at)
    }

    fn concat_name(at: usize) -> NamedNode {
        NamedNode::new_unchecked(format!(" concat {at}"))
    }

    /// Registers them with an evaluator.
    pub(super) fn register(&self, mut evaluator: QueryEvaluator, terms: &Arc<Terms>) -> QueryEvaluator {
        for name in &self.names {
            evaluator = register(evaluator, name, Arc::clone(terms));
        }
        for (at, separator) in self.separators.iter().enumerate() {
            let separator: Arc<str> = separator.as_str().into();
            let new = move || -> Accumulator {
                Box::new(Concat {
                    separator: Arc::clone(&separator),
                    parts: Some(Vec::new()),
                    kept: Kept::default(),
                })
            };
            evaluator = evaluator.with_custom_aggregate_function(Self::concat_name(at), new);
        }
        evaluator
    }
}

/// Registers the functions that the planner calls.
pub(super) fn for_plan(evaluator: QueryEvaluator, terms: &Arc<Terms>) -> QueryEvaluator {
    [KEEP, KEY, LESS, LESS_OR_EQUAL]
        .into_iter()
        .fold(evaluator, |evaluator, name| register(evaluator, name, Arc::clone(terms)))
}

type Accumulator = Box<dyn AggregateFunctionAccumulator + Send + Sync>;

fn register(evaluator: QueryEvaluator, name: &'static str, terms: Arc<Terms>) -> QueryEvaluator {
    let node = NamedNode::new_unchecked(name);
    let aggregate: Option<fn() -> Accumulator> = match name {
        MIN => Some(|| Box::new(Extreme { wanted: Ordering::Less, found: None })),
        MAX => Some(|| Box::new(Extreme { wanted: Ordering::Greater, found: None })),
        SUM => Some(|| Box::new(Sum::default())),
        AVG => Some(|| Box::new(Average(Sum::default()))),
        _ => None,
    };
    if let Some(aggregate) = aggregate {
        return evaluator.with_custom_aggregate_function(node, aggregate);
    }
    // Functions of a variable, for which the term that the evaluator read is known.
    let of_variable: Option<fn(Term) -> Option<Term>> = match name {
        KEEP => Some(|term| Some(disguised(term))),
        STR_OF => Some(str),
        DATATYPE_OF => Some(datatype),
        _ => None,
    };
    if let Some(function) = of_variable {
        return evaluator
            .with_custom_function(node, move |arguments| function(terms.last(arguments.first()?)?));
    }
    match name {
        REGEX => {
            let cache = regular::Cache::default();
            evaluator.with_custom_function(node, move |arguments| regular::matches(&cache, arguments))
        }
        REPLACE => {
            let cache = regular::Cache::default();
            evaluator.with_custom_function(node, move |arguments| regular::replaced(&cache, arguments))
        }
        COUNTED => evaluator.with_custom_function(node, |_| {
            meter::keep_row();
            None
        }),
        ROW => evaluator.with_custom_function(node, |arguments| Some(row(arguments))),
        _ => evaluator.with_custom_function(node, move |arguments| call(name, arguments)),
    }
}

fn call(name: &str, arguments: &[Term]) -> Option<Term> {
    let first = || arguments.first().cloned().map(revealed);
    match name {
        PLAIN => first(),
        STR => str(first()?),
        DATATYPE => datatype(first()?),
        STRDT => match arguments {
            [Term::Literal(text), Term::NamedNode(datatype)] if text.datatype() == xsd::STRING => {
                Some(disguised(Literal::new_typed_literal(text.value(), datatype.clone()).into()))
            }
            _ => None,
        },
        TRUTH => truth(&first()?),
        LESS => compare(arguments, &[Ordering::Less]),
        LESS_OR_EQUAL => compare(arguments, &[Ordering::Less, Ordering::Equal]),
        TRIM => match first()? {
            Term::Literal(literal) if literal.datatype() == xsd::STRING => {
                Some(Literal::new_simple_literal(trimmed(literal.value())).into())
            }
            term => Some(term),
        },
        DECIMAL => decimal(first()?),
        BNODE => blank_node(arguments),
        KEY => Some(key(first()?)),
        CONCAT => concatenated(arguments),
        ENCODED => arguments.first().cloned().inspect(|term| meter::passes(text_length(term))),
        _ => None,
    }
}

fn boolean(value: bool) -> Term {
    ExpressionTerm::from(value).into()
}

/// 17.4.2.5: the lexical form of a literal.
fn str(term: Term) -> Option<Term> {
    let text = match term {
        Term::NamedNode(node) => node.into_string(),
        Term::Literal(literal) => literal.destruct().0,
        Term::BlankNode(_) | Term::Triple(_) => return None,
    };
    Some(Literal::new_simple_literal(text).into())
}

/// 17.4.2.7.
fn datatype(term: Term) -> Option<Term> {
    match term {
        Term::Literal(literal) => Some(literal.datatype().into_owned().into()),
        Term::NamedNode(_) | Term::BlankNode(_) | Term::Triple(_) => None,
    }
}

/// 17.2.2: the effective boolean value. It is false for an invalid number or boolean. For a string with a language it
/// is that of its text.
fn truth(term: &Term) -> Option<Term> {
    effective_boolean_value(term).map(boolean)
}

pub(super) fn effective_boolean_value(term: &Term) -> Option<bool> {
    let Term::Literal(literal) = term else { return None };
    if literal.language().is_some() || literal.datatype() == xsd::STRING {
        return Some(!literal.value().is_empty());
    }
    match ExpressionTerm::from(term.clone()) {
        ExpressionTerm::BooleanLiteral(value) => Some(value.into()),
        ExpressionTerm::OtherTypedLiteral { datatype, .. } => {
            let name = datatype.as_str().strip_prefix("http://www.w3.org/2001/XMLSchema#")?;
            let known = ["boolean", "decimal", "float", "double", "integer"].contains(&name)
                || name.ends_with("Integer")
                || ["long", "int", "short", "byte"]
                    .contains(&name.trim_start_matches("unsigned").to_lowercase().as_str());
            known.then_some(false)
        }
        _ => {
            let zero = Double::from(0.0);
            Number::of(term.clone()).map(|number| !number.double().is_nan() && number.double() != zero)
        }
    }
}

/// 17.3: the operators `<` and `<=`, with `false < true`.
fn compare(arguments: &[Term], wanted: &[Ordering]) -> Option<Term> {
    let [a, b] = arguments else { return None };
    let (a, b) = (Ranked::new(revealed(a.clone())), Ranked::new(revealed(b.clone())));
    if a.is_number() && b.is_number() {
        let ordering = a.value_compare(&b);
        return Some(boolean(ordering.is_some_and(|ordering| wanted.contains(&ordering))));
    }
    Some(boolean(wanted.contains(&a.value_compare(&b)?)))
}

/// 17.5: the cast to `xsd:decimal`. A float or double keeps all its digits. The evaluator would multiply first, and
/// round.
fn decimal(term: Term) -> Option<Term> {
    let text = match ExpressionTerm::from(term) {
        ExpressionTerm::FloatLiteral(value) if value.is_finite() => value.to_string(),
        ExpressionTerm::DoubleLiteral(value) if value.is_finite() => value.to_string(),
        ExpressionTerm::IntegerLiteral(value) => value.to_string(),
        ExpressionTerm::BooleanLiteral(value) => u8::from(bool::from(value)).to_string(),
        ExpressionTerm::StringLiteral(text) => {
            let value: Decimal = trimmed(&text).parse().ok()?;
            return Some(ExpressionTerm::DecimalLiteral(value).into());
        }
        value @ ExpressionTerm::DecimalLiteral(_) => return Some(value.into()),
        _ => return None,
    };
    // Numbers are written without exponents. A number that is too long for the evaluator's decimals keeps its text.
    Some(match text.parse::<Decimal>() {
        Ok(value) => ExpressionTerm::DecimalLiteral(value).into(),
        Err(_) => Literal::new_typed_literal(text, xsd::DECIMAL).into(),
    })
}

/// A key that is equal for terms that `=` or `sameTerm` makes equal. A float equals every number that rounds to it.
/// From 2^53 on, an integer may equal a float and a double that differ, so all numbers there have the same key.
fn key(term: Term) -> Term {
    let one = |kind: &str| Literal::new_simple_literal(kind).into();
    if let Some(number) = Number::of(term.clone()) {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let float = number.nearest_float();
        let is_large = f64::from(float).abs() >= EXACT;
        return if is_large { one("large number") } else { Number::Float(float).term() };
    }
    match ExpressionTerm::from(term.clone()) {
        ExpressionTerm::DateTimeLiteral(time) => match time.adjust(Some(TimezoneOffset::UTC)) {
            Some(time) => ExpressionTerm::DateTimeLiteral(time).into(),
            None => one("time"),
        },
        ExpressionTerm::DateLiteral(_) => one("date"),
        ExpressionTerm::TimeLiteral(_) => one("time of day"),
        ExpressionTerm::DurationLiteral(_)
        | ExpressionTerm::YearMonthDurationLiteral(_)
        | ExpressionTerm::DayTimeDurationLiteral(_) => one("duration"),
        ExpressionTerm::Triple(_) => one("triple"),
        ExpressionTerm::BooleanLiteral(value) => boolean(value.into()),
        _ => term,
    }
}

/// The text without leading and trailing white space, as the casts of `XPath` read it.
fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// `BNODE` of a text: its name is derived from the text and from the solution's own blank node.
fn blank_node(arguments: &[Term]) -> Option<Term> {
    match arguments {
        [Term::Literal(text), Term::BlankNode(own)] if text.datatype() == xsd::STRING => {
            let bytes = text.value().bytes().map(|byte| format!("{byte:02x}"));
            let name = format!("{}x{}", own.as_str(), bytes.collect::<Vec<_>>().concat());
            Some(BlankNode::new(name).ok()?.into())
        }
        _ => None,
    }
}

/// A term that stands for a solution. Different solutions have different terms.
fn row(arguments: &[Term]) -> Term {
    let parts: Vec<_> = arguments.iter().map(Term::to_string).collect();
    meter::passes(parts.iter().map(String::len).sum());
    Literal::new_simple_literal(parts.join(" ")).into()
}

/// 17.4.3.12: `CONCAT`. The result has a language if all texts have that language.
fn concatenated(arguments: &[Term]) -> Option<Term> {
    let texts: Option<Vec<_>> = arguments.iter().map(regular::string).collect();
    let texts = texts?;
    meter::passes(texts.iter().map(|text| text.value().len()).sum());
    let all = texts.iter().map(|text| text.value()).collect::<String>();
    let [first, rest @ ..] = &texts[..] else { return Some(Literal::new_simple_literal(all).into()) };
    let is_of_one =
        rest.iter().all(|text| text.language() == first.language() && text.direction() == first.direction());
    Some(if is_of_one { regular::like(first, all) } else { Literal::new_simple_literal(all) }.into())
}

/// `MIN` and `MAX`. The result is one of the terms, unchanged.
struct Extreme {
    wanted: Ordering,
    found: Option<Ranked>,
}

impl AggregateFunctionAccumulator for Extreme {
    fn accumulate(&mut self, element: Term) {
        let element = Ranked::new(revealed(element));
        if self.found.as_ref().is_none_or(|found| element.compare(found) == self.wanted) {
            self.found = Some(element);
        }
    }

    fn finish(&mut self) -> Option<Term> {
        self.found.take().map(|found| disguised(found.term))
    }
}

/// `SUM` of distinct terms.
struct Sum {
    total: Option<Number>,
    count: i64,
    kept: Kept,
}

impl Default for Sum {
    fn default() -> Self {
        Self { total: Some(Number::Integer(0.into())), count: 0, kept: Kept::default() }
    }
}

impl AggregateFunctionAccumulator for Sum {
    fn accumulate(&mut self, element: Term) {
        let number = Number::of(revealed(element));
        self.count += 1;
        // The evaluator holds the term, to find duplicates.
        self.kept.add(ENTRY);
        self.total = self.total.zip(number).and_then(|(sum, number)| sum.plus(number));
    }

    fn finish(&mut self) -> Option<Term> {
        self.total.take().map(Number::term)
    }
}

struct Average(Sum);

impl AggregateFunctionAccumulator for Average {
    fn accumulate(&mut self, element: Term) {
        self.0.accumulate(element);
    }

    fn finish(&mut self) -> Option<Term> {
        match self.0.count {
            // 18.5.1.3: the average of nothing is 0.
            0 => Some(Number::Integer(0.into()).term()),
            count => Some(self.0.total.take()?.over(count)?.term()),
        }
    }
}

/// `GROUP_CONCAT`: a simple literal made of `STR` of the terms (18.5.1.7).
struct Concat {
    separator: Arc<str>,
    /// `None` once a term has no text.
    parts: Option<Vec<String>>,
    kept: Kept,
}

impl AggregateFunctionAccumulator for Concat {
    fn accumulate(&mut self, element: Term) {
        match (str(revealed(element)), &mut self.parts) {
            (Some(Term::Literal(part)), Some(parts)) => {
                let part = part.destruct().0;
                // With `DISTINCT`, the evaluator holds the text too.
                self.kept.add(2 * part.len() + ENTRY);
                parts.push(part);
            }
            _ => self.parts = None,
        }
    }

    fn finish(&mut self) -> Option<Term> {
        let parts = self.parts.take()?;
        let separators = self.separator.len() * parts.len().saturating_sub(1);
        meter::passes(parts.iter().map(String::len).sum::<usize>() + separators);
        Some(Literal::new_simple_literal(parts.join(&self.separator)).into())
    }
}
