//! The keys that workloads draw. A seed fixes them, so every contender gets the same keys.

use std::mem;

use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};
use rand_distr::Zipf;

/// How many keys a ring holds: enough to visit every stripe and defeat the branch predictor, few enough to stay in the
/// first-level cache.
pub const RING: usize = 1024;

/// Random 64-bit keys.
pub fn random(count: usize, seed: u64) -> Vec<u64> {
    let mut rng = SmallRng::seed_from_u64(seed);
    (0..count).map(|_| rng.next_u64()).collect()
}

/// [`RING`] batches of `count` random keys each.
pub fn batches(count: usize) -> Vec<Vec<u64>> {
    random(RING * count, count as u64).chunks(count).map(<[u64]>::to_vec).collect()
}

/// Random keys as 32-byte strings, such as identifiers in hexadecimal.
pub fn strings(count: usize, seed: u64) -> Vec<String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    (0..count).map(|_| format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())).collect()
}

/// Ranks below `population` drawn by Zipf's law with the given exponent, as YCSB draws its records (0.99 there).
///
/// # Panics
///
/// Panics for an empty population or an exponent that is negative or not a number.
pub fn zipf(count: usize, population: usize, exponent: f64, seed: u64) -> Vec<u64> {
    let ranks = Zipf::new(population as f64, exponent).expect("a population, and an exponent from zero");
    SmallRng::seed_from_u64(seed).sample_iter(ranks).take(count).map(|rank: f64| rank as u64 - 1).collect()
}

/// `count` random keys that all have different places. `place` maps a key to one of `places` places.
///
/// # Panics
///
/// Panics if there are fewer places than keys.
pub fn apart(count: usize, places: usize, place: impl Fn(&u64) -> usize) -> Vec<u64> {
    assert!(count <= places, "{count} keys can't lie apart in {places} places");
    let mut taken = vec![false; places];
    Distinct::of_writer(0).filter(|key| !mem::replace(&mut taken[place(key)], true)).take(count).collect()
}

/// The keys from zero up to `count` in random order, so that the processor cannot prefetch them.
pub fn shuffled(count: usize) -> Vec<u64> {
    let mut keys: Vec<_> = (0..count as u64).collect();
    keys.shuffle(&mut SmallRng::seed_from_u64(1));
    keys
}

/// The keys that one writer draws. In practice, no key repeats.
#[derive(Debug)]
pub struct Distinct(SmallRng);

impl Distinct {
    /// The stream of the writer with this number.
    pub fn of_writer(writer: usize) -> Self {
        Self(SmallRng::seed_from_u64(0x5eed ^ writer as u64))
    }
}

impl Iterator for Distinct {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        Some(self.0.next_u64())
    }
}

/// The chance of each rank under Zipf's law, most popular first.
pub fn zipf_shares(population: usize, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=population).map(|rank| (rank as f64).powf(-exponent)).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_fixes_the_keys() {
        assert_eq!(random(8, 1), random(8, 1));
        assert_ne!(random(8, 1), random(8, 2));
        assert!(strings(8, 1).iter().all(|key| key.len() == 32));
    }

    #[test]
    fn keys_that_lie_apart_fill_every_place_once() {
        let mut keys = apart(64, 64, |key| *key as usize % 64);
        keys.sort_unstable_by_key(|key| key % 64);
        assert!(keys.iter().map(|key| key % 64).eq(0..64));
    }

    #[test]
    fn zipf_draws_follow_its_shares() {
        let (count, population) = (200_000, 1000);
        let mut seen = vec![0_u32; population];
        for key in zipf(count, population, 0.99, 7) {
            seen[usize::try_from(key).unwrap()] += 1;
        }
        for (rank, share) in zipf_shares(population, 0.99).into_iter().enumerate().take(10) {
            let expected = share * count as f64;
            let off = (f64::from(seen[rank]) - expected).abs() / expected.sqrt();
            assert!(off < 5.0, "rank {rank}: {} draws, {expected:.0} expected", seen[rank]);
        }
    }
}
