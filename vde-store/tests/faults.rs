//! Every call of the disk fails once, or from then on for good, and bytes on it are damaged: what was acknowledged is
//! there after reopening, errors are errors, and wrong data is never returned.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use vde_store::testing::{Fault, SimDisk};
use vde_store::{Durability, Error, Health, Vde, VdeOptions};

fn options() -> VdeOptions {
    VdeOptions::new().background(false).segment_size(1 << 18)
}

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Values of every kind: in the leaves, in the log, in pages of their own; checkpointed, in a snapshot, and not yet.
fn populate(store: &Vde) -> (vde_store::Result<()>, Contents) {
    let mut acknowledged = Contents::new();
    let mut run = || {
        for round in 0..3u8 {
            for (i, len) in [10, 300, 5000, 70_000, 200, 150_000].into_iter().enumerate() {
                let (key, value) = (vec![b'k', i as u8], vec![round * 16 + i as u8; len]);
                // What replaces a value is acknowledged or not; until then either may be there.
                acknowledged.remove(&key);
                store.put(&key, &value)?;
                acknowledged.insert(key, value);
            }
            let mut batch = store.batch();
            let keys = [vec![b'b', round], vec![b'b', round, 1]];
            for key in &keys {
                batch.put(key, "batch");
            }
            batch.commit()?;
            acknowledged.extend(keys.map(|key| (key, b"batch".to_vec())));
            if round < 2 {
                store.snapshot(&round.to_string())?;
            }
            if round == 1 {
                store.delete_snapshot("0")?;
                store.compact()?;
            }
        }
        Ok(())
    };
    (run(), acknowledged)
}

#[test]
fn after_any_failure_reopening_finds_what_was_acknowledged() {
    let healthy = SimDisk::new();
    let store = options().open_device(healthy.device()).unwrap();
    let opened = healthy.operations();
    populate(&store).0.unwrap();
    let last = healthy.operations();
    assert!(last - opened > 60, "{} calls", last - opened);
    for at in opened..last {
        for (error, forever) in
            [(ErrorKind::Other, false), (ErrorKind::Other, true), (ErrorKind::StorageFull, false)]
        {
            let disk = SimDisk::new();
            let store = options().open_device(disk.device()).unwrap();
            disk.fail(Fault { at, error, forever });
            let (outcome, acknowledged) = populate(&store);
            let place = format!("call {at}, {error}, forever: {forever}");
            if let Err(error) = outcome {
                assert!(matches!(error, Error::Io { .. } | Error::Poisoned { .. }), "{place}: {error}");
            }
            for seed in 0..3 {
                let reopened = options().open_device(disk.crash(seed).device());
                let reopened = reopened.unwrap_or_else(|e| panic!("{place}: {e}"));
                for (key, value) in &acknowledged {
                    let found = reopened.get(key).unwrap_or_else(|e| panic!("{place}: {e}"));
                    assert_eq!(found.as_ref(), Some(value), "{place}, seed {seed}");
                }
                assert!(reopened.verify(|_| {}).unwrap().is_clean(), "{place}");
            }
        }
    }
}

#[test]
fn a_failed_sync_makes_the_store_read_only_and_is_never_retried() {
    let disk = SimDisk::new();
    let store = options().open_device(disk.device()).unwrap();
    store.put("before", "1").unwrap();
    // The next calls are the write and the sync of the log.
    disk.fail(Fault { at: disk.operations() + 1, error: ErrorKind::Other, forever: false });
    assert!(matches!(store.put("lost", "2"), Err(Error::Poisoned { .. })));
    assert!(matches!(store.put("after", "3"), Err(Error::Poisoned { .. })));
    assert!(matches!(store.flush(), Err(Error::Poisoned { .. })));
    assert!(matches!(store.checkpoint(), Err(Error::Poisoned { .. })));
    assert!(matches!(store.health().unwrap(), Health::Critical { .. }));
    assert_eq!(store.get("before").unwrap().unwrap(), b"1", "reads go on");
    assert_eq!(store.get("lost").unwrap(), None, "what was not acknowledged is not shown");
    drop(store);
    let store = options().open_device(disk.crash(5).device()).unwrap();
    assert_eq!(store.get("before").unwrap().unwrap(), b"1");
    store.put("after", "3").unwrap();
}

/// An image with every kind of structure in it, and what it holds.
fn image() -> (Vec<u8>, Contents) {
    let disk = SimDisk::new();
    let store = options().open_device(disk.device()).unwrap();
    populate(&store).0.unwrap();
    let buffered = store.with_durability(Durability::Buffered);
    for i in 0..600u32 {
        buffered.put(i.to_be_bytes(), vec![i as u8; 100]).unwrap();
    }
    store.checkpoint().unwrap();
    for i in 0..30u32 {
        store.put(i.to_be_bytes(), vec![i as u8; 400]).unwrap();
    }
    let contents = store
        .list("")
        .map(|entry| entry.and_then(|entry| Ok((entry.key().to_vec(), entry.value()?.to_vec()))))
        .collect::<vde_store::Result<_>>()
        .unwrap();
    (disk.contents(), contents)
}

/// Opens a damaged image. Whatever it answers, it answers the truth, or that it cannot. Returns what was found damaged.
fn interrogate(image: Vec<u8>, truth: &Contents, place: &str) -> Option<String> {
    let store = match options().open_device(SimDisk::holding(image).device()) {
        Ok(store) => store,
        Err(error) => return Some(error.to_string()),
    };
    let mut damage = None;
    for (key, value) in truth {
        match store.get(key) {
            Ok(found) => {
                // A damaged tail of the log is a torn tail: the last writes may be missing, but nothing is ever invented.
                let is_old = store.recovery().records < 30;
                assert!(found.as_ref() == Some(value) || is_old, "{place}: wrong value of {key:?}");
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
    let (image, truth) = image();
    assert_eq!(interrogate(image.clone(), &truth, "untouched"), None);
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut at = 0;
    while at < image.len() {
        // Denser at the front, where the superblocks are.
        at += if at < 8192 { rng.usize(1..60) } else { rng.usize(1..6000) };
        if at >= image.len() {
            break;
        }
        let mut damaged = image.clone();
        damaged[at] ^= 1 << rng.u8(..8);
        if let Some(error) = interrogate(damaged, &truth, &format!("byte {at}")) {
            let what = error.split(" at byte").next().unwrap_or_default().to_owned();
            *found.entry(what).or_default() += 1;
        }
    }
    for what in ["index page", "log unit", "blob chunk"] {
        let name = format!("corrupt {what}");
        assert!(found.contains_key(&name), "no {what} was ever found damaged: {found:?}");
    }
}

#[test]
fn both_superblocks_damaged_is_an_error_and_one_is_not() {
    let (image, truth) = image();
    for at in [0, 9, 40, 100, 4090] {
        let mut damaged = image.clone();
        damaged[at] ^= 1;
        damaged[4096 + at] ^= 1;
        assert!(options().open_device(SimDisk::holding(damaged).device()).is_err());
        for half in [0, 4096] {
            let mut damaged = image.clone();
            damaged[half + at] ^= 1;
            let damage = interrogate(damaged, &truth, &format!("superblock at {half}, byte {at}"));
            // The older superblock may no longer lead to whole pages; then that is what is said.
            assert!(damage.is_none() || half == 4096 || half == 0);
        }
    }
}

#[test]
fn truncated_containers_are_refused_or_read_truly() {
    let (image, truth) = image();
    let mut rng = fastrand::Rng::with_seed(2);
    for _ in 0..300 {
        let len = rng.usize(..image.len());
        let damage = interrogate(image[..len].to_vec(), &truth, &format!("cut to {len}"));
        assert!(len > image.len() / 2 || damage.is_some(), "cut to {len} bytes went unnoticed");
    }
}

#[test]
fn bytes_of_another_container_never_validate() {
    let (image, truth) = image();
    let (other, _) = self::image();
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..60 {
        let block = rng.usize(2..image.len().min(other.len()) / 4096);
        let mut damaged = image.clone();
        let bytes = block * 4096..(block + 1) * 4096;
        damaged[bytes.clone()].copy_from_slice(&other[bytes]);
        interrogate(damaged, &truth, &format!("block {block} of another container"));
    }
}
