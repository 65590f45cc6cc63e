//! [`CheckpointShipper`], which ships a store that another process writes.

use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use vde_store::{ReadView, VdeOptions};

use super::history::{Put, Whole, put_base, put_entry, put_whole, random};
use super::options::ShipOptions;
use super::retention::{Based, remove_old};
use crate::bucket::Bucket;
use crate::content::{ChunkWriter, Patience, joined, upload};
use crate::error::{Error, Result};
use crate::format::{Kind, now, time_of};
use crate::log::End;
use crate::restore::Restored;

/// How often a chunk is tried, and how many attempts in a row may fail before the earlier checkpoint is let go.
const TRIES: u32 = 10;

/// Ships a store that another process writes: its newest checkpoint, each time that it is asked to. After the first
/// time, it ships only what has changed between the two checkpoints. To find that, it reads the index of both.
///
/// Between two calls it keeps the store open for reading, so the writer does not reuse the space of that checkpoint. If
/// no process writes the store, nothing is kept open, and the next change is shipped with the whole store.
///
/// What is in the log of the other process and in no checkpoint yet is not shipped. To ship each write within a second,
/// start a [`Shipper`](super::Shipper) in the process that writes the store.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use vde_ship::{Bucket, CheckpointShipper};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("store.vde");
/// # let bucket = Bucket::new(std::sync::Arc::new(object_store::memory::InMemory::new()), "");
/// let store = vde_store::Vde::create(&path)?; // in the other process
/// let version = store.put("k", "v")?;
/// store.checkpoint()?;
///
/// let mut shipper = CheckpointShipper::new(&path, bucket);
/// assert_eq!(shipper.ship().await?.unwrap().version, version);
/// assert!(shipper.ship().await?.is_none(), "there is no newer checkpoint");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CheckpointShipper {
    path: PathBuf,
    bucket: Bucket,
    options: ShipOptions,
    writer: [u8; 16],
    /// Whether it has kept other shippers out.
    has_begun: bool,
    shipped: Option<Shipped>,
    failures: u32,
    attempts: u64,
}

/// What was shipped last.
#[derive(Debug)]
struct Shipped {
    file: FileId,
    end: End,
    /// The store as it is at the end of the log. `None` if that was not kept.
    view: Option<ReadView>,
    base: Based,
    part_bytes: u64,
}

/// Tells a container from another one that was renamed to its path, also if that is a copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    identity: u64,
    inode: u64,
}

/// The newest checkpoint of a container.
struct Newest {
    file: FileId,
    version: u64,
    view: ReadView,
    /// Whether a process writes the container. Otherwise no process could, while this one reads it.
    beside_writer: bool,
}

fn newest(path: &Path) -> Result<Newest> {
    let store = VdeOptions::new().read_only(true).open(path)?;
    #[cfg(unix)]
    let inode = {
        let of_file = std::fs::metadata(path).map_err(|e| Error::file("read", path, e))?;
        std::os::unix::fs::MetadataExt::ino(&of_file)
    };
    #[cfg(not(unix))]
    let inode = 0;
    Ok(Newest {
        file: FileId { identity: store.identity(), inode },
        version: store.durable(),
        view: store.read_view(),
        beside_writer: store.recovery().beside_writer,
    })
}

impl CheckpointShipper {
    /// Will ship the container at `path` into `bucket`, with default options. See [`ShipOptions::checkpoints`].
    ///
    /// # Examples
    ///
    /// See [`CheckpointShipper`].
    pub fn new(path: impl AsRef<Path>, bucket: Bucket) -> Self {
        ShipOptions::new().checkpoints(path, bucket)
    }

    pub(super) fn with(options: ShipOptions, path: &Path, bucket: Bucket) -> Self {
        Self {
            path: path.to_owned(),
            bucket,
            options,
            writer: random(),
            has_begun: false,
            shipped: None,
            failures: 0,
            attempts: 0,
        }
    }

    /// Ships the newest checkpoint. Returns the point that it is; `None` if there is no newer one than last time.
    ///
    /// The first call keeps every earlier shipper out, and ships the whole store. So does a later call if another store is
    /// at the path now, or if no process wrote the store at the call before. New bases are made as a
    /// [`Shipper`](super::Shipper) makes them, and what is old is removed after each.
    ///
    /// # Errors
    ///
    /// [`Error::Objects`] and [`Error::TimedOut`]: try again. After ten failures in a row, the store is not kept open any
    /// more. [`Error::Fenced`] if another shipper has taken over; [`Error::Store`] if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the next call ships what this one would have.
    ///
    /// # Examples
    ///
    /// See [`CheckpointShipper`].
    pub async fn ship(&mut self) -> Result<Option<Restored>> {
        let shipped = self.ship_newest().await;
        match &shipped {
            Err(error) if error.is_passing() => {
                self.failures += 1;
                if self.failures >= TRIES
                    && let Some(shipped) = &mut self.shipped
                {
                    shipped.view = None;
                }
            }
            _ => self.failures = 0,
        }
        shipped
    }

    async fn ship_newest(&mut self) -> Result<Option<Restored>> {
        let path = self.path.clone();
        let newest = joined(spawn_blocking(move || newest(&path))).await?;
        let version = newest.version;
        self.attempts += 1;
        let last = self.shipped.as_ref().filter(|last| last.file == newest.file);
        // While no process wrote the store, all of it was seen. A writer's newest checkpoint may be older than that.
        let is_newer = last.is_none_or(|last| last.end.version < version);
        if last.is_some_and(|last| last.end.version > version) {
            return Ok(None);
        }
        let earlier = last.and_then(|last| last.view.clone());
        let view = newest.beside_writer.then(|| newest.view.clone());
        let is_shipped = match earlier {
            _ if !is_newer => true,
            Some(earlier) => self.part(earlier, &newest).await?,
            None => false,
        };
        if !is_shipped {
            self.whole(&newest).await?;
        }
        let Some(shipped) = &mut self.shipped else { return Ok(None) };
        shipped.view = view;
        if shipped.base.is_old(shipped.part_bytes, &self.options) {
            let manifest = shipped.end.manifest(self.writer, newest.file.identity, self.attempts);
            let base = put_base(&self.bucket, &self.options, manifest, newest.view).await?;
            (shipped.base, shipped.part_bytes) = (Based::of(&base), 0);
            remove_old(&self.bucket, &self.options, now()).await?;
        }
        let point = Restored { version, time: time_of(shipped.end.time), entries: 0 };
        Ok(is_newer.then_some(point))
    }

    /// Ships what leads from `earlier` to the newest checkpoint. Returns whether that continues the log.
    async fn part(&mut self, earlier: ReadView, newest: &Newest) -> Result<bool> {
        let Some(shipped) = &mut self.shipped else { return Ok(false) };
        let mut entry = shipped.end.entry(Kind::Part, self.writer, newest.file.identity, newest.version);
        entry.attempt = self.attempts;
        let view = newest.view.clone();
        let write = move |writer: &mut ChunkWriter| writer.difference(&earlier, &view);
        let patience = Patience { tries: TRIES, pause: self.options.interval };
        entry.fill(upload(&self.bucket, &entry, self.options.chunk_bytes, patience, write).await?);
        match put_entry(&self.bucket, &self.options, &entry).await? {
            Put::Done => {}
            // An attempt that seemed to have failed has shipped an earlier checkpoint, which is not kept.
            Put::Earlier(..) => return Ok(false),
            Put::Other => return Err(Error::Fenced { number: entry.number }),
        }
        shipped.end = End::after(&entry, entry.encode().1);
        shipped.part_bytes += entry.len();
        Ok(true)
    }

    /// Ships the whole store, with which a new history begins.
    async fn whole(&mut self, newest: &Newest) -> Result<()> {
        let anew = std::mem::replace(&mut self.has_begun, true);
        let Newest { file, version, view, .. } = newest;
        let whole = Whole { identity: file.identity, version: *version, view: view.clone() };
        let (end, base) = put_whole(&self.bucket, &self.options, self.writer, anew, whole).await?;
        self.shipped = Some(Shipped { file: *file, end, view: None, base: Based::of(&base), part_bytes: 0 });
        Ok(())
    }
}
