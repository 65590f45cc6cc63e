//! Letting other tasks run during long work.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// Counts the work that was done since other tasks last ran.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    spent: u64,
}

impl Turns {
    /// How much of `length` may still be done. Returns `Pending`, and wakes the task at once, if `length` is used up.
    pub(crate) fn left(&mut self, length: u64, cx: &Context<'_>) -> Poll<u64> {
        if self.spent < length {
            return Poll::Ready(length - self.spent);
        }
        self.spent = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Adds `done` to the work that was done.
    pub(crate) fn spend(&mut self, done: u64) {
        self.spent += done;
    }
}

thread_local! {
    /// How much work the tasks of this thread have done without waiting, since a task last yielded.
    static AT_ONCE: Cell<u64> = const { Cell::new(0) };
}

/// How much work may be done before a task yields. One read counts as 1.
const AT_ONCE_IN_A_TURN: u64 = 128;
pub(crate) const READ: u64 = 1;
/// How much a write counts, compared to a read.
pub(crate) const WRITE: u64 = 8;

/// Awaited after work that did not have to wait. A loop of such work would never let other tasks run, so from time to
/// time this future yields: it is pending once, and wakes its task at once.
pub(crate) async fn done_at_once(work: u64) {
    let done = AT_ONCE.get() + work;
    let mut has_yielded = done < AT_ONCE_IN_A_TURN;
    AT_ONCE.set(if has_yielded { done } else { 0 });
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
