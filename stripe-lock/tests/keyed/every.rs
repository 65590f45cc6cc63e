//! `lock_all`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::hostile::panic_of;
use crate::in_order;
use crate::task::Task;
use crate::{BUCKETS, tasks, threads};

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
        drop(locks.try_lock_all_owned().expect("no key is held"));
    }
}

#[test]
fn newcomers_wait_behind_lock_all_and_are_served_before_the_next_lock_all() {
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
fn a_holder_of_a_key_gets_another_although_lock_all_waits() {
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
fn a_lock_all_that_gives_up_blocks_no_waiter() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let (low, high) = in_order(&locks);
        let one = locks.try_lock(&high).expect("it is free");
        let all = Task::waiting(locks.lock_all());
        let keys = std::iter::once(low).chain(2..42);
        let mut later = keys.map(|key| locks.lock(&key)).map(Task::new).collect::<Vec<_>>();
        let waiting: Vec<_> =
            later.iter_mut().filter_map(|task| task.poll().is_pending().then_some(task)).collect();
        assert!(!waiting.is_empty(), "the lower key waits behind `lock_all`");
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
