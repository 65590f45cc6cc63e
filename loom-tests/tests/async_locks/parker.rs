//! How a thread waits: the parker of the library, over loom's `park` and `unpark`. Every thread has one parker for all
//! its waits.

use std::time::Duration;

use loom::thread;
use loom_tests::explore;

use super::{EXHAUSTIVE, Mutexes, all, mutexes, poll_once, shared_mutexes, single, sum, two_keys};

/// Locks the stripe of key 0 as a thread, and adds 1.
fn blocking(locks: &Mutexes) {
    locks.blocking_lock(&0).add();
}

#[test]
fn two_threads() {
    explore("parker::two_threads", EXHAUSTIVE, || {
        let locks = mutexes(1);
        all(&locks, vec![blocking, blocking]);
        assert_eq!(sum(locks), 2);
    });
}

#[test]
fn three_threads() {
    explore("parker::three_threads", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![blocking, blocking, blocking]);
        assert_eq!(sum(locks), 3);
    });
}

/// A wake may arrive late, when its thread waits for another stripe with the same parker.
#[test]
fn one_wait_after_another() {
    fn twice(locks: &Mutexes) {
        for key in two_keys() {
            locks.blocking_lock(&key).add();
        }
    }
    explore("parker::one_wait_after_another", EXHAUSTIVE, || {
        let locks = mutexes(2);
        all(&locks, vec![twice, twice]);
        assert_eq!(sum(locks), 4);
    });
}

/// A wait that timed out may leave a wake behind, with which the next wait begins.
#[test]
fn a_wait_after_one_that_ended_in_vain() {
    fn again(locks: &Mutexes) {
        match locks.blocking_lock_timeout(&0, Duration::ZERO) {
            Ok(data) => data.add(),
            Err(_) => blocking(locks),
        }
    }
    explore("parker::a_wait_after_one_that_ended_in_vain", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![again, blocking, single]);
        assert_eq!(sum(locks), 3);
    });
}

/// Other code unparks the thread, and later it is woken.
#[test]
fn an_unpark_by_other_code() {
    explore("parker::an_unpark_by_other_code", EXHAUSTIVE, || {
        let locks = shared_mutexes(1);
        let held = locks.try_lock_owned(&0).expect("it is new");
        let waiter = thread::spawn({
            let locks = locks.clone();
            move || blocking(&locks)
        });
        waiter.thread().unpark();
        drop(held);
        waiter.join().unwrap();
        assert_eq!(locks.try_lock(&0).expect("nothing stays held").get(), 1);
    });
}

/// A thread waits inside a waiting task: the task is polled, and the thread parks.
#[test]
fn beside_a_future_of_the_same_thread() {
    fn nested(locks: &Mutexes) {
        let [low, high] = two_keys();
        let mut aside = Box::pin(locks.lock(&high));
        let polled = poll_once(aside.as_mut());
        locks.blocking_lock(&low).add();
        match polled {
            std::task::Poll::Ready(data) => data.add(),
            std::task::Poll::Pending => loom::future::block_on(aside).add(),
        }
    }
    fn one_each(locks: &Mutexes) {
        for key in two_keys() {
            locks.blocking_lock(&key).add();
        }
    }
    explore("parker::beside_a_future_of_the_same_thread", EXHAUSTIVE, || {
        let locks = mutexes(2);
        all(&locks, vec![nested, one_each]);
        assert_eq!(sum(locks), 4);
    });
}
