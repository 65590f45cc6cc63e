//! The command `triples`.
#![cfg(feature = "cli")]

use serde_json::Value;
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
fn loaded_files_can_be_queried_updated_and_dumped() {
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
    assert!(
        json.ends_with("\"boolean\":false}\n"),
        "02 is not the term 2, and the output ends with a line break: {json}"
    );
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
    succeed(dir, &["update", "copy.vde", "CLEAR ALL"]);
    assert!(!succeed(dir, &["compact", "copy.vde"]).starts_with("0 terms removed"));
    assert!(succeed(dir, &["verify", "copy.vde"]).starts_with("0 quads, 0 terms, 0 problems"));
}

#[test]
fn what_is_left_of_a_damaged_store_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    succeed(dir, &["update", "store.vde", "INSERT DATA { <urn:s> <urn:p> 1, 2 }"]);
    succeed(dir, &["checkpoint", "store.vde"]);
    succeed(dir, &["update", "store.vde", "INSERT DATA { <urn:new> <urn:new> 3 }"]);
    assert_eq!(succeed(dir, &["backup", "store.vde", "a.vde", "--salvage"]), "3 quads copied, 0 lost\n");
    {
        let vde = vde_store::Vde::open(dir.join("store.vde")).unwrap();
        let pages: Vec<_> = vde.list("p").map(|entry| entry.unwrap().into_key()).collect();
        assert!(pages.iter().all(|key| vde.delete(key).unwrap()));
    }
    let (code, message) = fail(dir, &["backup", "store.vde", "b.vde", "--salvage"]);
    assert_eq!(code, 1);
    assert!(message.contains("2 quads, which can be read in no order"), "{message}");
    assert_eq!(succeed(dir, &["dump", "b.vde", "-f", "nq"]).lines().count(), 1);
    let json = triples(dir, &["backup", "store.vde", "c.vde", "--salvage", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["quads"], &json["lost_quads"]), (&1.into(), &2.into()));
}

#[test]
fn an_invalid_file_is_reported_with_its_line_and_stores_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("bad.nt"), "<urn:s> <urn:p> <urn:o> .\n<urn:s> oops .\n").unwrap();
    let (code, message) = fail(dir, &["load", "store.vde", "bad.nt"]);
    assert_eq!(code, 2);
    assert!(message.contains("bad.nt:2:"), "{message}");
    assert!(succeed(dir, &["stats", "store.vde"]).contains("quads         0"));
}

#[test]
fn a_file_with_an_error_is_stored_only_with_keep_partial_or_lenient() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("good.nt"), "<urn:a> <urn:p> <urn:o> .\n").unwrap();
    std::fs::write(dir.join("bad.ttl"), "<urn:s> <urn:p> 1 .\n<urn:s> <urn:p> 2 .\n  <urn:s> oops .")
        .unwrap();
    std::fs::write(dir.join("odd.nt"), "<urn:s> <urn:p> \"o\"@muchtoolong .\n").unwrap();
    let (code, message) = fail(dir, &["load", "store.vde", "good.nt", "bad.ttl"]);
    assert_eq!(code, 2);
    assert!(message.contains("bad.ttl:3:11"), "{message}");
    assert!(
        succeed(dir, &["stats", "store.vde"]).contains("quads         1\n"),
        "the file before the invalid one is stored"
    );
    assert_eq!(fail(dir, &["load", "--keep-partial", "store.vde", "bad.ttl"]).0, 2);
    assert!(succeed(dir, &["stats", "store.vde"]).contains("quads         3\n"));
    assert_eq!(fail(dir, &["load", "store.vde", "odd.nt"]).0, 2);
    succeed(dir, &["load", "--lenient", "-q", "store.vde", "odd.nt"]);
}

#[test]
fn errors_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("all.txt"), "ASK {}").unwrap();
    std::fs::write(dir.join("a.ttl"), "<urn:s> <urn:p> 1 .\n<a> <urn:p> 2 .").unwrap();
    std::fs::write(dir.join("b.ttl"), "<urn:s> foaf:name 1 .").unwrap();
    succeed(dir, &["update", "store.vde", "INSERT DATA { <urn:s> <urn:p> 1 }"]);
    for (arguments, expected) in [
        (&["query", "store.vde", "all.txt"][..], "write @all.txt to read it"),
        (&["query", "store.vde", "missing.rq"], "write @missing.rq to read it"),
        (&["query", "store.vde", "ASK {}", "-f", "turtle"], "csv, tsv, json, xml"),
        (&["load", "store.vde", "-f", "turtle", "a.ttl"], "nt, nq, ttl, trig"),
        (&["load", "store.vde", "a.ttl"], "a.ttl:2:1: No scheme found in an absolute IRI: it is relative"),
        (&["load", "store.vde", "b.ttl"], "foaf: <http://xmlns.com/foaf/0.1/> is well known"),
        (&["query", "store.vde", "ASK { <a> ?p 1 }"], "--base"),
    ] {
        let (code, message) = fail(dir, arguments);
        assert_eq!(code, 2, "{arguments:?}: {message}");
        assert!(message.contains(expected) && message.lines().count() == 1, "{arguments:?}: {message}");
        assert!(!message.contains("Parser error"), "{message}");
    }
    succeed(dir, &["update", "store.vde", "INSERT DATA { <a> <p> 3 }", "--base", "urn:x:"]);
    let ask = ["query", "store.vde", "ASK { <a> <p> 3 }", "--base", "urn:x:", "-f", "csv"];
    assert_eq!(succeed(dir, &ask), "true\n");
    assert_eq!(succeed(dir, &["completions", "bash"]), succeed(dir, &["completion", "bash"]));
}

#[test]
fn results_are_json_with_the_option_json() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("a.ttl"), "<urn:s> <urn:p> 1, 2 .").unwrap();
    for (arguments, expected) in [
        (&["load", "--json", "store.vde", "a.ttl"][..], r#"{"file":"a.ttl","quads":2,"added":2}"#),
        (
            &["--json", "update", "store.vde", "DELETE DATA { <urn:s> <urn:p> 1 }"],
            r#"{"added":0,"removed":1}"#,
        ),
        (&["verify", "store.vde", "--json"], r#"{"quads":1,"terms":3,"problems":[]}"#),
    ] {
        let (line, expected) = (succeed(dir, arguments), serde_json::from_str::<Value>(expected).unwrap());
        let found: Value = serde_json::from_str(&line).unwrap();
        for (name, value) in expected.as_object().unwrap() {
            assert!(name == "terms" || found[name] == *value, "{arguments:?}: {line}");
        }
    }
    let stats: Value = serde_json::from_str(&succeed(dir, &["stats", "store.vde", "--json"])).unwrap();
    assert_eq!((&stats["quads"], &stats["named_graphs"]), (&1.into(), &0.into()));
    let query = succeed(dir, &["query", "--json", "store.vde", "SELECT ?o { ?s ?p ?o }"]);
    let query: Value = serde_json::from_str(&query).unwrap();
    assert_eq!(query["results"]["bindings"][0]["o"]["value"], "2");
    let report = succeed(
        dir,
        &["bench", "new.vde", "--triples", "8", "--threads", "1", "--seconds", "0.01", "--json"],
    );
    for line in report.lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap()["per_second"].is_number(), "{line}");
    }
}

#[test]
fn the_syntax_and_compression_of_a_file_follow_its_name_or_the_option() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let update = "INSERT DATA { <urn:s> <urn:p> 1 . GRAPH <urn:g> { <urn:s> <urn:p> 2 } }";
    succeed(dir, &["update", "store.vde", update]);
    for file in ["all.nq.gz", "all.trig.zst", "all.jsonld"] {
        succeed(dir, &["dump", "store.vde", "-o", file]);
        let copy = format!("{file}.vde");
        succeed(dir, &["load", "-q", &copy, file]);
        assert_eq!(succeed(dir, &["dump", &copy]).lines().count(), 2, "{file}");
    }
    std::fs::write(dir.join("kept.nt"), "as it was").unwrap();
    assert_eq!(fail(dir, &["dump", "store.vde", "-o", "kept.nt"]).0, 2, "it holds one graph");
    assert_eq!(fail(dir, &["dump", "store.vde", "-o", "kept.doc"]).0, 2);
    assert_eq!(std::fs::read_to_string(dir.join("kept.nt")).unwrap(), "as it was");
    succeed(dir, &["dump", "store.vde", "--graph", "default", "-f", "nt", "-o", "some.txt"]);
    succeed(dir, &["load", "-q", "-f", "nt", "some.vde", "some.txt"]);
    let mut load = Command::new(env!("CARGO_BIN_EXE_triples"))
        .current_dir(dir)
        .args(["load", "-q", "-f", "ttl", "some.vde", "@-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(load.stdin.as_mut().unwrap(), b"<urn:s> <urn:p> 3 .").unwrap();
    assert!(load.wait().unwrap().success());
    assert_eq!(succeed(dir, &["dump", "some.vde"]).lines().count(), 2);
    assert_eq!(fail(dir, &["load", "some.vde", "-"]).0, 2, "the standard input has no extension");
}

#[test]
fn a_benchmark_measures_and_removes_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let report =
        succeed(dir, &["bench", "new.vde", "--triples", "800", "--threads", "2", "--seconds", "0.01"]);
    for what in ["loaded", "synced", "logged", "lookups", "ranges", "scanned", "join"] {
        assert!(report.lines().any(|line| line.contains(what) && line.ends_with("/s")), "{what}: {report}");
    }
    assert!(!dir.join("new.vde").exists());
    std::fs::write(dir.join("taken"), "text").unwrap();
    assert_eq!(fail(dir, &["bench", "taken"]).0, 1);
    assert_eq!(std::fs::read_to_string(dir.join("taken")).unwrap(), "text");
}

#[test]
fn contexts_of_json_ld_come_from_files() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(
        dir.join("a.jsonld"),
        r#"{ "@context": "http://schema.org/", "@id": "urn:s", "name": "A" }"#,
    )
    .unwrap();
    std::fs::write(dir.join("schema.json"), r#"{ "@context": { "name": "http://schema.org/name" } }"#)
        .unwrap();
    let (code, message) = fail(dir, &["load", "store.vde", "a.jsonld"]);
    assert!(code == 2 && message.contains("the context http://schema.org/ is not fetched"), "{message}");
    assert_eq!(fail(dir, &["load", "store.vde", "a.jsonld", "--context", "https://schema.org"]).0, 2);
    assert_eq!(fail(dir, &["load", "store.vde", "a.jsonld", "--context", "https://schema.org=none"]).0, 1);
    succeed(dir, &["load", "-q", "store.vde", "a.jsonld", "--context", "https://schema.org=schema.json"]);
    let query = "SELECT ?n { <urn:s> <http://schema.org/name> ?n }";
    assert_eq!(succeed(dir, &["query", "store.vde", query, "--format", "csv"]), "n\r\nA\r\n");
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
    let nested = format!("ASK {}", "{".repeat(100_000));
    assert_eq!(fail(dir, &["query", "store.vde", &nested]).0, 2);
    let update = fail(
        dir,
        &[
            "update",
            "store.vde",
            "INSERT { ?s ?p ?o } WHERE { SERVICE <http://127.0.0.1:1/> { ?s ?p ?o } }",
            "--remote",
        ],
    );
    assert!(
        update.0 == 1 && update.1.contains("http://127.0.0.1:1/"),
        "a server that can't be reached: {}",
        update.1
    );
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(succeed(dir, &["completion", shell]).contains("checkpoint"), "{shell}");
    }
}
