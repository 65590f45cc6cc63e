//! A 64-bit atomic number on every target: where the processor has none, `portable-atomic` makes it of a lock.

#![allow(unused_imports, reason = "who counts, and so needs it, is up to features")]

#[cfg(target_has_atomic = "64")]
pub(crate) use core::sync::atomic::AtomicU64;

#[cfg(not(target_has_atomic = "64"))]
pub(crate) use portable_atomic::AtomicU64;
