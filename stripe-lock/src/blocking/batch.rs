//! Batches: keys to read and keys to write that are locked together.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
#[cfg(feature = "std")]
use std::time::{Duration, Instant};

use crate::blocking::holding::Mixed;
use crate::blocking::lock::Handle;
use crate::blocking::multi::MultiGuard;
use crate::blocking::raw::{ForRwLock, RawRwLock, RawRwLockTimed, Try, Until};
use crate::shared::stripe_set::StripeSet;

/// Keys to read and keys to write. All are named before any is locked. Made by
/// [`StripedRwLock::batch`](crate::StripedRwLock::batch).
///
/// If a key to read and a key to write share a stripe, the stripe is locked for writing. The modes are known before the
/// first stripe is taken, so no batch has to upgrade, and batches can't deadlock, whatever the order of their keys.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::StripedRwLock::<str>::new(64);
/// let batch = locks.batch().read("a").read("b").write("c");
/// assert!(batch.try_lock().is_some());
/// ```
#[must_use = "a batch locks nothing until `lock` or one of the `try_lock` methods"]
pub struct Batch<P> {
    set: P,
    stripes: StripeSet,
    writes: StripeSet,
}

impl<P, R: RawRwLock> Batch<P>
where
    P: Handle<Raw = ForRwLock<R>, Hasher: BuildHasher>,
{
    pub(crate) fn new(set: P) -> Self {
        let none = StripeSet::empty(set.stripes());
        Self { set, stripes: none.clone(), writes: none }
    }

    /// Names a key to read.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedRwLock::<str>::new(64);
    /// assert!(locks.batch().read("a").lock().get_mut("a").is_none());
    /// ```
    pub fn read<Q>(mut self, key: &Q) -> Self
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.stripes.insert(self.set.place_of(key));
        self
    }

    /// Names a key to write.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedRwLock::<str>::new(64);
    /// assert!(locks.batch().write("a").lock().get_mut("a").is_some());
    /// ```
    pub fn write<Q>(mut self, key: &Q) -> Self
    where
        P::Key: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let stripe = self.set.place_of(key);
        self.stripes.insert(stripe);
        self.writes.insert(stripe);
        self
    }

    /// Locks the stripes of all named keys in ascending order. Blocks until all are acquired.
    ///
    /// # Panics
    ///
    /// In debug builds, instead of hanging: see [`StripedRwLock`](crate::StripedRwLock).
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedRwLock::<str>::new(64);
    /// let guard = locks.batch().read("a").write("b").lock();
    /// assert!(guard.holds("a") && guard.holds("b"));
    /// ```
    #[track_caller]
    pub fn lock(self) -> MultiGuard<P, Mixed<ForRwLock<R>>> {
        MultiGuard::wait(self.set, self.stripes, Mixed::new(self.writes))
    }

    /// Locks the stripes of all named keys if all are free; none of them otherwise.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedRwLock::<str>::new(64);
    /// let reader = locks.read("a");
    /// assert!(locks.batch().read("a").try_lock().is_some());
    /// assert!(locks.batch().write("a").try_lock().is_none());
    /// ```
    #[track_caller]
    pub fn try_lock(self) -> Option<MultiGuard<P, Mixed<ForRwLock<R>>>> {
        MultiGuard::take(self.set, self.stripes, Mixed::new(self.writes), Try)
    }

    /// Locks the stripes of all named keys, or none of them if that takes longer than `timeout`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let locks = stripe_lock::StripedRwLock::<str>::new(64);
    /// assert!(locks.batch().read("a").write("b").try_lock_for(Duration::from_millis(5)).is_some());
    /// ```
    #[cfg(feature = "std")]
    #[track_caller]
    pub fn try_lock_for(self, timeout: Duration) -> Option<MultiGuard<P, Mixed<ForRwLock<R>>>>
    where
        R: RawRwLockTimed<Duration = Duration, Instant = Instant>,
    {
        MultiGuard::take_within(self.set, self.stripes, Mixed::new(self.writes), timeout)
    }

    /// Locks the stripes of all named keys, or none of them if `deadline` passes first.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let locks = stripe_lock::StripedRwLock::<str>::new(64);
    /// let soon = Instant::now() + Duration::from_millis(5);
    /// assert!(locks.batch().read("a").write("b").try_lock_until(soon).is_some());
    /// ```
    #[track_caller]
    pub fn try_lock_until(self, deadline: R::Instant) -> Option<MultiGuard<P, Mixed<ForRwLock<R>>>>
    where
        R: RawRwLockTimed<Instant: Copy>,
    {
        MultiGuard::take(self.set, self.stripes, Mixed::new(self.writes), Until(deadline))
    }
}
