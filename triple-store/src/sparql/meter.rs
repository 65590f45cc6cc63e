//! Limits of memory and time for an evaluation.
//!
//! The evaluator is a library. It sorts, groups, joins and removes duplicates in loops that check neither a budget nor
//! a cancellation. But all rows that it holds contain terms, and these loops copy them. So a term of a row ([`Held`])
//! counts itself: it takes memory from its creation until it is dropped, and after a number of copies the budget and
//! the cancellation are checked. Other data of the library is counted where it passes this crate: computed terms, the
//! state of aggregates, the triples of a `CONSTRUCT`.
//!
//! An evaluation is ended by unwinding, as by a panic but without a message, because the library's loops have no other
//! exit. [`Meter::run`] catches the unwinding. If panics abort the process, the evaluation ends with its next result
//! instead.

use crate::error::{Error, Result};
use crate::sparql::memory::{Memory, Taken};
use crate::terms::term::TermId;
use oxrdf::{NamedOrBlankNode, Term};
use spareval::CancellationToken;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;

/// The number of copies of terms between two checks of the budget and the cancellation.
const STEPS: u32 = 1024;

/// The least number of bytes for a term of a row: its own, and its share of the row and of a table.
const TERM: usize = 48;

/// The bytes for each variable of the query that are added to a term, because rows have space for unbound variables
/// too.
const PLACE: usize = 4;

/// The bytes for each aggregate of the query that are added to a term, because each group has a state of it.
const STATE: usize = 16;

/// Strings that are shorter than this are not counted while they are only passed on.
const SHORT: usize = 1024;

/// How many bytes may be kept between two checks of the budget.
const PORTION: usize = 64 << 10;

/// The memory for a computed term or an entry of a table, without its text.
pub(super) const ENTRY: usize = 160;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static STEPS_LEFT: Cell<u32> = const { Cell::new(STEPS) };
    static CURRENT: RefCell<Option<Rc<Gauge>>> = const { RefCell::new(None) };
}

/// A term of a row.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(super) struct Held(TermId);

impl Held {
    pub(super) fn new(id: TermId) -> Self {
        HELD.set(HELD.get() + 1);
        step();
        Self(id)
    }

    pub(super) fn id(&self) -> TermId {
        self.0
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}

/// Counts a step of the evaluation, and checks the limits at some of them.
fn step() {
    match STEPS_LEFT.get() {
        0 => {
            STEPS_LEFT.set(STEPS);
            check();
        }
        left => STEPS_LEFT.set(left - 1),
    }
}

/// Ends the evaluation if it is cancelled or over its limits.
#[cold]
fn check() {
    with_current(Gauge::check);
}

fn with_current(work: impl FnOnce(&Gauge)) {
    // Does nothing in a thread that already ends or unwinds.
    let current = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
    if let Some(gauge) = current.filter(|_| !std::thread::panicking()) {
        work(&gauge);
    }
}

/// The number of bytes in a term's text.
pub(super) fn text_length(mut term: &Term) -> usize {
    let mut length = 0;
    loop {
        match term {
            Term::NamedNode(node) => return length + node.as_str().len(),
            Term::BlankNode(node) => return length + node.as_str().len(),
            Term::Literal(literal) => {
                return length + literal.value().len() + literal.datatype().as_str().len();
            }
            Term::Triple(triple) => {
                length += triple.predicate.as_str().len() + ENTRY;
                length += match &triple.subject {
                    NamedOrBlankNode::NamedNode(node) => node.as_str().len(),
                    NamedOrBlankNode::BlankNode(node) => node.as_str().len(),
                };
                term = &triple.object;
            }
        }
    }
}

/// Counts bytes that are kept until the end of the evaluation.
pub(super) fn keep(bytes: usize) {
    with_current(|gauge| gauge.keep(bytes));
}

/// Counts a row that binds no variable, and so has no terms.
pub(super) fn keep_row() {
    step();
    keep(TERM);
}

/// Counts a string that exists only during the evaluation of an expression.
pub(super) fn passes(length: usize) {
    if length >= SHORT {
        with_current(|gauge| gauge.passes(length));
    }
}

/// Counts the growth of the string that is being made.
pub(super) fn grows(bytes: usize) {
    with_current(|gauge| gauge.grows(bytes));
}

/// Bytes that are kept until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Kept(usize);

impl Kept {
    pub(super) fn add(&mut self, bytes: usize) {
        self.0 += bytes;
        keep(bytes);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let current = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten();
        if let Some(gauge) = current {
            gauge.kept.set(gauge.kept.get().saturating_sub(self.0));
        }
    }
}

/// The memory limits of an evaluation.
#[derive(Clone, Debug, Default)]
pub(super) struct Budget {
    pub(super) most: Option<usize>,
    pub(super) shared: Option<Arc<Memory>>,
}

/// The counters of one evaluation.
struct Gauge {
    token: CancellationToken,
    most: Option<usize>,
    /// The bytes that each held term counts for.
    term: usize,
    /// The most strings that an expression may hold at the same time.
    strings: usize,
    held: Cell<isize>,
    kept: Cell<usize>,
    /// The bytes of recently passed strings, and how many strings are counted before the count starts again.
    passing: Cell<usize>,
    strings_left: Cell<usize>,
    /// Taken from the shared memory.
    memory: RefCell<Taken>,
    stopped: RefCell<Option<Error>>,
}

impl Gauge {
    fn check(&self) {
        if self.token.is_cancelled() {
            self.stop(Error::Cancelled);
        }
        let rows = HELD.get().max(0).cast_unsigned().saturating_mul(self.term);
        let used = rows.saturating_add(self.kept.get()).saturating_add(self.passing.get());
        if let Some(most) = self.most.filter(|most| used > *most) {
            self.stop(Error::TooMuchMemory(most));
        }
        let enough = self.memory.borrow_mut().at_least(used);
        enough.unwrap_or_else(|error| self.stop(error));
    }

    fn stop(&self, error: Error) {
        self.stopped.borrow_mut().get_or_insert(error);
        if cfg!(panic = "unwind") {
            panic::resume_unwind(Box::new(Stopped));
        }
    }

    fn keep(&self, bytes: usize) {
        let kept = self.kept.get();
        self.kept.set(kept.saturating_add(bytes));
        if kept / PORTION != self.kept.get() / PORTION {
            self.check();
        }
    }

    fn passes(&self, length: usize) {
        match self.strings_left.get() {
            0 => {
                self.passing.set(0);
                self.strings_left.set(self.strings);
            }
            left => self.strings_left.set(left - 1),
        }
        self.grows(length);
    }

    fn grows(&self, bytes: usize) {
        self.passing.set(self.passing.get().saturating_add(bytes));
        self.check();
    }
}

/// The payload with which an evaluation is unwound.
struct Stopped;

/// The meter of one evaluation.
pub(super) struct Meter(Rc<Gauge>);

impl Meter {
    /// `variables` is the number of variables in a row, `aggregates` the number of aggregates of a group, and `strings`
    /// the most strings that an expression may hold at the same time.
    pub(super) fn new(
        token: CancellationToken,
        budget: Budget,
        variables: usize,
        aggregates: usize,
        strings: usize,
    ) -> Self {
        let memory = RefCell::new(Taken::of(budget.shared));
        Self(Rc::new(Gauge {
            token,
            most: budget.most,
            term: TERM.max(PLACE * variables).max(STATE * aggregates),
            strings,
            held: Cell::default(),
            kept: Cell::default(),
            passing: Cell::default(),
            strings_left: Cell::new(strings),
            memory,
            stopped: RefCell::default(),
        }))
    }

    /// Runs a part of the evaluation.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`], [`Error::TooMuchMemory`] or [`Error::MemoryInUse`] if it was ended. The data of the
    /// evaluation must then be dropped without being used.
    pub(super) fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let entered = Entered::new(&self.0);
        let result = panic::catch_unwind(AssertUnwindSafe(work));
        drop(entered);
        let stopped = self.0.stopped.take();
        match result {
            Ok(value) => stopped.map_or(Ok(value), Err),
            Err(payload) if payload.is::<Stopped>() => Err(stopped.unwrap_or(Error::Cancelled)),
            Err(payload) => panic::resume_unwind(payload),
        }
    }
}

/// Counts the work of this thread until it is dropped.
struct Entered {
    outer: Option<Rc<Gauge>>,
    outer_held: isize,
}

impl Entered {
    fn new(gauge: &Rc<Gauge>) -> Self {
        let outer = CURRENT.replace(Some(Rc::clone(gauge)));
        Self { outer, outer_held: HELD.replace(gauge.held.get()) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let held = HELD.replace(self.outer_held);
        if let Some(gauge) = CURRENT.replace(self.outer.take()) {
            gauge.held.set(held);
        }
    }
}
