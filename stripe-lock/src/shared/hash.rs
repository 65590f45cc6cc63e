//! From a key to a stripe: the ready-made hashers, and the step from a hash to an index.

use core::hash::{BuildHasher, Hash};

use crate::shared::waits::KeyHash;

/// 2^64 divided by the golden ratio, made odd: the multiplier of Fibonacci hashing (Knuth, The Art of Computer
/// Programming, volume 3, section 6.4).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The stripe of `key` among `stripes`, a power of two.
///
/// The index is the top bits of the hash times an odd constant. Those bits depend on every bit of the hash, so a
/// hasher whose entropy is in its low bits (FNV-1a of short keys, the identity) spreads keys as well as a hasher that
/// is random throughout. The second product brings the top bits down; unlike a shift, it needs no special case for a
/// set of one stripe.
#[inline]
pub(crate) fn index<Q: Hash + ?Sized, S: BuildHasher>(hasher: &S, key: &Q, stripes: usize) -> usize {
    locate(hasher, key, stripes).stripe
}

/// The hash with its entropy moved to the top bits. Unequal hashes give unequal results.
#[inline]
fn spread(hash: u64) -> u64 {
    hash.wrapping_mul(GOLDEN)
}

/// A number that identifies `key`. Its top bits select the part that the key belongs to: see [`part`].
#[cfg(feature = "async")]
#[inline]
pub(crate) fn tag<Q: Hash + ?Sized, S: BuildHasher>(hasher: &S, key: &Q) -> u64 {
    spread(hasher.hash_one(key))
}

/// Which of `parts` equal parts a [`tag`] belongs to.
#[cfg(feature = "async")]
#[inline]
pub(crate) fn part(tag: u64, parts: usize) -> usize {
    ((u128::from(tag) * parts as u128) >> 64) as usize
}

/// The stripe of a key, with the further bits of its hash.
#[derive(Clone, Copy)]
pub(crate) struct Located {
    /// The stripe of the key; where stripes can be split, its place (see [`owners`](crate::shared::owners)).
    pub(crate) stripe: usize,
    /// The bits of the product below those that chose the stripe, moved to the top.
    #[cfg(feature = "async")]
    pub(crate) rest: u64,
    /// The hash itself.
    pub(crate) hash: KeyHash,
}

impl Located {
    /// A stripe that is named by its index, without a key.
    #[inline]
    pub(crate) fn of_stripe(stripe: usize) -> Self {
        Self {
            stripe,
            #[cfg(feature = "async")]
            rest: 0,
            hash: KeyHash::NONE,
        }
    }
}

/// As [`index`], with the further bits of the hash.
#[inline]
pub(crate) fn locate<Q: Hash + ?Sized, S: BuildHasher>(hasher: &S, key: &Q, stripes: usize) -> Located {
    let hash = hasher.hash_one(key);
    let product = u128::from(spread(hash)) * stripes as u128;
    Located {
        stripe: (product >> 64) as usize,
        #[cfg(feature = "async")]
        rest: product as u64,
        hash: KeyHash::of(hash),
    }
}

/// The default hasher. It has a random key for each instance, so an attacker cannot choose keys that share one stripe.
///
/// It is [ahash](https://docs.rs/ahash) with the feature `ahash`, the standard library's SipHash-1-3 without it. With
/// neither `ahash` nor `std` it can't be constructed, and a hasher has to be named: see
/// [`StripedMutex::with_hasher`](crate::StripedMutex::with_hasher).
///
/// A target without an operating system has no source of random keys, and the feature `ahash` has no effect there. On
/// `wasm32-unknown-unknown` the default is the standard library's hasher, whose key is not secret there. If an
/// attacker can choose the keys of your locks, name a hasher of your own with a key from outside.
///
/// # Examples
///
/// ```
/// use std::hash::BuildHasher;
/// use stripe_lock::DefaultHasher;
///
/// let hasher = DefaultHasher::default();
/// assert_eq!(hasher.hash_one("key"), hasher.hash_one("key"));
/// // Another instance has other keys.
/// assert_ne!(hasher.hash_one("key"), DefaultHasher::default().hash_one("key"));
/// ```
pub use default::DefaultHasher;

#[cfg(all(
    feature = "ahash",
    not(loom),
    not(any(target_os = "none", all(target_family = "wasm", target_os = "unknown")))
))]
mod default {
    use core::hash::{BuildHasher, Hash};

    #[allow(missing_docs, reason = "documented where it is exported")]
    #[derive(Clone, Debug, Default)]
    pub struct DefaultHasher(ahash::RandomState);

    impl BuildHasher for DefaultHasher {
        type Hasher = ahash::AHasher;

        #[inline]
        fn build_hasher(&self) -> Self::Hasher {
            self.0.build_hasher()
        }

        #[inline]
        fn hash_one<T: Hash>(&self, x: T) -> u64 {
            self.0.hash_one(x)
        }
    }
}

#[cfg(all(
    feature = "std",
    not(loom),
    any(not(feature = "ahash"), target_os = "none", all(target_family = "wasm", target_os = "unknown"))
))]
mod default {
    use std::hash::BuildHasher;

    #[allow(missing_docs, reason = "documented where it is exported")]
    #[derive(Clone, Debug, Default)]
    pub struct DefaultHasher(std::hash::RandomState);

    impl BuildHasher for DefaultHasher {
        type Hasher = std::hash::DefaultHasher;

        #[inline]
        fn build_hasher(&self) -> Self::Hasher {
            self.0.build_hasher()
        }
    }
}

/// A model must do the same in each execution, so the key is fixed.
#[cfg(all(feature = "std", loom))]
mod default {
    use std::hash::{BuildHasher, BuildHasherDefault};

    #[allow(missing_docs, reason = "documented where it is exported")]
    #[derive(Clone, Debug, Default)]
    pub struct DefaultHasher(BuildHasherDefault<std::hash::DefaultHasher>);

    impl BuildHasher for DefaultHasher {
        type Hasher = std::hash::DefaultHasher;

        fn build_hasher(&self) -> Self::Hasher {
            self.0.build_hasher()
        }
    }
}

#[cfg(all(
    not(feature = "std"),
    any(not(feature = "ahash"), target_os = "none", all(target_family = "wasm", target_os = "unknown"))
))]
mod default {
    #[allow(missing_docs, reason = "documented where it is exported")]
    #[derive(Clone, Debug)]
    pub enum DefaultHasher {}
}

/// The hasher FNV-1a, 64 bits ([Fowler, Noll and Vo](http://www.isthe.com/chongo/tech/comp/fnv/)).
///
/// It is fast for short keys, and the same in every process and on every run. It has no key: an attacker that can choose keys can
/// choose them all on one stripe. Use it for keys that no attacker chooses.
///
/// # Examples
///
/// ```
/// use stripe_lock::{Fnv1a, StripedMutex};
///
/// let a = StripedMutex::<str, u32, stripe_lock::raw::DefaultRawMutex, Fnv1a>::with_hasher(16, Fnv1a::default());
/// let b = StripedMutex::<str, u32, stripe_lock::raw::DefaultRawMutex, Fnv1a>::with_hasher(16, Fnv1a::default());
/// assert_eq!(a.stripe_of("key"), b.stripe_of("key"));
/// ```
#[cfg(feature = "fnv")]
pub type Fnv1a = fnv::FnvBuildHasher;

/// The standard library's keyed hasher, SipHash-1-3 with a random key. It is slower than the default. Choose it where
/// an attacker can measure time precisely.
///
/// # Examples
///
/// ```
/// use stripe_lock::raw::DefaultRawMutex;
/// use stripe_lock::{SipHash, StripedMutex};
///
/// let locks = StripedMutex::<u64, (), DefaultRawMutex, SipHash>::with_hasher(16, SipHash::new());
/// assert!(locks.stripe_of(&7) < 16);
/// ```
#[cfg(feature = "std")]
pub type SipHash = std::hash::RandomState;
