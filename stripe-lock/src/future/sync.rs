//! The one file that knows whether this is a program or a model of it.
//!
//! Everything under [`future`](super) that two threads touch comes from here: in a program it is the standard
//! library's and `parking_lot`'s, under `--cfg stripe_lock_loom` it is loom's, and the code above is the same.

#[cfg(not(stripe_lock_loom))]
mod imp {
    pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize};

    pub(crate) use crate::future::block::block_on;

    #[cfg(feature = "parking_lot")]
    pub(crate) use parking_lot::{Mutex, MutexGuard};

    #[cfg(not(feature = "parking_lot"))]
    mod mutex {
        use std::sync::{self, PoisonError};

        pub(crate) use std::sync::MutexGuard;

        /// A mutex that a panic does not poison: no code of the user runs under it.
        pub(crate) struct Mutex<T>(sync::Mutex<T>);

        impl<T> Mutex<T> {
            pub(crate) fn new(value: T) -> Self {
                Self(sync::Mutex::new(value))
            }

            pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
                self.0.lock().unwrap_or_else(PoisonError::into_inner)
            }
        }
    }
    #[cfg(not(feature = "parking_lot"))]
    pub(crate) use mutex::{Mutex, MutexGuard};

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

    /// How often a waiter that is first in line and was woken is overtaken before the stripe is handed to it.
    pub(crate) const OVERTAKES: u32 = 12;

    /// How often a newcomer looks again before it joins a line, each time after twice as long as before.
    pub(crate) const PATIENCE: u32 = 4;

    /// How many buckets a set has at most, a power of two: four for each thread that can run.
    pub(crate) fn most_buckets() -> usize {
        std::thread::available_parallelism().map_or(16, |threads| (4 * threads.get()).next_power_of_two())
    }
}

#[cfg(stripe_lock_loom)]
mod imp {
    use std::sync::PoisonError;

    pub(crate) use loom::cell::UnsafeCell as Cell;
    pub(crate) use loom::future::block_on;
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize};

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Two, so that a model of three threads is somewhere in the middle of the count and comes to its end.
    pub(crate) const OVERTAKES: u32 = 2;

    /// None: to look again is nothing new to a model, in which anything can happen between two looks.
    pub(crate) const PATIENCE: u32 = 0;

    /// Two, so that a model of two stripes has one stripe in each.
    pub(crate) fn most_buckets() -> usize {
        2
    }
}

pub(crate) use imp::*;
