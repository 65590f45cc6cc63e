//! The terms of one query, and literals by their lexical form.
//!
//! The evaluator reads a literal as its value, and writes the value's canonical form: an expression turns
//! `"01"^^xsd:integer` into `"1"^^xsd:integer`. If a term has to keep its form, it is [`disguised`]: it gets a
//! datatype that the evaluator does not know and so does not change.

use super::meter::{self, text_length};
use super::once::Failure;
use crate::engine::core::Engine;
use crate::error::{Error, Result};
use crate::terms::term::{Kind, TermId};
use oxrdf::{Literal, NamedNode, Term, Triple};
use parking_lot::Mutex;
use spareval::{ExpressionTerm, ExpressionTriple};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The terms of a query that are in no stored quad, and the term that the query read last.
pub(super) struct Terms {
    engine: Arc<Engine>,
    locals: Mutex<Locals>,
    /// The id of the value that an expression last read from a variable. A function of one variable is called directly
    /// after that, and so finds out which term its argument is.
    last: AtomicU64,
    /// Where an error goes that a function of an expression can't return.
    failure: Failure,
}

#[derive(Default)]
struct Locals {
    numbers: HashMap<Term, u64, ahash::RandomState>,
    terms: Vec<Term>,
}

impl Terms {
    pub(super) fn new(engine: Arc<Engine>, failure: Failure) -> Self {
        Self { engine, locals: Mutex::default(), last: AtomicU64::new(0), failure }
    }

    /// The id of a term: the store's id if it has one. Otherwise, with `intern`, a new id of the store, and without
    /// it an id for this query only.
    pub(super) fn id(&self, term: Term, intern: bool) -> Result<TermId> {
        // The terms of this query come first: one of them may have been added to the store since, and must keep its
        // number.
        let mut locals = self.locals.lock();
        if let Some(number) = locals.numbers.get(&term) {
            return Ok(TermId::new(Kind::Local, *number));
        }
        let dictionary = &self.engine.dictionary;
        if intern {
            return dictionary.intern(term.as_ref());
        }
        Ok(match dictionary.lookup(term.as_ref())? {
            Some(id) => id,
            None => locals.add(term),
        })
    }

    /// The id of a term for this query only, whether or not the store has the term.
    pub(super) fn local(&self, term: Term) -> TermId {
        self.locals.lock().add(term)
    }

    pub(super) fn term(&self, id: TermId) -> Result<Term> {
        if id.kind() == Some(Kind::Local) {
            let term = self.locals.lock().terms.get(id.payload() as usize).cloned();
            return term.ok_or_else(|| Error::Corrupt("a query lost one of its terms".into()));
        }
        self.engine.dictionary.resolve(id)
    }

    /// Records that an expression reads the value of a variable.
    pub(super) fn note(&self, id: TermId) {
        self.last.store(id.0, Ordering::Relaxed);
    }

    /// The term that was read last, if the evaluator converted it to `read`.
    pub(super) fn last(&self, read: &Term) -> Option<Term> {
        let id = TermId(self.last.load(Ordering::Relaxed));
        match id.kind()? {
            Kind::NamedNode | Kind::BlankNode | Kind::Integer | Kind::Boolean | Kind::String => {
                Some(read.clone())
            }
            _ => self.term(id).map_err(|error| self.failure.note(error)).ok(),
        }
    }
}

impl Locals {
    fn add(&mut self, term: Term) -> TermId {
        // The term is in both tables.
        meter::keep(2 * (text_length(&term) + meter::ENTRY));
        let number = self.terms.len() as u64;
        self.terms.push(term.clone());
        self.numbers.insert(term, number);
        TermId::new(Kind::Local, number)
    }
}

/// The prefix of a disguised literal's datatype. No IRI of a document or query begins with it.
const DISGUISE: char = ' ';

/// The term in a form that the evaluator does not read as a value.
pub(super) fn disguised(term: Term) -> Term {
    match term {
        Term::Literal(literal) if !is_canonical(&literal) => {
            let datatype = NamedNode::new_unchecked(format!("{DISGUISE}{}", literal.datatype().as_str()));
            Literal::new_typed_literal(literal.value(), datatype).into()
        }
        Term::Triple(triple) => {
            let Triple { subject, predicate, object } = *triple;
            Triple::new(subject, predicate, disguised(object)).into()
        }
        term => term,
    }
}

/// The original term of a [`disguised`] one.
pub(super) fn revealed(term: Term) -> Term {
    match term {
        Term::Literal(literal) => match literal.datatype().as_str().strip_prefix(DISGUISE) {
            Some(datatype) => {
                let datatype = NamedNode::new_unchecked(datatype);
                Literal::new_typed_literal(literal.destruct().0, datatype).into()
            }
            None => literal.into(),
        },
        Term::Triple(triple) => {
            let Triple { subject, predicate, object } = *triple;
            Triple::new(subject, predicate, revealed(object)).into()
        }
        term => term,
    }
}

/// Whether a literal is in its canonical form. A time in another time zone than UTC is not, because its value equals
/// that of a time in UTC.
pub(super) fn is_canonical(literal: &Literal) -> bool {
    let read = ExpressionTerm::from(Term::from(literal.clone()));
    match read {
        ExpressionTerm::StringLiteral(_)
        | ExpressionTerm::LangStringLiteral { .. }
        | ExpressionTerm::DirLangStringLiteral { .. }
        | ExpressionTerm::OtherTypedLiteral { .. } => true,
        value => Term::from(value) == Term::from(literal.clone()) && !has_offset(literal.value()),
    }
}

/// Whether the text of a number, a duration or a time ends with an offset from UTC, such as `-05:00`.
fn has_offset(text: &str) -> bool {
    matches!(text.as_bytes(), [.., b'+' | b'-', _, _, b':', _, _])
}

/// A term as expressions read it. The object of a triple is disguised, because no operator computes with it.
pub(super) fn expression_term(term: Term) -> ExpressionTerm {
    match term {
        Term::Triple(triple) => {
            let Triple { subject, predicate, object } = *triple;
            ExpressionTriple { subject, predicate, object: disguised(object).into() }.into()
        }
        term => term.into(),
    }
}

/// The term that is the value of an expression.
pub(super) fn term_of(value: ExpressionTerm) -> Term {
    match value {
        value @ (ExpressionTerm::OtherTypedLiteral { .. } | ExpressionTerm::Triple(_)) => {
            revealed(value.into())
        }
        value => value.into(),
    }
}
