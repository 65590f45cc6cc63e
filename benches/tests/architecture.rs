//! Checks the arrows between the crates and the modules, as far as a test can.

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
fn no_crate_depends_on_a_crate_above_it() {
    let layers = ["stripe-lock", "vde-store", "triple-store", "benches"];
    let dependencies = dependencies();
    for (height, layer) in layers.iter().enumerate() {
        for above in layers[height..].iter().chain(&["loom-tests"]) {
            assert!(!dependencies[*layer].contains(*above), "{layer} must not depend on {above}");
        }
    }
    assert!(dependencies["vde-store"].contains("stripe-lock"));
    assert!(dependencies["stripe-lock-dist"].contains("stripe-lock"));
    for (member, needs) in &dependencies {
        for end in ["stripe-lock-dist", "vde-ship"] {
            assert!(!needs.contains(end), "{member} must not depend on {end}");
        }
    }
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
    assert!(unknown.is_empty(), "stripe-lock has new dependencies: {unknown:?}");
}

#[test]
fn the_distributed_locks_know_no_store() {
    let needs = &dependencies()["stripe-lock-dist"];
    let known = ["etcd-client", "rustix", "siphasher", "stripe-lock", "tokio", "tokio-postgres", "tonic"];
    let unknown: Vec<_> = needs.iter().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "stripe-lock-dist has new dependencies: {unknown:?}");
    for path in sources(&root().join("stripe-lock-dist/src")) {
        let code = fs::read_to_string(&path).expect("a source is text");
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for (engine, client) in [("postgres", "tokio_postgres"), ("etcd", "etcd_client")] {
            let of_engine = path.components().any(|part| part.as_os_str() == engine)
                || path.ends_with(format!("{engine}.rs"));
            assert!(of_engine || !code.contains(client), "{} knows an engine", path.display());
        }
    }
}

#[test]
fn one_module_of_the_shipper_calls_object_stores() {
    let needs = &dependencies()["vde-ship"];
    assert!(!needs.contains("stripe-lock"), "vde-ship must not depend on stripe-lock");
    assert!(needs.contains("vde-store"));
    let package = members().into_iter().find(|package| text(&package["name"]) == "vde-ship");
    let package = package.expect("it is a member");
    let server = package["dependencies"].as_array().expect("there is a list").iter();
    let mut server = server.filter(|dependency| text(&dependency["name"]) == "triple-store");
    assert!(server.all(|dependency| dependency["optional"] == true), "the library needs no triple store");
    for path in sources(&root().join("vde-ship/src")) {
        let code = fs::read_to_string(&path).expect("a source is text");
        let is_server = path.ends_with("bin/triples-ship.rs");
        assert!(is_server || !code.contains("triple_store"), "{} knows triple-store", path.display());
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let calls =
            lines.filter(|line| line.contains("object_store::") && !line.contains("object_store::Error"));
        assert!(path.ends_with("bucket.rs") || calls.count() == 0, "{} calls object stores", path.display());
    }
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
fn stripes_and_exact_keys_are_ordered_in_one_file_each() {
    for path in sources(&root().join("stripe-lock/src")) {
        let code = fs::read_to_string(&path).expect("a source is text");
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        let sorts = code.lines().any(|line| line.contains(".sort") && !line.trim_start().starts_with("//"));
        let name = path.file_name().expect("a source has a name").to_string_lossy().into_owned();
        // These sort for display: the hottest stripes first, and the holder of a stripe before its waiters.
        let shown = ["stats.rs", "diagnosis.rs"].contains(&name.as_str());
        let orders_keys = path.ends_with("asynchronous/keyed/tags.rs");
        assert!(
            !sorts || shown || orders_keys,
            "{name} sorts: only stripe_set.rs orders stripes, and only keyed/tags.rs orders exact keys"
        );
    }
    let striped =
        fs::read_to_string(root().join("stripe-lock/src/shared/striped.rs")).expect("a source is text");
    assert!(
        !striped.contains("raw::") && !striped.contains("lock_api"),
        "striped.rs knows no lock operation"
    );
}

/// The tiers of vde-store, from the top.
const TIERS: [&str; 3] = ["faces", "engine", "container"];

/// Lines of `code` that use a module of the crate other than `allowed`. Comments and tests are left out.
fn uses_outside<'a>(code: &'a str, allowed: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code.split("#[cfg(all(test").next().unwrap_or_default();
    let lines =
        code.lines().filter(|line| !["//", "#[doc"].iter().any(|prose| line.trim_start().starts_with(prose)));
    lines.filter(|line| {
        let named =
            |target: &str| allowed.contains(&target.split([':', ')', ';']).next().unwrap_or_default());
        line.split("crate::").skip(1).any(|target| !named(target))
    })
}

/// Checks that `src` has the folders `folders` and the files and folders `others`, and no more.
fn holds_nothing_but(src: &Path, folders: &[&str], others: &[&str]) {
    for entry in fs::read_dir(src).expect("the folder is there") {
        let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
        let is_folder = folders.contains(&name.trim_end_matches(".rs"));
        assert!(is_folder || others.contains(&&*name), "{name} is in no folder of the table");
    }
}

/// Checks that the sources in `folder` use no module of their crate outside `allowed`.
fn uses_nothing_but(src: &Path, folder: &str, allowed: &[&str]) {
    let files = sources(&src.join(folder));
    assert!(files.len() > 5, "{folder}: {files:?}");
    for path in files.iter().filter(|path| !path.ends_with("tests.rs")) {
        let code = fs::read_to_string(path).expect("a source is text");
        let outside: Vec<_> = uses_outside(&code, allowed).collect();
        assert!(outside.is_empty(), "{}: {outside:?}", path.display());
    }
}

#[test]
fn no_module_of_the_store_uses_a_tier_above_its_own() {
    let src = root().join("vde-store/src");
    for (height, tier) in TIERS.iter().enumerate() {
        uses_nothing_but(&src, tier, &TIERS[height..]);
    }
    holds_nothing_but(&src, &TIERS, &["bin", "lib.rs", "fuzzing.rs", "testing.rs", "testing"]);
}

#[test]
fn no_module_of_the_triple_store_uses_a_folder_above_its_own() {
    let src = root().join("triple-store/src");
    let folders = [
        "server",
        "sparql",
        "faces",
        "documents",
        "engine",
        "storage",
        "terms",
        "error",
        "parallel",
        "allocator",
    ];
    for (height, folder) in folders[..7].iter().enumerate() {
        uses_nothing_but(&src, folder, &folders[height..]);
    }
    holds_nothing_but(&src, &folders, &["bin", "lib.rs"]);
}

#[test]
fn the_blocking_and_the_async_locks_do_not_use_each_other() {
    let src = root().join("stripe-lock/src");
    let folders = ["shared", "blocking", "asynchronous"];
    uses_nothing_but(&src, "shared", &["shared"]);
    uses_nothing_but(&src, "blocking", &["shared", "blocking"]);
    uses_nothing_but(&src, "asynchronous", &["shared", "asynchronous"]);
    holds_nothing_but(&src, &folders, &["lib.rs", "guide.rs"]);
}

#[test]
fn the_guards_do_not_use_the_modules_that_take_locks() {
    let above = [
        ("blocking/lock.rs", &["take", "guard", "multi", "mutex", "rwlock", "reentrant"][..]),
        ("blocking/guard.rs", &["take", "multi", "mutex", "rwlock", "reentrant"]),
        ("blocking/multi.rs", &["take", "mutex", "rwlock", "reentrant", "batch"]),
        ("blocking/batch.rs", &["rwlock"]),
        ("asynchronous/set.rs", &["guard", "multi", "acquire", "extend", "methods", "mutex"]),
        ("asynchronous/guard.rs", &["multi", "acquire", "extend", "methods", "mutex", "semaphore"]),
        ("asynchronous/multi.rs", &["acquire", "extend", "methods", "mutex", "batch"]),
        ("asynchronous/acquire.rs", &["extend", "methods", "mutex", "rwlock", "semaphore", "batch"]),
        ("asynchronous/rwlock.rs", &["batch"]),
    ];
    for (file, above) in above {
        let path = root().join("stripe-lock/src").join(file);
        let (folder, _) = file.split_once('/').expect("a file in a folder");
        let parts = path.with_extension("");
        let parts = if parts.exists() { sources(&parts) } else { vec![] };
        for path in parts.iter().chain([&path]) {
            let code = fs::read_to_string(path).expect("a source is text");
            for module in above {
                let uses = [format!("super::{module}::"), format!("use crate::{folder}::{module}::")];
                assert!(!uses.iter().any(|used| code.contains(used)), "{} uses {module}", path.display());
            }
        }
    }
}

#[test]
fn a_use_of_a_tier_above_is_found() {
    let code =
        "use crate::container::log;\n// crate::faces::store\nuse crate::faces::store::Vde;\ncrate::Vde\n";
    let found: Vec<_> = uses_outside(code, &TIERS[1..]).collect();
    assert_eq!(found, ["use crate::faces::store::Vde;", "crate::Vde"]);
}
