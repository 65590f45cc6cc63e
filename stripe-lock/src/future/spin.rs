//! How long a newcomer looks at a held stripe before it joins the queue.
//!
//! Where sections are short, the stripe is free again long before a task could have gone to sleep and been woken. Where they
//! are long, or span an await, looking is wasted. Which of the two it is, the waits themselves show: each bucket remembers
//! how looking ended of late. It starts with few looks. A look that succeeds buys longer ones; one that fails halves them.
//! Now and then a newcomer looks as long as may be, so that sections that got shorter are noticed.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::Relaxed;

use super::instrument::Fingerprint;
use super::sync::{AtomicU32, MOST_PAUSES};
use super::word::{self, Mode, Word};

/// So many pauses are made where looking is of no use.
const LEAST_PAUSES: u32 = 16;

/// One newcomer in so many looks as long as may be.
const PROBE: u32 = 64;

/// So many pauses, at most, lie between two looks.
const LONGEST: u32 = 32;

/// What the waits at the stripes of one bucket teach: the pauses that are worth it, and how many newcomers there were.
#[derive(Default)]
pub(super) struct Patience {
    pauses: AtomicU32,
    newcomers: AtomicU32,
}

impl Patience {
    /// Enters if the stripe becomes free while it is worth looking. Does not pass a queue that is asleep.
    pub(super) fn try_enter(&self, word: &impl Word, mode: Mode, key: Fingerprint) -> bool {
        let learnt = self.pauses.load(Relaxed);
        let newcomers = self.newcomers.load(Relaxed).wrapping_add(1);
        self.newcomers.store(newcomers, Relaxed);
        let most = if newcomers.is_multiple_of(PROBE) {
            MOST_PAUSES
        } else {
            learnt.max(LEAST_PAUSES.min(MOST_PAUSES))
        };
        let (mut spent, mut step) = (0, 1);
        loop {
            match word.update(|now| word::enter(now, mode, key)) {
                Ok(_) => {
                    self.learn(learnt, (learnt + spent).min(MOST_PAUSES));
                    return true;
                }
                Err(now) if word::keeps_out(now) => return false,
                Err(_) if spent >= most => {
                    self.learn(learnt, learnt / 2);
                    return false;
                }
                Err(_) => {
                    (0..step).for_each(|_| spin_loop());
                    spent += step;
                    step = (step * 2).min(LONGEST);
                }
            }
        }
    }

    fn learn(&self, before: u32, now: u32) {
        if before != now {
            self.pauses.store(now, Relaxed);
        }
    }
}
