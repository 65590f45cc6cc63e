//! `REGEX` and `REPLACE` as `XPath` defines them: patterns with back-references, and replacements with `$1`.

use super::meter;
use fancy_regex::{Captures, Regex, RegexBuilder};
use oxrdf::vocab::xsd;
use oxrdf::{Literal, Term};
use parking_lot::Mutex;

/// The pattern that was compiled last, with its flags. Most queries have only one.
#[derive(Default)]
pub(super) struct Cache(Mutex<Option<(String, String, Option<Regex>)>>);

impl Cache {
    fn regex(&self, pattern: &str, flags: &str) -> Option<Regex> {
        let mut last = self.0.lock();
        match &*last {
            Some((p, f, regex)) if p == pattern && f == flags => regex.clone(),
            _ => {
                let regex = compile(pattern, flags);
                *last = Some((pattern.to_owned(), flags.to_owned(), regex.clone()));
                regex
            }
        }
    }
}

/// The most bytes of a compiled pattern, as in the evaluator.
const SIZE: usize = 1_000_000;

/// How many bytes a text may grow between two checks of its memory.
const BETWEEN: usize = 64 << 10;

fn compile(pattern: &str, flags: &str) -> Option<Regex> {
    let escaped = flags.contains('q').then(|| fancy_regex::escape(pattern));
    let mut builder = RegexBuilder::new(escaped.as_deref().unwrap_or(pattern));
    builder.delegate_size_limit(SIZE);
    for flag in flags.chars() {
        match flag {
            's' => builder.dot_matches_new_line(true),
            'm' => builder.multi_line(true),
            'i' => builder.case_insensitive(true),
            'x' => builder.ignore_whitespace(true),
            'q' => &mut builder,
            _ => return None,
        };
    }
    builder.build().ok()
}

/// A string, with or without a language.
pub(super) fn string(term: &Term) -> Option<&Literal> {
    match term {
        Term::Literal(literal) if literal.language().is_some() || literal.datatype() == xsd::STRING => {
            Some(literal)
        }
        _ => None,
    }
}

fn simple(term: &Term) -> Option<&str> {
    string(term).filter(|literal| literal.language().is_none()).map(Literal::value)
}

fn flags(term: Option<&Term>) -> Option<&str> {
    term.map_or(Some(""), simple)
}

/// `REGEX(text, pattern, flags)`.
pub(super) fn matches(cache: &Cache, arguments: &[Term]) -> Option<Term> {
    let [text, pattern, rest @ ..] = arguments else { return None };
    let regex = cache.regex(simple(pattern)?, flags(rest.first())?)?;
    let found = regex.is_match(string(text)?.value()).ok()?;
    Some(spareval::ExpressionTerm::from(found).into())
}

/// `REPLACE(text, pattern, replacement, flags)`. It is an error if the pattern matches the empty string (err:FORX0003),
/// and if a `$` or `\` of the replacement has no meaning (err:FORX0004).
pub(super) fn replaced(cache: &Cache, arguments: &[Term]) -> Option<Term> {
    let [text, pattern, replacement, rest @ ..] = arguments else { return None };
    let flags = flags(rest.first())?;
    let regex = cache.regex(simple(pattern)?, flags)?;
    if regex.is_match("").ok()? {
        return None;
    }
    let replacement = simple(replacement)?;
    let literal = string(text)?;
    let (text, mut out, mut end, mut counted) = (literal.value(), String::new(), 0, 0);
    let parts = if flags.contains('q') {
        vec![Replacement::Text(replacement.into())]
    } else {
        parse(replacement, regex.captures_len() - 1)?
    };
    for captures in regex.captures_iter(text) {
        let captures = captures.ok()?;
        let all = captures.get(0)?;
        out.push_str(&text[end..all.start()]);
        for part in &parts {
            part.write(&captures, &mut out);
            if out.len() >= counted + BETWEEN {
                meter::grows(out.len() - counted);
                counted = out.len();
            }
        }
        end = all.end();
    }
    out.push_str(&text[end..]);
    meter::passes(out.len());
    Some(like(literal, out).into())
}

/// A text with the language of another one.
pub(super) fn like(literal: &Literal, text: String) -> Literal {
    match (literal.language(), literal.direction()) {
        (Some(language), Some(direction)) => {
            Literal::new_directional_language_tagged_literal_unchecked(text, language, direction)
        }
        (Some(language), None) => Literal::new_language_tagged_literal_unchecked(text, language),
        _ => Literal::new_simple_literal(text),
    }
}

/// A part of a replacement.
enum Replacement {
    Text(String),
    Group(usize),
}

impl Replacement {
    fn write(&self, captures: &Captures<'_, str>, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Group(group) => out.push_str(captures.get(*group).map_or("", |found| found.as_str())),
        }
    }
}

/// The parts of a replacement for a pattern with `groups` groups. After a `$`, the longest number that names a group is
/// read.
fn parse(replacement: &str, groups: usize) -> Option<Vec<Replacement>> {
    let mut parts = Vec::new();
    let mut chars = replacement.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => parts.push(Replacement::Text(chars.next_if(|next| matches!(next, '\\' | '$'))?.into())),
            '$' => {
                let mut group = chars.next()?.to_digit(10)? as usize;
                while let Some(digit) = chars.peek().and_then(|next| next.to_digit(10)) {
                    let longer = group * 10 + digit as usize;
                    if longer > groups {
                        break;
                    }
                    group = longer;
                    chars.next();
                }
                parts.push(Replacement::Group(group));
            }
            char => parts.push(Replacement::Text(char.into())),
        }
    }
    Some(parts)
}
