//! The striped locks whose callers are threads, over any raw lock.

pub(crate) mod batch;
mod faces;
pub(crate) mod guard;
pub(crate) mod held;
pub(crate) mod holding;
pub(crate) mod lock;
pub(crate) mod multi;
pub(crate) mod mutex;
pub mod raw;
pub(crate) mod reentrant;
pub(crate) mod rwlock;
pub(crate) mod sealed;
pub(crate) mod session;
#[cfg(feature = "stats")]
pub(crate) mod stats;
pub(crate) mod stripe;
mod take;
mod watch;
