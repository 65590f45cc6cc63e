//! Bodies that are compressed, in both directions.

use crate::client::{ENDLESS, Running, encode, many_triples};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::time::Duration;
use triple_store::server::ServerOptions;

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn answers_are_compressed_on_request() {
    let server = Running::with_store(many_triples(), ServerOptions::new());
    let target = format!("/query?query={}", encode("SELECT * { ?s ?p ?o } ORDER BY ?s"));
    let plain = server.get(&target, &["Accept: text/csv"]);
    assert_eq!(plain.field("content-encoding"), None);
    for (accepted, coding) in [
        ("gzip", Some("gzip")),
        ("br, gzip;q=0.5", Some("gzip")),
        ("gzip;q=1.0", Some("gzip")),
        ("gzip;q=0", None),
    ] {
        let answer = server.get(&target, &["Accept: text/csv", &format!("Accept-Encoding: {accepted}")]);
        assert_eq!(answer.field("content-encoding"), coding, "{accepted}");
        assert!(answer.whole && answer.body == plain.body, "{accepted}");
        assert!(answer.field("vary").unwrap().to_lowercase().contains("accept-encoding"));
    }
    let page = server.get("/page.js", &["Accept-Encoding: gzip"]);
    assert_eq!((page.status, page.field("content-encoding")), (200, Some("gzip")));
}

#[test]
fn a_truncated_compressed_answer_is_detected() {
    let options = ServerOptions::new().timeout(Duration::from_millis(500));
    let server = Running::with_store(many_triples(), options);
    let answer = server.get(&format!("/query?query={}", encode(ENDLESS)), &["Accept-Encoding: gzip"]);
    assert_eq!((answer.status, answer.field("content-encoding"), answer.whole), (200, Some("gzip"), false));
}

#[test]
fn requests_may_be_compressed() {
    let server = Running::new(ServerOptions::new());
    let gzip = "Content-Encoding: gzip";
    let two = [packed(b"<urn:s> <urn:p> 1 .\n"), packed(b"<urn:s> <urn:p> 2 .\n")].concat();
    for (target, media_type, body, status) in [
        ("/store?graph=urn:g", "text/turtle", two, 201),
        ("/update", "application/sparql-update", packed(b"INSERT DATA { <urn:s> <urn:p> 3 }"), 204),
        ("/query", "application/sparql-query", packed(b"ASK {}"), 200),
        ("/query", "application/x-www-form-urlencoded", packed(b"query=ASK+%7B%7D"), 200),
        ("/query", "application/sparql-query", b"ASK {}".to_vec(), 400),
        ("/query", "application/sparql-query", packed(b"ASK {}")[..15].to_vec(), 400),
    ] {
        let answer = server.send("POST", target, &[gzip, &format!("Content-Type: {media_type}")], body);
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
    }
    assert_eq!(server.store.len(), 3);
    let fields = ["Content-Encoding: br", "Content-Type: application/sparql-query"];
    let refused = server.send("POST", "/query", &fields, "ASK {}");
    assert_eq!((refused.status, refused.field("accept-encoding")), (415, Some("gzip")));
}

#[test]
fn the_limit_applies_to_the_decompressed_size() {
    let server = Running::new(ServerOptions::new().body_limit(1 << 20));
    // 256 MiB of white space.
    let bomb = packed(&vec![b' '; 256 << 20]);
    assert!(bomb.len() < 1 << 19, "its compressed size is below the limit");
    for (target, media_type) in [
        ("/query", "application/sparql-query"),
        ("/update", "application/sparql-update"),
        ("/store?default", "text/turtle"),
        ("/store?default", "application/n-triples"),
    ] {
        let fields = ["Content-Encoding: gzip", &format!("Content-Type: {media_type}")];
        let mut connection = server.connect();
        // The server may close the connection before it has read everything.
        let _ = connection.try_send("POST", target, &fields, &bomb);
        assert_eq!(connection.try_status(), Some(413), "{target} {media_type}");
    }
    let fits = packed(["ASK {}", &" ".repeat(1_000_000)].concat().as_bytes());
    let fields = ["Content-Encoding: gzip", "Content-Type: application/sparql-query"];
    assert_eq!(server.send("POST", "/query", &fields, fits).status, 200);
}
