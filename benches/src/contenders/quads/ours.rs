//! `triple-store` as a quad store.

use std::path::Path;

use oxrdf::{NamedNode, Quad, Term};
use triple_store::{CancellationToken, QueryOptions, QueryResults, TripleStore, TripleStoreOptions};

use super::{
    super::stores::{Durability, Failure},
    traits::{Pattern, QuadStore, ReadableQuads, count},
};

/// `triple-store`.
pub struct OurQuads(TripleStore);

impl OurQuads {
    /// A store in a directory.
    ///
    /// # Errors
    ///
    /// Where the store cannot be opened.
    pub fn open(dir: &Path, durability: Durability) -> Result<Self, Failure> {
        Self::with_options(dir, durability, TripleStoreOptions::new())
    }

    /// A store in a directory, with options of its own.
    ///
    /// # Errors
    ///
    /// Where the store cannot be opened.
    pub fn with_options(
        dir: &Path,
        durability: Durability,
        options: TripleStoreOptions,
    ) -> Result<Self, Failure> {
        let durability = match durability {
            Durability::Synced => triple_store::Durability::Sync,
            Durability::Buffered => triple_store::Durability::Buffered,
        };
        Ok(Self(options.durability(durability).open(dir.join("quads.vde"))?))
    }

    /// A new store in memory.
    pub fn in_memory(options: TripleStoreOptions) -> Self {
        Self(options.in_memory())
    }

    /// The store itself.
    pub fn store(&self) -> &TripleStore {
        &self.0
    }
}

impl QuadStore for OurQuads {
    fn insert(&self, quad: Quad) -> Result<(), Failure> {
        self.0.insert(&quad)?;
        Ok(())
    }

    fn add(&self, quads: Vec<Quad>) -> Result<(), Failure> {
        self.0.extend(quads)?;
        Ok(())
    }

    fn as_readable(&self) -> Option<&dyn ReadableQuads> {
        Some(self)
    }
}

impl ReadableQuads for OurQuads {
    fn load(&self, file: &Path) -> Result<(), Failure> {
        self.0.load_file(file)?;
        Ok(())
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        Ok(self.0.checkpoint()?)
    }

    fn len(&self) -> usize {
        self.0.len() as usize
    }

    fn matches(&self, pattern: &Pattern) -> Result<u64, Failure> {
        let quads = self.0.quads_for_pattern(
            pattern.subject.as_ref().map(|node| node.as_ref().into()),
            pattern.predicate.as_ref().map(NamedNode::as_ref),
            pattern.object.as_ref().map(Term::as_ref),
            None,
        );
        count(quads)
    }

    fn query(&self, sparql: &str, token: &CancellationToken) -> Result<QueryResults<'_>, Failure> {
        Ok(self.0.query_with(sparql, &QueryOptions::new().cancellation(token.clone()))?)
    }
}
