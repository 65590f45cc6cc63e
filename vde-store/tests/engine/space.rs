//! Dead data is freed, and live data stays.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fastrand::Rng;
use vde_store::{Durability, UserMetadata, VdeOptions};

use crate::{busy, bytes, contents, place};

#[test]
fn overwriting_reuses_space_and_compacting_returns_it() {
    let (_dir, path) = place();
    let store = busy().open(&path).unwrap().with_durability(Durability::Buffered);
    let mut rng = Rng::with_seed(1);
    for _ in 0..30 {
        for key in 0..400u32 {
            store.put(key.to_be_bytes(), bytes(&mut rng, 1000)).unwrap();
        }
    }
    store.checkpoint().unwrap();
    let live = 400 * 1040;
    let grown = store.stats().unwrap().container_bytes;
    assert!(grown < 12_000_000, "30 times 400 kB were written into {grown} bytes");
    store.compact().unwrap();
    let stats = store.stats().unwrap();
    // Room for a segment of pages, the log segment that is being written, and the segments that are preallocated for
    // the log.
    assert!(stats.container_bytes < live + (6 << 18), "{stats:?}");
    assert!(store.verify(|_| {}).unwrap().is_clean());
    assert_eq!(store.list("").count(), 400);
    for key in 0..400u32 {
        store.delete(key.to_be_bytes()).unwrap();
    }
    store.compact().unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.container_bytes <= 8192 + (5 << 18), "{stats:?}");
    assert!(stats.log_bytes + stats.page_bytes <= 2 << 18, "{stats:?}");
}

#[test]
fn compacting_does_not_disturb_concurrent_writers() {
    let (_dir, path) = place();
    let store = busy().background(false).open(&path).unwrap().with_durability(Durability::Buffered);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = Rng::with_seed(9);
            while !stop.load(Ordering::Relaxed) {
                store.put([rng.u8(..8)], bytes(&mut rng, 50_000)).unwrap();
            }
        });
        // Results are checked after the writer has stopped, because after a panic here it would never stop.
        let compacted: Vec<_> = (0..15).map(|_| store.compact()).collect();
        stop.store(true, Ordering::Relaxed);
        for freed in compacted {
            freed.unwrap();
        }
    });
    assert!(store.verify(|_| {}).unwrap().is_clean());
}

#[test]
fn compacting_moves_large_values_to_the_front() {
    let (_dir, path) = place();
    let store = busy().open(&path).unwrap();
    let mut rng = Rng::with_seed(2);
    let values: Vec<_> = (0..6).map(|_| bytes(&mut rng, 300_000)).collect();
    let tags = UserMetadata::from([("kind".to_owned(), "large".to_owned())]);
    for (key, value) in (0u8..).zip(&values) {
        store.put_with([key], &value[..], &tags).unwrap();
    }
    store.checkpoint().unwrap();
    let before = store.metadata([5]).unwrap().unwrap();
    let pinned = store.value([5]).unwrap().unwrap();
    for key in 0..4u8 {
        assert!(store.delete([key]).unwrap());
    }
    // Pinned space is not freed before it is released.
    store.compact().unwrap();
    assert_eq!(&*pinned, values[5]);
    drop(pinned);
    store.compact().unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.container_bytes <= 8192 + (7 << 18), "{stats:?}");
    assert_eq!(store.metadata([5]).unwrap().unwrap(), before);
    drop(store);
    let store = busy().open(&path).unwrap();
    assert_eq!(store.get([4]).unwrap().unwrap(), values[4]);
    assert_eq!(store.get([5]).unwrap().unwrap(), values[5]);
    assert!(store.verify(|_| {}).unwrap().is_clean());
    store.delete([4]).unwrap();
    store.delete([5]).unwrap();
    store.compact().unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.log_bytes + stats.page_bytes <= 2 << 18, "nothing leaks: {stats:?}");
}

#[test]
fn snapshots_stay_until_they_are_deleted_and_then_their_space_is_returned() {
    let (_dir, path) = place();
    let store = busy().open(&path).unwrap().with_durability(Durability::Buffered);
    let mut rng = Rng::with_seed(3);
    let mut expected = Vec::new();
    for round in 0..4 {
        for key in 0..200u32 {
            store.put(key.to_be_bytes(), bytes(&mut rng, 800)).unwrap();
        }
        store.put("large", bytes(&mut rng, 150_000)).unwrap();
        store.delete(round.to_string()).unwrap();
        store.flush().unwrap();
        expected.push(contents(&store.read_view()));
        assert_eq!(store.snapshot(&round.to_string()).unwrap().keys, 201);
    }
    assert!(matches!(store.snapshot("1"), Err(vde_store::Error::SnapshotExists { .. })));
    drop(store);
    let store = busy().open(&path).unwrap().with_durability(Durability::Buffered);
    for key in 0..200u32 {
        store.put(key.to_be_bytes(), "short").unwrap();
    }
    store.compact().unwrap();
    assert_eq!(store.list_snapshots().len(), 4);
    for (round, expected) in expected.iter().enumerate() {
        assert_eq!(contents(&store.open_snapshot(&round.to_string()).unwrap()), *expected);
    }
    let open = store.open_snapshot("2").unwrap();
    for round in [1, 2, 0] {
        store.delete_snapshot(&round.to_string()).unwrap();
    }
    store.compact().unwrap();
    assert_eq!(contents(&open), expected[2], "an open view of a deleted snapshot");
    assert_eq!(contents(&store.open_snapshot("3").unwrap()), expected[3]);
    assert!(matches!(store.open_snapshot("2"), Err(vde_store::Error::SnapshotNotFound { .. })));
    let held = store.stats().unwrap().container_bytes;
    drop(open);
    store.delete_snapshot("3").unwrap();
    store.delete("large").unwrap();
    store.compact().unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.container_bytes < held && stats.container_bytes <= 8192 + (5 << 18), "{stats:?}");
    assert!(store.verify(|_| {}).unwrap().is_clean());
}

#[test]
fn a_snapshot_keeps_only_the_space_of_its_own_data() {
    let (_dir, path) = place();
    let store = busy().background(false).open(&path).unwrap().with_durability(Durability::Buffered);
    let mut rng = Rng::with_seed(5);
    let mut overwrite = || {
        for key in 0..100u32 {
            store.put(key.to_be_bytes(), bytes(&mut rng, 1000)).unwrap();
        }
        store.put("large", bytes(&mut rng, 200_000)).unwrap();
        store.checkpoint().unwrap();
    };
    overwrite();
    store.snapshot("s").unwrap();
    for _ in 0..5 {
        overwrite();
    }
    let before = store.stats().unwrap().container_bytes;
    for _ in 0..50 {
        overwrite();
    }
    let after = store.stats().unwrap().container_bytes;
    assert!(
        after <= before + (2 << 18),
        "50 times 300 kB were written beside a snapshot: {before} to {after} bytes"
    );
}

#[test]
fn a_closed_store_has_little_dead_log() {
    // The store makes a checkpoint only when it is closed, so before that no record is known to be dead.
    let options = || VdeOptions::new().segment_size(1 << 18);
    let (_dir, path) = place();
    let store = options().open(&path).unwrap().with_durability(Durability::Buffered);
    let mut rng = Rng::with_seed(6);
    for _ in 0..20_000 {
        store.put(rng.u32(..4000).to_be_bytes(), bytes(&mut rng, 1000)).unwrap();
    }
    for key in (0..4000u32).step_by(5) {
        store.delete(key.to_be_bytes()).unwrap();
    }
    let model = contents(&store.read_view());
    drop(store);
    let store = options().read_only(true).open(&path).unwrap();
    let stats = store.stats().unwrap();
    let live = model.len() as u64 * 1042;
    // Room for a segment that is being written and one that is nearly full.
    assert!(stats.log_bytes <= live * 5 / 4 + (2 << 18), "{live} of {stats:?}");
    assert_eq!(contents(&store.read_view()), model);
    assert!(store.verify(|_| {}).unwrap().is_clean());
}
