//! When a write is acknowledged.

/// When a write is acknowledged.
///
/// # Examples
///
/// ```
/// use triple_store::{Durability, TripleStoreOptions};
///
/// let options = TripleStoreOptions::new().durability(Durability::Buffered);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Once it survives a power failure: the log is synced. One sync serves all waiting writers.
    #[default]
    Sync,
    /// Once it is in the log's buffer in memory. The buffer is synced within 100 ms, unless the engine's options say
    /// otherwise. If the power fails or the process is killed before that, the last transactions may be lost: whole
    /// transactions, and only from the end. [`TripleStore::flush`](crate::TripleStore::flush) makes everything before
    /// it durable.
    Buffered,
    /// Once it is synced, and whoever ships the store has reported that it is in the other place, too: see
    /// [`Vde::shipping`](vde_store::Vde::shipping). Readers see it then, and not before. While the other place cannot be
    /// reached, writes wait. If nobody ships the store, or the shipper ends, the write fails, and the store accepts no more
    /// writes until it is opened again.
    Shipped,
}
