//! Upgrades and downgrades: changing the mode in which a stripe of a read-write lock is held.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::acquire::{CheckedPoll, FINISHED, unless_closed};
use super::error::AcquireError;
use super::guard::{AsyncGuard, Hold};
use super::instrument::Watch;
use super::kind::{Access, Read, Upgradable, Write};
use super::panics::Panics;
use super::release;
use super::sealed::{LockSet, PlainAccess};
use super::waiter::{Held, UNLIMITED, Waiter, Want};
use super::word::{self, Mode};
use super::{AsyncStripedRwLock, Checked};

/// Changes the hold to a weaker mode, without releasing the stripe.
fn weaken<P: Deref<Target: LockSet>, A: Access, B: PlainAccess + Access>(
    hold: Hold<P, A>,
) -> AsyncGuard<P, B> {
    let (place, from) = (hold.place, hold.access.mode());
    let hold = hold.with_access(B::ACCESS);
    let serves = word::downgrade(hold.set.word(place.stripe()), from, place.key(), B::ACCESS.mode());
    let guard = AsyncGuard::from_hold(hold);
    if serves {
        release::serve_queue(&*guard.hold.set, place.stripe());
    }
    guard
}

impl<P, K: ?Sized, T, S> AsyncGuard<P, Write>
where
    P: Deref<Target = AsyncStripedRwLock<K, T, S>>,
{
    /// Turns a writer into a reader without releasing the stripe. Other readers may enter.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::AsyncStripedRwLock;
    /// use stripe_lock::asynchronous::AsyncWriteGuard;
    ///
    /// let locks = AsyncStripedRwLock::<u64, u32>::new(64);
    /// let reader = AsyncWriteGuard::downgrade(locks.blocking_write(&1));
    /// assert!(locks.try_read(&1).is_some() && locks.try_write(&1).is_none());
    /// ```
    pub fn downgrade(guard: Self) -> AsyncGuard<P, Read> {
        weaken(guard.hold)
    }

    /// Turns a writer into a reader with the right to upgrade, without releasing the stripe. Other readers may enter.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::AsyncStripedRwLock;
    /// use stripe_lock::asynchronous::AsyncGuard;
    ///
    /// let locks = AsyncStripedRwLock::<u64, u32>::new(64);
    /// let reader = AsyncGuard::downgrade_to_upgradable(locks.blocking_write(&1));
    /// assert!(locks.try_read(&1).is_some() && locks.try_upgradable_read(&1).is_none());
    /// ```
    pub fn downgrade_to_upgradable(guard: Self) -> AsyncGuard<P, Upgradable> {
        weaken(guard.hold)
    }
}

impl<P, K: ?Sized, T, S> AsyncGuard<P, Upgradable>
where
    P: Deref<Target = AsyncStripedRwLock<K, T, S>>,
{
    /// Gives up the right to upgrade, and keeps the stripe for reading.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::AsyncStripedRwLock;
    /// use stripe_lock::asynchronous::AsyncUpgradableGuard;
    ///
    /// let locks = AsyncStripedRwLock::<u64>::new(64);
    /// let reader = AsyncUpgradableGuard::downgrade(locks.blocking_upgradable_read(&1));
    /// assert!(locks.try_upgradable_read(&1).is_some());
    /// ```
    pub fn downgrade(guard: Self) -> AsyncGuard<P, Read> {
        weaken(guard.hold)
    }

    /// Waits until the other readers have released the stripe, and becomes its writer. It comes before all waiters in
    /// the queue, so the data does not change in between.
    ///
    /// # Panics
    ///
    /// When polled, if the set is closed and there are other readers.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, it releases the stripe: the guard is part of the future.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::collections::HashMap;
    /// use stripe_lock::AsyncStripedRwLock;
    /// use stripe_lock::asynchronous::AsyncGuard;
    ///
    /// let stock = AsyncStripedRwLock::<str, HashMap<String, u32>>::new(64);
    /// let guard = stock.upgradable_read("apples").await;
    /// if !guard.contains_key("apples") {
    ///     AsyncGuard::upgrade(guard).await.insert("apples".into(), 3);
    /// }
    /// # }
    /// ```
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub fn upgrade(guard: Self) -> Upgrade<P> {
        let watch = Watch::new(guard.hold.place.hash());
        Upgrade { hold: Some(guard.hold), waiter: Waiter::new(watch) }
    }

    /// Turns an upgradable reader into a writer if there are no other readers.
    ///
    /// # Errors
    ///
    /// The guard itself, if there are other readers.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::AsyncStripedRwLock;
    /// use stripe_lock::asynchronous::AsyncGuard;
    ///
    /// let locks = AsyncStripedRwLock::<u64, u32>::new(64);
    /// let mut writer = AsyncGuard::try_upgrade(locks.blocking_upgradable_read(&1)).unwrap();
    /// *writer += 1;
    /// ```
    pub fn try_upgrade(guard: Self) -> Result<AsyncGuard<P, Write>, Self> {
        if upgrades(&guard.hold) {
            Ok(AsyncGuard::from_hold(guard.hold.with_access(Write::ACCESS)))
        } else {
            Err(guard)
        }
    }
}

/// Makes the hold exclusive, if there are no other readers.
fn upgrades<P: Deref<Target: LockSet>>(hold: &Hold<P, Upgradable>) -> bool {
    word::try_upgrade(hold.set.word(hold.place.stripe()), hold.place.key())
}

/// Waits until an upgradable guard is the only one of its stripe, and turns it into a write guard. Made by
/// [`AsyncGuard::upgrade`].
///
/// # Panics
///
/// When polled, if the set is closed, there are other readers and the future is not [`checked`](Self::checked). Also if
/// it was ready before.
///
/// # Cancel safety
///
/// If it is dropped, it releases the stripe.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::AsyncGuard;
///
/// let locks = AsyncStripedRwLock::<u64, u32>::new(64);
/// let guard = locks.upgradable_read(&1).await;
/// *AsyncGuard::upgrade(guard).await += 1;
/// # }
/// ```
#[must_use = "a future does nothing unless it is awaited"]
pub struct Upgrade<P: Deref<Target: LockSet>> {
    /// `None` once the future was ready.
    hold: Option<Hold<P, Upgradable>>,
    waiter: Waiter,
}

impl<P: Deref<Target: LockSet>> Upgrade<P> {
    /// The same future, with an error instead of a panic if the set is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncStripedRwLock;
    /// use stripe_lock::asynchronous::AsyncGuard;
    ///
    /// let locks = AsyncStripedRwLock::<u64>::new(64);
    /// let (guard, _reader) = (locks.upgradable_read(&1).await, locks.read(&1).await);
    /// locks.close();
    /// assert!(AsyncGuard::upgrade(guard).checked().await.is_err());
    /// # }
    /// ```
    pub fn checked(self) -> Checked<Self> {
        Checked::of(self)
    }

    /// Releases the stripe in the mode in which it is held by now.
    #[cold]
    fn give_up(&mut self) {
        let Some(hold) = self.hold.take() else { return };
        let mut panics = Panics::default();
        let outcome = self.waiter.cancel(&*hold.set, &mut panics);
        panics.run(|| match outcome {
            Held::All => drop(hold.with_access(Write::ACCESS)),
            Held::Below(_) => drop(hold),
        });
        panics.run(|| self.waiter.watch.end(false));
    }
}

impl<P: Deref<Target: LockSet>> CheckedPoll for Upgrade<P> {
    type Guard = AsyncGuard<P, Write>;

    fn poll_checked(
        self: Pin<&mut Self>,
        _: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AsyncGuard<P, Write>, AcquireError>> {
        // SAFETY: only the hold is moved out, which is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        let hold = this.hold.as_ref().expect(FINISHED);
        let mut stale = None;
        if !this.waiter.is_idle() || !upgrades(hold) {
            let want = Want { at: (hold.place, Mode::Upgrade), plan: None, max_waiters: UNLIMITED };
            // SAFETY: the waiter is pinned with this, and is cancelled when this is dropped.
            match ready!(unsafe { this.waiter.poll(&*hold.set, want, cx) }) {
                Ok(wakers) => stale = Some(wakers),
                Err(error) => {
                    this.give_up();
                    return Poll::Ready(Err(error));
                }
            }
        }
        let hold = this.hold.take().expect(FINISHED);
        let guard = AsyncGuard::from_hold(hold.with_access(Write::ACCESS));
        drop(stale);
        this.waiter.watch.end(true);
        Poll::Ready(Ok(guard))
    }
}

impl<P: Deref<Target: LockSet>> Future for Upgrade<P> {
    type Output = AsyncGuard<P, Write>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_checked(UNLIMITED, cx).map(unless_closed)
    }
}

impl<P: Deref<Target: LockSet>> Drop for Upgrade<P> {
    fn drop(&mut self) {
        if !self.waiter.is_idle() {
            self.give_up();
        }
    }
}

impl<P: Deref<Target: LockSet>> fmt::Debug for Upgrade<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.hold.is_some() { self.waiter.describe() } else { "finished" };
        f.debug_struct("Upgrade").field("state", &state).finish_non_exhaustive()
    }
}
