//! From the bytes of a container back to a running store.

use std::sync::Arc;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::format::{BLOCK, FLAG_MORE, FLAG_PRIOR, Geometry, Kind, LogPosition, Superblock};
use crate::log::reader::LogReader;
use crate::log::record::Record;
use crate::memtable::{Change, Location, Memtable, Stored};

/// What opening a store found in its log.
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
pub struct Recovery {
    /// How many records were replayed.
    pub records: u64,
    /// Where in the container a torn write was found, if one was: a crash interrupted it before it was acknowledged,
    /// and it was dropped.
    pub torn_at: Option<u64>,
}

/// Reads both superblocks and returns the newest valid one.
pub(crate) fn read_superblock(device: &dyn Device, write: bool) -> Result<Superblock> {
    let len = device.len().map_err(|e| Error::io("measure the container", e))?;
    if len == 0 {
        return Err(Error::NotAStore { reason: "it is empty" });
    }
    let read = |offset: u64| {
        let mut block = vec![0; BLOCK as usize];
        if offset + BLOCK > len {
            return Err(Error::NotAStore { reason: "it is shorter than a superblock" });
        }
        device.read_at(&mut block, offset).map_err(|e| Error::io("read a superblock", e))?;
        Superblock::decode(&block, offset, write)
    };
    match (read(0), read(BLOCK)) {
        (Ok(a), Ok(b)) => Ok(if a.generation > b.generation { a } else { b }),
        // A newer format may be all that the other one tells; falling back would undo what it holds.
        (Err(newer @ Error::NewerFormat { .. }), _) | (_, Err(newer @ Error::NewerFormat { .. })) => {
            Err(newer)
        }
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(only),
        (Err(a), Err(b)) => Err(if matches!(a, Error::NotAStore { .. }) { b } else { a }),
    }
}

/// The log's end, and the highest segment that the log uses.
pub(crate) struct Replayed {
    pub(crate) position: LogPosition,
    pub(crate) last_segment: u32,
    pub(crate) recovery: Recovery,
}

/// Replays the log from `start` into `memtable`.
pub(crate) fn replay(
    device: &dyn Device,
    geometry: Geometry,
    start: LogPosition,
    memtable: &Memtable,
) -> Result<Replayed> {
    let mut reader = LogReader::new(device, geometry, start)?;
    let mut transaction: Vec<(Box<[u8]>, Change)> = Vec::new();
    let mut recovery = Recovery::default();
    let mut last_segment = start.segment;
    while reader.next_unit(|record, seq, offset| {
        if record.head.flags & FLAG_PRIOR == 0 {
            // A transaction that a crash cut off was never acknowledged, and never continues.
            transaction.clear();
        }
        transaction.push((record.key.into(), change(record, seq, offset)));
        if record.head.flags & FLAG_MORE == 0 {
            for (key, change) in transaction.drain(..) {
                memtable.insert(key, change);
                recovery.records += 1;
            }
        }
        Ok(())
    })? {
        last_segment = last_segment.max(reader.position().segment);
    }
    reader.check_end()?;
    recovery.torn_at = reader.torn_at();
    Ok(Replayed { position: reader.position(), last_segment, recovery })
}

fn change(record: &Record<'_>, seq: u64, offset: u64) -> Change {
    let stored = (record.head.kind == Kind::Put).then(|| Stored {
        modified: record.head.modified,
        origin: record.origin,
        user: (!record.user.is_empty()).then(|| Arc::from(record.user)),
        value_checksum: record.head.value_checksum,
        bytes: record.value.into(),
    });
    Change { seq, location: Location { offset, len: record.len }, buffered: false, stored }
}
