//! Planted bugs that the sanitizers of `scripts/sanitize.sh` must find before their other results count. Without a
//! sanitizer there is nothing to run here.
#![cfg(stripe_lock_sanitize)]

use std::hint::black_box;
use std::thread;

struct Racy(std::cell::UnsafeCell<u64>);

// SAFETY: this is unsound, and the sanitizer has to find it.
unsafe impl Sync for Racy {}

#[test]
#[ignore = "a planted bug"]
fn planted_thread() {
    let count = Racy(std::cell::UnsafeCell::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let count = &count;
                for _ in 0..10_000 {
                    // SAFETY: none: two threads write at the same time.
                    unsafe { *count.0.get() += 1 };
                }
            });
        }
    });
}

#[test]
#[ignore = "a planted bug"]
fn planted_address() {
    let freed = Box::into_raw(Box::new(7_u64));
    // SAFETY: the first is sound, the second reads what the first has freed.
    unsafe {
        drop(Box::from_raw(freed));
        black_box(*black_box(freed));
    }
}
