//! The catalog: what a checkpoint persists beside the index pages. It is written anew by each checkpoint, and the
//! superblock points to it.

use crate::error::{Error, Result};
use crate::format::{Extent, Fields, Geometry, MAX_COUNT};
use crate::segments::{PageRun, Segments};

/// First four bytes of a catalog.
const CATALOG_MAGIC: u32 = 0x4345_4456; // "VDEC"

/// A named snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRecord {
    pub(crate) name: String,
    /// The checkpoint that wrote its index.
    pub(crate) generation: u64,
    /// The last write that it shows.
    pub(crate) seq: u64,
    /// Microseconds since 1970.
    pub(crate) created: u64,
    pub(crate) keys: u64,
    pub(crate) root: Option<Extent>,
}

/// Pages that the newest index has no use for, but snapshots do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) run: PageRun,
    /// The generations of the first and the last snapshot that refer to them.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// What a checkpoint persists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) root: Option<Extent>,
    /// How many keys the index has.
    pub(crate) keys: u64,
    pub(crate) snapshots: Vec<SnapshotRecord>,
    pub(crate) dead: Vec<Dead>,
}

fn put_extent(out: &mut Vec<u8>, extent: Option<Extent>) {
    let extent = extent.unwrap_or_default();
    out.extend_from_slice(&extent.offset.to_le_bytes());
    out.extend_from_slice(&extent.len.to_le_bytes());
    out.extend_from_slice(&extent.checksum.to_le_bytes());
}

fn extent(f: &mut Fields<'_>) -> Option<Extent> {
    Some(Extent { offset: f.u64()?, len: f.u32()?, checksum: f.u64()? })
}

/// The root of an empty index is written as an extent without bytes.
fn root(extent: Extent) -> Option<Extent> {
    (extent.len > 0).then_some(extent)
}

impl Catalog {
    /// The most bytes that [`encode`](Self::encode) will need.
    pub(crate) fn encoded_bound(&self, segments: &Segments) -> usize {
        let snapshots: usize = self.snapshots.iter().map(|snapshot| snapshot.name.len() + 60).sum();
        48 + snapshots + self.dead.len() * 28 + segments.encoded_bound()
    }

    pub(crate) fn encode(&self, segments: &Segments) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&CATALOG_MAGIC.to_le_bytes());
        put_extent(&mut out, self.root);
        out.extend_from_slice(&self.keys.to_le_bytes());
        out.extend_from_slice(&(self.snapshots.len() as u32).to_le_bytes());
        for snapshot in &self.snapshots {
            out.extend_from_slice(&(snapshot.name.len() as u32).to_le_bytes());
            out.extend_from_slice(snapshot.name.as_bytes());
            for field in [snapshot.generation, snapshot.seq, snapshot.created, snapshot.keys] {
                out.extend_from_slice(&field.to_le_bytes());
            }
            put_extent(&mut out, snapshot.root);
        }
        out.extend_from_slice(&(self.dead.len() as u32).to_le_bytes());
        for dead in &self.dead {
            out.extend_from_slice(&dead.run.offset.to_le_bytes());
            out.extend_from_slice(&dead.run.pages.to_le_bytes());
            out.extend_from_slice(&dead.first.to_le_bytes());
            out.extend_from_slice(&dead.last.to_le_bytes());
        }
        segments.encode(&mut out);
        out
    }

    /// Decodes the catalog that was read from `offset`.
    pub(crate) fn decode(bytes: &[u8], offset: u64, geometry: Geometry) -> Result<(Self, Segments)> {
        Self::fields(&mut Fields(bytes), geometry).ok_or(Error::corrupt("catalog", offset))
    }

    fn fields(f: &mut Fields<'_>, geometry: Geometry) -> Option<(Self, Segments)> {
        if f.u32()? != CATALOG_MAGIC {
            return None;
        }
        let mut catalog = Self { root: root(extent(f)?), keys: f.u64()?, ..Self::default() };
        for _ in 0..f.u32()? {
            let name_len = f.u32()? as usize;
            catalog.snapshots.push(SnapshotRecord {
                name: String::from_utf8(f.bytes(name_len)?.to_vec()).ok()?,
                generation: f.u64()?,
                seq: f.u64()?,
                created: f.u64()?,
                keys: f.u64()?,
                root: root(extent(f)?),
            });
        }
        for _ in 0..f.u32()? {
            let run = PageRun { offset: f.u64()?, pages: f.u32()? };
            catalog.dead.push(Dead { run, first: f.u64()?, last: f.u64()? });
        }
        let segments = Segments::decode(f, geometry)?;
        catalog.is_plausible(geometry).then_some((catalog, segments))
    }

    /// Whether what it says can be true; its checksum only says that it is what was written.
    fn is_plausible(&self, geometry: Geometry) -> bool {
        let roots = self.snapshots.iter().map(|snapshot| snapshot.root).chain([self.root]).flatten();
        let runs = roots.map(|root| PageRun::of(root.offset, u64::from(root.len)));
        let counters = self.snapshots.iter().flat_map(|s| [s.generation, s.seq, s.keys]).chain([self.keys]);
        runs.chain(self.dead.iter().map(|dead| dead.run)).all(|run| run.is_valid(geometry))
            && counters.into_iter().all(|count| count < MAX_COUNT)
    }
}
