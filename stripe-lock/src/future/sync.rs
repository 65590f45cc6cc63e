//! The one file that knows whether this is a program or a model of it.
//!
//! Everything under [`future`](super) that two threads touch comes from here: in a program it is the standard
//! library's, under `--cfg stripe_lock_loom` it is loom's, and the code above is the same.

#[cfg(not(stripe_lock_loom))]
mod imp {
    use std::sync::PoisonError;

    pub(crate) use std::sync::MutexGuard;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize};
    pub(crate) use std::thread::{Thread, current, park};
    pub(crate) use std::thread_local;

    /// A mutex that a panic does not poison: no code of the user runs under it.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        #[inline]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// An `UnsafeCell` with the access form that loom can watch.
    pub(crate) struct Cell<T>(std::cell::UnsafeCell<T>);

    impl<T> Cell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }

    /// How many buckets a set has at most, a power of two: four for each thread that can run.
    pub(crate) fn most_buckets() -> usize {
        std::thread::available_parallelism().map_or(16, |threads| (4 * threads.get()).next_power_of_two())
    }
}

#[cfg(stripe_lock_loom)]
mod imp {
    use std::sync::PoisonError;

    pub(crate) use loom::cell::UnsafeCell as Cell;
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize};
    pub(crate) use loom::thread::{Thread, current, park};
    pub(crate) use loom::thread_local;

    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    /// Two, so that a model of two stripes has one stripe in each.
    pub(crate) fn most_buckets() -> usize {
        2
    }
}

pub(crate) use imp::*;
