//! `SERVICE` and `LOAD` without a network: other stores replace other servers. The results of a service are compared
//! with those of the same pattern in a named graph of one store.

use oxrdf::NamedNode;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use triple_store::{
    Error, QueryOptions, QueryResults, QueryResultsFormat, RdfFormat, Remote, RemoteDocument, ResultFormat,
    TripleStore, UpdateOptions,
};

const OURS: &str = "
    <urn:a> <urn:p> 1 ; <urn:q> <urn:x> . <urn:b> <urn:p> 2 ; <urn:at> <urn:other> . <urn:c> <urn:p> 2.0, 01 .
    <urn:d> <urn:p> _:own ; <urn:at> <urn:third> . <urn:e> <urn:q> <urn:y> . _:f <urn:p> 3 . <urn:h> <urn:p> 1 .";
const THEIRS: &str = "
    <urn:a> <urn:r> \"a\"@en, 01 . <urn:b> <urn:r> <urn:z> . <urn:c> <urn:r> \"two\\nlines\" . <urn:x> <urn:s> 3 . <urn:z> <urn:r> 7 .
    <urn:x> <urn:r> 1, 2.0, 2 . <urn:g> <urn:r> _:b . _:b <urn:r> _:c . <urn:d> <urn:r> 4 . <urn:y> <urn:t> <urn:y> .";

/// Stores by the IRIs of their endpoints.
#[derive(Clone, Debug)]
struct Others {
    stores: Vec<(&'static str, TripleStore)>,
    format: QueryResultsFormat,
    asked: Arc<AtomicUsize>,
    queries: Arc<Mutex<Vec<String>>>,
}

impl Others {
    fn new(format: QueryResultsFormat) -> Self {
        let theirs = TripleStore::in_memory();
        load(&theirs, THEIRS);
        let third = TripleStore::in_memory();
        load(&third, "<urn:d> <urn:r> 5 . <urn:b> <urn:r> 6 .");
        let stores = vec![("urn:other", theirs), ("urn:third", third)];
        Self { stores, format, asked: Arc::default(), queries: Arc::default() }
    }
}

impl Remote for Others {
    fn query(&self, endpoint: &NamedNode, query: &str, _: Option<Duration>) -> io::Result<RemoteDocument> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.queries.lock().unwrap().push(query.to_owned());
        let found = self.stores.iter().find(|(iri, _)| *iri == endpoint.as_str());
        let (_, store) = found.ok_or_else(|| io::Error::other("there is no such endpoint"))?;
        let format = ResultFormat { solutions: Some(self.format), graph: None };
        let results = store.query(query).unwrap_or_else(|error| panic!("{error}: {query}"));
        let body = format.write(results, Vec::new()).map_err(io::Error::other)?;
        Ok(RemoteDocument::new(self.format.media_type(), io::Cursor::new(body)))
    }

    fn fetch(&self, source: &NamedNode, _: Option<Duration>) -> io::Result<RemoteDocument> {
        match source.as_str() {
            "http://example.com/data" => {
                Ok(RemoteDocument::new("text/turtle", "<s> <p> <#o>, _:b .".as_bytes()))
            }
            "http://example.com/bad" => Ok(RemoteDocument::new("text/turtle", "<s> <p> 1 . oops".as_bytes())),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn load(store: &TripleStore, turtle: &str) {
    store.load(turtle.as_bytes(), RdfFormat::Turtle, "data.ttl").unwrap();
}

fn ours() -> TripleStore {
    let store = TripleStore::in_memory();
    load(&store, OURS);
    store
}

/// The rows of a query, sorted. All blank nodes get the same name.
fn rows(store: &TripleStore, query: &str, options: &QueryOptions) -> Vec<String> {
    let results = store.query_with(query, options).unwrap_or_else(|error| panic!("{query}: {error}"));
    let QueryResults::Solutions(solutions) = results else { panic!("{query}") };
    let mut rows: Vec<String> = solutions
        .map(|row| {
            let row = row.unwrap_or_else(|error| panic!("{query}: {error}"));
            let term = |(name, term): (&oxrdf::Variable, &oxrdf::Term)| match term {
                oxrdf::Term::BlankNode(_) => format!("{name} _:b"),
                term => format!("{name} {term}"),
            };
            row.iter().map(term).collect::<Vec<_>>().join(" ")
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn a_service_answers_as_a_graph_does() {
    let whole = ours();
    whole.update("INSERT DATA { GRAPH <urn:ours> { <urn:i> <urn:p> <urn:x> } }").unwrap();
    let ours = ours();
    ours.update("INSERT DATA { GRAPH <urn:ours> { <urn:i> <urn:p> <urn:x> } }").unwrap();
    let others = Others::new(QueryResultsFormat::Json);
    for (iri, store) in &others.stores {
        for quad in &store.snapshot() {
            let quad = quad.unwrap();
            let graph = oxrdf::NamedNode::new_unchecked(*iri);
            whole.insert(&oxrdf::Quad::new(quad.subject, quad.predicate, quad.object, graph)).unwrap();
        }
    }
    for query in [
        "SELECT * { @ { ?s <urn:r> ?o } }",
        "SELECT * { ?s <urn:p> ?v @ { ?s <urn:r> ?o } }",
        "SELECT * { @ { ?s <urn:r> ?o } ?s <urn:p> ?v }",
        "SELECT * { ?s <urn:p> ?v @ { ?v <urn:s> ?o } }",
        "SELECT * { ?s <urn:p> ?v OPTIONAL { @ { ?s <urn:r> ?o } } }",
        "SELECT * { ?s <urn:p> ?v OPTIONAL { ?s <urn:q> ?q } @ { ?q <urn:r> ?o } }",
        "SELECT * { ?s <urn:p> ?v OPTIONAL { ?s <urn:q> ?q } @ { ?s <urn:r> ?o OPTIONAL { ?q <urn:r> ?z } } }",
        "SELECT * { ?s <urn:p> ?v MINUS { @ { ?s <urn:r> ?v } } }",
        "SELECT * { ?s <urn:p> ?v MINUS { @ { ?s <urn:r> ?o } } }",
        "SELECT * { ?s <urn:p> ?v FILTER NOT EXISTS { @ { ?s <urn:r> ?o } } }",
        "SELECT * { ?s <urn:p> ?v FILTER EXISTS { @ { ?s <urn:r> ?o } FILTER(?v = 1) } }",
        "SELECT * { ?s <urn:p> ?v { @ { ?s <urn:r> ?o } } UNION { ?s <urn:q> ?o } }",
        "SELECT * { ?s <urn:p> ?v @ { ?s <urn:r> ?o FILTER(isIRI(?o) || ?o = 1) } FILTER(?v < 3) }",
        "SELECT ?s (COUNT(*) AS ?n) { ?s <urn:p> ?v @ { SELECT ?s (MAX(?x) AS ?o) { ?s <urn:r> ?x } GROUP BY ?s } } GROUP BY ?s",
        "SELECT * { @ { ?a <urn:r> ?b } @ { ?b <urn:r> ?c } FILTER(isIRI(?b)) }",
        "SELECT * { ?s <urn:p> ?v @ { <urn:a> <urn:r> 01 } }",
        "SELECT * { ?s <urn:p> ?v @ { <urn:a> <urn:r> 02 } }",
        "SELECT * { GRAPH <urn:ours> { ?s <urn:p> ?v } @ { ?v <urn:r> ?o } }",
        "SELECT * { { SELECT ?s { ?s <urn:p> 1 } } @ { ?s <urn:r> ?o } }",
        "SELECT * { VALUES ?s { <urn:a> UNDEF } @ { ?s <urn:r> ?o } }",
        "SELECT * { VALUES (?s ?o) { (<urn:a> UNDEF) (UNDEF <urn:z>) (<urn:b> <urn:z>) } @ { ?s <urn:r> ?o } }",
        "SELECT * { @ { ?s <urn:r>+ ?o } ?s <urn:p> ?v }",
    ] {
        let expected = rows(&whole, &query.replace('@', "GRAPH <urn:other>"), &QueryOptions::new());
        for format in [QueryResultsFormat::Json, QueryResultsFormat::Xml] {
            let others = Others { format, ..others.clone() };
            let options = QueryOptions::new().remote(others);
            let found = rows(&ours, &query.replace('@', "SERVICE <urn:other>"), &options);
            assert_eq!(found, expected, "{query}, {format:?}");
        }
    }
    let query = "SELECT * { ?s <urn:p> ?v ; <urn:at> ?g @ { ?s <urn:r> ?o } }";
    let options = QueryOptions::new().remote(others);
    let found = rows(&ours, &query.replace('@', "SERVICE ?g"), &options);
    assert_eq!(found, rows(&whole, &query.replace('@', "GRAPH ?g"), &QueryOptions::new()));
    assert_eq!(found.len(), 2);
}

#[test]
fn blank_nodes_of_an_answer_join_only_with_each_other() {
    let options = QueryOptions::new().remote(Others::new(QueryResultsFormat::Json));
    let linked = "SELECT * { SERVICE <urn:other> { <urn:g> <urn:r> ?b . ?b <urn:r> ?c } }";
    assert_eq!(rows(&ours(), linked, &options).len(), 1);
    let apart = "SELECT * { SERVICE <urn:other> { <urn:g> <urn:r> ?b } SERVICE <urn:other> { ?b <urn:r> ?c } FILTER(isBlank(?b)) }";
    assert_eq!(rows(&ours(), apart, &options).len(), 0, "each answer has its own");
    let store = ours();
    let update = "INSERT { <urn:new> <urn:r> ?b . ?b <urn:r> ?c } WHERE { SERVICE <urn:other> { <urn:g> <urn:r> ?b . ?b <urn:r> ?c } }";
    let others = Others::new(QueryResultsFormat::Xml);
    assert_eq!(store.update_with(update, &UpdateOptions::new().remote(others)).unwrap().added, 2);
    assert_eq!(
        rows(&store, "SELECT * { <urn:new> <urn:r>/<urn:r> ?c FILTER isBlank(?c) }", &QueryOptions::new())
            .len(),
        1
    );
}

#[test]
fn an_endpoint_gets_bindings_in_batches_or_none() {
    for (subjects, requests) in [(0, 0), (1, 1), (100, 1), (101, 2), (1000, 10), (10_001, 1)] {
        let store = TripleStore::in_memory();
        let line = |i| format!("<urn:{i}> <urn:p> 1, 2 .\n");
        let all: String = (0..subjects).map(line).collect();
        load(&store, &all);
        let others = Others::new(QueryResultsFormat::Json);
        let options = QueryOptions::new().remote(others.clone());
        rows(&store, "SELECT * { ?s <urn:p> ?o SERVICE <urn:other> { ?s <urn:r> ?x } }", &options);
        assert_eq!(others.asked.load(Ordering::Relaxed), requests, "{subjects}");
    }
}

#[test]
fn failures_are_errors_except_with_silent() {
    let store = ours();
    let options = QueryOptions::new().remote(Others::new(QueryResultsFormat::Json));
    let query = "SELECT * { ?s <urn:q> ?v SERVICE @ <urn:nowhere> { ?s <urn:r> ?o } }";
    for (options, options_of_update) in [
        (options.clone(), UpdateOptions::new().remote(Others::new(QueryResultsFormat::Json))),
        (QueryOptions::new(), UpdateOptions::new()),
    ] {
        let failed = store.query_with(&query.replace('@', ""), &options).err().unwrap();
        assert!(matches!(failed, Error::Remote { .. } | Error::Unsupported(_)), "{failed}");
        assert!(failed.to_string().contains("urn:nowhere"), "{failed}");
        assert_eq!(
            rows(&store, &query.replace('@', "SILENT"), &options).len(),
            2,
            "the service binds nothing"
        );
        assert!(store.update_with("LOAD <http://example.com/none>", &options_of_update).is_err());
        store.update_with("LOAD SILENT <http://example.com/none>", &options_of_update).unwrap();
    }
    let unnamed = "SELECT * { SERVICE ?g { ?s ?p ?o } }";
    assert!(matches!(store.query_with(unnamed, &options), Err(Error::Unsupported(_))));
    let now = options.timeout(Duration::ZERO);
    let silent = query.replace('@', "SILENT");
    assert!(
        matches!(store.query_with(&silent, &now), Err(Error::Cancelled)),
        "SILENT does not hide a timeout"
    );
}

#[test]
fn a_document_is_loaded_whole_or_not_at_all() {
    let store = TripleStore::in_memory();
    let options = UpdateOptions::new().remote(Others::new(QueryResultsFormat::Json));
    let update = "LOAD <http://example.com/data> ; LOAD <http://example.com/data> INTO GRAPH <urn:g> ;
                  DELETE WHERE { <http://example.com/s> ?p <http://example.com/data#o> }";
    assert_eq!(store.update_with(update, &options).unwrap().added, 3);
    let found =
        store.query("SELECT ?o { GRAPH <urn:g> { <http://example.com/s> <http://example.com/p> ?o } }");
    let Ok(QueryResults::Solutions(found)) = found else { panic!() };
    assert_eq!(found.count(), 2);
    for update in ["CLEAR ALL ; LOAD <http://example.com/bad>", "CLEAR ALL ; LOAD <http://example.com/none>"]
    {
        assert!(store.update_with(update, &options).is_err());
        assert_eq!(store.len(), 3, "nothing of the update is done");
    }
    let small = options.most_changes(1);
    assert!(matches!(
        store.update_with("LOAD <http://example.com/data>", &small),
        Err(Error::TooManyChanges(1))
    ));
}
