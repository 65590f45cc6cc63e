//! Disk engines in Rust from other crates.

use std::{hint::black_box, path::Path};

use redb::{ReadableDatabase, ReadableTable};

use super::traits::{Durability, Failure, Store};

pub(super) struct Fjall {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
}

impl Fjall {
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
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

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(self.database.persist(fjall::PersistMode::SyncData)?)
    }
}

const TABLE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("store");

pub(super) struct Redb(redb::Database);

impl Redb {
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
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

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(self.0.begin_write()?.commit()?)
    }
}

pub(super) struct Sled(sled::Db);

impl Sled {
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
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

    fn checkpoint(&self) -> Result<(), Failure> {
        self.0.flush()?;
        Ok(())
    }
}
