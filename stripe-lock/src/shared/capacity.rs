//! How many stripes to choose, and how many writers they let work at the same time.

use crate::shared::striped::MAX_STRIPES;

/// How many of `writers` make progress at the same time, on average, when each does nothing but lock the stripe of a
/// random key, hold it for a fixed time and start again.
///
/// With `m = writers / stripes` it is `stripes * (1 + m - sqrt(1 + m * m))`. It is at most the number of writers and at
/// most the number of stripes, and approaches the smaller of the two if they differ much.
///
/// # Derivation
///
/// Each stripe is a queue with random arrivals and a fixed service time (mean field). At utilisation `r`, the mean
/// number of writers in such a queue is `r + r*r / (2 * (1 - r))` (Pollaczek 1930, Khinchine 1932). Every writer is
/// in some queue, so this mean is `m`. Solved for `r`, that is `1 + m - sqrt(1 + m * m)`, the fraction of the time in
/// which a stripe is at work. The balls-into-bins formula, `S * (1 - (1 - 1/S)^n)`, gives up to 17 % more, because it
/// lets a blocked writer start again on another stripe instead of waiting in the queue.
///
/// # Examples
///
/// ```
/// use stripe_lock::expected_parallelism;
///
/// assert!((expected_parallelism(16, 16) - 9.4).abs() < 0.1);
/// // One stripe is one lock.
/// assert!(expected_parallelism(1, 1000) <= 1.0);
/// ```
#[cfg(feature = "std")]
pub fn expected_parallelism(stripes: usize, writers: usize) -> f64 {
    if stripes == 0 {
        return 0.0;
    }
    let (stripes, writers) = (stripes as f64, writers as f64);
    let load = writers / stripes;
    // `1 + m - sqrt(1 + m*m)`, rearranged so that a large `m` does not cancel all digits.
    stripes * 2.0 * load / (1.0 + load + load.hypot(1.0))
}

/// A load, to estimate how often it blocks.
///
/// # Examples
///
/// ```
/// use stripe_lock::Workload;
///
/// // Two keys for each operation, a tenth of the time inside sections, a million equally popular keys.
/// let transfers = Workload { busy: 0.1, keys: 2.0, same_key: 1e-6 };
/// assert!(transfers.chance_to_block(1024, 64) < 0.03);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    /// The fraction of its time that a writer holds stripes, 0 to 1.
    pub busy: f64,
    /// How many keys an operation locks at once.
    pub keys: f64,
    /// The chance that two operations choose the same key: the sum of the squares of the keys' popularities. 0 for
    /// very many equally popular keys; 1 for a single key.
    pub same_key: f64,
}

impl Workload {
    /// The chance that an operation finds a stripe held by another writer, 0 to 1:
    /// `(writers - 1) * busy * keys^2 * (same_key + (1 - same_key) / stripes)`.
    ///
    /// Each of the other writers holds `keys` stripes for the fraction `busy` of the time. Each key of the operation finds one of
    /// them held if it is the same key, or another key on the same stripe. This is the no-waiting estimate of
    /// Y. C. Tay, N. Goodman and R. Suri, "Locking performance in centralized databases" (ACM TODS 10, 1985), with
    /// stripes as the granules. It is close while it is small, and too high where blocking is common.
    ///
    /// # Examples
    ///
    /// ```
    /// let load = stripe_lock::Workload { busy: 1.0, keys: 1.0, same_key: 0.0 };
    /// assert_eq!(load.chance_to_block(16, 5), 0.25);
    /// // No number of stripes helps if all operations want the same key.
    /// let hot = stripe_lock::Workload { same_key: 1.0, ..load };
    /// assert_eq!(hot.chance_to_block(1 << 20, 5), 1.0);
    /// ```
    pub fn chance_to_block(&self, stripes: usize, writers: usize) -> f64 {
        let others = writers.saturating_sub(1) as f64;
        let meets = self.same_key + (1.0 - self.same_key) / stripes.max(1) as f64;
        (others * self.busy * self.keys * self.keys * meets).clamp(0.0, 1.0)
    }
}

/// With [`recommended_stripes`], at most one in this many acquisitions waits, if keys are many and evenly popular.
const ONE_IN: usize = 8;

/// The number of stripes with which at most one acquisition in eight waits, if each of `writers` is always inside a section of
/// one key: `8 * (writers - 1)` rounded up to a power of two, and at most [`MAX_STRIPES`](crate::MAX_STRIPES).
///
/// It solves [`Workload::chance_to_block`] for the stripes at `busy = 1`, `keys = 1`, `same_key = 0`. If an operation
/// takes `k` keys, pass `k * k` times the writers. If a writer spends a tenth of its time inside, pass a tenth of the
/// writers. `writers` is how many work at the same time (threads for blocking locks, tasks for async ones), not how
/// many exist.
///
/// The estimate ignores queues. The simulation in the repository (`benches/src/model.rs`) includes them; measurements
/// with 16 writers that sleep under the lock differ from it by less than 5 %. In the simulation with this number of
/// stripes and 2 to 10,000 writers, 6 to 12 % of the acquisitions wait, and 94 to 96 % of the writers are at work at
/// the same time.
///
/// # Examples
///
/// ```
/// use stripe_lock::recommended_stripes;
///
/// assert_eq!(recommended_stripes(1), 1);
/// assert_eq!(recommended_stripes(16), 128);
/// ```
pub fn recommended_stripes(writers: usize) -> usize {
    writers.saturating_sub(1).saturating_mul(ONE_IN).clamp(1, MAX_STRIPES).next_power_of_two()
}

/// The number of stripes with which at most one acquisition in [`ONE_IN`] finds its stripe held for another key, if a
/// fraction `chance` of the acquisitions does so with `stripes` stripes.
#[cfg(all(feature = "async", feature = "stats"))]
pub(crate) fn stripes_for(stripes: usize, chance: f64) -> usize {
    let wanted = (stripes as f64 * chance * ONE_IN as f64).ceil().clamp(1.0, MAX_STRIPES as f64);
    #[allow(clippy::cast_sign_loss, reason = "clamped")]
    (wanted as usize).next_power_of_two()
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn parallelism_matches_the_closed_form_and_its_bounds() {
        for stripes in [1_usize, 8, 16, 64, 1024] {
            for writers in [1_usize, 2, 16, 1000] {
                let m = writers as f64 / stripes as f64;
                let form = stripes as f64 * (1.0 + m - (1.0 + m * m).sqrt());
                let got = expected_parallelism(stripes, writers);
                assert!((got - form).abs() < 1e-9 * form, "{stripes} {writers}: {got} {form}");
                assert!(got <= stripes.min(writers) as f64);
            }
        }
        assert!((expected_parallelism(1, usize::MAX) - 1.0).abs() < 1e-9);
        assert!(expected_parallelism(0, 5).abs() < f64::EPSILON);
        assert!(expected_parallelism(5, 0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_recommendation_keeps_its_promise() {
        let busy = Workload { busy: 1.0, keys: 1.0, same_key: 0.0 };
        for writers in 1..300 {
            let stripes = recommended_stripes(writers);
            assert!(busy.chance_to_block(stripes, writers) <= 1.0 / ONE_IN as f64);
            assert!(stripes == 1 || busy.chance_to_block(stripes / 2, writers) > 1.0 / ONE_IN as f64);
        }
        assert_eq!((recommended_stripes(0), recommended_stripes(usize::MAX)), (1, MAX_STRIPES));
    }
}
