//! Releasing a stripe for a while.

use std::ops::Deref;

use super::acquire::Acquire;
use super::guard::AsyncGuard;
use super::kind::Access;
use super::sealed::LockSet;

impl<P: Deref<Target: LockSet>, A: Access> AsyncGuard<P, A> {
    /// Releases the stripe, and waits for it again. Other waiters get it in between.
    ///
    /// # Panics
    ///
    /// If the set is closed.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped while it waits, nothing is held.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::asynchronous::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).await;
    /// let _guard = AsyncGuard::bump(guard).await;
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn bump(guard: Self) -> Acquire<P, A>
    where
        P: Clone,
    {
        let (place, access) = (guard.hold.place, guard.hold.access);
        let again = Acquire::new(guard.hold.set.clone(), place, access);
        Self::unlock_fair(guard);
        again
    }

    /// Runs `section` while the stripe is released, and then waits for the stripe again.
    ///
    /// # Panics
    ///
    /// If the set is closed.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, nothing is held.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedMutex;
    /// use stripe_lock::asynchronous::AsyncGuard;
    ///
    /// let locks = AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).await;
    /// let (_guard, free) = AsyncGuard::unlocked(guard, async { locks.try_lock(&1).is_some() }).await;
    /// assert!(free);
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn unlocked<F: Future>(guard: Self, section: F) -> impl Future<Output = (Self, F::Output)>
    where
        P: Clone,
    {
        let again = Self::bump(guard);
        async move {
            let output = section.await;
            (again.await, output)
        }
    }
}
