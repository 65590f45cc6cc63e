//! From a key to a stripe, the same in every process.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hash, Hasher};

use siphasher::sip::SipHasher13;

/// The name of the function from keys to stripes. Engines store it, and refuse a client with another one.
pub(crate) const HASH: &str = "siphash-1-3, Fibonacci, 1";

/// A key that has the same bytes in every process.
///
/// `std::hash::Hash` makes no such promise. A type and its borrowed form (`String` and `str`) must have the same bytes.
/// The bytes of an integer are in little-endian order. `usize` and `isize` are not keys, because their size depends on
/// the machine.
///
/// # Examples
///
/// ```
/// use std::borrow::Cow;
/// use stripe_lock_dist::Key;
///
/// struct Order {
///     customer: u32,
///     number: u32,
/// }
///
/// impl Key for Order {
///     fn key_bytes(&self) -> Cow<'_, [u8]> {
///         [self.customer.to_le_bytes(), self.number.to_le_bytes()].concat().into()
///     }
/// }
/// assert_eq!(Order { customer: 7, number: 1 }.key_bytes().len(), 8);
/// ```
pub trait Key {
    /// The bytes that are hashed. Equal keys have equal bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock_dist::Key;
    ///
    /// assert_eq!("user/7".key_bytes(), String::from("user/7").key_bytes());
    /// assert_eq!(258_u16.key_bytes()[..], [2, 1]);
    /// ```
    fn key_bytes(&self) -> Cow<'_, [u8]>;
}

impl Key for str {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        self.as_bytes().into()
    }
}

impl Key for String {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        self.as_bytes().into()
    }
}

impl Key for [u8] {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        self.into()
    }
}

impl Key for Vec<u8> {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        self.into()
    }
}

impl<const N: usize> Key for [u8; N] {
    fn key_bytes(&self) -> Cow<'_, [u8]> {
        self.as_slice().into()
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl Key for $integer {
            fn key_bytes(&self) -> Cow<'_, [u8]> {
                self.to_le_bytes().to_vec().into()
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

/// The hash of a key. The local locks use it as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hashed(u64);

impl Hashed {
    /// SipHash-1-3 of the bytes of `key`. `seed` is random for each namespace, so an attacker cannot choose keys that
    /// share a stripe.
    pub(crate) fn of<Q: Key + ?Sized>(key: &Q, seed: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(seed).hash(&key.key_bytes()))
    }
}

impl Hash for Hashed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// A hasher whose hash is the number that is written.
#[derive(Clone, Copy, Default)]
pub(crate) struct PassThrough(u64);

impl Hasher for PassThrough {
    fn write(&mut self, _: &[u8]) {
        unreachable!("`Hashed` writes one u64");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for PassThrough {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stripe_lock::AsyncStripedMutex;

    /// If this fails, clients of different versions would lock different stripes: change `HASH`.
    #[test]
    fn keys_are_on_the_stripes_where_they_always_were() {
        let seed = *b"0123456789abcdef";
        let locks = AsyncStripedMutex::<Hashed, (), PassThrough>::with_hasher(4096, PassThrough::default());
        let stripe = |key: &[u8]| locks.stripe_of(&Hashed::of(key, &seed));
        let stripes = [b"".as_slice(), b"user/7", b"alice", &[0; 100]].map(stripe);
        assert_eq!((HASH, stripes), ("siphash-1-3, Fibonacci, 1", [1015, 3389, 1868, 2968]));
        assert_eq!(locks.stripe_of(&Hashed::of(&7_u32, &seed)), stripe(&[7, 0, 0, 0]));
    }
}
