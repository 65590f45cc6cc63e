//! Keeps others from implementing the traits that guards are made of.

/// A supertrait that can't be named from outside, so that no other crate implements a trait that has it.
pub trait Sealed {}
