//! The access log.

use crate::client::{Running, many_triples};
use std::sync::{Arc, Mutex};
use triple_store::server::ServerOptions;

#[test]
fn each_request_is_a_line_of_the_log() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&lines);
    let options =
        ServerOptions::new().token("xyzzy").access_log(move |line| log.lock().unwrap().push(line.to_owned()));
    let mut server = Running::with_store(many_triples(), options);
    let fields = ["User-Agent: a \"client\" \\", "Referer: http://example.com/"];
    let answer = server.get("/query?query=ASK%20%7B%7D", &fields);
    server.get("/nothing", &[]);
    let fields = ["Authorization: Bearer plugh", "Content-Type: application/sparql-update"];
    server.send("POST", "/update", &fields, "CLEAR ALL");
    server.get("/store", &[]);
    server.join();
    let lines = lines.lock().unwrap();
    let end = format!(
        "] \"GET /query?query=ASK%20%7B%7D HTTP/1.1\" 200 {} \"http://example.com/\" \"a \\\"client\\\" \\\\\"",
        answer.body.len()
    );
    assert!(lines[0].starts_with("127.0.0.1 - - [") && lines[0].ends_with(&end), "{}", lines[0]);
    assert!(lines[1].contains("\"GET /nothing HTTP/1.1\" 404 0 \"-\" \"-\""), "{}", lines[1]);
    assert!(lines[2].contains("\"POST /update HTTP/1.1\" 401 "), "{}", lines[2]);
    assert!(!lines[2].contains("plugh") && !lines[2].contains("CLEAR"), "{}", lines[2]);
    let sent: u64 = lines[3].split(' ').nth(9).unwrap().parse().unwrap();
    assert!(sent > 100_000, "every piece of a response counts: {}", lines[3]);
    assert_eq!(lines.len(), 4);
}
