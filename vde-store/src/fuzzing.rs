//! The decoders of everything that is read from a container, as fuzz targets call them: any bytes may come, and nothing
//! may panic. Checksums are put right first, where there are any, since no fuzzer gets past them.

use std::sync::Arc;

use crate::blob::BlobMap;
use crate::catalog::Catalog;
use crate::device::{Device, MemoryDevice};
use crate::format::{
    BLOCK, DATA_START, Geometry, RECORD_HEAD, RecordHead, Superblock, UNIT_HEAD, UnitHead, checksum,
    head_checksum,
};
use crate::options::VdeOptions;
use crate::tree::node::Node;

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
    if let Ok(superblock) = Superblock::decode(&block, 0, true) {
        // The sizes that a container is created with; others would only make the target slow.
        if superblock.segment_size != SEGMENT {
            return;
        }
    }
    block.resize(DATA_START as usize, 0);
    open_and_read(&block);
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
    stamp_records(&mut unit[UNIT_HEAD..], salt);
    let head = UnitHead { len: unit.len() as u32, ordinal: 0, first_seq: 1, durable_seq: 0, chain: 0 };
    head.stamp(&mut unit, salt);
    image.extend_from_slice(&unit);
    open_and_read(&image);
}

/// Puts the checksums of records right, as far as their lengths make sense.
fn stamp_records(mut bytes: &mut [u8], salt: u64) {
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
            return;
        };
        let Some(len) = value_at.checked_add(value_len).filter(|len| *len <= bytes.len()) else { return };
        let (record, rest) = bytes.split_at_mut(len);
        let sum = checksum(&record[value_at..]);
        record[16..24].copy_from_slice(&sum.to_le_bytes());
        let sum = head_checksum(&record[..24], [&record[RECORD_HEAD..value_at], &[], &[]], salt);
        record[24..32].copy_from_slice(&sum.to_le_bytes());
        bytes = rest;
    }
}

/// Decodes `data` as an index page, a catalog and the map of a blob.
///
/// # Examples
///
/// ```
/// vde_store::testing::fuzz_index(b"VDEP");
/// ```
pub fn fuzz_index(data: &[u8]) {
    if let Some(node) = Node::new(data) {
        for index in 0..node.count {
            let key = node.key(index).unwrap_or_default();
            let _ = (node.value(index), node.child(index), node.search(key), node.descend(key));
        }
    }
    let _ = Catalog::decode(data, 0, Geometry { segment_size: SEGMENT, salt: 0 });
    let _ = BlobMap::decode(data, 0).map(|map| map.runs().count());
}

/// Opening may fail, reading may fail; neither may panic.
fn open_and_read(image: &[u8]) {
    let device = Arc::new(MemoryDevice::new());
    if device.write_at(image, 0).is_err() {
        return;
    }
    let Ok(store) = VdeOptions::new().background(false).open_device(device) else { return };
    for entry in store.list("").flatten().take(1000) {
        let _ = (entry.value(), entry.metadata(), entry.reader());
    }
    let _ = store.put("k", "v").and_then(|()| store.checkpoint());
    let _ = store.verify(|_| {});
}
