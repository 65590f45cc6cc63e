//! Queries on 105,020 quads that need the planner: without it, each is a product of two large sides.
//!
//! ```sh
//! cargo run --release -p triple-store --example hard_queries
//! ```
//!
//! Each query runs three times, and its median time is printed. The command fails if a median exceeds 0.5 s.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use triple_store::oxrdf::Term;
use triple_store::{QueryOptions, QueryResults, RdfFormat, TripleStore};

const NODES: usize = 20_000;
const MOST: Duration = Duration::from_millis(500);

const QUERIES: &[&str] = &[
    "?s :type ?t FILTER NOT EXISTS { ?s :link ?x . ?x :type :T3 }",
    "?s :type ?t MINUS { ?s :link ?x . ?x :type :T3 }",
    "?s :type ?t OPTIONAL { ?s :link ?x . ?x :type :T3 } FILTER(!BOUND(?x))",
    "?s :type :T1 FILTER EXISTS { ?s :link/:link/:type :T2 }",
    "?s :type :T1 ; :val ?v BIND(IRI(CONCAT('urn:n', STR(?v))) AS ?t) ?t :name ?n",
    "?s :val ?v FILTER(?s IN (LIST))",
    "?a :type :T1 . { ?s :link ?o . ?s :next ?a } UNION { ?a :next ?o }",
    "?a :type :T1 . { ?s :val ?o . ?s :next ?a FILTER(?o > 5) }",
    "?s :val ?v FILTER NOT EXISTS { ?t :val ?w FILTER(?w > ?v) }",
    "?s :val ?v OPTIONAL { ?t :val ?w FILTER(?w > ?v) } FILTER(!BOUND(?t))",
    "?s :val ?v ; :type ?k FILTER NOT EXISTS { ?t :val ?w ; :type ?k FILTER(?w > ?v) }",
    "?a :val ?v . ?b :val ?w FILTER(?v = ?w) FILTER(?v < 1000)",
    "?a :type :T1 ; :name ?v . ?b :type :T2 ; :name ?w FILTER(STR(?v) = STR(?w))",
    "?c :type :T1 OPTIONAL { ?o :type :T2 . ?o :link ?c }",
    "?a :ring+ ?b",
    "?x :type/:sub* ?c",
    "?x :type :T1 . ?x :link+ :n5",
    "?x :next+ :n10000",
];

/// Nodes in a row, each with a type, a value, a name and a link to some other; rings of 1,500 and of 20 nodes; a tree.
fn data() -> String {
    let mut text = String::new();
    let mut seed = 1_u64;
    let mut quad = |subject: String, predicate: &str, object: String| {
        writeln!(text, "<urn:{subject}> <urn:{predicate}> {object} .")
            .expect("writing to a string does not fail");
    };
    let node = |kind: &str, number: usize| format!("<urn:{kind}{number}>");
    for i in 0..NODES {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let of_node = |kind: &str| format!("{kind}{i}");
        quad(of_node("n"), "next", node("n", i + 1));
        quad(of_node("n"), "type", node("T", i % 10));
        let value = i * 7919 % NODES;
        quad(of_node("n"), "val", format!("\"{value}\"^^<http://www.w3.org/2001/XMLSchema#integer>"));
        quad(of_node("n"), "name", format!("\"name number {} of item\"", i * 31 % NODES));
        quad(of_node("n"), "link", node("n", (seed >> 33) as usize % NODES));
    }
    for (ring, length) in [("ring", 1_500), ("cycle", 3_000), ("small", 20)] {
        for i in 0..length {
            quad(format!("{ring}{i}"), ring, node(ring, (i + 1) % length));
        }
    }
    for i in 0..500 {
        quad(format!("T{i}"), "sub", node("T", i / 2));
    }
    text
}

/// The result of the query's count.
fn counted(store: &TripleStore, group: &str) -> Result<String, Box<dyn std::error::Error>> {
    let query = format!("PREFIX : <urn:> SELECT (COUNT(*) AS ?n) {{ {group} }}");
    let options = QueryOptions::new().timeout(Duration::from_secs(30));
    let QueryResults::Solutions(mut rows) = store.query_with(&query, &options)? else {
        return Err("a SELECT has rows".into());
    };
    let row = rows.next().ok_or("a count is one row")??;
    match &row["n"] {
        Term::Literal(count) => Ok(count.value().to_owned()),
        other => Err(format!("{other} is no count").into()),
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let store = TripleStore::in_memory();
    store.load(data().as_bytes(), RdfFormat::NTriples, "nodes.nt")?;
    store.checkpoint()?;
    println!("{} quads\n    rows  milliseconds", store.len());
    let list: Vec<_> = (0..5_000).map(|i| format!(":n{}", i * 2)).collect();
    let mut code = ExitCode::SUCCESS;
    for query in QUERIES {
        let group = query.replace("LIST", &list.join(", "));
        let mut times = Vec::new();
        let mut found = String::new();
        for _ in 0..3 {
            let start = Instant::now();
            found = counted(&store, &group)?;
            times.push(start.elapsed());
        }
        times.sort();
        println!("{found:>8}  {:8.1}  {query}", times[1].as_secs_f64() * 1e3);
        if times[1] > MOST {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}
