//! The contenders of each workload. The criterion targets, the table of targets and the report all measure these lists.

/// The cases of a list. Those after the semicolon are of crates that need the feature `locks`.
macro_rules! cases {
    ($($case:expr,)* ; $($peer:expr,)*) => {{
        #[allow(unused_mut, reason = "without the feature there is nothing to add")]
        let mut cases = vec![$($case),*];
        #[cfg(feature = "locks")]
        cases.extend([$($peer),*]);
        cases
    }};
}

mod awaited;
#[cfg(feature = "locks")]
mod contended;
#[cfg(feature = "locks")]
mod exact;

use std::{
    hash::{BuildHasherDefault, RandomState},
    hint::black_box,
    thread::{self, available_parallelism},
    time::Duration,
};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use stripe_lock::raw::{ByteMutex, DefaultRawMutex};
use stripe_lock::{DefaultHasher, Fnv1a, SipHash, StripedMutex};

pub use awaited::{
    ASYNC_LOCK, FUTURES, SAA, TOKEN_RING, TOKIO, apart, asleep_awaited, awaited, awaited_many, blocked_on,
    blocking, layouts, one_key_by_tasks, read_awaited, registers, threaded_awaited,
};

#[cfg(feature = "locks")]
pub use contended::{Victim, contended, read_and_written, rw_victims, victims};
#[cfg(feature = "locks")]
pub use exact::{
    OURS_EXACT, crafted_keys, exact, exact_asleep, exact_awaited, exact_crafted, exact_many, exact_threaded,
    nested,
};

#[cfg(feature = "locks")]
use crate::contenders::peers::{Happylock, KeyedLock, Lockable, Scc, StripedLock};
use crate::{
    contenders::{
        Bitmap, ByteBitmap, CasPair, Dashmap, GlobalMutex, GlobalRwLock, KeyLock, KeyRwLock, Ours, OursExact,
        OursRw, SortDedup, StdStriped, StdStripedRw, SwapStore,
    },
    harness::Case,
    keys::{self, Distinct},
    workloads::{
        busy, closed_loop, lock_all, many_keys, one_key, one_key_each, read_mostly, sleeping_threads, threads,
    },
};

/// Ours, in every list.
pub const OURS: &str = "stripe-lock";
/// Ours over the library's raw mutex.
pub const OURS_BYTE: &str = "stripe-lock over ByteMutex";
/// Our read-write lock.
pub const OURS_RW: &str = "stripe-lock StripedRwLock";
const STD_STRIPED: &str = "std Mutex striped by hand";
#[cfg(feature = "locks")]
const SCC_SAME_HASHER: &str = "scc get_sync, same hasher";
const STD_RW: &str = "std RwLock striped by hand";
/// One mutex of the standard library.
pub const STD_FOR_ALL: &str = "std Mutex, one for all";
/// One mutex of `parking_lot`.
pub const PARKING_LOT_FOR_ALL: &str = "parking_lot Mutex, one for all";
/// The limit of a lock of one key: an exchange and a store.
pub const SWAP_STORE: &str = "exchange and store by hand (limit)";
/// Two compare-and-swaps, as most locks have them.
pub const CAS_PAIR: &str = "CAS pair by hand";
/// Many keys without guards.
pub const BITMAP: &str = "bitmap loop by hand";
/// Many keys without guards, over the library's raw mutex.
pub const BYTE_BITMAP: &str = "bitmap loop by hand over ByteMutex";
/// Many keys as they are usually locked by hand.
pub const SORT_DEDUP: &str = "sort + dedup by hand";
/// `striped-lock` 0.1.
pub const STRIPED_LOCK: &str = "striped-lock";
/// `striped-lock` 0.1 with our default hasher.
pub const STRIPED_LOCK_SAME_HASHER: &str = "striped-lock, same hasher";
/// `dashmap`'s `get_mut`.
pub const DASHMAP: &str = "dashmap get_mut";
/// `dashmap`'s `get_mut` with our default hasher.
pub const DASHMAP_SAME_HASHER: &str = "dashmap get_mut, same hasher";

/// The number of stripes of every striped contender, except where numbers of stripes are compared.
pub const STRIPES: usize = 64;

type StdHash = BuildHasherDefault<std::hash::DefaultHasher>;

/// Ours over the library's raw mutex.
pub fn over_bytes<K: ?Sized>() -> Ours<K, DefaultHasher, ByteMutex> {
    Ours::over(STRIPES, DefaultHasher::default())
}

/// Lock and unlock, one thread, one key at a time, no contention.
pub fn one(keys: &[u64]) -> Vec<Case<'_>> {
    let hasher = DefaultHasher::default;
    let all = || keys.iter().copied();
    cases![
        one_key(OURS, Ours::new(STRIPES, hasher()), keys),
        one_key(OURS_BYTE, over_bytes(), keys),
        one_key(SWAP_STORE, SwapStore::new(STRIPES, hasher()), keys),
        one_key(CAS_PAIR, CasPair::new(STRIPES, hasher()), keys),
        one_key("stripe-lock, FNV-1a", Ours::new(STRIPES, Fnv1a::default()), keys),
        one_key("stripe-lock, SipHash", Ours::new(STRIPES, SipHash::default()), keys),
        one_key(STD_FOR_ALL, GlobalMutex(std::sync::Mutex::new(())), keys),
        one_key(PARKING_LOT_FOR_ALL, GlobalMutex(Mutex::new(())), keys),
        one_key(STD_STRIPED, StdStriped::new(STRIPES, StdHash::default()), keys),
        one_key(DASHMAP, Dashmap::new(all(), RandomState::new()), keys),
        one_key(DASHMAP_SAME_HASHER, Dashmap::new(all(), hasher()), keys),
        ;
        one_key("scc get_sync", Scc::new(all(), RandomState::new()), keys),
        one_key(STRIPED_LOCK, StripedLock::new(STRIPES, StdHash::default()), keys),
        one_key(STRIPED_LOCK_SAME_HASHER, StripedLock::new(STRIPES, hasher()), keys),
        one_key("happylock striped by hand", Happylock::new(STRIPES, hasher()), keys),
        one_key("keyed-lock", KeyedLock::default(), keys),
        one_key("lockable", Lockable::default(), keys),
    ]
}

/// Lock and unlock strings of 32 bytes.
pub fn one_string(keys: &[String]) -> Vec<Case<'_>> {
    let hasher = DefaultHasher::default;
    let all = || keys.iter().cloned();
    cases![
        one_key(OURS, Ours::new(STRIPES, hasher()), keys),
        one_key(SWAP_STORE, SwapStore::new(STRIPES, hasher()), keys),
        one_key(CAS_PAIR, CasPair::new(STRIPES, hasher()), keys),
        one_key("stripe-lock, FNV-1a", Ours::new(STRIPES, Fnv1a::default()), keys),
        one_key("stripe-lock, SipHash", Ours::new(STRIPES, SipHash::default()), keys),
        one_key(DASHMAP, Dashmap::new(all(), RandomState::new()), keys),
        ;
        one_key("scc get_sync", Scc::new(all(), RandomState::new()), keys),
        one_key(STRIPED_LOCK, StripedLock::new(STRIPES, StdHash::default()), keys),
        one_key("keyed-lock", KeyedLock::default(), keys),
        one_key("lockable", Lockable::default(), keys),
    ]
}

/// Lock and unlock several keys at once, all with our default hasher. Each batch has `batches[0].len()` keys.
pub fn many(batches: &[Vec<u64>]) -> Vec<Case<'_>> {
    let hasher = DefaultHasher::default;
    let cases = cases![
        many_keys(OURS, Ours::new(STRIPES, hasher()), batches),
        many_keys(OURS_BYTE, over_bytes(), batches),
        many_keys(BITMAP, Bitmap::new(hasher()), batches),
        many_keys(BYTE_BITMAP, ByteBitmap::new(hasher()), batches),
        many_keys(SORT_DEDUP, SortDedup::new(STRIPES, hasher()), batches),
        ;
        many_keys("happylock striped by hand", Happylock::new(STRIPES, hasher()), batches),
        many_keys("lockable, in order", Lockable::default(), batches),
    ];
    #[cfg(feature = "locks")]
    let cases =
        {
            let few = matches!(batches[0].len(), 2 | 4);
            cases
                .into_iter()
                .chain(few.then(|| {
                    many_keys(STRIPED_LOCK_SAME_HASHER, StripedLock::new(STRIPES, hasher()), batches)
                }))
                .collect()
        };
    cases
}

/// Which keys several threads lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One key for each thread, none of which share a stripe.
    Disjoint,
    /// The same random keys for all.
    Random,
    /// One key for all.
    Same,
}

fn shared<'a>(
    label: &str,
    lock: impl KeyLock<u64> + 'a,
    count: usize,
    sharing: Sharing,
    keys: &[u64],
    section: Duration,
) -> Case<'a> {
    let lists = match sharing {
        Sharing::Disjoint => one_key_each(&lock, count, keys),
        // Each thread starts at another place of the ring, so that they do not lock the same keys in step.
        Sharing::Random => (0..count).map(|thread| rotated(keys, thread * keys.len() / count)).collect(),
        Sharing::Same => vec![vec![keys[0]]; count],
    };
    if section.is_zero() {
        threads(label, lock, lists, || ())
    } else {
        threads(label, lock, lists, move || busy(section))
    }
}

/// `count` threads that lock and unlock, and are busy for the time `section` under the lock.
pub fn threaded(count: usize, sharing: Sharing, keys: &[u64], section: Duration) -> Vec<Case<'static>> {
    let hasher = DefaultHasher::default;
    let all = || keys.iter().copied();
    let mut cases = cases![
        shared(OURS, Ours::new(STRIPES, hasher()), count, sharing, keys, section),
        shared(STD_STRIPED, StdStriped::new(STRIPES, hasher()), count, sharing, keys, section),
        shared(DASHMAP_SAME_HASHER, Dashmap::new(all(), hasher()), count, sharing, keys, section),
        ;
        shared(SCC_SAME_HASHER, Scc::new(all(), hasher()), count, sharing, keys, section),
        shared("happylock striped by hand", Happylock::new(STRIPES, hasher()), count, sharing, keys, section),
        shared("keyed-lock", KeyedLock::default(), count, sharing, keys, section),
        shared("lockable", Lockable::default(), count, sharing, keys, section),
    ];
    if sharing != Sharing::Disjoint {
        let one = GlobalMutex(Mutex::new(()));
        cases.push(shared(PARKING_LOT_FOR_ALL, one, count, sharing, keys, section));
    }
    cases
}

/// Lengths of sections worth comparing.
pub const SECTIONS: [Duration; 3] = [Duration::ZERO, Duration::from_micros(1), Duration::from_micros(100)];

/// Calls `measure` with a title and the list that `cases` makes, for every number of threads, kind of keys and length
/// of the section. In the title, `how` follows the number of threads.
pub fn on_keys(
    counts: impl IntoIterator<Item = usize>,
    how: &str,
    cases: impl Fn(usize, Sharing, &[u64], Duration) -> Vec<Case<'static>>,
    mut measure: impl FnMut(&str, Vec<Case<'static>>),
) {
    let random = keys::random(keys::RING, 1);
    let popular = keys::zipf(keys::RING, 10_000, 0.99, 1);
    for count in counts {
        for (name, keys, sharing) in [
            ("a key each", &random, Sharing::Disjoint),
            ("random keys", &random, Sharing::Random),
            ("10,000 keys by Zipf(0.99)", &popular, Sharing::Random),
            ("one key", &random, Sharing::Same),
        ] {
            for section in SECTIONS {
                let title = format!("{count} threads{how}, {name}, section of {section:?}");
                measure(&title, cases(count, sharing, keys, section));
            }
        }
    }
}

/// Numbers of threads worth comparing on this machine: 2, 4 and so on, up to its processors.
pub fn thread_counts() -> impl Iterator<Item = usize> {
    let most = available_parallelism().map_or(2, |count| count.get().max(2));
    (1..).map(|power| 1 << power).take_while(move |&count| count <= most)
}

/// `count` threads. 95 of 100 sections only read.
pub fn read_by(count: usize, keys: &[u64]) -> Vec<Case<'_>> {
    let hasher = DefaultHasher::default;
    let dashmap = Dashmap::new(keys.iter().copied(), hasher());
    let exclusive = Exclusive(Ours::new(STRIPES, hasher()));
    let by_hand = StdStripedRw::new(STRIPES, hasher());
    let (writes, section) = (one_in_twenty, || ());
    vec![
        read_mostly(OURS_RW, OursRw::new(STRIPES, hasher()), count, keys, writes, section),
        read_mostly("stripe-lock StripedMutex", exclusive, count, keys, writes, section),
        read_mostly(STD_RW, by_hand, count, keys, writes, section),
        read_mostly("parking_lot RwLock, one for all", GlobalRwLock::default(), count, keys, writes, section),
        read_mostly("dashmap get and get_mut, same hasher", dashmap, count, keys, writes, section),
    ]
}

/// Whether a turn is one of the 5 in 100 that write.
pub fn one_in_twenty(turn: usize) -> bool {
    turn.is_multiple_of(20)
}

/// A lock that readers, too, hold exclusively.
struct Exclusive<L>(L);

impl<K: ?Sized, L: KeyLock<K>> KeyRwLock<K> for Exclusive<L> {
    fn read<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        self.0.with(key, section)
    }

    fn write<R>(&self, key: &K, section: impl FnOnce() -> R) -> R {
        self.0.with(key, section)
    }
}

/// Our lock with different numbers of stripes, locked and unlocked by `count` threads.
pub fn by_stripes(count: usize, keys: &[u64]) -> Vec<Case<'_>> {
    let each = [1, 4, 16, 64, 256, 1024, 4096].into_iter();
    each.map(|stripes| {
        let (label, lock) = (format!("{stripes} stripes"), Ours::new(stripes, DefaultHasher::default()));
        let lists = (0..count).map(|thread| rotated(keys, thread * keys.len() / count)).collect();
        threads(label, lock, lists, || ())
    })
    .collect()
}

/// All of `count` stripes at once.
pub fn all_of(count: usize) -> Vec<Case<'static>> {
    let ours = StripedMutex::<u64>::new(count);
    let by_hand: Vec<_> = (0..count).map(|_| CachePadded::new(Mutex::new(()))).collect();
    vec![
        lock_all("stripe-lock lock_all", move || drop(black_box(ours.lock_all()))),
        lock_all("padded parking_lot mutexes by hand, guards in a vector", move || {
            let guards: Vec<_> = by_hand.iter().map(|mutex| mutex.lock()).collect();
            drop(black_box(guards));
        }),
    ]
}

/// Writers that hold a key over a sleep. An attacker that knows the hash function chooses all keys on one stripe. A hasher with a
/// random key prevents that.
pub fn attacked(writers: usize, sleep: Duration) -> Vec<Case<'static>> {
    fn case<Keys: Iterator<Item = u64>>(
        label: &str,
        lock: impl KeyLock<u64> + 'static,
        draw: impl Fn(usize) -> Keys + Sync + 'static,
        (writers, sleep): (usize, Duration),
    ) -> Case<'static> {
        Case::new(label, move |operations| {
            closed_loop(writers, operations, &draw, |keys| {
                let key = keys.next().expect("keys never end");
                lock.with(&key, || thread::sleep(sleep));
            })
        })
    }

    let crafted = |writer| {
        let known = StripedMutex::<u64, (), DefaultRawMutex, Fnv1a>::with_hasher(STRIPES, Fnv1a::default());
        Distinct::of_writer(writer).filter(move |key| known.stripe_of(key) == 0)
    };
    let fnv = || Ours::new(STRIPES, Fnv1a::default());
    let keyed = Ours::new(STRIPES, DefaultHasher::default());
    let load = (writers, sleep);
    vec![
        case("FNV-1a, honest keys", fnv(), Distinct::of_writer, load),
        case("FNV-1a, crafted keys", fnv(), crafted, load),
        case("keyed default, the same crafted keys", keyed, crafted, load),
        case("exact locks, the same crafted keys", OursExact::<u64>::default(), crafted, load),
    ]
}

fn rotated(keys: &[u64], by: usize) -> Vec<u64> {
    let mut keys = keys.to_vec();
    keys.rotate_left(by);
    keys
}

/// The numbers of stripes over which sleeping writers are compared.
pub const SLEEP_STRIPES: [usize; 6] = [1, 8, 16, 32, 64, 256];
/// The label of exact locks.
pub const EXACT: &str = "exact";

/// Threads that hold a fresh key over a sleep, by number of stripes, and exact keys. Labelled by the number.
pub fn asleep(writers: usize, sleep: Duration) -> Vec<Case<'static>> {
    let striped = SLEEP_STRIPES.iter().map(|&stripes| {
        let lock = Ours::new(stripes, DefaultHasher::default());
        sleeping_threads(stripes.to_string(), lock, writers, sleep)
    });
    striped.chain([sleeping_threads(EXACT, OursExact::<u64>::default(), writers, sleep)]).collect()
}
