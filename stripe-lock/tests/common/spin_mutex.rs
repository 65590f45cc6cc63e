//! A spin lock whose acquisitions have a state. The lock checks the state on release.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::thread;
use std::time::{Duration, Instant};

use stripe_lock::lock_api::{RawMutex, RawMutexFair, RawMutexTimed};

use super::observe::{Event, about_to_take, has_released, note, serial};

/// The serial number of the acquisition that holds it. 0 while it is free.
pub struct SpinMutex(AtomicU64);

/// The state of an acquisition: the lock and a serial number. It is `Send`.
pub struct Token {
    lock: usize,
    serial: u64,
}

impl SpinMutex {
    fn address(&self) -> usize {
        (&raw const *self).addr()
    }

    fn attempt(&self) -> Option<Token> {
        let serial = serial();
        self.0.compare_exchange(0, serial, Acquire, Relaxed).ok()?;
        note(Event::Take(self.address()));
        Some(Token { lock: self.address(), serial })
    }
}

// SAFETY: a thread that changes 0 to a serial number holds it until the number is changed back, with acquire and
// release ordering.
unsafe impl RawMutex for SpinMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
    const INIT: Self = Self(AtomicU64::new(0));

    type Guard = Token;

    fn lock(&self) -> Token {
        about_to_take();
        loop {
            if let Some(token) = self.attempt() {
                return token;
            }
            thread::yield_now();
        }
    }

    fn try_lock(&self) -> Option<Token> {
        about_to_take();
        self.attempt()
    }

    unsafe fn unlock(&self, token: Token) {
        assert_eq!(token.lock, self.address(), "the state of another stripe");
        note(Event::Release(self.address()));
        assert_eq!(self.0.swap(0, Release), token.serial, "the state of another acquisition");
        has_released();
    }

    fn is_locked(&self) -> bool {
        self.0.load(Relaxed) != 0
    }
}

// SAFETY: as for `RawMutex`. There is no queue, so there is no waiter to hand it to.
unsafe impl RawMutexFair for SpinMutex {
    unsafe fn unlock_fair(&self, token: Token) {
        // SAFETY: the caller promises the same.
        unsafe { self.unlock(token) }
    }
}

// SAFETY: as for `RawMutex`.
unsafe impl RawMutexTimed for SpinMutex {
    type Duration = Duration;
    type Instant = Instant;

    fn try_lock_for(&self, timeout: Duration) -> Option<Token> {
        self.try_lock_until(Instant::now() + timeout)
    }

    fn try_lock_until(&self, deadline: Instant) -> Option<Token> {
        about_to_take();
        loop {
            if let Some(token) = self.attempt() {
                return Some(token);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::yield_now();
        }
    }
}
