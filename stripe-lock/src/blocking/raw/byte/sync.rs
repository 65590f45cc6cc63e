//! The only file of [`byte`](super) that differs between programs and models.
//!
//! In a program, all types are the standard library's. Under `--cfg loom`, those that two threads access are loom's.
//! The code above is the same.

#[cfg(not(loom))]
mod imp {
    use std::time::{Duration, Instant};

    use crossbeam_utils::CachePadded;

    use super::super::queue::Bucket;

    pub(in super::super) use core::sync::atomic::AtomicU8 as Byte;
    pub(in super::super) use core::sync::atomic::AtomicU8;

    /// A byte exists from the start.
    #[inline]
    pub(in super::super) fn exists(_: &Byte) {}

    /// The number of buckets, which all locks of the process share. A power of two.
    const BUCKETS: usize = 128;

    static TABLE: [CachePadded<Bucket>; BUCKETS] = [const { CachePadded::new(Bucket::new()) }; BUCKETS];

    /// The bucket of the lock at an address.
    pub(in super::super) fn bucket_of(address: usize) -> &'static Bucket {
        let mixed = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BUCKETS.ilog2());
        &TABLE[mixed as usize]
    }

    /// The longest that a waiter competes with newcomers before it is handed the lock.
    const LONGEST_COMPETITION: Duration = Duration::from_micros(500);

    /// When a waiter began to wait.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Since(Instant);

    impl Since {
        pub(in super::super) fn now() -> Self {
            Self(Instant::now())
        }

        /// Whether a waiter that has lost this many competitions since then is due to be handed the lock.
        pub(in super::super) fn is_due(self, _lost: u32) -> bool {
            self.0.elapsed() >= LONGEST_COMPETITION
        }
    }

    /// Unparks this thread after a sleep: if code of the caller unparked it during the sleep, the next `park` must return.
    pub(in super::super) fn give_back_wake_up(thread: &std::thread::Thread) {
        thread.unpark();
    }
}

#[cfg(loom)]
mod imp {
    use std::sync::OnceLock;
    use std::sync::atomic::Ordering;

    use super::super::queue::Bucket;

    pub(in super::super) use loom::sync::atomic::AtomicU8;

    /// A byte of a lock. Locks are made in constants, and loom's atomics can't be, so they are made on first use: a model
    /// makes that use before it starts threads.
    pub(in super::super) struct Byte(OnceLock<AtomicU8>);

    impl Byte {
        pub(in super::super) const fn new(_zero: u8) -> Self {
            Self(OnceLock::new())
        }

        fn get(&self) -> &AtomicU8 {
            self.0.get_or_init(|| AtomicU8::new(0))
        }

        pub(in super::super) fn load(&self, order: Ordering) -> u8 {
            self.get().load(order)
        }

        pub(in super::super) fn store(&self, value: u8, order: Ordering) {
            self.get().store(value, order);
        }

        pub(in super::super) fn swap(&self, value: u8, order: Ordering) -> u8 {
            self.get().swap(value, order)
        }

        pub(in super::super) fn compare_exchange(
            &self,
            current: u8,
            new: u8,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u8, u8> {
            self.get().compare_exchange(current, new, success, failure)
        }
    }

    /// Makes a byte, unless it was used before.
    pub(in super::super) fn exists(byte: &Byte) {
        byte.get();
    }

    loom::lazy_static! {
        static ref TABLE: Bucket = Bucket::new();
    }

    /// One bucket for all locks, so that they share it.
    pub(in super::super) fn bucket_of(_address: usize) -> &'static Bucket {
        &TABLE
    }

    /// A model has no time: one lost competition is enough.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Since;

    impl Since {
        pub(in super::super) fn now() -> Self {
            Self
        }

        pub(in super::super) fn is_due(self, lost: u32) -> bool {
            lost > 0
        }
    }

    /// No model parks for other reasons, and an additional wake-up would hide a missing one.
    pub(in super::super) fn give_back_wake_up(_: &loom::thread::Thread) {}
}

pub(super) use imp::*;
