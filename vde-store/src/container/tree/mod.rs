//! The persisted index: a copy-on-write B+tree, written by checkpoints only, read without locks.

pub(crate) mod cursor;
mod hints;
pub(crate) mod merge;
pub(crate) mod node;

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;

use crate::container::error::{Error, Result};
use crate::container::format::{BLOCK, Extent};
use crate::container::pages::{Bytes, Pages};
use crate::container::tree::hints::Hints;
use crate::container::tree::node::{LeafValue, Node, cell_of};

/// One version of the index. The space to which it refers is not reused while it exists.
pub(crate) struct Tree {
    pub(crate) pages: Arc<Pages>,
    pub(crate) root: Option<Extent>,
    hints: Hints,
}

const PAGE: &str = "index page";

pub(crate) fn corrupt(page: Extent) -> Error {
    Error::corrupt(PAGE, page.offset)
}

impl Tree {
    pub(crate) fn new(pages: Arc<Pages>, root: Option<Extent>, keys: u64) -> Self {
        Self { pages, root, hints: Hints::new(keys) }
    }

    pub(crate) fn load(&self, page: Extent) -> Result<Bytes> {
        self.pages.extent(page, PAGE)
    }

    /// Calls `read` with the value that the index has for `key`. Reads O(log n) pages, or one page if a hint leads to
    /// it.
    pub(crate) fn find<T>(&self, key: &[u8], read: impl FnOnce(LeafValue<'_>) -> T) -> Result<Option<T>> {
        let Some(mut page) = self.root else { return Ok(None) };
        let shown = self.pages.shown();
        let spot = self.hints.spot(key);
        if let Some(value) = spot.places().find_map(|(block, at)| cell_of(shown.block(block)?, at, key)) {
            return Ok(Some(read(value)));
        }
        loop {
            let bytes = self.pages.extent_in(&shown, page, PAGE)?;
            // The heads and offsets follow the header. Reading these two bytes early overlaps their cache misses with
            // that of the header.
            black_box((bytes.get(128), bytes.get(256)));
            let step = || {
                let node = Node::new(&bytes)?;
                if node.level > 0 {
                    return Some(Err(node.child(node.descend(key)?)?));
                }
                Some(Ok(match node.search(key)? {
                    (index, true) => {
                        // The page is in the map, and was verified.
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
}

#[cfg(test)]
mod tests {
    use crate::container::memtable::Horizon;
    use crate::engine::options::VdeOptions;

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
