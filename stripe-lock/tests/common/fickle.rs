//! A key whose hash changes.

use std::cell::Cell;
use std::hash::{Hash, Hasher};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Hashes to something else with each call.
#[derive(PartialEq, Eq)]
pub(crate) struct Fickle;

impl Hash for Fickle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        CALLS.set(CALLS.get() + 1);
        state.write_u64(CALLS.get());
    }
}
