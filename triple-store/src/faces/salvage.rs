//! Getting what can be read out of a damaged store.

use crate::engine::options::TripleStoreOptions;
use crate::error::{Error, Result};
use crate::faces::store::TripleStore;
use crate::storage::durability::Durability;
use crate::storage::journal::Remains;
use std::path::Path;
use vde_store::{Vde, VdeOptions};

/// The result of a salvage.
///
/// # Examples
///
/// See [`TripleStore::salvage`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Salvaged {
    /// The number of quads in the copy.
    pub quads: u64,
    /// The number of quads that are known to be lost. Those of a lost commit or checkpoint are not counted.
    pub lost_quads: u64,
    /// What is lost, as text. It is empty if the copy is complete. At most 1,000 losses are listed.
    pub lost: Vec<String>,
}

/// The most losses that are listed.
const MOST_LISTED: usize = 1000;

impl TripleStore {
    /// Copies what can be read of a damaged store to a new file, which can be opened as a store. Every value is read whose
    /// checksum is right. A quad is lost if it can be read in no order, or if the text of one of its terms can't be read.
    ///
    /// If a commit is lost that removed quads, these quads are in the copy. The damaged file is not changed. If this fails or is
    /// interrupted, the copy has no quads, or all of them. It takes memory for all terms, and for the quads that are recent in
    /// the damaged store. O(quads).
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if the copy exists already or can't be written, or if the damaged file is no container of `vde-store`
    /// any more. [`Error::Corrupt`] if the container has other data than a triple store. [`Error::InUse`] if another process
    /// has it open for writing.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::TripleStore;
    ///
    /// let dir = tempfile::tempdir()?;
    /// let (damaged, copy) = (dir.path().join("damaged.vde"), dir.path().join("copy.vde"));
    /// TripleStore::open(&damaged)?.update("INSERT DATA { <urn:s> <urn:p> 1 }")?;
    /// let salvaged = TripleStore::salvage(&damaged, &copy)?;
    /// assert!(salvaged.lost.is_empty());
    /// assert_eq!(TripleStore::open(&copy)?.len(), 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn salvage(damaged: impl AsRef<Path>, copy: impl AsRef<Path>) -> Result<Salvaged> {
        let path = damaged.as_ref();
        let in_use = || Error::InUse(path.display().to_string());
        let damaged = match VdeOptions::new().read_only(true).salvage(true).open(path) {
            Ok(vde) if vde.recovery().beside_writer => return Err(in_use()),
            Err(vde_store::Error::AlreadyOpen { .. }) => return Err(in_use()),
            vde => vde?,
        };
        let options = TripleStoreOptions::new().durability(Durability::Buffered);
        let mut salvaged = Salvaged::default();
        let mut lost = |what: String| {
            if salvaged.lost.len() < MOST_LISTED {
                salvaged.lost.push(what);
            }
        };
        let remains = Remains::of(&damaged, options.cache, &mut lost)?;
        let store = options.open_in(&Vde::create(copy)?)?;
        let (quads, lost_quads) = store.engine.salvage(&remains, &mut lost)?;
        for (prefix, iri) in &remains.namespaces {
            match store.set_namespace(prefix, iri) {
                Err(Error::Unsupported(problem)) => lost(format!("the prefix {prefix}: {problem}")),
                set => set?,
            }
        }
        store.flush()?;
        Ok(Salvaged { quads, lost_quads, ..salvaged })
    }
}
