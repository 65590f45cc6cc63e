//! Parts that the models of the async and of the exact locks share.

use std::hash::{BuildHasher, Hasher};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Wake, Waker};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// A hasher with which the key of a model selects its stripe.
#[derive(Clone, Default)]
pub(crate) struct Identity(u64);

impl BuildHasher for Identity {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// A counter that loom watches: two accesses at the same time are an error.
#[derive(Default)]
pub(crate) struct Data(UnsafeCell<usize>);

// SAFETY: loom reports every access that the lock does not order.
unsafe impl Sync for Data {}

impl Data {
    pub(crate) fn add(&self) {
        // SAFETY: loom checks it.
        self.0.with_mut(|count| unsafe { *count += 1 });
    }

    pub(crate) fn get(&self) -> usize {
        // SAFETY: loom checks it.
        self.0.with(|count| unsafe { *count })
    }
}

/// Runs each closure in a thread of its own, the last one in this thread.
pub(crate) fn all<L: Send + Sync + 'static>(locks: &Arc<L>, parts: Vec<fn(&L)>) {
    let mut parts = parts.into_iter();
    let here = parts.next().unwrap();
    let threads: Vec<_> = parts
        .map(|part| {
            let locks = locks.clone();
            thread::spawn(move || part(&locks))
        })
        .collect();
    here(locks);
    for thread in threads {
        thread.join().unwrap();
    }
}

pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Unparks the thread that waits.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread, and polls it only when it was woken. loom's `block_on` also polls it without a wake
/// and counts references to its waker, which takes many more executions.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = std::sync::Arc::new(Unpark(thread::current())).into();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Polls the future until it has joined a queue, so that another thread can await it.
pub(crate) fn queued<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(poll_once(future.as_mut()).is_pending());
    future
}
