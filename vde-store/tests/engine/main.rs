//! Long workloads of the engine, compared with a model. This file tests contents, `space` and `giving_back` test
//! space, and `values` tests single values.

mod giving_back;
mod space;
mod values;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fastrand::Rng;
use tempfile::TempDir;
use vde_store::{Durability, ReadView, UserMetadata, Vde, VdeOptions};

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    (dir, path)
}

/// Options with such small segments and memtables that checkpoints and collection happen often.
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
fn writers_checkpoints_and_collection_match_the_model() {
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
fn a_view_does_not_change() {
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
fn reads_of_moved_and_changed_values_match_the_model() {
    let (_dir, path) = place();
    let store = busy().open(&path).unwrap().with_durability(Durability::Buffered);
    let mut rng = Rng::with_seed(7);
    let mut model = Contents::new();
    for round in 0..12u8 {
        for _ in 0..300 {
            let key = rng.u16(..1000).to_be_bytes().to_vec();
            if rng.u8(..4) == 0 {
                assert_eq!(store.delete(&key).unwrap(), model.remove(&key).is_some());
            } else {
                // Short values are in leaves, and longer ones in the log.
                let value = bytes(&mut rng, if round % 2 == 0 { 20 } else { 300 });
                store.put(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
        if round % 4 == 3 {
            store.compact().unwrap();
        } else {
            store.checkpoint().unwrap();
        }
        // Each key is read twice, so that the second search can use the hint of the first.
        for key in (0..2000u16).map(|key| (key % 1000).to_be_bytes()) {
            assert_eq!(store.get(key).unwrap().as_ref(), model.get(&key[..]), "{key:?} in round {round}");
        }
    }
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
async fn the_async_handle_does_the_same() {
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
            // The future is polled once and then dropped in its current state.
            let _ = tokio::time::timeout(std::time::Duration::ZERO, write).await;
        } else {
            write.await.unwrap();
        }
    }
    assert_eq!(store.get("k").await.unwrap().unwrap(), b"99");
}
