//! From ids to terms.

use super::{Dictionary, unknown};
use crate::error::Result;
use crate::terms::codec;
use crate::terms::quad::EncodedQuad;
use crate::terms::stored_term::{LEFT_TO_RIGHT, RIGHT_TO_LEFT, SIMPLE, TAGGED, TYPED, triple_parts};
use crate::terms::term::{Kind, TermId, inlined_literal};
use oxrdf::{BaseDirection, BlankNode, GraphName, Literal, NamedNode, NamedOrBlankNode, Quad, Term, Triple};

impl Dictionary {
    /// The term behind an id.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`](crate::Error::Storage) if it can't be read. [`Error::Corrupt`](crate::Error::Corrupt) if the
    /// dictionary has no such term, which happens only with damaged data.
    pub(crate) fn resolve(&self, id: TermId) -> Result<Term> {
        if id.dictionary_index().is_none() {
            return inlined_literal(id).map(Term::Literal).ok_or_else(|| unknown(id));
        }
        self.decode(id, &self.known_bytes(id)?)
    }

    pub(crate) fn resolve_quad(&self, quad: EncodedQuad) -> Result<Quad> {
        Ok(Quad {
            subject: self.resolve_subject(quad.subject)?,
            predicate: self.resolve_predicate(quad.predicate)?,
            object: self.resolve(quad.object)?,
            graph_name: self.resolve_graph(quad.graph)?,
        })
    }

    pub(crate) fn resolve_subject(&self, id: TermId) -> Result<NamedOrBlankNode> {
        match self.resolve(id)? {
            Term::NamedNode(node) => Ok(node.into()),
            Term::BlankNode(node) => Ok(node.into()),
            Term::Literal(_) | Term::Triple(_) => Err(unknown(id)),
        }
    }

    pub(crate) fn resolve_predicate(&self, id: TermId) -> Result<NamedNode> {
        match self.resolve(id)? {
            Term::NamedNode(node) => Ok(node),
            _ => Err(unknown(id)),
        }
    }

    pub(crate) fn resolve_graph(&self, id: TermId) -> Result<GraphName> {
        if id.is_default_graph() {
            return Ok(GraphName::DefaultGraph);
        }
        Ok(self.resolve_subject(id)?.into())
    }

    fn decode(&self, id: TermId, bytes: &[u8]) -> Result<Term> {
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
