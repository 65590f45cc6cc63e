//! A simple quad store over a key-value store: a dictionary of hashed terms, three sorted orders, one transaction for each
//! call. It can be written to, and not queried.

use std::path::Path;

use oxrdf::Quad;

#[cfg(feature = "lmdb")]
use super::super::stores::{Store, foreign::Lmdb};
use super::{
    super::stores::{Durability, Failure},
    traits::QuadStore,
};

/// Keys and values to be put at once.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// A key-value store that puts many entries as one transaction.
trait Batches: Send + Sync {
    fn put_all(&self, entries: Entries) -> Result<(), Failure>;
}

struct NaiveQuads<B> {
    batches: B,
    hasher: ahash::RandomState,
}

impl<B: Batches + 'static> NaiveQuads<B> {
    fn boxed(batches: B) -> Box<dyn QuadStore> {
        // The hashes are stored, so the keys of the hasher must never change.
        Box::new(Self { batches, hasher: ahash::RandomState::with_seeds(1, 2, 3, 4) })
    }
}

impl<B: Batches> QuadStore for NaiveQuads<B> {
    fn insert(&self, quad: Quad) -> Result<(), Failure> {
        self.add(vec![quad])
    }

    fn add(&self, quads: Vec<Quad>) -> Result<(), Failure> {
        let mut entries = Entries::with_capacity(7 * quads.len());
        for quad in quads {
            let terms = [
                quad.subject.to_string(),
                quad.predicate.to_string(),
                quad.object.to_string(),
                quad.graph_name.to_string(),
            ];
            let ids = terms.each_ref().map(|term| self.hasher.hash_one(term).to_be_bytes());
            for (id, term) in ids.iter().zip(terms) {
                entries.push(([&b"t"[..], id].concat(), term.into_bytes()));
            }
            for (name, order) in [(b"s", [0, 1, 2, 3]), (b"p", [1, 2, 0, 3]), (b"o", [2, 0, 1, 3])] {
                let arranged = order.map(|column: usize| ids[column]);
                entries.push(([name, arranged.as_flattened()].concat(), Vec::new()));
            }
        }
        entries.sort_unstable();
        entries.dedup();
        self.batches.put_all(entries)
    }
}

struct Fjall {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
    durability: Durability,
}

pub(super) fn over_fjall(dir: &Path, durability: Durability) -> Result<Box<dyn QuadStore>, Failure> {
    let database = fjall::Database::builder(dir).open()?;
    let keyspace = database.keyspace("quads", fjall::KeyspaceCreateOptions::default)?;
    Ok(NaiveQuads::boxed(Fjall { database, keyspace, durability }))
}

impl Batches for Fjall {
    fn put_all(&self, entries: Entries) -> Result<(), Failure> {
        let mut batch = self.database.batch();
        for (key, value) in entries {
            batch.insert(&self.keyspace, key, value);
        }
        batch.commit()?;
        if self.durability == Durability::Synced {
            self.database.persist(fjall::PersistMode::SyncData)?;
        }
        Ok(())
    }
}

const TABLE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("quads");

struct Redb {
    database: redb::Database,
    durability: Durability,
}

pub(super) fn over_redb(dir: &Path, durability: Durability) -> Result<Box<dyn QuadStore>, Failure> {
    let database = redb::Database::create(dir.join("quads.redb"))?;
    Ok(NaiveQuads::boxed(Redb { database, durability }))
}

impl Batches for Redb {
    fn put_all(&self, entries: Entries) -> Result<(), Failure> {
        let mut write = self.database.begin_write()?;
        if self.durability == Durability::Buffered {
            write.set_durability(redb::Durability::None)?;
        }
        let mut table = write.open_table(TABLE)?;
        for (key, value) in &entries {
            table.insert(&**key, &**value)?;
        }
        drop(table);
        Ok(write.commit()?)
    }
}

#[cfg(feature = "lmdb")]
pub(super) fn over_lmdb(dir: &Path, durability: Durability) -> Result<Box<dyn QuadStore>, Failure> {
    Ok(NaiveQuads::boxed(Lmdb::open(dir, durability)?))
}

#[cfg(feature = "lmdb")]
impl Batches for Lmdb {
    fn put_all(&self, entries: Entries) -> Result<(), Failure> {
        let pairs: Vec<_> = entries.iter().map(|(key, value)| (&**key, &**value)).collect();
        Store::put_all(self, &pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contenders::quads::QUAD_ENGINES, rdf::Input};

    #[test]
    fn every_quad_store_takes_quads() {
        let quads = Input::generated(3).quads;
        for engine in QUAD_ENGINES {
            for durability in [Durability::Synced, Durability::Buffered] {
                let dir = tempfile::tempdir().unwrap();
                let store = (engine.open)(dir.path(), durability).unwrap();
                store.add(quads.clone()).unwrap();
                store.insert(quads[0].clone()).unwrap();
                if let Some(store) = store.as_readable() {
                    assert_eq!(store.len(), quads.len(), "{}", engine.name);
                }
            }
        }
    }
}
