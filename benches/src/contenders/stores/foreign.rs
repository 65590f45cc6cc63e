//! Disk engines in C and C++, each behind the feature of its name.

use std::path::Path;
#[cfg(feature = "sqlite")]
use std::sync::Mutex;

use super::traits::{Durability, Failure, Store};

/// RocksDB: puts with `sync`, which RocksDB groups.
#[cfg(feature = "rocksdb")]
pub(super) struct RocksDb(rocksdb::DB);

#[cfg(feature = "rocksdb")]
impl RocksDb {
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        Ok(Self(rocksdb::DB::open(&options, dir)?))
    }
}

#[cfg(feature = "rocksdb")]
impl Store for RocksDb {
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure> {
        let mut options = rocksdb::WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        Ok(self.0.put_opt(key, value, &options)?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.0.get(key)?)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        Ok(self.0.delete(key)?)
    }

    fn scan(&self, from: &[u8], count: usize) -> Result<usize, Failure> {
        let from = rocksdb::IteratorMode::From(from, rocksdb::Direction::Forward);
        self.0.iterator(from).take(count).try_fold(0, |read, entry| {
            std::hint::black_box(entry?);
            Ok(read + 1)
        })
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(self.0.flush()?)
    }
}

/// LMDB: one write transaction for each put.
///
/// Durability is chosen when an environment is opened, and not for each put. So a buffered put is an error.
#[cfg(feature = "lmdb")]
pub(in crate::contenders) struct Lmdb {
    environment: heed::Env,
    database: heed::Database<'static, heed::types::Bytes, heed::types::Bytes>,
}

#[cfg(feature = "lmdb")]
impl Lmdb {
    #[allow(unsafe_code, reason = "heed's open is unsafe, since a process must not map one file twice")]
    pub(in crate::contenders) fn open(dir: &Path, durability: Durability) -> Result<Self, Failure> {
        let mut options = heed::EnvOpenOptions::new();
        options.map_size(16 << 30);
        if durability == Durability::Buffered {
            // SAFETY: a crash of the machine may lose this store's data, which only this benchmark uses.
            unsafe { options.flags(heed::EnvFlags::NO_SYNC) };
        }
        // SAFETY: the directory was made for this store alone, so no other process has the file open.
        let environment = unsafe { options.open(dir)? };
        let database = environment
            .create_databases_and_commit(environment.write_txn()?, |opener, write| {
                opener.create_database(write, None).map(heed::CommitOrAbort::<_, ()>::Commit)
            })?
            .unwrap_commit();
        Ok(Self { environment, database })
    }
}

#[cfg(feature = "lmdb")]
impl Store for Lmdb {
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure> {
        if durability == Durability::Buffered {
            return Err("LMDB chooses durability when a store is opened, not for each put".into());
        }
        let mut write = self.environment.write_txn()?;
        self.database.put(&mut write, key, value)?;
        Ok(write.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let read = self.environment.read_txn()?;
        Ok(self.database.get(&read, key)?.map(<[u8]>::to_vec))
    }

    fn put_all(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut write = self.environment.write_txn()?;
        for (key, value) in pairs {
            self.database.put(&mut write, key, value)?;
        }
        Ok(write.commit()?)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        let mut write = self.environment.write_txn()?;
        self.database.delete(&mut write, key)?;
        Ok(write.commit()?)
    }
}

/// SQLite in write-ahead mode, synced at each commit; one connection, since it has one writer at a time.
#[cfg(feature = "sqlite")]
pub(super) struct Sqlite(Mutex<rusqlite::Connection>);

#[cfg(feature = "sqlite")]
impl Sqlite {
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        let connection = rusqlite::Connection::open(dir.join("store.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS store (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID",
            [],
        )?;
        Ok(Self(Mutex::new(connection)))
    }

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        let connection = self.0.lock().expect("puts do not panic");
        connection
            .prepare_cached("INSERT INTO store VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2")?
            .execute((key, value))?;
        Ok(())
    }
}

#[cfg(feature = "sqlite")]
impl Store for Sqlite {
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure> {
        let synchronous = if durability == Durability::Synced { "FULL" } else { "OFF" };
        let connection = self.0.lock().expect("puts do not panic");
        connection.pragma_update(None, "synchronous", synchronous)?;
        drop(connection);
        self.insert(key, value)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        use rusqlite::OptionalExtension;

        let connection = self.0.lock().expect("puts do not panic");
        let mut find = connection.prepare_cached("SELECT value FROM store WHERE key = ?1")?;
        Ok(find.query_row([key], |row| row.get(0)).optional()?)
    }

    fn put_all(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        self.0.lock().expect("puts do not panic").execute_batch("BEGIN")?;
        for (key, value) in pairs {
            self.insert(key, value)?;
        }
        Ok(self.0.lock().expect("puts do not panic").execute_batch("COMMIT")?)
    }

    fn delete(&self, key: &[u8]) -> Result<(), Failure> {
        let connection = self.0.lock().expect("puts do not panic");
        connection.prepare_cached("DELETE FROM store WHERE key = ?1")?.execute([key])?;
        Ok(())
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        let connection = self.0.lock().expect("puts do not panic");
        Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }
}
