//! Merging sorted changes into the index. Changed pages are written anew; all other pages are kept.

use std::iter::Peekable;

use crate::container::error::Result;
use crate::container::format::{BLOCK, Extent};
use crate::container::segments::PageRun;
use crate::container::tree::node::{Cells, LeafValue, Node};
use crate::container::tree::{Tree, corrupt};

/// The most bytes of a page that has more than one cell.
const TARGET: usize = BLOCK as usize;

/// Where new pages go.
pub(crate) trait Output {
    /// Writes a page and returns where it is.
    fn write(&mut self, page: &[u8]) -> Result<Extent>;

    /// Reports that a page of an older generation is not part of the new index.
    fn replace(&mut self, page: PageRun, generation: u64);
}

/// A change of one key.
pub(crate) trait Change {
    fn key(&self) -> &[u8];

    /// The new payload of the key's cell; `None` removes the cell. `old` is the value that the index has for the key.
    fn resolve(self, old: Option<LeafValue<'_>>) -> Result<Option<Vec<u8>>>;
}

/// Ranges of keys that are deleted.
pub(crate) trait Erase {
    type Change: Change;

    /// Whether one of the ranges overlaps the keys from `from` up to, but not including, `until`.
    fn overlaps(&self, from: &[u8], until: Option<&[u8]>) -> bool;

    /// The change that removes `key`, if a range contains it. It is called for keys that have no other change.
    fn change(&self, key: &[u8]) -> Option<Self::Change>;
}

/// One run of the merge.
pub(crate) struct Merge<'a, O, I: Iterator, E> {
    pub(crate) tree: &'a Tree,
    pub(crate) output: &'a mut O,
    pub(crate) changes: Peekable<I>,
    pub(crate) erase: E,
    pub(crate) generation: u64,
    /// Whether unchanged pages are rewritten too.
    pub(crate) rewrite: bool,
    /// The pages being built, one for each level.
    pub(crate) levels: Vec<Cells>,
}

impl<O: Output, C: Change, I: Iterator<Item = C>, E: Erase<Change = C>> Merge<'_, O, I, E> {
    /// Returns the root of the new index.
    pub(crate) fn run(mut self) -> Result<Option<Extent>> {
        match self.tree.root {
            Some(root) => self.visit(root, None)?,
            None => self.insert_before(None)?,
        }
        self.finish()
    }

    /// Whether a change belongs before `upper`.
    fn is_due(&mut self, upper: Option<&[u8]>) -> bool {
        self.changes.peek().is_some_and(|change| upper.is_none_or(|upper| change.key() < upper))
    }

    fn visit(&mut self, page: Extent, upper: Option<&[u8]>) -> Result<()> {
        let bytes = self.tree.load(page)?;
        // The new page relies on the order of the keys.
        let node = Node::new(&bytes).filter(Node::is_ordered).ok_or(corrupt(page))?;
        self.output.replace(PageRun::of(page.offset, u64::from(page.len)), node.generation);
        for index in 0..node.count {
            let key = node.key(index).ok_or(corrupt(page))?;
            if node.level > 0 {
                let child = node.child(index).ok_or(corrupt(page))?;
                let next = if index + 1 < node.count {
                    Some(node.key(index + 1).ok_or(corrupt(page))?)
                } else {
                    upper
                };
                if self.rewrite || self.is_due(next) || self.erase.overlaps(key, next) {
                    self.visit(child, next)?;
                } else {
                    self.keep(node.level, key, child)?;
                }
            } else {
                let (value, encoded) = node.leaf_cell(index).ok_or(corrupt(page))?;
                self.merge_cell(key, value, encoded)?;
            }
        }
        if node.level == 0 {
            self.insert_before(upper)?;
        }
        Ok(())
    }

    fn insert_before(&mut self, upper: Option<&[u8]>) -> Result<()> {
        while self.is_due(upper) {
            self.apply_next(None)?;
        }
        Ok(())
    }

    fn merge_cell(&mut self, key: &[u8], value: LeafValue<'_>, encoded: &[u8]) -> Result<()> {
        self.insert_before(Some(key))?;
        if self.changes.peek().is_some_and(|change| change.key() == key) {
            return self.apply_next(Some(value));
        }
        match self.erase.change(key) {
            Some(change) => self.apply(change, Some(value)),
            None => self.push(0, key, encoded),
        }
    }

    fn apply_next(&mut self, old: Option<LeafValue<'_>>) -> Result<()> {
        self.changes.next().map_or(Ok(()), |change| self.apply(change, old))
    }

    fn apply(&mut self, change: C, old: Option<LeafValue<'_>>) -> Result<()> {
        let key = change.key().to_vec();
        match change.resolve(old)? {
            Some(payload) => self.push(0, &key, &payload),
            None => Ok(()),
        }
    }

    /// Takes over an unchanged subtree as a cell of `level`.
    fn keep(&mut self, level: u8, key: &[u8], child: Extent) -> Result<()> {
        for below in 0..level {
            self.close(below)?;
        }
        self.push(level, key, &child.encode())
    }

    fn cells(&mut self, level: u8) -> &mut Cells {
        let level = usize::from(level);
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Cells::default);
        }
        &mut self.levels[level]
    }

    fn push(&mut self, level: u8, key: &[u8], payload: &[u8]) -> Result<()> {
        self.cells(level).push(key, payload);
        // Two pages' worth of cells is held back, so that the last two pages of a level are about equally full.
        let least = Self::least_cells(level);
        while self.cells(level).len() >= 2 * least && self.cells(level).page_len() > 2 * TARGET {
            let count = self.cells(level).fitting(TARGET).max(least);
            self.emit(level, count)?;
        }
        Ok(())
    }

    /// The fewest cells of a page. Inner pages have at least two children, however long the keys, so that every level
    /// is smaller than the one below.
    fn least_cells(level: u8) -> usize {
        if level == 0 { 1 } else { 2 }
    }

    fn emit(&mut self, level: u8, count: usize) -> Result<()> {
        let generation = self.generation;
        let (first_key, page) = self.cells(level).build(count, level, generation);
        let extent = self.output.write(&page)?;
        self.push(level + 1, &first_key, &extent.encode())
    }

    /// Writes the remaining cells of a level.
    fn close(&mut self, level: u8) -> Result<()> {
        let least = Self::least_cells(level);
        while self.cells(level).len() > 0 {
            let cells = self.cells(level);
            let count = match cells.page_len() {
                len if len <= TARGET || cells.len() < 2 * least => cells.len(),
                len => cells.fitting((len / 2 + 64).min(TARGET)).clamp(least, cells.len() - least),
            };
            self.emit(level, count)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Option<Extent>> {
        let mut level = 0;
        while usize::from(level) < self.levels.len() {
            self.close(level)?;
            level += 1;
            let above = usize::from(level);
            if self.levels.iter().skip(above + 1).all(|cells| cells.len() == 0)
                && let Some(cells) = self.levels.get(above)
                && cells.len() == 1
            {
                return Ok(cells.first_child());
            }
        }
        Ok(None)
    }
}
