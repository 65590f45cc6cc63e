//! The word of a stripe: what its bits mean, and every change that they may undergo.
//!
//! ```text
//! bit    0..4    4..8    8..32
//!        QUEUE   HELD    SHARES (words of 32 bits only)
//! ```
//!
//! `HELD` is 0 while the stripe has no exclusive or upgradable holder. An exclusive holder puts 1 there or, with the
//! feature `stats`, the fingerprint of its key, 2 to 14. An upgradable reader puts 15 there. `SHARES` counts the
//! readers, or the permits that are taken. `QUEUE` is the state of the queue:
//!
//! | value | name | meaning | what may enter |
//! |---|---|---|---|
//! | 0 | `EMPTY` | there are no waiters | every newcomer that the holders admit |
//! | 1 | `ASLEEP` | there are waiters, and none was woken | no newcomer: the next release hands over or wakes |
//! | 2 + n | `AWAKE` + n | the first waiter was woken, and n newcomers have entered since | every newcomer that the holders admit; each is counted |
//! | 14 | `LAST` | the first waiter was woken, and twelve newcomers have overtaken it | no newcomer: the next release hands over |
//! | 15 | `CLOSED` | the set is closed | no newcomer, ever again |
//!
//! The next table has every change of the word. All are compare-and-exchange loops, except for the release, which is
//! one subtraction. *Locked* says whether the bucket of the stripe is locked meanwhile.
//!
//! | change | made by | locked | ordering | pairs with |
//! |---|---|---|---|---|
//! | enter: `HELD` or shares added, `AWAKE` + 1 | newcomer | no | Acquire | the release before it: the new holder sees what was done under the lock |
//! | release: `HELD` or shares taken off | holder | no | Release | the next enter |
//! | downgrade: `HELD` becomes a share or 15 | holder | no | Release | the next enter |
//! | enqueue: `EMPTY` to `ASLEEP` | waiter | yes | Acquire (Relaxed would do) | the lock of the bucket: a release that sees `ASLEEP` locks it and finds the waiter |
//! | hand over: the first waiter's mode is entered | a release that found `ASLEEP` or `LAST` | yes | Acquire | the release before it. The waiter learns of it by an Acquire load of its own state |
//! | wake: `ASLEEP` to `AWAKE` | the same | yes | Acquire | nothing; it is the same exchange |
//! | enter from the queue: `HELD` added, `AWAKE` + n to `ASLEEP` or `EMPTY` | the waiter that was woken | yes | Acquire | the release before it |
//! | woken in vain: `AWAKE` + n to `ASLEEP` | the waiter that was woken | yes | Acquire (Relaxed would do) | the lock of the bucket |
//! | close: any to `CLOSED` | `close` | yes | Acquire (Relaxed would do) | the lock of the bucket |
//!
//! Every read-modify-write between a release and the next enter continues the release sequence of that release, so the
//! enter sees everything that its predecessor did. A load that only feeds the expected value of an exchange is Relaxed:
//! a stale value makes the exchange fail.
//!
//! No wake-up is lost, for two reasons. First, a release that finds `ASLEEP` or `LAST` locks the bucket and serves the
//! queue. If it finds `AWAKE`, a waiter was woken already, and checks the word again before it sleeps. Second, if a
//! stripe is free and its queue is `ASLEEP` or `LAST`, so that no newcomer may enter, then some thread holds the lock
//! of its bucket or is about to take it.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::instrument::Fingerprint;
use super::sync::{AtomicU8, AtomicU32, OVERTAKES};

const QUEUE: u32 = 0b1111;
pub(super) const EMPTY: u32 = 0;
pub(super) const ASLEEP: u32 = 1;
pub(super) const AWAKE: u32 = 2;
pub(super) const LAST: u32 = AWAKE + OVERTAKES;
pub(super) const CLOSED: u32 = 15;
const HELD_AT: u32 = 4;
const HELD: u32 = 0b1111 << HELD_AT;
const UPGRADABLE: u32 = 0b1111 << HELD_AT;
const SHARE: u32 = 1 << 8;
const SHARES: u32 = !0xFF;

const _: () = assert!(LAST < CLOSED, "the count of overtakers would reach `CLOSED`");

/// The most shares that one stripe can give out.
pub(super) const MAX_SHARES: u32 = SHARES / SHARE;

/// The mode in which a stripe is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Together with other holders: as a reader, or for this many permits.
    Shared(u32),
    /// Alone.
    Exclusive,
    /// Together with readers, and with the right to become exclusive.
    Upgradable,
    /// By the upgradable reader, which wants to become exclusive.
    Upgrade,
}

impl Mode {
    const EXCLUSIVE: u32 = u32::MAX;
    const UPGRADABLE: u32 = u32::MAX - 1;
    const UPGRADE: u32 = u32::MAX - 2;

    /// The mode as one number, for the nodes of waiters.
    pub(super) fn pack(self) -> u32 {
        match self {
            Self::Shared(shares) => shares.min(MAX_SHARES + 1),
            Self::Exclusive => Self::EXCLUSIVE,
            Self::Upgradable => Self::UPGRADABLE,
            Self::Upgrade => Self::UPGRADE,
        }
    }

    /// The inverse of [`pack`](Self::pack).
    pub(super) fn unpack(packed: u32) -> Self {
        match packed {
            Self::EXCLUSIVE => Self::Exclusive,
            Self::UPGRADABLE => Self::Upgradable,
            Self::UPGRADE => Self::Upgrade,
            shares => Self::Shared(shares),
        }
    }
}

/// The bits of the queue.
#[inline]
pub(super) fn queue(word: u32) -> u32 {
    word & QUEUE
}

/// The word with other bits for the queue.
#[inline]
pub(super) fn with_queue(word: u32, queue: u32) -> u32 {
    word & !QUEUE | queue
}

/// Whether the stripe has a holder. For a stripe that gives out all of its shares.
#[inline]
pub(super) fn is_held(word: u32) -> bool {
    word & (HELD | SHARES) != 0
}

/// The fingerprint that the exclusive holder left; 0 without one.
#[cfg(feature = "stats")]
pub(super) fn holder(word: u32) -> u32 {
    let held = word & HELD;
    if held == UPGRADABLE { 0 } else { held >> HELD_AT }
}

/// The number that a holder adds to a word when it enters, wrapping.
#[inline(always)]
fn part(mode: Mode, key: Fingerprint) -> u32 {
    match mode {
        Mode::Shared(shares) => shares.wrapping_mul(SHARE),
        Mode::Exclusive => key.to_bits() << HELD_AT,
        Mode::Upgradable => UPGRADABLE,
        Mode::Upgrade => (key.to_bits() << HELD_AT).wrapping_sub(UPGRADABLE),
    }
}

/// The word after `mode` has entered, if the holders admit that.
#[inline]
pub(super) fn admit(word: u32, mode: Mode, key: Fingerprint) -> Option<u32> {
    let (held, shares) = (word & HELD, word / SHARE);
    let admitted = match mode {
        Mode::Exclusive => held == 0 && shares == 0,
        // One share is kept back for the upgradable reader, which may become a plain one at any time.
        Mode::Upgradable => held == 0 && shares < MAX_SHARES,
        Mode::Upgrade => shares == 0,
        Mode::Shared(wanted) => match held {
            0 => wanted <= MAX_SHARES - shares,
            UPGRADABLE => wanted < MAX_SHARES - shares,
            _ => false,
        },
    };
    admitted.then(|| word.wrapping_add(part(mode, key)))
}

/// The word after a newcomer has entered in `mode`, if it may.
#[inline]
pub(super) fn enter(word: u32, mode: Mode, key: Fingerprint) -> Option<u32> {
    match queue(word) {
        EMPTY => admit(word, mode, key),
        ASLEEP | LAST | CLOSED => None,
        _ => Some(admit(word, mode, key)? + 1),
    }
}

/// Whether a release has to serve the queue, and no newcomer may enter before.
#[inline]
pub(super) fn must_serve(word: u32) -> bool {
    matches!(queue(word), ASLEEP | LAST)
}

/// Whether no newcomer may enter, even if the stripe is free.
#[inline]
pub(super) fn excludes_newcomers(word: u32) -> bool {
    matches!(queue(word), ASLEEP | LAST | CLOSED)
}

/// The word of a free stripe that gives out at most `shares` shares.
pub(super) fn with_shares(shares: u32) -> u32 {
    (MAX_SHARES - shares) * SHARE
}

/// How many more shares can be had.
pub(super) fn shares_left(word: u32) -> u32 {
    MAX_SHARES - word / SHARE
}

/// The atomic under a stripe: 8 bits where it is only ever held exclusively, else 32.
pub trait Word {
    /// An atomic with this value.
    fn new(word: u32) -> Self;
    /// The value.
    fn load(&self) -> u32;
    /// Changes the value from `current` to `new`.
    fn exchange(&self, current: u32, new: u32) -> Result<u32, u32>;
    /// Adds `part`, wrapping, and publishes what the holder did; returns the value before.
    fn add(&self, part: u32) -> u32;

    /// Replaces the value by what `next` makes of it, and tries again until that succeeds or `next` returns `None`.
    /// Returns the value before, or the one that `next` declined.
    #[inline]
    fn update(&self, mut next: impl FnMut(u32) -> Option<u32>) -> Result<u32, u32> {
        let mut now = self.load();
        while let Some(new) = next(now) {
            match self.exchange(now, new) {
                Ok(before) => return Ok(before),
                Err(other) => now = other,
            }
        }
        Err(now)
    }
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
            fn exchange(&self, current: u32, new: u32) -> Result<u32, u32> {
                match self.compare_exchange(current as $int, new as $int, Acquire, Relaxed) {
                    Ok(before) => Ok(u32::from(before)),
                    Err(now) => Err(u32::from(now)),
                }
            }

            #[inline]
            fn add(&self, part: u32) -> u32 {
                u32::from(self.fetch_add(part as $int, Release))
            }
        }
    };
}

word!(AtomicU8, u8);
word!(AtomicU32, u32);

/// Enters without waiting in the queue, if that is possible now.
#[inline(always)]
pub(super) fn try_enter(word: &impl Word, mode: Mode, key: Fingerprint) -> bool {
    // A stripe that is taken exclusively is nearly always free, so the exchange is tried before the word is read.
    mode == Mode::Exclusive && word.exchange(0, part(mode, key)).is_ok() || try_enter_looking(word, mode, key)
}

/// As [`try_enter`], but reads the word first: an exchange that fails costs as much as one that succeeds.
pub(super) fn try_enter_looking(word: &impl Word, mode: Mode, key: Fingerprint) -> bool {
    word.update(|now| enter(now, mode, key)).is_ok()
}

/// Releases what was entered with the same mode and key. Returns whether the queue has to be served.
#[inline(always)]
pub(super) fn release(word: &impl Word, mode: Mode, key: Fingerprint) -> bool {
    let before = word.add(part(mode, key).wrapping_neg());
    debug_assert!(
        mode != Mode::Exclusive || before & HELD == part(mode, key),
        "another guard holds the stripe"
    );
    must_serve(before)
}

/// Changes from a stronger mode to a weaker one. Returns whether the queue has to be served.
pub(super) fn downgrade(word: &impl Word, from: Mode, key: Fingerprint, to: Mode) -> bool {
    must_serve(word.add(part(to, key).wrapping_sub(part(from, key))))
}

/// Makes the upgradable reader exclusive, if there are no other readers.
pub(super) fn try_upgrade(word: &impl Word, key: Fingerprint) -> bool {
    word.update(|now| admit(now, Mode::Upgrade, key)).is_ok()
}

/// Replaces the fingerprint of the holder's key by 1.
pub(super) fn forget_key(word: &impl Word, mode: Mode, key: Fingerprint) {
    word.add(part(mode, Fingerprint::UNKNOWN).wrapping_sub(part(mode, key)));
}

/// Adds `shares` to the shares that the stripe gives out.
///
/// The caller makes sure that the stripe never has more than [`MAX_SHARES`], including those that are taken.
pub(super) fn add_shares(word: &impl Word, shares: u32) -> bool {
    must_serve(word.add(part(Mode::Shared(shares), Fingerprint::UNKNOWN).wrapping_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Exclusive, Shared, Upgradable, Upgrade};

    const ONE: Mode = Shared(1);

    fn admit(word: u32, mode: Mode) -> Option<u32> {
        super::admit(word, mode, Fingerprint::UNKNOWN)
    }

    fn enter(word: u32, mode: Mode) -> Option<u32> {
        super::enter(word, mode, Fingerprint::UNKNOWN)
    }

    fn left(word: u32, mode: Mode) -> u32 {
        let word = <AtomicU32 as Word>::new(word);
        release(&word, mode, Fingerprint::UNKNOWN);
        Word::load(&word)
    }

    #[test]
    fn a_mode_is_one_number() {
        for mode in [Shared(0), ONE, Shared(MAX_SHARES), Exclusive, Upgradable, Upgrade] {
            assert_eq!(Mode::unpack(mode.pack()), mode);
        }
    }

    #[test]
    fn compatible_modes_admit_each_other() {
        let modes = [ONE, Exclusive, Upgradable];
        let admitted = |held: Mode| modes.map(|mode| admit(admit(0, held).unwrap(), mode).is_some());
        assert_eq!(admitted(ONE), [true, false, true]);
        assert_eq!(admitted(Exclusive), [false, false, false]);
        assert_eq!(admitted(Upgradable), [true, false, false]);
    }

    #[test]
    fn an_upgrade_waits_for_the_readers() {
        let alone = admit(0, Upgradable).unwrap();
        assert_eq!(admit(alone, Upgrade), admit(0, Exclusive));
        let beside = admit(alone, ONE).unwrap();
        assert_eq!(admit(beside, Upgrade), None);
        assert_eq!(admit(left(beside, ONE), Upgrade), admit(0, Exclusive));
    }

    #[test]
    fn a_release_undoes_an_entry() {
        for queue in EMPTY..=CLOSED {
            for mode in [ONE, Shared(7), Exclusive, Upgradable] {
                assert_eq!(left(admit(queue, mode).unwrap(), mode), queue);
            }
        }
    }

    #[test]
    fn a_downgrade_is_the_weaker_mode() {
        for queue in EMPTY..=CLOSED {
            for (from, to) in [(Exclusive, ONE), (Exclusive, Upgradable), (Upgradable, ONE)] {
                let word = <AtomicU32 as Word>::new(admit(queue, from).unwrap());
                let owes = downgrade(&word, from, Fingerprint::UNKNOWN, to);
                assert_eq!(Word::load(&word), admit(queue, to).unwrap());
                assert_eq!(owes, must_serve(queue));
            }
        }
    }

    #[test]
    fn a_downgrade_always_finds_a_share() {
        let full = with_shares(0);
        assert_eq!((admit(full, Upgradable), admit(full, ONE)), (None, None));
        let nearly = admit(with_shares(1), Upgradable).unwrap();
        assert_eq!(admit(nearly, ONE), None, "the last share is for the upgradable reader");
        let word = <AtomicU32 as Word>::new(nearly);
        downgrade(&word, Upgradable, Fingerprint::UNKNOWN, ONE);
        assert_eq!(Word::load(&word), full);
    }

    #[test]
    fn twelve_newcomers_overtake_and_no_more() {
        let mut word = AWAKE;
        for _ in 0..OVERTAKES {
            word = left(enter(word, Exclusive).unwrap(), Exclusive);
        }
        assert_eq!(queue(word), LAST);
        assert_eq!((enter(word, Exclusive), enter(word, ONE)), (None, None));
    }

    #[test]
    fn no_newcomer_passes_a_sleeping_or_closed_queue() {
        for queue in [ASLEEP, LAST, CLOSED] {
            assert!([ONE, Exclusive, Upgradable].into_iter().all(|mode| enter(queue, mode).is_none()));
        }
    }

    #[test]
    fn shares_run_out() {
        let word = with_shares(3);
        let taken = admit(admit(word, ONE).unwrap(), Shared(2)).unwrap();
        assert_eq!((admit(taken, ONE), admit(taken, Shared(0))), (None, Some(taken)));
        assert_eq!(admit(word, Shared(4)), None);
        assert_eq!(left(left(taken, Shared(2)), ONE), word);
        assert_eq!(admit(word, Shared(u32::MAX)), None, "no sum overflows");
    }

    #[test]
    fn a_release_serves_a_queue_that_sleeps_or_was_overtaken_twelve_times() {
        for at in EMPTY..=CLOSED {
            for mode in [Exclusive, ONE, Upgradable] {
                let word = <AtomicU32 as Word>::new(admit(at, mode).unwrap());
                assert_eq!(release(&word, mode, Fingerprint::UNKNOWN), at == ASLEEP || at == LAST);
            }
        }
    }
}
