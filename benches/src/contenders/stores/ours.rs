//! `vde-store` as a disk engine.

use std::{hint::black_box, path::Path};

use super::traits::{Durability, Failure, Store};

/// `vde-store`.
pub struct OurStore {
    synced: vde_store::Vde,
    buffered: vde_store::Vde,
}

impl OurStore {
    /// Opens the store in a directory, or creates one if the directory is empty.
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
        store.put(key, value)?;
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.synced.get(key)?)
    }

    fn commit(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        let mut batch = self.synced.batch();
        for (key, value) in pairs {
            batch.put(key, value);
        }
        batch.commit()?;
        Ok(())
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

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(self.synced.checkpoint()?)
    }
}
