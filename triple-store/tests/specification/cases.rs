//! Rules of the specification that the evaluator or the parser does not follow by itself, one by one.

use oxrdf::{NamedNodeRef, Term};
use triple_store::{Error, QueryResults, RdfFormat, ResultFormat, TripleStore};

const PREFIXES: &str = crate::generate::PREFIXES;

pub(crate) fn store(trig: &str) -> TripleStore {
    let store = TripleStore::in_memory();
    store.load(format!("{PREFIXES}{trig}").as_bytes(), RdfFormat::TriG, "test.trig").unwrap();
    store
}

fn update(store: &TripleStore, text: &str) {
    store.update(&format!("{PREFIXES}{text}")).expect(text);
}

/// A term as queries here write it.
fn short(term: &Term) -> String {
    let node = |node: NamedNodeRef<'_>| match node.as_str() {
        iri if iri.starts_with("urn:") => iri.replacen("urn", "", 1),
        iri => iri.replacen("http://www.w3.org/2001/XMLSchema#", "xsd:", 1),
    };
    match term {
        Term::NamedNode(iri) => node(iri.as_ref()),
        Term::Literal(literal) => match (literal.language(), node(literal.datatype())) {
            (Some(language), _) => format!("'{}'@{language}", literal.value()),
            (None, datatype) if datatype == "xsd:string" => format!("'{}'", literal.value()),
            (None, datatype) => format!("'{}'^^{datatype}", literal.value()),
        },
        term => term.to_string(),
    }
}

/// The rows of a query, each as its values in the order of their variables' names.
pub(crate) fn rows(store: &TripleStore, query: &str) -> Vec<String> {
    let results = store.query(&format!("{PREFIXES}{query}")).expect(query);
    let QueryResults::Solutions(rows) = results else { panic!("{query} is no SELECT") };
    let row = |row: spareval::QuerySolution| {
        let mut bound: Vec<_> = row.iter().collect();
        bound.sort_by_key(|(name, _)| name.as_str());
        bound.iter().map(|(_, value)| short(value)).collect::<Vec<_>>().join(" ")
    };
    let mut rows: Vec<_> = rows.map(|found| row(found.unwrap())).collect();
    rows.sort();
    rows
}

/// Checks the values of expressions. An error has the value "".
pub(crate) fn values(expected: &[(&str, &str)]) {
    let store = TripleStore::in_memory();
    for (expression, value) in expected {
        assert_eq!(rows(&store, &format!("SELECT ({expression} AS ?v) {{}}")), [*value], "{expression}");
    }
}

#[test]
fn updates_take_the_term_that_an_aggregate_chose() {
    let store = store("{ :s1 :size '42'^^xsd:int, '7'^^xsd:int . :a :v 1.50 . }");
    update(
        &store,
        "DELETE { ?d :size ?m } INSERT { ?d :most ?m }
         WHERE { { SELECT ?d (MAX(?x) AS ?m) { ?d :size ?x } GROUP BY ?d } }",
    );
    assert_eq!(rows(&store, "SELECT * { :s1 ?p ?q }"), [":most '42'^^xsd:int", ":size '7'^^xsd:int"]);
    assert_eq!(rows(&store, "SELECT ?s { { SELECT (MAX(?v) AS ?m) { ?x :v ?v } } ?s :v ?m }"), [":a"]);
}

/// Literals of every datatype that has values, in forms that are not canonical.
pub(crate) const FORMS: [&str; 21] = [
    "'01'^^xsd:integer",
    "'+1'^^xsd:integer",
    "'1'^^xsd:int",
    "'1'^^xsd:unsignedByte",
    "'1.50'^^xsd:decimal",
    "'.5'^^xsd:decimal",
    "'1.'^^xsd:decimal",
    "'1.5e0'^^xsd:double",
    "'1.50'^^xsd:float",
    "'-0.0'^^xsd:double",
    "'+INF'^^xsd:double",
    "'1'^^xsd:boolean",
    "'2020-01-01T24:00:00Z'^^xsd:dateTime",
    "'2020-01-01T00:00:00.000+00:00'^^xsd:dateTime",
    "'2020-01-01T00:00:00+00:00'^^xsd:dateTimeStamp",
    "'2020-01-01+00:00'^^xsd:date",
    "'00:00:00.0'^^xsd:time",
    "'P0Y12M'^^xsd:duration",
    "'P12M'^^xsd:yearMonthDuration",
    "'PT24H'^^xsd:dayTimeDuration",
    "'no number'^^xsd:integer",
];

#[test]
fn terms_keep_their_form_through_every_operator() {
    for literal in FORMS {
        let store = store(&format!("{{ :s :p {literal} }} :g {{ :s :p {literal} }}"));
        let found = "?s :p ?v";
        for group in [
            format!("{found} BIND(?v AS ?w)"),
            format!("{found} BIND(IF(?s = :s, ?v, STR(?s)) AS ?w)"),
            format!("{found} BIND(IF(BOUND(?nothing), STR(?s), ?v) AS ?w)"),
            format!("{found} BIND(COALESCE(1 / 0, ?v) AS ?w)"),
            format!("{found} BIND(COALESCE(?nothing + 1, IF(true, ?v, 1 + 1)) AS ?w)"),
            format!("{found} BIND({literal} AS ?w)"),
            format!("{found} BIND(COALESCE(1 / 0, {literal}) AS ?w)"),
            // The optimizer evaluates these conditions, and keeps constants unchanged.
            format!("{found} BIND(IF(isBLANK(1), BOUND(?nothing), {literal}) AS ?w)"),
            format!("{found} BIND(COALESCE({literal}, BOUND(?v)) AS ?w)"),
            format!("{found} BIND(COALESCE({literal}, !BOUND(?nothing)) AS ?w)"),
            format!("{found} BIND(COALESCE({literal}, BOUND(?v) && ?s = ?s) AS ?w)"),
            format!("{found} BIND(IF(isBLANK(1), :a = :b, {literal}) AS ?w)"),
            format!("{found} BIND(COALESCE({literal}, EXISTS {{}}) AS ?w)"),
            // The optimizer can't evaluate these conditions.
            format!("{found} OPTIONAL {{ ?s :q ?o }} BIND(IF(BOUND(?o), BOUND(?o), ?v) AS ?w)"),
            format!("{found} OPTIONAL {{ ?s :q ?o }} BIND(COALESCE(?o, ?v, BOUND(?o)) AS ?w)"),
            format!("{found} OPTIONAL {{ ?s :q ?o }} BIND(COALESCE({literal}, BOUND(?o)) AS ?w)"),
            format!("{found} BIND(STRDT(STR(?v), DATATYPE(?v)) AS ?w)"),
            format!("{found} BIND(STRDT(STR({literal}), DATATYPE({literal})) AS ?w)"),
            format!("{found} BIND(OBJECT(TRIPLE(:s, :p, ?v)) AS ?w)"),
            format!("{{ SELECT ?s (?v AS ?w) {{ {found} }} }}"),
            format!("{{ SELECT (MIN(?v) AS ?w) {{ {found} }} }}"),
            format!("{{ SELECT (MAX(?v) AS ?w) {{ {found} }} }}"),
            format!("{{ SELECT (MAX(DISTINCT IF(true, ?v, 1 + 1)) AS ?w) {{ {found} }} }}"),
            format!("{{ SELECT (SAMPLE(?v) AS ?w) {{ {found} }} }}"),
            format!("{{ SELECT ?w {{ {found} }} GROUP BY (COALESCE(1 / 0, ?v) AS ?w) }}"),
            format!("{{ SELECT ?w {{ {found} BIND(?v AS ?w) }} ORDER BY ?w LIMIT 1 }}"),
            format!("GRAPH ?g {{ {{ SELECT (MAX(?v) AS ?w) {{ {found} }} }} }}"),
            format!("VALUES ?w {{ {literal} }}"),
        ] {
            assert_eq!(
                rows(&store, &format!("SELECT ?s {{ {group} ?s :p ?w }}")),
                [":s"],
                "{literal} {group}"
            );
            update(&store, &format!("DELETE {{ :s :p ?w }} INSERT {{ :s :q ?w }} WHERE {{ {group} }}"));
            assert_eq!(rows(&store, "SELECT ?p ?o { ?s ?p ?o }"), [format!("{literal} :q")], "{group}");
            update(&store, "DELETE { ?s :q ?o } INSERT { ?s :p ?o } WHERE { ?s :q ?o }");
        }
    }
}

#[test]
fn str_and_datatype_are_those_of_the_literal() {
    for literal in FORMS {
        let (value, datatype) = literal.split_once("^^").unwrap();
        let store = store(&format!("{{ :s :p {literal} }}"));
        for operand in ["?v", "COALESCE(1 / 0, ?v)", "OBJECT(TRIPLE(?s, :p, ?v))", literal] {
            let query = format!("SELECT (STR({operand}) AS ?a) (DATATYPE({operand}) AS ?b) {{ ?s :p ?v }}");
            assert_eq!(rows(&store, &query), [format!("{value} {datatype}")], "{query}");
        }
        let query = "SELECT (GROUP_CONCAT(?v) AS ?a) { ?s :p ?v }";
        assert_eq!(rows(&store, query), [value]);
        let query = format!("SELECT ?v {{ ?s :p ?v FILTER(sameTerm(?v, COALESCE(1 / 0, {literal}))) }}");
        assert_eq!(rows(&store, &query), [literal]);
    }
}

#[test]
fn triple_terms_keep_the_form_of_their_objects() {
    let store = store("{ :s :p <<( :a :b '01'^^xsd:integer )>> }");
    let query = "SELECT ?o ?p { ?s ?p ?t BIND(OBJECT(?t) AS ?o) FILTER(OBJECT(?t) + 1 = 2) }";
    assert_eq!(rows(&store, query), ["'01'^^xsd:integer :p"]);
    assert_eq!(rows(&store, "SELECT ?o { ?s :p <<( ?a ?b ?o )>> }"), ["'01'^^xsd:integer"]);
    assert_eq!(rows(&store, "SELECT (MAX(?t) AS ?m) { ?s :p ?t }").len(), 1);
    assert_eq!(rows(&store, "SELECT ?s { { SELECT (MAX(?t) AS ?m) { ?s :p ?t } } ?s :p ?m }"), [":s"]);
}

#[test]
fn aggregates_tell_terms_apart() {
    let store = store("{ :s :p 1, '01'^^xsd:integer, 1.0, 'a', 'b'@en, 'c'@en . :t :p 1, 2 }");
    let number =
        "SELECT (COUNT(DISTINCT ?v) AS ?a) (SUM(DISTINCT ?v) AS ?b) { :s :p ?v FILTER(isNUMERIC(?v)) }";
    assert_eq!(rows(&store, number), ["'3'^^xsd:integer '3'^^xsd:decimal"]);
    for (query, expected) in [
        (
            "SELECT (GROUP_CONCAT(?v; SEPARATOR='') AS ?c) { :s :p ?v FILTER(LANG(?v) = 'en' && ?v = 'b'@en) }",
            "'b'",
        ),
        ("SELECT (GROUP_CONCAT(?v; SEPARATOR=', ') AS ?c) { SELECT ?v { :t :p ?v } ORDER BY ?v }", "'1, 2'"),
        ("SELECT (GROUP_CONCAT(?v) AS ?c) { :none :p ?v }", "''"),
        ("SELECT (COUNT(1 + ?v) AS ?n) { ?s :p ?v }", "'5'^^xsd:integer"),
        ("SELECT (COUNT(DISTINCT 1 + ?v) AS ?n) { ?s :p ?v }", "'3'^^xsd:integer"),
        ("SELECT (COUNT(DISTINCT *) AS ?n) { ?s :p [] }", "'2'^^xsd:integer"),
        (
            "SELECT (COUNT(DISTINCT *) AS ?n) (COUNT(*) AS ?m) { [] :p [] }",
            "'8'^^xsd:integer '1'^^xsd:integer",
        ),
        (
            "SELECT (MIN(?v) AS ?a) (MAX(?v) AS ?b) { VALUES ?v { true false } }",
            "'false'^^xsd:boolean 'true'^^xsd:boolean",
        ),
    ] {
        assert_eq!(rows(&store, query), [expected], "{query}");
    }
}

#[test]
fn group_by_gives_a_variable_another_name() {
    let store = store("{ :s1 :size 01, 2 . :s2 :size 3 }");
    for (query, expected) in [
        (
            "SELECT ?k (COUNT(*) AS ?n) { ?d :size ?x } GROUP BY (?d AS ?k)",
            &[":s1 '2'^^xsd:integer", ":s2 '1'^^xsd:integer"][..],
        ),
        (
            "SELECT (COUNT(*) AS ?n) { ?d :size ?x } GROUP BY ((?d) AS ?k) HAVING(?k = :s1)",
            &["'2'^^xsd:integer"],
        ),
        (
            "SELECT ?d { { SELECT ?k { ?d :size ?x } GROUP BY ?d (?x AS ?k) } ?d :size ?k }",
            &[":s1", ":s1", ":s2"],
        ),
        ("SELECT ?k { ?d :size ?x OPTIONAL { ?d :none ?y } } GROUP BY (?y AS ?k)", &[""]),
    ] {
        assert_eq!(rows(&store, query), expected, "{query}");
    }
    update(
        &store,
        "INSERT { :all :size ?k } WHERE { { SELECT ?k { ?d :size ?x } GROUP BY (?x AS ?k) } FILTER(?k = 1) }",
    );
    assert_eq!(rows(&store, "SELECT ?x { :all :size ?x }"), ["'01'^^xsd:integer"]);
}

#[test]
fn graph_is_one_evaluation_for_each_graph() {
    let store = store("{ :a :p 0 } :g { :a :p 1, 2 } :h { :a :q 3 }");
    for (query, expected) in [
        (
            "SELECT * { GRAPH ?g { SELECT (COUNT(*) AS ?n) { ?s :p ?o } } }",
            &[":g '2'^^xsd:integer", ":h '0'^^xsd:integer"][..],
        ),
        ("SELECT * { GRAPH ?g { VALUES ?v { 1 } } }", &[":g '1'^^xsd:integer", ":h '1'^^xsd:integer"]),
        ("SELECT * { GRAPH :none { VALUES ?v { 1 } } }", &[]),
        ("SELECT * { GRAPH :none { SELECT (COUNT(*) AS ?n) {} } }", &[]),
        (
            "SELECT * { GRAPH ?g { :a :p ?o MINUS { ?x :p 1 } } }",
            &[":g '1'^^xsd:integer", ":g '2'^^xsd:integer"],
        ),
        ("SELECT * { GRAPH ?g { :a :p ?o MINUS { :a :p ?o FILTER(?o = 1) } } }", &[":g '2'^^xsd:integer"]),
        (
            "SELECT * { GRAPH ?g { OPTIONAL { ?a :p ?b } MINUS { OPTIONAL { ?a :q ?c } FILTER(!BOUND(?c)) } } }",
            &[":g :a '1'^^xsd:integer", ":g :a '2'^^xsd:integer", ":h"],
        ),
        ("SELECT * { GRAPH ?g { SELECT ?o { ?s :p ?o } ORDER BY ?o LIMIT 1 } }", &[":g '1'^^xsd:integer"]),
        ("SELECT * { GRAPH ?g { :a ?p ?o FILTER(?g = :g) } }", &[]),
        ("SELECT * { GRAPH ?g { :a :q ?o FILTER(!BOUND(?g)) } }", &[":h '3'^^xsd:integer"]),
        ("SELECT * { GRAPH ?g { VALUES ?g { :h :i } } }", &[":h"]),
        ("SELECT * { GRAPH ?g { { SELECT ?g { GRAPH ?g { :a :q ?x } } } } }", &[":h"]),
        ("SELECT ?g { GRAPH ?g { FILTER NOT EXISTS { ?s :p ?o } } }", &[":h"]),
        (
            "SELECT * { VALUES ?g { :h } GRAPH ?g { SELECT (COUNT(*) AS ?n) { ?s ?p ?o } } }",
            &[":h '1'^^xsd:integer"],
        ),
    ] {
        let mut expected: Vec<_> = expected.iter().map(|row| (*row).to_owned()).collect();
        expected.sort();
        let found: Vec<_> = rows(&store, query);
        // The value of the graph comes first, for any names of the other variables.
        let graph_first = |row: &String| {
            let mut parts: Vec<_> = row.split(' ').collect();
            parts.sort_by_key(|part| !matches!(*part, ":g" | ":h"));
            parts.join(" ")
        };
        let mut found: Vec<_> = found.iter().map(graph_first).collect();
        found.sort();
        assert_eq!(found, expected, "{query}");
    }
}

/// The start of a path of length zero may be a literal, however the comparison gets at it.
#[test]
fn literals_at_the_start_of_a_path_are_compared_by_value() {
    let store = store("{ :a :v '1'^^xsd:integer, '01'^^xsd:integer, 'yes'^^xsd:boolean }");
    let one = ["'01'^^xsd:integer", "'1'^^xsd:integer"];
    for (group, operand) in [
        ("?x :q? ?y", "?x"),
        ("?x :q? ?y", "COALESCE(?x, ?w)"),
        ("?x :q? ?y", "COALESCE(1 / 0, IF(BOUND(?w), :none, ?x))"),
        ("?x (:q|:r)* ?y BIND(?x AS ?z)", "?z"),
        ("?x :q? ?y BIND(COALESCE(?x, ?w) AS ?z) BIND(?z AS ?u)", "IF(BOUND(?x), ?u, :none)"),
        ("{ SELECT ?x (?x AS ?z) { ?x (:q?)+ ?y } }", "?z"),
        ("{ SELECT ?x ?z { ?x :q? ?y BIND(?x AS ?z) } GROUP BY ?x ?z }", "COALESCE(?z, ?w)"),
        ("?x :q? ?y OPTIONAL { ?w :q? ?x }", "COALESCE(?w, ?x)"),
    ] {
        for test in [format!("1 = {operand}"), format!("{operand} IN (:none, 1)")] {
            let query = format!("SELECT DISTINCT ?x {{ {group} FILTER({test}) }}");
            assert_eq!(rows(&store, &query), one, "{query}");
        }
        let query = format!(
            "SELECT ?e {{ {group} FILTER(sameTerm(?x, 'yes'^^xsd:boolean)) BIND('' = {operand} AS ?e) }}"
        );
        assert_eq!(rows(&store, &query), [""], "{query}");
    }
    let exists = "SELECT DISTINCT ?x { ?x :q* ?y FILTER EXISTS { ?x :q? ?z FILTER(1 = COALESCE(?x, ?y)) } }";
    assert_eq!(rows(&store, exists), one);
}

#[test]
fn paths_keep_duplicates_and_have_terms_as_nodes() {
    let store = store("{ :a :p :b ; :q :b . :b :r :c . :d :z 'x' }");
    for (query, expected) in [
        ("SELECT * { :nothere :p* ?z }", &[":nothere"][..]),
        ("SELECT * { ?z :p? :nothere }", &[":nothere"]),
        ("SELECT * { :a :p* ?z }", &[":a", ":b"]),
        ("SELECT * { ?z ^:p? 'x' }", &["'x'"]),
        ("SELECT ?s { ?s :z ?x . :nothere (:p*)+ _:b . _:b :p? :nothere }", &[":d"]),
        ("SELECT * { :a :p|:q ?x }", &[":b", ":b"]),
        ("SELECT * { :a (:p|:q)/:r ?x }", &[":c", ":c"]),
        ("SELECT ?x { :a :p|:q ?x . ?x ^:p|^:q :a }", &[":b", ":b", ":b", ":b"]),
        ("SELECT ?x { ?x :p ?y . ?x :p|:q ?y }", &[":a", ":a"]),
        ("SELECT ?x { ?x :p ?y . ?x !:r ?y }", &[":a", ":a"]),
        ("SELECT * { :b !(:z|^:z) ?x }", &[":a", ":a", ":c"]),
        ("SELECT (COUNT(*) AS ?n) { ?x :p|:q ?y }", &["'2'^^xsd:integer"]),
        ("SELECT * { :a (:p|:q)* ?x }", &[":a", ":b"]),
        ("SELECT ?g { GRAPH ?g { :nothere :p* ?z } }", &[]),
        ("SELECT ?x { ?x :z* ?y FILTER(?x = 'x') }", &["'x'"]),
    ] {
        assert_eq!(rows(&store, query), expected, "{query}");
    }
    let ask =
        |query: &str| matches!(store.query(&format!("{PREFIXES}{query}")), Ok(QueryResults::Boolean(true)));
    assert!(ask("ASK { :nothere :p* :nothere }") && ask("ASK { :nothere :p? :nothere }"));
    assert!(!ask("ASK { :nothere :p+ :nothere }") && !ask("ASK { :nothere :p* :a }"));
}

/// `EXISTS` substitutes the values of a row for its variables, so an end of a path may become a term.
#[test]
fn paths_in_exists_have_terms_as_nodes() {
    let store = store("{ :a :p :b . :b :r :c }");
    let found = |row: &str, filter: &str| {
        !rows(&store, &format!("SELECT * {{ VALUES (?x ?y) {{ ({row}) }} FILTER {filter} }}")).is_empty()
    };
    for (row, path, exists) in [
        (":nothere UNDEF", "?x :p* ?y", true),
        (":nothere UNDEF", "?y :p* ?x", true),
        (":nothere UNDEF", "?x :p? ?y", true),
        (":nothere UNDEF", "?x (:p/:r)* ?y", true),
        (":nothere UNDEF", "?x :p+ ?y", false),
        (":nothere UNDEF", "?x :p* :nothere", true),
        (":nothere UNDEF", "?x :p* :a", false),
        (":nothere UNDEF", "?x :p* ?x", true),
        (":nothere UNDEF", "?x :p* ?z", true),
        (":nothere UNDEF", "?x :p* ?z . ?z :p* ?y", false),
        (":nothere UNDEF", "?x :p* ?z . ?z :p ?y", false),
        (":nothere UNDEF", "?z :p ?w . ?x :p* ?y", true),
        (":nothere UNDEF", "{ ?x :p ?y } UNION { ?x :p* ?y }", true),
        (":nothere UNDEF", "OPTIONAL { ?x :p ?z } ?x :p* ?y", true),
        (":nothere UNDEF", "?x :p* ?y FILTER(?y = ?x)", true),
        (":nothere UNDEF", "?x :p* ?y FILTER(?y != ?x)", false),
        (":nothere :nothere", "?x :p* ?y", true),
        (":nothere :a", "?x :p* ?y", false),
        (":a :nothere", "?x :p* ?y", false),
        ("7 UNDEF", "?x :p* ?y", true),
        (":a :b", "?x :p* ?y", true),
        (":b :a", "?x :p* ?y", false),
    ] {
        assert_eq!(found(row, &format!("EXISTS {{ {path} }}")), exists, "{row}: {path}");
        assert_eq!(found(row, &format!("NOT EXISTS {{ {path} }}")), !exists, "not {row}: {path}");
    }
}

/// A join substitutes nothing, so the ends of a path are nodes of the graph.
#[test]
fn paths_in_joins_connect_only_nodes() {
    let store = store("{ :a :p :b . :b :r :c } :g { :d :p :e }");
    for path in [
        ":p*",
        ":p?",
        "(:p?)*",
        "(:p?)+",
        "(:p*)?",
        "((:p?)?)?",
        "(:p?/:r?)*",
        "(:p|:r?)*",
        "(^:p?)*",
        "((:p*)/:r?)+",
    ] {
        for (term, group, expected) in [
            (":nothere", format!("?x {path} ?y"), false),
            (":nothere", format!("?y {path} ?x"), false),
            (":nothere", format!("?x {path} ?x"), false),
            ("7", format!("?x {path} ?x"), false),
            (":d", format!("?x {path} ?x"), false),
            (":a", format!("GRAPH :g {{ ?x {path} ?x }}"), false),
            (":a", format!("GRAPH ?g {{ ?x {path} ?y }}"), false),
            (":c", format!("?x {path} ?x"), true),
            (":d", format!("GRAPH :g {{ ?x {path} ?x }}"), true),
            (":e", format!("GRAPH ?g {{ ?x {path} ?x }}"), true),
        ] {
            let query = format!("SELECT DISTINCT ?x {{ VALUES ?x {{ {term} }} {group} }}");
            assert_eq!(rows(&store, &query).len(), usize::from(expected), "{query}");
        }
    }
}

/// `DISTINCT` compares terms, and not the times that they stand for.
#[test]
fn equal_times_are_distinct_terms() {
    let store = store(
        "{ :a :v '2020-01-01T00:00:00Z'^^xsd:dateTime, '2020-01-01T01:00:00+01:00'^^xsd:dateTime,
         '2019-12-31T19:00:00-05:00'^^xsd:dateTime . :b :v '10:00:00Z'^^xsd:time, '11:00:00+01:00'^^xsd:time }",
    );
    for subject in [":a", ":b"] {
        for aggregate in ["GROUP_CONCAT(DISTINCT ?v; SEPARATOR='|')", "COUNT(DISTINCT ?v)"] {
            let distinct = rows(&store, &format!("SELECT ({aggregate} AS ?c) {{ {subject} :v ?v }}"));
            let all = aggregate.replace("DISTINCT ", "");
            let expected = rows(&store, &format!("SELECT ({all} AS ?c) {{ {subject} :v ?v }}"));
            assert_eq!(distinct, expected, "{aggregate} of {subject}");
        }
    }
}

/// In a group, `?x` is what the `VALUES` binds or unbound, whatever the rest of the query binds it to.
#[test]
fn filters_in_joins_see_only_the_variables_of_their_group() {
    let store =
        store("{ :a :q :c . :a :q :d . :f :q :g . :g :q :f . :h :q :h . :i :q :j . :c :p :c . :e :p :d }");
    let many = ":e ".repeat(9);
    for (rest, values) in [
        ("OPTIONAL { ?y :nothing ?z }", ":e UNDEF"),
        ("OPTIONAL { ?y :q ?z }", ":e UNDEF"),
        ("OPTIONAL { ?y :nothing ?z } OPTIONAL { ?y :nothing ?w }", "UNDEF :e"),
        ("MINUS { ?y :nothing ?y }", ":e UNDEF"),
        ("OPTIONAL { ?y :nothing ?z }", &format!("{many} UNDEF")),
        ("VALUES ?y { :a :b :c :d :e :f :g :h :i :j }", ":e UNDEF"),
    ] {
        for (condition, expected) in [
            ("EXISTS { ?x :p ?y }", 1),
            ("NOT EXISTS { ?x :p ?y }", 0),
            ("!BOUND(?x) && EXISTS { ?x :p ?y }", 1),
            ("NOT EXISTS { ?x :q ?y }", 0),
            ("NOT EXISTS { ?y :q ?x }", 1),
        ] {
            let query = format!(
                "SELECT DISTINCT ?x ?y {{ ?x :q ?y . {rest} {{ ?y :p ?v VALUES ?x {{ {values} }} FILTER({condition}) }} }}"
            );
            assert_eq!(rows(&store, &query).len(), expected, "{query}");
        }
    }
}

/// The optimizer may evaluate `BOUND`. It keeps constants, and the evaluator passes them on unchanged.
#[test]
fn terms_beside_bound_keep_their_form() {
    values(&[
        ("IF(false, BOUND(?x), '2'^^xsd:long)", "'2'^^xsd:long"),
        ("IF(BOUND(?x), '1'^^xsd:long, '02'^^xsd:long)", "'02'^^xsd:long"),
        ("COALESCE('15E-1'^^xsd:double, BOUND(?x))", "'15E-1'^^xsd:double"),
        ("COALESCE(?x, BOUND(?x))", "'false'^^xsd:boolean"),
    ]);
}

#[test]
fn operators_and_casts() {
    values(&[
        ("xsd:decimal(1e20)", "'100000000000000000000'^^xsd:decimal"),
        ("xsd:decimal(1e30)", "'1000000000000000000000000000000'^^xsd:decimal"),
        ("xsd:decimal(0.1e0)", "'0.1'^^xsd:decimal"),
        ("xsd:decimal(' 1.50 ')", "'1.5'^^xsd:decimal"),
        ("xsd:decimal('NaN'^^xsd:double)", ""),
        ("xsd:integer(' 5 ')", "'5'^^xsd:integer"),
        ("xsd:integer('\\n5\\t')", "'5'^^xsd:integer"),
        ("xsd:integer('5 5')", ""),
        ("xsd:boolean(' true ')", "'true'^^xsd:boolean"),
        ("xsd:double(' 1e0 ')", "'1'^^xsd:double"),
        ("xsd:string('01'^^xsd:integer)", "'1'"),
        ("false < true", "'true'^^xsd:boolean"),
        ("true <= false", "'false'^^xsd:boolean"),
        ("true > (1 = 2)", "'true'^^xsd:boolean"),
        ("(1 = 1) >= true", "'true'^^xsd:boolean"),
        ("true < 'a'", ""),
        ("IF(true, 1, 2) < IF(true, 2, 1)", "'true'^^xsd:boolean"),
        (
            "'2020-01-31T00:00:00Z'^^xsd:dateTime + 'P1M'^^xsd:yearMonthDuration",
            "'2020-02-29T00:00:00Z'^^xsd:dateTime",
        ),
        ("'2020-01-01'^^xsd:date + 'P1DT12H'^^xsd:dayTimeDuration", "'2020-01-02'^^xsd:date"),
        ("'P1D'^^xsd:dayTimeDuration + '2020-01-01'^^xsd:date", "'2020-01-02'^^xsd:date"),
        (
            "xsd:date('2020-01-01') + 'P1D'^^xsd:dayTimeDuration + 'P1D'^^xsd:dayTimeDuration",
            "'2020-01-03'^^xsd:date",
        ),
        ("IF(true, 1, 2) + IF(true, 1.5, 2)", "'2.5'^^xsd:decimal"),
        ("'2020-01-01'^^xsd:date - 'P1D'^^xsd:dayTimeDuration", "'2019-12-31'^^xsd:date"),
        ("TRUE", "'true'^^xsd:boolean"),
        ("!False", "'true'^^xsd:boolean"),
    ]);
}

#[test]
fn nothing_is_in_an_empty_list() {
    values(&[
        (":a IN ()", "'false'^^xsd:boolean"),
        ("'x'@en NOT IN ()", "'true'^^xsd:boolean"),
        ("?unbound IN ()", ""),
        ("1 / 0 NOT IN ()", ""),
    ]);
    let store = store("{ :s :p :a, 'x'@en, '2020-01-01'^^xsd:date, 1 }");
    assert_eq!(rows(&store, "SELECT ?v { :s :p ?v FILTER(?v NOT IN ()) }").len(), 4);
    assert_eq!(rows(&store, "SELECT ?v { :s :p ?v FILTER(?v IN ()) }").len(), 0);
    assert_eq!(
        rows(&store, "SELECT ?s { ?s :p 1 FILTER NOT EXISTS { ?s :p ?v FILTER(?v NOT IN ()) } }").len(),
        0
    );
}

#[test]
fn effective_boolean_values() {
    values(&[
        ("IF('abc'^^xsd:integer, 1, 2)", "'2'^^xsd:integer"),
        ("!'abc'^^xsd:unsignedByte", "'true'^^xsd:boolean"),
        ("'abc'^^xsd:integer || false", "'false'^^xsd:boolean"),
        ("'abc'^^xsd:boolean && true", "'false'^^xsd:boolean"),
        ("!''@en", "'true'^^xsd:boolean"),
        ("!'2020-01-01'^^xsd:date", ""),
        ("!'abc'^^:datatype", ""),
        ("!'NaN'^^xsd:float", "'true'^^xsd:boolean"),
        ("!:iri", ""),
    ]);
    let store = store("{ :s :p 'abc'^^xsd:integer, 'x', 0, 1 }");
    assert_eq!(rows(&store, "SELECT * { ?s :p ?v FILTER(?v) }"), [":s '1'^^xsd:integer", ":s 'x'"]);
    assert_eq!(
        rows(&store, "SELECT ?v { ?s :p ?v FILTER(!?v) }"),
        ["'0'^^xsd:integer", "'abc'^^xsd:integer"]
    );
}

#[test]
fn patterns_and_replacements() {
    values(&[
        ("REGEX('abab', '^(ab)\\\\1$')", "'true'^^xsd:boolean"),
        ("REGEX('abba', '^(ab)\\\\1$')", "'false'^^xsd:boolean"),
        ("REGEX('ABab', '^(ab)\\\\1$', 'i')", "'true'^^xsd:boolean"),
        ("REGEX('a', CONCAT('(', 'a', ')'))", "'true'^^xsd:boolean"),
        ("REGEX('a', '(')", ""),
        ("REPLACE('abc', 'x*', '-')", ""),
        ("REPLACE('abc', 'b', '[$0]')", "'a[b]c'"),
        ("REPLACE('abc', '(b)', '$1a')", "'abac'"),
        ("REPLACE('abc', '(b)', '$12')", "'ab2c'"),
        ("REPLACE('abc', '(x)?b', '<$1>')", "'a<>c'"),
        ("REPLACE('abc', 'b', '\\\\$1')", "'a$1c'"),
        ("REPLACE('abc', 'b', '$')", ""),
        ("REPLACE('abc', 'b', '\\\\n')", ""),
        ("REPLACE('a.b', '.', '-', 'q')", "'a-b'"),
        ("REPLACE('abab', '(a)(b)\\\\1', '$2')", "'bb'"),
        ("REPLACE('abc'@en, 'b', 'x')", "'axc'@en"),
        ("REPLACE('aaa', 'a', 'b')", "'bbb'"),
    ]);
}

#[test]
fn bnode_of_a_text_is_one_blank_node_within_a_solution() {
    let query = "SELECT (COUNT(DISTINCT ?a) AS ?n) (COUNT(DISTINCT ?b) AS ?m) (SUM(IF(?a = ?b, 1, 0)) AS ?same) {
        VALUES ?v { 1 2 } BIND(BNODE('x') AS ?a) BIND(BNODE('x') AS ?b) BIND(BNODE('y') AS ?c) FILTER(?a != ?c) }";
    let two = "'2'^^xsd:integer";
    assert_eq!(rows(&TripleStore::in_memory(), query), [format!("{two} {two} {two}")]);
}

#[test]
fn columns_of_a_star_have_the_order_of_the_query() {
    let store = store("{ :s :p 1 }");
    let results = store.query("SELECT * { ?z ?p ?a }").unwrap();
    let text = ResultFormat::from_extension("csv").unwrap().write(results, Vec::new()).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "z,p,a\r\nurn:s,urn:p,1\r\n");
}

#[test]
fn copying_a_graph_that_does_not_exist_is_an_error_and_changes_nothing() {
    let store = store(":g { :s :p 1 }");
    for operation in ["COPY", "MOVE", "ADD"] {
        let result = store.update(&format!("{PREFIXES}INSERT DATA {{ :s :p 2 }} ; {operation} :typo TO :g"));
        assert!(matches!(&result, Err(Error::UnknownGraph(graph)) if graph == "urn:typo"), "{result:?}");
        assert_eq!(store.len(), 1);
        update(&store, &format!("{operation} DEFAULT TO :h ; {operation} GRAPH :g TO GRAPH :g"));
        assert_eq!(store.len(), 1);
    }
    assert!(matches!(store.update("COPY <urn:a> TO"), Err(Error::Sparql(_))));
    update(
        &store,
        "INSERT DATA { GRAPH :new { :s :p 3 } } ; COPY :new TO :g ; ADD :new TO DEFAULT ; MOVE :new TO :h",
    );
    assert_eq!(rows(&store, "SELECT ?g { GRAPH ?g { :s :p 3 } }"), [":g", ":h"]);
    assert_eq!(store.len(), 3);
    update(&store, "COPY SILENT :typo TO :g");
    assert_eq!(store.len(), 2);
}

/// A variable has no value outside of its scope, wherever the pattern is evaluated.
#[test]
fn variables_end_with_their_groups() {
    let store = store("{ :a :p :b . :b :q :c . :c :r 1 } :g { :b :q :c }");
    for (query, expected) in [
        ("SELECT ?x { ?x :p ?y . { ?y :q ?z FILTER(BOUND(?x)) } }", &[][..]),
        ("SELECT ?x { ?x :p ?y . { ?y :q ?z FILTER NOT EXISTS { ?x :r ?w } } }", &[]),
        ("SELECT ?x { ?x :p ?y . GRAPH ?g { ?y :q ?z FILTER NOT EXISTS { ?x :q ?z } } }", &[]),
        ("SELECT ?x ?v { ?x :p ?y OPTIONAL { ?y :q ?z BIND(STR(?x) AS ?v) } }", &[":a"]),
        (
            "SELECT ?v ?x { ?x :p ?y OPTIONAL { ?y :q ?z FILTER(?x = :a) BIND(1 AS ?v) } }",
            &["'1'^^xsd:integer :a"],
        ),
    ] {
        assert_eq!(rows(&store, query), expected, "{query}");
    }
}
