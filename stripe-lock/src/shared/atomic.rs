//! A 64-bit atomic number on every target. Where the processor has none, `portable-atomic` emulates it with a lock.

#![allow(unused_imports, reason = "the features decide whether anything is counted")]

#[cfg(target_has_atomic = "64")]
pub(crate) use core::sync::atomic::AtomicU64;

#[cfg(not(target_has_atomic = "64"))]
pub(crate) use portable_atomic::AtomicU64;
