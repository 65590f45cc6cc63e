//! When a new base is due, and removing what no point needs that is to be kept.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::format::{BASES, DATA, Entry, LOG, TAKEOVERS, now, numbered};
use crate::shipper::options::{Bug, ShipOptions};

/// A base is due once the parts after the last one have this many times its bytes. So a restore reads at most about five times
/// the bytes of the store, and the bases of a busy store add a quarter to the upload of its changes.
const PARTS: u64 = 4;

/// A base that was uploaded.
#[derive(Debug)]
pub(super) struct Based {
    bytes: u64,
    time: u64,
}

impl Based {
    pub(super) fn of(manifest: &Entry) -> Self {
        Self { bytes: manifest.len(), time: manifest.time }
    }

    /// Whether a new base is due. `part_bytes`: the bytes of the parts after this one.
    pub(super) fn is_old(&self, part_bytes: u64, options: &ShipOptions) -> bool {
        part_bytes > (self.bytes * PARTS).max(options.base_bytes)
            || part_bytes > 0 && now().saturating_sub(self.time) >= options.base_every.as_micros() as u64
    }
}

/// Removes what only points need that are older than `options.keep` at `now`.
///
/// The newest base that is at least that old stays, with everything after it. Bases are removed first, so that no
/// restore begins with one whose entries are being removed.
///
/// Takeovers and the entries before them are never removed. A shipper that was kept out tries to put the entry where
/// the next takeover is, or to put the entry before it again. If that place were free, it would succeed.
pub(super) async fn remove_old(bucket: &Bucket, options: &ShipOptions, now: u64) -> Result<()> {
    let before = now.saturating_sub(options.keep.as_micros() as u64);
    let mut oldest_needed = None;
    for number in bucket.numbers(BASES, 0).await? {
        let name = numbered(BASES, number);
        let (base, _) = match bucket.get(&name).await {
            Ok(bytes) => Entry::decode(&name, &bytes)?,
            Err(Error::Missing { .. }) => continue,
            Err(error) => return Err(error),
        };
        if base.time > before {
            break;
        }
        oldest_needed = Some(number);
    }
    let Some(mut first) = oldest_needed else { return Ok(()) };
    let mut kept: BTreeSet<u64> = bucket.numbers(TAKEOVERS, 0).await?.into_iter().collect();
    if options.has(Bug::RemoveTakeovers) {
        kept.clear();
    }
    if options.has(Bug::RemoveTooMuch) {
        first += 1;
    }
    bucket.remove(BASES, |number| number < first).await?;
    // The next takeover reads the entry before a base.
    let is_kept = |number| number + 1 >= first || kept.contains(&number) || kept.contains(&(number + 1));
    bucket.remove(LOG, |number| !is_kept(number)).await?;
    bucket.remove(DATA, |number| number < first).await
}

/// The pause after the `n`-th failure in a row.
pub(super) fn pause(failures: u32, interval: Duration) -> Duration {
    (interval * 2u32.saturating_pow(failures.min(8))).min(Duration::from_secs(10))
}
