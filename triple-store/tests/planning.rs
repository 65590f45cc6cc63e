//! The query planner: answers stay the same, and the work grows at most linearly with the data.

use oxrdf::Dataset;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use spareval::{QueryEvaluator, QueryResults};
use spargebra::SparqlParser;
use std::cell::Cell;
use std::fmt::Write;
use triple_store::{QueryOptions, TripleStore};

/// A chain of `n` nodes, each with a type, a value, a name and a link to another node, and a ring.
fn store(n: usize) -> TripleStore {
    store_with("", n)
}

/// The same in a graph.
fn store_with(graph: &str, n: usize) -> TripleStore {
    let mut text = String::new();
    let mut seed = 0x5eed_0001_usize;
    for i in 0..n {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (next, link, value, name) = (i + 1, (seed >> 33) % n, i * 7919 % n, i * 31 % n);
        let kind = i % 10;
        write!(
            text,
            "<urn:n{i}> <urn:next> <urn:n{next}> ; <urn:type> <urn:T{kind}> ; <urn:val> {value} ;
             <urn:name> \"name {name}\" ; <urn:link> <urn:n{link}> . "
        )
        .unwrap();
    }
    for i in 0..30 {
        write!(text, "<urn:r{i}> <urn:ring> <urn:r{}> . ", (i + 1) % 30).unwrap();
    }
    if !graph.is_empty() {
        text = format!("{graph} {{ {text} }}");
    }
    let store = TripleStore::in_memory();
    store.update(&format!("INSERT DATA {{ {text} }}")).unwrap();
    store.checkpoint().unwrap();
    store
}

const PREFIX: &str = "PREFIX : <urn:>";

/// Queries that are answered by looking up a few quads for each row.
const LINEAR: &[&str] = &[
    "SELECT (COUNT(*) AS ?n) { ?s :type ?t FILTER NOT EXISTS { ?s :link ?x . ?x :type :T3 } }",
    "SELECT (COUNT(*) AS ?n) { ?s :type :T1 FILTER EXISTS { ?s :link/:link/:type :T2 } }",
    "SELECT (COUNT(*) AS ?n) { ?s :type :T1 ; :val ?v BIND(IRI(CONCAT(\"urn:n\", STR(?v))) AS ?t) ?t :name ?m }",
    "SELECT (COUNT(*) AS ?n) { ?a :type :T1 . { ?s :link ?o . ?s :next ?a } UNION { ?a :next ?o } }",
    "SELECT (COUNT(*) AS ?n) { ?a :type :T1 . { ?s :val ?o . ?s :next ?a FILTER(?o > 5) } }",
    "SELECT (COUNT(*) AS ?n) { ?s :type :T1 . { SELECT ?s ?x { ?s :link ?x } } ?x :name ?m }",
    "SELECT (COUNT(*) AS ?n) { ?s :type ?t OPTIONAL { ?s :link ?x . ?x :type :T3 } FILTER(!BOUND(?x)) }",
    "SELECT (COUNT(*) AS ?n) { ?s :type ?t FILTER EXISTS { ?s :link ?x OPTIONAL { ?x :next ?y } FILTER(BOUND(?y)) } }",
    "SELECT (COUNT(*) AS ?n) { ?s :type ?t MINUS { ?s :link ?x . ?x :type :T3 } }",
    "SELECT (COUNT(*) AS ?n) { ?s :type ?t BIND(EXISTS { ?s :link ?x . ?x :type :T3 } AS ?e) FILTER(?e) }",
    "SELECT (COUNT(*) AS ?n) { ?s :val ?v FILTER NOT EXISTS { ?t :val ?w FILTER(?w > ?v) } }",
    "SELECT (COUNT(*) AS ?n) { ?s :val ?v FILTER NOT EXISTS { ?t :val ?w FILTER(?w > 1000000) } }",
    "SELECT (COUNT(*) AS ?n) { ?s :val ?v OPTIONAL { ?t :val ?w FILTER(?w > ?v) } FILTER(!BOUND(?t)) }",
    "SELECT (COUNT(*) AS ?n) { ?s :type ?k ; :val ?v FILTER NOT EXISTS { ?t :type ?k ; :val ?w FILTER(?w > ?v) } }",
    "SELECT (COUNT(*) AS ?n) { ?s :val ?v FILTER EXISTS { ?t :val ?w FILTER(?w > ?v && ?w < ?v + 2) } }",
    "SELECT (COUNT(*) AS ?n) { ?a :val ?v . ?b :val ?w FILTER(?v = ?w) FILTER(?v < 1000) }",
    "SELECT (COUNT(*) AS ?n) { ?a :type :T1 ; :name ?v . ?b :type :T2 ; :name ?w FILTER(STR(?v) = STR(?w)) }",
    "SELECT (COUNT(*) AS ?n) { ?a :val ?v OPTIONAL { ?b :val ?w FILTER(?v = ?w) } }",
    "SELECT (COUNT(*) AS ?n) { ?x :type :T1 . ?x :link+ :n3 }",
];

/// The total number of rows of all steps of a plan.
fn steps(plan: &str) -> u64 {
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok();
    plan.split("\"number of results\":").skip(1).filter_map(number).sum()
}

fn work(n: usize, query: &str) -> u64 {
    work_in(&store(n), query)
}

fn work_in(store: &TripleStore, query: &str) -> u64 {
    let plan = store.snapshot().explain(&format!("{PREFIX} {query}"), &QueryOptions::new()).unwrap();
    steps(&plan)
}

#[test]
fn work_grows_linearly_with_the_data() {
    for query in LINEAR {
        // A pattern that is evaluated once has no rows in the plan, and one that is looked up has a few for each node.
        let (small, large) = (work(200, query).max(5 * 200), work(400, query));
        assert!(large < 3 * small, "{small} steps, {large} for twice the data: {query}");
    }
}

#[test]
fn work_in_named_graphs_grows_linearly_with_the_data() {
    let [small, large] = [200, 400].map(|n| store_with("GRAPH <urn:g>", n));
    for query in LINEAR {
        let query = query.replacen('{', "{ GRAPH ?g {", 1) + " }";
        let (small, large) = (work_in(&small, &query).max(5 * 200), work_in(&large, &query));
        assert!(large < 3 * small, "{small} steps, {large} for twice the data: {query}");
    }
}

/// The negative control: the optimizer alone makes products of these queries.
#[test]
fn without_the_planner_work_grows_faster() {
    let work = |n: usize, query: &str| {
        let query = SparqlParser::new().parse_query(&format!("{PREFIX} {query}")).unwrap();
        let quads: Dataset = store(n).snapshot().iter().map(Result::unwrap).collect();
        let evaluator = QueryEvaluator::new().compute_statistics();
        let (results, plan) = evaluator.prepare(&query).explain(&quads);
        let QueryResults::Solutions(rows) = results.unwrap() else { panic!("a SELECT has rows") };
        assert_eq!(rows.count(), 1);
        let mut json = Vec::new();
        plan.write_in_json(&mut json).unwrap();
        steps(&String::from_utf8(json).unwrap())
    };
    for query in &LINEAR[..1] {
        let (small, large) = (work(50, query), work(100, query));
        assert!(large > 3 * small, "{small} steps, {large} for twice the data: {query}");
    }
}

/// A path that may have zero steps has a row for each node if no end is bound, so a join does not begin with it.
#[test]
fn an_open_path_is_looked_up_for_each_row() {
    let query = "SELECT * { ?x :type/:ring* ?c . ?x :val 7 }";
    let (small, large) = (work(200, query), work(400, query));
    assert_eq!(small, large, "{query}");
}

/// A short list of nodes begins a join. A long list is searched by hash for each row.
#[test]
fn lists_begin_a_join_or_are_searched_by_hash() {
    let list = |n: usize| (0..n).map(|i| format!(":n{i}")).collect::<Vec<_>>().join(", ");
    let query = |n| format!("{PREFIX} SELECT (COUNT(*) AS ?n) {{ ?s :val ?v FILTER(?s IN ({})) }}", list(n));
    let store = store(400);
    let plan = |n| store.snapshot().explain(&query(n), &QueryOptions::new()).unwrap();
    let (short, long) = (plan(20), plan(1000));
    assert!(steps(&short) < 100, "{short}");
    assert!(steps(&long) < 1500 && long.len() < 2000, "{long}");
    assert!(long.contains("is one of 1000 terms"), "{long}");
}

fn rows(results: QueryResults<'_>) -> Vec<String> {
    let QueryResults::Solutions(rows) = results else { panic!("a SELECT has rows") };
    let text = |row: spareval::QuerySolution| {
        let mut values: Vec<_> = row.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        values.sort();
        values.join(", ")
    };
    let mut rows: Vec<_> = rows.map(|row| text(row.unwrap())).collect();
    rows.sort();
    rows
}

/// The answers of the evaluator on a plain set of quads, without any optimization.
fn by_the_algebra(store: &TripleStore, query: &str) -> Vec<String> {
    let quads: Dataset = store.snapshot().iter().map(Result::unwrap).collect();
    let query = SparqlParser::new().parse_query(query).unwrap();
    let evaluator = QueryEvaluator::new().without_optimizations();
    rows(evaluator.prepare(&query).execute(&quads).unwrap())
}

/// Groups in which a lookup row by row would use a variable outside of its scope, or bind one too early.
const SCOPES: &[&str] = &[
    "?s :type :T1 . { ?x :next ?y FILTER(?s = ?x) }",
    "?s :type :T1 . { ?x :next ?y FILTER(!BOUND(?s)) }",
    "?s :val ?v . { ?x :next ?y BIND(?v AS ?w) }",
    "?s :val ?v . { ?s :next ?y BIND(1 AS ?v) }",
    "?s :val ?v { ?s :next ?y OPTIONAL { ?y :val ?v } }",
    "?s :type :T1 . { ?x :next ?y MINUS { ?s :link ?z } }",
    "?s :type :T1 . { SELECT ?x { ?x :next ?s } ORDER BY ?x LIMIT 3 }",
    "?s :type :T1 . { SELECT ?y { ?s :next ?y } }",
    "?s :type :T1 . { SELECT (COUNT(*) AS ?c) { ?s :next ?y } }",
    "?s :type :T1 . { ?x :next ?y FILTER EXISTS { ?s :link ?y } }",
    "?s :type :T1 OPTIONAL { ?s :link ?x . ?x :type :T3 } FILTER(!BOUND(?x))",
    "?s :type :T1 OPTIONAL { ?s :link ?x FILTER(?x = :n3) } FILTER(!BOUND(?x) && ?s != :n1)",
    "?s :type :T1 OPTIONAL { ?s :zz ?x } FILTER(!BOUND(?x) && !BOUND(?y))",
    "?s :type :T1 OPTIONAL { ?s :link ?x } OPTIONAL { ?x :next ?y } FILTER(!BOUND(?y))",
    "?s :type :T1 . { ?s :link ?x } UNION { ?x :val 3 } FILTER(?x IN (:n1, :n2, :n3, :n4))",
    "?s ?p ?o FILTER(?o IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \"name 3\", :n3, 1.5, \"a\"@en))",
    "?s ?p ?o FILTER(?o NOT IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, \"name 3\", :n3))",
    "VALUES ?o { 1 1.0 1e0 \"1\" \"x\"^^:unknown UNDEF } BIND(?o IN (1, 2, 3, 4, 5, 6, 7, 8, 9) AS ?in)",
    "VALUES ?o { 1 1.0 1e0 \"1\" \"x\"^^:unknown :n1 } BIND(?o IN (\"1\", 2, 3, 4, 5, 6, 7, 8, 9) AS ?in)",
    "?s :type :T1 FILTER(?s = :n1 || EXISTS { ?s :link ?x . ?x :link ?y . ?y :type ?t FILTER(?t != :T4) })",
    "?s :val ?v FILTER(?v > 3 && EXISTS { ?t :val ?w FILTER(?w > ?v) } && ?v < 30)",
    "?s :val ?v OPTIONAL { ?t :val ?w FILTER(?w > ?v) } FILTER(!BOUND(?t))",
    "?s :type :T1 BIND(:n1 AS ?e) FILTER EXISTS { ?s :next ?x BIND(?s AS ?e) ?e :next ?x }",
    "?a :val ?v . ?b :val ?w FILTER(?v = ?w)",
    "?a :ring+ ?b",
    "?a :ring* ?b . ?b :ring+ :r3",
    "?s :type :T1 . ?s (:link|:next)+ ?x . ?x :type :T3",
    "?s :val ?v OPTIONAL { ?s :zz ?z } FILTER NOT EXISTS { ?t :val ?w FILTER(?w > ?z) }",
    "?s :val ?v OPTIONAL { ?s :zz ?t } FILTER EXISTS { ?t :link ?s . ?t :val ?w FILTER(?w > ?v) }",
    "?s :val ?v FILTER NOT EXISTS { ?t :val ?w FILTER(?w > ?v && ?t != :n3) }",
    "?s :val ?v FILTER NOT EXISTS { ?t :val ?w . ?t :next ?n FILTER(?w > ?v && ?n != ?s) }",
    "?s :val ?v FILTER EXISTS { ?t :val ?w FILTER(?w > ?v && EXISTS { ?u :val ?x FILTER(?x > ?w) }) }",
    "?s :val ?v FILTER EXISTS { { SELECT (MAX(?x) AS ?w) { ?t :val ?x } } FILTER(?w > ?v) }",
    "?s :val ?v FILTER EXISTS { ?t :val ?w . { ?x :next ?y FILTER(?x = ?s) } FILTER(?w > ?v) }",
    "?a :val ?v . ?b :val ?w . ?c :val ?x FILTER(?v = ?w && ?w = ?x)",
    "?a :val ?v . ?b :val ?w FILTER(?v + 1 = ?w * 2) ?b :type :T3",
    "?a :val ?v . ?b :name ?w FILTER(CONCAT(\"name \", STR(?v)) = ?w)",
    "?a :type :T1 ; :val ?v . ?b :val ?w OPTIONAL { ?b :zz ?z } FILTER(?v = ?w)",
    "?a :val ?v . ?b :link ?c FILTER(?a = ?c)",
    "?a :val ?v OPTIONAL { ?b :val ?w FILTER(?w = 3 && STR(?w) = STR(?v)) }",
    "?a :val ?v OPTIONAL { ?b :val ?w FILTER(?w = ?a) }",
    "?s :type :T1 . ?s :link+ :n3",
    "VALUES ?s { :n1 :n2 :n3 :n4 :n5 :n6 :n7 :n8 :n9 :n11 } ?s :type ?t . ?s :val ?v FILTER(?v > 5)",
    "?s :type :T1 VALUES (?s ?v) { (:n1 1) (:n11 UNDEF) (UNDEF 3) (:n2 2) (:n3 2) (:n4 2) (:n5 2) (:n6 2) (:n7 2) } ?s :val ?v",
    "?s :next ?x FILTER NOT EXISTS { ?s :val ?v OPTIONAL { ?s :link ?x } FILTER(!BOUND(?x)) }",
    "?s :link ?x FILTER EXISTS { ?s :val ?v OPTIONAL { ?s :link ?x } FILTER(BOUND(?x)) }",
    "?s :next ?x LATERAL { ?s :val ?v OPTIONAL { ?s :link ?x } FILTER(!BOUND(?x)) }",
    "?s :val ?v FILTER EXISTS { ?t :type :T3 OPTIONAL { ?t :val ?v } FILTER(?v > 20) }",
    "?s :val ?v FILTER EXISTS { ?t :val ?w OPTIONAL { ?t :next ?u FILTER(?v > 30) } FILTER(BOUND(?u)) }",
    "?s :val ?v FILTER EXISTS { { ?s :next ?t FILTER(?v > 20) } UNION { ?t :val ?v . ?t :type :T2 } }",
    "?s :val ?v FILTER EXISTS { ?s :next ?t MINUS { ?t :val ?w FILTER(?w > ?v) } }",
    "?s :link ?x FILTER EXISTS { ?s :next ?t MINUS { ?t :link ?x } }",
    "?s :val ?v FILTER EXISTS { { SELECT ?t { ?t :val ?w FILTER(?w > ?v) } } }",
    "?s :val ?v FILTER EXISTS { { SELECT ?t ?v { ?t :next ?u FILTER(?v > 30) } } }",
    "?s :val ?v FILTER EXISTS { ?t :link ?s . { ?t :type ?k FILTER(?v > 30) } }",
    "?s :val ?v FILTER EXISTS { ?s :next ?t BIND(?v - 1 AS ?w) ?t :val ?w }",
    "?s :val ?v FILTER EXISTS { SELECT (COUNT(*) AS ?n) { ?t :val ?v } HAVING(?n > 1) }",
    "?s :val ?v FILTER EXISTS { { SELECT ?v (COUNT(*) AS ?n) { ?t :val ?w FILTER(?w > ?v) } GROUP BY ?v } FILTER(?n > 5) }",
    "?s :val ?v FILTER EXISTS { { SELECT ?t ?v { ?t :val ?v } ORDER BY ?t LIMIT 3 } }",
    "?s :val ?v FILTER EXISTS { VALUES ?v { 1 2 UNDEF } ?s :next ?t FILTER(!BOUND(?v) || ?v > 1) }",
    "?s :val ?v FILTER EXISTS { ?s :next ?u FILTER EXISTS { ?u :val ?w FILTER(?w > ?v) } }",
    "?s :val ?v FILTER EXISTS { ?t :val ?w FILTER NOT EXISTS { ?s :link ?t } FILTER(?w > ?v) }",
    "?s :val ?v OPTIONAL { ?s :ring ?z } FILTER EXISTS { ?t :val ?z }",
    "?s :val ?v OPTIONAL { ?s :zz ?z } FILTER NOT EXISTS { ?t :type :T1 ; :val ?v ; :link ?z FILTER(!BOUND(?v)) }",
    "?s :type :T1 LATERAL { SELECT ?s ?x { ?s :link ?x } LIMIT 1 } ?x :name ?m",
];

#[test]
fn scopes_are_kept() {
    let store = store(40);
    for group in SCOPES.iter().copied().chain(LINEAR.iter().map(|query| query.split_once('{').unwrap().1)) {
        let group = group.trim_end().strip_suffix('}').filter(|_| !SCOPES.contains(&group)).unwrap_or(group);
        let query = format!("{PREFIX} SELECT * {{ {group} }}");
        let answer = rows(store.query(&query).unwrap());
        assert_eq!(answer, by_the_algebra(&store, &query), "{query}");
    }
}

fn term() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["?a", "?b", "?c", "?d", ":0", "1"])
}

fn variable() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["?a", "?b", "?c", "?d"])
}

fn triple() -> impl Strategy<Value = String> {
    let subject = prop_oneof![4 => variable(), 1 => Just(":0")];
    let predicate = prop::sample::select(vec![":p0", ":p1", ":p0", ":p1", ":p0+"]);
    prop_oneof![
        9 => (subject, predicate, term()).prop_map(|(s, p, o)| format!("{s} {p} {o} . ")),
        // A path of length zero leads from a term to itself, even if the data does not have the term. The plain
        // evaluator does not do that, so both ends are variables.
        1 => (variable(), variable()).prop_map(|(s, o)| format!("{s} :p1* {o} . ")),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    prop_oneof![
        (variable(), variable()).prop_map(|(a, b)| format!("{a} = {b}")),
        (variable(), variable()).prop_map(|(a, b)| format!("{a} > {b}")),
        variable().prop_map(|a| format!("!BOUND({a})")),
        (variable(), term()).prop_map(|(a, b)| format!("{a} = {b}")),
        variable().prop_map(|a| format!("{a} IN (:0, :1)")),
        variable().prop_map(|a| format!("{a} NOT IN (:0, :1, 1, 2, 3, 4, 5, 6, 7, \"1\")")),
    ]
}

fn group(depth: usize) -> BoxedStrategy<String> {
    let triples = prop::collection::vec(triple(), 1..3).prop_map(|triples| triples.concat());
    if depth == 0 {
        return triples.boxed();
    }
    let inner = move || group(depth - 1);
    let part = prop_oneof![
        3 => triple(),
        2 => inner().prop_map(|group| format!("OPTIONAL {{ {group} }} ")),
        2 => inner().prop_map(|group| format!("FILTER EXISTS {{ {group} }} ")),
        2 => inner().prop_map(|group| format!("FILTER NOT EXISTS {{ {group} }} ")),
        2 => (inner(), inner()).prop_map(|(a, b)| format!("{{ {a} }} UNION {{ {b} }} ")),
        1 => inner().prop_map(|group| format!("MINUS {{ {group} }} ")),
        1 => inner().prop_map(|group| format!("{{ {group} }} ")),
        1 => (inner(), variable()).prop_map(|(group, v)| format!("{{ SELECT ?a {v} {{ {group} }} }} ")),
        1 => (inner(), variable()).prop_map(|(group, v)| format!("{{ SELECT DISTINCT {v} {{ {group} }} }} ")),
        1 => (inner(), variable()).prop_map(|(group, v)| {
            format!("{{ SELECT {v} (COUNT(*) AS ?n) {{ {group} }} GROUP BY {v} }} ")
        }),
        2 => condition().prop_map(|condition| format!("FILTER({condition}) ")),
        1 => variable().prop_map(|v| format!("VALUES {v} {{ :0 :1 1 }} ")),
        1 => variable().prop_map(|v| format!("BIND({v} AS ?e) ?e :p0 ?a . ")),
    ];
    (triples, prop::collection::vec(part, 0..4))
        .prop_map(|(triples, parts)| triples + &parts.concat())
        .boxed()
}

/// The answers are those of the algebra for every group. `TRIPLES_PLANS` sets a number of additional random cases.
#[test]
fn answers_are_those_of_the_algebra() {
    let cases = std::env::var("TRIPLES_PLANS").ok().and_then(|cases| cases.parse().ok());
    let mut runner = match cases {
        Some(cases) => TestRunner::new(Config::with_cases(cases)),
        None => TestRunner::new_with_rng(
            Config::with_cases(1000),
            TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        ),
    };
    let some = |most: usize, quads| {
        let node = move || (0..most).prop_map(|n| format!(":{n}"));
        let object = prop_oneof![2 => node(), 1 => (0..most).prop_map(|n| n.to_string())];
        let data = (node(), 0..2, object).prop_map(|(s, p, o)| format!("{s} :p{p} {o} . "));
        prop::collection::vec(data, quads)
    };
    // Few triples, so that most are found, or so many that evaluating a pattern once is better than lookups.
    let data = prop_oneof![2 => some(3, 1..8), 1 => some(5, 20..40)];
    let once = Cell::new(0);
    let check = |(data, group): (Vec<String>, String)| {
        let query = format!("{PREFIX} SELECT * {{ {group}}}");
        // `BIND` may not bind a variable that is bound already.
        if SparqlParser::new().parse_query(&query).is_err() {
            return Ok(());
        }
        let store = TripleStore::in_memory();
        store.update(&format!("{PREFIX} INSERT DATA {{ {} }}", data.concat())).unwrap();
        prop_assert_eq!(rows(store.query(&query).unwrap()), by_the_algebra(&store, &query));
        let plan = store.snapshot().explain(&query, &QueryOptions::new()).unwrap();
        once.set(once.get() + usize::from(plan.contains("exists once")));
        Ok(())
    };
    runner.run(&(data, group(2)), check).unwrap();
    assert!(cases.is_some() || once.get() > 50, "{} evaluate a pattern once", once.get());
}

/// The estimated rows of a pattern, and the actual ones.
fn estimated_and_actual(store: &TripleStore, query: &str, pattern: &str) -> (u64, u64) {
    let plan = store.snapshot().explain(&format!("{PREFIX} {query}"), &QueryOptions::new()).unwrap();
    let node = plan.split("\"name\":\"").find(|node| node.starts_with(pattern));
    let node = node.unwrap_or_else(|| panic!("{pattern} in {plan}"));
    let number = |name: &str| -> u64 {
        let (_, number) =
            node.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("{name} in {node}"));
        number.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    (number("estimated number of results"), number("number of results"))
}

/// The plan has the estimated rows of each pattern beside the actual ones, so that a wrong estimate is visible.
#[test]
fn a_plan_shows_the_estimated_rows() {
    let store = store(400);
    for (query, pattern, rows) in [
        ("SELECT * { ?s :type :T1 }", "QuadPattern(?s <urn:type> <urn:T1>)", 40),
        ("SELECT * { ?s :type :T1 ; :val ?v }", "QuadPattern(?s <urn:val> ?v)", 40),
        ("SELECT * { ?s :type :T1 OPTIONAL { ?s :val ?v } }", "QuadPattern(?s <urn:val> ?v)", 40),
        (
            "SELECT * { ?s :type :T1 . { ?s :val ?v } UNION { ?s :name ?v } }",
            "QuadPattern(?s <urn:val> ?v)",
            40,
        ),
        ("SELECT * { ?s :type :T1 FILTER EXISTS { ?s :val ?v } }", "QuadPattern(?s <urn:val> ?v)", 40),
    ] {
        assert_eq!(estimated_and_actual(&store, query, pattern), (rows, rows), "{query}");
    }
    // One of ten subjects is in the city, and one of ten in the country. The planner does not know that they are the
    // same.
    let mut data = String::new();
    for n in 0..1000 {
        write!(data, ":s{n} :city :c{0} ; :country :l{0} . ", n % 10).unwrap();
    }
    let store = TripleStore::in_memory();
    store.update(&format!("{PREFIX} INSERT DATA {{ {data} }}")).unwrap();
    store.checkpoint().unwrap();
    let query = "SELECT * { ?s :city :c0 . ?s :country :l0 }";
    let first = estimated_and_actual(&store, query, "QuadPattern(?s <urn:city> <urn:c0>)");
    let second = estimated_and_actual(&store, query, "QuadPattern(?s <urn:country> <urn:l0>)");
    assert_eq!((first, second), ((100, 100), (10, 100)));
}
