//! A mutex of two bytes that is locked by one compare-and-swap and released by a plain store.
//!
//! The first byte says whether it is locked. A thread that gives up looking at it goes to sleep in a queue, and the second
//! byte says so to the holder:
//!
//! | waiting | queue | what a release does |
//! |---|---|---|
//! | `NOBODY` | empty | stores 0 |
//! | `ASLEEP` | its first sleeps | tells the first to compete, or hands it the lock if it has competed for long |
//! | `AWAKE` | its first was told to compete, and looks | stores 0 |
//!
//! The second byte changes under the lock of the bucket in which the queue is. A release reads it twice. The read before the
//! store is the one that counts while threads wait: the releaser still holds the lock then, so that it can hand it over. The
//! read after the store finds who went to sleep in between, and costs no locked instruction: see [`barrier`].
//!
//! # No wake-up is lost
//!
//! A thread sleeps only while some other thread is bound to see to the queue. There are two cases.
//! - `AWAKE`: the first of the queue is awake. Whatever comes of it, it comes back under the lock of the bucket: with the lock
//!   in hand, or to sleep, or because its time is up; and sets the byte to what it leaves, or calls the next.
//! - `ASLEEP`: whoever set it did so under the lock of the bucket, and before it let go of that either held the lock itself,
//!   so that its own release will read the byte; or passed the barrier and then found the lock held. Any release of that
//!   holder or of a later one reads the byte: had it read it before it was set, its store would have been seen.
//!
//! One barrier for each change to `ASLEEP` is therefore enough, and those who join a queue that isn't empty need none: they
//! find the byte set under the lock of the bucket, which was not let go before the barrier was passed.
//!
//! Where the barrier fails, the first of the queue sleeps for a time only, and looks again.

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

use parker::{Parker, Told};
use queue::{Bucket, Waiter, queue_of};
use sync::{Byte, Locked, bucket_of};

const NOBODY: u8 = 0;
const ASLEEP: u8 = 1;
const AWAKE: u8 = 2;

/// How long the first of a queue sleeps, at most, where nothing makes sure that a release sees it.
const UNSURE: Duration = Duration::from_millis(1);

/// A raw mutex of two bytes: one locked instruction to lock, and none to unlock.
///
/// Newcomers may overtake those who wait, but not for long: once in half a millisecond, the thread that has waited longest is handed the
/// lock by a release that finds it asleep. [`unlock_fair`](RawMutexFair::unlock_fair) hands it over at once.
///
/// Only who has to sleep pays for the release without a locked instruction: it interrupts the processors on which other
/// threads of the process run, which takes 0.5 to 10 microseconds. Where the system has no such barrier, or forbids it, each
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
/// In one run of 0.7 s, a thread that waits for a key which two others take again and again, for 100 us each time, waited 3.8 ms at p99,
/// and 360 ms over `parking_lot`'s. With sections of 1 us it was the other way round: 4.3 ms and 0.6 ms. So take this one
/// where threads seldom meet or waiting must be bounded, and `parking_lot`'s, the default, where many meet on short sections.
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

/// How a wait goes on.
enum Turn {
    /// It has the lock.
    Had,
    /// To sleep. If not `sure`, a release may have missed that.
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

    /// Takes the lock, unless `deadline` passes first. Looks for a while, then sleeps.
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

    /// For the first of the queue: tries to get the lock before it sleeps again.
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

    /// Says that the first of the queue sleeps, to whoever releases the lock from now on. Under the lock of the bucket; the
    /// lock byte has to be looked at afterwards.
    fn fall_asleep(&self) -> bool {
        self.waiting.store(ASLEEP, Relaxed);
        barrier::everywhere()
    }

    /// For the first of the queue, who has competed in vain.
    fn sleep_again(&self, parker: &Arc<Parker>) -> Turn {
        let mut queues = self.bucket().queues.lock();
        if parker.told() == Told::Granted {
            return Turn::Had;
        }
        let sure = self.fall_asleep();
        let queue = queue_of(&mut queues, self.address());
        if self.attempt() {
            queue.remove(parker);
            self.say_who_is_left(queue.is_empty());
            return Turn::Had;
        }
        if let Some(first) = queue.first() {
            first.lost += 1;
        }
        parker.forget();
        Turn::Sleep { sure }
    }

    /// For the first of the queue, who has got the lock.
    fn enter(&self, parker: &Arc<Parker>) -> Turn {
        let mut queues = self.bucket().queues.lock();
        let queue = queue_of(&mut queues, self.address());
        queue.remove(parker);
        self.say_who_is_left(queue.is_empty());
        Turn::Had
    }

    /// For a holder, or on behalf of one: its release will read this byte.
    fn say_who_is_left(&self, nobody: bool) {
        self.waiting.store(if nobody { NOBODY } else { ASLEEP }, Relaxed);
    }

    /// Gives up waiting. Says whether the lock was handed over meanwhile.
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
/// How a lock is released.
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

    /// Hands the lock to the first of the queue if that is due, or `fair` asked for; otherwise releases it and calls the first,
    /// unless it is awake.
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
            self.say_who_is_left(queue.is_empty());
            drop(queues);
            granted.inspect(|parker| parker.wake());
            return;
        }
        self.locked.store(0, Release);
        if asleep {
            self.call_first(queues);
        }
    }

    /// Calls the first of the queue, unless that happened meanwhile. After the lock was released.
    #[cold]
    fn call(&self) {
        let queues = self.bucket().queues.lock();
        if self.waiting.load(Relaxed) == ASLEEP {
            self.call_first(queues);
        }
    }

    fn call_first(&self, mut queues: Locked<'_>) {
        self.waiting.store(AWAKE, Relaxed);
        let called = queue_of(&mut queues, self.address()).call_first();
        drop(queues);
        called.inspect(|parker| parker.wake());
    }
}

fn earlier(deadline: Option<Instant>, other: Instant) -> Instant {
    deadline.map_or(other, |deadline| deadline.min(other))
}

// SAFETY: whoever changes the lock byte from 0 to 1 holds the lock until the holder stores 0 or hands the byte over as it
// is; the compare-and-swap acquires what the store released, and a hand-over goes through a parker, which orders in the same way.
unsafe impl RawMutex for ByteMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait wants it")]
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
        // A time too far away to be told is no limit.
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
