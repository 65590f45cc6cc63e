//! The public API: stores, batches and administration, for threads and for tasks.

pub(crate) mod admin;
pub(crate) mod asynchronous;
pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod copying;
pub(crate) mod opening;
pub(crate) mod reads;
pub(crate) mod shipping;
pub(crate) mod store;
pub(crate) mod verify;
pub(crate) mod watch;
