//! A view as a dataset of `spareval`: patterns and terms by 64-bit id.

use super::closure::{Closure, Pairs, Reached};
use super::exact::{Terms, expression_term, term_of};
use super::functions::effective_boolean_value;
use super::meter::{Held, Kept, passes, text_length};
use super::paths::{self, Step};
use super::query::Watchdog;
use super::service::restored;
use crate::engine::source::{Reads, Source};
use crate::engine::view::Scan;
use crate::error::{Error, Result};
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::quad::EncodedQuad;
use crate::terms::term::{Kind, TermId};
use oxrdf::{GraphName, NamedNode, Term};
use oxsdatatypes::{Boolean, Integer};
use spareval::{
    CancellationToken, ExpressionTerm, InternalQuad, QueryDatasetSpecification, QueryableDataset,
};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::vec;

/// A view during the evaluation of one query.
#[derive(Clone)]
pub(super) struct Dataset {
    source: Source,
    terms: Arc<Terms>,
    /// The predicates that stand for alternatives of a path.
    paths: Rc<[(TermId, Vec<EncodedStep>)]>,
    /// The graphs whose merge is the default graph of the query, unless it is a single graph.
    merged: Option<Rc<[Graphs]>>,
    /// The cache of closures.
    reached: Rc<RefCell<Reached>>,
    token: CancellationToken,
    /// Stops when the results are dropped.
    _watchdog: Option<Rc<Watchdog>>,
}

/// A step of a path.
enum EncodedStep {
    /// A step with a predicate, or with any predicate except some.
    Quad {
        predicate: Option<TermId>,
        without: Rc<[TermId]>,
    },
    Closure(Rc<Closure>),
}

impl Dataset {
    /// The dataset of a query. It handles the query's specification of the default graph itself, because the
    /// evaluator would concatenate the graphs, and return a triple twice if two graphs have it.
    pub(super) fn new(
        source: Source,
        terms: Arc<Terms>,
        steps: &[Vec<Step>],
        specification: &mut QueryDatasetSpecification,
        token: CancellationToken,
        watchdog: Option<Watchdog>,
    ) -> Result<Self> {
        let dictionary = &source.engine.dictionary;
        let merged: Option<Rc<[Graphs]>> = match specification.default_graph_graphs() {
            None => Some(Rc::new([Graphs::All])),
            Some([_]) => None,
            // A graph without an id is empty.
            Some(graphs) => Some(
                graphs
                    .iter()
                    .filter_map(|graph| dictionary.lookup_graph(graph.as_ref()).transpose())
                    .map(|graph| graph.map(Graphs::One))
                    .collect::<Result<_>>()?,
            ),
        };
        if merged.is_some() {
            specification.set_default_graph(vec![GraphName::DefaultGraph]);
        }
        let mut dataset = Self {
            source,
            terms,
            paths: Rc::default(),
            merged,
            reached: Rc::default(),
            token,
            _watchdog: watchdog.map(Rc::new),
        };
        if !steps.is_empty() {
            dataset.paths = steps
                .iter()
                .enumerate()
                .map(|(at, steps)| dataset.encode_path(at, steps))
                .collect::<Result<_>>()?;
        }
        Ok(dataset)
    }

    fn encode_path(&self, at: usize, steps: &[Step]) -> Result<(TermId, Vec<EncodedStep>)> {
        let id = |node: &NamedNode| self.terms.id(node.clone().into(), self.interns());
        let encode = |step: &Step| {
            Ok(Some(match step {
                Step::One(node) => EncodedStep::Quad { predicate: Some(id(node)?), without: Rc::default() },
                Step::NoneOf(nodes) => EncodedStep::Quad {
                    predicate: None,
                    without: nodes.iter().map(id).collect::<Result<_>>()?,
                },
                Step::Closure(path) => match Closure::new(path, &id)? {
                    Some(closure) => EncodedStep::Closure(Rc::new(closure)),
                    None => return Ok(None),
                },
            }))
        };
        let steps = steps.iter().filter_map(|step| encode(step).transpose()).collect::<Result<_>>()?;
        Ok((self.terms.local(paths::predicate(at).into()), steps))
    }

    /// A transaction has to record patterns with terms that are not in the dictionary, so it assigns them ids. A
    /// query outside a transaction must not make the dictionary grow.
    fn interns(&self) -> bool {
        self.source.reads.as_ref().is_some_and(|reads| matches!(*reads.lock(), Reads::These(_)))
    }
}

impl Dataset {
    /// The quads that match a pattern. For the default graph, all graphs that are merged into it are searched.
    pub(super) fn quads(&self, pattern: &Pattern) -> Quads {
        let scan = |graphs| self.source.scan(&Pattern { graphs, ..*pattern });
        let scans = match &self.merged {
            Some(graphs) if pattern.graphs == Graphs::One(TermId::DEFAULT_GRAPH) => {
                let scans = graphs.iter().map(|graphs| scan(*graphs)).collect::<Result<Vec<_>>>();
                scans.map(|scans| {
                    (
                        None,
                        Some(Box::new(Merge {
                            rest: scans.into_iter(),
                            seen: HashSet::default(),
                            kept: Kept::default(),
                        })),
                    )
                })
            }
            _ => scan(pattern.graphs).map(|scan| (Some(scan), None)),
        };
        match scans {
            Ok((scan, merge)) => Quads { scan, merge, error: None, alternatives: None },
            Err(error) => Quads::failed(error),
        }
    }

    pub(super) fn named_graphs(&self) -> Result<Vec<TermId>> {
        Ok(self.source.graphs()?.into_iter().map(TermId).collect())
    }

    /// The quads that match a pattern whose predicate may stand for a path.
    fn find(&self, pattern: Pattern) -> Quads {
        let path = pattern
            .predicate
            .filter(|predicate| predicate.kind() == Some(Kind::Local))
            .and_then(|predicate| self.paths.iter().find(|(path, _)| *path == predicate));
        let Some((path, steps)) = path else { return self.quads(&pattern) };
        let alternative = |step: &EncodedStep| Alternative {
            path: *path,
            found: match step {
                EncodedStep::Quad { predicate, without } => Found::Quads {
                    quads: self.quads(&Pattern { predicate: *predicate, ..pattern }),
                    without: Rc::clone(without),
                },
                EncodedStep::Closure(closure) => match self.pairs(closure, &pattern) {
                    Ok(pairs) => Found::Pairs(pairs),
                    Err(error) => Found::Quads { quads: Quads::failed(error), without: Rc::default() },
                },
            },
        };
        let alternatives = Box::new(steps.iter().map(alternative).collect::<Vec<_>>().into_iter());
        Quads { scan: None, merge: None, error: None, alternatives: Some(alternatives) }
    }

    pub(super) fn reached_before(&self) -> &RefCell<Reached> {
        &self.reached
    }

    /// Whether this is for a transaction that may read only some subjects.
    pub(super) fn reads_some_subjects(&self) -> bool {
        self.source.reads_some_subjects()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }
}

impl QueryableDataset<'static> for Dataset {
    type InternalTerm = Held;
    type Error = Error;

    fn internal_quads_for_pattern(
        &self,
        subject: Option<&Held>,
        predicate: Option<&Held>,
        object: Option<&Held>,
        graph_name: Option<Option<&Held>>,
    ) -> impl Iterator<Item = Result<InternalQuad<Held>>> + use<> {
        let found = self.find(Pattern {
            subject: subject.map(Held::id),
            predicate: predicate.map(Held::id),
            object: object.map(Held::id),
            graphs: match graph_name {
                None => Graphs::Named,
                Some(graph) => Graphs::One(graph.map_or(TermId::DEFAULT_GRAPH, Held::id)),
            },
        });
        found.map(|quad| quad.map(|quad| held(&quad)))
    }

    fn internal_named_graphs(&self) -> impl Iterator<Item = Result<Held>> + use<> {
        let (graphs, error) = match self.named_graphs() {
            Ok(graphs) => (graphs, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        error.into_iter().chain(graphs.into_iter().map(|graph| Ok(Held::new(graph))))
    }

    fn internalize_term(&self, term: Term) -> Result<Held> {
        Ok(Held::new(self.terms.id(restored(term), self.interns())?))
    }

    fn externalize_term(&self, term: Held) -> Result<Term> {
        self.terms.term(term.id())
    }

    fn externalize_expression_term(&self, held: Held) -> Result<ExpressionTerm> {
        let term = held.id();
        self.terms.note(term);
        Ok(match term.kind() {
            Some(Kind::Integer) => ExpressionTerm::IntegerLiteral(Integer::from(term.integer())),
            Some(Kind::Boolean) => ExpressionTerm::BooleanLiteral(Boolean::from(term.payload() == 1)),
            Some(Kind::Decimal) => match term.decimal() {
                Some(value) => ExpressionTerm::DecimalLiteral(value),
                None => self.externalize_term(held)?.into(),
            },
            _ => {
                let term = self.externalize_term(held)?;
                passes(text_length(&term));
                expression_term(term)
            }
        })
    }

    fn internalize_expression_term(&self, term: ExpressionTerm) -> Result<Held> {
        if let ExpressionTerm::IntegerLiteral(value) = &term
            && let Some(id) = TermId::of_integer((*value).into())
        {
            return Ok(Held::new(id));
        }
        self.internalize_term(term_of(term))
    }

    fn internal_term_effective_boolean_value(&self, term: Held) -> Result<Option<bool>> {
        Ok(effective_boolean_value(&self.externalize_term(term)?))
    }
}

fn held(quad: &InternalQuad<TermId>) -> InternalQuad<Held> {
    InternalQuad {
        subject: Held::new(quad.subject),
        predicate: Held::new(quad.predicate),
        object: Held::new(quad.object),
        graph_name: quad.graph_name.map(Held::new),
    }
}

/// The quads that match a pattern. Joins create one for every row, so the type is small.
pub(super) struct Quads {
    scan: Option<Scan>,
    merge: Option<Box<Merge>>,
    error: Option<Error>,
    alternatives: Option<Box<vec::IntoIter<Alternative>>>,
}

impl Quads {
    fn failed(error: Error) -> Self {
        Self { scan: None, merge: None, error: Some(error), alternatives: None }
    }
}

/// The quads of one of the alternatives of a path.
struct Alternative {
    path: TermId,
    found: Found,
}

enum Found {
    Quads { quads: Quads, without: Rc<[TermId]> },
    Pairs(Pairs),
}

impl Iterator for Alternative {
    type Item = Result<InternalQuad<TermId>>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.found {
            Found::Quads { quads, without } => {
                let is_wanted = |quad: &InternalQuad<TermId>| !without.contains(&quad.predicate);
                let quad = quads.find(|quad| quad.as_ref().map_or(true, is_wanted))?;
                Some(quad.map(|quad| InternalQuad { predicate: self.path, ..quad }))
            }
            Found::Pairs(pairs) => pairs.next(self.path).map(Ok),
        }
    }
}

/// The graphs that are still to be merged, and the triples that were found in them. A triple that is in several
/// graphs counts once.
struct Merge {
    rest: vec::IntoIter<Scan>,
    seen: HashSet<[TermId; 3], ahash::RandomState>,
    kept: Kept,
}

impl Merge {
    fn is_new(&mut self, triple: [TermId; 3]) -> bool {
        let is_new = self.seen.insert(triple);
        if is_new {
            self.kept.add(2 * size_of_val(&triple));
        }
        is_new
    }
}

impl Iterator for Quads {
    type Item = Result<InternalQuad<TermId>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        if let Some(alternatives) = &mut self.alternatives {
            while let Some(alternative) = alternatives.as_mut_slice().first_mut() {
                if let Some(quad) = alternative.next() {
                    return Some(quad);
                }
                alternatives.next();
            }
            return None;
        }
        loop {
            match (self.scan.as_mut().and_then(Scan::next), &mut self.merge) {
                (Some(Err(error)), _) => return Some(Err(error)),
                (Some(Ok(EncodedQuad { subject, predicate, object, graph })), merge) => {
                    let graph_name = Some(graph).filter(|graph| merge.is_none() && !graph.is_default_graph());
                    if merge.as_mut().is_none_or(|merge| merge.is_new([subject, predicate, object])) {
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
