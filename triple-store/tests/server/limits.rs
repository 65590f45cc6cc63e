//! The limits of one client, and protection of others against bad clients.

use crate::client::{ENDLESS, Running, encode, many_triples};
use std::time::Duration;
use triple_store::server::ServerOptions;

/// Short enough for a test, and long enough for a busy machine.
const SHORT: Duration = Duration::from_millis(500);

/// Waits until this many requests are running.
fn until_running(server: &Running, count: usize) {
    while !server.get("/metrics", &[]).body.contains(&format!("triples_running {count}\n")) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn bodies_have_a_limit() {
    let server = Running::new(ServerOptions::new().body_limit(100));
    let fits = format!("{:100}", "<urn:s> <urn:p> <urn:o> .");
    let target = "/store?graph=urn:g";
    assert_eq!(server.post(target, "text/turtle", &fits).status, 201);
    for (target, media_type) in [
        (target, "text/turtle"),
        (target, "application/n-triples"),
        (target, "multipart/form-data; boundary=#"),
        ("/update", "application/sparql-update"),
    ] {
        // A body with a length that is too large is answered before it is sent.
        let mut connection = server.connect();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nContent-Length: 101\r\n\r\n"
        );
        connection.write(head).unwrap();
        assert_eq!(connection.answer("POST").status, 413, "{media_type}");
        // A body without a length is read up to the limit.
        let mut connection = server.connect();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        connection.write(format!("{head}32\r\n{:50}\r\n33\r\n{:51}\r\n", "#", "#")).unwrap();
        assert_eq!(connection.answer("POST").status, 413, "{media_type}");
    }
    assert_eq!(server.store.len(), 1);
    until_running(&server, 0);
}

#[test]
fn stalled_clients_are_disconnected() {
    let pace = Duration::from_secs(2);
    let server = Running::new(ServerOptions::new().client_timeout(pace).concurrency(4));
    std::thread::scope(|scope| {
        // Nothing at all, and half a head.
        for text in ["", "GET / HTTP/1.1\r\nHost: local"] {
            let mut connection = server.connect();
            connection.write(text).unwrap();
            scope.spawn(move || assert!(connection.rest().is_empty() || !text.is_empty(), "{text:?}"));
        }
        // Half a body, of a text and of a document that is parsed while it arrives.
        for (target, media_type) in [
            ("/update", "application/sparql-update"),
            ("/store?default", "application/n-triples"),
            ("/store?default", "multipart/form-data; boundary=x"),
        ] {
            let mut connection = server.connect();
            let head = format!(
                "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nContent-Length: 50\r\n\r\n<urn:s>"
            );
            connection.write(head).unwrap();
            scope.spawn(move || {
                assert_eq!(connection.answer("POST").status, 408, "{target}");
                assert!(connection.is_closed());
            });
        }
    });
    // The client does not read the response: the sockets' buffers fill, and the connection is cut.
    let busy = Running::with_store(many_triples(), ServerOptions::new().client_timeout(pace).concurrency(1));
    let mut connection = busy.connect();
    connection.send("GET", &format!("/query?query={}", encode(ENDLESS)), &[], "");
    assert_eq!(connection.try_status(), Some(200), "it has begun");
    until_running(&busy, 0);
    until_running(&server, 0);
    assert!(server.store.is_empty());
}

#[test]
fn a_query_that_takes_too_long_is_cancelled() {
    let server = Running::with_store(many_triples(), ServerOptions::new().timeout(SHORT));
    let count = "SELECT (COUNT(*) AS ?n) WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }";
    let answer = server.get(&format!("/query?query={}", encode(count)), &[]);
    assert_eq!(answer.status, 503, "{}", answer.body);
    // The part that was sent can't be taken back, but the client sees that it is incomplete.
    let answer = server.get(&format!("/query?query={}", encode(ENDLESS)), &[]);
    assert_eq!((answer.status, answer.whole), (200, false));
    let insert = "INSERT { ?a <urn:p> ?i } WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }";
    assert_eq!(server.update(insert).status, 503);
    assert_eq!(server.store.len(), 3000, "nothing of it is kept");
    until_running(&server, 0);
}

#[test]
fn an_update_that_changes_too_much_is_refused() {
    let server = Running::with_store(many_triples(), ServerOptions::new().most_changes(1000));
    for update in ["CLEAR ALL", "INSERT { ?a <urn:p> ?i } WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }"] {
        assert_eq!(server.update(update).status, 413, "{update}");
    }
    assert_eq!(server.store.len(), 3000);
    assert_eq!(server.update("INSERT DATA { <urn:s> <urn:p> 1 }").status, 204);
}

#[test]
fn a_query_whose_client_has_gone_is_cancelled() {
    let options =
        ServerOptions::new().timeout(Duration::from_hours(1)).client_timeout(Duration::from_secs(2));
    let server = Running::with_store(many_triples(), options);
    for query in ["SELECT (COUNT(*) AS ?n) WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }", ENDLESS] {
        let mut connection = server.connect();
        connection.send("GET", &format!("/query?query={}", encode(query)), &[], "");
        while server.get("/metrics", &[]).body.contains("triples_running 0\n") {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(connection);
        until_running(&server, 0);
    }
}

#[test]
fn requests_beyond_the_slots_get_503() {
    let options = ServerOptions::new().concurrency(1).timeout(Duration::from_hours(1));
    let server = Running::with_store(many_triples(), options);
    let mut connection = server.connect();
    connection.send("GET", &format!("/query?query={}", encode(ENDLESS)), &[], "");
    until_running(&server, 1);
    let refused = server.get(&format!("/query?query={}", encode("ASK {}")), &[]);
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("1")));
    assert_eq!(server.get("/health", &[]).status, 200, "the server is alive");
    drop(connection);
    until_running(&server, 0);
    assert_eq!(server.get(&format!("/query?query={}", encode("ASK {}")), &[]).status, 200);
}

#[test]
fn deep_nesting_is_refused_and_no_stack_overflows() {
    let server = Running::new(ServerOptions::new());
    let deep = |open: &str, middle: &str, close: &str, n: usize| {
        format!("ASK {{ {}{middle}{} }}", open.repeat(n), close.repeat(n))
    };
    for (open, middle, close) in [
        ("{", "?s ?p ?o", "}"),
        ("FILTER EXISTS {", "?s ?p ?o", "}"),
        ("FILTER(1 = (", "1", "))"),
        ("?s ?p (", "1", ")"),
        ("?s ^(", "<urn:p>", ") ?o ."),
        ("FILTER(", "!".repeat(50_000).as_str(), " true)"),
        ("", &format!("FILTER(1{})", " + 1".repeat(50_000)), ""),
        ("", &format!("{{}}{}", " UNION {}".repeat(50_000)), ""),
        ("", &format!("?s <urn:p>{} ?o", "/<urn:p>".repeat(50_000)), ""),
        ("OPTIONAL {", "?s ?p ?o", "}"),
        ("{ SELECT * {", "?s ?p ?o", "} }"),
    ] {
        for n in [1, 20, 100_000] {
            let answer = server.post("/query", "application/sparql-query", &deep(open, middle, close, n));
            assert!(
                answer.status == 400 || n < 100_000 && answer.status == 200,
                "{n} {open}: {}",
                answer.status
            );
        }
    }
    assert_eq!(server.get("/health", &[]).status, 200);
}

/// The head of a request whose body is still to come.
fn head(target: &str, media_type: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n"
    )
}

const BODIES: [(&str, &str); 5] = [
    ("/query", "application/sparql-query"),
    ("/sparql", "application/x-www-form-urlencoded"),
    ("/update", "application/sparql-update"),
    ("/store?default", "text/turtle"),
    ("/store?default", "multipart/form-data; boundary=x"),
];

#[test]
fn a_body_that_is_still_arriving_holds_no_slot() {
    let server = Running::new(ServerOptions::new().concurrency(1));
    let connections = BODIES.map(|(target, media_type)| {
        let mut connection = server.connect();
        let head = head(target, media_type, 50);
        connection.write(format!("{head}Expect: 100-continue\r\n\r\n")).unwrap();
        assert_eq!(connection.answer("HEAD").status, 100, "{target} {media_type}");
        connection.write("#").unwrap();
        connection
    });
    assert_eq!(server.query("SELECT (1 AS ?n) {}"), "n\r\n1\r\n");
    drop(connections);
}

#[test]
fn a_body_must_arrive_within_the_time_limit_of_its_request() {
    let options = ServerOptions::new().timeout(SHORT).client_timeout(Duration::from_hours(1));
    let server = Running::new(options);
    for (target, media_type) in BODIES {
        let mut connection = server.connect();
        connection.write(head(target, media_type, 50) + "\r\n#").unwrap();
        assert_eq!(connection.answer("POST").status, 408, "{target} {media_type}");
    }
}

#[test]
fn a_write_without_the_token_is_refused_before_its_body() {
    let server = Running::new(ServerOptions::new().token("xyzzy"));
    for (target, media_type) in [
        ("/update", "application/sparql-update"),
        ("/update", "application/x-www-form-urlencoded"),
        ("/sparql", "application/sparql-update"),
        ("/store?default", "text/turtle"),
    ] {
        let mut connection = server.connect();
        let head = head(target, media_type, 1 << 20);
        connection.write(format!("{head}Expect: 100-continue\r\n\r\n")).unwrap();
        assert_eq!(connection.answer("POST").status, 401, "{target} {media_type}");
    }
}

#[test]
fn memory_of_queries_and_bodies_is_bounded() {
    let server = Running::with_store(many_triples(), ServerOptions::new().query_memory(8 << 20));
    let double = |n| format!("BIND(CONCAT(?x{n}, ?x{n}) AS ?x{}) ", n + 1);
    let doubled: String = (0..34).map(double).collect();
    let sorted = "SELECT * WHERE { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i } ORDER BY ?c";
    for query in [&format!("ASK {{ BIND('long' AS ?x0) {doubled} }}"), sorted] {
        let answer = server.post("/query", "application/sparql-query", query);
        assert_eq!(answer.status, 413, "{query}: {}", answer.body);
        assert!(answer.body.contains("bytes of memory"), "{}", answer.body);
    }
    let insert =
        "INSERT { ?a <urn:q> ?i } WHERE { { SELECT * { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i } ORDER BY ?c } }";
    assert_eq!(server.update(insert).status, 413);
    let mut connection = server.connect();
    connection.write(head("/query", "application/sparql-query", 5 << 20) + "\r\n").unwrap();
    assert_eq!(connection.answer("POST").status, 413);
    // All memory is free again.
    let fits = format!("ASK {{}} # {}", "x".repeat(3 << 20));
    for _ in 0..5 {
        assert_eq!(server.post("/query", "application/sparql-query", &fits).status, 200);
    }
}

#[test]
fn a_document_has_no_more_quads_than_an_update_may_change() {
    let server = Running::new(ServerOptions::new().most_changes(10));
    let list = format!("<urn:s> <urn:p> ({} ) .", " 1".repeat(100));
    let line = |n| format!("<urn:s> <urn:p> <urn:{n}> .\n");
    let lines: String = (0..11).map(line).collect();
    for (media_type, body) in
        [("text/turtle", &list), ("application/n-triples", &lines), ("text/turtle", &lines)]
    {
        assert_eq!(server.post("/store?default", media_type, body).status, 413, "{media_type}");
    }
    assert!(server.store.is_empty());
    assert_eq!(server.post("/store?default", "text/turtle", "<urn:s> <urn:p> 1, 2, 3 .").status, 204);
}

#[test]
fn hostile_documents_are_refused() {
    let server = Running::new(ServerOptions::new().timeout(Duration::from_hours(1)));
    let rdf = "xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'";
    let twice = |n| format!("<!ENTITY e{n} \"&e{0};&e{0};\">", n - 1);
    let entities: String = (1..40).map(twice).collect();
    let bomb = format!(
        "<!DOCTYPE r [<!ENTITY e0 \"long\">{entities}]><r:RDF {rdf}><r:Description><p xmlns='urn:'>&e39;</p></r:Description></r:RDF>"
    );
    let (xml, json, long) = ("application/rdf+xml", "application/ld+json", "x".repeat(17 << 20));
    for (media_type, body, status) in [
        (xml, bomb, 400),
        (xml, format!("<r:RDF {rdf}>{}", "<r:Bag><r:li>".repeat(10_000)), 400),
        (xml, format!("<r:RDF {rdf}><r:Bag><r:li>1</r:li></r:Bag>"), 400),
        (json, "{\"urn:p\":".repeat(4000) + &"}".repeat(4000), 400),
        (json, "[".repeat(4000) + &"]".repeat(4000), 400),
        ("text/turtle", format!("<urn:s> <urn:p> \"{long}\" ."), 413),
        ("application/n-triples", format!("<urn:s> <urn:p> \"{long}\" .\n"), 413),
        (xml, format!("<r:RDF {rdf}><r:Bag><r:li>{long}</r:li></r:Bag></r:RDF>"), 413),
    ] {
        let answer = server.post("/store?default", media_type, &body);
        assert_eq!(answer.status, status, "{}: {}", &body[..body.len().min(100)], answer.body);
        assert!(server.store.is_empty());
    }
    let insert = format!("INSERT DATA {{ <urn:s> <urn:p> \"{long}\" }}");
    assert_eq!(server.update(&insert).status, 413);
    assert!(server.store.is_empty());
}

#[test]
fn data_does_not_count_as_nesting() {
    let server = Running::new(ServerOptions::new());
    let triple = |i| format!("<urn:s/a/b> <urn:p> -{i}, \"{{((\" .\n");
    let triples: String = (0..50_000).map(triple).collect();
    assert_eq!(server.update(&format!("INSERT DATA {{ {triples} }}")).status, 204);
    assert_eq!(server.store.len(), 50_001);
    let row = |i| format!("({i} -{i})");
    let rows: String = (0..20_000).map(row).collect();
    let count = server.query(&format!("SELECT (COUNT(*) AS ?n) {{ VALUES (?a ?b) {{ {rows} }} }}"));
    assert_eq!(count, "n\r\n20000\r\n");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Running::new(ServerOptions::new());
    let mut connection = server.connect();
    for n in 0..20 {
        let query = encode(&format!("SELECT ({n} AS ?n) {{}}"));
        connection.send("GET", &format!("/query?query={query}"), &["Accept: text/csv"], "");
    }
    for n in 0..20 {
        assert_eq!(connection.answer("GET").body, format!("n\r\n{n}\r\n"));
    }
}

#[test]
fn invalid_http_ends_only_its_connection() {
    let server = Running::new(ServerOptions::new());
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    let fields = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(10_000));
    for bytes in [
        &b"\0\xff\x80"[..],
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /query?query=\xff\xfe HTTP/1.1\r\n\r\n",
        b"POST /query HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /query HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /query HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        long.as_bytes(),
        fields.as_bytes(),
    ] {
        let mut connection = server.connect();
        // The server may close the connection before it has read everything.
        let _ = connection.write(bytes);
        connection.finish();
        let status = connection.rest().split(' ').nth(1).map(|status| status.parse::<u16>().unwrap());
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{bytes:?}: {status:?}");
    }
    assert_eq!(server.get("/health", &[]).status, 200);
}
