//! Writes, awaited.

use std::future::poll_fn;
use std::io;
use std::ops::RangeBounds;
use std::pin::Pin;

use futures_io::AsyncRead;

use crate::container::error::{Error, Result};
use crate::container::format::MAX_RECORD_VALUE;
use crate::engine::operation::Writes;
use crate::engine::shared::Shared;
use crate::engine::value::{UserMetadata, Value, encode_user};
use crate::engine::writes::PreparedValue;
use crate::faces::asynchronous::{AsyncBatch, AsyncVde};
#[cfg(doc)]
use crate::faces::store::Vde;

impl AsyncVde {
    /// As [`Vde::put`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the write may or may not happen.
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
    pub async fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<u64> {
        let (key, value) = (key.as_ref(), value.as_ref());
        if value.len() > MAX_RECORD_VALUE {
            // Copying a long value in one poll would take too long.
            return self.put_with(key, value, &UserMetadata::new()).await;
        }
        self.put_record(key, value, Vec::new()).await
    }

    async fn put_record(&self, key: &[u8], value: &[u8], user: Vec<u8>) -> Result<u64> {
        let durability = self.store.durability();
        let seq = if let Some(seq) = self.store.shared().try_put(key, value, &user, durability)? {
            seq
        } else {
            let (key, value) = (key.to_vec(), value.to_vec());
            self.elsewhere(move |shared| shared.put(&key, &value, &user, durability)).await?
        };
        self.acknowledge(seq).await?;
        Ok(seq)
    }

    /// As [`Vde::put_with`], with the bytes of a [`futures_io::AsyncRead`]. `tokio_util::compat` converts readers of
    /// tokio. A value that is too long for a log record is written on the pool, 1 MiB at a time.
    ///
    /// # Errors
    ///
    /// As [`Vde::put_with`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the source has ended, nothing is stored, and the space is freed. If it is
    /// dropped later, the write may or may not happen.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.put("a", "copied").await?;
    /// let reader = store.reader("a").await?.unwrap();
    /// store.put_with("b", reader, &Default::default()).await?;
    /// assert_eq!(store.get("b").await?.unwrap(), b"copied");
    /// # Ok(()) }
    /// ```
    pub async fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        source: impl AsyncRead,
        user: &UserMetadata,
    ) -> Result<u64> {
        let mut source = std::pin::pin!(source);
        let (key, user, shared) = (key.as_ref(), encode_user(user), self.store.shared());
        shared.check_delete(key)?;
        if shared.is_throttled() || shared.must_prepare() {
            let (key, user) = (key.to_vec(), user.clone());
            self.elsewhere(move |shared: &Shared| shared.admit(&key, &user)).await?;
        } else {
            shared.check_write(key, &user)?;
        }
        let mut start = vec![0; MAX_RECORD_VALUE + 1];
        let len = fill(source.as_mut(), &mut start).await?;
        if len <= MAX_RECORD_VALUE {
            return self.put_record(key, &start[..len], user).await;
        }
        let mut pending = shared.pending();
        let mut piece = pending.piece();
        piece[..len].copy_from_slice(&start);
        let mut held = len;
        loop {
            held += fill(source.as_mut(), &mut piece[held..]).await?;
            let is_last = held < piece.len();
            if held > 0 {
                let push = move |shared: &Shared| {
                    let pushed = shared.noting_blob_failure(pending.push(&mut piece, held));
                    pushed.map(|()| (pending, piece))
                };
                (pending, piece) = self.elsewhere(push).await?;
            }
            if is_last {
                break;
            }
            held = 0;
        }
        let (key, durability) = (key.to_vec(), self.store.durability());
        let log = move |shared: &Shared| {
            let map = shared.noting_blob_failure(pending.finish())?;
            shared.put_prepared(&key, PreparedValue::Blob(map, Box::new(pending)), &user, durability)
        };
        let seq = self.elsewhere(log).await?;
        self.acknowledge(seq).await?;
        Ok(seq)
    }

    /// As [`Vde::delete`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the write may or may not happen.
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
        let (key, durability) = (key.as_ref(), self.store.durability());
        let (existed, seq) = if let Some(deleted) = self.store.shared().try_delete(key, durability)? {
            deleted
        } else {
            let key = key.to_vec();
            self.elsewhere(move |shared| shared.delete(&key, durability)).await?
        };
        self.acknowledge(seq).await?;
        Ok(existed)
    }

    /// As [`Vde::update`]. `new` runs on the pool while the key's stripe is held. If comparing the old value is
    /// enough, use [`compare_and_swap`](Self::compare_and_swap), which is faster.
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the update begins, the update does not happen, and `new` does not run. An
    /// update that has begun is finished.
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
        new: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<Option<Value>> {
        let (key, durability) = (key.as_ref().to_vec(), self.store.durability());
        let (old, seq) = self.elsewhere(move |shared| shared.modify(&key, durability, new)).await?;
        self.acknowledge(seq).await?;
        Ok(old)
    }

    /// As [`Vde::compare_and_swap`]. Values longer than 64 KiB are first copied, on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the write may or may not happen.
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
        let (key, durability) = (key.as_ref(), self.store.durability());
        let swapped = self.store.shared().try_swap(key, expected, new, durability)?;
        let (swapped, seq) = if let Some(swapped) = swapped {
            swapped
        } else {
            let (key, expected, new) = (key.to_vec(), expected.map(<[u8]>::to_vec), new.map(<[u8]>::to_vec));
            let swap =
                move |shared: &Shared| shared.swap(&key, expected.as_deref(), new.as_deref(), durability);
            self.elsewhere(swap).await?
        };
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

    /// Makes the writes of a batch, and returns the version of the last one.
    pub(super) async fn write(&self, writes: Writes) -> Result<u64> {
        let durability = self.store.durability();
        let mut decided = self.store.shared().write_batch(&writes, durability, false)?;
        if decided.is_none() {
            decided = self.elsewhere(move |shared| shared.write_batch(&writes, durability, true)).await?;
        }
        // The second attempt was allowed to wait, so it has an outcome.
        match decided {
            Some(decided) => {
                self.acknowledge(decided.seq).await?;
                decided.outcome()
            }
            None => Ok(0),
        }
    }

    /// As [`Vde::delete_range`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the write may or may not happen.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.put("k", "v").await?;
    /// store.delete_range("a".."z").await?;
    /// assert!(!store.contains("k").await?);
    /// # Ok(()) }
    /// ```
    pub async fn delete_range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<()> {
        let mut writes = Writes::default();
        writes.delete_range(&range);
        self.write(writes).await.map(drop)
    }

    /// As [`Vde::delete_prefix`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the write may or may not happen.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.put("k", "v").await?;
    /// store.delete_prefix("k").await?;
    /// assert!(!store.contains("k").await?);
    /// # Ok(()) }
    /// ```
    pub async fn delete_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<()> {
        let mut writes = Writes::default();
        writes.delete_prefix(prefix.as_ref());
        self.write(writes).await.map(drop)
    }

    /// As [`Vde::clear`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after its first poll, the write may or may not happen.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> vde_store::Result<()> {
    /// let store = vde_store::Vde::in_memory()?.to_async();
    /// store.put("k", "v").await?;
    /// store.clear().await?;
    /// assert!(!store.contains("k").await?);
    /// # Ok(()) }
    /// ```
    pub async fn clear(&self) -> Result<()> {
        let mut writes = Writes::default();
        writes.delete_prefix(b"");
        self.write(writes).await.map(drop)
    }
}

/// Reads until `buffer` is full or the source ends.
async fn fill(mut source: Pin<&mut impl AsyncRead>, buffer: &mut [u8]) -> Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match poll_fn(|cx| source.as_mut().poll_read(cx, &mut buffer[len..])).await {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::source(e)),
        }
    }
    Ok(len)
}
