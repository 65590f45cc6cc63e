//! Quad stores behind one trait.

use std::path::Path;

use oxrdf::Quad;
use triple_store::{TripleStore, TripleStoreOptions};

use super::stores::{Durability, Failure};

/// A store of RDF quads.
pub trait QuadStore: Send + Sync {
    /// Adds some quads as one transaction.
    ///
    /// # Errors
    ///
    /// Whatever the store says.
    fn add(&self, quads: Vec<Quad>) -> Result<(), Failure>;

    /// How many quads there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `triple-store`.
pub struct OurQuads(TripleStore);

impl OurQuads {
    /// A new store in an empty directory.
    ///
    /// # Errors
    ///
    /// Where the store cannot be created.
    pub fn open(dir: &Path, durability: Durability) -> Result<Self, Failure> {
        let durability = match durability {
            Durability::Synced => triple_store::Durability::Sync,
            Durability::Buffered => triple_store::Durability::Buffered,
        };
        Ok(Self(TripleStoreOptions::new().durability(durability).open(dir.join("quads.vde"))?))
    }
}

impl QuadStore for OurQuads {
    fn add(&self, quads: Vec<Quad>) -> Result<(), Failure> {
        self.0.extend(quads)?;
        Ok(())
    }

    fn len(&self) -> usize {
        self.0.len() as usize
    }
}
