//! The record of one commit in the journal.
//!
//! ```text
//! version (1 byte)
//! number of terms, then each: id, length, bytes
//! number of changes, then each: flags (1 byte), and the ids of subject, predicate, object and graph,
//!     except those that the flags mark as equal to the previous change's
//! ```
//!
//! Numbers are [varints](crate::terms::codec). An id is rotated so that its kind is in the low bits. A record contains
//! every term that no durable record contained when it was written. So it can be read even if other commits were lost.

use crate::error::{Error, Result};
use crate::storage::dictionary::Dictionary;
use crate::terms::codec::{put_varint, take, varint};
use crate::terms::quad::Change;
use crate::terms::quad::EncodedQuad;
use crate::terms::term::TermId;

const VERSION: u8 = 1;

const ADDS: u8 = 1;
/// For each column, subject first: the flag that it is the same as in the previous change.
const SAME: [u8; 4] = [1 << 1, 1 << 2, 1 << 3, 1 << 4];
const FLAGS: u8 = (1 << 5) - 1;

/// The quad before the first change.
const ORIGIN: EncodedQuad = EncodedQuad {
    subject: TermId::DEFAULT_GRAPH,
    predicate: TermId::DEFAULT_GRAPH,
    object: TermId::DEFAULT_GRAPH,
    graph: TermId::DEFAULT_GRAPH,
};

/// The approximate size of a term's definition without its bytes.
const DEFINITION: usize = 12;

/// An encoded record, and the terms that are durable once the record is.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) bytes: Vec<u8>,
    pub(crate) terms: Vec<TermId>,
}

/// Encodes changes. Sorted changes make a shorter record.
///
/// # Errors
///
/// [`Error::Storage`] if a term can't be read.
pub(crate) fn encode(dictionary: &Dictionary, changes: &[Change]) -> Result<Record> {
    let (mut terms, mut length) = (Vec::new(), 0);
    // For one quad, comparing the terms is faster than hashing them.
    let mut seen = (changes.len() > 1).then(ahash::HashSet::default);
    for id in changes.iter().flat_map(|change| change.quad.terms()) {
        dictionary.unpersisted(id, &mut |id, bytes| {
            let is_new = match &mut seen {
                Some(seen) => seen.insert(id),
                None => !terms.contains(&id),
            };
            if is_new {
                terms.push(id);
                length += bytes.len() + DEFINITION;
            }
        })?;
    }
    let mut bytes = Vec::with_capacity(length + 16 * changes.len() + 16);
    put_terms(&mut bytes, dictionary, &terms)?;
    put_varint(&mut bytes, changes.len() as u64);
    let mut last = ORIGIN.terms();
    for Change { quad, adds } in changes {
        let terms = quad.terms();
        let flags = (0..4).filter(|column| terms[*column] == last[*column]).map(|column| SAME[column]);
        bytes.push(flags.fold(if *adds { ADDS } else { 0 }, |flags, flag| flags | flag));
        for column in (0..4).filter(|column| terms[*column] != last[*column]) {
            put_varint(&mut bytes, rotate(terms[column]));
        }
        last = terms;
    }
    Ok(Record { bytes, terms })
}

fn put_terms(out: &mut Vec<u8>, dictionary: &Dictionary, terms: &[TermId]) -> Result<()> {
    out.push(VERSION);
    put_varint(out, terms.len() as u64);
    for id in terms {
        let lost = || Error::Corrupt(format!("the text of {id:?} is lost"));
        let bytes = dictionary.bytes(*id)?.ok_or_else(lost)?;
        put_varint(out, rotate(*id));
        put_varint(out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
    }
    Ok(())
}

/// The terms that a record defines, by their ids.
type Definitions<'a> = Vec<(TermId, &'a [u8])>;

/// Decodes a record. Adds its terms to the dictionary and returns its changes.
///
/// # Errors
///
/// [`Error::Corrupt`] unless [`encode`] could have written it.
pub(crate) fn decode(dictionary: &Dictionary, bytes: &[u8]) -> Result<Vec<Change>> {
    let (terms, changes) = parse(bytes)?;
    terms.into_iter().try_for_each(|(id, bytes)| dictionary.restore(id, bytes))?;
    changes.iter().try_for_each(|change| dictionary.check(change.quad))?;
    Ok(changes)
}

/// The terms and changes of a record. Whether the terms of the changes exist is not checked.
///
/// # Errors
///
/// As [`decode`].
pub(crate) fn parse(mut bytes: &[u8]) -> Result<(Definitions<'_>, Vec<Change>)> {
    let bytes = &mut bytes;
    let terms = parse_terms(bytes)?;
    let count = varint(bytes).ok_or_else(short)?;
    let mut changes = Vec::with_capacity((count as usize).min(bytes.len()));
    let mut last = ORIGIN;
    for _ in 0..count {
        let flags = take(bytes, 1).ok_or_else(short)?[0];
        if flags & !FLAGS != 0 {
            return Err(Error::Corrupt("a change with unknown flags".into()));
        }
        let mut terms = last.terms();
        for column in (0..4).filter(|column| flags & SAME[*column] == 0) {
            terms[column] = TermId(varint(bytes).ok_or_else(short)?.rotate_right(4));
        }
        let [subject, predicate, object, graph] = terms;
        let quad = EncodedQuad { subject, predicate, object, graph };
        changes.push(Change { quad, adds: flags & ADDS != 0 });
        last = quad;
    }
    if !bytes.is_empty() {
        return Err(Error::Corrupt("a record with bytes after its end".into()));
    }
    let mut quads: Vec<_> = changes.iter().map(|change| change.quad).collect();
    quads.sort_unstable();
    if quads.is_sorted_by(|a, b| a < b) {
        Ok((terms, changes))
    } else {
        Err(Error::Corrupt("a record that changes a quad twice".into()))
    }
}

fn parse_terms<'a>(bytes: &mut &'a [u8]) -> Result<Definitions<'a>> {
    if take(bytes, 1).ok_or_else(short)? != [VERSION] {
        return Err(Error::Corrupt("a record of an unknown version".into()));
    }
    let count = varint(bytes).ok_or_else(short)?;
    let term = |_| {
        let id = TermId(varint(bytes)?.rotate_right(4));
        let length = varint(bytes)?;
        Some((id, take(bytes, length)?))
    };
    (0..count).map(term).collect::<Option<_>>().ok_or_else(short)
}

const fn rotate(id: TermId) -> u64 {
    id.0.rotate_left(4)
}

fn short() -> Error {
    Error::Corrupt("a record that ends too early".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::dictionary::tests::empty;
    use oxrdf::{GraphName, Literal, NamedNode, Quad, Triple};

    fn changes(dictionary: &Dictionary) -> Vec<Change> {
        let node = |name: &str| NamedNode::new_unchecked(format!("http://example.com/{name}"));
        let text = Literal::new_typed_literal("a text too long to inline", node("type"));
        let triple = Triple::new(node("a"), node("b"), text.clone());
        let quads = [
            Quad::new(node("a"), node("b"), node("c"), GraphName::DefaultGraph),
            Quad::new(node("a"), node("b"), text, GraphName::DefaultGraph),
            Quad::new(node("a"), node("b"), Literal::from(-5), node("g")),
            Quad::new(node("b"), node("c"), triple, node("g")),
        ];
        let encode = |quad: &Quad| dictionary.intern_quad(quad.as_ref()).unwrap();
        quads.iter().enumerate().map(|(i, quad)| Change { quad: encode(quad), adds: i != 1 }).collect()
    }

    #[test]
    fn a_record_can_be_read_by_another_dictionary() {
        let dictionary = empty();
        let changes = changes(&dictionary);
        let record = encode(&dictionary, &changes).unwrap();
        let copy = empty();
        assert_eq!(decode(&copy, &record.bytes).unwrap(), changes);
        assert_eq!(copy.len(), dictionary.len());
        for change in &changes {
            assert_eq!(
                copy.resolve_quad(change.quad).unwrap(),
                dictionary.resolve_quad(change.quad).unwrap()
            );
        }
        record.terms.iter().for_each(|id| dictionary.mark_persisted(*id));
        let again = encode(&dictionary, &changes).unwrap();
        assert!(again.terms.is_empty() && again.bytes.len() < 80, "{} bytes", again.bytes.len());
        assert!(decode(&empty(), &again.bytes).is_err(), "its terms are nowhere");
    }

    #[test]
    fn every_damaged_record_is_refused_or_is_another_record() {
        let dictionary = empty();
        let record = encode(&dictionary, &changes(&dictionary)).unwrap().bytes;
        for end in 0..record.len() {
            assert!(decode(&empty(), &record[..end]).is_err(), "cut at {end}");
        }
        let mut long = record.clone();
        long.push(0);
        assert!(decode(&empty(), &long).is_err());
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut damaged = record.clone();
                damaged[at] ^= 1 << bit;
                let copy = empty();
                for change in decode(&copy, &damaged).into_iter().flatten() {
                    copy.resolve_quad(change.quad).expect("an accepted record must be readable");
                }
            }
        }
    }
}
