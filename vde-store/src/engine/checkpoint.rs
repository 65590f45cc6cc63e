//! Checkpoints: the memtable becomes index pages, and space to which nothing refers any more becomes free.
//!
//! Durability order. The log of the frozen memtable is synced before its index is written, so that the index never
//! refers to records that a crash could lose. Pages and catalog are synced before the superblock is written, so that
//! a superblock never refers to unsynced pages. The superblock is synced before the space is reused to which the
//! previous superblock refers.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::container::catalog::{Catalog, SnapshotPages, SnapshotRecord, encode_list};
use crate::container::error::{Error, Result};
use crate::container::format::{LogPosition, Superblock};
use crate::container::memtable::Memtable;
use crate::container::pages::Pages;
use crate::container::planted::Bug;
use crate::container::segments::{AT_ONCE, Freed, PageRun, Reader};
use crate::container::tree::Tree;
use crate::container::tree::merge::Merge;
use crate::engine::layers::Layers;
use crate::engine::ledger::{Erasing, Ledger, groups};
use crate::engine::page_writer::{Pace, PageWriter};
use crate::engine::shared::{Figures, Shared};
use crate::engine::value::now_micros;

/// The state that only checkpoints access. Its lock excludes checkpoints from each other.
pub(crate) struct Checkpointer {
    pub(crate) superblock: Superblock,
    pub(crate) catalog: Catalog,
    /// The pages of the persisted catalog.
    pub(crate) catalog_runs: Vec<PageRun>,
    /// The index of each named snapshot. When the snapshot is deleted, its pages become free once no reader holds
    /// this index.
    pub(crate) snapshot_trees: HashMap<String, Arc<Tree>>,
    /// A checkpoint for which the device had no space. Its memtable stays frozen until the checkpoint is finished.
    unfinished: Option<Unfinished>,
}

/// A checkpoint that was begun and not finished.
struct Unfinished {
    /// Where the log continues after it.
    position: LogPosition,
    /// Its index, once the index is written.
    indexed: Option<Indexed>,
}

/// An index that is written, and to which no persisted catalog refers yet.
struct Indexed {
    catalog: Catalog,
    freed: Vec<Freed>,
    /// The readers that may still need the freed space.
    readers: Vec<Reader>,
}

/// The purpose of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// Persist the changes, if there are any.
    Changes,
    /// Also free the log before its current segment.
    Log,
    /// Also rewrite every page of the index.
    WholeIndex,
    AddSnapshot(&'a str),
    RemoveSnapshot(&'a str),
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
        Self { superblock, catalog, catalog_runs, snapshot_trees, unfinished: None }
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            keys: self.catalog.keys,
            checkpoints: self.superblock.checkpoints,
            snapshots: self.catalog.snapshots.len(),
        }
    }

    /// Opens an index of its own for each snapshot of the catalog. It must not share the one that readers hold: while
    /// the snapshot exists, that would keep space that readers do not need any more.
    fn adjust_snapshot_trees(&mut self, pages: &Arc<Pages>) {
        let snapshots = &self.catalog.snapshots;
        self.snapshot_trees.retain(|name, _| snapshots.iter().any(|snapshot| snapshot.name == *name));
        for snapshot in snapshots {
            if !self.snapshot_trees.contains_key(&snapshot.name) {
                let tree = Tree::new(pages.clone(), snapshot.root, snapshot.keys);
                self.snapshot_trees.insert(snapshot.name.clone(), Arc::new(tree));
            }
        }
    }

    fn check(&self, purpose: Purpose<'_>) -> Result<()> {
        let exists = |name: &str| self.catalog.snapshots.iter().any(|s| s.name == name);
        match purpose {
            Purpose::AddSnapshot(name) if name.is_empty() || name.len() > 255 => {
                Err(Error::InvalidOption { option: "snapshot name", reason: "must have 1 to 255 bytes" })
            }
            Purpose::AddSnapshot(name) if exists(name) => Err(Error::SnapshotExists { name: name.into() }),
            Purpose::RemoveSnapshot(name) if !exists(name) => {
                Err(Error::SnapshotNotFound { name: name.into() })
            }
            _ => Ok(()),
        }
    }
}

impl Shared {
    /// Persists the index of everything logged so far. Writers continue meanwhile.
    pub(crate) fn checkpoint(&self, purpose: Purpose<'_>) -> Result<()> {
        self.check_writable()?;
        self.group_commit.check()?;
        let mut state = self.checkpoint.lock();
        if state.unfinished.is_some() {
            self.finish(&mut state, Purpose::Changes)?;
        }
        state.check(purpose)?;
        let layers = self.layers.load_full();
        if purpose == Purpose::Changes && layers.memtable.is_empty() {
            self.release_unread();
            return Ok(());
        }
        let _poisoning = self.group_commit.poison_on_panic();
        let position = self.freeze(&layers)?;
        drop(layers);
        state.unfinished = Some(Unfinished { position, indexed: None });
        let memtable = self.finish(&mut state, purpose)?;
        self.release_unread();
        drop(state);
        if let Some(memtable) = memtable.and_then(Arc::into_inner) {
            let mut pace = Pace::new(self);
            memtable.end(|| pace.keep());
        }
        Ok(())
    }

    /// Makes the frozen memtable part of the index, and returns it. If the device has no space for that, a second
    /// attempt uses the reserved space. If that is not enough, the next checkpoint continues from here.
    fn finish(&self, state: &mut Checkpointer, purpose: Purpose<'_>) -> Result<Option<Arc<Memtable>>> {
        let memtable = self.layers.load().frozen.clone();
        let mut done = self.persist(state, purpose);
        if done.as_ref().is_err_and(Error::is_lack_of_space) {
            self.release_unread();
            if !self.options.planted.has(Bug::HolesTaken) {
                self.segments.lock().begin_scarcity();
            }
            done = self.persist(state, purpose);
        }
        match done {
            Ok(()) => {
                state.unfinished = None;
                Ok(memtable)
            }
            Err(error) if error.is_lack_of_space() => Err(self.space.note(error)),
            Err(error) => {
                // It is unknown what is on the device now.
                Err(self.fail_with(error))
            }
        }
    }

    /// Starts a new memtable. Everything in the old one is durable when this returns.
    fn freeze(&self, layers: &Layers) -> Result<LogPosition> {
        let fresh = Arc::new(Memtable::default());
        let frozen = Layers {
            memtable: fresh.clone(),
            frozen: Some(layers.memtable.clone()),
            tree: layers.tree.clone(),
            log: layers.log.clone(),
            maintenance: layers.maintenance.clone(),
        };
        // The log is synced first, so that a lack of space shows before anything is frozen.
        self.log.sync().map_err(|e| self.fail_log(e))?;
        let rotated = self.log.rotate(fresh, || self.layers.store(Arc::new(frozen)));
        let position = rotated.map_err(|e| self.fail("write the log", e))?;
        self.watchers.advance(self.log.durable());
        Ok(position)
    }

    fn persist(&self, state: &mut Checkpointer, purpose: Purpose<'_>) -> Result<()> {
        let Some(Unfinished { position, indexed }) = state.unfinished.take() else { return Ok(()) };
        let indexed = match indexed {
            Some(indexed) => Ok(indexed),
            None => self.write_index(state, position, purpose),
        };
        let mut indexed = match indexed {
            Ok(indexed) => indexed,
            Err(error) => {
                state.unfinished = Some(Unfinished { position, indexed: None });
                return Err(error);
            }
        };
        let superblock = match self.write_catalog(state, &indexed.catalog, position, &mut indexed.freed) {
            Ok(superblock) => superblock,
            Err(error) => {
                state.unfinished = Some(Unfinished { position, indexed: Some(indexed) });
                return Err(error);
            }
        };
        state.superblock = superblock;
        state.catalog = indexed.catalog;
        state.adjust_snapshot_trees(&self.pages);
        *self.figures.lock() = state.figures();
        let Catalog { root, keys, .. } = state.catalog;
        self.mean_value.store(self.segments.lock().usage().mean_value(keys), Ordering::Relaxed);
        self.publish(Arc::new(Tree::new(self.pages.clone(), root, keys)));
        let freed = indexed.freed.into();
        self.segments.lock().hold(indexed.readers, state.superblock.checkpoints, freed);
        self.maintenance.look();
        Ok(())
    }

    /// Merges the frozen memtable into new index pages. If that fails, nothing has changed.
    fn write_index(
        &self,
        state: &Checkpointer,
        position: LogPosition,
        purpose: Purpose<'_>,
    ) -> Result<Indexed> {
        let generation = state.superblock.generation + 1;
        let layers = self.layers.load_full();
        let none = Arc::default();
        let memtable = layers.frozen.as_ref().unwrap_or(&none);
        let ledger = RefCell::new(Ledger::default());
        let mut writer = PageWriter::new(self);
        let merge = Merge {
            tree: &layers.tree,
            output: &mut writer,
            changes: groups(memtable, &self.pages, &ledger).peekable(),
            erase: Erasing::new(memtable, &self.pages, &ledger),
            generation,
            rewrite: purpose == Purpose::WholeIndex,
            levels: Vec::new(),
        };
        let root = merge.run()?;
        writer.flush()?;
        let ledger = ledger.into_inner();
        let keys = (state.catalog.keys + ledger.added).checked_sub(ledger.removed);
        let keys = keys.ok_or(Error::corrupt("catalog", state.superblock.catalog.offset))?;
        let catalog = Catalog { root, keys, ..state.catalog.clone() };
        let mut indexed = Indexed { catalog, freed: Vec::new(), readers: vec![reader(&layers.tree)] };
        for (run, born) in std::mem::take(&mut writer.replaced) {
            indexed.let_go(run, |snapshot| born <= snapshot.generation);
        }
        for (run, version) in &ledger.dead_blobs {
            indexed.let_go(*run, |snapshot| *version <= snapshot.seq);
        }
        writer.keep();
        self.count_dead(&mut indexed, &ledger, position);
        match purpose {
            Purpose::Changes | Purpose::Log | Purpose::WholeIndex => {}
            Purpose::AddSnapshot(name) => indexed.catalog.snapshots.push(SnapshotRecord {
                name: name.into(),
                generation,
                seq: position.seq,
                created: now_micros(),
                keys,
                root,
            }),
            Purpose::RemoveSnapshot(name) => {
                indexed.readers.extend(state.snapshot_trees.get(name).map(reader));
                indexed.forget_snapshot(name);
            }
        }
        if self.options.planted.has(Bug::ReuseAtOnce) {
            self.segments.lock().release(&indexed.freed);
        }
        Ok(indexed)
    }

    /// Updates the segment table by the results of the merge.
    fn count_dead(&self, new: &mut Indexed, ledger: &Ledger, position: LogPosition) {
        for died in ledger.died.chunks(AT_ONCE) {
            let mut segments = self.segments.lock();
            for at in died {
                segments.sub_live(at.offset, u64::from(at.len));
            }
        }
        for runs in ledger.indexed.chunks(AT_ONCE) {
            let mut segments = self.segments.lock();
            for run in runs {
                segments.end_pending(*run);
            }
        }
        let newest = new.catalog.snapshots.iter().map(|snapshot| snapshot.seq).max();
        let is_needed = |first_seq| newest.is_some_and(|seq| seq >= first_seq);
        let mut from = 0;
        loop {
            let dead = self.segments.lock().end_dead_log(from, position.ordinal, is_needed);
            let Some(segment) = dead else { break };
            new.freed.push(Freed::Segment(segment));
            from = segment + 1;
        }
    }

    /// Makes space available that no reader needs any more.
    pub(crate) fn release_unread(&self) {
        let (device, forgets) = (self.pages.device(), self.options.planted.has(Bug::ForgetReaders));
        let is_read_before = |checkpoint| !forgets && device.is_read_before(checkpoint);
        while self.segments.lock().release_unread(AT_ONCE, is_read_before) {}
    }

    /// Writes catalog and superblock. When this returns, recovery after a crash finds the new index. If it fails for
    /// lack of space, nothing has changed.
    fn write_catalog(
        &self,
        state: &mut Checkpointer,
        catalog: &Catalog,
        log: LogPosition,
        freed: &mut Vec<Freed>,
    ) -> Result<Superblock> {
        let mut writer = PageWriter::new(self);
        let copy = self.segments.lock().copy();
        let replaced = state.catalog_runs.iter().copied().map(Freed::Pages);
        let gone: Vec<_> = freed.iter().copied().chain(replaced).collect();
        let mut table = copy.table(log.ordinal, &gone);
        let placed = catalog.place(&mut table, |pages| writer.take(pages))?;
        let pieces = placed.bytes.chunks(self.geometry.segment_size as usize);
        let pieces: Vec<_> = pieces
            .zip(&placed.pieces)
            .map(|(bytes, run)| writer.place(bytes, run.offset))
            .collect::<Result<_>>()?;
        let extent = match placed.list {
            Some(list) => writer.place(&encode_list(&pieces, list), list.offset)?,
            None => pieces[0],
        };
        writer.flush()?;
        // The pages are kept from here on, also after a failure: it may be unknown whether a superblock refers to
        // them.
        writer.keep();
        if !self.options.planted.has(Bug::SuperblockFirst) {
            self.sync()?;
        }
        let checkpoints = state.superblock.checkpoints + 1;
        let superblock = Superblock { log, catalog: extent, checkpoints, ..state.superblock.successor(None) };
        // If there is no space for this superblock, another one is written in its place later.
        superblock
            .write(self.pages.device())
            .inspect_err(|_| freed.extend(placed.runs().into_iter().map(Freed::Pages)))?;
        self.sync()?;
        state.catalog_runs = placed.runs();
        *freed = gone;
        // The other superblock gets the same contents. After the next sync, damage to one of the two loses nothing.
        // Until then, the first one is whole.
        let copy = superblock.successor(None);
        copy.write(self.pages.device()).map_err(|error| self.fail_with(error))?;
        Ok(copy)
    }

    /// Makes the new index visible to readers, and drops the frozen memtable, whose changes are in the index.
    fn publish(&self, tree: Arc<Tree>) {
        let layers = self.layers.load();
        let (memtable, log) = (layers.memtable.clone(), layers.log.clone());
        let maintenance = layers.maintenance.clone();
        self.layers.store(Arc::new(Layers { memtable, frozen: None, tree, log, maintenance }));
    }
}

/// A reader of the freed space that exists until `tree` is dropped.
fn reader(tree: &Arc<Tree>) -> Reader {
    let tree: Arc<dyn Any + Send + Sync> = tree.clone();
    Arc::downgrade(&tree)
}

impl Indexed {
    /// Frees the run, or records it for the snapshots that still refer to it.
    fn let_go(&mut self, run: PageRun, is_older: impl Fn(&SnapshotRecord) -> bool) {
        let mut holders = self.catalog.snapshots.iter().filter(|s| is_older(s)).map(|s| s.generation);
        match holders.next() {
            None => self.freed.push(Freed::Pages(run)),
            Some(first) => {
                let (first, last) = holders.fold((first, first), |(a, b), g| (a.min(g), b.max(g)));
                self.catalog.snapshot_pages.push(SnapshotPages { run, first, last });
            }
        }
    }

    /// Removes a snapshot from the catalog, and frees the pages to which only this snapshot referred.
    fn forget_snapshot(&mut self, name: &str) {
        self.catalog.snapshots.retain(|snapshot| snapshot.name != name);
        let generations: Vec<u64> = self.catalog.snapshots.iter().map(|s| s.generation).collect();
        self.catalog.snapshot_pages.retain(|pages| {
            let needed = generations.iter().any(|g| (pages.first..=pages.last).contains(g));
            if !needed {
                self.freed.push(Freed::Pages(pages.run));
            }
            needed
        });
    }
}
