//! How a checkpoint resolves the changes of each key. In doing so, it finds the records and large values to which the
//! new index no longer refers.

use std::cell::RefCell;
use std::sync::Arc;

use crate::container::blob::BlobMap;
use crate::container::error::Result;
use crate::container::format::MAX_LEAF_VALUE;
use crate::container::memtable::{Change, Horizon, Location, Memtable, Payload, Ranges, Stored};
use crate::container::pages::Pages;
use crate::container::segments::PageRun;
use crate::container::tree::merge;
use crate::container::tree::node::{LeafValue, Place};
use crate::engine::layers::read_record;

/// The records and blobs that a merge has found dead or indexed.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) died: Vec<Location>,
    /// Blobs to which the index no longer refers, with the version of the value.
    pub(crate) dead_blobs: Vec<(PageRun, u64)>,
    /// Blobs to which the index refers now.
    pub(crate) indexed: Vec<PageRun>,
    pub(crate) added: u64,
    pub(crate) removed: u64,
}

/// All changes of one key since the last checkpoint, the newest first.
pub(crate) struct Group<'a> {
    key: Box<[u8]>,
    changes: Vec<Change>,
    pages: &'a Pages,
    ledger: &'a RefCell<Ledger>,
}

/// The pages of a change's blob, if it has one.
fn blob_of(change: &Change, pages: &Pages) -> Result<Vec<PageRun>> {
    match &change.stored {
        Some(Stored { payload: Payload::Blob(map), .. }) => {
            BlobMap::decode(map, change.location.offset)?.runs(pages)
        }
        _ => Ok(Vec::new()),
    }
}

impl Ledger {
    /// Records that the index now refers to `newest` instead of the `older` changes and its previous entry. A value
    /// that was moved has several records, which share one blob or have copies of it.
    fn replace(
        &mut self,
        newest: &Change,
        older: &[Change],
        old: Option<LeafValue<'_>>,
        key: &[u8],
        pages: &Pages,
    ) -> Result<()> {
        let mut kept = blob_of(newest, pages)?;
        let mut dead = Vec::new();
        for change in older {
            self.died.push(change.location);
            let version = change.version().unwrap_or(change.seq);
            dead.extend(blob_of(change, pages)?.into_iter().map(|run| (run, version)));
        }
        self.indexed.extend(dead.iter().map(|(run, _)| *run));
        if let Some(LeafValue { version, place: Place::Record { location, blob }, .. }) = old {
            self.died.push(location);
            if blob {
                let map = read_record(pages, key, location, |record, _| {
                    BlobMap::decode(record.value, location.offset)
                })??;
                dead.extend(map.runs(pages)?.into_iter().map(|run| (run, version)));
            }
        }
        dead.sort_unstable();
        dead.dedup_by_key(|(run, _)| *run);
        kept.sort_unstable();
        dead.retain(|(run, _)| kept.binary_search(run).is_err());
        self.indexed.extend(kept);
        self.dead_blobs.extend(dead);
        Ok(())
    }
}

impl Group<'_> {
    /// When the key was first put since it was last absent.
    fn created(&self, old: Option<LeafValue<'_>>) -> u64 {
        let mut created = 0;
        for change in &self.changes {
            let Some(stored) = &change.stored else { return created };
            if let Some(origin) = stored.origin {
                return origin.created;
            }
            created = stored.facts.as_ref().map_or(0, |facts| facts.modified);
        }
        old.map_or(created, |old| old.created)
    }
}

impl merge::Change for Group<'_> {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn resolve(self, old: Option<LeafValue<'_>>) -> Result<Option<Vec<u8>>> {
        let mut ledger = self.ledger.borrow_mut();
        let newest = &self.changes[0];
        let version = newest.version();
        ledger.replace(newest, &self.changes[1..], old, &self.key, self.pages)?;
        let Some(stored) = &newest.stored else {
            ledger.died.push(newest.location);
            ledger.removed += u64::from(old.is_some());
            return Ok(None);
        };
        ledger.added += u64::from(old.is_none());
        let created = self.created(old);
        let place = match (&stored.payload, &stored.facts) {
            (Payload::Memory(bytes), Some(facts)) if bytes.len() <= MAX_LEAF_VALUE => {
                ledger.died.push(newest.location);
                Place::Inline {
                    modified: facts.modified,
                    user: facts.user.as_deref().unwrap_or_default(),
                    bytes,
                }
            }
            (Payload::Blob(_), _) => Place::Record { location: newest.location, blob: true },
            _ => Place::Record { location: newest.location, blob: false },
        };
        let value = LeafValue { len: stored.len, version: version.unwrap_or(newest.seq), created, place };
        let mut payload = Vec::with_capacity(LeafValue::USUAL_LEN);
        value.encode(&mut payload);
        Ok(Some(payload))
    }
}

/// Groups the changes of a memtable by key.
pub(crate) fn groups<'a>(
    memtable: &'a Memtable,
    pages: &'a Pages,
    ledger: &'a RefCell<Ledger>,
) -> impl Iterator<Item = Group<'a>> {
    let ranges = memtable.ranges();
    let mut changes = memtable.changes().peekable();
    std::iter::from_fn(move || {
        let (key, newest) = changes.next()?;
        let mut group = Group { key, changes: vec![newest], pages, ledger };
        while let Some((_, older)) = changes.next_if(|(key, _)| *key == group.key) {
            group.changes.push(older);
        }
        if let Some(erasure) = ranges.as_ref().and_then(|ranges| ranges.erasure(&group.key, Horizon::LATEST))
        {
            let place = group.changes.partition_point(|change| change.seq > erasure.seq);
            group.changes.insert(place, erasure.change());
        }
        Some(group)
    })
}

/// The deleted ranges of a memtable, for a merge.
pub(crate) struct Erasing<'a> {
    ranges: Option<Arc<Ranges>>,
    pages: &'a Pages,
    ledger: &'a RefCell<Ledger>,
}

impl<'a> Erasing<'a> {
    pub(crate) fn new(memtable: &Memtable, pages: &'a Pages, ledger: &'a RefCell<Ledger>) -> Self {
        let ranges = memtable.ranges();
        if let Some(ranges) = &ranges {
            // The index now contains the effect of these records.
            ledger.borrow_mut().died.extend_from_slice(&ranges.records);
        }
        Self { ranges, pages, ledger }
    }
}

impl<'a> merge::Erase for Erasing<'a> {
    type Change = Group<'a>;

    fn overlaps(&self, from: &[u8], until: Option<&[u8]>) -> bool {
        self.ranges.as_ref().is_some_and(|ranges| ranges.overlap(from, until))
    }

    fn change(&self, key: &[u8]) -> Option<Group<'a>> {
        let erasure = self.ranges.as_ref()?.erasure(key, Horizon::LATEST)?;
        let (pages, ledger) = (self.pages, self.ledger);
        Some(Group { key: key.into(), changes: vec![erasure.change()], pages, ledger })
    }
}
