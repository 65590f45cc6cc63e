//! The only file of this module that differs between programs and their loom models. The parts that all locks share
//! have such files in `shared`.
//!
//! All primitives by which the threads in [`asynchronous`](super) share data come from here. In a program they are
//! those of the standard library and `parking_lot`; under `--cfg loom` they are loom's. The code above is the same.

#[cfg(not(loom))]
mod imp {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};

    pub(crate) use crate::shared::atomic::AtomicU64;

    #[cfg(feature = "parking_lot")]
    pub(crate) use parking_lot::{Mutex, MutexGuard};

    #[cfg(not(feature = "parking_lot"))]
    pub(crate) use crate::shared::mutex::{Mutex, MutexGuard};

    /// An `UnsafeCell` with the access form that loom can watch.
    pub(crate) struct Cell<T>(std::cell::UnsafeCell<T>);

    impl<T> Cell<T> {
        #[inline]
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }

    /// How many newcomers may overtake the first waiter after it was woken, before the stripe is handed over to it.
    pub(crate) const OVERTAKES: u32 = 12;

    /// How many waiters are served, at most, while a bucket is locked once.
    pub(crate) const BATCH: usize = 8;

    /// How many stripes a release takes, at most, for a waiter that wants several, before it leaves the rest to that
    /// waiter's own task.
    pub(crate) const REACH: usize = 32;

    /// How many slots for heads of queues a bucket has at first.
    pub(crate) const FEWEST_SLOTS: usize = 4;

    /// The number of buckets for `stripes` stripes, a power of two: four for each thread that can run in parallel,
    /// and at least one for 256 stripes, so that no bucket's table gets long.
    pub(crate) fn buckets(stripes: usize) -> usize {
        let for_threads = std::thread::available_parallelism().map_or(16, |threads| 4 * threads.get());
        for_threads.next_power_of_two().max(stripes / 256)
    }
}

#[cfg(loom)]
mod imp {
    pub(crate) use crate::shared::mutex::{Mutex, MutexGuard};
    pub(crate) use loom::cell::UnsafeCell as Cell;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};

    /// Two, so that a model of three threads reaches the middle of the count and its end.
    pub(crate) const OVERTAKES: u32 = 2;

    /// One, so that a model of two waiters goes past the limit.
    pub(crate) const BATCH: usize = 1;

    /// One, so that a model of three stripes goes past the limit.
    pub(crate) const REACH: usize = 1;

    /// Two, because one slot that is taken would leave none vacant.
    pub(crate) const FEWEST_SLOTS: usize = 2;

    /// Two, so that a model of two stripes has one stripe in each.
    pub(crate) fn buckets(_: usize) -> usize {
        2
    }
}

use crate::shared::spin::Tuning;
pub(crate) use imp::*;

/// How waiters of these locks spin.
pub(crate) const SPINNING: Tuning = Tuning { least: 0, reward: 64, probes: (256, 1024) };
