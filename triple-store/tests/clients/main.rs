//! Clients of other projects with `triples serve`: rdflib and `SPARQLWrapper` from `PyPI`, Comunica from npm, Jena.
//!
//! | client | found by |
//! |---|---|
//! | rdflib, `SPARQLWrapper` | `python3`, or the program in `PYTHON` |
//! | Comunica (`@comunica/query-sparql`) | `node`, which searches for packages in `NODE_PATH` |
//! | Jena's `rsparql` and `rupdate` | `java`, and the class path in `JENA` (`apache-jena/lib/*`) |
//!
//! If a client is not installed, its test is skipped with a message.
#![cfg(all(feature = "cli", feature = "server"))]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

const DATA: &str = "PREFIX : <http://example.com/> PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>
    :alice :name \"Alice\"@en ; :age 042 ; :knows :bob, [ :name \"tab\\t, quote \\\" and\\nline\" ] .
    :bob :name \"Bjørn 🦀\" ; :age 23.50 ; :born \"2000-02-29\"^^xsd:date .";

/// A process that serves a store with [`DATA`].
struct Server {
    child: Child,
    address: String,
    dir: TempDir,
}

impl Server {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("data.ttl"), DATA).unwrap();
        succeed(triples(dir.path()).args(["load", "-q", "store.vde", "data.ttl"]));
        let mut command = triples(dir.path());
        command.args(["serve", "store.vde", "--bind", "127.0.0.1:0"]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
        Self { child, address, dir }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn triples(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_triples"));
    command.current_dir(dir);
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// The standard output of a command that succeeds.
fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}{error}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a client is installed: the command succeeds.
fn is_there(client: &str, probe: &mut Command) -> bool {
    let is_there = probe.output().is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("skipped: {client} is not installed ({probe:?})");
    }
    is_there
}

fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn python() -> Command {
    Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".into()))
}

#[test]
fn rdflib_uses_the_store_as_a_dataset() {
    if is_there("rdflib", python().args(["-c", "import rdflib"])) {
        succeed(python().args([script("dataset.py"), Server::new().address.clone()]));
    }
}

#[test]
fn rdflib_and_this_store_query_each_other() {
    if !is_there("rdflib", python().args(["-c", "import rdflib"])) {
        return;
    }
    let server = Server::new();
    let mut other = python()
        .args([script("federation.py"), server.address.clone()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut endpoint = String::new();
    BufReader::new(other.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
    let endpoint = endpoint.trim();
    assert!(endpoint.starts_with("http://"), "rdflib got the expected answer");
    let dir = server.dir.path();
    succeed(triples(dir).args(["load", "-q", "other.vde", "data.ttl"]));
    let query = format!(
        "PREFIX : <http://example.com/> SELECT ?name ?likes {{ ?who :name ?name SERVICE <{endpoint}> {{ ?who :likes ?likes }} }} ORDER BY ?likes"
    );
    let found = succeed(triples(dir).args(["query", "other.vde", &query, "-f", "csv", "--remote"]));
    assert_eq!(found, "name,likes\r\nAlice,007\r\nBjørn 🦀,tea\r\n");
    let load = format!("LOAD <{endpoint}> INTO GRAPH <urn:g>");
    succeed(triples(dir).args(["update", "other.vde", &load, "--remote"]));
    assert_eq!(
        succeed(triples(dir).args(["dump", "other.vde", "--graph", "urn:g", "-f", "nt"])).lines().count(),
        2
    );
    let refused = run(triples(dir).args(["query", "other.vde", &query]));
    assert_eq!(refused.status.code(), Some(2), "without --remote, no request is sent");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn sparqlwrapper_reads_every_syntax() {
    if is_there("SPARQLWrapper", python().args(["-c", "import SPARQLWrapper"])) {
        succeed(python().args([script("wrapper.py"), Server::new().address.clone()]));
    }
}

#[test]
fn comunica_queries_and_updates() {
    let probe = ["-e", "require.resolve('@comunica/query-sparql')"];
    if is_there("Comunica", Command::new("node").args(probe)) {
        succeed(Command::new("node").args([script("comunica.cjs"), Server::new().address.clone()]));
    }
}

#[test]
fn jena_queries_and_updates() {
    let archives = std::env::var("JENA").unwrap_or_default();
    let jena = |class: &str| {
        let mut command = Command::new("java");
        command.args(["-cp", &archives, class]);
        command
    };
    if !is_there("Jena", jena("arq.rsparql").arg("--help")) {
        return;
    }
    let server = Server::new();
    let query = |form: &str, syntax: &str| {
        let service = format!("--service={}/query", server.address);
        succeed(jena("arq.rsparql").args([&service, &format!("--results={syntax}"), form]))
    };
    let names = query("SELECT ?n { ?s <http://example.com/name> ?n } ORDER BY ?n", "csv");
    assert_eq!(names.replace('\r', ""), "n\nAlice\nBjørn 🦀\n\"tab\t, quote \"\" and\nline\"\n");
    assert!(query("SELECT ?o { ?s <http://example.com/age> ?o }", "tsv").contains("042"));
    assert!(query("ASK { ?s ?p 23.50 }", "text").contains("Yes"));
    let graph = query("CONSTRUCT WHERE { ?s <http://example.com/born> ?o }", "nt");
    assert!(graph.contains("\"2000-02-29\"^^<http://www.w3.org/2001/XMLSchema#date>"), "{graph}");
    let update = "INSERT DATA { GRAPH <urn:g> { <urn:s> <urn:p> 01 } }";
    succeed(jena("arq.rupdate").args([&format!("--service={}/update", server.address), update]));
    assert!(query("SELECT ?o { GRAPH <urn:g> { <urn:s> ?p ?o } }", "tsv").contains("01"));
}
