//! Naming keys to read and keys to write, to be locked together by one future.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use super::acquire::AcquireMany;
use super::methods::block;
use super::multi::try_many;
use super::plan::MixedPlan;
use super::rwlock::{AsyncBatchGuard, AsyncStripedRwLock};
use crate::shared::stripe_set::StripeSet;

/// Keys to read and keys to write, named before any of them is locked. Made by
/// [`batch`](AsyncStripedRwLock::batch).
///
/// If a key to read and a key to write share a stripe, the stripe is locked for writing. The modes are known before the
/// first stripe is taken, so no batch has to upgrade, and batches can't deadlock, whatever the order of their keys.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::AsyncStripedRwLock::<str>::new(64);
/// assert!(locks.batch().read("a").read("b").write("c").try_lock().is_some());
/// ```
#[must_use = "a batch locks nothing until `lock`, `try_lock` or `blocking_lock`"]
pub struct AsyncBatch<'a, K: ?Sized, T, S> {
    set: &'a AsyncStripedRwLock<K, T, S>,
    stripes: StripeSet,
    /// The stripes to write: a subset of `stripes`.
    writes: StripeSet,
}

impl<K: ?Sized, T, S: BuildHasher> AsyncStripedRwLock<K, T, S> {
    /// Names keys to read and keys to write, to be locked together.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::collections::HashMap;
    ///
    /// let stock = stripe_lock::AsyncStripedRwLock::<str, HashMap<String, u32>>::new(64);
    /// let mut guard = stock.batch().read("prices").write("orders").lock().await;
    /// *guard.get_mut("orders").unwrap().entry("orders".into()).or_default() += 1;
    /// # }
    /// ```
    pub fn batch(&self) -> AsyncBatch<'_, K, T, S> {
        AsyncBatch::new(self)
    }
}

impl<'a, K: ?Sized, T, S: BuildHasher> AsyncBatch<'a, K, T, S> {
    fn new(set: &'a AsyncStripedRwLock<K, T, S>) -> Self {
        let none = StripeSet::empty(set.stripes());
        Self { set, stripes: none.clone(), writes: none }
    }

    /// Names a key to read.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<str>::new(64);
    /// assert!(locks.batch().read("a").blocking_lock().get_mut("a").is_none());
    /// ```
    pub fn read<Q>(mut self, key: &Q) -> Self
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.stripes.insert(self.set.stripe_of(key));
        self
    }

    /// Names a key to write.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<str>::new(64);
    /// assert!(locks.batch().write("a").blocking_lock().get_mut("a").is_some());
    /// ```
    pub fn write<Q>(mut self, key: &Q) -> Self
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let stripe = self.set.stripe_of(key);
        self.stripes.insert(stripe);
        self.writes.insert(stripe);
        self
    }

    /// Waits for the stripes of all keys named, taken in ascending order.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves nothing held.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedRwLock::<str>::new(64);
    /// let guard = locks.batch().read("a").write("b").lock().await;
    /// assert!(guard.holds("a") && guard.holds("b"));
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn lock(self) -> AcquireMany<&'a AsyncStripedRwLock<K, T, S>, MixedPlan> {
        AcquireMany::new(self.set, MixedPlan::new(self.stripes, self.writes))
    }

    /// Takes the stripes of all keys named if that needs no waiting; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<str>::new(64);
    /// let reader = locks.try_read("a");
    /// assert!(locks.batch().read("a").try_lock().is_some());
    /// assert!(locks.batch().write("a").try_lock().is_none());
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn try_lock(self) -> Option<AsyncBatchGuard<'a, K, T, S>> {
        try_many(self.set, MixedPlan::new(self.stripes, self.writes))
    }

    /// As [`lock`](Self::lock), but blocks the thread. Do not call it from a task.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedRwLock::<str>::new(64);
    /// assert!(locks.batch().read("a").write("b").blocking_lock().holds("b"));
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn blocking_lock(self) -> AsyncBatchGuard<'a, K, T, S> {
        block(self.lock())
    }
}

impl<K: ?Sized, T, S> fmt::Debug for AsyncBatch<'_, K, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncBatch").field("stripes", &self.stripes).field("writes", &self.writes).finish()
    }
}
