//! Checks the manifests of the published crates.

mod members;

use std::fs;
use std::path::Path;

use members::{members, root, text};
use serde_json::Value;

/// The members that other crates may depend on.
fn published() -> Vec<Value> {
    members().into_iter().filter(|member| member["publish"].is_null()).collect()
}

/// Every package of the lock file, by name and version.
fn locked() -> Vec<(String, String)> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("there is a lock file");
    let field = |package: &str, name: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
        line.map(|value| value.trim_end_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|package| Some((field(package, "name")?, field(package, "version")?)))
        .collect()
}

/// `1.2` stands for `1.2.0`.
fn full(version: &str) -> String {
    let version = version.trim_start_matches(['^', '=']);
    format!("{version}{}", ".0".repeat(2 - version.matches('.').count().min(2)))
}

/// The tests run with the versions of the lock file. If these are the lowest that the manifests admit, the published
/// crates build and pass their tests with the lowest versions.
#[test]
fn the_lowest_version_admitted_is_the_one_tested() {
    let locked = locked();
    let mut wrong = Vec::new();
    for member in &published() {
        let dependencies = member["dependencies"].as_array().expect("there is a list").iter();
        for dependency in dependencies.filter(|dependency| dependency["path"].is_null()) {
            let (name, lowest) = (text(&dependency["name"]), full(text(&dependency["req"])));
            // Build metadata is no part of the order of versions.
            let is_lowest = |version: &str| version.split('+').next() == Some(&lowest);
            if !locked.iter().any(|(package, version)| package == name && is_lowest(version)) {
                wrong.push(format!("{}: {name} {lowest}", text(&member["name"])));
            }
        }
    }
    assert!(wrong.is_empty(), "the lock file has none of these: {wrong:#?}");
}

#[test]
fn published_crates_have_all_their_metadata() {
    for member in published() {
        for field in ["description", "license", "repository", "readme", "rust_version"] {
            assert!(!text(&member[field]).is_empty(), "{} has no {field}", text(&member["name"]));
        }
        for list in ["keywords", "categories"] {
            let named = member[list].as_array().map_or(0, Vec::len);
            assert!((1..=5).contains(&named), "{} has {named} {list}", text(&member["name"]));
        }
        let folder = Path::new(text(&member["manifest_path"])).parent().expect("a manifest lies in a folder");
        for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
            assert!(folder.join(licence).exists(), "{} has no {licence}", folder.display());
        }
    }
}
