//! Reading, awaited.

use std::future::poll_fn;
use std::ops::RangeBounds;
use std::pin::Pin;

use futures_core::Stream;

use crate::container::error::Result;
use crate::container::format::MAX_RECORD_VALUE;
use crate::container::log::watchers::Watch;
use crate::container::turns;
use crate::engine::entries::Entries;
use crate::engine::entry::Entry;
use crate::engine::layers::Got;
use crate::engine::shared::Shared;
use crate::engine::value::{Metadata, Value, ValueReader};
use crate::engine::view::{ReadView, check_key, ends};
use crate::faces::asynchronous::AsyncVde;
#[cfg(doc)]
use crate::faces::store::Vde;

#[allow(
    clippy::unused_async,
    reason = "a method is async if its blocking counterpart may wait, now or in a later version"
)]
impl AsyncVde {
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

    /// As [`Vde::watch`]. The changes are a [`Stream`], and also an iterator that blocks. If
    /// both `Iterator` and a `StreamExt` are in scope, name the trait in calls like `.next()`: `StreamExt::next(&mut
    /// changes)`.
    ///
    /// # Errors
    ///
    /// As [`Vde::watch`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// use std::{future::poll_fn, pin::pin};
    /// use futures_core::Stream;
    ///
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// let (_, changes) = store.watch().await?;
    /// store.put("k", "v").await?;
    /// let mut changes = pin!(changes);
    /// let change = poll_fn(|cx| changes.as_mut().poll_next(cx)).await.unwrap()?;
    /// assert_eq!(*change.key, *b"k");
    /// # Ok(()) }
    /// ```
    pub async fn watch(&self) -> Result<(ReadView, Watch)> {
        self.elsewhere(Shared::watch).await
    }

    /// As [`Vde::get`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert_eq!(vde_store::Vde::in_memory()?.to_async().get("k").await?, None);
    /// # Ok(()) }
    /// ```
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        turns::done_at_once(turns::READ).await;
        let key = key.as_ref();
        check_key(key)?;
        match self.store.shared().with_layers(|layers, horizon| layers.get_short(key, horizon))? {
            Got::Whole(bytes) => Ok(bytes),
            Got::Long(_) => {
                let key = key.to_vec();
                self.elsewhere(move |shared| shared.with_layers(|layers, horizon| layers.get(&key, horizon)))
                    .await
            }
        }
    }

    /// As [`Vde::value`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert_eq!(vde_store::Vde::in_memory()?.to_async().value("k").await?, None);
    /// # Ok(()) }
    /// ```
    pub async fn value(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        turns::done_at_once(turns::READ).await;
        let key = key.as_ref();
        check_key(key)?;
        let view = self.store.read_view();
        let Some(stored) = view.layers.find(key, view.horizon)? else { return Ok(None) };
        if stored.len <= MAX_RECORD_VALUE as u64 {
            return view.layers.value(key, &stored).map(Some);
        }
        let key = key.to_vec();
        self.elsewhere(move |_| view.layers.value(&key, &stored).map(Some)).await
    }

    /// As [`Vde::get_range`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert_eq!(vde_store::Vde::in_memory()?.to_async().get_range("k", ..9).await?, None);
    /// # Ok(()) }
    /// ```
    pub async fn get_range(
        &self,
        key: impl AsRef<[u8]>,
        range: impl RangeBounds<u64>,
    ) -> Result<Option<Vec<u8>>> {
        turns::done_at_once(turns::READ).await;
        let (key, (from, to)) = (key.as_ref(), ends(&range));
        check_key(key)?;
        let view = self.store.read_view();
        let Some(stored) = view.layers.find(key, view.horizon)? else { return Ok(None) };
        if to.min(stored.len).saturating_sub(from) <= MAX_RECORD_VALUE as u64 {
            return view.layers.range(key, &stored, from, to).map(Some);
        }
        let key = key.to_vec();
        self.elsewhere(move |_| view.layers.range(&key, &stored, from, to).map(Some)).await
    }

    /// As [`Vde::reader`]. The reader also implements [`AsyncRead`](futures_io::AsyncRead) and
    /// [`AsyncSeek`](futures_io::AsyncSeek).
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert!(vde_store::Vde::in_memory()?.to_async().reader("k").await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn reader(&self, key: impl AsRef<[u8]>) -> Result<Option<ValueReader>> {
        turns::done_at_once(turns::READ).await;
        self.store.reader(key)
    }

    /// As [`Vde::contains`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert!(!vde_store::Vde::in_memory()?.to_async().contains("k").await?);
    /// # Ok(()) }
    /// ```
    pub async fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        turns::done_at_once(turns::READ).await;
        self.store.contains(key)
    }

    /// As [`Vde::metadata`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert_eq!(vde_store::Vde::in_memory()?.to_async().metadata("k").await?, None);
    /// # Ok(()) }
    /// ```
    pub async fn metadata(&self, key: impl AsRef<[u8]>) -> Result<Option<Metadata>> {
        turns::done_at_once(turns::READ).await;
        let key = key.as_ref();
        check_key(key)?;
        let view = self.store.read_view();
        let Some(change) = view.layers.change(key, view.horizon)? else { return Ok(None) };
        let Some(stored) = change.stored.clone() else { return Ok(None) };
        if stored.origin.is_some() {
            return view.layers.metadata(key, &change, &stored).map(Some);
        }
        // The search for the creation time visits earlier values, and there may be many of them.
        let key = key.to_vec();
        self.elsewhere(move |_| view.layers.metadata(&key, &change, &stored).map(Some)).await
    }

    /// As [`Vde::list`]. The entries are a [`Stream`], and also an iterator that blocks, in
    /// both orders. If both `Iterator` and a `StreamExt` are in scope, name the trait in calls like `.next()`:
    /// `StreamExt::next(&mut entries)`.
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
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Entries {
        self.store.range(range)
    }

    /// As [`Vde::first`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert!(vde_store::Vde::in_memory()?.to_async().first().await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn first(&self) -> Result<Option<Entry>> {
        next(self.list("")).await
    }

    /// As [`Vde::last`].
    ///
    /// # Errors
    ///
    /// As [`Vde::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// assert!(vde_store::Vde::in_memory()?.to_async().last().await?.is_none());
    /// # Ok(()) }
    /// ```
    pub async fn last(&self) -> Result<Option<Entry>> {
        next(self.list("").reversed()).await
    }
}

async fn next(mut entries: Entries) -> Result<Option<Entry>> {
    poll_fn(|cx| Pin::new(&mut entries).poll_next(cx)).await.transpose()
}
