//! How long a waiter spins on a held stripe before its task or thread goes to sleep.
//!
//! If sections are short, a stripe is free again long before a task could go to sleep and be woken. If they are long,
//! or span an await, spinning is wasted. So each bucket remembers how its latest spins ended: a success makes the
//! next spins longer, a failure makes them shorter. Now and then a waiter spins for the longest time that is allowed,
//! so that the bucket notices when sections get shorter. This probe becomes rarer each time it fails.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::Relaxed;

use super::sync::{AtomicU32, MOST_PAUSES};

/// The most pauses between two looks at the word. They are enough for the holder to use the stripe several times
/// while it has the cache line for itself.
const LONGEST_STEP: u32 = 32;

/// After this many pauses a newcomer joins the queue and spins there, because a newcomer can miss the moments in
/// which the stripe is free. Sections of a microsecond have ended by then.
const LOOK_FIRST: u32 = 64;

/// How many pauses a success adds to later spins.
const REWARD: u32 = 64;

/// One waiter in this many spins for the longest time: the least and the greatest interval.
const PROBES: (u32, u32) = (256, 1024);

/// What the latest waits at the stripes of one bucket have shown.
pub(super) struct Patience {
    /// How many pauses are worth it.
    pauses: AtomicU32,
    /// How many waiters are left until one spins for the longest time.
    until_probe: AtomicU32,
    /// How many waiters come between two of these.
    interval: AtomicU32,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self {
            pauses: AtomicU32::new(0),
            until_probe: AtomicU32::new(PROBES.0),
            interval: AtomicU32::new(PROBES.0),
        }
    }

    /// Begins to spin.
    #[inline]
    pub(super) fn begin(&self) -> Looking<'_> {
        let until = self.until_probe.load(Relaxed);
        let probes = until == 0;
        self.until_probe.store(if probes { self.interval.load(Relaxed) } else { until - 1 }, Relaxed);
        let learnt = self.pauses.load(Relaxed);
        let most = if probes { MOST_PAUSES } else { learnt };
        Looking { patience: self, learnt, probes, left: most, spent: 0, step: 1 }
    }
}

/// One waiter that spins.
pub(super) struct Looking<'p> {
    patience: &'p Patience,
    learnt: u32,
    probes: bool,
    left: u32,
    spent: u32,
    step: u32,
}

impl Looking<'_> {
    /// Pauses, longer each time. Returns whether another look at the word is worth it.
    pub(super) fn pause(&mut self) -> bool {
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

    /// Whether it is time to join the queue, and to spin there: a newcomer can miss the moments in which the stripe
    /// is free, while a queued waiter is served at one of the next releases.
    #[inline]
    pub(super) fn is_long(&self) -> bool {
        self.spent >= LOOK_FIRST
    }

    /// Whether no further look is worth it.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The waiter got the stripe before its task went to sleep.
    pub(super) fn succeeded(&self) {
        self.learn((self.learnt + REWARD).max(self.spent + REWARD).min(MOST_PAUSES), PROBES.0);
    }

    /// It was not.
    pub(super) fn failed(&self) {
        let interval = self.patience.interval.load(Relaxed);
        let interval = if self.probes { (interval * 4).min(PROBES.1) } else { interval };
        self.learn(self.learnt - self.learnt.div_ceil(4), interval);
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
