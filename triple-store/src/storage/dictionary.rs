//! Terms ↔ numbers: striped interning.
//!
//! A term gets its number once and keeps it for the lifetime of the store. Numbers are never reused. The table from
//! terms to numbers is striped by the term's hash, so threads that parse in parallel intern in parallel. Looking up
//! the term of a number takes no lock.

mod restore;

use crate::error::Error;
use crate::storage::entries::{Entries, Entry, Kept};
use crate::terms::codec;
use crate::terms::quad::EncodedQuad;
use crate::terms::stored_term::{
    Encoded, LEFT_TO_RIGHT, RIGHT_TO_LEFT, SIMPLE, TAGGED, TYPED, encode, parts, triple_parts,
};
use crate::terms::term::{Kind, TermId, inlined_literal};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use oxrdf::{
    BaseDirection, BlankNode, GraphName, GraphNameRef, Literal, NamedNode, NamedOrBlankNode, Quad, QuadRef,
    Term, TermRef, Triple,
};
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use stripe_lock::StripedRwLock;

/// The stripes of the interning table. Interning holds a stripe for less than 1 us, so a few times the number of
/// cores is enough.
const STRIPES: usize = 64;

/// The dictionary of one store.
pub(crate) struct Dictionary {
    hasher: ahash::RandomState,
    /// Hashes and numbers. The table is striped by the hash, so a term is hashed only once.
    numbers: StripedRwLock<u64, HashTable<(u64, TermId)>, parking_lot::RawRwLock, PassThrough>,
    terms: Entries,
    next: AtomicU64,
}

impl Dictionary {
    pub(crate) fn new() -> Self {
        Self {
            hasher: ahash::RandomState::new(),
            numbers: StripedRwLock::with_hasher(STRIPES, PassThrough),
            terms: Entries::new(),
            next: AtomicU64::new(0),
        }
    }

    /// How many numbers are assigned.
    pub(crate) fn len(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// The id of a term. A new term gets an id.
    pub(crate) fn intern(&self, term: TermRef<'_>) -> TermId {
        match encode(term, &mut |part| Some(self.intern(part))) {
            Some(Encoded::Inline(id)) => id,
            Some(Encoded::Bytes(kind, bytes)) => self.intern_bytes(kind, &bytes),
            None => unreachable!("interning the parts of a term always gives an id"),
        }
    }

    /// The id of a term, or `None` if no quad that was ever stored mentions it.
    pub(crate) fn lookup(&self, term: TermRef<'_>) -> Option<TermId> {
        match encode(term, &mut |part| self.lookup(part))? {
            Encoded::Inline(id) => Some(id),
            Encoded::Bytes(kind, bytes) => self.lookup_bytes(kind, &bytes),
        }
    }

    pub(crate) fn intern_graph(&self, graph: GraphNameRef<'_>) -> TermId {
        match graph {
            GraphNameRef::DefaultGraph => TermId::DEFAULT_GRAPH,
            GraphNameRef::NamedNode(node) => self.intern(node.into()),
            GraphNameRef::BlankNode(node) => self.intern(node.into()),
        }
    }

    pub(crate) fn lookup_graph(&self, graph: GraphNameRef<'_>) -> Option<TermId> {
        match graph {
            GraphNameRef::DefaultGraph => Some(TermId::DEFAULT_GRAPH),
            GraphNameRef::NamedNode(node) => self.lookup(node.into()),
            GraphNameRef::BlankNode(node) => self.lookup(node.into()),
        }
    }

    /// The term behind an id.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the dictionary has no such term, which happens only with damaged data.
    pub(crate) fn resolve(&self, id: TermId) -> Result<Term, Error> {
        let Some(number) = id.dictionary_index() else {
            return inlined_literal(id).map(Term::Literal).ok_or_else(|| unknown(id));
        };
        let entry = self
            .terms
            .get(number)
            .filter(|entry| id.kind() == Some(entry.kind))
            .ok_or_else(|| unknown(id))?;
        self.decode(id, &entry.bytes)
    }

    pub(crate) fn intern_quad(&self, quad: QuadRef<'_>) -> EncodedQuad {
        EncodedQuad {
            subject: self.intern(quad.subject.into()),
            predicate: self.intern(quad.predicate.into()),
            object: self.intern(quad.object),
            graph: self.intern_graph(quad.graph_name),
        }
    }

    pub(crate) fn lookup_quad(&self, quad: QuadRef<'_>) -> Option<EncodedQuad> {
        Some(EncodedQuad {
            subject: self.lookup(quad.subject.into())?,
            predicate: self.lookup(quad.predicate.into())?,
            object: self.lookup(quad.object)?,
            graph: self.lookup_graph(quad.graph_name)?,
        })
    }

    pub(crate) fn resolve_quad(&self, quad: EncodedQuad) -> Result<Quad, Error> {
        Ok(Quad {
            subject: self.resolve_subject(quad.subject)?,
            predicate: self.resolve_predicate(quad.predicate)?,
            object: self.resolve(quad.object)?,
            graph_name: self.resolve_graph(quad.graph)?,
        })
    }

    /// Whether the id can be resolved.
    pub(crate) fn knows(&self, id: TermId) -> bool {
        match id.dictionary_index() {
            Some(number) => self.terms.get(number).is_some_and(|entry| id.kind() == Some(entry.kind)),
            None => id.is_default_graph() || inlined_literal(id).is_some(),
        }
    }

    pub(crate) fn resolve_subject(&self, id: TermId) -> Result<NamedOrBlankNode, Error> {
        match self.resolve(id)? {
            Term::NamedNode(node) => Ok(node.into()),
            Term::BlankNode(node) => Ok(node.into()),
            Term::Literal(_) | Term::Triple(_) => Err(unknown(id)),
        }
    }

    pub(crate) fn resolve_predicate(&self, id: TermId) -> Result<NamedNode, Error> {
        match self.resolve(id)? {
            Term::NamedNode(node) => Ok(node),
            _ => Err(unknown(id)),
        }
    }

    pub(crate) fn resolve_graph(&self, id: TermId) -> Result<GraphName, Error> {
        if id.is_default_graph() {
            return Ok(GraphName::DefaultGraph);
        }
        Ok(self.resolve_subject(id)?.into())
    }

    /// Calls `write` with each term that a record has to contain so that `id` can be read after a crash: the term, and
    /// before it its parts, except those that a durable record contains already.
    pub(crate) fn unpersisted(&self, id: TermId, write: &mut impl FnMut(TermId, &[u8])) {
        let Some(entry) = id.dictionary_index().and_then(|number| self.terms.get(number)) else { return };
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
        if let Some(entry) = id.dictionary_index().and_then(|number| self.terms.get(number)) {
            entry.persisted.store(true, Ordering::Release);
        }
    }

    /// Marks the term and its parts as terms of a quad that is written without a record.
    pub(crate) fn mark_used(&self, id: TermId) {
        if let Some(entry) = id.dictionary_index().and_then(|number| self.terms.get(number))
            && !entry.used.load(Ordering::Relaxed)
            && !entry.used.swap(true, Ordering::AcqRel)
        {
            parts(id, &entry.bytes).for_each(|part| self.mark_used(part));
        }
    }

    /// The terms of quads that no checkpoint contains yet, in the order of their numbers. So the parts of a triple come
    /// before the triple. A term that only refused documents or lookups have is not among them, and is gone when the
    /// store is opened again.
    pub(crate) fn unarchived(&self) -> Vec<TermId> {
        let end = self.len();
        let entries = self.terms.iter().take_while(|(number, _)| *number < end);
        let is_written = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        let entries = entries.filter(|(_, entry)| {
            !is_written(&entry.archived) && (is_written(&entry.persisted) || is_written(&entry.used))
        });
        entries.map(|(number, entry)| TermId::new(entry.kind, number)).collect()
    }

    /// Marks the term as contained in a checkpoint.
    pub(crate) fn mark_archived(&self, id: TermId) {
        if let Some(entry) = id.dictionary_index().and_then(|number| self.terms.get(number)) {
            entry.archived.store(true, Ordering::Release);
            entry.persisted.store(true, Ordering::Release);
        }
    }

    /// The stored form of a term of the dictionary.
    pub(crate) fn bytes(&self, id: TermId) -> Option<&[u8]> {
        id.dictionary_index().and_then(|number| self.terms.get(number)).map(|entry| &*entry.bytes)
    }

    /// Every term, in the order of their numbers.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (TermId, &[u8])> {
        self.terms.iter().map(|(number, entry)| (TermId::new(entry.kind, number), &*entry.bytes))
    }

    fn intern_bytes(&self, kind: Kind, bytes: &[u8]) -> TermId {
        let probe = TermId::new(kind, 0);
        let hash = self.hash(probe, bytes);
        if let Some((_, id)) =
            self.numbers.read(&hash).find(hash, |found| self.is(*found, hash, probe, bytes))
        {
            return *id;
        }
        let mut stripe = self.numbers.write(&hash);
        match stripe.entry(hash, |found| self.is(*found, hash, probe, bytes), |(hash, _)| *hash) {
            Slot::Occupied(slot) => slot.get().1,
            Slot::Vacant(slot) => {
                let number = self.next.fetch_add(1, Ordering::AcqRel);
                let id = TermId::new(kind, number);
                assert!(
                    self.terms.set(number, Entry::new(kind, bytes, Kept::Nowhere)),
                    "a number is assigned once"
                );
                slot.insert((hash, id));
                id
            }
        }
    }

    fn lookup_bytes(&self, kind: Kind, bytes: &[u8]) -> Option<TermId> {
        let probe = TermId::new(kind, 0);
        let hash = self.hash(probe, bytes);
        self.numbers.read(&hash).find(hash, |found| self.is(*found, hash, probe, bytes)).map(|(_, id)| *id)
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
            && self.terms.get(id.payload()).is_some_and(|entry| *entry.bytes == *bytes)
    }

    fn decode(&self, id: TermId, bytes: &[u8]) -> Result<Term, Error> {
        let bad = || unknown(id);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| bad());
        Ok(match id.kind() {
            Some(Kind::NamedNode) => NamedNode::new_unchecked(text(bytes)?).into(),
            Some(Kind::BlankNode) => BlankNode::new_unchecked(text(bytes)?).into(),
            Some(Kind::Literal) => {
                let (tag, rest) = bytes.split_first().ok_or_else(bad)?;
                match *tag {
                    SIMPLE => Literal::new_simple_literal(text(rest)?),
                    TYPED => {
                        let (datatype, value) = rest.split_first_chunk().ok_or_else(bad)?;
                        let datatype = self.resolve_predicate(TermId(u64::from_le_bytes(*datatype)))?;
                        Literal::new_typed_literal(text(value)?, datatype)
                    }
                    TAGGED | LEFT_TO_RIGHT | RIGHT_TO_LEFT => {
                        let mut rest = rest;
                        let length = codec::varint(&mut rest).ok_or_else(bad)?;
                        let (language, value) = rest.split_at_checked(length as usize).ok_or_else(bad)?;
                        let (language, value) = (text(language)?, text(value)?);
                        match *tag {
                            TAGGED => Literal::new_language_tagged_literal_unchecked(value, language),
                            tag => Literal::new_directional_language_tagged_literal_unchecked(
                                value,
                                language,
                                if tag == LEFT_TO_RIGHT { BaseDirection::Ltr } else { BaseDirection::Rtl },
                            ),
                        }
                    }
                    _ => return Err(bad()),
                }
                .into()
            }
            Some(Kind::Triple) => {
                let [s, p, o] = triple_parts(bytes).ok_or_else(bad)?;
                Triple::new(self.resolve_subject(s)?, self.resolve_predicate(p)?, self.resolve(o)?).into()
            }
            _ => return Err(bad()),
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use oxrdf::vocab::xsd;

    fn terms() -> Vec<Term> {
        let node = NamedNode::new_unchecked("http://example.com/a");
        let own = NamedNode::new_unchecked("http://example.com/type");
        vec![
            node.clone().into(),
            BlankNode::new_unchecked("http://example.com/a").into(),
            BlankNode::new_from_unique_id(0xabc).into(),
            Literal::new_simple_literal("http://example.com/a").into(),
            Literal::new_simple_literal("short").into(),
            Literal::new_typed_literal("007", xsd::INTEGER).into(),
            Literal::new_typed_literal("7", xsd::INTEGER).into(),
            Literal::new_typed_literal("7", own.clone()).into(),
            Literal::new_language_tagged_literal_unchecked("chat", "fr").into(),
            Literal::new_language_tagged_literal_unchecked("chat", "en").into(),
            Literal::new_language_tagged_literal_unchecked("", format!("en-{}", "x".repeat(300))).into(),
            Literal::new_directional_language_tagged_literal_unchecked("chat", "en", BaseDirection::Ltr)
                .into(),
            Literal::new_directional_language_tagged_literal_unchecked("chat", "en", BaseDirection::Rtl)
                .into(),
            Triple::new(node.clone(), own.clone(), Literal::new_typed_literal("x", own)).into(),
        ]
    }

    #[test]
    fn terms_come_back_and_distinct_terms_have_distinct_ids() {
        let dictionary = Dictionary::new();
        let ids: Vec<_> = terms().iter().map(|term| dictionary.intern(term.as_ref())).collect();
        for (i, (term, id)) in terms().iter().zip(&ids).enumerate() {
            assert_eq!(dictionary.resolve(*id).unwrap(), *term);
            assert_eq!(dictionary.lookup(term.as_ref()), Some(*id));
            assert_eq!(ids.iter().position(|other| other == id), Some(i), "{term}");
        }
        assert_eq!(
            dictionary.lookup(NamedNode::new_unchecked("http://example.com/none").as_ref().into()),
            None
        );
    }

    #[test]
    fn a_record_holds_the_parts_of_its_terms_before_the_terms_themselves() {
        let (dictionary, copy) = (Dictionary::new(), Dictionary::new());
        for term in terms().iter().rev() {
            let id = dictionary.intern(term.as_ref());
            let mut record = Vec::new();
            dictionary.unpersisted(id, &mut |id, bytes| record.push((id, bytes.to_vec())));
            for (id, bytes) in &record {
                copy.restore(*id, bytes, Kept::InRecord).unwrap();
                copy.restore(*id, bytes, Kept::InRecord).unwrap();
                copy.check_parts(*id).unwrap();
                dictionary.mark_persisted(*id);
            }
            dictionary.unpersisted(id, &mut |id, _| panic!("{id:?} was written twice"));
            assert_eq!(copy.resolve(id).unwrap(), *term);
            assert_eq!(copy.lookup(term.as_ref()), Some(id));
        }
    }

    #[test]
    fn threads_that_intern_the_same_terms_agree() {
        let dictionary = Dictionary::new();
        let intern_all = || -> Vec<TermId> {
            (0..2000)
                .map(|i| dictionary.intern(NamedNode::new_unchecked(format!("urn:{i}")).as_ref().into()))
                .collect()
        };
        let ids: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(intern_all)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|other| *other == ids[0]));
        assert_eq!(dictionary.len(), 2000);
    }
}
