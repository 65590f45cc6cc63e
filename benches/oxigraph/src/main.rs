//! The comparison of quad stores, with Oxigraph.

use std::{fs::File, path::Path};

use benches::{
    contenders::{
        quads::{Pattern, QUAD_ENGINES, QuadEngine, QuadStore, ReadableQuads, count},
        stores::{Durability, Failure},
    },
    quads,
};
use oxigraph::{
    io::RdfFormat,
    sparql::{CancellationToken, QueryResults, SparqlEvaluator},
    store::Store,
};
use oxrdf::{NamedNode, Quad, Term};

fn main() -> Result<(), Failure> {
    let mut engines = QUAD_ENGINES.to_vec();
    engines.push(QuadEngine {
        name: "Oxigraph",
        on_disk: true,
        open: |dir, durability| Ok(Box::new(Oxigraph { store: Store::open(dir)?, durability })),
    });
    engines.push(QuadEngine {
        name: "Oxigraph in memory",
        on_disk: false,
        open: |_, _| Ok(Box::new(Oxigraph { store: Store::new()?, durability: Durability::Buffered })),
    });
    quads::main(&engines)
}

/// Oxigraph. It does not sync when it commits, so each durable write is followed by its `flush`.
struct Oxigraph {
    store: Store,
    durability: Durability,
}

impl Oxigraph {
    fn flush_if_synced(&self) -> Result<(), Failure> {
        if self.durability == Durability::Synced {
            self.store.flush()?;
        }
        Ok(())
    }
}

impl QuadStore for Oxigraph {
    fn insert(&self, quad: Quad) -> Result<(), Failure> {
        self.store.insert(&quad)?;
        self.flush_if_synced()
    }

    fn add(&self, quads: Vec<Quad>) -> Result<(), Failure> {
        self.store.extend(quads)?;
        self.flush_if_synced()
    }

    fn as_readable(&self) -> Option<&dyn ReadableQuads> {
        Some(self)
    }
}

impl ReadableQuads for Oxigraph {
    fn load(&self, file: &Path) -> Result<(), Failure> {
        let mut loader = self.store.bulk_loader();
        loader.load_from_reader(RdfFormat::NTriples, File::open(file)?)?;
        loader.commit()?;
        Ok(())
    }

    fn checkpoint(&self) -> Result<(), Failure> {
        self.store.flush()?;
        Ok(self.store.optimize()?)
    }

    fn len(&self) -> usize {
        self.store.len().expect("the store can be read")
    }

    fn matches(&self, pattern: &Pattern) -> Result<u64, Failure> {
        count(self.store.quads_for_pattern(
            pattern.subject.as_ref().map(|node| node.as_ref().into()),
            pattern.predicate.as_ref().map(NamedNode::as_ref),
            pattern.object.as_ref().map(Term::as_ref),
            None,
        ))
    }

    fn query(&self, sparql: &str, token: &CancellationToken) -> Result<QueryResults<'_>, Failure> {
        let evaluator = SparqlEvaluator::new().with_cancellation_token(token.clone());
        Ok(evaluator.parse_query(sparql)?.on_store(&self.store).execute()?)
    }
}
