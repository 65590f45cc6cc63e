//! Comparisons of values: their results for each pair, and the joins and lookups that use them. Also closures of paths.

use crate::cases::{FORMS, rows, store, values};
use triple_store::TripleStore;

#[test]
fn values_without_an_order_are_not_compared() {
    values(&[
        ("'NaN'^^xsd:double <= 'NaN'^^xsd:double", "'false'^^xsd:boolean"),
        ("'NaN'^^xsd:double >= 'NaN'^^xsd:float", "'false'^^xsd:boolean"),
        ("'NaN'^^xsd:double < 1", "'false'^^xsd:boolean"),
        ("1 <= 'NaN'^^xsd:float", "'false'^^xsd:boolean"),
        ("?x > 1 + 'NaN'^^xsd:double", ""),
        ("1 * 2 > 1 + 'NaN'^^xsd:double", "'false'^^xsd:boolean"),
        ("!('NaN'^^xsd:double > 1.5)", "'true'^^xsd:boolean"),
        ("STRLEN('ab') < 'NaN'^^xsd:double", "'false'^^xsd:boolean"),
        ("STRLEN('ab') < 3", "'true'^^xsd:boolean"),
        ("STRLEN('ab') < 'ab'", ""),
        ("false < true", "'true'^^xsd:boolean"),
        (":a <= :a", ""),
        (":a < :a", ""),
        ("'x'^^:unknown >= 'x'^^:unknown", ""),
        ("'P1D'^^xsd:dayTimeDuration <= 'PT24H'^^xsd:dayTimeDuration", "'true'^^xsd:boolean"),
        ("1 + 1 <= 2.0", "'true'^^xsd:boolean"),
        ("'x'@en <= 'x'@en", "'true'^^xsd:boolean"),
        ("false <= true", "'true'^^xsd:boolean"),
    ]);
    let store = store("{ :s :p :a, 'NaN'^^xsd:double, 'x'^^:unknown, 1, true }");
    let kept = |operator: &str| {
        rows(
            &store,
            &format!("SELECT ?v {{ ?s :p ?v, ?w FILTER(sameTerm(?v, ?w)) FILTER(?v {operator} ?w) }}"),
        )
    };
    assert_eq!(kept("<="), ["'1'^^xsd:integer", "'true'^^xsd:boolean"]);
    assert_eq!(kept(">="), ["'1'^^xsd:integer", "'true'^^xsd:boolean"]);
    assert_eq!(kept("<"), [""; 0]);
    let literal =
        rows(&store, "SELECT ?v { ?s :p ?v FILTER(?v <= 'x'^^:unknown || ?v >= 'NaN'^^xsd:double) }");
    assert_eq!(literal, [""; 0]);
}

/// Values of many kinds, twice, to be compared with each other. There are too many for the planner to look them up row
/// by row.
fn values_of_many_kinds() -> TripleStore {
    let mut literals: Vec<String> = FORMS.iter().map(|literal| (*literal).to_owned()).collect();
    literals
        .extend((-3..12).map(|n| {
            format!("{n}, {n}.5, '{n}'^^xsd:float, '{n}.5'^^xsd:double, 'text {n}', 'text {n}'@en")
        }));
    for moment in ["2020-01-0", "2021-01-0"] {
        literals.extend(
            (1..5).map(|n| format!("'{moment}{n}'^^xsd:date, '{moment}{n}T00:00:00Z'^^xsd:dateTime")),
        );
    }
    literals.extend(
        [
            "true",
            "false",
            "'NaN'^^xsd:double",
            "16777217",
            "16777216",
            "18014399583223809",
            "18014399583223808e0",
            "'18014399583223808'^^xsd:float",
            "'16777216'^^xsd:float",
            ":a",
            ":b",
            "'x'@de",
        ]
        .map(str::to_owned),
    );
    literals.extend(
        [
            "'2020-01-02T00:00:00'^^xsd:dateTime",
            "'PT36H'^^xsd:duration",
            "'P1Y'^^xsd:yearMonthDuration",
            "'u'^^:datatype",
            "<<( :a :p 1 )>>",
        ]
        .map(str::to_owned),
    );
    let node = |(number, literal): (usize, &String)| {
        format!(":v{number} :p {literal} ; :q {literal} ; :of :k{} . ", number % 3)
    };
    store(&format!("{{ {} }}", literals.iter().enumerate().map(node).collect::<String>()))
}

/// An `EXISTS` whose pattern is evaluated once has the same answers as a comparison of each pair of values.
#[test]
fn comparisons_in_exists_are_those_of_each_pair() {
    let store = values_of_many_kinds();
    for comparison in [
        "?w > ?v",
        "?w >= ?v",
        "?v > ?w",
        "?w <= ?v",
        "?w = ?v",
        "?w > ?v && ?w < ?v + 2",
        "?w >= ?v && ?v >= ?w",
    ] {
        for common in ["", "?s :of ?k . ?t :of ?k ."] {
            let (of_row, of_pattern) =
                if common.is_empty() { ("", "") } else { ("?s :of ?k .", "?t :of ?k .") };
            let pairs =
                format!("SELECT DISTINCT ?s ?v {{ ?s :p ?v . ?t :q ?w . {common} FILTER({comparison}) }}");
            let exists = format!(
                "SELECT ?s ?v {{ ?s :p ?v . {of_row} FILTER EXISTS {{ ?t :q ?w . {of_pattern} FILTER({comparison}) }} }}"
            );
            let (pairs, exists) = (rows(&store, &pairs), rows(&store, &exists));
            assert_eq!(exists, pairs, "{comparison} {common}");
            assert!(pairs.len() > 20, "{comparison} {common}");
        }
    }
}

/// A join by equal values finds every pair of equal values.
#[test]
fn joins_by_value_find_every_pair() {
    let store = values_of_many_kinds();
    let all = rows(&store, "SELECT (COUNT(*) AS ?n) { ?s :p ?v . ?t :q ?w }");
    for condition in
        ["?v = ?w", "sameTerm(?v, ?w)", "STR(?v) = STR(?w)", "?v + 1 = ?w * 1", "xsd:double(?v) = ?w"]
    {
        let joined = format!("SELECT ?v ?w {{ ?s :p ?v . ?t :q ?w FILTER({condition}) }}");
        // The planner does not join by a negated condition.
        let product = format!("SELECT ?v ?w {{ ?s :p ?v . ?t :q ?w FILTER(!!({condition})) }}");
        let (joined, product) = (rows(&store, &joined), rows(&store, &product));
        assert_eq!(joined, product, "{condition}");
        assert!(joined.len() > 20, "{condition}: {} of {all:?}", joined.len());
    }
}

#[test]
fn closures_are_those_of_the_specification() {
    let store = store(
        "{ :a :p :b . :b :p :c . :c :p :a . :c :p :d . :d :q :e . :f :p :f . :g :p 'x' . :x :q :y }
         :g1 { :a :p :z . :z :p :a } :g2 { :z :p :w }",
    );
    for (query, expected) in [
        ("SELECT ?x { :a :p+ ?x }", ":a :b :c :d"),
        ("SELECT ?x { ?x :p+ :d }", ":a :b :c"),
        ("SELECT ?x { :d :p+ ?x }", ""),
        ("SELECT ?x { :d :p* ?x }", ":d"),
        ("SELECT (COUNT(*) AS ?n) { ?x :p+ ?y }", "'14'^^xsd:integer"),
        ("SELECT ?x { ?x :p+ ?x }", ":a :b :c :f"),
        ("SELECT (COUNT(*) AS ?n) { ?x :p* ?y }", "'20'^^xsd:integer"),
        ("SELECT ?y { :x ^:p* ?y }", ":x"),
        ("SELECT ?x { ?x (:p/:p)+ :a }", ":a :b :c"),
        ("SELECT ?x { :a (:p|:q)+ ?x }", ":a :b :c :d :e"),
        ("SELECT ?x { :a (:p/(^:p)?)+ ?x }", ":a :b :c :d"),
        ("SELECT ?x { :a (!:q)+ ?x }", ":a :b :c :d"),
        ("SELECT ?g ?x { GRAPH ?g { :a :p+ ?x } }", ":g1 :a,:g1 :z"),
        ("SELECT ?g ?x { GRAPH ?g { ?x :p+ ?y } }", ":g1 :a,:g1 :a,:g1 :z,:g1 :z,:g2 :z"),
        ("SELECT ?x FROM :g1 FROM :g2 { :a :p+ ?x }", ":a :w :z"),
        ("SELECT ?t { ?s :p 'x' . ?s :p* ?t }", "'x' :g"),
        ("SELECT (COUNT(*) AS ?n) { :a :p+ ?x . ?x :p+ :b . ?x :p+ ?y . ?y :p+ :d }", "'9'^^xsd:integer"),
    ] {
        let separator = if expected.contains(',') { "," } else { " " };
        let found = rows(&store, query);
        let expected: Vec<_> = expected.split(separator).filter(|row| !row.is_empty()).collect();
        assert_eq!(found, expected, "{query}");
    }
}
