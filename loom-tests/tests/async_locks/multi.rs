//! Several stripes of a mutex at once.

use std::pin::pin;
use std::task::Poll;

use loom::future::block_on;
use loom_tests::explore;
use stripe_lock::Striped;

use super::{EXHAUSTIVE, Identity, Mutexes, all, mutexes, poll_once, sum, two_keys};

fn both(locks: &Mutexes) {
    block_on(locks.lock_many(&two_keys())).iter().for_each(|(_, data)| data.add());
}

fn both_turned(locks: &Mutexes) {
    let [low, high] = two_keys();
    block_on(locks.lock_many(&[high, low])).iter().for_each(|(_, data)| data.add());
}

fn low(locks: &Mutexes) {
    block_on(locks.lock(&two_keys()[0])).add();
}

fn high(locks: &Mutexes) {
    block_on(locks.lock(&two_keys()[1])).add();
}

/// Asks for both stripes, and gives up.
fn give_up_both(locks: &Mutexes) {
    if let Poll::Ready(guard) = poll_once(pin!(locks.lock_all())) {
        guard.iter().for_each(|(_, data)| data.add());
    }
}

#[test]
fn two_crossing_multis() {
    explore("two_crossing_multis", EXHAUSTIVE, || {
        let locks = mutexes(2);
        all(&locks, vec![both, both_turned]);
        assert_eq!(sum(locks), 4);
    });
}

#[test]
fn three_multis() {
    explore("three_multis", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![both, both_turned, both]);
        assert_eq!(sum(locks), 6);
    });
}

#[test]
fn a_multi_against_singles() {
    explore("a_multi_against_singles", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![both, low, high]);
        assert_eq!(sum(locks), 4);
    });
}

/// As above, with both stripes in one bucket.
#[test]
fn a_multi_within_one_bucket() {
    fn first_two(locks: &Mutexes) {
        block_on(locks.lock_many(&keys())).iter().for_each(|(_, data)| data.add());
    }
    fn first(locks: &Mutexes) {
        block_on(locks.lock(&keys()[0])).add();
    }
    fn second(locks: &Mutexes) {
        block_on(locks.lock(&keys()[1])).add();
    }
    fn keys() -> [u64; 2] {
        let set = Striped::<u64, (), Identity>::from_fn(4, Identity::default(), |_| ());
        [0, 1].map(|stripe| (0..64).find(|key| set.stripe_of(key) == stripe).unwrap())
    }
    explore("a_multi_within_one_bucket", Some(3), || {
        let locks = mutexes(4);
        all(&locks, vec![first_two, first, second]);
        assert_eq!(sum(locks), 4);
    });
}

#[test]
fn all_against_singles() {
    fn every(locks: &Mutexes) {
        locks.blocking_lock_all().iter().for_each(|(_, data)| data.add());
    }
    explore("all_against_singles", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![every, low, high]);
        assert_eq!(sum(locks), 4);
    });
}

/// A multi gives up with nothing, with one stripe, or with all.
#[test]
fn a_multi_gives_up() {
    explore("a_multi_gives_up", Some(4), || {
        let locks = mutexes(2);
        all(&locks, vec![give_up_both, low, high]);
        assert!(sum(locks) >= 2);
    });
}

#[test]
fn a_multi_gives_up_beside_another() {
    explore("a_multi_gives_up_beside_another", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![both, give_up_both, high]);
        assert!(sum(locks) >= 3);
    });
}
