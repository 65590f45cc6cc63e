//! The locks for threads.

use std::borrow::Borrow;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::error::Error;
use crate::guard::DistributedGuard;
use crate::key::Key;
use crate::mutex::DistributedMutex;

/// The methods of a [`DistributedMutex`] for threads: each blocks the calling thread until it is done.
///
/// Do not call them in async code.
///
/// # Examples
///
/// ```no_run
/// # fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
/// let locks = locks.blocking();
/// let guard = locks.lock("user/7")?;
/// assert!(locks.try_lock("user/8")?.is_some());
/// locks.release(guard)?;
/// # Ok(())
/// # }
/// ```
pub struct Blocking<'a, K: ?Sized> {
    locks: &'a DistributedMutex<K>,
}

impl<'a, K: ?Sized> Blocking<'a, K> {
    pub(crate) fn new(locks: &'a DistributedMutex<K>) -> Self {
        Self { locks }
    }

    /// As [`DistributedMutex::lock`].
    ///
    /// # Errors
    ///
    /// Those of [`DistributedMutex::lock`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// let guard = locks.blocking().lock("user/7")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock<Q>(&self, key: &Q) -> Result<DistributedGuard, Error>
    where
        K: Borrow<Q>,
        Q: Key + ?Sized,
    {
        block_on(self.locks.lock(key))
    }

    /// As [`DistributedMutex::try_lock`].
    ///
    /// # Errors
    ///
    /// Those of [`DistributedMutex::try_lock`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// let guard = locks.blocking().try_lock("user/7")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_lock<Q>(&self, key: &Q) -> Result<Option<DistributedGuard>, Error>
    where
        K: Borrow<Q>,
        Q: Key + ?Sized,
    {
        block_on(self.locks.try_lock(key))
    }

    /// As [`DistributedMutex::lock_timeout`].
    ///
    /// # Errors
    ///
    /// Those of [`DistributedMutex::lock_timeout`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// let guard = locks.blocking().lock_timeout("user/7", std::time::Duration::from_secs(1))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock_timeout<Q>(&self, key: &Q, time: Duration) -> Result<DistributedGuard, Error>
    where
        K: Borrow<Q>,
        Q: Key + ?Sized,
    {
        block_on(self.locks.lock_timeout(key, time))
    }

    /// As [`DistributedMutex::lock_many`].
    ///
    /// # Errors
    ///
    /// Those of [`DistributedMutex::lock_many`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// let guard = locks.blocking().lock_many(["alice", "bob"])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> Result<DistributedGuard, Error>
    where
        K: Borrow<Q>,
        Q: Key + ?Sized + 'q,
    {
        block_on(self.locks.lock_many(keys))
    }

    /// As [`DistributedGuard::release`].
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the lock was lost before.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// let locks = locks.blocking();
    /// locks.release(locks.lock("user/7")?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn release(&self, guard: DistributedGuard) -> Result<(), Error> {
        block_on(guard.release())
    }
}

/// Runs `future` on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
