//! Keeps others from implementing the traits that guards are made of.

/// A supertrait that can't be named from outside, so that nobody else implements what has it.
pub trait Sealed {}
