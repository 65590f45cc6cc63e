//! Waiting as a thread: a future is polled on the spot, and the thread parks in between. So threads and tasks stand in
//! one line, and there is one way of waiting.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Thread, current, park};

struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Parker {
    fn park(&self) {
        // A thread can be unparked for other reasons, so `woken` decides. Pairs with the swap in `wake_by_ref`.
        while !self.woken.swap(false, Acquire) {
            park();
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Release) {
            self.thread.unpark();
        }
    }
}

thread_local! {
    /// The thread's parker, while no wait is using it: made once for each thread that ever has to wait.
    static PARKER: Cell<Option<(Arc<Parker>, Waker)>> = const { Cell::new(None) };
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let (parker, waker) = PARKER.with(Cell::take).unwrap_or_else(|| {
        let parker = Arc::new(Parker { thread: current(), woken: AtomicBool::new(false) });
        (parker.clone(), parker.into())
    });
    let mut future = pin!(future);
    let output = loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => break output,
            Poll::Pending => parker.park(),
        }
    };
    PARKER.with(|slot| slot.set(Some((parker, waker))));
    output
}
