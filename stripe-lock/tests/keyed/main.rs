//! Exact locks: what `KeyedMutex` and `AsyncKeyedMutex` promise.
#![cfg(feature = "async")]

#[path = "../common/bell.rs"]
mod bell;
#[cfg(feature = "diagnose")]
mod diagnosis;
mod every;
mod extend;
mod hashes;
#[path = "../common/hostile.rs"]
mod hostile;
#[path = "../common/task.rs"]
mod task;
mod torture;
mod waiting;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use hostile::panic_of;
use stripe_lock::{AsyncKeyedMutex, DefaultHasher, ExtendError, KeyedMutex};
use task::Task;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

/// Sets in which all keys share a bucket, and sets in which they rarely do.
const BUCKETS: [usize; 2] = [1, 1024];

fn threads(buckets: usize) -> KeyedMutex<u64> {
    KeyedMutex::with_hasher(buckets, DefaultHasher::default())
}

fn tasks(buckets: usize) -> Arc<AsyncKeyedMutex<u64>> {
    Arc::new(AsyncKeyedMutex::with_hasher(buckets, DefaultHasher::default()))
}

/// Two keys in lock order: the first may be held during a wait for the second.
fn in_order(locks: &AsyncKeyedMutex<u64>) -> (u64, u64) {
    let _other = locks.try_lock(&1).expect("it is free");
    let mut guard = locks.try_lock_many(&[0]).expect("it is free");
    if guard.try_extend(&1) == Err(ExtendError::WouldBlock) { (0, 1) } else { (1, 0) }
}

#[test]
fn equal_keys_exclude_each_other_and_unequal_ones_never_do() {
    for buckets in BUCKETS {
        let locks = threads(buckets);
        let held: Vec<_> = (0..1000).map(|key| locks.try_lock(&key).expect("it is free")).collect();
        for key in 0..1000 {
            assert!(locks.try_lock(&key).is_none() && locks.is_locked(&key), "{key}");
            assert!(!locks.is_locked(&(key + 1000)));
        }
        // Released in another order than they were locked.
        let (even, odd): (Vec<_>, Vec<_>) = held.into_iter().zip(0..).partition(|(_, key)| key % 2 == 0);
        drop(even);
        for key in 0..1000 {
            assert_eq!(locks.try_lock(&key).is_some(), key % 2 == 0, "{key}");
        }
        drop(odd);
        assert!((0..2000).all(|key| locks.try_lock(&key).is_some()));
    }
}

#[test]
fn all_borrowed_forms_of_a_key_are_the_same_key() {
    let locks = KeyedMutex::<String>::new();
    let _guard = locks.lock("alice");
    assert!(locks.try_lock(&String::from("alice")).is_none());
}

/// This would hang on stripes: guards of single keys, taken one after the other by threads that agree on the order of
/// keys.
#[test]
fn nested_single_locks_of_sorted_keys_end() {
    for buckets in [1, 4] {
        let locks = threads(buckets);
        let counts: Vec<AtomicU64> = (0..20).map(AtomicU64::new).collect();
        let add = |key: u64| {
            let count = counts[key as usize].load(Relaxed);
            thread::yield_now();
            counts[key as usize].store(count + 1, Relaxed);
        };
        thread::scope(|scope| {
            for first in 0..4 {
                let (locks, add) = (&locks, &add);
                scope.spawn(move || {
                    for round in 0..100 {
                        let low = (first + round) % 19;
                        let (_low, _high) = (locks.lock(&low), locks.lock(&(low + 1)));
                        add(low);
                        add(low + 1);
                    }
                });
            }
        });
        let sum: u64 = counts.iter().map(|count| count.load(Relaxed)).sum();
        assert_eq!(sum, (0..20).sum::<u64>() + 4 * 100 * 2);
    }
}

/// Unequal keys never collide: `lock_many` in any order, beside single locks.
#[test]
fn many_in_any_order_end() {
    for buckets in BUCKETS {
        let locks = threads(buckets);
        let inside: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            for offset in 0..4_u64 {
                let (locks, inside) = (&locks, &inside);
                scope.spawn(move || {
                    for round in 0..300 {
                        let keys = [0, 3, 6, 1, 3].map(|step| (offset * 3 + round + step) % 8);
                        let guard = locks.lock_many(&keys);
                        let once: HashSet<_> = keys.into_iter().collect();
                        for &key in &once {
                            assert_eq!(inside[key as usize].fetch_add(1, Relaxed), 0, "alone");
                        }
                        for &key in &once {
                            inside[key as usize].fetch_sub(1, Relaxed);
                        }
                        drop(guard);
                        drop(locks.lock(&(round % 8)));
                    }
                });
            }
        });
        assert!(locks.try_lock_many(&[0, 1, 2, 3, 4, 5, 6, 7]).is_some());
    }
}

#[test]
fn many_take_all_or_none() {
    for buckets in BUCKETS {
        let locks = threads(buckets);
        let keys: Vec<u64> = (0..100).collect();
        for held in [0, 50, 99] {
            let guard = locks.lock(&held);
            assert!(locks.try_lock_many(&keys).is_none());
            assert!(locks.try_lock_many_for(&keys, Duration::from_millis(1)).is_none());
            assert!(keys.iter().all(|key| locks.is_locked(key) == (*key == held)));
            drop(guard);
        }
        let all =
            locks.try_lock_many(keys.iter().chain(&keys)).expect("a key that is named twice counts once");
        assert!(keys.iter().all(|key| locks.is_locked(key)));
        drop(all);
        assert!(!keys.iter().any(|key| locks.is_locked(key)));
        assert!(locks.try_lock_many(std::iter::empty::<&u64>()).is_some());
    }
}

/// In debug builds a thread that would wait for itself panics.
#[cfg(any(debug_assertions, feature = "check"))]
#[test]
fn a_thread_that_waits_for_itself_panics() {
    let locks = Arc::new(threads(16));
    let one = locks.lock(&1);
    let said = panic_of(|| drop(locks.lock(&1))).unwrap();
    assert!(said.contains("wait for itself") && said.matches(file!()).count() >= 2, "{said}");
    assert!(panic_of(|| drop(locks.lock_many(&[3, 2, 1]))).is_some());
    assert!(!locks.is_locked(&2) && !locks.is_locked(&3));
    assert!(panic_of(|| drop(locks.lock_arc(&1))).is_some());
    assert!(locks.try_lock(&1).is_none());
    drop(one);
    drop(locks.lock(&1));
    // Another set, or a new set at the same address, is not affected.
    let other = threads(16);
    let _one = locks.lock(&1);
    drop(other.lock(&1));
}

#[test]
fn the_waiters_of_a_key_are_counted_and_no_others() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let held = (locks.try_lock(&1).expect("it is free"), locks.try_lock(&2).expect("it is free"));
        let waiting: Vec<_> = (0..3).map(|_| Task::waiting(locks.lock(&1))).collect();
        assert_eq!([1, 2, 3].map(|key| locks.waiters(&key)), [3, 0, 0]);
        drop(waiting);
        assert_eq!(locks.waiters(&1), 0);
        drop(held);
    }
}

#[cfg(feature = "stats")]
#[test]
fn acquisitions_and_waits_are_counted() {
    let locks = tasks(1);
    let mut guard = locks.try_lock_many(&[1]).expect("it is free");
    assert_eq!((locks.stats().acquired, locks.stats().met), (1, 0));
    guard.try_extend(&2).expect("it is free");
    assert_eq!((locks.stats().acquired, locks.stats().met), (2, 1));

    let (mut served, cancelled) = (Task::waiting(locks.lock(&1)), Task::waiting(locks.lock(&2)));
    let stats = locks.stats();
    assert_eq!((stats.acquired, stats.contended, stats.cancelled, stats.waiting), (2, 2, 0, 2));
    thread::sleep(Duration::from_millis(1));
    drop(cancelled);
    drop(guard);
    drop(served.done());
    let stats = locks.stats();
    assert_eq!((stats.acquired, stats.contended, stats.cancelled, stats.waiting), (3, 2, 1, 0));
    assert!(stats.waited >= Duration::from_millis(2), "{stats}");
    // The counts outlive the queues, and the change of a bucket from its table back to its word.
    drop(locks.try_lock(&3).expect("it is free"));
    assert_eq!((locks.stats().acquired, locks.stats().contended), (4, 2));
}
