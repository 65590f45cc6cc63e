//! Operations that always take long, on the thread pool of the crate `blocking`.

use std::path::Path;

use blocking::unblock;

use crate::container::error::Result;
use crate::engine::view::ReadView;
use crate::faces::admin::{Health, Snapshot, Stats};
use crate::faces::asynchronous::AsyncVde;
use crate::faces::verify::{Progress, Report};

impl AsyncVde {
    /// As [`Vde::close`](crate::Vde::close).
    ///
    /// # Errors
    ///
    /// As [`Vde::close`](crate::Vde::close).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after the work has begun, the work is finished. If it is dropped before, the handle
    /// is dropped too, and dropping the last handle closes the store.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.close().await?;
    /// # Ok(()) }
    /// ```
    pub async fn close(self) -> Result<()> {
        unblock(move || self.store.close()).await
    }

    /// As [`Vde::checkpoint`](crate::Vde::checkpoint).
    ///
    /// # Errors
    ///
    /// As [`Vde::checkpoint`](crate::Vde::checkpoint).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the work has begun, the work is not done. Work that has begun is finished.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.checkpoint().await?;
    /// # Ok(()) }
    /// ```
    pub async fn checkpoint(&self) -> Result<()> {
        let store = self.store.clone();
        unblock(move || store.checkpoint()).await
    }

    /// As [`Vde::try_resume`](crate::Vde::try_resume).
    ///
    /// # Errors
    ///
    /// As [`Vde::try_resume`](crate::Vde::try_resume).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the work has begun, the work is not done. Work that has begun is finished.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.try_resume().await?;
    /// # Ok(()) }
    /// ```
    pub async fn try_resume(&self) -> Result<()> {
        let store = self.store.clone();
        unblock(move || store.try_resume()).await
    }

    /// As [`Vde::compact`](crate::Vde::compact).
    ///
    /// # Errors
    ///
    /// As [`Vde::checkpoint`](crate::Vde::checkpoint).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the work has begun, the work is not done. Work that has begun is finished.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.compact().await?;
    /// # Ok(()) }
    /// ```
    pub async fn compact(&self) -> Result<u64> {
        let store = self.store.clone();
        unblock(move || store.compact()).await
    }

    /// As [`Vde::stats`](crate::Vde::stats).
    ///
    /// # Errors
    ///
    /// As [`Vde::stats`](crate::Vde::stats).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// assert_eq!(store.stats().await?.writes, 0);
    /// # Ok(()) }
    /// ```
    pub async fn stats(&self) -> Result<Stats> {
        let store = self.store.clone();
        unblock(move || store.stats()).await
    }

    /// As [`Vde::health`](crate::Vde::health).
    ///
    /// # Errors
    ///
    /// As [`Vde::stats`](crate::Vde::stats).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.health().await?;
    /// # Ok(()) }
    /// ```
    pub async fn health(&self) -> Result<Health> {
        let store = self.store.clone();
        unblock(move || store.health()).await
    }

    /// As [`Vde::list_snapshots`](crate::Vde::list_snapshots).
    ///
    /// # Errors
    ///
    /// None. It returns a `Result` so that all long operations have the same form.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// assert!(store.list_snapshots().await?.is_empty());
    /// # Ok(()) }
    /// ```
    pub async fn list_snapshots(&self) -> Result<Vec<Snapshot>> {
        let store = self.store.clone();
        unblock(move || Ok(store.list_snapshots())).await
    }

    /// As [`Vde::snapshot`](crate::Vde::snapshot).
    ///
    /// # Errors
    ///
    /// As [`Vde::snapshot`](crate::Vde::snapshot).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the work has begun, the work is not done. Work that has begun is finished.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.snapshot("monday").await?;
    /// # Ok(()) }
    /// ```
    pub async fn snapshot(&self, name: &str) -> Result<Snapshot> {
        let (store, name) = (self.store.clone(), name.to_owned());
        unblock(move || store.snapshot(&name)).await
    }

    /// As [`Vde::delete_snapshot`](crate::Vde::delete_snapshot).
    ///
    /// # Errors
    ///
    /// As [`Vde::delete_snapshot`](crate::Vde::delete_snapshot).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the work has begun, the work is not done. Work that has begun is finished.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// assert!(store.delete_snapshot("monday").await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn delete_snapshot(&self, name: &str) -> Result<()> {
        let (store, name) = (self.store.clone(), name.to_owned());
        unblock(move || store.delete_snapshot(&name)).await
    }

    /// As [`Vde::open_snapshot`](crate::Vde::open_snapshot).
    ///
    /// # Errors
    ///
    /// As [`Vde::open_snapshot`](crate::Vde::open_snapshot).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// assert!(store.open_snapshot("monday").await.is_err());
    /// # Ok(()) }
    /// ```
    pub async fn open_snapshot(&self, name: &str) -> Result<ReadView> {
        let (store, name) = (self.store.clone(), name.to_owned());
        unblock(move || store.open_snapshot(&name)).await
    }

    /// As [`Vde::backup`](crate::Vde::backup).
    ///
    /// # Errors
    ///
    /// As [`Vde::backup`](crate::Vde::backup).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the work has begun, the work is not done. Work that has begun is finished.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// let dir = tempfile::tempdir().unwrap();
    /// store.backup(dir.path().join("copy.vde")).await?;
    /// # Ok(()) }
    /// ```
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<u64> {
        let (store, path) = (self.store.clone(), path.as_ref().to_owned());
        unblock(move || store.backup(path)).await
    }

    /// As [`Vde::verify`](crate::Vde::verify); `progress` is called on the pool's thread.
    ///
    /// # Errors
    ///
    /// As [`Vde::verify`](crate::Vde::verify).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the work has begun, the work is not done. Work that has begun is finished.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// assert!(store.verify(|_| {}).await?.is_clean());
    /// # Ok(()) }
    /// ```
    pub async fn verify(&self, progress: impl FnMut(Progress) + Send + 'static) -> Result<Report> {
        let store = self.store.clone();
        unblock(move || store.verify(progress)).await
    }
}
