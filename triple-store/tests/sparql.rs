//! This crate's additions to the evaluator: the dataset, its graphs, its terms, and the limits.

use std::time::Duration;
use triple_store::{Error, QueryOptions, QueryResults, RdfFormat, ResultFormat, TripleStore, UpdateOptions};

fn store(trig: &str) -> TripleStore {
    let store = TripleStore::in_memory();
    store.load(trig.as_bytes(), RdfFormat::TriG, "test.trig").unwrap();
    store
}

fn rows(store: &TripleStore, query: &str, options: &QueryOptions) -> Vec<String> {
    let results = store.query_with(query, options).unwrap();
    let text = ResultFormat::from_extension("tsv").unwrap().write(results, Vec::new()).unwrap();
    let mut rows: Vec<_> = String::from_utf8(text).unwrap().lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    rows
}

const GRAPHS: &str =
    "<urn:s> <urn:p> 1, 2 . <urn:g> { <urn:s> <urn:p> 2, 3 } <urn:h> { <urn:s> <urn:p> 3, 4 }";

#[test]
fn merged_graphs_hold_a_triple_once() {
    let store = store(GRAPHS);
    let plain = QueryOptions::new();
    assert_eq!(rows(&store, "SELECT ?o { ?s ?p ?o }", &plain), ["1", "2"]);
    let union = plain.clone().union_default_graph(true);
    assert_eq!(rows(&store, "SELECT ?o { ?s ?p ?o }", &union), ["1", "2", "3", "4"]);
    assert_eq!(rows(&store, "SELECT ?o FROM <urn:g> FROM <urn:h> { ?s ?p ?o }", &plain), ["2", "3", "4"]);
    assert_eq!(rows(&store, "SELECT ?o FROM <urn:g> FROM <urn:none> { ?s ?p ?o }", &plain), ["2", "3"]);
    assert_eq!(rows(&store, "SELECT ?o FROM NAMED <urn:g> { ?s ?p ?o }", &plain), [""; 0]);
    assert_eq!(rows(&store, "SELECT ?o { GRAPH ?g { ?s ?p ?o } }", &plain), ["2", "3", "3", "4"]);
    assert_eq!(rows(&store, "SELECT ?g { GRAPH ?g {} }", &plain), ["<urn:g>", "<urn:h>"]);
    let protocol = plain.dataset(vec![oxrdf::NamedNode::new_unchecked("urn:h").into()], vec![]);
    assert_eq!(rows(&store, "SELECT ?o { ?s ?p ?o }", &protocol), ["3", "4"]);
}

#[test]
fn a_graph_is_gone_with_its_last_quad() {
    let store = store(GRAPHS);
    store.update("DELETE WHERE { GRAPH <urn:g> { <urn:s> <urn:p> ?o } }").unwrap();
    assert_eq!(rows(&store, "SELECT ?g { GRAPH ?g {} }", &QueryOptions::new()), ["<urn:h>"]);
    store.update("CLEAR NAMED").unwrap();
    assert_eq!(store.stats().unwrap().named_graphs, 0);
    assert_eq!(store.len(), 2);
}

#[test]
fn terms_that_are_not_stored_can_be_computed_compared_and_joined() {
    let store = store("<urn:s> <urn:p> 1, 2 .");
    let plain = QueryOptions::new();
    let query = "SELECT ?x { VALUES ?x { 'no such text is stored' <urn:s> } FILTER EXISTS { ?x ?p ?o } }";
    assert_eq!(rows(&store, query, &plain), ["<urn:s>"]);
    let query = "SELECT DISTINCT ?x { ?s ?p ?o BIND(CONCAT('a text ', 'longer than an id') AS ?x) }";
    assert_eq!(rows(&store, query, &plain), ["\"a text longer than an id\""]);
    let query = "SELECT ?x { ?s ?p ?o BIND(?o * 1000000000000000000000 AS ?x) }";
    assert_eq!(rows(&store, query, &plain).len(), 2, "integers beyond 64 bits are an error of that row");
    assert_eq!(rows(&store, "SELECT (SUM(?o) AS ?n) { ?s ?p ?o }", &plain), ["3"]);
    assert_eq!(store.stats().unwrap().terms, 2, "a query stores no terms");
}

#[test]
fn blank_nodes_of_updates_are_new_ones() {
    let store = TripleStore::in_memory();
    for _ in 0..2 {
        store.update("INSERT DATA { _:a <urn:p> _:a, _:b }").unwrap();
    }
    let query = "SELECT DISTINCT ?s { ?s <urn:p> ?s }";
    assert_eq!(rows(&store, query, &QueryOptions::new()).len(), 2);
    assert_eq!(store.len(), 4);
}

#[test]
fn a_query_and_an_update_end_in_time() {
    let store = store("<urn:s> <urn:p> 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 .");
    let forever = "?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l . ?m ?n ?o . ?p ?q ?r . ?s ?t ?u . ?v ?w ?x .
                   ?a1 ?b1 ?c1 . ?d1 ?e1 ?f1 . ?g1 ?h1 ?i1 . ?j1 ?k1 ?l1";
    let options = QueryOptions::new().timeout(Duration::from_millis(50));
    let results = store.query_with(&format!("SELECT * {{ {forever} }}"), &options);
    let result = results.and_then(|results| ResultFormat::default().write(results, std::io::sink()));
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    let options = UpdateOptions::new().timeout(Duration::from_millis(50));
    let result =
        store.update_with(&format!("INSERT {{ <urn:x> <urn:y> ?a }} WHERE {{ {forever} }}"), &options);
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert_eq!(store.len(), 10);
}

#[test]
fn errors_of_the_data_are_those_of_the_store() {
    let store = TripleStore::in_memory();
    assert!(matches!(store.query("SELEKT"), Err(Error::Sparql(_))));
    assert!(matches!(store.update("INSERT"), Err(Error::Sparql(_))));
    let result = store.query("SELECT * { SERVICE <urn:elsewhere> { ?s ?p ?o } }");
    let result = result.and_then(|results| ResultFormat::default().write(results, Vec::new()));
    assert!(matches!(result, Err(Error::Unsupported(_))), "{result:?}");
    let silent = store.query("ASK { SERVICE SILENT <urn:elsewhere> { ?s ?p ?o } }").unwrap();
    assert!(matches!(silent, QueryResults::Boolean(_)));
}

/// Runs work on a thread with less stack than the default.
fn on_a_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, work);
        thread.unwrap().join().unwrap()
    })
}

#[test]
fn deep_requests_are_evaluated_or_refused_and_no_stack_overflows() {
    let many = |part: &str, count: usize| part.repeat(count);
    let nested =
        |open: &str, middle: &str, close: &str, n| format!("{}{middle}{}", many(open, n), many(close, n));
    // Each is run with nearly the limit, and with more than that.
    let groups: [(&(dyn Fn(usize) -> String + Sync), usize); 15] = [
        (&|n| nested("{", "?s ?p ?o", "}", n), 120),
        (&|n| nested("FILTER EXISTS {", "?s ?p ?o", "}", n), 120),
        (&|n| nested("FILTER NOT EXISTS { ?s ?p ?o ", "", "}", n), 120),
        (&|n| nested("OPTIONAL { ?s ?p ?o ", "", "}", n), 12),
        (&|n| nested("{ SELECT * {", "?s ?p ?o", "} }", n), 60),
        (&|n| format!("FILTER(1 = ({}))", nested("(", "1", ")", n)), 120),
        (&|n| format!("FILTER(1<{}>2)", nested("(", "1", ")", n)), 120),
        (&|n| format!("?s ?p {} .", nested("(", "1", ")", n)), 120),
        (&|n| format!("?s {} ?o .", nested("^(", "<urn:p>", ")", n)), 120),
        (&|n| format!("?s ?p {} .", nested("<<( <urn:s> <urn:p> ", "1", ")>>", n)), 60),
        (&|n| format!("FILTER({} true)", many("!", n)), 4000),
        (&|n| format!("FILTER(1 = 1{})", many(" + 1", n)), 2000),
        (&|n| format!("{{}}{}", many(" UNION {}", n)), 4000),
        (&|n| format!("?s <urn:p>{} ?o", many("/<urn:p>", n)), 200),
        (&|n| many("?s <urn:p> 1 . ", n), 200),
    ];
    let store = store("<urn:s> <urn:p> 1, 2 .");
    on_a_small_stack(|| {
        for (number, (group, most)) in groups.iter().enumerate() {
            let ask = |n| {
                let results = store.query(&format!("SELECT * {{ {} }}", group(n)));
                results.and_then(|results| ResultFormat::default().write(results, std::io::sink()))
            };
            // Some are invalid queries, which must also be reported on this stack.
            let result = ask(*most);
            assert!(matches!(result, Ok(_) | Err(Error::Sparql(_))), "{number}: {result:?}");
            let result = ask(100_000);
            assert!(matches!(result, Err(Error::TooDeep { .. })), "{number}: {result:?}");
            for update in ["INSERT { <urn:x> <urn:y> 1 } WHERE { ", "DELETE { ?s ?p ?o } WHERE { "] {
                let result = store.update(&format!("{update}{} FILTER(false) }}", group(*most / 2)));
                assert!(matches!(result, Ok(_) | Err(Error::Sparql(_))), "{number}: {result:?}");
                let result = store.update(&format!("{update}{} }}", group(100_000)));
                assert!(matches!(result, Err(Error::TooDeep { .. })), "{number}: {result:?}");
            }
        }
    });
    assert_eq!(store.len(), 2);
}

#[test]
fn the_plan_names_its_steps_with_their_rows() {
    let store = store("<urn:s> <urn:p> 1, 2 ; <urn:q> 3 .");
    let query = "SELECT ?a ?b { ?s <urn:p> ?a ; <urn:q> ?b FILTER(?a > 1) }";
    let plan = store.snapshot().explain(query, &QueryOptions::new()).unwrap();
    for part in ["urn:p", "urn:q", "Filter", "number of results", "duration in seconds"] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    assert!(matches!(store.snapshot().explain("SELEKT", &QueryOptions::new()), Err(Error::Sparql(_))));
}

#[test]
fn an_update_that_changes_too_much_changes_nothing() {
    let store = store("<urn:s> <urn:p> 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 .");
    let product =
        "INSERT { ?a <urn:q> ?f } WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l . ?m ?n ?o . ?p ?q ?r }";
    for (update, changes) in [
        ("INSERT DATA { <urn:s> <urn:p> 11, 12, 13 }", 3),
        ("DELETE DATA { <urn:s> <urn:p> 1, 2, 3 }", 3),
        ("DELETE WHERE { ?s ?p ?o }", 10),
        ("CLEAR ALL", 10),
        (product, 10),
    ] {
        let refused = store.update_with(update, &UpdateOptions::new().most_changes(changes - 1));
        assert!(matches!(refused, Err(Error::TooManyChanges(most)) if most == changes - 1), "{refused:?}");
        assert_eq!(store.len(), 10, "{update}");
    }
    // A million solutions that result in ten changes are refused too, before all are in memory.
    assert!(store.update_with("CLEAR ALL", &UpdateOptions::new().most_changes(10)).is_ok());
}

/// Joins have the rows of a brute-force search, in any order that the planner chooses: with constants, shared and
/// repeated variables, blank nodes, and patterns that share no variable.
#[test]
fn joins_are_those_of_brute_force() {
    let mut seed = 0x5eed_0003_u64;
    let mut below = |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    let mut triples: Vec<[String; 3]> =
        (0..40).map(|_| [below(6), below(3), below(6)].map(|n| format!("<urn:{n}>"))).collect();
    triples.sort();
    triples.dedup();
    let text: Vec<_> = triples.iter().map(|triple| triple.join(" ")).collect();
    let store = TripleStore::in_memory();
    store.update(&format!("INSERT DATA {{ {} }}", text.join(" . "))).unwrap();
    for round in 0..200 {
        if round == 100 {
            store.checkpoint().unwrap();
        }
        let mut patterns = Vec::new();
        for _ in 0..=below(3) {
            let node = |n| match n {
                0..4 => format!("?v{n}"),
                4 => "_:b".to_owned(),
                _ => format!("<urn:{n}>"),
            };
            let predicate = |n| if n == 3 { "?v0".to_owned() } else { format!("<urn:{n}>") };
            patterns.push([node(below(7)), predicate(below(4)), node(below(7))]);
        }
        let group: Vec<_> = patterns.iter().map(|pattern| pattern.join(" ")).collect();
        let query = format!("SELECT (COUNT(*) AS ?n) WHERE {{ {} }}", group.join(" . "));
        let expected = brute_force(&triples, &patterns, &mut std::collections::HashMap::new());
        assert_eq!(number(&store, &query), expected, "{query}");
        let rows = format!("SELECT * WHERE {{ {} }}", group.join(" . "));
        let QueryResults::Solutions(rows) = store.query(&rows).unwrap() else {
            panic!("a SELECT has solutions")
        };
        let rows: Vec<_> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows.len() as u64, expected, "{query}");
    }
}

fn brute_force<'a>(
    triples: &'a [[String; 3]],
    patterns: &'a [[String; 3]],
    bound: &mut std::collections::HashMap<&'a str, &'a str>,
) -> u64 {
    let Some((pattern, rest)) = patterns.split_first() else { return 1 };
    let mut found = 0;
    for triple in triples {
        let before = bound.clone();
        let fits = pattern.iter().zip(triple).all(|(term, value)| {
            if term.starts_with('<') { term == value } else { *bound.entry(term).or_insert(value) == value }
        });
        if fits {
            found += brute_force(triples, rest, bound);
        }
        *bound = before;
    }
    found
}

fn number(store: &TripleStore, query: &str) -> u64 {
    let QueryResults::Solutions(mut rows) = store.query(query).unwrap() else {
        panic!("a SELECT has solutions")
    };
    let row = rows.next().unwrap().unwrap();
    let oxrdf::Term::Literal(value) = &row[0] else { panic!("a count is a literal") };
    value.value().parse().unwrap()
}
