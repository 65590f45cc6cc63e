//! A cursor that merges the memtables and the tree, in either direction. All iteration over the store uses it.

use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;
use std::task::Poll;

use crate::container::error::Result;
use crate::container::memtable::{Change, Horizon, Memtable, Ranges, Recent};
use crate::container::tree::cursor::{self as tree, Cell, Direction};
use crate::engine::layers::indexed;
use crate::engine::view::ReadView;

/// Memtables are read in batches of keys. The first batch is small, because callers often need only a few keys.
const FIRST_BATCH: usize = 2;
const LARGEST_BATCH: usize = 64;

/// A key, and its entry in the layer in which it was found. It keeps an index page, or a batch of keys, in memory.
#[derive(Clone)]
pub(crate) enum Found {
    Indexed(Cell),
    Recent(Arc<Vec<Recent>>, u32),
}

impl Found {
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Indexed(cell) => cell.key(),
            Self::Recent(batch, at) => &batch[*at as usize].key,
        }
    }

    pub(crate) fn change(&self) -> Result<Cow<'_, Change>> {
        match self {
            Self::Indexed(cell) => cell.value().map(|value| Cow::Owned(indexed(value))),
            Self::Recent(batch, at) => Ok(Cow::Borrowed(&batch[*at as usize].change)),
        }
    }

    /// The length of the value.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Indexed(cell) => cell.value().map_or(0, |value| value.len),
            Self::Recent(batch, at) => {
                batch[*at as usize].change.stored.as_ref().map_or(0, |stored| stored.len)
            }
        }
    }
}

/// A position in a memtable.
struct MemtableCursor {
    direction: Direction,
    from: Bound<Box<[u8]>>,
    batch: Arc<Vec<Recent>>,
    /// The next key of the batch.
    at: usize,
    /// How many keys to read next; 0 at the end.
    wanted: usize,
}

impl MemtableCursor {
    /// Reads the next batch if all keys of this one were taken.
    fn fill(&mut self, memtable: &Memtable, horizon: Horizon, end: Bound<&[u8]>) {
        if self.at < self.batch.len() || self.has_ended() {
            return;
        }
        let from = match self.batch.last() {
            Some(last) => Bound::Excluded(&*last.key),
            None => self.from.as_ref().map(|key| &**key),
        };
        let read = match self.direction {
            Direction::Ascending => memtable.ascending(from, end, self.wanted, horizon),
            Direction::Descending => memtable.descending(from, end, self.wanted, horizon),
        };
        self.wanted = if read.len() < self.wanted { 0 } else { (2 * self.wanted).min(LARGEST_BATCH) };
        (self.batch, self.at) = (Arc::new(read), 0);
    }

    /// Whether no key is left.
    fn has_ended(&self) -> bool {
        self.at == self.batch.len() && self.wanted == 0
    }

    /// The next key.
    fn key(&self) -> Option<&[u8]> {
        self.batch.get(self.at).map(|recent| &*recent.key)
    }

    /// Takes the next key. The caller has checked that there is one.
    fn take(&mut self) -> Found {
        self.at += 1;
        Found::Recent(self.batch.clone(), self.at as u32 - 1)
    }
}

/// A position in the tree. It skips keys that a memtable deletes as a range.
struct TreeCursor {
    direction: Direction,
    cursor: tree::Cursor,
    /// The deleted ranges of each memtable, the newest memtable first.
    ranges: [Option<Arc<Ranges>>; 2],
}

impl TreeCursor {
    /// The next cell, but none beyond `end`.
    fn next(&mut self, view: &ReadView, end: Bound<&[u8]>) -> Result<Option<Cell>> {
        while let Some(cell) = self.cursor.next(&view.layers.tree, end)? {
            let mut ranges = self.ranges.iter().flatten();
            let Some(ranges) = ranges.find(|ranges| ranges.erasure(cell.key(), view.horizon).is_some())
            else {
                return Ok(Some(cell));
            };
            let from = match (self.direction, ranges.around(cell.key())) {
                (Direction::Ascending, (_, Some(behind))) => Bound::Included(Box::from(behind)),
                (Direction::Descending, (Some(first), _)) => Bound::Excluded(Box::from(first)),
                _ => return Ok(None),
            };
            self.cursor = tree::Cursor::new(self.direction, from);
        }
        Ok(None)
    }
}

/// A position between the keys of a view, from which the keys are visited in one direction.
pub(crate) struct Cursor {
    direction: Direction,
    /// The cursor of the newest memtable first.
    memtables: [MemtableCursor; 2],
    tree: TreeCursor,
    /// A cell that was read from the tree and not yet returned.
    indexed: Option<Cell>,
}

impl Cursor {
    pub(crate) fn new(view: &ReadView, direction: Direction, from: &Bound<Box<[u8]>>) -> Self {
        let frozen = view.layers.frozen.as_ref();
        let empty: Arc<Vec<Recent>> = Arc::default();
        let memtable =
            |wanted| MemtableCursor { direction, from: from.clone(), batch: empty.clone(), at: 0, wanted };
        Self {
            direction,
            memtables: [memtable(FIRST_BATCH), memtable(if frozen.is_some() { FIRST_BATCH } else { 0 })],
            tree: TreeCursor {
                direction,
                cursor: tree::Cursor::new(direction, from.clone()),
                ranges: [view.layers.memtable.ranges(), frozen.and_then(|frozen| frozen.ranges())],
            },
            indexed: None,
        }
    }

    /// The next key that has a value, or `None` if it lies beyond `end`. Later calls must not pass an `end` that is
    /// further away. After an error, the next call continues after the damage. The call decrements `steps` for each
    /// deleted key that it skips, and is pending once `steps` is 0.
    pub(crate) fn next(
        &mut self,
        view: &ReadView,
        end: Bound<&[u8]>,
        steps: &mut u64,
    ) -> Poll<Result<Option<Found>>> {
        if self.indexed.is_none() && self.memtables.iter().all(MemtableCursor::has_ended) {
            // The memtables have no more keys, so no comparison is needed.
            return Poll::Ready(self.tree.next(view, end).map(|cell| cell.map(Found::Indexed)));
        }
        let mut deleted = [0; 2];
        let next = loop {
            match self.step(view, end) {
                Ok(Some(Found::Recent(batch, at))) => {
                    let recent = &batch[at as usize];
                    let is_frozen = Arc::ptr_eq(&batch, &self.memtables[1].batch);
                    let newer = self.tree.ranges[0].as_ref().filter(|_| is_frozen);
                    let is_erased =
                        newer.is_some_and(|newer| newer.erasure(&recent.key, view.horizon).is_some());
                    if !is_erased && recent.change.stored.is_some() {
                        break Poll::Ready(Ok(Some(Found::Recent(batch, at))));
                    }
                    deleted[usize::from(is_frozen)] += 1;
                    *steps -= 1;
                    if *steps == 0 {
                        break Poll::Pending;
                    }
                }
                other => break Poll::Ready(other),
            }
        };
        for (memtable, deleted) in view.layers.memtables().zip(deleted) {
            if deleted > 0 && memtable.step_over(deleted) {
                view.layers.suggest_checkpoint();
            }
        }
        next
    }

    /// The next key of all layers, from the newest layer that has it.
    fn step(&mut self, view: &ReadView, end: Bound<&[u8]>) -> Result<Option<Found>> {
        let layers = &view.layers;
        let [newest, frozen] = &mut self.memtables;
        newest.fill(&layers.memtable, view.horizon, end);
        if let Some(memtable) = &layers.frozen {
            frozen.fill(memtable, view.horizon, end);
        }
        let direction = self.direction;
        let precedes = |key: &[u8], other: Option<&[u8]>| {
            other.is_none_or(|other| direction.compare(key, other).is_lt())
        };
        // Of equal keys, that of the newer layer counts.
        let is_frozen = frozen.key().is_some_and(|key| precedes(key, newest.key()));
        let recent = if is_frozen { frozen.key() } else { newest.key() };
        if self.indexed.is_none()
            && let Some(cell) = self.tree.next(view, end)?
        {
            if precedes(cell.key(), recent) {
                return Ok(Some(Found::Indexed(cell)));
            }
            self.indexed = Some(cell);
        }
        let is_indexed = self.indexed.as_ref().is_some_and(|cell| precedes(cell.key(), recent));
        let key = if is_indexed { self.indexed.as_ref().map(Cell::key) } else { recent };
        if key.is_none_or(|key| direction.is_beyond(key, end)) {
            return Ok(None);
        }
        if is_indexed {
            return Ok(self.indexed.take().map(Found::Indexed));
        }
        let found = if is_frozen { frozen.take() } else { newest.take() };
        // Older layers may have the same key; it is skipped there.
        if !is_frozen && frozen.key() == Some(found.key()) {
            frozen.at += 1;
        }
        self.indexed.take_if(|cell| cell.key() == found.key());
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fastrand::Rng;

    use super::*;
    use crate::container::memtable::{Location, Payload, Stored, Target};
    use crate::engine::layers::Layers;
    use crate::engine::options::VdeOptions;

    /// Changes a memtable and the model in the same way.
    fn change(rng: &mut Rng, memtable: &Memtable, model: &mut BTreeMap<[u8; 1], u64>, seq: u64) {
        let key = [rng.u8(..40)];
        let stored =
            |len| Stored { len, origin: None, facts: None, payload: Payload::Memory(Arc::default()) };
        let (target, stored) = match rng.u8(..8) {
            0 => {
                let until = [key[0] + rng.u8(..15)];
                model.retain(|other, _| *other < key || *other >= until);
                (Target::Range(key.into(), Some(until.into())), None)
            }
            1..3 => {
                model.remove(&key);
                (Target::Key(key.into()), None)
            }
            _ => {
                model.insert(key, seq);
                (Target::Key(key.into()), Some(stored(seq)))
            }
        };
        memtable.insert(target, Change::new(seq, Location::default(), false, stored));
    }

    #[test]
    fn the_newest_layer_wins_while_a_checkpoint_runs() {
        let rng = &mut Rng::with_seed(3);
        for _ in 0..300 {
            let store = VdeOptions::new().background(false).in_memory().unwrap();
            let mut model = BTreeMap::new();
            for key in (0..40).filter(|_| rng.bool()) {
                store.put([key], vec![0; usize::from(key)]).unwrap();
                model.insert([key], u64::from(key));
            }
            store.checkpoint().unwrap();
            let (memtable, frozen): (Arc<Memtable>, Arc<Memtable>) = Default::default();
            (100..100 + rng.u64(..30)).for_each(|seq| change(rng, &frozen, &mut model, seq));
            (200..200 + rng.u64(..30)).for_each(|seq| change(rng, &memtable, &mut model, seq));
            let tree = store.shared().layers.load().tree.clone();
            let layers = Layers { memtable, frozen: Some(frozen), tree, log: None, maintenance: None };
            let view = ReadView { layers: Arc::new(layers), horizon: Horizon::LATEST };
            let entry =
                |entry: Result<crate::Entry>| entry.map(|entry| ([entry.key()[0]], entry.len())).unwrap();
            assert!(view.list("").map(entry).eq(model.clone()));
            assert!(view.list("").rev().map(entry).eq(model.clone().into_iter().rev()));
            for key in (0..40).map(|key| [key]) {
                assert_eq!(view.contains(key).unwrap(), model.contains_key(&key));
            }
        }
    }
}
