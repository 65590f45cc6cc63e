//! What the counters of an async set say (feature `stats`).

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::place::Print;
use crate::capacity::stripes_for;

/// What was counted about those who waited for a range of neighbouring stripes.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
/// drop(locks.blocking_lock(&1));
/// let (_stripes, waits) = locks.stats().ranges().next().unwrap();
/// assert_eq!(waits.contended, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitStats {
    /// How often somebody had to stand in line for a stripe. Who asks for several stripes is counted for each in whose
    /// line it stood.
    pub contended: u64,
    /// How long those stood there, all together, as far as it is over.
    pub waited: Duration,
    /// How many of them met a holder whose key has the same print: the same key, or by chance another one.
    pub same_print: u64,
    /// How many of them met a holder of another key. Of the rest it is not known, since one of the two had asked
    /// for several keys, or shared the stripe (a reader, a permit), or had left at that moment.
    pub other_print: u64,
}

/// What was counted about those who had to wait, in an async set.
///
/// Whoever finds a stripe free is not counted: that would cost more than to take it. Contention is told apart: *true* contention is
/// for one key, and no number of stripes helps; *false* contention is between keys that share a stripe, and twice as many
/// stripes halve it. Four bits of a key's hash are left in the word of a held stripe, and whoever has to wait compares them with its
/// own. Unequal keys have equal prints in 11 of 128 cases; the estimates take that into account.
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
/// assert_eq!(stats.contended(), 1);
/// assert_eq!(stats.false_contention(), Some(0.0)); // it was the same key
/// println!("{stats}");
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsyncStats {
    stripes: usize,
    buckets: Vec<WaitStats>,
}

/// How many ranges `Display` shows.
const SHOWN: usize = 8;

impl AsyncStats {
    pub(super) fn new(stripes: usize, buckets: Vec<WaitStats>) -> Self {
        Self { stripes, buckets }
    }

    /// The number of stripes.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().stripes(), 64);
    /// ```
    pub fn stripes(&self) -> usize {
        self.stripes
    }

    /// What was counted, by ranges of stripes in ascending order. The stripes of a range have their lines in one bucket,
    /// and are counted together.
    ///
    /// # Examples
    ///
    /// ```
    /// let stats = stripe_lock::AsyncStripedMutex::<u64>::new(64).stats();
    /// assert_eq!(stats.ranges().map(|(stripes, _)| stripes.len()).sum::<usize>(), 64);
    /// ```
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (Range<usize>, WaitStats)> {
        let each = self.stripes / self.buckets.len();
        self.buckets.iter().enumerate().map(move |(at, &waits)| (at * each..(at + 1) * each, waits))
    }

    /// Sums one counter.
    fn sum(&self, counter: impl Fn(&WaitStats) -> u64) -> u64 {
        self.buckets.iter().map(counter).sum()
    }

    /// How often somebody had to stand in line, for all stripes together.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().contended(), 0);
    /// ```
    pub fn contended(&self) -> u64 {
        self.sum(|waits| waits.contended)
    }

    /// How long they stood there, all together, as far as it is over.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().waited().is_zero());
    /// ```
    pub fn waited(&self) -> Duration {
        self.buckets.iter().fold(Duration::ZERO, |sum, waits| sum.saturating_add(waits.waited))
    }

    /// The estimated fraction, 0 to 1, of the contention that is between keys which merely share a stripe; none while nothing
    /// was told apart.
    ///
    /// With `q = 11/128` for the chance that unequal keys have equal prints, `other_print` is `1 - q` of the false
    /// contention.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::AsyncStripedMutex::<u64>::new(64).stats().false_contention(), None);
    /// ```
    pub fn false_contention(&self) -> Option<f64> {
        let other = self.sum(|waits| waits.other_print);
        let told = other + self.sum(|waits| waits.same_print);
        (told > 0).then(|| (other as f64 / (1.0 - Print::CHANCE) / told as f64).min(1.0))
    }

    /// The estimated chance that two operations choose the same key, for
    /// [`Workload::same_key`](crate::Workload::same_key); none while nothing was told apart.
    ///
    /// Of those who meet, a fraction `f` has different keys ([`false_contention`](Self::false_contention)). With the
    /// chance `p` to choose the same key and `S` stripes, `f / (1 - f)` is `(1 - p) / S / p`; solved for `p`, that is
    /// `(1 - f) / (1 - f + f * S)`.
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
    /// // Whoever met so far met its own key.
    /// let same_key = locks.stats().same_key().unwrap();
    /// assert_eq!(same_key, 1.0);
    /// assert_eq!(Workload { busy: 0.5, keys: 1.0, same_key }.chance_to_block(4096, 2), 0.5);
    /// # }
    /// ```
    pub fn same_key(&self) -> Option<f64> {
        let other = self.false_contention()?;
        Some((1.0 - other) / (1.0 - other + other * self.stripes as f64))
    }

    /// How many stripes to give the set so that at most one acquisition in eight has to wait for somebody who wants
    /// another key: the number there is, times eight, times the chance of that in the `acquisitions` there were, as a
    /// power of two of at most [`MAX_STRIPES`](crate::MAX_STRIPES). None while nothing was told apart.
    ///
    /// The set does not count its acquisitions; whoever asks knows how many operations there were since it was made. It is
    /// [`recommended_stripes`](crate::recommended_stripes) from what was measured instead of what was expected.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedMutex::<u64>::new(64);
    /// let guard = locks.lock(&1).await;
    /// assert!(locks.lock_timeout(&1, std::future::ready(())).await.is_err());
    /// // True contention: more stripes would be of no use.
    /// assert_eq!(locks.stats().recommended_stripes(2), Some(1));
    /// # }
    /// ```
    pub fn recommended_stripes(&self, acquisitions: u64) -> Option<usize> {
        let others = self.false_contention()? * self.contended() as f64;
        Some(stripes_for(self.stripes, others / acquisitions.max(1) as f64))
    }
}

impl fmt::Display for AsyncStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stripes, {} contended, {:?} waited, ", self.stripes, self.contended(), self.waited())?;
        match self.false_contention() {
            Some(part) => writeln!(f, "{:.0} % of it false", part * 100.0)?,
            None => writeln!(f, "not told apart")?,
        }
        writeln!(
            f,
            "{:>15} {:>12} {:>12} {:>12} {:>12}",
            "stripes", "contended", "waited", "same key", "other key"
        )?;
        let mut hottest: Vec<_> = self.ranges().collect();
        hottest.sort_by_key(|(stripes, waits)| {
            (std::cmp::Reverse((waits.waited, waits.contended)), stripes.start)
        });
        for (stripes, waits) in hottest.into_iter().take(SHOWN) {
            let stripes = format!("{}..{}", stripes.start, stripes.end);
            let waited = format!("{:.1?}", waits.waited);
            let WaitStats { contended, same_print, other_print, .. } = waits;
            writeln!(f, "{stripes:>15} {contended:>12} {waited:>12} {same_print:>12} {other_print:>12}")?;
        }
        Ok(())
    }
}
