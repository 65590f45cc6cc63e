//! A thread that sleeps until somebody tells it how it stands.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use super::sync::{AtomicU8, give_back_wake_up};
use crate::shared::threads::{Thread, current, per_thread, sleep_until};

/// What a sleeping thread is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing yet.
    Nothing,
    /// To compete for the lock.
    Compete,
    /// That it has the lock.
    Granted,
}

pub(super) struct Parker {
    thread: Thread,
    told: AtomicU8,
}

per_thread! {
    /// The thread's parker, while no wait is using it: made once for each thread that ever has to wait.
    static PARKER: Cell<Option<Arc<Parker>>> = const { Cell::new(None) };
}

impl Parker {
    /// This thread's, which has been told nothing.
    ///
    /// Where the thread's own data is gone already, in the destructor of another thread-local, it is one for this wait.
    pub(super) fn take() -> Arc<Self> {
        let kept = PARKER.try_with(Cell::take).ok().flatten();
        let parker = kept.unwrap_or_else(|| Arc::new(Self { thread: current(), told: AtomicU8::new(0) }));
        parker.forget();
        parker
    }

    /// Keeps it for this thread's next wait.
    pub(super) fn keep(parker: Arc<Self>) {
        give_back_wake_up(&parker.thread);
        let _ = PARKER.try_with(|slot| slot.set(Some(parker)));
    }

    /// What it was told. Pairs with [`tell`](Self::tell): who is told that it has the lock sees what the last holder wrote.
    pub(super) fn told(&self) -> Told {
        match self.told.load(Acquire) {
            0 => Told::Nothing,
            1 => Told::Compete,
            _ => Told::Granted,
        }
    }

    /// Tells it something; the thread has to be [woken](Self::wake) then.
    pub(super) fn tell(&self, what: Told) {
        self.told.store(what as u8, Release);
    }

    /// For the thread itself, while nobody can tell it anything: unqueued, or under the lock of its bucket.
    pub(super) fn forget(&self) {
        self.told.store(Told::Nothing as u8, Relaxed);
    }

    pub(super) fn wake(&self) {
        self.thread.unpark();
    }

    /// Sleeps until it was told something, or until the time is up. Says which.
    pub(super) fn sleep(&self, deadline: Option<Instant>) -> bool {
        sleep_until(deadline, || self.told() != Told::Nothing)
    }
}
