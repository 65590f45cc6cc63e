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

#[test]
fn a_store_of_a_view_sees_each_commit_once_it_is_advanced() {
    let vde = vde_store::Vde::in_memory().unwrap();
    let store = TripleStoreOptions::new().open_in(&vde).unwrap();
    let open = || TripleStoreOptions::new().open_view(&vde.read_view()).unwrap();
    let mut replica = open();
    let mut rng = 7_u64;
    let mut reopened = 0;
    for round in 0..60 {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (subject, object) = (rng >> 33 & 3, rng >> 40 & 7);
        let update = match rng >> 50 & 3 {
            0 => format!("DELETE WHERE {{ <urn:{subject}> ?p ?o }}"),
            _ => format!("INSERT DATA {{ <urn:{subject}> <urn:p> {object}, \"{round}\" }}"),
        };
        store.update(&update).unwrap();
        store.flush().unwrap();
        if round % 20 == 19 {
            store.checkpoint().unwrap();
        }
        // A replica that was at an earlier checkpoint still reads all of it: its pages are those of its view.
        let before = replica.len();
        assert_eq!(replica.quads_for_pattern(None, None, None, None).count() as u64, before);
        if !replica.advance(&vde.read_view()).unwrap() {
            replica = open();
            reopened += 1;
        }
        let all = |store: &TripleStore| {
            let mut quads: Vec<_> = store
                .quads_for_pattern(None, None, None, None)
                .map(|quad| quad.unwrap().to_string())
                .collect();
            quads.sort();
            quads
        };
        assert_eq!(all(&replica), all(&store), "round {round}");
        assert_eq!(replica.len(), store.len());
    }
    assert_eq!(reopened, 3);
    assert!(matches!(replica.update("INSERT DATA { <urn:s> <urn:p> 1 }"), Err(Error::ReadOnly)));
    assert!(!store.advance(&vde.read_view()).unwrap(), "it is no store of a view");
}

/// A program in a folder in which a script stands for `triples-ship`.
#[cfg(unix)]
#[test]
fn serving_with_shipping_calls_the_command_beside_it() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = dir.path().join("triples");
    std::fs::hard_link(env!("CARGO_BIN_EXE_triples"), &program).unwrap();
    let run = |arguments: &[&str]| {
        Command::new(&program).current_dir(dir.path()).env("PATH", "").args(arguments).output().unwrap()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let arguments = ["--json", "serve", "store.vde", "--ship", "file:///b", "--bind", "127.0.0.1:0"];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cargo install vde-ship"), "{}", text(&output.stderr));

    // Another process writes it: a file that this process had open for writing could not be run while another test
    // starts a process.
    let write = "printf '#!/bin/sh\necho \"$@\"\nexit 7\n' > triples-ship && chmod +x triples-ship";
    let written = Command::new("sh").current_dir(dir.path()).args(["-c", write]).status().unwrap();
    assert!(written.success());
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(text(&output.stdout), "serve store.vde --ship file:///b --bind 127.0.0.1:0\n");
    for wrong in [&["--follow", "file:///b"][..], &["--ship", "file:///b", "--read-only"]] {
        let output = run(&[&["serve", "store.vde"], wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}
