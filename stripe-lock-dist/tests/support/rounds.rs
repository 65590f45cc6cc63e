//! Work that makes a history: rounds that lock one to three stripes. Some rounds are cancelled.

use std::time::Duration;

use stripe_lock_dist::DistributedMutex;

use super::history::{Section, now};

/// The number of stripes that the rounds use.
pub(crate) const STRIPES: usize = 8;

/// A generator of numbers that look random (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// For each stripe a key that is on it. The set has [`STRIPES`] stripes.
pub(crate) fn keys(locks: &DistributedMutex<str>) -> Vec<String> {
    let on = |stripe, key: &String| locks.stripe_of(key.as_str()) == stripe;
    let key_of = |stripe| (0..u32::MAX).map(|n| n.to_string()).find(|key| on(stripe, key));
    (0..STRIPES).map(|stripe| key_of(stripe).unwrap()).collect()
}

/// One round. `None` if it was cancelled, or if the lock was lost before it ended.
pub(crate) async fn round(
    locks: &DistributedMutex<str>,
    keys: &[String],
    random: &mut Random,
) -> Option<Section> {
    let mut stripes: Vec<_> = (0..=random.below(3)).map(|_| random.below(STRIPES as u64) as usize).collect();
    stripes.sort_unstable();
    stripes.dedup();
    let lock = locks.lock_many(stripes.iter().map(|stripe| keys[*stripe].as_str()));
    let guard = if random.below(5) == 0 {
        let time = Duration::from_micros(random.below(2000));
        tokio::time::timeout(time, lock).await.ok()?.unwrap()
    } else {
        lock.await.unwrap()
    };
    let from = now();
    for _ in 0..random.below(4) {
        tokio::task::yield_now().await;
    }
    let fence = guard.fence();
    let section = Section { from, to: now(), fence, stripes };
    let held = guard.is_held();
    if random.below(2) == 0 {
        // The lock was held at `to`, but may have been lost since.
        let _ = guard.release().await;
    }
    held.then_some(section)
}
