//! Planted bugs, to test the tests: a test that does not find a planted bug would not find a real one. Outside of unit
//! tests there are none, and asking for one costs nothing.

/// A deliberate bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// A new term gets a number although a checkpoint may have moved the term since it was searched.
    TrustOldArchive,
    /// Two terms with the same hash are the same term.
    TrustHash,
    /// The hashes of the index of terms have 4 bits. This alone is no bug.
    ShortHash,
    /// A record does not have the terms that are spilled.
    OmitSpilled,
    /// A bulk change makes no spilled terms durable.
    LoseSpilled,
    /// All terms become durable, also those of refused documents.
    KeepRefused,
    /// A scan ends where a chunk can't be read.
    SwallowError,
    /// A bulk change does not look at the delta.
    ForgetDelta,
    /// Of a graph that is copied, changes that come meanwhile are not copied.
    ForgetCopies,
    /// A copy is what its original was when it was copied.
    TrustCopies,
    /// A transaction does not notice that a bulk change came after its reads.
    ForgetRewrite,
    /// A sweep does not wait for the operations that began before it.
    SweepAtOnce,
    /// A sweep does not record the terms that are found during it.
    ForgetFound,
    /// A term that was found stays, although a sweep may have ended since.
    TrustFound,
    /// A sweep does not record the quads of a delta that a checkpoint merges during it.
    ForgetMerged,
    /// A sweep does not record the quads of a bulk change that is published during it.
    ForgetLoaded,
    /// A sweep does not record the terms of the commits after the last checkpoint.
    ForgetCommits,
    /// A sweep does not record the parts of the terms in memory.
    ForgetParts,
}

#[cfg(not(test))]
pub(crate) const fn has(_: Bug) -> bool {
    false
}

#[cfg(not(test))]
pub(crate) const fn meanwhile() {}

#[cfg(test)]
pub(crate) use tests::{has, meanwhile, plant, set_meanwhile};

#[cfg(test)]
mod tests {
    use super::Bug;
    use std::cell::{Cell, RefCell};

    type Action = Box<dyn FnOnce()>;

    thread_local! {
        static PLANTED: RefCell<Vec<Bug>> = const { RefCell::new(Vec::new()) };
        static MEANWHILE: Cell<Option<Action>> = const { Cell::new(None) };
    }

    /// Whether this thread has the bug.
    pub(crate) fn has(bug: Bug) -> bool {
        PLANTED.with_borrow(|planted| planted.contains(&bug))
    }

    /// Plants a bug in what this thread does.
    pub(crate) fn plant(bug: Bug) {
        PLANTED.with_borrow_mut(|planted| planted.push(bug));
    }

    /// Runs once, after the next search for a term, as if another thread did.
    pub(crate) fn set_meanwhile(action: impl FnOnce() + 'static) {
        MEANWHILE.set(Some(Box::new(action)));
    }

    pub(crate) fn meanwhile() {
        if let Some(action) = MEANWHILE.take() {
            action();
        }
    }
}
