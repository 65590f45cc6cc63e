//! Stripes of a semaphore.

use std::pin::pin;
use std::sync::atomic::Ordering;

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom_tests::explore;
use stripe_lock::asynchronous::AsyncPermit;

use super::{EXHAUSTIVE, Identity, Semaphores, all, poll_once, queued, ready, two_keys, wait};

fn semaphores(stripes: usize, permits: u32) -> Arc<Semaphores> {
    Arc::new(Semaphores::with_hasher(stripes, permits, Identity::default()))
}

/// A semaphore whose first stripe counts the tasks inside.
struct Limited {
    locks: Semaphores,
    inside: AtomicUsize,
}

impl Limited {
    fn new(permits: u32) -> Arc<Self> {
        let locks = Semaphores::with_hasher(1, permits, Identity::default());
        Arc::new(Self { locks, inside: AtomicUsize::new(0) })
    }

    fn enter(&self, permits: usize, most: usize) {
        assert!(self.inside.fetch_add(permits, Ordering::Relaxed) + permits <= most, "too many inside");
        self.inside.fetch_sub(permits, Ordering::Relaxed);
    }
}

/// Three tasks share two permits. Each holds its permit while it checks how many tasks are inside.
#[test]
fn no_more_holders_than_permits() {
    fn enter(limited: &Limited) {
        let _permit = block_on(limited.locks.acquire(&0));
        limited.enter(1, 2);
    }
    explore("no_more_holders_than_permits", Some(3), || {
        let limited = Limited::new(2);
        all(&limited, vec![enter, enter, enter]);
        assert_eq!(limited.locks.available(&0), 2);
    });
}

#[test]
fn one_permit_changes_hands() {
    fn acquire(locks: &Semaphores) {
        drop(block_on(locks.acquire(&0)));
    }
    fn give_up(locks: &Semaphores) {
        drop(poll_once(pin!(locks.acquire(&0))));
    }
    explore("one_permit_changes_hands", Some(3), || {
        let locks = semaphores(1, 1);
        all(&locks, vec![acquire, acquire, give_up]);
        assert_eq!(locks.available(&0), 1);
    });
}

fn one(limited: &Limited) {
    let _permit = wait(limited.locks.acquire(&0));
    limited.enter(1, 2);
}

#[test]
fn two_permits_at_once() {
    fn two(limited: &Limited) {
        let _permits = wait(limited.locks.acquire_many(&0, 2));
        limited.enter(2, 2);
    }
    explore("two_permits_at_once", Some(3), || {
        let limited = Limited::new(2);
        all(&limited, vec![one, two, one]);
        assert_eq!(limited.locks.available(&0), 2);
    });
}

/// A waiter for few permits is queued behind one that wants more than there are. It gets its permits when that one
/// gives up.
#[test]
fn two_permits_are_given_up() {
    fn give_up(limited: &Limited) {
        drop(poll_once(pin!(limited.locks.acquire_many(&0, 2))));
    }
    explore("two_permits_are_given_up", Some(3), || {
        let limited = Limited::new(2);
        let held = wait(limited.locks.acquire(&0));
        all(&limited, vec![one, give_up, one]);
        drop(held);
        assert_eq!(limited.locks.available(&0), 2);
    });
}

#[test]
fn permits_of_two_keys() {
    fn both(locks: &Semaphores) {
        drop(wait(locks.acquire_keys(&two_keys())));
    }
    fn high(locks: &Semaphores) {
        drop(wait(locks.acquire(&two_keys()[1])));
    }
    fn give_up(locks: &Semaphores) {
        drop(poll_once(pin!(locks.acquire_keys(&two_keys()))));
    }
    explore("permits_of_two_keys", Some(3), || {
        let locks = semaphores(2, 1);
        all(&locks, vec![both, both, high]);
        assert_eq!(two_keys().map(|key| locks.available(&key)), [1, 1]);
    });
    explore("permits_of_two_keys, one gives up", Some(3), || {
        let locks = semaphores(2, 1);
        all(&locks, vec![both, give_up, high]);
        assert_eq!(two_keys().map(|key| locks.available(&key)), [1, 1]);
    });
}

/// Two tasks wait for a permit that is never returned, and two permits are added.
#[test]
fn permits_are_added() {
    fn acquire(locks: &Semaphores) {
        AsyncPermit::forget(wait(locks.acquire(&0)));
    }
    fn add(locks: &Semaphores) {
        locks.add_permits(&0, 2);
    }
    explore("permits_are_added", Some(3), || {
        let locks = semaphores(1, 1);
        AsyncPermit::forget(locks.try_acquire(&0).expect("it is new"));
        all(&locks, vec![acquire, acquire, add]);
        assert_eq!(locks.available(&0), 0);
    });
}

/// All added permits are handed over at once, even above the limit of waiters that are served under one lock of the
/// bucket.
#[test]
fn all_added_permits_are_handed_over() {
    fn acquire(locks: &Semaphores) {
        drop(wait(locks.acquire(&0)));
    }
    explore("all_added_permits_are_handed_over", EXHAUSTIVE, || {
        let locks = semaphores(1, 1);
        let held = locks.try_acquire(&0).expect("it is new");
        let waiting = [(); 2].map(|()| queued(locks.acquire(&0)));
        let newcomer = loom::thread::spawn({
            let locks = locks.clone();
            move || acquire(&locks)
        });
        locks.add_permits(&0, 2);
        let got = waiting.map(ready);
        drop((got, held));
        newcomer.join().unwrap();
        assert_eq!(locks.available(&0), 3);
    });
}
