//! Batches of writes, awaited.

use std::ops::RangeBounds;

use crate::container::error::Result;
use crate::engine::operation::{Condition, Writes};
use crate::faces::asynchronous::AsyncVde;

/// The async counterpart of [`Batch`](crate::Batch).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
/// let store = vde_store::Vde::in_memory()?.to_async();
/// let mut batch = store.batch();
/// batch.put("a", "1").delete("b");
/// batch.commit().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct AsyncBatch {
    pub(super) store: AsyncVde,
    pub(super) writes: Writes,
}

impl AsyncBatch {
    /// Adds a put.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.to_async().batch();
    /// batch.put("k", "v");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.writes.put(key, value);
        self
    }

    /// Adds a deletion.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.to_async().batch();
    /// batch.delete("k");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> &mut Self {
        self.writes.delete(key);
        self
    }

    /// As [`Batch::delete_range`](crate::Batch::delete_range).
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.to_async().batch();
    /// batch.delete_range("a".."c");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete_range<K: AsRef<[u8]>>(&mut self, range: impl RangeBounds<K>) -> &mut Self {
        self.writes.delete_range(&range);
        self
    }

    /// As [`Batch::delete_prefix`](crate::Batch::delete_prefix).
    ///
    /// # Examples
    ///
    /// ```
    /// let mut batch = vde_store::Vde::in_memory()?.to_async().batch();
    /// batch.delete_prefix("user/");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn delete_prefix(&mut self, prefix: impl AsRef<[u8]>) -> &mut Self {
        self.writes.delete_prefix(prefix.as_ref());
        self
    }

    /// As [`Batch::require`](crate::Batch::require).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// use vde_store::{Condition, Vde};
    ///
    /// let mut batch = Vde::in_memory()?.to_async().batch();
    /// batch.require("k", Condition::Present).put("k", "v");
    /// assert!(batch.commit().await.is_err());
    /// # Ok(()) }
    /// ```
    pub fn require(&mut self, key: impl AsRef<[u8]>, condition: Condition) -> &mut Self {
        self.writes.require(key, condition);
        self
    }

    /// As [`Batch::commit`](crate::Batch::commit).
    ///
    /// # Errors
    ///
    /// As [`Batch::commit`](crate::Batch::commit).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it resolves, the batch is written whole or not at all.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let mut batch = vde_store::Vde::in_memory()?.to_async().batch();
    /// batch.put("k", "v");
    /// batch.commit().await?;
    /// # Ok(()) }
    /// ```
    pub async fn commit(self) -> Result<u64> {
        self.store.write(self.writes).await
    }
}
