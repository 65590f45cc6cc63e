//! The open store: opening, the state that its handles and threads share, and closing.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::container::device::Device;
use crate::container::error::{Error, Result};
use crate::container::format::{Geometry, Superblock};
use crate::container::log::commit::GroupCommit;
use crate::container::log::watchers::Watchers;
use crate::container::log::writer::Log;
use crate::container::memtable::{Horizon, Memtable};
use crate::container::pages::Pages;
use crate::container::planted::Bug;
use crate::container::segments::Segments;
use crate::container::sync_point::SyncPoint;
use crate::container::tree::Tree;
use crate::engine::checkpoint::{Checkpointer, Purpose};
use crate::engine::collect::CLOSING;
use crate::engine::layers::Layers;
use crate::engine::maintain::Maintenance;
use crate::engine::options::VdeOptions;
use crate::engine::recovery::{Recovery, Replayed, read_root, replay};
use crate::engine::salvage::salvage;
use crate::engine::shipping::Shipped;
use crate::engine::space::Space;
use crate::engine::stripes::StripeHasher;
use crate::engine::view::ReadView;

type Stripes = stripe_lock::StripedMutex<[u8], (), parking_lot::RawMutex, StripeHasher>;

/// A store with more than this many bytes to replay, or to free, makes a checkpoint when it is closed.
const REPLAY_AT_OPEN: u64 = 1 << 20;

/// Statistics of the last checkpoint. They can be read while the next one runs.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) keys: u64,
    pub(crate) checkpoints: u64,
    pub(crate) snapshots: usize,
}

/// The open store, which its handles and threads share.
pub(crate) struct Shared {
    pub(crate) log: Arc<Log>,
    pub(crate) group_commit: GroupCommit,
    pub(crate) syncs: Arc<SyncPoint>,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) shipped: Arc<Shipped>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) segments: Arc<Mutex<Segments>>,
    pub(crate) layers: ArcSwap<Layers>,
    pub(crate) stripes: Stripes,
    pub(crate) checkpoint: Mutex<Checkpointer>,
    /// Held while segments are read to be emptied, so that the container is not shortened meanwhile. Lock order:
    /// before `checkpoint`.
    pub(crate) collecting: Mutex<()>,
    pub(crate) maintenance: Arc<Maintenance>,
    pub(crate) space: Space,
    pub(crate) figures: Mutex<Figures>,
    /// The average length of a value in bytes at the last checkpoint.
    pub(crate) mean_value: AtomicU64,
    pub(crate) options: VdeOptions,
    pub(crate) recovery: Recovery,
    pub(crate) geometry: Geometry,
}

/// Makes everything durable that recovery has read, and returns the superblock that is the newest now.
///
/// After a failed sync, data that no successful sync covers may be only in the page cache, in pages that count as
/// clean. A superblock proves that the data to which it refers is durable, but not that it is durable itself. So the
/// newest superblock is written again with the same bytes. If it was durable, that changes nothing. If it was not,
/// the other superblock is durable, and must stay until this one is durable. After the sync, the other superblock is
/// written, too. It says that the store is open, and from then on both superblocks refer to the newest index.
fn make_durable(
    syncs: &SyncPoint,
    device: &dyn Device,
    newest: &Superblock,
    block: &[u8],
    options: &VdeOptions,
) -> Result<Superblock> {
    let sync = || syncs.sync().map_err(|source| Error::Io { action: "sync what was recovered", source });
    if !options.planted.has(Bug::TrustCachedSuperblock) {
        let written = device.write_at(block, newest.offset());
        written.map_err(|e| Error::io("write the superblock", e))?;
    }
    sync()?;
    let superblock = newest.successor(None);
    superblock.write(device)?;
    sync()?;
    Ok(superblock)
}

impl Shared {
    /// Recovers the contents of the device and opens the store.
    pub(crate) fn open(options: VdeOptions, device: Arc<dyn Device>) -> Result<Self> {
        let mut root = read_root(&device, &options)?;
        let geometry = root.superblock.geometry();
        let memtable = Arc::new(Memtable::default());
        let mut segments = root.segments;
        let replayed = match root.lost_at {
            // Another process writes the log, so it is not replayed.
            None if options.beside_writer => Replayed {
                position: root.superblock.log,
                recovery: Recovery { beside_writer: true, ..Recovery::default() },
            },
            None => {
                replay(&root.pages, &root.superblock, &memtable, &mut segments, root.is_newest, &options)?
            }
            Some(offset) => salvage(&root.pages, &root.superblock, &memtable, offset)?,
        };
        let syncs = Arc::new(SyncPoint::new(device, options.planted));
        segments.mark_announced(replayed.position.announced);
        if !options.read_only {
            if root.superblock.log.ordinal == replayed.position.ordinal {
                root.superblock.log.announced = segments.announced();
            }
            root.superblock =
                make_durable(&syncs, root.pages.device(), &root.superblock, &root.block, &options)?;
        }
        if !options.read_ahead {
            root.pages.stop_reading_ahead();
        }
        if options.memory_map {
            root.pages.allow_map();
        }
        let mean_value = segments.usage().mean_value(root.catalog.keys);
        let segments = Arc::new(Mutex::new(segments));
        let watchers = Arc::new(Watchers::new(options.watch_bytes, options.planted));
        let log = Arc::new(Log::new(
            root.pages.clone(),
            replayed.position,
            segments.clone(),
            memtable.clone(),
            syncs.clone(),
            watchers.clone(),
        ));
        let tree = Arc::new(Tree::new(root.pages.clone(), root.catalog.root, root.catalog.keys));
        let checkpointer = Checkpointer::new(root.superblock, root.catalog, root.catalog_runs, &root.pages);
        let checkpoint = checkpointer.superblock.checkpoints;
        let is_read = !options.read_only && root.pages.device().is_read_before(checkpoint);
        if is_read && !options.planted.has(Bug::ForgetReaders) {
            segments.lock().hold_free(checkpoint);
        }
        let figures = checkpointer.figures();
        let maintenance: Arc<Maintenance> = Arc::default();
        let layers = Layers {
            memtable,
            frozen: None,
            tree,
            log: Some(log.clone()),
            maintenance: Some(maintenance.clone()),
        };
        Ok(Self {
            log,
            group_commit: GroupCommit::new(
                syncs.clone(),
                watchers.clone(),
                options.background && !options.read_only,
            ),
            syncs,
            watchers,
            shipped: Arc::default(),
            pages: root.pages,
            segments,
            layers: ArcSwap::from_pointee(layers),
            stripes: Stripes::with_hasher(options.stripes, options.hasher.clone()),
            checkpoint: Mutex::new(checkpointer),
            collecting: Mutex::new(()),
            maintenance,
            space: Space::default(),
            figures: Mutex::new(figures),
            mean_value: AtomicU64::new(mean_value),
            options,
            recovery: replayed.recovery,
            geometry,
        })
    }

    /// Makes everything durable, returns the free space at the container's end, and writes a superblock that says
    /// where the log ends, so that opening the store need not search for later records. The store's last handle was
    /// dropped.
    pub(crate) fn close(&self) -> Result<()> {
        self.wait_durable(self.log.published())?;
        if self.options.background {
            let _collecting = self.collecting.lock();
            // The first checkpoint finds the dead records. The second one frees the emptied segments.
            if self.layers.load().memtable.backlog() > REPLAY_AT_OPEN {
                self.checkpoint(Purpose::Changes)?;
            }
            if self.collect(CLOSING)? > 0 {
                self.checkpoint(Purpose::Changes)?;
            }
            self.release_unread();
            if self.is_mostly_free(self.segments.lock().usage()) {
                self.give_back()?;
            }
        }
        let end = self.log.published();
        self.wait_durable(end)?;
        self.group_commit.check()?;
        self.cut_free_end()?;
        self.keep_reserve();
        // A failure to punch holes must not make closing fail.
        let _ = self.punch_holes();
        // The other superblock may not be durable yet. It must be durable before this one is overwritten.
        self.sync()?;
        self.checkpoint.lock().superblock.successor(Some(end)).write(self.pages.device())?;
        self.sync()
    }

    fn horizon(&self) -> Horizon {
        Horizon { durable: self.log.durable(), published: self.log.published() }
    }

    pub(crate) fn view(&self) -> ReadView {
        // The layers are loaded before the horizon. So the layers may lack writes that become visible later, but
        // their index never has a write beyond the horizon.
        let layers = self.layers.load_full();
        ReadView { layers, horizon: self.horizon() }
    }

    /// Reads from the store as it is now.
    pub(crate) fn with_layers<T>(&self, read: impl FnOnce(&Layers, Horizon) -> T) -> T {
        let layers = self.layers.load();
        read(&layers, self.horizon())
    }

    /// Turns the store read-only.
    pub(crate) fn fail(&self, action: &'static str, error: impl Into<Arc<std::io::Error>>) -> Error {
        let source = error.into();
        self.group_commit.poison(source.clone());
        Error::Io { action, source }
    }

    /// As [`fail`](Self::fail), with an error that names the action.
    pub(crate) fn fail_with(&self, error: Error) -> Error {
        self.group_commit.poison(match &error {
            Error::Io { source, .. } => source.clone(),
            other => Arc::new(std::io::Error::other(other.clone())),
        });
        error
    }

    /// Makes every completed write durable. If a write of any thread fails, the store turns read-only.
    pub(crate) fn sync(&self) -> Result<()> {
        self.syncs.sync().map_err(|cause| {
            self.group_commit.poison(cause.clone());
            Error::Poisoned { cause }
        })
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.options.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    pub(crate) fn wait_durable(&self, seq: u64) -> Result<()> {
        self.group_commit.wait(&self.log, seq)
    }
}
