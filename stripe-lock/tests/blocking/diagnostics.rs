//! The compiler's errors for a type parameter in the wrong place. The test compiles a program that depends on the
//! library, with the features that need the fewest other crates.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The errors of `cargo check` for a program with this type of locks. `None` if it compiles.
fn complaint(package: &Path, locks: &str) -> Option<String> {
    let source = format!(
        "use stripe_lock::{{raw::{{self, *}}, *}};\n\nfn main() {{\n    let _locks: {locks} = Default::default();\n}}\n"
    );
    fs::write(package.join("src/main.rs"), source).expect("the folder can be written");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(package).args(["check", "--offline", "--quiet"]);
    let output = cargo.env("CARGO_TARGET_DIR", package.join("target")).output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

/// A package that depends on the library.
fn package() -> PathBuf {
    let (library, package) =
        (Path::new(env!("CARGO_MANIFEST_DIR")), Path::new(env!("CARGO_TARGET_TMPDIR")).join("diagnostics"));
    fs::create_dir_all(package.join("src")).expect("the folder can be made");
    let path = library.to_str().expect("the path is text");
    let manifest = format!(
        "[package]\nname = \"diagnostics\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         stripe-lock = {{ path = {path:?}, default-features = false, features = [\"std\", \"fnv\"] }}\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).expect("the folder can be written");
    // With these versions, nothing has to be downloaded.
    fs::copy(library.join("../Cargo.lock"), package.join("Cargo.lock")).expect("there is a lock file");
    package
}

#[test]
fn errors_for_a_hasher_in_place_of_the_raw_lock_name_the_right_place() {
    let package = package();
    for right in [
        "StripedMutex<u64, (), DefaultRawMutex, Fnv1a>",
        "StripedReentrantMutex<u64, (), DefaultRawMutex, DefaultThreadId, Fnv1a>",
    ] {
        assert_eq!(complaint(&package, right), None, "{right}");
    }
    for (wrong, what, right) in [
        (
            "StripedMutex<u64, (), Fnv1a>",
            "is not a raw mutex",
            "`StripedMutex<K, T, raw::DefaultRawMutex, S>`",
        ),
        (
            "StripedRwLock<u64, (), Fnv1a>",
            "is not a raw read-write lock",
            "`StripedRwLock<K, T, raw::DefaultRawRwLock, S>`",
        ),
        (
            "StripedReentrantMutex<u64, (), DefaultRawMutex, Fnv1a>",
            "does not identify threads",
            "`StripedReentrantMutex<K, T, raw::DefaultRawMutex, raw::DefaultThreadId, S>`",
        ),
    ] {
        let said = complaint(&package, wrong).expect("it does not compile");
        assert!(said.contains(what) && said.contains(right), "{wrong}: {said}");
    }
}
