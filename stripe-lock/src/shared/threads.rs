//! Threads that sleep: those of the standard library, and loom's in a model.

use std::time::Instant;

pub(crate) use imp::*;

#[cfg(not(loom))]
mod imp {
    pub(crate) use std::thread::{Thread, current, park, park_timeout};
    pub(crate) use std::thread_local as per_thread;
}

#[cfg(loom)]
mod imp {
    use std::time::Duration;

    pub(crate) use loom::thread::{Thread, current, park};

    /// Parks without a time limit, because loom has no clock. A model of a timeout drops the future, or gives up by
    /// itself.
    pub(crate) fn park_timeout(_: Duration) {
        park();
    }

    /// The standard library's `thread_local!` has a form for constants, and loom's hasn't.
    macro_rules! per_thread {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = const { $init:expr };) => {
            loom::thread_local! { $(#[$attribute])* static $name: $type = $init }
        };
    }
    pub(crate) use per_thread;
}

/// Parks this thread until `is_told` returns true or the deadline passes. Returns whether `is_told` was true. A
/// thread can be unparked for other reasons, so `is_told` decides.
pub(crate) fn sleep_until(deadline: Option<Instant>, is_told: impl Fn() -> bool) -> bool {
    while !is_told() {
        let Some(deadline) = deadline else {
            park();
            continue;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        park_timeout(left);
    }
    true
}
