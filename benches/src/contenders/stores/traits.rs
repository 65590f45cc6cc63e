//! The operations of a disk engine.

use std::{error::Error, path::Path};

use serde::{Deserialize, Serialize};

/// An error of an engine.
pub type Failure = Box<dyn Error + Send + Sync>;

/// When a put returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// Once the value is on the disk.
    Synced,
    /// Once the engine has the value. A crash of the machine may lose it.
    Buffered,
}

/// A store of bytes by key.
pub trait Store: Send + Sync {
    /// Stores a value.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<(), Failure>;

    /// Reads a value into memory of the caller's own.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// Stores many values, without waiting for the disk if the engine allows that.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    fn put_all(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        pairs.iter().try_for_each(|(key, value)| self.put(key, value, Durability::Buffered))
    }

    /// Stores many values durably, all of them or none.
    ///
    /// # Errors
    ///
    /// The error of the engine. The default implementation always fails.
    fn commit(&self, _pairs: &[(&[u8], &[u8])]) -> Result<(), Failure> {
        Err("transactions are not implemented for this engine".into())
    }

    /// Removes a value, without waiting for the disk if the engine allows that.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    fn delete(&self, key: &[u8]) -> Result<(), Failure>;

    /// Reads up to `count` keys and values in order, from `from` on. Returns how many were there.
    ///
    /// # Errors
    ///
    /// The error of the engine. The default implementation always fails.
    fn scan(&self, _from: &[u8], _count: usize) -> Result<usize, Failure> {
        Err("scans are not implemented for this engine".into())
    }

    /// The greatest key.
    ///
    /// # Errors
    ///
    /// The error of the engine. The default implementation always fails.
    fn last(&self) -> Result<Option<Vec<u8>>, Failure> {
        Err("the search for the last key is not implemented for this engine".into())
    }

    /// Does at once what the engine would otherwise do later in the background: a checkpoint, a flush of its memtable,
    /// or a sync. The default implementation does nothing.
    ///
    /// # Errors
    ///
    /// The error of the engine.
    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// An engine that keeps a store in a directory.
#[derive(Clone, Copy)]
pub struct Engine {
    /// Its name in tables.
    pub name: &'static str,
    /// Opens the store in a directory, or creates one if the directory is empty.
    pub open: fn(&Path) -> Result<Box<dyn Store>, Failure>,
}
