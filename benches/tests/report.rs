//! The report, as a user runs it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn report(arguments: &[&str], out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stripe-report"))
        .args(arguments)
        .arg("--out")
        .arg(out)
        .output()
        .expect("the report was built for this test")
}

#[test]
fn a_file_that_does_not_parse_is_named_with_line_and_column_before_anything_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("broken.nq"), dir.path().join("out"));
    fs::write(&file, "<http://a/s> <http://a/p> \"fine\" .\n<http://a/s> <http://a/p> \"unfinished .\n")
        .unwrap();
    let result = report(&["--rdf", file.to_str().unwrap()], &out);
    assert_eq!(result.status.code(), Some(2));
    let said = String::from_utf8(result.stderr).unwrap();
    assert!(said.starts_with(&format!("{}:2:", file.display())), "{said}");
    assert!(result.stdout.is_empty());
    assert!(!out.exists(), "nothing is written of a report that was not made");
}

#[test]
fn a_missing_unknown_or_empty_file_is_named_before_anything_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (csv, empty) = (dir.path().join("data.csv"), dir.path().join("empty.ttl"));
    fs::write(&csv, "a,b\n").unwrap();
    fs::write(&empty, "# no triples\n").unwrap();
    for file in [&dir.path().join("missing.nq"), &csv, &empty] {
        let result = report(&["--rdf", file.to_str().unwrap()], &out);
        assert_eq!(result.status.code(), Some(2), "{}", file.display());
        let said = String::from_utf8(result.stderr).unwrap();
        assert!(said.starts_with(&file.display().to_string()), "{said}");
    }
    assert!(!out.exists());
}

#[test]
fn a_quick_report_has_every_part_as_json_and_as_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("friends.ttl");
    fs::write(
        &file,
        "PREFIX ex: <http://example.com/> ex:alice ex:knows ex:bob, ex:carol . ex:bob ex:age 42 .",
    )
    .unwrap();
    let result = report(&["--quick", "--json", "--rdf", file.to_str().unwrap()], dir.path());
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));

    let report: Value =
        serde_json::from_slice(&result.stdout).expect("standard output is JSON and nothing else");
    let ids: Vec<_> = report["sections"].as_array().unwrap().iter().map(|section| &section["id"]).collect();
    assert_eq!(ids, ["parallelism", "disk", "triples", "locks"]);
    for section in report["sections"].as_array().unwrap() {
        for table in section["tables"].as_array().unwrap() {
            for row in table["rows"].as_array().unwrap() {
                assert!(row["value"]["median"].as_f64().unwrap() > 0.0, "{row}");
            }
        }
    }
    let page = fs::read_to_string(dir.path().join("index.html")).unwrap();
    assert_eq!(page.matches("<svg role=\"img\" aria-label=").count(), 4);
    assert_eq!(page.matches("<svg").count(), 4, "every chart has a name");
    assert!(!page.contains("<script") && !page.contains("src="), "the page needs nothing from elsewhere");

    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "only the input and the page remain: {left:?}");
}
