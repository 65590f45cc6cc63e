//! How much of a sample each thread or task does.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// The longest that a sample may take.
///
/// Some contended locks change for good from a fast state to one that is a thousand times slower. A sample whose size
/// was chosen in the fast state would then take far too long.
const LONGEST: Duration = Duration::from_secs(1);

/// The operations of a sample, divided among its threads or tasks. It ends early if it takes too long.
pub(super) struct Quota {
    operations: u64,
    each: u64,
    done: AtomicU64,
    end: Instant,
}

impl Quota {
    pub(super) fn new(operations: u64, workers: usize) -> Self {
        let each = operations.div_ceil(workers as u64);
        Self { operations, each, done: AtomicU64::new(0), end: Instant::now() + LONGEST }
    }

    /// The turns of one of the threads or tasks.
    pub(super) fn turns(&self) -> Turns<'_> {
        Turns { quota: self, next: 0 }
    }

    /// The time that all operations would take, if those that were done took `took`.
    pub(super) fn whole(&self, took: Duration) -> Duration {
        let done = self.done.load(Relaxed);
        if done >= self.operations { took } else { took.mul_f64(self.operations as f64 / done as f64) }
    }
}

pub(super) struct Turns<'a> {
    quota: &'a Quota,
    next: u64,
}

impl Iterator for Turns<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        // The clock takes as long as a free lock, so it is read in few of the turns.
        if self.next == self.quota.each || self.next % 256 == 255 && Instant::now() > self.quota.end {
            return None;
        }
        self.next += 1;
        Some(self.next as usize - 1)
    }
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        self.quota.done.fetch_add(self.next, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_divided_and_none_is_left_out() {
        let quota = Quota::new(1001, 4);
        assert!((0..4).all(|_| quota.turns().eq(0..251)));
        assert_eq!(quota.whole(Duration::from_secs(3)), Duration::from_secs(3));
    }

    #[test]
    fn a_sample_that_takes_too_long_ends_and_is_extrapolated() {
        let quota = Quota { end: Instant::now(), ..Quota::new(2550, 1) };
        assert_eq!(quota.turns().count(), 255);
        assert_eq!(quota.whole(Duration::from_secs(1)), Duration::from_secs(10));
    }
}
