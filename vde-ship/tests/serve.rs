//! The command `triples-ship`: a server whose store is shipped, and a replica of it.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use triple_store::TripleStore;
use vde_ship::{Bucket, Point};

struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn new(dir: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_triples-ship"));
        command.current_dir(dir).arg("serve").args(arguments).args(["--bind", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap_or_else(|| panic!("{line}"));
        Self { child, address: address.trim().trim_end_matches('/').to_owned() }
    }

    /// The whole answer to a request.
    fn send(&self, method: &str, target: &str, media_type: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: text/csv, */*;q=0.1\r\n\
             Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, target: &str) -> String {
        self.send("GET", target, "text/plain", "")
    }

    fn insert(&self, from: u32, until: u32) {
        for n in from..until {
            let update = format!("INSERT DATA {{ <urn:s> <urn:p> {n} }}");
            let answer = self.send("POST", "/update", "application/sparql-update", &update);
            assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        }
    }

    /// The number of quads.
    fn count(&self) -> u32 {
        let count = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }";
        let answer = self.send("POST", "/query", "application/sparql-query", count);
        let number = answer.lines().filter_map(|line| line.trim().parse().ok()).next_back();
        number.unwrap_or_else(|| panic!("{answer}"))
    }

    fn end(mut self, signal: &str) -> Option<i32> {
        let script = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of a new store in a new folder, which is shipped. Returns also where to.
fn shipped(arguments: &[&str]) -> (TempDir, String, Process) {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}", dir.path().join("shipped").display());
    let server = Process::new(dir.path(), &[&["store.vde", "--ship", &url], arguments].concat());
    (dir, url, server)
}

fn restore(url: &str, path: &Path, point: Point) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { vde_ship::restore(&Bucket::open(url)?, path, point).await }).unwrap();
}

fn until(mut is_done: impl FnMut() -> bool) {
    while !is_done() {
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_ships_what_it_writes_and_a_replica_serves_it() {
    let (dir, url, writer) = shipped(&[]);
    writer.insert(0, 5);
    until(|| writer.get("/health").contains("not shipped: 0 writes, 0 bytes, 0.0 s\n"));
    let metrics = writer.get("/metrics");
    assert!(metrics.contains("triples_ship_lag_bytes 0.0\n"), "{metrics}");
    assert!(metrics.contains("triples_ship_lag_seconds 0.0\n"), "{metrics}");

    let replica = Process::new(dir.path(), &["replica.vde", "--follow", &url, "--read-only"]);
    assert_eq!(replica.count(), 5);
    let earlier = SystemTime::now();
    writer.insert(5, 8);
    until(|| replica.count() == 8);
    let refused = replica.send("POST", "/update", "application/sparql-update", "CLEAR ALL");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let health = replica.get("/health");
    assert!(health.contains("ok\nversion ") && health.contains(" s behind\n"), "{health}");
    assert!(replica.get("/metrics").contains("triples_follow_lag_seconds "));

    // The server is killed, and its disk is lost.
    writer.insert(8, 10);
    assert_eq!(writer.end("KILL"), None);
    std::fs::remove_file(dir.path().join("store.vde")).unwrap();
    let path = dir.path().join("restored.vde");
    restore(&url, &path, Point::Newest);
    let store = TripleStore::open(&path).unwrap();
    let quads: Vec<_> = store.quads_for_pattern(None, None, None, None).map(|quad| quad.unwrap()).collect();
    assert!((8..=10).contains(&quads.len()), "{quads:?}");
    let has = |n: u32| quads.iter().any(|quad| quad.object.to_string().starts_with(&format!("\"{n}\"")));
    assert!((0..quads.len() as u32).all(has), "it has the first writes: {quads:?}");

    // The replica still answers.
    assert!(replica.count() >= 8);
    drop(store);

    // Another store takes over, from an earlier point. Its commits have the numbers of other ones.
    let path = dir.path().join("earlier.vde");
    restore(&url, &path, Point::Time(earlier));
    let writer = Process::new(dir.path(), &["earlier.vde", "--ship", &url]);
    assert_eq!(writer.count(), 5);
    writer.insert(100, 102);
    until(|| replica.count() == 7);
    assert_eq!(replica.end("TERM"), Some(0));
}

#[test]
fn a_server_that_waits_answers_only_what_is_shipped() {
    let (dir, url, writer) = shipped(&["--ship-wait"]);
    writer.insert(0, 3);
    let path = dir.path().join("restored.vde");
    restore(&url, &path, Point::Newest);
    assert_eq!(TripleStore::open(&path).unwrap().len(), 3);

    // Another server takes over.
    let other = Process::new(dir.path(), &["restored.vde", "--ship", &url, "--ship-wait"]);
    let update = "INSERT DATA { <urn:s> <urn:p> 9 }";
    let refused = writer.send("POST", "/update", "application/sparql-update", update);
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("not shipped"), "{refused}");
    let health = writer.get("/health");
    assert!(health.starts_with("HTTP/1.1 503 "), "{health}");
    assert_eq!(writer.count(), 3, "what is not shipped is not seen");
    other.insert(3, 4);
    assert_eq!(other.count(), 4);
}

#[test]
fn a_server_ships_the_rest_before_it_stops() {
    let (dir, url, writer) = shipped(&[]);
    writer.insert(0, 3);
    assert_eq!(writer.end("TERM"), Some(0));
    let replica = Process::new(dir.path(), &["replica.vde", "--follow", &url, "--read-only"]);
    until(|| replica.count() == 3);
}
