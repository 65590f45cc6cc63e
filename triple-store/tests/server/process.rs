//! `triples serve` as a process: its signals, its files and threads.
#![cfg(all(unix, feature = "cli"))]

use crate::client::{Connection, ENDLESS, encode};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn new(dir: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_triples"));
        command.current_dir(dir).args(["serve", "store.vde", "--bind", "127.0.0.1:0"]).args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap_or_else(|| panic!("{line}"));
        Self { child, address: address.trim().trim_end_matches('/').parse().unwrap() }
    }

    fn connect(&self) -> Connection {
        Connection::new(self.address)
    }

    fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// What `/proc` counts for the process.
    #[cfg(target_os = "linux")]
    fn count(&self, what: &str) -> usize {
        std::fs::read_dir(format!("/proc/{}/{what}", self.child.id())).unwrap().count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn triples(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_triples")).current_dir(dir).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn acknowledged_writes_survive_a_signal() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Process::new(dir.path(), &[]);
        let acknowledged = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|worker| {
                    let (server, acknowledged) = (&server, &acknowledged);
                    scope.spawn(move || {
                        for n in 0.. {
                            let mut connection = Connection::try_new(server.address)?;
                            let insert = format!("INSERT DATA {{ <urn:{worker}> <urn:p> {n} }}");
                            let fields = ["Content-Type: application/sparql-update"];
                            connection.try_send("POST", "/update", &fields, &insert)?;
                            // A request that has begun is answered. For one that has not, the connection is closed.
                            match connection.try_status()? {
                                204 => acknowledged.fetch_add(1, Ordering::Relaxed),
                                status => panic!("{status}"),
                            };
                        }
                        None::<()>
                    })
                })
                .collect();
            while acknowledged.load(Ordering::Relaxed) < 50 {
                std::thread::sleep(Duration::from_millis(1));
            }
            server.signal(signal);
            for worker in workers {
                assert_eq!(worker.join().unwrap(), None);
            }
        });
        assert!(server.child.wait().unwrap().success(), "SIG{signal}");
        let (_, out, _) =
            triples(dir.path(), &["query", "store.vde", "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"]);
        let found: u64 = out.lines().nth(1).unwrap().parse().unwrap();
        // Up to eight more writes may have been committed whose answers were not read.
        let acknowledged = acknowledged.into_inner();
        assert!((acknowledged..=acknowledged + 8).contains(&found), "{acknowledged} {found}");
        assert!(triples(dir.path(), &["verify", "store.vde"]).1.contains("0 problems"));
    }
}

#[test]
fn a_request_that_was_begun_is_finished_after_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::new(dir.path(), &[]);
    let mut idle = server.connect();
    idle.send("GET", "/health", &[], "");
    assert_eq!(idle.answer("GET").status, 200);
    let mut busy = server.connect();
    let body = "INSERT DATA { <urn:s> <urn:p> 1 }";
    let length = body.len();
    let head = "POST /update HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sparql-update\r\n";
    busy.write(format!("{head}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n")).unwrap();
    assert_eq!(busy.answer("HEAD").status, 100, "the server has the head");
    busy.write(&body[..5]).unwrap();
    server.signal("TERM");
    assert!(idle.is_closed(), "an idle connection is closed at once");
    assert!(server.child.try_wait().unwrap().is_none(), "it waits for the request");
    busy.write(&body[5..]).unwrap();
    assert_eq!(busy.answer("POST").status, 204);
    assert!(server.child.wait().unwrap().success());
    let (_, out, _) = triples(dir.path(), &["query", "store.vde", "SELECT * { <urn:s> ?p ?o }"]);
    assert_eq!(out.lines().count(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn bad_clients_leave_no_files_and_no_threads_behind() {
    let dir = tempfile::tempdir().unwrap();
    let triple =
        |i| format!("<http://example.com/s{i}> <http://example.com/p> <http://example.com/o{i}> .\n");
    std::fs::write(dir.path().join("many.nt"), (0..3000).map(triple).collect::<String>()).unwrap();
    assert_eq!(triples(dir.path(), &["load", "-q", "store.vde", "many.nt"]).0, Some(0));
    let server = Process::new(dir.path(), &["--concurrency", "4", "--client-timeout", "1", "--timeout", "1"]);
    let endless = format!("/query?query={}", encode(ENDLESS));
    let round = || {
        for n in 0..60 {
            let mut connection = server.connect();
            match n % 4 {
                0 => connection.send("GET", &endless, &[], ""),
                1 => connection.write("POST /store?default HTTP/1.1\r\nContent-Type: text/turtle\r\nContent-Length: 9\r\n\r\n<").unwrap(),
                2 => connection.write("GET / HT").unwrap(),
                _ => connection.send("POST", "/update", &["Content-Type: application/sparql-update"], "oops"),
            }
        }
    };
    let started = server.count("fd");
    for _ in 0..4 {
        round();
        // The clients have dropped their connections. The server must close them within one minute.
        let deadline = Instant::now() + Duration::from_mins(1);
        while server.count("fd") > started {
            assert!(Instant::now() < deadline, "{started} files at first, now {}", server.count("fd"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // Threads for blocking work stay for some time, one for each slot. The others belong to the runtime and the
    // store.
    let threads = server.count("task");
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(threads <= 4 + 2 * cores + 4, "{threads} threads");
}

#[test]
fn other_addresses_require_a_token_or_read_only() {
    let dir = tempfile::tempdir().unwrap();
    let serve =
        |more: &[&str]| triples(dir.path(), &[&["serve", "store.vde", "--bind", "0.0.0.0:0"], more].concat());
    let (code, _, message) = serve(&[]);
    assert_eq!(code, Some(2));
    assert!(message.contains("without a token"), "{message}");
    std::fs::write(dir.path().join("token"), " \n").unwrap();
    let (code, _, message) = serve(&["--token-file", "token"]);
    assert_eq!(code, Some(2), "an empty token guards nothing: {message}");
    assert_eq!(serve(&["--token-file", "missing"]).0, Some(1));
    assert_eq!(serve(&["--timeout", "-1"]).0, Some(2));
    assert_eq!(serve(&["--concurrency", "0"]).0, Some(2));
}

#[test]
fn the_token_is_read_from_its_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "xyzzy\n").unwrap();
    let server = Process::new(dir.path(), &["--token-file", "token"]);
    for (token, expected) in [("xyzzy", 204), ("plugh", 401)] {
        let mut connection = server.connect();
        let fields = ["Content-Type: application/sparql-update", &format!("Authorization: Bearer {token}")];
        connection.send("POST", "/update", &fields, "CLEAR ALL");
        assert_eq!(connection.answer("POST").status, expected);
    }
}

/// A store that a server has open is reached by the server's address in place of the file.
#[test]
fn commands_work_on_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("token", "secret\n");
    write("a.ttl", "<urn:s> <urn:p> 1, 02 .");
    write("b.nq", "<urn:s> <urn:p> \"3\" <urn:g/%C3%A4> .\n");
    write("bad.nt", "<urn:s> <urn:p> oops .\n");
    let server = Process::new(dir.path(), &["--token-file", "token"]);
    let address = format!("http://{}/", server.address);
    let run =
        |command: &str, arguments: &[&str]| triples(dir.path(), &[&[command, &address], arguments].concat());
    let ok = |command: &str, arguments: &[&str]| {
        let (code, out, error) = run(command, arguments);
        assert_eq!(code, Some(0), "{command} {arguments:?}: {error}");
        out
    };
    let token = ["--token-file", "token"];
    ok("load", &[&["a.ttl", "b.nq"][..], &token].concat());
    let count = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }";
    assert_eq!(ok("query", &[count, "-f", "csv"]), "n\r\n2\r\n");
    assert!(ok("query", &[count, "--explain"]).contains("\"plan\""));
    assert_eq!(ok("query", &["CONSTRUCT WHERE { ?s ?p 02 }"]).lines().count(), 1);
    ok(
        "update",
        &[&["DELETE DATA { <s> <p> 9 . <urn:s> <urn:p> 1 }", "--base", "urn:base"][..], &token].concat(),
    );
    assert_eq!(ok("dump", &[]).lines().count(), 2);
    assert_eq!(ok("dump", &["-f", "nt", "--graph", "urn:g/%C3%A4"]), "<urn:s> <urn:p> \"3\" .\n");
    assert_eq!(ok("dump", &["-f", "nt", "--graph", "default"]).lines().count(), 1);

    let fails = |command: &str, arguments: &[&str], wanted: i32, says: &str| {
        let (code, out, error) = run(command, arguments);
        assert_eq!((code, &*out), (Some(wanted), ""), "{command} {arguments:?}: {error}");
        assert!(error.contains(says), "{command} {arguments:?}: {error}");
    };
    fails("update", &["CLEAR ALL"], 1, "401");
    fails("query", &["SELECT"], 1, "400");
    fails("load", &[&["bad.nt"][..], &token].concat(), 1, "body:1:");
    fails("load", &["a.ttl", "--keep-partial"], 2, "--keep-partial with the address of a server");
    fails("query", &[count, "--union"], 2, "--union with the address of a server");
    assert_eq!(ok("dump", &[]).lines().count(), 2, "the failed commands stored nothing");
    drop(server);
    fails("query", &[count], 1, "refused");
}

/// If the server closes the connection, the command fails. The system may report a broken pipe, which must not count as
/// a closed standard output.
#[test]
fn a_closed_connection_makes_a_command_fail() {
    let dir = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::fs::write(dir.path().join("big.nt"), "<urn:s> <urn:p> <urn:o> .\n".repeat(400_000)).unwrap();
    for (command, answer) in [
        (["load", "-q", &address, "big.nt"].as_slice(), "HTTP/1.1 100 Continue\r\n\r\n"),
        (&["update", &address, "CLEAR ALL"], ""),
        (&["query", &address, "ASK {}"], "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"),
        (&["dump", &address], "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"),
    ] {
        let (code, _, error) = std::thread::scope(|scope| {
            let command = scope.spawn(|| triples(dir.path(), command));
            let (mut connection, _) = listener.accept().unwrap();
            let mut head = [0; 4096];
            let _ = std::io::Read::read(&mut connection, &mut head).unwrap();
            std::io::Write::write_all(&mut connection, answer.as_bytes()).unwrap();
            drop(connection);
            command.join().unwrap()
        });
        assert_eq!(code, Some(1), "{command:?}: {error}");
        assert!(error.contains(&address), "{command:?}: {error}");
    }
}
