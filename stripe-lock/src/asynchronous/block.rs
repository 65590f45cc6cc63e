//! Blocking on a future: the thread polls it, and parks between two polls. So threads and tasks wait in the same
//! queue and by the same code.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use super::sync::AtomicBool;
use crate::shared::threads::{Thread, current, per_thread, sleep_until};

struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Parker {
    /// Parks until the waker is called or the deadline passes. Returns whether the waker was called. Pairs with the
    /// swap in `wake_by_ref`.
    fn park(&self, deadline: Option<Instant>) -> bool {
        sleep_until(deadline, || self.woken.swap(false, Acquire))
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

per_thread! {
    /// The thread's parker while no wait uses it. It is made at the thread's first wait.
    static PARKER: Cell<Option<(Arc<Parker>, Waker)>> = const { Cell::new(None) };
}

#[cfg(feature = "diagnose")]
per_thread! {
    /// The data pointer of the waker with which this thread waits.
    static WAITS_WITH: Cell<*const ()> = const { Cell::new(std::ptr::null()) };
}

/// Whether this thread waits with this waker.
#[cfg(feature = "diagnose")]
pub(super) fn is_parker(waker: &Waker) -> bool {
    let waits_with = WAITS_WITH.try_with(Cell::get).unwrap_or(std::ptr::null());
    !waits_with.is_null() && waits_with == waker.data()
}

/// Until it is dropped, records the waker with which this thread waits.
#[cfg(feature = "diagnose")]
struct Waiting(*const ());

#[cfg(feature = "diagnose")]
impl Waiting {
    fn with(waker: &Waker) -> Self {
        Self(WAITS_WITH.try_with(|waits_with| waits_with.replace(waker.data())).unwrap_or(std::ptr::null()))
    }
}

#[cfg(feature = "diagnose")]
impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = WAITS_WITH.try_with(|waits_with| waits_with.set(self.0));
    }
}

/// Runs a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    run(future, None).unwrap_or_else(|| unreachable!("there is no deadline"))
}

/// Runs a future on this thread. Returns `None` if it is not ready at `deadline`.
pub(crate) fn block_on_until<F: Future>(future: F, deadline: Instant) -> Option<F::Output> {
    run(future, Some(deadline))
}

fn run<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    // In the destructor of another thread-local, `PARKER` may be gone already. Then this wait makes a parker of its
    // own.
    let (parker, waker) = PARKER.try_with(Cell::take).ok().flatten().unwrap_or_else(|| {
        let parker = Arc::new(Parker { thread: current(), woken: AtomicBool::new(false) });
        (parker.clone(), parker.into())
    });
    #[cfg(feature = "diagnose")]
    let _waiting = Waiting::with(&waker);
    let mut future = pin!(future);
    let output = loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => break Some(output),
            Poll::Pending if parker.park(deadline) => {}
            Poll::Pending => break None,
        }
    };
    let _ = PARKER.try_with(|slot| slot.set(Some((parker, waker))));
    output
}
