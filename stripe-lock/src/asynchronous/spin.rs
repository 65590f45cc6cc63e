//! How long a waiter looks at a held stripe before its task or thread goes to sleep.
//!
//! Where sections are short, a stripe is free again long before a task could have gone to sleep and been woken. Where they
//! are long, or span an await, looking is wasted. Which of the two it is, the waits themselves show: each bucket remembers
//! how looking ended of late. A look that succeeds buys longer ones, one that fails shortens them. Now and then, and the more
//! rarely the more often it was in vain, a waiter looks as long as may be, so that sections that got shorter are noticed.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::Relaxed;

use super::sync::{AtomicU32, MOST_PAUSES};

/// So many pauses, at most, lie between two looks: enough for the holder to use the stripe several times over while it has
/// the cache line for itself.
const LONGEST_STEP: u32 = 32;

/// After so many pauses a newcomer joins the queue and looks from there, since it can miss the moments in which the stripe is
/// free. Sections of a microsecond have ended by then.
const LOOK_FIRST: u32 = 64;

/// A success allows for so many pauses more.
const REWARD: u32 = 64;

/// One waiter in so many looks as long as may be, at most and at least.
const PROBES: (u32, u32) = (256, 1024);

/// What the waits at the stripes of one bucket teach.
pub(super) struct Patience {
    /// The pauses that are worth it.
    pauses: AtomicU32,
    /// How many waiters come until one looks as long as may be.
    until_probe: AtomicU32,
    /// How many come between two such.
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

    /// Begins to look.
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

/// One waiter's looks.
pub(super) struct Looking<'p> {
    patience: &'p Patience,
    learnt: u32,
    probes: bool,
    left: u32,
    spent: u32,
    step: u32,
}

impl Looking<'_> {
    /// Waits a little, longer each time. Says whether another look is worth it.
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

    /// Whether it is time to join the queue, and to look from there: a newcomer can miss the moments in which the stripe is
    /// free, a waiter is served at one of the next releases.
    #[inline]
    pub(super) fn is_long(&self) -> bool {
        self.spent >= LOOK_FIRST
    }

    /// Whether no further look is worth it.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The stripe was had before the task went to sleep.
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
