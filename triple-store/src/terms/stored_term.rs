//! The stored bytes of a term that is not encoded in its id.
//!
//! An IRI or blank node is stored as its text. A literal is a tag, then the id of its datatype or its language, then
//! its text. A triple is the ids of its parts.

use crate::terms::codec;
use crate::terms::term::{Kind, TermId, inline_literal};
use oxrdf::vocab::xsd;
use oxrdf::{BaseDirection, LiteralRef, TermRef, TripleRef};
use std::borrow::Cow;

/// The first byte of a stored literal. It is a part of the stored format.
pub(crate) const SIMPLE: u8 = 0;
pub(crate) const TYPED: u8 = 1;
pub(crate) const TAGGED: u8 = 2;
pub(crate) const LEFT_TO_RIGHT: u8 = 3;
pub(crate) const RIGHT_TO_LEFT: u8 = 4;

/// The encoded form of a term.
pub(crate) enum Encoded<'a> {
    Inline(TermId),
    Bytes(Kind, Cow<'a, [u8]>),
}

/// The stored form of a term. `id_of` maps its parts to ids. `None` if a part has no id.
pub(crate) fn encode<'a>(
    term: TermRef<'a>,
    id_of: &mut dyn FnMut(TermRef<'_>) -> Option<TermId>,
) -> Option<Encoded<'a>> {
    Some(match term {
        TermRef::NamedNode(node) => Encoded::Bytes(Kind::NamedNode, node.as_str().as_bytes().into()),
        TermRef::BlankNode(node) => Encoded::Bytes(Kind::BlankNode, node.as_str().as_bytes().into()),
        TermRef::Literal(literal) => match inline_literal(literal) {
            Some(id) => Encoded::Inline(id),
            None => Encoded::Bytes(Kind::Literal, encode_literal(literal, id_of)?.into()),
        },
        TermRef::Triple(triple) => {
            let TripleRef { subject, predicate, object } = triple.as_ref();
            let mut out = Vec::with_capacity(24);
            for part in [subject.into(), predicate.into(), object] {
                out.extend_from_slice(&id_of(part)?.0.to_le_bytes());
            }
            Encoded::Bytes(Kind::Triple, out.into())
        }
    })
}

fn encode_literal(
    literal: LiteralRef<'_>,
    id_of: &mut dyn FnMut(TermRef<'_>) -> Option<TermId>,
) -> Option<Vec<u8>> {
    let value = literal.value().as_bytes();
    let mut out = Vec::with_capacity(value.len() + 16);
    match (literal.language(), literal.direction()) {
        (Some(language), direction) => {
            out.push(match direction {
                None => TAGGED,
                Some(BaseDirection::Ltr) => LEFT_TO_RIGHT,
                Some(BaseDirection::Rtl) => RIGHT_TO_LEFT,
            });
            codec::put_varint(&mut out, language.len() as u64);
            out.extend_from_slice(language.as_bytes());
        }
        (None, _) if literal.datatype() == xsd::STRING => out.push(SIMPLE),
        (None, _) => {
            out.push(TYPED);
            out.extend_from_slice(&id_of(literal.datatype().into())?.0.to_le_bytes());
        }
    }
    out.extend_from_slice(value);
    Some(out)
}

pub(crate) fn triple_parts(bytes: &[u8]) -> Option<[TermId; 3]> {
    let (parts, rest) = bytes.as_chunks::<8>();
    let parts: [[u8; 8]; 3] = parts.try_into().ok().filter(|_| rest.is_empty())?;
    Some(parts.map(|part| TermId(u64::from_le_bytes(part))))
}

/// The ids inside the stored form of a term.
pub(crate) fn parts(id: TermId, bytes: &[u8]) -> impl Iterator<Item = TermId> {
    let datatype = match (id.kind(), bytes.split_first()) {
        (Some(Kind::Literal), Some((&TYPED, rest))) => {
            rest.first_chunk().map(|part| TermId(u64::from_le_bytes(*part)))
        }
        _ => None,
    };
    let triple = if id.kind() == Some(Kind::Triple) { triple_parts(bytes) } else { None };
    datatype.into_iter().chain(triple.into_iter().flatten())
}
