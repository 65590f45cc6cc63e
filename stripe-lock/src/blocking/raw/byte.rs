//! A mutex of two bytes that is locked by one compare-and-swap and released by a plain store.
//!
//! The first byte says whether it is locked. A thread that has spun in vain joins a queue and sleeps. The second byte
//! tells this to the holder:
//!
//! | second byte | queue | a release |
//! |---|---|---|
//! | `NOBODY` | empty | stores 0 |
//! | `ASLEEP` | its first waiter sleeps | tells the first waiter to compete, or hands it the lock if that is due |
//! | `AWAKE` | its first waiter was told to compete, and is awake | stores 0 |
//!
//! The second byte changes under the lock of the queue's bucket. A release reads it twice. If threads wait, the read before
//! the store finds them while the releaser still holds the lock, so it can hand the lock over. The read after the store
//! finds a thread that went to sleep in between. It needs no locked instruction: see [`barrier`].
//!
//! # No wake-up is lost
//!
//! A thread sleeps only while another thread is certain to serve the queue. There are two cases.
//! - `AWAKE`: the first waiter is awake. It will lock the bucket again, because it has the lock, goes back to sleep, or has
//!   timed out. Then it sets the byte for the remaining queue, or wakes the next waiter.
//! - `ASLEEP`: the thread that set it held the bucket's lock. Before it released that, it either held the mutex, and then
//!   its own release will read the byte. Or it passed the barrier and then found the mutex locked. Then the release of that
//!   holder reads the byte: if it had read the byte before it was set, its store would have been visible after the barrier.
//!
//! So one barrier for each change to `ASLEEP` is enough. A thread that joins a queue that isn't empty needs none: it finds
//! the byte set under the bucket's lock, which was not released before the barrier was passed.
//!
//! If the barrier fails, the first waiter sleeps for a limited time and then checks again.

mod barrier;
mod parker;
mod queue;
mod sync;

use core::fmt;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "lock_api")]
use lock_api as api;

#[cfg(not(feature = "lock_api"))]
use crate::blocking::raw as api;

use api::{RawMutex, RawMutexFair, RawMutexTimed};

use crate::blocking::raw::GuardNoSend;
use crate::shared::mutex::MutexGuard;

use parker::{Parker, Told};
use queue::{Bucket, Queue, Waiter, queue_of};
use sync::{Byte, bucket_of};

const NOBODY: u8 = 0;
const ASLEEP: u8 = 1;
const AWAKE: u8 = 2;

/// The longest sleep of the first waiter if a release may not see it.
const UNSURE: Duration = Duration::from_millis(1);

/// A raw mutex of two bytes: one locked instruction to lock, and none to unlock.
///
/// Newcomers may overtake waiting threads, but not for long. Once in half a millisecond, a release that finds the first
/// waiter asleep hands it the lock. [`unlock_fair`](RawMutexFair::unlock_fair) hands it over at once.
///
/// Threads that have to sleep pay for releases without a locked instruction. Each interrupts the processors on which
/// other threads of the process run, which takes 0.5 to 10 us. If the system has no such barrier, or forbids it, each
/// release is a locked instruction.
///
/// Measured on two AMD EPYC cores, in nanoseconds for a lock and its release, median of 31 rounds of one thread and of 3 of
/// several:
///
/// | | `ByteMutex` | `parking_lot::RawMutex` |
/// |---|---|---|
/// | a random `u64` key over 64 stripes, hash included | 2.9 | 4.4 |
/// | one mutex in a loop, no hash | 2.2 | 5.1 |
/// | 2 threads, one key, empty section | 11.9 | 9.8 |
/// | 8 threads, one key, empty section | 11.1 | 9.0 |
/// | 2 threads, one key, section of 1 us | 1,065 | 1,278 |
/// | 8 threads, one key, section of 1 us | 1,353 | 1,231 |
///
/// The wait at p99 of a thread for a key that two other threads take again and again, in one run of 0.7 s:
///
/// | length of the sections | `ByteMutex` | `parking_lot::RawMutex` |
/// |---|---|---|
/// | 100 us | 3.8 ms | 360 ms |
/// | 1 us | 4.3 ms | 0.6 ms |
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

/// The next step of a wait.
enum Turn {
    /// The thread has the lock.
    Had,
    /// The thread has to sleep. If `sure` is false, a release may not see it.
    Sleep { sure: bool },
}

impl ByteMutex {
    /// Takes the lock if it is free.
    #[inline]
    fn attempt(&self) -> bool {
        self.locked.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }

    fn bucket(&self) -> &'static Bucket {
        bucket_of(self.address())
    }

    fn address(&self) -> usize {
        (&raw const *self).addr()
    }

    /// Takes the lock, or returns `false` at `deadline`. Spins first, then sleeps.
    #[cold]
    fn lock_slow(&self, deadline: Option<Instant>) -> bool {
        if self.bucket().patience.spin(|| self.is_free() && self.attempt()) {
            return true;
        }
        let parker = Parker::take();
        let had = self.wait(&parker, deadline);
        Parker::keep(parker);
        had
    }

    fn is_free(&self) -> bool {
        self.locked.load(Relaxed) == 0
    }

    fn wait(&self, parker: &Arc<Parker>, deadline: Option<Instant>) -> bool {
        let mut turn = self.join(parker);
        while let Turn::Sleep { sure } = turn {
            let until = if sure { deadline } else { Some(earlier(deadline, Instant::now() + UNSURE)) };
            let told = parker.sleep(until);
            if !told && until == deadline {
                return self.leave(parker, sure);
            }
            if parker.told() == Told::Granted {
                return true;
            }
            turn = if self.compete(parker) { self.enter(parker) } else { self.sleep_again(parker) };
        }
        true
    }

    /// For the first waiter: tries to get the lock before it sleeps again.
    fn compete(&self, parker: &Parker) -> bool {
        self.attempt()
            || self
                .bucket()
                .patience
                .spin(|| self.is_free() && self.attempt() || parker.told() == Told::Granted)
                && parker.told() != Told::Granted
    }

    /// Takes the lock or joins the queue.
    fn join(&self, parker: &Arc<Parker>) -> Turn {
        let mut queues = self.bucket().queues.lock();
        let queue = queue_of(&mut queues, self.address());
        let mut sure = true;
        if queue.is_empty() {
            sure = self.fall_asleep();
            if self.attempt() {
                self.waiting.store(NOBODY, Relaxed);
                return Turn::Had;
            }
        }
        queue.push(Waiter::new(parker.clone()));
        Turn::Sleep { sure }
    }

    /// Tells later releases that the first waiter sleeps. The caller holds the bucket's lock, and has to check the lock
    /// byte afterwards.
    fn fall_asleep(&self) -> bool {
        self.waiting.store(ASLEEP, Relaxed);
        barrier::everywhere()
    }

    /// For the first waiter, which has competed in vain.
    fn sleep_again(&self, parker: &Arc<Parker>) -> Turn {
        let mut queues = self.bucket().queues.lock();
        if parker.told() == Told::Granted {
            return Turn::Had;
        }
        let sure = self.fall_asleep();
        let queue = queue_of(&mut queues, self.address());
        if self.attempt() {
            queue.remove(parker);
            self.mark_rest_of_queue(queue.is_empty());
            return Turn::Had;
        }
        if let Some(first) = queue.first() {
            first.lost += 1;
        }
        parker.forget();
        Turn::Sleep { sure }
    }

    /// For the first waiter, which has the lock.
    fn enter(&self, parker: &Arc<Parker>) -> Turn {
        let mut queues = self.bucket().queues.lock();
        let queue = queue_of(&mut queues, self.address());
        queue.remove(parker);
        self.mark_rest_of_queue(queue.is_empty());
        Turn::Had
    }

    /// For a holder, or on behalf of one: sets the second byte for the rest of the queue. The release will read it.
    fn mark_rest_of_queue(&self, nobody: bool) {
        self.waiting.store(if nobody { NOBODY } else { ASLEEP }, Relaxed);
    }

    /// Gives up waiting. Returns whether the lock was handed over in the meantime.
    fn leave(&self, parker: &Arc<Parker>, sure: bool) -> bool {
        let mut queues = self.bucket().queues.lock();
        if parker.told() == Told::Granted {
            return true;
        }
        let queue = queue_of(&mut queues, self.address());
        let was_first = queue.remove(parker);
        if queue.is_empty() {
            self.waiting.store(NOBODY, Relaxed);
        } else if was_first && (self.waiting.load(Relaxed) == AWAKE || !sure) {
            self.call_first(queues);
        }
        false
    }
}
/// Releasing the lock.
impl ByteMutex {
    #[inline]
    fn release(&self) {
        if self.waiting.load(Relaxed) == ASLEEP || !barrier::release_by_store() {
            return self.release_slow(false);
        }
        self.locked.store(0, Release);
        barrier::here();
        if self.waiting.load(Relaxed) == ASLEEP {
            self.call();
        }
    }

    /// Hands the lock to the first waiter if the waiter is due or `fair` is set. Otherwise releases the lock, and tells
    /// the first waiter to compete unless it is awake.
    #[cold]
    fn release_slow(&self, fair: bool) {
        if self.waiting.load(Relaxed) == NOBODY {
            self.locked.swap(0, SeqCst);
            barrier::here_in_any_mode();
            if self.waiting.load(Relaxed) == ASLEEP {
                self.call();
            }
            return;
        }
        let mut queues = self.bucket().queues.lock();
        let asleep = self.waiting.load(Relaxed) == ASLEEP;
        let queue = queue_of(&mut queues, self.address());
        if let Some(first) = queue.first()
            && (fair || asleep && first.is_due())
        {
            let granted = queue.grant_first();
            self.mark_rest_of_queue(queue.is_empty());
            drop(queues);
            granted.inspect(|parker| parker.wake());
            return;
        }
        self.locked.store(0, Release);
        if asleep {
            self.call_first(queues);
        }
    }

    /// Wakes the first waiter, unless another thread has done so. To be called after the lock was released.
    #[cold]
    fn call(&self) {
        let queues = self.bucket().queues.lock();
        if self.waiting.load(Relaxed) == ASLEEP {
            self.call_first(queues);
        }
    }

    fn call_first(&self, mut queues: MutexGuard<'_, Vec<Queue>>) {
        self.waiting.store(AWAKE, Relaxed);
        let called = queue_of(&mut queues, self.address()).call_first();
        drop(queues);
        called.inspect(|parker| parker.wake());
    }
}

fn earlier(deadline: Option<Instant>, other: Instant) -> Instant {
    deadline.map_or(other, |deadline| deadline.min(other))
}

// SAFETY: the thread that changes the lock byte from 0 to 1 holds the lock until it stores 0 or hands the byte over unchanged.
// The compare-and-swap acquires that store, and a hand-over goes through a parker, which has the same ordering.
unsafe impl RawMutex for ByteMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
    const INIT: Self = Self { locked: Byte::new(0), waiting: Byte::new(NOBODY) };

    type Guard = GuardNoSend;

    #[inline]
    fn lock(&self) -> GuardNoSend {
        if !self.attempt() {
            self.lock_slow(None);
        }
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardNoSend> {
        (self.is_free() && self.attempt()).then(GuardNoSend::new)
    }

    #[inline]
    unsafe fn unlock(&self, _: GuardNoSend) {
        self.release();
    }

    #[inline]
    fn is_locked(&self) -> bool {
        sync::exists(&self.waiting);
        !self.is_free()
    }
}

// SAFETY: as for `RawMutex`.
unsafe impl RawMutexFair for ByteMutex {
    #[inline]
    unsafe fn unlock_fair(&self, _: GuardNoSend) {
        if self.waiting.load(Relaxed) == NOBODY {
            self.release();
        } else {
            self.release_slow(true);
        }
    }

    #[cfg(not(feature = "lock_api"))]
    unsafe fn bump(&self, _: &mut GuardNoSend) {
        if self.waiting.load(Relaxed) != NOBODY {
            crate::blocking::raw::no_unwinding(|| {
                self.release_slow(true);
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
        (self.attempt() || self.lock_slow(until())).then(GuardNoSend::new)
    }

    #[inline]
    fn try_lock_until(&self, deadline: Instant) -> Option<GuardNoSend> {
        (self.attempt() || self.lock_slow(Some(deadline))).then(GuardNoSend::new)
    }
}

impl fmt::Debug for ByteMutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteMutex").field("locked", &self.is_locked()).finish_non_exhaustive()
    }
}
