//! How changes become visible and what readers see: the write path, recent quads, merges, and views.

pub(crate) mod bulk;
pub(crate) mod commit;
pub(crate) mod compact;
pub(crate) mod core;
pub(crate) mod count;
pub(crate) mod dead_terms;
pub(crate) mod delta;
pub(crate) mod graphs;
pub(crate) mod merge;
pub(crate) mod options;
pub(crate) mod repair;
pub(crate) mod salvage;
pub(crate) mod source;
pub(crate) mod view;
