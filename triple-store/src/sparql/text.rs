//! What the text of a request says and the parser does not hand on, or does not take.

use super::depth;
use oxrdf::{NamedNode, Variable};
use spargebra::algebra::GraphPattern;
use std::borrow::Cow;
use std::ops::Range;

/// A piece of a text that is neither white space nor a comment.
enum Token<'a> {
    Word(&'a str),
    Variable(&'a str),
    Other(&'a str),
}

/// The tokens of a text and where they stand. Where the parser reads on in another way, there is nothing to find.
fn tokens(text: &str) -> impl Iterator<Item = (Range<usize>, Token<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let first = rest.chars().next()?;
            let length = match first {
                '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
                '"' | '\'' => depth::string(rest.as_bytes()).unwrap_or(1),
                '<' => iri(rest).unwrap_or(1),
                _ if is_name(first) => rest.find(|char| !is_name(char)).unwrap_or(rest.len()),
                '?' | '$' | '@' => 1 + rest[1..].find(|char| !is_name(char)).unwrap_or(rest.len() - 1),
                _ => first.len_utf8(),
            };
            let (range, token) = (at..at + length, &rest[..length]);
            at += length;
            match first {
                '#' => {}
                _ if first.is_whitespace() => {}
                '?' | '$' if length > 1 => return Some((range, Token::Variable(&token[1..]))),
                // With the colons of prefixed names, and the dots inside.
                _ if is_name(first) => return Some((range, Token::Word(token.trim_end_matches('.')))),
                _ => return Some((range, Token::Other(token))),
            }
        }
    })
}

fn is_name(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | ':' | '-' | '.' | '%' | '\\')
}

/// The length of the IRI that begins here.
fn iri(text: &str) -> Option<usize> {
    let outside = |char| matches!(char, '<' | '>' | '"' | '{' | '}' | '|' | '^' | '`' | '\\' | '\0'..=' ');
    let end = 1 + text[1..].find(outside)?;
    text[end..].starts_with('>').then_some(end + 1)
}

/// The text with `true` and `false` in lower case: keywords are matched in any case (SPARQL 1.1 Query, 19.8), but the
/// parser takes these in one.
pub(super) fn readable(text: &str) -> Cow<'_, str> {
    let mut readable = Cow::Borrowed(text);
    for (range, token) in tokens(text) {
        if let Token::Word(word) = token
            && ["true", "false"].iter().any(|name| word.eq_ignore_ascii_case(name))
        {
            let lower = word.to_ascii_lowercase();
            if lower != word {
                readable.to_mut().replace_range(range.start..range.start + word.len(), &lower);
            }
        }
    }
    readable
}

/// Puts the columns of a `SELECT *` in the order in which the query first names the variables. The parser sorts them.
pub(super) fn order_columns(text: &str, pattern: &mut GraphPattern) {
    let mut forms = tokens(text).skip_while(|(_, token)| !is_form(token));
    forms.next();
    let star = forms
        .find(|(_, token)| !matches!(token, Token::Word(word) if is_one_of(word, &["distinct", "reduced"])));
    if !matches!(star, Some((_, Token::Other("*")))) {
        return;
    }
    let mut pattern = pattern;
    loop {
        match pattern {
            GraphPattern::Slice { inner, .. }
            | GraphPattern::Distinct { inner }
            | GraphPattern::Reduced { inner } => pattern = inner,
            GraphPattern::Project { variables, .. } => {
                let names: Vec<_> = tokens(text).filter_map(|(_, token)| variable(&token)).collect();
                let place = |variable: &Variable| names.iter().position(|name| *name == variable.as_str());
                variables.sort_by_cached_key(place);
                return;
            }
            _ => return,
        }
    }
}

fn variable<'a>(token: &Token<'a>) -> Option<&'a str> {
    match token {
        Token::Variable(name) => Some(name),
        Token::Word(_) | Token::Other(_) => None,
    }
}

fn is_form(token: &Token<'_>) -> bool {
    matches!(token, Token::Word(word) if is_one_of(word, &["select", "ask", "construct", "describe"]))
}

fn is_one_of(word: &str, names: &[&str]) -> bool {
    names.iter().any(|name| word.eq_ignore_ascii_case(name))
}

/// The graph that [`with_sources`] copies the source of a `COPY`, `MOVE` or `ADD` to.
const SOURCE: &str = "urn:triple-store:source-of-the-next-operation";

/// Whether an operation inserts into the graph of [`with_sources`].
pub(super) fn is_source(graph: &NamedNode) -> bool {
    graph.as_str() == SOURCE
}

/// The text with an operation before each `COPY`, `MOVE` and `ADD` that has to fail if its source does not exist, namely
/// without `SILENT` (SPARQL 1.1 Update, 3.2.3 to 3.2.5). The parser makes other operations of those, and drops the word.
pub(super) fn with_sources(text: &str) -> Cow<'_, str> {
    let mut all = tokens(text).peekable();
    let mut inserted: Vec<(usize, String)> = Vec::new();
    while let Some((operation, token)) = all.next() {
        let is_copy = matches!(token, Token::Word(word) if is_one_of(word, &["copy", "move", "add"]));
        if !is_copy || matches!(all.peek(), Some((_, Token::Word(word))) if is_one_of(word, &["silent"])) {
            continue;
        }
        let to = all.find(|(_, token)| matches!(token, Token::Word(word) if is_one_of(word, &["to"])));
        if let Some((to, _)) = to {
            let source = &text[operation.end..to.start];
            inserted.push((operation.start, format!("ADD {source} TO <{SOURCE}> ; ")));
        }
    }
    let mut text = Cow::Borrowed(text);
    for (at, operation) in inserted.into_iter().rev() {
        text.to_mut().insert_str(at, &operation);
    }
    text
}

/// The text without `GRAPH <iri> {` and the bracket that closes it, with white space in their place.
#[cfg(feature = "server")]
pub(crate) fn without_graph<'t>(text: &'t str, iri: &str) -> Cow<'t, str> {
    let mut text = Cow::Borrowed(text);
    if !text.contains(iri) {
        return text;
    }
    let name = format!("<{iri}>");
    let (mut open, mut blank) = (Vec::new(), Vec::new());
    let mut before: [(Range<usize>, Token<'_>); 2] = [(0..0, Token::Other("")), (0..0, Token::Other(""))];
    for (range, token) in tokens(&text) {
        match (&before, &token) {
            ([(graph, Token::Word(word)), (_, Token::Other(iri))], Token::Other("{"))
                if is_one_of(word, &["graph"]) && *iri == name =>
            {
                blank.push(graph.start..range.end);
                open.push(true);
            }
            (_, Token::Other("{")) => open.push(false),
            (_, Token::Other("}")) if open.pop() == Some(true) => blank.push(range.clone()),
            _ => {}
        }
        before.rotate_left(1);
        before[1] = (range, token);
    }
    for range in blank {
        let spaces = text[range.clone()].replace(|char| !matches!(char, '\n' | '\r'), " ");
        text.to_mut().replace_range(range, &spaces);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use spargebra::{Query, SparqlParser};

    #[test]
    fn booleans_are_read_in_any_case() {
        for (text, expected) in [
            ("ASK { ?s ?p TRUE }", "ASK { ?s ?p true }"),
            ("ASK { ?s ?p False. }", "ASK { ?s ?p false. }"),
            ("FILTER(TRUE&&!FALSE)", "FILTER(true&&!false)"),
        ] {
            assert_eq!(readable(text), expected);
        }
        for text in [
            "?TRUE $TRUE ex:TRUE :TRUE TRUE:x _:TRUE 'TRUE' \"TRUE\"@TRUE '''TRUE' ''' <TRUE> TRUEX # TRUE",
            "",
        ] {
            assert!(matches!(readable(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn columns_stand_in_the_order_of_their_first_appearance() {
        for (text, expected) in [
            ("SELECT * { ?z ?y ?x }", "z y x"),
            ("PREFIX select: <urn:> SELECT # ?x\n DISTINCT * { ?z ?p '?x' . ?x ?p ?a } LIMIT 1", "z p x a"),
            ("SELECT ?x ?z { ?z ?y ?x }", "x z"),
            ("SELECT ?x ?z { { SELECT * { ?z ?y ?x } } }", "x z"),
            ("select reduced *{?b ?a $c} ORDER BY ?c", "b a c"),
        ] {
            let Query::Select { mut pattern, .. } = SparqlParser::new().parse_query(text).unwrap() else {
                panic!("{text}")
            };
            order_columns(text, &mut pattern);
            let mut names = Vec::new();
            pattern.on_in_scope_variable(|variable| names.push(variable.as_str()));
            assert_eq!(names.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn sources_are_asked_for_unless_that_is_to_be_silent() {
        let source = |text: &str| format!("ADD {text} TO <{SOURCE}> ; ");
        let text = "COPY <a> TO <b>; move silent <a> to <b> ; ADD GRAPH x:to TO DEFAULT";
        let expected = format!(
            "{}COPY <a> TO <b>; move silent <a> to <b> ; {}ADD GRAPH x:to TO DEFAULT",
            source(" <a> "),
            source(" GRAPH x:to ")
        );
        assert_eq!(with_sources(text), expected);
        for text in ["INSERT DATA { <copy> :add 'move' } # COPY <a> TO <b>", "COPY", "COPY <a>"] {
            assert!(matches!(with_sources(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn a_graph_is_taken_out_with_its_brackets() {
        for (text, expected) in [
            ("INSERT DATA { GRAPH <urn:x>{ :a :b '}' } }", "INSERT DATA { :a :b '}' }"),
            ("{graph <urn:x>\n{GRAPH <urn:y> {?s ?p ?o}}}", "{ GRAPH <urn:y> {?s ?p ?o} }"),
        ] {
            let found = without_graph(text, "urn:x");
            assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), expected);
            let lines = |text: &str| text.split('\n').map(str::len).collect::<Vec<_>>();
            assert_eq!(lines(&found), lines(text), "what is left stays in its place");
        }
        for text in ["GRAPH <urn:y> { <urn:x> ?p 'GRAPH <urn:x> {' } # GRAPH <urn:x> {", "WITH <urn:x>", "}}"]
        {
            assert_eq!(without_graph(text, "urn:x"), text);
        }
    }
}
