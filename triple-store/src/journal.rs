//! Where a store is durable: the values of a vde-store, or nowhere for a store in memory.
//!
//! | key | value |
//! |---|---|
//! | `f` | the version of this format |
//! | `m` | the [manifest](Manifest) of the last checkpoint |
//! | `r` run, width, order, number | a [chunk](crate::run::Chunk) of the run of a checkpoint |
//! | `d` checkpoint, number | terms that a checkpoint added, as a [record](crate::record) without changes |
//! | `n` prefix | the IRI it stands for |
//! | `t` sequence number | the [record](crate::record) of one commit |
//!
//! Numbers in keys are big endian. What is logged is durable in the order in which it was logged, so a manifest is
//! written after all that it speaks of, and what it replaces is deleted after it.

use crate::codec::{put_varint, varint};
use crate::delta::Seq;
use crate::dictionary::Dictionary;
use crate::error::{Error, Result};
use crate::options::Durability;
use crate::quad::Key;
use crate::record;
use crate::run::{Chunk, Order, Run, Sorted};
use crate::term::TermId;
use std::collections::BTreeMap;
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
const VERSION: &[u8] = b"triple-store 1";

/// Terms in one value of a checkpoint.
const TERMS_IN_VALUE: usize = 8192;

/// Keys deleted at once.
const DELETED_AT_ONCE: usize = 4096;

/// The durable side of a store.
#[derive(Debug)]
pub(crate) struct Journal {
    /// Handle whose writes return once logged, in the order of the calls.
    vde: Option<Vde>,
    durability: Durability,
}

/// What the last checkpoint holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Manifest {
    /// The number of the checkpoint, and of its run; 0 before the first.
    pub(crate) checkpoint: u32,
    /// The last commit merged into the run.
    pub(crate) last: Seq,
    /// Quads of the run.
    quads: u64,
}

impl Manifest {
    pub(crate) fn next(self, last: Seq, run: &Run) -> Self {
        Self { checkpoint: self.checkpoint + 1, last, quads: run.len() }
    }

    fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [u64::from(self.checkpoint), self.last, self.quads] {
            put_varint(&mut bytes, number);
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let checkpoint = u32::try_from(varint(bytes)?).ok()?;
        let manifest = Self { checkpoint, last: varint(bytes)?, quads: varint(bytes)? };
        bytes.is_empty().then_some(manifest)
    }
}

impl Journal {
    pub(crate) fn in_memory() -> Self {
        Self { vde: None, durability: Durability::Buffered }
    }

    /// Takes a vde-store that holds a store, or nothing.
    pub(crate) fn open(vde: &Vde, durability: Durability) -> Result<Self> {
        let vde = vde.with_durability(vde_store::Durability::Buffered);
        match vde.get(FORMAT)? {
            Some(version) if version == VERSION => {}
            Some(_) => return Err(Error::Corrupt("the store has a format of another version".into())),
            None if vde.list([]).next().is_none() => vde.put(FORMAT, VERSION)?,
            None => return Err(Error::Corrupt("the file holds something else than a triple store".into())),
        }
        Ok(Self { vde: Some(vde), durability })
    }

    /// Reads the last checkpoint: its terms into the dictionary, its run.
    pub(crate) fn restore(&self, dictionary: &Dictionary) -> Result<(Manifest, Run)> {
        let Some(vde) = &self.vde else { return Ok((Manifest::default(), Run::empty())) };
        let manifest = match vde.get(MANIFEST)? {
            Some(bytes) => {
                Manifest::decode(&bytes).ok_or_else(|| Error::Corrupt("the manifest can't be read".into()))?
            }
            None => Manifest::default(),
        };
        // What a checkpoint left that did not happen is in the way of the next one of that number.
        self.clean(manifest)?;
        for entry in vde.list([TERMS]) {
            record::decode(dictionary, &entry?.value()?)?;
        }
        for id in dictionary.unarchived() {
            dictionary.mark_archived(id);
        }
        let run = Run { triples: read_sorted(vde, manifest)?, named: read_sorted(vde, manifest)? };
        if run.len() == manifest.quads {
            return Ok((manifest, run));
        }
        Err(Error::Corrupt(format!("a run of {} quads holds {}", manifest.quads, run.len())))
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
            String::from_utf8(bytes.to_vec()).map_err(|_| Error::Corrupt("a namespace is no text".into()))
        };
        let entries = vde.list([NAMESPACE]).map(|entry| {
            let entry = entry?;
            Ok((text(&entry.key()[1..])?, text(&entry.value()?)?))
        });
        entries.collect()
    }

    /// Stores an entry of the prefix table, or its absence.
    pub(crate) fn set_namespace(&self, prefix: &str, iri: Option<&str>) -> Result<()> {
        let Some(vde) = &self.vde else { return Ok(()) };
        let key = [&[NAMESPACE], prefix.as_bytes()].concat();
        match iri {
            Some(iri) => vde.put(key, iri)?,
            None => _ = vde.delete(key)?,
        }
        self.settle()
    }

    /// Copies the store into a new file.
    pub(crate) fn backup(&self, path: &Path) -> Result<()> {
        let Some(vde) = &self.vde else {
            return Err(Error::Unsupported("a backup of a store in memory: dump it".into()));
        };
        vde.flush()?;
        vde.backup(path)?;
        Ok(())
    }

    /// Logs a commit. It follows all that were logged before, whatever a crash takes; it is not durable yet, so
    /// the caller may hold stripes.
    pub(crate) fn append(&self, seq: Seq, record: &[u8]) -> Result<()> {
        if let Some(vde) = &self.vde {
            vde.put(commit_key(seq), record)?;
        }
        Ok(())
    }

    /// Waits until what this thread logged may be acknowledged. Holds no stripe: others log meanwhile, and one
    /// sync serves all who wait.
    pub(crate) fn settle(&self) -> Result<()> {
        match self.durability {
            Durability::Sync => self.flush(),
            Durability::Buffered => Ok(()),
        }
    }

    /// Waits until everything logged before is durable.
    pub(crate) fn flush(&self) -> Result<()> {
        if let Some(vde) = &self.vde {
            vde.flush()?;
        }
        Ok(())
    }

    /// Writes a checkpoint; when it returns, that is what a crash leaves. Until the manifest is written nothing
    /// refers to the rest, so a checkpoint that a crash cuts short has not happened.
    pub(crate) fn checkpoint(
        &self,
        manifest: Manifest,
        run: &Run,
        terms: &[TermId],
        dictionary: &Dictionary,
    ) -> Result<()> {
        let Some(vde) = &self.vde else { return Ok(()) };
        for (number, terms) in terms.chunks(TERMS_IN_VALUE).enumerate() {
            let key =
                [&[TERMS], &manifest.checkpoint.to_be_bytes()[..], &(number as u32).to_be_bytes()].concat();
            vde.put(key, record::encode_terms(dictionary, terms))?;
        }
        write_sorted(vde, manifest, &run.triples)?;
        write_sorted(vde, manifest, &run.named)?;
        vde.put(MANIFEST, manifest.encode())?;
        vde.flush()?;
        Ok(())
    }

    /// Deletes what the checkpoint has made superfluous, and what was written for checkpoints after it, which a crash
    /// cut short.
    pub(crate) fn clean(&self, manifest: Manifest) -> Result<()> {
        let Some(vde) = &self.vde else { return Ok(()) };
        delete(
            vde,
            vde.range(commits(0..=manifest.last)).map(|entry| entry.map(vde_store::Entry::into_key)),
        )?;
        let of_checkpoint =
            |key: &[u8]| u32::from_be_bytes(key.get(1..5).and_then(|n| n.try_into().ok()).unwrap_or([0; 4]));
        let keys = |prefix: u8| vde.list([prefix]).map(|entry| entry.map(vde_store::Entry::into_key));
        let stale = |key: &vde_store::Result<Box<[u8]>>, is_stale: &dyn Fn(u32) -> bool| {
            key.as_ref().map_or(true, |key| is_stale(of_checkpoint(key)))
        };
        delete(vde, keys(RUN).filter(|key| stale(key, &|run| run != manifest.checkpoint)))?;
        delete(vde, keys(TERMS).filter(|key| stale(key, &|checkpoint| checkpoint > manifest.checkpoint)))
    }
}

fn delete(vde: &Vde, keys: impl Iterator<Item = vde_store::Result<Box<[u8]>>>) -> Result<()> {
    let keys: Vec<_> = keys.collect::<vde_store::Result<_>>()?;
    for keys in keys.chunks(DELETED_AT_ONCE) {
        let mut batch = vde.batch();
        for key in keys {
            batch.delete(key);
        }
        batch.commit()?;
    }
    Ok(())
}

fn read_sorted<K: Key>(vde: &Vde, manifest: Manifest) -> Result<Sorted<K>> {
    let read = |order: usize| {
        let entries = vde.list(order_prefix::<K>(manifest.checkpoint, order));
        let chunks = entries.map(|entry| Ok(Arc::new(Chunk::decode(&entry?.value()?)?)));
        Ok(Order { chunks: chunks.collect::<Result<_>>()? })
    };
    Ok(Sorted { orders: (0..K::ORDERS.len()).map(read).collect::<Result<_>>()? })
}

fn write_sorted<K: Key>(vde: &Vde, manifest: Manifest, sorted: &Sorted<K>) -> Result<()> {
    for (order, keys) in sorted.orders.iter().enumerate() {
        for (number, chunk) in keys.chunks.iter().enumerate() {
            let key =
                [&order_prefix::<K>(manifest.checkpoint, order)[..], &(number as u32).to_be_bytes()].concat();
            vde.put(key, chunk.encode())?;
        }
    }
    Ok(())
}

fn run_prefix(run: u32) -> [u8; 5] {
    let [a, b, c, d] = run.to_be_bytes();
    [RUN, a, b, c, d]
}

fn order_prefix<K: Key>(run: u32, order: usize) -> [u8; 7] {
    let [prefix, a, b, c, d] = run_prefix(run);
    [prefix, a, b, c, d, K::ORDERS[0].len() as u8, order as u8]
}

fn commit_key(seq: Seq) -> [u8; 9] {
    let mut key = [COMMIT; 9];
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}

fn commits(range: RangeInclusive<Seq>) -> RangeInclusive<[u8; 9]> {
    commit_key(*range.start())..=commit_key(*range.end())
}
