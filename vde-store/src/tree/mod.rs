//! The persisted index: a copy-on-write B+tree, written by checkpoints only, read without locks.

mod hints;
pub(crate) mod merge;
pub(crate) mod node;

use std::borrow::Cow;
use std::hint::black_box;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BLOCK, Extent};
use crate::pages::{Bytes, Pages};
use crate::tree::hints::Hints;
use crate::tree::node::{LeafValue, Node, cell_of};

/// One version of the index. Nothing that it refers to is reused while it exists.
pub(crate) struct Tree {
    pub(crate) pages: Arc<Pages>,
    pub(crate) root: Option<Extent>,
    hints: Hints,
}

/// A page that could not be read.
pub(crate) struct Unread {
    pub(crate) error: Error,
    /// The least key behind all that the page leads to, if there is one.
    pub(crate) behind: Option<Vec<u8>>,
}

const PAGE: &str = "index page";

pub(crate) fn corrupt(page: Extent) -> Error {
    Error::corrupt(PAGE, page.offset)
}

fn is_from(key: &[u8], from: Bound<&[u8]>) -> bool {
    (from, Bound::Unbounded).contains(key)
}

impl Tree {
    pub(crate) fn new(pages: Arc<Pages>, root: Option<Extent>, keys: u64) -> Self {
        Self { pages, root, hints: Hints::new(keys) }
    }

    pub(crate) fn load(&self, page: Extent) -> Result<Bytes> {
        self.pages.extent(page, PAGE)
    }

    /// What the index knows of `key`, as `read` makes it. O(log n) pages, or one that was found before.
    pub(crate) fn find<T>(&self, key: &[u8], read: impl FnOnce(LeafValue<'_>) -> T) -> Result<Option<T>> {
        let Some(mut page) = self.root else { return Ok(None) };
        let shown = self.pages.shown();
        let spot = self.hints.spot(key);
        if let Some(value) = spot.places().find_map(|(block, at)| cell_of(shown.block(block)?, at, key)) {
            return Ok(Some(read(value)));
        }
        loop {
            let bytes = self.pages.extent_in(&shown, page, PAGE)?;
            // Heads and offsets lie behind the header: asked for together with it, they come together with it.
            black_box((bytes.get(128), bytes.get(256)));
            let step = || {
                let node = Node::new(&bytes)?;
                if node.level > 0 {
                    return Some(Err(node.child(node.descend(key)?)?));
                }
                Some(Ok(match node.search(key)? {
                    (index, true) => {
                        // In the map, and verified.
                        if matches!(bytes, Cow::Borrowed(_)) && bytes.len() as u64 <= BLOCK {
                            spot.note(page.offset / BLOCK, node.offset(index)?);
                        }
                        Some(node.value(index)?)
                    }
                    (_, false) => None,
                }))
            };
            match step().ok_or(corrupt(page))? {
                Ok(found) => return Ok(found.map(read)),
                Err(child) => page = child,
            }
        }
    }

    /// The first key from `from` on. O(log n) pages.
    pub(crate) fn first<T>(
        &self,
        from: Bound<&[u8]>,
        mut read: impl FnMut(&[u8], LeafValue<'_>) -> T,
    ) -> Result<Option<T>, Unread> {
        let Some(root) = self.root else { return Ok(None) };
        let mut from = from.map(<[u8]>::to_vec);
        loop {
            let mut behind = None;
            let start = from.as_ref().map(|key| &**key);
            match self.first_of_leaf(root, start, &mut behind, &mut read) {
                Ok(None) => match behind {
                    Some(key) if is_from(&key, start) => from = Bound::Included(key),
                    Some(_) => return Err(Unread { error: corrupt(root), behind: None }),
                    None => return Ok(None),
                },
                found => return found.map_err(|error| Unread { error, behind }),
            }
        }
    }

    /// The first key from `from` on in the leaf where it belongs. `behind` becomes the least key behind the last page
    /// that was loaded, or tried to be.
    fn first_of_leaf<T>(
        &self,
        mut page: Extent,
        from: Bound<&[u8]>,
        behind: &mut Option<Vec<u8>>,
        read: &mut impl FnMut(&[u8], LeafValue<'_>) -> T,
    ) -> Result<Option<T>> {
        let key = match from {
            Bound::Included(key) | Bound::Excluded(key) => key,
            Bound::Unbounded => &[],
        };
        loop {
            let bytes = self.load(page)?;
            let node = Node::new(&bytes).ok_or(corrupt(page))?;
            if node.level > 0 {
                let index = node.descend(key).ok_or(corrupt(page))?;
                if index + 1 < node.count {
                    *behind = Some(node.key(index + 1).ok_or(corrupt(page))?.to_vec());
                }
                page = node.child(index).ok_or(corrupt(page))?;
                continue;
            }
            let (index, exact) = node.search(key).ok_or(corrupt(page))?;
            let index = index + usize::from(exact && matches!(from, Bound::Excluded(_)));
            if index >= node.count {
                return Ok(None);
            }
            let cell = || Some((node.key(index)?, node.value(index)?));
            // A page whose keys are out of order would lead a walk round in circles.
            let (key, value) = cell().filter(|(key, _)| is_from(key, from)).ok_or(corrupt(page))?;
            return Ok(Some(read(key, value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::memtable::Horizon;
    use crate::options::VdeOptions;

    #[test]
    fn a_search_is_remembered_until_the_next_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let store = VdeOptions::new().background(false).open(dir.path().join("store.vde")).unwrap();
        let places =
            || store.shared().with_layers(|layers, _: Horizon| layers.tree.hints.spot(b"k").places().count());
        store.put("k", "v").unwrap();
        store.put("other", "v").unwrap();
        store.checkpoint().unwrap();
        assert_eq!((store.get("absent").unwrap(), places()), (None, 0));
        assert_eq!((store.get("k").unwrap().unwrap(), places()), (b"v".to_vec(), 1));
        assert_eq!((store.get("k").unwrap().unwrap(), places()), (b"v".to_vec(), 1));
        store.put("k", "w").unwrap();
        store.checkpoint().unwrap();
        assert_eq!((places(), store.get("k").unwrap().unwrap()), (0, b"w".to_vec()));
    }
}
