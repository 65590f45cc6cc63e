//! The persisted index: a copy-on-write B+tree, written by checkpoints only, read without locks.

pub(crate) mod merge;
pub(crate) mod node;

use std::ops::Bound;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::Extent;
use crate::pages::{Bytes, Pages};
use crate::tree::node::{LeafValue, Node};

/// One version of the index. Nothing that it refers to is reused while it exists.
pub(crate) struct Tree {
    pub(crate) pages: Arc<Pages>,
    pub(crate) root: Option<Extent>,
}

const PAGE: &str = "index page";

pub(crate) fn corrupt(page: Extent) -> Error {
    Error::corrupt(PAGE, page.offset)
}

impl Tree {
    pub(crate) fn load(&self, page: Extent) -> Result<Bytes> {
        self.pages.extent(page, PAGE)
    }

    /// What the index knows of `key`, as `read` makes it. O(log n) pages.
    pub(crate) fn find<T>(&self, key: &[u8], read: impl FnOnce(LeafValue<'_>) -> T) -> Result<Option<T>> {
        let Some(mut page) = self.root else { return Ok(None) };
        loop {
            let bytes = self.load(page)?;
            let step = || {
                let node = Node::new(&bytes)?;
                if node.level > 0 {
                    return Some(Err(node.child(node.descend(key)?)?));
                }
                Some(Ok(match node.search(key)? {
                    (index, true) => Some(node.value(index)?),
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
    ) -> Result<Option<T>> {
        let Some(root) = self.root else { return Ok(None) };
        let mut from = from.map(<[u8]>::to_vec);
        loop {
            let mut page = root;
            // The least key behind the subtree that is being descended into.
            let mut behind = None;
            loop {
                let bytes = self.load(page)?;
                let node = Node::new(&bytes).ok_or(corrupt(page))?;
                let (Bound::Included(key) | Bound::Excluded(key)) = &from else {
                    from = Bound::Included(Vec::new());
                    continue;
                };
                if node.level > 0 {
                    let index = node.descend(key).ok_or(corrupt(page))?;
                    if index + 1 < node.count {
                        behind = Some(node.key(index + 1).ok_or(corrupt(page))?.to_vec());
                    }
                    page = node.child(index).ok_or(corrupt(page))?;
                    continue;
                }
                let (index, exact) = node.search(key).ok_or(corrupt(page))?;
                let index = index + usize::from(exact && matches!(from, Bound::Excluded(_)));
                if index < node.count {
                    let cell = || Some((node.key(index)?, node.value(index)?));
                    let (key, value) = cell().ok_or(corrupt(page))?;
                    return Ok(Some(read(key, value)));
                }
                break;
            }
            match behind {
                Some(key) => from = Bound::Included(key),
                None => return Ok(None),
            }
        }
    }
}
