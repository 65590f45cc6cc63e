//! The command `vde`, called as a script would call it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn vde(dir: &Path, args: &[&str], input: Option<&[u8]>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vde"))
        .current_dir(dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.unwrap_or_default()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a command that must succeed. Returns its standard output.
fn ok(dir: &Path, args: &[&str], input: Option<&[u8]>) -> Vec<u8> {
    let output = vde(dir, args, input);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn values_go_in_and_come_out_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let binary: Vec<u8> = (0..200_000u32).map(|i| (i * 7 % 256) as u8).collect();
    ok(dir, &["put", "s.vde", "bin/1"], Some(&binary));
    std::fs::write(dir.join("file"), "from a file").unwrap();
    ok(dir, &["put", "s.vde", "text", "file", "--meta", "type=text/plain"], None);
    assert_eq!(ok(dir, &["get", "s.vde", "bin/1"], None), binary);
    ok(dir, &["put", "s.vde", "bin/1", "@-"], Some(&binary[1..]));
    assert_eq!(ok(dir, &["get", "s.vde", "bin/1"], None), binary[1..]);
    ok(dir, &["get", "s.vde", "text", "-o", "out"], None);
    assert_eq!(std::fs::read(dir.join("out")).unwrap(), b"from a file");
    assert_eq!(ok(dir, &["ls", "s.vde"], None), b"bin/1\ntext\n");
    assert_eq!(ok(dir, &["ls", "s.vde", "bin/"], None), b"bin/1\n");
    let stat: serde_json::Value =
        serde_json::from_slice(&ok(dir, &["--json", "stat", "s.vde", "text"], None)).unwrap();
    assert_eq!((&stat["len"], &stat["user"]["type"]), (&11.into(), &"text/plain".into()));
    ok(dir, &["rm", "s.vde", "text"], None);
    assert_eq!(vde(dir, &["rm", "s.vde", "text"], None).status.code(), Some(3));
    assert_eq!(vde(dir, &["get", "s.vde", "text"], None).status.code(), Some(3));
}

#[test]
fn maintenance_commands() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::create_dir_all(dir.join("in/deep")).unwrap();
    for (name, text) in [("in/a", "1"), ("in/deep/b", "22")] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    ok(dir, &["import", "s.vde", "in"], None);
    ok(dir, &["snapshot", "s.vde", "before"], None);
    ok(dir, &["rm", "s.vde", "a"], None);
    ok(dir, &["checkpoint", "s.vde"], None);
    assert_eq!(ok(dir, &["ls", "s.vde", "--at", "before"], None), b"a\ndeep/b\n");
    ok(dir, &["export", "s.vde", "out", "--at", "before"], None);
    assert_eq!(std::fs::read(dir.join("out/deep/b")).unwrap(), b"22");
    ok(dir, &["backup", "s.vde", "copy.vde"], None);
    assert_eq!(ok(dir, &["ls", "copy.vde"], None), b"deep/b\n");
    ok(dir, &["snapshot", "s.vde", "before", "--delete"], None);
    assert_eq!(vde(dir, &["ls", "s.vde", "--at", "before"], None).status.code(), Some(3));
    ok(dir, &["compact", "s.vde"], None);
    let stat: serde_json::Value =
        serde_json::from_slice(&ok(dir, &["stat", "s.vde", "--json"], None)).unwrap();
    assert_eq!(stat["health"], "healthy");
    ok(dir, &["verify", "s.vde"], None);
    assert!(ok(dir, &["completions", "bash"], None).starts_with(b"_vde"));
    assert_eq!(ok(dir, &["completion", "bash"], None), ok(dir, &["completions", "bash"], None));
}

#[test]
fn a_key_that_leads_out_of_the_directory_is_not_exported() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &["put", "s.vde", "../escaped"], Some(b"x"));
    assert_eq!(vde(dir.path(), &["export", "s.vde", "out"], None).status.code(), Some(1));
    assert!(!dir.path().join("escaped").exists());
}

#[test]
fn failures_have_exit_codes_and_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let missing = vde(dir, &["get", "none.vde", "k"], None);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("open the container"));
    assert!(!dir.join("none.vde").exists(), "reading creates nothing");
    assert_eq!(vde(dir, &["put", "s.vde"], None).status.code(), Some(2));
    ok(dir, &["put", "s.vde", "k"], Some(&vec![b'x'; 1000]));
    ok(dir, &["checkpoint", "s.vde"], None);
    let mut bytes = std::fs::read(dir.join("s.vde")).unwrap();
    let at = bytes.windows(100).position(|window| window == [b'x'; 100]).unwrap();
    bytes[at] = b'y';
    std::fs::write(dir.join("s.vde"), bytes).unwrap();
    assert_eq!(vde(dir, &["verify", "s.vde"], None).status.code(), Some(4));
    let damaged = vde(dir, &["get", "s.vde", "k"], None);
    assert_eq!(damaged.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("vde: s.vde: corrupt value at byte"));
    ok(dir, &["put", "s.vde", "l"], Some(b"whole"));
    assert_eq!(vde(dir, &["backup", "s.vde", "copy.vde"], None).status.code(), Some(4));
    assert!(
        !dir.join("copy.vde").exists() && !dir.join("copy.vde.partial").exists(),
        "a failed copy leaves no file"
    );
    let salvaged = vde(dir, &["backup", "s.vde", "copy.vde", "--salvage"], None);
    assert_eq!(salvaged.stdout, b"1 keys copied, 1 left out\n");
    assert!(String::from_utf8_lossy(&salvaged.stderr).contains("left out k: corrupt value"));
    assert_eq!(ok(dir, &["ls", "copy.vde"], None), b"l\n");
}

/// A store with three values. The second half of the one in the middle, which is large, is damaged.
fn with_a_damaged_value(dir: &Path) {
    ok(dir, &["put", "s.vde", "a"], Some(b"1"));
    ok(dir, &["put", "s.vde", "large"], Some(&vec![b'x'; 300_000]));
    ok(dir, &["put", "s.vde", "z"], Some(b"2"));
    let mut bytes = std::fs::read(dir.join("s.vde")).unwrap();
    let at = bytes.windows(1000).rposition(|window| window == [b'x'; 1000]).unwrap();
    bytes[at] = b'y';
    std::fs::write(dir.join("s.vde"), bytes).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_damaged_value_leaves_no_file_that_looks_whole() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    with_a_damaged_value(dir);
    std::fs::write(dir.join("there"), "before").unwrap();
    for out in ["out", "there"] {
        assert_eq!(vde(dir, &["get", "s.vde", "large", "-o", out], None).status.code(), Some(4));
    }
    assert_eq!(std::fs::read(dir.join("there")).unwrap(), b"before");
    assert_eq!(names(dir), ["s.vde", "there"]);
    ok(dir, &["get", "s.vde", "z", "-o", "there"], None);
    assert_eq!(std::fs::read(dir.join("there")).unwrap(), b"2");

    assert_eq!(vde(dir, &["export", "s.vde", "some"], None).status.code(), Some(4));
    assert_eq!(names(&dir.join("some")), ["a"], "the export ends at the damaged value");
    let salvaged = vde(dir, &["export", "s.vde", "rest", "--salvage"], None);
    assert!(salvaged.status.success());
    assert!(String::from_utf8_lossy(&salvaged.stderr).contains("left out large: corrupt blob chunk"));
    assert_eq!(salvaged.stdout, b"2 keys exported, 1 left out\n");
    assert_eq!(names(&dir.join("rest")), ["a", "z"]);
}

#[test]
fn a_repeated_export_removes_the_temporary_files_of_a_killed_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    ok(dir, &["put", "s.vde", "k"], Some(b"value"));
    std::fs::create_dir(dir.join("out")).unwrap();
    // The temporary file of a killed export, and files with similar names.
    for name in ["k.123.partial", "k.x.partial", "k..partial", "kk.1.partial"] {
        std::fs::write(dir.join("out").join(name), "va").unwrap();
    }
    let held = std::fs::File::create(dir.join("out/k.4.partial")).unwrap();
    held.lock().unwrap();
    ok(dir, &["export", "s.vde", "out"], None);
    assert_eq!(names(&dir.join("out")), ["k", "k..partial", "k.4.partial", "k.x.partial", "kk.1.partial"]);
    assert_eq!(std::fs::read(dir.join("out/k")).unwrap(), b"value");
}

#[test]
fn verify_counts_log_records_before_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), &["put", "s.vde", "short"], Some(b"12345"));
    ok(dir.path(), &["put", "s.vde", "long"], Some(&vec![7; 100_000]));
    let counted = ok(dir.path(), &["verify", "s.vde", "--json"], None);
    let counted: serde_json::Value = serde_json::from_slice(&counted).unwrap();
    assert_eq!((&counted["log_records"], &counted["value_bytes"]), (&2.into(), &100_005.into()));
}

#[test]
fn a_link_and_a_pipe_are_written_through() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    ok(dir, &["put", "s.vde", "k"], Some(b"value"));
    std::fs::write(dir.join("file"), "").unwrap();
    std::os::unix::fs::symlink("file", dir.join("link")).unwrap();
    ok(dir, &["get", "s.vde", "k", "-o", "link"], None);
    assert_eq!(std::fs::read(dir.join("file")).unwrap(), b"value");
    assert!(dir.join("link").is_symlink());
    assert_eq!(ok(dir, &["get", "s.vde", "k", "-o", "/dev/stdout"], None), b"value");
}

#[test]
fn keys_that_are_not_text_are_kept_as_bytes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let key = OsStr::from_bytes(b"a\n\xff");
    let mut put = Command::new(env!("CARGO_BIN_EXE_vde"));
    put.current_dir(dir).args(["put", "s.vde"]).arg(key).stdin(Stdio::null());
    assert!(put.status().unwrap().success());
    ok(dir, &["put", "s.vde", "b"], Some(b"text"));
    assert_eq!(ok(dir, &["ls", "s.vde", "-0"], None), b"a\n\xff\0b\0");
    let listed = ok(dir, &["ls", "s.vde", "--json"], None);
    let lines: Vec<serde_json::Value> =
        listed.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!((&lines[0]["escaped_key"], &lines[1]["key"]), (&"a\\n\\xff".into(), &"b".into()));
    let stat: serde_json::Value =
        serde_json::from_slice(&ok(dir, &["stat", "s.vde", "--json"], None)).unwrap();
    assert_eq!(stat["keys"], 2, "keys after the last checkpoint count, too");
}

#[test]
fn mistakes_create_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert_eq!(vde(dir, &["put", "s.vde", "k", "missing"], None).status.code(), Some(1));
    assert!(!dir.join("s.vde").exists());
    // The container is in the directory, beside a link that is a cycle.
    std::fs::create_dir(dir.join("in")).unwrap();
    std::fs::write(dir.join("in/file"), "1").unwrap();
    std::os::unix::fs::symlink(".", dir.join("in/circle")).unwrap();
    ok(dir, &["import", "in/s.vde", "in"], None);
    ok(dir, &["import", "in/s.vde", "in"], None);
    assert_eq!(ok(dir, &["ls", "in/s.vde"], None), b"file\n");
    for nonsense in [&["bench", "b.vde", "--writers", "0"], &["bench", "b.vde", "--seconds", "-1"]] {
        assert_eq!(vde(dir, nonsense, None).status.code(), Some(2));
    }
    let bench = ok(dir, &["bench", "b.vde", "--writers", "2", "--seconds", "0.05", "--json"], None);
    let bench: serde_json::Value = serde_json::from_slice(&bench).unwrap();
    assert!(bench["puts"].as_u64() > Some(0) && bench["p99_micros"].as_u64() >= bench["p50_micros"].as_u64());
    assert_eq!(
        vde(dir, &["bench", "b.vde"], None).status.code(),
        Some(1),
        "an existing file is not replaced"
    );
}

#[test]
fn a_closed_output_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vde"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[cfg(unix)]
#[test]
fn shipping_is_done_by_the_command_beside_this_one() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (own, beside) = (dir.path().join("vde"), dir.path().join("vde-ship"));
    std::fs::copy(env!("CARGO_BIN_EXE_vde"), &own).unwrap();
    let run = |args: &[&str]| Command::new(&own).args(args).env("PATH", "").output().unwrap();
    let missing = run(&["restore", "file:///x", "--at", "7"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cargo install vde-ship"));
    std::fs::write(&beside, "#!/bin/sh\necho \"$@\"\nexit 3\n").unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
    for args in [&["restore", "file:///x", "--at", "7"][..], &["verify", "file:///x"]] {
        let passed_on = run(args);
        assert_eq!(passed_on.status.code(), Some(3));
        assert_eq!(String::from_utf8_lossy(&passed_on.stdout), args.join(" ") + "\n");
    }
}
