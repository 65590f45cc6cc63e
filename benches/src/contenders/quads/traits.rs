//! The operations of quad stores: of those that can only be written to, and of those that can be read too.

use std::path::Path;

use oxrdf::{NamedNode, Quad, Term};
use triple_store::{CancellationToken, QueryResults};

use super::super::stores::{Durability, Failure};

/// A store that takes RDF quads.
pub trait QuadStore: Send + Sync {
    /// Adds a quad.
    ///
    /// # Errors
    ///
    /// The error of the store.
    fn insert(&self, quad: Quad) -> Result<(), Failure>;

    /// Adds some quads as one transaction.
    ///
    /// # Errors
    ///
    /// The error of the store.
    fn add(&self, quads: Vec<Quad>) -> Result<(), Failure>;

    /// The same store, if it can be read as well.
    fn as_readable(&self) -> Option<&dyn ReadableQuads> {
        None
    }
}

/// A triple pattern of the default graph.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    /// `None` for any.
    pub subject: Option<NamedNode>,
    /// `None` for any.
    pub predicate: Option<NamedNode>,
    /// `None` for any.
    pub object: Option<Term>,
}

/// A store of RDF quads that loads documents and answers questions.
pub trait ReadableQuads: QuadStore {
    /// Loads a document of N-Triples with the bulk loader of the store.
    ///
    /// # Errors
    ///
    /// The error of the store.
    fn load(&self, file: &Path) -> Result<(), Failure>;

    /// Does at once what the store would otherwise do later in the background: a checkpoint, or a flush and a
    /// compaction.
    ///
    /// # Errors
    ///
    /// The error of the store.
    fn checkpoint(&self) -> Result<(), Failure>;

    /// How many quads there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads every quad that matches, terms included, and counts them.
    ///
    /// # Errors
    ///
    /// The error of the store.
    fn matches(&self, pattern: &Pattern) -> Result<u64, Failure>;

    /// The results of a SPARQL query. Reading them fails once the token is cancelled.
    ///
    /// # Errors
    ///
    /// The error of the store.
    fn query(&self, sparql: &str, token: &CancellationToken) -> Result<QueryResults<'_>, Failure>;
}

/// A quad store that can be opened in a directory.
#[derive(Clone, Copy)]
pub struct QuadEngine {
    /// Its name in tables.
    pub name: &'static str,
    /// Whether it keeps its data on disk.
    pub on_disk: bool,
    /// Opens the store in the directory, or creates one there.
    pub open: OpenQuads,
}

/// Opens a quad store in a directory.
pub type OpenQuads = fn(&Path, Durability) -> Result<Box<dyn QuadStore>, Failure>;

/// Reads all items and counts them.
///
/// # Errors
///
/// The first error among them.
pub fn count<T, E: Into<Failure>>(items: impl Iterator<Item = Result<T, E>>) -> Result<u64, Failure> {
    let mut found = 0;
    for item in items {
        std::hint::black_box(item.map_err(Into::into)?);
        found += 1;
    }
    Ok(found)
}
