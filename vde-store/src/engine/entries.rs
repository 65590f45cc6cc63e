//! Iterating over the keys of one point in time, in order.

use std::fmt;
use std::ops::Bound;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::container::error::Result;
use crate::container::memtable::{is_before, is_behind};
use crate::container::tree::cursor::Direction;
use crate::container::turns::Turns;
use crate::engine::cursor::{Cursor, Found};
use crate::engine::entry::Entry;
use crate::engine::view::ReadView;

/// The first key after all keys that begin with `prefix`.
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

/// An iterator over entries in key order, as they were at one point in time. It can be used from both ends.
///
/// If a page of the index cannot be read, the next item is the error, and iteration continues after that page.
///
/// It keeps its position in the index, so a step costs no search. An entry keeps its neighbours in memory: the index
/// page that contains it, or up to 64 recently written keys.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// for (key, value) in [("b", "2"), ("a", "1"), ("c", "3")] {
///     store.put(key, value)?;
/// }
/// let mut entries = store.list("");
/// assert_eq!(entries.next().unwrap()?.key(), b"a");
/// assert_eq!(entries.next_back().unwrap()?.key(), b"c");
/// assert_eq!(entries.count(), 1);
/// # Ok::<(), vde_store::Error>(())
/// ```
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Entries {
    view: Arc<ReadView>,
    ascending: Side,
    descending: Side,
    is_reversed: bool,
    turns: Turns,
}

/// One of the two ends from which entries are taken.
struct Side {
    direction: Direction,
    from: Bound<Box<[u8]>>,
    /// Created when the first entry is requested.
    cursor: Option<Box<Cursor>>,
    /// The entry that was taken last.
    taken: Option<Found>,
}

impl Side {
    fn new(direction: Direction, from: Bound<Box<[u8]>>) -> Self {
        Self { direction, from, cursor: None, taken: None }
    }

    /// The bound that the other side may not pass.
    fn end(&self) -> Bound<&[u8]> {
        match &self.taken {
            Some(taken) => Bound::Excluded(taken.key()),
            None => self.from.as_ref().map(|key| &**key),
        }
    }

    fn next(
        &mut self,
        view: &Arc<ReadView>,
        end: Bound<&[u8]>,
        steps: &mut u64,
    ) -> Poll<Option<Result<Entry>>> {
        let cursor =
            self.cursor.get_or_insert_with(|| Box::new(Cursor::new(view, self.direction, &self.from)));
        let found = ready!(cursor.next(view, end, steps)).transpose();
        Poll::Ready(found.map(|found| {
            let found = found?;
            self.taken = Some(found.clone());
            Ok(Entry { view: view.clone(), found })
        }))
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("from", &self.ascending.end())
            .field("end", &self.descending.end())
            .finish_non_exhaustive()
    }
}

impl Entries {
    pub(crate) fn new(view: ReadView, from: Bound<Box<[u8]>>, end: Bound<Box<[u8]>>) -> Self {
        Self {
            view: Arc::new(view),
            ascending: Side::new(Direction::Ascending, from),
            descending: Side::new(Direction::Descending, end),
            is_reversed: false,
            turns: Turns::default(),
        }
    }

    /// The same entries in descending order, as an iterator and as a stream. [`Iterator::rev`] makes an iterator only.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("a", "")?;
    /// store.put("b", "")?;
    /// assert_eq!(store.list("").reversed().next().unwrap()?.key(), b"b");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn reversed(mut self) -> Self {
        self.is_reversed = !self.is_reversed;
        self
    }

    /// Skips the entries before `key`. The next entry is the first one whose key is at least `key`, or at most `key`
    /// if the order is [descending](Self::reversed). If the iterator has already passed `key`, it does nothing. O(log
    /// n).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// for key in ["a", "c", "e"] {
    ///     store.put(key, "")?;
    /// }
    /// let mut entries = store.list("");
    /// entries.seek("b");
    /// assert_eq!(entries.next().unwrap()?.key(), b"c");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn seek(&mut self, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        let side = if self.is_reversed { &mut self.descending } else { &mut self.ascending };
        let is_ahead = match side.direction {
            Direction::Ascending => !is_before(key, side.end()),
            Direction::Descending => !is_behind(key, side.end()),
        };
        if is_ahead {
            *side = Side::new(side.direction, Bound::Included(key.into()));
        }
    }

    /// As [`Cursor::next`].
    fn step(&mut self, reversed: bool, steps: &mut u64) -> Poll<Option<Result<Entry>>> {
        let (side, other) = if reversed {
            (&mut self.descending, &self.ascending)
        } else {
            (&mut self.ascending, &self.descending)
        };
        side.next(&self.view, other.end(), steps)
    }

    fn step_at_once(&mut self, reversed: bool) -> Option<Result<Entry>> {
        loop {
            if let Poll::Ready(next) = self.step(reversed, &mut u64::MAX.clone()) {
                return next;
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step_at_once(self.is_reversed)
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step_at_once(!self.is_reversed)
    }
}

impl std::iter::FusedIterator for Entries {}

/// A stream lets other tasks run after this many keys, including deleted ones.
const KEYS_IN_A_TURN: u64 = 256;

/// Pages that are not in memory are read on the polling thread. From time to time the stream yields to other tasks:
/// it is pending once, and wakes its task at once.
impl futures_core::Stream for Entries {
    type Item = Result<Entry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let left = ready!(self.turns.left(KEYS_IN_A_TURN, cx));
            let (reversed, mut unspent) = (self.is_reversed, left);
            let polled = self.step(reversed, &mut unspent);
            self.turns.spend(left - unspent + u64::from(polled.is_ready()));
            if polled.is_ready() {
                return polled;
            }
        }
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
