//! Opening a store: several processes may read it, and one may write it.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output};
use triple_store::{Error, RdfFormat, TripleStore, TripleStoreOptions};

fn triples(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_triples")).current_dir(dir).args(arguments).output().unwrap()
}

/// Commands that read.
const READING: [&[&str]; 6] = [
    &["query", "store.vde", "ASK { <urn:s> <urn:p> 1 }"],
    &["query", "store.vde", "--explain", "ASK { <urn:s> <urn:p> 1 }"],
    &["dump", "store.vde"],
    &["stats", "store.vde"],
    &["verify", "store.vde"],
    &["backup", "store.vde", "copy.vde"],
];

fn stored(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("store.vde");
    let store = TripleStore::open(&path).unwrap();
    let line = |n| format!("<urn:s> <urn:p> {n} .\n");
    let text: String = (0..1000).map(line).collect();
    store.load(text.as_bytes(), RdfFormat::Turtle, "a.ttl").unwrap();
    store.checkpoint().unwrap();
    store.update("INSERT DATA { <urn:s> <urn:q> 1 }").unwrap();
    path
}

fn reader(path: &Path) -> triple_store::Result<TripleStore> {
    TripleStoreOptions::new().read_only(true).open(path)
}

#[test]
fn many_processes_read_at_once_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = stored(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    let held = reader(&path).unwrap();
    for arguments in READING {
        let output = triples(dir.path(), arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::read(&path).unwrap() == bytes, "{arguments:?} changed the file");
    }
    assert_eq!(held.len(), 1001);
    assert!(
        matches!(TripleStore::open(&path), Err(Error::InUse(_))),
        "a store that another process reads can't be opened for writing"
    );
    drop(held);
    assert_eq!(TripleStore::open(&path).unwrap().len(), 1001);
}

#[test]
fn while_a_writer_is_open_the_error_says_to_use_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let path = stored(dir.path());
    let writer = TripleStore::open(&path).unwrap();
    for arguments in READING.into_iter().chain([&["update", "store.vde", "CLEAR ALL"][..]]) {
        let output = triples(dir.path(), arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(message.contains("store.vde is open in another process: if that is a server"), "{message}");
    }
    assert_eq!(writer.len(), 1001);
}

#[test]
fn a_read_only_store_refuses_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = stored(dir.path());
    let store = reader(&path).unwrap();
    let line = |n| format!("<urn:a> <urn:p> {n} .\n");
    let many: String = (0..100_000).map(line).collect();
    for text in ["<urn:a> <urn:p> 1, 2 .", &many] {
        let loaded = store.load(text.as_bytes(), RdfFormat::Turtle, "a.ttl");
        assert!(matches!(loaded, Err(Error::ReadOnly)), "{loaded:?}");
    }
    assert!(matches!(store.update("DELETE WHERE { ?s ?p ?o }"), Err(Error::ReadOnly)));
    assert!(matches!(store.checkpoint(), Err(Error::ReadOnly)));
    store.flush().unwrap();
    assert_eq!(store.len(), 1001, "reads still work");
    assert!(reader(&dir.path().join("none.vde")).is_err(), "no file is created");
    assert!(!dir.path().join("none.vde").exists());
}
