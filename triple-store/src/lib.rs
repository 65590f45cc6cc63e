//! An RDF quad store with SPARQL 1.1. Writers of different subjects run in parallel.
//!
//! ```
//! use triple_store::{RdfFormat, TripleStore};
//!
//! let store = TripleStore::in_memory(); // or TripleStore::open("data.vde")?
//! let turtle = "PREFIX ex: <http://example.com/> ex:alice ex:knows ex:bob, ex:carol .";
//! store.load(turtle.as_bytes(), RdfFormat::Turtle, "friends.ttl")?;
//! assert_eq!(store.len(), 2);
//! # Ok::<_, triple_store::Error>(())
//! ```
//!
//! Terms and quads are those of [`oxrdf`]. This crate exports the version that it uses:
//!
//! ```
//! use triple_store::oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
//! use triple_store::{QueryResults, TripleStore};
//!
//! let store = TripleStore::in_memory();
//! let knows = NamedNodeRef::new("http://example.com/knows")?;
//! let (ada, bob) = (NamedNodeRef::new("http://example.com/ada")?, NamedNodeRef::new("http://example.com/bob")?);
//! store.insert(QuadRef::new(ada, knows, bob, GraphNameRef::DefaultGraph))?;
//!
//! let results = store.query("SELECT ?whom { <http://example.com/ada> <http://example.com/knows> ?whom }")?;
//! let QueryResults::Solutions(solutions) = results else { panic!("SELECT gives solutions") };
//! for solution in solutions {
//!     assert_eq!(solution?.get("whom"), Some(&bob.into_owned().into()));
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! All calls block. In async code, run them in `spawn_blocking` or the like.
//!
//! # How it works
//!
//! Terms become 64-bit ids. Subjects are spread over stripes ([`stripe_lock`]). A writer holds the stripe of its
//! subject. A writer of many subjects takes their stripes in ascending order, so writers of different subjects run in
//! parallel and do not deadlock. A commit is one atomic write to a [`vde_store`]. The writer releases its stripes
//! before it waits for the disk, and many commits share one sync.
//!
//! Readers take no stripe. Each quad has the numbers of the commits that added and removed it. A [`Snapshot`] reads the
//! state at a watermark. The watermark moves past each commit, in order, once the commit is durable.
//!
//! A checkpoint merges recent quads into a run. The run has one sorted, delta-coded list for each index order: about 15
//! bytes a triple. A checkpoint rewrites only the parts of the run that change. Readers read the parts that they need,
//! and a [cache](TripleStoreOptions::cache) holds those that were read last.
//!
//! # When not to use it
//!
//! If what one load adds does not fit into memory: its quads and its new terms are held there until they are written.

// The README's code is tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod allocator;
mod documents;
mod engine;
mod error;
mod faces;
mod parallel;
#[cfg(feature = "server")]
pub mod server;
mod sparql;
mod storage;
mod terms;

#[cfg(feature = "client")]
pub use documents::client::HttpClient;
pub use documents::remote::{Remote, RemoteDocument};
pub use engine::options::TripleStoreOptions;
pub use engine::source::QuadIter;
pub use error::{Error, Result, SparqlError};
pub use faces::compact::Compacted;
pub use faces::dump::DumpOptions;
pub use faces::load::{LoadOptions, Loaded};
pub use faces::salvage::Salvaged;
pub use faces::snapshot::Snapshot;
pub use faces::stats::Stats;
pub use faces::store::{TripleStore, Updated};
pub use faces::transaction::{Isolation, Transaction};
pub use faces::verify::Verified;
/// The RDF terms of this crate's interface.
pub use oxrdf;
pub use oxrdfio::RdfFormat;
pub use sparesults::QueryResultsFormat;
pub use spareval::{AggregateFunctionAccumulator, CancellationToken, QueryResults};
pub use sparql::{QueryOptions, ResultFormat, UpdateOptions};
pub use storage::durability::Durability;
pub use vde_store::StripeHasher;
