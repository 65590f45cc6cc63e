//! A view with its dictionary, from which patterns and queries read.

use crate::engine::core::{Core, Engine};
use crate::engine::view::{Scan, View};
use crate::error::{Error, Result};
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::quad::EncodedQuad;
use oxrdf::{GraphNameRef, NamedNodeRef, NamedOrBlankNodeRef, Quad, QuadRef, TermRef};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;

/// A view to read, and the record of what was read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) engine: Arc<Engine>,
    pub(crate) view: Arc<View>,
    pub(crate) reads: Option<Arc<Mutex<Reads>>>,
}

/// What a transaction has read: its patterns. They cover the quads that it has seen and those that it has found
/// absent.
#[derive(Debug)]
pub(crate) enum Reads {
    These(Patterns),
    /// Too many patterns to record, also if they are widened: it may have read anything.
    Anything,
    /// Nothing is recorded. Only these subjects may be read, because only their stripes are held.
    Within(Vec<u64>),
}

#[derive(Debug, Default)]
pub(crate) struct Patterns {
    pub(crate) set: HashSet<Pattern, ahash::RandomState>,
    /// Whether there were too many, so that these have any subject and object.
    are_widened: bool,
}

/// The most patterns that a transaction records. With more, they are widened.
const MOST_PATTERNS: usize = 4096;

impl Reads {
    fn note(&mut self, pattern: Pattern) -> Result<()> {
        match self {
            Self::These(Patterns { set, are_widened }) => {
                set.insert(if *are_widened { pattern.widened() } else { pattern });
                if set.len() > MOST_PATTERNS && !*are_widened {
                    *set = set.drain().map(Pattern::widened).collect();
                    *are_widened = true;
                }
                if set.len() > MOST_PATTERNS {
                    *self = Self::Anything;
                }
            }
            Self::Anything => {}
            Self::Within(subjects) => {
                if !pattern.subject.is_some_and(|subject| subjects.contains(&subject.0)) {
                    return Err(Error::OutsideTransaction);
                }
            }
        }
        Ok(())
    }
}

impl Source {
    pub(crate) fn contains(&self, quad: EncodedQuad) -> Result<bool> {
        self.note(Pattern::one(quad))?;
        self.view.contains(quad)
    }

    pub(crate) fn scan(&self, pattern: &Pattern) -> Result<Scan> {
        self.note(*pattern)?;
        self.view.scan(pattern)
    }

    pub(crate) fn count(&self, pattern: &Pattern) -> Result<u64> {
        self.note(*pattern)?;
        self.view.count(pattern)
    }

    /// Whether this is for a transaction that may read only some subjects.
    pub(crate) fn reads_some_subjects(&self) -> bool {
        self.reads.as_ref().is_some_and(|reads| matches!(*reads.lock(), Reads::Within(_)))
    }

    pub(crate) fn graphs(&self) -> Result<Vec<u64>> {
        self.note(Pattern { subject: None, predicate: None, object: None, graphs: Graphs::Named })?;
        self.view.graphs()
    }

    fn note(&self, pattern: Pattern) -> Result<()> {
        self.reads.as_ref().map_or(Ok(()), |reads| reads.lock().note(pattern))
    }

    pub(crate) fn contains_quad(&self, quad: QuadRef<'_>) -> Result<bool> {
        if self.reads.is_some() {
            return self.contains(self.engine.dictionary.intern_quad(quad)?);
        }
        self.engine.dictionary.lookup_quad(quad)?.map_or(Ok(false), |quad| self.view.contains(quad))
    }

    pub(crate) fn quads_for_pattern(
        &self,
        subject: Option<NamedOrBlankNodeRef<'_>>,
        predicate: Option<NamedNodeRef<'_>>,
        object: Option<TermRef<'_>>,
        graph_name: Option<GraphNameRef<'_>>,
    ) -> QuadIter {
        let find = || -> Result<_> {
            // A term without an id is in no quad of any view. A transaction assigns it an id nevertheless, so that it can
            // record the pattern and detect a quad that is added before it commits.
            if self.reads.is_some() {
                let dictionary = &self.engine.dictionary;
                for term in [subject.map(Into::into), predicate.map(Into::into), object].into_iter().flatten()
                {
                    dictionary.intern(term)?;
                }
                graph_name.map(|graph| dictionary.intern_graph(graph)).transpose()?;
            }
            let pattern = self.engine.pattern(subject, predicate, object, graph_name)?;
            pattern.map(|pattern| self.scan(&pattern)).transpose()
        };
        QuadIter { source: self.clone(), scan: find().map_err(Some) }
    }
}

impl Core {
    /// The pattern in ids. `None` if a term has no id, so that nothing can match.
    pub(crate) fn pattern(
        &self,
        subject: Option<NamedOrBlankNodeRef<'_>>,
        predicate: Option<NamedNodeRef<'_>>,
        object: Option<TermRef<'_>>,
        graph_name: Option<GraphNameRef<'_>>,
    ) -> Result<Option<Pattern>> {
        let mut has_ids = true;
        let mut lookup = |term: Option<TermRef<'_>>| -> Result<_> {
            let id = term.map_or(Ok(None), |term| self.dictionary.lookup(term))?;
            has_ids &= term.is_none() || id.is_some();
            Ok(id)
        };
        let pattern = Pattern {
            subject: lookup(subject.map(Into::into))?,
            predicate: lookup(predicate.map(Into::into))?,
            object: lookup(object)?,
            graphs: match graph_name {
                None => Graphs::All,
                Some(graph) => match self.dictionary.lookup_graph(graph)? {
                    Some(graph) => Graphs::One(graph),
                    None => return Ok(None),
                },
            },
        };
        Ok(has_ids.then_some(pattern))
    }
}

/// The quads that match a pattern at one moment.
///
/// # Examples
///
/// ```
/// let store = triple_store::TripleStore::in_memory();
/// for quad in store.quads_for_pattern(None, None, None, None) {
///     println!("{}", quad?);
/// }
/// # Ok::<_, triple_store::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is asked for items"]
pub struct QuadIter {
    /// The terms of the rows stay as long as the view does.
    source: Source,
    scan: Result<Option<Scan>, Option<Error>>,
}

impl Iterator for QuadIter {
    type Item = Result<Quad>;

    fn next(&mut self) -> Option<Result<Quad>> {
        match &mut self.scan {
            Ok(scan) => {
                let quad = scan.as_mut()?.next()?;
                Some(quad.and_then(|quad| self.source.engine.dictionary.resolve_quad(quad)))
            }
            Err(error) => error.take().map(Err),
        }
    }
}
