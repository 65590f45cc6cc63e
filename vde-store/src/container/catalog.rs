//! The catalog: everything that a checkpoint persists except the index pages. Each checkpoint writes a new one. The
//! superblock points to the catalog if it fits into a segment, otherwise to a list of its pieces.

use crate::container::error::{Error, Result};
use crate::container::format::{BLOCK, Extent, Fields, Geometry, MAX_COUNT};
use crate::container::pages::Pages;
use crate::container::segments::{PageRun, Table};

/// First four bytes of a catalog.
const CATALOG_MAGIC: u32 = 0x4345_4456; // "VDEC"
/// First four bytes of a list of a catalog's pieces.
const LIST_MAGIC: u32 = 0x4c45_4456; // "VDEL"
const CATALOG: &str = "catalog";

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

/// Pages that only snapshots use, and not the newest index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotPages {
    pub(crate) run: PageRun,
    /// The generations of the first and the last snapshot that refer to them.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// The contents of the catalog.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) root: Option<Extent>,
    /// How many keys the index has.
    pub(crate) keys: u64,
    pub(crate) snapshots: Vec<SnapshotRecord>,
    pub(crate) snapshot_pages: Vec<SnapshotPages>,
}

/// The root of an empty index is written as an extent without bytes.
fn root(extent: Extent) -> Option<Extent> {
    (extent.len > 0).then_some(extent)
}

/// A list of pieces, to fill the pages of `run`.
pub(crate) fn encode_list(pieces: &[Extent], run: PageRun) -> Vec<u8> {
    let mut out = LIST_MAGIC.to_le_bytes().to_vec();
    out.extend_from_slice(&(pieces.len() as u32).to_le_bytes());
    out.extend(pieces.iter().flat_map(|piece| piece.encode()));
    out.resize((u64::from(run.pages) * BLOCK) as usize, 0);
    out
}

fn decode_list(bytes: &[u8]) -> Option<Vec<Extent>> {
    let mut f = Fields(bytes.get(4..)?);
    (0..f.u32()?).map(|_| Extent::decode(&mut f)).collect()
}

/// Where a catalog is to be written.
pub(crate) struct Placed {
    /// The bytes to write. They fill all pieces.
    pub(crate) bytes: Vec<u8>,
    /// The pieces. All but the last are whole segments.
    pub(crate) pieces: Vec<PageRun>,
    /// Where their list goes, if there are several.
    pub(crate) list: Option<PageRun>,
}

impl Placed {
    /// The pages that it occupies.
    pub(crate) fn runs(&self) -> Vec<PageRun> {
        self.list.iter().chain(&self.pieces).copied().collect()
    }
}

impl Catalog {
    /// Takes pages for the catalog by `take(count)`, and marks them in `table`, the segment table that the catalog
    /// persists.
    pub(crate) fn place(&self, table: &mut Table, mut take: impl FnMut(u32) -> PageRun) -> Result<Placed> {
        let max = u64::from(table.geometry().segment_size);
        // Marking pages as taken can lengthen the table.
        let margin = table.encoded_map_len() as u64;
        let mut take = |len: u64, table: &mut Table| {
            let run = take(len.div_ceil(BLOCK) as u32);
            table.take(run);
            run
        };
        let mut bytes = self.encode(table);
        let mut list = None;
        if bytes.len() as u64 + margin > max {
            let len = 8 + 20 * (bytes.len() as u64 / (max - margin) + 2);
            if len > max {
                return Err(Error::TooLarge { what: CATALOG, len: bytes.len() as u64, max: max * max / 20 });
            }
            list = Some(take(len, table));
        }
        let (mut pieces, mut room) = (Vec::new(), 0);
        while room < bytes.len() as u64 {
            let run = take((bytes.len() as u64 + margin - room).min(max), table);
            room += u64::from(run.pages) * BLOCK;
            pieces.push(run);
            bytes = self.encode(table);
        }
        // The padding is written too, so that the runs that are freed later are the runs that were taken.
        bytes.resize(room as usize, 0);
        Ok(Placed { bytes, pieces, list })
    }

    pub(crate) fn encode(&self, table: &Table) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&CATALOG_MAGIC.to_le_bytes());
        out.extend_from_slice(&self.root.unwrap_or_default().encode());
        out.extend_from_slice(&self.keys.to_le_bytes());
        out.extend_from_slice(&(self.snapshots.len() as u32).to_le_bytes());
        for snapshot in &self.snapshots {
            out.extend_from_slice(&(snapshot.name.len() as u32).to_le_bytes());
            out.extend_from_slice(snapshot.name.as_bytes());
            for field in [snapshot.generation, snapshot.seq, snapshot.created, snapshot.keys] {
                out.extend_from_slice(&field.to_le_bytes());
            }
            out.extend_from_slice(&snapshot.root.unwrap_or_default().encode());
        }
        out.extend_from_slice(&(self.snapshot_pages.len() as u32).to_le_bytes());
        for pages in &self.snapshot_pages {
            out.extend_from_slice(&pages.run.offset.to_le_bytes());
            out.extend_from_slice(&pages.run.pages.to_le_bytes());
            out.extend_from_slice(&pages.first.to_le_bytes());
            out.extend_from_slice(&pages.last.to_le_bytes());
        }
        table.encode(&mut out);
        out
    }

    /// Reads the catalog that a superblock refers to. Also returns the pages that it occupies.
    pub(crate) fn read(pages: &Pages, at: Extent) -> Result<(Self, Table, Vec<PageRun>)> {
        let geometry = pages.geometry();
        let first = pages.extent(at, CATALOG)?;
        let mut runs = vec![PageRun::of(at.offset, u64::from(at.len))];
        let corrupt = || Error::corrupt(CATALOG, at.offset);
        if first.get(..4) != Some(&LIST_MAGIC.to_le_bytes()) {
            let (catalog, table) = Self::decode(&first, at.offset, geometry)?;
            return Ok((catalog, table, runs));
        }
        let pieces = decode_list(&first).ok_or_else(corrupt)?;
        runs.extend(pieces.iter().map(|piece| PageRun::of(piece.offset, u64::from(piece.len))));
        let total: u64 = pieces.iter().map(|piece| u64::from(piece.len)).sum();
        let len = pages.device().len().map_err(|e| Error::io("measure the container", e))?;
        if total > len || !runs.iter().all(|run| run.is_valid(geometry)) {
            return Err(corrupt());
        }
        let mut whole = Vec::with_capacity(total as usize);
        for piece in pieces {
            whole.extend_from_slice(&pages.extent(piece, CATALOG)?);
        }
        let (catalog, table) = Self::decode(&whole, at.offset, geometry)?;
        Ok((catalog, table, runs))
    }

    /// Decodes the catalog that was read from `offset`.
    pub(crate) fn decode(bytes: &[u8], offset: u64, geometry: Geometry) -> Result<(Self, Table)> {
        Self::fields(&mut Fields(bytes), geometry).ok_or(Error::corrupt(CATALOG, offset))
    }

    fn fields(f: &mut Fields<'_>, geometry: Geometry) -> Option<(Self, Table)> {
        if f.u32()? != CATALOG_MAGIC {
            return None;
        }
        let mut catalog = Self { root: root(Extent::decode(f)?), keys: f.u64()?, ..Self::default() };
        for _ in 0..f.u32()? {
            let name_len = f.u32()? as usize;
            catalog.snapshots.push(SnapshotRecord {
                name: String::from_utf8(f.bytes(name_len)?.to_vec()).ok()?,
                generation: f.u64()?,
                seq: f.u64()?,
                created: f.u64()?,
                keys: f.u64()?,
                root: root(Extent::decode(f)?),
            });
        }
        for _ in 0..f.u32()? {
            let run = PageRun { offset: f.u64()?, pages: f.u32()? };
            catalog.snapshot_pages.push(SnapshotPages { run, first: f.u64()?, last: f.u64()? });
        }
        let table = Table::decode(f, geometry)?;
        catalog.is_plausible(geometry).then_some((catalog, table))
    }

    /// Whether its contents are possible. The checksum proves only that they have not changed since they were
    /// written.
    fn is_plausible(&self, geometry: Geometry) -> bool {
        let roots = self.snapshots.iter().map(|snapshot| snapshot.root).chain([self.root]).flatten();
        let runs = roots.map(|root| PageRun::of(root.offset, u64::from(root.len)));
        let counters = self.snapshots.iter().flat_map(|s| [s.generation, s.seq, s.keys]).chain([self.keys]);
        runs.chain(self.snapshot_pages.iter().map(|pages| pages.run)).all(|run| run.is_valid(geometry))
            && counters.into_iter().all(|count| count < MAX_COUNT)
    }
}
