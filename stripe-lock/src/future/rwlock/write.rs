//! Writing.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::{AsyncStripedRwLock, AsyncWriteGuard, AsyncWriteMultiGuard};
use crate::future::acquire::{Acquire, AcquireMany};
use crate::future::plan::{Uniform, Write};
use crate::future::sync::block_on;
use crate::future::timeout::{Elapsed, within};

impl<K: ?Sized, T, S: BuildHasher> AsyncStripedRwLock<K, T, S> {
    /// Waits for the stripe of `key` to write. Nobody else has it meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held, and gives up its place in the line.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// assert_eq!(*locks.write(&1).await, 0);
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write<Q>(&self, key: &Q) -> Acquire<&Self, Write>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.wait_for(key)
    }

    /// Takes the stripe of `key` to write if that needs no waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_write(&1).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_write<Q>(&self, key: &Q) -> Option<AsyncWriteGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.try_for(key)
    }

    /// As [`write`](Self::write), with a guard that keeps the set alive by one `Arc`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::sync::Arc;
    /// use stripe_lock::AsyncStripedRwLock;
    ///
    /// let locks = Arc::new(AsyncStripedRwLock::<u64>::new(64));
    /// let guard = locks.write_owned(&1).await;
    /// tokio::spawn(async move { drop(guard) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write_owned<Q>(self: &Arc<Self>, key: &Q) -> Acquire<Arc<Self>, Write>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Acquire::new(self.clone(), self.place_of(key))
    }

    /// As [`write`](Self::write), waiting as a thread, in the same line as the tasks. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// assert_eq!(*locks.blocking_write(&1), 0);
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_write<Q>(&self, key: &Q) -> AsyncWriteGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.block_for(key)
    }

    /// Waits for the stripe of `key` to write until `sleep` is over, which is any future that takes as long as one is
    /// willing to wait.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if `sleep` ends first.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.write(&1).await;
    /// assert!(locks.write_timeout(&1, std::future::ready(())).await.is_err());
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write_timeout<Q>(
        &self,
        key: &Q,
        sleep: impl Future,
    ) -> impl Future<Output = Result<AsyncWriteGuard<'_, K, T, S>, Elapsed>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        within(self.write(key), sleep)
    }

    /// Waits for the stripes of several keys to write. Whatever the order of the keys, it can't deadlock with others of
    /// this kind.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// assert!(locks.write_many(&[2, 1]).await.holds(&1));
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AcquireMany<&Self, Uniform<Write>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.wait_for_all(Uniform::new(self.set_of(keys)))
    }

    /// Takes the stripes of several keys to write if that needs no waiting; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_write_many(&[1, 2]).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_write_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<AsyncWriteMultiGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.try_for_all(Uniform::new(self.set_of(keys)))
    }

    /// As [`write_many`](Self::write_many), waiting as a thread. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// assert!(locks.blocking_write_many(&[1, 2]).holds(&2));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_write_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AsyncWriteMultiGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        block_on(self.write_many(keys))
    }

    /// Waits for every stripe to write.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// assert_eq!(locks.write_all().await.len(), 4);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn write_all(&self) -> AcquireMany<&Self, Uniform<Write>> {
        self.wait_for_all(Uniform::new(self.every()))
    }

    /// Takes every stripe to write if that needs no waiting; none otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_write_all().is_none());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_write_all(&self) -> Option<AsyncWriteMultiGuard<'_, K, T, S>> {
        self.try_for_all(Uniform::new(self.every()))
    }

    /// As [`write_all`](Self::write_all), waiting as a thread. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// assert_eq!(locks.blocking_write_all().len(), 4);
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_write_all(&self) -> AsyncWriteMultiGuard<'_, K, T, S> {
        block_on(self.write_all())
    }
}
