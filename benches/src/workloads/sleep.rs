//! Writers that hold the lock of a key over a sleep: how many of them a lock lets hold at once.
//!
//! A sleep stands for a wait under a lock: for a disk, or for another service. Processors do not limit it, so
//! two cores show what striping gives on any number of them.

use std::{sync::Arc, thread, time::Duration};

use super::{
    awaited::{all, two_workers},
    closed_loop::{Window, closed_loop},
};
use crate::{
    contenders::{AsyncKeyLock, KeyLock},
    harness::Case,
    keys::Distinct,
};

/// Threads that hold the lock of a fresh random key over a sleep, again and again.
pub fn sleeping_threads<'a>(
    label: impl Into<String>,
    lock: impl KeyLock<u64> + 'a,
    writers: usize,
    sleep: Duration,
) -> Case<'a> {
    Case::new(label, move |operations| {
        closed_loop(writers, operations, Distinct::of_writer, |keys| {
            let key = keys.next().expect("keys never end");
            lock.with(&key, || thread::sleep(sleep));
        })
    })
}

/// Tasks on two worker threads that hold the lock of a fresh random key over a sleep, again and again.
///
/// # Panics
///
/// Panics if the runtime cannot be started.
pub fn sleeping_tasks(
    label: impl Into<String>,
    lock: impl AsyncKeyLock<u64> + 'static,
    writers: usize,
    sleep: Duration,
) -> Case<'static> {
    let (runtime, lock) = (two_workers(), Arc::new(lock));
    Case::new(label, move |operations| {
        let window = Arc::new(Window::new(2 * writers as u64, operations));
        all(&runtime, writers, |writer| {
            let (lock, window) = (Arc::clone(&lock), Arc::clone(&window));
            async move {
                let mut keys = Distinct::of_writer(writer);
                while !window.is_over() {
                    let key = keys.next().expect("keys never end");
                    // It isn't tokio's sleep, which counts in whole milliseconds.
                    let guard = lock.lock(&key).await;
                    futures_timer::Delay::new(sleep).await;
                    drop(guard);
                    window.completed_one();
                }
            }
        });
        window.length()
    })
}
