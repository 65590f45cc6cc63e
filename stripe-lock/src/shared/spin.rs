//! How long a waiter spins on a held lock before its task or thread goes to sleep.
//!
//! If sections are short, a lock is free again long before a task could go to sleep and be woken. If they are long,
//! or span an await, spinning is wasted. So each bucket remembers how its latest spins ended: a success makes the
//! next spins longer, a failure makes them shorter. Now and then a waiter spins for the longest time that is allowed,
//! so that the bucket notices when sections get shorter. This probe becomes rarer each time it fails.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// The most pauses that a waiter makes before it goes to sleep: 10 to 40 us. A model makes none: spinning adds nothing to it,
/// because anything can happen between two looks anyway.
pub(crate) const MOST_PAUSES: u32 = if cfg!(loom) { 0 } else { 1024 };

/// The most pauses between two looks at the lock. They are enough for the holder to use the lock several times
/// while it has the cache line for itself.
const LONGEST_STEP: u32 = 32;

/// After this many pauses a newcomer to a queue of tasks joins it and spins there, because a newcomer can miss the moments in
/// which the lock is free. Sections of a microsecond have ended by then.
const LOOK_FIRST: u32 = 64;

/// Spins for at most `limit`, until an attempt succeeds. Returns whether one did. Unlike [`Patience::spin`], it lets no other thread run.
pub(crate) fn spin_for(limit: Duration, attempt: impl Fn() -> bool) -> bool {
    let since = Instant::now();
    // A model makes no pauses.
    while MOST_PAUSES > 0 && since.elapsed() < limit {
        (0..LONGEST_STEP).for_each(|_| spin_loop());
        if attempt() {
            return true;
        }
    }
    false
}

/// What differs between the kinds of locks.
#[derive(Clone, Copy)]
pub(crate) struct Tuning {
    /// How many pauses are made if spinning does not help.
    pub(crate) least: u32,
    /// How many pauses a success adds to later spins.
    pub(crate) reward: u32,
    /// One waiter in this many spins for the longest time: the least and the greatest interval.
    pub(crate) probes: (u32, u32),
}

/// What the latest waits at the locks of one bucket have shown. These are hints, so no model needs to see them.
pub(crate) struct Patience {
    tuning: Tuning,
    /// How many pauses are worth it.
    pauses: AtomicU32,
    /// How many waiters are left until one spins for the longest time.
    until_probe: AtomicU32,
    /// How many waiters come between two of these.
    interval: AtomicU32,
}

impl Patience {
    pub(crate) const fn new(tuning: Tuning) -> Self {
        let first = tuning.probes.0;
        Self {
            tuning,
            pauses: AtomicU32::new(if MOST_PAUSES > 0 { tuning.least } else { 0 }),
            until_probe: AtomicU32::new(first),
            interval: AtomicU32::new(first),
        }
    }

    /// Spins until an attempt succeeds or spinning is not worth it any more. Returns whether one did. After a microsecond or so it lets other
    /// threads run between its looks, because one of them may be the holder.
    pub(crate) fn spin(&self, attempt: impl Fn() -> bool, goes_on: impl Fn() -> bool) -> bool {
        let mut looking = self.begin();
        while looking.pause() {
            if looking.spent >= LOOK_FIRST {
                if !goes_on() {
                    break;
                }
                thread::yield_now();
            }
            if attempt() {
                looking.succeeded();
                return true;
            }
        }
        looking.failed();
        false
    }

    /// Begins to spin.
    #[inline]
    pub(crate) fn begin(&self) -> Looking<'_> {
        let until = self.until_probe.load(Relaxed);
        let probes = until == 0;
        self.until_probe.store(if probes { self.interval.load(Relaxed) } else { until - 1 }, Relaxed);
        let learnt = self.pauses.load(Relaxed);
        let most = if probes { MOST_PAUSES } else { learnt };
        Looking { patience: self, learnt, probes, left: most, spent: 0, step: 1 }
    }
}

/// One waiter that spins.
pub(crate) struct Looking<'p> {
    patience: &'p Patience,
    learnt: u32,
    probes: bool,
    left: u32,
    spent: u32,
    step: u32,
}

impl Looking<'_> {
    /// Pauses, longer each time. Returns whether another look at the word is worth it.
    pub(crate) fn pause(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        let step = self.step.min(self.left);
        (0..step).for_each(|_| spin_loop());
        self.left -= step;
        self.spent += step;
        self.step = (self.step * 2).min(LONGEST_STEP);
        true
    }

    /// Whether it is time to join the queue, and to spin there: a newcomer can miss the moments in which the lock
    /// is free, while a queued waiter is served at one of the next releases.
    #[cfg(feature = "async")]
    #[inline]
    pub(crate) fn is_long(&self) -> bool {
        self.spent >= LOOK_FIRST
    }

    /// Whether no further look is worth it.
    #[cfg(feature = "async")]
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The waiter got the lock before it went to sleep.
    pub(crate) fn succeeded(&self) {
        let Tuning { reward, probes, .. } = self.patience.tuning;
        self.learn((self.learnt.max(self.spent) + reward).min(MOST_PAUSES), probes.0);
    }

    /// The waiter went to sleep without the lock.
    pub(crate) fn failed(&self) {
        let Tuning { least, probes, .. } = self.patience.tuning;
        let interval = self.patience.interval.load(Relaxed);
        let interval = if self.probes { (interval * 4).min(probes.1) } else { interval };
        self.learn((self.learnt - self.learnt.div_ceil(4)).max(least.min(MOST_PAUSES)), interval);
    }

    fn learn(&self, pauses: u32, interval: u32) {
        if pauses != self.learnt {
            self.patience.pauses.store(pauses, Relaxed);
        }
        if interval != self.patience.interval.load(Relaxed) {
            self.patience.interval.store(interval, Relaxed);
        }
    }
}
