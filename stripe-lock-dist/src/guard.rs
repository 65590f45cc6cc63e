//! The guard of a lock.

use std::fmt;

use crate::error::Error;
use crate::hub::Held;

/// Holds the stripes of one or several keys until it is dropped, or until it is lost.
///
/// Dropping it releases them in the background. [`release`](Self::release) says whether they were still held.
///
/// # When it is lost
///
/// The lock is lost if the engine can't be reached for 90 % of the TTL, if the process is stopped for that long, or if
/// the engine loses its leases. The guard says so before another process can have the lock, as long as the clocks of
/// both machines run equally fast. The guard's clock counts suspension. A write that was sent before may still arrive
/// later, for example at a database. So let the database refuse a [`fence`](Self::fence) that is below one it has seen.
///
/// # Examples
///
/// ```no_run
/// # async fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), Box<dyn std::error::Error>> {
/// # async fn work(fence: i64) {}
/// let guard = locks.lock("user/7").await?;
/// tokio::select! {
///     () = work(guard.fence()) => guard.release().await?,
///     () = guard.lost() => eprintln!("another process may hold it now"),
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "if unused, the lock is released at once"]
pub struct DistributedGuard {
    /// `None` once it is released.
    held: Option<Held>,
}

impl DistributedGuard {
    pub(crate) fn new(held: Held) -> Self {
        Self { held: Some(held) }
    }

    fn held(&self) -> &Held {
        self.held.as_ref().expect("only `release` and `drop` take it, and both end the guard")
    }

    /// A positive number above those of all earlier holders of these stripes, in all processes, also across crashes.
    ///
    /// Fences are not consecutive. A guard of several keys has one fence for all of them.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn f(guard: stripe_lock_dist::DistributedGuard, database: tokio_postgres::Client) -> Result<(), tokio_postgres::Error> {
    /// let update = "UPDATE orders SET state = 'paid', fence = $1 WHERE id = 7 AND fence <= $1";
    /// database.execute(update, &[&guard.fence()]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn fence(&self) -> i64 {
        let Held { grant, turn, .. } = self.held();
        grant.fence + i64::from(*turn)
    }

    /// Whether the lock is held. After it has returned `false` once, it never returns `true` again.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn f(guard: stripe_lock_dist::DistributedGuard) {
    /// assert!(guard.is_held(), "the work took too long");
    /// # }
    /// ```
    pub fn is_held(&self) -> bool {
        self.held().grant.lease().is_held()
    }

    /// Waits until the lock is lost. After a suspension of the machine it may take a tenth of the TTL longer than
    /// [`is_held`](Self::is_held) does.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped, and the method called again.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn f(guard: stripe_lock_dist::DistributedGuard) {
    /// guard.lost().await;
    /// assert!(!guard.is_held());
    /// # }
    /// ```
    pub async fn lost(&self) {
        self.held().grant.lease().lost().await;
    }

    /// Releases the lock, and says whether it was held until then.
    ///
    /// If a task of this process waits for the same stripe, it gets the lock without the engine, and the result is that
    /// of [`is_held`](Self::is_held).
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the lock was lost before.
    ///
    /// # Cancel safety
    ///
    /// The release begins when the future is first polled. If the future is dropped, before or after that, the release
    /// happens in the background.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn f(guard: stripe_lock_dist::DistributedGuard) -> Result<(), stripe_lock_dist::Error> {
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn release(mut self) -> Result<(), Error> {
        let held = match self.held.take() {
            Some(held) => held.release().await,
            None => false,
        };
        if held { Ok(()) } else { Err(Error::Lost) }
    }
}

impl Drop for DistributedGuard {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.drop();
        }
    }
}

impl fmt::Debug for DistributedGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistributedGuard")
            .field("fence", &self.fence())
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}
