//! Locks with an empty or a short section: the cost of the lock itself.

use std::{
    hint::{black_box, spin_loop},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use super::quota::Quota;
use crate::{
    contenders::{KeyLock, KeyRwLock, MultiLock},
    harness::Case,
};

/// Lock and unlock one key after another, on one thread.
pub fn one_key<'a, K>(label: impl Into<String>, lock: impl KeyLock<K> + 'a, keys: &'a [K]) -> Case<'a> {
    Case::new(label, move |operations| timed(operations, keys, |key| lock.with(key, || black_box(()))))
}

/// Lock and unlock one batch of keys after another, on one thread. An operation is one batch.
pub fn many_keys<'a, K>(
    label: impl Into<String>,
    lock: impl MultiLock<K> + 'a,
    batches: &'a [Vec<K>],
) -> Case<'a> {
    Case::new(label, move |operations| {
        timed(operations, batches, |batch| lock.with_many(batch, || black_box(())))
    })
}

pub(super) fn timed<T>(operations: u64, items: &[T], mut operation: impl FnMut(&T)) -> Duration {
    assert!(items.len().is_power_of_two(), "the next item is found by a mask");
    let mask = items.len() - 1;
    let start = Instant::now();
    for turn in 0..operations as usize {
        operation(&items[turn & mask]);
    }
    start.elapsed()
}

/// Threads that lock and unlock the keys of their lists in turn, with `section` under the lock.
///
/// The operations are divided among the threads. The case can measure how long each operation waits for its lock. The
/// time is from the first start to the last end.
pub fn threads<'a, K: Sync + 'a>(
    label: impl Into<String>,
    lock: impl KeyLock<K> + 'a,
    keys: Vec<Vec<K>>,
    section: impl Fn() + Sync + 'a,
) -> Case<'a> {
    assert!(keys.iter().all(|keys| keys.len().is_power_of_two()), "the next key is found by a mask");
    Case::waiting(label, move |operations, latencies| {
        let quota = Quota::new(operations, keys.len());
        let took = together(keys.len(), |thread| {
            let keys = &keys[thread];
            let key = |turn: usize| &keys[turn & (keys.len() - 1)];
            let Some(latencies) = latencies else {
                return quota.turns().for_each(|turn| lock.with(key(turn), &section));
            };
            let waits = quota.turns().map(|turn| {
                let start = Instant::now();
                let waited = lock.with(key(turn), || {
                    let waited = start.elapsed();
                    section();
                    waited
                });
                waited.as_secs_f64()
            });
            latencies.add(waits.collect());
        });
        quota.whole(took)
    })
}

/// Runs `work` on `count` threads that begin together. Returns the time from the first start to the last end.
pub fn together(count: usize, work: impl Fn(usize) + Sync) -> Duration {
    let barrier = Barrier::new(count);
    let spans: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|thread| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    work(thread);
                    (start, Instant::now())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("workloads do not panic")).collect()
    });
    let start = spans.iter().map(|span| span.0).min().expect("at least one thread");
    let end = spans.iter().map(|span| span.1).max().expect("at least one thread");
    end - start
}

/// One key for each of some threads, so that none ever waits for another.
///
/// # Panics
///
/// Panics if there are too few keys that do not block each other.
pub fn one_key_each<K: Copy>(lock: &impl KeyLock<K>, threads: usize, keys: &[K]) -> Vec<Vec<K>> {
    let mut chosen: Vec<K> = Vec::with_capacity(threads);
    for key in keys {
        if chosen.len() < threads && chosen.iter().all(|other| lock.apart(key, other)) {
            chosen.push(*key);
        }
    }
    assert_eq!(chosen.len(), threads, "too few keys lie apart");
    chosen.into_iter().map(|key| vec![key]).collect()
}

/// Keeps the processor busy for about `length`.
pub fn busy(length: Duration) {
    let start = Instant::now();
    while start.elapsed() < length {
        spin_loop();
    }
}

/// Threads that lock random keys of a ring, with `section` under the lock: to write in the turns for which `writes`
/// returns true, and to read in the others.
pub fn read_mostly<'a, K: Sync>(
    label: impl Into<String>,
    lock: impl KeyRwLock<K> + 'a,
    count: usize,
    keys: &'a [K],
    writes: impl Fn(usize) -> bool + Sync + 'a,
    section: impl Fn() + Sync + 'a,
) -> Case<'a> {
    assert!(keys.len().is_power_of_two(), "the next key is found by a mask");
    Case::new(label, move |operations| {
        let quota = Quota::new(operations, count);
        let took = together(count, |thread| {
            let first = thread * keys.len() / count;
            for turn in quota.turns() {
                let key = &keys[(first + turn) & (keys.len() - 1)];
                if writes(turn) {
                    lock.write(key, &section);
                } else {
                    lock.read(key, &section);
                }
            }
        });
        quota.whole(took)
    })
}

/// Two threads call `hog` again and again for the time `length`, while a third one calls `wait`, which returns how long it
/// waited. These times in seconds, sorted.
pub fn waits_beside_two(
    hog: impl Fn() + Sync,
    mut wait: impl FnMut() -> Duration,
    length: Duration,
) -> Vec<f64> {
    let (stop, mut waits) = (AtomicBool::new(false), Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    hog();
                }
            });
        }
        let end = Instant::now() + length;
        while Instant::now() < end {
            waits.push(wait().as_secs_f64());
            thread::sleep(Duration::from_micros(100));
        }
        stop.store(true, Relaxed);
    });
    waits.sort_by(f64::total_cmp);
    waits
}

/// Takes and releases all locks at once, again and again, on one thread.
pub fn lock_all<'a>(label: impl Into<String>, take: impl Fn() + 'a) -> Case<'a> {
    Case::new(label, move |operations| {
        let start = Instant::now();
        for _ in 0..operations {
            take();
        }
        start.elapsed()
    })
}
