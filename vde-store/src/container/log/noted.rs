//! The list of recent changes. Writers add to it under the log's mutex, so it takes no allocation for each change: the
//! keys lie behind each other in one buffer. A watcher allocates the keys that it takes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::container::log::watchers::{Change, ChangeKind, LoggedPut};

/// A change that was logged.
pub(crate) struct New<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) what: What<'a>,
    pub(crate) version: u64,
    pub(crate) ends_batch: bool,
}

/// What was done.
pub(crate) enum What<'a> {
    /// A value of this length was put.
    Put(u64, Option<LoggedPut>),
    Delete,
    DeleteRange(Option<&'a [u8]>),
}

/// A change in the list.
struct Item {
    version: u64,
    kind: Kind,
    key_len: u32,
    ends_batch: bool,
    /// The place of its bytes, among all bytes that the list ever had.
    at: u64,
}

enum Kind {
    Put(u64, Option<LoggedPut>),
    Delete,
    /// The bytes of the bound follow those of the key.
    DeleteRange(Option<u32>),
}

impl Item {
    /// The length of the bound, if there is one.
    fn until_len(&self) -> Option<usize> {
        match self.kind {
            Kind::DeleteRange(len) => len.map(|len| len as usize),
            Kind::Put(..) | Kind::Delete => None,
        }
    }
}

/// Recent changes, in the order of the log.
#[derive(Default)]
pub(crate) struct Noted {
    items: VecDeque<Item>,
    /// The keys and bounds of the items.
    bytes: VecDeque<u8>,
    /// How many bytes came before those.
    gone: u64,
}

impl Noted {
    /// Roughly how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        self.items.len() * size_of::<Item>() + self.bytes.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn push(&mut self, new: &New<'_>) {
        let at = self.gone + self.bytes.len() as u64;
        self.bytes.extend(new.key);
        let kind = match new.what {
            What::Put(len, logged) => Kind::Put(len, logged),
            What::Delete => Kind::Delete,
            What::DeleteRange(until) => {
                self.bytes.extend(until.unwrap_or_default());
                Kind::DeleteRange(until.map(|until| until.len() as u32))
            }
        };
        let (key_len, version, ends_batch) = (new.key.len() as u32, new.version, new.ends_batch);
        self.items.push_back(Item { version, kind, key_len, ends_batch, at });
    }

    /// Drops the oldest change. Returns whether there was one.
    pub(crate) fn pop(&mut self) -> bool {
        let Some(item) = self.items.pop_front() else { return false };
        let len = item.key_len as usize + item.until_len().unwrap_or(0);
        self.bytes.drain(..len);
        self.gone += len as u64;
        true
    }

    /// How many changes there are up to `version`.
    pub(crate) fn count_until(&self, version: u64) -> usize {
        self.items.partition_point(|item| item.version <= version)
    }

    /// The changes from place `from` on, up to `version`.
    pub(crate) fn from(&self, from: usize, version: u64) -> impl Iterator<Item = Change> {
        self.items.range(from..).take_while(move |item| item.version <= version).map(|item| self.change(item))
    }

    fn change(&self, item: &Item) -> Change {
        let (start, key_len) = ((item.at - self.gone) as usize, item.key_len as usize);
        let key = self.copy(start, key_len);
        let (kind, len, logged) = match item.kind {
            Kind::Put(len, logged) => (ChangeKind::Put, len, logged),
            Kind::Delete => (ChangeKind::Delete, 0, None),
            Kind::DeleteRange(_) => {
                let until = item.until_len().map(|len| self.copy(start + key_len, len));
                (ChangeKind::DeleteRange(until), 0, None)
            }
        };
        Change { key, version: item.version, kind, len, ends_batch: item.ends_batch, logged }
    }

    fn copy(&self, start: usize, len: usize) -> Arc<[u8]> {
        let (front, back) = self.bytes.as_slices();
        match start.checked_sub(front.len()) {
            Some(start) => back[start..start + len].into(),
            None if start + len <= front.len() => front[start..start + len].into(),
            None => [&front[start..], &back[..start + len - front.len()]].concat().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_out_as_they_were_noted() {
        let mut rng = fastrand::Rng::with_seed(1);
        let (mut noted, mut expected) = (Noted::default(), VecDeque::new());
        for version in 1..5000 {
            let key = vec![rng.u8(..); rng.usize(1..40)];
            let until = rng.bool().then(|| vec![rng.u8(..); rng.usize(1..40)]);
            let (what, kind, len) = match rng.u8(..3) {
                0 => (What::Put(version, None), ChangeKind::Put, version),
                1 => (What::Delete, ChangeKind::Delete, 0),
                _ => {
                    let kind = ChangeKind::DeleteRange(until.as_deref().map(Arc::from));
                    (What::DeleteRange(until.as_deref()), kind, 0)
                }
            };
            let ends_batch = rng.bool();
            noted.push(&New { key: &key, what, version, ends_batch });
            expected.push_back(Change { key: key.into(), version, kind, len, ends_batch, logged: None });
            while noted.len() > rng.usize(50..100) {
                assert!(noted.pop());
                expected.pop_front();
            }
            let from = rng.usize(..=noted.len());
            assert!(noted.from(from, version).eq(expected.range(from..).cloned()));
            let before = noted.count_until(version - 1);
            assert_eq!((before, noted.from(0, version - 1).count()), (noted.len() - 1, before));
        }
        assert!(noted.weight() < 100 * (size_of::<Item>() + 80));
        while noted.pop() {}
        assert_eq!(noted.weight(), 0);
    }
}
