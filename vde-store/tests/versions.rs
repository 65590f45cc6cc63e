//! The version that a write returns is the one that readers, watchers and conditions see, and `durable` says which ones
//! survive a crash.

use std::thread;

use vde_store::testing::{Bug, SimDisk};
use vde_store::{Compression, Condition, Durability, UserMetadata, Vde, VdeOptions};

fn version(store: &Vde, key: &str) -> u64 {
    store.metadata(key).unwrap().unwrap().version
}

/// Values of all forms: in the memtable, in the log, compressed, with pages of their own.
fn values() -> [Vec<u8>; 4] {
    [b"short".to_vec(), (0..3000_u32).flat_map(u32::to_le_bytes).collect(), vec![1; 3000], vec![2; 200_000]]
}

#[test]
fn a_put_returns_the_version_that_readers_see() {
    let store = VdeOptions::new().background(false).compression(Compression::Lz4).in_memory().unwrap();
    let (_, mut changes) = store.watch().unwrap();
    let mut last = 0;
    for durability in [Durability::Sync, Durability::Buffered] {
        let store = store.with_durability(durability);
        for value in values() {
            let put = store.put("k", &value).unwrap();
            assert_eq!(version(&store, "k"), put);
            let with = store.put_with("k", &value[..], &UserMetadata::new()).unwrap();
            assert_eq!(version(&store, "k"), with);
            assert!(last < put && put < with);
            last = with;
            store.flush().unwrap();
            let told = [(); 2].map(|()| changes.try_next().unwrap().unwrap().version);
            assert_eq!(told, [put, with]);
            store.checkpoint().unwrap();
            assert_eq!(version(&store, "k"), with, "it is the same in the index");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_awaited_put_returns_it_too() {
    let store = VdeOptions::new().in_memory().unwrap().to_async();
    for value in values() {
        let put = store.put("k", &value).await.unwrap();
        assert_eq!(store.metadata("k").await.unwrap().unwrap().version, put);
        let with = store.put_with("k", &value[..], &UserMetadata::new()).await.unwrap();
        assert_eq!(store.metadata("k").await.unwrap().unwrap().version, with);
        let mut batch = store.batch();
        batch.put("a", &value).put("k", &value);
        let committed = batch.commit().await.unwrap();
        assert_eq!(store.metadata("k").await.unwrap().unwrap().version, committed);
        assert!(put < with && with < committed && committed <= store.durable());
    }
    assert_eq!(store.batch().commit().await.unwrap(), 0);
}

#[test]
fn a_batch_returns_the_version_of_its_last_write() {
    let store = Vde::in_memory().unwrap();
    let before = store.put("k", "v").unwrap();
    let mut batch = store.batch();
    batch.put("a", "1").put("b", "2").delete("k").put("c", "3");
    let committed = batch.commit().unwrap();
    assert_eq!(committed, before + 4);
    assert_eq!(["a", "b", "c"].map(|key| version(&store, key)), [1, 2, 4].map(|i| before + i));
    assert_eq!(store.batch().commit().unwrap(), 0);
    let mut condition = store.batch();
    condition.require("c", Condition::Version(committed));
    assert_eq!(condition.commit().unwrap(), 0, "it writes nothing");
}

#[test]
fn versions_of_concurrent_writers_differ() {
    let store = Vde::in_memory().unwrap();
    let mut versions: Vec<_> = thread::scope(|scope| {
        let put = |i: u8| store.put([i], "v").unwrap();
        let writers: Vec<_> =
            (0..4).map(|n| scope.spawn(move || (n * 50..n * 50 + 50).map(put).collect::<Vec<_>>())).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(*versions.iter().max().unwrap(), 200);
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 200);
}

/// Whether every version up to `durable` survives a crash, whatever else the crash keeps.
fn durable_is_true(options: &VdeOptions) -> bool {
    let disk = SimDisk::new();
    let store = options.clone().background(false).open_device(disk.device()).unwrap();
    let buffered = store.with_durability(Durability::Buffered);
    (0..21_u8).all(|i| {
        let put = buffered.put([i], "v").unwrap();
        if i % 7 == 6 {
            store.flush().unwrap();
            assert!(put <= store.durable());
        }
        let durable = store.durable();
        (0..3).all(|seed| {
            let crashed = VdeOptions::new().open_device(disk.crash(seed).device());
            crashed.is_ok_and(|crashed| crashed.list("").count() as u64 >= durable)
        })
    })
}

#[test]
fn what_is_durable_survives_a_crash() {
    assert!(durable_is_true(&VdeOptions::new()));
    assert!(!durable_is_true(&VdeOptions::new().plant(Bug::AcknowledgeEarly)), "the planted bug is found");
}
