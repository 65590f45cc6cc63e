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
    /// Once it would survive a power cut: the log is synced, one sync for all that wait together.
    #[default]
    Sync,
    /// Once it is in the log, which is in memory and synced within a tenth of a second, unless the engine's options say
    /// otherwise. A power cut or a kill of the process before that may lose the last writes, whole transactions and in their
    /// order; [`TripleStore::flush`](crate::TripleStore::flush) makes everything before it durable.
    Buffered,
}
