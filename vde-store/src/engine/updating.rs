//! The stores that this thread is updating. A write to such a store would wait for its own stripe.

use std::cell::RefCell;

use crate::container::error::{Error, Result};
use crate::engine::shared::Shared;

thread_local! {
    /// The addresses of the stores, the innermost update last.
    static UPDATING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Exists while the closure of an update runs.
pub(crate) struct Updating;

impl Drop for Updating {
    fn drop(&mut self) {
        UPDATING.with_borrow_mut(Vec::pop);
    }
}

impl Shared {
    pub(crate) fn begin_updating(&self) -> Updating {
        UPDATING.with_borrow_mut(|updating| updating.push(std::ptr::from_ref(self).addr()));
        Updating
    }

    /// Fails inside an update of this store.
    pub(crate) fn check_not_updating(&self) -> Result<()> {
        let is_updating =
            UPDATING.with_borrow(|updating| updating.contains(&std::ptr::from_ref(self).addr()));
        if is_updating { Err(Error::InsideUpdate) } else { Ok(()) }
    }
}
