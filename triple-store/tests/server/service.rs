//! `SERVICE` and `LOAD` between two servers.
#![cfg(feature = "client")]

use crate::client::{Running, encode};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;
use triple_store::server::ServerOptions;
use triple_store::{HttpClient, TripleStore};

const QUERY: &str = "application/sparql-query";

/// A server that may send requests to the one at this address.
fn beside(other: SocketAddr) -> Running {
    let client =
        HttpClient::new().only([other.to_string().parse().unwrap()]).timeout(Duration::from_secs(20));
    Running::with_store(TripleStore::in_memory(), ServerOptions::new().remote(client))
}

/// A server that sends this answer to any request, and closes the connection.
fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The connection is not used for another request.
    let answer = answer.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                let field = line.to_ascii_lowercase();
                length = field.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
                line.clear();
            }
            let _ = std::io::copy(&mut std::io::Read::take(&mut stream, length), &mut std::io::sink());
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn an_endpoint_gets_the_bindings_of_the_other_patterns() {
    let other = Running::new(ServerOptions::new());
    let row = |i| format!("<urn:{i}> <urn:name> \"name {i}\" .\n");
    let names: String = (0..1000).map(row).collect();
    assert_eq!(other.post("/store?default", "text/turtle", &names).status, 204);
    let server = beside(other.address);
    let known = |i| format!("<urn:me> <urn:knows> <urn:{}> .\n", i * 3);
    let wanted: String = (0..250).map(known).collect();
    assert_eq!(server.post("/store?default", "text/turtle", &wanted).status, 204);
    let service = format!("SERVICE <http://{}/query>", other.address);
    let count = format!(
        "SELECT (COUNT(?n) AS ?c) (MAX(?n) AS ?m) {{ <urn:me> <urn:knows> ?s {service} {{ ?s <urn:name> ?n }} }}"
    );
    assert_eq!(server.query(&count), "c,m\r\n250,name 99\r\n");
    let metrics = other.get("/metrics", &[]).body;
    let asked = "triples_requests_total{route=\"/query\",method=\"POST\",status=\"200\"} 3\n";
    assert!(metrics.contains(asked), "in three batches: {metrics}");

    let insert = format!("INSERT {{ ?s <urn:copied> ?n }} WHERE {{ {service} {{ ?s <urn:name> ?n }} }}");
    assert_eq!(server.update(&insert).status, 204);
    assert_eq!(server.store.len(), 1250);
    let load = format!("LOAD <http://{}/store?default> INTO GRAPH <urn:g>", other.address);
    assert_eq!(server.update(&load).status, 204);
    assert_eq!(server.query("SELECT (COUNT(*) AS ?c) { GRAPH <urn:g> { ?s ?p ?o } }"), "c\r\n1000\r\n");
}

#[test]
fn requests_to_other_hosts_are_refused() {
    let other = Running::new(ServerOptions::new());
    let closed = Running::new(ServerOptions::new());
    let elsewhere = beside("127.0.0.1:9".parse().unwrap());
    let ask = format!("ASK {{ SERVICE <http://{}/query> {{ }} }}", other.address);
    let load = format!("LOAD <http://{}/store>", other.address);
    for (server, status) in [(&closed, 400), (&elsewhere, 403)] {
        assert_eq!(server.post("/query", QUERY, &ask).status, status);
        assert_eq!(server.update(&load).status, status);
        let silent = ask.replace("SERVICE", "SERVICE SILENT");
        assert_eq!(server.post("/query", QUERY, &silent).status, 200);
        assert_eq!(server.update(&load.replace("LOAD", "LOAD SILENT")).status, 204);
    }
    for iri in ["file:///etc/passwd", "ftp://127.0.0.1:9/"] {
        assert_eq!(elsewhere.update(&format!("LOAD <{iri}>")).status, 403, "{iri}");
    }
    let metrics = other.get("/metrics", &[]).body;
    assert!(!metrics.contains("route=\"/query\"") && !metrics.contains("route=\"/store\""), "{metrics}");
}

#[test]
fn answers_of_endpoints_are_not_trusted() {
    for (answer, expected) in [
        ("", "502"),
        (
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nout\nof it",
            "500 Internal Server Error: out",
        ),
        ("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "not followed"),
        ("HTTP/1.1 307 Round\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", "more than 5 times"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
            "not a syntax of results",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/sparql-results+json\r\nContent-Length: 9\r\n\r\n{\"head\":{",
            "502",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/sparql-results+json\r\nContent-Length: 27\r\n\r\n{\"head\":{},\"boolean\":false}",
            "a boolean",
        ),
    ] {
        let address = answering(answer);
        let server = beside(address);
        let ask = format!("SELECT * {{ SERVICE <http://{address}/> {{ ?s ?p ?o }} }}");
        let failed = server.post("/query", QUERY, &ask);
        assert_eq!(failed.status, 502, "{answer}: {}", failed.body);
        assert!(expected == "502" || failed.body.contains(expected), "{answer}: {}", failed.body);
        let silent = format!("/query?query={}", encode(&ask.replace("SERVICE", "SERVICE SILENT")));
        assert_eq!(server.get(&silent, &["Accept: text/csv"]).status, 200);
        let load = server.update(&format!("LOAD <http://{address}/>"));
        assert!(load.status == 502 || load.status == 400, "{answer}: {}", load.body);
        assert!(server.store.is_empty());
    }
}

#[test]
fn an_answer_that_is_too_long_or_too_slow_is_an_error() {
    let other = Running::with_store(crate::client::many_triples(), ServerOptions::new());
    let address = other.address.to_string();
    let client = HttpClient::new().only([address.parse().unwrap()]).limit(1000);
    let server = Running::with_store(TripleStore::in_memory(), ServerOptions::new().remote(client));
    let ask = format!("SELECT * {{ SERVICE <http://{address}/query> {{ ?s ?p ?o }} }}");
    let few = ask.replace("?s ?p ?o", "SELECT * { ?s ?p ?o } LIMIT 3");
    assert_eq!(server.post("/query", QUERY, &ask).status, 502);
    assert_eq!(server.post("/query", QUERY, &few).status, 200);
    assert_eq!(server.update(&format!("LOAD <http://{address}/store?default>")).status, 502);

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let client = HttpClient::new().timeout(Duration::from_millis(300));
    let server = Running::with_store(TripleStore::in_memory(), ServerOptions::new().remote(client));
    let ask = format!("SELECT * {{ SERVICE <http://{address}/query> {{ ?s ?p ?o }} }}");
    assert_eq!(server.post("/query", QUERY, &ask).status, 502);
}
