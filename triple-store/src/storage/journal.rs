//! The durable data of a store: the values of a vde-store. A store in memory has none.
//!
//! | key | value |
//! |---|---|
//! | `f` | the version of this format |
//! | `m` | the [manifest](Manifest) of the last checkpoint |
//! | `r` number | a [chunk](crate::storage::chunk) of the run |
//! | `d` checkpoint, number | terms that a checkpoint added: a [record] without changes, compressed |
//! | `n` prefix | the IRI of the prefix |
//! | `t` sequence number | the [record] of one commit |
//!
//! Numbers in keys are big endian. Writes become durable in the order in which they were logged. So a manifest is
//! written after everything that it refers to, and the values that it replaces are deleted after it. A chunk that two
//! successive runs share is stored once. A chunk that readers of an earlier run may read is deleted at a later checkpoint.

use crate::error::{Error, Result};
use crate::parallel;
use crate::storage::chunk::CHUNK_KEYS;
use crate::storage::chunks::{Chunks, RUN, Slot, chunk_key};
use crate::storage::dictionary::Dictionary;
use crate::storage::durability::Durability;
use crate::storage::record;
use crate::storage::run::{Order, Run, Sorted};
use crate::terms::codec::{put_varint, varint};
use crate::terms::quad::Key;
use crate::terms::quad::Seq;
use crate::terms::term::TermId;
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use vde_store::Vde;

const FORMAT: &[u8] = b"f";
const MANIFEST: &[u8] = b"m";
const TERMS: u8 = b'd';
const NAMESPACE: u8 = b'n';
const COMMIT: u8 = b't';

/// The version of the stored format.
const VERSION: &str = "triple-store 3";

/// Terms in one value of a checkpoint.
const TERMS_IN_VALUE: usize = 8192;

/// Keys deleted at once.
const DELETED_AT_ONCE: usize = 4096;

/// The durable side of a store.
#[derive(Debug)]
pub(crate) struct Journal {
    /// A handle whose writes return once they are logged, in the order of the calls.
    vde: Option<Vde>,
    chunks: Arc<Chunks>,
    durability: Durability,
    read_only: bool,
}

/// The last checkpoint, without its run.
///
/// ```text
/// number of the checkpoint, last commit, number of the next chunk,
/// then for each width and order: number of chunks, then each: its number, number of keys, first key
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Manifest {
    /// The number of the checkpoint; 0 before the first.
    checkpoint: u32,
    /// The last commit that was merged into the run.
    pub(crate) last: Seq,
}

impl Manifest {
    fn encode(self, run: &Run, next_chunk: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [u64::from(self.checkpoint), self.last, next_chunk] {
            put_varint(&mut bytes, number);
        }
        put_sorted(&mut bytes, &run.triples);
        put_sorted(&mut bytes, &run.named);
        bytes
    }

    /// The manifest and the run, whose chunks are not read.
    fn decode(mut bytes: &[u8], chunks: &Arc<Chunks>) -> Option<(Self, Run)> {
        let bytes = &mut bytes;
        let checkpoint = u32::try_from(varint(bytes)?).ok().filter(|number| *number < u32::MAX)?;
        let (last, next_chunk) = (varint(bytes)?, varint(bytes)?);
        chunks.continue_at(next_chunk);
        let run = Run::new(take_sorted(bytes, chunks)?, take_sorted(bytes, chunks)?);
        bytes.is_empty().then_some((Self { checkpoint, last }, run))
    }
}

fn put_sorted<K: Key>(bytes: &mut Vec<u8>, sorted: &Sorted<K>) {
    for order in &sorted.orders {
        put_varint(bytes, order.slots.len() as u64);
        for slot in &order.slots {
            put_varint(bytes, slot.number().unwrap_or_default());
            put_varint(bytes, slot.len() as u64);
            slot.first.columns().iter().for_each(|column| put_varint(bytes, column.rotate_left(4)));
        }
    }
}

/// The orders of one width. `None` unless [`put_sorted`] could have written them.
fn take_sorted<K: Key>(bytes: &mut &[u8], chunks: &Arc<Chunks>) -> Option<Sorted<K>> {
    let slot = |bytes: &mut &[u8]| {
        let number = varint(bytes).filter(|number| *number < chunks.next())?;
        let keys = varint(bytes).filter(|keys| (1..=CHUNK_KEYS as u64).contains(keys))?;
        let mut first = K::MIN;
        for column in first.columns_mut() {
            *column = varint(bytes)?.rotate_right(4);
        }
        Some(Slot::stored(number, first, keys as usize))
    };
    let mut order = |_| {
        let slots = (0..varint(bytes)?).map(|_| slot(bytes)).collect::<Option<Vec<_>>>()?;
        slots.is_sorted_by(|a, b| a.first < b.first).then(|| Order::new(slots, chunks))
    };
    let orders: Vec<_> = (0..K::ORDERS.len()).map(&mut order).collect::<Option<_>>()?;
    orders.iter().all(|order: &Order<K>| order.len() == orders[0].len()).then_some(Sorted { orders })
}

impl Journal {
    pub(crate) fn in_memory() -> Self {
        let chunks = Chunks::new(None, 0);
        Self { vde: None, chunks, durability: Durability::Buffered, read_only: false }
    }

    /// Whether the journal stores anything.
    pub(crate) fn is_kept(&self) -> bool {
        self.vde.is_some()
    }

    /// Opens a vde-store that has a triple store in it, or is empty. Up to `cache` bytes of chunks are kept in memory.
    pub(crate) fn open(vde: &Vde, durability: Durability, read_only: bool, cache: usize) -> Result<Self> {
        let vde = vde.with_durability(vde_store::Durability::Buffered);
        match vde.get(FORMAT)? {
            Some(version) if version == VERSION.as_bytes() => {}
            Some(version) => {
                return Err(Error::Unsupported(format!(
                    "the store has the format {:?}, and this version of the library reads {VERSION:?}: `dump` the store \
                     by the version that wrote it, and `load` the dump into a new one",
                    String::from_utf8_lossy(&version)
                )));
            }
            None if !read_only && vde.list([]).next().is_none() => _ = vde.put(FORMAT, VERSION)?,
            None => return Err(Error::Corrupt("the file has other data than a triple store".into())),
        }
        let chunks = Chunks::new(Some(vde.clone()), cache);
        Ok(Self { vde: Some(vde), chunks, durability, read_only })
    }

    /// # Errors
    ///
    /// [`Error::ReadOnly`].
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// Reads the last checkpoint. Adds its terms to the dictionary, and returns its run, whose chunks are read when they
    /// are first used.
    pub(crate) fn restore(&self, dictionary: &Dictionary) -> Result<(Manifest, Run)> {
        let Some(vde) = &self.vde else { return Ok((Manifest::default(), Run::empty(&self.chunks))) };
        let (manifest, run) = match vde.get(MANIFEST)? {
            Some(bytes) => Manifest::decode(&bytes, &self.chunks)
                .ok_or_else(|| Error::Corrupt("the manifest can't be read".into()))?,
            None => (Manifest::default(), Run::empty(&self.chunks)),
        };
        // The remains of an unfinished checkpoint would conflict with the next checkpoint of that number.
        if !self.read_only {
            self.clean(manifest, run.numbers())?;
        }
        let archives = vde.list([TERMS]).collect::<vde_store::Result<Vec<_>>>()?;
        let restore =
            |entry: &vde_store::Entry| record::decode_archive(dictionary, &decompress(&entry.value()?)?);
        for composed in parallel::map(&archives, restore).into_iter().collect::<Result<Vec<_>>>()? {
            composed.into_iter().try_for_each(|id| dictionary.check_parts(id))?;
        }
        Ok((manifest, run))
    }

    /// Calls `replay` with the record of every commit since the checkpoint, in order.
    pub(crate) fn replay(&self, last: Seq, mut replay: impl FnMut(Seq, &[u8]) -> Result<()>) -> Result<()> {
        let Some(vde) = &self.vde else { return Ok(()) };
        for entry in vde.range(commits(last + 1..=Seq::MAX)) {
            let entry = entry?;
            let number = entry.key().get(1..).and_then(|number| number.try_into().ok());
            let number = number.ok_or_else(|| Error::Corrupt("a commit without a number".into()))?;
            replay(Seq::from_be_bytes(number), &entry.value()?)?;
        }
        Ok(())
    }

    /// The prefix table.
    pub(crate) fn namespaces(&self) -> Result<BTreeMap<String, String>> {
        let Some(vde) = &self.vde else { return Ok(BTreeMap::new()) };
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec())
                .map_err(|_| Error::Corrupt("a namespace is not valid text".into()))
        };
        let entries = vde.list([NAMESPACE]).map(|entry| {
            let entry = entry?;
            Ok((text(&entry.key()[1..])?, text(&entry.value()?)?))
        });
        entries.collect()
    }

    /// Stores or removes an entry of the prefix table.
    pub(crate) fn set_namespace(&self, prefix: &str, iri: Option<&str>) -> Result<()> {
        self.check_writable()?;
        let Some(vde) = &self.vde else { return Ok(()) };
        let key = [&[NAMESPACE], prefix.as_bytes()].concat();
        match iri {
            Some(iri) => _ = vde.put(key, iri)?,
            None => _ = vde.delete(key)?,
        }
        self.wait_for_durability()
    }

    /// Copies the store to a new file.
    pub(crate) fn backup(&self, path: &Path) -> Result<()> {
        let Some(vde) = &self.vde else {
            return Err(Error::Unsupported("a store in memory can't be backed up; dump it instead".into()));
        };
        self.flush()?;
        vde.backup(path)?;
        Ok(())
    }

    /// Logs a commit after all earlier ones. If it survives a crash, they do too. This does not wait for the disk, so
    /// the caller may hold stripes.
    pub(crate) fn append(&self, seq: Seq, record: &[u8]) -> Result<()> {
        if let Some(vde) = &self.vde {
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
        }
    }

    /// Waits until everything logged before is durable.
    pub(crate) fn flush(&self) -> Result<()> {
        if let Some(vde) = self.vde.as_ref().filter(|_| !self.read_only) {
            vde.flush()?;
        }
        Ok(())
    }

    /// Writes the checkpoint after `previous`, whose run is stored already. When it returns, the checkpoint is durable.
    /// Nothing refers to its parts until the manifest is written, so a checkpoint that a crash interrupts has no effect.
    pub(crate) fn checkpoint(
        &self,
        previous: Manifest,
        last: Seq,
        run: &Run,
        terms: &[TermId],
        dictionary: &Dictionary,
    ) -> Result<Manifest> {
        let manifest = Manifest { checkpoint: previous.checkpoint + 1, last };
        let Some(vde) = &self.vde else { return Ok(manifest) };
        for (number, terms) in terms.chunks(TERMS_IN_VALUE).enumerate() {
            let (checkpoint, number) = (manifest.checkpoint.to_be_bytes(), (number as u32).to_be_bytes());
            let key = [&[TERMS], &checkpoint[..], &number[..]].concat();
            vde.put(key, compress(&record::encode_terms(dictionary, terms)))?;
        }
        vde.put(MANIFEST, manifest.encode(run, self.chunks.next()))?;
        vde.flush()?;
        Ok(manifest)
    }

    /// Deletes data that the checkpoint replaces, but for the chunks in use, and the remains of later checkpoints that
    /// a crash interrupted.
    pub(crate) fn clean(&self, manifest: Manifest, in_use: impl Iterator<Item = u64>) -> Result<()> {
        let Some(vde) = &self.vde else { return Ok(()) };
        let in_use: HashSet<_> = in_use.map(chunk_key).collect();
        let begun_terms = [&[TERMS], &(manifest.checkpoint + 1).to_be_bytes()[..]].concat();
        let commits = vde.range(commits(0..=manifest.last));
        let chunks = vde.list([RUN]).filter(|entry| !entry.as_ref().is_ok_and(|e| in_use.contains(e.key())));
        let terms = vde.range(begun_terms..vec![TERMS + 1]);
        let superfluous = commits.chain(chunks).chain(terms);
        let keys: Vec<_> = superfluous
            .map(|entry| entry.map(vde_store::Entry::into_key))
            .collect::<vde_store::Result<_>>()?;
        for keys in keys.chunks(DELETED_AT_ONCE) {
            let mut batch = vde.batch();
            for key in keys {
                batch.delete(key);
            }
            batch.commit()?;
        }
        Ok(())
    }
}

/// The compression level for terms. Text shrinks to a third or less, in a tenth of the time that parsing it took.
const ZSTD_LEVEL: i32 = 1;

/// The most bytes of a decompressed value of terms. A term is at most as long as a document, so a larger value is
/// damaged.
const MOST_BYTES: u64 = 1 << 32;

fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, ZSTD_LEVEL).expect("compression into memory does not fail")
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    zstd::Decoder::with_buffer(bytes)
        .and_then(|decoder| decoder.take(MOST_BYTES).read_to_end(&mut text))
        .map_err(|error| Error::Corrupt(format!("terms that can't be decompressed: {error}")))?;
    Ok(text)
}

fn commit_key(seq: Seq) -> [u8; 9] {
    let mut key = [COMMIT; 9];
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}

fn commits(range: RangeInclusive<Seq>) -> RangeInclusive<[u8; 9]> {
    commit_key(*range.start())..=commit_key(*range.end())
}
