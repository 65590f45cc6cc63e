//! Damaged containers: damage is found and named, wrong data is never returned, and undamaged data can be read.

#[path = "common/contents.rs"]
mod contents;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use contents::{Contents, contents, options};
use fastrand::Rng;
use vde_store::testing::{Bug, Operation, SimDisk};
use vde_store::{Durability, Error};

const BLOCK: usize = 4096;
/// The number of keys that are overwritten after the last checkpoint.
const TAIL: u32 = 30;

/// A container with values of all kinds (overwritten, deleted, compacted, in snapshots, checkpointed and not), and its
/// contents.
fn busy_container() -> (SimDisk, Contents) {
    let disk = SimDisk::new();
    let store = options().open_device(disk.device()).unwrap();
    for round in 0..3u8 {
        for (i, len) in [10, 300, 5000, 70_000, 200, 150_000].into_iter().enumerate() {
            store.put([b'k', i as u8], vec![round * 16 + i as u8; len]).unwrap();
        }
        if round < 2 {
            store.snapshot(&round.to_string()).unwrap();
        }
        if round == 1 {
            store.delete_snapshot("0").unwrap();
            store.compact().unwrap();
        }
    }
    let buffered = store.with_durability(Durability::Buffered);
    for i in 0..600u32 {
        buffered.put(i.to_be_bytes(), vec![i as u8; 100]).unwrap();
    }
    store.checkpoint().unwrap();
    for i in 0..TAIL {
        store.put(i.to_be_bytes(), vec![i as u8; 400]).unwrap();
    }
    let truth = contents(&store);
    (SimDisk::holding(disk.contents()), truth)
}

/// A copy of the disk with other bytes at `at`.
fn overwritten(disk: &SimDisk, at: usize, bytes: &[u8]) -> SimDisk {
    let copy = disk.crash(0);
    copy.device().write_at(bytes, at as u64).unwrap();
    copy.device().sync().unwrap();
    copy
}

fn flipped(disk: &SimDisk, at: usize, bit: u8) -> SimDisk {
    let mut byte = [0];
    disk.device().read_at(&mut byte, at as u64).unwrap();
    overwritten(disk, at, &[byte[0] ^ 1 << bit])
}

/// The value of a key if only the first `records` writes after the checkpoint are left. A log whose end is not proven
/// durable counts as torn.
fn expected<'a>(key: &[u8], value: &'a [u8], records: u64) -> std::borrow::Cow<'a, [u8]> {
    match <[u8; 4]>::try_from(key).map(u32::from_be_bytes) {
        Ok(i) if i < TAIL && u64::from(i) >= records => vec![i as u8; 100].into(),
        _ => value.into(),
    }
}

/// Opens a damaged container. Every answer must be true or an error. Returns the reported damage.
fn interrogate(disk: &SimDisk, truth: &Contents, place: &str) -> Option<String> {
    let store = match options().open_device(disk.device()) {
        Ok(store) => store,
        Err(error) => return Some(error.to_string()),
    };
    let mut damage = None;
    for (key, value) in truth {
        match store.get(key) {
            Ok(found) => {
                let expected = expected(key, value, store.recovery().records);
                assert_eq!(found.as_deref(), Some(&*expected), "{place}: wrong value of {key:?}");
            }
            Err(error @ Error::Corrupt { .. }) => damage = Some(error.to_string()),
            Err(other) => panic!("{place}: {other}"),
        }
    }
    for entry in store.list("") {
        match entry.and_then(|entry| Ok((entry.key().to_vec(), entry.value()?))) {
            Ok((key, _)) => assert!(truth.contains_key(&key), "{place}: invented {key:?}"),
            Err(Error::Corrupt { .. }) => {}
            Err(other) => panic!("{place}: {other}"),
        }
    }
    let report = store.verify(|_| {}).unwrap();
    if let Some(problem) = report.problems.first() {
        damage = Some(problem.to_string());
    }
    assert!(damage.is_none() || !report.is_clean(), "{place}: verify missed {damage:?}");
    damage
}

#[test]
fn flipped_bits_are_named_and_never_returned() {
    let (disk, truth) = busy_container();
    let len = disk.device().len().unwrap() as usize;
    assert_eq!(interrogate(&disk.crash(0), &truth, "untouched"), None);
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut rng = Rng::with_seed(1);
    let mut at = 0;
    while at < len {
        if let Some(error) = interrogate(&flipped(&disk, at, rng.u8(..8)), &truth, &format!("byte {at}")) {
            let what = error.split(" at byte").next().unwrap_or_default().to_owned();
            *found.entry(what).or_default() += 1;
        }
        // More positions at the front, where the superblocks are.
        at += if at < 2 * BLOCK { rng.usize(1..60) } else { rng.usize(1..6000) };
    }
    for what in ["index page", "log unit", "blob chunk"] {
        let name = format!("corrupt {what}");
        assert!(found.contains_key(&name), "no {what} was ever found damaged: {found:?}");
    }
}

#[test]
fn a_damaged_map_of_a_part_is_named_and_loses_one_value() {
    let disk = SimDisk::new();
    let options = options().part_pieces(1);
    let store = options.clone().open_device(disk.device()).unwrap();
    let value: Vec<u8> = (0..700_000u32).map(|i| ((i / 256) ^ i) as u8).collect();
    store.put("parts", &value).unwrap();
    store.put("other", "whole").unwrap();
    assert_eq!(store.get_range("parts", 262_140..262_150).unwrap().unwrap(), value[262_140..262_150]);
    assert!(
        matches!(options.clone().open_device(disk.crash(1).device()), Ok(store) if store.get("parts").unwrap().unwrap() == value)
    );
    store.checkpoint().unwrap();
    drop(store);
    let contents = disk.contents();
    let maps: Vec<usize> =
        (0..contents.len()).step_by(BLOCK).filter(|at| contents[*at..].starts_with(b"VDEM")).collect();
    assert_eq!(maps.len(), 3);
    for map in maps {
        let store = options.clone().open_device(flipped(&disk, map + 9, 3).device()).unwrap();
        assert_eq!(store.get("other").unwrap().unwrap(), b"whole");
        let is_named = |error: &Error| matches!(error, Error::Corrupt { what: "blob map", offset } if *offset == map as u64);
        assert!(store.get("parts").is_err_and(|error| is_named(&error)));
        let report = store.verify(|_| {}).unwrap();
        assert!(matches!(&report.problems[..], [error] if is_named(error)), "{:?}", report.problems);
    }
}

#[test]
fn damage_in_the_last_large_value_of_a_closed_store_loses_only_that_value() {
    let disk = SimDisk::new();
    let store = options().open_device(disk.device()).unwrap();
    store.put("first", "1").unwrap();
    store.put("large", vec![0xA7; 200_000]).unwrap();
    drop(store);
    let contents = disk.contents();
    let at = contents.windows(64).rposition(|window| window == [0xA7; 64]).unwrap();
    let store = options().open_device(flipped(&disk, at, 1).device()).unwrap();
    assert_eq!(store.get("first").unwrap().unwrap(), b"1");
    assert!(matches!(store.get("large"), Err(Error::Corrupt { what: "blob chunk", .. })));
    assert!(!store.verify(|_| {}).unwrap().is_clean());
    store.put("large", "anew").unwrap();
    store.checkpoint().unwrap();
    assert!(store.verify(|_| {}).unwrap().is_clean());
}

#[test]
fn without_a_map_reading_a_truncated_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let store = options().memory_map(false).open(&path).unwrap();
    for (key, len) in [("leaf", 100), ("record", 5000), ("blob", 100_000)] {
        store.put(key, vec![7; len]).unwrap();
    }
    store.checkpoint().unwrap();
    assert_eq!(contents(&store).len(), 3);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8192).unwrap();
    for key in ["leaf", "record", "blob"] {
        assert!(matches!(store.get(key), Err(Error::Io { .. } | Error::Corrupt { .. })), "{key}");
    }
}

#[test]
fn two_damaged_superblocks_are_an_error_and_one_is_not() {
    let (disk, truth) = busy_container();
    for at in [0, 9, 40, 100, 4090] {
        assert!(options().open_device(flipped(&flipped(&disk, at, 0), BLOCK + at, 0).device()).is_err());
    }
    for at in [0, 9, 40, 100, 4090] {
        for half in [0, BLOCK] {
            let place = format!("superblock at {half}, byte {at}");
            assert_eq!(interrogate(&flipped(&disk, half + at, 0), &truth, &place), None);
        }
    }
}

#[test]
fn either_superblock_may_be_damaged_in_a_store_that_was_not_closed() {
    for seed in 0..40 {
        let mut rng = Rng::with_seed(seed);
        let disk = SimDisk::new();
        let store = options().open_device(disk.device()).unwrap();
        for step in 0..rng.u32(20..120) {
            store.put([rng.u8(..10)], vec![step as u8; rng.usize(..150_000)]).unwrap();
            if rng.u8(..6) == 0 {
                store.checkpoint().unwrap();
            }
        }
        store.put("last", "of all").unwrap();
        let left = disk.crash(seed);
        for half in [0, BLOCK] {
            let damaged = flipped(&left, half + rng.usize(..BLOCK), rng.u8(..8));
            let reopened = options().open_device(damaged.device());
            let reopened = reopened.unwrap_or_else(|e| panic!("seed {seed}, superblock at {half}: {e}"));
            assert_eq!(contents(&reopened), contents(&store), "seed {seed}, superblock at {half}");
        }
    }
}

#[test]
fn truncated_containers_fail_to_open_or_return_true_data() {
    let (disk, truth) = busy_container();
    let whole = disk.device().len().unwrap() as usize;
    let mut rng = Rng::with_seed(2);
    for _ in 0..300 {
        let len = rng.usize(..whole);
        let cut = disk.crash(0);
        cut.device().set_len(len as u64).unwrap();
        cut.device().sync().unwrap();
        let damage = interrogate(&cut, &truth, &format!("cut to {len}"));
        assert!(len > whole / 2 || damage.is_some(), "cut to {len} bytes went unnoticed");
    }
}

/// A disk at the moment when the newest superblock is durable, and the other one is still that of the previous
/// checkpoint. After the next sync, both superblocks say the same.
fn with_two_checkpoints() -> (SimDisk, Contents) {
    let disk = SimDisk::new();
    let store = options().open_device(disk.device()).unwrap();
    store.put("k", "old").unwrap();
    store.checkpoint().unwrap();
    store.put("k", "new").unwrap();
    store.put("filler", vec![7; 100_000]).unwrap();
    let (syncs, left) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(None)));
    let (seen, image) = (syncs.clone(), left.clone());
    disk.before_each_operation(move |cut| {
        // A checkpoint syncs the index and then the superblock, and then writes the other superblock.
        if cut.operation() == Operation::Sync {
            seen.fetch_add(1, Ordering::Relaxed);
        } else if seen.load(Ordering::Relaxed) == 2 {
            image.lock().unwrap().get_or_insert_with(|| cut.image(0));
        }
    });
    store.checkpoint().unwrap();
    let truth = contents(&store);
    let disk = left.lock().unwrap().take().unwrap();
    (disk, truth)
}

/// How many truncated files can be opened and then show wrong data.
fn truncations_with_wrong_data(bug: Option<Bug>) -> usize {
    let (disk, truth) = with_two_checkpoints();
    let len = disk.device().len().unwrap();
    let lies = |len: &u64| {
        let cut = disk.crash(0);
        cut.device().set_len(*len).unwrap();
        let options = bug.map_or(options(), |bug| options().plant(bug));
        let Ok(store) = options.open_device(cut.device()) else { return false };
        truth.iter().any(|(key, value)| store.get(key).is_ok_and(|found| found.as_ref() != Some(value)))
    };
    // A length of 0 is left out: an empty device becomes a new container.
    (1..len).step_by(1000).filter(lies).count()
}

#[test]
fn a_truncated_container_never_shows_old_data() {
    assert_eq!(truncations_with_wrong_data(None), 0);
    assert!(truncations_with_wrong_data(Some(Bug::FallBack)) > 0, "the planted bug is found");
}

#[test]
fn bytes_of_another_container_never_validate() {
    let (disk, truth) = busy_container();
    let other = busy_container().0.contents();
    let blocks = other.len().min(disk.contents().len()) / BLOCK;
    let mut rng = Rng::with_seed(3);
    for _ in 0..60 {
        let at = rng.usize(2..blocks) * BLOCK;
        let damaged = overwritten(&disk, at, &other[at..at + BLOCK]);
        interrogate(&damaged, &truth, &format!("block at {at} of another container"));
    }
}

/// A container with one of each structure, and its contents. It is closed, so nothing in it is stale.
fn one_of_each() -> (SimDisk, Contents) {
    let disk = SimDisk::new();
    let store = options().open_device(disk.device()).unwrap();
    let buffered = store.with_durability(Durability::Buffered);
    // With this number of keys, the index has several leaves.
    for i in 0..200u8 {
        buffered.put([b'i', i], vec![i; 90]).unwrap();
    }
    buffered.put("record", "RECORD, ".repeat(100)).unwrap();
    buffered.put("blob", (0..40_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    store.checkpoint().unwrap();
    store.put("tail/1", "the first behind the checkpoint").unwrap();
    store.put("tail/2", "the second").unwrap();
    let truth = contents(&store);
    (disk, truth)
}

/// The effect of a damaged byte: the store could not be opened, or these keys could not be read.
#[derive(Debug, PartialEq)]
enum Outcome {
    Refused,
    Unreadable(Vec<Vec<u8>>),
}

/// Flips a bit. Checks that all errors name `what`, that `verify` finds it, and that all readable data is true.
fn outcome(disk: &SimDisk, truth: &Contents, at: usize, what: &str) -> Outcome {
    let damaged = flipped(disk, at, 3);
    let is_named = |error: &Error| matches!(error, Error::Corrupt { what: named, .. } if *named == what);
    let store = match options().read_only(true).open_device(damaged.device()) {
        Ok(store) => store,
        Err(error) if is_named(&error) => {
            // Salvaging returns the undamaged data, and nothing else.
            {
                let store = options().read_only(true).salvage(true).open_device(damaged.device()).unwrap();
                // Keys that a damaged index does not show are in the log's segments. A damaged log ends at the
                // damage.
                let is_left = |key: &[u8]| what != "log unit" || !key.starts_with(b"tail");
                let left = store.list("").flatten();
                assert!(
                    left.map(|entry| (entry.key().to_vec(), entry.value().unwrap().to_vec())).eq(truth
                        .iter()
                        .filter(|(key, _)| is_left(key))
                        .map(|(key, value)| (key.clone(), value.clone()))),
                    "{what} at byte {at}"
                );
                assert!(store.recovery().damaged_at.is_some());
            }
            return Outcome::Refused;
        }
        Err(error) => panic!("{what} damaged at byte {at}: {error}"),
    };
    let mut unreadable = Vec::new();
    for (key, value) in truth {
        match store.get(key) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value), "{what} damaged at byte {at}: {key:?}"),
            Err(error) if is_named(&error) => unreadable.push(key.clone()),
            Err(error) => panic!("{what} damaged at byte {at}: {error}"),
        }
    }
    // An iteration continues after unreadable entries.
    let listed = store.list("").flatten().filter_map(|entry| {
        let value = entry.value().ok()?.to_vec();
        Some((entry.into_key().into_vec(), value))
    });
    let readable = truth.iter().filter(|(key, _)| !unreadable.contains(*key));
    assert!(listed.eq(readable.map(|(key, value)| (key.clone(), value.clone()))), "{what} at byte {at}");
    let report = store.verify(|_| {}).unwrap();
    assert!(report.problems.iter().all(is_named), "{what} damaged at byte {at}: {:?}", report.problems);
    assert_eq!(report.is_clean(), unreadable.is_empty(), "{what} damaged at byte {at}");
    Outcome::Unreadable(unreadable)
}

#[test]
fn each_damaged_structure_is_named_and_the_rest_can_be_read() {
    let (disk, truth) = one_of_each();
    let image = disk.contents();
    let find = |needle: &[u8]| image.windows(needle.len()).position(|window| window == needle).unwrap();
    let pages = |magic: &'static [u8]| {
        image
            .chunks(BLOCK)
            .enumerate()
            .filter(move |(_, page)| page.starts_with(magic))
            .map(|(i, _)| i * BLOCK)
    };
    let unreadable =
        |keys: &[&str]| Outcome::Unreadable(keys.iter().map(|key| key.as_bytes().to_vec()).collect());

    let catalog: Vec<_> = pages(b"VDEC").collect();
    let [catalog] = catalog[..] else { panic!("{} catalogs", catalog.len()) };
    // Magic, root, number of keys; then the segment table.
    for at in [0, 5, 20, 28, 36, 40, 44, 60] {
        assert_eq!(outcome(&disk, &truth, catalog + at, "catalog"), Outcome::Refused);
    }

    let (leaves, inner): (Vec<_>, Vec<_>) = pages(b"VDEP").partition(|page| image[page + 4] == 0);
    assert!(leaves.len() > 2 && inner.len() == 1, "{} leaves, {} inner pages", leaves.len(), inner.len());
    for at in [0, 4, 8, 16, 30] {
        // The root is read when the store is opened.
        assert_eq!(outcome(&disk, &truth, inner[0] + at, "index page"), Outcome::Refused);
        let mut lost = Vec::new();
        for leaf in &leaves {
            let Outcome::Unreadable(keys) = outcome(&disk, &truth, leaf + at, "index page") else {
                panic!("a damaged leaf at {leaf} spares the others");
            };
            assert!(keys.len() > 1 && keys.len() < truth.len() / 2, "{} keys", keys.len());
            lost.extend(keys);
        }
        let indexed = truth.keys().filter(|key| !key.starts_with(b"tail"));
        lost.sort();
        assert!(lost.iter().eq(indexed), "each key lies in one leaf");
    }

    // A record. Its head begins 32 bytes before its key.
    let value = find(b"RECORD, RECORD");
    let key = value - "record".len();
    for at in [key - 32, key - 20, key - 8, key, key + 3] {
        assert_eq!(outcome(&disk, &truth, at, "log record"), unreadable(&["record"]));
    }
    for at in [value, value + 500] {
        assert_eq!(outcome(&disk, &truth, at, "value"), unreadable(&["record"]));
    }

    // The chunks of a large value, and their map, which is the value of a record.
    let chunk = find(&[3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0]) - 12;
    for at in [chunk, chunk + 65_536, chunk + 159_000] {
        assert_eq!(outcome(&disk, &truth, at, "blob chunk"), unreadable(&["blob"]));
    }
    let damaged = options().open_device(flipped(&disk, chunk + 65_536, 0).device()).unwrap();
    assert_eq!(damaged.get_range("blob", 0..65_536).unwrap().unwrap(), truth[&b"blob"[..]][..65_536]);
    assert!(damaged.get_range("blob", 70_000..70_001).is_err());
    let map = find(&160_000u64.to_le_bytes());
    for at in [map, map + 8, map + 20, map + 36] {
        assert_eq!(outcome(&disk, &truth, at, "value"), unreadable(&["blob"]));
    }

    // The log after the checkpoint: its units, and the records in them.
    let tail = find(b"tail/1the first") - 32;
    for at in [tail - 48, tail - 30, tail - 8, tail, tail + 31, tail + 33, tail + 50] {
        assert_eq!(outcome(&disk, &truth, at, "log unit"), Outcome::Refused);
    }
}
