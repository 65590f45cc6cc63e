//! `+` and `*` of property paths (SPARQL 1.1 Query, 18.4): the pairs of terms that a path connects.
//!
//! The evaluator would search from each start again. Here the terms that were reached from a term are cached, and if
//! both ends are unbound, all nodes of a cycle are searched together.

use super::all_pairs::AllPairs;
use super::dataset::Dataset;
use super::meter::Kept;
use crate::error::{Error, Result};
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::term::TermId;
use oxrdf::NamedNode;
use spareval::InternalQuad;
use spargebra::algebra::PropertyPathExpression;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

pub(super) type Set = HashSet<TermId, ahash::RandomState>;

/// A path in ids.
enum Path {
    One(TermId),
    NoneOf(Vec<TermId>),
    Reverse(Box<Self>),
    Sequence(Box<Self>, Box<Self>),
    Alternative(Box<Self>, Box<Self>),
    AtMostOnce(Box<Self>),
    Closure(Closure),
}

/// Any number of steps: one or more, or zero or more.
pub(super) struct Closure {
    step: Box<Path>,
    or_none: bool,
}

impl Path {
    fn new(path: &PropertyPathExpression, id: &impl Fn(&NamedNode) -> Result<TermId>) -> Result<Self> {
        use PropertyPathExpression as P;
        let of = |path| Ok::<_, Error>(Box::new(Self::new(path, id)?));
        Ok(match path {
            P::NamedNode(node) => Self::One(id(node)?),
            P::NegatedPropertySet(nodes) => Self::NoneOf(nodes.iter().map(id).collect::<Result<_>>()?),
            P::Reverse(path) => Self::Reverse(of(path)?),
            P::Sequence(a, b) => Self::Sequence(of(a)?, of(b)?),
            P::Alternative(a, b) => Self::Alternative(of(a)?, of(b)?),
            P::ZeroOrOne(path) => Self::AtMostOnce(of(path)?),
            P::ZeroOrMore(path) => Self::Closure(Closure { step: of(path)?, or_none: true }),
            P::OneOrMore(path) => Self::Closure(Closure { step: of(path)?, or_none: false }),
        })
    }
}

impl Closure {
    /// `None` unless the path is `+` or `*` of another path.
    pub(super) fn new(
        path: &PropertyPathExpression,
        id: &impl Fn(&NamedNode) -> Result<TermId>,
    ) -> Result<Option<Self>> {
        Ok(match Path::new(path, id)? {
            Path::Closure(closure) => Some(closure),
            _ => None,
        })
    }
}

/// The start of a search: a term, a graph, and the direction.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Start {
    closure: *const Closure,
    node: TermId,
    graph: TermId,
    forwards: bool,
}

/// The bytes for a term in a set, or for a pair in a list and its tables.
const NODE: usize = 32;
const PAIR: usize = 96;

/// The most terms in the cache.
const MOST_KEPT: usize = 1 << 20;

/// The cache of reached terms.
#[derive(Default)]
pub(super) struct Reached {
    from: HashMap<Start, Rc<Set>, ahash::RandomState>,
    terms: usize,
    kept: Kept,
    /// The end of the pair that was last requested.
    last_end: Option<TermId>,
}

/// The pairs of terms that a closure connects.
pub(super) struct Pairs(Box<dyn Iterator<Item = (TermId, TermId, TermId)>>);

impl Pairs {
    /// The next pair, as a quad with this predicate.
    pub(super) fn next(&mut self, predicate: TermId) -> Option<InternalQuad<TermId>> {
        let (graph, subject, object) = self.0.next()?;
        let graph_name = Some(graph).filter(|graph| !graph.is_default_graph());
        Some(InternalQuad { subject, predicate, object, graph_name })
    }
}

impl Dataset {
    /// The pairs of a pattern whose predicate is a closure.
    pub(super) fn pairs(&self, closure: &Rc<Closure>, pattern: &Pattern) -> Result<Pairs> {
        let graphs = match pattern.graphs {
            Graphs::One(graph) => vec![graph],
            Graphs::All | Graphs::Named => self.named_graphs()?,
        };
        let mut pairs: Box<dyn Iterator<Item = _>> = Box::new(std::iter::empty());
        for graph in graphs {
            let more = self.pairs_in(closure, pattern.subject, pattern.object, graph)?;
            pairs = Box::new(pairs.chain(more.map(move |(subject, object)| (graph, subject, object))));
        }
        Ok(Pairs(pairs))
    }

    fn pairs_in(
        &self,
        closure: &Rc<Closure>,
        subject: Option<TermId>,
        object: Option<TermId>,
        graph: TermId,
    ) -> Result<Box<dyn Iterator<Item = (TermId, TermId)>>> {
        let all = |set: Rc<Set>| set.iter().copied().collect::<Vec<_>>().into_iter();
        Ok(match (subject, object) {
            (Some(subject), Some(object)) => {
                let connects = self.connects(closure, subject, object, graph)?;
                Box::new(connects.then_some((subject, object)).into_iter())
            }
            (Some(subject), None) => {
                let reached = self.reached(closure, subject, graph, true)?;
                Box::new(all(reached).map(move |object| (subject, object)))
            }
            (None, Some(object)) => {
                let reached = self.reached(closure, object, graph, false)?;
                Box::new(all(reached).map(move |subject| (subject, object)))
            }
            (None, None) => {
                let mut kept = Kept::default();
                let nodes = if closure.or_none { self.nodes(graph, &mut kept)? } else { Set::default() };
                let steps = self.steps(&closure.step, graph, &mut kept)?;
                Box::new(AllPairs::new(steps, nodes, kept))
            }
        })
    }

    /// Whether a closure connects one term with another. Consecutive rows usually have one end in common, so the search
    /// starts at that end.
    fn connects(&self, closure: &Closure, from: TermId, to: TermId, graph: TermId) -> Result<bool> {
        let start = |node, forwards| Start { closure, node, graph, forwards };
        let (forwards, known) = {
            let mut reached = self.reached_before().borrow_mut();
            let against = reached.from.get(&start(to, false)).map(|set| set.contains(&from));
            let along = || reached.from.get(&start(from, true)).map(|set| set.contains(&to));
            let known = against.or_else(along);
            let forwards = reached.last_end != Some(to) || self.reads_some_subjects();
            reached.last_end = Some(to);
            (forwards, known)
        };
        match known {
            Some(connects) => Ok(connects),
            None if forwards => Ok(self.reached(closure, from, graph, true)?.contains(&to)),
            None => Ok(self.reached(closure, to, graph, false)?.contains(&from)),
        }
    }

    /// The terms that a closure reaches from a term, or in backward direction those that reach it.
    fn reached(&self, closure: &Closure, node: TermId, graph: TermId, forwards: bool) -> Result<Rc<Set>> {
        let start = Start { closure, node, graph, forwards };
        if let Some(set) = self.reached_before().borrow().from.get(&start) {
            return Ok(Rc::clone(set));
        }
        let (mut set, mut rest, mut kept) = (Set::default(), vec![node], Kept::default());
        while let Some(next) = rest.pop() {
            if self.is_cancelled() {
                return Err(Error::Cancelled);
            }
            self.follow(&closure.step, next, graph, forwards, &mut |reached| {
                if set.insert(reached) {
                    kept.add(NODE);
                    rest.push(reached);
                }
            })?;
        }
        // With zero steps, a path leads from a term to itself, but only if the term is a node of the graph.
        if closure.or_none || set.contains(&node) {
            let leads_on = set.iter().any(|reached| *reached != node);
            if leads_on || self.is_node(node, graph)? {
                set.insert(node);
            } else {
                set.clear();
            }
        }
        let (set, mut before) = (Rc::new(set), self.reached_before().borrow_mut());
        if before.terms + set.len() > MOST_KEPT {
            *before = Reached { last_end: before.last_end, ..Reached::default() };
        }
        before.terms += set.len() + 1;
        before.kept.add(NODE * (set.len() + 1));
        before.from.insert(start, Rc::clone(&set));
        Ok(set)
    }

    /// Calls a function with each term to which a path leads from a term.
    fn follow(
        &self,
        path: &Path,
        node: TermId,
        graph: TermId,
        forwards: bool,
        visit: &mut dyn FnMut(TermId),
    ) -> Result<()> {
        let mut each = |predicate, without: &[TermId]| -> Result<()> {
            let (subject, object) = if forwards { (Some(node), None) } else { (None, Some(node)) };
            for quad in self.in_graph(subject, predicate, object, graph) {
                let quad = quad?;
                if !without.contains(&quad.predicate) {
                    visit(if forwards { quad.object } else { quad.subject });
                }
            }
            Ok(())
        };
        match path {
            Path::One(predicate) => each(Some(*predicate), &[]),
            Path::NoneOf(without) => each(None, without),
            Path::Reverse(path) => self.follow(path, node, graph, !forwards, visit),
            Path::Sequence(a, b) => {
                let (first, second) = if forwards { (a, b) } else { (b, a) };
                let mut middles = Set::default();
                self.follow(first, node, graph, forwards, &mut |middle| _ = middles.insert(middle))?;
                middles.into_iter().try_for_each(|middle| self.follow(second, middle, graph, forwards, visit))
            }
            Path::Alternative(a, b) => {
                self.follow(a, node, graph, forwards, visit)?;
                self.follow(b, node, graph, forwards, visit)
            }
            Path::AtMostOnce(path) => {
                visit(node);
                self.follow(path, node, graph, forwards, visit)
            }
            Path::Closure(closure) => {
                self.reached(closure, node, graph, forwards)?.iter().for_each(|reached| visit(*reached));
                Ok(())
            }
        }
    }

    /// All pairs that a path connects.
    fn steps(&self, path: &Path, graph: TermId, kept: &mut Kept) -> Result<Vec<(TermId, TermId)>> {
        let mut each = |predicate, without: &[TermId]| {
            let quads = self.in_graph(None, predicate, None, graph);
            let wanted =
                quads.filter(|quad| quad.as_ref().map_or(true, |quad| !without.contains(&quad.predicate)));
            wanted
                .inspect(|_| kept.add(PAIR))
                .map(|quad| quad.map(|quad| (quad.subject, quad.object)))
                .collect::<Result<Vec<_>>>()
        };
        match path {
            Path::One(predicate) => each(Some(*predicate), &[]),
            Path::NoneOf(without) => each(None, without),
            Path::Reverse(path) => {
                Ok(self.steps(path, graph, kept)?.into_iter().map(|(from, to)| (to, from)).collect())
            }
            Path::Alternative(a, b) => {
                let mut steps = self.steps(a, graph, kept)?;
                steps.extend(self.steps(b, graph, kept)?);
                Ok(steps)
            }
            Path::Sequence(..) | Path::AtMostOnce(_) | Path::Closure(_) => {
                let mut steps = Vec::new();
                for node in self.nodes(graph, kept)? {
                    if self.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    self.follow(path, node, graph, true, &mut |to| {
                        kept.add(PAIR);
                        steps.push((node, to));
                    })?;
                }
                Ok(steps)
            }
        }
    }

    /// The subjects and objects of a graph.
    fn nodes(&self, graph: TermId, kept: &mut Kept) -> Result<Set> {
        let mut nodes = Set::default();
        for quad in self.in_graph(None, None, None, graph) {
            let quad = quad?;
            for node in [quad.subject, quad.object] {
                if nodes.insert(node) {
                    kept.add(NODE);
                }
            }
        }
        Ok(nodes)
    }

    fn is_node(&self, term: TermId, graph: TermId) -> Result<bool> {
        let mut quads =
            self.in_graph(Some(term), None, None, graph).chain(self.in_graph(None, None, Some(term), graph));
        Ok(quads.next().transpose()?.is_some())
    }

    fn in_graph(
        &self,
        subject: Option<TermId>,
        predicate: Option<TermId>,
        object: Option<TermId>,
        graph: TermId,
    ) -> impl Iterator<Item = Result<InternalQuad<TermId>>> + use<> {
        self.quads(&Pattern { subject, predicate, object, graphs: Graphs::One(graph) })
    }
}
