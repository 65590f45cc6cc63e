//! A place in a queue that is taken before it is awaited.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::super::guard::AsyncGuard;
use super::super::kind::Access;
use super::super::sealed::LockSet;
use super::{Acquire, FINISHED};

/// A place in the queue of a stripe. The place is taken when this is made, and awaited later. Made by
/// [`enqueue_owned`](crate::AsyncStripedMutex::enqueue_owned) and the like.
///
/// # Panics
///
/// When polled, as [`Acquire`] does.
///
/// # Cancel safety
///
/// As for [`Acquire`]. Until it is polled or dropped, it keeps its place in the queue, and the stripe once it was
/// granted that.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::sync::Arc;
/// use stripe_lock::AsyncStripedMutex;
///
/// let locks = Arc::new(AsyncStripedMutex::<u64, Vec<u32>>::new(64).strict_fifo());
/// // A dispatcher hands out places in order; the tasks may start in whatever order.
/// let jobs: Vec<_> = (0..3).map(|job| (job, locks.enqueue_owned(&1))).collect();
/// let tasks: Vec<_> =
///     jobs.into_iter().rev().map(|(job, place)| tokio::spawn(async move { place.await.push(job) })).collect();
/// for task in tasks {
///     task.await.unwrap();
/// }
/// assert_eq!(*locks.lock(&1).await, [0, 1, 2]);
/// # }
/// ```
#[must_use = "it keeps its place in the queue until it is awaited or dropped"]
pub struct Enqueued<P: Deref<Target: LockSet>, A: Access>(Turn<P, A>);

enum Turn<P: Deref<Target: LockSet>, A: Access> {
    /// The stripe was free.
    Ready(Option<AsyncGuard<P, A>>),
    Waiting(Pin<Box<Acquire<P, A>>>),
}

impl<L: LockSet, A: Access> Enqueued<Arc<L>, A> {
    /// Takes the stripe, or a place in its queue.
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(in crate::asynchronous) fn new(future: Acquire<Arc<L>, A>) -> Self {
        let mut future = Box::pin(future);
        // The task that awaits it will set the waker.
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(guard) => Self(Turn::Ready(Some(guard))),
            Poll::Pending => Self(Turn::Waiting(future)),
        }
    }
}

impl<P: Deref<Target: LockSet> + Unpin, A: Access> Future for Enqueued<P, A> {
    type Output = AsyncGuard<P, A>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: only the future in the box is pinned, and it stays there.
        match unsafe { &mut self.get_unchecked_mut().0 } {
            Turn::Ready(guard) => Poll::Ready(guard.take().expect(FINISHED)),
            Turn::Waiting(future) => future.as_mut().poll(cx),
        }
    }
}

impl<P: Deref<Target: LockSet>, A: Access> fmt::Debug for Enqueued<P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Turn::Ready(guard) => {
                let state = if guard.is_some() { "granted" } else { "finished" };
                f.debug_struct("Enqueued").field("state", &state).finish_non_exhaustive()
            }
            Turn::Waiting(future) => f.debug_tuple("Enqueued").field(future).finish(),
        }
    }
}
