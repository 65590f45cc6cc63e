//! Puts a thread to sleep until another thread sends it a message.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

use super::sync::{AtomicU8, give_back_wake_up};
use crate::shared::threads::{Thread, current, per_thread, sleep_until};

/// The message to a sleeping thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// No message yet.
    Nothing,
    /// Compete for the lock.
    Compete,
    /// You have the lock.
    Granted,
}

pub(super) struct Parker {
    thread: Thread,
    told: AtomicU8,
}

per_thread! {
    /// The thread's parker while no wait uses it. It is made at the thread's first wait.
    static PARKER: Cell<Option<Arc<Parker>>> = const { Cell::new(None) };
}

impl Parker {
    /// This thread's parker, without a message.
    ///
    /// If the thread-local data is destroyed already, as in the destructor of another thread-local variable, it is a
    /// new parker for this wait only.
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

    /// The message. Pairs with [`tell`](Self::tell): a thread that is granted the lock sees what the last holder wrote.
    pub(super) fn told(&self) -> Told {
        match self.told.load(Acquire) {
            0 => Told::Nothing,
            1 => Told::Compete,
            _ => Told::Granted,
        }
    }

    /// Sets the message. The caller has to [wake](Self::wake) the thread afterwards.
    pub(super) fn tell(&self, what: Told) {
        self.told.store(what as u8, Release);
    }

    /// Removes the message. For the thread itself, while no other thread can set one: when it is in no queue, or
    /// under the lock of its bucket.
    pub(super) fn forget(&self) {
        self.told.store(Told::Nothing as u8, Relaxed);
    }

    pub(super) fn wake(&self) {
        self.thread.unpark();
    }

    /// Sleeps until there is a message or the time is up. Returns whether there is a message.
    pub(super) fn sleep(&self, deadline: Option<Instant>) -> bool {
        sleep_until(deadline, || self.told() != Told::Nothing)
    }
}
