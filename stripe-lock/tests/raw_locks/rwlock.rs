//! The guarantees of a striped read-write lock, over several raw locks: which holders exclude each other, upgrades,
//! timeouts, panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::spin_rwlock::SpinRwLock;
use crate::common::{LONG, SHORT, elsewhere, keys, watched};
use stripe_lock::blocking::Guard;
use stripe_lock::raw::{
    RawRwLockDowngrade, RawRwLockFair, RawRwLockTimed, RawRwLockUpgradeDowngrade, RawRwLockUpgradeTimed,
};
use stripe_lock::{DefaultHasher, StripedRwLock};

/// The requirements of the suite on a raw read-write lock.
trait Raw:
    RawRwLockTimed<Duration = Duration, Instant = Instant>
    + RawRwLockFair
    + RawRwLockDowngrade
    + RawRwLockUpgradeTimed
    + RawRwLockUpgradeDowngrade
    + Send
    + Sync
    + 'static
{
}

impl Raw for ::parking_lot::RawRwLock {}
#[cfg(feature = "lock_api_04")]
impl Raw for stripe_lock::raw::LockApi04<::parking_lot_012::RawRwLock> {}
impl Raw for SpinRwLock {}

type Locks<R, T = u64> = StripedRwLock<u64, T, R, DefaultHasher>;

fn locks<R: Raw, T: Default>(stripes: usize) -> Locks<R, T> {
    Locks::with_hasher(stripes, DefaultHasher::default())
}

/// Whether another thread could read, read upgradably and write `key`.
fn open_to_others<R: Raw>(locks: &Locks<R>, key: u64) -> [bool; 3] {
    elsewhere(|| {
        // One statement for each, so that each guard is dropped before the next attempt.
        let read = locks.try_read(&key).is_some();
        let upgradable = locks.try_upgradable_read(&key).is_some();
        let write = locks.try_write(&key).is_some();
        [read, upgradable, write]
    })
}

fn each_mode_admits_the_right_modes<R: Raw>() {
    let locks = Arc::new(locks::<R, u64>(4));
    let all = keys(4, |key| locks.stripe_of(key));
    let key = all[1];
    let (shared, upgradable, exclusive, free) =
        ([true, true, false], [true, false, false], [false; 3], [true; 3]);

    macro_rules! while_held {
        ($guard:expr, $expected:expr) => {{
            let guard = $guard;
            assert_eq!(open_to_others(&locks, key), $expected, stringify!($guard));
            assert_eq!(open_to_others(&locks, all[0]), free, "another stripe");
            assert!(locks.is_locked(&key));
            drop(guard);
            assert_eq!(open_to_others(&locks, key), free, "after {}", stringify!($guard));
        }};
    }

    let in_time = || Instant::now() + LONG;
    while_held!(locks.read(&key), shared);
    while_held!(locks.read_arc(&key), shared);
    while_held!(locks.try_read(&key).unwrap(), shared);
    while_held!(locks.try_read_arc(&key).unwrap(), shared);
    while_held!(locks.try_read_for(&key, LONG).unwrap(), shared);
    while_held!(locks.try_read_until(&key, in_time()).unwrap(), shared);
    while_held!(locks.try_read_arc_until(&key, in_time()).unwrap(), shared);
    while_held!(locks.read_many([&key]), shared);
    while_held!(locks.try_read_many_until([&key], in_time()).unwrap(), shared);
    while_held!(locks.batch().read(&key).lock(), shared);

    while_held!(locks.upgradable_read(&key), upgradable);
    while_held!(locks.upgradable_read_arc(&key), upgradable);
    while_held!(locks.try_upgradable_read(&key).unwrap(), upgradable);
    while_held!(locks.try_upgradable_read_arc(&key).unwrap(), upgradable);
    while_held!(locks.try_upgradable_read_for(&key, LONG).unwrap(), upgradable);
    while_held!(locks.try_upgradable_read_until(&key, in_time()).unwrap(), upgradable);
    while_held!(locks.try_upgradable_read_arc_until(&key, in_time()).unwrap(), upgradable);

    while_held!(locks.write(&key), exclusive);
    while_held!(locks.write_arc(&key), exclusive);
    while_held!(locks.try_write(&key).unwrap(), exclusive);
    while_held!(locks.try_write_arc(&key).unwrap(), exclusive);
    while_held!(locks.try_write_for(&key, LONG).unwrap(), exclusive);
    while_held!(locks.try_write_until(&key, in_time()).unwrap(), exclusive);
    while_held!(locks.try_write_arc_until(&key, in_time()).unwrap(), exclusive);
    while_held!(locks.write_many([&key]), exclusive);
    while_held!(locks.try_write_many_until([&key], in_time()).unwrap(), exclusive);
    while_held!(locks.batch().write(&key).lock(), exclusive);

    while_held!(Guard::upgrade(locks.upgradable_read(&key)), exclusive);
    while_held!(Guard::try_upgrade(locks.upgradable_read(&key)).ok().unwrap(), exclusive);
    while_held!(Guard::downgrade_upgradable(locks.upgradable_read(&key)), shared);
    while_held!(Guard::downgrade(locks.write(&key)), shared);
}

fn readers_are_inside_together_and_writers_alone<R: Raw>() {
    watched(|| {
        let (locks, all_inside) = (locks::<R, ()>(4), Barrier::new(4));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let single = locks.read(&7);
                    all_inside.wait();
                    drop(single);
                    let many = locks.read_many(&[7, 8, 9]);
                    all_inside.wait();
                    drop(many);
                    let every = locks.read_all();
                    all_inside.wait();
                    drop(every);
                });
            }
        });
        let (first, second) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for writer in [true, true, false, false] {
                let (locks, first, second) = (&locks, &first, &second);
                scope.spawn(move || {
                    for _ in 0..1_000 {
                        if writer {
                            let _guard = locks.write(&7);
                            first.store(first.load(Relaxed) + 1, Relaxed);
                            thread::yield_now();
                            second.store(second.load(Relaxed) + 1, Relaxed);
                        } else {
                            let _guard = locks.read(&7);
                            assert_eq!(first.load(Relaxed), second.load(Relaxed), "a writer was inside");
                        }
                    }
                });
            }
        });
        assert_eq!((first.into_inner(), second.into_inner()), (2_000, 2_000));
    });
}

fn an_upgrade_lets_no_writer_in_between<R: Raw>() {
    watched(|| {
        let locks = locks::<R, u64>(1);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let guard = locks.upgradable_read(&7);
                        let before = *guard;
                        thread::yield_now();
                        let mut guard = Guard::upgrade(guard);
                        assert_eq!(*guard, before, "another thread wrote during the upgrade");
                        *guard += 1;
                        let guard = Guard::downgrade(guard);
                        assert_eq!(*guard, before + 1, "another thread wrote during the downgrade");
                    }
                });
                scope.spawn(|| (0..500).for_each(|_| *locks.write(&7) += 1));
            }
        });
        assert_eq!(locks.into_inner(), [3_000]);
    });
}

fn a_refused_upgrade_keeps_the_guard<R: Raw>() {
    let locks = locks::<R, u64>(1);
    let guard = locks.upgradable_read(&7);
    let guard = thread::scope(|scope| {
        let (tell, told) = channel::<()>();
        let (reading, begun) = channel();
        let locks = &locks;
        scope.spawn(move || {
            let _reader = locks.read(&7);
            reading.send(()).unwrap();
            told.recv().unwrap_err();
        });
        begun.recv().unwrap();
        let guard = Guard::try_upgrade(guard).expect_err("there is a reader");
        drop(tell);
        guard
    });
    assert_eq!(open_to_others(&locks, 7), [true, false, false]);
    assert!(Guard::try_upgrade(guard).is_ok());
    assert_eq!(open_to_others(&locks, 7), [true; 3]);
}

fn timed_attempts_give_up_on_a_held_stripe<R: Raw>() {
    let locks = Arc::new(locks::<R, u64>(4));
    let keys = keys(4, |key| locks.stripe_of(key));
    let (key, soon) = (keys[2], || Instant::now() + SHORT);
    let reader = locks.read(&key);
    elsewhere(|| {
        let began = Instant::now();
        assert!(locks.try_write_for(&key, SHORT).is_none());
        assert!(locks.try_write_until(&key, soon()).is_none());
        assert!(locks.try_write_arc_until(&key, soon()).is_none());
        assert!(locks.try_write_many_until(&keys, soon()).is_none());
        assert!(locks.batch().read(&keys[0]).write(&key).try_lock_until(soon()).is_none());
        assert!(began.elapsed() >= 5 * SHORT, "gave up before its time");
        assert!(locks.try_read_all().is_some(), "readers still coexist");
        assert!(locks.try_write_many(&keys[..2]).is_some(), "what was taken has been given back");
    });
    drop(reader);
    let writer = locks.write(&key);
    elsewhere(|| {
        let began = Instant::now();
        assert!(locks.try_read_for(&key, SHORT).is_none());
        assert!(locks.try_read_until(&key, soon()).is_none());
        assert!(locks.try_read_arc_until(&key, soon()).is_none());
        assert!(locks.try_read_many_until(&keys, soon()).is_none());
        assert!(locks.try_upgradable_read_for(&key, SHORT).is_none());
        assert!(locks.try_upgradable_read_until(&key, soon()).is_none());
        assert!(locks.try_upgradable_read_arc_until(&key, soon()).is_none());
        assert!(began.elapsed() >= 7 * SHORT, "gave up before its time");
        assert!(locks.try_write_many(&keys[..2]).is_some(), "what was taken has been given back");
    });
    drop(writer);
    assert!(locks.try_write_all().is_some());
}

fn a_failed_attempt_on_many_takes_nothing<R: Raw>() {
    let locks = locks::<R, u64>(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    for held in 0..8 {
        let reader = locks.read(&keys[held]);
        elsewhere(|| {
            assert!(locks.try_write_many(&keys).is_none() && locks.try_write_all().is_none());
            assert!(locks.try_read_many(&keys).is_some() && locks.try_read_all().is_some());
            for (stripe, key) in keys.iter().enumerate() {
                assert_eq!(
                    locks.try_write(key).is_some(),
                    stripe != held,
                    "stripe {stripe}, with {held} read"
                );
            }
        });
        drop(reader);
        let writer = locks.write(&keys[held]);
        elsewhere(|| {
            assert!(locks.try_read_many(&keys).is_none() && locks.try_read_all().is_none());
            for (stripe, key) in keys.iter().enumerate() {
                assert_eq!(
                    locks.try_write(key).is_some(),
                    stripe != held,
                    "stripe {stripe}, with {held} written"
                );
            }
        });
        drop(writer);
    }
    assert!(locks.try_write_all().is_some());
}

fn a_panic_in_a_section_releases<R: Raw>() {
    let locks = Arc::new(locks::<R, u64>(8));
    let keys = keys(8, |key| locks.stripe_of(key));
    macro_rules! panics_with {
        ($($guard:expr),*) => {
            [$(&|| {
                let _guard = $guard;
                panic!("planted")
            }),*]
        };
    }
    let held: [&dyn Fn(); 8] = panics_with!(
        locks.read(&keys[1]),
        locks.write(&keys[1]),
        locks.upgradable_read_arc(&keys[1]),
        Guard::upgrade(locks.upgradable_read(&keys[1])),
        locks.read_many(&keys[2..5]),
        locks.write_many(&keys[2..5]),
        locks.write_all(),
        locks.batch().write(&keys[3]).read(&keys[1]).lock()
    );
    let with: [&dyn Fn(); 2] = [&|| locks.with(&keys[1], |n| assert_eq!(*n, 1, "planted")), &|| {
        locks.with_read(&keys[1], |n| assert_eq!(*n, 1, "planted"));
    }];
    for section in held.into_iter().chain(with) {
        assert!(catch_unwind(AssertUnwindSafe(section)).is_err());
        assert!(elsewhere(|| locks.try_write_all().is_some()), "something is still held");
        drop(locks.write_all());
    }
}

fn fair_release_releases<R: Raw>() {
    let locks = locks::<R, u64>(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    Guard::unlock_fair(locks.read(&keys[1]));
    Guard::unlock_fair(locks.write(&keys[1]));
    locks.read_many(&keys[2..6]).unlock_fair();
    locks.write_many(&keys[2..6]).unlock_fair();
    locks.batch().write(&keys[3]).read(&keys[1]).write(&keys[2]).read(&keys[5]).lock().unlock_fair();
    assert!(elsewhere(|| locks.try_write_all().is_some()));
    drop(locks.write_all());
}

suite! {
    parking_lot: ::parking_lot::RawRwLock, spin: super::SpinRwLock,
    #[cfg(feature = "lock_api_04")] lock_api_04: ::stripe_lock::raw::LockApi04<::parking_lot_012::RawRwLock>;
    each_mode_admits_the_right_modes
    readers_are_inside_together_and_writers_alone
    an_upgrade_lets_no_writer_in_between
    a_refused_upgrade_keeps_the_guard
    timed_attempts_give_up_on_a_held_stripe
    a_failed_attempt_on_many_takes_nothing
    a_panic_in_a_section_releases
    fair_release_releases
}
