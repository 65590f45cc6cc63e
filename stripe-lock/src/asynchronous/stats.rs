//! The counters of an async set (feature `stats`).

use std::fmt;
use std::time::Duration;

use super::instrument::Fingerprint;
use super::queue::Queue;
use crate::shared::capacity::stripes_for;

/// The counters of one stripe.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// drop(locks.blocking_lock(&1));
/// let stats = locks.stats();
/// let (stripe, per_stripe) = stats.stripes().next().unwrap();
/// assert_eq!((stripe, per_stripe.acquired, per_stripe.contended), (locks.stripe_of(&1), 1, 0));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StripeWaits {
    /// How often the stripe was acquired, alone or together with others.
    pub acquired: u64,
    /// How often an acquisition joined the queue of the stripe.
    pub contended: u64,
    /// How many of those gave up before they were served.
    pub cancelled: u64,
    /// The number of waiters at this moment.
    pub waiting: u64,
    /// The total time of all finished waits.
    pub waited: Duration,
    /// How many of the contended acquisitions found a holder whose key has the same fingerprint: the same key, or by
    /// chance another one.
    pub same_key: u64,
    /// How many of the contended acquisitions found a holder of another key. For the rest it is unknown: the waiter
    /// or the holder acquired several keys, or shared the stripe (as a reader or by a permit), or the holder left at
    /// that moment.
    pub other_key: u64,
}

/// The counters of an async set.
///
/// There are two kinds of contention. *True* contention is for one key, and no number of stripes helps. *False*
/// contention is between keys that share a stripe, and twice as many stripes halve it. A holder leaves the
/// fingerprint of its key, four bits of the hash, in the word of the stripe. A waiter compares it with its own.
/// Unequal keys have equal fingerprints in 3 of 32 cases; the estimates take that into account.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::future::ready;
/// use stripe_lock::AsyncStripedMutex;
///
/// let locks = AsyncStripedMutex::<u64>::new(1);
/// let guard = locks.lock(&1).await;
/// assert!(locks.lock_timeout(&1, ready(())).await.is_err());
///
/// let stats = locks.stats();
/// assert_eq!((stats.acquired(), stats.contended(), stats.cancelled()), (1, 1, 1));
/// assert_eq!(stats.false_contention(), Some(0.0)); // it was the same key
/// println!("{stats}");
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsyncStats {
    stripes: usize,
    /// The stripes with a counter that is not 0.
    counts: Vec<(usize, StripeWaits)>,
}

/// How many stripes `Display` shows.
const SHOWN: usize = 8;

impl AsyncStats {
    /// Locks one bucket at a time, for one stripe.
    pub(super) fn of(stripes: usize, queue: &Queue) -> Self {
        let count = |stripe: usize| {
            let mut counts = {
                let locked = queue.lock(stripe);
                locked.known_head(stripe).map_or_else(StripeWaits::default, |head| StripeWaits {
                    waiting: u64::from(head.len()),
                    ..head.tally.snapshot()
                })
            };
            counts.acquired = queue.monitor.acquisitions(stripe);
            (stripe, counts)
        };
        let counts =
            (0..stripes).map(count).filter(|(_, counts)| *counts != StripeWaits::default()).collect();
        Self { stripes, counts }
    }

    /// The stripes with a counter that is not 0, in ascending order, each with its counters.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().stripes().len(), 0);
    /// ```
    pub fn stripes(&self) -> impl ExactSizeIterator<Item = (usize, StripeWaits)> {
        self.counts.iter().copied()
    }

    /// Sums one counter.
    fn sum(&self, counter: impl Fn(&StripeWaits) -> u64) -> u64 {
        self.counts.iter().map(|(_, counts)| counter(counts)).sum()
    }

    /// How often a stripe was acquired.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// drop(locks.blocking_lock_many(&[1, 1]));
    /// assert_eq!(locks.stats().acquired(), 1);
    /// ```
    pub fn acquired(&self) -> u64 {
        self.sum(|counts| counts.acquired)
    }

    /// How often an acquisition joined a queue. An acquisition of several stripes counts once for each queue in which
    /// it waited.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().contended(), 0);
    /// ```
    pub fn contended(&self) -> u64 {
        self.sum(|counts| counts.contended)
    }

    /// How often a waiter gave up before it was served.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().cancelled(), 0);
    /// ```
    pub fn cancelled(&self) -> u64 {
        self.sum(|counts| counts.cancelled)
    }

    /// The number of waiters at this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().waiting(), 0);
    /// ```
    pub fn waiting(&self) -> u64 {
        self.sum(|counts| counts.waiting)
    }

    /// The total time of all finished waits.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().waited().is_zero());
    /// ```
    pub fn waited(&self) -> Duration {
        self.counts.iter().fold(Duration::ZERO, |sum, (_, counts)| sum.saturating_add(counts.waited))
    }

    /// The estimated fraction, 0 to 1, of the contention that is between different keys of one stripe. `None` until a
    /// waiter could compare its key with that of the holder.
    ///
    /// With `q = 3/32` for the chance that unequal keys have equal fingerprints, `other_key` is `1 - q` of the false
    /// contention.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().false_contention(), None);
    /// ```
    pub fn false_contention(&self) -> Option<f64> {
        let other = self.sum(|counts| counts.other_key);
        let told = other + self.sum(|counts| counts.same_key);
        (told > 0).then(|| (other as f64 / (1.0 - Fingerprint::CHANCE) / told as f64).min(1.0))
    }

    /// The estimated chance that two operations choose the same key, for
    /// [`Workload::same_key`](crate::Workload::same_key). `None` if [`false_contention`](Self::false_contention) is.
    ///
    /// Of the colliding operations, a fraction `f` has different keys ([`false_contention`](Self::false_contention)).
    /// With the chance `p` to choose the same key and `S` stripes, `f / (1 - f)` is `(1 - p) / S / p`; solved for `p`,
    /// that is `(1 - f) / (1 - f + f * S)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use stripe_lock::Workload;
    ///
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).await;
    /// assert!(locks.lock_timeout(&1, std::future::ready(())).await.is_err());
    /// // All contention so far was for one key.
    /// let same_key = locks.stats().same_key().unwrap();
    /// assert_eq!(same_key, 1.0);
    /// assert_eq!(Workload { busy: 0.5, keys: 1.0, same_key }.chance_to_block(4096, 2), 0.5);
    /// # }
    /// ```
    pub fn same_key(&self) -> Option<f64> {
        let other = self.false_contention()?;
        Some((1.0 - other) / (1.0 - other + other * self.stripes as f64))
    }

    /// The number of stripes with which at most one acquisition in eight waits for a holder of another key. It is the
    /// present number, times eight, times the fraction of acquisitions that waited for another key, rounded to a power
    /// of two of at most [`MAX_STRIPES`](crate::MAX_STRIPES). `None` if [`false_contention`](Self::false_contention)
    /// is.
    ///
    /// The function [`recommended_stripes`](crate::recommended_stripes) answers the same question from an expected
    /// number of writers instead of measurements.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).await;
    /// assert!(locks.lock_timeout(&1, std::future::ready(())).await.is_err());
    /// // True contention: more stripes would be of no use.
    /// assert_eq!(locks.stats().recommended_stripes(), Some(1));
    /// # }
    /// ```
    pub fn recommended_stripes(&self) -> Option<usize> {
        let others = self.false_contention()? * self.contended() as f64;
        Some(stripes_for(self.stripes, others / self.acquired().max(1) as f64))
    }
}

impl fmt::Display for AsyncStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (acquired, contended) = (self.acquired(), self.contended());
        write!(
            f,
            "{} stripes, {acquired} acquired, {contended} contended, {:?} waited, ",
            self.stripes,
            self.waited()
        )?;
        match self.false_contention() {
            Some(part) => writeln!(f, "{:.0} % of the contention false", part * 100.0)?,
            None => writeln!(f, "false contention unknown")?,
        }
        writeln!(
            f,
            "{:>9} {:>12} {:>12} {:>12} {:>9} {:>12} {:>12} {:>12}",
            "stripe", "acquired", "contended", "cancelled", "waiting", "waited", "same key", "other key"
        )?;
        let mut hottest = self.counts.clone();
        hottest.sort_by_key(|(stripe, counts)| {
            (std::cmp::Reverse((counts.waited, counts.contended, counts.acquired)), *stripe)
        });
        for (stripe, counts) in hottest.into_iter().take(SHOWN) {
            let StripeWaits { acquired, contended, cancelled, waiting, waited, same_key, other_key } = counts;
            let waited = format!("{waited:.1?}");
            writeln!(
                f,
                "{stripe:>9} {acquired:>12} {contended:>12} {cancelled:>12} {waiting:>9} {waited:>12} {same_key:>12} {other_key:>12}"
            )?;
        }
        Ok(())
    }
}
