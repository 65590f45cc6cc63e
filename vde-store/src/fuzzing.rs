//! Fuzz targets for the decoders of all bytes that are read from a container: no input may make them panic. Checksums
//! in the input are corrected first, because a fuzzer cannot guess them.

use std::io;
use std::sync::Arc;

use crate::container::blob::{BlobMap, decode_part};
use crate::container::catalog::Catalog;
use crate::container::device::{Device, MemoryDevice};
use crate::container::format::{
    BLOCK, DATA_START, Extent, RECORD_HEAD, RecordHead, Superblock, UNIT_HEAD, UnitHead, checksum,
    extent_checksum, head_checksum,
};
use crate::container::pages::Pages;
use crate::container::segments::{Segments, Table};
use crate::container::tree::node::Node;
use crate::engine::options::VdeOptions;

const SEGMENT: u32 = 1 << 18;

fn superblock_of_fuzz() -> Superblock {
    Superblock { generation: 1, ..Superblock::new([7; 16], SEGMENT) }
}

/// Decodes `data` as a superblock and opens a container that begins with it.
///
/// # Examples
///
/// ```
/// vde_store::testing::fuzz_superblock(b"VDEstore");
/// ```
pub fn fuzz_superblock(data: &[u8]) {
    let mut block = data.to_vec();
    block.resize(BLOCK as usize - 8, 0);
    block.extend_from_slice(&checksum(&block).to_le_bytes());
    // At each offset, a superblock is valid only if its generation belongs there.
    for offset in [0, BLOCK] {
        let mut image = vec![0; offset as usize];
        image.extend_from_slice(&block);
        image.resize(DATA_START as usize, 0);
        open_and_read(&image);
    }
}

/// Replays `data` as the records of a log.
///
/// # Examples
///
/// ```
/// vde_store::testing::fuzz_log(&[1, 0, 0, 0, 1, 0, 0, 0]);
/// ```
pub fn fuzz_log(data: &[u8]) {
    let superblock = superblock_of_fuzz();
    let mut image = superblock.encode();
    let first = Superblock { generation: 0, ..superblock.clone() }.encode();
    image.splice(..0, first);
    let salt = superblock.geometry().salt;
    let mut unit = vec![0; UNIT_HEAD];
    unit.extend_from_slice(&data[..data.len().min(SEGMENT as usize - UNIT_HEAD)]);
    let sums = stamp_records(&mut unit[UNIT_HEAD..], salt);
    let head = UnitHead { len: unit.len() as u32, ordinal: 0, first_seq: 1, durable_seq: 0, chain: 0 };
    unit[..UNIT_HEAD].copy_from_slice(&head.encode(&sums, salt).0);
    image.extend_from_slice(&unit);
    open_and_read(&image);
}

/// Corrects the checksums of all records whose lengths are possible. Returns these checksums.
fn stamp_records(mut bytes: &mut [u8], salt: u64) -> Vec<u8> {
    let mut sums = Vec::new();
    while let Some((head, _)) = RecordHead::decode(bytes) {
        let value_len = head.value_len as usize;
        let user_len = match (head.flags & 8 != 0, head.flags & 4 != 0) {
            (false, _) => Some(0),
            (true, origin) => {
                let at = RECORD_HEAD + if origin { 16 } else { 0 };
                bytes.get(at..at + 4).map(|len| u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize)
            }
        };
        let extra = if head.flags & 4 != 0 { 16 } else { 0 } + if head.flags & 8 != 0 { 4 } else { 0 };
        let Some(value_at) =
            user_len.and_then(|len| len.checked_add(RECORD_HEAD + extra + head.key_len as usize))
        else {
            return sums;
        };
        let Some(len) = value_at.checked_add(value_len).filter(|len| *len <= bytes.len()) else {
            return sums;
        };
        let (record, rest) = bytes.split_at_mut(len);
        let sum = checksum(&record[value_at..]);
        record[16..24].copy_from_slice(&sum.to_le_bytes());
        let sum = head_checksum(&record[..24], &record[RECORD_HEAD..value_at], salt);
        record[24..32].copy_from_slice(&sum.to_le_bytes());
        sums.extend_from_slice(&sum.to_le_bytes());
        bytes = rest;
    }
    sums
}

/// Decodes `data` as an index page, as a catalog or a list of its pieces, and as the map of a blob. Opens a container
/// whose index root is `data`, and one whose catalog is `data`.
///
/// # Examples
///
/// ```
/// vde_store::testing::fuzz_index(b"VDEP");
/// ```
pub fn fuzz_index(data: &[u8]) {
    let data = &data[..data.len().min(SEGMENT as usize)];
    if let Some(node) = Node::new(data) {
        for index in 0..node.count {
            let key = node.key(index).unwrap_or_default();
            let _ = (node.value(index), node.child(index), node.search(key), node.descend(key));
        }
        open_and_read(&container_with_root(data));
    }
    let geometry = superblock_of_fuzz().geometry();
    if data.starts_with(b"VDEL") || Catalog::decode(data, 0, geometry).is_ok() {
        open_and_read(&container_with_catalog(data, Vec::new()));
    }
    if let Ok(map) = BlobMap::decode(data, 0) {
        let device = Arc::new(MemoryDevice::new());
        let written = device.write_at(data, 0);
        let pages = Pages::new(device, geometry);
        let _ = (written, map.runs(&pages), map.range(&pages, map.len.saturating_sub(1), map.len));
    }
    decode_part(data);
}

/// A container with this index page, which its segment table marks as taken.
fn container_with_root(page: &[u8]) -> Vec<u8> {
    let geometry = superblock_of_fuzz().geometry();
    let mut segments = Segments::new(Table::new(geometry));
    segments.take_log(0, 1);
    let offset = segments.take_pages((page.len() as u64).div_ceil(BLOCK) as u32).offset;
    let checksum = extent_checksum(page, offset, geometry.salt);
    let root = Some(Extent { offset, len: page.len() as u32, checksum });
    let catalog = Catalog { root, ..Catalog::default() };
    let mut pages = vec![0; (offset - DATA_START) as usize];
    pages.extend_from_slice(page);
    container_with_catalog(&catalog.encode(&segments.table()), pages)
}

/// A container with `segments`, and the catalog after them.
fn container_with_catalog(catalog: &[u8], mut segments: Vec<u8>) -> Vec<u8> {
    let mut superblock = superblock_of_fuzz();
    segments.resize(segments.len().next_multiple_of(SEGMENT as usize).max(2 * SEGMENT as usize), 0);
    let offset = DATA_START + segments.len() as u64;
    let checksum = extent_checksum(catalog, offset, superblock.geometry().salt);
    superblock.catalog = Extent { offset, len: catalog.len() as u32, checksum };
    let mut image = vec![0; BLOCK as usize];
    image.extend_from_slice(&superblock.encode());
    image.extend_from_slice(&segments);
    image.extend_from_slice(catalog);
    image
}

/// A device with a small maximum length, so that no input makes a fuzzer take much memory.
struct Small(MemoryDevice);

impl Small {
    const LEN: u64 = 64 << 20;

    fn admit(end: u64) -> io::Result<()> {
        if end <= Self::LEN { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

impl Device for Small {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        Self::admit(offset.saturating_add(data.len() as u64))?;
        self.0.write_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::admit(len)?;
        self.0.set_len(len)
    }
}

/// Opening and reading may fail, but not panic.
fn open_and_read(image: &[u8]) {
    let device = Arc::new(Small(MemoryDevice::new()));
    if device.write_at(image, 0).is_err() {
        return;
    }
    let Ok(store) = VdeOptions::new().background(false).open_device(device) else { return };
    for entry in store.list("").flatten().take(1000) {
        let _ = (entry.value(), entry.metadata(), entry.reader());
    }
    for snapshot in store.list_snapshots() {
        let _ = store.open_snapshot(&snapshot.name).map(|view| view.list("").take(1000).count());
    }
    let _ = store.put("k", "v").and_then(|_| store.checkpoint());
    let _ = store.verify(|_| {});
    let _ = store.compact();
}
