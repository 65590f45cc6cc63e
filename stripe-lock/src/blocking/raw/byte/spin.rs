//! How long a thread looks at a held lock before it goes to sleep.
//!
//! Where sections are short, a lock is free again long before a thread could have gone to sleep and been woken. Where they are
//! long, looking is wasted. Which of the two it is, the waits themselves show: each bucket remembers how looking ended of
//! late. A look that succeeds buys longer ones, one that fails shortens them. Now and then, and the more rarely the more often
//! it was in vain, a thread looks as long as may be, so that sections that got shorter are noticed.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::sync::MOST_PAUSES;

/// So many pauses are made where looking is of no use.
const LEAST_PAUSES: u32 = if MOST_PAUSES < 8 { MOST_PAUSES } else { 8 };

/// So many pauses, at most, lie between two looks: enough for the holder to use the lock several times over while it has the
/// cache line for itself.
const LONGEST_STEP: u32 = 32;

/// A success allows for so many pauses more.
const REWARD: u32 = 32;

/// One look in so many is as long as may be, at most and at least.
const PROBES: (u32, u32) = (32, 1024);

/// What looking at the locks of one bucket has taught. No part of any protocol, so no model sees it.
pub(super) struct Patience {
    /// The pauses that are worth it.
    pauses: AtomicU32,
    /// How many looks come until one is as long as may be.
    until_probe: AtomicU32,
    /// How many come between two such.
    interval: AtomicU32,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self {
            pauses: AtomicU32::new(LEAST_PAUSES),
            until_probe: AtomicU32::new(PROBES.0),
            interval: AtomicU32::new(PROBES.0),
        }
    }

    /// Attempts it again and again, for as long as that is worth it; says whether it succeeded.
    pub(super) fn look(&self, attempt: impl Fn() -> bool) -> bool {
        let learnt = self.pauses.load(Relaxed);
        let until_probe = self.until_probe.load(Relaxed);
        let probes = until_probe == 0;
        let interval = self.interval.load(Relaxed);
        self.until_probe.store(if probes { interval } else { until_probe - 1 }, Relaxed);
        let most = if probes { MOST_PAUSES } else { learnt };
        let (mut spent, mut step) = (0, 1);
        while spent < most {
            (0..step).for_each(|_| spin_loop());
            spent += step;
            step = (step * 2).min(LONGEST_STEP);
            if attempt() {
                self.learn(learnt, learnt.max(spent) + REWARD, PROBES.0);
                return true;
            }
        }
        let interval = if probes { (interval * 4).min(PROBES.1) } else { interval };
        self.learn(learnt, learnt - learnt / 4, interval);
        false
    }

    fn learn(&self, learnt: u32, pauses: u32, interval: u32) {
        let pauses = pauses.clamp(LEAST_PAUSES, MOST_PAUSES);
        if pauses != learnt {
            self.pauses.store(pauses, Relaxed);
        }
        if interval != self.interval.load(Relaxed) {
            self.interval.store(interval, Relaxed);
        }
    }
}
