//! When a stripe is split. Each stripe has a score that counts the waits which a split would have avoided.
//!
//! A wait is *false* if the holder's key has another place than the waiter's, so that finer stripes would separate the two. A
//! wait for the same place is *true* contention, and does not count. The holder writes its place to the stripe's mark, and a
//! waiter compares it with its own.

use core::sync::atomic::AtomicU32 as PlainU32;

use crate::blocking::raw::{Mode, RawAcquire, Way};
use crate::shared::atomic::Relaxed;
use crate::shared::striped::Striped;

/// A false wait adds this to the score, and every acquisition subtracts 1. So the score of a stripe rises in the long run if more
/// than one acquisition of 8 waits falsely. [`recommended_stripes`](crate::recommended_stripes) plans for the same chance.
const FALSE_WAIT: u32 = 8;

/// The score at which a stripe is split. Three false waits in a row reach it.
#[cfg(not(loom))]
const SPLIT_SCORE: u32 = 21;
#[cfg(loom)]
const SPLIT_SCORE: u32 = 7;

/// The score of the two halves of a stripe that was split. If keys waited for each other, those of one half often do so too. One
/// false wait among the next five acquisitions splits the half.
const HALF_SCORE: u32 = SPLIT_SCORE - 3;

/// The low bits of a mark are the score. The other bits are the place plus 1, or 0.
const SCORE_BITS: u32 = 8;

/// What a set needs to split its stripes. `F` is the function that does it.
pub(crate) struct Growth<F> {
    /// The mark of each stripe, written by its holders. Marks are hints, so loom does not have to see them.
    marks: Striped<(), PlainU32, ()>,
    pub(crate) split: F,
}

impl<F> Growth<F> {
    pub(crate) fn new(stripes: usize, split: F) -> Self {
        Self { marks: Striped::from_fn(stripes, (), |_| PlainU32::new(0)), split }
    }

    /// The place of the holder, if the mark has one.
    fn holder(&self, stripe: usize) -> Option<usize> {
        (self.marks.stripe(stripe).load(Relaxed) >> SCORE_BITS).checked_sub(1).map(|place| place as usize)
    }

    /// Counts a false wait. The caller holds the stripe. If other threads hold it too, one of two counts may be lost.
    fn waited_falsely(&self, stripe: usize) {
        let mark = self.marks.stripe(stripe);
        let now = mark.load(Relaxed);
        let score = now % (1 << SCORE_BITS);
        mark.store(now - score + (score + FALSE_WAIT).min(SPLIT_SCORE + FALSE_WAIT), Relaxed);
    }

    /// Sets the score of a new half of a stripe. The caller holds it exclusively.
    pub(crate) fn halved(&self, stripe: usize) {
        self.marks.stripe(stripe).store(HALF_SCORE, Relaxed);
    }

    /// Counts an acquisition for this place, and returns whether the caller should split the stripe, which it holds. Only an exclusive
    /// holder can.
    #[inline]
    pub(crate) fn acquired(&self, stripe: usize, place: Option<usize>, exclusive: bool) -> bool {
        let mark = self.marks.stripe(stripe);
        let before = mark.load(Relaxed) % (1 << SCORE_BITS);
        let after = before.saturating_sub(1);
        let (score, split) = match (after >= SPLIT_SCORE, exclusive) {
            (false, _) => (after, false),
            (true, false) => (before, false),
            (true, true) => (HALF_SCORE, true),
        };
        mark.store(place.map_or(0, |place| place as u32 + 1) << SCORE_BITS | score, Relaxed);
        split
    }
}

/// A way of taking a stripe that counts false waits, if the operation has a single place on the stripe.
pub(crate) struct Counting<'a, W, F, P> {
    /// How to wait if the stripe is not free. `None` gives up.
    pub(crate) way: Option<&'a W>,
    pub(crate) growth: &'a Growth<F>,
    pub(crate) place: P,
}

impl<L: RawAcquire<M>, M: Mode, W: Way<L, M>, F, P: Fn() -> Option<usize>> Way<L, M>
    for Counting<'_, W, F, P>
{
    #[cfg(feature = "tracing")]
    const WAITS: bool = W::WAITS;

    #[inline]
    fn take(&self, raw: &L, stripe: usize) -> Option<L::State> {
        raw.try_acquire().or_else(|| {
            let way = self.way?;
            let (holder, place) = (self.growth.holder(stripe), (self.place)());
            let state = way.take(raw, stripe)?;
            if holder.is_some_and(|holder| place.is_some_and(|place| place != holder)) {
                self.growth.waited_falsely(stripe);
            }
            Some(state)
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Growth;

    #[test]
    fn three_false_waits_in_a_row_are_enough() {
        let growth = Growth::new(4, ());
        let due = (0..3).map(|_| {
            growth.waited_falsely(2);
            growth.acquired(2, Some(3), true)
        });
        assert!(due.eq([false, false, true]));
        assert_eq!(growth.holder(2), Some(3));
        assert!(
            (0..1_000).all(|_| !growth.acquired(2, None, true)),
            "no split is due without further false waits"
        );
        assert_eq!(growth.holder(2), None);
    }

    #[test]
    fn a_half_is_split_after_one_false_wait_among_five() {
        for calm in 0..6 {
            let growth = Growth::new(4, ());
            growth.halved(3);
            assert!((0..calm).all(|_| !growth.acquired(3, Some(3), true)));
            growth.waited_falsely(3);
            assert_eq!(growth.acquired(3, Some(3), true), calm <= 4);
        }
    }

    #[test]
    fn a_reader_leaves_the_split_to_a_writer() {
        let growth = Growth::new(1, ());
        (0..5).for_each(|_| growth.waited_falsely(0));
        assert!((0..100).all(|_| !growth.acquired(0, None, false)));
        assert!(growth.acquired(0, None, true));
    }

    #[test]
    fn one_in_nine_is_never_enough() {
        let growth = Growth::new(1, ());
        for _ in 0..1_000 {
            growth.waited_falsely(0);
            assert!((0..9).all(|_| !growth.acquired(0, Some(0), true)));
        }
    }

    #[test]
    fn one_in_seven_is_enough_in_the_end() {
        let growth = Growth::new(1, ());
        assert!((0..100).any(|_| {
            growth.waited_falsely(0);
            (0..7).any(|_| growth.acquired(0, Some(0), true))
        }));
    }
}
