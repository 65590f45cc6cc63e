//! Checks of every request, and header fields of every answer.

use crate::client::{Answer, Connection, ENDLESS, Running, encode, many_triples};
use std::time::Duration;
use triple_store::TripleStore;
use triple_store::server::{Server, ServerOptions};

/// The answer to a request with these fields and no others.
fn answer(server: &Running, target: &str, fields: &[&str]) -> Answer {
    let mut connection = server.connect();
    let line = |field: &&str| format!("{field}\r\n");
    let fields: String = fields.iter().map(line).collect();
    connection.write(format!("GET {target} HTTP/1.1\r\n{fields}\r\n")).unwrap();
    connection.answer("GET")
}

#[test]
fn a_request_names_this_server() {
    let server = Running::new(ServerOptions::new().allow_host("data.example"));
    for (fields, status) in [
        (&["Host: localhost"][..], 200),
        (&["Host: LOCALHOST:7878"], 200),
        (&["Host: 127.0.0.1:7878"], 200),
        (&["Host: [::1]:7878"], 200),
        (&["Host: data.example"], 200),
        (&["Host: Data.Example:443"], 200),
        (&["Host: evil.example"], 421),
        (&["Host: localhost.evil.example"], 421),
        (&["Host: data.example.evil.example"], 421),
        (&["Host: 192.168.0.1"], 421),
        (&[], 400),
        (&["Host: "], 400),
        (&["Host: a b"], 400),
        (&["Host: user@localhost"], 400),
        (&["Host: localhost", "Host: localhost"], 400),
        (&["Host: localhost", "Host: evil.example"], 400),
    ] {
        for target in ["/health", "/store", "/query?query=ASK%7B%7D", "/"] {
            assert_eq!(answer(&server, target, fields).status, status, "{target} {fields:?}");
        }
    }
    let absolute = answer(&server, "http://evil.example/health", &["Host: localhost"]);
    assert_eq!(absolute.status, 421);
}

#[test]
fn reads_may_require_the_token() {
    let server = Running::new(ServerOptions::new().token("xyzzy").token_for_reads(true));
    let query = "/query?query=ASK%7B%7D";
    for target in [query, "/store", "/metrics", "/", "/prefixes"] {
        assert_eq!(server.get(target, &[]).status, 401, "{target}");
        assert_eq!(server.get(target, &["Authorization: Bearer plugh"]).status, 401, "{target}");
        assert_eq!(server.get(target, &["Authorization: Bearer xyzzy"]).status, 200, "{target}");
    }
    assert_eq!(server.get("/health", &[]).status, 200);
}

#[test]
fn answers_have_the_headers_vary_and_nosniff() {
    let server = Running::new(ServerOptions::new());
    for target in ["/query?query=ASK%7B%7D", "/store", "/health", "/", "/nowhere", "/store?oops"] {
        let answer = server.get(target, &[]);
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{target}");
        assert!(answer.field("vary").is_some_and(|vary| vary.contains("accept")), "{target}");
    }
}

#[test]
fn unsupported_codings_are_refused() {
    let server = Running::new(ServerOptions::new());
    for (fields, status) in [
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Content-Encoding: gzip\r\nContent-Encoding: br\r\nContent-Length: 0", 415),
        ("Content-Encoding: gzip, gzip\r\nContent-Length: 0", 415),
        ("Content-Encoding: identity\r\nContent-Encoding: br\r\nContent-Length: 0", 415),
    ] {
        let mut connection = server.connect();
        let head = "POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sparql-query\r\n";
        connection.write(format!("{head}{fields}\r\n\r\n")).unwrap();
        assert_eq!(connection.answer("POST").status, status, "{fields}");
    }
}

#[test]
fn a_client_that_sends_nothing_more_gets_its_answer() {
    let server = Running::new(ServerOptions::new().client_timeout(Duration::from_hours(1)));
    for n in 0..20 {
        let mut connection = server.connect();
        let query = encode(&format!("SELECT ({n} AS ?n) {{}}"));
        connection.send("GET", &format!("/query?query={query}"), &["Accept: text/csv"], "");
        connection.finish();
        assert_eq!(connection.answer("GET").body, format!("n\r\n{n}\r\n"));
    }
}

#[test]
fn idle_connections_do_not_block_new_ones() {
    let server = Running::new(ServerOptions::new().connections(4));
    let mut idle: Vec<_> = (0..8).map(|_| server.connect()).collect();
    // Each request opens one more connection.
    for _ in 0..8 {
        assert_eq!(server.get("/health", &[]).status, 200);
    }
    assert!(idle[0].is_closed(), "the connection that was idle for longest");
}

#[test]
fn while_all_connections_are_busy_only_health_is_answered() {
    let options = ServerOptions::new().connections(2).timeout(Duration::from_hours(1));
    let server = Running::with_store(many_triples(), options);
    let busy: Vec<Connection> = (0..2)
        .map(|n| {
            let mut connection = server.connect();
            connection.send("GET", &format!("/query?query={}", encode(ENDLESS)), &[], "");
            assert_eq!(connection.try_status(), Some(200), "{n}");
            connection
        })
        .collect();
    assert_eq!(server.get("/health", &[]).status, 200);
    assert_eq!(server.get("/query?query=ASK%7B%7D", &[]).status, 503);
    drop(busy);
}

#[test]
fn invalid_options_are_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bound = |options| {
        let address = "127.0.0.1:0".parse().unwrap();
        runtime.block_on(Server::bind(TripleStore::in_memory(), address, options)).map(drop)
    };
    let new = ServerOptions::new;
    for options in [
        new().timeout(Duration::ZERO),
        new().client_timeout(Duration::ZERO),
        new().token_for_reads(true),
        new().cors(""),
        new().cors("example.com"),
        new().cors("https://example.com/"),
        new().cors("https://example.com/path"),
        new().cors("https://*.example.com"),
        new().cors("https://user@example.com"),
        new().cors("ftp://example.com"),
        new().cors("null"),
    ] {
        assert!(bound(options.clone()).is_err(), "{options:?}");
    }
    for options in
        [new(), new().cors("*"), new().cors("http://localhost:3000"), new().cors("https://example.com")]
    {
        assert!(bound(options.clone()).is_ok(), "{options:?}");
    }
}
