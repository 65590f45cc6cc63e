//! A limit to the number of waiters.

use std::task::Poll;

use loom::thread;
use loom_tests::explore;
use stripe_lock::asynchronous::AcquireError;

use super::{EXHAUSTIVE, Mutexes, all, mutexes, poll_once, shared_mutexes, single, sum, two_keys, wait};

/// While the stripe is held, exactly one of two may wait for it, and gets it.
#[test]
fn one_of_two_may_wait() {
    explore("one_of_two_may_wait", EXHAUSTIVE, || {
        let locks = shared_mutexes(1);
        let held = locks.try_lock(&0).expect("it is new");
        let ask = || {
            let locks = locks.clone();
            move || {
                let mut future = Box::pin(locks.lock_owned(&0).unless_crowded(1));
                match poll_once(future.as_mut()) {
                    Poll::Pending => Some(future),
                    Poll::Ready(refused) => {
                        assert_eq!(refused.err(), Some(AcquireError::Crowded));
                        None
                    }
                }
            }
        };
        let other = thread::spawn(ask());
        let here = ask()();
        let there = other.join().unwrap();
        assert!(here.is_some() != there.is_some(), "one of two waits");
        assert_eq!(locks.waiters(&0), 1);
        drop(held);
        let waiting = here.or(there).expect("one waits");
        wait(waiting).expect("it may wait").add();
        assert_eq!(locks.try_lock(&0).expect("nothing stays held").get(), 1);
    });
}

/// Beside other tasks, every waiter is served, and a refused task leaves no trace.
#[test]
fn a_crowded_stripe_refuses() {
    fn unless_crowded(locks: &Mutexes) {
        match wait(locks.lock_unless_crowded(&0, 1)) {
            Ok(data) => data.add(),
            Err(error) => assert_eq!(error, AcquireError::Crowded),
        }
    }
    explore("a_crowded_stripe_refuses", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![unless_crowded, single, unless_crowded]);
        assert!(sum(locks) >= 2, "a task that finds no waiters is not refused");
    });
}

/// A multi that is refused has released what it held.
#[test]
fn a_crowded_stripe_refuses_a_multi() {
    fn both(locks: &Mutexes) {
        if let Ok(guard) = wait(locks.lock_many(&two_keys()).unless_crowded(0)) {
            guard.iter().for_each(|(_, data)| data.add());
        }
    }
    fn low(locks: &Mutexes) {
        wait(locks.lock(&two_keys()[0])).add();
    }
    fn high(locks: &Mutexes) {
        wait(locks.lock(&two_keys()[1])).add();
    }
    explore("a_crowded_stripe_refuses_a_multi", EXHAUSTIVE, || {
        let locks = mutexes(2);
        all(&locks, vec![both, low, high]);
        assert!(sum(locks) >= 2);
    });
}
