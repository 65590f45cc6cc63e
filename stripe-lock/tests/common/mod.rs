//! Parts that the suites share: raw locks that check their callers, a watchdog, and keys for chosen stripes.
#![allow(dead_code, unreachable_pub, reason = "every suite includes this module and uses a part of it")]

/// Makes a test for each of these functions with each of these raw locks.
#[allow(unused_macros, reason = "not every suite is generic")]
macro_rules! suite {
    ($($(#[$when:meta])* $name:ident: $raw:ty),*; $($test:ident)*) => {
        suite! { @each ($($(#[$when])* $name: $raw),*) [$($test)*] }
    };
    (@each ($($(#[$when:meta])* $name:ident: $raw:ty),*) $tests:tt) => {
        $(suite! { @one $(#[$when])* $name, $raw, $tests })*
    };
    (@one $(#[$when:meta])* $name:ident, $raw:ty, [$($test:ident)*]) => {
        $(#[$when])*
        mod $name {
            $(
                #[test]
                fn $test() {
                    super::$test::<$raw>();
                }
            )*
        }
    };
}

pub mod observe;
pub mod spin_mutex;
pub mod spin_rwlock;

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Much longer than any test takes, so that only a deadlock reaches it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Longer than any wait that should succeed.
pub const LONG: Duration = Duration::from_secs(300);

/// For waits that should fail.
pub const SHORT: Duration = Duration::from_millis(20);

/// Runs `body` on a thread of its own. If it hangs, the test fails.
pub fn watched(body: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let thread = thread::spawn(move || {
        let _done = done;
        body();
    });
    match ended.recv_timeout(PATIENCE) {
        Err(RecvTimeoutError::Timeout) => panic!("not done after {PATIENCE:?}: a deadlock"),
        Err(RecvTimeoutError::Disconnected) | Ok(()) => {}
    }
    if let Err(panic) = thread.join() {
        resume_unwind(panic);
    }
}

/// Calls `body` on another thread and returns its result.
pub fn elsewhere<O: Send>(body: impl FnOnce() -> O + Send) -> O {
    thread::scope(|scope| scope.spawn(body).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// One key for each of the first `count` stripes, in the order of stripes.
pub fn keys(count: usize, stripe_of: impl Fn(&u64) -> usize) -> Vec<u64> {
    (0..count).map(|stripe| key_on(stripe, 0, &stripe_of)).collect()
}

/// The smallest key from `from` on that belongs to `stripe`.
pub fn key_on(stripe: usize, from: u64, stripe_of: impl Fn(&u64) -> usize) -> u64 {
    (from..from + (1 << 24)).find(|key| stripe_of(key) == stripe).expect("some key belongs to every stripe")
}

/// The message of a panic.
pub fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (_, Some(message)) => message.clone(),
        _ => panic!("a panic without a message"),
    }
}

/// Pseudo-random numbers that are the same in every run (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
