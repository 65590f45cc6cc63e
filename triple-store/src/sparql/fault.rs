//! Error messages for queries with syntax errors.
//!
//! The parser reports each character that its grammar would accept at the farthest position that it reached. Here the
//! text is cut into words, which show the usual mistakes: an undeclared prefix, an incomplete triple, a bracket or
//! quote that is not closed, a relative IRI.

use super::words::{Word, words};
use crate::error::SparqlError;
use crate::terms::prefixes::well_known;

/// The error that the parser reported for a text.
pub(super) fn explained(text: &str, error: &spargebra::SparqlSyntaxError, has_base: bool) -> SparqlError {
    let reported = error.to_string();
    let Some((line, column, expected)) = place(&reported) else {
        return SparqlError { line: 1, column: 1, message: reported };
    };
    let words: Vec<_> = words(text).collect();
    let at = |end: usize| words.iter().position(|word| word.end >= end).unwrap_or(words.len());
    let end = offset(text, line, column);
    let farthest = at(end);
    // The parser reads as many characters as a keyword has before it compares them, and reports the position after
    // them.
    let keyword = expected.iter().filter(|one| is_keyword(one)).map(String::len).min();
    let is_certain = expected.iter().all(|one| is_keyword(one) || one == "[_]");
    let stopped =
        keyword.filter(|_| is_certain).map_or(farthest, |length| at((end + 1).saturating_sub(length)));
    let found = unfinished(&words)
        .or_else(|| prefix(&words, farthest, &expected))
        .or_else(|| relative(&words[..words.len().min(farthest + 1)], has_base))
        .or_else(|| incomplete(&words, farthest))
        .or_else(|| unclosed(&words, farthest))
        .or_else(|| rule(&words, farthest, &expected))
        .or_else(|| form(&words, stopped, &expected));
    let (place, what) = found.unwrap_or_else(|| unexpected(&words, stopped));
    let (line, column) = place.map_or((line, column), |word| (word.line, word.column));
    SparqlError { line, column, message: format!("{what} at {line}:{column}") }
}

/// A mistake: its position, if that is not where the parser stopped, and its description.
type Found<'w> = (Option<&'w Word<'w>>, String);

/// The line, the column, and what the grammar allows there.
fn place(reported: &str) -> Option<(u64, u64, Vec<String>)> {
    let (line, rest) = reported.strip_prefix("error at ")?.split_once(':')?;
    let (column, expected) = rest.split_once(": expected ")?;
    let expected = expected.strip_prefix("one of ").unwrap_or(expected);
    let expected = expected.split(", ").map(|one| one.trim_matches('"').to_owned()).collect();
    Some((line.parse().ok()?, column.parse().ok()?, expected))
}

/// The number of characters before a position.
fn offset(text: &str, line: u64, column: u64) -> usize {
    let before = text.split_inclusive('\n').take(line as usize - 1).map(|line| line.chars().count());
    before.sum::<usize>() + column as usize - 1
}

fn is_keyword(expected: &str) -> bool {
    expected.len() > 1 && expected.chars().all(|c| c.is_ascii_uppercase())
}

/// Finds a string that is not closed.
fn unfinished<'w>(words: &'w [Word<'w>]) -> Option<Found<'w>> {
    let last = words.last().filter(|last| last.is_unfinished())?;
    Some((Some(last), "nothing closes the string".into()))
}

fn prefix<'w>(words: &'w [Word<'w>], farthest: usize, expected: &[String]) -> Option<Found<'w>> {
    if !expected.iter().any(|one| one == "Prefix not found") {
        return None;
    }
    let upto = &words[..words.len().min(farthest + 1)];
    let declared = |prefix: &str| {
        upto.windows(2)
            .any(|pair| pair[0].text.eq_ignore_ascii_case("prefix") && pair[1].prefix() == Some(prefix))
    };
    let (word, prefix) = upto
        .iter()
        .rev()
        .find_map(|word| word.prefix().filter(|prefix| !declared(prefix)).map(|prefix| (word, prefix)))?;
    let known = well_known(prefix)
        .map_or_else(String::new, |iri| format!(" (PREFIX {prefix}: <{iri}> is well known)"));
    Some((Some(word), format!("unknown prefix {prefix}:{known}")))
}

fn relative<'w>(words: &'w [Word<'w>], has_base: bool) -> Option<Found<'w>> {
    let declares = |word: &Word<'_>| word.text.eq_ignore_ascii_case("base");
    if has_base || words.iter().any(declares) {
        return None;
    }
    let word = words.iter().find(|word| word.is_relative_iri())?;
    Some((Some(word), format!("no base IRI (BASE or --base) for the relative IRI {}", word.text)))
}

/// Finds an incomplete triple.
fn incomplete<'w>(words: &'w [Word<'w>], farthest: usize) -> Option<Found<'w>> {
    // The parser may have reached the end of the mistake, or the next word.
    let upto = words.len().min(farthest + 1);
    (0..upto).rev().take(2).find_map(|end| incomplete_at(words, end))
}

fn incomplete_at<'w>(words: &'w [Word<'w>], end: usize) -> Option<Found<'w>> {
    if !matches!(words[end].text, "}" | "." | ";" | ",") {
        return None;
    }
    let begin = words[..end].iter().rposition(|word| !word.is_term())?;
    let terms = &words[begin + 1..end];
    let missing = match (words[begin].text, terms.len()) {
        ("{" | "." | "}", 1) => "a predicate and an object are missing",
        ("{" | "." | "}", 2) | (";", 1) => "an object is missing",
        _ => return None,
    };
    let after: Vec<_> = terms.iter().map(|word| word.text).collect();
    Some((Some(&words[end]), format!("{missing} after {}", after.join(" "))))
}

/// Finds a bracket that is not closed, if the text ends too early.
fn unclosed<'w>(words: &'w [Word<'w>], farthest: usize) -> Option<Found<'w>> {
    if farthest + 1 < words.len() {
        return None;
    }
    let mut open = Vec::new();
    for word in words {
        match word.text {
            "{" | "(" | "[" => open.push(word),
            "}" | ")" | "]" => _ = open.pop(),
            _ => {}
        }
    }
    let bracket = open.pop()?;
    Some((Some(bracket), format!("nothing closes the {}", bracket.text)))
}

/// The message for other errors, from the parser's expectations.
fn rule<'w>(words: &'w [Word<'w>], farthest: usize, expected: &[String]) -> Option<Found<'w>> {
    let is_sentence =
        |one: &&String| one.contains(' ') && !one.contains(['\'', '[']) && *one != "Prefix not found";
    let rule = expected.iter().find(is_sentence)?;
    Some((words.get(farthest), rule.clone()))
}

/// Finds a first word that begins no query, or no update.
fn form<'w>(words: &'w [Word<'w>], stopped: usize, expected: &[String]) -> Option<Found<'w>> {
    const QUERIES: &[&str] = &["SELECT", "CONSTRUCT", "ASK", "DESCRIBE"];
    const UPDATES: &[&str] =
        &["INSERT", "DELETE", "WITH", "LOAD", "CLEAR", "CREATE", "DROP", "COPY", "MOVE", "ADD"];
    let mut first = 0;
    while let Some(word) = words.get(first) {
        first += match word {
            word if word.is_one_of(&["PREFIX"]) => 3,
            word if word.is_one_of(&["BASE"]) => 2,
            _ => break,
        };
    }
    let word = words.get(first).filter(|_| first == stopped)?;
    let is_query = expected.iter().any(|one| QUERIES.contains(&one.as_str()));
    let what = match (is_query, word.text) {
        (true, text) if word.is_one_of(UPDATES) => format!("{text} begins an update, not a query"),
        (false, text) if word.is_one_of(QUERIES) => format!("{text} begins a query, not an update"),
        (true, text) => format!("{text} begins no query: SELECT, CONSTRUCT, ASK and DESCRIBE do"),
        (false, text) => format!("{text} begins no update: INSERT, DELETE, WITH and others do"),
    };
    Some((Some(word), what))
}

/// The parser also reports keywords that could stand elsewhere, so the message names none.
fn unexpected<'w>(words: &'w [Word<'w>], farthest: usize) -> Found<'w> {
    match words.get(farthest) {
        Some(word) => (Some(word), format!("unexpected {}", word.text)),
        None => (None, "the text ends too early".into()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Error, QueryOptions, TripleStore};

    fn message(query: &str) -> String {
        match TripleStore::in_memory().query(query) {
            Err(Error::Sparql(error)) => error.to_string(),
            Err(error) => panic!("{query}: {error}"),
            Ok(_) => panic!("{query} parses"),
        }
    }

    #[test]
    fn mistakes_are_explained_in_one_line() {
        for (query, expected) in [
            (
                "SELECT * { ?s schema:name ?o }",
                "unknown prefix schema: (PREFIX schema: <https://schema.org/> is well known) at 1:15",
            ),
            ("PREFIX a: <urn:> SELECT * {\n ?s a:b ex:c }", "unknown prefix ex: at 2:9"),
            ("SELECT * { ?s ?p }", "an object is missing after ?s ?p at 1:18"),
            ("SELECT * { ?s }", "a predicate and an object are missing after ?s at 1:15"),
            ("SELECT * { ?s ?p ?o ; ?q . }", "an object is missing after ?q at 1:26"),
            (
                "SELECT * { ?s ?p ?o . ?o <urn:p> . ?x ?y ?z }",
                "an object is missing after ?o <urn:p> at 1:34",
            ),
            ("SELECT * { ?s ?p ?o", "nothing closes the { at 1:10"),
            ("SELECT * { ?s ?p \"abc }", "nothing closes the string at 1:18"),
            (
                "PREFIX a: <urn:> SELEKT * { ?s ?p ?o }",
                "SELEKT begins no query: SELECT, CONSTRUCT, ASK and DESCRIBE do at 1:18",
            ),
            ("INSERT DATA { <urn:a> <urn:b> 1 }", "INSERT begins an update, not a query at 1:1"),
            ("SELECT * { <a> ?p ?o }", "no base IRI (BASE or --base) for the relative IRI <a> at 1:12"),
            ("ASK { ?s ?p ?o } extra", "unexpected extra at 1:18"),
            ("SELECT ?x { ?s ?p ?o } GROUP BY ?s", "The SELECT contains a variable that is unbound at 1:33"),
        ] {
            assert_eq!(message(query), expected, "{query}");
        }
        let update = |text: &str| match TripleStore::in_memory().update(text) {
            Err(Error::Sparql(error)) => error.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(update("base <urn:a> ask {}"), "ask begins a query, not an update at 1:14");
        assert_eq!(
            update("DELTE { ?s ?p ?o }"),
            "DELTE begins no update: INSERT, DELETE, WITH and others do at 1:1"
        );
        let based = QueryOptions::new().base_iri("http://example.com/");
        assert!(TripleStore::in_memory().query_with("SELECT * { <a> ?p ?o }", &based).is_ok());
    }

    /// Wherever a query is truncated or changed, the error is a short line with a position inside the text.
    #[test]
    fn every_error_is_one_line() {
        let query = "PREFIX a: <urn:a> SELECT ?x (COUNT(*) AS ?n) WHERE {\n ?x a:b 'c'@en ; a [ ?p (1 2.5) ] .\n
                     OPTIONAL { ?x <urn:q>/a:r* ?y } FILTER(?y < 3 && EXISTS { ?y ?z 'é\\n' }) # so\n } GROUP BY ?x";
        let lines = query.lines().count() as u64;
        for (at, _) in query.char_indices() {
            for put in ["", "{", ")", "\"", "<", "x:", "?", "SELECT", "."] {
                for text in
                    [format!("{}{put}", &query[..at]), format!("{}{put}{}", &query[..at], &query[at..])]
                {
                    if let Err(error) = TripleStore::in_memory().query(&text) {
                        let Error::Sparql(error) = error else { panic!("{text}: {error}") };
                        assert!((1..=lines).contains(&error.line), "{error:?}: {text}");
                        assert!(
                            error.message.len() < 200 && !error.message.contains(['\n', '\u{300}']),
                            "{error}"
                        );
                    }
                }
            }
        }
    }
}
