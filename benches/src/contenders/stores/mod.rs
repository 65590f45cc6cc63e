//! Disk engines behind one trait: ours, the pure Rust ones, and behind features those that build C or C++.

#[cfg(feature = "disk")]
mod bare_log;
#[cfg(any(feature = "rocksdb", feature = "lmdb", feature = "sqlite"))]
pub(super) mod foreign;
mod ours;
#[cfg(feature = "disk")]
mod peers;
mod traits;

#[cfg(feature = "disk")]
use bare_log::BareLog;
pub use ours::OurStore;
#[cfg(feature = "disk")]
use peers::{Fjall, Redb, Sled};
pub use traits::{Durability, Engine, Failure, Store};

/// Every engine of this build, ours first.
pub const ENGINES: &[Engine] = &[
    Engine { name: "vde-store", open: |dir| Ok(Box::new(OurStore::open(dir)?)) },
    #[cfg(feature = "disk")]
    Engine { name: BARE_LOG, open: |dir| Ok(Box::new(BareLog::open(dir)?)) },
    #[cfg(feature = "disk")]
    Engine { name: "fjall", open: |dir| Ok(Box::new(Fjall::open(dir)?)) },
    #[cfg(feature = "disk")]
    Engine { name: "redb", open: |dir| Ok(Box::new(Redb::open(dir)?)) },
    #[cfg(feature = "disk")]
    Engine { name: "sled", open: |dir| Ok(Box::new(Sled::open(dir)?)) },
    #[cfg(feature = "rocksdb")]
    Engine { name: "rocksdb", open: |dir| Ok(Box::new(foreign::RocksDb::open(dir)?)) },
    #[cfg(feature = "lmdb")]
    Engine { name: "lmdb", open: |dir| Ok(Box::new(foreign::Lmdb::open(dir, Durability::Synced)?)) },
    #[cfg(feature = "sqlite")]
    Engine { name: "sqlite", open: |dir| Ok(Box::new(foreign::Sqlite::open(dir)?)) },
];

/// The name of the bare log, which is a limit for engines and not a contender.
pub const BARE_LOG: &str = "bare log (limit)";

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    /// Opens a store that was just closed. Some engines close in the background, and hold their lock until they are
    /// done.
    fn reopen(engine: &Engine, dir: &Path) -> Box<dyn Store> {
        let closed = Instant::now();
        loop {
            match (engine.open)(dir) {
                Ok(store) => return store,
                Err(error) if closed.elapsed() > Duration::from_secs(20) => {
                    panic!("{}: {error}", engine.name)
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    #[test]
    fn a_commit_is_complete_and_its_last_key_is_found() {
        for engine in ENGINES.iter().filter(|engine| ["vde-store", "fjall", "redb"].contains(&engine.name)) {
            let dir = tempfile::tempdir().unwrap();
            let store = (engine.open)(dir.path()).unwrap();
            assert_eq!(store.last().unwrap(), None, "{}", engine.name);
            store.commit(&[(b"a", b"1"), (b"c", b"3"), (b"b", b"2")]).unwrap();
            assert_eq!(store.last().unwrap().as_deref(), Some(&b"c"[..]), "{}", engine.name);
            assert_eq!(store.scan(b"a", 9).unwrap(), 3, "{}", engine.name);
        }
    }

    #[test]
    fn every_engine_returns_the_values_that_were_put() {
        for engine in ENGINES {
            let dir = tempfile::tempdir().unwrap();
            let store = (engine.open)(dir.path()).unwrap();
            for (key, durability) in [(b"one", Durability::Synced), (b"two", Durability::Buffered)] {
                if engine.name == "lmdb" && durability == Durability::Buffered {
                    store.put(key, b"value", durability).unwrap_err();
                    continue;
                }
                store.put(key, b"value", durability).unwrap();
                let found = store.get(key).unwrap();
                if engine.name == BARE_LOG {
                    assert_eq!(found, None, "the bare log has no index");
                } else {
                    assert_eq!(found.as_deref(), Some(&b"value"[..]), "{}", engine.name);
                }
            }
            assert_eq!(store.get(b"absent").unwrap(), None, "{}", engine.name);
            store.put_all(&[(b"three", b"value"), (b"four", b"value")]).unwrap();
            store.delete(b"three").unwrap();
            store.checkpoint().unwrap();
            drop(store);
            if engine.name != BARE_LOG {
                let store = reopen(engine, dir.path());
                assert_eq!(store.get(b"three").unwrap(), None, "{}", engine.name);
                assert_eq!(store.get(b"four").unwrap().as_deref(), Some(&b"value"[..]), "{}", engine.name);
            }
        }
    }
}
