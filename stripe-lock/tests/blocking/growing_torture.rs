//! Exclusion while stripes are split and merged, for all methods that take stripes, and for guards that are unlocked at
//! that time. The stripes change at random moments; `growing_moments` makes them change between a look and a take.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use stripe_lock::blocking::{Guard, MutexGuard, RwLockUpgradableReadGuard};
use stripe_lock::{Extended, StripedMutex, StripedRwLock};

#[test]
fn an_unlocked_guard_comes_back_to_its_stripe() {
    let locks = StripedMutex::<u64, HashMap<u64, u64>>::growing(1..=4);
    let mut guard = locks.lock(&7);
    guard.insert(7, 1);
    MutexGuard::unlocked(&mut guard, || {
        assert!(!locks.resize(4), "a guard will come back");
        assert_eq!(locks.active_stripes().len(), 1);
    });
    assert_eq!(guard[&7], 1);
    drop(guard);
    // A guard of another test may pin the same counter.
    while !locks.resize(4) {
        thread::yield_now();
    }
    let mut guard = locks.lock(&7);
    MutexGuard::unlocked(&mut guard, || assert!(!locks.resize(1)));
    assert_eq!(guard[&7], 1);
}

const KEYS: usize = 40;

/// Sections by key. No two sections of one key may overlap.
struct Sections {
    entered: [AtomicBool; KEYS],
    overlap: AtomicBool,
}

impl Sections {
    fn run(&self, keys: &[u64]) {
        for &key in keys {
            if self.entered[key as usize].swap(true, Relaxed) {
                self.overlap.store(true, Relaxed);
            }
        }
        thread::yield_now();
        for &key in keys {
            self.entered[key as usize].store(false, Relaxed);
        }
    }

    /// A section that only reads.
    fn read(&self, key: u64) {
        if self.entered[key as usize].load(Relaxed) {
            self.overlap.store(true, Relaxed);
        }
    }
}

/// Runs steps beside threads that resize. Returns whether two sections of a key overlapped.
fn torture(step: impl Fn(&Sections, usize, [u64; 3]) + Sync, resize: impl Fn(usize) + Sync) -> bool {
    let sections =
        Sections { entered: [const { AtomicBool::new(false) }; KEYS], overlap: AtomicBool::new(false) };
    thread::scope(|scope| {
        for thread in 0..4_usize {
            let (sections, step) = (&sections, &step);
            scope.spawn(move || {
                let mut random = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(thread as u64 + 1);
                for round in 0..300 {
                    let mut keys: [u64; 3] = std::array::from_fn(|_| {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        random % KEYS as u64
                    });
                    while keys[1] == keys[0] || keys[2] == keys[0] || keys[2] == keys[1] {
                        keys[1] = (keys[1] + 1) % KEYS as u64;
                        keys[2] = (keys[2] + 3) % KEYS as u64;
                    }
                    step(sections, round, keys);
                }
            });
        }
        for shift in [0, 3] {
            let resize = &resize;
            scope.spawn(move || (0..60).for_each(|round| resize(1 << ((round + shift) % 7))));
        }
    });
    sections.overlap.into_inner()
}

#[test]
fn equal_keys_exclude_each_other_while_stripes_change() {
    let locks = Arc::new(StripedMutex::<u64, HashSet<u64>>::growing(1..=64));
    let overlap = torture(
        |sections, round, keys| {
            let [a, b, c] = keys;
            let long = Duration::from_secs(3_600);
            match round % 10 {
                0 | 1 => {
                    let mut guard = locks.lock(&a);
                    sections.run(&[a]);
                    guard.insert(a);
                }
                2 => {
                    if let Some(_guard) = locks.try_lock(&a) {
                        sections.run(&[a]);
                    }
                }
                3 => {
                    let _guard = locks.try_lock_for(&a, long).unwrap();
                    sections.run(&[a]);
                }
                4 => {
                    let _guard = locks.lock_arc(&a);
                    sections.run(&[a]);
                }
                5 => {
                    let mut guard = locks.lock_many(&keys);
                    assert!(keys.iter().all(|key| guard.holds(key)));
                    sections.run(&keys);
                    guard.get_mut(&b).unwrap().insert(b);
                    assert!(guard.release(&a) && !guard.holds(&a));
                    if guard.holds(&c) {
                        sections.run(&[c]);
                    }
                }
                6 => {
                    let mut guard = locks.lock_many(&[a]);
                    if guard.extend(&b).is_ok() {
                        sections.run(&[a, b]);
                    }
                }
                7 => {
                    let mut guard = locks.extendable(locks.lock(&a));
                    let _: Extended = guard.extend_or_restart(&[b, c]);
                    sections.run(&keys);
                }
                8 => {
                    let mut guard = locks.lock(&a);
                    MutexGuard::unlocked(&mut guard, thread::yield_now);
                    sections.run(&[a]);
                    MutexGuard::bump(&mut guard);
                    sections.run(&[a]);
                }
                _ if round % 50 == 9 => {
                    let guard = locks.lock_all();
                    let all: Vec<_> = (0..KEYS as u64).collect();
                    assert!(all.iter().all(|key| guard.holds(key)));
                    sections.run(&all);
                }
                _ => {
                    if let Some(_guard) = locks.try_lock_many(&keys) {
                        sections.run(&keys);
                    }
                }
            }
        },
        |stripes| {
            locks.resize(stripes);
        },
    );
    assert!(!overlap, "two sections of a key");
    let mut found: Vec<u64> = locks.lock_all().iter().flat_map(|(_, keys)| keys.clone()).collect();
    assert!(found.iter().all(|key| locks.lock(key).contains(key)), "data is where its key is");
    let count = found.len();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), count, "no key is in two stripes");
}

#[test]
fn writers_exclude_while_stripes_change() {
    let locks = StripedRwLock::<u64>::growing(1..=64);
    let overlap = torture(
        |sections, round, keys| {
            let [a, b, c] = keys;
            match round % 5 {
                0 => {
                    let _guard = locks.write(&a);
                    sections.run(&[a]);
                }
                1 => {
                    let _guard = locks.read(&a);
                    sections.read(a);
                }
                2 => {
                    let _guard = locks.batch().read(&a).write(&b).write(&c).lock();
                    sections.read(a);
                    sections.run(&[b, c]);
                }
                3 => {
                    let guard = RwLockUpgradableReadGuard::upgrade(locks.upgradable_read(&a));
                    sections.run(&[a]);
                    let _read = Guard::downgrade(guard);
                    sections.read(a);
                }
                _ => {
                    let _guard = locks.write_many(&keys);
                    sections.run(&keys);
                }
            }
        },
        |stripes| {
            locks.resize(stripes);
        },
    );
    assert!(!overlap, "two sections of a key");
}

/// The negative control: a set whose resize waits for no holder.
#[test]
fn the_torture_finds_two_sections_of_a_key() {
    let stripes: [parking_lot::Mutex<()>; 64] = [const { parking_lot::Mutex::new(()) }; 64];
    let active = AtomicUsize::new(1);
    let overlap = || {
        torture(
            |sections, _, [key, ..]| {
                let _guard = stripes[key as usize % active.load(Relaxed)].lock();
                sections.run(&[key]);
            },
            |stripes| {
                active.store(stripes, Relaxed);
                thread::yield_now();
            },
        )
    };
    while !overlap() {}
}
