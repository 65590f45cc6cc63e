//! The async API: the same engine and the same names, but no thread blocks while it waits for the disk.

mod admin;
mod batch;
mod reads;
#[cfg(test)]
mod tests;
mod writes;

use std::path::Path;

use blocking::unblock;

use crate::container::error::Result;
use crate::container::turns;
use crate::engine::options::Durability;
use crate::engine::shared::Shared;
use crate::faces::store::Vde;

pub use batch::AsyncBatch;

/// A handle whose methods are `async`: the counterpart of [`Vde`].
///
/// It needs no particular runtime. A task that awaits a durable write waits in the same queue as blocking writers,
/// and the store's own committer thread syncs for it. Stripes are held for microseconds, and never across an await.
///
/// No poll blocks. The following operations run on the thread pool of the crate `blocking`, and the task waits for
/// them:
///
/// - a write that cannot be logged at once: its key is being updated, checkpoints lag behind, or it has more than 64
///   KiB;
/// - every [`update`](Self::update), because its closure, or the write of the new value, may take long;
/// - reading a whole value of more than 64 KiB;
/// - operations that always take long: opening, closing, checkpoints, snapshots, verify, backup, compact.
///
/// Everything else is done in the poll. It may read some pages of the index or 64 KiB of a value from the disk, if
/// the system's page cache does not have them. Iterations over many keys, readers of long values, and loops of
/// buffered writes or reads yield to other tasks from time to time: a future that has nothing to wait for may be
/// pending once. The methods of views and entries block: read a long value of an entry through its
/// [reader](crate::Entry::reader).
///
/// # Cancel safety
///
/// If the future of a write is dropped before it resolves, the write happens or not, but never in part.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
/// use vde_store::AsyncVde;
///
/// let dir = tempfile::tempdir().unwrap();
/// let store = AsyncVde::open(dir.path().join("store.vde")).await?;
/// store.put("k", "v").await?;
/// assert_eq!(store.get("k").await?.as_deref(), Some(&b"v"[..]));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AsyncVde {
    store: Vde,
}

impl From<Vde> for AsyncVde {
    fn from(store: Vde) -> Self {
        Self { store }
    }
}

impl AsyncVde {
    /// As [`Vde::open`].
    ///
    /// # Errors
    ///
    /// As [`Vde::open`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, work that has begun is finished, and then the store is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = vde_store::AsyncVde::open(dir.path().join("store.vde")).await?;
    /// # Ok(()) }
    /// ```
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        Ok(unblock(move || Vde::open(path)).await?.into())
    }

    /// As [`Vde::create`].
    ///
    /// # Errors
    ///
    /// As [`Vde::create`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, work that has begun is finished, and then the store is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = vde_store::AsyncVde::create(dir.path().join("store.vde")).await?;
    /// # Ok(()) }
    /// ```
    pub async fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        Ok(unblock(move || Vde::create(path)).await?.into())
    }

    /// The blocking counterpart of this handle.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.blocking().put("k", "v")?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn blocking(&self) -> &Vde {
        &self.store
    }

    /// As [`Vde::with_durability`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// use vde_store::{Durability, Vde};
    /// let store = Vde::in_memory()?.to_async();
    /// store.with_durability(Durability::Buffered).put("k", "v").await?;
    /// store.flush().await?;
    /// # Ok(()) }
    /// ```
    #[must_use = "it returns another handle and leaves this one as it is"]
    pub fn with_durability(&self, durability: Durability) -> Self {
        self.store.with_durability(durability).into()
    }

    /// Runs `work`, which may have to wait, on the thread pool.
    async fn elsewhere<T: Send + 'static>(&self, work: impl FnOnce(&Shared) -> T + Send + 'static) -> T {
        let store = self.store.clone();
        unblock(move || {
            #[cfg(test)]
            tests::wait_while_the_pool_is_paused();
            work(store.shared())
        })
        .await
    }

    async fn acknowledge(&self, seq: u64) -> Result<()> {
        match self.store.durability() {
            Durability::Sync => self.wait_durable(seq).await,
            Durability::Shipped => {
                self.wait_durable(seq).await?;
                self.store.shared().shipped.wait_async(seq).await
            }
            Durability::Buffered => {
                turns::done_at_once(turns::WRITE).await;
                Ok(())
            }
        }
    }

    async fn wait_durable(&self, seq: u64) -> Result<()> {
        let shared = self.store.shared();
        shared.group_commit.wait_async(&shared.log, seq).await
    }

    /// As [`Vde::durable`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// let version = store.put("k", "v").await?;
    /// assert!(version <= store.durable());
    /// # Ok(()) }
    /// ```
    pub fn durable(&self) -> u64 {
        self.store.durable()
    }

    /// As [`Vde::flush`].
    ///
    /// # Errors
    ///
    /// As [`Vde::flush`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the task leaves the queue of waiters. No write is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// vde_store::Vde::in_memory()?.to_async().flush().await?;
    /// # Ok(()) }
    /// ```
    pub async fn flush(&self) -> Result<()> {
        let published = self.store.shared().log.published();
        match self.store.durability() {
            Durability::Shipped => self.acknowledge(published).await,
            Durability::Sync | Durability::Buffered => self.wait_durable(published).await,
        }
    }
}
