//! Every call of the disk fails once, or from then on for good: what was acknowledged is there after reopening, and errors
//! are errors.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use vde_store::testing::{Fault, SimDisk};
use vde_store::{Error, Health, Vde, VdeOptions};

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

#[test]
fn a_device_that_was_being_created_is_empty_or_refused_by_name() {
    let disk = SimDisk::new();
    let outcomes = Arc::new(Mutex::new([0; 2]));
    let seen = outcomes.clone();
    disk.before_each_operation(move |cut| {
        for seed in 0..100 {
            let left = cut.image(seed);
            let opened = match options().open_device(left.device()) {
                Ok(store) => {
                    assert_eq!(store.list("").count(), 0);
                    store.put("k", "v").unwrap();
                    drop(store);
                    assert!(options().open_device(left.device()).unwrap().contains("k").unwrap());
                    true
                }
                Err(Error::NotAStore { .. }) => false,
                Err(error) => panic!("{:?} {}, seed {seed}: {error}", cut.operation(), cut.number()),
            };
            seen.lock().unwrap()[usize::from(opened)] += 1;
        }
    });
    drop(options().open_device(disk.device()).unwrap());
    let outcomes = outcomes.lock().unwrap();
    assert!(outcomes.iter().all(|count| *count > 0), "refused and opened: {outcomes:?}");
}
