//! The exact locks of each workload, with stripes beside them.

use std::{hint::black_box, time::Duration};

use stripe_lock::{AsyncKeyedMutex, AsyncStripedMutex, DefaultHasher, Fnv1a};

use super::{CAS_PAIR, DASHMAP, STRIPES, Sharing, shared};
use crate::{
    contenders::{
        CasPair, Dashmap, GlobalMutex, HoldMany, KeyLock, MapOfMutexes, MapOfTokioMutexes, Ours, OursExact,
        peers::{KeyedLock, KeyedLockAsync, Lockable, LockableAsync, Scc},
    },
    harness::Case,
    keys::Distinct,
    workloads::{many_keys, one_key, polled_once, sleeping_tasks, sleeping_threads},
};

/// Our exact lock, in every list.
pub const OURS_EXACT: &str = "stripe-lock, exact keys";
const STRIPED: &str = "stripe-lock, 64 stripes";
const MAP: &str = "map of mutexes by hand";
const TOKIO_MAP: &str = "map of tokio mutexes by hand";

fn hasher() -> DefaultHasher {
    DefaultHasher::default()
}

fn ours() -> OursExact<u64> {
    OursExact::default()
}

/// Lock and unlock, one thread, one key at a time, no contention.
pub fn exact(keys: &[u64]) -> Vec<Case<'_>> {
    let all = || keys.iter().copied();
    vec![
        one_key(OURS_EXACT, ours(), keys),
        one_key(CAS_PAIR, CasPair::new(STRIPES, hasher()), keys),
        one_key(STRIPED, Ours::new(STRIPES, hasher()), keys),
        one_key(DASHMAP, Dashmap::new(all(), hasher()), keys),
        one_key("scc get_sync", Scc::new(all(), hasher()), keys),
        one_key(MAP, MapOfMutexes::default(), keys),
        one_key("keyed-lock", KeyedLock::default(), keys),
        one_key("lockable", Lockable::default(), keys),
    ]
}

/// Lock and unlock one key at a time, by futures that are ready when first polled.
pub fn exact_awaited(keys: &[u64]) -> Vec<Case<'_>> {
    vec![
        polled_once(OURS_EXACT, AsyncKeyedMutex::new(), keys),
        one_key(CAS_PAIR, CasPair::new(STRIPES, hasher()), keys),
        polled_once(STRIPED, AsyncStripedMutex::new(STRIPES), keys),
        polled_once(TOKIO_MAP, MapOfTokioMutexes::default(), keys),
        polled_once("keyed-lock (async)", KeyedLockAsync::default(), keys),
        polled_once("lockable (async)", LockableAsync::default(), keys),
    ]
}

/// Several keys at once.
pub fn exact_many(batches: &[Vec<u64>]) -> Vec<Case<'_>> {
    vec![
        many_keys(OURS_EXACT, ours(), batches),
        many_keys(STRIPED, Ours::new(STRIPES, hasher()), batches),
        many_keys("lockable", Lockable::default(), batches),
    ]
}

/// Two keys, the second locked and unlocked while the first is held, on one thread.
pub fn nested(keys: &[u64]) -> Vec<Case<'_>> {
    fn case<'a>(label: &str, lock: impl KeyLock<u64> + 'a, keys: &'a [u64]) -> Case<'a> {
        /// Locks a second key under the first.
        struct Nested<L>(L);

        impl<L: KeyLock<u64>> KeyLock<u64> for Nested<L> {
            #[inline]
            fn with<R>(&self, key: &u64, section: impl FnOnce() -> R) -> R {
                self.0.with(key, || self.0.with(&!key, section))
            }
        }

        one_key(label, Nested(lock), keys)
    }
    vec![
        case(OURS_EXACT, ours(), keys),
        case("stripe-lock, exact keys, one bucket", OursExact::new(1, hasher()), keys),
        case(MAP, MapOfMutexes::default(), keys),
        case("keyed-lock", KeyedLock::default(), keys),
        case("lockable", Lockable::default(), keys),
    ]
}

/// `count` threads that lock and unlock, and are busy for the time `section` under the lock.
pub fn exact_threaded(count: usize, sharing: Sharing, keys: &[u64], section: Duration) -> Vec<Case<'static>> {
    let all = || keys.iter().copied();
    let mut cases = vec![
        shared(OURS_EXACT, ours(), count, sharing, keys, section),
        shared(STRIPED, Ours::new(STRIPES, hasher()), count, sharing, keys, section),
        shared(DASHMAP, Dashmap::new(all(), hasher()), count, sharing, keys, section),
        shared("scc get_sync", Scc::new(all(), hasher()), count, sharing, keys, section),
        shared(MAP, MapOfMutexes::default(), count, sharing, keys, section),
        shared("keyed-lock", KeyedLock::default(), count, sharing, keys, section),
        shared("lockable", Lockable::default(), count, sharing, keys, section),
    ];
    if sharing == Sharing::Same {
        let one = GlobalMutex(parking_lot::Mutex::new(()));
        cases.push(shared("parking_lot Mutex, one for all", one, count, sharing, keys, section));
    }
    cases
}

/// Threads, or tasks on two workers, that hold a fresh key over a sleep.
pub fn exact_asleep(writers: usize, sleep: Duration, tasks: bool) -> Vec<Case<'static>> {
    if tasks {
        return vec![
            sleeping_tasks(OURS_EXACT, AsyncKeyedMutex::<u64>::new(), writers, sleep),
            sleeping_tasks(STRIPED, AsyncStripedMutex::<u64>::new(STRIPES), writers, sleep),
            sleeping_tasks(TOKIO_MAP, MapOfTokioMutexes::default(), writers, sleep),
            sleeping_tasks("lockable (async)", LockableAsync::default(), writers, sleep),
        ];
    }
    vec![
        sleeping_threads(OURS_EXACT, ours(), writers, sleep),
        sleeping_threads("stripe-lock, exact keys, one bucket", OursExact::new(1, hasher()), writers, sleep),
        sleeping_threads(STRIPED, Ours::new(STRIPES, hasher()), writers, sleep),
        sleeping_threads("lockable", Lockable::default(), writers, sleep),
    ]
}

/// Keys locked two at a time. An attacker who knows the hasher has crafted some of them to share one bucket.
pub fn exact_crafted<'a>(honest: &'a [u64], crafted: &'a [u64]) -> Vec<Case<'a>> {
    fn held<'a>(label: &str, lock: impl HoldMany<u64> + 'a, keys: &'a [u64]) -> Case<'a> {
        let pairs: Vec<_> = keys.chunks_exact(2).collect();
        Case::new(label, move |operations| {
            let start = std::time::Instant::now();
            for turn in 0..operations as usize {
                let pair = pairs[turn % pairs.len()];
                drop(black_box((lock.hold(pair[0]), lock.hold(pair[1]))));
            }
            start.elapsed()
        })
    }
    let fnv = || OursExact::new(64, Fnv1a::default());
    vec![
        held("FNV-1a, honest keys", fnv(), honest),
        held("FNV-1a, crafted keys", fnv(), crafted),
        held("keyed default, the same crafted keys", OursExact::new(64, hasher()), crafted),
        held("lockable, the same crafted keys", Lockable::default(), crafted),
    ]
}

/// Honest keys, and the same number of keys that FNV-1a maps to the first of 64 buckets.
pub fn crafted_keys(count: usize) -> (Vec<u64>, Vec<u64>) {
    let stripes = stripe_lock::Striped::<u64, (), _>::from_fn(64, Fnv1a::default(), |_| ());
    let crafted = Distinct::of_writer(1).filter(|key| stripes.stripe_of(key) == 0).take(count);
    (Distinct::of_writer(0).take(count).collect(), crafted.collect())
}
