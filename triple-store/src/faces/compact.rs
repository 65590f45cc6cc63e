//! Giving space back.

use crate::error::{Error, Result};
use crate::faces::store::TripleStore;
use std::sync::Arc;

/// The result of a compaction.
///
/// # Examples
///
/// ```
/// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
///
/// let ex = NamedNodeRef::new("http://example.com/")?;
/// let vde = vde_store::Vde::in_memory()?;
/// let mut store = triple_store::TripleStoreOptions::new().open_in(&vde)?;
/// store.insert(QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph))?;
/// store.remove(QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph))?;
/// assert_eq!(store.compact()?.terms, 1);
/// assert_eq!(store.stats()?.terms, 0);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Compacted {
    /// The number of terms that no quad had any more.
    pub terms: u64,
    /// How many bytes the file system got.
    pub bytes: u64,
}

impl TripleStore {
    /// Makes a checkpoint, removes the terms that no quad has any more, and returns free space to the file system. It
    /// reads every quad and every term once. Of a store in memory it removes nothing.
    ///
    /// An open store removes such terms by itself, once many quads are gone: see
    /// [`checkpoint`](Self::checkpoint).
    ///
    /// A crash at any moment leaves the store as it was, or compacted.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if there is a clone of this store, a snapshot, or an iterator or query that reads it.
    /// Otherwise as [`checkpoint`](Self::checkpoint).
    ///
    /// # Examples
    ///
    /// See [`Compacted`].
    pub fn compact(&mut self) -> Result<Compacted> {
        let shared = || Error::Unsupported("a store can be compacted only while nothing else uses it".into());
        let (terms, bytes) = Arc::get_mut(&mut self.engine).ok_or_else(shared)?.compact()?;
        Ok(Compacted { terms, bytes })
    }
}
