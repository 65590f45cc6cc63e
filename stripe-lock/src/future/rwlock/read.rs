//! Reading.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::{AsyncReadGuard, AsyncReadMultiGuard, AsyncStripedRwLock};
use crate::future::acquire::{Acquire, AcquireMany};
use crate::future::plan::{Read, Uniform};
use crate::future::sync::block_on;
use crate::future::timeout::{Elapsed, within};

impl<K: ?Sized, T, S: BuildHasher> AsyncStripedRwLock<K, T, S> {
    /// Waits for the stripe of `key` to read. Others may read it meanwhile.
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
    /// assert_eq!(*locks.read(&1).await, 0);
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read<Q>(&self, key: &Q) -> Acquire<&Self, Read>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.wait_for(key)
    }

    /// Takes the stripe of `key` to read if that needs no waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_read(&1).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_read<Q>(&self, key: &Q) -> Option<AsyncReadGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.try_for(key)
    }

    /// As [`read`](Self::read), with a guard that keeps the set alive by one `Arc`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::sync::Arc;
    /// use stripe_lock::AsyncStripedRwLock;
    ///
    /// let locks = Arc::new(AsyncStripedRwLock::<u64>::new(64));
    /// let guard = locks.read_owned(&1).await;
    /// tokio::spawn(async move { drop(guard) });
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read_owned<Q>(self: &Arc<Self>, key: &Q) -> Acquire<Arc<Self>, Read>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Acquire::new(self.clone(), self.place_of(key))
    }

    /// As [`read`](Self::read), waiting as a thread, in the same line as the tasks. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64, u32>::new(64);
    /// assert_eq!(*locks.blocking_read(&1), 0);
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_read<Q>(&self, key: &Q) -> AsyncReadGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.block_for(key)
    }

    /// Waits for the stripe of `key` to read until `sleep` is over, which is any future that takes as long as one is
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
    /// assert!(locks.read_timeout(&1, std::future::ready(())).await.is_err());
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read_timeout<Q>(
        &self,
        key: &Q,
        sleep: impl Future,
    ) -> impl Future<Output = Result<AsyncReadGuard<'_, K, T, S>, Elapsed>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        within(self.read(key), sleep)
    }

    /// Waits for the stripes of several keys to read. Whatever the order of the keys, it can't deadlock with others of
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
    /// assert!(locks.read_many(&[2, 1]).await.holds(&1));
    /// # }
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> AcquireMany<&Self, Uniform<Read>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.wait_for_all(Uniform::new(self.set_of(keys)))
    }

    /// Takes the stripes of several keys to read if that needs no waiting; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_read_many(&[1, 2]).is_none());
    /// ```
    #[inline]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_read_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> Option<AsyncReadMultiGuard<'_, K, T, S>>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        self.try_for_all(Uniform::new(self.set_of(keys)))
    }

    /// As [`read_many`](Self::read_many), waiting as a thread. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(64);
    /// assert!(locks.blocking_read_many(&[1, 2]).holds(&2));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_read_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> AsyncReadMultiGuard<'_, K, T, S>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized + 'q,
    {
        block_on(self.read_many(keys))
    }

    /// Waits for every stripe to read.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// assert_eq!(locks.read_all().await.len(), 4);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn read_all(&self) -> AcquireMany<&Self, Uniform<Read>> {
        self.wait_for_all(Uniform::new(self.every()))
    }

    /// Takes every stripe to read if that needs no waiting; none otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// let writer = locks.try_write(&1);
    /// assert!(locks.try_read_all().is_none());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_read_all(&self) -> Option<AsyncReadMultiGuard<'_, K, T, S>> {
        self.try_for_all(Uniform::new(self.every()))
    }

    /// As [`read_all`](Self::read_all), waiting as a thread. Not to be called from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<u64>::new(4);
    /// assert_eq!(locks.blocking_read_all().len(), 4);
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_read_all(&self) -> AsyncReadMultiGuard<'_, K, T, S> {
        block_on(self.read_all())
    }
}
