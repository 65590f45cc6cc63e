//! The integrity scan: reads and checks everything that the store refers to.

use std::sync::Arc;

use crate::container::blob::BlobMap;
use crate::container::catalog::Catalog;
use crate::container::error::{Error, Result};
use crate::container::format::{Extent, FLAG_BLOB, Kind, LogPosition, Superblock};
use crate::container::log::reader::LogReader;
use crate::container::segments::PageRun;
use crate::container::tree::Tree;
use crate::container::tree::node::{LeafValue, Node, Place};
use crate::engine::layers::read_record;
use crate::engine::shared::Shared;
use crate::faces::store::Vde;

/// The progress of a scan.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.verify(|progress| assert!(progress.keys <= progress.total_keys))?;
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Keys checked so far, those of snapshots included.
    pub keys: u64,
    /// Keys to check in all.
    pub total_keys: u64,
}

/// The result of a scan.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "v")?;
/// store.checkpoint()?;
/// let report = store.verify(|_| {})?;
/// assert_eq!((report.keys, report.problems.len()), (1, 0));
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many keys were checked, those of snapshots included.
    pub keys: u64,
    /// How many bytes of values were checked, those of the log records included.
    pub value_bytes: u64,
    /// How many index pages were checked.
    pub pages: u64,
    /// How many log records after the last checkpoint were checked.
    pub log_records: u64,
    /// Everything that is damaged, each with the place of the damage.
    pub problems: Vec<Error>,
}

impl Report {
    /// Whether nothing is damaged.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(vde_store::Vde::in_memory()?.verify(|_| {})?.is_clean());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Everything to check, as it is at one moment. While the trees are held, none of this space is reused, including the
/// newest catalog and the log after the newest checkpoint.
struct Checked {
    superblock: Superblock,
    catalog_runs: Vec<PageRun>,
    /// The newest index and the indexes of the snapshots, and how many keys each has.
    trees: Vec<(Arc<Tree>, u64)>,
}

impl Shared {
    fn checked(&self) -> Checked {
        let state = self.checkpoint.lock();
        let newest = (self.layers.load().tree.clone(), state.catalog.keys);
        let snapshots =
            state.catalog.snapshots.iter().filter_map(|snapshot| {
                Some((state.snapshot_trees.get(&snapshot.name)?.clone(), snapshot.keys))
            });
        Checked {
            trees: std::iter::once(newest).chain(snapshots).collect(),
            superblock: state.superblock.clone(),
            catalog_runs: state.catalog_runs.clone(),
        }
    }
}

struct Scan<'a, F> {
    store: &'a Vde,
    report: Report,
    progress: Progress,
    on_progress: F,
}

impl<F: FnMut(Progress)> Scan<'_, F> {
    /// Adds damage to the report. Any other error ends the scan.
    fn note(&mut self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(error @ Error::Corrupt { .. }) => {
                self.report.problems.push(error);
                Ok(())
            }
            other => other,
        }
    }

    /// Checks the persisted catalog, which occupies `runs`.
    fn catalog(&mut self, at: Extent, runs: &[PageRun]) -> Result<()> {
        let pages = &self.store.shared().pages;
        for run in runs {
            pages.forget(run.offset);
        }
        if at.len > 0 {
            Catalog::read(pages, at)?;
        }
        runs.iter().try_for_each(|run| self.check_taken(*run))
    }

    /// Checks an index, which must have `keys` keys according to the catalog at `catalog`.
    fn tree(&mut self, tree: &Tree, keys: u64, catalog: u64) -> Result<()> {
        let (keys_before, problems_before) = (self.report.keys, self.report.problems.len());
        if let Some(root) = tree.root {
            self.page(tree, root, None)?;
        }
        if self.report.problems.len() == problems_before && self.report.keys - keys_before != keys {
            self.report.problems.push(Error::corrupt("catalog", catalog));
        }
        Ok(())
    }

    fn page(&mut self, tree: &Tree, extent: Extent, level: Option<u8>) -> Result<()> {
        let checked = self.checked_page(tree, extent, level);
        self.note(checked)
    }

    fn checked_page(&mut self, tree: &Tree, extent: Extent, level: Option<u8>) -> Result<()> {
        let corrupt = || Error::corrupt("index page", extent.offset);
        // An earlier reader may have verified the page. Verify its current bytes.
        tree.pages.forget(extent.offset);
        let bytes = tree.load(extent)?;
        let node = Node::new(&bytes)
            .filter(|node| level.is_none_or(|level| node.level == level) && node.is_ordered())
            .ok_or_else(corrupt)?;
        self.report.pages += 1;
        self.check_taken(PageRun::of(extent.offset, u64::from(extent.len)))?;
        for index in 0..node.count {
            let key = node.key(index).ok_or_else(corrupt)?;
            if node.level > 0 {
                let child = node.child(index).ok_or_else(corrupt)?;
                self.page(tree, child, Some(node.level - 1))?;
            } else {
                let value = node.value(index).ok_or_else(corrupt)?;
                let checked = self.entry(tree, key, value, extent.offset);
                self.note(checked)?;
            }
        }
        Ok(())
    }

    /// Checks an entry of the leaf at `page`.
    fn entry(&mut self, tree: &Tree, key: &[u8], value: LeafValue<'_>, page: u64) -> Result<()> {
        self.progress.keys += 1;
        self.report.keys += 1;
        if self.progress.keys.is_multiple_of(1024) {
            (self.on_progress)(self.progress);
        }
        let (len, map) = match value.place {
            Place::Inline { bytes, .. } => (bytes.len() as u64, None),
            Place::Record { location, blob } => read_record(&tree.pages, key, location, |record, _| {
                let content = record.content(location.offset)?;
                if blob {
                    BlobMap::decode(&content, location.offset).map(|map| (map.len, Some(map)))
                } else {
                    Ok((content.len() as u64, None))
                }
            })??,
        };
        if len != value.len {
            return Err(Error::corrupt("index entry", page));
        }
        self.report.value_bytes += len;
        if let Some(map) = map {
            map.verify(&tree.pages)?;
            for run in map.runs(&tree.pages)? {
                self.check_taken(run)?;
            }
        }
        Ok(())
    }

    /// Whether the segment table knows that the pages are in use.
    fn check_taken(&self, run: PageRun) -> Result<()> {
        if self.store.shared().segments.lock().is_taken(run) {
            Ok(())
        } else {
            Err(Error::corrupt("segment table", run.offset))
        }
    }

    /// Checks the durable part of the log after the last checkpoint, and the large values that its records map.
    fn log(&mut self, start: LogPosition) -> Result<()> {
        let shared = self.store.shared();
        let durable = shared.log.durable();
        let mut reader = LogReader::new(&shared.pages, start)?;
        let mut damaged = Vec::new();
        let (mut records, mut value_bytes) = (0, 0);
        while reader.position().seq < durable
            && reader.next_unit(|record, _, offset| {
                records += 1;
                record.verify_value(offset)?;
                if record.head.flags & FLAG_BLOB != 0 {
                    let map = BlobMap::decode(record.value, offset)?;
                    value_bytes += map.len;
                    damaged.push(map.verify(&shared.pages));
                } else if record.head.kind == Kind::Put {
                    value_bytes += record.content(offset)?.len() as u64;
                }
                Ok(true)
            })?
        {}
        self.report.log_records += records;
        self.report.value_bytes += value_bytes;
        for outcome in damaged {
            self.note(outcome)?;
        }
        if reader.position().seq < durable { Err(reader.damage()) } else { Ok(()) }
    }
}

impl Vde {
    /// Reads and checks everything that the store refers to: every index page and every value, those of snapshots
    /// included, and the log after the last checkpoint. It calls `progress` from time to time. Damage does not end
    /// the scan; it is listed in the report. Readers and writers continue meanwhile; space that the scan still has to
    /// read is not reused.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the container cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert!(store.verify(|_| {})?.is_clean());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn verify(&self, progress: impl FnMut(Progress)) -> Result<Report> {
        let mut scan = Scan {
            store: self,
            report: Report::default(),
            progress: Progress::default(),
            on_progress: progress,
        };
        let checked = self.shared().checked();
        if !self.recovery().beside_writer {
            let log = scan.log(checked.superblock.log);
            scan.note(log)?;
        }
        let damaged = self.recovery().damaged_at.map(|offset| Error::corrupt("log unit", offset));
        scan.report.problems.extend(damaged);
        let keys = checked.trees.iter().map(|(_, keys)| *keys);
        scan.progress.total_keys = keys.fold(0, u64::saturating_add);
        let read = scan.catalog(checked.superblock.catalog, &checked.catalog_runs);
        scan.note(read)?;
        for (tree, keys) in &checked.trees {
            scan.tree(tree, *keys, checked.superblock.catalog.offset)?;
        }
        (scan.on_progress)(scan.progress);
        Ok(scan.report)
    }
}
