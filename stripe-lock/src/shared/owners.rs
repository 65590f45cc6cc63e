//! Which stripe owns which places, in a set whose stripes can be split.
//!
//! The hash of a key leads to a place. There are as many places as the set can have stripes. A stripe owns a block of places, and the
//! index of the stripe is the lowest of them. A split gives the upper half of the block to a stripe of its own, and a merge gives it
//! back. The order of stripes never changes.
//!
//! A place changes its owner only while both stripes, the old owner and the new one, are held exclusively. So a thread that holds a
//! stripe and then finds that the stripe owns a place knows that it does so until the release. The accesses are relaxed: the stripes'
//! own locks order all changes that such a thread may see.

use alloc::boxed::Box;
use core::ops::Range;

use crate::shared::atomic::Relaxed;
use crate::shared::atomic::modelled::AtomicU32;
use crate::shared::stripe_set::{Bits, StripeSet};

/// The owner of each place.
pub(crate) struct Owners(Box<[AtomicU32]>);

impl Owners {
    /// `stripes` stripes of equal size, which own `places` places together. Both numbers are powers of two.
    pub(crate) fn new(stripes: usize, places: usize) -> Self {
        let width = places / stripes;
        Self((0..places).map(|place| AtomicU32::new((place / width * width) as u32)).collect())
    }

    /// The stripe that owns a place.
    #[inline]
    pub(crate) fn of(&self, place: usize) -> usize {
        self.0[place].load(Relaxed) as usize
    }

    /// The stripes that own these places.
    pub(crate) fn of_each(&self, places: &StripeSet) -> StripeSet {
        StripeSet::collect(self.0.len(), places.iter().map(|place| self.of(place)))
    }

    /// The stripes that own these places, in a set of at most 64.
    #[inline]
    pub(crate) fn of_few(&self, places: &Bits) -> Bits {
        Bits(places.clone().fold(0, |stripes, place| stripes | 1 << self.of(place)))
    }

    /// The place among `places` that the stripe owns, if there is exactly one.
    pub(crate) fn single_place(&self, places: &StripeSet, stripe: usize) -> Option<usize> {
        let is_own = |place| self.of(place) == stripe;
        let place = places.next_from(stripe)?;
        let is_single = places.next_from(place + 1).is_none_or(|next| !is_own(next));
        (is_own(place) && is_single).then_some(place)
    }

    /// The stripes that own places.
    pub(crate) fn active(&self) -> StripeSet {
        self.of_each(&StripeSet::all(self.0.len()))
    }

    /// Whether the stripe owns more than one place.
    #[inline]
    pub(crate) fn can_split(&self, stripe: usize) -> bool {
        self.0.get(stripe + 1).is_some_and(|next| next.load(Relaxed) as usize == stripe)
    }

    /// The places of a stripe that owns some.
    pub(crate) fn places(&self, stripe: usize) -> Range<usize> {
        let others = self.0[stripe..].iter().take_while(|owner| owner.load(Relaxed) as usize == stripe);
        stripe..stripe + others.count()
    }

    /// Gives places to a stripe. The caller holds it, and those that owned the places, exclusively.
    pub(crate) fn give(&self, places: Range<usize>, stripe: usize) {
        for place in places {
            self.0[place].store(stripe as u32, Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Owners;
    use crate::shared::stripe_set::{Bits, StripeSet};

    #[test]
    fn splits_and_merges_move_blocks() {
        let owners = Owners::new(2, 8);
        assert!(owners.active().iter().eq([0, 4]));
        assert_eq!(owners.places(4), 4..8);
        owners.give(6..8, 6);
        assert!((0..8).map(|place| owners.of(place)).eq([0, 0, 0, 0, 4, 4, 6, 6]));
        owners.give(7..8, 7);
        assert!(owners.can_split(4) && !owners.can_split(6) && !owners.can_split(7));
        owners.give(4..8, 4);
        assert_eq!((owners.places(0), owners.places(4)), (0..4, 4..8));
    }

    #[test]
    fn a_stripe_is_taken_for_one_place_or_for_several() {
        let (owners, places) = (Owners::new(2, 8), Bits(1 << 1 | 1 << 4 | 1 << 5));
        assert_eq!(owners.of_few(&places), Bits(1 << 0 | 1 << 4));
        let places = StripeSet::from(places);
        assert_eq!(owners.single_place(&places, 0), Some(1));
        assert_eq!(owners.single_place(&places, 4), None);
        owners.give(2..4, 2);
        assert_eq!(owners.single_place(&places, 2), None);
    }
}
