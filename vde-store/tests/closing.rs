//! Closing a store, and the errors that it returns.

use std::io::ErrorKind;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vde_store::testing::{Fault, SimDisk};
use vde_store::{Durability, Error, Vde, VdeOptions};

#[test]
fn a_closed_store_can_be_opened_at_once_while_programs_are_started() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let starting = std::thread::spawn(|| {
        for _ in 0..200 {
            Command::new("/bin/true").spawn().unwrap().wait().unwrap();
        }
    });
    let options = VdeOptions::new().segment_size(1 << 18);
    let mut i = 0u32;
    while !starting.is_finished() {
        let store = options.clone().open(&path).unwrap();
        store.with_durability(Durability::Buffered).put("last", i.to_le_bytes()).unwrap();
        if i.is_multiple_of(2) {
            store.close().unwrap();
        }
        i += 1;
    }
    starting.join().unwrap();
    let store = Vde::open(&path).unwrap();
    assert_eq!(store.get("last").unwrap().unwrap(), (i - 1).to_le_bytes());
}

#[test]
fn closing_a_store_in_use_reports_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let by = |closed: vde_store::Result<()>| match closed {
        Err(Error::InUse { by }) => by,
        other => panic!("{other:?}"),
    };
    let store = Vde::open(&path).unwrap();
    let other = store.with_durability(Durability::Buffered);
    assert_eq!(by(store.close()), "another handle");
    other.put("k", vec![7; 1000]).unwrap();
    other.checkpoint().unwrap();
    let holders: [Box<dyn std::any::Any>; 4] = [
        Box::new(other.read_view()),
        Box::new(other.value("k").unwrap()),
        Box::new(other.reader("k").unwrap()),
        Box::new(other.first().unwrap()),
    ];
    assert_eq!(by(other.close()), "a view, reader or pinned value");
    for holder in holders {
        assert!(matches!(Vde::open(&path), Err(Error::AlreadyOpen { .. })));
        drop(holder);
    }
    let store = Vde::open(&path).unwrap();
    assert_eq!(store.recovery().records, 0, "a clean close leaves nothing to replay");
    store.close().unwrap();
    VdeOptions::new().read_only(true).open(&path).unwrap().close().unwrap();
}

#[test]
fn a_failure_while_closing_is_reported() {
    let disk = SimDisk::new();
    let store = VdeOptions::new().background(false).open_device(disk.device()).unwrap();
    store.with_durability(Durability::Buffered).put("k", "v").unwrap();
    disk.fail(Fault { at: 0, error: ErrorKind::StorageFull, forever: true });
    let failed = store.close();
    assert!(matches!(failed, Err(Error::Full { .. })), "{failed:?}");
}

#[tokio::test]
async fn closing_can_be_awaited() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let store = Vde::open(&path).unwrap().to_async();
    store.with_durability(Durability::Buffered).put("k", "v").await.unwrap();
    let other = store.clone();
    assert!(matches!(store.close().await, Err(Error::InUse { .. })));
    other.close().await.unwrap();
    assert!(Vde::open(&path).unwrap().contains("k").unwrap());
}

#[test]
fn the_power_may_be_cut_at_any_moment_of_closing() {
    let disk = SimDisk::new();
    let options = || VdeOptions::new().background(false).segment_size(1 << 18);
    let store = options().open_device(disk.device()).unwrap();
    store.put("k", "v").unwrap();
    // After the checkpoint, one superblock is durable, and the other was written without a sync.
    store.checkpoint().unwrap();
    let cuts = Arc::new(AtomicUsize::new(0));
    let seen = cuts.clone();
    disk.before_each_operation(move |cut| {
        for seed in 0..100 {
            let left = options().open_device(cut.image(seed).device());
            let left = left.unwrap_or_else(|e| panic!("cut before {:?}: {e}", cut.operation()));
            assert_eq!(left.get("k").unwrap().unwrap(), b"v");
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });
    store.close().unwrap();
    assert!(cuts.load(Ordering::Relaxed) >= 200);
}
