//! Quad stores behind two traits: what they all can be written by, and what those can be asked that are more than that.

use std::path::Path;

use oxrdf::{NamedNode, Quad, Term};
use triple_store::{CancellationToken, QueryOptions, QueryResults, TripleStore, TripleStoreOptions};

use super::{
    naive_quads,
    stores::{Durability, Failure},
};

/// A store that takes RDF quads.
pub trait QuadStore: Send + Sync {
    /// Adds a quad.
    ///
    /// # Errors
    ///
    /// Whatever the store says.
    fn insert(&self, quad: Quad) -> Result<(), Failure>;

    /// Adds some quads as one transaction.
    ///
    /// # Errors
    ///
    /// Whatever the store says.
    fn add(&self, quads: Vec<Quad>) -> Result<(), Failure>;

    /// The same store, if it can be asked as well.
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
    /// Loads a document of N-Triples by the store's own way for many quads.
    ///
    /// # Errors
    ///
    /// Whatever the store says.
    fn load(&self, file: &Path) -> Result<(), Failure>;

    /// Brings what was written into its lasting form.
    ///
    /// # Errors
    ///
    /// Whatever the store says.
    fn settle(&self) -> Result<(), Failure>;

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
    /// Whatever the store says.
    fn matches(&self, pattern: &Pattern) -> Result<u64, Failure>;

    /// The results of a SPARQL query. Reading them fails once the token is cancelled.
    ///
    /// # Errors
    ///
    /// Whatever the store says.
    fn query(&self, sparql: &str, token: &CancellationToken) -> Result<QueryResults<'_>, Failure>;
}

/// A quad store that can be opened in a directory.
#[derive(Clone, Copy)]
pub struct QuadEngine {
    /// What it is called in tables.
    pub name: &'static str,
    /// Whether what it holds is ever on disk.
    pub on_disk: bool,
    /// Opens the store in the directory, or makes one in it.
    pub open: OpenQuads,
}

/// Opens a quad store in a directory.
pub type OpenQuads = fn(&Path, Durability) -> Result<Box<dyn QuadStore>, Failure>;

/// Ours, by the name that ratios are taken to.
pub const OURS: &str = "triple-store";

/// Every quad store this build knows, ours first.
pub const QUAD_ENGINES: &[QuadEngine] = &[
    QuadEngine { name: OURS, on_disk: true, open: |dir, d| Ok(Box::new(OurQuads::open(dir, d)?)) },
    QuadEngine {
        name: "triple-store in memory",
        on_disk: false,
        open: |_, _| Ok(Box::new(OurQuads(TripleStore::in_memory()))),
    },
    QuadEngine { name: "quads over fjall", on_disk: true, open: naive_quads::over_fjall },
    QuadEngine { name: "quads over redb", on_disk: true, open: naive_quads::over_redb },
    #[cfg(feature = "lmdb")]
    QuadEngine { name: "quads over LMDB", on_disk: true, open: naive_quads::over_lmdb },
];

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

    fn settle(&self) -> Result<(), Failure> {
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

/// Counts items, each of which is looked at.
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
