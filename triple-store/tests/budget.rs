//! Limits of memory and time for queries, in all parts of the evaluator.

use oxrdf::{Literal, NamedNode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use triple_store::{
    CancellationToken, Error, QueryOptions, QueryResults, RdfFormat, Result, TripleStore, UpdateOptions,
};

/// Enough for a query with a few rows, but not for a product.
const SMALL: usize = 2 << 20;

/// `n` subjects with a value and a link to the next.
fn store(n: usize) -> TripleStore {
    let store = TripleStore::in_memory();
    let line = |i| format!("<urn:s{i}> <urn:p> <urn:o{i}> .\n<urn:s{i}> <urn:next> <urn:s{}> .\n", i + 1);
    let text: String = (0..n).map(line).collect();
    store.load(text.as_bytes(), RdfFormat::NTriples, "data.nt").unwrap();
    store
}

/// Runs a query to its end.
fn run(store: &TripleStore, query: &str, options: &QueryOptions) -> Result<usize> {
    Ok(match store.query_with(query, options)? {
        QueryResults::Solutions(rows) => rows.map(|row| row.map(drop)).collect::<Result<Vec<()>, _>>()?.len(),
        QueryResults::Graph(triples) => {
            triples.map(|triple| triple.map(drop)).collect::<Result<Vec<()>, _>>()?.len()
        }
        QueryResults::Boolean(_) => 1,
    })
}

/// A text that doubles `times` times.
fn doubled(times: usize) -> String {
    let double = |n| format!("BIND(CONCAT(?x{n}, ?x{n}) AS ?x{}) ", n + 1);
    (0..times).map(double).collect()
}

#[test]
fn everything_that_holds_rows_or_text_is_counted() {
    let store = store(600);
    let product = "?a <urn:p> ?b . ?c <urn:p> ?d . ?e <urn:p> ?f";
    let nested = (0..9).fold("?x".to_owned(), |inner, _| format!("CONCAT({inner}, {inner})"));
    let many = "?long, ".repeat(900);
    for query in [
        // Rows that are sorted, grouped, compared for duplicates, joined by hash, subtracted, remembered.
        format!("SELECT * {{ {product} }} ORDER BY ?b"),
        format!("SELECT ?a ?c ?e (COUNT(*) AS ?n) {{ {product} }} GROUP BY ?a ?c ?e"),
        format!("SELECT (COUNT(DISTINCT *) AS ?n) {{ {product} }}"),
        format!("SELECT (COUNT(*) AS ?n) {{ SELECT DISTINCT * {{ {product} }} }}"),
        format!("SELECT * {{ {{ SELECT * {{ {product} }} ORDER BY ?a }} {{ SELECT * {{ ?e <urn:next> ?f }} LIMIT 9 }} }}"),
        format!("SELECT * {{ ?a <urn:p> ?b MINUS {{ SELECT * {{ {product} }} LIMIT 100000 }} }}"),
        format!("SELECT * {{ ?a <urn:p> ?b OPTIONAL {{ SELECT * {{ {product} }} LIMIT 100000 }} }}"),
        format!("CONSTRUCT {{ ?a ?c ?e }} {{ {product} FILTER(isIRI(?c)) }}"),
        format!("SELECT (GROUP_CONCAT(?a) AS ?all) {{ {product} }}"),
        format!("SELECT (GROUP_CONCAT(DISTINCT CONCAT(STR(?a), STR(?c), STR(?e))) AS ?all) {{ {product} }}"),
        format!("SELECT (SUM(DISTINCT STRLEN(CONCAT(STR(?a), STR(?c)))) AS ?all) (COUNT(DISTINCT CONCAT(STR(?a), STR(?c), STR(?e))) AS ?n) {{ {product} }}"),
        // Computed terms.
        format!("SELECT (COUNT(?x) AS ?n) {{ {product} BIND(CONCAT(STR(?a), STR(?c), STR(?e)) AS ?x) }}"),
        // Intermediate texts.
        format!("ASK {{ BIND('long' AS ?x0) {} }}", doubled(34)),
        format!("ASK {{ BIND('{}' AS ?x) BIND({} AS ?y) }}", "long".repeat(4000), nested),
        format!("ASK {{ BIND('{}' AS ?long) BIND(STRLEN(CONCAT({many} '')) AS ?y) }}", "long".repeat(1000)),
        format!("ASK {{ BIND('{}' AS ?x) BIND(REPLACE(?x, '.', ?x) AS ?y) }}", "long".repeat(1000)),
        format!("ASK {{ BIND('{0}' AS ?x) BIND(REPLACE(?x, '({0})', '{1}') AS ?y) }}", "long".repeat(500), "$1".repeat(2000)),
        format!("ASK {{ BIND('{}' AS ?x) BIND({}?x{} AS ?y) }}", "%".repeat(40_000), "ENCODE_FOR_URI(".repeat(30), ")".repeat(30)),
        // Terms that paths reach.
        "SELECT (COUNT(*) AS ?n) { ?a (<urn:next>|^<urn:next>|<urn:p>|^<urn:p>)+ ?b . ?c (<urn:next>|^<urn:next>)* ?d . ?e (<urn:next>|^<urn:next>)* ?f FILTER(?a != ?c) } GROUP BY ?a ?b ?c ?d".to_owned(),
        // Rows that bind no variable.
        format!("SELECT * {{ {} }} ORDER BY ?x", "{ {} UNION {} } ".repeat(40)),
        format!("SELECT (COUNT(*) AS ?n) {{ {} }}", "{ VALUES ?x { UNDEF UNDEF } } ".repeat(40)),
        format!("ASK {{ {} FILTER(?x) }}", "OPTIONAL { {} UNION {} } ".repeat(40)),
    ] {
        match run(&store, &query, &QueryOptions::new().memory(SMALL)) {
            Err(Error::TooMuchMemory(SMALL)) => {}
            other => panic!("{}: {other:?}", &query[..query.len().min(300)]),
        }
        // The count starts again for the next query of the thread.
        assert_eq!(run(&store, "SELECT * { ?a <urn:p> ?b } ORDER BY ?b", &QueryOptions::new().memory(SMALL)).unwrap(), 600);
    }
}

#[test]
fn results_that_are_read_row_by_row_take_no_memory() {
    let store = store(120);
    let options = QueryOptions::new().memory(SMALL);
    for query in [
        "SELECT * { ?a <urn:p> ?b . ?c <urn:p> ?d }",
        "SELECT (COUNT(*) AS ?n) { ?a <urn:p> ?b . ?c <urn:p> ?d }",
        "SELECT (MAX(STR(?b)) AS ?n) (SUM(STRLEN(STR(?b))) AS ?m) { ?a <urn:p> ?b . ?c <urn:p> ?d }",
        "SELECT * { ?a <urn:p> ?b . ?c <urn:p> ?d FILTER(STRLEN(CONCAT(STR(?a), STR(?b), STR(?c), STR(?d))) > 1) }",
        "SELECT * { ?a <urn:p> ?b . ?c <urn:p> ?d FILTER EXISTS { ?a <urn:next> ?e } }",
        "SELECT * { { SELECT ?a { ?a <urn:p> ?b } GROUP BY ?a } ?c <urn:next>* ?d }",
    ] {
        assert!(run(&store, query, &options).unwrap() > 0, "{query}");
    }
    // A sort by long texts holds one or two of them at a time.
    let long = format!(
        "INSERT {{ ?a <urn:text> ?t }} WHERE {{ ?a <urn:p> ?b BIND(CONCAT(STR(?a), '{}') AS ?t) }}",
        "x".repeat(20_000)
    );
    store.update(&long).unwrap();
    assert_eq!(run(&store, "SELECT ?a { ?a <urn:text> ?t } ORDER BY DESC(?t) ?a", &options).unwrap(), 120);
}

#[test]
fn an_update_that_needs_too_much_memory_changes_nothing() {
    let store = store(600);
    let before = store.len();
    let update =
        "INSERT { ?a <urn:q> ?d } WHERE { { SELECT * { ?a <urn:p> ?b . ?c <urn:p> ?d } ORDER BY ?b } }";
    let result = store.update_with(update, &UpdateOptions::new().memory(SMALL));
    assert!(matches!(result, Err(Error::TooMuchMemory(SMALL))), "{result:?}");
    assert_eq!(store.len(), before);
    assert_eq!(store.update("INSERT DATA { <urn:s> <urn:p> 1 }").unwrap().added, 1);
}

/// Options with a function that cancels the query when it is called for the first time, and the number of its calls.
fn cancelling() -> (QueryOptions, Arc<AtomicUsize>) {
    let (token, calls) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let options = QueryOptions::new().cancellation(token.clone());
    let counted = Arc::clone(&calls);
    let function = move |_: &[oxrdf::Term]| {
        counted.fetch_add(1, Ordering::Relaxed);
        token.cancel();
        Some(Literal::from(counted.load(Ordering::Relaxed) as u64 % 7).into())
    };
    (options.function(NamedNode::new_unchecked("urn:cancel"), function), calls)
}

#[test]
fn cancellation_reaches_every_loop() {
    let store = store(600);
    let rows = "?a <urn:p> ?b . ?c <urn:p> ?d";
    for query in [
        format!("SELECT * {{ {{ SELECT * {{ {rows} }} LIMIT 50000 }} }} ORDER BY <urn:cancel>(?a)"),
        format!("SELECT (COUNT(*) AS ?n) {{ {rows} FILTER(<urn:cancel>(?a) > 7) }}"),
        format!("SELECT (SUM(<urn:cancel>(?a)) AS ?n) {{ {rows} }} GROUP BY ?b"),
        format!("SELECT DISTINCT ?x {{ {rows} BIND(<urn:cancel>(?a) AS ?x) }}"),
        format!(
            "SELECT * {{ ?a <urn:p> ?b MINUS {{ SELECT * {{ {rows} BIND(<urn:cancel>(?a) AS ?x) }} LIMIT 50000 }} }}"
        ),
    ] {
        let (options, calls) = cancelling();
        match run(&store, &query, &options) {
            Err(Error::Cancelled) => {}
            other => panic!("{query}: {other:?}"),
        }
        let calls = calls.load(Ordering::Relaxed);
        assert!((1..=2000).contains(&calls), "{query}: {calls} calls");
    }
}

#[test]
fn a_product_without_data_ends_in_time() {
    let options = QueryOptions::new().timeout(Duration::from_millis(100));
    let rows = (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    let column = |n| format!("VALUES ?v{n} {{ {rows} }} ");
    let values: String = (0..8).map(column).collect();
    for query in [
        format!("SELECT (COUNT(*) AS ?n) {{ {values} }}"),
        format!("SELECT (SUM(?v1) AS ?n) {{ {values} }} GROUP BY ?v2"),
        format!("ASK {{ {values} FILTER(?v0 + ?v3 + ?v7 > 1000) }}"),
        format!("SELECT (COUNT(*) AS ?n) {{ {} }}", "{ {} UNION {} } ".repeat(60)),
    ] {
        let result = run(&TripleStore::in_memory(), &query, &options);
        assert!(matches!(result, Err(Error::Cancelled)), "{query}: {result:?}");
    }
}
