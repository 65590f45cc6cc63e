//! Futures that are polled outside of any task.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

pub(crate) fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of a future that does not have to wait.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match poll(Box::pin(future).as_mut()) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("there is no other holder"),
    }
}
