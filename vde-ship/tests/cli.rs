//! The command `vde-ship`, called as a script would call it.

use std::path::Path;
use std::process::{Command, Output};

use vde_store::Vde;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vde-ship")).args(args).output().unwrap()
}

/// Runs a command that must succeed. Returns its standard output.
fn ok(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn value(path: &Path) -> Vec<u8> {
    Vde::open(path).unwrap().get("k").unwrap().unwrap()
}

#[test]
fn a_store_is_shipped_restored_followed_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let url = format!("file://{}", text("shipped"));
    assert_eq!(run(&["restore", &url, &text("r.vde")]).status.code(), Some(3), "nothing is shipped yet");

    Vde::create(path("s.vde")).unwrap().put("k", "1").unwrap();
    assert!(ok(&["ship", &text("s.vde"), &url]).starts_with("shipped version 1 "));
    assert!(ok(&["follow", &url, &text("f.vde"), "--once"]).starts_with("version 1 "));
    let store = Vde::open(path("s.vde")).unwrap();
    store.put("k", "2").unwrap();
    store.checkpoint().unwrap();
    assert!(ok(&["ship", &text("s.vde"), &url]).starts_with("shipped version 2 "), "beside the writer");

    ok(&["restore", &url, &text("newest.vde")]);
    assert_eq!(value(&path("newest.vde")), b"2");
    ok(&["restore", &url, &text("first.vde"), "--at", "1"]);
    assert_eq!(value(&path("first.vde")), b"1");
    for (past, code) in [("@1000", 3), ("1999-12-31T23:59:59+01:00", 3), ("yesterday", 2), ("@-1", 2)] {
        let refused = run(&["restore", &url, &text("old.vde"), "--at", past]);
        assert_eq!(refused.status.code(), Some(code), "{past}");
        assert!(!refused.stderr.is_empty());
    }
    assert_eq!(run(&["restore", &url, &text("newest.vde")]).status.code(), Some(1), "the file exists");
    assert!(ok(&["follow", &url, &text("f.vde"), "--promote"]).starts_with("version 2 "));
    assert_eq!(value(&path("f.vde")), b"2");
    assert_eq!(run(&["follow", &url, &text("f.vde"), "--once"]).status.code(), Some(1), "it is no follower");

    // The times that `verify` prints are those of its points, to the microsecond.
    let verified = ok(&["verify", &url]);
    assert!(verified.starts_with("2 bases, "), "{verified}");
    for (point, value) in [("oldest", b"1"), ("newest", b"2")] {
        let line = verified.lines().find(|line| line.starts_with(point)).unwrap();
        let (time, restored) = (line.split(" as of ").nth(1).unwrap(), path(point));
        assert!(time.contains('T') && time.ends_with('Z'), "{time}");
        ok(&["restore", &url, &text(point), "--at", time]);
        assert_eq!(self::value(&restored), value, "{time}");
    }
    let base = std::fs::read_dir(path("shipped/base")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(base, "damaged").unwrap();
    assert_eq!(run(&["verify", &url]).status.code(), Some(4));
    let refused = run(&["verify", "s3://bucket"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!refused.stderr.is_empty());
}
