//! Restoring terms from records. The bytes of a record are not trusted.

use super::entries::{Entry, MOST_TERMS};
use super::{Dictionary, Slot, unknown};
use crate::error::{Error, Result};
use crate::terms::quad::EncodedQuad;
use crate::terms::stored_term::{is_sound, parts};
use crate::terms::term::TermId;
use std::sync::atomic::Ordering;

impl Dictionary {
    /// Restores a term from the record of a commit. Records may repeat a term, but may not contradict each other. The parts
    /// of the term are restored before it.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the number belongs to another term, the term has another number, the bytes are no term, or a
    /// part is missing.
    pub(crate) fn restore(&self, id: TermId, bytes: &[u8]) -> Result<()> {
        let number =
            id.dictionary_index().filter(|number| *number < MOST_TERMS).ok_or_else(|| unknown(id))?;
        let kind = id.kind().filter(|_| is_sound(id, bytes)).ok_or_else(|| unknown(id))?;
        match self.lookup_bytes(kind, bytes)? {
            Some(found) if found == id => return Ok(()),
            Some(_) => return Err(contradiction(id)),
            None => {}
        }
        for part in parts(id, bytes) {
            self.check_known(part)?;
        }
        let archive = self.archive.load();
        if archive.has_number(number)? || !self.recent.set(number, Entry::new(kind, bytes, true)) {
            return Err(contradiction(id));
        }
        let hash = self.hash(id, bytes);
        let mut stripe = self.numbers.get(&hash).write();
        if let Slot::Vacant(slot) =
            stripe.entry(hash, |found| self.is(*found, hash, id, bytes), |(hash, _)| *hash)
        {
            slot.insert((hash, id));
        }
        self.count(bytes);
        self.next.fetch_max(number + 1, Ordering::AcqRel);
        self.floor.fetch_max(number + 1, Ordering::AcqRel);
        Ok(())
    }

    /// Restores a term that no record contradicts, as far as they can be read. The index of terms is not read, and parts of the
    /// term may be missing. Bytes that are no term are left out.
    pub(crate) fn salvage(&self, id: TermId, bytes: &[u8]) {
        let number = id.dictionary_index().filter(|number| *number < MOST_TERMS && is_sound(id, bytes));
        if let (Some(number), Some(kind)) = (number, id.kind()) {
            self.recent.set(number, Entry::new(kind, bytes, true));
        }
    }

    /// Checks that each term of a quad exists and is of a kind that is allowed in its position.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if one is not. [`Error::Storage`] if it can't be read.
    pub(crate) fn check(&self, quad: EncodedQuad) -> Result<()> {
        if !quad.is_well_formed() {
            return Err(Error::Corrupt(format!("{quad:?} is not a valid quad")));
        }
        quad.terms().into_iter().try_for_each(|id| self.check_known(id))
    }

    fn check_known(&self, id: TermId) -> Result<()> {
        if self.knows(id)? { Ok(()) } else { Err(unknown(id)) }
    }
}

fn contradiction(id: TermId) -> Error {
    Error::Corrupt(format!("two terms have the number {id:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::empty;
    use super::*;
    use crate::terms::stored_term::TYPED;
    use crate::terms::term::Kind;
    use oxrdf::NamedNode;

    #[test]
    fn damaged_records_are_refused() {
        let dictionary = empty();
        let a = dictionary.intern(NamedNode::new_unchecked("http://example.com/a").as_ref().into()).unwrap();
        let free = |kind| TermId::new(kind, 1000);
        let restore = |id, bytes: &[u8]| dictionary.restore(id, bytes);
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
