//! The library's own raw locks. A thread that has spun in vain sleeps in a queue, which is found by the lock's address: see [`slow`].

mod barrier;
mod parker;
mod queue;
mod rwlock;
mod slow;
mod sync;

use core::fmt;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::{Duration, Instant};

#[cfg(feature = "lock_api")]
use lock_api as api;

#[cfg(not(feature = "lock_api"))]
use crate::blocking::raw as api;

use api::{RawMutex, RawMutexFair, RawMutexTimed};

use crate::blocking::raw::GuardNoSend;

pub use rwlock::WordRwLock;
use slow::{ASLEEP, NOBODY, Waits, Wants};
use sync::Byte;

/// A raw mutex of two bytes: one locked instruction to lock, and none to unlock.
///
/// Newcomers may overtake waiting threads, but not for long. Once in half a millisecond, a release that finds the first
/// waiter asleep hands it the lock. A waiter that is awake, and may have no processor, is handed it after 1 ms.
/// [`unlock_fair`](RawMutexFair::unlock_fair) hands it over at once.
///
/// Threads that have to sleep pay for releases without a locked instruction. Each interrupts the processors on which
/// other threads of the process run, which takes 0.5 to 10 us. If the system has no such barrier, or forbids it, each
/// release is a locked instruction.
///
/// Measured on two Intel Xeon cores, in nanoseconds for a lock and its release, hash of a `u64` key and 64 stripes included. Of the
/// rows with several threads, those of one key vary least from run to run:
///
/// | | `ByteMutex` | `parking_lot::RawMutex` |
/// |---|---|---|
/// | a free key | 10.1 to 11.6 | 13.9 to 18.5 |
/// | 2 threads, one key, empty section | 22 | 38 |
/// | 8 threads, one key, empty section | 11 | 18 |
/// | 2 threads, random keys, empty section | 15 | 17 |
/// | 8 threads, random keys, empty section | 17 | 18 |
/// | 2 threads, one key, section of 1 us | 1,310 | 1,390 |
/// | 8 threads, one key, section of 1 us | 1,250 | 1,270 |
/// | 8 threads, one key, section of 100 us | 103,000 | 114,300 |
///
/// The wait at p99 of a thread for a key that two other threads take again and again:
///
/// | length of the sections | `ByteMutex` | `parking_lot::RawMutex` |
/// |---|---|---|
/// | 100 us | 0.9 ms | 495 ms |
/// | 1 us | 1.4 ms | 0.5 ms |
///
/// On AMD EPYC, an earlier version took 3.0 ns for a free key (`parking_lot`: 4.2), and 1.06 to 1.7 times as long as `parking_lot` for empty sections
/// on different keys.
///
/// Take this mutex if threads seldom wait for each other, or if waits must be bounded. Take `parking_lot`'s, the default, if
/// many threads compete for short sections.
///
/// # Examples
///
/// ```
/// use stripe_lock::StripedMutex;
/// use stripe_lock::raw::ByteMutex;
///
/// let per_stripe: StripedMutex<u64, u32, ByteMutex> = StripedMutex::default();
/// *per_stripe.lock(&1) += 1;
/// assert_eq!(*per_stripe.lock(&1), 1);
/// ```
#[repr(C, align(2))]
pub struct ByteMutex {
    locked: Byte,
    waiting: Byte,
}

impl Waits for ByteMutex {
    #[inline]
    fn waiting(&self) -> &Byte {
        &self.waiting
    }

    #[inline]
    fn attempt(&self, _: Wants) -> bool {
        self.locked.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }

    #[inline]
    fn is_free(&self, _: Wants) -> bool {
        self.locked.load(Relaxed) == 0
    }

    #[inline]
    fn is_shared(&self) -> bool {
        false
    }

    /// All want it alone.
    fn pass_to_sharer(&self) {}
}

impl ByteMutex {
    #[inline]
    fn release(&self) {
        let waiting = self.waiting.load(Relaxed);
        if waiting != NOBODY && self.looks_at_queue(waiting) {
            return self.release_alone(false, || self.locked.store(0, Release));
        }
        if barrier::release_by_store() {
            self.locked.store(0, Release);
            barrier::here();
        } else {
            self.locked.swap(0, SeqCst);
            barrier::here_in_any_mode();
        }
        if self.waiting.load(Relaxed) == ASLEEP {
            self.call(false);
        }
    }
}

// SAFETY: the thread that changes the lock byte from 0 to 1 holds the lock until it stores 0 or hands the byte over unchanged.
// The compare-and-swap acquires that store, and a hand-over goes through a parker, which has the same ordering.
unsafe impl RawMutex for ByteMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
    const INIT: Self = Self { locked: Byte::new(0), waiting: Byte::new(NOBODY) };

    type Guard = GuardNoSend;

    #[inline]
    fn lock(&self) -> GuardNoSend {
        if !self.attempt(Wants::Alone) {
            self.lock_slow(Wants::Alone, None);
        }
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardNoSend> {
        (self.is_free(Wants::Alone) && self.attempt(Wants::Alone)).then(GuardNoSend::new)
    }

    #[inline]
    unsafe fn unlock(&self, _: GuardNoSend) {
        self.release();
    }

    #[inline]
    fn is_locked(&self) -> bool {
        sync::exists(&self.waiting);
        !self.is_free(Wants::Alone)
    }
}

// SAFETY: as for `RawMutex`.
unsafe impl RawMutexFair for ByteMutex {
    #[inline]
    unsafe fn unlock_fair(&self, _: GuardNoSend) {
        if self.waiting.load(Relaxed) == NOBODY {
            self.release();
        } else {
            self.release_alone(true, || self.locked.store(0, Release));
        }
    }

    #[cfg(not(feature = "lock_api"))]
    unsafe fn bump(&self, _: &mut GuardNoSend) {
        if self.waiting.load(Relaxed) != NOBODY {
            crate::blocking::raw::no_unwinding(|| {
                self.release_alone(true, || self.locked.store(0, Release));
                self.lock();
            });
        }
    }
}

// SAFETY: as for `RawMutex`.
unsafe impl RawMutexTimed for ByteMutex {
    type Duration = Duration;
    type Instant = Instant;

    #[inline]
    fn try_lock_for(&self, timeout: Duration) -> Option<GuardNoSend> {
        // A time that the clock can't represent is no limit.
        let until = || Instant::now().checked_add(timeout);
        (self.attempt(Wants::Alone) || self.lock_slow(Wants::Alone, until())).then(GuardNoSend::new)
    }

    #[inline]
    fn try_lock_until(&self, deadline: Instant) -> Option<GuardNoSend> {
        (self.attempt(Wants::Alone) || self.lock_slow(Wants::Alone, Some(deadline))).then(GuardNoSend::new)
    }
}

impl fmt::Debug for ByteMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteMutex").field("locked", &self.is_locked()).finish_non_exhaustive()
    }
}
