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
    assert!(dependencies["stripe-lock-dist"].contains("stripe-lock"));
    for (member, needs) in &dependencies {
        assert!(!needs.contains("stripe-lock-dist"), "{member} must not depend on stripe-lock-dist");
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
    assert!(unknown.is_empty(), "stripe-lock is what the world depends on; it gained {unknown:?}");
}

#[test]
fn the_distributed_locks_know_no_store() {
    let needs = &dependencies()["stripe-lock-dist"];
    let known = ["rustix", "siphasher", "stripe-lock", "tokio", "tokio-postgres"];
    let unknown: Vec<_> = needs.iter().filter(|name| !known.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "stripe-lock-dist knows the locks and an engine; it gained {unknown:?}");
    for path in sources(&root().join("stripe-lock-dist/src")) {
        let code = fs::read_to_string(&path).expect("a source is text");
        let engine =
            path.components().any(|part| part.as_os_str() == "postgres") || path.ends_with("postgres.rs");
        let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        assert!(engine || !code.contains("tokio_postgres"), "{} knows an engine", path.display());
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
fn the_order_of_stripes_and_that_of_exact_keys_exist_in_one_file_each() {
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
            "{name} sorts: order belongs to stripe_set.rs, that of exact keys to keyed/tags.rs"
        );
    }
    let striped =
        fs::read_to_string(root().join("stripe-lock/src/shared/striped.rs")).expect("a source is text");
    assert!(
        !striped.contains("raw::") && !striped.contains("lock_api"),
        "striped.rs knows no lock operation"
    );
}

/// The floors of vde-store, from the top.
const FLOORS: [&str; 3] = ["faces", "engine", "container"];

/// Lines of `code` that are no prose, before its tests, and name anything of the crate but what is on `floors`.
fn arrows_beside<'a>(code: &'a str, floors: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code.split("#[cfg(all(test").next().unwrap_or_default();
    let lines =
        code.lines().filter(|line| !["//", "#[doc"].iter().any(|prose| line.trim_start().starts_with(prose)));
    lines.filter(|line| {
        let named = |target: &str| floors.contains(&target.split([':', ')', ';']).next().unwrap_or_default());
        line.split("crate::").skip(1).any(|target| !named(target))
    })
}

/// What a crate has beside its rooms or floors.
fn holds_nothing_but(src: &Path, rooms: &[&str], others: &[&str]) {
    for entry in fs::read_dir(src).expect("the folder is there") {
        let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
        let is_room = rooms.contains(&name.trim_end_matches(".rs"));
        assert!(is_room || others.contains(&&*name), "{name} stands nowhere");
    }
}

/// The sources of `room`, which name nothing of their crate but what is in `rooms`.
fn names_nothing_beside(src: &Path, room: &str, rooms: &[&str]) {
    let files = sources(&src.join(room));
    assert!(files.len() > 5, "{room}: {files:?}");
    for path in files.iter().filter(|path| !path.ends_with("tests.rs")) {
        let code = fs::read_to_string(path).expect("a source is text");
        let beside: Vec<_> = arrows_beside(&code, rooms).collect();
        assert!(beside.is_empty(), "{}: {beside:?}", path.display());
    }
}

#[test]
fn the_modules_of_the_store_stand_on_three_floors_with_arrows_that_lead_down() {
    let src = root().join("vde-store/src");
    for (height, floor) in FLOORS.iter().enumerate() {
        names_nothing_beside(&src, floor, &FLOORS[height..]);
    }
    holds_nothing_but(&src, &FLOORS, &["bin", "lib.rs", "fuzzing.rs", "testing.rs", "testing"]);
}

#[test]
fn the_folders_of_the_triple_store_use_those_below_alone() {
    let src = root().join("triple-store/src");
    let rooms = ["server", "sparql", "faces", "documents", "engine", "storage", "terms", "error", "parallel"];
    for (height, room) in rooms[..7].iter().enumerate() {
        names_nothing_beside(&src, room, &rooms[height..]);
    }
    holds_nothing_but(&src, &rooms, &["bin", "lib.rs"]);
}

#[test]
fn the_locks_have_three_rooms_and_the_blocking_and_the_async_one_do_not_know_each_other() {
    let src = root().join("stripe-lock/src");
    let rooms = ["shared", "blocking", "asynchronous"];
    names_nothing_beside(&src, "shared", &["shared"]);
    names_nothing_beside(&src, "blocking", &["shared", "blocking"]);
    names_nothing_beside(&src, "asynchronous", &["shared", "asynchronous"]);
    holds_nothing_but(&src, &rooms, &["lib.rs", "guide.rs"]);
}

#[test]
fn what_takes_locks_knows_the_guards_and_not_the_other_way_round() {
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
        let code = fs::read_to_string(root().join("stripe-lock/src").join(file)).expect("a source is text");
        let (room, _) = file.split_once('/').expect("a file in a room");
        for module in above {
            let paths = [format!("use super::{module}::"), format!("use crate::{room}::{module}::")];
            assert!(!paths.iter().any(|path| code.contains(path)), "{file} imports {module}");
        }
    }
}

#[test]
fn an_arrow_that_leads_up_is_found() {
    let code =
        "use crate::container::log;\n// crate::faces::store\nuse crate::faces::store::Vde;\ncrate::Vde\n";
    let up: Vec<_> = arrows_beside(code, &FLOORS[1..]).collect();
    assert_eq!(up, ["use crate::faces::store::Vde;", "crate::Vde"]);
}
