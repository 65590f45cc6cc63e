//! One stripe of a mutex.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use loom_tests::explore;

use super::{Data, EXHAUSTIVE, Identity, Mutexes, all, mutexes, poll_once, single, sum};

/// Requests the stripe of key 0, and gives up.
fn give_up(locks: &Mutexes) {
    if let Poll::Ready(guard) = poll_once(pin!(locks.lock(&0))) {
        guard.add();
    }
}

/// Locks the stripe of key 0 as a thread, and adds 1.
fn blocking(locks: &Mutexes) {
    locks.blocking_lock(&0).add();
}

fn strict(stripes: usize) -> Arc<Mutexes> {
    Arc::new(Mutexes::with_hasher(stripes, Identity::default()).strict_fifo())
}

#[test]
fn two_exclude_each_other() {
    explore("two_exclude_each_other", EXHAUSTIVE, || {
        let locks = mutexes(1);
        all(&locks, vec![single, single]);
        assert_eq!(sum(locks), 2);
    });
}

#[test]
fn two_twice() {
    fn twice(locks: &Mutexes) {
        single(locks);
        single(locks);
    }
    explore("two_twice", Some(5), || {
        let locks = mutexes(1);
        all(&locks, vec![twice, twice]);
        assert_eq!(sum(locks), 4);
    });
}

#[test]
fn three_exclude_each_other() {
    explore("three_exclude_each_other", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![single, single, single]);
        assert_eq!(sum(locks), 3);
    });
}

#[test]
fn three_in_strict_order() {
    explore("three_in_strict_order", Some(3), || {
        let locks = strict(1);
        all(&locks, vec![single, single, single]);
        assert_eq!(sum(locks), 3);
    });
}

#[test]
fn threads_and_tasks() {
    explore("threads_and_tasks", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![single, blocking, single]);
        assert_eq!(sum(locks), 3);
    });
}

/// A waiter gives up while it waits, after it was woken or after it was handed the stripe. The other one gets the
/// stripe in each case.
#[test]
fn giving_up_passes_the_turn_on() {
    explore("giving_up_passes_the_turn_on", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![single, single, give_up]);
        assert!(sum(locks) >= 2);
    });
}

#[test]
fn giving_up_in_strict_order() {
    explore("giving_up_in_strict_order", Some(3), || {
        let locks = strict(1);
        all(&locks, vec![single, single, give_up]);
        assert!(sum(locks) >= 2);
    });
}

/// The holder releases the stripe, a newcomer overtakes, and the woken waiter finds it held. Then it is handed over.
#[test]
fn overtaken() {
    fn overtake(locks: &Mutexes) {
        for _ in 0..3 {
            if let Some(data) = locks.try_lock(&0) {
                data.add();
            }
        }
    }
    explore("overtaken", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![single, single, overtake]);
        assert!(sum(locks) >= 2);
    });
}

/// No interleaving lets more newcomers overtake a waiter than the limit allows, and some interleavings reach the limit.
#[test]
fn at_most_two_overtake() {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    explore("at_most_two_overtake", Some(3), || {
        let locks = std::sync::Arc::new(Mutexes::with_hasher(1, Identity::default()));
        let held = locks.try_lock(&0).expect("it is new");
        let mut waiting = Box::pin(locks.lock_owned(&0));
        assert!(poll_once(waiting.as_mut()).is_pending());
        let waiter = thread::spawn(move || block_on(waiting).add());
        drop(held);
        let before = |data: &Data| usize::from(data.get() == 0);
        let overtaken: usize =
            (0..4).filter_map(|_| locks.try_lock(&0)).map(|newcomer| before(&newcomer)).sum();
        assert!(overtaken <= 2, "overtaken too often");
        MOST.fetch_max(overtaken, Ordering::Relaxed);
        waiter.join().expect("it is served");
    });
    assert_eq!(MOST.load(Ordering::Relaxed), 2);
}

/// A future that moves to another task is woken there.
#[test]
fn the_last_waker_counts() {
    fn moved(locks: &Mutexes) {
        let mut future = pin!(locks.lock(&0));
        match poll_once(future.as_mut()) {
            Poll::Ready(data) => data.add(),
            Poll::Pending => block_on(future).add(),
        }
    }
    explore("the_last_waker_counts", EXHAUSTIVE, || {
        let locks = mutexes(1);
        all(&locks, vec![moved, single]);
        assert_eq!(sum(locks), 2);
    });
}
