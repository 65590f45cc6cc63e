//! How a store is opened.

use crate::error::Result;
use crate::journal::Journal;
use crate::store::TripleStore;
use std::path::Path;
use vde_store::Vde;

/// When a write is acknowledged.
///
/// # Examples
///
/// ```
/// use triple_store::{Durability, TripleStoreOptions};
///
/// let options = TripleStoreOptions::new().durability(Durability::Buffered);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Once it would survive a power cut: the log is synced, one sync for all that wait together.
    #[default]
    Sync,
    /// Once it is in the log and would survive the end of the process. A power cut loses the last writes, whole
    /// transactions and in their order; [`TripleStore::flush`] makes everything before it durable.
    Buffered,
}

/// The options of a store.
///
/// # Examples
///
/// ```
/// use triple_store::{Durability, TripleStoreOptions};
///
/// let dir = tempfile::tempdir()?;
/// let store = TripleStoreOptions::new()
///     .stripes(64)
///     .durability(Durability::Buffered)
///     .open(dir.path().join("data.vde"))?;
/// assert!(store.is_empty());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a store is opened with them"]
pub struct TripleStoreOptions {
    pub(crate) stripes: usize,
    pub(crate) durability: Durability,
    pub(crate) checkpoint_after: usize,
    pub(crate) run_block: usize,
    pub(crate) background: bool,
}

impl Default for TripleStoreOptions {
    fn default() -> Self {
        Self {
            stripes: 16,
            durability: Durability::Sync,
            checkpoint_after: 1 << 20,
            run_block: 64,
            background: true,
        }
    }
}

impl TripleStoreOptions {
    /// The defaults: 16 stripes, [`Durability::Sync`], a checkpoint after a million recent quads.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// How many stripes the subjects are spread over, rounded up to a power of two. Nothing that is stored depends
    /// on it, so a store may be opened with another number each time.
    ///
    /// # Panics
    ///
    /// Opening the store panics if this is 0, or more than `stripe_lock` takes.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().stripes(1).in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn stripes(mut self, stripes: usize) -> Self {
        self.stripes = stripes;
        self
    }

    /// When writes are acknowledged.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{Durability, TripleStoreOptions};
    ///
    /// let options = TripleStoreOptions::new().durability(Durability::Sync);
    /// # let _ = options;
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many recent quads are held apart before they are merged into the run, in the background; see
    /// [`TripleStore::checkpoint`]. Each takes about 150 bytes of memory until then. A run that holds more than eight
    /// times as many waits for an eighth of its size. Writers that outrun the merge by as many again wait for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().checkpoint_after(10_000).in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn checkpoint_after(mut self, quads: usize) -> Self {
        self.checkpoint_after = quads.max(1);
        self
    }

    /// How many quads a block of the run holds from the next merge on; blocks that are there stay as they are. A
    /// lookup decodes half a block on average, so small blocks are faster to look up in; each takes about 28 bytes of
    /// memory in each of the three or four orders.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().run_block(16).in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn run_block(mut self, quads: usize) -> Self {
        self.run_block = quads.clamp(1, 1 << 14);
        self
    }

    /// Whether the store merges in a thread of its own, which is the default; if not, the writer that adds one quad
    /// too many does it.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().background(false).in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Opens the store in this file, which is made if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`](crate::Error::Storage) if the file can't be opened, is open elsewhere, is no container of
    /// `vde-store`, or is damaged; [`Error::Corrupt`](crate::Error::Corrupt) if it is a container of something else.
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
        self.open_in(&Vde::open(path)?)
    }

    /// Opens the store that a vde-store holds, or makes one in it if it is empty. The vde-store is the store's
    /// alone from then on.
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
        TripleStore::with_journal(&self, Journal::open(vde, self.durability)?)
    }

    /// Makes an empty store that lives in memory alone.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStoreOptions::new().in_memory();
    /// assert_eq!(store.len(), 0);
    /// ```
    pub fn in_memory(self) -> TripleStore {
        TripleStore::with_empty_journal(&self)
    }
}
