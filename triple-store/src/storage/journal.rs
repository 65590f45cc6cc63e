//! The durable data of a store: the values of a vde-store. A store in memory has none.
//!
//! | key | value |
//! |---|---|
//! | `f` | the version of this format |
//! | `m` | the [manifest](Manifest) of the last checkpoint |
//! | `c` | its copy, which only a salvage reads |
//! | `p` number | a [page](crate::storage::pages): sorted keys of the run or of the dictionary, or terms |
//! | `l` number | the bytes of a [long](crate::storage::dictionary::block) term |
//! | `n` prefix | the IRI of the prefix |
//! | `t` sequence number | the [record](crate::storage::record) of one commit |
//!
//! Numbers in keys are big endian. Writes become durable in the order in which they were logged. So a manifest is
//! written after everything that it refers to, and the values that it replaces are deleted after it. A page that two
//! successive checkpoints share is stored once. A page that readers of an earlier one may read is deleted at a later
//! checkpoint.

mod salvage;

pub(crate) use salvage::Remains;

use crate::error::{Error, Result};
use crate::storage::chunk::CHUNK_KEYS;
use crate::storage::dictionary::archive::Archive;
use crate::storage::dictionary::block::{Block, NUMBERS};
use crate::storage::dictionary::entries::MOST_TERMS;
use crate::storage::durability::Durability;
use crate::storage::order::Order;
use crate::storage::pages::{LONG, PAGE, Pages, Slot, Source, page_key};
use crate::storage::run::{Run, Sorted};
use crate::terms::codec::{put_varint, varint};
use crate::terms::quad::{Columns, Key, Seq};
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use vde_store::{ReadView, Vde};

const FORMAT: &[u8] = b"f";
const MANIFEST: &[u8] = b"m";
const MANIFEST_COPY: &[u8] = b"c";
const NAMESPACE: u8 = b'n';
const COMMIT: u8 = b't';

/// The version of the stored format.
const VERSION: &str = "triple-store 4";

/// Keys deleted at once.
const DELETED_AT_ONCE: usize = 4096;

/// The durable side of a store.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Writes return once they are logged, in the order of the calls.
    source: Option<Source>,
    pages: Arc<Pages>,
    durability: Durability,
    read_only: bool,
}

/// The last checkpoint, without its run and terms.
///
/// ```text
/// last commit, number of the next page, number of the next term, key of the hash of terms,
/// then for each width and order, and for the index of terms: number of chunks, then each: its number, number of keys, first
///     key
/// then number of blocks of terms, then each: its page, number of terms, how far its number is from the last one's
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Manifest {
    /// The last commit that was merged into the run.
    pub(crate) last: Seq,
    /// The number of the next term.
    pub(crate) next_term: u64,
}

impl Manifest {
    fn encode(self, run: &Run, terms: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [self.last, terms.index.pages.next(), self.next_term, terms.key[0], terms.key[1]] {
            put_varint(&mut bytes, number);
        }
        run.triples.orders.iter().for_each(|order| put_order(&mut bytes, order));
        run.named.orders.iter().for_each(|order| put_order(&mut bytes, order));
        put_order(&mut bytes, &terms.index);
        put_varint(&mut bytes, terms.blocks.iter().flatten().count() as u64);
        let mut next = 0;
        for slot in terms.blocks.iter().flatten() {
            for number in [slot.number().unwrap_or_default(), slot.len() as u64, slot.first - next] {
                put_varint(&mut bytes, number);
            }
            next = slot.first + 1;
        }
        bytes
    }

    /// The manifest, the run and the terms, whose pages are not read.
    fn decode(mut bytes: &[u8], pages: &Arc<Pages>) -> Option<(Self, Run, Archive)> {
        let bytes = &mut bytes;
        let (last, next_page) = (varint(bytes)?, varint(bytes)?);
        let next_term = varint(bytes).filter(|number| *number <= MOST_TERMS)?;
        let key = [varint(bytes)?, varint(bytes)?];
        pages.continue_at(next_page);
        let run = Run::new(take_sorted(bytes, pages)?, take_sorted(bytes, pages)?);
        let index = take_order(bytes, pages)?;
        let (mut blocks, mut next, mut terms) = (Vec::new(), 0u64, 0);
        for _ in 0..varint(bytes)? {
            let (page, items) = (take_page(bytes, pages)?, varint(bytes)?);
            let number = next.checked_add(varint(bytes)?).filter(|number| *number <= Block::of(next_term))?;
            terms += Some(items).filter(|items| (1..=NUMBERS).contains(items))?;
            blocks.resize(number as usize, None);
            blocks.push(Some(Slot::stored(page, number, items as usize)));
            next = number + 1;
        }
        let archive = Archive::new(blocks, index, key);
        (bytes.is_empty() && terms == archive.len()).then_some((Self { last, next_term }, run, archive))
    }
}

fn put_order<K: Columns>(bytes: &mut Vec<u8>, order: &Order<K>) {
    put_varint(bytes, order.slots.len() as u64);
    for slot in &order.slots {
        put_varint(bytes, slot.number().unwrap_or_default());
        put_varint(bytes, slot.len() as u64);
        slot.first.columns().iter().for_each(|column| put_varint(bytes, column.rotate_left(4)));
    }
}

/// The orders of one width. `None` unless [`put_order`] could have written them.
fn take_sorted<K: Key>(bytes: &mut &[u8], pages: &Arc<Pages>) -> Option<Sorted<K>> {
    let orders: Vec<_> = (0..K::ORDERS.len()).map(|_| take_order(bytes, pages)).collect::<Option<_>>()?;
    orders.iter().all(|order: &Order<K>| order.len() == orders[0].len()).then_some(Sorted { orders })
}

fn take_order<K: Columns>(bytes: &mut &[u8], pages: &Arc<Pages>) -> Option<Order<K>> {
    let slot = |bytes: &mut &[u8]| {
        let number = take_page(bytes, pages)?;
        let keys = varint(bytes).filter(|keys| (1..=CHUNK_KEYS as u64).contains(keys))?;
        let mut first = K::MIN;
        for column in first.columns_mut() {
            *column = varint(bytes)?.rotate_right(4);
        }
        Some(Slot::stored(number, first, keys as usize))
    };
    let slots = (0..varint(bytes)?).map(|_| slot(bytes)).collect::<Option<Vec<_>>>()?;
    slots.is_sorted_by(|a, b| a.first < b.first).then(|| Order::new(slots, pages))
}

/// The number of a page.
fn take_page(bytes: &mut &[u8], pages: &Pages) -> Option<u64> {
    varint(bytes).filter(|number| *number < pages.next())
}

impl Journal {
    pub(crate) fn in_memory() -> Self {
        let pages = Pages::new(None, 0);
        Self { source: None, pages, durability: Durability::Buffered, read_only: false }
    }

    /// Whether the journal stores anything.
    pub(crate) fn is_kept(&self) -> bool {
        self.source.is_some()
    }

    fn vde(&self) -> Option<&Vde> {
        self.source.as_ref().and_then(Source::vde)
    }

    /// Opens a vde-store that has a triple store in it, or is empty. Up to `cache` bytes of chunks are kept in memory.
    pub(crate) fn open(vde: &Vde, durability: Durability, read_only: bool, cache: usize) -> Result<Self> {
        let vde = vde.with_durability(vde_store::Durability::Buffered);
        if !read_only && vde.list([]).next().is_none() {
            vde.put(FORMAT, VERSION)?;
        }
        Self::of(Source::Store(vde), durability, read_only, cache)
    }

    /// Opens a view of a vde-store that has a triple store in it.
    pub(crate) fn open_view(view: &ReadView, cache: usize) -> Result<Self> {
        Self::of(Source::View(view.clone()), Durability::Buffered, true, cache)
    }

    fn of(source: Source, durability: Durability, read_only: bool, cache: usize) -> Result<Self> {
        match source.view().get(FORMAT)? {
            Some(version) if version == VERSION.as_bytes() => {}
            Some(version) => return Err(other_version(&version)),
            None => return Err(other_data()),
        }
        let pages = Pages::new(Some(source.clone()), cache);
        Ok(Self { source: Some(source), pages, durability, read_only })
    }

    /// # Errors
    ///
    /// [`Error::ReadOnly`].
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// The last checkpoint, with its run and terms. Their pages are read when they are first used.
    pub(crate) fn restore(&self) -> Result<(Manifest, Run, Archive)> {
        let restored = match self.stored_manifest()? {
            Some(bytes) => Manifest::decode(&bytes, &self.pages)
                .ok_or_else(|| Error::Corrupt("the manifest can't be read".into()))?,
            None => (Manifest::default(), Run::empty(&self.pages), Archive::empty(&self.pages)),
        };
        // A load or a checkpoint that a crash interrupted has left pages with later numbers.
        let last = self.view().and_then(|view| view.list([PAGE]).next_back()).transpose()?;
        if let Some(number) = last.as_ref().and_then(|entry| entry.key().get(1..)?.try_into().ok()) {
            self.pages.continue_at(self.pages.next().max(u64::from_be_bytes(number) + 1));
        }
        Ok(restored)
    }

    fn stored_manifest(&self) -> Result<Option<Vec<u8>>> {
        self.view().map_or(Ok(None), |view| Ok(view.get(MANIFEST)?))
    }

    /// What is stored now. A store in memory has none.
    pub(crate) fn view(&self) -> Option<ReadView> {
        self.source.as_ref().map(Source::view)
    }

    /// Whether this is the journal of a view, and a later view has the same checkpoint.
    pub(crate) fn is_continued_by(&self, later: &ReadView) -> Result<bool> {
        let is_view = matches!(self.source, Some(Source::View(_)));
        Ok(is_view && self.stored_manifest()? == later.get(MANIFEST)?)
    }

    /// Stores or removes an entry of the prefix table.
    pub(crate) fn set_namespace(&self, prefix: &str, iri: Option<&str>) -> Result<()> {
        self.check_writable()?;
        let Some(vde) = self.vde() else { return Ok(()) };
        let key = [&[NAMESPACE], prefix.as_bytes()].concat();
        match iri {
            Some(iri) => _ = vde.put(key, iri)?,
            None => _ = vde.delete(key)?,
        }
        self.wait_for_durability()
    }

    /// Copies the store to a new file.
    pub(crate) fn backup(&self, path: &Path) -> Result<()> {
        let Some(vde) = self.vde() else {
            return Err(Error::Unsupported(
                "a store in memory or of a view can't be backed up; dump it instead".into(),
            ));
        };
        self.flush()?;
        vde.backup(path)?;
        Ok(())
    }

    /// Logs a commit after all earlier ones. If it survives a crash, they do too. This does not wait for the disk, so
    /// the caller may hold stripes.
    pub(crate) fn append(&self, seq: Seq, record: &[u8]) -> Result<()> {
        if let Some(vde) = self.vde() {
            vde.put(commit_key(seq), record)?;
        }
        Ok(())
    }

    /// Waits until the commits of this thread may be acknowledged. The caller holds no stripe, so other writers can
    /// log, and one sync serves all waiting writers.
    pub(crate) fn wait_for_durability(&self) -> Result<()> {
        match self.durability {
            Durability::Sync => self.flush(),
            Durability::Buffered => Ok(()),
            Durability::Shipped => match self.vde() {
                Some(vde) => Ok(vde.with_durability(vde_store::Durability::Shipped).flush()?),
                None => Ok(()),
            },
        }
    }

    /// Waits until everything logged before is durable.
    pub(crate) fn flush(&self) -> Result<()> {
        if let Some(vde) = self.vde().filter(|_| !self.read_only) {
            vde.flush()?;
        }
        Ok(())
    }

    /// Writes the manifest of a checkpoint whose pages are stored already. When it returns, the checkpoint is durable.
    /// Nothing refers to its pages until the manifest is written, so a checkpoint that a crash interrupts has no effect.
    /// If there is a commit, it is written together with the manifest.
    pub(crate) fn checkpoint(
        &self,
        manifest: Manifest,
        run: &Run,
        terms: &Archive,
        commit: Option<(Seq, &[u8])>,
    ) -> Result<()> {
        let Some(vde) = self.vde() else { return Ok(()) };
        let mut batch = vde.batch();
        let manifest = manifest.encode(run, terms);
        batch.put(MANIFEST_COPY, &manifest);
        batch.put(MANIFEST, manifest);
        if let Some((seq, record)) = commit {
            batch.put(commit_key(seq), record);
        }
        batch.commit()?;
        Ok(vde.flush()?)
    }

    /// Deletes the long terms that no archive has.
    pub(crate) fn delete_long_terms_beyond(&self, archives: &[Arc<Archive>]) -> Result<()> {
        let Some(vde) = self.vde() else { return Ok(()) };
        let mut unused = Vec::new();
        for entry in vde.list([LONG]) {
            let key = entry?.into_key();
            let number = key.get(1..).and_then(|number| number.try_into().ok()).map(u64::from_be_bytes);
            // If the block can't be read, the term may be in it.
            let has = |number| archives.iter().any(|terms| terms.has_number(number).unwrap_or(true));
            if number.is_none_or(|number| !has(number)) {
                unused.push(key);
            }
        }
        self.delete(&unused)
    }

    /// Deletes pages that nothing reads any more.
    pub(crate) fn delete_pages(&self, numbers: &[u64]) -> Result<()> {
        self.delete(&numbers.iter().map(|number| page_key(*number)).collect::<Vec<_>>())
    }

    /// Returns free space to the file system. Returns how many bytes it got.
    pub(crate) fn give_back(&self) -> Result<u64> {
        self.vde().map_or(Ok(0), |vde| Ok(vde.compact()?))
    }

    fn delete<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<()> {
        let Some(vde) = self.vde() else { return Ok(()) };
        for keys in keys.chunks(DELETED_AT_ONCE) {
            let mut batch = vde.batch();
            for key in keys {
                batch.delete(key);
            }
            batch.commit()?;
        }
        Ok(())
    }

    /// Deletes data that the checkpoint replaces, but for the pages in use, and the pages of loads and checkpoints that were
    /// interrupted.
    pub(crate) fn clean(&self, manifest: Manifest, in_use: impl Iterator<Item = u64>) -> Result<()> {
        let Some(vde) = self.vde() else { return Ok(()) };
        let held = page_key(self.pages.held());
        let in_use: HashSet<_> = in_use.map(page_key).collect();
        let commits = vde.range(commits(0..=manifest.last));
        let stays = |key: &[u8]| key >= &held[..] || in_use.contains(key);
        let pages = vde.list([PAGE]).filter(|entry| !entry.as_ref().is_ok_and(|entry| stays(entry.key())));
        let keys: Vec<_> = commits
            .chain(pages)
            .map(|entry| entry.map(vde_store::Entry::into_key))
            .collect::<vde_store::Result<_>>()?;
        self.delete(&keys)
    }
}

fn other_version(version: &[u8]) -> Error {
    Error::Unsupported(format!(
        "the store has the format {:?}, and this version of the library reads {VERSION:?}: `dump` the store by the version \
         that wrote it, and `load` the dump into a new one",
        String::from_utf8_lossy(version)
    ))
}

fn other_data() -> Error {
    Error::Corrupt("the file has other data than a triple store".into())
}

/// Calls `replay` with the record of every commit in `view` after the commit `last`, in order.
pub(crate) fn replay(
    view: &ReadView,
    last: Seq,
    mut replay: impl FnMut(Seq, &[u8]) -> Result<()>,
) -> Result<()> {
    for entry in view.range(commits(last + 1..=Seq::MAX)) {
        let entry = entry?;
        let number = entry.key().get(1..).and_then(|number| number.try_into().ok());
        let number = number.ok_or_else(|| Error::Corrupt("a commit without a number".into()))?;
        replay(Seq::from_be_bytes(number), &entry.value()?)?;
    }
    Ok(())
}

/// The prefix table in `view`.
pub(crate) fn namespaces(view: &ReadView) -> Result<BTreeMap<String, String>> {
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).map_err(|_| Error::Corrupt("a namespace is not valid text".into()))
    };
    let entries = view.list([NAMESPACE]).map(|entry| {
        let entry = entry?;
        Ok((text(&entry.key()[1..])?, text(&entry.value()?)?))
    });
    entries.collect()
}

fn commit_key(seq: Seq) -> [u8; 9] {
    let mut key = [COMMIT; 9];
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}

fn commits(range: RangeInclusive<Seq>) -> RangeInclusive<[u8; 9]> {
    commit_key(*range.start())..=commit_key(*range.end())
}
