//! Checkpoints: the memtable becomes index pages, and what nothing refers to any more becomes free.
//!
//! Durability order. The frozen memtable's log is synced before its index is written, so that the index never refers
//! to records that a crash could lose. Pages and catalog are synced before the superblock is written, so that a
//! superblock never refers to pages that were not. The superblock is synced before anything is reused that the one
//! before it refers to.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::catalog::{Catalog, Dead, SnapshotRecord, encode_list};
use crate::engine::Shared;
use crate::error::{Error, Result};
use crate::format::{BLOCK, Extent, LogPosition, Superblock, extent_checksum};
use crate::layers::Layers;
use crate::ledger::{Erasing, Ledger, groups};
use crate::memtable::Memtable;
use crate::pages::Pages;
use crate::planted::Bug;
use crate::segments::{Freed, PageRun, Segment, Segments};
use crate::tree::Tree;
use crate::tree::merge::{Merge, Output};
use crate::value::now_micros;

/// Index pages are written in pieces of about this size.
const WRITE_PIECE: usize = 256 << 10;

/// The state that only a checkpoint touches; its lock is what excludes checkpoints from each other.
pub(crate) struct Checkpointer {
    pub(crate) superblock: Superblock,
    pub(crate) catalog: Catalog,
    /// The pages of the persisted catalog.
    pub(crate) catalog_runs: Vec<PageRun>,
    /// The index of each named snapshot, held so that its pages can be waited for when it is deleted.
    pub(crate) snapshot_trees: HashMap<String, Arc<Tree>>,
    retired: VecDeque<Retired>,
}

/// What a checkpoint made superfluous, and the readers that may still need it.
struct Retired {
    /// Those of this process.
    readers: Vec<Weak<Tree>>,
    /// The number of the checkpoint: other processes that read an earlier one may need it.
    checkpoint: u64,
    freed: Vec<Freed>,
}

/// What a checkpoint does to the named snapshots.
pub(crate) enum Edit<'a> {
    Nothing,
    Add(&'a str),
    Remove(&'a str),
}

/// What lets writers have the processor and the disk while a checkpoint is made: it works for a short time, then rests
/// for twice as long. Not while nobody writes, and not if writers would soon have to wait for the checkpoint.
struct Pace<'a> {
    shared: &'a Shared,
    since: Instant,
    published: u64,
}

/// Far below the time for which the system lets one thread run before another that has just been woken.
const WORK: Duration = Duration::from_micros(300);

impl<'a> Pace<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, since: Instant::now(), published: shared.log.published() }
    }

    fn keep(&mut self) {
        let worked = self.since.elapsed();
        if worked < WORK {
            return;
        }
        let published = self.shared.log.published();
        let is_urgent = self.shared.layers.load().memtable.bytes() > self.shared.options.checkpoint_bytes / 2;
        if published != self.published && !is_urgent {
            std::thread::sleep(worked.min(10 * WORK) * 2);
        }
        self.published = published;
        self.since = Instant::now();
    }
}

/// Allocates new pages and writes them in large pieces.
struct PageWriter<'a> {
    pace: Pace<'a>,
    pages: &'a Pages,
    segments: &'a Mutex<Segments>,
    piece: Vec<u8>,
    piece_offset: u64,
    replaced: Vec<(PageRun, u64)>,
}

impl PageWriter<'_> {
    fn flush(&mut self) -> Result<()> {
        if !self.piece.is_empty() {
            let written = self.pages.device().write_bulk(&self.piece, self.piece_offset);
            written.map_err(|e| Error::io("write the index", e))?;
            self.piece.clear();
        }
        Ok(())
    }

    fn place(&mut self, bytes: &[u8], offset: u64) -> Result<Extent> {
        self.pages.forget(offset);
        let continues = self.piece_offset + self.piece.len() as u64 == offset;
        if !continues || self.piece.len() >= WRITE_PIECE {
            self.flush()?;
        }
        if self.piece.is_empty() {
            self.piece_offset = offset;
        }
        self.piece.extend_from_slice(bytes);
        self.piece.resize(self.piece.len().next_multiple_of(BLOCK as usize), 0);
        let checksum = extent_checksum(bytes, offset, self.pages.geometry().salt);
        Ok(Extent { offset, len: bytes.len() as u32, checksum })
    }
}

impl Output for PageWriter<'_> {
    fn write(&mut self, page: &[u8]) -> Result<Extent> {
        self.pace.keep();
        let count = (page.len() as u64).div_ceil(BLOCK) as u32;
        let offset = self.segments.lock().take_pages(count);
        self.place(page, offset)
    }

    fn replace(&mut self, page: PageRun, generation: u64) {
        self.replaced.push((page, generation));
    }
}

impl Checkpointer {
    pub(crate) fn new(
        superblock: Superblock,
        catalog: Catalog,
        catalog_runs: Vec<PageRun>,
        pages: &Arc<Pages>,
    ) -> Self {
        let tree =
            |snapshot: &SnapshotRecord| Arc::new(Tree::new(pages.clone(), snapshot.root, snapshot.keys));
        let snapshot_trees = catalog.snapshots.iter().map(|s| (s.name.clone(), tree(s))).collect();
        Self { superblock, catalog, catalog_runs, snapshot_trees, retired: VecDeque::new() }
    }

    /// Frees the run, or hands it to the snapshots that still refer to it.
    fn bury(&mut self, run: PageRun, freed: &mut Vec<Freed>, is_older: impl Fn(&SnapshotRecord) -> bool) {
        let mut holders = self.catalog.snapshots.iter().filter(|s| is_older(s)).map(|s| s.generation);
        match holders.next() {
            None => freed.push(Freed::Pages(run)),
            Some(first) => {
                let (first, last) = holders.fold((first, first), |(a, b), g| (a.min(g), b.max(g)));
                self.catalog.dead.push(Dead { run, first, last });
            }
        }
    }

    /// Makes available what no reader needs any more. `is_read_before`: whether another process reads a checkpoint before
    /// this one.
    pub(crate) fn reclaim(&mut self, segments: &Mutex<Segments>, is_read_before: impl Fn(u64) -> bool) {
        while let Some(front) = self.retired.front()
            && front.readers.iter().all(|reader| reader.strong_count() == 0)
            && !is_read_before(front.checkpoint)
        {
            segments.lock().release(&front.freed);
            self.retired.pop_front();
        }
    }

    /// The store was opened while others read an earlier checkpoint, one of a writer before this. What is free now may be
    /// what they read.
    pub(crate) fn keep_for_earlier_readers(&mut self, segments: &Mutex<Segments>) {
        let (checkpoint, freed) = (self.superblock.checkpoints, segments.lock().set_aside());
        self.retired.push_back(Retired { readers: Vec::new(), checkpoint, freed });
    }

    fn check(&self, edit: &Edit<'_>) -> Result<()> {
        let exists = |name: &str| self.catalog.snapshots.iter().any(|s| s.name == name);
        match edit {
            Edit::Add(name) if name.is_empty() || name.len() > 255 => {
                Err(Error::InvalidOption { option: "snapshot name", reason: "must have 1 to 255 bytes" })
            }
            Edit::Add(name) if exists(name) => Err(Error::SnapshotExists { name: (*name).into() }),
            Edit::Remove(name) if !exists(name) => Err(Error::SnapshotNotFound { name: (*name).into() }),
            _ => Ok(()),
        }
    }
}

impl Shared {
    /// Persists the index of everything logged so far. Writers go on meanwhile.
    pub(crate) fn checkpoint(&self, edit: &Edit<'_>, rewrite: bool) -> Result<()> {
        self.check_writable()?;
        self.line.check()?;
        let mut state = self.checkpoint.lock();
        state.check(edit)?;
        let layers = self.layers.load_full();
        if matches!(edit, Edit::Nothing) && !rewrite && layers.memtable.is_empty() {
            self.reclaim(&mut state);
            return Ok(());
        }
        let _poisoning = self.line.poison_on_panic();
        let position = self.freeze(&layers)?;
        let done = self.persist(&mut state, &layers, position, edit, rewrite);
        done.inspect_err(|error| {
            // The frozen memtable is in no index now, and no later checkpoint knows of it.
            self.line.poison(match error {
                Error::Io { source, .. } => source.clone(),
                other => Arc::new(std::io::Error::other(other.clone())),
            });
        })?;
        // Readers may still have the layers; this is not one of them.
        let memtable = layers.memtable.clone();
        drop(layers);
        self.reclaim(&mut state);
        drop(state);
        if let Some(memtable) = Arc::into_inner(memtable) {
            let mut pace = Pace::new(self);
            memtable.end(|| pace.keep());
        }
        Ok(())
    }

    pub(crate) fn reclaim(&self, state: &mut Checkpointer) {
        let forgets = self.options.planted.has(Bug::ForgetReaders);
        let device = self.pages.device();
        state.reclaim(&self.segments, |checkpoint| !forgets && device.is_read_before(checkpoint));
    }

    /// Begins a new memtable; everything in the old one is durable when this returns.
    fn freeze(&self, layers: &Layers) -> Result<LogPosition> {
        let fresh = Arc::new(Memtable::default());
        let frozen = Layers {
            memtable: fresh.clone(),
            frozen: Some(layers.memtable.clone()),
            tree: layers.tree.clone(),
            log: layers.log.clone(),
            maintenance: layers.maintenance.clone(),
        };
        let rotated = self.log.rotate(fresh, || self.layers.store(Arc::new(frozen)));
        let position = rotated.map_err(|e| self.fail("write the log", e))?;
        self.watchers.advance(self.log.durable());
        Ok(position)
    }

    fn persist(
        &self,
        state: &mut Checkpointer,
        layers: &Layers,
        position: LogPosition,
        edit: &Edit<'_>,
        rewrite: bool,
    ) -> Result<()> {
        let generation = state.superblock.generation + 1;
        let ledger = RefCell::new(Ledger::default());
        let mut writer = PageWriter {
            pace: Pace::new(self),
            pages: &self.pages,
            segments: &self.segments,
            piece: Vec::new(),
            piece_offset: 0,
            replaced: Vec::new(),
        };
        let merge = Merge {
            tree: &layers.tree,
            output: &mut writer,
            changes: groups(&layers.memtable, &self.pages, &ledger).peekable(),
            erase: Erasing::new(&layers.memtable, &self.pages, &ledger),
            generation,
            rewrite,
            levels: Vec::new(),
        };
        let root = merge.run()?;
        let ledger = ledger.into_inner();
        state.catalog.root = root;
        let keys = (state.catalog.keys + ledger.added).checked_sub(ledger.removed);
        state.catalog.keys = keys.ok_or(Error::corrupt("catalog", state.superblock.catalog.offset))?;

        let mut freed = Vec::new();
        let mut readers = vec![Arc::downgrade(&layers.tree)];
        for (run, born) in std::mem::take(&mut writer.replaced) {
            state.bury(run, &mut freed, |snapshot| born <= snapshot.generation);
        }
        for (run, version) in &ledger.dead_blobs {
            state.bury(*run, &mut freed, |snapshot| *version <= snapshot.seq);
        }
        self.settle(state, &ledger, position, &mut freed);
        let keys = state.catalog.keys;
        let tree = || Arc::new(Tree::new(self.pages.clone(), root, keys));
        match edit {
            Edit::Nothing => {}
            Edit::Add(name) => {
                state.catalog.snapshots.push(SnapshotRecord {
                    name: (*name).into(),
                    generation,
                    seq: position.seq,
                    created: now_micros(),
                    keys: state.catalog.keys,
                    root,
                });
                // Not the tree that readers hold, for what they are done with is not to wait for the snapshot.
                state.snapshot_trees.insert((*name).into(), tree());
            }
            Edit::Remove(name) => readers.extend(state.forget_snapshot(name, &mut freed)),
        }
        if self.options.planted.has(Bug::ReuseAtOnce) {
            self.segments.lock().release(&freed);
        }
        let superblock = self.write_catalog(state, &mut writer, position, &mut freed)?;
        state.superblock = superblock;
        self.publish(tree());
        state.retired.push_back(Retired { readers, checkpoint: state.superblock.checkpoints, freed });
        Ok(())
    }

    /// Brings the segment table up to date with what the merge found out.
    fn settle(&self, state: &Checkpointer, ledger: &Ledger, position: LogPosition, freed: &mut Vec<Freed>) {
        let mut segments = self.segments.lock();
        for location in &ledger.died {
            segments.sub_live(location.offset, u64::from(location.len));
        }
        for run in &ledger.born {
            segments.end_unborn(*run);
        }
        let oldest_needed =
            |first_seq| state.catalog.snapshots.iter().any(|snapshot| snapshot.seq >= first_seq);
        let dead: Vec<u32> = (0u32..)
            .zip(segments.table())
            .filter_map(|(index, segment)| match segment {
                Segment::Log(log) => {
                    let dead =
                        log.live == 0 && log.ordinal < position.ordinal && !oldest_needed(log.first_seq);
                    dead.then_some(index)
                }
                _ => None,
            })
            .collect();
        for segment in dead {
            segments.retire(segment);
            freed.push(Freed::Segment(segment));
        }
    }

    /// Writes catalog and superblock; when this returns, the new index is what a crash would find.
    fn write_catalog(
        &self,
        state: &mut Checkpointer,
        writer: &mut PageWriter<'_>,
        log: LogPosition,
        freed: &mut Vec<Freed>,
    ) -> Result<Superblock> {
        freed.extend(std::mem::take(&mut state.catalog_runs).into_iter().map(Freed::Pages));
        let retired = state.retired.iter().flat_map(|retired| &retired.freed);
        let mut persistent = self.segments.lock().persistent(log.ordinal, retired.chain(&*freed).copied());
        let geometry = self.pages.geometry();
        let take = |pages| self.segments.lock().take_pages(pages);
        let placed = state.catalog.place(&mut persistent, geometry, take)?;
        state.catalog_runs = placed.runs();
        let pieces = placed.bytes.chunks(geometry.segment_size as usize);
        let pieces: Vec<_> = pieces
            .zip(&placed.pieces)
            .map(|(bytes, run)| writer.place(bytes, run.offset))
            .collect::<Result<_>>()?;
        let catalog = match placed.list {
            Some(list) => writer.place(&encode_list(&pieces, list), list.offset)?,
            None => pieces[0],
        };
        writer.flush()?;
        let sync = || self.sync("sync the index");
        if !self.options.planted.has(Bug::SuperblockFirst) {
            sync()?;
        }
        let checkpoints = state.superblock.checkpoints + 1;
        let superblock = Superblock { log, catalog, checkpoints, ..state.superblock.successor(None) };
        superblock.write(self.pages.device())?;
        sync()?;
        // The other place gets the same with the next sync, so that damage to one of the two costs nothing. Until then the
        // first is whole.
        let copy = superblock.successor(None);
        copy.write(self.pages.device())?;
        Ok(copy)
    }

    /// Lets readers find the new index; the frozen memtable is part of it.
    fn publish(&self, tree: Arc<Tree>) {
        let layers = self.layers.load();
        let (memtable, log) = (layers.memtable.clone(), layers.log.clone());
        let maintenance = layers.maintenance.clone();
        self.layers.store(Arc::new(Layers { memtable, frozen: None, tree, log, maintenance }));
    }
}

impl Checkpointer {
    /// Takes a snapshot out of the catalog and frees what only it referred to. Returns its readers.
    fn forget_snapshot(&mut self, name: &str, freed: &mut Vec<Freed>) -> Option<Weak<Tree>> {
        self.catalog.snapshots.retain(|snapshot| snapshot.name != name);
        let generations: Vec<u64> = self.catalog.snapshots.iter().map(|s| s.generation).collect();
        self.catalog.dead.retain(|dead| {
            let needed = generations.iter().any(|g| (dead.first..=dead.last).contains(g));
            if !needed {
                freed.push(Freed::Pages(dead.run));
            }
            needed
        });
        self.snapshot_trees.remove(name).map(|tree| Arc::downgrade(&tree))
    }
}
