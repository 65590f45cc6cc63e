//! Random schedules of futures and guards of exact locks on one thread, so a seed reproduces a run. A run that fails prints
//! its seed. `STRIPE_LOCK_SEED` sets the first seed, and `STRIPE_LOCK_SCHEDULES` the number of runs.

use std::collections::BTreeSet;
use std::env::var;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::thread;

use crate::task::Task;
use stripe_lock::asynchronous::keyed::{
    KeyedGuard, OwnedAsyncKeyedMutexAllGuard, OwnedAsyncKeyedMutexGuard, OwnedAsyncKeyedMutexMultiGuard,
};
use stripe_lock::{AsyncKeyedMutex, DefaultHasher, KeyedMutex};

const KEYS: u64 = 6;
const STEPS: usize = 400;

/// Xorshift64*, by Marsaglia and Vigna.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    fn keys(&mut self) -> BTreeSet<u64> {
        (0..=self.below(3)).map(|_| self.below(KEYS)).collect()
    }
}

enum Guard {
    One(OwnedAsyncKeyedMutexGuard<u64>),
    Many(OwnedAsyncKeyedMutexMultiGuard<u64>),
    All(OwnedAsyncKeyedMutexAllGuard<u64>),
}

type Waiting = Task<Pin<Box<dyn Future<Output = Guard>>>>;

/// One run.
struct Run {
    locks: Arc<AsyncKeyedMutex<u64>>,
    random: Random,
    /// The futures, the keys for which they wait, and how often each had been woken at its last poll.
    waiting: Vec<(Waiting, BTreeSet<u64>, usize)>,
    guards: Vec<(Guard, BTreeSet<u64>)>,
    /// The keys that the guards hold.
    held: BTreeSet<u64>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let buckets = 1 << (seed % 3);
        Self {
            locks: Arc::new(AsyncKeyedMutex::with_hasher(buckets, DefaultHasher::default())),
            random: Random(seed + 1),
            waiting: Vec::new(),
            guards: Vec::new(),
            held: BTreeSet::new(),
        }
    }

    fn got(&mut self, guard: Guard, keys: BTreeSet<u64>) {
        for &key in &keys {
            assert!(self.held.insert(key), "key {key} has two holders");
            assert!(self.locks.is_locked(&key), "key {key} is held");
        }
        self.guards.push((guard, keys));
    }

    fn poll(&mut self, index: usize) {
        let (task, _, seen) = &mut self.waiting[index];
        *seen = task.woken();
        if let Poll::Ready(guard) = task.poll() {
            let (_, keys, _) = self.waiting.swap_remove(index);
            self.got(guard, keys);
        }
    }

    fn release(&mut self, index: usize) {
        let (guard, keys) = self.guards.swap_remove(index);
        for key in &keys {
            self.held.remove(key);
        }
        match (guard, self.random.below(3)) {
            (Guard::One(guard), 0) => KeyedGuard::unlock_fair(guard),
            (Guard::Many(guard), 0) => KeyedGuard::unlock_fair(guard),
            (Guard::All(guard), 0) => KeyedGuard::unlock_fair(guard),
            (guard, _) => drop(guard),
        }
    }

    fn step(&mut self) {
        match self.random.below(8) {
            0 | 1 => {
                let (locks, every) = (self.locks.clone(), self.random.below(6) == 0);
                let keys = if every { (0..KEYS).collect() } else { self.random.keys() };
                let future: Pin<Box<dyn Future<Output = Guard>>> = match keys.first() {
                    _ if every => {
                        let future = locks.lock_all_owned();
                        Box::pin(async move { Guard::All(future.await) })
                    }
                    Some(&key) if keys.len() == 1 => {
                        let future = locks.lock_owned(&key);
                        Box::pin(async move { Guard::One(future.await) })
                    }
                    _ => {
                        let future = locks.lock_many_owned(&keys);
                        Box::pin(async move { Guard::Many(future.await) })
                    }
                };
                self.waiting.push((Task::new(future), keys, 0));
                self.poll(self.waiting.len() - 1);
            }
            2 if self.random.below(4) == 0 => {
                if let Some(guard) = self.locks.try_lock_all_owned() {
                    self.got(Guard::All(guard), (0..KEYS).collect());
                } else {
                    assert!(!self.waiting.is_empty() || !self.held.is_empty(), "all were free");
                }
            }
            2 => {
                let keys = self.random.keys();
                let guard = self.locks.try_lock_many_owned(&keys);
                if let Some(guard) = guard {
                    self.got(Guard::Many(guard), keys);
                } else {
                    assert!(!self.waiting.is_empty() || !keys.is_disjoint(&self.held), "all were free");
                }
            }
            3 | 4 if !self.guards.is_empty() => {
                let index = self.random.index(self.guards.len());
                self.release(index);
            }
            5 if !self.waiting.is_empty() => {
                let index = self.random.index(self.waiting.len());
                drop(self.waiting.swap_remove(index));
            }
            _ if !self.waiting.is_empty() => {
                let index = self.random.index(self.waiting.len());
                self.poll(index);
            }
            _ => {}
        }
    }

    /// Every waiter is served, without a poll that no waker requested.
    fn end(mut self) {
        while !self.waiting.is_empty() || !self.guards.is_empty() {
            if !self.guards.is_empty() {
                let index = self.random.index(self.guards.len());
                self.release(index);
                continue;
            }
            let woken = self.waiting.iter().position(|(task, _, seen)| task.woken() > *seen);
            self.poll(woken.expect("no key is held, and no waiter was woken"));
        }
        let keys: Vec<u64> = (0..KEYS).collect();
        assert!(self.locks.try_lock_many(&keys).is_some(), "nothing is left held");
    }
}

fn number(name: &str) -> Option<u64> {
    var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn schedules() {
    let first = number("STRIPE_LOCK_SEED").unwrap_or(0);
    for seed in first..first + number("STRIPE_LOCK_SCHEDULES").unwrap_or(3000) {
        let run = AssertUnwindSafe(|| {
            let mut run = Run::new(seed);
            (0..STEPS).for_each(|_| run.step());
            run.end();
        });
        if let Err(panic) = catch_unwind(run) {
            eprintln!("STRIPE_LOCK_SEED={seed} fails");
            resume_unwind(panic);
        }
    }
}

/// Threads that lock one key, lock several, and give up, in sets whose keys share buckets.
#[test]
fn threads() {
    for buckets in [1, 2, 64] {
        let locks = KeyedMutex::<u64>::with_hasher(buckets, DefaultHasher::default());
        let counts: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let added = AtomicU64::new(0);
        let add = |key: u64| {
            // A load and a store: without the lock, additions would be lost.
            let count = &counts[key as usize];
            let now = count.load(Relaxed);
            std::hint::spin_loop();
            count.store(now + 1, Relaxed);
            added.fetch_add(1, Relaxed);
        };
        thread::scope(|scope| {
            for seed in 1..5 {
                let (locks, add) = (&locks, &add);
                scope.spawn(move || {
                    let mut random = Random(seed);
                    for _ in 0..5000 {
                        let keys = random.keys();
                        let key = random.below(KEYS);
                        match random.below(40) {
                            0 => {
                                let _guard = locks.lock_all();
                                (0..KEYS).for_each(add);
                            }
                            1..10 => {
                                let _guard = locks.lock_many(&keys);
                                for &key in &keys {
                                    add(key);
                                }
                            }
                            10..20 => {
                                if let Some(_guard) = locks.try_lock(&key) {
                                    add(key);
                                }
                            }
                            20..30 => {
                                let limit = std::time::Duration::from_micros(random.below(50));
                                if let Some(_guard) = locks.try_lock_many_for(&keys, limit) {
                                    for &key in &keys {
                                        add(key);
                                    }
                                }
                            }
                            _ => {
                                let _guard = locks.lock(&key);
                                add(key);
                            }
                        }
                    }
                });
            }
        });
        let sum: u64 = counts.iter().map(|count| count.load(Relaxed)).sum();
        assert_eq!(sum, added.into_inner(), "{buckets} buckets");
        assert!((0..KEYS).all(|key| locks.try_lock(&key).is_some()));
    }
}
