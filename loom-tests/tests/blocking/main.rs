//! The blocking locks: mutual exclusion, and no deadlock for any combination of keys.
#![cfg(loom)]

mod byte_mutex;
mod growing;
mod guards;
mod record;
mod word_rwlock;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;
use loom_tests::{LoomMutex, LoomRwLock, explore, explore_both};
use stripe_lock::{ExtendError, StripedMutex, StripedRwLock};

const STRIPES: usize = 4;

/// Sends key `n` to stripe `n`: the inverse of the multiplication that finalises a hash.
#[derive(Clone)]
struct ByStripe {
    stripes: usize,
    hash: u64,
}

impl ByStripe {
    fn of(stripes: usize) -> Self {
        Self { stripes, hash: 0 }
    }
}

impl BuildHasher for ByStripe {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        self.clone()
    }
}

impl Hasher for ByStripe {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64")
    }

    fn write_u64(&mut self, key: u64) {
        /// The inverse of `0x9e37_79b9_7f4a_7c15` modulo 2^64.
        const INVERSE: u64 = 0xf1de_83e1_9937_733d;
        self.hash = (key * (u64::MAX / self.stripes as u64 + 1)).wrapping_mul(INVERSE);
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

/// Data in which the checker finds unordered accesses.
#[derive(Default)]
struct Counter(UnsafeCell<u32>);

impl Counter {
    fn add(&self) {
        // SAFETY: the caller holds the stripe of this counter. The checker reports it if not.
        self.0.with_mut(|n| unsafe { *n += 1 });
    }

    fn get(&self) -> u32 {
        // SAFETY: the caller holds the stripe of this counter. The checker reports it if not.
        self.0.with(|n| unsafe { *n })
    }
}

// SAFETY: the locks order the accesses. The checker reports it if they don't.
unsafe impl Sync for Counter {}
// SAFETY: as for `Sync`.
unsafe impl Send for Counter {}

type Mutexes = Arc<StripedMutex<u64, Counter, LoomMutex, ByStripe>>;
type RwLocks = Arc<StripedRwLock<u64, Counter, LoomRwLock, ByStripe>>;

fn mutexes() -> Mutexes {
    let locks = Arc::new(StripedMutex::with_hasher(STRIPES, ByStripe::of(STRIPES)));
    drop(locks.lock_all());
    for key in 0..STRIPES as u64 {
        assert_eq!(locks.stripe_of(&key), key as usize, "the hasher does what its name says");
    }
    locks
}

fn rwlocks() -> RwLocks {
    let locks = Arc::new(StripedRwLock::with_hasher(STRIPES, ByStripe::of(STRIPES)));
    drop(locks.write_all());
    locks
}

fn spawn<L: Send + Sync + 'static>(locks: &Arc<L>, f: impl FnOnce(&L) + 'static) -> thread::JoinHandle<()> {
    let locks = locks.clone();
    thread::spawn(move || f(&locks))
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("no thread of a model panics");
    }
}

#[test]
fn one_key_excludes() {
    explore("one key, 3 threads", None, || {
        let locks = mutexes();
        let threads = [0; 2].map(|_| spawn(&locks, |locks| locks.lock(&1).add()));
        locks.lock(&1).add();
        join(threads);
        assert_eq!(locks.lock(&1).get(), 3);
    });
}

#[test]
fn crossing_pairs_end() {
    explore("two crossing lock_many", None, || {
        let locks = mutexes();
        let other = spawn(&locks, |locks| {
            let pair = locks.lock_many(&[2, 1]);
            pair.get(&1).into_iter().chain(pair.get(&2)).for_each(Counter::add);
        });
        let pair = locks.lock_many(&[1, 2]);
        pair.get(&1).into_iter().chain(pair.get(&2)).for_each(Counter::add);
        drop(pair);
        join([other]);
        assert_eq!(locks.lock_all().iter().map(|(_, n)| n.get()).sum::<u32>(), 4);
    });
}

#[test]
fn crossing_pairs_among_many_stripes_end() {
    const MANY: usize = 128;
    explore("two crossing lock_many of 128 stripes", None, || {
        let locks: Mutexes = Arc::new(StripedMutex::with_hasher(MANY, ByStripe::of(MANY)));
        [1, 2].iter().for_each(|key| drop(locks.lock(key)));
        let other = spawn(&locks, |locks| drop(locks.lock_many(&[2, 1])));
        drop(locks.lock_many(&[1, 2]));
        join([other]);
        assert!(locks.try_lock_many(&[1, 2]).is_some());
    });
}

#[test]
fn a_cycle_of_three_ends() {
    explore("three lock_many in a cycle", None, || {
        let locks = mutexes();
        let threads = [[1, 2], [2, 0]].map(|keys| {
            spawn(&locks, move |locks| {
                drop(locks.lock_many(&keys));
            })
        });
        drop(locks.lock_many(&[0, 1]));
        join(threads);
    });
}

#[test]
fn all_excludes_each() {
    explore("lock_all against two singles", Some(3), || {
        let locks = mutexes();
        let threads = [0, 3].map(|key| spawn(&locks, move |locks| locks.lock(&key).add()));
        let all = locks.lock_all();
        let before: Vec<u32> = all.iter().map(|(_, n)| n.get()).collect();
        all.iter().for_each(|(_, n)| n.add());
        assert!(all.iter().map(|(_, n)| n.get()).eq(before.iter().map(|n| n + 1)));
        drop(all);
        join(threads);
        assert_eq!(locks.lock_all().iter().map(|(_, n)| n.get()).sum::<u32>(), STRIPES as u32 + 2);
    });
}

#[test]
fn a_failed_try_gives_all_back() {
    explore_both("try_lock_many against lock_many", None, || {
        let locks = mutexes();
        let other = spawn(&locks, |locks| drop(locks.lock_many(&[1, 3])));
        let got = locks.try_lock_many(&[0, 1, 2, 3]).is_some();
        join([other]);
        assert!(
            locks.try_lock_all().is_some(),
            "nothing is left locked, whether or not the try succeeded: {got}"
        );
        got
    });
}

#[test]
fn extending_keeps_the_order() {
    explore("extend against lock_many", None, || {
        let locks = mutexes();
        let other = spawn(&locks, |locks| drop(locks.lock_many(&[0, 1, 2])));
        let mut guard = locks.lock_many(&[1]);
        assert_eq!(guard.extend(&2), Ok(()));
        match guard.extend(&0) {
            Ok(()) => assert!(guard.holds(&0)),
            Err(error) => assert_eq!(error, ExtendError::WouldInvert),
        }
        drop(guard);
        join([other]);
        assert!(locks.try_lock_all().is_some());
    });
}

#[test]
fn readers_meet_and_writers_exclude() {
    explore("two readers and a writer", Some(3), || {
        let locks = rwlocks();
        let threads = [0; 2].map(|_| {
            spawn(&locks, |locks| {
                let n = locks.read(&1);
                assert_eq!(n.get() % 2, 0, "a reader sees a writer's section whole");
            })
        });
        let guard = locks.write(&1);
        guard.add();
        guard.add();
        drop(guard);
        join(threads);
    });
}

#[test]
fn crossing_batches_end() {
    explore("two batches that read what the other writes", None, || {
        let locks = rwlocks();
        let other = spawn(&locks, |locks| {
            let batch = locks.batch().write(&1).read(&2).lock();
            let seen = batch.get(&2).map(Counter::get);
            assert!(seen.is_some());
            batch.get(&1).into_iter().for_each(Counter::add);
        });
        let batch = locks.batch().write(&2).read(&1).lock();
        let seen = batch.get(&1).map(Counter::get);
        assert!(seen.is_some());
        batch.get(&2).into_iter().for_each(Counter::add);
        drop(batch);
        join([other]);
        assert_eq!(locks.write_many(&[1, 2]).iter().map(|(_, n)| n.get()).sum::<u32>(), 2);
    });
}
