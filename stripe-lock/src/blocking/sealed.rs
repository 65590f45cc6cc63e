//! Keeps other crates from implementing the traits of guards.

/// A supertrait that can't be named from outside, so that no other crate implements a trait that has it.
pub trait Sealed {}
