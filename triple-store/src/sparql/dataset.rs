//! A view as `spareval` wants to see it: patterns and terms by 64-bit id.

use super::query::Watchdog;
use crate::error::{Error, Result};
use crate::pattern::{Graphs, Pattern};
use crate::quad::EncodedQuad;
use crate::source::{Reads, Source};
use crate::term::{Kind, TermId};
use crate::view::Scan;
use oxrdf::{GraphName, Term};
use oxsdatatypes::{Boolean, Integer};
use spareval::{ExpressionTerm, InternalQuad, QueryDatasetSpecification, QueryableDataset};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::vec;

/// A view during the evaluation of one query.
#[derive(Clone)]
pub(super) struct Dataset {
    source: Source,
    locals: Rc<RefCell<Locals>>,
    /// The graphs whose merge the query takes for its default graph, unless that is a single one.
    merged: Option<Rc<[Graphs]>>,
    /// Stops when the results are dropped.
    _watchdog: Option<Rc<Watchdog>>,
}

/// The terms that a query mentions or computes and no stored quad does.
#[derive(Default)]
struct Locals {
    numbers: HashMap<Term, u64, ahash::RandomState>,
    terms: Vec<Term>,
}

impl Dataset {
    /// The view as a query wants it. Its specification of the default graph is taken over: the evaluator would not
    /// merge graphs but string them together, and find a triple of two graphs twice.
    pub(super) fn new(
        source: Source,
        specification: &mut QueryDatasetSpecification,
        watchdog: Option<Watchdog>,
    ) -> Self {
        let dictionary = &source.engine.dictionary;
        let merged: Option<Rc<[Graphs]>> = match specification.default_graph_graphs() {
            None => Some(Rc::new([Graphs::All])),
            Some([_]) => None,
            // A graph without an id holds nothing.
            Some(graphs) => Some(
                graphs
                    .iter()
                    .filter_map(|graph| dictionary.lookup_graph(graph.as_ref()))
                    .map(Graphs::One)
                    .collect(),
            ),
        };
        if merged.is_some() {
            specification.set_default_graph(vec![GraphName::DefaultGraph]);
        }
        Self { source, locals: Rc::default(), merged, _watchdog: watchdog.map(Rc::new) }
    }

    /// A transaction has to note patterns by terms that are not there yet, so it gives them ids; a mere query must
    /// not make the dictionary grow.
    fn interns(&self) -> bool {
        self.source.reads.as_ref().is_some_and(|reads| matches!(*reads.lock(), Reads::These(_)))
    }
}

impl QueryableDataset<'static> for Dataset {
    type InternalTerm = TermId;
    type Error = Error;

    fn internal_quads_for_pattern(
        &self,
        subject: Option<&TermId>,
        predicate: Option<&TermId>,
        object: Option<&TermId>,
        graph_name: Option<Option<&TermId>>,
    ) -> impl Iterator<Item = Result<InternalQuad<TermId>>> + use<> {
        let pattern = |graphs| Pattern {
            subject: subject.copied(),
            predicate: predicate.copied(),
            object: object.copied(),
            graphs,
        };
        let scan = |graphs| self.source.scan(&pattern(graphs));
        let scans = match (graph_name, &self.merged) {
            (Some(None), Some(graphs)) => {
                let scans = graphs.iter().map(|graphs| scan(*graphs)).collect::<Result<Vec<_>>>();
                scans.map(|scans| {
                    (None, Some(Box::new(Merge { rest: scans.into_iter(), seen: HashSet::default() })))
                })
            }
            (None, _) => scan(Graphs::Named).map(|scan| (Some(scan), None)),
            (Some(graph), _) => scan(Graphs::One(graph.copied().unwrap_or(TermId::DEFAULT_GRAPH)))
                .map(|scan| (Some(scan), None)),
        };
        match scans {
            Ok((scan, merge)) => Quads { scan, merge, error: None },
            Err(error) => Quads { scan: None, merge: None, error: Some(error) },
        }
    }

    fn internal_named_graphs(&self) -> impl Iterator<Item = Result<TermId>> + use<> {
        let (graphs, error) = match self.source.graphs() {
            Ok(graphs) => (graphs, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        error.into_iter().chain(graphs.into_iter().map(|graph| Ok(TermId(graph))))
    }

    fn internalize_term(&self, term: Term) -> Result<TermId> {
        // First the terms of this query: one of them may have entered the store since, and must keep its number.
        let mut locals = self.locals.borrow_mut();
        if let Some(number) = locals.numbers.get(&term) {
            return Ok(TermId::new(Kind::Local, *number));
        }
        let dictionary = &self.source.engine.dictionary;
        if self.interns() {
            return Ok(dictionary.intern(term.as_ref()));
        }
        if let Some(id) = dictionary.lookup(term.as_ref()) {
            return Ok(id);
        }
        let number = locals.terms.len() as u64;
        locals.terms.push(term.clone());
        locals.numbers.insert(term, number);
        Ok(TermId::new(Kind::Local, number))
    }

    fn externalize_term(&self, term: TermId) -> Result<Term> {
        if term.kind() == Some(Kind::Local) {
            let term = self.locals.borrow().terms.get(term.payload() as usize).cloned();
            return term.ok_or_else(|| Error::Corrupt("a query lost one of its terms".into()));
        }
        self.source.engine.dictionary.resolve(term)
    }

    fn externalize_expression_term(&self, term: TermId) -> Result<ExpressionTerm> {
        Ok(match term.kind() {
            Some(Kind::Integer) => ExpressionTerm::IntegerLiteral(Integer::from(term.integer())),
            Some(Kind::Boolean) => ExpressionTerm::BooleanLiteral(Boolean::from(term.payload() == 1)),
            Some(Kind::Decimal) => match term.decimal() {
                Some(value) => ExpressionTerm::DecimalLiteral(value),
                None => self.externalize_term(term)?.into(),
            },
            _ => self.externalize_term(term)?.into(),
        })
    }

    fn internalize_expression_term(&self, term: ExpressionTerm) -> Result<TermId> {
        if let ExpressionTerm::IntegerLiteral(value) = &term
            && let Some(id) = TermId::of_integer((*value).into())
        {
            return Ok(id);
        }
        self.internalize_term(term.into())
    }
}

/// What a pattern finds. Joins make one for every row, so it is kept small.
struct Quads {
    scan: Option<Scan>,
    merge: Option<Box<Merge>>,
    error: Option<Error>,
}

/// The graphs still to be merged, and the triples they have been found to hold: a triple of several is one triple.
struct Merge {
    rest: vec::IntoIter<Scan>,
    seen: HashSet<[TermId; 3], ahash::RandomState>,
}

impl Iterator for Quads {
    type Item = Result<InternalQuad<TermId>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        loop {
            match (self.scan.as_mut().and_then(Scan::next), &mut self.merge) {
                (Some(EncodedQuad { subject, predicate, object, graph }), merge) => {
                    let graph_name = Some(graph).filter(|graph| merge.is_none() && !graph.is_default_graph());
                    if merge.as_mut().is_none_or(|merge| merge.seen.insert([subject, predicate, object])) {
                        return Some(Ok(InternalQuad { subject, predicate, object, graph_name }));
                    }
                }
                (None, Some(merge)) => self.scan = Some(merge.rest.next()?),
                (None, None) => return None,
            }
        }
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dataset").field("engine", &Arc::as_ptr(&self.source.engine)).finish_non_exhaustive()
    }
}
