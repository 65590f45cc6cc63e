//! Checks that the tests that `PROMISES.md` names are there.

use std::fs;
use std::path::Path;

/// The tests that a text names as `file::function`.
fn named(text: &str) -> Vec<(&str, &str)> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let quoted = text.split('`').skip(1).step_by(2);
    let parts = quoted.filter_map(|quoted| quoted.split_once("::"));
    parts.filter(|(file, function)| is_name(file) && is_name(function)).collect()
}

/// The tests among `named` that are missing in `tests/`.
fn missing<'a>(named: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let is_there = |(file, function): &(&str, &str)| {
        let source = fs::read_to_string(folder.join(format!("{file}.rs"))).unwrap_or_default();
        source.lines().zip(source.lines().skip(1)).any(|(before, line)| {
            let begins = line.trim_start_matches("async ").strip_prefix("fn ");
            let is_test = before.starts_with("#[test]") || before.starts_with("#[tokio::test");
            is_test && begins.and_then(|rest| rest.split_once('(')).is_some_and(|(name, _)| name == *function)
        })
    };
    named.iter().copied().filter(|test| !is_there(test)).collect()
}

#[test]
fn every_promise_has_its_tests() {
    let text = include_str!("../PROMISES.md");
    let rows: Vec<_> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise")).collect();
    assert!(rows.len() > 15, "{} rows", rows.len());
    for row in rows {
        assert!(!named(row).is_empty(), "no test: {row}");
    }
    assert_eq!(missing(&named(text)), []);
}

#[test]
fn a_missing_test_is_found() {
    let text = "`ship::every_point_is_restored`, `ship::no_such_test`, `nowhere::every_point_is_restored`, `ship::check`";
    assert_eq!(
        missing(&named(text)),
        [("ship", "no_such_test"), ("nowhere", "every_point_is_restored"), ("ship", "check")]
    );
}
