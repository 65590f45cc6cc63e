//! The results of adding keys to a guard of several keys.

use core::fmt;

/// Why a key could not be added to a [`MultiGuard`](crate::blocking::MultiGuard).
///
/// # Examples
///
/// ```
/// use stripe_lock::ExtendError;
///
/// assert_eq!(ExtendError::WouldBlock.to_string(), "the stripe is held by another guard");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExtendError {
    /// Another guard holds the stripe. Waiting for it would be safe, unless that guard belongs to the same thread or
    /// task.
    WouldBlock,
    /// Another guard holds the stripe. Waiting for it could deadlock, because this guard holds a higher stripe.
    WouldInvert,
    /// The set is closed. Only async sets can be closed.
    Closed,
}

impl fmt::Display for ExtendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock => "the stripe is held by another guard",
            Self::WouldInvert => {
                "the stripe is held by another guard, and waiting for it would break the lock order"
            }
            Self::Closed => "the set of locks is closed",
        })
    }
}

impl core::error::Error for ExtendError {}

/// Whether a guard kept what it held while keys were added to it.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use stripe_lock::{Extended, StripedMutex};
///
/// let stock = StripedMutex::<str, HashMap<String, u32>>::new(64);
/// stock.lock("apples").insert("apples".into(), 3);
/// let mut guard = stock.lock_many(["apples"]);
/// let mut apples = guard.get("apples").unwrap()["apples"];
/// if guard.extend_or_restart(["pears"]) == Extended::Restarted {
///     apples = guard.get("apples").unwrap()["apples"]; // others may have changed it
/// }
/// *guard.get_mut("pears").unwrap().entry("pears".into()).or_default() += apples;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "after a restart, what was read before may be out of date"]
pub enum Extended {
    /// Nothing was released: what was read under the guard is still true.
    Kept,
    /// All stripes were released and taken again: other threads may have changed the data in between.
    Restarted,
}
