//! How evenly keys spread over stripes, for every provided hasher and for the identity.
//!
//! The measure is chi-squared of the keys on each stripe, converted to a standard normal value by the cube root of
//! Wilson and Hilferty (1931), which is accurate from 15 degrees of freedom on. For a perfectly random hash, a value
//! above 6 has a probability of 10^-9. There is no lower bound, because sequences may spread more evenly than at
//! random.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

use crate::common::Numbers;
use stripe_lock::{DefaultHasher, Fnv1a, SipHash, Striped};

const KEYS: u64 = 1 << 16;
const BOUND: f64 = 6.0;
const STRIPES: [usize; 3] = [16, 64, 1024];

/// Hashes a number to itself.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("for numbers only");
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

type IdentityHasher = BuildHasherDefault<Identity>;

/// How uneven the spread of `indices` over `stripes` is. For random indices, this is a standard normal value.
fn unevenness(stripes: usize, indices: impl Iterator<Item = usize>) -> f64 {
    let mut counts = vec![0_u64; stripes];
    indices.for_each(|index| counts[index] += 1);
    let mean = counts.iter().sum::<u64>() as f64 / stripes as f64;
    let chi_squared: f64 = counts.iter().map(|&count| (count as f64 - mean).powi(2) / mean).sum();
    let freedom = (stripes - 1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    ((chi_squared / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
}

fn assert_even<K: Hash, S: BuildHasher + Default>(what: &str, keys: &(impl Iterator<Item = K> + Clone)) {
    for stripes in STRIPES {
        let set = Striped::<K, (), S>::from_fn(stripes, S::default(), |_| ());
        let z = unevenness(stripes, keys.clone().map(|key| set.stripe_of(&key)));
        assert!(z < BOUND, "{what} over {stripes} stripes by {}: {z:.1}", std::any::type_name::<S>());
    }
}

fn ids() -> impl Iterator<Item = u64> + Clone {
    0..KEYS
}

fn pages() -> impl Iterator<Item = u64> + Clone {
    (0..KEYS).map(|page| 0x7f00_0000_0000 + page * 4096)
}

fn names() -> impl Iterator<Item = String> + Clone {
    (0..KEYS).map(|id| format!("user:{id:06}"))
}

/// UUIDs of version 4, from numbers that are the same in every run.
fn uuids() -> impl Iterator<Item = u128> + Clone {
    (0..KEYS).map(|seed| {
        let mut numbers = Numbers(seed);
        let random = u128::from(numbers.next()) << 64 | u128::from(numbers.next());
        random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62
    })
}

fn all_kinds_of_keys<S: BuildHasher + Default>() {
    assert_even::<_, S>("sequential ids", &ids());
    assert_even::<_, S>("page addresses", &pages());
    assert_even::<_, S>("names", &names());
    assert_even::<_, S>("UUIDs", &uuids());
    assert_even::<_, S>("UUIDs in text", &uuids().map(|uuid| format!("{uuid:032x}")));
}

#[test]
fn the_default_hasher_spreads() {
    all_kinds_of_keys::<DefaultHasher>();
}

#[test]
fn siphash_spreads() {
    all_kinds_of_keys::<SipHash>();
}

#[test]
fn fnv_1a_spreads() {
    all_kinds_of_keys::<Fnv1a>();
    assert_even::<_, Fnv1a>("keys that differ by case", &varied_by_case());
    assert_even::<_, Fnv1a>("8-digit keys", &eight_digits());
}

#[test]
fn the_identity_spreads() {
    assert_even::<_, IdentityHasher>("sequential ids", &ids());
    assert_even::<_, IdentityHasher>("page addresses", &pages());
    assert_even::<_, IdentityHasher>("halves of UUIDs", &uuids().map(|uuid| uuid as u64));
    assert_even::<_, IdentityHasher>("upper halves of UUIDs", &uuids().map(|uuid| (uuid >> 64) as u64));
}

/// All 16,384 variants of 14 letters in lower and upper case. Their FNV-1a hashes agree in the low bits.
fn varied_by_case() -> impl Iterator<Item = [u8; 14]> + Clone {
    (0..1_u32 << 14).map(|upper| {
        let mut word = *b"pneumothoraces";
        let letters = word.iter_mut().enumerate();
        letters.filter(|(i, _)| upper >> i & 1 == 1).for_each(|(_, letter)| letter.make_ascii_uppercase());
        word
    })
}

/// Texts of eight digits. Their FNV-1a hashes have few different values in the high bits.
fn eight_digits() -> impl Iterator<Item = [u8; 8]> + Clone {
    (0..KEYS).map(|id| format!("{id:08}").into_bytes().try_into().expect("eight digits"))
}

/// The FNV-1a hash of the bytes.
fn fnv_1a(key: &[u8]) -> u64 {
    let mut hasher = Fnv1a::default().build_hasher();
    hasher.write(key);
    hasher.finish()
}

/// A negative control: an index made of the low bits of the hash, as in many hash tables, exceeds the bound.
#[test]
fn the_low_bits_of_a_hash_would_not_spread() {
    let low = |hash: u64, stripes: usize| hash as usize & (stripes - 1);
    for stripes in STRIPES {
        let z = unevenness(stripes, pages().map(|page| low(page, stripes)));
        assert!(z > BOUND, "page addresses: {z:.1}");
        let z = unevenness(stripes, varied_by_case().map(|key| low(fnv_1a(&key), stripes)));
        assert!(z > BOUND, "keys that differ by case: {z:.1}");
    }
    let mut met: Vec<_> = varied_by_case().map(|key| low(fnv_1a(&key), 16)).collect();
    met.dedup();
    assert_eq!(met.len(), 1, "all of them meet on one stripe of 16");
}

/// A negative control: an index made of the high bits of FNV-1a exceeds the bound, too.
#[test]
fn the_high_bits_of_fnv_1a_would_not_spread() {
    let high = |hash: u64, stripes: usize| (hash >> (64 - stripes.ilog2())) as usize;
    let z = unevenness(1024, eight_digits().map(|key| high(fnv_1a(&key), 1024)));
    assert!(z > BOUND, "8-digit keys: {z:.1}");
    let mut met: Vec<_> = eight_digits().map(|key| high(fnv_1a(&key), 1024)).collect();
    met.sort_unstable();
    met.dedup();
    assert!(met.len() < 768, "at least a quarter of the stripes must stay empty, not {}", 1024 - met.len());
}

/// The measure accepts random and perfectly even indices, and rejects an uneven spread.
#[test]
fn the_measure_tells_random_from_uneven_indices() {
    for stripes in STRIPES {
        let mut numbers = Numbers(1);
        let z = unevenness(stripes, (0..KEYS).map(|_| numbers.below(stripes as u64) as usize));
        assert!(z.abs() < BOUND, "{z:.1}");
        assert!(unevenness(stripes, (0..KEYS as usize).map(|i| i % stripes)) < -BOUND);
        // The stripes of one half get 30 % more than those of the other.
        let mut numbers = Numbers(2);
        let uneven = (0..KEYS).map(|_| (numbers.below(230) < 130, numbers.below(stripes as u64 / 2)));
        let z =
            unevenness(stripes, uneven.map(|(upper, i)| i as usize + if upper { stripes / 2 } else { 0 }));
        assert!(z > BOUND, "{z:.1}");
    }
}

#[test]
fn default_hashers_have_keys_of_their_own() {
    let [first, second] =
        [(); 2].map(|()| Striped::<u64, (), _>::from_fn(1024, DefaultHasher::default(), |_| ()));
    let agreeing = (0..1024).filter(|key| first.stripe_of(key) == second.stripe_of(key)).count();
    assert!(agreeing < 30, "{agreeing} of 1024 keys have the same stripe in both; 1 is expected");
}
