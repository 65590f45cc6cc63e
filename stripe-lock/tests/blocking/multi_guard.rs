//! Operations of a guard of several stripes, and all results of adding a key.

use std::{mem, thread};

use crate::common::{Numbers, elsewhere, key_on, keys, watched};
use proptest::prelude::*;
use stripe_lock::{ExtendError, Extended, StripedMutex, StripedRwLock};

#[test]
fn a_guard_of_no_keys_holds_no_stripe() {
    let locks = StripedMutex::<u64, u64>::new(4);
    let mut guard = locks.lock_many(&[]);
    assert!(guard.is_empty() && guard.iter().next().is_none());
    assert_eq!(guard.len(), 0);
    assert!(!guard.holds(&1) && guard.get(&1).is_none() && guard.get_mut(&1).is_none());
    assert!(elsewhere(|| locks.try_lock_all().is_some()));
    assert_eq!(guard.extend(&1), Ok(()), "with nothing held, everything is above");
    assert!(guard.holds(&1));
}

#[test]
fn keys_reach_the_data_of_their_own_stripe() {
    let mut locks = StripedMutex::<u64, usize>::from_fn(8, <_>::default(), |stripe| stripe * 10);
    let keys = keys(8, |key| locks.stripe_of(key));
    let same_as_5 = key_on(5, keys[5] + 1, |key| locks.stripe_of(key));
    let mut guard = locks.lock_many([&keys[5], &keys[2], &same_as_5, &keys[7]]);
    assert_eq!(guard.len(), 3);
    assert!(guard.iter().eq([(2, &20), (5, &50), (7, &70)]));
    assert!(guard.iter().rev().map(|(stripe, _)| stripe).eq([7, 5, 2]));
    for (stripe, key) in keys.iter().enumerate() {
        let held = [2, 5, 7].contains(&stripe);
        assert_eq!(guard.holds(key), held);
        assert_eq!(guard.get(key).copied(), held.then_some(stripe * 10));
        assert_eq!(guard.get_mut(key).is_some(), held);
    }
    *guard.get_mut(&same_as_5).unwrap() += 1;
    assert_eq!(guard.get(&keys[5]), Some(&51));
    guard.iter_mut().for_each(|(stripe, data)| *data += stripe);
    assert_eq!(format!("{guard:?}"), "{2: 22, 5: 56, 7: 77}");
    drop(guard);
    *locks.get_mut(&keys[0]) = 1;
    assert_eq!(locks.into_inner(), [1, 10, 22, 30, 40, 56, 60, 77]);
}

#[test]
fn a_read_guard_gives_nothing_to_change() {
    let locks = StripedRwLock::<u64, u64>::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let mut guard = locks.read_many(&keys[..3]);
    assert_eq!(guard.get(&keys[1]), Some(&0));
    assert!(guard.get_mut(&keys[1]).is_none() && guard.iter_mut().next().is_none());
    assert_eq!(guard.iter().count(), 3);
    guard.extend(&keys[5]).unwrap();
    assert!(guard.get_mut(&keys[5]).is_none() && guard.holds(&keys[5]));
    assert!(elsewhere(|| locks.try_read(&keys[5]).is_some() && locks.try_write(&keys[5]).is_none()));
}

#[test]
fn extending_to_a_free_stripe_takes_it() {
    for stripes in [8, 128] {
        let locks = StripedMutex::<u64, u64>::new(stripes);
        let keys = keys(8, |key| locks.stripe_of(key));
        let mut guard = locks.lock_many([&keys[3], &keys[5]]);
        assert_eq!(guard.extend(&keys[5]), Ok(()), "held already");
        assert_eq!(guard.try_extend(&keys[3]), Ok(()), "held already");
        assert_eq!(guard.len(), 2);
        assert_eq!(guard.extend(&keys[6]), Ok(()), "above");
        assert_eq!(guard.try_extend(&keys[7]), Ok(()), "above");
        assert_eq!(guard.extend(&keys[0]), Ok(()), "below");
        assert_eq!(guard.try_extend(&keys[4]), Ok(()), "between");
        assert!(guard.stripes().iter().eq([0, 3, 4, 5, 6, 7]));
        *guard.get_mut(&keys[4]).unwrap() = 4;
        for (stripe, key) in keys.iter().enumerate() {
            assert_eq!(elsewhere(|| locks.try_lock(key).is_none()), guard.holds(key), "stripe {stripe}");
        }
        drop(guard);
        assert!(elsewhere(|| locks.try_lock_all().is_some()));
    }
}

#[test]
fn extending_to_a_held_stripe_says_whether_waiting_would_be_safe() {
    let locks = StripedMutex::<u64, u64>::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let (below, above) = (locks.lock(&keys[2]), locks.lock(&keys[6]));
    elsewhere(|| {
        let mut guard = locks.lock_many([&keys[1], &keys[4]]);
        assert_eq!(guard.try_extend(&keys[6]), Err(ExtendError::WouldBlock));
        assert_eq!(guard.try_extend(&keys[2]), Err(ExtendError::WouldInvert));
        assert_eq!(guard.extend(&keys[2]), Err(ExtendError::WouldInvert));
        assert!(guard.stripes().iter().eq([1, 4]), "it keeps what it held, and nothing else");
        let mut nothing = locks.lock_many(&[]);
        assert_eq!(nothing.try_extend(&keys[2]), Err(ExtendError::WouldBlock), "with nothing held");
    });
    drop(below);
    elsewhere(|| {
        let mut guard = locks.lock_many([&keys[1], &keys[4]]);
        assert_eq!(guard.extend(&keys[2]), Ok(()), "free again");
    });
    drop(above);
}

#[test]
fn extending_upwards_waits() {
    watched(|| {
        let locks = StripedMutex::<u64, u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        let mut above = locks.lock(&keys[6]);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut guard = locks.lock_many([&keys[1]]);
                guard.extend(&keys[6]).unwrap();
                *guard.get(&keys[6]).unwrap()
            });
            while !locks.is_locked(&keys[1]) {
                thread::yield_now();
            }
            *above = 7;
            drop(above);
            assert_eq!(waiter.join().unwrap(), 7);
        });
    });
}

#[test]
fn extending_restarts_only_where_the_order_forbids_waiting() {
    watched(|| {
        for stripes in [8, 128] {
            let locks = StripedMutex::<u64, u64>::new(stripes);
            let keys = keys(8, |key| locks.stripe_of(key));
            let (mut below, above) = (locks.lock(&keys[2]), locks.lock(&keys[6]));
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let mut guard = locks.lock_many([&keys[1], &keys[4]]);
                    assert_eq!(
                        guard.extend_or_restart([&keys[3], &keys[4], &keys[0]]),
                        Extended::Kept,
                        "all free"
                    );
                    assert_eq!(guard.extend_or_restart([&keys[6]]), Extended::Kept, "waited for above");
                    assert_eq!(
                        guard.extend_or_restart([&keys[7], &keys[2]]),
                        Extended::Restarted,
                        "held below"
                    );
                    assert!(guard.stripes().iter().eq([0, 1, 2, 3, 4, 6, 7]));
                    (*guard.get(&keys[2]).unwrap(), *guard.get(&keys[4]).unwrap())
                });
                while !locks.is_locked(&keys[0]) {
                    thread::yield_now();
                }
                assert!(locks.try_lock(&keys[4]).is_none());
                drop(above);
                // The other thread has released its stripes to wait for others, so this can lock one.
                let mut meanwhile = loop {
                    if let Some(guard) = locks.try_lock(&keys[4]) {
                        break guard;
                    }
                    thread::yield_now();
                };
                *meanwhile = 9;
                drop(meanwhile);
                *below = 7;
                drop(below);
                assert_eq!(waiter.join().unwrap(), (7, 9));
            });
            assert!(locks.try_lock_all().is_some());
        }
    });
}

#[cfg(any(debug_assertions, feature = "check"))]
#[test]
fn a_restart_that_would_hang_keeps_what_it_holds() {
    let locks = StripedMutex::<u64, u64>::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let (mut guard, mine) = (locks.lock_many([&keys[1], &keys[4]]), locks.lock(&keys[5]));
    let other = locks.try_lock(&keys[2]).unwrap();
    let restarts = std::panic::AssertUnwindSafe(|| _ = guard.extend_or_restart([&keys[2]]));
    assert!(
        crate::common::message_of(&*std::panic::catch_unwind(restarts).unwrap_err())
            .contains("would never end")
    );
    assert!(guard.stripes().iter().eq([1, 4]) && elsewhere(|| locks.try_lock(&keys[4]).is_none()));
    drop((other, mine));
    assert_eq!(guard.extend_or_restart([&keys[2]]), Extended::Kept);
}

#[test]
fn crossing_extensions_never_deadlock() {
    watched(|| {
        let locks = StripedMutex::<u64, u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        thread::scope(|scope| {
            for seed in 0..4 {
                let (locks, keys) = (&locks, &keys);
                scope.spawn(move || {
                    let mut numbers = Numbers(seed);
                    let mut done = 0;
                    while done < 1_000 {
                        let [first, second, third] = [(); 3].map(|()| &keys[numbers.below(8) as usize]);
                        let mut guard = locks.lock_many([first]);
                        // If it cannot extend, it releases everything and starts again, or `extend_or_restart` does
                        // that.
                        if numbers.below(2) == 0 {
                            _ = guard.extend_or_restart([second, third]);
                        } else if guard.extend(second).is_err() || guard.extend(third).is_err() {
                            continue;
                        }
                        *guard.get_mut(third).unwrap() += 1;
                        done += 1;
                    }
                });
            }
        });
        assert_eq!(locks.into_inner().into_iter().sum::<u64>(), 4_000);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Extend(usize),
    TryExtend(usize),
    Release(usize),
    Add(usize, u64),
    AddToAll(u64),
}

fn steps(stripes: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..stripes).prop_map(Step::Extend),
        (0..stripes).prop_map(Step::TryExtend),
        (0..stripes).prop_map(Step::Release),
        (0..stripes, 0..100_u64).prop_map(|(stripe, n)| Step::Add(stripe, n)),
        (0..100_u64).prop_map(Step::AddToAll),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A guard agrees with a model of its stripes and of the data, while another guard holds other stripes.
    #[test]
    fn agrees_with_a_model(
        (stripes, first, others, steps) in prop_oneof![Just(16_usize), Just(128)].prop_flat_map(|stripes| (
            Just(stripes),
            prop::collection::vec(0..stripes, 0..24),
            prop::collection::vec(0..stripes, 0..24),
            steps(stripes),
        )),
    ) {
        let locks = StripedMutex::<u64, u64>::new(stripes);
        let keys = keys(stripes, |key| locks.stripe_of(key));
        let (mut mine, mut data) = (vec![false; stripes], vec![0; stripes]);
        for &stripe in &first {
            mine[stripe] = true;
        }
        let theirs: Vec<bool> = (0..stripes).map(|stripe| others.contains(&stripe) && !mine[stripe]).collect();
        let held_by_others = locks.lock_many((0..stripes).filter(|&stripe| theirs[stripe]).map(|s| &keys[s]));
        elsewhere(|| {
            let mut guard = locks.lock_many(first.iter().map(|&stripe| &keys[stripe]));
            for step in &steps {
                match *step {
                    Step::Extend(stripe) | Step::TryExtend(stripe) => {
                        let below = mine.iter().rposition(|&held| held).is_some_and(|highest| stripe < highest);
                        let waits = matches!(step, Step::Extend(_));
                        if waits && theirs[stripe] && !below {
                            continue; // It would wait until the end of this test, which is right.
                        }
                        let expected = match (theirs[stripe], below) {
                            (false, _) => Ok(()),
                            (true, true) => Err(ExtendError::WouldInvert),
                            (true, false) => Err(ExtendError::WouldBlock),
                        };
                        let key = &keys[stripe];
                        let got = if waits { guard.extend(key) } else { guard.try_extend(key) };
                        assert_eq!(got, expected, "{step:?}");
                        mine[stripe] |= expected.is_ok();
                    }
                    Step::Release(stripe) => {
                        assert_eq!(guard.release(&keys[stripe]), mem::take(&mut mine[stripe]));
                    }
                    Step::Add(stripe, n) => {
                        assert_eq!(guard.get_mut(&keys[stripe]).map(|data| *data += n).is_some(), mine[stripe]);
                        data[stripe] += if mine[stripe] { n } else { 0 };
                    }
                    Step::AddToAll(n) => {
                        guard.iter_mut().for_each(|(_, data)| *data += n);
                        data.iter_mut().zip(&mine).filter(|(_, held)| **held).for_each(|(data, _)| *data += n);
                    }
                }
                assert_eq!(guard.len(), mine.iter().filter(|&&held| held).count());
                let held = (0..stripes).filter(|&stripe| mine[stripe]);
                assert!(guard.iter().map(|(stripe, data)| (stripe, *data)).eq(held.map(|s| (s, data[s]))));
            }
        });
        drop(held_by_others);
        prop_assert!(locks.try_lock_all().is_some(), "everything is free again");
        prop_assert_eq!(locks.into_inner(), data);
    }
}
