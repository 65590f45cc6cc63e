//! Where a key belongs: its stripe and, with the feature `stats`, its fingerprint.
//!
//! A fingerprint is four bits of the hash, those below the bits that chose the stripe. A holder leaves it in the
//! word, so that a waiter can tell whether the holder has the same key.

#[cfg(feature = "stats")]
use crate::shared::striped::MAX_STRIPES;
use crate::shared::waits::KeyHash;

/// The bits of a place that the stripe needs. The fingerprint has the bits above.
#[cfg(feature = "stats")]
const STRIPE_BITS: u32 = MAX_STRIPES.ilog2();

/// A stripe, and the fingerprint of the key for which it is wanted.
#[derive(Clone, Copy, Debug)]
pub(in crate::asynchronous) struct Place(u32, KeyHash);

impl Place {
    /// The place of a key, from its stripe and the further bits of its hash.
    #[inline]
    pub(in crate::asynchronous) fn of_key(stripe: usize, rest: u64, hash: KeyHash) -> Self {
        Self::new(stripe, Fingerprint::of(rest), hash)
    }

    /// A stripe that is wanted without a key, or for several keys.
    #[inline]
    pub(in crate::asynchronous) fn of_stripe(stripe: usize) -> Self {
        Self::new(stripe, Fingerprint::UNKNOWN, KeyHash::NONE)
    }

    #[inline]
    #[cfg_attr(not(feature = "stats"), allow(unused_variables))]
    fn new(stripe: usize, key: Fingerprint, hash: KeyHash) -> Self {
        #[cfg(feature = "stats")]
        return Self(stripe as u32 | key.0 << STRIPE_BITS, hash);
        #[cfg(not(feature = "stats"))]
        Self(stripe as u32, hash)
    }

    #[inline]
    pub(in crate::asynchronous) fn hash(self) -> KeyHash {
        self.1
    }

    #[inline]
    pub(in crate::asynchronous) fn stripe(self) -> usize {
        #[cfg(feature = "stats")]
        return (self.0 & ((1 << STRIPE_BITS) - 1)) as usize;
        #[cfg(not(feature = "stats"))]
        (self.0 as usize)
    }

    #[inline]
    #[cfg_attr(not(feature = "stats"), allow(clippy::unused_self, reason = "used with the feature `stats`"))]
    pub(in crate::asynchronous) fn key(self) -> Fingerprint {
        Fingerprint(
            #[cfg(feature = "stats")]
            {
                self.0 >> STRIPE_BITS
            },
        )
    }
}

/// Four bits of a key's hash, as a number from 2 to 14; or 1 if the key is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::asynchronous) struct Fingerprint(#[cfg(feature = "stats")] u32);

impl Fingerprint {
    pub(in crate::asynchronous) const UNKNOWN: Self = Self(
        #[cfg(feature = "stats")]
        1,
    );

    /// The least and the greatest fingerprint of a key. The values beyond have other meanings in a word. So three of
    /// the sixteen values of four bits map to the least, and two to the greatest.
    #[cfg(feature = "stats")]
    const RANGE: (u32, u32) = (2, 14);

    /// The chance that two different keys have the same fingerprint: `(3/16)^2 + (2/16)^2 + 11 * (1/16)^2`.
    #[cfg(feature = "stats")]
    pub(in crate::asynchronous) const CHANCE: f64 = (9.0 + 4.0 + 11.0) / 256.0;

    #[inline]
    #[cfg_attr(not(feature = "stats"), allow(unused_variables))]
    fn of(rest: u64) -> Self {
        Self(
            #[cfg(feature = "stats")]
            ((rest >> 60) as u32).clamp(Self::RANGE.0, Self::RANGE.1),
        )
    }

    /// The bits that a holder leaves in the word.
    #[inline]
    #[allow(clippy::unused_self, reason = "used with the feature `stats`")]
    pub(in crate::asynchronous) fn to_bits(self) -> u32 {
        #[cfg(feature = "stats")]
        return self.0;
        #[cfg(not(feature = "stats"))]
        1
    }

    /// Whether the holder that left `bits` has the same key; `None` if that is unknown.
    #[cfg(feature = "stats")]
    pub(super) fn matches(self, bits: u32) -> Option<bool> {
        let told = self.0 >= Self::RANGE.0 && bits >= Self::RANGE.0;
        told.then_some(self.0 == bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::striped::MAX_STRIPES;

    #[test]
    fn a_place_is_a_stripe_and_a_fingerprint() {
        for stripe in [0, 1, MAX_STRIPES - 1] {
            for rest in [0, 5 << 60, u64::MAX] {
                let place = Place::of_key(stripe, rest, KeyHash::NONE);
                assert_eq!((place.stripe(), place.key()), (stripe, Fingerprint::of(rest)));
            }
            let place = Place::of_stripe(stripe);
            assert_eq!((place.stripe(), place.key()), (stripe, Fingerprint::UNKNOWN));
        }
    }

    #[cfg(feature = "stats")]
    #[test]
    fn unequal_keys_have_equal_fingerprints_as_often_as_documented() {
        let all: Vec<_> = (0..16_u64).map(|top| Fingerprint::of(top << 60)).collect();
        let pairs = all.iter().flat_map(|one| all.iter().map(move |other| one == other));
        let (same, count) = pairs.fold((0, 0), |(same, all), met| (same + u32::from(met), all + 1));
        assert!((f64::from(same) / f64::from(count) - Fingerprint::CHANCE).abs() < 1e-12);
        assert!(all.iter().all(|key| (2..=14).contains(&key.to_bits())), "15 is an upgradable reader");
        assert_eq!(Fingerprint::UNKNOWN.matches(Fingerprint::of(0).to_bits()), None);
        assert_eq!(Fingerprint::of(0).matches(Fingerprint::UNKNOWN.to_bits()), None);
        assert_eq!(Fingerprint::of(0).matches(0), None, "there is no holder");
        assert_eq!(Fingerprint::of(3 << 60).matches(3), Some(true));
        assert_eq!(Fingerprint::of(3 << 60).matches(4), Some(false));
    }
}
