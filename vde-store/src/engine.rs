//! The open store: from what is on a device to what its handles and threads share, and back.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::checkpoint::{Checkpointer, Edit};
use crate::collect::CLOSING;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::format::{FORMAT, Geometry};
use crate::layers::Layers;
use crate::log::commit::Line;
use crate::log::writer::Log;
use crate::maintain::Maintenance;
use crate::memtable::{Horizon, Memtable};
use crate::options::VdeOptions;
use crate::pages::Pages;
use crate::recovery::{Recovery, read_root, replay};
use crate::segments::Segments;
use crate::stripes::StripeHasher;
use crate::tree::Tree;
use crate::view::ReadView;

type Stripes = stripe_lock::StripedMutex<[u8], (), parking_lot::RawMutex, StripeHasher>;

/// A store that is closed with more than this to replay is checkpointed first, so that it opens quickly.
const REPLAY_AT_OPEN: u64 = 1 << 20;

/// The open store; shared by its handles and its threads.
pub(crate) struct Shared {
    pub(crate) log: Arc<Log>,
    pub(crate) line: Line,
    pub(crate) pages: Arc<Pages>,
    pub(crate) segments: Arc<Mutex<Segments>>,
    pub(crate) layers: ArcSwap<Layers>,
    pub(crate) stripes: Stripes,
    pub(crate) checkpoint: Mutex<Checkpointer>,
    /// Held by whoever reads segments through the map to empty them, so that nobody cuts the container meanwhile. Taken
    /// before `checkpoint`.
    pub(crate) collecting: Mutex<()>,
    pub(crate) maintenance: Maintenance,
    pub(crate) options: VdeOptions,
    pub(crate) recovery: Recovery,
    pub(crate) geometry: Geometry,
}

impl Shared {
    /// Recovers what is on the device and goes on from there.
    pub(crate) fn open(options: VdeOptions, device: Arc<dyn Device>) -> Result<Self> {
        let mut root = read_root(&device, !options.read_only)?;
        let geometry = root.superblock.geometry();
        let memtable = Arc::new(Memtable::default());
        let mut segments = root.segments;
        let replayed = replay(&root.pages, &root.superblock, &memtable, &mut segments, &options)?;
        if !options.read_only {
            if root.superblock.closed.is_some() || root.superblock.format < FORMAT {
                root.superblock = root.superblock.successor(None);
                root.superblock.write(&*device)?;
            }
            // What was read, the superblock included, may be in the page cache only: nothing may be built on it, and
            // nobody may see it, before it is durable.
            device.sync().map_err(|e| Error::io("sync the log", e))?;
        }
        let segments = Arc::new(Mutex::new(segments));
        let log = Arc::new(Log::new(
            device,
            geometry,
            replayed.position,
            segments.clone(),
            memtable.clone(),
            options.planted,
        ));
        let tree = Arc::new(Tree::new(root.pages.clone(), root.catalog.root, root.catalog.keys));
        let checkpointer = Checkpointer::new(root.superblock, root.catalog, root.catalog_runs, &root.pages);
        let layers = Layers { memtable, frozen: None, tree, log: Some(log.clone()) };
        Ok(Self {
            log,
            line: Line::default(),
            pages: root.pages,
            segments,
            layers: ArcSwap::from_pointee(layers),
            stripes: Stripes::with_hasher(options.stripes, options.hasher.clone()),
            checkpoint: Mutex::new(checkpointer),
            collecting: Mutex::new(()),
            maintenance: Maintenance::default(),
            options,
            recovery: replayed.recovery,
            geometry,
        })
    }

    /// Brings everything to the disk, gives back what is free at the container's end, and notes that nothing lies behind
    /// the log's end, so that opening the store need not look for it. The store's last handle is gone.
    pub(crate) fn close(&self) -> Result<()> {
        self.wait_durable(self.log.published())?;
        if self.options.background {
            let _collecting = self.collecting.lock();
            // The first tells what is dead, the second frees what was emptied.
            if self.layers.load().memtable.bytes() > REPLAY_AT_OPEN {
                self.checkpoint(&Edit::Nothing, false)?;
            }
            if self.collect(CLOSING)? > 0 {
                self.checkpoint(&Edit::Nothing, false)?;
            }
        }
        let end = self.log.published();
        self.wait_durable(end)?;
        self.line.check()?;
        self.cut_free_end()?;
        self.give_back_free()?;
        let device = self.pages.device();
        self.checkpoint.lock().superblock.successor(Some(end)).write(device)?;
        device.sync().map_err(|e| Error::io("sync the superblock", e))
    }

    fn horizon(&self) -> Horizon {
        Horizon { durable: self.log.durable(), published: self.log.published() }
    }

    pub(crate) fn view(&self) -> ReadView {
        // The layers first: what becomes visible afterwards is missing from them, but never the other way round.
        let layers = self.layers.load_full();
        ReadView { layers, horizon: self.horizon() }
    }

    /// Reads from the store as it is now.
    pub(crate) fn with_layers<T>(&self, read: impl FnOnce(&Layers, Horizon) -> T) -> T {
        let layers = self.layers.load();
        read(&layers, self.horizon())
    }

    /// Turns the store read-only.
    pub(crate) fn fail(&self, action: &'static str, error: std::io::Error) -> Error {
        let source = Arc::new(error);
        self.line.poison(source.clone());
        Error::Io { action, source }
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.options.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    pub(crate) fn wait_durable(&self, seq: u64) -> Result<()> {
        self.line.wait(&self.log, seq)
    }
}
