//! Reading and checking everything that was shipped.

use std::time::SystemTime;

use tokio::task::spawn_blocking;

use crate::bucket::Bucket;
use crate::content::{fetch, joined, records};
use crate::error::{Error, Result};
use crate::format::{BASES, Entry, Kind, LOG, numbered, time_of};
use crate::log::{End, read};

/// What [`verify`] found.
///
/// # Examples
///
/// See [`verify`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Verified {
    /// The number of bases.
    pub bases: u64,
    /// The number of entries of the log from the oldest base on.
    pub entries: u64,
    /// The bytes of content that were checked.
    pub bytes: u64,
    /// The oldest point that can be restored: its version, and the time.
    pub oldest: Option<(u64, SystemTime)>,
    /// The newest point.
    pub newest: Option<(u64, SystemTime)>,
    /// Everything that is damaged or missing.
    pub problems: Vec<Error>,
}

impl Verified {
    /// Whether nothing is damaged or missing.
    ///
    /// # Examples
    ///
    /// See [`verify`].
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds a problem. Any other error ends the check.
    fn note<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(done) => Ok(Some(done)),
            Err(error @ (Error::Damaged { .. } | Error::Missing { .. } | Error::NewerFormat { .. })) => {
                self.problems.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads the content of an entry.
async fn check_content(bucket: &Bucket, entry: Entry, object: String) -> Result<()> {
    let mut content = fetch(bucket, entry);
    joined(spawn_blocking(move || {
        records(&mut content, &object, |_, value| {
            std::io::copy(value, &mut std::io::sink()).map_err(|e| Error::of_read(e, &object)).map(drop)
        })
    }))
    .await
}

/// Reads and checks everything from the oldest base on: every checksum, every record, and that no entry of the log is
/// missing. Damage does not end the check; it is listed.
///
/// While the store is shipped, objects that are removed in the middle of the check count as missing.
///
/// # Errors
///
/// [`Error::Objects`] and [`Error::TimedOut`] if the object store cannot be read.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bucket = vde_ship::Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
/// let store = vde_store::Vde::in_memory()?;
/// let shipper = vde_ship::Shipper::new(&store, bucket.clone()).await?;
/// shipper.wait(store.put("k", "v")?).await?;
/// let verified = vde_ship::verify(&bucket).await?;
/// assert!(verified.is_clean() && verified.bases == 1);
/// # Ok(()) }
/// ```
pub async fn verify(bucket: &Bucket) -> Result<Verified> {
    let mut verified = Verified::default();
    let mut bases = Vec::new();
    for number in bucket.numbers(BASES, 0).await? {
        let name = numbered(BASES, number);
        verified.bases += 1;
        let read = read(bucket, &name).await;
        let Some((base, _)) = verified.note(read)? else { continue };
        verified.bytes += base.len();
        bases.push(End::of_base(&base));
        let is_base =
            if base.kind == Kind::Base { Ok(()) } else { Err(Error::Damaged { object: name.clone() }) };
        verified.note(is_base)?;
        let checked = check_content(bucket, base, name).await;
        verified.note(checked)?;
    }
    let Some(oldest) = bases.first().copied() else { return Ok(verified) };
    let point = |end: End| Some((end.version, time_of(end.time)));
    (verified.oldest, verified.newest) = (point(oldest), point(oldest));
    let last = bucket.numbers(LOG, oldest.next).await?.last().copied();
    let mut at = Some(oldest);
    for number in oldest.next..last.map_or(oldest.next, |last| last + 1) {
        let name = numbered(LOG, number);
        verified.entries += 1;
        let read = read(bucket, &name).await;
        let Some((entry, sum)) = verified.note(read)? else {
            at = None;
            continue;
        };
        let mut end = at.take().unwrap_or(End::before(&entry));
        let linked = end.advance(&entry, sum);
        verified.note(linked)?;
        let end = End::after(&entry, sum);
        at = Some(end);
        verified.bytes += entry.len();
        if bases
            .iter()
            .rev()
            .find(|base| base.next <= end.next)
            .is_some_and(|base| base.history == end.history)
        {
            verified.newest = point(end);
        }
        // A base is what the log leads to.
        let is_linked = bases.iter().all(|base| base.next != end.next || base.previous == sum);
        verified.note(if is_linked {
            Ok(())
        } else {
            Err(Error::Damaged { object: numbered(BASES, end.next) })
        })?;
        let checked = check_content(bucket, entry, name).await;
        verified.note(checked)?;
    }
    Ok(verified)
}
