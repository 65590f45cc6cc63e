//! The public interface: the store, its transactions and snapshots, loading and dumping.

pub(crate) mod compact;
pub(crate) mod dump;
pub(crate) mod load;
pub(crate) mod namespaces;
pub(crate) mod opening;
pub(crate) mod salvage;
pub(crate) mod snapshot;
pub(crate) mod stats;
pub(crate) mod store;
pub(crate) mod transaction;
pub(crate) mod verify;
