//! The async twins: the same engine, the same names, waiting for the disk without holding a thread.

mod admin;
mod batch;
mod reads;

use std::future::poll_fn;
use std::io;
use std::ops::RangeBounds;
use std::path::Path;
use std::pin::Pin;

use blocking::unblock;
use futures_io::AsyncRead;

use crate::batch::Writes;
use crate::error::{Error, Result};
use crate::format::MAX_RECORD_VALUE;
use crate::options::Durability;
use crate::store::Vde;
use crate::value::{UserMetadata, Value, encode_user};
use crate::writes::{Lifted, Next};

pub use batch::AsyncBatch;

/// A handle whose methods are `async`; see [`Vde`], whose twin it is.
///
/// It needs no particular runtime. What is awaited is the disk: a task that waits for a durable write stands in the
/// same line as blocking writers, and the store's own committer thread syncs for it. Stripes are held for
/// microseconds and never across an await. A put, delete or batch that cannot be logged at once, since its key is being
/// updated, its value is longer than 64 KiB, or checkpoints lag behind, is made on the thread pool of the crate `blocking`.
/// [`update`](Self::update), [`compare_and_swap`](Self::compare_and_swap) and [`put_with`](Self::put_with) wait for their
/// key on the calling thread. Reads run on the calling thread; what is not in memory is read there. What
/// takes long by nature (opening, checkpoints, snapshots, verify, backup, compact) runs on the thread pool of the crate
/// `blocking` too.
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

impl AsyncVde {
    /// As [`Vde::open`].
    ///
    /// # Errors
    ///
    /// As [`Vde::open`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, the work goes on where it has begun, and the store is closed at its end.
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
    /// Dropped, the work goes on where it has begun, and the store is closed at its end.
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
    /// # Cancel safety
    ///
    /// Dropped after it was first polled, it leaves the write in the log, whether that is durable yet or not.
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
        let (key, value) = (key.as_ref(), value.as_ref());
        let durability = self.store.durability();
        if let Some(seq) = self.store.shared().try_put(key, value, durability)? {
            return self.acknowledge(seq).await;
        }
        let (store, key, value) = (self.store.clone(), key.to_vec(), value.to_vec());
        unblock(move || store.put(key, value)).await
    }

    /// As [`Vde::put_with`], of what an async reader yields: a [`futures_io::AsyncRead`], which `tokio_util::compat` makes
    /// of tokio's. The pages of a value too long for a log record are written
    /// on the calling thread, a mebibyte at a time.
    ///
    /// # Errors
    ///
    /// As [`Vde::put_with`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before the source has ended, nothing is stored and the space is free again.
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
    ) -> Result<()> {
        let mut source = std::pin::pin!(source);
        let (key, user, shared) = (key.as_ref(), encode_user(user), self.store.shared());
        shared.admit(key, &user)?;
        let mut start = vec![0; MAX_RECORD_VALUE + 1];
        let len = fill(source.as_mut(), &mut start).await?;
        let value = if len <= MAX_RECORD_VALUE {
            Lifted::Bytes(&start[..len])
        } else {
            let mut unborn = shared.unborn();
            let mut piece = unborn.piece();
            piece[..len].copy_from_slice(&start);
            let mut held = len;
            loop {
                held += fill(source.as_mut(), &mut piece[held..]).await?;
                if held > 0 {
                    shared.noting_blob_failure(unborn.push(&mut piece, held))?;
                }
                if held < piece.len() {
                    break;
                }
                held = 0;
            }
            let map = shared.noting_blob_failure(unborn.finish())?;
            Lifted::Blob(map, Box::new(unborn))
        };
        let seq = shared.put_lifted(key, value, &user, self.store.durability())?;
        self.acknowledge(seq).await
    }

    /// As [`Vde::delete`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after it was first polled, it leaves the write in the log, whether that is durable yet or not.
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
        let key = key.as_ref();
        if let Some((existed, seq)) = self.store.shared().try_delete(key, self.store.durability())? {
            self.acknowledge(seq).await?;
            return Ok(existed);
        }
        let (store, key) = (self.store.clone(), key.to_vec());
        unblock(move || store.delete(key)).await
    }

    /// As [`Vde::update`]; `new` runs on the calling thread, under the key's stripe.
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// What decides runs when it is first polled, and once. Dropped after it was first polled, it leaves the write in the log, whether that is durable yet or not.
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
    /// # Cancel safety
    ///
    /// What decides runs when it is first polled, and once. Dropped after it was first polled, it leaves the write in the log, whether that is durable yet or not.
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

    async fn write(&self, writes: Writes) -> Result<()> {
        let (shared, durability) = (self.store.shared(), self.store.durability());
        if let Some(decided) = shared.write_batch(&writes, durability, false)? {
            self.acknowledge(decided.seq).await?;
            return decided.outcome();
        }
        let store = self.store.clone();
        unblock(move || store.write(&writes)).await
    }

    /// As [`Vde::delete_range`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after it was first polled, it leaves the write in the log, whether that is durable yet or not.
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
        self.write(writes).await
    }

    /// As [`Vde::delete_prefix`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after it was first polled, it leaves the write in the log, whether that is durable yet or not.
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
        self.write(writes).await
    }

    /// As [`Vde::clear`].
    ///
    /// # Errors
    ///
    /// As [`Vde::put`].
    ///
    /// # Cancel safety
    ///
    /// Dropped after it was first polled, it leaves the write in the log, whether that is durable yet or not.
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
        self.write(writes).await
    }

    /// As [`Vde::flush`].
    ///
    /// # Errors
    ///
    /// As [`Vde::flush`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the line of those who wait; nothing is lost.
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::options::VdeOptions;

    /// What has to wait returns from its poll nonetheless, and resolves once `release` was called.
    async fn waits_elsewhere(write: impl Future<Output = Result<()>>, release: impl FnOnce()) {
        let mut write = std::pin::pin!(write);
        let polled = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        release();
        assert!(matches!(polled, Poll::Pending), "it was done, or waited for, inside its poll");
        write.await.unwrap();
    }

    #[tokio::test]
    async fn a_write_whose_key_is_being_updated_does_not_block_its_executor() {
        let store = Vde::in_memory().unwrap().to_async();
        for which in 0..4 {
            let ((release, released), (enter, entered)) = (mpsc::channel(), mpsc::channel());
            let updating = store.blocking().clone();
            let updating = thread::spawn(move || {
                updating.update("k", |_| {
                    enter.send(()).unwrap();
                    // A write that blocks is found out when this gives up.
                    let _ = released.recv_timeout(Duration::from_secs(10));
                    Some(b"updated".to_vec())
                })
            });
            entered.recv().unwrap();
            let release = || release.send(()).unwrap();
            match which {
                0 => waits_elsewhere(store.put("k", "v"), release).await,
                1 => waits_elsewhere(async { store.delete("k").await.map(drop) }, release).await,
                2 => waits_elsewhere(store.clear(), release).await,
                _ => {
                    let mut batch = store.batch();
                    batch.put("other", "v").delete("k");
                    waits_elsewhere(batch.commit(), release).await;
                }
            }
            updating.join().unwrap().unwrap();
            let left = store.get("k").await.unwrap();
            assert_eq!(left.as_deref(), if which == 0 { Some(&b"v"[..]) } else { None });
        }
    }

    #[tokio::test]
    async fn a_write_that_is_throttled_or_large_does_not_block_its_executor() {
        let options = VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(64 << 10);
        let store = options.in_memory().unwrap().with_durability(Durability::Buffered);
        let large = vec![7; 300_000];
        waits_elsewhere(store.to_async().put("large", &large), || ()).await;
        // While this is held, no checkpoint is made.
        let checkpoint = store.shared().checkpoint.lock();
        for i in 0u32.. {
            if store.shared().is_throttled() {
                break;
            }
            store.put(i.to_le_bytes(), [1; 200]).unwrap();
        }
        let tasks = store.to_async();
        let mut batch = tasks.batch();
        batch.put("b", "v");
        waits_elsewhere(async { tokio::try_join!(tasks.put("k", "v"), batch.commit()).map(drop) }, || {
            drop(checkpoint);
        })
        .await;
        assert!(store.contains("k").unwrap() && store.contains("b").unwrap());
        assert_eq!(store.get("large").unwrap().unwrap(), large);
    }
}
