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
    pub(in super::super) use core::sync::atomic::AtomicU32 as Word;

    /// An atomic number exists from the start.
    #[inline]
    pub(in super::super) fn exists<A>(_: &A) {}

    /// How many releases come between two that look whether an awake waiter is due.
    pub(in super::super) const LOOKS: u8 = 32;

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

    /// The same for a waiter that is awake. All threads wait until it gets a processor, so that is rarer.
    const LONGEST_AWAKE: Duration = Duration::from_millis(1);

    /// When a waiter began to wait.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Since(Instant);

    impl Since {
        pub(in super::super) fn now() -> Self {
            Self(Instant::now())
        }

        /// Whether a waiter that has lost this many competitions since then is due to be handed the lock.
        pub(in super::super) fn is_due(self, _lost: u32, awake: bool) -> bool {
            self.0.elapsed() >= if awake { LONGEST_AWAKE } else { LONGEST_COMPETITION }
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

    use super::super::queue::Bucket;

    pub(in super::super) use loom::sync::atomic::AtomicU8;
    use loom::sync::atomic::AtomicU32;

    /// A number in a lock. Locks are made in constants, and loom's atomics can't be, so they are made on first use: a model
    /// makes that use before it starts threads.
    pub(in super::super) struct Atomic<A>(OnceLock<A>);

    pub(in super::super) type Byte = Atomic<AtomicU8>;
    pub(in super::super) type Word = Atomic<AtomicU32>;

    impl<A: Default> Atomic<A> {
        pub(in super::super) const fn new(_zero: u8) -> Self {
            Self(OnceLock::new())
        }
    }

    impl<A: Default> core::ops::Deref for Atomic<A> {
        type Target = A;

        fn deref(&self) -> &A {
            self.0.get_or_init(A::default)
        }
    }

    /// Makes a number, unless it was used before.
    pub(in super::super) fn exists<A: Default>(number: &Atomic<A>) {
        let _: &A = number;
    }

    /// One, so that a model of two releases goes past the limit.
    pub(in super::super) const LOOKS: u8 = 1;

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

        pub(in super::super) fn is_due(self, lost: u32, _awake: bool) -> bool {
            lost > 0
        }
    }

    /// No model parks for other reasons, and an additional wake-up would hide a missing one.
    pub(in super::super) fn give_back_wake_up(_: &loom::thread::Thread) {}
}

pub(super) use imp::*;
