//! What an open store does: writes, reads, checkpoints, collection, recovery. This module knows nothing of its
//! callers.

pub(crate) mod checkpoint;
pub(crate) mod collect;
pub(crate) mod cursor;
pub(crate) mod entries;
pub(crate) mod entry;
pub(crate) mod giving_back;
pub(crate) mod layers;
pub(crate) mod ledger;
pub(crate) mod maintain;
pub(crate) mod operation;
pub(crate) mod options;
pub(crate) mod page_writer;
pub(crate) mod records;
pub(crate) mod recovery;
pub(crate) mod salvage;
pub(crate) mod shared;
pub(crate) mod shipping;
pub(crate) mod space;
pub(crate) mod stripes;
pub(crate) mod updating;
pub(crate) mod value;
pub(crate) mod view;
pub(crate) mod watching;
pub(crate) mod writes;
