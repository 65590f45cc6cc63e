//! Waiting for keys: the futures, which tasks and threads use alike.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::super::acquire::{Checked, CheckedPoll, FINISHED, unless_closed};
use super::super::error::AcquireError;
use super::super::instrument::{Record, Site, Taker, WaiterNote};
use super::super::panics::Panics;
use super::super::queue::{Fields, Node, State};
use super::super::waiter::{Fresh, Stale, UNLIMITED};
use super::bucket::{Asked, Bucket, Found};
use super::guard::KeyedGuard;
use super::set::KeyedSet;
use super::tags::Tag;
use super::tags::Tags;
use crate::shared::spin::{Looking, MOST_PAUSES};

/// The part of a future that waits: for one key at a time.
struct Waiter {
    node: Node,
}

/// The result of a wait: the key, with wakers that are not needed any more.
type Outcome = Result<Stale, AcquireError>;

impl Waiter {
    /// Begins to wait, or continues the wait. The waiter is idle again when this is ready. `beside`: other keys are
    /// held meanwhile.
    ///
    /// # Safety
    ///
    /// The waiter is pinned, and the key is the same until it is ready or [cancelled](Self::cancel). It is neither dropped
    /// nor moved before, unless it is idle.
    #[cold]
    #[inline(never)]
    unsafe fn poll(
        &self,
        bucket: &Bucket,
        tag: Tag,
        beside: bool,
        (max_waiters, site): (u32, Site),
        cx: &mut Context<'_>,
    ) -> Poll<Outcome> {
        // A waiter that was served has nothing to spin for.
        let looks = MOST_PAUSES > 0 && (self.node.is_idle() || self.node.state().queued_at().is_some());
        let mut looking = looks.then(|| bucket.patience.begin());
        let mut spins = false;
        if self.node.is_idle() {
            if let Some(looking) = &mut looking
                && tag != Tag::EVERY
                && bucket.enters_soon(tag, looking)
            {
                looking.succeeded();
                return Poll::Ready(Ok(Stale::default()));
            }
            let mut fields = Fields::new(None, WaiterNote::new(site));
            drop(Fresh::new(cx, false).set(&mut fields));
            // SAFETY: the node is idle and ours; then it is open, in no queue, and by the caller's promise pinned.
            let asked = unsafe {
                self.node.open(fields, 0);
                bucket.enter_or_join(tag, beside, &self.node, max_waiters)
            };
            match asked {
                Asked::Entered => return Poll::Ready(Ok(self.finish(bucket))),
                Asked::Refused(error) => {
                    drop(self.finish(bucket));
                    return Poll::Ready(Err(error));
                }
                Asked::Queued { alone } if alone && looking.is_some() => spins = true,
                Asked::Queued { .. } => return pending(looking.as_ref()),
            }
        }
        let mut fresh = None;
        loop {
            match self.node.state() {
                State::Granted => {
                    if let Some(looking) = looking.filter(|_| spins) {
                        looking.succeeded();
                    }
                    return Poll::Ready(Ok(self.finish(bucket)));
                }
                State::Closed(_) => {
                    drop(self.finish(bucket));
                    return Poll::Ready(Err(AcquireError::Closed));
                }
                // Spinning is for the only waiter: others would keep the holder from running.
                State::Waiting(_) if spins && looking.as_mut().is_some_and(Looking::pause) => continue,
                _ => {}
            }
            let may_spin = looking.as_ref().is_some_and(|looking| !looking.is_over());
            // SAFETY: the node is open and ours, and by the caller's promise pinned.
            match unsafe { bucket.look(tag, &self.node, may_spin, cx.waker(), fresh.take()) } {
                Found::Served | Found::Won => {}
                Found::Again => {
                    spins = true;
                    looking.as_mut().map(Looking::pause);
                }
                Found::Waits(stale) => {
                    drop(stale);
                    return pending(looking.as_ref());
                }
                Found::NeedsWaker => fresh = Some(Fresh::new(cx, false)),
            }
        }
    }

    /// Ends a wait.
    fn finish(&self, bucket: &Bucket) -> Stale {
        // SAFETY: the node was opened and is in no queue, so it is ours.
        unsafe {
            self.node.close();
            self.node.with(|fields| {
                bucket.monitor.claimed(&mut fields.note);
                Stale::of(fields)
            })
        }
    }

    /// Gives up waiting. Idle afterwards, and the key is not held.
    #[cold]
    fn cancel(&self, bucket: &Bucket, tag: Tag, panics: &mut Panics) {
        loop {
            match self.node.state() {
                State::Idle => return,
                State::Granted => bucket.release(tag, panics),
                State::Waiting(_) | State::Notified(_) => {
                    // SAFETY: the node is open, pinned and ours.
                    if unsafe { !bucket.give_up(tag, &self.node, panics) } {
                        continue;
                    }
                }
                State::Resume(_) | State::Closed(_) => {}
            }
            let stale = self.finish(bucket);
            return panics.run(|| drop(stale));
        }
    }
}

/// Goes to sleep. If it has spun before, that was in vain.
fn pending<T>(looking: Option<&Looking<'_>>) -> Poll<T> {
    if let Some(looking) = looking.filter(|looking| looking.is_over()) {
        looking.failed();
    }
    Poll::Pending
}

/// Waits for keys, and becomes their guard. Several keys are taken one after the other, in the order of their hashes.
///
/// # Panics
///
/// When polled, if the set is closed and the future is not [`checked`](Self::checked), or if it was ready before.
///
/// # Cancel safety
///
/// The future may be dropped at any moment. It then gives up its place in the queue and releases what it holds.
///
/// A future that was polled and is neither polled again nor dropped keeps its place and what it was granted, and the others
/// wait for it: see [async pitfalls](crate::guide::async_pitfalls#a-future-that-is-put-aside).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
/// let future = locks.lock(&1);
/// assert!(locks.try_lock(&1).is_some(), "nothing happens before it is polled");
/// let _guard = future.await;
/// # }
/// ```
#[must_use = "a future does nothing unless it is awaited"]
pub struct AcquireKeys<P: Deref<Target: KeyedSet>, N: Tags> {
    /// The set and the keys, until it is ready.
    parts: Option<(P, N)>,
    /// How many of the keys are held.
    held: usize,
    /// Whether another guard holds keys for as long as this waits.
    beside: bool,
    /// Where it was made.
    site: Site,
    /// The record of the keys that are held during a wait.
    waits: Record,
    waiter: Waiter,
}

impl<P: Deref<Target: KeyedSet>, N: Tags> AcquireKeys<P, N> {
    #[inline(always)]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn new(set: P, tags: N) -> Self {
        // SAFETY: no key has to be entered, because `held` is 0.
        unsafe { Self::holding(set, tags, 0, Site::here()) }
    }

    /// As [`new`](Self::new), with the first `held` keys entered already.
    ///
    /// # Safety
    ///
    /// They were entered for this future.
    #[inline(always)]
    pub(super) unsafe fn holding(set: P, tags: N, held: usize, site: Site) -> Self {
        let waiter = Waiter { node: Node::new() };
        Self { parts: Some((set, tags)), held, beside: false, site, waits: Record::NONE, waiter }
    }

    /// As [`new`](Self::new), on behalf of a guard that holds other keys of the set.
    #[inline]
    pub(super) fn beside(set: P, tags: N, site: Site) -> Self {
        let mut future = Self::new(set, tags);
        (future.beside, future.site) = (true, site);
        future
    }

    /// The same future, with an error instead of a panic if the set is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncKeyedMutex;
    /// use stripe_lock::asynchronous::AcquireError;
    ///
    /// let locks = AsyncKeyedMutex::<u64>::new();
    /// assert!(locks.lock(&1).checked().await.is_ok());
    /// locks.close();
    /// assert_eq!(locks.lock(&1).checked().await.unwrap_err(), AcquireError::Closed);
    /// # }
    /// ```
    pub fn checked(self) -> Checked<Self> {
        Checked::of(self)
    }

    /// The same future, with an error instead of a wait if the first key that is not free has `max_waiters` waiters
    /// already.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::AsyncKeyedMutex;
    /// use stripe_lock::asynchronous::AcquireError;
    ///
    /// let locks = AsyncKeyedMutex::<u64>::new();
    /// let guard = locks.lock(&1).unless_crowded(0).await.unwrap(); // it was free
    /// assert_eq!(locks.lock(&1).unless_crowded(0).await.unwrap_err(), AcquireError::Crowded);
    /// # }
    /// ```
    pub fn unless_crowded(self, max_waiters: u32) -> Checked<Self> {
        Checked::limited(self, max_waiters)
    }

    /// Gives up waiting, and releases what is held.
    #[cold]
    fn give_up(&mut self) {
        let Some((set, tags)) = &self.parts else { return };
        let buckets = set.buckets();
        let mut panics = Panics::default();
        let _erased = buckets.monitor.released(&self.waits);
        if self.held < tags.count(buckets) {
            let (bucket, tag) = tags.at(self.held, buckets);
            self.waiter.cancel(bucket, tag, &mut panics);
        }
        buckets.release(tags, self.held, &mut panics);
        self.held = 0;
    }
}

impl<P: Deref<Target: KeyedSet>, N: Tags> CheckedPoll for AcquireKeys<P, N> {
    type Guard = KeyedGuard<P, N>;

    #[inline]
    fn poll_checked(
        self: Pin<&mut Self>,
        max_waiters: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<KeyedGuard<P, N>, AcquireError>> {
        // SAFETY: set and tags are moved out, which are not pinned; the waiter is not.
        let this = unsafe { self.get_unchecked_mut() };
        let (set, tags) = this.parts.as_ref().expect(FINISHED);
        let buckets = set.buckets();
        while this.held < tags.count(buckets) {
            let (bucket, tag) = tags.at(this.held, buckets);
            if !this.waiter.node.is_idle() || !bucket.enter_at_once::<N>(tag) {
                let beside = this.beside || this.held > 0;
                if this.waiter.node.is_idle() && !N::EVERY {
                    drop(buckets.monitor.released(&this.waits));
                    this.waits = buckets.monitor.waits(cx, this.site, &tags.all()[..this.held]);
                }
                // SAFETY: the waiter is pinned with this, and is cancelled when this is dropped.
                let outcome =
                    ready!(unsafe { this.waiter.poll(bucket, tag, beside, (max_waiters, this.site), cx) });
                match outcome {
                    Ok(stale) => {
                        this.held += 1;
                        drop(buckets.monitor.released(&this.waits));
                        // If that panics, what is held is released when this is dropped.
                        drop(stale);
                        continue;
                    }
                    Err(error) => {
                        this.give_up();
                        this.parts = None;
                        return Poll::Ready(Err(error));
                    }
                }
            }
            this.held += 1;
        }
        let (set, tags) = this.parts.take().expect(FINISHED);
        // SAFETY: all the keys are held, and this gives them to the guard.
        let guard = unsafe { KeyedGuard::of(set, tags) };
        Poll::Ready(Ok(guard.watched(Taker::polling(cx, this.site))))
    }
}

impl<P: Deref<Target: KeyedSet>, N: Tags> Future for AcquireKeys<P, N> {
    type Output = KeyedGuard<P, N>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_checked(UNLIMITED, cx).map(unless_closed)
    }
}

impl<P: Deref<Target: KeyedSet>, N: Tags> Drop for AcquireKeys<P, N> {
    #[inline]
    fn drop(&mut self) {
        if self.parts.is_some() && (self.held > 0 || !self.waiter.node.is_idle()) {
            self.give_up();
        }
    }
}

impl<P: Deref<Target: KeyedSet>, N: Tags> fmt::Debug for AcquireKeys<P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.parts.as_ref().map(|(_, tags)| tags.all().len());
        f.debug_struct("AcquireKeys").field("keys", &keys).field("held", &self.held).finish_non_exhaustive()
    }
}
