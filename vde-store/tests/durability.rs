//! Acknowledged writes survive reopening, torn tails, damage, failures, and attempts to open the store twice.

#[path = "common/place.rs"]
mod place;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use place::{place, small};
use vde_store::{Durability, Error, Vde, VdeOptions};

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// The offset of the only occurrence of `needle` in the file.
fn find(path: &Path, needle: &[u8]) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle).expect("the needle is in the file") as u64
}

/// Simulates a crash: the file keeps its current contents, without those that closing would write.
fn crash(store: Vde, path: &Path) {
    let left = std::fs::read(path).unwrap();
    drop(store);
    std::fs::write(path, left).unwrap();
}

#[test]
fn values_are_present_after_reopening() {
    let (_dir, path) = place();
    let store = small().open(&path).unwrap();
    for i in 0..1000 {
        store.with_durability(Durability::Buffered).put(format!("key/{i:04}"), vec![i as u8; i]).unwrap();
    }
    assert!(store.delete("key/0500").unwrap());
    drop(store);
    let store = small().open(&path).unwrap();
    for i in (0..1000).filter(|i| *i != 500) {
        assert_eq!(store.get(format!("key/{i:04}")).unwrap(), Some(vec![i as u8; i]));
    }
    assert_eq!(store.get("key/0500").unwrap(), None);
    assert_eq!(store.list("key/").count(), 999);
}

#[test]
fn buffered_writes_are_written_long_before_they_are_synced() {
    let (_dir, path) = place();
    let store = VdeOptions::new().sync_interval(Duration::from_hours(1)).open(&path).unwrap();
    for i in 0..1100 {
        store.with_durability(Durability::Buffered).put(format!("key/{i:04}"), [b'v'; 1000]).unwrap();
    }
    // There are no more puts, so only the store itself can sync.
    loop {
        let copy = path.with_extension("copy");
        std::fs::copy(&path, &copy).unwrap();
        let there = Vde::open(&copy).unwrap().list("key/").count();
        if there >= 1000 {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Alternates batches, whose units are followed by zeros, and small writes, whose units are not.
fn put_large_and_small(store: &Vde) {
    for i in 0..12_u8 {
        let mut batch = store.batch();
        for j in 0..3 {
            batch.put([b'l', i, j], vec![i ^ j; 50_000 + usize::from(i)]);
        }
        batch.commit().unwrap();
        store.put([b's', i], vec![i; usize::from(i) * 100]).unwrap();
    }
}

#[test]
fn large_and_small_units_follow_each_other() {
    let (_dir, path) = place();
    let options = VdeOptions::new().background(false).segment_size(1 << 20);
    let store = options.clone().open(&path).unwrap();
    put_large_and_small(&store);
    crash(store, &path);
    let store = options.open(&path).unwrap();
    assert_eq!(store.recovery().torn_at, None);
    for i in 0..12_u8 {
        for j in 0..3 {
            assert_eq!(store.get([b'l', i, j]).unwrap(), Some(vec![i ^ j; 50_000 + usize::from(i)]));
        }
        assert_eq!(store.get([b's', i]).unwrap(), Some(vec![i; usize::from(i) * 100]));
    }
    assert!(store.verify(|_| {}).unwrap().is_clean());
}

#[test]
fn a_damaged_value_in_the_middle_of_the_log_is_corruption() {
    let (_dir, path) = place();
    let options = VdeOptions::new().background(false).segment_size(1 << 20);
    let store = options.clone().open(&path).unwrap();
    put_large_and_small(&store);
    let at = find(&path, &[5 ^ 2].repeat(40_000));
    crash(store, &path);
    overwrite(&path, at + 20_000, &[0xEE]);
    match options.open(&path) {
        Err(Error::Corrupt { offset, .. }) => assert!(offset < at, "{offset}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_can_be_opened_again_only_after_it_is_closed() {
    let (_dir, path) = place();
    let first = Vde::open(&path).unwrap();
    assert!(matches!(Vde::open(&path), Err(Error::AlreadyOpen { .. })));
    drop(first);
    let reader = VdeOptions::new().read_only(true).open(&path).unwrap();
    let _second_reader = VdeOptions::new().read_only(true).open(&path).unwrap();
    assert!(matches!(Vde::open(&path), Err(Error::AlreadyOpen { .. })));
    assert!(matches!(reader.delete("k"), Err(Error::ReadOnly)));
}

#[test]
fn foreign_truncated_and_newer_files_are_errors_with_the_path() {
    let (_dir, path) = place();
    std::fs::write(&path, "not a container").unwrap();
    assert!(matches!(Vde::open(&path), Err(Error::NotAStore { .. })));
    std::fs::write(&path, vec![7; 100_000]).unwrap();
    assert!(matches!(Vde::open(&path), Err(Error::NotAStore { .. })));
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Vde::open(&path), Err(Error::NotAStore { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"", "a file that cannot be opened is not changed");
}

#[test]
fn a_store_opens_with_one_damaged_superblock_but_not_with_two() {
    let (_dir, path) = place();
    Vde::open(&path).unwrap().put("k", "v").unwrap();
    overwrite(&path, 100, b"damage");
    assert_eq!(Vde::open(&path).unwrap().get("k").unwrap().as_deref(), Some(&b"v"[..]));
    // Closing has rewritten the damaged superblock.
    overwrite(&path, 4096 + 100, b"damage");
    assert_eq!(Vde::open(&path).unwrap().get("k").unwrap().as_deref(), Some(&b"v"[..]));
    overwrite(&path, 100, b"damage");
    overwrite(&path, 4096 + 100, b"damage");
    assert!(matches!(Vde::open(&path), Err(Error::Corrupt { what: "superblock", .. })));
}

#[test]
fn a_torn_tail_is_dropped_and_reported() {
    let (_dir, path) = place();
    let store = small().background(false).open(&path).unwrap();
    store.put("first", "acknowledged").unwrap();
    store.put("second", "this one is torn").unwrap();
    crash(store, &path);
    let at = find(&path, b"this one is torn");
    overwrite(&path, at, b"THIS");
    let store = small().open(&path).unwrap();
    let torn = store.recovery().torn_at.expect("recovery reports the torn record");
    assert!(torn < at);
    assert!(store.contains("first").unwrap());
    assert!(!store.contains("second").unwrap());
    // The store continues after the undamaged part of the log.
    store.put("second", "again").unwrap();
    drop(store);
    let store = small().open(&path).unwrap();
    assert_eq!(store.recovery().torn_at, None);
    assert_eq!(store.get("second").unwrap().as_deref(), Some(&b"again"[..]));
}

#[test]
fn the_log_of_a_closed_store_cannot_be_torn() {
    let (_dir, path) = place();
    let store = small().open(&path).unwrap();
    store.put("first", "acknowledged").unwrap();
    store.put("second", "acknowledged, too").unwrap();
    drop(store);
    let at = find(&path, b"acknowledged, too");
    overwrite(&path, at, b"A");
    match small().open(&path) {
        Err(Error::Corrupt { what: "log unit", offset }) => assert!(offset < at),
        other => panic!("expected corruption, got {other:?}"),
    }
    // A store that was opened again is not marked as closed, so its later records may be torn.
    overwrite(&path, at, b"a");
    let store = small().open(&path).unwrap();
    store.put("third", "not yet closed").unwrap();
    crash(store, &path);
    overwrite(&path, find(&path, b"not yet closed"), b"N");
    let store = small().open(&path).unwrap();
    assert!(store.recovery().torn_at.is_some());
    assert_eq!(store.list("").count(), 2);
}

#[test]
fn damage_before_the_tail_is_corruption_and_not_a_torn_tail() {
    let (_dir, path) = place();
    let store = small().open(&path).unwrap();
    for key in ["one", "two", "three"] {
        store.put(key, format!("the value of {key}")).unwrap();
    }
    drop(store);
    let at = find(&path, b"the value of one");
    overwrite(&path, at, b"T");
    match small().open(&path) {
        Err(Error::Corrupt { what: "log unit", offset }) => assert!(offset < at),
        other => panic!("expected corruption, got {other:?}"),
    }
}

#[test]
fn damage_in_an_earlier_segment_is_corruption() {
    let (_dir, path) = place();
    let store = small().background(false).open(&path).unwrap();
    for i in 0..20 {
        store.put(format!("{i}"), vec![i; 60_000]).unwrap();
    }
    drop(store);
    // The last unit of the first segment, which links to the next one.
    overwrite(&path, 8192 + (1 << 18) - 60_000, &vec![0xAA; 60_000]);
    assert!(matches!(small().open(&path), Err(Error::Corrupt { what: "log unit", .. })));
}

/// Writes the superblocks as an older build would, which announces no segments.
fn announce_nothing(path: &Path) {
    for at in [0, 4096] {
        let mut block = [0; 4096];
        File::open(path).unwrap().read_exact_at(&mut block, at).unwrap();
        for field in [8, 12, 16] {
            block[field] = 3;
        }
        block[128..136].fill(0);
        let sum = xxhash_rust::xxh3::xxh3_64(&block[..4088]);
        block[4088..].copy_from_slice(&sum.to_le_bytes());
        overwrite(path, at, &block);
    }
}

#[test]
fn damage_is_found_wherever_the_log_continues() {
    const SEGMENT: u64 = 1 << 18;
    let (_dir, path) = place();
    let store = small().background(false).open(&path).unwrap();
    for i in 0..7 {
        store.put(format!("{i}"), vec![i; 60_000]).unwrap();
    }
    crash(store, &path);
    let second = std::fs::read(&path).unwrap().split_off(8192 + SEGMENT as usize);
    overwrite(&path, 8192 + SEGMENT - 60_000, &vec![0xAA; 60_000]);
    overwrite(&path, 8192 + SEGMENT, &vec![0; second.len()]);
    overwrite(&path, 8192 + 3000 * SEGMENT, &[0; 8192]);
    // No unit is left that follows the damage, so it counts as torn.
    drop(small().read_only(true).open(&path).unwrap());
    let is_found = |place: u64| {
        overwrite(&path, 8192 + place * SEGMENT, &second);
        let opened = small().read_only(true).open(&path);
        overwrite(&path, 8192 + place * SEGMENT, &vec![0; second.len()]);
        matches!(opened, Err(Error::Corrupt { what: "log unit", .. }))
    };
    // A store that is open for writing announces two segments.
    assert_eq!([1, 2, 3].map(is_found), [true, true, false]);
    announce_nothing(&path);
    for place in [1, 255, 256, 1700, 3000] {
        assert!(is_found(place), "{place}");
    }
}

#[test]
fn a_batch_is_whole_or_absent() {
    let (_dir, path) = place();
    let store = small().background(false).open(&path).unwrap();
    store.put("before", "1").unwrap();
    let mut batch = store.batch();
    // The batch is longer than a segment, so it is written in several units.
    for i in 0..20u8 {
        batch.put([b'b', i], vec![i; 60_000]);
    }
    batch.delete("before");
    batch.commit().unwrap();
    crash(store, &path);
    let whole = std::fs::read(&path).unwrap();
    let store = small().open(&path).unwrap();
    assert_eq!((store.list("b").count(), store.contains("before").unwrap()), (20, false));
    drop(store);
    // If the log is cut inside the batch, the whole batch is absent, earlier writes are present, and later writes are
    // kept.
    for len in (9000..whole.len()).step_by(30_011) {
        std::fs::write(&path, &whole[..len]).unwrap();
        let store = small().open(&path).unwrap();
        let found = store.list("").map(|entry| entry.unwrap().into_key()).collect::<Vec<_>>();
        assert_eq!(found, [Box::from(*b"before")], "cut at {len}");
        store.put("after", "2").unwrap();
        drop(store);
        let store = small().open(&path).unwrap();
        assert_eq!(store.list("").count(), 2, "cut at {len}");
    }
}

#[test]
fn sixteen_writers_lose_nothing() {
    let (_dir, path) = place();
    let store = small().open(&path).unwrap();
    thread::scope(|scope| {
        for writer in 0..16u32 {
            let store = store.clone();
            scope.spawn(move || {
                for i in 0..50 {
                    store.put(format!("{writer}/{i}"), vec![writer as u8; 1000]).unwrap();
                    store
                        .update("counter", |old| {
                            let old = old.map_or(0, |old| u32::from_le_bytes(old.try_into().unwrap()));
                            Some((old + 1).to_le_bytes().to_vec())
                        })
                        .unwrap();
                }
            });
        }
    });
    drop(store);
    let store = small().open(&path).unwrap();
    assert_eq!(store.list("").count(), 16 * 50 + 1);
    assert_eq!(store.get("counter").unwrap().unwrap(), 800u32.to_le_bytes());
}

#[test]
fn options_are_checked() {
    for (name, options) in [
        ("stripes", VdeOptions::new().stripes(0)),
        ("stripes", VdeOptions::new().stripes(65_537)),
        ("segment_size", VdeOptions::new().segment_size(300_000)),
        ("segment_size", VdeOptions::new().segment_size(1 << 17)),
        ("sync_interval", VdeOptions::new().sync_interval(std::time::Duration::ZERO)),
        ("sync_interval", VdeOptions::new().sync_interval(std::time::Duration::from_hours(2))),
        ("checkpoint_bytes", VdeOptions::new().checkpoint_bytes(1000)),
        ("checkpoint_bytes", VdeOptions::new().checkpoint_bytes(1 << 40)),
        ("salvage", VdeOptions::new().salvage(true)),
    ] {
        match options.in_memory() {
            Err(Error::InvalidOption { option, .. }) => assert_eq!(option, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let (_dir, path) = place();
    let created = VdeOptions::new().read_only(true).create(&path);
    assert!(matches!(created, Err(Error::InvalidOption { option: "read_only", .. })) && !path.exists());
    assert!(matches!(VdeOptions::new().read_only(true).in_memory(), Err(Error::NotAStore { .. })));
    assert!(matches!(Vde::open(path.join("no/such/directory")), Err(Error::Io { .. })));
}

#[test]
fn a_newer_format_is_an_error_whatever_the_other_superblock_says() {
    let (_dir, path) = place();
    Vde::open(&path).unwrap().put("k", "v").unwrap();
    let bytes = std::fs::read(&path).unwrap();
    // The format versions: that of the writer at byte 8, the oldest that can read at byte 12, the oldest that can write
    // at byte 16.
    for (at, may_read) in [(8, true), (12, false), (16, true)] {
        let mut newer = bytes.clone();
        newer[at] += 1;
        let sum = xxhash_rust::xxh3::xxh3_64(&newer[..4088]);
        newer[4088..4096].copy_from_slice(&sum.to_le_bytes());
        std::fs::write(&path, newer).unwrap();
        let read = VdeOptions::new().read_only(true).open(&path).map(drop);
        assert_eq!(read.is_ok(), may_read, "byte {at}: {read:?}");
        let written = Vde::open(&path).map(drop);
        assert_eq!(matches!(written, Err(Error::NewerFormat { needed: 5, known: 4 })), at != 8, "byte {at}");
    }
}

#[test]
fn a_container_of_an_older_format_opens_and_becomes_one_of_this() {
    (1..4).for_each(opens_and_becomes_one_of_this);
}

fn opens_and_becomes_one_of_this(format: u8) {
    let (_dir, path) = place();
    Vde::open(&path).unwrap().put("k", "v").unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    for block in bytes[..8192].chunks_mut(4096) {
        block[8..20].copy_from_slice(&[format, 0, 0, 0, format, 0, 0, 0, format, 0, 0, 0]);
        let sum = xxhash_rust::xxh3::xxh3_64(&block[..4088]);
        block[4088..].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    let read = VdeOptions::new().read_only(true).open(&path).unwrap();
    assert_eq!(read.get("k").unwrap().unwrap(), b"v");
    drop(read);
    let store = Vde::open(&path).unwrap();
    assert_eq!(store.get("k").unwrap().unwrap(), b"v");
    let now = std::fs::read(&path).unwrap();
    assert!([0, 4096].iter().any(|at| now[at + 8..at + 20] == [4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0]));
}

#[tokio::test]
async fn async_and_blocking_writers_share_one_store() {
    let (_dir, path) = place();
    let store = small().open(&path).unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let store = store.to_async();
            tokio::spawn(async move {
                for i in 0..20 {
                    store.put(format!("{task}/{i}"), "async").await.unwrap();
                }
            })
        })
        .collect();
    let blocking = store.clone();
    let thread = thread::spawn(move || {
        for i in 0..20 {
            blocking.put(format!("thread/{i}"), "blocking").unwrap();
        }
    });
    for task in tasks {
        task.await.unwrap();
    }
    thread.join().unwrap();
    drop(store);
    assert_eq!(small().open(&path).unwrap().list("").count(), 33 * 20);
}
