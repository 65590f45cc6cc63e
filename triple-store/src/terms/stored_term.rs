//! The stored bytes of a term that is not encoded in its id.
//!
//! An IRI or blank node is stored as its text. A literal is a tag, then the id of its datatype or its language, then
//! its text. A triple is the ids of its parts.

use crate::error::Result;
use crate::terms::codec;
use crate::terms::quad::EncodedQuad;
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

/// How a part of a term gets its id, if it has one.
pub(crate) type IdOf<'a> = dyn FnMut(TermRef<'_>) -> Result<Option<TermId>> + 'a;

/// The stored form of a term. `id_of` maps its parts to ids. `None` if a part has no id.
pub(crate) fn encode<'a>(term: TermRef<'a>, id_of: &mut IdOf<'_>) -> Result<Option<Encoded<'a>>> {
    Ok(Some(match term {
        TermRef::NamedNode(node) => Encoded::Bytes(Kind::NamedNode, node.as_str().as_bytes().into()),
        TermRef::BlankNode(node) => Encoded::Bytes(Kind::BlankNode, node.as_str().as_bytes().into()),
        TermRef::Literal(literal) => match inline_literal(literal) {
            Some(id) => Encoded::Inline(id),
            None => match encode_literal(literal, id_of)? {
                Some(bytes) => Encoded::Bytes(Kind::Literal, bytes.into()),
                None => return Ok(None),
            },
        },
        TermRef::Triple(triple) => {
            let TripleRef { subject, predicate, object } = triple.as_ref();
            let mut out = Vec::with_capacity(24);
            for part in [subject.into(), predicate.into(), object] {
                let Some(id) = id_of(part)? else { return Ok(None) };
                out.extend_from_slice(&id.0.to_le_bytes());
            }
            Encoded::Bytes(Kind::Triple, out.into())
        }
    }))
}

fn encode_literal(literal: LiteralRef<'_>, id_of: &mut IdOf<'_>) -> Result<Option<Vec<u8>>> {
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
            let Some(datatype) = id_of(literal.datatype().into())? else { return Ok(None) };
            out.extend_from_slice(&datatype.0.to_le_bytes());
        }
    }
    out.extend_from_slice(value);
    Ok(Some(out))
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

/// Whether these can be the bytes of the term with this id, if its parts exist. Parts get their numbers before the term,
/// so no term is a part of itself.
pub(crate) fn is_sound(id: TermId, bytes: &[u8]) -> bool {
    let has_allowed_parts = match triple_parts(bytes) {
        Some([subject, predicate, object]) if id.kind() == Some(Kind::Triple) => {
            EncodedQuad { subject, predicate, object, graph: TermId::DEFAULT_GRAPH }.is_well_formed()
        }
        _ => parts(id, bytes).all(|part| part.kind() == Some(Kind::NamedNode)),
    };
    id.kind().is_some_and(|kind| is_term(kind, bytes))
        && has_allowed_parts
        && parts(id, bytes).all(|part| part.dictionary_index() < id.dictionary_index())
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
