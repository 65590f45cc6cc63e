//! The counters of exact locks (feature `stats`).

use std::fmt;
use std::time::Duration;

use super::set::Buckets;

/// The counters of a set of exact locks.
///
/// Unequal keys never wait for each other, so all contention is between acquisitions of the same key, and more
/// buckets do not lower it. More buckets lower [`met`](Self::met): while another key of the same bucket is held, an
/// acquisition has to lock the bucket's table.
///
/// # Examples
///
/// ```
/// use stripe_lock::{DefaultHasher, KeyedMutex};
///
/// let locks = KeyedMutex::<u64>::with_hasher(1, DefaultHasher::default());
/// let guards = (locks.lock(&1), locks.lock(&2));
/// let stats = locks.stats();
/// assert_eq!((stats.acquired, stats.met, stats.contended), (2, 1, 0));
/// println!("{stats}");
/// # drop(guards);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyedStats {
    /// How many keys were acquired, alone or together with others.
    pub acquired: u64,
    /// How many of those were acquired while another key of the same bucket was held, without waiting.
    pub met: u64,
    /// How often an acquisition joined the queue of its key.
    pub contended: u64,
    /// How many of those gave up before they were served.
    pub cancelled: u64,
    /// The number of waiters at this moment.
    pub waiting: u64,
    /// The total time of all finished waits.
    pub waited: Duration,
}

impl KeyedStats {
    /// Locks the table of one bucket at a time.
    pub(super) fn of(buckets: &Buckets) -> Self {
        let mut stats = Self::default();
        buckets.each().for_each(|bucket| bucket.add_to(&mut stats));
        stats
    }
}

impl fmt::Display for KeyedStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acquired, met, contended, cancelled, waiting, waited } = self;
        write!(
            f,
            "{acquired} acquired, {met} beside another key of the bucket; {contended} contended, {cancelled} cancelled, \
             {waiting} waiting, {waited:?} waited"
        )
    }
}
