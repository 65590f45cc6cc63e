//! The engine over time: checkpoints, collection, snapshots, views, large values and metadata, against a model.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fastrand::Rng;
use tempfile::TempDir;
use vde_store::{Compression, Durability, ReadView, UserMetadata, Vde, VdeOptions};

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    (dir, path)
}

/// Segments and memtables so small that everything happens often.
fn busy() -> VdeOptions {
    VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(200 << 10)
}

fn contents(view: &ReadView) -> Contents {
    let entry = |entry: vde_store::Result<vde_store::Entry>| {
        let entry = entry.unwrap();
        let value = entry.value().unwrap().to_vec();
        assert_eq!(entry.len(), value.len() as u64);
        (entry.into_key().into_vec(), value)
    };
    view.list("").map(entry).collect()
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

#[test]
fn writers_checkpoints_and_collection_keep_to_the_model() {
    let (_dir, path) = place();
    let store = busy().open(&path).unwrap().with_durability(Durability::Buffered);
    let models: Vec<Contents> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4u8)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    let mut rng = Rng::with_seed(u64::from(thread));
                    let mut model = Contents::new();
                    for _ in 0..4000 {
                        let key = vec![thread, rng.u8(..100)];
                        if rng.u8(..5) == 0 {
                            assert_eq!(store.delete(&key).unwrap(), model.remove(&key).is_some());
                        } else {
                            let len = if rng.u8(..20) == 0 { rng.usize(..70_000) } else { rng.usize(..600) };
                            let value = bytes(&mut rng, len);
                            store.put(&key, &value).unwrap();
                            model.insert(key.clone(), value);
                        }
                        assert_eq!(store.get(&key).unwrap(), model.get(&key).cloned());
                    }
                    model
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let model: Contents = models.into_iter().flatten().collect();
    assert!(store.stats().unwrap().checkpoints > 5, "the store never had to checkpoint");
    assert_eq!(contents(&store.read_view()), model);
    let report = store.verify(|_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    drop(store);
    let store = busy().open(&path).unwrap();
    assert_eq!(contents(&store.read_view()), model);
    for prefix in 0..4u8 {
        let expected: Vec<_> = model.keys().filter(|key| key[0] == prefix).cloned().collect();
        let found: Vec<_> = store.list([prefix]).map(|entry| entry.unwrap().into_key().into_vec()).collect();
        assert_eq!(found, expected);
    }
    let (from, to) = ([1, 20], [2, 50]);
    let expected: Vec<_> = model
        .range::<[u8], _>((Bound::Excluded(&from[..]), Bound::Included(&to[..])))
        .map(|(key, _)| key.clone())
        .collect();
    let range = (Bound::Excluded(from), Bound::Included(to));
    let found: Vec<_> = store.range(range).map(|entry| entry.unwrap().into_key().into_vec()).collect();
    assert_eq!(found, expected);
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
    // What is pinned is not given back before it is let go.
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
fn compressed_values_are_what_was_put() {
    let (_dir, path) = place();
    let text = |i: usize| format!("value {i} of many; ").repeat(100 + i).into_bytes();
    let plain = busy().in_memory().unwrap();
    let store = busy().compression(Compression::Lz4).open(&path).unwrap();
    for i in 0..300usize {
        plain.put(i.to_be_bytes(), text(i)).unwrap();
        store.with_durability(Durability::Buffered).put(i.to_be_bytes(), text(i)).unwrap();
    }
    store.checkpoint().unwrap();
    plain.checkpoint().unwrap();
    let (ours, theirs) = (store.stats().unwrap().live_log_bytes, plain.stats().unwrap().live_log_bytes);
    assert!(ours * 5 < theirs, "{ours} and {theirs} bytes");
    // In sparse segments, so that compacting moves the others.
    for i in (0..300usize).filter(|i| i % 3 > 0) {
        store.delete(i.to_be_bytes()).unwrap();
    }
    store.compact().unwrap();
    drop(store);
    let store = busy().open(&path).unwrap();
    for i in (0..300usize).step_by(3) {
        let key = i.to_be_bytes();
        let value = text(i);
        assert_eq!(store.get(key).unwrap().unwrap(), value);
        assert_eq!(&*store.value(key).unwrap().unwrap(), value);
        assert_eq!(store.get_range(key, 5..50).unwrap().unwrap(), value[5..50]);
        let metadata = store.metadata(key).unwrap().unwrap();
        assert_eq!(metadata.checksum, plain.metadata(key).unwrap().unwrap().checksum);
        assert_eq!(metadata.len, value.len() as u64);
    }
    assert!(store.verify(|_| {}).unwrap().is_clean());
}

#[test]
fn overwriting_reuses_space_and_compacting_gives_it_back() {
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
    // Beside the live bytes: a segment of pages, one being written, and those made ready for the log meanwhile.
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
fn a_view_stands_still_whatever_happens() {
    let (_dir, path) = place();
    let store = busy().open(&path).unwrap().with_durability(Durability::Buffered);
    let mut rng = Rng::with_seed(2);
    for key in 0..300u32 {
        store.put(key.to_be_bytes(), bytes(&mut rng, 1500)).unwrap();
    }
    store.put("large", bytes(&mut rng, 300_000)).unwrap();
    store.flush().unwrap();
    let view = store.read_view();
    let expected = contents(&view);
    assert_eq!(expected.len(), 301);
    let pinned = store.value("large").unwrap().unwrap();
    let large = pinned.to_vec();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) || rounds == 0 {
                assert_eq!(contents(&view), expected);
                rounds += 1;
            }
        });
        for round in 0..10 {
            for key in 0..300u32 {
                store.put(key.to_be_bytes(), bytes(&mut rng, 1500)).unwrap();
            }
            store.put("large", bytes(&mut rng, 200_000)).unwrap();
            if round % 3 == 0 {
                store.compact().unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(&*pinned, large);
    let in_use = |store: &Vde| {
        let stats = store.stats().unwrap();
        stats.container_bytes - stats.free_bytes
    };
    let held = in_use(&store);
    drop((view, pinned));
    store.compact().unwrap();
    assert!(in_use(&store) < held - 450_000, "the view's space is free again");
}

#[test]
fn snapshots_stay_until_deleted_and_then_give_their_space_back() {
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
fn a_snapshot_keeps_what_it_shows_and_nothing_that_came_later() {
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
fn large_values_stream_in_and_out() {
    let (dir, path) = place();
    let store = busy().open(&path).unwrap();
    let mut rng = Rng::with_seed(4);
    let lens = [65_536, 65_537, 262_144, 262_145, 1_000_000, 3_000_000];
    let values: Vec<_> = lens.map(|len| bytes(&mut rng, len)).into();
    let user = UserMetadata::from([("kind".into(), "large".into())]);
    for (value, len) in values.iter().zip(lens) {
        store.put_with(len.to_string(), &value[..], &user).unwrap();
    }
    let check = |store: &Vde| {
        for (value, len) in values.iter().zip(lens) {
            let key = len.to_string();
            assert_eq!(&*store.value(&key).unwrap().unwrap(), *value);
            let metadata = store.metadata(&key).unwrap().unwrap();
            assert_eq!((metadata.len, metadata.user.len()), (len as u64, 1));
            assert_eq!(metadata.checksum, xxhash_rust::xxh3::xxh3_64(value));
            let (from, to) = (len as u64 / 3, len as u64 - 7);
            let range = store.get_range(&key, from..to).unwrap().unwrap();
            assert_eq!(range, value[from as usize..to as usize]);
            let mut reader = store.reader(&key).unwrap().unwrap();
            let mut tail = Vec::new();
            reader.seek(SeekFrom::End(-100)).unwrap();
            reader.read_to_end(&mut tail).unwrap();
            assert_eq!(tail, value[len - 100..]);
            reader.seek(SeekFrom::Start(0)).unwrap();
            let mut whole = Vec::new();
            reader.read_to_end(&mut whole).unwrap();
            assert_eq!(whole, *value);
        }
    };
    check(&store);
    store.checkpoint().unwrap();
    check(&store);
    let copy = dir.path().join("copy.vde");
    assert_eq!(store.backup(&copy).unwrap(), 6);
    drop(store);
    check(&busy().open(&path).unwrap());
    let copy = Vde::open(copy).unwrap();
    check(&copy);
    assert!(copy.verify(|_| {}).unwrap().is_clean());
    for len in lens {
        copy.delete(len.to_string()).unwrap();
    }
    copy.checkpoint().unwrap();
    copy.put("one more", "so that the next checkpoint has something to do").unwrap();
    copy.checkpoint().unwrap();
    assert!(copy.stats().unwrap().page_bytes < 100_000, "{:?}", copy.stats());
}

#[test]
fn a_source_that_fails_changes_nothing_and_leaks_nothing() {
    struct Fails(usize);
    impl Read for Fails {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(buf.len()).ok_or(std::io::ErrorKind::Other)?;
            Ok(buf.len())
        }
    }
    let store = busy().in_memory().unwrap();
    store.put("k", "old").unwrap();
    for len in [10, 100_000, 2_000_000] {
        assert!(store.put_with("k", Fails(len), &UserMetadata::new()).is_err());
    }
    assert_eq!(store.get("k").unwrap().unwrap(), b"old");
    assert_eq!(store.stats().unwrap().page_bytes, 0);
    store.put("k", "new").unwrap();
}

#[test]
fn metadata_survives_everything() {
    let (_dir, path) = place();
    let store = busy().open(&path).unwrap();
    let user = UserMetadata::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
    store.put_with("k", &b"first"[..], &user).unwrap();
    let first = store.metadata("k").unwrap().unwrap();
    assert_eq!((first.created, first.user.clone()), (first.modified, user.clone()));
    thread::sleep(std::time::Duration::from_millis(2));
    let large = vec![7; 1000];
    store.put_with("k", &large[..], &user).unwrap();
    let second = store.metadata("k").unwrap().unwrap();
    assert_eq!(second.created, first.created);
    assert!(second.modified > first.modified && second.version > first.version);
    store.checkpoint().unwrap();
    assert_eq!(store.metadata("k").unwrap().unwrap(), second, "after a checkpoint");
    // Fill and empty segments around it, so that it is moved.
    let buffered = store.with_durability(Durability::Buffered);
    for round in 0..3u8 {
        for i in 0..300u32 {
            buffered.put(i.to_be_bytes(), vec![round; 1000]).unwrap();
        }
        store.compact().unwrap();
        assert_eq!(store.metadata("k").unwrap().unwrap(), second, "after collection");
    }
    drop((store, buffered));
    let store = busy().open(&path).unwrap();
    assert_eq!(store.metadata("k").unwrap().unwrap(), second, "after reopening");
    store.delete("k").unwrap();
    store.put("k", "anew").unwrap();
    let third = store.metadata("k").unwrap().unwrap();
    assert!(third.created > second.modified && third.user.is_empty());
    store.checkpoint().unwrap();
    assert_eq!(store.metadata("k").unwrap().unwrap(), third);
}

#[test]
fn keys_of_any_length_and_content_fit_the_index() {
    let (_dir, path) = place();
    let store = busy().open(&path).unwrap();
    let mut rng = Rng::with_seed(5);
    let mut model = Contents::new();
    for i in 0..120 {
        let len = [1, 2, 100, 3000, 5000, 65_536][i % 6];
        let key = if i % 2 == 0 { bytes(&mut rng, len) } else { vec![0xFF; len - i % len.min(7)] };
        let value = bytes(&mut rng, i * 10);
        store.put(&key, &value).unwrap();
        model.insert(key, value);
        if i % 17 == 0 {
            store.checkpoint().unwrap();
        }
    }
    store.checkpoint().unwrap();
    assert_eq!(contents(&store.read_view()), model);
    assert!(store.verify(|_| {}).unwrap().is_clean());
    for key in model.keys().step_by(2) {
        assert!(store.delete(key).unwrap());
    }
    store.checkpoint().unwrap();
    let left: Vec<_> = model.keys().skip(1).step_by(2).cloned().collect();
    assert_eq!(contents(&store.read_view()).into_keys().collect::<Vec<_>>(), left);
}

#[tokio::test]
async fn the_async_twin_does_the_same() {
    use futures_core::Stream;
    let (dir, path) = place();
    let store = busy().open(&path).unwrap().to_async();
    let large = vec![9; 300_000];
    store.put("large", &large).await.unwrap();
    let reader = store.reader("large").await.unwrap().unwrap();
    store.put_with("copy", reader, &UserMetadata::new()).await.unwrap();
    assert_eq!(store.get("copy").await.unwrap().unwrap(), large);
    store.snapshot("s").await.unwrap();
    assert!(store.delete("copy").await.unwrap());
    store.checkpoint().await.unwrap();
    let mut entries = std::pin::pin!(store.open_snapshot("s").await.unwrap().list(""));
    let mut keys = Vec::new();
    while let Some(entry) = std::future::poll_fn(|cx| entries.as_mut().poll_next(cx)).await {
        keys.push(entry.unwrap().into_key());
    }
    assert_eq!(keys, [Box::from(*b"copy"), Box::from(*b"large")]);
    assert_eq!(store.backup(dir.path().join("backup.vde")).await.unwrap(), 1);
    assert!(store.verify(|_| {}).await.unwrap().is_clean());
    store.compact().await.unwrap();
}

#[tokio::test]
async fn a_dropped_future_leaves_the_store_working() {
    let store = Vde::in_memory().unwrap().to_async();
    for i in 0..100 {
        let write = store.put("k", i.to_string());
        if i % 2 == 0 {
            // Polled once, then dropped wherever it stands.
            let _ = tokio::time::timeout(std::time::Duration::ZERO, write).await;
        } else {
            write.await.unwrap();
        }
    }
    assert_eq!(store.get("k").await.unwrap().unwrap(), b"99");
}
