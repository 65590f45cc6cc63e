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
