//! A future with a task of its own.
#![allow(dead_code, reason = "every suite includes this module and uses a part of it")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::bell::Bell;

/// A future, the waker of its task, and how often the task was woken.
pub(crate) struct Task<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl<F: Future> Task<F> {
    /// The future before its first poll.
    pub(crate) fn new(future: F) -> Self {
        let (bell, waker) = Bell::new();
        Self { future: Box::pin(future), bell, waker }
    }

    /// The future after its first poll, which must be pending.
    pub(crate) fn waiting(future: F) -> Self {
        let mut task = Self::new(future);
        assert!(task.poll().is_pending());
        task
    }

    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// How often it was woken.
    pub(crate) fn woken(&self) -> usize {
        self.bell.rings()
    }

    /// Polls the woken future to its end.
    pub(crate) fn done(&mut self) -> F::Output {
        assert!(self.woken() > 0, "it was not woken");
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("woken for nothing"),
        }
    }
}
