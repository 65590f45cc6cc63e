//! Cursors over the leaves of a tree, in either direction.
//!
//! A cursor keeps the pages from the root to its leaf, so that a step to the next cell costs no search. It checks
//! that the keys of each page lie between the separators that lead to the page. So it opens no page twice and always
//! ends, even if pages with valid checksums form a cycle.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use crate::container::error::{Error, Result};
use crate::container::format::Extent;
use crate::container::memtable::{is_before, is_behind};
use crate::container::pages::Anchor;
use crate::container::tree::node::{LeafValue, Node, Place, key_of, value_of};
use crate::container::tree::{Tree, corrupt};

/// The order in which a cursor visits keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    /// `Less` if `key` comes before `other` in this direction.
    pub(crate) fn compare(self, key: &[u8], other: &[u8]) -> Ordering {
        match self {
            Self::Ascending => key.cmp(other),
            Self::Descending => other.cmp(key),
        }
    }

    /// Whether `key` lies beyond `end` in this direction.
    pub(crate) fn is_beyond(self, key: &[u8], end: Bound<&[u8]>) -> bool {
        match self {
            Self::Ascending => is_behind(key, end),
            Self::Descending => is_before(key, end),
        }
    }
}

/// A verified page. It does not change while it is held.
struct Page {
    anchor: Arc<Anchor>,
    extent: Extent,
}

impl Page {
    fn bytes(&self) -> &[u8] {
        &self.anchor.bytes
    }
}

/// A cell of a page.
#[derive(Clone)]
pub(crate) struct Cell {
    page: Arc<Page>,
    /// Where it begins in the page.
    at: u32,
}

impl Cell {
    /// The anchor that keeps the cell's page, and its map, alive.
    pub(crate) fn anchor(&self) -> &Arc<Anchor> {
        &self.page.anchor
    }

    pub(crate) fn key(&self) -> &[u8] {
        key_of(self.page.bytes(), self.at as usize).unwrap_or_default()
    }

    /// The value, if this is a leaf's cell.
    pub(crate) fn value(&self) -> Result<LeafValue<'_>> {
        value_of(self.page.bytes(), self.at as usize).ok_or(corrupt(self.page.extent))
    }
}

/// A page on the path from the root to the cursor.
struct Step {
    page: Arc<Page>,
    level: u8,
    /// The index of the next cell if ascending; the number of cells that are left if descending.
    next: usize,
    /// The separator after the page.
    upper: Option<Cell>,
    /// The cell up to which records were prefetched, in the cursor's direction.
    fetched: usize,
}

/// The records of at most this many cells are prefetched. Records lie anywhere in the log, and reading one at a time
/// would wait for each. A cursor begins with fewer, in case its caller needs only a few.
const LARGEST_AHEAD: usize = 8;

/// Prefetches the records of the `ahead` cells from `next` on into the processor's cache, except those up to
/// `fetched`. Returns the new `fetched`.
fn fetch(
    page: &Page,
    node: &Node<'_>,
    direction: Direction,
    (next, fetched): (usize, usize),
    ahead: usize,
) -> usize {
    let (cells, end) = match direction {
        Direction::Ascending => {
            let end = node.count.min(next + ahead).max(fetched);
            (fetched.max(next)..end, end)
        }
        Direction::Descending => {
            let end = next.saturating_sub(ahead).min(fetched);
            (end..fetched.min(next), end)
        }
    };
    for index in cells {
        if let Some(Place::Record { location, .. }) = node.value(index).map(|value| value.place) {
            page.anchor.bytes.fetch(location.offset, location.len);
        }
    }
    end
}

/// A position in a tree, from which cells are visited in one direction.
pub(crate) struct Cursor {
    direction: Direction,
    from: Bound<Box<[u8]>>,
    has_begun: bool,
    path: Vec<Step>,
    /// How many cells the cursor has returned, up to [`LARGEST_AHEAD`].
    passed: usize,
}

impl Cursor {
    pub(crate) fn new(direction: Direction, from: Bound<Box<[u8]>>) -> Self {
        Self { direction, from, has_begun: false, path: Vec::new(), passed: 0 }
    }

    /// The next cell of a leaf, or `None` if it lies beyond `end`. After an error, the next call continues after the
    /// damaged page.
    pub(crate) fn next(&mut self, tree: &Arc<Tree>, end: Bound<&[u8]>) -> Result<Option<Cell>> {
        if !std::mem::replace(&mut self.has_begun, true)
            && let Some(root) = tree.root
        {
            let root = self.open(tree, root, None)?;
            self.path.push(root);
        }
        while let Some(step) = self.path.last_mut() {
            let extent = step.page.extent;
            let Some(node) = Node::new(step.page.bytes()) else { return Err(self.leave(extent)) };
            let (index, next) = match self.direction {
                Direction::Ascending => (step.next, step.next + 1),
                Direction::Descending => (step.next.wrapping_sub(1), step.next.wrapping_sub(1)),
            };
            if index >= node.count {
                self.path.pop();
                continue;
            }
            let behind = (index + 1 < node.count).then(|| node.key(index + 1));
            let Some((key, at)) = node.key(index).zip(node.offset(index)) else {
                return Err(self.leave(extent));
            };
            if behind.is_some_and(|behind| behind <= Some(key)) {
                return Err(self.leave(extent));
            }
            if step.level == 0 {
                if self.direction.is_beyond(key, end) {
                    return Ok(None);
                }
                step.next = next;
                self.passed = (self.passed + 1).min(LARGEST_AHEAD);
                step.fetched = fetch(&step.page, &node, self.direction, (next, step.fetched), self.passed);
                return Ok(Some(Cell { page: step.page.clone(), at }));
            }
            let cell = |at| Cell { page: step.page.clone(), at };
            let upper = node.offset(index + 1).map(cell).or_else(|| step.upper.clone());
            let range = Range { level: step.level, lower: cell(at), upper };
            if range.is_beyond(self.direction, end) {
                return Ok(None);
            }
            let child = node.child(index);
            step.next = next;
            let child = child.ok_or_else(|| corrupt(extent))?;
            let child = self.open(tree, child, Some(range))?;
            self.path.push(child);
        }
        Ok(None)
    }

    /// Continues after a page whose cells contradict each other.
    fn leave(&mut self, page: Extent) -> Error {
        self.path.pop();
        corrupt(page)
    }

    /// Loads a page, and checks that its keys lie in `range`.
    fn open(&self, tree: &Arc<Tree>, extent: Extent, range: Option<Range>) -> Result<Step> {
        let bytes = tree.load(extent)?;
        let anchor = Anchor { bytes: bytes.pin(0, bytes.len()), owner: tree.clone() };
        let page = Arc::new(Page { anchor: Arc::new(anchor), extent });
        let step = || {
            let node = Node::new(page.bytes())?;
            let (first, last) = (node.key(0)?, node.key(node.count - 1)?);
            let fits =
                first <= last && range.as_ref().is_none_or(|range| range.contains(node.level, first, last));
            let next = self.position(&node)?;
            let upper = range.and_then(|range| range.upper);
            fits.then(|| Step { page: page.clone(), level: node.level, next, upper, fetched: next })
        };
        step().ok_or(corrupt(extent))
    }

    /// The first position in a page; see [`Step::next`].
    fn position(&self, node: &Node<'_>) -> Option<usize> {
        let ascends = self.direction == Direction::Ascending;
        let (key, is_included) = match &self.from {
            Bound::Unbounded => return Some(if ascends { 0 } else { node.count }),
            Bound::Included(key) => (key, true),
            Bound::Excluded(key) => (key, false),
        };
        if node.level > 0 {
            return Some(node.descend(key)? + usize::from(!ascends));
        }
        let (index, is_there) = node.search(key)?;
        Some(index + usize::from(is_there && is_included != ascends))
    }
}

/// The keys that may be in the child page of a cell.
struct Range {
    /// The level of the inner page.
    level: u8,
    lower: Cell,
    upper: Option<Cell>,
}

impl Range {
    fn contains(&self, level: u8, first: &[u8], last: &[u8]) -> bool {
        level + 1 == self.level
            && self.lower.key() <= first
            && self.upper.as_ref().is_none_or(|upper| last < upper.key())
    }

    /// Whether the whole range lies beyond `end`.
    fn is_beyond(&self, direction: Direction, end: Bound<&[u8]>) -> bool {
        match (direction, end, &self.upper) {
            (Direction::Ascending, end, _) => is_behind(self.lower.key(), end),
            (Direction::Descending, Bound::Included(end) | Bound::Excluded(end), Some(upper)) => {
                upper.key() <= end
            }
            (Direction::Descending, ..) => false,
        }
    }
}
