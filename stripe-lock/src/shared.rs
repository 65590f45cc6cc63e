//! What the blocking and the async locks share: the way from a key to its stripe, sets of stripes and their order,
//! and how many stripes to choose.

pub(crate) mod atomic;
pub(crate) mod capacity;
pub(crate) mod extend;
pub(crate) mod hash;
#[cfg(feature = "std")]
pub(crate) mod mutex;
pub(crate) mod owners;
pub(crate) mod pair;
#[cfg(feature = "std")]
pub(crate) mod spin;
pub(crate) mod stripe_set;
pub(crate) mod striped;
#[cfg(feature = "std")]
pub(crate) mod threads;
pub(crate) mod waits;
