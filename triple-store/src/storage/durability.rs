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
}
