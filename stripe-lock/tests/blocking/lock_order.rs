//! The order in which raw locks are taken and released, and that nothing is left held when one of them panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::common::observe::{Event, observed, panic_after_releases, panic_after_takes, released, taken};
use crate::common::spin_mutex::SpinMutex;
use crate::common::spin_rwlock::SpinRwLock;
use crate::common::{elsewhere, keys};
use proptest::prelude::*;
use stripe_lock::{DefaultHasher, StripedMutex, StripedRwLock};

type Mutexes = StripedMutex<u64, u64, SpinMutex, DefaultHasher>;
type RwLocks = StripedRwLock<u64, u64, SpinRwLock, DefaultHasher>;

fn mutexes(stripes: usize) -> Mutexes {
    Mutexes::with_hasher(stripes, DefaultHasher::default())
}

fn rwlocks(stripes: usize) -> RwLocks {
    RwLocks::with_hasher(stripes, DefaultHasher::default())
}

fn ascending(addresses: &[usize]) -> bool {
    addresses.is_sorted_by(|a, b| a < b)
}

/// Asserts that stripes were taken in ascending order, all before the first release, and released in reverse.
fn assert_ordered(events: &[Event], stripes: usize) {
    let (taken, mut released) = (taken(events), released(events));
    assert_eq!(taken.len(), stripes, "one acquisition for each stripe");
    assert!(ascending(&taken), "taken in another order: {taken:?}");
    released.reverse();
    assert_eq!(released, taken, "released in another order");
    assert!(events[..stripes].iter().all(|event| !matches!(event, Event::Release(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_keys_are_taken_in_ascending_order_once_for_each_stripe(
        bits in 0_u32..11,
        mut keys in prop::collection::vec(0_u64..200, 0..100),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let (mutexes, rwlocks) = (mutexes(1 << bits), rwlocks(1 << bits));
        let again = if keys.is_empty() { 0 } else { shuffle.index(keys.len()) };
        keys.extend_from_within(..again);
        let distinct = |stripe_of: &dyn Fn(&u64) -> usize| {
            let mut stripes: Vec<_> = keys.iter().map(stripe_of).collect();
            stripes.sort_unstable();
            stripes.dedup();
            stripes
        };
        let stripes = distinct(&|key| mutexes.stripe_of(key));
        assert_ordered(&observed(|| {
            let guard = mutexes.lock_many(&keys);
            assert!(guard.stripes().iter().eq(stripes.iter().copied()));
        }), stripes.len());
        assert_ordered(&observed(|| drop(mutexes.try_lock_many(&keys).unwrap())), stripes.len());
        assert_ordered(&observed(|| mutexes.lock_many(&keys).unlock_fair()), stripes.len());

        let stripes = distinct(&|key| rwlocks.stripe_of(key));
        assert_ordered(&observed(|| drop(rwlocks.read_many(&keys))), stripes.len());
        assert_ordered(&observed(|| drop(rwlocks.write_many(&keys))), stripes.len());
        let batch = || keys.iter().fold(rwlocks.batch(), |batch, key| {
            if key % 3 == 0 { batch.write(key) } else { batch.read(key) }
        });
        assert_ordered(&observed(|| drop(batch().lock())), stripes.len());
        assert_ordered(&observed(|| batch().lock().unlock_fair()), stripes.len());
    }
}

#[test]
fn all_stripes_are_taken_in_ascending_order() {
    for stripes in [1, 2, 4, 64, 128, 1024] {
        let (mutexes, rwlocks) = (mutexes(stripes), rwlocks(stripes));
        assert_ordered(&observed(|| drop(mutexes.lock_all())), stripes);
        assert_ordered(&observed(|| drop(mutexes.try_lock_all())), stripes);
        assert_ordered(&observed(|| mutexes.lock_all().unlock_fair()), stripes);
        assert_ordered(&observed(|| drop(rwlocks.read_all())), stripes);
        assert_ordered(&observed(|| drop(rwlocks.write_all())), stripes);
    }
}

#[test]
fn a_guard_that_grew_downwards_still_releases_in_descending_order() {
    let locks = mutexes(16);
    let keys = keys(16, |key| locks.stripe_of(key));
    for grow in [[2, 9, 4, 15, 0, 3], [15, 14, 3, 2, 1, 0], [0, 15, 1, 14, 2, 13]] {
        let events = observed(|| {
            let mut guard = locks.lock_many([&keys[7], &keys[8]]);
            for stripe in grow {
                guard.try_extend(&keys[stripe]).unwrap();
            }
        });
        let mut released = released(&events);
        assert_eq!(released.len(), 8);
        released.reverse();
        assert!(ascending(&released), "{grow:?}: {released:?}");
    }
}

#[test]
fn a_failed_attempt_releases_what_it_took_in_descending_order() {
    let locks = mutexes(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let held = locks.lock(&keys[5]);
    let events = elsewhere(|| {
        let mut events = Vec::new();
        events.extend(observed(|| assert!(locks.try_lock_many(&keys).is_none())));
        events
    });
    assert_ordered(&events, 5);
    drop(held);
}

/// Runs `body`, which must panic because of a panic that was planted in a raw lock.
fn panics(body: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(body)).unwrap_err();
    assert!(crate::common::message_of(&*panic).starts_with("planted in"), "another panic");
}

#[test]
fn a_panic_in_the_middle_of_taking_many_releases_those_below() {
    for stripes in [8, 128] {
        let (mutexes, rwlocks) = (mutexes(stripes), rwlocks(stripes));
        let several = keys(8, |key| mutexes.stripe_of(key));
        let rw_several = keys(8, |key| rwlocks.stripe_of(key));
        let takes: [&dyn Fn(); 7] = [
            &|| drop(mutexes.lock_many(&several)),
            &|| drop(mutexes.try_lock_many(&several)),
            &|| drop(mutexes.lock_all()),
            &|| drop(rwlocks.read_many(&rw_several)),
            &|| drop(rwlocks.write_many(&rw_several)),
            &|| drop(rwlocks.batch().read(&rw_several[3]).write(&rw_several[5]).write(&rw_several[1]).lock()),
            &|| drop(rwlocks.write_all()),
        ];
        for take in takes {
            for before in 0..3 {
                let events = observed(|| {
                    panic_after_takes(before);
                    panics(take);
                });
                assert_ordered(&events, before as usize);
                assert!(elsewhere(|| mutexes.try_lock_all().is_some() && rwlocks.try_write_all().is_some()));
                drop((mutexes.lock_all(), rwlocks.write_all()));
            }
        }
    }
}

#[test]
fn a_panic_while_a_guard_grows_leaves_it_as_it_was() {
    let locks = mutexes(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let mut guard = locks.lock_many(&keys[2..4]);
    for key in [&keys[0], &keys[6]] {
        panic_after_takes(0);
        panics(|| guard.extend(key).unwrap());
        panic_after_takes(0);
        panics(|| guard.try_extend(key).unwrap());
        assert!(guard.stripes().iter().eq([2, 3]) && !guard.holds(key));
    }
    guard.extend(&keys[6]).unwrap();
    drop(guard);
    assert!(elsewhere(|| locks.try_lock_all().is_some()));
}

#[test]
fn a_panic_in_a_release_does_not_keep_the_other_stripes() {
    for stripes in [8, 128] {
        let (mutexes, rwlocks) = (mutexes(stripes), rwlocks(stripes));
        let several = keys(8, |key| mutexes.stripe_of(key));
        let rw_several = keys(8, |key| rwlocks.stripe_of(key));
        let batch =
            || rwlocks.batch().read(&rw_several[3]).write(&rw_several[5]).write(&rw_several[1]).lock();
        let releases: [&dyn Fn(); 6] = [
            &|| drop(mutexes.lock_many(&several)),
            &|| mutexes.lock_many(&several).unlock_fair(),
            &|| drop(mutexes.lock_all()),
            &|| drop(rwlocks.read_many(&rw_several)),
            &|| drop(batch()),
            &|| batch().unlock_fair(),
        ];
        for release in releases {
            for before in 0..3 {
                panic_after_releases(before);
                panics(release);
                assert!(elsewhere(|| mutexes.try_lock_all().is_some() && rwlocks.try_write_all().is_some()));
                drop((mutexes.lock_all(), rwlocks.write_all()));
            }
        }
        let held = mutexes.lock(&several[6]);
        elsewhere(|| {
            panic_after_releases(1);
            panics(|| assert!(mutexes.try_lock_many(&several).is_none()));
            assert!(mutexes.try_lock_many(&several[..6]).is_some(), "a failed attempt gives back the rest");
        });
        drop(held);
    }
}
