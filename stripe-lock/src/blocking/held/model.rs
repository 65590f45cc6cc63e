//! The record alone, for its models.

use std::panic::Location;

use super::list::give_mine_back;
use super::on::{Held, SetId};
use crate::blocking::raw::Access;

const SET: SetId = SetId::of_model();
const STRIPES: usize = 64;

/// A guard of one stripe of a set, in the record of the thread that made it, until it is dropped.
#[derive(Debug)]
pub struct Noted(Held);

impl Noted {
    /// Notes a guard.
    #[track_caller]
    pub fn new(stripe: usize) -> Self {
        Self(SET.record_one(stripe, STRIPES, Access::Exclusive))
    }

    /// Changes the mode of the guard.
    #[must_use]
    pub fn shared(self) -> Self {
        Self(self.0.held_as(Access::Shared))
    }
}

/// Whether this thread may wait for a stripe.
#[must_use]
pub fn may_wait_for(stripe: usize) -> bool {
    SET.may_wait_for(stripe, STRIPES)
}

/// Where a holder of a stripe was noted.
pub fn holder_of(stripe: usize) -> Option<&'static Location<'static>> {
    SET.holder_of(stripe)
}

/// To be called at the end of each thread that has noted a guard. Loom runs the destructors of a thread when it is too late.
pub fn end_of_thread() {
    give_mine_back();
}
