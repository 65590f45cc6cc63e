//! Threads that contend for the same locks: the library's raw locks beside others.

use std::time::{Duration, Instant};

use stripe_lock::{DefaultHasher, raw::WordRwLock};

use super::{
    DASHMAP_SAME_HASHER, OURS, OURS_BYTE, OURS_RW, SCC_SAME_HASHER, STD_RW, STD_STRIPED, STRIPES, Sharing,
    over_bytes, shared, threaded,
};
use crate::{
    contenders::{Dashmap, KeyLock, KeyRwLock, Ours, OursRw, StdStriped, StdStripedRw, peers::Scc},
    harness::Case,
    workloads::{busy, read_mostly, waits_beside_two},
};

const OURS_WORD: &str = "stripe-lock over WordRwLock";

fn over_words() -> OursRw<u64, DefaultHasher, WordRwLock> {
    OursRw::over(STRIPES, DefaultHasher::default())
}

/// `count` threads that lock and unlock, and are busy for the time `section` under the lock: ours over the library's raw
/// mutex and over `parking_lot`'s, beside others.
pub fn contended(count: usize, sharing: Sharing, keys: &[u64], section: Duration) -> Vec<Case<'static>> {
    let others = [OURS, STD_STRIPED, DASHMAP_SAME_HASHER, SCC_SAME_HASHER];
    let mut cases = threaded(count, sharing, keys, section);
    cases.retain(|case| others.contains(&case.label()));
    cases.insert(0, shared(OURS_BYTE, over_bytes(), count, sharing, keys, section));
    cases
}

/// `count` threads that read and write, as [`contended`].
pub fn read_and_written(
    count: usize,
    keys: &[u64],
    writes: fn(usize) -> bool,
    section: Duration,
) -> Vec<Case<'_>> {
    let (hasher, section) = (DefaultHasher::default, move || work(section));
    vec![
        read_mostly(OURS_WORD, over_words(), count, keys, writes, section),
        read_mostly(OURS_RW, OursRw::new(STRIPES, hasher()), count, keys, writes, section),
        read_mostly(STD_RW, StdStripedRw::new(STRIPES, hasher()), count, keys, writes, section),
    ]
}

fn work(section: Duration) {
    if !section.is_zero() {
        busy(section);
    }
}

/// A lock that two threads take again and again. Returns how long a third thread waited for it in some time: seconds, sorted.
pub type Victim = (&'static str, Box<dyn Fn(Duration) -> Vec<f64>>);

/// All threads want to hold the key alone, for the time `section`.
pub fn victims(section: Duration) -> Vec<Victim> {
    fn victim(label: &'static str, lock: impl KeyLock<u64> + 'static, section: Duration) -> Victim {
        let waits = move |length| {
            let wait = || {
                let start = Instant::now();
                lock.with(&0, || waited(start, section))
            };
            waits_beside_two(|| lock.with(&0, || busy(section)), wait, length)
        };
        (label, Box::new(waits))
    }
    let hasher = DefaultHasher::default;
    vec![
        victim(OURS_BYTE, over_bytes(), section),
        victim(OURS, Ours::new(STRIPES, hasher()), section),
        victim(STD_STRIPED, StdStriped::new(STRIPES, hasher()), section),
        victim(DASHMAP_SAME_HASHER, Dashmap::new([0], hasher()), section),
        victim(SCC_SAME_HASHER, Scc::new([0], hasher()), section),
    ]
}

/// A writer waits beside two readers, or a reader beside two writers.
pub fn rw_victims(writer: bool, section: Duration) -> Vec<Victim> {
    fn victim(
        label: &'static str,
        lock: impl KeyRwLock<u64> + 'static,
        writer: bool,
        section: Duration,
    ) -> Victim {
        let waits = move |length| {
            let wait = || {
                let start = Instant::now();
                let waited = || waited(start, section);
                if writer { lock.write(&0, waited) } else { lock.read(&0, waited) }
            };
            let hog = || {
                if writer { lock.read(&0, || busy(section)) } else { lock.write(&0, || busy(section)) }
            };
            waits_beside_two(hog, wait, length)
        };
        (label, Box::new(waits))
    }
    let hasher = DefaultHasher::default;
    vec![
        victim(OURS_WORD, over_words(), writer, section),
        victim(OURS_RW, OursRw::new(STRIPES, hasher()), writer, section),
        victim(STD_RW, StdStripedRw::new(STRIPES, hasher()), writer, section),
    ]
}

/// The time since `start`. Then holds the lock as long as the others do.
fn waited(start: Instant, section: Duration) -> Duration {
    let waited = start.elapsed();
    busy(section);
    waited
}
