//! The debug record: which waits become panics that name both places, and which do not.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crate::common::spin_mutex::SpinMutex;
use crate::common::{LONG, SHORT, elsewhere, keys};
#[cfg(any(debug_assertions, feature = "check"))]
use crate::common::{Numbers, watched};
use stripe_lock::blocking::Guard;
use stripe_lock::{DefaultHasher, StripedMutex, StripedReentrantMutex, StripedRwLock};

/// A mutex whose guards are `Send`.
type Movable = StripedMutex<u64, u64, SpinMutex, DefaultHasher>;

/// The message with which `body` panics. `None` if it does not panic.
fn complaint<O>(body: impl FnOnce() -> O) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| drop(body()))).err().map(|panic| crate::common::message_of(&*panic))
}

/// The place that is `below` lines below the caller, in the form of panic messages.
#[track_caller]
fn place(below: u32) -> String {
    let here = std::panic::Location::caller();
    format!("{}:{}:", here.file(), here.line() + below)
}

#[cfg(any(debug_assertions, feature = "check"))]
mod with_the_record {
    use super::*;

    #[test]
    fn a_second_guard_of_one_stripe_is_refused_with_both_places() {
        let locks = Arc::new(StripedMutex::<u64>::new(4));
        let keys = keys(4, |key| locks.stripe_of(key));
        let (first, second) = (place(1), place(2));
        let guard = locks.lock(&keys[2]);
        let said = complaint(|| locks.lock(&keys[2])).expect("it would hang");
        assert!(said.contains("waiting for stripe 2") && said.contains("would never end"), "{said}");
        assert!(said.contains(&format!("at {second}")), "{said}: not {second}");
        assert!(said.contains(&format!("took it at {first}")), "{said}: not {first}");
        assert!(complaint(|| locks.lock_arc(&keys[2])).is_some());
        assert!(complaint(|| locks.with(&keys[2], |()| ())).is_some());
        assert!(complaint(|| locks.lock_many(&keys)).is_some());
        let all = place(1);
        assert!(complaint(|| locks.lock_all()).unwrap().contains(&all));
        drop(guard);
        assert_eq!(complaint(|| locks.lock(&keys[2])), None, "the record ends with the guard");
        assert_eq!(complaint(|| locks.lock_all()), None, "and so it does with a panic");
    }

    #[test]
    fn every_kind_of_guard_is_on_record() {
        let (locks, rw) = (Arc::new(StripedMutex::<u64>::new(4)), Arc::new(StripedRwLock::<u64>::new(4)));
        macro_rules! on_record {
            ($set:ident, $lock:ident: $($guard:expr),* $(,)?) => {
                $({
                    let guard = $guard;
                    assert!(complaint(|| $set.$lock(&7)).is_some(), stringify!($guard));
                    drop(guard);
                    assert_eq!(complaint(|| $set.$lock(&7)), None, "after {}", stringify!($guard));
                })*
            };
        }
        on_record!(locks, lock: locks.lock(&7), locks.lock_arc(&7), locks.try_lock(&7), locks.try_lock_arc(&7),
            locks.try_lock_for(&7, SHORT), locks.lock_many(&[7]), locks.try_lock_many(&[7]), locks.lock_all(),
            locks.try_lock_all());
        on_record!(rw, read: rw.read(&7), rw.write(&7), rw.upgradable_read(&7), rw.read_many(&[7]),
            rw.batch().read(&7).lock(), Guard::upgrade(rw.upgradable_read(&7)), Guard::downgrade(rw.write(&7)));
        on_record!(rw, write: rw.read(&7), rw.try_read(&7), rw.try_upgradable_read(&7), rw.try_write_all());
    }

    #[test]
    fn a_stripe_below_is_refused_with_both_places() {
        let locks = StripedMutex::<u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        let (third, fifth, late) = (place(1), place(2), place(3));
        let _third = locks.lock(&keys[3]);
        let _fifth = locks.lock(&keys[5]);
        let said = complaint(|| locks.lock(&keys[4])).expect("against the order");
        assert!(said.contains("waiting for stripe 4") && said.contains("would break the order"), "{said}");
        assert!(said.contains(&late), "{said}: not {late}");
        assert!(said.contains("stripe 5") && said.contains(&fifth), "{said}: not {fifth}");
        assert!(complaint(|| locks.lock_many([&keys[4], &keys[6]])).is_some());
        // The message names the stripe that is held, not the one that is below.
        assert!(complaint(|| locks.lock(&keys[3])).unwrap().contains(&third));
        assert_eq!(complaint(|| locks.lock_many([&keys[6], &keys[7]])), None, "above all");
    }

    #[test]
    fn extending_is_checked_against_other_guards_alone() {
        let locks = StripedMutex::<u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        let mut guard = locks.lock_many(&keys[1..3]);
        guard.extend(&keys[4]).unwrap();
        let at = place(1);
        let other = locks.lock(&keys[6]);
        assert!(complaint(|| guard.extend(&keys[5])).unwrap().contains(&at), "below another guard's");
        assert!(complaint(|| guard.extend(&keys[6])).unwrap().contains("never end"));
        assert_eq!(guard.try_extend(&keys[5]), Ok(()), "trying is exempt");
        drop(other);
        guard.extend(&keys[6]).unwrap();
        assert!(complaint(|| locks.lock(&keys[6])).is_some(), "what was added is on record");
        assert_eq!(complaint(|| locks.lock(&keys[7])), None);
        drop(guard);
        assert_eq!(complaint(|| locks.lock_all()), None);
    }

    #[test]
    fn a_second_read_is_refused_for_the_true_reason() {
        let locks = StripedRwLock::<u64>::new(4);
        // There is no writer, so a second reader gets in. It would not if a writer came in between.
        let (first, second) = (place(1), place(2));
        let reader = locks.read(&7);
        let said = complaint(|| locks.read(&7)).expect("a writer may come in between");
        assert!(said.contains("may never end") && said.contains("writer"), "{said}");
        assert!(said.contains(&first) && said.contains(&second), "{said}");
        for again in [
            complaint(|| locks.upgradable_read(&7)),
            complaint(|| locks.read_all()),
            complaint(|| locks.batch().read(&7).lock()),
        ] {
            assert!(again.unwrap().contains("may never end"));
        }
        let certain = |said: Option<String>| assert!(said.unwrap().contains("would never end"));
        certain(complaint(|| locks.write(&7)));
        certain(complaint(|| locks.batch().write(&7).lock()));
        drop(reader);
        let upgradable = locks.upgradable_read(&7);
        certain(complaint(|| locks.upgradable_read(&7)));
        assert!(complaint(|| locks.read(&7)).unwrap().contains("may never end"));
        let writer = Guard::upgrade(upgradable);
        certain(complaint(|| locks.read(&7)));
        let reader = Guard::downgrade(writer);
        assert!(complaint(|| locks.read(&7)).unwrap().contains("may never end"));
        drop(reader);
        let keys = keys(4, |key| locks.stripe_of(key));
        let _batch = locks.batch().read(&keys[1]).write(&keys[2]).lock();
        assert!(complaint(|| locks.read(&keys[1])).unwrap().contains("may never end"));
        certain(complaint(|| locks.read(&keys[2])));
    }

    #[test]
    fn very_many_guards_stay_on_record_in_any_order_of_drops() {
        // With this number of guards, a linear search of the record would take longer than the watchdog allows.
        const MANY: usize = 1 << 17;
        watched(|| {
            let (locks, rw) = (StripedMutex::<u64>::new(MANY), StripedRwLock::<u64>::new(4));
            let keys = keys_of_all(&locks);
            for order in 0..3 {
                let mut guards: Vec<_> = keys.iter().map(|key| locks.lock(key)).collect();
                assert!(complaint(|| locks.lock(&keys[MANY / 2])).is_some());
                match order {
                    0 => (),
                    1 => guards.reverse(),
                    _ => {
                        let mut numbers = Numbers(7);
                        (1..guards.len()).for_each(|i| guards.swap(i, numbers.below(i as u64 + 1) as usize));
                    }
                }
                let kept = guards.pop();
                guards.into_iter().for_each(drop);
                assert!(complaint(|| locks.lock_all()).unwrap().contains("would never end"));
                drop(kept);
                assert_eq!(complaint(|| locks.lock_all()), None);
            }
            // The same number of guards of one stripe.
            let readers: Vec<_> = (0..MANY).map(|_| rw.try_read(&7).unwrap()).collect();
            assert!(complaint(|| rw.write(&7)).is_some());
            drop(readers);
            assert_eq!(complaint(|| rw.write(&7)), None);
        });
    }

    /// A key for each stripe, in ascending order of stripes.
    fn keys_of_all(locks: &StripedMutex<u64>) -> Vec<u64> {
        let mut keys = vec![None; locks.stripes()];
        let mut missing = keys.len();
        for key in 0.. {
            if missing == 0 {
                break;
            }
            missing -= usize::from(keys[locks.stripe_of(&key)].replace(key).is_none());
        }
        keys.into_iter().flatten().collect()
    }

    #[test]
    fn an_upgrade_has_to_be_the_highest() {
        let locks = StripedRwLock::<u64, u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        let upgradable = locks.upgradable_read(&keys[3]);
        let (higher, late) = (place(1), place(2));
        let above = locks.write(&keys[5]);
        let said = complaint(|| Guard::upgrade(upgradable)).expect("a reader of 3 may wait for 5");
        assert!(said.contains("break the order") && said.contains(&higher) && said.contains(&late), "{said}");
        drop(above);
        assert!(locks.try_write_all().is_some(), "the guard is gone with the panic");

        let reader = locks.read(&keys[3]);
        let upgradable = locks.try_upgradable_read(&keys[3]).unwrap();
        assert!(complaint(|| Guard::upgrade(upgradable)).unwrap().contains("never end"), "its own reader");
        let upgradable = locks.try_upgradable_read(&keys[3]).unwrap();
        assert!(Guard::try_upgrade(upgradable).is_err(), "trying is exempt");
        drop(reader);

        let _below = locks.read(&keys[1]);
        let upgradable = locks.upgradable_read(&keys[3]);
        assert_eq!(complaint(|| Guard::upgrade(upgradable)), None);
    }

    #[test]
    fn a_reentrant_lock_is_refused_below_another_alone() {
        let locks = StripedReentrantMutex::<u64, u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        let high = locks.lock(&keys[6]);
        let again_at = place(1);
        let again = locks.lock(&keys[6]);
        let said = complaint(|| locks.lock(&keys[1])).expect("against the order");
        assert!(said.contains("waiting for stripe 1") && said.contains("would break the order"), "{said}");
        assert!(said.contains("took stripe 6") && said.contains(&again_at), "{said}: not {again_at}");
        assert!(
            complaint(|| locks.lock_many([&keys[6], &keys[5]])).unwrap().contains("waiting for stripe 5")
        );
        assert!(complaint(|| locks.lock_all()).unwrap().contains("waiting for stripe 0"));
        assert_eq!(complaint(|| locks.lock_many([&keys[6], &keys[7]])), None, "held, and above");
        drop(high);
        assert!(complaint(|| locks.lock(&keys[1])).is_some(), "still held, once");
        drop(again);
        // A held stripe may be locked again and released, whatever else is held.
        let low = locks.lock(&keys[1]);
        let mut several = locks.lock_many(&keys[2..4]);
        several.extend(&keys[6]).unwrap();
        let mut once_more = locks.lock(&keys[1]);
        assert_eq!(complaint(|| locks.lock(&keys[0])).map(|said| said.contains("stripe 0")), Some(true));
        drop((low, several));
        Guard::unlocked(&mut once_more, || assert_eq!(complaint(|| locks.lock_all()), None));
    }

    #[test]
    fn a_list_is_used_again_only_without_the_guards_of_the_thread_that_had_it() {
        let locks = Movable::with_hasher(4, DefaultHasher::default());
        for _ in 0..20 {
            // Each thread leaves a guard behind, whose entry the next thread must not take for its own.
            let left = thread::scope(|scope| scope.spawn(|| locks.lock(&7)).join().unwrap());
            elsewhere(|| {
                assert_eq!(complaint(|| locks.lock_many(&[])), None);
                let other = Movable::with_hasher(4, DefaultHasher::default());
                assert_eq!(complaint(|| other.lock_all()), None);
                thread::scope(|scope| {
                    let waits = scope.spawn(|| complaint(|| locks.lock(&7)));
                    drop(left);
                    assert_eq!(waits.join().unwrap(), None, "it waits for another thread's guard");
                });
            });
        }
    }

    #[test]
    fn a_forgotten_guard_stays_on_record() {
        let locks = StripedMutex::<u64>::new(4);
        mem::forget(locks.lock(&7));
        assert!(complaint(|| locks.lock(&7)).is_some(), "the stripe stays locked, so waiting would hang");
        drop(locks);
        let next = StripedMutex::<u64>::new(4);
        assert_eq!(complaint(|| next.lock_all()), None, "another set, even at the same place");
    }

    #[test]
    fn a_guard_on_another_thread_counts_until_it_is_dropped_or_handed_over() {
        let locks = Movable::with_hasher(4, DefaultHasher::default());
        let guard = locks.lock(&7);
        thread::scope(|scope| {
            let (send, receive) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                receive.recv().unwrap();
                drop(guard);
            });
            assert!(complaint(|| locks.lock(&7)).is_some(), "it was not handed over");
            send.send(()).unwrap();
        });
        assert_eq!(complaint(|| locks.lock(&7)), None, "dropped on another thread");
        let guard = locks.lock(&7);
        elsewhere(|| drop(guard));
        assert_eq!(complaint(|| locks.lock_all()), None, "dropped on another thread");
    }

    #[test]
    fn a_guard_that_is_unlocked_is_not_taken_for_another() {
        let locks = StripedMutex::<u64>::new(4);
        let (mut high, mut low) = (locks.lock_stripe(3), None);
        Guard::unlocked(&mut high, || low = Some(locks.lock_stripe(0)));
        drop(low);
        assert_eq!(
            complaint(|| locks.lock_stripe(0)).map(|said| said.contains("break the order")),
            Some(true)
        );
        assert_eq!(complaint(|| locks.lock_stripe(3)).map(|said| said.contains("never end")), Some(true));
        drop(high);
        assert_eq!(complaint(|| locks.lock_all()), None, "all guards have ended");
    }

    #[test]
    fn guards_end_elsewhere_while_their_thread_takes_more() {
        let [locks, others] = [(); 2].map(|()| Movable::with_hasher(4, DefaultHasher::default()));
        let (send, receive) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || receive.into_iter().for_each(drop));
            for round in 0..200 {
                let guard = std::iter::repeat_with(|| locks.try_lock(&7)).inspect(|_| thread::yield_now());
                send.send(guard.flatten().next().unwrap()).unwrap();
                match round % 3 {
                    0 => drop(others.lock(&round)),
                    1 => drop((others.lock(&round), locks.try_lock(&7))),
                    _ => drop(others.lock_many(&[round, round + 1])),
                }
            }
            drop(send);
        });
        for set in [&locks, &others] {
            assert_eq!(complaint(|| set.lock_all()), None, "all guards have ended");
        }
    }
}

#[test]
fn a_guard_that_was_handed_over_is_waited_for() {
    let locks = Movable::with_hasher(4, DefaultHasher::default());
    for round in 0..50 {
        let mut guard = Guard::hand_over(locks.lock(&7));
        thread::scope(|scope| {
            scope.spawn(move || *guard += 1);
            *locks.lock(&7) += 1;
        });
        let mut guard = locks.lock_many(&[7, 8, 9]).hand_over();
        thread::scope(|scope| {
            scope.spawn(move || {
                *guard.get_mut(&7).unwrap() += 1;
                guard.extend(&7).unwrap();
            });
            let mut all = locks.lock_all();
            *all.get_mut(&7).unwrap() += 1;
        });
        assert_eq!(*locks.lock(&7), 4 * (round + 1));
    }
}

#[test]
fn trying_and_waiting_for_a_time_are_exempt() {
    let (locks, rw) = (StripedMutex::<u64>::new(8), StripedRwLock::<u64>::new(8));
    let several = keys(8, |key| locks.stripe_of(key));
    let guard = locks.lock(&several[5]);
    assert!(locks.try_lock(&several[5]).is_none() && locks.try_lock_for(&several[5], SHORT).is_none());
    assert!(locks.try_lock_many(&several).is_none() && locks.try_lock_all().is_none());
    assert!(locks.try_lock(&several[2]).is_some() && locks.try_lock_for(&several[2], LONG).is_some());
    assert!(locks.try_lock_many(&several[..5]).is_some());
    drop(guard);
    let several = keys(8, |key| rw.stripe_of(key));
    let reader = rw.read(&several[5]);
    assert!(rw.try_read(&several[5]).is_some() && rw.try_write(&several[5]).is_none());
    assert!(rw.batch().write(&several[2]).read(&several[5]).try_lock().is_some());
    drop(reader);
}

#[test]
fn other_sets_and_other_threads_are_independent() {
    let (first, second) = (StripedMutex::<u64>::new(4), StripedMutex::<u64>::new(4));
    let held = first.lock_all();
    assert_eq!(complaint(|| second.lock_all()), None);
    elsewhere(|| assert_eq!(complaint(|| second.lock(&7)), None));
    drop(held);
    let keys = keys(4, |key| first.stripe_of(key));
    let high = first.lock(&keys[3]);
    elsewhere(|| assert_eq!(complaint(|| first.lock(&keys[1])), None, "another thread holds nothing above"));
    drop(high);
}

/// Without debug assertions there is no record: a thread that waits for itself hangs, as with any mutex, until another thread
/// helps.
#[cfg(not(any(debug_assertions, feature = "check")))]
#[test]
fn nothing_is_recorded_in_release_builds() {
    let locks = Movable::with_hasher(4, DefaultHasher::default());
    let keys = keys(4, |key| locks.stripe_of(key));
    let high = locks.lock(&keys[3]);
    assert_eq!(complaint(|| locks.lock(&keys[1])), None, "against the order, without a panic");
    drop(high);
    assert_eq!(
        size_of::<stripe_lock::blocking::MutexGuard<'_, u64>>(),
        size_of::<usize>(),
        "a guard is a reference"
    );
}
