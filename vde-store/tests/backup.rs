//! Backups. A backup shows the store at one moment, continues its versions, and changes no other file.

#[path = "common/place.rs"]
mod place;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use place::{place, small};
use vde_store::{Error, Vde};

#[test]
fn a_backup_shows_one_moment_while_writers_continue() {
    let (dir, path) = place();
    let store = small().open(&path).unwrap();
    let pair = |store: &Vde, i: u32| {
        let mut batch = store.batch();
        batch.put("left", i.to_le_bytes()).put("right", i.to_le_bytes());
        batch.commit().unwrap();
    };
    pair(&store, 0);
    let (written, done) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                pair(&store, written.fetch_add(1, Ordering::Relaxed));
            }
        });
        for round in 0..5 {
            let copy = dir.path().join(format!("copy-{round}.vde"));
            assert_eq!(store.backup(&copy).unwrap(), 2);
            assert!(matches!(store.backup(&copy), Err(Error::Io { .. })), "an existing file is not replaced");
            // The writer continues.
            let before = written.load(Ordering::Relaxed);
            while written.load(Ordering::Relaxed) < before + 2 {
                thread::yield_now();
            }
            let copy = small().open(copy).unwrap();
            assert_eq!(copy.get("left").unwrap(), copy.get("right").unwrap());
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn versions_in_a_backup_continue_those_of_the_store() {
    let (dir, path) = place();
    let store = small().open(&path).unwrap();
    for i in 0..50u8 {
        store.put([i % 7], [i]).unwrap();
    }
    let newest = store.metadata([0]).unwrap().unwrap().version;
    let copy = dir.path().join("copy.vde");
    store.backup(&copy).unwrap();
    for _ in 0..2 {
        let copy = small().open(&copy).unwrap();
        let given: Vec<u64> = (0..7).map(|key| copy.metadata([key]).unwrap().unwrap().version).collect();
        copy.put("new", "v").unwrap();
        let next = copy.metadata("new").unwrap().unwrap().version;
        assert!(next > newest && given.iter().all(|version| *version < next), "{next} after {given:?}");
    }
    let second = dir.path().join("second.vde");
    small().open(&copy).unwrap().backup(&second).unwrap();
    let (copy, second) = (small().open(&copy).unwrap(), small().open(&second).unwrap());
    second.put("newer", "v").unwrap();
    let version = |store: &Vde, key: &str| store.metadata(key).unwrap().unwrap().version;
    assert!(version(&second, "newer") > version(&copy, "new"));
    assert!(second.verify(|_| {}).unwrap().is_clean());
}

#[test]
fn a_backup_touches_no_file_but_its_own() {
    let (dir, path) = place();
    let store = small().open(&path).unwrap();
    store.put("k", "v").unwrap();
    // An existing store, and the temporary file of a killed backup.
    let neighbour = dir.path().join("copy.vde.partial");
    Vde::open(&neighbour).unwrap().put("theirs", "1").unwrap();
    let left = dir.path().join("copy.vde.00112233aabbccdd.partial");
    std::fs::write(&left, "half").unwrap();
    store.backup(dir.path().join("copy.vde")).unwrap();
    assert!(Vde::open(&neighbour).unwrap().contains("theirs").unwrap());
    assert!(!left.exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
}
