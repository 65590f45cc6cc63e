//! Requests that do nothing but remove all quads of some patterns, such as those of a graph, and copy a graph. If they
//! concern very many quads, these are not listed in memory.

use super::{UpdateOptions, asks_for_source};
use crate::engine::bulk::BULK;
use crate::engine::core::Outcome;
use crate::engine::graphs::{Conditions, Copied, GraphChange};
use crate::engine::view::View;
use crate::error::{Error, Result};
use crate::faces::store::{TripleStore, Updated};
use crate::storage::dictionary::Dictionary;
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::term::TermId;
use oxrdf::NamedNode;
use spargebra::algebra::{GraphPattern, GraphTarget, QueryDataset};
use spargebra::term::{GraphNamePattern, GroundQuadPattern, GroundTermPattern, QuadPattern, TriplePattern};
use spargebra::{GraphUpdateOperation, Update};
use std::sync::Arc;

impl TripleStore {
    /// Runs a request that changes whole graphs. `None` if it does something else, or concerns few quads.
    pub(super) fn change_graphs(&self, update: &Update, options: &UpdateOptions) -> Result<Option<Updated>> {
        let whole = Whole::of(&update.operations, &self.engine.dictionary)?;
        let Some(Whole { change, source, .. }) = whole else { return Ok(None) };
        let copied = change.copied.map(|copied| of_graph(copied.from));
        let view = Arc::clone(&self.engine.latest());
        let quads: f64 = change.removed.iter().chain(&copied).map(|pattern| view.estimate(pattern)).sum();
        drop(view);
        if quads < BULK as f64 {
            return Ok(None);
        }
        let may_commit = |view: &Arc<View>, outcome: Outcome| {
            if let (Some(source), Some(copied)) = (&source, &copied)
                && view.scan(copied)?.next().transpose()?.is_none()
            {
                return Err(Error::UnknownGraph(source.as_str().into()));
            }
            match options.most_changes {
                Some(most) if outcome.added + outcome.removed > most as u64 => {
                    Err(Error::TooManyChanges(most))
                }
                _ => Ok(()),
            }
        };
        let conditions =
            Conditions { is_cancelled: &|| options.query.is_cancelled(), may_commit: &may_commit };
        let Outcome { added, removed } = self.engine.change_graphs(change, &conditions)?;
        Ok(Some(Updated { added, removed }))
    }
}

fn of_graph(graph: TermId) -> Pattern {
    Pattern { graphs: Graphs::One(graph), ..Pattern::ALL }
}

/// What the operations of a request do together.
struct Whole<'a> {
    dictionary: &'a Dictionary,
    change: GraphChange,
    /// The graph that is copied next, which has to exist.
    source: Option<NamedNode>,
}

/// `None` if the request does something else.
type Added = Result<Option<()>>;

impl<'a> Whole<'a> {
    fn of(operations: &[GraphUpdateOperation], dictionary: &'a Dictionary) -> Result<Option<Self>> {
        let mut whole = Self { dictionary, change: GraphChange::default(), source: None };
        for operation in operations {
            if whole.add(operation)?.is_none() {
                return Ok(None);
            }
        }
        let checks_in_vain = whole.source.is_some() && whole.change.copied.is_none();
        Ok((!checks_in_vain).then_some(whole))
    }

    fn add(&mut self, operation: &GraphUpdateOperation) -> Added {
        match operation {
            GraphUpdateOperation::Clear { graph, .. } | GraphUpdateOperation::Drop { graph, .. } => {
                let graphs = match graph {
                    GraphTarget::DefaultGraph => Graphs::One(TermId::DEFAULT_GRAPH),
                    GraphTarget::NamedNode(node) => {
                        Graphs::One(self.dictionary.intern(node.as_ref().into())?)
                    }
                    GraphTarget::NamedGraphs => Graphs::Named,
                    GraphTarget::AllGraphs => Graphs::All,
                };
                Ok(self.remove(Pattern { graphs, ..Pattern::ALL }))
            }
            GraphUpdateOperation::DeleteInsert { delete, insert, using, pattern } => {
                let Some(read) = only_pattern(pattern, using.as_ref()) else { return Ok(None) };
                match (&**delete, &**insert) {
                    ([], [_]) if asks_for_source(insert) => {
                        if let GraphNamePattern::NamedNode(graph) = read.graph_name {
                            self.source = Some(graph);
                        }
                        Ok(Some(()))
                    }
                    ([], [added]) => self.copy(read, added),
                    ([removed], []) if GroundQuadPattern::try_from(read).as_ref() == Ok(removed) => {
                        Ok(self.pattern(removed)?.and_then(|pattern| self.remove(pattern)))
                    }
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// Quads that come must not be removed later.
    fn remove(&mut self, pattern: Pattern) -> Option<()> {
        let is_copied_before = self.change.copied.is_some_and(|copied| may_meet(&pattern, copied.to));
        (!is_copied_before).then(|| self.change.removed.push(pattern))
    }

    /// Copies what is read as what is added. Quads that are copied must not be removed before.
    fn copy(&mut self, read: QuadPattern, added: &QuadPattern) -> Added {
        let copy = QuadPattern { graph_name: added.graph_name.clone(), ..read.clone() };
        let ends = (self.graphs(&read.graph_name)?, self.graphs(&added.graph_name)?);
        let (Graphs::One(from), Graphs::One(to)) = ends else { return Ok(None) };
        let Ok(read) = GroundQuadPattern::try_from(read) else { return Ok(None) };
        let is_copy = copy == *added && from != to && self.pattern(&read)? == Some(of_graph(from));
        let is_checked = self.source.as_ref().is_none_or(|source| read.graph_name == source.clone().into());
        let goes_before = self.change.removed.iter().any(|removed| may_meet(removed, from));
        if !is_copy || !is_checked || goes_before || self.change.copied.is_some() {
            return Ok(None);
        }
        self.change.copied = Some(Copied { from, to });
        Ok(Some(()))
    }

    /// The pattern in ids. `None` if a variable occurs twice, or a term is not an IRI that the store has.
    fn pattern(&self, quad: &GroundQuadPattern) -> Result<Option<Pattern>> {
        let graphs = self.graphs(&quad.graph_name)?;
        let mut variables: Vec<_> = match &quad.graph_name {
            GraphNamePattern::Variable(variable) => vec![variable],
            _ => Vec::new(),
        };
        let (mut ids, predicate) = ([None; 3], quad.predicate.clone().into());
        for (id, term) in ids.iter_mut().zip([&quad.subject, &predicate, &quad.object]) {
            match term {
                GroundTermPattern::Variable(variable) if !variables.contains(&variable) => {
                    variables.push(variable);
                }
                GroundTermPattern::NamedNode(node) => {
                    let Some(found) = self.dictionary.lookup(node.as_ref().into())? else { return Ok(None) };
                    *id = Some(found);
                }
                _ => return Ok(None),
            }
        }
        let [subject, predicate, object] = ids;
        Ok(Some(Pattern { subject, predicate, object, graphs }))
    }

    fn graphs(&self, name: &GraphNamePattern) -> Result<Graphs> {
        Ok(match name {
            GraphNamePattern::DefaultGraph => Graphs::One(TermId::DEFAULT_GRAPH),
            GraphNamePattern::NamedNode(node) => Graphs::One(self.dictionary.intern(node.as_ref().into())?),
            GraphNamePattern::Variable(_) => Graphs::Named,
        })
    }
}

/// Whether the pattern may match a quad of the graph.
fn may_meet(pattern: &Pattern, graph: TermId) -> bool {
    match pattern.graphs {
        Graphs::All => true,
        Graphs::Named => !graph.is_default_graph(),
        Graphs::One(other) => other == graph,
    }
}

/// The pattern, if the `WHERE` is only one.
fn only_pattern(pattern: &GraphPattern, using: Option<&QueryDataset>) -> Option<QuadPattern> {
    let default = match using {
        None => GraphNamePattern::DefaultGraph,
        Some(QueryDataset { default, named: None }) => match &**default {
            [graph] => graph.clone().into(),
            _ => return None,
        },
        Some(_) => return None,
    };
    let (pattern, graph) = match pattern {
        GraphPattern::Graph { name, inner } => (&**inner, name.clone().into()),
        pattern => (pattern, default),
    };
    match pattern {
        GraphPattern::Bgp { patterns } => match &**patterns {
            [triple] => {
                let TriplePattern { subject, predicate, object } = triple.clone();
                Some(QuadPattern { subject, predicate, object, graph_name: graph })
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
