//! A catalog that is longer than a segment: it is stored in pieces, and the superblock refers to a list of them.

use std::sync::{Arc, Mutex};

use vde_store::testing::SimDisk;
use vde_store::{Error, Vde, VdeOptions};

const BLOCK: usize = 4096;
/// With names of 250 bytes, the catalog does not fit into two segments.
const SNAPSHOTS: usize = 1800;

fn options() -> VdeOptions {
    VdeOptions::new().background(false).segment_size(1 << 18)
}

fn name(i: usize) -> String {
    format!("{i:0>250}")
}

fn many_snapshots() -> (SimDisk, Vde) {
    let disk = SimDisk::new();
    let store = options().open_device(disk.device()).unwrap();
    store.put("k", "old").unwrap();
    for i in 0..SNAPSHOTS {
        store.snapshot(&name(i)).unwrap();
    }
    store.put("k", "new").unwrap();
    (disk, store)
}

/// The offsets of the list to which the newest superblock refers, and of the pieces.
fn places(image: &[u8]) -> Vec<usize> {
    let u64_at = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let newest = if u64_at(40) > u64_at(BLOCK + 40) { 0 } else { BLOCK };
    let list = u64_at(newest + 80) as usize;
    assert_eq!(&image[list..list + 4], b"VDEL");
    let pieces = u32::from_le_bytes(image[list + 4..list + 8].try_into().unwrap()) as usize;
    let pieces = (0..pieces).map(|i| u64_at(list + 8 + i * 20) as usize);
    std::iter::once(list).chain(pieces).collect()
}

#[test]
fn a_long_catalog_is_read_again_and_any_damage_to_it_is_found() {
    let (disk, store) = many_snapshots();
    assert!(store.verify(|_| {}).unwrap().is_clean());
    drop(store);
    let store = options().open_device(disk.device()).unwrap();
    assert_eq!(store.list_snapshots().len(), SNAPSHOTS);
    assert_eq!(store.open_snapshot(&name(1234)).unwrap().get("k").unwrap().unwrap(), b"old");
    assert_eq!(store.get("k").unwrap().unwrap(), b"new");
    assert!(store.verify(|_| {}).unwrap().is_clean());

    let places = places(&disk.contents());
    assert_eq!(places.len(), 4, "a list of three pieces");
    for place in places {
        let damaged = disk.crash(0);
        let mut byte = [0];
        damaged.device().read_at(&mut byte, place as u64 + 1).unwrap();
        damaged.device().write_at(&[byte[0] ^ 1], place as u64 + 1).unwrap();
        let opened = options().open_device(damaged.device());
        assert!(matches!(opened, Err(Error::Corrupt { what: "catalog", .. })), "{opened:?}");
        // The open store notices too.
        let device = disk.device();
        device.write_at(&[byte[0] ^ 1], place as u64 + 1).unwrap();
        let problems = store.verify(|_| {}).unwrap().problems;
        assert!(matches!(problems[..], [Error::Corrupt { what: "catalog", .. }]), "{problems:?}");
        device.write_at(&byte, place as u64 + 1).unwrap();
    }
}

#[test]
fn the_pages_of_a_long_catalog_are_freed_when_it_becomes_short() {
    let (disk, store) = many_snapshots();
    drop(store);
    // The pages of the catalog must also be known after reopening.
    let store = options().open_device(disk.device()).unwrap();
    for i in 0..SNAPSHOTS {
        store.delete_snapshot(&name(i)).unwrap();
    }
    store.put("k", "newer").unwrap();
    store.checkpoint().unwrap();
    store.put("k", "newest").unwrap();
    store.checkpoint().unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.page_bytes <= 4 * BLOCK as u64, "{stats:?}");
    assert!(store.verify(|_| {}).unwrap().is_clean());
}

#[test]
fn no_power_cut_leaves_half_of_a_long_catalog() {
    let (disk, store) = many_snapshots();
    let images = Arc::new(Mutex::new(Vec::new()));
    let left = images.clone();
    disk.before_each_operation(move |cut| {
        left.lock().unwrap().extend((0..12).map(|seed| cut.image(seed)));
    });
    store.snapshot("one more").unwrap();
    let images = std::mem::take(&mut *images.lock().unwrap());
    let mut found = [0; 2];
    for image in &images {
        let store = options().open_device(image.device()).unwrap();
        found[store.list_snapshots().len() - SNAPSHOTS] += 1;
        assert_eq!(store.get("k").unwrap().unwrap(), b"new");
        assert!(store.verify(|_| {}).unwrap().is_clean());
    }
    assert!(found[0] > 20 && found[1] > 0, "{found:?}");
}
