//! Deletion of ranges of keys. `cursor.rs` compares such deletions with a model, and `crash.rs` does so after power
//! failures.

use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use vde_store::{Durability, Error, MAX_KEY_LEN, Vde, VdeOptions};

#[test]
fn a_deleted_range_is_one_record_and_leaves_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let options = VdeOptions::new().segment_size(1 << 18).background(false);
    let store = options.clone().open(&path).unwrap().with_durability(Durability::Buffered);
    let put_all = |value: &[u8]| (0..500u32).for_each(|i| _ = store.put(i.to_be_bytes(), value).unwrap());
    for value in [vec![1; 900], vec![2; 20], vec![3; 70_000]] {
        put_all(&value);
        store.checkpoint().unwrap();
        let full = store.stats().unwrap();
        let writes = full.writes;
        store.clear().unwrap();
        assert_eq!(store.stats().unwrap().writes, writes + 1, "a deleted range is one record");
        assert!(store.first().unwrap().is_none() && store.last().unwrap().is_none());
        store.put("first put when?", "").unwrap();
        let metadata = store.metadata("first put when?").unwrap().unwrap();
        assert_eq!(metadata.created, metadata.modified);
        store.clear().unwrap();
        store.checkpoint().unwrap();
        store.compact().unwrap();
        let empty = store.stats().unwrap();
        assert_eq!((empty.keys, empty.live_log_bytes), (0, 0));
        assert!(empty.page_bytes < 200_000, "{empty:?}");
        assert!(store.verify(|_| {}).unwrap().is_clean());
    }
    // The deletion of a range does not change a snapshot, and is in a backup and in the reopened store.
    put_all(b"kept");
    store.snapshot("full").unwrap();
    store.delete_range(..100u32.to_be_bytes()).unwrap();
    store.backup(dir.path().join("copy")).unwrap();
    store.flush().unwrap();
    drop(store);
    let store = options.open(&path).unwrap();
    for left in [&store, &Vde::open(dir.path().join("copy")).unwrap()] {
        assert_eq!(
            (left.list("").count(), left.first().unwrap().unwrap().key()),
            (400, &100u32.to_be_bytes()[..])
        );
    }
    assert_eq!(store.open_snapshot("full").unwrap().list("").count(), 500);
}

#[test]
fn a_range_is_not_deleted_while_one_of_its_keys_is_updated() {
    let store = Vde::in_memory().unwrap();
    store.put("k", "old").unwrap();
    let is_updating = AtomicBool::new(false);
    let is_cleared = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let update = store.update("k", |old| {
                is_updating.store(true, Ordering::SeqCst);
                // If `clear` did not wait, it would end meanwhile.
                for _ in 0..100 {
                    thread::sleep(Duration::from_millis(1));
                    assert!(!is_cleared.load(Ordering::SeqCst), "cleared during an update");
                }
                old.map(<[u8]>::to_vec)
            });
            update.unwrap();
        });
        while !is_updating.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        store.clear().unwrap();
        is_cleared.store(true, Ordering::SeqCst);
    });
    assert_eq!(store.get("k").unwrap(), None);
}

#[test]
fn bounds_of_any_allowed_length_delete_the_right_keys() {
    let longest = vec![0xFE; MAX_KEY_LEN];
    let store = Vde::in_memory().unwrap();
    let fill = || [&longest[..], b"\0", b"\xff"].iter().for_each(|key| _ = store.put(key, "").unwrap());
    let left = || store.list("").map(|entry| entry.unwrap().key()[0]).collect::<Vec<_>>();
    fill();
    store.delete_range(..=longest.as_slice()).unwrap();
    assert_eq!(left(), [0xFF]);
    fill();
    store.delete_range::<&[u8]>((Bound::Excluded(longest.as_slice()), Bound::Unbounded)).unwrap();
    assert_eq!(left(), [0, 0xFE]);
    store.delete_range(longest.as_slice()..longest.as_slice()).unwrap();
    store.delete_range(.."").unwrap();
    assert_eq!(left(), [0, 0xFE]);
    store.delete_range(""..="\0").unwrap();
    assert_eq!(left(), [0xFE]);
    let too_long = [&longest[..], b"x"].concat();
    assert!(matches!(store.delete_range(too_long.as_slice()..), Err(Error::InvalidKey { .. })));
    assert!(matches!(store.delete_range(..=too_long.as_slice()), Err(Error::InvalidKey { .. })));
    assert_eq!(left(), [0xFE]);
}
