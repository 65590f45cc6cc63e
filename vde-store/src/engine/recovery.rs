//! Recovery: from the bytes of a container to the state of a running store.

use std::sync::Arc;

use crate::container::blob::BlobMap;
use crate::container::catalog::Catalog;
use crate::container::device::Device;
use crate::container::error::{Error, Result};
use crate::container::format::{
    BLOCK, DATA_START, FLAG_BLOB, FLAG_MORE, FLAG_PRIOR, Kind, LogPosition, Superblock,
};
use crate::container::log::reader::LogReader;
use crate::container::log::record::Record;
use crate::container::memtable::{Change, Facts, Location, Memtable, Payload, Stored, Target};
use crate::container::pages::Pages;
use crate::container::planted::Bug;
use crate::container::segments::{PageRun, Segment, Segments, Table};
use crate::engine::options::VdeOptions;

/// The result of replaying the log when a store was opened.
///
/// # Examples
///
/// ```
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("store.vde");
/// vde_store::Vde::open(&path)?.put("k", "v")?;
///
/// let store = vde_store::Vde::open(&path)?;
/// assert_eq!(store.recovery().torn_at, None);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// How many records were replayed.
    pub records: u64,
    /// The offset in the container of a torn write, if there is one. A crash interrupted the write before it was
    /// acknowledged, so it was dropped.
    pub torn_at: Option<u64>,
    /// The offset in the container of damage that ended the replay early, in a store that was opened with
    /// [`salvage`](crate::VdeOptions::salvage). Everything logged from there on is missing.
    pub damaged_at: Option<u64>,
    /// Whether another process had the store open for writing when this handle opened it for reading. Then the handle
    /// shows the newest checkpoint of that moment, and nothing that was logged later.
    pub beside_writer: bool,
}

/// The newest checkpoint of a container.
pub(crate) struct Root {
    pub(crate) superblock: Superblock,
    /// The superblock's bytes.
    pub(crate) block: Vec<u8>,
    pub(crate) catalog: Catalog,
    pub(crate) catalog_runs: Vec<PageRun>,
    pub(crate) segments: Segments,
    pub(crate) pages: Arc<Pages>,
    /// The offset of damage that makes the index unreadable, in a store that is opened with salvage. Then only the
    /// superblock is known.
    pub(crate) lost_at: Option<u64>,
    /// Whether the segment table is up to date, except for log in segments that were free.
    pub(crate) is_newest: bool,
}

/// Finds the newest valid superblock, and loads the catalog to which it refers. The catalog was durable before the
/// superblock was written. So if it is damaged now, a crash is not the cause, and an older superblock would show an
/// outdated store. Only [`salvage`](VdeOptions::salvage) falls back to the older one.
pub(crate) fn read_root(device: &Arc<dyn Device>, options: &VdeOptions) -> Result<Root> {
    let mut superblocks = read_superblocks(&**device, !options.read_only)?;
    superblocks.sort_by_key(|(superblock, _)| std::cmp::Reverse(superblock.generation));
    let falls_back = options.salvage || options.planted.has(Bug::FallBack);
    let tried = if falls_back { superblocks.len() } else { 1 };
    let mut first_error = None;
    let has_both = superblocks.len() == 2;
    for (superblock, block) in superblocks.iter().take(tried) {
        let is_newest = has_both && first_error.is_none();
        match load_catalog(device, superblock.clone(), block.clone(), falls_back, is_newest) {
            Ok(root) => return Ok(root),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match (first_error, superblocks.into_iter().next()) {
        (Some(Error::Corrupt { offset, .. }), Some((superblock, block))) if options.salvage => {
            let geometry = superblock.geometry();
            let pages = Arc::new(Pages::new(device.clone(), geometry));
            let (catalog, segments) = (Catalog::default(), Segments::new(Table::new(geometry)));
            Ok(Root {
                superblock,
                block,
                catalog,
                catalog_runs: Vec::new(),
                segments,
                pages,
                lost_at: Some(offset),
                is_newest: false,
            })
        }
        (error, _) => Err(error.unwrap_or(Error::not_a_store("it has no superblock"))),
    }
}

/// The number of checkpoints in the newest superblock.
pub(crate) fn newest_checkpoint(device: &dyn Device) -> Result<u64> {
    let superblocks = read_superblocks(device, false)?;
    let newest = superblocks.iter().max_by_key(|(superblock, _)| superblock.generation);
    Ok(newest.map_or(0, |(superblock, _)| superblock.checkpoints))
}

fn load_catalog(
    device: &Arc<dyn Device>,
    superblock: Superblock,
    block: Vec<u8>,
    cut_is_fine: bool,
    is_newest: bool,
) -> Result<Root> {
    let geometry = superblock.geometry();
    let len = device.len().map_err(|e| Error::io("measure the container", e))?;
    if u64::from(superblock.log.segment) >= geometry.segments_within_reach(len) {
        return Err(Error::corrupt("superblock", superblock.offset()));
    }
    let pages = Arc::new(Pages::new(device.clone(), geometry));
    let (catalog, table, catalog_runs) = if superblock.catalog.len == 0 {
        (Catalog::default(), Table::new(geometry), Vec::new())
    } else {
        Catalog::read(&pages, superblock.catalog)?
    };
    if let Some(root) = catalog.root {
        pages.extent(root, "index page")?;
    }
    if len < written_end(&superblock, &table) && !cut_is_fine {
        return Err(Error::corrupt("file end", len));
    }
    let segments = Segments::new(table);
    Ok(Root { superblock, block, catalog, catalog_runs, segments, pages, lost_at: None, is_newest })
}

/// The end of the written part of the container at the checkpoint. If the container is shorter, it was damaged, and
/// not by a crash.
fn written_end(superblock: &Superblock, table: &Table) -> u64 {
    let geometry = superblock.geometry();
    let end = |segment, offset: u64| if offset == 0 { 0 } else { geometry.segment_offset(segment) + offset };
    let pages = table.iter().map(|(index, segment)| match segment {
        Segment::Pages(map) => end(index, u64::from(map.end()) * BLOCK),
        _ => 0,
    });
    pages.fold(end(superblock.log.segment, u64::from(superblock.log.offset)), u64::max)
}

/// Those of the two superblocks that are valid.
fn read_superblocks(device: &dyn Device, write: bool) -> Result<Vec<(Superblock, Vec<u8>)>> {
    let len = device.len().map_err(|e| Error::io("measure the container", e))?;
    if len == 0 {
        return Err(Error::not_a_store("it is empty"));
    }
    let read = |offset: u64| {
        let mut block = vec![0; BLOCK as usize];
        if offset + BLOCK > len {
            return Err(Error::not_a_store("it is shorter than its superblocks"));
        }
        device.read_at(&mut block, offset).map_err(|e| Error::io("read a superblock", e))?;
        Ok((Superblock::decode(&block, offset, write)?, block))
    };
    match (read(0), read(BLOCK)) {
        (Ok(a), Ok(b)) => Ok(vec![a, b]),
        // The other superblock may be valid in a newer format. Falling back to this one would undo newer writes.
        (Err(newer @ Error::NewerFormat { .. }), _) | (_, Err(newer @ Error::NewerFormat { .. })) => {
            Err(newer)
        }
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(vec![only]),
        (Err(a), Err(b)) => match if matches!(a, Error::NotAStore { .. }) { b } else { a } {
            // When a container is created, nothing is written after the superblocks before they are durable.
            Error::Corrupt { .. } if len <= DATA_START => Err(Error::not_a_store("it was never finished")),
            error => Err(error),
        },
    }
}

/// The log's end.
pub(crate) struct Replayed {
    pub(crate) position: LogPosition,
    pub(crate) recovery: Recovery,
}

/// Replays the log after the checkpoint of `superblock` into `memtable`, and marks in `segments` the space that the
/// log uses.
pub(crate) fn replay(
    pages: &Arc<Pages>,
    superblock: &Superblock,
    memtable: &Memtable,
    segments: &mut Segments,
    is_newest: bool,
    options: &VdeOptions,
) -> Result<Replayed> {
    let planted = options.planted;
    let start = superblock.log;
    // A first pass over the units alone: up to where was the log known to be durable?
    let mut reader = LogReader::new(pages, start)?;
    while reader.next_unit(|_, _, _| Ok(true))? {}
    // If the store was closed, its whole log was durable.
    let synced = reader.durable_seq().max(superblock.closed.unwrap_or(0));
    reader.rewind(start)?;
    let write_back = !options.read_only && !planted.has(Bug::TrustCachedLog);
    if write_back {
        reader.write_back_from(synced);
    }

    let mut recovery = Recovery::default();
    let mut transaction: Vec<(Target, Change)> = Vec::new();
    segments.mark_log(start.segment, start.ordinal, start.seq + 1);
    let len = pages.device().len().map_err(|e| Error::io("measure the container", e))?;
    let reach = pages.geometry().segments_within_reach(len);
    loop {
        let mut unit: Vec<(Target, Change, u8)> = Vec::new();
        let whole = reader.next_unit(|record, seq, offset| {
            if !record.has_whole_value() {
                return Ok(false);
            }
            // A crash may keep a record without the blob that it maps, if neither was synced.
            if seq > synced
                && !planted.has(Bug::TornBlobs)
                && is_torn_blob(pages, record, offset, write_back)?
            {
                return Ok(false);
            }
            unit.push((target(record), change(record, seq, offset)?, record.head.flags));
            Ok(true)
        })?;
        if !whole {
            break;
        }
        for (target, change, flags) in unit {
            if flags & FLAG_PRIOR == 0 {
                // A transaction that a crash cut off was never acknowledged, and never continues.
                transaction.clear();
            }
            transaction.push((target, change));
            if flags & FLAG_MORE == 0 || planted.has(Bug::HalfTransactions) {
                recovery.records += transaction.len() as u64;
                apply(&mut transaction, pages, memtable, segments, reach, options.salvage)?;
            }
        }
        let position = reader.position();
        segments.mark_log(position.segment, position.ordinal, position.seq + 1);
    }
    let ended_early = match superblock.closed {
        // The log ends where the store was closed, so nothing was written after that.
        Some(end) if end == reader.position().seq => None,
        Some(end) if end > reader.position().seq => Some(reader.damage()),
        _ => {
            recovery.torn_at = reader.torn_at();
            // Unless it was announced where the log continues, later units can be in all segments that were free at the
            // checkpoint. After an older checkpoint they can be anywhere.
            let is_free = |segment: &u32| matches!(segments.get(*segment), Some(Segment::Free) | None);
            let may_follow: Option<Vec<_>> = (!is_newest || !reader.is_announced()).then(|| {
                let all = 0..pages.geometry().segments_of(len) as u32;
                all.filter(|segment| !is_newest || is_free(segment)).collect()
            });
            reader.check_end(may_follow.as_deref()).err()
        }
    };
    match ended_early {
        Some(Error::Corrupt { offset, .. }) if options.salvage => recovery.damaged_at = Some(offset),
        Some(error) => return Err(error),
        None => {}
    }
    Ok(Replayed { position: reader.position(), recovery })
}

/// Applies a whole transaction. The container may refer to its first `reach` segments only.
fn apply(
    transaction: &mut Vec<(Target, Change)>,
    pages: &Pages,
    memtable: &Memtable,
    segments: &mut Segments,
    reach: u64,
    salvage: bool,
) -> Result<()> {
    for (target, change) in transaction.drain(..) {
        segments.add_live(change.location.offset, u64::from(change.location.len));
        if let Some(stored) = &change.stored
            && let Payload::Blob(map) = &stored.payload
        {
            let runs = match BlobMap::decode(map, change.location.offset)?.runs(pages) {
                // With salvage, nothing will be written, so it does not matter which pages are taken.
                Err(Error::Corrupt { .. }) if salvage => Vec::new(),
                runs => runs?,
            };
            for run in runs {
                segments.mark_pending(run, stored.origin.is_some(), reach)?;
            }
        }
        memtable.insert(target, change);
    }
    Ok(())
}

/// Whether the record maps a blob that is not whole. With `write_back`, a whole blob is written again, because it may
/// be only in the page cache.
fn is_torn_blob(pages: &Pages, record: &Record<'_>, offset: u64, write_back: bool) -> Result<bool> {
    if record.head.flags & FLAG_BLOB == 0 {
        return Ok(false);
    }
    let map = BlobMap::decode(record.value, offset)?;
    let write = |bytes: &[u8], at| {
        if !write_back {
            return Ok(());
        }
        let mut whole_pages = bytes.to_vec();
        whole_pages.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
        pages.device().write_at(&whole_pages, at).map_err(|e| Error::io("write a value anew", e))
    };
    match pages.overlooking(|| map.check(pages, write)) {
        Err(Error::Corrupt { .. }) => Ok(true),
        other => other.map(|()| false),
    }
}

/// The key or the range that the record changes.
pub(crate) fn target(record: &Record<'_>) -> Target {
    match record.head.kind {
        Kind::DeleteRange => {
            Target::Range(record.key.into(), (!record.value.is_empty()).then(|| record.value.into()))
        }
        _ => Target::Key(record.key.into()),
    }
}

/// The change of the record at `offset`, whose value was verified.
pub(crate) fn change(record: &Record<'_>, seq: u64, offset: u64) -> Result<Change> {
    let location = Location { offset, len: record.len };
    let mut stored = None;
    if record.head.kind == Kind::Put {
        let (len, payload) = if record.head.flags & FLAG_BLOB == 0 {
            let bytes = record.content(offset)?;
            (bytes.len() as u64, Payload::of(&bytes))
        } else {
            (BlobMap::decode(record.value, offset)?.len, Payload::Blob(record.value.into()))
        };
        let facts = Some(Facts::new(record.head.modified, record.user));
        stored = Some(Stored { len, origin: record.origin, facts, payload });
    }
    Ok(Change::new(seq, location, false, stored))
}
