//! Guards of several keys that are extended and released in part.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::thread;

use crate::hostile::panic_of;
use crate::in_order;
use crate::task::Task;
use crate::{BUCKETS, tasks, threads};
use stripe_lock::ExtendError;
use stripe_lock::asynchronous::keyed::KeyedGuard;

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
fn an_extension_waits_upwards_and_is_refused_downwards() {
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
    // The first thread held key 0 in all of its 200 rounds, each of the other three in every fourth round.
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
