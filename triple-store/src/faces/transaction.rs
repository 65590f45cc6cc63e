//! Transactions: several reads and writes as one atomic operation.
//!
//! A transaction collects its changes in a delta of its own, on top of the view that it reads. It commits their net
//! effect as one record. It is isolated from other writers in one of two ways:
//!
//! | | reads | at the end |
//! |---|---|---|
//! | optimistic | a snapshot, and records the patterns that it reads | takes the stripes of its reads and writes; if a commit after the snapshot changed any of these quads, it runs again |
//! | exclusive | the newest state, while it holds the stripes of its subjects, or all stripes | has nothing to check |
//!
//! After a few failed checks, a transaction runs exclusively, so every transaction ends.

use crate::documents::nesting;
use crate::engine::core::{Core, Engine, Outcome};
use crate::engine::delta::{Delta, LATEST};
use crate::engine::source::{Patterns, QuadIter, Reads, Source};
use crate::engine::view::{Layer, View};
use crate::error::{Error, Result};
use crate::faces::store::TripleStore;
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::quad::EncodedQuad;
use crate::terms::quad::{Change, Seq};
use oxrdf::{GraphNameRef, NamedNodeRef, NamedOrBlankNodeRef, QuadRef, TermRef};
use parking_lot::Mutex;
use std::sync::Arc;
use vde_store::StripeHasher;

/// How a transaction is isolated from others.
///
/// # Examples
///
/// ```
/// use triple_store::{Isolation, TripleStore};
///
/// let store = TripleStore::in_memory();
/// let len = store.transaction_with(Isolation::Snapshot, |tx| {
///     Ok::<_, triple_store::Error>(tx.quads_for_pattern(None, None, None, None).count())
/// })?;
/// assert_eq!(len, 0);
/// # Ok::<_, triple_store::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// The transaction sees one snapshot, and no two transactions that add or remove the same quad run at the same
    /// time. If each of two transactions reads data that the other one writes, neither may see the other's write
    /// (write skew).
    Snapshot,
    /// The result is the same as if the transactions ran one after the other in some order.
    #[default]
    Serializable,
}

/// The number of optimistic attempts before a transaction takes all stripes.
const ATTEMPTS: usize = 4;

/// A running transaction: the argument of the closure of [`TripleStore::transaction`].
///
/// It sees its own changes. They are neither visible to others nor on disk before the closure has returned `Ok`.
///
/// # Examples
///
/// ```
/// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
/// use triple_store::{Error, TripleStore};
///
/// let ex = NamedNodeRef::new("http://example.com/")?;
/// let quad = QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph);
/// let store = TripleStore::in_memory();
/// store.transaction(|tx| {
///     tx.insert(quad)?;
///     assert!(tx.contains(quad)? && !store.contains(quad)?);
///     Ok::<_, Error>(())
/// })?;
/// assert!(store.contains(quad)?);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Transaction {
    pub(crate) source: Source,
    overlay: Arc<Delta>,
}

/// All changes of a transaction have one number, because no other reader sees them.
const OWN: Seq = 1;

impl Transaction {
    /// A transaction on top of a view.
    pub(crate) fn new(engine: &Arc<Engine>, mut view: View, reads: Option<Reads>) -> Self {
        let overlay = Arc::new(Delta::new(1, StripeHasher::Fnv1a));
        view.layers.insert(0, Layer { delta: Arc::clone(&overlay), seq: LATEST });
        let reads = reads.map(|reads| Arc::new(Mutex::new(reads)));
        Self { source: Source { engine: Arc::clone(engine), view: Arc::new(view), reads }, overlay }
    }

    /// Adds a quad. Returns whether it is new.
    ///
    /// # Errors
    ///
    /// [`Error::OutsideTransaction`] in a [`transaction_on`](TripleStore::transaction_on) other subjects.
    /// [`Error::TooDeep`] if triple terms nest too deeply.
    ///
    /// # Examples
    ///
    /// See [`Transaction`].
    pub fn insert<'a>(&mut self, quad: impl Into<QuadRef<'a>>) -> Result<bool> {
        let quad = self.source.engine.dictionary.intern_quad(nesting::checked(quad.into())?)?;
        self.change(quad, true)
    }

    /// Removes a quad. Returns whether the store had it.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// # use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
    /// # let ex = NamedNodeRef::new("http://example.com/")?;
    /// # let quad = QuadRef::new(ex, ex, ex, GraphNameRef::DefaultGraph);
    /// # let store = triple_store::TripleStore::in_memory();
    /// # store.insert(quad)?;
    /// assert!(store.transaction(|tx| tx.remove(quad))?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove<'a>(&mut self, quad: impl Into<QuadRef<'a>>) -> Result<bool> {
        let quad = self.source.engine.dictionary.intern_quad(quad.into())?;
        self.change(quad, false)
    }

    pub(crate) fn change(&mut self, quad: EncodedQuad, adds: bool) -> Result<bool> {
        let changes = self.source.contains(quad)? != adds;
        if changes {
            self.overlay.apply(OWN, &[Change { quad, adds }]);
        }
        Ok(changes)
    }

    /// Removes every quad that matches. `None` matches everything. Returns how many were removed.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStore::in_memory();
    /// assert_eq!(store.transaction(|tx| tx.remove_matching(None, None, None, None))?, 0);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn remove_matching(
        &mut self,
        subject: Option<NamedOrBlankNodeRef<'_>>,
        predicate: Option<NamedNodeRef<'_>>,
        object: Option<TermRef<'_>>,
        graph_name: Option<GraphNameRef<'_>>,
    ) -> Result<u64> {
        match self.source.engine.pattern(subject, predicate, object, graph_name)? {
            Some(pattern) => self.remove_all(&pattern),
            None => Ok(0),
        }
    }

    pub(crate) fn remove_graphs(&mut self, graphs: Graphs) -> Result<u64> {
        self.remove_all(&Pattern { subject: None, predicate: None, object: None, graphs })
    }

    fn remove_all(&mut self, pattern: &Pattern) -> Result<u64> {
        let removed = |quad: Result<_>| Ok(Change { quad: quad?, adds: false });
        let changes = self.source.scan(pattern)?.map(removed).collect::<Result<Vec<_>>>()?;
        self.overlay.apply(OWN, &changes);
        Ok(changes.len() as u64)
    }

    /// Whether the store has the quad.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    ///
    /// # Examples
    ///
    /// See [`Transaction`].
    pub fn contains<'a>(&self, quad: impl Into<QuadRef<'a>>) -> Result<bool> {
        self.source.contains_quad(quad.into())
    }

    /// The quads that match, as [`Snapshot::quads_for_pattern`](crate::Snapshot::quads_for_pattern). The iterator may
    /// or may not see changes that the transaction makes during the iteration.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStore::in_memory();
    /// let count = store.transaction(|tx| {
    ///     Ok::<_, triple_store::Error>(tx.quads_for_pattern(None, None, None, None).count())
    /// })?;
    /// assert_eq!(count, 0);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn quads_for_pattern(
        &self,
        subject: Option<NamedOrBlankNodeRef<'_>>,
        predicate: Option<NamedNodeRef<'_>>,
        object: Option<TermRef<'_>>,
        graph_name: Option<GraphNameRef<'_>>,
    ) -> QuadIter {
        self.source.quads_for_pattern(subject, predicate, object, graph_name)
    }

    /// The number of quads that it has changed.
    pub(crate) fn size(&self) -> usize {
        self.overlay.entries()
    }

    /// The net changes.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.overlay.changes()
    }
}

impl TripleStore {
    /// Runs a [serializable](Isolation::Serializable) transaction: the result is as if it ran alone. Returns the value
    /// of the closure once the changes are durable.
    ///
    /// The closure runs again if other writers changed quads that it read. Only the last run counts. It must write to
    /// the store only through its argument: a direct write to the store is not a part of the transaction, stays even if
    /// the transaction fails, happens in each run, and may deadlock.
    ///
    /// # Errors
    ///
    /// The error of the closure: nothing is changed then. Otherwise as [`insert`](Self::insert).
    ///
    /// # Panics
    ///
    /// If the closure panics: the transaction changes nothing then. In debug builds, this also panics where it would
    /// deadlock.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{GraphName, Literal, NamedNode, Quad, Term};
    /// use triple_store::{Error, TripleStore};
    ///
    /// let store = TripleStore::in_memory();
    /// let (account, balance) = (NamedNode::new("urn:account")?, NamedNode::new("urn:balance")?);
    /// let amount = |n: i64| Quad::new(account.clone(), balance.clone(), Literal::from(n), GraphName::DefaultGraph);
    /// store.insert(&amount(10))?;
    ///
    /// store.transaction(|tx| {
    ///     assert!(tx.remove(&amount(10))? && tx.insert(&amount(11))?);
    ///     Ok::<_, Error>(())
    /// })?;
    /// assert!(store.contains(&amount(11))? && store.len() == 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn transaction<T, E: From<Error>>(
        &self,
        run: impl FnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transaction_with(Isolation::Serializable, run)
    }

    /// [`transaction`](Self::transaction) with a given isolation.
    ///
    /// # Errors
    ///
    /// As [`transaction`](Self::transaction).
    ///
    /// # Panics
    ///
    /// As [`transaction`](Self::transaction).
    ///
    /// # Examples
    ///
    /// See [`Isolation`].
    pub fn transaction_with<T, E: From<Error>>(
        &self,
        isolation: Isolation,
        run: impl FnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        Ok(self.optimistic(isolation, run)?.0)
    }

    /// Runs a transaction on a snapshot, and exclusively after a few conflicts.
    pub(crate) fn optimistic<T, E: From<Error>>(
        &self,
        isolation: Isolation,
        mut run: impl FnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<(T, Outcome), E> {
        for _ in 0..ATTEMPTS {
            let (view, _) = self.engine.snapshot();
            let begun = view.clone();
            let mut transaction =
                Transaction::new(&self.engine, view, Some(Reads::These(Patterns::default())));
            let result = run(&mut transaction)?;
            if let Some(outcome) = self.engine.commit_if_unchanged(transaction, &begun, isolation)? {
                return Ok((result, outcome));
            }
        }
        self.exclusive(None, run)
    }

    /// Runs a transaction while it holds the stripes of these subjects, so it never has to run again: it reads their
    /// newest state, and no other writer changes them. It may access no other subject.
    ///
    /// Use it for long checks before a write: only writers of the same stripes have to wait.
    ///
    /// # Errors
    ///
    /// The error of the closure: nothing is changed then. [`Error::OutsideTransaction`] if it accesses another
    /// subject. Otherwise as [`insert`](Self::insert).
    ///
    /// # Panics
    ///
    /// As [`transaction`](Self::transaction).
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::{GraphNameRef, NamedNodeRef, QuadRef};
    /// use triple_store::{Error, TripleStore};
    ///
    /// let (a, b) = (NamedNodeRef::new("urn:a")?, NamedNodeRef::new("urn:b")?);
    /// let store = TripleStore::in_memory();
    /// store.transaction_on([a.into()], |tx| {
    ///     tx.insert(QuadRef::new(a, b, b, GraphNameRef::DefaultGraph))?;
    ///     assert!(tx.insert(QuadRef::new(b, b, b, GraphNameRef::DefaultGraph)).is_err());
    ///     Ok::<_, Error>(())
    /// })?;
    /// assert_eq!(store.len(), 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn transaction_on<'a, T, E: From<Error>>(
        &self,
        subjects: impl IntoIterator<Item = NamedOrBlankNodeRef<'a>>,
        run: impl FnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let _terms = self.engine.hold_terms();
        let intern = |subject: NamedOrBlankNodeRef<'_>| Ok(self.engine.dictionary.intern(subject.into())?.0);
        let subjects = subjects.into_iter().map(intern).collect::<Result<_>>()?;
        Ok(self.exclusive(Some(subjects), run)?.0)
    }

    /// Runs a transaction under the stripes of these subjects, or under all stripes.
    pub(crate) fn exclusive<T, E: From<Error>>(
        &self,
        subjects: Option<Vec<u64>>,
        run: impl FnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<(T, Outcome), E> {
        let engine = &self.engine;
        let _terms = engine.hold_terms();
        let held = match &subjects {
            Some(subjects) => engine.stripes.lock_many(subjects),
            None => engine.stripes.lock_all(),
        };
        let view = View::clone(&engine.latest());
        let mut transaction = Transaction::new(engine, view, subjects.map(Reads::Within));
        let result = run(&mut transaction)?;
        let outcome = engine.commit_encoded(held, transaction.into_changes())?;
        Ok((result, outcome))
    }
}

impl Core {
    /// Commits an optimistic transaction that began on a view. Returns `None` if data that it read has changed since.
    fn commit_if_unchanged(
        &self,
        transaction: Transaction,
        begun: &View,
        isolation: Isolation,
    ) -> Result<Option<Outcome>> {
        let reads = transaction.source.reads.clone();
        let changes = transaction.into_changes();
        if changes.is_empty() {
            // The transaction wrote nothing and read one snapshot, so its place in the serial order is that of the
            // snapshot.
            return Ok(Some(Outcome::default()));
        }
        let written = changes.iter().map(|change| change.quad);
        let relied_on = match (isolation, reads.as_ref().map(|reads| reads.lock())) {
            (Isolation::Serializable, Some(reads)) => match &*reads {
                Reads::These(patterns) => {
                    patterns.set.iter().copied().chain(written.map(Pattern::one)).collect()
                }
                Reads::Anything | Reads::Within(_) => vec![Pattern::ALL],
            },
            _ => written.map(Pattern::one).collect::<Vec<_>>(),
        };
        let subjects: Option<Vec<_>> =
            relied_on.iter().map(|pattern| pattern.subject.map(|id| id.0)).collect();
        let held = match &subjects {
            Some(subjects) => self.stripes.lock_many(subjects),
            None => self.stripes.lock_all(),
        };
        if self.changed_since(begun, &relied_on) {
            return Ok(None);
        }
        self.commit_encoded(held, changes).map(Some)
    }
}
