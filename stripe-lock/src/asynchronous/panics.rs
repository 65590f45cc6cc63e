//! Panics in the caller's code that runs in the middle of an operation: wakers that are called, cloned and dropped.
//!
//! If a waker panics, the operation is finished first, and then the first panic continues. While a thread unwinds
//! already, a further panic would abort the process, so it is discarded.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

use super::sync::BATCH;

/// The first panic of several pieces of code. It continues when this is dropped.
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

/// Wakers that are collected under a lock, and called after it is released.
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
