//! Operations of guards: changing the mode, releasing temporarily or in part, extending.

use std::sync::Arc;

use loom_tests::{Looks, explore, explore_both};
use stripe_lock::Extended;
use stripe_lock::blocking::{ArcMutexGuard, ArcRwLockUpgradableReadGuard, Guard};

use super::{Counter, join, mutexes, rwlocks, spawn};

#[test]
fn an_upgrade_keeps_writers_out() {
    explore("an upgrade beside a reader and a writer", Some(3), || {
        let locks = rwlocks();
        let threads =
            [spawn(&locks, |locks| locks.write(&1).add()), spawn(&locks, |locks| _ = locks.read(&1).get())];
        let guard = locks.upgradable_read(&1);
        let before = guard.get();
        let guard = Guard::upgrade(guard);
        assert_eq!(guard.get(), before, "no other thread has written in between");
        guard.add();
        drop(guard);
        join(threads);
        assert_eq!(locks.read(&1).get(), 2);
    });
}

#[test]
fn a_downgrade_keeps_writers_out() {
    explore("a downgrade beside a reader and a writer", Some(3), || {
        let locks = rwlocks();
        let threads =
            [spawn(&locks, |locks| locks.write(&1).add()), spawn(&locks, |locks| _ = locks.read(&1).get())];
        let guard = locks.write(&1);
        guard.add();
        let written = guard.get();
        let guard = Guard::downgrade(guard);
        assert_eq!(guard.get(), written, "no other thread has written in between");
        drop(guard);
        join(threads);
        assert_eq!(locks.read(&1).get(), 2);
    });
}

#[test]
fn one_upgrades_and_the_other_gives_up() {
    explore_both("try_upgrade beside a reader", None, || {
        let locks = rwlocks();
        let other = spawn(&locks, |locks| _ = locks.read(&1).get());
        let guard = ArcRwLockUpgradableReadGuard::try_upgrade(locks.upgradable_read_arc(&1));
        let upgraded = match guard {
            Ok(writer) => (writer.add(), true).1,
            Err(reader) => (assert_eq!(reader.get(), 0, "a reader still"), false).1,
        };
        join([other]);
        assert!(locks.try_write_all().is_some());
        upgraded
    });
}

#[test]
fn fair_releases_release() {
    explore("unlock_fair, of one and of many", Some(3), || {
        let locks = mutexes();
        let threads = [1, 2].map(|key| spawn(&locks, move |locks| locks.lock(&key).add()));
        let guard = locks.lock(&1);
        guard.add();
        Guard::unlock_fair(guard);
        let guard = locks.lock_many(&[1, 2]);
        guard.iter().for_each(|(_, n)| n.add());
        guard.unlock_fair();
        join(threads);
        assert_eq!(locks.lock_many(&[1, 2]).iter().map(|(_, n)| n.get()).sum::<u32>(), 5);
    });
}

#[test]
fn a_handed_over_stripe_goes_to_the_waiter() {
    explore_both("bump and unlocked beside a waiter", Some(3), || {
        let locks = mutexes();
        let other = spawn(&locks, |locks| locks.lock(&1).add());
        let mut guard = locks.lock(&1);
        let before = guard.get();
        guard.add();
        Guard::bump(&mut guard);
        let between = Guard::unlocked(&mut guard, || locks.try_lock(&1).map(|guard| guard.get()));
        assert!(between.is_none_or(|between| between > before));
        guard.add();
        drop(guard);
        join([other]);
        assert_eq!(locks.lock(&1).get(), 3);
        between.is_some()
    });
}

#[test]
fn a_timeout_gives_all_back() {
    explore_both("try_lock_many_until against lock_many", Some(3), || {
        let locks = mutexes();
        let threads = [[1, 3], [3, 2]].map(|keys| spawn(&locks, move |locks| drop(locks.lock_many(&keys))));
        let held = locks.try_lock_many_until(&[0, 1, 2, 3], Looks(2));
        let in_time = held.map(|guard| guard.iter().for_each(|(_, n)| n.add())).is_some();
        join(threads);
        assert!(locks.try_lock_all().is_some(), "nothing is left locked, whether or not time ran out");
        in_time
    });
}

#[test]
fn a_timed_reader_and_a_timed_writer() {
    explore("try_read_until, try_write_for and a batch until", Some(3), || {
        let locks = rwlocks();
        let threads = [
            spawn(&locks, |locks| _ = locks.try_read_until(&1, Looks(2)).map(|guard| guard.get())),
            spawn(&locks, |locks| _ = locks.try_write_for(&1, Looks(2)).map(|guard| guard.add())),
        ];
        if let Some(batch) = locks.batch().read(&2).write(&1).try_lock_until(Looks(2)) {
            batch.get(&1).into_iter().for_each(Counter::add);
        }
        join(threads);
        assert!(locks.try_write_all().is_some(), "nothing is left locked");
    });
}

#[test]
fn owned_guards_keep_the_set() {
    explore("two crossing lock_many_arc that outlive the set's owner", None, || {
        let locks = mutexes();
        let weak = Arc::downgrade(&locks);
        let other = locks.clone();
        let other = loom::thread::spawn(move || {
            let pair = other.lock_many_arc(&[2, 1]);
            drop(other);
            pair.iter().for_each(|(_, n)| n.add());
        });
        let pair = locks.lock_many_arc(&[1, 2]);
        drop(locks);
        pair.iter().for_each(|(_, n)| n.add());
        let locks = weak.upgrade().expect("the guard keeps it");
        drop(pair);
        join([other]);
        let mut guard = ArcMutexGuard::extendable(locks.lock_arc(&1));
        assert_eq!(guard.extend(&2), Ok(()));
        assert_eq!(guard.iter().map(|(_, n)| n.get()).sum::<u32>(), 4);
    });
}

#[test]
fn a_released_part_is_free() {
    explore("release of a part against singles", Some(3), || {
        let locks = mutexes();
        let threads = [1, 2].map(|key| spawn(&locks, move |locks| locks.lock(&key).add()));
        let mut guard = locks.lock_many(&[1, 2]);
        guard.iter().for_each(|(_, n)| n.add());
        assert!(guard.release(&2));
        // This waits for no thread that waits for this guard.
        drop(locks.lock(&2));
        guard.get(&1).expect("held still").add();
        drop(guard);
        join(threads);
        assert_eq!(locks.lock_all().iter().map(|(_, n)| n.get()).sum::<u32>(), 5);
    });
}

#[test]
fn a_restart_says_so() {
    explore("extend_or_restart against lock_many", None, || {
        let locks = mutexes();
        let other = spawn(&locks, |locks| locks.lock_many(&[0, 2]).iter().for_each(|(_, n)| n.add()));
        let mut guard = locks.lock_many(&[2]);
        let before = guard.get(&2).expect("held").get();
        match guard.extend_or_restart(&[0, 3]) {
            Extended::Kept => {
                assert_eq!(guard.get(&2).expect("held").get(), before, "what was read still holds")
            }
            Extended::Restarted => (),
        }
        assert!(guard.stripes().iter().eq([0, 2, 3]));
        guard.iter().for_each(|(_, n)| n.add());
        drop(guard);
        join([other]);
        assert_eq!(locks.lock_all().iter().map(|(_, n)| n.get()).sum::<u32>(), 5);
    });
}

#[test]
fn crossing_restarts_end() {
    explore("two guards that extend towards each other", None, || {
        let locks = mutexes();
        let other = spawn(&locks, |locks| {
            let mut guard = locks.lock_many(&[2]);
            _ = guard.extend_or_restart(&[1]);
            guard.iter().for_each(|(_, n)| n.add());
        });
        let mut guard = locks.extendable(locks.lock(&1));
        _ = guard.extend_or_restart(&[2]);
        guard.iter().for_each(|(_, n)| n.add());
        drop(guard);
        join([other]);
        assert_eq!(locks.lock_all().iter().map(|(_, n)| n.get()).sum::<u32>(), 4);
    });
}
