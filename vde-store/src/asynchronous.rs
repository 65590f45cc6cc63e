//! The async twins: the same engine, the same names, waiting for the disk without holding a thread.

use std::path::Path;

use crate::batch::Writes;
use crate::engine::Next;
use crate::error::Result;
use crate::options::Durability;
use crate::store::Vde;
use crate::value::{Metadata, Value};
use crate::view::{Entries, ReadView};

/// A handle whose methods are `async`; see [`Vde`], whose twin it is.
///
/// It needs no particular runtime. What is awaited is the disk: a task that waits for a durable write stands in the
/// same line as blocking writers, and the store's own committer thread syncs for it. Stripes are held for
/// microseconds and never across an await. Reads run on the calling thread; what is not in memory is read there.
///
/// # Cancel safety
///
/// Dropping the future of a write before it resolves leaves it open whether the write happens; it is never half made.
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

#[allow(
    clippy::unused_async,
    reason = "a method is async where its twin may wait, now or once the store grows"
)]
impl AsyncVde {
    /// As [`Vde::open`]. Recovery runs on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`Vde::open`].
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
        Ok(Vde::open(path)?.into())
    }

    /// As [`Vde::create`].
    ///
    /// # Errors
    ///
    /// As [`Vde::create`].
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
        Ok(Vde::create(path)?.into())
    }

    /// The blocking twin.
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

    async fn acknowledge(&self, seq: u64) -> Result<()> {
        match self.store.durability() {
            Durability::Sync => self.wait_durable(seq).await,
            Durability::Buffered => Ok(()),
        }
    }

    async fn wait_durable(&self, seq: u64) -> Result<()> {
        let shared = self.store.shared();
        shared.line.wait_async(&shared.log, seq).await
    }

    /// As [`Vde::put`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.put("k", "v").await?;
    /// # Ok(()) }
    /// ```
    pub async fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let seq = self.store.shared().put(key.as_ref(), value.as_ref(), self.store.durability())?;
        self.acknowledge(seq).await
    }

    /// As [`Vde::delete`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// assert!(!store.delete("k").await?);
    /// # Ok(()) }
    /// ```
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let (existed, seq) = self.store.shared().delete(key.as_ref(), self.store.durability())?;
        self.acknowledge(seq).await?;
        Ok(existed)
    }

    /// As [`Vde::update`]; `new` runs on the calling thread, under the key's stripe.
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.update("k", |old| Some(old.unwrap_or(b"new").to_vec())).await?;
    /// # Ok(()) }
    /// ```
    pub async fn update(
        &self,
        key: impl AsRef<[u8]>,
        new: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<Option<Value>> {
        let next = |old: Option<&[u8]>| new(old).map_or(Next::Delete, Next::Put);
        let (old, seq) = self.store.shared().modify(key.as_ref(), self.store.durability(), next)?;
        self.acknowledge(seq).await?;
        Ok(old)
    }

    /// As [`Vde::compare_and_swap`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// assert!(store.compare_and_swap("k", None, Some(b"1")).await?);
    /// # Ok(()) }
    /// ```
    pub async fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        let (swapped, seq) =
            self.store.shared().swap(key.as_ref(), expected, new, self.store.durability())?;
        self.acknowledge(seq).await?;
        Ok(swapped)
    }

    /// As [`Vde::batch`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let mut batch = vde_store::Vde::in_memory()?.to_async().batch();
    /// batch.put("a", "1").put("b", "2");
    /// batch.commit().await?;
    /// # Ok(()) }
    /// ```
    pub fn batch(&self) -> AsyncBatch {
        AsyncBatch { store: self.clone(), writes: Writes::default() }
    }

    /// As [`Vde::flush`].
    ///
    /// # Errors
    ///
    /// As [`Vde::flush`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// vde_store::Vde::in_memory()?.to_async().flush().await?;
    /// # Ok(()) }
    /// ```
    pub async fn flush(&self) -> Result<()> {
        self.wait_durable(self.store.shared().log.published()).await
    }

    /// As [`Vde::read_view`].
    ///
    /// # Examples
    ///
    /// ```
    /// let view = vde_store::Vde::in_memory()?.to_async().read_view();
    /// assert!(!view.contains("k")?);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn read_view(&self) -> ReadView {
        self.store.read_view()
    }

    /// As [`Vde::get`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert_eq!(vde_store::Vde::in_memory()?.to_async().get("k").await?, None);
    /// # Ok(()) }
    /// ```
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        self.store.get(key)
    }

    /// As [`Vde::value`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert_eq!(vde_store::Vde::in_memory()?.to_async().value("k").await?, None);
    /// # Ok(()) }
    /// ```
    pub async fn value(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.store.value(key)
    }

    /// As [`Vde::contains`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert!(!vde_store::Vde::in_memory()?.to_async().contains("k").await?);
    /// # Ok(()) }
    /// ```
    pub async fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.store.contains(key)
    }

    /// As [`Vde::metadata`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert_eq!(vde_store::Vde::in_memory()?.to_async().metadata("k").await?, None);
    /// # Ok(()) }
    /// ```
    pub async fn metadata(&self, key: impl AsRef<[u8]>) -> Result<Option<Metadata>> {
        self.store.metadata(key)
    }

    /// As [`Vde::list`]; the entries are a [`Stream`](futures_core::Stream) as well as an iterator.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// assert_eq!(store.list("").count(), 0);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn list(&self, prefix: impl AsRef<[u8]>) -> Entries {
        self.store.list(prefix)
    }

    /// As [`Vde::range`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// assert_eq!(store.range("a".."b").count(), 0);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl std::ops::RangeBounds<K>) -> Entries {
        self.store.range(range)
    }
}

/// The async twin of [`Batch`](crate::Batch).
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
    store: AsyncVde,
    writes: Writes,
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

    /// Makes all the writes as one.
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it resolves, the batch is made whole or not at all.
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
    pub async fn commit(self) -> Result<()> {
        let seq = self.writes.log(&self.store.store)?;
        self.store.acknowledge(seq).await
    }
}
