//! Models of programs that use the library, as their authors would write them: only its public types, with the
//! default locks and hasher. A second version of each program has a bug that the model has to find.
#![cfg(loom)]

use std::collections::HashMap;

use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use loom_tests::explore;
use stripe_lock::{AsyncStripedMutex, KeyedMutex, StripedMutex, StripedReentrantMutex, StripedRwLock};

const KEY: u64 = 7;

/// The slow loads, which must happen once for each key.
#[derive(Default)]
struct Loads(AtomicUsize);

impl Loads {
    fn load(&self, key: u64) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed);
        key * 10
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A cache whose values one thread loads while other threads that need the same key wait.
struct Cache {
    entries: StripedMutex<u64, HashMap<u64, u64>>,
    loads: Loads,
}

impl Cache {
    fn new() -> Self {
        Self { entries: StripedMutex::new(2), loads: Loads::default() }
    }

    fn get(&self, key: u64) -> u64 {
        let mut entries = self.entries.lock(&key);
        *entries.entry(key).or_insert_with(|| self.loads.load(key))
    }

    /// The bug: it releases the key while it loads.
    fn get_carelessly(&self, key: u64) -> u64 {
        if let Some(value) = self.entries.lock(&key).get(&key) {
            return *value;
        }
        let value = self.loads.load(key);
        self.entries.lock(&key).insert(key, value);
        value
    }
}

/// The same over the async locks.
struct AsyncCache {
    entries: AsyncStripedMutex<u64, HashMap<u64, u64>>,
    loads: Loads,
}

impl AsyncCache {
    fn new() -> Self {
        Self { entries: AsyncStripedMutex::new(2), loads: Loads::default() }
    }

    async fn get(&self, key: u64) -> u64 {
        let mut entries = self.entries.lock(&key).await;
        *entries.entry(key).or_insert_with(|| self.loads.load(key))
    }

    /// The bug: it releases the key while it loads.
    async fn get_carelessly(&self, key: u64) -> u64 {
        if let Some(value) = self.entries.lock(&key).await.get(&key) {
            return *value;
        }
        let value = self.loads.load(key);
        self.entries.lock(&key).await.insert(key, value);
        value
    }
}

/// Runs `get` in two threads, and asserts that only one of them loaded.
fn loaded_once<C: Send + Sync + 'static>(new: fn() -> C, get: fn(&C) -> u64, loads: fn(&C) -> &Loads) {
    let cache = Arc::new(new());
    let other = thread::spawn({
        let cache = cache.clone();
        move || get(&cache)
    });
    assert_eq!((get(&cache), other.join().unwrap()), (KEY * 10, KEY * 10));
    assert_eq!(loads(&cache).count(), 1, "loaded twice");
}

#[test]
fn a_cache_has_one_loader_for_each_key() {
    explore("a cache with one loader for each key", None, || {
        loaded_once(Cache::new, |cache| cache.get(KEY), |cache| &cache.loads);
    });
}

#[test]
#[should_panic(expected = "loaded twice")]
fn a_cache_that_releases_the_key_while_it_loads_is_found() {
    explore("a cache that releases the key while it loads", None, || {
        loaded_once(Cache::new, |cache| cache.get_carelessly(KEY), |cache| &cache.loads);
    });
}

#[test]
fn an_async_cache_has_one_loader_for_each_key() {
    explore("an async cache with one loader for each key", Some(3), || {
        loaded_once(AsyncCache::new, |cache| block_on(cache.get(KEY)), |cache| &cache.loads);
    });
}

#[test]
#[should_panic(expected = "loaded twice")]
fn an_async_cache_that_releases_the_key_while_it_loads_is_found() {
    explore("an async cache that releases the key while it loads", Some(3), || {
        loaded_once(AsyncCache::new, |cache| block_on(cache.get_carelessly(KEY)), |cache| &cache.loads);
    });
}

/// Two counters outside the locks. Only the holder of their keys adds to them, in two steps.
struct Counters<L> {
    locks: L,
    counts: [AtomicUsize; 2],
}

impl<L: Send + Sync + 'static> Counters<L> {
    /// Adds to the first counter in two threads, under the keys that `add` locks.
    fn race(locks: L, add: fn(&Self)) {
        let counters = Arc::new(Self { locks, counts: [AtomicUsize::new(0), AtomicUsize::new(0)] });
        let other = thread::spawn({
            let counters = counters.clone();
            move || add(&counters)
        });
        add(&counters);
        other.join().unwrap();
        assert_eq!(counters.counts[0].load(Ordering::Relaxed), 2, "an update was lost");
    }

    fn add(&self) {
        let count = self.counts[0].load(Ordering::Relaxed);
        self.counts[0].store(count + 1, Ordering::Relaxed);
    }
}

#[test]
fn exact_keys_exclude_each_other() {
    explore("`KeyedMutex`", Some(3), || {
        Counters::race(KeyedMutex::<u64>::new(), |counters| {
            let _guard = counters.locks.lock(&KEY);
            counters.add();
        });
    });
}

#[test]
#[should_panic(expected = "an update was lost")]
fn a_guard_that_is_dropped_at_once_is_found() {
    explore("`KeyedMutex`, with a guard that is dropped at once", Some(3), || {
        Counters::race(KeyedMutex::<u64>::new(), |counters| {
            let _ = counters.locks.lock(&KEY);
            counters.add();
        });
    });
}

#[test]
fn writers_exclude_each_other() {
    explore("`StripedRwLock`", None, || {
        Counters::race(StripedRwLock::<u64>::new(2), |counters| {
            let _guard = counters.locks.write(&KEY);
            counters.add();
        });
    });
}

#[test]
#[should_panic(expected = "an update was lost")]
fn a_reader_that_writes_is_found() {
    explore("`StripedRwLock`, with a reader that writes", None, || {
        Counters::race(StripedRwLock::<u64>::new(2), |counters| {
            let _guard = counters.locks.read(&KEY);
            counters.add();
        });
    });
}

#[test]
fn a_reentrant_mutex_tells_the_threads_of_a_model_apart() {
    explore("`StripedReentrantMutex`", None, || {
        Counters::race(StripedReentrantMutex::<u64>::new(2), |counters| {
            let _guard = counters.locks.lock(&KEY);
            let _again = counters.locks.lock(&KEY);
            counters.add();
        });
    });
}
