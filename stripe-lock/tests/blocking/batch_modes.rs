//! Batches: the mode in which each stripe is held, and that modes never have to change.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::common::{LONG, Numbers, elsewhere, key_on, keys, watched};
use stripe_lock::StripedRwLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    No,
    Read,
    Write,
}

/// How a stripe is held. Another thread finds out by trying.
fn held(locks: &StripedRwLock<u64, u64>, key: u64) -> Held {
    elsewhere(|| {
        // Two statements, so that the read guard is dropped before the attempt to write.
        let read = locks.try_read(&key).is_some();
        let write = locks.try_write(&key).is_some();
        match (read, write) {
            (true, true) => Held::No,
            (true, false) => Held::Read,
            _ => Held::Write,
        }
    })
}

#[test]
fn every_stripe_is_held_in_the_mode_named_and_write_wins() {
    for stripes in [8, 128] {
        let locks = StripedRwLock::<u64, u64>::new(stripes);
        let keys = keys(8, |key| locks.stripe_of(key));
        let twin = |stripe: usize| key_on(stripe, keys[stripe] + 1, |key| locks.stripe_of(key));
        let in_time = Instant::now() + LONG;
        // Two keys on each of the stripes 3 and 5, in either order of the modes, and one key in both modes.
        let batch = || {
            let both = locks.batch().read(&keys[3]).write(&twin(3)).write(&keys[5]).read(&twin(5));
            both.read(&keys[1]).write(&keys[6]).read(&keys[0]).write(&keys[0])
        };
        for way in 0..3 {
            let mut guard = match way {
                0 => batch().lock(),
                1 => batch().try_lock().unwrap(),
                _ => batch().try_lock_until(in_time).unwrap(),
            };
            let modes = [Held::Write, Held::Read, Held::No, Held::Write, Held::No, Held::Write, Held::Write];
            for (key, mode) in keys.iter().zip(modes) {
                assert_eq!(held(&locks, *key), mode, "stripe {}", locks.stripe_of(key));
                assert_eq!(guard.holds(key), mode != Held::No);
                assert_eq!(guard.get(key).is_some(), mode != Held::No);
                assert_eq!(guard.get_mut(key).is_some(), mode == Held::Write);
            }
            assert_eq!(guard.len(), 5);
            assert!(guard.iter().map(|(stripe, _)| stripe).eq([0, 1, 3, 5, 6]));
            assert!(
                guard.iter_mut().map(|(stripe, _)| stripe).eq([0, 3, 5, 6]),
                "without the one that is read"
            );
            drop(guard);
            assert!(keys.iter().all(|key| held(&locks, *key) == Held::No));
        }
    }
}

#[test]
fn an_empty_batch_holds_nothing() {
    let locks = StripedRwLock::<u64, u64>::new(4);
    let guard = locks.batch().lock();
    assert!(guard.is_empty());
    assert!(elsewhere(|| locks.try_write_all().is_some()));
}

#[test]
fn naming_keys_locks_nothing() {
    let locks = StripedRwLock::<u64, u64>::new(4);
    let batch = locks.batch().write(&1).read(&2);
    assert!(elsewhere(|| locks.try_write_all().is_some()));
    drop(batch);
}

#[test]
fn readers_of_batches_are_inside_together() {
    watched(|| {
        let (locks, all_inside) = (StripedRwLock::<u64, u64>::new(64), Barrier::new(4));
        let keys = keys(8, |key| locks.stripe_of(key));
        thread::scope(|scope| {
            for own in &keys[..4] {
                scope.spawn(|| {
                    let mut guard = locks.batch().write(own).read(&keys[6]).read(&keys[7]).lock();
                    all_inside.wait();
                    *guard.get_mut(own).unwrap() += *guard.get(&keys[7]).unwrap() + 1;
                });
            }
        });
        let guard = locks.read_all();
        assert!(keys[..4].iter().all(|key| guard.get(key) == Some(&1)));
    });
}

#[test]
fn a_batch_that_fails_takes_nothing() {
    let locks = StripedRwLock::<u64, u64>::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let reader = locks.read(&keys[5]);
    elsewhere(|| {
        assert!(
            locks.batch().read(&keys[1]).write(&keys[2]).write(&keys[5]).read(&keys[7]).try_lock().is_none()
        );
        assert!([1, 2, 7].iter().all(|&stripe| held(&locks, keys[stripe]) == Held::No));
        assert!(locks.batch().read(&keys[1]).write(&keys[2]).read(&keys[5]).try_lock().is_some());
    });
    drop(reader);
}

#[test]
fn crossing_batches_never_deadlock_and_lose_nothing() {
    watched(|| {
        let locks = StripedRwLock::<u64, u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        thread::scope(|scope| {
            for seed in 0..4 {
                let (locks, keys) = (&locks, &keys);
                scope.spawn(move || {
                    let mut numbers = Numbers(seed);
                    for _ in 0..2_000 {
                        let [from, to, other] = [(); 3].map(|()| &keys[numbers.below(8) as usize]);
                        let mut guard = locks.batch().read(from).write(to).read(other).lock();
                        assert!(guard.get(from).is_some() && guard.get(other).is_some());
                        let before = *guard.get(to).unwrap();
                        thread::yield_now();
                        *guard.get_mut(to).unwrap() = before + 1;
                    }
                });
            }
        });
        assert_eq!(locks.into_inner().into_iter().sum::<u64>(), 8_000);
    });
}
