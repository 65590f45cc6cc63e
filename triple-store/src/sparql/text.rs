//! Properties of a request's text that the parser does not report, and text that it does not accept.

use super::words::{Word, words};
use oxrdf::{NamedNode, Variable};
use spargebra::algebra::GraphPattern;
use std::borrow::Cow;

/// The text with `true` and `false` in lower case. Keywords are valid in any case (SPARQL 1.1 Query, 19.8), but the
/// parser accepts these only in lower case.
pub(super) fn readable(text: &str) -> Cow<'_, str> {
    let mut readable = Cow::Borrowed(text);
    if !contains(text, "true") && !contains(text, "false") {
        return readable;
    }
    for word in words(text).filter(|word| word.is_one_of(&["true", "false"])) {
        let lower = word.text.to_ascii_lowercase();
        if lower != word.text {
            readable.to_mut().replace_range(word.at..word.at + lower.len(), &lower);
        }
    }
    readable
}

/// Whether the text contains a keyword, in any case. This is much faster than splitting it into words.
fn contains(text: &str, keyword: &str) -> bool {
    let (text, keyword) = (text.as_bytes(), keyword.as_bytes());
    let stands_at =
        |at: usize| text.get(at..at + keyword.len()).is_some_and(|text| text.eq_ignore_ascii_case(keyword));
    memchr::memchr2_iter(keyword[0], keyword[0].to_ascii_uppercase(), text).any(stands_at)
}

/// The text with `GROUP BY (COALESCE(?x) AS ?y)` in place of `GROUP BY (?x AS ?y)`. If the expression is only a variable,
/// the parser drops the new name.
pub(super) fn with_new_names(text: &str) -> Cow<'_, str> {
    let mut renamed = Cow::Borrowed(text);
    if !contains(text, "group") {
        return renamed;
    }
    let words: Vec<_> = words(text).collect();
    let (mut is_grouping, mut depth, mut variables) = (false, 0, Vec::new());
    for (at, word) in words.iter().enumerate() {
        match word.text {
            "(" => {
                if is_grouping && depth == 0 {
                    variables.extend(renamed_variable(&words[at..]));
                }
                depth += 1;
            }
            ")" => depth -= 1,
            _ if word.is_one_of(&["by"]) => {
                (is_grouping, depth) = (at > 0 && words[at - 1].is_one_of(&["group"]), 0);
            }
            _ if depth == 0 && word.is_one_of(&["having", "limit", "offset", "values", "}"]) => {
                is_grouping = false;
            }
            _ => {}
        }
    }
    for variable in variables.into_iter().rev() {
        renamed.to_mut().replace_range(
            variable.at..variable.at + variable.text.len(),
            &format!("COALESCE({})", variable.text),
        );
    }
    renamed
}

/// The first variable of `(?x AS ?y)`, which may stand in more brackets.
fn renamed_variable<'w>(words: &'w [Word<'w>]) -> Option<&'w Word<'w>> {
    let depth = words.iter().position(|word| word.text != "(")?;
    let (brackets, rest) = words[depth..].split_at_checked(depth)?;
    let (variable, closing) = brackets.split_first()?;
    let is_renamed = variable.variable().is_some()
        && closing.iter().all(|word| word.text == ")")
        && rest.first().is_some_and(|word| word.is_one_of(&["as"]));
    is_renamed.then_some(variable)
}

/// Sorts the columns of a `SELECT *` by the first occurrence of the variables in the query. The parser sorts them by
/// name.
pub(super) fn order_columns(text: &str, pattern: &mut GraphPattern) {
    if memchr::memchr(b'*', text.as_bytes()).is_none() {
        return;
    }
    let mut forms =
        words(text).skip_while(|word| !word.is_one_of(&["select", "ask", "construct", "describe"]));
    forms.next();
    let star = forms.find(|word| !word.is_one_of(&["distinct", "reduced"]));
    if star.is_none_or(|star| star.text != "*") {
        return;
    }
    let mut pattern = pattern;
    loop {
        match pattern {
            GraphPattern::Slice { inner, .. }
            | GraphPattern::Distinct { inner }
            | GraphPattern::Reduced { inner } => pattern = inner,
            GraphPattern::Project { variables, .. } => {
                let names: Vec<_> = words(text).filter(|word| word.variable().is_some()).collect();
                let is_name = |word: &Word<'_>, name: &Variable| word.variable() == Some(name.as_str());
                let place = |name: &Variable| names.iter().position(|word| is_name(word, name));
                variables.sort_by_cached_key(place);
                return;
            }
            _ => return,
        }
    }
}

/// The graph to which [`with_sources`] copies the source of a `COPY`, `MOVE` or `ADD`.
const SOURCE: &str = "urn:triple-store:source-of-the-next-operation";

/// Whether an operation inserts into the graph of [`with_sources`].
pub(super) fn is_source(graph: &NamedNode) -> bool {
    graph.as_str() == SOURCE
}

/// The text with an additional operation before each `COPY`, `MOVE` and `ADD` without `SILENT`, which have to fail if
/// their source does not exist (SPARQL 1.1 Update, 3.2.3 to 3.2.5). The parser replaces these by other operations and
/// drops the `SILENT`.
pub(super) fn with_sources(text: &str) -> Cow<'_, str> {
    let mut all = words(text).peekable();
    let mut inserted: Vec<(usize, String)> = Vec::new();
    while let Some(operation) = all.next() {
        let is_copy = operation.is_one_of(&["copy", "move", "add"]);
        if !is_copy || all.peek().is_some_and(|word| word.is_one_of(&["silent"])) {
            continue;
        }
        if let Some(to) = all.find(|word| word.is_one_of(&["to"])) {
            let source = &text[operation.at + operation.text.len()..to.at];
            inserted.push((operation.at, format!("ADD {source} TO <{SOURCE}> ; ")));
        }
    }
    let mut text = Cow::Borrowed(text);
    for (at, operation) in inserted.into_iter().rev() {
        text.to_mut().insert_str(at, &operation);
    }
    text
}

/// The text with `GRAPH <iri> {` and its closing bracket replaced by white space.
#[cfg(feature = "server")]
pub(crate) fn without_graph<'t>(text: &'t str, iri: &str) -> Cow<'t, str> {
    let mut text = Cow::Borrowed(text);
    if !text.contains(iri) {
        return text;
    }
    let name = format!("<{iri}>");
    let (mut open, mut blank) = (Vec::new(), Vec::new());
    let mut before: [Option<Word<'_>>; 2] = [None, None];
    for word in words(&text) {
        let end = word.at + word.text.len();
        match (&before, word.text) {
            ([Some(graph), Some(iri)], "{") if graph.is_one_of(&["graph"]) && iri.text == name => {
                blank.push(graph.at..end);
                open.push(true);
            }
            (_, "{") => open.push(false),
            (_, "}") if open.pop() == Some(true) => blank.push(word.at..end),
            _ => {}
        }
        before.rotate_left(1);
        before[1] = Some(word);
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
    fn new_names_of_group_by_are_kept() {
        for (text, expected) in [
            ("GROUP BY (?x AS ?y)", "GROUP BY (COALESCE(?x) AS ?y)"),
            (
                "group by ?a ( ((?x)) as ?y) (?z AS ?w)",
                "group by ?a ( ((COALESCE(?x))) as ?y) (COALESCE(?z) AS ?w)",
            ),
            (
                "{ SELECT (?x AS ?y) { BIND(?x AS ?z) } GROUP BY (?x AS ?k) HAVING(?k) } BIND(?x AS ?v)",
                "{ SELECT (?x AS ?y) { BIND(?x AS ?z) } GROUP BY (COALESCE(?x) AS ?k) HAVING(?k) } BIND(?x AS ?v)",
            ),
        ] {
            assert_eq!(with_new_names(text), expected);
        }
        for text in [
            "GROUP BY (?x)",
            "GROUP BY (?x + 1 AS ?y) (STR(?z) AS ?w)",
            "GROUP BY (GROUP_CONCAT(?x) AS ?y) ORDER BY (?x)",
            "SELECT (?x AS ?y) { ?x :group 'GROUP BY (?x AS ?y)' } # GROUP BY (?x AS ?y)",
            "GROUP BY (?x",
            "GROUP BY ((",
            "",
        ] {
            assert!(matches!(with_new_names(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn columns_stand_in_the_order_of_their_first_appearance() {
        for (text, expected) in [
            ("SELECT * { ?z ?y ?x }", "z y x"),
            ("SELECT * { ?z ?y ?x. ?a ?b ?x }", "z y x a b"),
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
    fn sources_are_checked_unless_the_operation_is_silent() {
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
    fn a_graph_is_removed_with_its_brackets() {
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
