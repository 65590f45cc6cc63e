//! The exact locks: the code itself, not a model of it. The sets have one bucket, so any two keys share it.
#![cfg(loom)]

#[path = "../common/mod.rs"]
mod common;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use common::{Data, Identity, all, poll_once, queued, wait};
use loom::sync::Arc;
use loom::thread;
use loom_tests::explore;
use stripe_lock::asynchronous::AcquireError;
use stripe_lock::asynchronous::keyed::KeyedGuard;
use stripe_lock::{AsyncKeyedMutex, KeyedMutex};

const EXHAUSTIVE: Option<usize> = None;

/// Locks, and a counter for each of three keys.
struct Keys<L> {
    locks: L,
    data: [Data; 3],
}

type Tasks = Keys<AsyncKeyedMutex<u64, Identity>>;
type Threads = Keys<KeyedMutex<u64, Identity>>;

fn tasks(buckets: usize) -> Arc<Tasks> {
    let locks = AsyncKeyedMutex::with_hasher(buckets, Identity::default());
    Arc::new(Keys { locks, data: Default::default() })
}

impl<L> Keys<L> {
    fn add<const N: usize>(&self, keys: [usize; N]) {
        for key in keys {
            self.data[key].add();
        }
    }

    fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|key| self.data[key].get())
    }
}

fn lock<const KEY: usize>(set: &Tasks) {
    let guard = wait(set.locks.lock(&(KEY as u64)));
    set.add([KEY]);
    drop(guard);
}

fn block<const KEY: usize>(set: &Tasks) {
    let guard = set.locks.blocking_lock(&(KEY as u64));
    set.add([KEY]);
    drop(guard);
}

/// Holds key 0 while it locks key 1.
fn nested(set: &Tasks) {
    let zero = wait(set.locks.lock(&0));
    let one = wait(set.locks.lock(&1));
    set.add([0, 1]);
    drop(zero);
    drop(one);
}

fn many<const ONE: usize, const OTHER: usize>(set: &Tasks) {
    let guard = wait(set.locks.lock_many(&[ONE as u64, OTHER as u64]));
    set.add([ONE, OTHER]);
    drop(guard);
}

/// Requests key 0, and gives up.
fn give_up(set: &Tasks) {
    if let Poll::Ready(guard) = poll_once(pin!(set.locks.lock(&0))) {
        set.add([0]);
        drop(guard);
    }
}

/// Asserts that nothing is held: the next acquisition enters by the word.
fn is_empty(set: &Tasks) {
    let guards = [0, 1, 2].map(|key| set.locks.try_lock(&key));
    assert!(guards.iter().all(Option::is_some), "nothing is left locked");
}

#[test]
fn one_key() {
    explore("one_key", EXHAUSTIVE, || {
        let set = tasks(1);
        all(&set, vec![lock::<0>, lock::<0>]);
        assert_eq!(set.counts(), [2, 0, 0]);
        is_empty(&set);
    });
}

#[test]
fn three_for_one_key() {
    explore("three_for_one_key", Some(3), || {
        let set = tasks(1);
        all(&set, vec![lock::<0>, block::<0>, lock::<0>]);
        assert_eq!(set.counts(), [3, 0, 0]);
        is_empty(&set);
    });
}

#[test]
fn two_keys_meet() {
    explore("two_keys_meet", EXHAUSTIVE, || {
        let set = tasks(1);
        all(&set, vec![lock::<0>, lock::<1>]);
        assert_eq!(set.counts(), [1, 1, 0]);
        is_empty(&set);
    });
}

/// The bucket changes from its word to the table and back, while other tasks enter and leave.
#[test]
fn the_table_is_left_while_another_enters() {
    explore("the_table_is_left_while_another_enters", Some(3), || {
        let set = tasks(1);
        all(&set, vec![lock::<0>, lock::<1>, lock::<0>]);
        assert_eq!(set.counts(), [2, 1, 0]);
        is_empty(&set);
    });
}

#[test]
fn a_key_is_locked_beside_one_that_is_held() {
    explore("a_key_is_locked_beside_one_that_is_held", Some(3), || {
        let set = tasks(1);
        all(&set, vec![nested, lock::<0>, lock::<1>]);
        assert_eq!(set.counts(), [2, 2, 0]);
        is_empty(&set);
    });
}

/// Unequal keys never wait for each other, whatever other tasks do in their bucket.
#[test]
fn another_key_is_never_in_the_way() {
    fn try_other(set: &Tasks) {
        let guard = set.locks.try_lock(&2).expect("this key is free");
        set.add([2]);
        drop(guard);
    }
    explore("another_key_is_never_in_the_way", Some(3), || {
        let set = tasks(1);
        all(&set, vec![lock::<0>, lock::<0>, try_other]);
        assert_eq!(set.counts(), [2, 0, 1]);
        is_empty(&set);
    });
}

/// A waiter gives up while it waits, after it was woken or after it was handed the key. The other one gets the key in
/// each case.
#[test]
fn giving_up_passes_the_turn_on() {
    explore("giving_up_passes_the_turn_on", Some(3), || {
        let set = tasks(1);
        all(&set, vec![lock::<0>, lock::<0>, give_up]);
        assert!(set.counts()[0] >= 2);
        is_empty(&set);
    });
}

/// The same beside a key that keeps the table in use.
#[test]
fn giving_up_beside_another_key() {
    explore("giving_up_beside_another_key", Some(3), || {
        let set = tasks(1);
        let one = set.locks.try_lock(&1).expect("it is new");
        let zero = set.locks.try_lock(&0).expect("unequal keys don't wait for each other");
        let threads = [give_up, lock::<0>].map(|part: fn(&Tasks)| {
            let set = set.clone();
            thread::spawn(move || part(&set))
        });
        drop(zero);
        drop(one);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(set.counts()[0] >= 1);
        is_empty(&set);
    });
}

/// No interleaving lets more newcomers overtake a waiter than the limit allows, and some interleavings reach the limit.
#[test]
fn at_most_two_overtake() {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    explore("at_most_two_overtake", Some(3), || {
        let locks = std::sync::Arc::new(AsyncKeyedMutex::<u64, _>::with_hasher(1, Identity::default()));
        let data = Arc::new(Data::default());
        let held = locks.try_lock(&0).expect("it is new");
        let waiting = queued(locks.lock_owned(&0));
        let waiter = {
            let data = data.clone();
            thread::spawn(move || {
                let guard = wait(waiting);
                data.add();
                drop(guard);
            })
        };
        drop(held);
        let overtakes = |_| locks.try_lock(&0).is_some_and(|_guard| data.get() == 0);
        let overtaken = (0..4).map(overtakes).filter(|&overtakes| overtakes).count();
        assert!(overtaken <= 2, "overtaken too often");
        MOST.fetch_max(overtaken, Ordering::Relaxed);
        waiter.join().expect("it is served");
    });
    assert_eq!(MOST.load(Ordering::Relaxed), 2);
}

/// A fair release hands the key to the waiter, even if a newcomer tries to lock it at the same time.
#[test]
fn a_key_is_handed_over() {
    fn try_lock(set: &Tasks) {
        if let Some(guard) = set.locks.try_lock(&0) {
            set.add([0]);
            drop(guard);
        }
    }
    explore("a_key_is_handed_over", Some(3), || {
        let set = tasks(1);
        let held = set.locks.try_lock(&0).expect("it is new");
        let threads = [lock::<0>, try_lock].map(|part: fn(&Tasks)| {
            let set = set.clone();
            thread::spawn(move || part(&set))
        });
        KeyedGuard::unlock_fair(held);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(set.counts()[0] >= 1);
        is_empty(&set);
    });
}

#[test]
fn crossing_many_end() {
    explore("crossing_many_end", EXHAUSTIVE, || {
        let set = tasks(1);
        all(&set, vec![many::<0, 1>, many::<1, 0>]);
        assert_eq!(set.counts(), [2, 2, 0]);
        is_empty(&set);
    });
}

#[test]
fn three_lock_many_in_a_cycle_end() {
    explore("three_lock_many_in_a_cycle_end", Some(2), || {
        let set = tasks(1);
        all(&set, vec![many::<0, 1>, many::<1, 2>, many::<2, 0>]);
        assert_eq!(set.counts(), [2, 2, 2]);
        is_empty(&set);
    });
}

#[test]
fn many_give_up() {
    fn give_up_many(set: &Tasks) {
        if let Poll::Ready(guard) = poll_once(pin!(set.locks.lock_many(&[0, 1]))) {
            set.add([0, 1]);
            drop(guard);
        }
    }
    explore("many_give_up", Some(3), || {
        let set = tasks(1);
        all(&set, vec![lock::<0>, lock::<1>, give_up_many]);
        assert!(set.counts()[0] >= 1 && set.counts()[1] >= 1);
        is_empty(&set);
    });
}

#[test]
fn a_failed_try_gives_all_back() {
    fn try_many(set: &Tasks) {
        if let Some(guard) = set.locks.try_lock_many(&[0, 1]) {
            set.add([0, 1]);
            drop(guard);
        }
    }
    explore("a_failed_try_gives_all_back", Some(3), || {
        let set = tasks(1);
        all(&set, vec![lock::<0>, lock::<1>, try_many]);
        assert!(set.counts()[0] >= 1 && set.counts()[1] >= 1);
        is_empty(&set);
    });
}

#[test]
fn threads_alone() {
    fn lock(set: &Threads) {
        let guard = set.locks.lock(&0);
        set.add([0]);
        drop(guard);
    }
    fn both(set: &Threads) {
        let guard = set.locks.lock_many(&[1, 0]);
        set.add([0, 1]);
        drop(guard);
    }
    explore("threads_alone", Some(3), || {
        let locks = KeyedMutex::with_hasher(1, Identity::default());
        let set = Arc::new(Keys { locks, data: Default::default() });
        all(&set, vec![lock, both, lock]);
        assert_eq!(set.counts(), [3, 1, 0]);
    });
}

/// A future that moves to another task is woken there.
#[test]
fn the_last_waker_counts() {
    fn moved(set: &Tasks) {
        let mut future = pin!(set.locks.lock(&0));
        let guard = match poll_once(future.as_mut()) {
            Poll::Ready(guard) => guard,
            Poll::Pending => wait(future),
        };
        set.add([0]);
        drop(guard);
    }
    explore("the_last_waker_counts", EXHAUSTIVE, || {
        let set = tasks(1);
        all(&set, vec![moved, lock::<0>]);
        assert_eq!(set.counts(), [2, 0, 0]);
        is_empty(&set);
    });
}

/// Closing the set ends every wait. A holder still releases its key.
#[test]
fn closed_beside_a_waiter_and_a_holder() {
    fn checked(set: &Tasks) {
        match wait(set.locks.lock(&0).checked()) {
            Ok(guard) => {
                set.add([0]);
                drop(guard);
            }
            Err(error) => assert_eq!(error, AcquireError::Closed),
        }
    }
    explore("closed_beside_a_waiter_and_a_holder", Some(3), || {
        let set = tasks(1);
        all(&set, vec![|set| set.locks.close(), checked, checked]);
        assert!(set.locks.is_closed());
        assert!(set.locks.try_lock(&0).is_none() && !set.locks.is_locked(&0));
    });
}

/// Holds every key.
fn every(set: &Tasks) {
    let guard = wait(set.locks.lock_all());
    set.add([0, 1, 2]);
    drop(guard);
}

#[test]
fn every_key_beside_single_ones() {
    explore("every_key_beside_single_ones", Some(3), || {
        let set = tasks(1);
        all(&set, vec![every, lock::<0>, lock::<1>]);
        assert_eq!(set.counts(), [2, 2, 1]);
        is_empty(&set);
    });
}

#[test]
fn every_key_twice() {
    explore("every_key_twice", Some(3), || {
        let set = tasks(1);
        all(&set, vec![every, lock::<0>, every]);
        assert_eq!(set.counts(), [3, 2, 2]);
        is_empty(&set);
    });
}

/// A holder of one of several keys gets the others, although another task waits for every key.
#[test]
fn every_key_beside_several() {
    explore("every_key_beside_several", Some(3), || {
        let set = tasks(1);
        all(&set, vec![every, many::<0, 1>, lock::<1>]);
        assert_eq!(set.counts(), [2, 3, 1]);
        is_empty(&set);
    });
}

/// The same in two buckets, of which the waiter for every key has one already.
#[test]
fn every_key_in_two_buckets() {
    explore("every_key_in_two_buckets", Some(2), || {
        let set = tasks(2);
        all(&set, vec![every, many::<0, 1>, every]);
        assert_eq!(set.counts(), [3, 3, 2]);
        is_empty(&set);
    });
}

/// Waiters behind a waiter for every key are served when it gives up.
#[test]
fn a_lock_all_that_gives_up_serves_later_waiters() {
    fn give_up_every(set: &Tasks) {
        if let Poll::Ready(guard) = poll_once(pin!(set.locks.lock_all())) {
            set.add([0, 1, 2]);
            drop(guard);
        }
    }
    explore("a_lock_all_that_gives_up_serves_later_waiters", Some(3), || {
        let set = tasks(1);
        all(&set, vec![give_up_every, lock::<0>, lock::<1>]);
        assert!(set.counts()[0] >= 1 && set.counts()[1] >= 1);
        is_empty(&set);
    });
}

#[test]
fn every_key_of_a_set_that_is_closed() {
    fn checked(set: &Tasks) {
        match wait(set.locks.lock_all().checked()) {
            Ok(guard) => {
                set.add([0, 1, 2]);
                drop(guard);
            }
            Err(error) => assert_eq!(error, AcquireError::Closed),
        }
    }
    explore("every_key_of_a_set_that_is_closed", Some(3), || {
        let set = tasks(1);
        let held = set.locks.try_lock(&0).expect("it is new");
        all(&set, vec![|set| set.locks.close(), checked]);
        drop(held);
        assert!(set.locks.is_closed() && set.locks.try_lock_all().is_none() && !set.locks.is_locked(&0));
    });
}
