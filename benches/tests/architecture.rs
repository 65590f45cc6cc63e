//! The arrows between the crates and the modules, as far as a test can hold them.

mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use members::{members, root, text};

/// The names each member depends on, without development dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    members()
        .iter()
        .map(|package| {
            let needs = package["dependencies"].as_array().expect("there is a list").iter();
            let names = needs.filter(|d| d["kind"] != "dev").map(|d| text(&d["name"]).to_owned());
            (text(&package["name"]).to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn data_flows_down_through_the_crates() {
    let layers = ["stripe-lock", "vde-store", "triple-store", "benches"];
    let dependencies = dependencies();
    for (height, layer) in layers.iter().enumerate() {
        for above in layers[height..].iter().chain(&["loom-tests"]) {
            assert!(!dependencies[*layer].contains(*above), "{layer} must not depend on {above}");
        }
    }
    assert!(dependencies["vde-store"].contains("stripe-lock"));
    assert!(dependencies["triple-store"].contains("vde-store"));
}

#[test]
fn contenders_are_dependencies_of_the_benches_alone() {
    let contenders = [
        "async-lock",
        "dashmap",
        "fjall",
        "happylock",
        "heed",
        "keyed-lock",
        "lockable",
        "oxigraph",
        "redb",
        "rocksdb",
        "rusqlite",
        "saa",
        "scc",
        "sled",
        "striped-lock",
    ];
    for (member, needs) in dependencies() {
        let found = contenders.iter().find(|contender| needs.contains(**contender));
        assert!(member == "benches" || found.is_none(), "{member} depends on {found:?}");
    }
}

#[test]
fn the_locks_need_no_runtime() {
    let needs = &dependencies()["stripe-lock"];
    let known = [
        "ahash",
        "crossbeam-utils",
        "fnv",
        "libc",
        "lock_api",
        "loom",
        "parking_lot",
        "portable-atomic",
        "tracing",
    ];
    let unknown: Vec<_> = needs.iter().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "stripe-lock is what the world depends on; it gained {unknown:?}");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read").path());
    entries
        .flat_map(|path| match path.extension() {
            None if path.is_dir() => sources(&path),
            Some(extension) if extension == "rs" => vec![path],
            _ => vec![],
        })
        .collect()
}

#[test]
fn the_order_of_stripes_and_that_of_exact_keys_exist_in_one_file_each() {
    for path in sources(&root().join("stripe-lock/src")) {
        let code = fs::read_to_string(&path).expect("a source is text");
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let sorts = code.lines().any(|line| line.contains(".sort") && !line.trim_start().starts_with("//"));
        let name = path.file_name().expect("a source has a name").to_string_lossy().into_owned();
        // These sort for display: the hottest stripes first, and the holder of a stripe before its waiters.
        let shown = ["stats.rs", "diagnosis.rs"].contains(&name.as_str());
        let orders_keys = path.ends_with("future/keyed/tags.rs");
        assert!(
            !sorts || shown || orders_keys,
            "{name} sorts: order belongs to stripe_set.rs, that of exact keys to keyed/tags.rs"
        );
    }
    let striped = fs::read_to_string(root().join("stripe-lock/src/striped.rs")).expect("a source is text");
    assert!(
        !striped.contains("raw::") && !striped.contains("lock_api"),
        "striped.rs knows no lock operation"
    );
}

/// The floors of vde-store, from the top.
const FLOORS: [&str; 3] = ["faces", "engine", "container"];

/// Lines of `code` that are no comments, before its tests, and name anything of the crate but what is on `floors`.
fn arrows_beside<'a>(code: &'a str, floors: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code.split("#[cfg(all(test").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.filter(|line| {
        let named = |target: &str| floors.iter().any(|floor| target.starts_with(&format!("{floor}::")));
        line.split("crate::").skip(1).any(|target| !named(target))
    })
}

#[test]
fn the_modules_of_the_store_stand_on_three_floors_with_arrows_that_lead_down() {
    let src = root().join("vde-store/src");
    for (height, floor) in FLOORS.iter().enumerate() {
        let files = sources(&src.join(floor));
        assert!(files.len() > 5, "{floor}: {files:?}");
        for path in files.iter().filter(|path| !path.ends_with("tests.rs")) {
            let code = fs::read_to_string(path).expect("a source is text");
            let up: Vec<_> = arrows_beside(&code, &FLOORS[height..]).collect();
            assert!(up.is_empty(), "{}: {up:?}", path.display());
        }
    }
    let others = ["bin", "lib.rs", "fuzzing.rs", "testing.rs", "testing"];
    for entry in fs::read_dir(src).expect("the folder is there") {
        let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
        assert!(FLOORS.contains(&&*name) || others.contains(&&*name), "{name} stands on no floor");
    }
}

#[test]
fn an_arrow_that_leads_up_is_found() {
    let code =
        "use crate::container::log;\n// crate::faces::store\nuse crate::faces::store::Vde;\ncrate::Vde\n";
    let up: Vec<_> = arrows_beside(code, &FLOORS[1..]).collect();
    assert_eq!(up, ["use crate::faces::store::Vde;", "crate::Vde"]);
}
