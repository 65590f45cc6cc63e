//! The container, and how it is read and written: bytes, space, log, index, large values. This module knows nothing
//! of an open store.

pub(crate) mod blob;
pub(crate) mod catalog;
pub(crate) mod compress;
pub(crate) mod device;
pub(crate) mod error;
pub(crate) mod format;
pub(crate) mod log;
pub(crate) mod memtable;
pub(crate) mod pages;
pub(crate) mod planted;
pub(crate) mod segments;
pub(crate) mod sync_point;
pub(crate) mod tree;
pub(crate) mod turns;
