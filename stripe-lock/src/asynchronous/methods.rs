//! The methods that take stripes, written once for all kinds of sets and ways of holding a stripe.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::acquire::{CheckedPoll, FINISHED, unless_closed};
use super::block::{block_on, block_on_until};
use super::error::AcquireError;
use super::waiter::UNLIMITED;

/// A future with a time limit. Made by `lock_timeout` and the like.
///
/// # Errors
///
/// [`AcquireError::Elapsed`] if the time is up first, and [`AcquireError::Closed`] if the set is closed. Nothing is held
/// then.
///
/// # Cancel safety
///
/// That of the inner future.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// let _guard = locks.lock(&1).await;
/// assert!(locks.lock_timeout(&1, std::future::ready(())).await.is_err());
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Timeout<L, F> {
    /// Until it is ready.
    lock: Option<L>,
    sleep: F,
}

impl<L: CheckedPoll, F: Future> Timeout<L, F> {
    pub(super) fn new(lock: L, sleep: F) -> Self {
        Self { lock: Some(lock), sleep }
    }
}

impl<L: CheckedPoll, F: Future> Future for Timeout<L, F> {
    type Output = Result<L::Guard, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: both are pinned with this, and neither is ever moved out.
        let (mut lock, sleep) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.lock), Pin::new_unchecked(&mut this.sleep))
        };
        let outcome = match lock.as_mut().as_pin_mut().expect(FINISHED).poll_checked(UNLIMITED, cx) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                ready!(sleep.poll(cx));
                Err(AcquireError::Elapsed)
            }
        };
        // A finished future keeps no place in the queue.
        lock.set(None);
        Poll::Ready(outcome)
    }
}

/// A future for [`block_on`] that returns an error when it fails.
struct Checking<L>(L);

impl<L: CheckedPoll> Future for Checking<L> {
    type Output = Result<L::Guard, AcquireError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: it is pinned with this, and never moved out.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll_checked(UNLIMITED, cx)
    }
}

/// Blocks the thread until the lock is acquired.
pub(super) fn block<L: CheckedPoll>(lock: L) -> L::Guard {
    unless_closed(block_on(Checking(lock)))
}

/// Blocks the thread until the lock is acquired or the time is up.
pub(super) fn block_for<L: CheckedPoll>(lock: L, limit: Duration) -> Result<L::Guard, AcquireError> {
    match Instant::now().checked_add(limit) {
        Some(deadline) => block_on_until(Checking(lock), deadline).unwrap_or(Err(AcquireError::Elapsed)),
        None => block_on(Checking(lock)),
    }
}

/// The methods that take one stripe in one way.
macro_rules! one_stripe {
    (
        [$($generics:tt)*] $set:ty, $access:ty, $new:literal, $does:literal, $tries:literal;
        $wait:ident, $try:ident, $wait_owned:ident, $try_owned:ident, $timeout:ident, $block:ident, $block_owned:ident,
        $block_timeout:ident, $unless_crowded:ident, $enqueue:ident, $at:ident, $try_at:ident
    ) => {
        impl<$($generics)*> $set {
            #[doc = concat!($does, " of `key`.")]
            ///
            /// # Panics
            ///
            /// When polled, if the set is [closed](super::AsyncStriped::close).
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("let guard = locks.", stringify!($wait), "(&1).await;")]
            /// # }
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait<Q>(&self, key: &Q) -> Acquire<&Self, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                Acquire::new(self, self.place_of(key), access())
            }

            #[doc = concat!($tries, " of `key` if that needs no waiting, and no waiter has precedence.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($try), "(&1).is_some());")]
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try<Q>(&self, key: &Q) -> Option<AsyncGuard<&Self, $access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                try_one(self, self.place_of(key), access())
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Panics
            ///
            /// When polled, if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("let guard = locks.", stringify!($wait_owned), "(&1).await;")]
            /// tokio::spawn(async move { drop(guard) });
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait_owned<Q>(self: &Arc<Self>, key: &Q) -> Acquire<Arc<Self>, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                Acquire::new(self.clone(), self.place_of(key), access())
            }

            #[doc = concat!("As [`", stringify!($try), "`](Self::", stringify!($try), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("assert!(locks.", stringify!($try_owned), "(&1).is_some());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try_owned<Q>(self: &Arc<Self>, key: &Q) -> Option<AsyncGuard<Arc<Self>, $access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                try_one(self.clone(), self.place_of(key), access())
            }

            #[doc = concat!($does, " of `key` until the future `sleep` ends.")]
            ///
            /// The stripe is tried before the time is checked, so a free one is taken even if the time is up.
            ///
            /// # Errors
            ///
            /// [`AcquireError::Elapsed`] if `sleep` ends first, [`AcquireError::Closed`] if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            /// use std::time::Duration;
            /// use tokio::time::sleep;
            ///
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("let guard = locks.", stringify!($timeout), "(&1, sleep(Duration::from_millis(5))).await.unwrap();")]
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $timeout<Q, F>(&self, key: &Q, sleep: F) -> Timeout<Acquire<&Self, $access>, F>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
                F: Future,
            {
                Timeout::new(self.$wait(key), sleep)
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), but blocks the thread, which waits in the same queue as the tasks.")]
            ///
            /// Do not call it from a task: it stops the executor's thread, and hangs for ever if that thread has to
            /// run the holder, or a future that was granted the stripe.
            ///
            /// # Panics
            ///
            /// If the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("let guard = locks.", stringify!($block), "(&1);")]
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block<Q>(&self, key: &Q) -> AsyncGuard<&Self, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                let place = self.place_of(key);
                // Without the feature `diagnose`, which records the caller.
                if cfg!(not(feature = "diagnose"))
                    && let Some(guard) = try_one(self, place, access())
                {
                    return guard;
                }
                block(Acquire::new(self, place, access()))
            }

            #[doc = concat!("As [`", stringify!($block), "`](Self::", stringify!($block), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Panics
            ///
            /// If the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("let guard = locks.", stringify!($block_owned), "(&1);")]
            /// std::thread::spawn(move || drop(guard));
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block_owned<Q>(self: &Arc<Self>, key: &Q) -> AsyncGuard<Arc<Self>, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                block(self.$wait_owned(key))
            }

            #[doc = concat!("As [`", stringify!($block), "`](Self::", stringify!($block), "), with a time limit.")]
            ///
            /// # Errors
            ///
            /// [`AcquireError::Elapsed`] if the time is up first, [`AcquireError::Closed`] if the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            ///
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($block_timeout), "(&1, Duration::from_millis(5)).is_ok());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block_timeout<Q>(
                &self,
                key: &Q,
                limit: Duration,
            ) -> Result<AsyncGuard<&Self, $access>, AcquireError>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                block_for(self.$wait(key), limit)
            }

            #[doc = concat!($does, " of `key`, unless it has `max_waiters` waiters already. A service can shed load by that.")]
            ///
            /// # Errors
            ///
            /// [`AcquireError::Crowded`] if there are that many waiters, [`AcquireError::Closed`] if the set is
            /// closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($unless_crowded), "(&1, 8).await.is_ok());")]
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $unless_crowded<Q>(&self, key: &Q, max_waiters: u32) -> Checked<Acquire<&Self, $access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.$wait(key).unless_crowded(max_waiters)
            }

            #[doc = concat!("As [`", stringify!($wait_owned), "`](Self::", stringify!($wait_owned), "), but takes its place in the queue now, and is awaited later.")]
            ///
            /// # Panics
            ///
            /// If the set is closed.
            ///
            /// # Cancel safety
            ///
            /// Dropped, it leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("let place = locks.", stringify!($enqueue), "(&1);")]
            /// tokio::spawn(async move { drop(place.await) });
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $enqueue<Q>(self: &Arc<Self>, key: &Q) -> Enqueued<Arc<Self>, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                Enqueued::new(self.$wait_owned(key))
            }
        }

        impl<$($generics)*> $set {
            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), for the stripe with this index: to sweep a set stripe by stripe.")]
            ///
            /// # Panics
            ///
            /// If `stripe` is not below [`stripes`](super::AsyncStriped::stripes); when polled, if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = ", $new, ";")]
            /// for stripe in 0..locks.stripes() {
            #[doc = concat!("    let guard = locks.", stringify!($at), "(stripe).await;")]
            /// }
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $at(&self, stripe: usize) -> Acquire<&Self, $access> {
                Acquire::new(self, self.place_at(stripe), access())
            }

            #[doc = concat!("As [`", stringify!($try), "`](Self::", stringify!($try), "), for the stripe with this index.")]
            ///
            /// # Panics
            ///
            /// If `stripe` is not below [`stripes`](super::AsyncStriped::stripes).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($try_at), "(3).is_some());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try_at(&self, stripe: usize) -> Option<AsyncGuard<&Self, $access>> {
                try_one(self, self.place_at(stripe), access())
            }
        }
    };
}
pub(super) use one_stripe;

/// The methods that take the stripes of several keys in one way.
macro_rules! several_keys {
    (
        [$($generics:tt)*] $set:ty, $access:ty, $new:literal, $does:literal, $tries:literal;
        $wait:ident, $try:ident, $wait_owned:ident, $try_owned:ident, $block:ident, $block_timeout:ident
    ) => {
        impl<$($generics)*> $set {
            #[doc = concat!($does, " of all `keys`. Operations of this kind can't deadlock with each other, whatever the order of their keys.")]
            ///
            /// Keys that share a stripe count once.
            ///
            /// # Panics
            ///
            /// When polled, if the set is [closed](super::AsyncStriped::close).
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($wait), "(&[2, 1, 2]).await.holds(&1));")]
            /// # }
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> AcquireMany<&Self, UniformPlan<$access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                AcquireMany::new(self, UniformPlan::new(self.set_of(keys)))
            }

            #[doc = concat!($tries, " of all `keys` if that needs no waiting; takes nothing otherwise.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($try), "(&[1, 2]).is_some());")]
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> Option<AsyncMultiGuard<&Self, UniformPlan<$access>>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                try_many(self, UniformPlan::new(self.set_of(keys)))
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Panics
            ///
            /// When polled, if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("let guard = locks.", stringify!($wait_owned), "(&[1, 2]).await;")]
            /// tokio::spawn(async move { drop(guard) });
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait_owned<'q, Q>(
                self: &Arc<Self>,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> AcquireMany<Arc<Self>, UniformPlan<$access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                AcquireMany::new(self.clone(), UniformPlan::new(self.set_of(keys)))
            }

            #[doc = concat!("As [`", stringify!($try), "`](Self::", stringify!($try), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("assert!(locks.", stringify!($try_owned), "(&[1, 2]).is_some());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try_owned<'q, Q>(
                self: &Arc<Self>,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> Option<AsyncMultiGuard<Arc<Self>, UniformPlan<$access>>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                try_many(self.clone(), UniformPlan::new(self.set_of(keys)))
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), but blocks the thread. Do not call it from a task.")]
            ///
            /// # Panics
            ///
            /// If the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($block), "(&[1, 2]).holds(&2));")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> AsyncMultiGuard<&Self, UniformPlan<$access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                block(self.$wait(keys))
            }

            #[doc = concat!("As [`", stringify!($block), "`](Self::", stringify!($block), "), with a time limit.")]
            ///
            /// # Errors
            ///
            /// [`AcquireError::Elapsed`] if the time is up first, [`AcquireError::Closed`] if the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            ///
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($block_timeout), "(&[1, 2], Duration::from_millis(5)).is_ok());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block_timeout<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
                limit: Duration,
            ) -> Result<AsyncMultiGuard<&Self, UniformPlan<$access>>, AcquireError>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                block_for(self.$wait(keys), limit)
            }
        }
    };
}
pub(super) use several_keys;

/// The methods that take every stripe in one way.
macro_rules! every_stripe {
    (
        [$($generics:tt)*] $set:ty, $access:ty, $new:literal, $does:literal, $tries:literal;
        $wait:ident, $try:ident, $wait_owned:ident, $block:ident
    ) => {
        impl<$($generics)*> $set {
            #[doc = concat!($does, ". These are the same locks that operations on single keys take.")]
            ///
            /// # Panics
            ///
            /// When polled, if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert_eq!(locks.", stringify!($wait), "().await.len(), 64);")]
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait(&self) -> AcquireMany<&Self, UniformPlan<$access>> {
                AcquireMany::new(self, UniformPlan::new(self.every()))
            }

            #[doc = concat!($tries, " if that needs no waiting; takes nothing otherwise.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($try), "().is_some());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try(&self) -> Option<AsyncMultiGuard<&Self, UniformPlan<$access>>> {
                try_many(self, UniformPlan::new(self.every()))
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Panics
            ///
            /// When polled, if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("let guard = locks.", stringify!($wait_owned), "().await;")]
            /// tokio::spawn(async move { drop(guard) });
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait_owned(self: &Arc<Self>) -> AcquireMany<Arc<Self>, UniformPlan<$access>> {
                AcquireMany::new(self.clone(), UniformPlan::new(self.every()))
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), but blocks the thread. Do not call it from a task.")]
            ///
            /// # Panics
            ///
            /// If the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert_eq!(locks.", stringify!($block), "().len(), 64);")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block(&self) -> AsyncMultiGuard<&Self, UniformPlan<$access>> {
                block(self.$wait())
            }
        }
    };
}
pub(super) use every_stripe;
