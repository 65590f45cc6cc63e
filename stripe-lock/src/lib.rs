//! Striped (keyed) locks.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod hash;
mod stripe_set;
mod striped;

pub use hash::DefaultHasher;
#[cfg(feature = "fnv")]
pub use hash::Fnv1a;
#[cfg(feature = "std")]
pub use hash::SipHash;
pub use stripe_set::{Iter, StripeSet};
pub use striped::{DEFAULT_STRIPES, MAX_STRIPES, Striped};
