//! The terms of one query, and literals by their lexical form.
//!
//! The evaluator reads a literal as its value, and writes the value's canonical form: `"01"^^xsd:integer` comes out of an
//! expression as `"1"^^xsd:integer`. Where a term has to come out as it went in, it goes through the expression in
//! [disguise](disguised): under a datatype that the evaluator does not know, and so leaves alone.

use super::meter::{self, text_length};
use crate::engine::core::Engine;
use crate::error::{Error, Result};
use crate::terms::term::{Kind, TermId};
use oxrdf::{Literal, NamedNode, Term, Triple};
use parking_lot::Mutex;
use spareval::{ExpressionTerm, ExpressionTriple};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The terms that a query mentions or computes and no stored quad does, and which term it read last.
pub(super) struct Terms {
    engine: Arc<Engine>,
    locals: Mutex<Locals>,
    /// The id of the variable's value that an expression read last. A function of one variable is called right after it
    /// was read, and so learns which term its argument is.
    last: AtomicU64,
}

#[derive(Default)]
struct Locals {
    numbers: HashMap<Term, u64, ahash::RandomState>,
    terms: Vec<Term>,
}

impl Terms {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, locals: Mutex::default(), last: AtomicU64::new(0) }
    }

    /// The id of a term: the store's, or with `intern` one that the store gives it, or one of this query alone.
    pub(super) fn id(&self, term: Term, intern: bool) -> TermId {
        // First the terms of this query: one of them may have entered the store since, and must keep its number.
        let mut locals = self.locals.lock();
        if let Some(number) = locals.numbers.get(&term) {
            return TermId::new(Kind::Local, *number);
        }
        let dictionary = &self.engine.dictionary;
        if intern {
            return dictionary.intern(term.as_ref());
        }
        if let Some(id) = dictionary.lookup(term.as_ref()) {
            return id;
        }
        locals.add(term)
    }

    /// The id of a term that is this query's, whether or not the store holds it.
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

    /// Notes that an expression reads the value of a variable.
    pub(super) fn note(&self, id: TermId) {
        self.last.store(id.0, Ordering::Relaxed);
    }

    /// The term that was read last, of which the evaluator made `read`.
    pub(super) fn last(&self, read: &Term) -> Option<Term> {
        let id = TermId(self.last.load(Ordering::Relaxed));
        match id.kind()? {
            Kind::NamedNode | Kind::BlankNode | Kind::Integer | Kind::Boolean | Kind::String => {
                Some(read.clone())
            }
            _ => self.term(id).ok(),
        }
    }
}

impl Locals {
    fn add(&mut self, term: Term) -> TermId {
        // It is held twice.
        meter::keep(2 * (text_length(&term) + meter::ENTRY));
        let number = self.terms.len() as u64;
        self.terms.push(term.clone());
        self.numbers.insert(term, number);
        TermId::new(Kind::Local, number)
    }
}

/// What comes before the IRI of a disguised literal's datatype. No IRI of a document or query begins so.
const DISGUISE: char = ' ';

/// The term, or a literal that the evaluator does not read as a value.
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

/// The term that was [`disguised`].
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

/// Whether a literal's value is written as the literal is.
pub(super) fn is_canonical(literal: &Literal) -> bool {
    let read = ExpressionTerm::from(Term::from(literal.clone()));
    match read {
        ExpressionTerm::StringLiteral(_)
        | ExpressionTerm::LangStringLiteral { .. }
        | ExpressionTerm::DirLangStringLiteral { .. }
        | ExpressionTerm::OtherTypedLiteral { .. } => true,
        value => Term::from(value) == Term::from(literal.clone()),
    }
}

/// A term as expressions read it. The object of a triple is disguised: no operator computes with it.
pub(super) fn expression_term(term: Term) -> ExpressionTerm {
    match term {
        Term::Triple(triple) => {
            let Triple { subject, predicate, object } = *triple;
            ExpressionTriple { subject, predicate, object: disguised(object).into() }.into()
        }
        term => term.into(),
    }
}

/// The term that an expression came to.
pub(super) fn term_of(value: ExpressionTerm) -> Term {
    match value {
        value @ (ExpressionTerm::OtherTypedLiteral { .. } | ExpressionTerm::Triple(_)) => {
            revealed(value.into())
        }
        value => value.into(),
    }
}
