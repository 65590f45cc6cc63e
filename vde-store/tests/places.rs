//! Paths and file systems at which a container can be opened, and those at which it can't.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use vde_store::{Error, Lock, Vde, VdeOptions};

/// Creates, writes, reopens, compacts and copies a store in `dir`.
fn use_store(dir: &Path, options: &VdeOptions) {
    let path = dir.join("store.vde");
    let open = || options.clone().segment_size(1 << 18).open(&path).unwrap();
    let store = open();
    for key in 0..50u8 {
        store.put([key], vec![key; 20_000]).unwrap();
    }
    store.checkpoint().unwrap();
    (0..50).step_by(2).for_each(|key: u8| assert!(store.delete([key]).unwrap()));
    store.compact().unwrap();
    store.backup(dir.join("copy.vde")).unwrap();
    store.close().unwrap();
    assert_eq!(open().list("").count(), 25);
    assert!(open().verify(|_| {}).unwrap().is_clean());
    fs::remove_file(&path).unwrap();
    fs::remove_file(dir.join("copy.vde")).unwrap();
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0, "no other file was left");
}

#[test]
fn a_store_works_on_disk_in_memory_and_without_locks() {
    let on_disk = tempfile::tempdir().unwrap();
    use_store(on_disk.path(), &VdeOptions::new());
    use_store(on_disk.path(), &VdeOptions::new().lock(Lock::None));
    // On Linux, this is usually a tmpfs.
    if let Ok(in_memory) = tempfile::tempdir_in("/dev/shm") {
        use_store(in_memory.path(), &VdeOptions::new());
    }
}

#[test]
fn without_locks_a_store_opens_twice_and_temporary_files_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let being_made = dir.path().join("store.vde.0123456789abcdef.partial");
    fs::write(&being_made, "").unwrap();
    let held = Vde::open(&path).unwrap();
    assert!(!being_made.exists(), "with locks, an unlocked temporary file is removed");
    assert!(matches!(Vde::open(&path), Err(Error::AlreadyOpen { path: named }) if named == path));
    drop(VdeOptions::new().lock(Lock::None).read_only(true).open(&path).unwrap());
    drop(held);
    fs::remove_file(&path).unwrap();
    fs::write(&being_made, "").unwrap();
    drop(VdeOptions::new().lock(Lock::None).open(&path).unwrap());
    assert!(being_made.exists());
}

#[test]
fn links_lead_to_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("real")).unwrap();
    symlink(at("real"), at("linked")).unwrap();
    let store = Vde::open(at("linked/store.vde")).unwrap();
    store.put("k", "v").unwrap();
    symlink(at("real/store.vde"), at("link.vde")).unwrap();
    fs::hard_link(at("real/store.vde"), at("hard.vde")).unwrap();
    for other in ["real/store.vde", "link.vde", "hard.vde"] {
        assert!(matches!(Vde::open(at(other)), Err(Error::AlreadyOpen { .. })), "{other}");
    }
    drop(store);
    assert!(Vde::open(at("link.vde")).unwrap().contains("k").unwrap());
    // Opening through a dangling link fails, and creates nothing.
    symlink(at("nowhere.vde"), at("dangling.vde")).unwrap();
    assert!(Vde::open(at("dangling.vde")).is_err() && !at("nowhere.vde").exists());
}

#[test]
fn messages_name_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("foreign"), vec![7; 100_000]).unwrap();
    drop(Vde::open(at("held")).unwrap());
    let _held = Vde::open(at("held")).unwrap();
    let strict = VdeOptions::new().create_if_missing(false);
    let named = |name: &str, failed: vde_store::Result<Vde>| {
        let (path, message) = (at(name).display().to_string(), failed.unwrap_err().to_string());
        assert!(message.contains(&path), "{message}");
    };
    named("missing", strict.clone().open(at("missing")));
    named("missing", strict.read_only(true).open(at("missing")));
    named("foreign", Vde::open(at("foreign")));
    named("foreign", Vde::create(at("foreign")));
    named("held", Vde::open(at("held")));
    named("no/directory", Vde::open(at("no/directory")));
    let copied = Vde::in_memory().unwrap().backup(at("held")).unwrap_err();
    assert!(copied.to_string().contains("held"), "{copied}");
}
