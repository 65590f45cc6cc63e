//! Atomic numbers on every target. If the processor has no 64-bit atomics, `portable-atomic` emulates them with a lock.

#![allow(unused_imports, reason = "the features decide whether anything is counted")]

#[cfg(target_has_atomic = "64")]
pub(crate) use core::sync::atomic::AtomicU64;

#[cfg(not(target_has_atomic = "64"))]
pub(crate) use portable_atomic::AtomicU64;

pub(crate) use core::sync::atomic::Ordering::Relaxed;

/// These are loom's in a model, which has to see every access to them.
pub(crate) mod modelled {
    #[cfg(not(all(loom, feature = "std")))]
    pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, fence};
    #[cfg(all(loom, feature = "std"))]
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};

    #[cfg(not(all(loom, feature = "std")))]
    pub(crate) use super::AtomicU64;
}
