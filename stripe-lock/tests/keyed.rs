//! Exact locks: what `KeyedMutex` and `AsyncKeyedMutex` promise.
#![cfg(feature = "async")]

#[path = "common/hostile.rs"]
mod hostile;
#[path = "common/task.rs"]
mod task;

use std::cell::Cell;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use hostile::{Bomb, CLONE, DROP, Hook, WAKE, panic_of};
use stripe_lock::asynchronous::keyed::KeyedGuard;
use stripe_lock::asynchronous::{AcquireError, within};
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
fn whatever_a_key_can_be_borrowed_as_is_the_same_key() {
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

#[test]
fn a_wait_with_a_limit_ends_and_gives_up_its_place() {
    for buckets in BUCKETS {
        let locks = Arc::new(threads(buckets));
        let guard = locks.lock(&1);
        assert!(locks.try_lock_for(&1, Duration::from_millis(1)).is_none());
        assert!(locks.try_lock_until(&1, Instant::now()).is_none());
        assert!(locks.try_lock_arc_for(&1, Duration::ZERO).is_none());
        assert!(locks.try_lock_for(&2, Duration::ZERO).is_some(), "a free key is had in no time");
        drop(guard);
        assert!(locks.try_lock(&1).is_some());
        assert!(locks.try_lock_until(&1, Instant::now() + LONG).is_some());
    }
}

#[test]
fn a_blocked_thread_is_woken() {
    for buckets in BUCKETS {
        let locks = threads(buckets);
        let count = AtomicU64::new(0);
        thread::scope(|scope| {
            let guard = locks.lock(&1);
            for _ in 0..4 {
                scope.spawn(|| {
                    let _guard = locks.try_lock_for(&1, LONG).expect("long enough");
                    let now = count.load(Relaxed);
                    thread::yield_now();
                    count.store(now + 1, Relaxed);
                });
            }
            drop(guard);
        });
        assert_eq!(count.into_inner(), 4);
    }
}

#[test]
fn threads_and_tasks_wait_for_the_same_keys() {
    let locks = tasks(1);
    let guard = locks.blocking_lock(&1);
    let mut waiting = Task::waiting(locks.lock(&1));
    let thread = thread::spawn({
        let locks = locks.clone();
        move || drop(locks.blocking_lock(&1))
    });
    drop(guard);
    drop(waiting.done());
    thread.join().unwrap();
    assert!(!locks.is_locked(&1));
}

/// Waiters are served in order once a woken waiter found the key held.
#[test]
fn a_waiter_is_overtaken_twelve_times_at_most() {
    let locks = tasks(1);
    let guard = locks.try_lock(&1).unwrap();
    let mut waiting = Task::waiting(locks.lock(&1));
    drop(guard);
    let overtakes = (0..100).take_while(|_| locks.try_lock(&1).is_some()).count();
    assert_eq!(overtakes, 12);
    drop(waiting.done());
    assert!(locks.try_lock(&1).is_some());
}

#[test]
fn a_fair_release_lets_nobody_overtake() {
    let locks = tasks(1);
    let guard = locks.try_lock(&1).unwrap();
    let mut waiting = Task::waiting(locks.lock(&1));
    KeyedGuard::unlock_fair(guard);
    assert!(locks.try_lock(&1).is_none());
    drop(waiting.done());
}

/// Waiters of a key get it in order, and each release wakes one of them.
#[test]
fn waiters_are_served_in_their_order() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let mut held = locks.try_lock(&1).unwrap();
        let mut waiting: Vec<_> = (0..100).map(|_| Task::waiting(locks.lock(&1))).collect();
        for next in 0..100 {
            KeyedGuard::unlock_fair(held);
            assert_eq!(waiting.iter().filter(|task| task.woken() > 0).count(), next + 1);
            held = waiting[next].done();
        }
    }
}

#[test]
fn a_dropped_future_passes_its_turn_on() {
    for (fair, polled) in [(false, false), (true, false), (false, true)] {
        let locks = tasks(1);
        let guard = locks.try_lock(&1).unwrap();
        let mut first = Task::waiting(locks.lock(&1));
        let mut second = Task::waiting(locks.lock(&1));
        let last = Task::waiting(locks.lock(&1));
        drop(last);
        if fair {
            KeyedGuard::unlock_fair(guard);
        } else {
            drop(guard);
        }
        if polled {
            drop(first.poll());
        }
        drop(first);
        drop(second.done());
        assert!(locks.try_lock(&1).is_some());
    }
}

#[test]
fn a_dropped_future_of_many_keys_leaves_nothing_held() {
    let locks = tasks(1);
    for held in 0..4 {
        let guard = locks.try_lock(&held).unwrap();
        let waiting = Task::waiting(locks.lock_many(&[0, 1, 2, 3]));
        drop(waiting);
        drop(guard);
        assert!(locks.try_lock_many(&[0, 1, 2, 3]).is_some());
    }
}

#[test]
fn limits_of_tasks() {
    let locks = tasks(1);
    let guard = locks.blocking_lock(&1);
    let mut timeout = Task::new(locks.lock_timeout(&1, std::future::ready(())));
    assert!(matches!(timeout.poll(), Poll::Ready(Err(AcquireError::Elapsed))));
    let mut many = Task::new(within(locks.lock_many(&[1, 2]), std::future::ready(())));
    assert!(matches!(many.poll(), Poll::Ready(Err(AcquireError::Elapsed))));
    assert_eq!(locks.blocking_lock_timeout(&1, Duration::ZERO).unwrap_err(), AcquireError::Elapsed);
    let waiting = Task::waiting(locks.lock(&1));
    let mut crowded = Task::new(locks.lock(&1).unless_crowded(1));
    assert!(matches!(crowded.poll(), Poll::Ready(Err(AcquireError::Crowded))));
    drop((guard, waiting));
    assert!(!locks.is_locked(&1) && !locks.is_locked(&2));
}

#[test]
fn a_closed_set_tells_everybody() {
    let locks = tasks(2);
    let (guard, thin) = (locks.blocking_lock(&1), locks.blocking_lock(&7));
    let mut waiting = Task::waiting(locks.lock(&1).checked());
    let mut many = Task::waiting(locks.lock_many(&[0, 1, 2]).checked());
    locks.close();
    locks.close();
    assert!(locks.is_closed());
    assert_eq!(waiting.done().unwrap_err(), AcquireError::Closed);
    assert_eq!(many.done().unwrap_err(), AcquireError::Closed);
    assert!(locks.is_locked(&1) && !locks.is_locked(&0) && !locks.is_locked(&2));
    assert!(locks.try_lock(&3).is_none() && locks.try_lock_many(&[3]).is_none());
    assert_eq!(locks.blocking_lock_timeout(&3, LONG).unwrap_err(), AcquireError::Closed);
    let said = panic_of(|| drop(locks.blocking_lock(&3))).expect("it is closed");
    assert!(said.contains("the set of locks is closed"), "{said}");
    drop((guard, thin));
    assert!(!locks.is_locked(&1) && !locks.is_locked(&7) && locks.is_closed());
}

/// If a waker were called, cloned or dropped under a lock of the set's, this would hang.
#[test]
fn a_waker_may_use_the_set() {
    let locks = tasks(1);
    let (hook, waker) = Hook::new();
    let guard = locks.try_lock(&1).unwrap();
    let mut waiting = Box::pin(locks.lock(&1));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let inside = locks.clone();
    hook.then(move || assert!(inside.try_lock(&1).is_some() && inside.try_lock_many(&[2, 3]).is_some()));
    drop(guard);
    assert!(hook.is_done());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn a_waker_that_panics_loses_nothing() {
    // In the call: the holder gets the panic, and the waiter has the key.
    let locks = tasks(1);
    let (bomb, waker) = Bomb::new(1);
    let keys = [0, 1, 2];
    let mut waiting: Vec<_> = keys.iter().map(|key| Box::pin(locks.lock(key))).collect();
    let guard = locks.try_lock_many(&keys).unwrap();
    for future in &mut waiting {
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    bomb.arm(WAKE);
    assert!(panic_of(|| drop(guard)).unwrap().contains("bomb 1 in wake"));
    assert_eq!(bomb.wakes(), 3, "the others are told all the same");
    bomb.arm(0);
    for future in &mut waiting {
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }
    drop(waiting);
    // In the clone: no queue was joined.
    let guard = locks.try_lock(&1).unwrap();
    bomb.arm(CLONE);
    let mut future = Box::pin(locks.lock(&1));
    let poll = catch_unwind(AssertUnwindSafe(|| {
        drop(future.as_mut().poll(&mut Context::from_waker(&waker)));
    }));
    assert!(poll.is_err());
    drop(guard);
    assert!(locks.try_lock(&1).is_some());
    // In the drop: the future has given up.
    bomb.arm(0);
    let guard = locks.try_lock(&1).unwrap();
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    bomb.arm(DROP);
    assert!(panic_of(|| drop(future)).unwrap().contains("bomb 1 in drop"));
    drop(guard);
    assert!(locks.try_lock(&1).is_some());
    bomb.arm(0);
    drop(waker);
    assert_eq!(bomb.alive(), 0, "no waker is left behind");
}

/// A key whose hash panics on demand.
struct Fickle(u64, Cell<bool>);

impl PartialEq for Fickle {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Fickle {}

impl Hash for Fickle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert!(!self.1.get(), "no hash today");
        self.0.hash(state);
    }
}

#[test]
fn a_hash_that_panics_leaves_nothing_held() {
    let locks = KeyedMutex::<Fickle>::new();
    let keys = [Fickle(1, Cell::new(false)), Fickle(2, Cell::new(true))];
    assert!(panic_of(|| drop(locks.lock_many(&keys))).unwrap().contains("no hash today"));
    keys[1].1.set(false);
    assert!(locks.try_lock_many(&keys).is_some());
}

/// Every key has the same hash. They exclude each other and work otherwise.
#[derive(Clone, Default)]
struct Constant;

impl BuildHasher for Constant {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self
    }
}

impl Hasher for Constant {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, _: &[u8]) {}
}

#[test]
fn keys_with_one_hash_are_one_key() {
    let locks = KeyedMutex::<u64, Constant>::with_hasher(16, Constant);
    let guard = locks.lock_many(&[1, 2, 3]);
    assert!(locks.try_lock(&4).is_none());
    drop(guard);
    assert!(locks.try_lock(&4).is_some());
}

/// The memory of a bucket depends on the number of keys that are held at the same time.
#[test]
fn a_million_keys_are_held_at_once() {
    let locks = threads(64);
    let keys = 0..if cfg!(debug_assertions) { 10_000 } else { 1_000_000 };
    let held: Vec<_> = keys.clone().map(|key| locks.try_lock(&key).expect("it is free")).collect();
    assert!(keys.clone().step_by(997).all(|key| locks.is_locked(&key)));
    drop(held);
    assert!(!keys.into_iter().any(|key| locks.is_locked(&key)));
}

/// In debug builds a thread that would wait for itself panics.
#[cfg(any(debug_assertions, feature = "check"))]
#[test]
fn a_thread_that_waits_for_itself_panics() {
    let locks = Arc::new(threads(16));
    let one = locks.lock(&1);
    let said = panic_of(|| drop(locks.lock(&1))).unwrap();
    assert!(said.contains("wait for itself") && said.matches("keyed.rs").count() >= 2, "{said}");
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
fn a_guard_takes_further_keys_and_gives_some_back() {
    for buckets in BUCKETS {
        let locks = Arc::new(threads(buckets));
        let mut guard = KeyedGuard::extendable(locks.lock_arc(&0));
        for key in 1..100 {
            guard.extend(&key).expect("it is free");
            guard.extend(&key).expect("the guard holds it");
        }
        assert!(
            guard.len() == 100 && (0..100).all(|key| guard.holds(&key) && locks.try_lock(&key).is_none())
        );

        let released: Vec<u64> = (0..100).filter(|key| key % 3 == 0).collect();
        assert!(
            released.iter().all(|key| guard.release(key)) && !released.iter().any(|key| guard.release(key))
        );
        for key in 0..100 {
            assert_eq!(locks.try_lock(&key).is_some(), released.contains(&key), "{key}");
        }
        drop(guard);
        assert!((0..100).all(|key| locks.try_lock(&key).is_some()));
    }
}

#[test]
fn of_two_keys_that_others_hold_one_may_be_waited_for() {
    let locks = tasks(16);
    for key in (0..40).step_by(2) {
        let said = [(key, key + 1), (key + 1, key)].map(|(held, wanted)| {
            let _other = locks.try_lock(&wanted).expect("it is free");
            let mut guard = locks.try_lock_many(&[held]).expect("it is free");
            let said = guard.try_extend(&wanted).unwrap_err();
            // The extension is refused, or it waits.
            let mut extend = Task::new(guard.extend(&wanted));
            match said {
                ExtendError::WouldInvert => assert_eq!(extend.poll(), Poll::Ready(Err(said))),
                _ => assert!(extend.poll().is_pending()),
            }
            drop(extend);
            assert!(guard.holds(&held) && !guard.holds(&wanted) && guard.len() == 1);
            said
        });
        assert!(
            said.contains(&ExtendError::WouldBlock) && said.contains(&ExtendError::WouldInvert),
            "{key}: {said:?}"
        );
        assert!(!locks.is_locked(&key) && !locks.is_locked(&(key + 1)));
    }
}

/// Two keys in lock order: the first may be held during a wait for the second.
fn in_order(locks: &AsyncKeyedMutex<u64>) -> (u64, u64) {
    let _other = locks.try_lock(&1).expect("it is free");
    let mut guard = locks.try_lock_many(&[0]).expect("it is free");
    if guard.try_extend(&1) == Err(ExtendError::WouldBlock) { (0, 1) } else { (1, 0) }
}

#[test]
fn a_guard_waits_for_a_further_key_and_then_holds_it() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let (low, high) = in_order(&locks);
        let other = locks.try_lock(&high).expect("it is free");
        let mut guard = locks.try_lock_many_owned(&[low]).expect("it is free");
        let mut extend = Task::waiting(guard.extend(&high));
        drop(other);
        assert_eq!(extend.done(), Ok(()));
        drop(extend);
        assert!(guard.holds(&high) && locks.is_locked(&high));
        drop(guard);
        assert!(!locks.is_locked(&low) && !locks.is_locked(&high));

        let mut guard = locks.try_lock_many(&[low]).expect("it is free");
        let _other = locks.try_lock(&high).expect("it is free");
        let mut extend = Task::waiting(guard.extend(&high));
        locks.close();
        assert_eq!(extend.done(), Err(ExtendError::Closed));
        drop(extend);
        assert_eq!(guard.try_extend(&7), Err(ExtendError::Closed));
        assert!(guard.holds(&low) && guard.len() == 1);
    }
}

#[test]
fn threads_that_extend_wait_for_each_other_and_none_is_lost() {
    let locks = threads(1);
    let total = AtomicU64::new(0);
    thread::scope(|scope| {
        for first in 0..4_u64 {
            let (locks, total) = (&locks, &total);
            scope.spawn(move || {
                for round in 0..200 {
                    let mut guard = locks.lock_many(&[first]);
                    let further = (first + round % 4) % 4;
                    if guard.extend(&further) == Err(ExtendError::WouldInvert) {
                        drop(guard);
                        guard = locks.lock_many(&[first, further]);
                    }
                    let seen = total.load(Relaxed);
                    if guard.holds(&0) {
                        total.store(seen + 1, Relaxed);
                    }
                }
            });
        }
    });
    // Each of four threads held key 0 in every fourth round, and the first one in each.
    assert_eq!(total.into_inner(), 3 * 50 + 200);
}

/// In debug builds a thread that would wait for itself panics.
#[cfg(any(debug_assertions, feature = "check"))]
#[test]
fn a_thread_that_would_wait_for_a_further_key_of_its_own_panics() {
    let locks = threads(1);
    let (low, high) = {
        let _other = locks.lock(&1);
        let mut guard = locks.lock_many(&[0]);
        if guard.try_extend(&1) == Err(ExtendError::WouldBlock) { (0, 1) } else { (1, 0) }
    };
    let mut guard = locks.lock_many(&[low]);
    guard.extend(&high).expect("it is free");
    assert!(guard.release(&high));
    let _other = locks.lock(&high);
    let said = panic_of(AssertUnwindSafe(|| guard.extend(&high).unwrap())).unwrap();
    assert!(said.contains("wait for itself"), "{said}");
    assert!(guard.holds(&low) && guard.len() == 1);
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
fn what_happens_in_a_set_is_counted() {
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

#[test]
fn every_key_is_held_or_none() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let one = locks.try_lock(&1).expect("it is free");
        assert!(locks.try_lock_all().is_none());
        let mut all = Task::waiting(locks.lock_all());
        assert!(locks.try_lock_all().is_none());
        drop(one);
        let guard = all.done();
        assert!((0..100).all(|key| locks.try_lock(&key).is_none() && locks.is_locked(&key)));
        drop(guard);
        assert!((0..100).all(|key| locks.try_lock(&key).is_some()));
        drop(locks.try_lock_all_owned().expect("nobody holds any"));
    }
}

#[test]
fn newcomers_wait_behind_who_waits_for_every_key_and_are_served_before_the_next() {
    let locks = tasks(1);
    let one = locks.try_lock(&1).expect("it is free");
    let mut before = Task::waiting(locks.lock(&1));
    let mut all = Task::waiting(locks.lock_all());
    let (mut same, mut other) = (Task::waiting(locks.lock(&1)), Task::waiting(locks.lock(&2)));
    let mut again = Task::waiting(locks.lock_all());
    assert!(locks.try_lock(&3).is_none());

    drop(one);
    drop(all.done());
    let guards = (before.done(), other.done());
    assert!(same.woken() == 0 && locks.try_lock(&3).is_none());
    drop(guards.0);
    drop(same.done());
    assert!(again.woken() == 0 && locks.try_lock(&3).is_none());
    drop(guards.1);
    drop(again.done());
    assert!(!locks.is_locked(&3));
}

#[test]
fn who_holds_a_key_gets_another_though_somebody_waits_for_every_key() {
    let locks = tasks(1);
    let (low, high) = in_order(&locks);
    let mut guard = locks.try_lock_many(&[low]).expect("it is free");
    let other = locks.try_lock(&high).expect("it is free");
    let mut all = Task::waiting(locks.lock_all());
    let mut later = Task::waiting(locks.lock(&high));
    let mut extend = Task::waiting(guard.extend(&high));
    drop(other);
    assert_eq!(extend.done(), Ok(()));
    drop(extend);
    assert!(all.woken() == 0 && later.woken() == 0);
    drop(guard);
    drop(all.done());
    drop(later.done());
}

#[test]
fn who_gives_up_every_key_is_in_nobodys_way() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let one = locks.try_lock(&1).expect("it is free");
        let all = Task::waiting(locks.lock_all());
        let mut later = (0..40).map(|key| locks.lock(&(key + 2))).map(Task::new).collect::<Vec<_>>();
        let waiting: Vec<_> =
            later.iter_mut().filter_map(|task| task.poll().is_pending().then_some(task)).collect();
        assert!(!waiting.is_empty());
        drop(all);
        for task in waiting {
            drop(task.done());
        }
        drop(one);
        assert!((0..50).all(|key| locks.try_lock(&key).is_some()));
    }
}

#[test]
fn every_key_beside_threads_that_lock_some() {
    let locks = threads(8);
    let (total, all) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for n in 0..3_u64 {
            let (locks, total, all) = (&locks, &total, &all);
            scope.spawn(move || {
                for round in 0..300 {
                    match (n + round) % 3 {
                        0 => {
                            let _guard = locks.lock_all();
                            all.store(all.load(Relaxed) + 1, Relaxed);
                            total.store(total.load(Relaxed) + 1, Relaxed);
                        }
                        1 => {
                            let _guard = locks.lock_many(&[0, round, n]);
                            total.store(total.load(Relaxed) + 1, Relaxed);
                        }
                        _ => {
                            let _guard = locks.lock(&0);
                            total.store(total.load(Relaxed) + 1, Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert_eq!((total.into_inner(), all.into_inner()), (900, 300));
}

/// In debug builds a thread that would wait for itself panics.
#[cfg(any(debug_assertions, feature = "check"))]
#[test]
fn a_thread_that_waits_for_every_key_and_holds_one_panics() {
    let locks = threads(16);
    let one = locks.lock(&1);
    assert!(panic_of(|| drop(locks.lock_all())).unwrap().contains("wait for itself"));
    drop(one);
    let _all = locks.lock_all();
    assert!(panic_of(|| drop(locks.lock(&1))).unwrap().contains("wait for itself"));
}
