//! Walking through the keys of one point in time, in order.

use std::fmt;
use std::ops::Bound;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::blob::BlobMap;
use crate::error::{Error, Result};
use crate::layers::indexed;
use crate::memtable::{Change, Location, Payload};
use crate::tree::Unread;
use crate::value::{Metadata, Value, ValueReader};
use crate::view::ReadView;

/// The first key behind all that begin with `prefix`.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Bound<Box<[u8]>> {
    match prefix.iter().rposition(|byte| *byte != u8::MAX) {
        None => Bound::Unbounded,
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            Bound::Excluded(end.into())
        }
    }
}

/// Entries in key order, all of one point in time.
///
/// A page of the index that cannot be read is an item with the error; what comes behind it follows.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("b", "2")?;
/// store.put("a", "1")?;
/// let keys: Vec<_> = store.list("").map(|entry| Ok(entry?.into_key())).collect::<vde_store::Result<_>>()?;
/// assert_eq!(keys, [Box::from(*b"a"), Box::from(*b"b")]);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Entries {
    view: ReadView,
    /// The next entry of each layer, the newest layer first.
    heads: [Head; 3],
    from: Bound<Box<[u8]>>,
    /// Where the index goes on behind a page that could not be read.
    behind_damage: Option<Box<[u8]>>,
    end: Bound<Box<[u8]>>,
    done: bool,
}

/// The next entry of one layer.
enum Head {
    Unread,
    End,
    At(Box<[u8]>, Change),
}

impl Head {
    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::At(key, _) => Some(key),
            Self::Unread | Self::End => None,
        }
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("from", &self.from).field("end", &self.end).finish_non_exhaustive()
    }
}

fn as_slice(bound: &Bound<Box<[u8]>>) -> Bound<&[u8]> {
    bound.as_ref().map(|key| &**key)
}

/// The later one of two places to begin.
fn later<'a>(from: Bound<&'a [u8]>, key: Option<&'a [u8]>) -> Bound<&'a [u8]> {
    match (from, key) {
        (Bound::Included(from) | Bound::Excluded(from), Some(key)) if key > from => Bound::Included(key),
        (Bound::Unbounded, Some(key)) => Bound::Included(key),
        _ => from,
    }
}

impl Entries {
    pub(crate) fn new(view: ReadView, from: Bound<Box<[u8]>>, end: Bound<Box<[u8]>>) -> Self {
        Self {
            view,
            heads: [Head::Unread, Head::Unread, Head::Unread],
            from,
            behind_damage: None,
            end,
            done: false,
        }
    }

    /// Reads the next entry of a layer.
    fn read(&mut self, layer: usize) -> Result<Head> {
        let layers = &self.view.layers;
        let from = as_slice(&self.from);
        let found = match layer {
            0 => layers.memtable.first(from, self.view.horizon),
            1 => layers.frozen.as_ref().and_then(|frozen| frozen.first(from, self.view.horizon)),
            _ => {
                let from = later(from, self.behind_damage.as_deref());
                match layers.tree.first(from, |key, value| (key.into(), indexed(value))) {
                    Ok(found) => found,
                    Err(Unread { error, behind }) => {
                        // Nothing comes behind, or pages contradict each other.
                        let behind = behind.filter(|behind| later(from, Some(behind)) != from);
                        self.heads[layer] = if behind.is_some() { Head::Unread } else { Head::End };
                        self.behind_damage = behind.map(Box::from);
                        return Err(error);
                    }
                }
            }
        };
        Ok(found.map_or(Head::End, |(key, change)| Head::At(key, change)))
    }

    /// The next key of any layer, with its newest change.
    fn advance(&mut self) -> Result<Option<(Box<[u8]>, Change)>> {
        for layer in 0..self.heads.len() {
            if matches!(self.heads[layer], Head::Unread) {
                self.heads[layer] = self.read(layer)?;
            }
        }
        let Some(least) = self.heads.iter().filter_map(Head::key).min().map(Box::<[u8]>::from) else {
            return Ok(None);
        };
        let mut newest = None;
        for head in &mut self.heads {
            if head.key() == Some(&*least)
                && let Head::At(_, change) = std::mem::replace(head, Head::Unread)
            {
                newest.get_or_insert(change);
            }
        }
        self.from = Bound::Excluded(least.clone());
        Ok(newest.map(|change| (least, change)))
    }

    fn is_past_end(&self, key: &[u8]) -> bool {
        match as_slice(&self.end) {
            Bound::Unbounded => false,
            Bound::Included(end) => key > end,
            Bound::Excluded(end) => key >= end,
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            match self.advance() {
                Ok(Some((key, change))) if !self.is_past_end(&key) => {
                    if change.stored.is_some() {
                        return Some(Ok(Entry { view: self.view.clone(), key, change }));
                    }
                }
                Ok(_) => self.done = true,
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

impl std::iter::FusedIterator for Entries {}

/// Always ready: what is not in memory is read on the polling thread.
impl futures_core::Stream for Entries {
    type Item = Result<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.next())
    }
}

/// A key and, when asked for, its value.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// store.put("k", "value")?;
/// let entry = store.list("").next().unwrap()?;
/// assert_eq!((entry.key(), entry.len()), (&b"k"[..], 5));
/// assert_eq!(&*entry.value()?, b"value");
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone)]
pub struct Entry {
    view: ReadView,
    key: Box<[u8]>,
    change: Change,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("key", &self.key).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Entry {
    /// The key.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(store.list("").next().unwrap()?.key(), b"k");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The key, owned.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(*store.list("").next().unwrap()?.into_key(), *b"k");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn into_key(self) -> Box<[u8]> {
        self.key
    }

    /// The length of the value in bytes; reads nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "12345")?;
    /// assert_eq!(store.list("").next().unwrap()?.len(), 5);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn len(&self) -> u64 {
        self.change.stored.as_ref().map_or(0, |stored| stored.len)
    }

    /// Whether the value has no bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "")?;
    /// assert!(store.list("").next().unwrap()?.is_empty());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value, loaded now.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] and [`Error::Io`] where it cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(&*store.list("").next().unwrap()?.value()?, b"v");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn value(&self) -> Result<Value> {
        let stored = self.change.stored.as_ref().ok_or(Error::corrupt("index entry", 0))?;
        self.view.layers.value(&self.key, stored)
    }

    /// A reader of the value, which holds no more than a chunk of it in memory.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value).
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// let entry = store.list("").next().unwrap()?;
    /// assert_eq!(std::io::read_to_string(entry.reader()?).unwrap(), "v");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn reader(&self) -> Result<ValueReader> {
        let stored = self.change.stored.as_ref().ok_or(Error::corrupt("index entry", 0))?;
        self.view.layers.reader(&self.key, stored)
    }

    /// The map of a large value that the index knows, and the record that it lies in.
    pub(crate) fn recorded_blob(&self) -> Result<Option<(Location, BlobMap)>> {
        match self.change.stored.as_ref().map(|stored| &stored.payload) {
            Some(Payload::Record { location, blob: true, .. }) => {
                Ok(Some((*location, self.view.layers.blob_map(&self.key, *location)?)))
            }
            _ => Ok(None),
        }
    }

    /// What is known of the value beside its bytes.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value).
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = vde_store::Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(store.list("").next().unwrap()?.metadata()?.len, 1);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn metadata(&self) -> Result<Metadata> {
        let stored = self.change.stored.as_ref().ok_or(Error::corrupt("index entry", 0))?;
        self.view.layers.metadata(&self.key, &self.change, stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_its_successor() {
        assert_eq!(end_of_prefix(b""), Bound::Unbounded);
        assert_eq!(end_of_prefix(b"ab"), Bound::Excluded(b"ac"[..].into()));
        assert_eq!(end_of_prefix(b"a\xff\xff"), Bound::Excluded(b"b"[..].into()));
        assert_eq!(end_of_prefix(b"\xff\xff"), Bound::Unbounded);
    }
}
