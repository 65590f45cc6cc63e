//! Counters of each stripe, and figures derived from them (feature `stats`).

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::vec::Vec;

use crate::blocking::raw::Mode;
use crate::shared::atomic::AtomicU64;

/// The counters of one stripe. No other memory depends on them, so all accesses are relaxed.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    acquisitions: AtomicU64,
    contended: AtomicU64,
    waited_nanos: AtomicU64,
}

impl Counters {
    /// To be called while holding the stripe in mode `M`.
    #[inline]
    pub(crate) fn acquired<M: Mode>(&self) {
        add::<M>(&self.acquisitions, 1);
    }

    /// To be called while holding the stripe in mode `M`.
    pub(crate) fn waited<M: Mode>(&self, time: Duration) {
        add::<M>(&self.contended, 1);
        add::<M>(&self.waited_nanos, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn snapshot(&self) -> StripeStats {
        StripeStats {
            acquisitions: self.acquisitions.load(Relaxed),
            contended: self.contended.load(Relaxed),
            waited: Duration::from_nanos(self.waited_nanos.load(Relaxed)),
        }
    }
}

/// Adds to a counter of a stripe that is held in mode `M`. An exclusive holder is the only writer, so it needs no
/// read-modify-write instruction.
#[inline]
fn add<M: Mode>(counter: &AtomicU64, n: u64) {
    if M::EXCLUSIVE {
        counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
    } else {
        counter.fetch_add(n, Relaxed);
    }
}

/// The counters of one stripe, at one moment.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::StripedMutex::<u64>::new(4);
/// drop(locks.lock(&1));
/// assert_eq!(locks.stats().stripes()[locks.stripe_of(&1)].contended, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StripeStats {
    /// How often the stripe was taken, in any mode. Failed attempts are not counted.
    pub acquisitions: u64,
    /// How many of the acquisitions found the stripe held.
    pub contended: u64,
    /// The total time that the contended acquisitions waited.
    pub waited: Duration,
}

/// The counters of all stripes. They are read one after the other while the locks are in use. `Display` prints a
/// small table of the hottest stripes.
///
/// # Examples
///
/// ```
/// let locks = stripe_lock::StripedMutex::<u64>::new(4);
/// (0..100).for_each(|key| drop(locks.lock(&key)));
/// let stats = locks.stats();
/// assert_eq!((stats.acquisitions(), stats.contended()), (100, 0));
/// println!("{stats}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    stripes: Vec<StripeStats>,
    active: usize,
}

/// How many stripes `Display` shows.
const SHOWN: usize = 8;

impl Stats {
    pub(crate) fn new(stripes: Vec<StripeStats>, active: usize) -> Self {
        Self { stripes, active }
    }

    /// How many stripes are in use. These are all stripes, unless the set [grows](crate::StripedMutex::growing).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripedMutex::<u64>::growing(2..=8).stats().active_stripes(), 2);
    /// ```
    pub fn active_stripes(&self) -> usize {
        self.active
    }

    /// The counters of every stripe, by its index.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripedMutex::<u64>::new(4).stats().stripes().len(), 4);
    /// ```
    pub fn stripes(&self) -> &[StripeStats] {
        &self.stripes
    }

    /// The number of acquisitions of all stripes.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripedMutex::<u64>::new(4).stats().acquisitions(), 0);
    /// ```
    pub fn acquisitions(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.acquisitions).sum()
    }

    /// The number of acquisitions of all stripes that found their stripe held.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripedMutex::<u64>::new(4).stats().contended(), 0);
    /// ```
    pub fn contended(&self) -> u64 {
        self.stripes.iter().map(|stripe| stripe.contended).sum()
    }

    /// The total time that acquisitions of all stripes waited.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::StripedMutex::<u64>::new(4).stats().waited().is_zero());
    /// ```
    pub fn waited(&self) -> Duration {
        self.stripes.iter().map(|stripe| stripe.waited).sum()
    }

    /// The `n` hottest stripes, each with its index, the hottest first. They are ordered by the time waited, then by
    /// the number of acquisitions.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// drop(locks.lock(&1));
    /// assert_eq!(locks.stats().hottest(1)[0].0, locks.stripe_of(&1));
    /// ```
    pub fn hottest(&self, n: usize) -> Vec<(usize, StripeStats)> {
        let mut stripes: Vec<_> = self.stripes.iter().copied().enumerate().collect();
        stripes
            .sort_by_key(|&(index, stripe)| core::cmp::Reverse((stripe.waited, stripe.acquisitions, !index)));
        stripes.truncate(n);
        stripes
    }

    /// How uneven the load is: the acquisitions of the busiest stripe, divided by the mean of the stripes in use. 1 is
    /// perfectly even. If the result is near the number of stripes, one stripe has nearly all acquisitions, and more
    /// stripes do not help.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<u64>::new(4);
    /// drop(locks.lock(&1));
    /// assert_eq!(locks.stats().skew(), 4.0);
    /// ```
    pub fn skew(&self) -> f64 {
        let busiest = self.stripes.iter().map(|stripe| stripe.acquisitions).max().unwrap_or(0);
        let mean = self.acquisitions() as f64 / self.active.max(1) as f64;
        if busiest == 0 { 1.0 } else { busiest as f64 / mean }
    }
}

impl FromIterator<StripeStats> for Stats {
    fn from_iter<I: IntoIterator<Item = StripeStats>>(stripes: I) -> Self {
        let stripes: Vec<_> = stripes.into_iter().collect();
        Self { active: stripes.len(), stripes }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} stripes, {} acquisitions, {} contended, {:?} waited, skew {:.2}",
            self.active,
            self.acquisitions(),
            self.contended(),
            self.waited(),
            self.skew()
        )?;
        writeln!(f, "{:>8} {:>12} {:>12} {:>12}", "stripe", "acquired", "contended", "waited")?;
        for (index, stripe) in self.hottest(SHOWN) {
            let waited = format_args!("{:.1?}", stripe.waited).to_string();
            writeln!(f, "{index:>8} {:>12} {:>12} {waited:>12}", stripe.acquisitions, stripe.contended)?;
        }
        Ok(())
    }
}
