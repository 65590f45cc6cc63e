//! SPARQL 1.1 Protocol: operations, datasets, syntaxes of results, and permission to write.

use crate::client::{Running, encode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use triple_store::server::ServerOptions;

const FORM: &str = "application/x-www-form-urlencoded";
const QUERY: &str = "application/sparql-query";
const UPDATE: &str = "application/sparql-update";

fn two_graphs() -> Running {
    let server = Running::new(ServerOptions::new());
    let data = "INSERT DATA { <urn:s> <urn:p> 0 GRAPH <urn:a> { <urn:s> <urn:p> 1 } GRAPH <urn:b> { <urn:s> <urn:p> 2 } }";
    assert_eq!(server.update(data).status, 204);
    server
}

#[test]
fn queries_are_accepted_by_get_by_form_and_as_the_body() {
    let server = two_graphs();
    let query = encode("SELECT ?o { ?s ?p ?o }");
    for target in ["/query", "/sparql"] {
        let csv = ["Accept: text/csv"];
        assert_eq!(server.get(&format!("{target}?query={query}"), &csv).body, "o\r\n0\r\n");
        let form = ["Accept: text/csv", &format!("Content-Type: {FORM}")];
        assert_eq!(server.send("POST", target, &form, format!("query={query}")).body, "o\r\n0\r\n");
        let direct = ["Accept: text/csv", &format!("Content-Type: {QUERY}; charset=utf-8")];
        assert_eq!(server.send("POST", target, &direct, "SELECT ?o { ?s ?p ?o }").body, "o\r\n0\r\n");
    }
}

#[test]
fn a_request_may_name_the_dataset_of_its_query() {
    let server = two_graphs();
    let union = encode("SELECT ?o { ?s ?p ?o } ORDER BY ?o");
    let named = encode("SELECT ?o { GRAPH ?g { ?s ?p ?o } } ORDER BY ?o");
    let from = encode("SELECT ?o FROM <urn:b> { ?s ?p ?o }");
    for (query, dataset, expected) in [
        (&union, "default-graph-uri=urn%3Aa", "1"),
        (&union, "default-graph-uri=urn:a&default-graph-uri=urn:b", "1 2"),
        (&union, "default-graph-uri=urn:none", ""),
        (&union, "named-graph-uri=urn:a", ""),
        (&named, "named-graph-uri=urn:a", "1"),
        (&named, "default-graph-uri=urn:a", ""),
        (&named, "", "1 2"),
        (&from, "", "2"),
        (&from, "default-graph-uri=urn:a", "1"),
    ] {
        let rows = |body: &str| body.lines().skip(1).collect::<Vec<_>>().join(" ");
        let csv = ["Accept: text/csv"];
        assert_eq!(
            rows(&server.get(&format!("/query?query={query}&{dataset}"), &csv).body),
            expected,
            "{dataset}"
        );
        let form = ["Accept: text/csv", &format!("Content-Type: {FORM}")];
        let body = format!("query={query}&{dataset}");
        assert_eq!(rows(&server.send("POST", "/query", &form, &body).body), expected, "{dataset}");
    }
}

#[test]
fn updates_are_accepted_by_form_and_as_the_body_and_with_a_dataset() {
    let server = two_graphs();
    let count = "SELECT (COUNT(*) AS ?n) { { ?s ?p 9 } UNION { GRAPH ?g { ?s ?p 9 } } }";
    let copy = "INSERT { GRAPH <urn:c> { ?s ?p 9 } } WHERE { ?s ?p 2 }";
    assert_eq!(server.update(copy).status, 204);
    assert_eq!(server.query(count), "n\r\n0\r\n", "it is not in the default graph");
    assert_eq!(server.post("/update?using-graph-uri=urn:b", UPDATE, copy).status, 204);
    assert_eq!(server.query(count), "n\r\n1\r\n");
    let named = "INSERT { <urn:x> <urn:p> 9 } WHERE { GRAPH ?g { ?s ?p 1 } }";
    let body = format!("update={}&using-named-graph-uri=urn%3Ab", encode(named));
    assert_eq!(server.post("/sparql", FORM, &body).status, 204);
    assert_eq!(server.query(count), "n\r\n1\r\n", "it is not in that named graph");
    let conflict = "INSERT { ?s ?p 8 } USING <urn:a> WHERE { ?s ?p 1 }";
    assert_eq!(server.post("/update?using-graph-uri=urn:b", UPDATE, conflict).status, 400);
    let conflict = "WITH <urn:a> DELETE { ?s ?p 1 } WHERE { ?s ?p 1 }";
    assert_eq!(server.post("/update?using-graph-uri=urn:b", UPDATE, conflict).status, 400);
    assert_eq!(server.store.len(), 4);
}

#[test]
fn relative_iris_resolve_against_the_endpoint() {
    let server = Running::new(ServerOptions::new());
    assert_eq!(server.update("INSERT DATA { <s> <p> <?x> }").status, 204);
    assert_eq!(
        server.query("SELECT * { ?s ?p ?o }"),
        "s,p,o\r\nhttp://localhost/s,http://localhost/p,http://localhost/update?x\r\n"
    );
}

#[test]
fn invalid_requests_of_the_protocol_are_refused() {
    let server = two_graphs();
    let ask = encode("ASK {}");
    let clear = encode("CLEAR ALL");
    for (method, target, media_type, body, expected) in [
        ("PUT", "/query", QUERY, "ASK {}", 405),
        ("GET", "/update", "", "", 405),
        ("GET", &*format!("/sparql?update={clear}"), "", "", 400),
        ("GET", &format!("/query?query={ask}&query={ask}"), "", "", 400),
        ("GET", "/query?other=1", "", "", 400),
        ("GET", "/query?query=SELEKT", "", "", 400),
        ("GET", "/query?query=%FF", "", "", 400),
        ("GET", &format!("/query?query={ask}&default-graph-uri=relative"), "", "", 400),
        ("POST", "/query", "text/plain", "ASK {}", 415),
        ("POST", "/query", "", "ASK {}", 415),
        ("POST", "/query", "application/sparql-query; charset=utf-16", "ASK {}", 415),
        ("POST", "/query", UPDATE, "CLEAR ALL", 400),
        ("POST", "/query", FORM, &format!("update={clear}"), 400),
        ("POST", "/update", QUERY, "ASK {}", 400),
        ("POST", "/update", FORM, &format!("update={clear}&update={clear}"), 400),
        ("POST", "/update", UPDATE, "CLEAR EVERYTHING", 400),
        ("POST", "/update", UPDATE, "LOAD <http://example.com/>", 400),
        ("POST", &format!("/query?query={ask}"), QUERY, "ASK {}", 400),
        ("GET", "/nothing", "", "", 404),
    ] {
        let field = format!("Content-Type: {media_type}");
        let fields = if media_type.is_empty() { &[][..] } else { &[&*field] };
        let answer = server.send(method, target, fields, body);
        assert_eq!(answer.status, expected, "{method} {target} {media_type} {body}: {}", answer.body);
        if expected == 405 {
            assert!(answer.field("allow").is_some_and(|allow| allow.contains("POST")));
        }
    }
    assert_eq!(server.store.len(), 3, "nothing was changed");
}

#[test]
fn results_have_the_requested_syntax() {
    let server = two_graphs();
    let select = encode("SELECT ?o { ?s ?p ?o }");
    let ask = encode("ASK {}");
    let construct = encode("CONSTRUCT WHERE { ?s ?p ?o }");
    for (query, accept, status, media_type, part) in [
        (&select, "*/*", 200, "application/sparql-results+json", "\"bindings\""),
        (&select, "application/json", 200, "application/json", "\"bindings\""),
        (&select, "application/sparql-results+xml", 200, "application/sparql-results+xml", "<binding"),
        (
            &select,
            "text/csv;q=0.4, text/tab-separated-values;q=0.6",
            200,
            "text/tab-separated-values; charset=utf-8",
            "?o\n0",
        ),
        (&select, "text/turtle", 406, "text/plain; charset=utf-8", "text/csv"),
        (&select, "text/csv;q=0", 406, "text/plain; charset=utf-8", "text/csv"),
        (&ask, "application/sparql-results+xml", 200, "application/sparql-results+xml", "<boolean>true"),
        (&ask, "", 200, "application/sparql-results+json", "true"),
        (&construct, "", 200, "text/turtle; charset=utf-8", "<urn:s> <urn:p>"),
        (&construct, "application/rdf+xml", 200, "application/rdf+xml", "rdf:RDF"),
        (&construct, "application/ld+json, text/turtle;q=0.9", 200, "application/ld+json", "@id"),
        (&construct, "text/*;q=0.1, application/n-triples", 200, "application/n-triples", "<urn:s>"),
        (&construct, "text/csv", 406, "text/plain; charset=utf-8", "text/turtle"),
    ] {
        let field = format!("Accept: {accept}");
        let fields = if accept.is_empty() { &[][..] } else { &[&*field] };
        let answer = server.get(&format!("/query?query={query}"), fields);
        assert_eq!((answer.status, answer.field("content-type").unwrap()), (status, media_type), "{accept}");
        assert!(answer.body.contains(part), "{accept}: {}", answer.body);
    }
}

#[test]
fn an_endpoint_describes_itself() {
    let server = Running::new(ServerOptions::new());
    let answer = server.get("/sparql", &["Accept: application/n-triples"]);
    let sd = "http://www.w3.org/ns/sparql-service-description#";
    assert!(
        answer.body.contains(&format!("<http://localhost/sparql> <{sd}endpoint> <http://localhost/sparql>"))
    );
    assert!(answer.body.contains("SPARQL11Update"));
    assert!(!server.get("/query", &["Accept: application/n-triples"]).body.contains("SPARQL11Update"));
}

#[test]
fn writing_requires_the_token_and_reading_does_not() {
    let server = Running::new(ServerOptions::new().token("xyzzy"));
    let insert = "INSERT DATA { <urn:s> <urn:p> 1 }";
    let content = format!("Content-Type: {UPDATE}");
    for (fields, expected) in [
        (vec![&*content], 401),
        (vec![&*content, "Authorization: Bearer plugh"], 401),
        (vec![&*content, "Authorization: Basic xyzzy"], 401),
        (vec![&*content, "Authorization: Bearer xyzzy"], 204),
    ] {
        let answer = server.send("POST", "/update", &fields, insert);
        assert_eq!(answer.status, expected, "{fields:?}");
        assert_eq!(
            answer.field("www-authenticate").is_some_and(|field| field.starts_with("Bearer")),
            expected == 401
        );
        assert_eq!(server.store.len(), u64::from(expected == 204));
    }
    for (method, target) in [("PUT", "/store?default"), ("POST", "/store?graph=urn:g"), ("DELETE", "/store")]
    {
        assert_eq!(server.send(method, target, &["Content-Type: text/turtle"], "").status, 401, "{method}");
    }
    assert_eq!(server.store.len(), 1);
    assert_eq!(server.query("SELECT ?o { ?s ?p ?o }"), "o\r\n1\r\n");
}

#[test]
fn a_read_only_server_changes_nothing() {
    let store = triple_store::TripleStore::in_memory();
    store.update("INSERT DATA { <urn:s> <urn:p> 1 }").unwrap();
    let server = Running::with_store(store, ServerOptions::new().read_only(true));
    assert_eq!(server.update("CLEAR ALL").status, 403);
    assert_eq!(server.send("DELETE", "/store", &[], "").status, 403);
    assert_eq!(server.post("/store?default", "text/turtle", "<urn:a> <urn:b> 1 .").status, 403);
    assert_eq!(server.query("SELECT ?o { ?s ?p ?o }"), "o\r\n1\r\n");
}

#[test]
fn pages_of_other_origins_need_permission() {
    let closed = Running::new(ServerOptions::new());
    let open = Running::new(ServerOptions::new().cors("https://app.example"));
    let content = format!("Content-Type: {UPDATE}");
    let write = |server: &Running, origin: &str| {
        let answer = server.send("POST", "/update", &[&content, &format!("Origin: {origin}")], "CLEAR ALL");
        (answer.status, answer.field("access-control-allow-origin").map(str::to_owned))
    };
    assert_eq!(write(&closed, "https://app.example"), (403, None));
    assert_eq!(write(&closed, "http://localhost"), (204, None), "the server's own page");
    assert_eq!(write(&open, "https://app.example"), (204, Some("https://app.example".into())));
    assert_eq!(write(&open, "https://evil.example").0, 403);
    let preflight = ["Origin: https://app.example", "Access-Control-Request-Method: POST"];
    let answer = open.send("OPTIONS", "/query", &preflight, "");
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(closed.send("OPTIONS", "/query", &preflight, "").field("access-control-allow-origin"), None);
}

#[test]
fn increments_over_http_are_exact() {
    let server = Running::new(ServerOptions::new());
    assert_eq!(server.update("INSERT DATA { <urn:counter> <urn:value> 0 }").status, 204);
    let increment = "DELETE { <urn:counter> <urn:value> ?n } INSERT { <urn:counter> <urn:value> ?next }
                     WHERE { <urn:counter> <urn:value> ?n BIND(?n + 1 AS ?next) }";
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut connection = server.connect();
                for _ in 0..25 {
                    connection.send(
                        "POST",
                        "/update",
                        &["Content-Type: application/sparql-update"],
                        increment,
                    );
                    assert_eq!(connection.answer("POST").status, 204);
                }
            });
        }
    });
    assert_eq!(server.query("SELECT ?n { <urn:counter> <urn:value> ?n }"), "n\r\n400\r\n");
}

#[test]
fn a_program_adds_its_gauges_and_its_report() {
    let healthy = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&healthy);
    let report = move || {
        if asked.load(Ordering::Relaxed) {
            Ok("all is well\n".to_owned())
        } else {
            Err("all is lost".to_owned())
        }
    };
    let options =
        ServerOptions::new().gauge("room_celsius", "Temperature of the room", || 21.5).health(report);
    let server = Running::new(options);
    assert_eq!(server.get("/health", &[]).body, "ok\nall is well\n");
    assert!(server.get("/metrics", &[]).body.contains("triples_room_celsius 21.5\n"));
    healthy.store(false, Ordering::Relaxed);
    let answer = server.get("/health", &[]);
    assert_eq!((answer.status, answer.body.as_str()), (503, "all is lost\n"));
}

#[test]
fn health_and_metrics_show_the_state() {
    let server = two_graphs();
    assert_eq!(server.get("/health", &[]).body, "ok\n");
    assert_eq!(server.get("/nothing", &[]).status, 404);
    let metrics = server.get("/metrics", &[]).body;
    assert!(metrics.contains("triples_quads 3\n"), "{metrics}");
    assert!(metrics.contains("triples_requests_total{route=\"/update\",method=\"POST\",status=\"204\"} 1\n"));
    assert!(metrics.contains("triples_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1\n"));
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn the_default_graph_of_rdflib_is_the_default_graph() {
    let server = two_graphs();
    let query = encode(
        "SELECT ?o { GRAPH <urn:x-rdflib:default> { { ?s ?p ?o } UNION { GRAPH ?g { ?s ?p ?o } } } } ORDER BY ?o",
    );
    let target = format!("/query?query={query}&default-graph-uri=urn%3Ax-rdflib%3Adefault");
    assert_eq!(server.get(&target, &["Accept: text/csv"]).body, "o\r\n0\r\n1\r\n2\r\n");
    let update = "INSERT DATA { GRAPH <urn:x-rdflib:default> { GRAPH <urn:a> { <urn:s> <urn:p> 3 } <urn:s> <urn:p> 4 } }";
    assert_eq!(server.update(update).status, 204);
    assert_eq!(server.query("SELECT ?o { ?s ?p ?o } ORDER BY ?o"), "o\r\n0\r\n4\r\n");
    assert_eq!(server.query("SELECT ?o { GRAPH <urn:a> { ?s ?p ?o } } ORDER BY ?o"), "o\r\n1\r\n3\r\n");
}
