//! Guards that give up a part of the data (mapped), some stripes (released), or the stripe temporarily (unlocked).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::{env, thread};

use crate::common::spin_mutex::SpinMutex;
use crate::common::spin_rwlock::SpinRwLock;
use crate::common::{LONG, SHORT, elsewhere, key_on, keys, message_of, watched};
use stripe_lock::blocking::{
    ArcMutexGuard, ArcRwLockReadGuard, Guard, MappedGuard, MappedMutexGuard, MutexGuard, ReentrantMutexGuard,
    RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard,
};
use stripe_lock::{DefaultHasher, Pair, StripedMutex, StripedReentrantMutex, StripedRwLock, raw::Shared};

type Spinning<T> = StripedMutex<u64, T, SpinMutex, DefaultHasher>;
type SpinningRw<T> = StripedRwLock<u64, T, SpinRwLock, DefaultHasher>;

fn free(locks: &Spinning<(u64, Option<u64>)>, key: u64) -> bool {
    elsewhere(|| locks.try_lock(&key).is_some())
}

#[test]
fn a_mapped_guard_holds_the_stripe_and_changes_the_part() {
    let locks = Spinning::<(u64, Option<u64>)>::with_hasher(4, DefaultHasher::default());
    let mut first = MutexGuard::map(locks.lock(&1), |pair| &mut pair.0);
    *first += 5;
    assert!(!free(&locks, 1));
    assert_eq!((format!("{first:?}"), format!("{first}")), ("5".into(), "5".into()));
    drop(first);
    assert!(free(&locks, 1));
    let guard = MutexGuard::try_map(locks.lock(&1), |pair| pair.1.as_mut()).unwrap_err();
    assert_eq!(*guard, (5, None));
    assert!(!free(&locks, 1), "it gave the guard back");
    let all = MutexGuard::map(guard, |pair| pair);
    let all = MappedMutexGuard::try_map(all, |pair| pair.1.as_mut()).unwrap_err();
    let mut second = MappedMutexGuard::map(all, |pair| pair.1.get_or_insert(7));
    *second += 1;
    MappedMutexGuard::unlock_fair(second);
    assert!(free(&locks, 1));
    assert_eq!(*locks.lock(&1), (5, Some(8)));
}

#[test]
fn a_mapped_guard_goes_where_its_guard_goes() {
    let locks = Arc::new(Spinning::<(u64, Option<u64>)>::with_hasher(4, DefaultHasher::default()));
    let mut owned = MappedGuard::hand_over(ArcMutexGuard::map(locks.lock_arc(&1), |pair| &mut pair.0));
    let sum = thread::spawn(move || {
        *owned += 3;
        *owned
    });
    drop(locks.lock(&1)); // waits for the other thread, and not for itself
    assert_eq!(sum.join().unwrap(), 3);
    let alone = ArcMutexGuard::map(locks.lock_arc(&1), |pair| &mut pair.0);
    assert_eq!(Arc::strong_count(&locks), 2, "it keeps the set alive");
    drop(alone);
    let rw = Arc::new(SpinningRw::<Vec<u64>>::with_hasher(4, DefaultHasher::default()));
    rw.write(&1).extend([4, 5]);
    let part = ArcRwLockReadGuard::map(rw.read_arc(&1), Vec::as_slice);
    let part = MappedGuard::<_, _, _, _, Shared>::try_map(part, |list| list.get(1..)).unwrap();
    assert!(rw.try_read(&1).is_some() && rw.try_write(&1).is_none());
    assert_eq!(*part, [5], "a slice has no size of its own");
    thread::scope(|scope| scope.spawn(|| assert_eq!(part.len(), 1)).join()).unwrap();
    assert!(MappedGuard::<_, _, _, _, Shared>::try_map(part, |list| list.get(1)).is_err());
    assert!(rw.try_write(&1).is_some());
    let outer = RwLockWriteGuard::map(rw.write(&1), |list| &mut list[0]);
    assert!(rw.try_read(&1).is_none());
    drop(outer);
}

#[test]
fn a_panic_in_a_map_releases() {
    let locks = Spinning::<(u64, Option<u64>)>::with_hasher(4, DefaultHasher::default());
    let of = |f: fn(&mut (u64, Option<u64>)) -> &mut u64| {
        catch_unwind(AssertUnwindSafe(|| drop(MutexGuard::map(locks.lock(&1), f)))).unwrap_err()
    };
    assert_eq!(message_of(&*of(|_| panic!("no part"))), "no part");
    assert!(free(&locks, 1));
    catch_unwind(AssertUnwindSafe(|| {
        let _part = MutexGuard::map(locks.lock(&1), |pair| &mut pair.0);
        panic!("in the section");
    }))
    .unwrap_err();
    assert!(free(&locks, 1));
}

#[test]
fn unlocked_lets_others_in_and_comes_back() {
    let locks = Spinning::<(u64, Option<u64>)>::with_hasher(4, DefaultHasher::default());
    let mut guard = locks.lock(&1);
    guard.0 = 1;
    let seen = Guard::unlocked(&mut guard, || {
        elsewhere(|| {
            let mut other = locks.lock(&1);
            other.0 += 1;
            other.0
        })
    });
    assert_eq!((seen, guard.0), (2, 2));
    assert!(!free(&locks, 1), "held again");
    Guard::unlocked_fair(&mut guard, || assert!(free(&locks, 1)));
    Guard::unlocked(&mut guard, || locks.lock(&1).0 += 1);
    assert_eq!(guard.0, 3);
    let panic = catch_unwind(AssertUnwindSafe(|| Guard::unlocked(&mut guard, || panic!("meanwhile"))));
    assert_eq!(message_of(&*panic.unwrap_err()), "meanwhile");
    assert!(!free(&locks, 1), "held again after a panic");
    drop(guard);
    assert!(free(&locks, 1));
}

#[test]
fn unlocked_works_in_every_mode() {
    let rw = SpinningRw::<u64>::with_hasher(4, DefaultHasher::default());
    let (mut reader, add) = (rw.read(&1), |by| elsewhere(|| *rw.try_write(&1).unwrap() += by));
    RwLockReadGuard::unlocked(&mut reader, || add(1));
    RwLockReadGuard::bump(&mut reader);
    assert_eq!(*reader, 1);
    drop(reader);
    let mut upgradable = rw.upgradable_read(&1);
    RwLockUpgradableReadGuard::unlocked(&mut upgradable, || add(2));
    assert!(rw.try_upgradable_read(&1).is_none(), "upgradable still");
    let mut writer = RwLockUpgradableReadGuard::upgrade(upgradable);
    RwLockWriteGuard::unlocked(&mut writer, || add(4));
    RwLockWriteGuard::bump(&mut writer);
    assert_eq!(*writer, 7);
    drop(writer);
    let again = Arc::new(StripedReentrantMutex::<u64, u64>::new(4));
    let free = || elsewhere(|| again.try_lock(&1).is_some());
    let mut guard = again.lock_arc(&1);
    Guard::unlocked(&mut guard, || assert!(free()));
    let outer = again.lock(&1);
    Guard::unlocked(&mut guard, || assert!(!free(), "another guard holds it still"));
    Guard::bump(&mut guard);
    drop(guard);
    assert!(!free());
    drop::<ReentrantMutexGuard<'_, u64>>(outer);
    assert!(free());
}

#[test]
fn bump_lets_the_waiter_in() {
    watched(|| {
        let locks = StripedMutex::<u64, u64>::new(4);
        let (waits, inside) = (channel(), channel());
        thread::scope(|scope| {
            let mut guard = locks.lock(&1);
            scope.spawn(|| {
                waits.0.send(()).unwrap();
                *locks.lock(&1) += 1;
                inside.0.send(()).unwrap();
            });
            waits.1.recv().unwrap();
            // It counts as a waiter once it is parked, which can't be observed.
            while inside.1.try_recv().is_err() {
                MutexGuard::bump(&mut guard);
            }
            assert_eq!(*guard, 1);
        });
    });
}

#[test]
fn a_single_guard_becomes_one_of_several() {
    let locks = Arc::new(Spinning::<u64>::with_hasher(128, DefaultHasher::default()));
    let keys = keys(128, |key| locks.stripe_of(key));
    for from in [0, 77, 127] {
        let mut guard = locks.lock(&keys[from]);
        *guard += 1;
        let mut several = locks.extendable(guard);
        assert!(several.stripes().iter().eq([from]));
        several.extend(&keys[100]).unwrap();
        assert_eq!(several.get(&keys[from]), Some(&1));
        assert!(several.holds(&keys[100]) && elsewhere(|| locks.try_lock(&keys[from]).is_none()));
        drop(several);
        let mut owned = ArcMutexGuard::extendable(locks.lock_arc(&keys[from]));
        owned.extend(&keys[50]).unwrap();
        assert!(owned.holds(&keys[from]) && owned.holds(&keys[50]));
        drop(owned);
        assert!(locks.try_lock_all().is_some());
    }
    let other = Spinning::<u64>::with_hasher(128, DefaultHasher::default());
    let panic = catch_unwind(AssertUnwindSafe(|| drop(other.extendable(locks.lock(&1))))).unwrap_err();
    assert!(message_of(&*panic).contains("another set"));
    assert!(locks.try_lock_all().is_some() && other.try_lock_all().is_some());
    let dense = StripedMutex::<u64>::new(1 << 14);
    for index in [0, 1, 9_999, (1 << 14) - 1] {
        assert!(dense.extendable(dense.lock_stripe(index)).stripes().iter().eq([index]), "without padding");
    }
}

#[test]
fn a_released_part_is_free_and_the_rest_is_held() {
    for stripes in [8, 128] {
        let locks = Spinning::<u64>::with_hasher(stripes, DefaultHasher::default());
        let keys = keys(8, |key| locks.stripe_of(key));
        let twin = key_on(4, keys[4] + 1, |key| locks.stripe_of(key));
        let mut guard = locks.lock_many(&keys);
        let held =
            |guard: &stripe_lock::blocking::MutexMultiGuard<'_, u64, u64, SpinMutex, DefaultHasher>| {
                for key in &keys {
                    assert_eq!(elsewhere(|| locks.try_lock(key).is_none()), guard.holds(key));
                }
            };
        for (key, released) in
            [(twin, true), (keys[4], false), (keys[0], true), (keys[7], true), (keys[2], true)]
        {
            assert_eq!(guard.release(&key), released);
            assert!(!guard.holds(&key) && guard.get_mut(&key).is_none());
            held(&guard);
        }
        assert!(guard.stripes().iter().eq([1, 3, 5, 6]));
        guard.extend(&keys[2]).unwrap();
        held(&guard);
        assert!([1, 2, 3, 5, 6].iter().all(|&stripe| guard.release(&keys[stripe])));
        assert!(guard.is_empty() && locks.try_lock_all().is_some());
        drop(guard);
        let mut all = locks.lock_all();
        (0..stripes).rev().step_by(2).for_each(|stripe| {
            assert!(all.release(&key_on(stripe, 0, |key| locks.stripe_of(key))));
        });
        assert_eq!(all.len(), stripes / 2);
        all.unlock_fair();
        assert!(locks.try_lock_all().is_some());
    }
}

#[test]
fn a_batch_releases_what_it_reads_and_what_it_writes() {
    let locks = SpinningRw::<u64>::with_hasher(16, DefaultHasher::default());
    let keys = keys(6, |key| locks.stripe_of(key));
    let batch = || {
        let named = locks.batch().read(&keys[0]).write(&keys[1]).read(&keys[2]).write(&keys[3]);
        named.read(&keys[4]).write(&keys[5]).lock()
    };
    // Removes from each stack of states, at both ends and in the middle.
    for order in [[2, 3, 0, 5, 4, 1], [1, 0, 3, 2, 5, 4], [5, 4, 3, 2, 1, 0]] {
        let mut guard = batch();
        for (gone, &stripe) in (1..).zip(&order) {
            assert!(guard.release(&keys[stripe]));
            for (other, key) in keys.iter().enumerate() {
                let held = !order[..gone].contains(&other);
                assert_eq!(elsewhere(|| locks.try_write(key).is_none()), held, "stripe {other}");
                assert_eq!(
                    elsewhere(|| locks.try_read(key).is_none()),
                    held && other % 2 == 1,
                    "stripe {other}"
                );
            }
        }
    }
    let mut guard = batch();
    assert!(guard.release(&keys[3]) && guard.release(&keys[0]));
    drop(guard);
    assert!(locks.try_write_all().is_some());
}

#[test]
fn a_pair_is_two_or_the_same() {
    let locks = SpinningRw::<u64>::with_hasher(8, DefaultHasher::default());
    let keys = keys(8, |key| locks.stripe_of(key));
    let twin = key_on(3, keys[3] + 1, |key| locks.stripe_of(key));
    let mut guard = locks.batch().write(&keys[3]).write(&keys[5]).read(&keys[6]).lock();
    match guard.get_pair_mut(&keys[5], &keys[3]) {
        Some(Pair::Two(fifth, third)) => (*fifth, *third) = (5, 3),
        other => panic!("{other:?}"),
    }
    assert_eq!((guard.get(&keys[5]), guard.get(&keys[3])), (Some(&5), Some(&3)));
    assert_eq!(guard.get_pair_mut(&keys[3], &twin), Some(Pair::Same(&mut 3)));
    assert_eq!(guard.get_pair_mut(&keys[3], &keys[6]), None, "read alone");
    assert_eq!(guard.get_pair_mut(&keys[0], &keys[3]), None, "not held");
}

#[test]
fn stripes_are_taken_by_index() {
    let (locks, rw) =
        (Spinning::<u64>::with_hasher(8, DefaultHasher::default()), StripedRwLock::<u64, u64>::new(8));
    for index in 0..locks.stripes() {
        *locks.lock_stripe(index) += index as u64;
        let held = locks.lock_stripe(index);
        assert!(locks.try_lock_stripe(index).is_none() && locks.try_lock_stripe(7 - index).is_some());
        drop(held);
        *rw.write_stripe(index) += index as u64;
        let reader = rw.read_stripe(index);
        assert!(rw.try_read_stripe(index).is_some() && rw.try_write_stripe(index).is_none());
        drop(reader);
        drop(rw.upgradable_read_stripe(index));
    }
    assert!(locks.into_inner().into_iter().eq(0..8) && rw.into_inner().into_iter().eq(0..8));
    let locks = StripedReentrantMutex::<u64>::new(8);
    let _twice = (locks.lock_stripe(7), locks.lock_stripe(7));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(locks.lock_stripe(8)))).is_err(), "there are eight");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(locks.try_lock_stripe(usize::MAX)))).is_err());
}

#[test]
fn attempts_on_many_share_one_timeout() {
    watched(|| {
        let (locks, rw) = (StripedMutex::<u64>::new(8), Arc::new(StripedRwLock::<u64>::new(8)));
        let keys = keys(8, |key| locks.stripe_of(key));
        let held = locks.lock(&keys[5]);
        assert!(locks.try_lock_many_for(&keys, SHORT).is_none());
        assert!(elsewhere(|| locks.try_lock_many(&keys[..5]).is_some()), "it kept nothing");
        drop(held);
        assert!(locks.try_lock_many_for(&keys, LONG).is_some());
        assert!(locks.try_lock_many_for(&keys, std::time::Duration::MAX).is_some(), "beyond every clock");
        let held = rw.write(&7);
        assert!(rw.try_read_many_for(&[7], SHORT).is_none() && rw.try_write_many_for(&[7], SHORT).is_none());
        assert!(rw.batch().read(&7).try_lock_for(SHORT).is_none());
        assert!(rw.try_read_arc_for(&7, SHORT).is_none());
        drop(held);
        assert!(rw.batch_arc().read(&7).try_lock_for(LONG).is_some());
        assert!(rw.try_upgradable_read_arc_for(&7, LONG).is_some());
    });
}

#[test]
fn owned_guards_of_many_outlive_every_other_owner() {
    macro_rules! outlives {
        ($($set:ty: $lock:ident($($keys:expr)?);)*) => {
            $({
                let locks = Arc::new(<$set>::new(4));
                let weak = Arc::downgrade(&locks);
                let guard = Option::from(locks.$lock($($keys)?)).unwrap();
                drop(locks);
                assert!(weak.upgrade().is_some(), stringify!($lock));
                let _: &stripe_lock::blocking::MultiGuard<_, _> = &guard;
                assert_eq!(guard.get(&1).copied(), Some(0));
                drop(guard);
                assert!(weak.upgrade().is_none(), stringify!($lock));
            })*
        };
    }
    outlives! {
        StripedMutex<u64, u64>: lock_many_arc(&[1, 2]);
        StripedMutex<u64, u64>: try_lock_many_arc(&[1, 2]);
        StripedMutex<u64, u64>: lock_all_arc();
        StripedMutex<u64, u64>: try_lock_all_arc();
        StripedRwLock<u64, u64>: read_many_arc(&[1, 2]);
        StripedRwLock<u64, u64>: try_write_many_arc(&[1, 2]);
        StripedRwLock<u64, u64>: write_all_arc();
        StripedRwLock<u64, u64>: try_read_all_arc();
        StripedReentrantMutex<u64, u64>: lock_many_arc(&[1, 2]);
        StripedReentrantMutex<u64, u64>: lock_all_arc();
    }
}

/// A process aborts if it would otherwise continue with a guard without a stripe. The test runs these cases in child
/// processes.
#[cfg(any(debug_assertions, feature = "check"))]
#[test]
fn a_guard_left_behind_by_unlocked_ends_the_process() {
    const CHILD: &str = "STRIPE_LOCK_CHILD";
    if env::var_os(CHILD).is_some() {
        let locks = StripedMutex::<u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        let (mut guard, mut kept) = (locks.lock(&keys[2]), None);
        Guard::unlocked(&mut guard, || kept = Some(locks.lock(&keys[5])));
        println!("it went on");
        return;
    }
    let name = "guard_parts::a_guard_left_behind_by_unlocked_ends_the_process";
    let mut child = Command::new(env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && !said.contains("it went on"), "{said}");
    assert!(said.contains("would break the order") && said.contains("can't take its stripe again"), "{said}");
}

#[cfg(any(debug_assertions, feature = "check"))]
#[test]
fn waiting_again_is_on_record() {
    let locks = StripedMutex::<u64>::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let (mut low, high) = (locks.lock(&keys[2]), locks.lock(&keys[5]));
    let complaint = |body: &mut dyn FnMut()| message_of(&*catch_unwind(AssertUnwindSafe(body)).unwrap_err());
    assert!(complaint(&mut || Guard::unlocked(&mut low, || ())).contains("break the order"));
    assert!(complaint(&mut || Guard::bump(&mut low)).contains("break the order"));
    assert!(elsewhere(|| locks.try_lock(&keys[2]).is_none()), "still held");
    drop(high);
    Guard::unlocked(&mut low, || drop(locks.lock(&keys[2])));
    assert!(complaint(&mut || drop(locks.lock(&keys[2]))).contains("never end"), "back on record");
    let mut several = locks.extendable(low);
    assert!(complaint(&mut || drop(locks.lock(&keys[2]))).contains("never end"), "still on record");
    several.extend(&keys[6]).unwrap();
    several.release(&keys[6]);
    drop(locks.lock(&keys[6]));
    let part = MutexGuard::map(locks.lock(&keys[7]), |data| data);
    assert!(complaint(&mut || drop(locks.lock(&keys[7]))).contains("never end"), "mapped");
    drop(part);
    drop(locks.lock(&keys[7]));
}
