//! Random operations of all kinds from many threads at once, under a watchdog.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::spin_mutex::SpinMutex;
use crate::common::spin_rwlock::SpinRwLock;
use crate::common::{Numbers, watched};
use stripe_lock::blocking::Guard;
use stripe_lock::lock_api::{
    RawMutexFair, RawMutexTimed, RawRwLockDowngrade, RawRwLockFair, RawRwLockTimed, RawRwLockUpgrade,
};
use stripe_lock::{DefaultHasher, StripedMutex, StripedRwLock};

const THREADS: u64 = 8;
const OPERATIONS: usize = 2_000;
/// Few stripes, so that threads collide, and enough for every representation of a stripe set.
const STRIPES: [usize; 3] = [4, 64, 256];

/// The data of a stripe. It shows whether two holders that should exclude each other are inside at the same time.
#[derive(Default)]
struct Slot {
    begun: u64,
    ended: u64,
}

impl Slot {
    fn write(&mut self) {
        assert_eq!(self.begun, self.ended, "another holder is writing");
        self.begun += 1;
        std::hint::black_box(&mut *self);
        if self.begun.is_multiple_of(16) {
            thread::yield_now();
        }
        self.ended += 1;
    }

    fn read(&self) {
        assert_eq!(self.begun, self.ended, "a writer is inside");
    }
}

type Locks<R> = StripedRwLock<u64, Slot, R, DefaultHasher>;

fn some_keys(numbers: &mut Numbers) -> Vec<u64> {
    let count = [0, 1, 2, 3, 5, 17, 40][numbers.below(7) as usize];
    (0..count).map(|_| numbers.below(1_000)).collect()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(1)
}

/// Runs one random operation. Returns how often it wrote.
fn mutex_operation<R>(locks: &StripedMutex<u64, Slot, R, DefaultHasher>, numbers: &mut Numbers) -> u64
where
    R: RawMutexTimed<Instant = Instant> + RawMutexFair,
{
    let (key, keys) = (numbers.below(1_000), some_keys(numbers));
    let one = match numbers.below(10) {
        0 => Some(locks.lock(&key)),
        1 => locks.try_lock(&key),
        2 => locks.try_lock_until(&key, soon()),
        3 => {
            let mut guard = locks.lock(&key);
            guard.write();
            Guard::unlock_fair(guard);
            return 1;
        }
        _ => None,
    };
    if let Some(mut guard) = one {
        guard.write();
        return 1;
    }
    let many = match numbers.below(6) {
        0 => locks.try_lock_many(&keys),
        1 => locks.try_lock_many_until(&keys, soon()),
        2 if numbers.below(4) == 0 => Some(locks.lock_all()),
        _ => Some(locks.lock_many(&keys)),
    };
    let Some(mut guard) = many else { return 0 };
    for _ in 0..numbers.below(3) {
        let key = numbers.below(1_000);
        let held = if numbers.below(2) == 0 { guard.extend(&key) } else { guard.try_extend(&key) };
        assert_eq!(held.is_ok(), guard.holds(&key));
    }
    let wrote = guard.iter_mut().map(|(_, slot)| slot.write()).count() as u64;
    if numbers.below(4) == 0 {
        guard.unlock_fair();
    }
    wrote
}

/// Runs one random operation. Returns how often it wrote. `convert` writes once with a guard that changes its mode.
fn rwlock_operation<R>(locks: &Locks<R>, numbers: &mut Numbers, convert: fn(&Locks<R>, u64)) -> u64
where
    R: RawRwLockTimed<Instant = Instant> + RawRwLockFair,
{
    let (key, keys) = (numbers.below(1_000), some_keys(numbers));
    match numbers.below(8) {
        0 => locks.read(&key).read(),
        1 => drop(locks.try_read_until(&key, soon()).map(|slot| slot.read())),
        2 => locks.read_many(&keys).iter().for_each(|(_, slot)| slot.read()),
        3 => locks.read_all().iter().for_each(|(_, slot)| slot.read()),
        4 => {
            convert(locks, key);
            return 1;
        }
        5 => return locks.write_many(&keys).iter_mut().map(|(_, slot)| slot.write()).count() as u64,
        6 => {
            let batch = keys.iter().fold(locks.batch(), |batch, key| {
                if key % 4 == 0 { batch.write(key) } else { batch.read(key) }
            });
            let held = match numbers.below(3) {
                0 => batch.try_lock(),
                1 => batch.try_lock_until(soon()),
                _ => Some(batch.lock()),
            };
            let Some(mut guard) = held else { return 0 };
            guard.iter().for_each(|(_, slot)| slot.read());
            return guard.iter_mut().map(|(_, slot)| slot.write()).count() as u64;
        }
        _ => return locks.try_write(&key).map_or(0, |mut slot| (slot.write(), 1).1),
    }
    0
}

/// Runs `operation` from many threads, and checks that nothing was lost and nothing is left held.
fn stress<L: Sync>(locks: &L, operation: impl Fn(&L, &mut Numbers) -> u64 + Sync) -> u64 {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                let operation = &operation;
                scope.spawn(move || {
                    let mut numbers = Numbers(seed);
                    (0..OPERATIONS).map(|_| operation(locks, &mut numbers)).sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn written(slots: Vec<Slot>) -> u64 {
    slots.into_iter().map(|slot| slot.ended).sum()
}

fn stress_mutex<R: RawMutexTimed<Instant = Instant> + RawMutexFair + Sync>() {
    for stripes in STRIPES {
        let locks = StripedMutex::<u64, Slot, R, _>::with_hasher(stripes, DefaultHasher::default());
        let wrote = stress(&locks, mutex_operation);
        assert!(locks.try_lock_all().is_some(), "something is still held");
        assert_eq!(written(locks.into_inner()), wrote);
    }
}

fn stress_rwlock<R>(convert: fn(&Locks<R>, u64))
where
    R: RawRwLockTimed<Instant = Instant> + RawRwLockFair + Sync,
{
    for stripes in STRIPES {
        let locks = Locks::<R>::with_hasher(stripes, DefaultHasher::default());
        let wrote = stress(&locks, |locks, numbers| rwlock_operation(locks, numbers, convert));
        assert!(locks.try_write_all().is_some(), "something is still held");
        assert_eq!(written(locks.into_inner()), wrote);
    }
}

fn upgrade<R: RawRwLockUpgrade>(locks: &Locks<R>, key: u64) {
    let guard = locks.upgradable_read(&key);
    guard.read();
    Guard::upgrade(guard).write();
}

fn downgrade<R: RawRwLockDowngrade>(locks: &Locks<R>, key: u64) {
    let mut guard = locks.write(&key);
    guard.write();
    Guard::downgrade(guard).read();
}

#[test]
fn mutex_over_bytes() {
    watched(stress_mutex::<stripe_lock::raw::ByteMutex>);
}

#[test]
fn mutex_over_parking_lot() {
    watched(stress_mutex::<parking_lot::RawMutex>);
}

#[test]
fn mutex_over_fair_parking_lot() {
    watched(stress_mutex::<parking_lot::RawFairMutex>);
}

#[test]
fn mutex_over_spin() {
    watched(stress_mutex::<SpinMutex>);
}

#[test]
fn rwlock_over_words() {
    watched(|| stress_rwlock::<stripe_lock::raw::WordRwLock>(downgrade));
}

#[test]
fn rwlock_over_parking_lot() {
    watched(|| stress_rwlock::<parking_lot::RawRwLock>(upgrade));
}

#[test]
fn rwlock_over_spin() {
    watched(|| stress_rwlock::<SpinRwLock>(upgrade));
}
