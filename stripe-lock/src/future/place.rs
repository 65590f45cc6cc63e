//! Where a key belongs: its stripe and, with the feature `stats`, its print.
//!
//! A print is four bits of the hash, those that follow the ones which chose the stripe. A holder leaves it in the word, so
//! that whoever has to wait can tell whether it met its own key there or another one.

use crate::waits::KeyHash;

#[cfg(feature = "stats")]
pub(super) use on::Print;

#[cfg(not(feature = "stats"))]
pub(super) use off::Print;

/// A stripe, and whose it is to be.
#[derive(Clone, Copy, Debug)]
pub struct Place(u32, KeyHash);

impl Place {
    /// The place of a key, by its stripe and by what its hash says beyond that.
    #[inline]
    pub(super) fn of_key(stripe: usize, rest: u64) -> Self {
        Self::new(stripe, Print::of(rest))
    }

    /// The place of nobody in particular: of several keys together.
    #[inline]
    pub(super) fn of_stripe(stripe: usize) -> Self {
        Self::new(stripe, Print::UNKNOWN)
    }

    #[inline]
    pub(super) fn new(stripe: usize, print: Print) -> Self {
        Self(stripe as u32 | print.pack(), KeyHash::NONE)
    }

    /// The same, of the key with this hash.
    #[inline]
    pub(super) fn asked_for_by(self, hash: KeyHash) -> Self {
        Self(self.0, hash)
    }

    #[inline]
    pub(super) fn hash(self) -> KeyHash {
        self.1
    }

    #[inline]
    pub(super) fn stripe(self) -> usize {
        (self.0 & Print::NOT_PACKED) as usize
    }

    #[inline]
    pub(super) fn print(self) -> Print {
        Print::unpack(self.0)
    }

    /// All of it but the hash, with the top bit clear.
    #[inline]
    pub(super) fn to_bits(self) -> u32 {
        self.0
    }

    /// What [`to_bits`](Self::to_bits) gave.
    #[inline]
    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits, KeyHash::NONE)
    }
}

#[cfg(feature = "stats")]
mod on {
    use crate::MAX_STRIPES;

    /// The bits of a place that the stripe needs; the print has those above.
    const STRIPE_BITS: u32 = MAX_STRIPES.ilog2();

    /// 1 where the key is not known, 2 to 15 for a key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::future) struct Print(u32);

    impl Print {
        pub(in crate::future) const UNKNOWN: Self = Self(1);
        pub(super) const NOT_PACKED: u32 = (1 << STRIPE_BITS) - 1;
        /// The least print of a key: three of the sixteen values that four bits can have mean this one.
        const LEAST: u32 = 2;

        /// How likely it is that two keys have the same print by chance: three sixteenths squared, and thirteen times one
        /// sixteenth squared.
        pub(in crate::future) const CHANCE: f64 = (9.0 + 13.0) / 256.0;

        #[inline]
        pub(super) fn of(rest: u64) -> Self {
            Self(((rest >> 60) as u32).max(Self::LEAST))
        }

        #[inline]
        pub(super) fn pack(self) -> u32 {
            self.0 << STRIPE_BITS
        }

        #[inline]
        pub(super) fn unpack(place: u32) -> Self {
            Self(place >> STRIPE_BITS)
        }

        /// As it stands in the lowest four bits of a number.
        #[inline]
        pub(in crate::future) fn to_bits(self) -> u32 {
            self.0
        }

        /// Whether the holder who left `bits` has the same key; none if that can't be told.
        pub(in crate::future) fn met(self, bits: u32) -> Option<bool> {
            let told = self.0 >= Self::LEAST && bits >= Self::LEAST;
            told.then_some(self.0 == bits)
        }
    }
}

#[cfg(not(feature = "stats"))]
mod off {
    /// Nothing is known of keys.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::future) struct Print;

    impl Print {
        pub(in crate::future) const UNKNOWN: Self = Self;
        pub(super) const NOT_PACKED: u32 = u32::MAX;

        #[inline]
        pub(super) fn of(_rest: u64) -> Self {
            Self
        }

        #[inline]
        #[allow(clippy::unused_self, reason = "the same face as `on`")]
        pub(super) fn pack(self) -> u32 {
            0
        }

        #[inline]
        pub(super) fn unpack(_place: u32) -> Self {
            Self
        }

        #[inline]
        #[allow(clippy::unused_self, reason = "the same face as `on`")]
        pub(in crate::future) fn to_bits(self) -> u32 {
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_STRIPES;

    #[test]
    fn a_place_is_a_stripe_and_a_print() {
        for stripe in [0, 1, MAX_STRIPES - 1] {
            for rest in [0, 5 << 60, u64::MAX] {
                let place = Place::of_key(stripe, rest);
                assert_eq!((place.stripe(), place.print()), (stripe, Print::of(rest)));
                let place = Place::from_bits(place.to_bits());
                assert_eq!((place.stripe(), place.print()), (stripe, Print::of(rest)));
            }
            let place = Place::of_stripe(stripe);
            assert_eq!((place.stripe(), place.print()), (stripe, Print::UNKNOWN));
            assert_eq!(place.to_bits() >> 31, 0);
        }
    }

    #[cfg(feature = "stats")]
    #[test]
    fn prints_meet_by_chance_as_often_as_is_said() {
        let prints: Vec<_> = (0..16_u64).map(|top| Print::of(top << 60)).collect();
        let pairs = prints.iter().flat_map(|one| prints.iter().map(move |other| one == other));
        let (same, all) = pairs.fold((0, 0), |(same, all), met| (same + u32::from(met), all + 1));
        assert!((f64::from(same) / f64::from(all) - Print::CHANCE).abs() < 1e-12);
        assert_eq!(Print::UNKNOWN.met(Print::of(0).to_bits()), None);
        assert_eq!(Print::of(0).met(Print::UNKNOWN.to_bits()), None);
        assert_eq!(Print::of(0).met(0), None, "nobody holds it");
        assert_eq!(Print::of(3 << 60).met(3), Some(true));
        assert_eq!(Print::of(3 << 60).met(4), Some(false));
    }
}
