//! Keys whose hash changes, or panics.

use std::cell::Cell;
use std::hash::{Hash, Hasher};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// A key with another hash at each call.
#[derive(PartialEq, Eq)]
pub(crate) struct Fickle;

impl Hash for Fickle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        CALLS.set(CALLS.get() + 1);
        state.write_u64(CALLS.get());
    }
}

/// Panics when it is hashed.
pub(crate) struct Explosive;

impl Hash for Explosive {
    fn hash<H: Hasher>(&self, _: &mut H) {
        panic!("no hash");
    }
}
