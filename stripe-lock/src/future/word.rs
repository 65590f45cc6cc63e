//! The word of a stripe: what its bits mean, and every change that they may undergo.
//!
//! ```text
//! bit    0..4    4..8    8..32
//!        LINE    HELD    SHARES (words of 32 bits only)
//! ```
//!
//! `HELD` is not zero while somebody holds the stripe exclusively: 1, or with the feature `stats` 2 to 15 for whoever asked
//! for one key, whose print it is. `SHARES` counts those who hold the stripe together with others
//! (readers, or permits taken). `LINE` says who waits:
//!
//! | value | name | meaning | who may go in |
//! |---|---|---|---|
//! | 0 | `EMPTY` | nobody waits | whoever fits |
//! | 1 | `ASLEEP` | somebody waits, no wake is under way | nobody: a release hands over or wakes |
//! | 2 + n | `AWAKE` + n | the first in line was woken, and n newcomers have gone in since | whoever fits, counted |
//! | 14 | `LAST` | as above, and the twelve that may overtake have | nobody: the next release hands over |
//!
//! Changes of the word (each a compare-and-exchange, but for the leave, which is a subtraction; *line lock* = the bucket of
//! the stripe is locked meanwhile):
//!
//! | change | by | line lock | ordering | pairs with |
//! |---|---|---|---|---|
//! | enter: `HELD` or a share on, `AWAKE` + 1 | newcomer | no | Acquire | the leave before it: what was done under the lock is seen |
//! | leave: `HELD` or a share off, whatever the line | holder | no | Release | the next enter |
//! | join: `EMPTY` to `ASLEEP` | waiter | yes | Relaxed | the lock of the bucket: who sees `ASLEEP` takes it and finds the waiter |
//! | hand over: the line's first goes in | who left and found `ASLEEP` or `LAST` | yes | Acquire | the leave before it, and for what comes after it the lock of the bucket, under which the waiter claims |
//! | wake: `ASLEEP` to `AWAKE` | the same | yes | Acquire | nothing; it is the same exchange |
//! | enter from the line: `HELD` on, `AWAKE` + n to `ASLEEP` or `EMPTY` | waiter that was woken | yes | Acquire | the leave before it |
//! | woken in vain: `AWAKE` + n to `ASLEEP` | waiter | yes | Relaxed | the lock of the bucket |
//!
//! The changes marked Relaxed, like the other read-modify-writes that come between a leave and the next enter, continue
//! the release sequence of that leave, so the enter still sees all that its predecessor did. A load that only
//! feeds the expected value of an exchange is Relaxed everywhere: a stale one makes the exchange fail.
//!
//! Two rules keep wake-ups from getting lost. A line that is not `EMPTY` is found by every release that the line's
//! first could be waiting for: in `ASLEEP` and `LAST` whoever leaves goes on to the bucket, and in `AWAKE` somebody
//! was woken who will look again before sleeping. And where a stripe is free and its line `ASLEEP` or `LAST`, so that nobody
//! may go in, somebody is on the way to its bucket or holds it.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release};

use super::place::Print;
use super::sync::{AtomicU8, AtomicU32, OVERTAKES, PATIENCE};

const LINE: u32 = 0b1111;
pub(super) const EMPTY: u32 = 0;
pub(super) const ASLEEP: u32 = 1;
pub(super) const AWAKE: u32 = 2;
pub(super) const LAST: u32 = AWAKE + OVERTAKES;
const HELD: u32 = 0b1111 << HELD_AT;
const HELD_AT: u32 = 4;
const SHARE: u32 = 1 << 8;
const SHARES: u32 = !0xFF;

const _: () = assert!(LAST <= LINE, "the count would run over into what says who holds the stripe");

/// The most shares that one stripe can give out.
pub(crate) const MAX_SHARES: u32 = SHARES / SHARE;

/// In which way a stripe is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Together with others who ask for the same.
    Shared,
    /// Alone.
    Exclusive,
}

/// The line's part of a word.
#[inline]
pub(super) fn line(word: u32) -> u32 {
    word & LINE
}

/// The word with another line.
#[inline]
pub(super) fn with_line(word: u32, line: u32) -> u32 {
    word & !LINE | line
}

/// What an exclusive holder adds to a word.
#[inline]
fn held(print: Print) -> u32 {
    print.to_bits() << HELD_AT
}

/// The print of who holds a stripe exclusively, 0 if nobody does.
#[cfg(feature = "stats")]
pub(super) fn holder(word: u32) -> u32 {
    (word & HELD) >> HELD_AT
}

/// The word after `mode` has been let in, if that fits with who is in.
#[inline]
pub(super) fn admit(word: u32, mode: Mode, print: Print) -> Option<u32> {
    match mode {
        Mode::Exclusive => (word & (HELD | SHARES) == 0).then_some(word | held(print)),
        Mode::Shared => (word & HELD == 0 && word & SHARES != SHARES).then(|| word + SHARE),
    }
}

/// The word after `mode`, which has not stood in line, has gone in, if it may.
#[inline]
pub(super) fn enter(word: u32, mode: Mode, print: Print) -> Option<u32> {
    match line(word) {
        EMPTY => admit(word, mode, print),
        ASLEEP | LAST => None,
        _ => Some(admit(word, mode, print)? + 1),
    }
}

/// Whether nobody may go in before whoever leaves has given the line its turn.
#[inline]
fn owes_a_turn(word: u32) -> bool {
    matches!(line(word), ASLEEP | LAST)
}

/// The word after `mode` has left.
#[inline]
pub(super) fn without(word: u32, mode: Mode) -> u32 {
    match mode {
        Mode::Exclusive => word & !HELD,
        Mode::Shared => word - SHARE,
    }
}

/// The word of a free stripe that gives out at most `shares` shares.
pub(crate) fn with_shares(shares: u32) -> u32 {
    (MAX_SHARES - shares) * SHARE
}

/// How many more shares can be had.
pub(super) fn shares_left(word: u32) -> u32 {
    MAX_SHARES - word / SHARE
}

/// The atomic under a stripe: 8 bits where it is only ever held exclusively, else 32.
pub trait Word {
    #[doc(hidden)]
    fn new(word: u32) -> Self;
    #[doc(hidden)]
    fn load(&self) -> u32;
    #[doc(hidden)]
    fn exchange(&self, current: u32, new: u32, success: Ordering) -> Result<u32, u32>;
    #[doc(hidden)]
    fn subtract(&self, part: u32) -> u32;
}

macro_rules! word {
    ($atomic:ty, $int:ty) => {
        impl Word for $atomic {
            fn new(word: u32) -> Self {
                <$atomic>::new(word as $int)
            }

            #[inline]
            fn load(&self) -> u32 {
                u32::from(<$atomic>::load(self, Relaxed))
            }

            #[inline]
            fn exchange(&self, current: u32, new: u32, success: Ordering) -> Result<u32, u32> {
                match self.compare_exchange(current as $int, new as $int, success, Relaxed) {
                    Ok(before) => Ok(u32::from(before)),
                    Err(now) => Err(u32::from(now)),
                }
            }

            #[inline]
            fn subtract(&self, part: u32) -> u32 {
                u32::from(self.fetch_sub(part as $int, Release))
            }
        }
    };
}

word!(AtomicU8, u8);
word!(AtomicU32, u32);

/// Goes in without standing in line, if that is possible now.
#[inline(always)]
pub(super) fn try_enter(word: &impl Word, mode: Mode, print: Print) -> bool {
    match mode {
        // Nearly always the stripe is free, so that is what is tried before the word is looked at.
        Mode::Exclusive => match word.exchange(0, held(print), Acquire) {
            Ok(_) => true,
            Err(now) => try_enter_from(word, mode, print, now),
        },
        Mode::Shared => try_enter_looking(word, mode, print),
    }
}

/// As [`try_enter`], but looks first: an exchange that fails costs as much as one that does not.
#[inline]
pub(super) fn try_enter_looking(word: &impl Word, mode: Mode, print: Print) -> bool {
    try_enter_from(word, mode, print, word.load())
}

#[inline]
fn try_enter_from(word: &impl Word, mode: Mode, print: Print, mut now: u32) -> bool {
    while let Some(next) = enter(now, mode, print) {
        match word.exchange(now, next, Acquire) {
            Ok(_) => return true,
            Err(other) => now = other,
        }
    }
    false
}

/// Goes in within the time of a few sections that are as short as sections can be, if that is possible without passing
/// a line that is asleep. Where sections are so short, to wait in line takes many times as long.
pub(super) fn try_enter_soon(word: &impl Word, mode: Mode, print: Print) -> bool {
    for round in 0..PATIENCE {
        let now = word.load();
        if owes_a_turn(now) {
            break;
        }
        if try_enter_from(word, mode, print, now) {
            return true;
        }
        (0..1 << round).for_each(|_| spin_loop());
    }
    false
}

/// Leaves. Says whether the line is to be given its turn now. `print` is the one with which the stripe was entered.
#[inline(always)]
pub(super) fn leave(word: &impl Word, mode: Mode, print: Print) -> bool {
    let before = match mode {
        Mode::Exclusive => {
            let before = word.subtract(held(print));
            debug_assert_eq!(before & HELD, held(print), "the stripe is held by somebody else");
            before
        }
        Mode::Shared => word.subtract(SHARE),
    };
    owes_a_turn(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Exclusive, Shared};

    fn admit(word: u32, mode: Mode) -> Option<u32> {
        super::admit(word, mode, Print::UNKNOWN)
    }

    fn enter(word: u32, mode: Mode) -> Option<u32> {
        super::enter(word, mode, Print::UNKNOWN)
    }

    #[test]
    fn who_fits_with_whom() {
        let held = admit(EMPTY, Exclusive).unwrap();
        assert_eq!((admit(held, Exclusive), admit(held, Shared)), (None, None));
        assert_eq!(without(held, Exclusive), EMPTY);
        let read = admit(admit(EMPTY, Shared).unwrap(), Shared).unwrap();
        assert_eq!(admit(read, Exclusive), None);
        assert_eq!(without(without(read, Shared), Shared), EMPTY);
    }

    #[test]
    fn at_most_twelve_overtake() {
        let mut word = AWAKE;
        for _ in 0..OVERTAKES {
            word = without(enter(word, Exclusive).unwrap(), Exclusive);
        }
        assert_eq!(line(word), LAST);
        assert_eq!((enter(word, Exclusive), enter(word, Shared)), (None, None));
    }

    #[test]
    fn nobody_passes_a_sleeping_line() {
        assert_eq!((enter(ASLEEP, Exclusive), enter(ASLEEP, Shared)), (None, None));
    }

    #[test]
    fn shares_run_out() {
        let word = with_shares(2);
        let taken = admit(admit(word, Shared).unwrap(), Shared).unwrap();
        assert_eq!(admit(taken, Shared), None);
        assert_eq!(without(without(taken, Shared), Shared), word);
        assert_eq!(admit(with_shares(0), Shared), None);
    }

    #[test]
    fn who_leaves_owes_a_turn_where_the_line_sleeps_or_was_overtaken_enough() {
        for at in EMPTY..=LAST {
            for mode in [Exclusive, Shared] {
                let word = <AtomicU32 as Word>::new(admit(at, mode).unwrap());
                assert_eq!(leave(&word, mode, Print::UNKNOWN), at == ASLEEP || at == LAST, "{at} {mode:?}");
                assert_eq!(Word::load(&word), at);
            }
        }
    }

    #[test]
    fn patience_does_not_pass_a_line() {
        let enters = |word| try_enter_soon(&<AtomicU32 as Word>::new(word), Exclusive, Print::UNKNOWN);
        assert!(enters(EMPTY) && enters(AWAKE));
        assert!(!enters(ASLEEP) && !enters(LAST));
        assert!(!enters(admit(EMPTY, Exclusive).unwrap()), "and ends");
    }
}
