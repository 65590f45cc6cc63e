//! The log, which is also the value store: one sequence of checksummed units through the container's segments.
//!
//! A writer copies its records into the open unit under one short mutex ([`writer`]), puts them into the memtable side by
//! side with others, and has them published in the order of the log ([`publication`]); a leader writes and syncs what has
//! gathered, for all who wait ([`commit`]); recovery reads it back ([`reader`]).

mod buffer;
pub(crate) mod commit;
mod publication;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod unit;
pub(crate) mod watchers;
pub(crate) mod writer;
