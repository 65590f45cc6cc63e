//! The `triples` command from outside.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output};

fn triples(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_triples")).current_dir(dir).args(arguments).output().unwrap()
}

/// The standard output of a command that succeeds.
fn succeed(dir: &Path, arguments: &[&str]) -> String {
    let output = triples(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The exit code and the standard error of a command that fails.
fn fail(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let output = triples(dir, arguments);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_loaded_can_be_queried_updated_and_dumped() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("a.ttl"), "<urn:s> <urn:p> 1, 02, \"three\"@en .").unwrap();
    std::fs::write(dir.join("b.nq"), "<urn:s> <urn:p> \"4\" <urn:g> .\n").unwrap();
    let out = triples(dir, &["load", "store.vde", "a.ttl", "b.nq"]);
    assert!(out.status.success());
    assert!(String::from_utf8(out.stderr).unwrap().contains("a.ttl: 3 quads, 3 new"));

    let count = "SELECT (COUNT(*) AS ?n) WHERE { ?s ?p ?o }";
    assert_eq!(succeed(dir, &["query", "store.vde", count, "--format", "csv"]), "n\r\n3\r\n");
    assert_eq!(succeed(dir, &["query", "store.vde", count, "--format", "csv", "--union"]), "n\r\n4\r\n");
    std::fs::write(dir.join("ask.rq"), "ASK { ?s ?p 2 }").unwrap();
    let json = succeed(dir, &["query", "store.vde", "@ask.rq", "--format", "json"]);
    assert!(json.contains("\"boolean\":false"), "02 is not the term 2: {json}");
    let graph = succeed(dir, &["query", "store.vde", "CONSTRUCT WHERE { ?s ?p \"three\"@en }"]);
    assert_eq!(graph, "<urn:s> <urn:p> \"three\"@en .\n");
    assert!(succeed(dir, &["query", "store.vde", count, "--explain"]).contains("\"plan\""));

    succeed(dir, &["update", "store.vde", "DELETE DATA { <urn:s> <urn:p> 1 }"]);
    let dump = succeed(dir, &["dump", "store.vde"]);
    assert_eq!(dump.lines().count(), 3);
    assert!(dump.contains("\"02\"^^<http://www.w3.org/2001/XMLSchema#integer>"), "the lexical form survives");
    assert_eq!(
        succeed(dir, &["dump", "store.vde", "-f", "nt", "--graph", "urn:g"]),
        "<urn:s> <urn:p> \"4\" .\n"
    );
    succeed(dir, &["dump", "store.vde", "-f", "trig", "-o", "dump.trig"]);
    succeed(dir, &["load", "-q", "copy.vde", "dump.trig"]);
    assert_eq!(succeed(dir, &["stats", "copy.vde"]), succeed(dir, &["stats", "copy.vde"]));
    assert!(succeed(dir, &["stats", "copy.vde"]).contains("quads         3"));
    succeed(dir, &["checkpoint", "copy.vde"]);
    succeed(dir, &["backup", "copy.vde", "backup.vde"]);
    assert!(succeed(dir, &["verify", "backup.vde"]).starts_with("3 quads"));
}

#[test]
fn a_file_that_does_not_parse_is_named_with_its_line_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("bad.nt"), "<urn:s> <urn:p> <urn:o> .\n<urn:s> oops .\n").unwrap();
    let (code, message) = fail(dir, &["load", "store.vde", "bad.nt"]);
    assert_eq!(code, 2);
    assert!(message.contains("bad.nt:2:"), "{message}");
    assert!(succeed(dir, &["stats", "store.vde"]).contains("quads         0"));
}

#[test]
fn mistakes_have_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("a.doc"), "").unwrap();
    assert_eq!(fail(dir, &["query", "missing.vde", "ASK {}"]).0, 1);
    assert!(!dir.join("missing.vde").exists(), "a query makes no store");
    assert_eq!(fail(dir, &["load", "store.vde", "a.doc"]).0, 2);
    assert_eq!(fail(dir, &["load", "store.vde", "missing.nt"]).0, 1);
    succeed(dir, &["update", "store.vde", "INSERT DATA { <urn:s> <urn:p> 1 }"]);
    assert_eq!(fail(dir, &["query", "store.vde", "SELEKT"]).0, 2);
    assert_eq!(fail(dir, &["query", "store.vde", "ASK {}", "--format", "exe"]).0, 2);
    assert_eq!(fail(dir, &["query", "store.vde", "CONSTRUCT WHERE {?s ?p ?o}", "--format", "csv"]).0, 2);
    assert_eq!(fail(dir, &["update", "store.vde", "LOAD <urn:x>"]).0, 2);
    assert_eq!(fail(dir, &["frobnicate"]).0, 2);
    std::fs::write(dir.join("text.vde"), "this is no store, but it is long enough to look at").unwrap();
    assert_eq!(fail(dir, &["stats", "text.vde"]).0, 1);
    assert!(succeed(dir, &["completion", "bash"]).contains("triples"));
}
