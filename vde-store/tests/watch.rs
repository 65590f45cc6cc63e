//! Watching a store. A view plus the changes after it equals the contents of the store, and every yielded change is
//! durable.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use fastrand::Rng;
use futures_core::Stream;
use vde_store::testing::{Bug, Fault, SimDisk};
use vde_store::{Change, ChangeKind, Durability, Error, ReadView, Vde, VdeOptions, Watch};

/// The version of each key.
type Versions = BTreeMap<Vec<u8>, u64>;

fn versions(view: &ReadView) -> Versions {
    let of = |entry: vde_store::Entry| (entry.key().to_vec(), entry.metadata().unwrap().version);
    view.list("").map(|entry| of(entry.unwrap())).collect()
}

fn apply(versions: &mut Versions, change: &Change) {
    let key = change.key.to_vec();
    match &change.kind {
        ChangeKind::Put => {
            versions.insert(key, change.version);
        }
        ChangeKind::Delete => {
            versions.remove(&key);
        }
        ChangeKind::DeleteRange(until) => {
            let until = until.as_ref().map_or(Bound::Unbounded, |until| Bound::Excluded(until.to_vec()));
            let gone: Vec<_> =
                versions.range((Bound::Included(key), until)).map(|(key, _)| key.clone()).collect();
            versions.retain(|key, _| !gone.contains(key));
        }
        other => panic!("{other:?}"),
    }
}

/// Follows the store until it is closed.
fn follow(view: ReadView, changes: Watch) -> Versions {
    let mut known = versions(&view);
    drop(view);
    let mut last = known.values().max().copied().unwrap_or(0);
    let mut in_batch = false;
    for change in changes {
        let change = change.unwrap();
        assert!(change.version > last, "{change:?} after {last}");
        assert!(!in_batch || change.version == last + 1, "{change:?} does not follow {last} within a batch");
        apply(&mut known, &change);
        (last, in_batch) = (change.version, !change.ends_batch);
    }
    assert!(!in_batch);
    known
}

fn write(store: &Vde, rng: &mut Rng) {
    let mut key = || format!("{:02}", rng.u8(..60));
    let (a, b, c) = (key(), key(), key());
    match rng.u8(..12) {
        0..4 => _ = store.put(a, vec![1; rng.usize(..600)]).unwrap(),
        4..6 => _ = store.with_durability(Durability::Buffered).put(a, "buffered").unwrap(),
        6 => drop(store.delete(a).unwrap()),
        7 => drop(store.update(a, |old| old.is_none().then(|| b"made".to_vec())).unwrap()),
        8 => store.delete_range(a..b).unwrap(),
        9 => _ = store.put(a, vec![2; 70_000]).unwrap(),
        _ => {
            let mut batch = store.batch();
            batch.put(&a, "1").delete_range(b..c).put(a, "2");
            batch.commit().unwrap();
        }
    }
}

#[test]
fn a_view_and_the_changes_after_it_equal_the_store() {
    for seed in 0..3 {
        let options = VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(64 << 10);
        let store = options.in_memory().unwrap();
        let is_done = &AtomicBool::new(false);
        let (left, followed) = thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|n| {
                    let (store, mut rng) = (store.clone(), Rng::with_seed(seed * 10 + n));
                    scope.spawn(move || (0..500).for_each(|_| write(&store, &mut rng)))
                })
                .collect();
            let tidying = store.clone();
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    tidying.compact().unwrap();
                }
            });
            let watchers: Vec<_> = (0..5)
                .map(|_| {
                    write(&store, &mut Rng::with_seed(seed));
                    let (view, changes) = store.watch().unwrap();
                    scope.spawn(move || follow(view, changes))
                })
                .collect();
            for writer in writers {
                writer.join().unwrap();
            }
            is_done.store(true, Ordering::Relaxed);
            let left = versions(&store.read_view());
            drop(store);
            (left, watchers.into_iter().map(|watcher| watcher.join().unwrap()).collect::<Vec<_>>())
        });
        assert!(followed.iter().all(|followed| *followed == left), "seed {seed}");
    }
}

#[test]
fn a_logged_write_is_in_the_view_or_among_the_changes() {
    let is_complete = |options: VdeOptions| {
        let store = options.background(false).in_memory().unwrap();
        store.with_durability(Durability::Buffered).put("k", "v").unwrap();
        let (view, mut changes) = store.watch().unwrap();
        store.flush().unwrap();
        view.contains("k").unwrap() != changes.try_next().unwrap().is_some()
    };
    assert!(is_complete(VdeOptions::new()));
    assert!(!is_complete(VdeOptions::new().plant(Bug::WatchLate)), "the planted bug is found");
}

/// Whether every yielded change survives a power failure directly after it.
fn is_durable_when_yielded(options: &VdeOptions, seed: u64) -> bool {
    let disk = SimDisk::new();
    let mut rng = Rng::with_seed(seed);
    let store = options.clone().segment_size(1 << 18).background(false).open_device(disk.device()).unwrap();
    let (view, mut changes) = store.watch().unwrap();
    let mut received = versions(&view);
    for _ in 0..60 {
        let hasty = store.with_durability(Durability::Buffered);
        write(if rng.bool() { &hasty } else { &store }, &mut rng);
        if rng.u8(..10) == 0 {
            store.checkpoint().unwrap();
        }
        let mut newest = 0;
        while let Some(change) = changes.try_next().unwrap() {
            apply(&mut received, &change);
            newest = change.version;
        }
        let left = VdeOptions::new().background(false).open_device(disk.crash(rng.u64(..)).device()).unwrap();
        if left.stats().unwrap().writes < newest {
            return false;
        }
    }
    store.flush().unwrap();
    while let Some(change) = changes.try_next().unwrap() {
        apply(&mut received, &change);
    }
    assert_eq!(received, versions(&store.read_view()));
    true
}

#[test]
fn every_yielded_change_survives_a_power_cut() {
    assert!((0..20).all(|seed| is_durable_when_yielded(&VdeOptions::new(), seed)));
    let early = VdeOptions::new().plant(Bug::TellEarly);
    assert!(!(0..20).all(|seed| is_durable_when_yielded(&early, seed)), "the planted bug is found");
}

#[test]
fn a_watcher_that_falls_behind_gets_an_error_and_can_start_again() {
    let store = VdeOptions::new().watch_bytes(4 << 10).in_memory().unwrap();
    let (_, mut slow) = store.watch().unwrap();
    let (_, mut quick) = store.watch().unwrap();
    for i in 0..200 {
        store.put(format!("{i:050}"), "").unwrap();
        assert!(quick.try_next().unwrap().is_some());
    }
    assert!(matches!(slow.next(), Some(Err(Error::FellBehind))));
    assert!(slow.next().is_none());
    let (view, mut anew) = store.watch().unwrap();
    assert_eq!(view.list("").count(), 200);
    store.put("k", "v").unwrap();
    assert_eq!(*anew.next().unwrap().unwrap().key, *b"k");
    assert_eq!(*quick.next().unwrap().unwrap().key, *b"k");
    let refused = VdeOptions::new().watch_bytes(1).in_memory();
    assert!(matches!(refused, Err(Error::InvalidOption { option: "watch_bytes", .. })));
}

#[test]
fn a_failure_and_closing_the_store_end_a_watch() {
    let disk = SimDisk::new();
    let store = VdeOptions::new().open_device(disk.device()).unwrap();
    let (_, mut changes) = store.watch().unwrap();
    store.put("kept", "v").unwrap();
    disk.fail(Fault { at: disk.operations(), error: ErrorKind::Other, forever: true });
    assert!(store.put("lost", "v").is_err());
    assert_eq!(*changes.next().unwrap().unwrap().key, *b"kept");
    assert!(matches!(changes.next(), Some(Err(Error::Poisoned { .. }))));
    assert!(changes.next().is_none());

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let store = Vde::open(&path).unwrap();
    let (view, mut changes) = store.watch().unwrap();
    drop(view);
    store.put("k", "v").unwrap();
    store.close().expect("a watch does not keep the store open");
    assert!(changes.next().is_some() && changes.next().is_none());
    let reader = VdeOptions::new().read_only(true).open(&path).unwrap();
    assert!(matches!(reader.watch(), Err(Error::ReadOnly)));
}

#[tokio::test]
async fn a_task_waits_for_changes() {
    let store = Vde::in_memory().unwrap().to_async();
    let (view, mut changes) = store.watch().await.unwrap();
    drop(view);
    let (_, mut dropped) = store.watch().await.unwrap();
    let pending = |changes: &mut Watch| {
        let polled = Pin::new(changes).poll_next(&mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Pending)
    };
    assert!(pending(&mut changes) && pending(&mut dropped));
    drop(dropped);
    let watching = tokio::spawn(async move {
        let mut keys = Vec::new();
        while let Some(change) = poll_fn(|cx| Pin::new(&mut changes).poll_next(cx)).await {
            keys.push(change.unwrap().key);
        }
        keys
    });
    for key in 0..100u8 {
        store.put([key], "v").await.unwrap();
        tokio::task::yield_now().await;
    }
    store.close().await.unwrap();
    assert!(watching.await.unwrap().iter().map(|key| key[0]).eq(0..100));
}
