//! Opening a store.

use crate::engine::options::TripleStoreOptions;
use crate::error::{Error, Result};
use crate::faces::store::TripleStore;
use crate::storage::journal::Journal;
use std::path::Path;
use vde_store::{ReadView, Vde, VdeOptions};

impl TripleStoreOptions {
    /// Opens the store in this file. Creates the file if it does not exist, unless the store is opened read-only.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] if an option is out of its range. [`Error::InUse`] if another process has the store
    /// open for writing, or if this open is for writing and another process reads the store. [`Error::Storage`] if the
    /// file can't be opened, is no container of `vde-store`, or is damaged. [`Error::Corrupt`] if the container has
    /// other data than a triple store.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir()?;
    /// let store = triple_store::TripleStoreOptions::new().open(dir.path().join("data.vde"))?;
    /// assert_eq!(store.len(), 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(self, path: impl AsRef<Path>) -> Result<TripleStore> {
        self.check()?;
        let path = path.as_ref();
        let vde = VdeOptions::new().read_only(self.read_only).read_ahead(false).open(path);
        let in_use = || Error::InUse(path.display().to_string());
        match vde {
            Ok(vde) if vde.recovery().beside_writer => Err(in_use()),
            Err(vde_store::Error::AlreadyOpen { .. }) => Err(in_use()),
            vde => self.open_in(&vde?),
        }
    }

    /// Opens the store in a vde-store, or creates one if the vde-store is empty. No other code may use the vde-store
    /// from then on.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Examples
    ///
    /// ```
    /// let vde = vde_store::Vde::in_memory()?;
    /// let store = triple_store::TripleStoreOptions::new().open_in(&vde)?;
    /// assert_eq!(store.len(), 0);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_in(self, vde: &Vde) -> Result<TripleStore> {
        self.check()?;
        TripleStore::with_journal(&self, Journal::open(vde, self.durability, self.read_only, self.cache)?)
    }

    /// Opens the store in a view of a vde-store, read-only: a replica, or a store as it was at one point in time. The
    /// vde-store may be written to meanwhile. [`TripleStore::advance`] moves it on to a later view.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Examples
    ///
    /// See [`TripleStore::advance`].
    pub fn open_view(mut self, view: &ReadView) -> Result<TripleStore> {
        self.check()?;
        self.read_only = true;
        TripleStore::with_journal(&self, Journal::open_view(view, self.cache)?)
    }

    /// Creates an empty store in memory.
    ///
    /// # Panics
    ///
    /// If an option is out of its range.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn in_memory(self) -> TripleStore {
        self.check().unwrap_or_else(|error| panic!("{error}"));
        TripleStore::with_empty_journal(&self)
    }
}

impl TripleStore {
    /// Applies what has been committed between the view of which this is the store and a later view of the same
    /// vde-store. Returns whether it could. It cannot if a checkpoint was made in between, or if this is no store of a
    /// view: open the later view then. Queries that run see each commit completely or not at all.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] or [`Error::Corrupt`] if the later view cannot be read. Open it then.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::TripleStoreOptions;
    ///
    /// let vde = vde_store::Vde::in_memory()?;
    /// let store = TripleStoreOptions::new().open_in(&vde)?;
    /// let replica = TripleStoreOptions::new().open_view(&vde.read_view())?;
    /// store.update("INSERT DATA { <urn:s> <urn:p> 1 }")?;
    /// assert_eq!(replica.len(), 0);
    /// assert!(replica.advance(&vde.read_view())?);
    /// assert_eq!(replica.len(), 1);
    ///
    /// store.checkpoint()?;
    /// assert!(!replica.advance(&vde.read_view())?);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn advance(&self, later: &ReadView) -> Result<bool> {
        self.engine.advance(later)
    }
}
