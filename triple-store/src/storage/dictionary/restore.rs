//! Restoring terms from records. The bytes of a record are not trusted.

use super::{Dictionary, Slot, unknown};
use crate::error::Error;
use crate::storage::entries::{Entry, Kept, MOST_TERMS};
use crate::terms::codec;
use crate::terms::quad::EncodedQuad;
use crate::terms::stored_term::{LEFT_TO_RIGHT, RIGHT_TO_LEFT, SIMPLE, TAGGED, TYPED, parts, triple_parts};
use crate::terms::term::{Kind, TermId};
use std::sync::atomic::Ordering;

impl Dictionary {
    /// Restores a term from a record. Records may repeat a term, but may not contradict each other. Afterwards the
    /// caller has to check the [parts](Self::check_parts) of the term, and to [reserve](Self::take_until) its number.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the number belongs to another term, the term has another number, or the bytes are no term.
    pub(crate) fn restore(&self, id: TermId, bytes: &[u8], kept: Kept) -> Result<(), Error> {
        let number =
            id.dictionary_index().filter(|number| *number < MOST_TERMS).ok_or_else(|| unknown(id))?;
        if let Some(entry) = self.terms.get(number) {
            return if id.kind() == Some(entry.kind) && *entry.bytes == *bytes {
                Ok(())
            } else {
                Err(contradiction(id))
            };
        }
        let kind = id.kind().filter(|kind| is_term(*kind, bytes)).ok_or_else(|| unknown(id))?;
        let hash = self.hash(id, bytes);
        let mut stripe = self.numbers.write(&hash);
        match stripe.entry(hash, |found| self.is(*found, hash, id, bytes), |(hash, _)| *hash) {
            Slot::Vacant(slot) if self.terms.set(number, Entry::new(kind, bytes, kept)) => {
                slot.insert((hash, id));
            }
            Slot::Vacant(_) | Slot::Occupied(_) => return Err(contradiction(id)),
        }
        Ok(())
    }

    /// Reserves all numbers below `end`. It is called once for many terms, because threads that restore terms would
    /// wait for each other.
    pub(crate) fn take_until(&self, end: u64) {
        self.next.fetch_max(end, Ordering::AcqRel);
    }

    /// Checks that the parts of a term exist and are of allowed kinds.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if they don't.
    pub(crate) fn check_parts(&self, id: TermId) -> Result<(), Error> {
        let bytes = self.bytes(id).unwrap_or_default();
        // Parts get their numbers before the triple, so no term is a part of itself.
        if parts(id, bytes).any(|part| part.dictionary_index() >= id.dictionary_index()) {
            return Err(contradiction(id));
        }
        match (id.kind(), triple_parts(bytes)) {
            (Some(Kind::Triple), Some([subject, predicate, object])) => {
                self.check(EncodedQuad { subject, predicate, object, graph: TermId::DEFAULT_GRAPH })
            }
            _ if parts(id, bytes).all(|part| part.kind() == Some(Kind::NamedNode) && self.knows(part)) => {
                Ok(())
            }
            _ => Err(unknown(id)),
        }
    }

    /// Checks that each term of a quad exists and is of a kind that is allowed in its position.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if one is not.
    pub(crate) fn check(&self, quad: EncodedQuad) -> Result<(), Error> {
        let node = |id: TermId| matches!(id.kind(), Some(Kind::NamedNode | Kind::BlankNode));
        let object = |id: TermId| !matches!(id.kind(), None | Some(Kind::DefaultGraph | Kind::Local));
        let fits = node(quad.subject)
            && quad.predicate.kind() == Some(Kind::NamedNode)
            && object(quad.object)
            && (quad.graph.is_default_graph() || node(quad.graph));
        if fits && quad.terms().into_iter().all(|id| self.knows(id)) {
            Ok(())
        } else {
            Err(Error::Corrupt(format!("{quad:?} is not a valid quad")))
        }
    }
}

/// Whether the stored form of a term of this kind can be decoded, once its parts are known.
fn is_term(kind: Kind, bytes: &[u8]) -> bool {
    let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    match (kind, bytes.split_first()) {
        (Kind::NamedNode | Kind::BlankNode, _) => is_text(bytes),
        (Kind::Triple, _) => triple_parts(bytes).is_some(),
        (Kind::Literal, Some((&SIMPLE, value))) => is_text(value),
        (Kind::Literal, Some((&TYPED, rest))) => rest.get(8..).is_some_and(is_text),
        (Kind::Literal, Some((&(TAGGED | LEFT_TO_RIGHT | RIGHT_TO_LEFT), mut rest))) => {
            let language = codec::varint(&mut rest).and_then(|length| codec::take(&mut rest, length));
            language.is_some_and(is_text) && is_text(rest)
        }
        _ => false,
    }
}

fn contradiction(id: TermId) -> Error {
    Error::Corrupt(format!("two terms have the number {id:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oxrdf::NamedNode;

    #[test]
    fn damaged_records_are_refused() {
        let dictionary = Dictionary::new();
        let a = dictionary.intern(NamedNode::new_unchecked("http://example.com/a").as_ref().into());
        let free = |kind| TermId::new(kind, 1000);
        let restore = |id, bytes: &[u8]| {
            dictionary.restore(id, bytes, Kept::InRecord)?;
            dictionary.check_parts(id)
        };
        assert!(restore(a, b"http://example.com/b").is_err(), "one number, two terms");
        assert!(restore(free(Kind::NamedNode), b"http://example.com/a").is_err(), "one term, two numbers");
        assert!(restore(free(Kind::NamedNode), b"\xff").is_err(), "not UTF-8");
        assert!(restore(free(Kind::Literal), b"").is_err(), "no tag");
        assert!(restore(free(Kind::Literal), b"\x09abc").is_err(), "unknown tag");
        assert!(restore(free(Kind::Literal), b"\x02\xff").is_err(), "language beyond the end");
        assert!(restore(free(Kind::Literal), &[TYPED, 1, 2, 3]).is_err(), "half a datatype");
        assert!(restore(free(Kind::Integer), b"").is_err(), "an inlined value");
        assert!(dictionary.resolve(free(Kind::BlankNode)).is_err());
        assert!(restore(free(Kind::Triple), &[0; 24]).is_err(), "a triple of default graphs");
        let itself = TermId::new(Kind::Triple, 1001);
        let parts = [a, a, itself].map(|part| part.0.to_le_bytes());
        assert!(restore(itself, parts.as_flattened()).is_err(), "a triple in itself");
        assert!(dictionary.resolve(TermId(u64::MAX)).is_err());
    }
}
