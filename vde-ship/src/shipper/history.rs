//! Beginning to ship: the entry that keeps earlier shippers out, and whether it continues what they shipped.

use tokio::task::spawn_blocking;
use vde_store::{ReadView, Step, Vde, Watch};

use crate::bucket::{Bucket, Created};
use crate::content::{ChunkWriter, Patience, joined, upload};
use crate::error::{Error, Result};
use crate::format::{BASES, Entry, Kind, LOG, TAKEOVERS, numbered, time_of};
use crate::log::{End, read};
use crate::restore::Restored;
use crate::shipper::options::{Bug, ShipOptions};

/// How often a chunk of a base is tried before the base gives up.
const BASE_TRIES: u32 = 10;

/// A random name.
pub(super) fn random() -> [u8; 16] {
    let mut id = [0; 16];
    for half in id.chunks_exact_mut(8) {
        // A fresh `RandomState` is the standard library's source of randomness.
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), half.len());
        half.copy_from_slice(&random.to_le_bytes());
    }
    id
}

/// A log in which this shipper writes.
pub(super) struct Begun {
    pub(super) end: End,
    pub(super) watch: Watch,
    /// What has changed since the end of the log.
    pub(super) step: Step,
    /// The manifest of the newest base of the history.
    pub(super) base: Option<Entry>,
}

/// What `put_entry` found.
pub(super) enum Put {
    /// The entry is in its place.
    Done,
    /// An earlier attempt of this shipper is in its place.
    Earlier(Box<Entry>, u64),
    /// The entry of another shipper is in its place.
    Other,
}

/// Puts an entry into its place in the log, if it is free.
pub(super) async fn put_entry(bucket: &Bucket, options: &ShipOptions, entry: &Entry) -> Result<Put> {
    let (bytes, sum) = entry.encode();
    let name = numbered(LOG, entry.number);
    let created = if options.has(Bug::Unconditional) {
        bucket.put(&name, bytes).await.map(|()| Created::Yes)?
    } else {
        bucket.create(&name, bytes).await?
    };
    if created == Created::Yes {
        return Ok(Put::Done);
    }
    // The answer to an earlier attempt may have been lost, or the call was repeated on the way.
    let (there, sum_there) = read(bucket, &name).await?;
    Ok(match there.writer == entry.writer {
        true if sum_there == sum => Put::Done,
        true => Put::Earlier(Box::new(there), sum_there),
        false => Put::Other,
    })
}

/// The last entry of the log with its checksum, and the newest base.
async fn last(bucket: &Bucket) -> Result<(Option<(Entry, u64)>, Option<u64>)> {
    let base = bucket.numbers(BASES, 0).await?.last().copied();
    // The entry before a base is never removed.
    let from = base.map_or(0, |base| base.saturating_sub(1));
    let number = match bucket.numbers(LOG, from).await?.last() {
        Some(number) => *number,
        None if base.is_some() => return Err(Error::Missing { object: numbered(LOG, from) }),
        None => return Ok((None, None)),
    };
    Ok((Some(read(bucket, &numbered(LOG, number)).await?), base))
}

/// The changes of the store from now on.
fn watch(store: &Vde) -> Result<(Step, Watch)> {
    let (view, mut watch) = store.watch()?;
    drop(view);
    let mut step = store.catch_up(&mut watch)?;
    step.changes.clear();
    Ok((step, watch))
}

/// Puts a takeover after `last`. It begins a new history with `version`, or continues the one before if that is `None`.
/// Returns the end of the log; `None` if another entry came first.
async fn take_over(
    bucket: &Bucket,
    options: &ShipOptions,
    last: Option<(Entry, u64)>,
    writer: [u8; 16],
    identity: u64,
    version: Option<u64>,
) -> Result<Option<End>> {
    let end = last.map_or_else(End::default, |(last, sum)| End::after(&last, sum));
    let mut entry = end.entry(Kind::Takeover, writer, identity, version.unwrap_or(end.version));
    if version.is_some() {
        entry.history = entry.number;
    }
    bucket.put(&numbered(TAKEOVERS, entry.number), Vec::new()).await?;
    let put = put_entry(bucket, options, &entry).await?;
    Ok(matches!(put, Put::Done).then(|| End::after(&entry, entry.encode().1)))
}

/// Uploads a base of `view`, which is the store as it is at the end of the log. Returns its manifest.
pub(super) async fn put_base(
    bucket: &Bucket,
    options: &ShipOptions,
    mut manifest: Entry,
    view: ReadView,
) -> Result<Entry> {
    let patience = Patience { tries: BASE_TRIES, pause: options.interval };
    let write = move |writer: &mut ChunkWriter| writer.base(&view);
    manifest.fill(upload(bucket, &manifest, options.chunk_bytes, patience, write).await?);
    // If there is a manifest of this number, an earlier attempt of this shipper has put it.
    bucket.create(&numbered(BASES, manifest.number), manifest.encode().0).await?;
    Ok(manifest)
}

/// Ships a store once, as it is: as a base, with which a new history begins. An earlier shipper is kept out, as by
/// [`ShipOptions::start`]. The store may be open for reading only; beside a process that writes it, that is its newest
/// checkpoint.
///
/// # Errors
///
/// As [`ShipOptions::start`], except that the store need not be watched.
///
/// # Cancel safety
///
/// If the future is dropped, earlier shippers may be kept out already.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let bucket = vde_ship::Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
/// let store = vde_store::Vde::in_memory()?;
/// let version = store.put("k", "v")?;
/// assert_eq!(vde_ship::ship_once(&store, &bucket).await?.version, version);
/// # Ok(()) }
/// ```
pub async fn ship_once(store: &Vde, bucket: &Bucket) -> Result<Restored> {
    let viewed = store.clone();
    let (version, view) = joined(spawn_blocking(move || match watch(&viewed) {
        Ok((step, _)) => Ok((step.version, step.view)),
        Err(Error::Store(vde_store::Error::ReadOnly)) => Ok((viewed.durable(), viewed.read_view())),
        Err(error) => Err(error),
    }))
    .await?;
    let whole = Whole { identity: store.identity(), version, view };
    let (end, _) = put_whole(bucket, &ShipOptions::new(), random(), false, whole).await?;
    Ok(Restored { version, time: time_of(end.time), entries: 0 })
}

/// The whole of a store, as it is at a version.
pub(super) struct Whole {
    pub(super) identity: u64,
    pub(super) version: u64,
    pub(super) view: ReadView,
}

/// Begins a new history with a whole store. With `anew`, this shipper has begun already, and must not take over again.
/// Returns the end of the log, and the manifest of the base.
pub(super) async fn put_whole(
    bucket: &Bucket,
    options: &ShipOptions,
    writer: [u8; 16],
    anew: bool,
    whole: Whole,
) -> Result<(End, Entry)> {
    let Whole { identity, version, view } = whole;
    let end = loop {
        let (last, _) = last(bucket).await?;
        not_fenced(last.as_ref(), writer, anew)?;
        if let Some(end) = take_over(bucket, options, last, writer, identity, Some(version)).await? {
            break end;
        }
    };
    let base = put_base(bucket, options, end.manifest(writer, identity, 0), view).await?;
    Ok((end, base))
}

/// An error if another shipper has taken over from this one, which has begun already if `anew`.
fn not_fenced(last: Option<&(Entry, u64)>, writer: [u8; 16], anew: bool) -> Result<()> {
    match last {
        Some((last, _)) if anew && last.writer != writer => Err(Error::Fenced { number: last.number }),
        _ => Ok(()),
    }
}

/// Makes this shipper the one that writes the log. With `anew`, it was the one already, and has forgotten changes: it
/// begins a new history, unless another shipper has taken over.
pub(super) async fn begin(
    store: &Vde,
    bucket: &Bucket,
    options: &ShipOptions,
    writer: [u8; 16],
    anew: bool,
) -> Result<Begun> {
    loop {
        let (last, base) = last(bucket).await?;
        not_fenced(last.as_ref(), writer, anew)?;
        let identity = store.identity();
        let version = last.as_ref().filter(|(last, _)| !anew && last.identity == identity);
        let version = version.map(|(last, _)| last.version);
        let watched = store.clone();
        let (step, watch, continues) = joined(spawn_blocking(move || {
            let continued = version.map(|version| watched.watch_after(version)).transpose()?.flatten();
            if let Some((step, watch)) = continued {
                return Ok((step, watch, true));
            }
            let (step, watch) = self::watch(&watched)?;
            Ok((step, watch, false))
        }))
        .await?;
        let version = if continues { None } else { Some(step.version) };
        if let Some(end) = take_over(bucket, options, last, writer, identity, version).await? {
            let base = match base.filter(|base| *base > end.history) {
                Some(number) => Some(read(bucket, &numbered(BASES, number)).await?.0),
                None => None,
            };
            return Ok(Begun { end, watch, step, base });
        }
    }
}
