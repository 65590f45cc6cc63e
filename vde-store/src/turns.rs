//! Letting other tasks run in the midst of long work.

use std::task::{Context, Poll};

/// Counts the work that was done since other tasks could run.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    spent: u64,
}

impl Turns {
    /// How much of `length` may still be done. Pending, and woken at once, if that much was done already.
    pub(crate) fn left(&mut self, length: u64, cx: &Context<'_>) -> Poll<u64> {
        if self.spent < length {
            return Poll::Ready(length - self.spent);
        }
        self.spent = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// So much was done.
    pub(crate) fn spend(&mut self, done: u64) {
        self.spent += done;
    }
}
