//! Terms ↔ numbers: striped interning.
//!
//! A term gets its number once and keeps it for the lifetime of the store. Numbers are never reused.
//!
//! The terms of the last checkpoint are in the [archive], on disk. The others are in memory: their table from
//! terms to numbers is striped by the term's hash, so threads that parse in parallel intern in parallel. Looking up
//! the term of a number takes no lock. A checkpoint [moves](Dictionary::adopt) terms to the next archive. A search
//! looks in memory first, and then in the archive. So it finds a term that a checkpoint moves meanwhile.

pub(crate) mod archive;
pub(crate) mod block;
pub(crate) mod entries;
mod resolve;
mod restore;
#[cfg(test)]
pub(crate) mod tests;

use crate::error::{Error, Result};
use crate::storage::planted::{self, Bug};
use crate::terms::quad::EncodedQuad;
use crate::terms::stored_term::{Encoded, encode, parts};
use crate::terms::term::{Kind, TermId, inlined_literal};
use arc_swap::{ArcSwap, Guard};
use archive::Archive;
use entries::{Entries, Entry, Held};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use oxrdf::{GraphNameRef, QuadRef, TermRef};
use parking_lot::{Mutex, RwLock};
use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use stripe_lock::Striped;

/// The stripes of the interning table. Interning holds a stripe for less than 1 us, so a few times the number of
/// cores is enough.
const STRIPES: usize = 64;

/// The dictionary of one store.
pub(crate) struct Dictionary {
    hasher: ahash::RandomState,
    /// Hashes and ids of the terms in memory. The table is striped by the hash, so a term is hashed only once.
    numbers: Striped<u64, RwLock<HashTable<(u64, TermId)>>, PassThrough>,
    recent: Entries,
    archive: ArcSwap<Archive>,
    /// The earlier archives that a thread may still read.
    earlier: Mutex<Vec<Weak<Archive>>>,
    /// By some bits of the hash: the id that was found last in the archive. So most terms that are looked up repeatedly are
    /// found without the index.
    hints: OnceLock<Box<[AtomicU64]>>,
    /// The number of the next term.
    next: AtomicU64,
    /// The numbers below this one were assigned before the store was opened.
    floor: AtomicU64,
    terms: AtomicU64,
}

/// The number of hints. They take 1 MiB.
const HINTS: u64 = 1 << 17;

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
        Self {
            hasher: ahash::RandomState::new(),
            numbers: Striped::from_fn(STRIPES, PassThrough, |_| RwLock::default()),
            recent: Entries::new(),
            terms: AtomicU64::new(archive.len()),
            archive: ArcSwap::from_pointee(archive),
            earlier: Mutex::default(),
            hints: OnceLock::new(),
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
                Some(entry) => Ok(id.kind() == Some(entry.kind)),
                None => self.archive.load().has(id),
            },
            None => Ok(id.is_default_graph() || inlined_literal(id).is_some()),
        }
    }

    /// Calls `write` with each term that a record has to contain so that `id` can be read after a crash: the term, and
    /// before it its parts, except those that a durable record or a checkpoint contains already.
    pub(crate) fn unpersisted(&self, id: TermId, write: &mut impl FnMut(TermId, &[u8])) {
        // A term that is not in memory is in the archive.
        let Some(entry) = self.recent_entry(id) else { return };
        if entry.persisted.load(Ordering::Acquire) {
            return;
        }
        for part in parts(id, &entry.bytes) {
            self.unpersisted(part, write);
        }
        write(id, &entry.bytes);
    }

    /// Marks the term as contained in a durable record. Pairs with the load in [`unpersisted`](Self::unpersisted).
    pub(crate) fn mark_persisted(&self, id: TermId) {
        if let Some(entry) = self.recent_entry(id) {
            entry.persisted.store(true, Ordering::Release);
        }
    }

    /// Marks the term and its parts as terms of a quad that is written without a record.
    pub(crate) fn mark_used(&self, id: TermId) {
        if let Some(entry) = self.recent_entry(id)
            && !entry.used.load(Ordering::Relaxed)
            && !entry.used.swap(true, Ordering::AcqRel)
        {
            parts(id, &entry.bytes).for_each(|part| self.mark_used(part));
        }
    }

    /// The archive with all terms of quads, stored but for the manifest, and those of them that are new. A term that only
    /// refused documents or lookups have is not among them, and is gone when the store is opened again.
    pub(crate) fn next_archive(&self) -> Result<(Archive, Vec<TermId>)> {
        let is_written = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        let terms = self.recent.ids(|entry| {
            !is_written(&entry.archived) && (is_written(&entry.persisted) || is_written(&entry.used))
        });
        let bytes = |id| self.bytes(id)?.ok_or_else(|| unknown(id));
        Ok((self.archive.load().with(&terms, bytes)?, terms))
    }

    /// Reads the terms of the durable archive from there, and drops those in memory that are new in it.
    pub(crate) fn adopt(&self, archive: Archive, terms: &[TermId]) {
        let earlier = self.archive.swap(Arc::new(archive));
        self.earlier.lock().push(Arc::downgrade(&earlier));
        drop(earlier);
        for id in terms {
            if let Some(entry) = self.recent_entry(*id) {
                entry.persisted.store(true, Ordering::Release);
                entry.archived.store(true, Ordering::Release);
            }
        }
        // First nothing refers to these terms any more, then they go.
        for stripe in self.numbers.iter() {
            let mut stripe = stripe.write();
            stripe.retain(|(_, id)| {
                self.recent_entry(*id).is_some_and(|entry| !entry.archived.load(Ordering::Acquire))
            });
            stripe.shrink_to_fit(|(hash, _)| *hash);
        }
        self.recent.drop_archived(self.floor.load(Ordering::Acquire), self.next());
    }

    /// Reads all terms from the durable archive, and drops all those in memory. Nobody else uses the dictionary.
    pub(crate) fn forget(&self, archive: Archive) {
        self.terms.store(archive.len(), Ordering::Relaxed);
        self.archive.store(Arc::new(archive));
        self.numbers.iter().for_each(|stripe| *stripe.write() = HashTable::new());
        self.recent.clear();
        self.floor.store(self.next(), Ordering::Release);
    }

    /// The archive of the last checkpoint.
    pub(crate) fn archive(&self) -> Arc<Archive> {
        self.archive.load_full()
    }

    /// The archives that a thread may read.
    pub(crate) fn archives(&self) -> Vec<Arc<Archive>> {
        let mut earlier = self.earlier.lock();
        earlier.retain(|archive| archive.strong_count() > 0);
        earlier.iter().filter_map(Weak::upgrade).chain([self.archive()]).collect()
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
                // A checkpoint may have moved the term after it was searched in the archive.
                continue;
            }
            return Ok(
                match stripe.entry(hash, |found| self.is(*found, hash, probe, bytes), |(hash, _)| *hash) {
                    Slot::Occupied(slot) => slot.get().1,
                    Slot::Vacant(slot) => {
                        let number = self.next.fetch_add(1, Ordering::AcqRel);
                        let id = TermId::new(kind, number);
                        assert!(
                            self.recent.set(number, Entry::new(kind, bytes, false)),
                            "a number is assigned once"
                        );
                        slot.insert((hash, id));
                        self.terms.fetch_add(1, Ordering::Relaxed);
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
        let stripe = self.numbers.get(&hash).read();
        if let Some((_, id)) = stripe.find(hash, |found| self.is(*found, hash, probe, bytes)) {
            return Ok(Ok(*id));
        }
        drop(stripe);
        let archive = self.archive.load();
        if archive.len() == 0 {
            return Ok(Err(archive));
        }
        let hints = self.hints.get_or_init(|| (0..HINTS).map(|_| AtomicU64::new(0)).collect());
        let hint = &hints[(hash % HINTS) as usize];
        let id = TermId(hint.load(Ordering::Relaxed));
        if id.kind() == Some(kind)
            && archive.bytes(id).is_ok_and(|found| found.is_some_and(|found| *found == *bytes))
        {
            return Ok(Ok(id));
        }
        Ok(match archive.find(kind, bytes)? {
            Some(id) => {
                hint.store(id.0, Ordering::Relaxed);
                Ok(id)
            }
            None => Err(archive),
        })
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
