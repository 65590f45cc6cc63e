//! The async locks of each workload. Those of other crates are striped by hand, with the same hasher, unless they
//! lock by key themselves.

use std::{
    hint::black_box,
    iter,
    sync::atomic::{
        AtomicU8,
        Ordering::{Acquire, Relaxed, Release},
    },
    thread,
    time::Duration,
};

use crossbeam_utils::CachePadded;
use stripe_lock::{AsyncKeyedMutex, AsyncStripedMutex, AsyncStripedRwLock, DefaultHasher};

use super::{BITMAP, CAS_PAIR, EXACT, OURS, SLEEP_STRIPES, STRIPES, Sharing, shared};
use crate::{
    contenders::{AsyncKeyLock, AsyncRwLock, Bitmap, BlockedOn, Blocking, CasPair, Padded, Unlocked, padded},
    harness::Case,
    workloads::{
        Held, many_keys, many_polled_once, one_key, polled_once, read_mostly, sleeping_tasks, tasks, threads,
        together, token_ring,
    },
};

/// The mutex of `tokio`.
pub const TOKIO: &str = "tokio, striped by hand";
/// The mutex of `async-lock`.
pub const ASYNC_LOCK: &str = "async-lock, striped by hand";
/// The mutex of `futures-util`.
pub const FUTURES: &str = "futures, striped by hand";
/// The lock of `saa`.
pub const SAA: &str = "saa, striped by hand";
/// The limit for a lock that is handed from task to task.
pub const TOKEN_RING: &str = "token ring (limit)";
type Tokio = Padded<tokio::sync::Mutex<()>>;
fn ours() -> AsyncStripedMutex<u64> {
    AsyncStripedMutex::new(STRIPES)
}

fn tokio() -> Tokio {
    padded(STRIPES)
}

#[cfg(feature = "locks")]
mod peers {
    use stripe_lock::DefaultHasher;

    use super::STRIPES;
    pub(super) use crate::contenders::peers::{KeyedLockAsync, LockableAsync};
    use crate::contenders::{Padded, padded, peers::StripedLockAsync};

    pub(super) const STRIPED_LOCK: &str = "striped-lock (tokio)";
    pub(super) const KEYED_LOCK: &str = "keyed-lock (async)";
    pub(super) const LOCKABLE: &str = "lockable (async)";

    pub(super) fn async_lock() -> Padded<async_lock::Mutex<()>> {
        padded(STRIPES)
    }

    pub(super) fn futures() -> Padded<futures_util::lock::Mutex<()>> {
        padded(STRIPES)
    }

    pub(super) fn saa() -> Padded<saa::Lock> {
        padded(STRIPES)
    }

    pub(super) fn striped_lock() -> StripedLockAsync<u64, DefaultHasher> {
        StripedLockAsync::new(STRIPES, DefaultHasher::default())
    }
}
#[cfg(feature = "locks")]
use peers::{
    KEYED_LOCK, KeyedLockAsync, LOCKABLE, LockableAsync, STRIPED_LOCK, async_lock, futures, saa, striped_lock,
};

/// Lock and unlock by futures that are ready when first polled.
pub fn awaited(keys: &[u64]) -> Vec<Case<'_>> {
    cases![
        polled_once(OURS, ours(), keys),
        one_key(CAS_PAIR, CasPair::new(STRIPES, DefaultHasher::default()), keys),
        polled_once(TOKIO, tokio(), keys),
        ;
        polled_once(SAA, saa(), keys),
        polled_once(FUTURES, futures(), keys),
        polled_once(ASYNC_LOCK, async_lock(), keys),
        polled_once(STRIPED_LOCK, striped_lock(), keys),
        polled_once(KEYED_LOCK, KeyedLockAsync::default(), keys),
        polled_once(LOCKABLE, LockableAsync::default(), keys),
    ]
}

/// Lock and unlock by the methods that block a thread. The mutex of `futures-util` has no such method.
pub fn blocking(keys: &[u64]) -> Vec<Case<'_>> {
    cases![
        one_key(OURS, Blocking(ours()), keys),
        one_key(CAS_PAIR, CasPair::new(STRIPES, DefaultHasher::default()), keys),
        one_key(TOKIO, Blocking(tokio()), keys),
        ;
        one_key(SAA, Blocking(saa()), keys),
        one_key(ASYNC_LOCK, Blocking(async_lock()), keys),
    ]
}

/// Lock and unlock by a thread that awaits each lock in `block_on`.
pub fn blocked_on(keys: &[u64]) -> Vec<Case<'_>> {
    cases![
        one_key(OURS, BlockedOn(ours()), keys),
        one_key(CAS_PAIR, CasPair::new(STRIPES, DefaultHasher::default()), keys),
        one_key(TOKIO, BlockedOn(tokio()), keys),
        ;
        one_key(SAA, BlockedOn(saa()), keys),
        one_key(FUTURES, BlockedOn(futures()), keys),
        one_key(ASYNC_LOCK, BlockedOn(async_lock()), keys),
    ]
}

/// Lock and unlock several keys at once, by futures that are ready when first polled.
pub fn awaited_many(batches: &[Vec<u64>]) -> Vec<Case<'_>> {
    let cases = cases![
        many_polled_once(OURS, ours(), batches),
        many_keys(BITMAP, Bitmap::new(DefaultHasher::default()), batches),
        many_polled_once(TOKIO, tokio(), batches),
        ;
        many_polled_once(SAA, saa(), batches),
        many_polled_once(FUTURES, futures(), batches),
        many_polled_once(ASYNC_LOCK, async_lock(), batches),
        many_polled_once(LOCKABLE, LockableAsync::default(), batches),
    ];
    #[cfg(feature = "locks")]
    let cases = {
        let few = matches!(batches[0].len(), 2 | 4);
        cases
            .into_iter()
            .chain(few.then(|| many_polled_once(STRIPED_LOCK, striped_lock(), batches)))
            .collect()
    };
    cases
}

/// `count` threads that await the lock, and are busy for the time `section` under it.
pub fn threaded_awaited(
    count: usize,
    sharing: Sharing,
    keys: &[u64],
    section: Duration,
) -> Vec<Case<'static>> {
    fn case(
        (label, lock): (&str, impl AsyncKeyLock<u64> + 'static),
        (count, sharing, keys, section): (usize, Sharing, &[u64], Duration),
    ) -> Case<'static> {
        shared(label, BlockedOn(lock), count, sharing, keys, section)
    }
    let load = (count, sharing, keys, section);
    cases![
        case((OURS, ours()), load),
        case((TOKIO, tokio()), load),
        ;
        case((SAA, saa()), load),
        case((FUTURES, futures()), load),
        case((ASYNC_LOCK, async_lock()), load),
        case((KEYED_LOCK, KeyedLockAsync::default()), load),
        case((LOCKABLE, LockableAsync::default()), load),
    ]
}

/// One thread and `count` threads on disjoint keys, and the same numbers of threads that only multiply in registers.
/// These show how many processors the threads really have.
pub fn apart(count: usize, keys: &[u64]) -> Vec<Case<'static>> {
    let mut cases = Vec::new();
    for count in [1, count] {
        let (sharing, label) = (Sharing::Disjoint, |name: &str| format!("{name}, threads: {count}"));
        let empty = Duration::ZERO;
        cases.push(shared(&label(OURS), BlockedOn(ours()), count, sharing, keys, empty));
        #[cfg(feature = "locks")]
        cases.push(shared(&label(SAA), BlockedOn(saa()), count, sharing, keys, empty));
        #[cfg(feature = "locks")]
        cases.push(shared(&label(ASYNC_LOCK), BlockedOn(async_lock()), count, sharing, keys, empty));
        cases.push(shared(&label(TOKIO), BlockedOn(tokio()), count, sharing, keys, empty));
        cases.push(registers(label("registers"), count));
    }
    cases
}

/// `count` threads that only multiply in registers. If two of them do twice the work of one, they had two processors.
pub fn registers(label: impl Into<String>, count: usize) -> Case<'static> {
    threads(label, Unlocked, vec![vec![0_u64]; count], || {
        let mut product = 3_u64;
        (0..16).for_each(|_| product = black_box(product.wrapping_mul(3)));
    })
}

/// `count` threads that await the lock: to write in the turns for which `writes` returns true, and to read in the
/// others.
pub fn read_awaited<'a>(
    count: usize,
    keys: &'a [u64],
    writes: impl Fn(usize) -> bool + Sync + Copy + 'a,
) -> Vec<Case<'a>> {
    fn padded_rw<L: AsyncRwLock>() -> BlockedOn<Padded<L>> {
        BlockedOn(padded(STRIPES))
    }
    cases![
        read_mostly(OURS, BlockedOn(AsyncStripedRwLock::<u64>::new(STRIPES)), count, keys, writes, || ()),
        read_mostly(TOKIO, padded_rw::<tokio::sync::RwLock<()>>(), count, keys, writes, || ()),
        ;
        read_mostly(SAA, padded_rw::<saa::Lock>(), count, keys, writes, || ()),
        read_mostly(ASYNC_LOCK, padded_rw::<async_lock::RwLock<()>>(), count, keys, writes, || ()),
    ]
}

/// Tasks that lock one key.
pub fn one_key_by_tasks(count: usize, held: Held) -> Vec<Case<'static>> {
    let mut cases = cases![
        tasks(OURS, ours(), count, held),
        tasks(TOKIO, tokio(), count, held),
        ;
        tasks(SAA, saa(), count, held),
        tasks(FUTURES, futures(), count, held),
        tasks(ASYNC_LOCK, async_lock(), count, held),
    ];
    if held == Held::OverAYield {
        cases.push(token_ring(TOKEN_RING, count));
    }
    cases
}

/// Tasks that hold a fresh key over a sleep, by number of stripes, and exact keys. Labelled by the number.
pub fn asleep_awaited(writers: usize, sleep: Duration) -> Vec<Case<'static>> {
    let striped = SLEEP_STRIPES.iter().map(|&stripes| {
        sleeping_tasks(stripes.to_string(), AsyncStripedMutex::<u64>::new(stripes), writers, sleep)
    });
    striped.chain([sleeping_tasks(EXACT, AsyncKeyedMutex::<u64>::new(), writers, sleep)]).collect()
}

/// `count` threads on random stripes of one byte. A compare-and-swap locks a stripe, and another one unlocks it. The
/// bytes are side by side (dense), on cache lines of their own (padded), or padded and so few that they take as much
/// memory as the dense ones.
pub fn layouts(count: usize, stripes: usize) -> Vec<Case<'static>> {
    fn case<L: Default + Send + Sync + 'static>(
        label: &str,
        count: usize,
        stripes: usize,
        byte: fn(&L) -> &AtomicU8,
    ) -> Case<'static> {
        let locks: Vec<L> = iter::repeat_with(L::default).take(stripes).collect();
        Case::new(label, move |operations| {
            together(count, |thread| {
                let mut random = thread as u64 + 1;
                for _ in 0..operations.div_ceil(count as u64) {
                    // Knuth's MMIX generator. Only its upper bits are random enough.
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let lock = byte(&locks[(random >> 33) as usize & (stripes - 1)]);
                    while lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
                        thread::yield_now();
                    }
                    let _ = lock.compare_exchange(1, 0, Release, Relaxed);
                }
            })
        })
    }
    assert!(stripes.is_power_of_two(), "the next stripe is found by a mask");
    vec![
        case::<CachePadded<AtomicU8>>("padded", count, stripes, |byte| byte),
        case::<AtomicU8>("dense", count, stripes, |byte| byte),
        case::<CachePadded<AtomicU8>>("padded, same memory", count, (stripes / 128).max(1), |byte| byte),
    ]
}
