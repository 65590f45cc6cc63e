//! Code of the caller's that is run at an awkward moment: wakers that are called, cloned and dropped.
//!
//! Whatever of it panics, everything that was to be done is done first, and then the first panic goes on. While a thread
//! unwinds already, a further panic would abort the process; there it ends here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

use super::sync::BATCH;

/// The first panic of several pieces of code. It goes on when this is dropped.
#[derive(Default)]
pub(super) struct Panics(Option<Box<dyn Any + Send>>);

impl Panics {
    /// Runs `code`, and keeps its panic if it is the first.
    pub(super) fn run(&mut self, code: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(code))
            && let Some(further) = self.0.replace(panic)
        {
            let second = self.0.replace(further);
            // Not dropped: a payload may panic when it is.
            std::mem::forget(second);
        }
    }
}

impl Drop for Panics {
    #[inline]
    fn drop(&mut self) {
        if let Some(first) = self.0.take() {
            if std::thread::panicking() {
                std::mem::forget(first);
            } else {
                resume_unwind(first);
            }
        }
    }
}

/// Wakers taken under a lock, to be woken after it.
#[derive(Default)]
pub(super) struct Wakes {
    wakers: [Option<Waker>; BATCH + 1],
    len: usize,
}

impl Wakes {
    #[inline]
    pub(super) fn push(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.wakers[self.len] = waker;
            self.len += 1;
        }
    }

    /// Wakes them all.
    #[inline]
    pub(super) fn send(&mut self, panics: &mut Panics) {
        for waker in self.wakers.iter_mut().take(self.len).filter_map(Option::take) {
            panics.run(|| waker.wake());
        }
        self.len = 0;
    }
}
