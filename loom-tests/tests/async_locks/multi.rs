//! Several stripes of a mutex at once.

use std::pin::pin;
use std::task::Poll;

use loom::future::block_on;
use loom::sync::Arc;
use loom_tests::explore;
use stripe_lock::asynchronous::AsyncGuard;
use stripe_lock::{ExtendError, Extended};

use super::{EXHAUSTIVE, Identity, Mutexes, all, keys, mutexes, poll_once, sum, two_keys, wait};

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

/// Requests both stripes, and gives up.
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
        block_on(locks.lock_many(&keys::<2>(4))).iter().for_each(|(_, data)| data.add());
    }
    fn first(locks: &Mutexes) {
        block_on(locks.lock(&keys::<2>(4)[0])).add();
    }
    fn second(locks: &Mutexes) {
        block_on(locks.lock(&keys::<2>(4)[1])).add();
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

/// Every stripe goes to the first waiter, so that a multi is handed its stripes as well.
#[test]
fn multis_in_strict_order() {
    fn strict() -> Arc<Mutexes> {
        Arc::new(Mutexes::with_hasher(2, Identity::default()).strict_fifo())
    }
    explore("multis_in_strict_order", Some(3), || {
        let locks = strict();
        all(&locks, vec![both, both_turned, high]);
        assert_eq!(sum(locks), 5);
    });
    explore("multis_in_strict_order, one gives up", Some(3), || {
        let locks = strict();
        all(&locks, vec![both, give_up_both, low]);
        assert!(sum(locks) >= 3);
    });
}

/// A release takes one more stripe for a multi, which has to take the third one itself.
mod three_stripes {
    use super::*;

    fn three(locks: &Mutexes) {
        wait(locks.lock_many(&keys::<3>(4))).iter().for_each(|(_, data)| data.add());
    }

    fn give_up_three(locks: &Mutexes) {
        if let Poll::Ready(guard) = poll_once(pin!(locks.lock_many(&keys::<3>(4)))) {
            guard.iter().for_each(|(_, data)| data.add());
        }
    }

    fn one(locks: &Mutexes, stripe: usize) {
        wait(locks.lock_stripe(stripe)).add();
    }

    #[test]
    fn beside_singles() {
        explore("three_stripes::beside_singles", Some(4), || {
            let locks = mutexes(4);
            all(&locks, vec![|locks| one(locks, 0), |locks| one(locks, 2), three]);
            assert_eq!(sum(locks), 5);
        });
    }

    #[test]
    fn beside_another() {
        explore("three_stripes::beside_another", Some(3), || {
            let locks = mutexes(4);
            all(&locks, vec![three, three, |locks| one(locks, 1)]);
            assert_eq!(sum(locks), 7);
        });
    }

    #[test]
    fn given_up() {
        explore("three_stripes::given_up", Some(4), || {
            let locks = mutexes(4);
            all(&locks, vec![|locks| one(locks, 0), |locks| one(locks, 2), give_up_three]);
            assert!(sum(locks) >= 2);
        });
    }
}

/// A guard of the lower stripe waits for the higher one, a guard of the higher one must not wait for the lower.
#[test]
fn extending_beside_a_multi() {
    fn up(locks: &Mutexes) {
        let [low, high] = two_keys();
        let mut guard = AsyncGuard::extendable(wait(locks.lock(&low)));
        assert_eq!(wait(guard.extend(&high)), Ok(()));
        guard.iter().for_each(|(_, data)| data.add());
    }
    fn down(locks: &Mutexes) {
        let [low, high] = two_keys();
        let mut guard = AsyncGuard::extendable(wait(locks.lock(&high)));
        match wait(guard.extend(&low)) {
            Ok(()) | Err(ExtendError::WouldInvert) => guard.iter().for_each(|(_, data)| data.add()),
            Err(other) => panic!("{other}"),
        }
    }
    explore("extending_beside_a_multi", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![up, down, both]);
        assert!(sum(locks) >= 5);
    });
}

/// An extension that is dropped while it waits leaves the guard as it was.
#[test]
fn an_extension_is_given_up() {
    fn give_up(locks: &Mutexes) {
        let [low, high] = two_keys();
        let mut guard = AsyncGuard::extendable(wait(locks.lock(&low)));
        let _ = poll_once(pin!(guard.extend(&high)));
        guard.get(&low).expect("it is kept").add();
    }
    explore("an_extension_is_given_up", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![give_up, both, high]);
        assert_eq!(sum(locks), 4);
    });
}

/// If the order forbids waiting, the guard releases everything, takes it again, and says so.
#[test]
fn restarting_beside_a_multi() {
    fn restart(locks: &Mutexes) {
        let [low, high] = two_keys();
        let mut guard = AsyncGuard::extendable(wait(locks.lock(&high)));
        let before = guard.get(&high).expect("it is held").get();
        let extended = wait(guard.extend_or_restart([&low])).expect("the set is open");
        let after = guard.get(&high).expect("it is held again").get();
        assert!(extended == Extended::Restarted || before == after, "changed meanwhile, and kept");
        guard.iter().for_each(|(_, data)| data.add());
    }
    explore("restarting_beside_a_multi", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![restart, both, low]);
        assert_eq!(sum(locks), 5);
    });
}
