//! The log, which is also the value store: one sequence of checksummed units through the container's segments.
//!
//! A writer copies its records into the open unit under one short mutex ([`writer`]), puts them into the memtable in
//! parallel with other writers, and has them published in the order of the log ([`publication`]). A leader writes and
//! syncs the gathered records, for all waiting writers ([`commit`]). Recovery reads the log back ([`reader`]).

pub(crate) mod commit;
mod noted;
mod publication;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod unit;
pub(crate) mod watchers;
pub(crate) mod writer;
