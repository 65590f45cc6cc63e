//! Which stripe a key is locked by.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// Which hash function chooses a key's stripe.
///
/// # Examples
///
/// ```
/// use vde_store::{StripeHasher, VdeOptions};
///
/// // Keys chosen by strangers: they must not be able to aim them all at one stripe.
/// let store = VdeOptions::new().hasher(StripeHasher::keyed()).in_memory()?;
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub enum StripeHasher {
    /// FNV-1a: the same in every process, fast on short keys.
    #[default]
    Fnv1a,
    /// Keyed at random for each store: strangers cannot aim their keys at one stripe.
    Keyed(stripe_lock::DefaultHasher),
}

impl StripeHasher {
    /// A keyed hasher with a fresh random key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use vde_store::StripeHasher;
    /// assert!(matches!(StripeHasher::keyed(), StripeHasher::Keyed(_)));
    /// ```
    pub fn keyed() -> Self {
        Self::Keyed(stripe_lock::DefaultHasher::default())
    }
}

/// The state of a [`StripeHasher`].
///
/// # Examples
///
/// ```
/// use std::hash::BuildHasher;
/// use vde_store::StripeHasher;
///
/// let hasher = StripeHasher::default();
/// assert_eq!(hasher.hash_one("k"), hasher.hash_one("k"));
/// ```
pub struct StripeHash(Inner);

impl fmt::Debug for StripeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeHash").finish_non_exhaustive()
    }
}

enum Inner {
    Fnv1a(<stripe_lock::Fnv1a as BuildHasher>::Hasher),
    Keyed(<stripe_lock::DefaultHasher as BuildHasher>::Hasher),
}

impl BuildHasher for StripeHasher {
    type Hasher = StripeHash;

    fn build_hasher(&self) -> StripeHash {
        StripeHash(match self {
            Self::Fnv1a => Inner::Fnv1a(stripe_lock::Fnv1a::default().build_hasher()),
            Self::Keyed(state) => Inner::Keyed(state.build_hasher()),
        })
    }
}

impl Hasher for StripeHash {
    fn write(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Fnv1a(hasher) => hasher.write(bytes),
            Inner::Keyed(hasher) => hasher.write(bytes),
        }
    }

    fn finish(&self) -> u64 {
        match &self.0 {
            Inner::Fnv1a(hasher) => hasher.finish(),
            Inner::Keyed(hasher) => hasher.finish(),
        }
    }
}
