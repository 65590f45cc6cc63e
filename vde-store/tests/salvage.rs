//! A store with an unreadable index: salvaging finds the values in the log and in undamaged index pages.

#[path = "common/contents.rs"]
mod contents;

use contents::{Contents, contents, options};
use fastrand::Rng;
use vde_store::testing::SimDisk;
use vde_store::{Durability, Error};

const BLOCK: usize = 4096;

/// A store with small values that are only in the index, because their log segments were reused, and with longer
/// values.
fn well_used() -> (SimDisk, Contents) {
    let disk = SimDisk::new();
    let store = options().open_device(disk.device()).unwrap();
    let buffered = store.with_durability(Durability::Buffered);
    for i in 0..3000u32 {
        buffered.put(i.to_be_bytes(), format!("value {i}")).unwrap();
    }
    store.checkpoint().unwrap();
    for round in 0..40u32 {
        for key in 0..10u8 {
            buffered.put([b'l', key], vec![key ^ round as u8; 3000 + 10_000 * usize::from(key)]).unwrap();
        }
        for i in 0..20 {
            buffered.put((i * 97 + round).to_be_bytes(), format!("changed {round}")).unwrap();
        }
        store.checkpoint().unwrap();
    }
    store.put("last", "behind the checkpoint").unwrap();
    let truth = contents(&store);
    // The store is not closed.
    (SimDisk::holding(disk.contents()), truth)
}

/// The offset of the newest superblock, and the offsets and lengths of its catalog and of the root of its index.
fn places(image: &[u8]) -> (usize, (usize, usize), (usize, usize)) {
    let number = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&image[at..at + len]);
        u64::from_le_bytes(bytes) as usize
    };
    let newest = [0, BLOCK].into_iter().max_by_key(|block| number(block + 40, 8)).unwrap();
    let catalog = (number(newest + 80, 8), number(newest + 88, 8));
    (newest, catalog, (number(catalog.0 + 4, 8), number(catalog.0 + 12, 4)))
}

/// The salvaged contents with one bit flipped.
fn salvaged(disk: &SimDisk, at: usize, bit: u8) -> Contents {
    let damaged = disk.crash(0);
    let mut byte = [0];
    damaged.device().read_at(&mut byte, at as u64).unwrap();
    damaged.device().write_at(&[byte[0] ^ 1 << bit], at as u64).unwrap();
    let refused = options().open_device(damaged.device());
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "byte {at}");
    let store = options().read_only(true).salvage(true).open_device(damaged.device()).unwrap();
    assert!(store.recovery().damaged_at.is_some());
    assert!(!store.verify(|_| {}).unwrap().is_clean(), "byte {at}");
    contents(&store)
}

#[test]
fn one_flipped_bit_of_the_catalog_or_the_root_loses_few_keys() {
    let (disk, truth) = well_used();
    let (_, catalog, root) = places(&disk.contents());
    let mut rng = Rng::with_seed(1);
    for round in 0..40 {
        let (start, len) = if round % 2 == 0 { catalog } else { root };
        let at = start + rng.usize(..len.min(1500));
        let found = salvaged(&disk, at, rng.u8(..8));
        for (key, value) in &found {
            assert_eq!(truth.get(key), Some(value), "byte {at}: {key:?}");
        }
        // If a reference in the root is damaged, the leaf to which it refers is lost.
        assert!(found.len() * 10 >= truth.len() * 9, "byte {at}: {} of {} keys", found.len(), truth.len());
        assert!(found.contains_key(&b"last"[..]));
    }
}

#[test]
fn a_backup_of_salvaged_data_is_a_whole_store() {
    let (disk, truth) = well_used();
    let (_, catalog, _) = places(&disk.contents());
    let damaged = disk.crash(0);
    damaged.device().write_at(&[0; 4096], catalog.0 as u64).unwrap();
    let store = options().read_only(true).salvage(true).open_device(damaged.device()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let newest = store.metadata("last").unwrap().unwrap().version;
    store.backup(dir.path().join("copy.vde")).unwrap();
    let copy = options().open(dir.path().join("copy.vde")).unwrap();
    assert!(contents(&copy) == truth, "{} of {} keys", copy.list("").count(), truth.len());
    copy.put("next", "v").unwrap();
    assert!(copy.metadata("next").unwrap().unwrap().version > newest);
}

/// Here the log segment with the deletion still exists, and so does the index with the keys.
#[test]
fn a_deleted_range_stays_deleted() {
    let disk = SimDisk::new();
    let store = options().open_device(disk.device()).unwrap();
    for i in 0..3000u32 {
        store.with_durability(Durability::Buffered).put(i.to_be_bytes(), format!("value {i}")).unwrap();
    }
    store.checkpoint().unwrap();
    store.delete_range(1000u32.to_be_bytes()..2000u32.to_be_bytes()).unwrap();
    store.put(1500u32.to_be_bytes(), "again").unwrap();
    let truth = contents(&store);
    assert_eq!(truth.len(), 2001);
    let image = disk.contents();
    let (_, catalog, _) = places(&image);
    assert!(salvaged(&SimDisk::holding(image), catalog.0, 0) == truth);
}
