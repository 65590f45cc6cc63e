//! The limit for nested triple terms. Writing, comparing and dropping a term is recursive, and a stack overflow ends
//! the process. So deeper terms are not stored. No parser gets the text of a deeper term either, because the parser
//! would have to drop the term.

use crate::error::{Error, Result};
use oxrdf::{GraphNameRef, NamedNodeRef, NamedOrBlankNodeRef, QuadRef, TermRef};
use std::io::{self, Read};

/// The most triple terms inside each other.
const MOST: usize = 64;

/// The most bytes of a term.
const LONGEST: usize = 16 << 20;

pub(crate) fn too_long() -> Error {
    Error::TooLong(LONGEST)
}

fn too_deep() -> Error {
    Error::TooDeep { what: "triple terms inside each other", most: MOST }
}

/// Returns the quad if its terms may be stored.
pub(crate) fn checked(quad: QuadRef<'_>) -> Result<QuadRef<'_>> {
    let graph = match quad.graph_name {
        GraphNameRef::NamedNode(node) => node.as_str().len(),
        GraphNameRef::BlankNode(node) => node.as_str().len(),
        GraphNameRef::DefaultGraph => 0,
    };
    let length = |subject, predicate: NamedNodeRef<'_>| match subject {
        NamedOrBlankNodeRef::NamedNode(node) => node.as_str().len().max(predicate.as_str().len()),
        NamedOrBlankNodeRef::BlankNode(node) => node.as_str().len().max(predicate.as_str().len()),
    };
    let (mut object, mut longest) = (quad.object, graph.max(length(quad.subject, quad.predicate)));
    for _ in 0..=MOST {
        let last = match object {
            TermRef::Triple(triple) => {
                longest = longest.max(length(triple.subject.as_ref(), triple.predicate.as_ref()));
                object = triple.object.as_ref();
                continue;
            }
            TermRef::NamedNode(node) => node.as_str().len(),
            TermRef::BlankNode(node) => node.as_str().len(),
            TermRef::Literal(literal) => literal.value().len().max(literal.datatype().as_str().len()),
        };
        return if longest.max(last) > LONGEST { Err(too_long()) } else { Ok(quad) };
    }
    Err(too_deep())
}

/// The current nesting depth of a text in a syntax of the Turtle family, by a scan of its tokens in pieces.
#[derive(Default)]
pub(crate) struct Nesting {
    state: State,
    depth: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    /// After a `<` or a `>`.
    Less,
    Greater,
    Iri,
    Comment,
    /// After a backslash outside strings.
    Escape,
    /// After this many quotes that open a string.
    Opening(u8, u8),
    /// In a string: its quote character, how many quotes close it, and how many of them were read last.
    String(u8, u8, u8),
    StringEscape(u8, u8),
}

impl Nesting {
    /// Checks a text that does not end inside a token.
    ///
    /// # Errors
    ///
    /// [`Error::TooDeep`].
    pub(crate) fn check(text: &[u8]) -> Result<()> {
        match memchr::memmem::find(text, b"<<") {
            None => Ok(()),
            Some(_) => Self::default().read(text),
        }
    }

    fn read(&mut self, text: &[u8]) -> Result<()> {
        text.iter().try_for_each(|byte| self.byte(*byte))
    }

    fn byte(&mut self, byte: u8) -> Result<()> {
        self.state = match (self.state, byte) {
            (State::Less, b'<') => {
                self.depth += 1;
                if self.depth > MOST {
                    return Err(too_deep());
                }
                State::Between
            }
            (State::Greater, b'>') => {
                self.depth = self.depth.saturating_sub(1);
                State::Between
            }
            (State::Less | State::Iri, b'>') | (State::Comment, b'\n' | b'\r') | (State::Escape, _) => {
                State::Between
            }
            (State::Less | State::Iri, _) => State::Iri,
            (State::Comment, _) => State::Comment,
            (State::String(quote, closing, _), b'\\') => State::StringEscape(quote, closing),
            (State::String(quote, closing, seen), _) if byte == quote => {
                if seen + 1 == closing {
                    State::Between
                } else {
                    State::String(quote, closing, seen + 1)
                }
            }
            (State::String(quote, closing, _) | State::StringEscape(quote, closing), _) => {
                State::String(quote, closing, 0)
            }
            (State::Opening(quote, seen), _) if byte == quote => {
                if seen == 2 {
                    State::String(quote, 3, 0)
                } else {
                    State::Opening(quote, seen + 1)
                }
            }
            (State::Opening(quote, 1), b'\\') => State::StringEscape(quote, 1),
            (State::Opening(quote, 1), _) => State::String(quote, 1, 0),
            // All other cases are between tokens: two quotes were an empty string.
            (_, b'<') => State::Less,
            (_, b'>') => State::Greater,
            (_, b'#') => State::Comment,
            (_, b'\\') => State::Escape,
            (_, b'"' | b'\'') => State::Opening(byte, 1),
            _ => State::Between,
        };
        Ok(())
    }
}

/// A reader that fails where the text is too deep.
pub(crate) struct Flat<R> {
    reader: R,
    nesting: Nesting,
}

impl<R> Flat<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, nesting: Nesting::default() }
    }
}

impl<R: Read> Read for Flat<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.nesting.read(&buffer[..read]).map_err(io::Error::other)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RdfFormat, TripleStore};
    use oxrdf::{GraphName, NamedNode, Quad, Term, Triple};

    fn nested(depth: usize, open: &str, close: &str) -> String {
        format!("<urn:s> <urn:p> {}<urn:o>{} .\n", open.repeat(depth), close.repeat(depth))
    }

    fn loads(text: &str, format: RdfFormat) -> bool {
        match TripleStore::in_memory().load(text.as_bytes(), format, "deep") {
            Ok(_) => true,
            Err(Error::TooDeep { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn triple_terms_nest_up_to_a_limit() {
        for format in [RdfFormat::NTriples, RdfFormat::NQuads, RdfFormat::Turtle, RdfFormat::TriG] {
            for (open, close) in [("<<(<urn:s> <urn:p> ", ")>>"), ("<<(_:it\t<urn:o'#p>", " )>>")] {
                let text = |depth| nested(depth, open, close);
                assert!(loads(&text(MOST), format), "{format}");
                assert!(!loads(&text(MOST + 1), format) && !loads(&text(200_000), format), "{format}");
                assert!(!loads(&text(200_000).replace(')', ""), format), "{format}, not closed");
            }
        }
        let turtle = nested(MOST + 1, "<< <urn:s> <urn:p> # ' \"\n", ">>");
        assert!(!loads(&turtle, RdfFormat::Turtle));
    }

    #[test]
    fn text_that_only_looks_nested_is_loaded() {
        let text = "<<(".repeat(MOST + 1);
        for literal in [
            format!("\"{text}\""),
            format!("'\\'{text}'"),
            format!("'''\n''{text}'''"),
            format!("'' #{text}\n"),
        ] {
            assert!(loads(&format!("<urn:s> <urn:p> {literal} ."), RdfFormat::Turtle), "{literal}");
        }
        let one_after_the_other = "<urn:s> <urn:p> <<(<urn:s> <urn:p> 'o')>> .\n".repeat(MOST + 1);
        assert!(loads(&one_after_the_other, RdfFormat::TriG));
    }

    #[test]
    fn every_kind_of_write_refuses_a_term_that_is_too_deep() {
        let node = NamedNode::new_unchecked("urn:n");
        let term = |depth| {
            let wrap = |term: Term, _| Triple::new(node.clone(), node.clone(), term).into();
            (0..depth).fold(Term::from(node.clone()), wrap)
        };
        let quad = |depth| Quad::new(node.clone(), node.clone(), term(depth), GraphName::DefaultGraph);
        let store = TripleStore::in_memory();
        assert!(store.insert(&quad(MOST)).unwrap() && store.contains(&quad(MOST)).unwrap());
        let deep = |result: Result<()>| assert!(matches!(result, Err(Error::TooDeep { .. })), "{result:?}");
        deep(store.insert(&quad(MOST + 1)).map(drop));
        deep(store.extend([quad(1), quad(MOST + 1)]).map(drop));
        deep(store.transaction(|tx| tx.insert(&quad(MOST + 1))).map(drop));
        let wrap = "INSERT { ?s ?p ?t } WHERE { ?s ?p ?o BIND(TRIPLE(?s, ?p, ?o) AS ?t) }";
        deep(store.update(wrap).map(drop));
        assert_eq!(store.len(), 1);
        assert!(!store.contains(&quad(MOST + 1)).unwrap());
    }
}
