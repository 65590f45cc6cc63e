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
//! successive runs share is stored once.

use crate::error::{Error, Result};
use crate::parallel;
use crate::storage::chunk::Chunk;
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
const RUN: u8 = b'r';
const TERMS: u8 = b'd';
const NAMESPACE: u8 = b'n';
const COMMIT: u8 = b't';

/// The version of the stored format.
const VERSION: &[u8] = b"triple-store 2";

/// Terms in one value of a checkpoint.
const TERMS_IN_VALUE: usize = 8192;

/// Keys deleted at once.
const DELETED_AT_ONCE: usize = 4096;

/// The durable side of a store.
#[derive(Debug)]
pub(crate) struct Journal {
    /// A handle whose writes return once they are logged, in the order of the calls.
    vde: Option<Vde>,
    durability: Durability,
    read_only: bool,
}

/// The content of the last checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Manifest {
    /// The number of the checkpoint; 0 before the first.
    checkpoint: u32,
    /// The last commit that was merged into the run.
    pub(crate) last: Seq,
    /// The number of quads in the run.
    quads: u64,
    /// The number of the next chunk. This number and those above are not in use.
    next_chunk: u64,
    /// For each width and order, the numbers of its chunks, in their order.
    chunks: Vec<Vec<u64>>,
}

/// The number of orders of both widths.
const ORDERS: usize = <[u64; 3]>::ORDERS.len() + <[u64; 4]>::ORDERS.len();

impl Manifest {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [u64::from(self.checkpoint), self.last, self.quads, self.next_chunk] {
            put_varint(&mut bytes, number);
        }
        for chunks in &self.chunks {
            put_varint(&mut bytes, chunks.len() as u64);
            for number in chunks {
                put_varint(&mut bytes, *number);
            }
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let checkpoint = u32::try_from(varint(bytes)?).ok()?;
        let (last, quads, next_chunk) = (varint(bytes)?, varint(bytes)?, varint(bytes)?);
        let chunks = (0..ORDERS)
            .map(|_| {
                (0..varint(bytes)?).map(|_| varint(bytes).filter(|number| *number < next_chunk)).collect()
            })
            .collect::<Option<_>>()?;
        bytes.is_empty().then_some(Self { checkpoint, last, quads, next_chunk, chunks })
    }
}

impl Journal {
    pub(crate) fn in_memory() -> Self {
        Self { vde: None, durability: Durability::Buffered, read_only: false }
    }

    /// Whether the journal stores anything.
    pub(crate) fn is_kept(&self) -> bool {
        self.vde.is_some()
    }

    /// Opens a vde-store that has a triple store in it, or is empty.
    pub(crate) fn open(vde: &Vde, durability: Durability, read_only: bool) -> Result<Self> {
        let vde = vde.with_durability(vde_store::Durability::Buffered);
        match vde.get(FORMAT)? {
            Some(version) if version == VERSION => {}
            Some(_) => return Err(Error::Corrupt("the store has a format of another version".into())),
            None if !read_only && vde.list([]).next().is_none() => _ = vde.put(FORMAT, VERSION)?,
            None => return Err(Error::Corrupt("the file has other data than a triple store".into())),
        }
        Ok(Self { vde: Some(vde), durability, read_only })
    }

    /// # Errors
    ///
    /// [`Error::ReadOnly`].
    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// Reads the last checkpoint. Adds its terms to the dictionary, and returns its run.
    pub(crate) fn restore(&self, dictionary: &Dictionary) -> Result<(Manifest, Run)> {
        let Some(vde) = &self.vde else { return Ok((Manifest::default(), Run::empty())) };
        let manifest = match vde.get(MANIFEST)? {
            Some(bytes) => {
                Manifest::decode(&bytes).ok_or_else(|| Error::Corrupt("the manifest can't be read".into()))?
            }
            None => Manifest::default(),
        };
        // The remains of an unfinished checkpoint would conflict with the next checkpoint of that number.
        if !self.read_only {
            self.clean(&manifest)?;
        }
        let archives = vde.list([TERMS]).collect::<vde_store::Result<Vec<_>>>()?;
        let restore =
            |entry: &vde_store::Entry| record::decode_archive(dictionary, &decompress(&entry.value()?)?);
        for composed in parallel::map(&archives, restore).into_iter().collect::<Result<Vec<_>>>()? {
            composed.into_iter().try_for_each(|id| dictionary.check_parts(id))?;
        }
        let mut chunks = manifest.chunks.iter();
        let run = Run::new(read_sorted(vde, &mut chunks)?, read_sorted(vde, &mut chunks)?);
        if run.len() == manifest.quads {
            return Ok((manifest, run));
        }
        Err(Error::Corrupt(format!("a run of {} quads has {}", manifest.quads, run.len())))
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

    /// Writes the checkpoint after `previous`. When it returns, the checkpoint is durable. Nothing refers to its
    /// parts until the manifest is written, so a checkpoint that a crash interrupts has no effect.
    pub(crate) fn checkpoint(
        &self,
        previous: &Manifest,
        last: Seq,
        run: &Run,
        terms: &[TermId],
        dictionary: &Dictionary,
    ) -> Result<Manifest> {
        let (checkpoint, next_chunk) = (previous.checkpoint + 1, previous.next_chunk);
        let mut manifest = Manifest { checkpoint, last, quads: run.len(), next_chunk, chunks: Vec::new() };
        let Some(vde) = &self.vde else { return Ok(manifest) };
        for (number, terms) in terms.chunks(TERMS_IN_VALUE).enumerate() {
            let key = [&[TERMS], &checkpoint.to_be_bytes()[..], &(number as u32).to_be_bytes()].concat();
            vde.put(key, compress(&record::encode_terms(dictionary, terms)))?;
        }
        write_sorted(vde, &mut manifest, &run.triples)?;
        write_sorted(vde, &mut manifest, &run.named)?;
        vde.put(MANIFEST, manifest.encode())?;
        vde.flush()?;
        Ok(manifest)
    }

    /// Deletes data that the checkpoint replaces, and the remains of later checkpoints that a crash interrupted.
    pub(crate) fn clean(&self, manifest: &Manifest) -> Result<()> {
        let Some(vde) = &self.vde else { return Ok(()) };
        let in_use: HashSet<_> = manifest.chunks.iter().flatten().map(|number| chunk_key(*number)).collect();
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

fn read_sorted<'a, K: Key>(vde: &Vde, chunks: &mut impl Iterator<Item = &'a Vec<u64>>) -> Result<Sorted<K>> {
    let read = |number: &u64| {
        let missing = || Error::Corrupt(format!("chunk {number} of the run is missing"));
        let chunk = Chunk::decode(&vde.value(chunk_key(*number))?.ok_or_else(missing)?)?;
        _ = chunk.stored.set(*number);
        Ok(Arc::new(chunk))
    };
    // A store without a checkpoint has no chunks in any order.
    let mut order = |_| {
        let numbers = chunks.next().map_or(&[][..], |numbers| numbers);
        let order = Order::new(parallel::map(numbers, read).into_iter().collect::<Result<_>>()?);
        if order.ascends() { Ok(order) } else { Err(Error::Corrupt("a run whose chunks overlap".into())) }
    };
    let orders: Vec<_> = (0..K::ORDERS.len()).map(&mut order).collect::<Result<_>>()?;
    if orders.iter().all(|order: &Order<K>| order.len() == orders[0].len()) {
        Ok(Sorted { orders })
    } else {
        Err(Error::Corrupt("a run whose orders have different lengths".into()))
    }
}

fn write_sorted<K: Key>(vde: &Vde, manifest: &mut Manifest, sorted: &Sorted<K>) -> Result<()> {
    for order in &sorted.orders {
        let mut numbers = Vec::with_capacity(order.chunks.len());
        for chunk in &order.chunks {
            let number = *chunk.stored.get_or_init(|| manifest.next_chunk);
            if number == manifest.next_chunk {
                manifest.next_chunk += 1;
                vde.put(chunk_key(number), chunk.encode())?;
            }
            numbers.push(number);
        }
        manifest.chunks.push(numbers);
    }
    Ok(())
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

fn chunk_key(number: u64) -> [u8; 9] {
    numbered(RUN, number)
}

fn numbered(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn commit_key(seq: Seq) -> [u8; 9] {
    numbered(COMMIT, seq)
}

fn commits(range: RangeInclusive<Seq>) -> RangeInclusive<[u8; 9]> {
    commit_key(*range.start())..=commit_key(*range.end())
}
