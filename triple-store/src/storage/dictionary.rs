//! Terms ↔ numbers: striped interning.
//!
//! A term gets its number once and keeps it until nothing refers to it. Numbers are never reused.
//!
//! Most terms are in the [archive], on disk. The others are in memory: their table from terms to numbers is striped by
//! the term's hash, so threads that parse in parallel intern in parallel. Looking up the term of a number takes no
//! lock. Terms [move](stages) from memory to the next archive. A search looks in memory first, and then in the
//! archive. So it finds a term that moves meanwhile.

pub(crate) mod archive;
pub(crate) mod block;
pub(crate) mod entries;
mod filter;
mod hints;
mod resolve;
mod restore;
pub(crate) mod stages;
pub(crate) mod sweep;
#[cfg(test)]
pub(crate) mod tests;

use crate::error::{Error, Result};
use crate::storage::planted::{self, Bug};
use crate::terms::quad::EncodedQuad;
use crate::terms::stored_term::{Encoded, encode};
use crate::terms::term::{Kind, TermId, inlined_literal};
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use archive::{Archive, indexed};
use entries::{Entries, Entry, Held};
use filter::Filter;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use hints::Hashes;
use oxrdf::{GraphNameRef, QuadRef, TermRef};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use stripe_lock::Striped;
use sweep::Sweep;

/// The stripes of the interning table. Interning holds a stripe for less than 1 us, so a few times the number of
/// cores is enough.
const STRIPES: usize = 64;

/// The dictionary of one store.
pub(crate) struct Dictionary {
    hasher: ahash::RandomState,
    /// Hashes and ids of the terms in memory. The table is striped by the hash, so a term is hashed only once.
    numbers: Striped<u64, RwLock<HashTable<(u64, TermId)>>, PassThrough>,
    recent: Entries,
    /// About how many bytes the terms in memory take.
    memory: AtomicU64,
    /// All terms that are not in memory.
    archive: ArcSwap<Archive>,
    /// The terms of the last checkpoint. All of them are in the archive.
    durable: ArcSwap<Archive>,
    /// The terms that are in the archive and in a durable record, and not in the durable archive.
    claimed: Mutex<HashSet<TermId>>,
    /// The hashes of all terms of the archive, while there are spilled terms.
    filter: ArcSwapOption<Filter>,
    /// The earlier archives that a thread may still read, and the pages that none after it has.
    earlier: Mutex<VecDeque<(Weak<Archive>, Vec<u64>)>>,
    /// Whether there is a sweep. It is set after the sweep, and cleared before it.
    sweeps: AtomicBool,
    sweep: ArcSwapOption<Sweep>,
    /// The number of the next term.
    next: AtomicU64,
    /// The numbers below this one were assigned before the store was opened.
    floor: AtomicU64,
    terms: AtomicU64,
}

/// The bytes of a term.
pub(crate) enum Bytes {
    Recent(Held),
    Archived(archive::Bytes),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Recent(entry) => &entry.bytes,
            Self::Archived(bytes) => bytes,
        }
    }
}

impl Dictionary {
    /// A dictionary of the terms of an archive. New terms get numbers from `next` on.
    pub(crate) fn new(archive: Archive, next: u64) -> Self {
        let archive = Arc::new(archive);
        Self {
            hasher: ahash::RandomState::new(),
            numbers: Striped::from_fn(STRIPES, PassThrough, |_| RwLock::default()),
            recent: Entries::new(),
            memory: AtomicU64::new(0),
            terms: AtomicU64::new(archive.len()),
            durable: ArcSwap::new(Arc::clone(&archive)),
            archive: ArcSwap::new(archive),
            claimed: Mutex::default(),
            filter: ArcSwapOption::empty(),
            earlier: Mutex::default(),
            sweeps: AtomicBool::new(false),
            sweep: ArcSwapOption::empty(),
            next: AtomicU64::new(next),
            floor: AtomicU64::new(next),
        }
    }

    /// The number of terms.
    pub(crate) fn len(&self) -> u64 {
        self.terms.load(Ordering::Relaxed)
    }

    /// The number of the next term.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// The id of a term. A new term gets an id.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] or [`Error::Corrupt`] if it can't be read whether the term has one. The same holds for the other
    /// functions that look for terms.
    pub(crate) fn intern(&self, term: TermRef<'_>) -> Result<TermId> {
        match encode(term, &mut |part| self.intern(part).map(Some))? {
            Some(Encoded::Inline(id)) => Ok(id),
            Some(Encoded::Bytes(kind, bytes)) => self.intern_bytes(kind, &bytes),
            None => unreachable!("interning the parts of a term always gives an id"),
        }
    }

    /// The id of a term, or `None` if no quad that was ever stored mentions it.
    pub(crate) fn lookup(&self, term: TermRef<'_>) -> Result<Option<TermId>> {
        match encode(term, &mut |part| self.lookup(part))? {
            Some(Encoded::Inline(id)) => Ok(Some(id)),
            Some(Encoded::Bytes(kind, bytes)) => self.lookup_bytes(kind, &bytes),
            None => Ok(None),
        }
    }

    pub(crate) fn intern_graph(&self, graph: GraphNameRef<'_>) -> Result<TermId> {
        match graph {
            GraphNameRef::DefaultGraph => Ok(TermId::DEFAULT_GRAPH),
            GraphNameRef::NamedNode(node) => self.intern(node.into()),
            GraphNameRef::BlankNode(node) => self.intern(node.into()),
        }
    }

    pub(crate) fn lookup_graph(&self, graph: GraphNameRef<'_>) -> Result<Option<TermId>> {
        match graph {
            GraphNameRef::DefaultGraph => Ok(Some(TermId::DEFAULT_GRAPH)),
            GraphNameRef::NamedNode(node) => self.lookup(node.into()),
            GraphNameRef::BlankNode(node) => self.lookup(node.into()),
        }
    }

    pub(crate) fn intern_quad(&self, quad: QuadRef<'_>) -> Result<EncodedQuad> {
        Ok(EncodedQuad {
            subject: self.intern(quad.subject.into())?,
            predicate: self.intern(quad.predicate.into())?,
            object: self.intern(quad.object)?,
            graph: self.intern_graph(quad.graph_name)?,
        })
    }

    pub(crate) fn lookup_quad(&self, quad: QuadRef<'_>) -> Result<Option<EncodedQuad>> {
        let Some(subject) = self.lookup(quad.subject.into())? else { return Ok(None) };
        let Some(predicate) = self.lookup(quad.predicate.into())? else { return Ok(None) };
        let Some(object) = self.lookup(quad.object)? else { return Ok(None) };
        let graph = self.lookup_graph(quad.graph_name)?;
        Ok(graph.map(|graph| EncodedQuad { subject, predicate, object, graph }))
    }

    /// Whether the id can be resolved.
    pub(crate) fn knows(&self, id: TermId) -> Result<bool> {
        match id.dictionary_index() {
            Some(number) => match self.recent.get(number) {
                Some(entry) if !entry.archived.load(Ordering::Acquire) => Ok(id.kind() == Some(entry.kind)),
                _ => self.archive.load().has(id),
            },
            None => Ok(id.is_default_graph() || inlined_literal(id).is_some()),
        }
    }

    /// The stored form of a term of the dictionary.
    pub(crate) fn bytes(&self, id: TermId) -> Result<Option<Bytes>> {
        let Some(number) = id.dictionary_index() else { return Ok(None) };
        match self.recent.get(number) {
            Some(entry) => Ok((id.kind() == Some(entry.kind)).then_some(Bytes::Recent(entry))),
            None => Ok(self.archive.load().bytes(id)?.map(Bytes::Archived)),
        }
    }

    /// The ids of the terms in memory.
    pub(crate) fn recent(&self) -> Vec<TermId> {
        self.recent.ids(|entry| !entry.archived.load(Ordering::Acquire))
    }

    /// Counts a term that is new in memory.
    fn count(&self, bytes: &[u8]) {
        self.terms.fetch_add(1, Ordering::Relaxed);
        self.memory.fetch_add(entries::memory(bytes), Ordering::Relaxed);
    }

    fn known_bytes(&self, id: TermId) -> Result<Bytes> {
        self.bytes(id)?.ok_or_else(|| unknown(id))
    }

    fn recent_entry(&self, id: TermId) -> Option<Held> {
        id.dictionary_index().and_then(|number| self.recent.get(number))
    }

    fn intern_bytes(&self, kind: Kind, bytes: &[u8]) -> Result<TermId> {
        let probe = TermId::new(kind, 0);
        let hash = self.hash(probe, bytes);
        loop {
            let archive = match self.search(kind, bytes, hash)? {
                Ok(id) => return Ok(id),
                Err(archive) => archive,
            };
            planted::meanwhile();
            let mut stripe = self.numbers.get(&hash).write();
            if !Arc::ptr_eq(&archive, &self.archive.load()) && !planted::has(Bug::TrustOldArchive) {
                // The term may have moved after it was searched in the archive.
                continue;
            }
            return Ok(
                match stripe.entry(hash, |found| self.is(*found, hash, probe, bytes), |(hash, _)| *hash) {
                    Slot::Occupied(slot) => {
                        let id = slot.get().1;
                        self.found_in_memory(id);
                        id
                    }
                    Slot::Vacant(slot) => {
                        let number = self.next.fetch_add(1, Ordering::AcqRel);
                        let id = TermId::new(kind, number);
                        assert!(
                            self.recent.set(number, Entry::new(kind, bytes, false)),
                            "a number is assigned once"
                        );
                        slot.insert((hash, id));
                        self.count(bytes);
                        id
                    }
                },
            );
        }
    }

    fn lookup_bytes(&self, kind: Kind, bytes: &[u8]) -> Result<Option<TermId>> {
        let hash = self.hash(TermId::new(kind, 0), bytes);
        Ok(self.search(kind, bytes, hash)?.ok())
    }

    /// The id of a term, or the archive that does not have it. It was not in memory before that either.
    fn search(&self, kind: Kind, bytes: &[u8], hash: u64) -> Result<Result<TermId, Guard<Arc<Archive>>>> {
        let probe = TermId::new(kind, 0);
        loop {
            let stripe = self.numbers.get(&hash).read();
            if let Some((_, id)) = stripe.find(hash, |found| self.is(*found, hash, probe, bytes)) {
                self.found_in_memory(*id);
                return Ok(Ok(*id));
            }
            drop(stripe);
            let archive = self.archive.load();
            match self.search_in(&archive, kind, bytes, hash)? {
                Some(id) if self.found_in(&archive, id) => return Ok(Ok(id)),
                Some(_) => {}
                None => return Ok(Err(archive)),
            }
        }
    }

    /// The id of a term that an archive has. The archive was loaded just before.
    fn search_in(&self, archive: &Archive, kind: Kind, bytes: &[u8], hash: u64) -> Result<Option<TermId>> {
        if archive.len() == 0 {
            return Ok(None);
        }
        let archived = archive.hash(kind, bytes);
        let hashes = Hashes(hash, archived);
        if let Some(id) = archive.hints.get(kind, hashes) {
            return Ok(Some(id));
        }
        // The filter is loaded after the archive, so it has the terms of the archive.
        if self.filter.load().as_ref().is_some_and(|filter| !filter.may_have(indexed(archived))) {
            return Ok(None);
        }
        let found = archive.find(kind, bytes, archived)?;
        if let Some(id) = found {
            archive.hints.put(hashes, id);
        }
        Ok(found)
    }

    fn hash(&self, id: TermId, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u8(id.kind().map_or(0, |kind| kind as u8));
        hasher.write(bytes);
        hasher.finish()
    }

    fn is(&self, (hash, id): (u64, TermId), wanted: u64, probe: TermId, bytes: &[u8]) -> bool {
        hash == wanted
            && id.kind() == probe.kind()
            && self.recent.get(id.payload()).is_some_and(|entry| *entry.bytes == *bytes)
    }
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dictionary").field("terms", &self.len()).finish_non_exhaustive()
    }
}

fn unknown(id: TermId) -> Error {
    Error::Corrupt(format!("{id:?} is not the id of a term in the dictionary"))
}

/// The hasher for keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct PassThrough;

impl BuildHasher for PassThrough {
    type Hasher = Passed;

    fn build_hasher(&self) -> Passed {
        Passed(0)
    }
}

struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
