//! Disk engines behind one trait: ours, the pure Rust ones, and behind features those that build C or C++.

use std::{error::Error, hint::black_box, path::Path};

use redb::{ReadableDatabase, ReadableTable};

use super::bare_log::BareLog;

/// An error of an engine.
pub type Failure = Box<dyn Error + Send + Sync>;

/// When a put returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once the disk has it.
    Synced,
    /// Once the engine has it; a crash of the machine may take it back.
    Buffered,
}

/// A store of bytes by key.
pub trait Store: Send + Sync {
    /// Stores a value.
    ///
    /// # Errors
    ///
    /// Whatever the engine says.
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure>;

    /// Reads a value into memory of the caller's own.
    ///
    /// # Errors
    ///
    /// Whatever the engine says.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// Stores many values, without waiting for the disk where the engine can do without.
    ///
    /// # Errors
    ///
    /// Whatever the engine says.
    fn put_all(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        pairs.iter().try_for_each(|(key, value)| self.put(key, value, Durability::Buffered))
    }

    /// Stores many values durably, all of them or none.
    ///
    /// # Errors
    ///
    /// The error of the engine. The default implementation fails: the engine has no transactions here.
    fn commit(&self, _pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        Err("this engine has no transactions here".into())
    }

    /// Removes a value; as [`put_all`](Self::put_all).
    ///
    /// # Errors
    ///
    /// Whatever the engine says.
    fn delete(&self, key: &[u8]) -> Result<(), Failure>;

    /// Reads up to `count` keys and values in order, from `from` on. Returns how many were there.
    ///
    /// # Errors
    ///
    /// The error of the engine. The default implementation fails: the engine has no scan here.
    fn scan(&self, _from: &[u8], _count: usize) -> Result<usize, Failure> {
        Err("this engine does not scan here".into())
    }

    /// The greatest key.
    ///
    /// # Errors
    ///
    /// The error of the engine. The default implementation fails: the engine is not asked for its last key here.
    fn last(&self) -> Result<Option<Vec<u8>>, Failure> {
        Err("this engine is not asked for its last key here".into())
    }

    /// Brings the store into the state in which it would be found at rest, as far as the engine does that on demand.
    ///
    /// # Errors
    ///
    /// Whatever the engine says.
    fn settle(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// An engine that keeps a store in a directory.
#[derive(Clone, Copy)]
pub struct Engine {
    /// What it is called in tables.
    pub name: &'static str,
    /// Opens the store in a directory, a new one where it is empty.
    pub open: fn(&Path) -> Result<Box<dyn Store>, Failure>,
}

/// Every engine this build knows, ours first.
pub const ENGINES: &[Engine] = &[
    Engine { name: "vde-store", open: |dir| Ok(Box::new(OurStore::open(dir)?)) },
    Engine { name: BARE_LOG, open: |dir| Ok(Box::new(BareLog::open(dir)?)) },
    Engine { name: "fjall", open: |dir| Ok(Box::new(Fjall::open(dir)?)) },
    Engine { name: "redb", open: |dir| Ok(Box::new(Redb::open(dir)?)) },
    Engine { name: "sled", open: |dir| Ok(Box::new(Sled::open(dir)?)) },
    #[cfg(feature = "rocksdb")]
    Engine { name: "rocksdb", open: |dir| Ok(Box::new(super::foreign::RocksDb::open(dir)?)) },
    #[cfg(feature = "lmdb")]
    Engine { name: "lmdb", open: |dir| Ok(Box::new(super::foreign::Lmdb::open(dir, Durability::Synced)?)) },
    #[cfg(feature = "sqlite")]
    Engine { name: "sqlite", open: |dir| Ok(Box::new(super::foreign::Sqlite::open(dir)?)) },
];

/// The name of the log that stores nothing else: the limit of an engine, not a rival.
pub const BARE_LOG: &str = "bare log (limit)";

struct Fjall {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
}

impl Fjall {
    fn open(dir: &Path) -> Result<Self, Failure> {
        let database = fjall::Database::builder(dir).open()?;
        let keyspace = database.keyspace("store", fjall::KeyspaceCreateOptions::default)?;
        Ok(Self { database, keyspace })
    }
}

impl Store for Fjall {
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure> {
        self.keyspace.insert(key, value)?;
        if durability == Durability::Synced {
            self.database.persist(fjall::PersistMode::SyncData)?;
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.keyspace.get(key)?.map(|value| value.to_vec()))
    }

    fn commit(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::SyncData));
        for (key, value) in pairs {
            batch.insert(&self.keyspace, *key, *value);
        }
        Ok(batch.commit()?)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        Ok(self.keyspace.remove(key)?)
    }

    fn last(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.keyspace.last_key_value().map(fjall::Guard::key).transpose()?.map(|key| key.to_vec()))
    }

    fn scan(&self, from: &[u8], count: usize) -> Result<usize, Failure> {
        self.keyspace.range(from..).take(count).try_fold(0, |read, entry| {
            let (key, value) = entry.into_inner()?;
            black_box((key, value));
            Ok(read + 1)
        })
    }

    fn settle(&self) -> Result<(), Failure> {
        Ok(self.database.persist(fjall::PersistMode::SyncData)?)
    }
}

const TABLE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("store");

struct Redb(redb::Database);

impl Redb {
    fn open(dir: &Path) -> Result<Self, Failure> {
        let database = redb::Database::create(dir.join("store.redb"))?;
        let write = database.begin_write()?;
        write.open_table(TABLE)?;
        write.commit()?;
        Ok(Self(database))
    }
}

impl Store for Redb {
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure> {
        let mut write = self.0.begin_write()?;
        if durability == Durability::Buffered {
            write.set_durability(redb::Durability::None)?;
        }
        write.open_table(TABLE)?.insert(key, value)?;
        Ok(write.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let value = self.0.begin_read()?.open_table(TABLE)?.get(key)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn scan(&self, from: &[u8], count: usize) -> Result<usize, Failure> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        table.range(from..)?.take(count).try_fold(0, |read, entry| {
            let (key, value) = entry?;
            black_box((key.value(), value.value()));
            Ok(read + 1)
        })
    }

    fn put_all(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        self.commit(pairs)
    }

    fn commit(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let write = self.0.begin_write()?;
        let mut table = write.open_table(TABLE)?;
        for (key, value) in pairs {
            table.insert(*key, *value)?;
        }
        drop(table);
        Ok(write.commit()?)
    }

    fn last(&self) -> Result<Option<Vec<u8>>, Failure> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        Ok(table.last()?.map(|(key, _)| key.value().to_vec()))
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        let mut write = self.0.begin_write()?;
        write.set_durability(redb::Durability::None)?;
        write.open_table(TABLE)?.remove(key)?;
        Ok(write.commit()?)
    }

    fn settle(&self) -> Result<(), Failure> {
        Ok(self.0.begin_write()?.commit()?)
    }
}

struct Sled(sled::Db);

impl Sled {
    fn open(dir: &Path) -> Result<Self, Failure> {
        Ok(Self(sled::open(dir)?))
    }
}

impl Store for Sled {
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure> {
        self.0.insert(key, value)?;
        if durability == Durability::Synced {
            self.0.flush()?;
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.0.get(key)?.map(|value| value.to_vec()))
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.0.remove(key)?;
        Ok(())
    }

    fn settle(&self) -> Result<(), Failure> {
        self.0.flush()?;
        Ok(())
    }
}

/// `vde-store`.
pub struct OurStore {
    synced: vde_store::Vde,
    buffered: vde_store::Vde,
}

impl OurStore {
    /// The store in a directory, a new one where it is empty.
    ///
    /// # Errors
    ///
    /// Where the store cannot be created.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let synced = vde_store::Vde::open(dir.join("store.vde"))?;
        let buffered = synced.with_durability(vde_store::Durability::Buffered);
        Ok(Self { synced, buffered })
    }
}

impl Store for OurStore {
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure> {
        let store = match durability {
            Durability::Synced => &self.synced,
            Durability::Buffered => &self.buffered,
        };
        Ok(store.put(key, value)?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.synced.get(key)?)
    }

    fn commit(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut batch = self.synced.batch();
        for (key, value) in pairs {
            batch.put(key, value);
        }
        Ok(batch.commit()?)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        self.buffered.delete(key)?;
        Ok(())
    }

    fn last(&self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.synced.last()?.map(|entry| entry.key().to_vec()))
    }

    fn scan(&self, from: &[u8], count: usize) -> Result<usize, Failure> {
        self.synced.range(from..).take(count).try_fold(0, |read, entry| {
            let entry = entry?;
            black_box((entry.key(), entry.value()?));
            Ok(read + 1)
        })
    }

    fn settle(&self) -> Result<(), Failure> {
        Ok(self.synced.checkpoint()?)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    /// Opens what was closed just now. Some engines end in the background, and hold their lock until they have.
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
    fn engines_that_commit_have_all_of_it_and_know_their_last_key() {
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
    fn every_engine_gives_back_what_it_was_given() {
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
            store.settle().unwrap();
            drop(store);
            if engine.name != BARE_LOG {
                let store = reopen(engine, dir.path());
                assert_eq!(store.get(b"three").unwrap(), None, "{}", engine.name);
                assert_eq!(store.get(b"four").unwrap().as_deref(), Some(&b"value"[..]), "{}", engine.name);
            }
        }
    }
}
