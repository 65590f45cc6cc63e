//! Every call of the disk fails, once or permanently. Acknowledged writes are present after reopening, and failures
//! are reported.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use vde_store::testing::{Bug, Fault, Operation, SimDisk};
use vde_store::{Error, Health, Vde, VdeOptions};

fn options() -> VdeOptions {
    VdeOptions::new().background(false).segment_size(1 << 18)
}

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Writes values of every kind: values in leaves, in the log and in blobs. Some are checkpointed, some are in a
/// snapshot, and some are only in the log.
fn populate(store: &Vde) -> (vde_store::Result<()>, Contents) {
    let mut acknowledged = Contents::new();
    let mut run = || {
        for round in 0..3u8 {
            for (i, len) in [10, 300, 5000, 70_000, 200, 150_000].into_iter().enumerate() {
                let (key, value) = (vec![b'k', i as u8], vec![round * 16 + i as u8; len]);
                // Until a replacement is acknowledged, either value may be present.
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

/// The kind of failure.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Call { error: ErrorKind, forever: bool },
    WriteBack(ErrorKind),
}

const FAILURES: [Failure; 5] = [
    Failure::Call { error: ErrorKind::Other, forever: false },
    Failure::Call { error: ErrorKind::Other, forever: true },
    Failure::Call { error: ErrorKind::StorageFull, forever: false },
    Failure::WriteBack(ErrorKind::Other),
    Failure::WriteBack(ErrorKind::StorageFull),
];

impl Failure {
    fn arm(self, disk: &SimDisk, at: u64) {
        match self {
            Self::Call { error, forever } => disk.fail(Fault { at, error, forever }),
            Self::WriteBack(error) => disk.fail_write_back(at, error),
        }
    }

    /// Whether the failure is a lack of space after which the store can continue. A sync that reports a lack of space
    /// may have lost writes.
    fn is_refused_write(self, is_sync: bool) -> bool {
        matches!(self, Self::Call { error: ErrorKind::StorageFull, .. }) && !is_sync
    }
}

/// Ends all failures.
fn heal(disk: &SimDisk) {
    Failure::Call { error: ErrorKind::Other, forever: false }.arm(disk, u64::MAX);
    disk.fail_write_back(u64::MAX, ErrorKind::Other);
}

/// Gives the disk space again. Then the store must continue.
fn resume(store: &Vde, acknowledged: &mut Contents) -> vde_store::Result<()> {
    store.try_resume()?;
    store.put("resumed", "v")?;
    acknowledged.insert(b"resumed".to_vec(), b"v".to_vec());
    store.checkpoint()
}

/// Checks the store on `disk`. Returns what is missing or wrong.
fn check(disk: &SimDisk, acknowledged: &Contents) -> Result<(), String> {
    let store = options().open_device(disk.device()).map_err(|e| format!("open: {e}"))?;
    for (key, value) in acknowledged {
        if store.get(key).map_err(|e| format!("get: {e}"))?.as_ref() != Some(value) {
            return Err(format!("{key:?} does not have the acknowledged value"));
        }
    }
    let report = store.verify(|_| {}).map_err(|e| format!("verify: {e}"))?;
    if report.is_clean() { Ok(()) } else { Err(format!("verify: {:?}", report.problems)) }
}

/// Cuts the power after a failure.
fn cut(disk: &SimDisk, acknowledged: &Contents) -> Result<(), String> {
    (0..3).try_for_each(|seed| check(&disk.crash(seed), acknowledged))
}

/// After a failure, opens a store with `bug` on the same disk in the same boot, and writes to it. The power fails
/// before any operation of the disk.
fn reopen_and_cut(disk: &SimDisk, acknowledged: &Contents, bug: Option<Bug>) -> Result<(), String> {
    heal(disk);
    let known = Arc::new(Mutex::new(acknowledged.clone()));
    let lost = Arc::new(Mutex::new(None));
    let (seen, first) = (known.clone(), lost.clone());
    disk.before_each_operation(move |cut| {
        let acknowledged = seen.lock().unwrap();
        for seed in 0..3 {
            if let Err(error) = check(&cut.image(cut.number() << 8 | seed), &acknowledged) {
                let at = format!("cut before {:?} {}: {error}", cut.operation(), cut.number());
                first.lock().unwrap().get_or_insert(at);
            }
        }
    });
    let options = bug.map_or_else(options, |bug| options().plant(bug));
    let store = options.open_device(disk.device()).map_err(|e| format!("reopen: {e}"))?;
    for (key, value) in acknowledged {
        if store.get(key).map_err(|e| format!("get after reopening: {e}"))?.as_ref() != Some(value) {
            return Err(format!("{key:?} is missing after reopening"));
        }
    }
    for i in 0..4u8 {
        let (key, value) = (vec![b'a', i], vec![i; 3000]);
        store.put(&key, &value).map_err(|e| format!("put after reopening: {e}"))?;
        known.lock().unwrap().insert(key, value);
        if i == 2 {
            store.checkpoint().map_err(|e| format!("checkpoint after reopening: {e}"))?;
        }
    }
    disk.before_each_operation(|_| {});
    drop(store);
    let lost = lost.lock().unwrap().take();
    lost.map_or_else(|| cut(disk, &known.lock().unwrap()), Err)
}

/// Runs the workload with every failure at every call. Checks the store after a power failure, and after it was opened
/// in the same boot with the page cache as it was or partly evicted. `Err` has the first loss.
fn every_failure(bug: Option<Bug>) -> Result<u64, String> {
    let healthy = SimDisk::new();
    let store = options().open_device(healthy.device()).unwrap();
    let opened = healthy.operations();
    let syncs = Arc::new(Mutex::new(BTreeSet::new()));
    let noted = syncs.clone();
    healthy.before_each_operation(move |cut| {
        if cut.operation() == Operation::Sync {
            noted.lock().unwrap().insert(cut.number());
        }
    });
    populate(&store).0.unwrap();
    healthy.before_each_operation(|_| {});
    let last = healthy.operations();
    let mut runs = 0;
    let syncs = std::mem::take(&mut *syncs.lock().unwrap());
    assert!(syncs.range(opened..last).count() > 20, "{syncs:?}");
    for at in opened..last {
        for failure in FAILURES {
            let disk = SimDisk::new();
            let store = options().open_device(disk.device()).unwrap();
            failure.arm(&disk, at);
            let (outcome, mut acknowledged) = populate(&store);
            runs += 1;
            let evicted = (runs % 3 == 0).then_some(runs);
            let place = |lost: String| format!("call {at}, {failure:?}, evicted {evicted:?}: {lost}");
            match outcome {
                Ok(()) | Err(Error::Io { .. } | Error::Poisoned { .. }) => {}
                Err(Error::Full { .. }) if failure.is_refused_write(syncs.contains(&at)) => {
                    // There is space again.
                    resume(&store, &mut acknowledged).map_err(|error| place(error.to_string()))?;
                }
                Err(error) => panic!("{}", place(error.to_string())),
            }
            drop(store);
            cut(&disk, &acknowledged).map_err(place)?;
            if let Some(seed) = evicted {
                disk.evict(seed);
            }
            reopen_and_cut(&disk, &acknowledged, bug).map_err(place)?;
        }
    }
    Ok(runs)
}

#[test]
fn after_any_failure_reopening_finds_acknowledged_writes() {
    let runs = every_failure(None).unwrap();
    assert!(runs > 60 * 4, "{runs} failures");
}

#[test]
fn the_bug_trust_cached_log_is_found() {
    println!("{}", every_failure(Some(Bug::TrustCachedLog)).expect_err("the bug loses something"));
}

/// Both superblocks in `contents`.
fn superblocks(contents: &[u8]) -> [&[u8]; 2] {
    [&contents[..4096], &contents[4096..8192]]
}

/// A checkpoint's last sync fails and tears its superblock on the disk. The store is opened in the same boot, in
/// which the page cache has the intact superblock. The power fails while the next superblock is written over the
/// other one, which is the only intact one on the disk. Returns what was lost.
fn lost_by_a_torn_superblock(bug: Option<Bug>) -> Vec<String> {
    // A failed sync writes some pages nevertheless. The number of calls before it decides which.
    let begin = |calls_before: u64| {
        let disk = SimDisk::new();
        let store = options().open_device(disk.device()).unwrap();
        store.put("k", "old").unwrap();
        store.checkpoint().unwrap();
        store.put("k", "new").unwrap();
        for _ in 0..calls_before {
            disk.device().read_at(&mut [0], 0).unwrap();
        }
        (disk, store)
    };
    let (healthy, store) = begin(0);
    let last_sync = Arc::new(Mutex::new(0));
    let noted = last_sync.clone();
    healthy.before_each_operation(move |cut| {
        if cut.operation() == Operation::Sync {
            *noted.lock().unwrap() = cut.number();
        }
    });
    store.checkpoint().unwrap();
    healthy.before_each_operation(|_| {});
    let last_sync = *last_sync.lock().unwrap();
    let torn = |calls_before: u64| {
        let (disk, store) = begin(calls_before);
        let before = disk.contents();
        let error = ErrorKind::Other;
        disk.fail(Fault { at: last_sync + calls_before, error, forever: false });
        assert!(
            matches!(store.checkpoint(), Err(Error::Poisoned { .. })),
            "the sync of the superblock fails"
        );
        drop(store);
        let (cached, saved) = (disk.contents(), disk.crash(0).contents());
        let [before, cached, saved] = [&before, &cached, &saved].map(|contents| superblocks(contents));
        let is_torn = (0..2).any(|i| saved[i] != before[i] && saved[i] != cached[i]);
        is_torn.then_some(disk)
    };
    let acknowledged = Contents::from([(b"k".to_vec(), b"new".to_vec())]);
    let lost = Arc::new(Mutex::new(Vec::new()));
    let disks: Vec<_> = (0..100).filter_map(torn).take(3).collect();
    assert_eq!(disks.len(), 3);
    for disk in disks {
        cut(&disk, &acknowledged).unwrap();
        let (known, seen) = (acknowledged.clone(), lost.clone());
        disk.before_each_operation(move |cut| {
            if cut.operation() == Operation::Sync {
                let left = (0..20).map(|seed| check(&cut.image(seed), &known));
                seen.lock().unwrap().extend(left.filter_map(Result::err));
            }
        });
        let reopened = bug.map_or_else(options, |bug| options().plant(bug)).open_device(disk.device());
        assert_eq!(reopened.unwrap().get("k").unwrap().unwrap(), b"new");
        disk.before_each_operation(|_| {});
    }
    std::mem::take(&mut *lost.lock().unwrap())
}

#[test]
fn a_torn_superblock_loses_nothing() {
    assert_eq!(lost_by_a_torn_superblock(None), Vec::<String>::new());
}

#[test]
fn the_bug_trust_cached_superblock_is_found() {
    let lost = lost_by_a_torn_superblock(Some(Bug::TrustCachedSuperblock));
    assert!(!lost.is_empty());
    println!("{} losses, the first: {}", lost.len(), lost[0]);
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
    assert_eq!(store.get("before").unwrap().unwrap(), b"1", "reads continue");
    assert_eq!(store.get("lost").unwrap(), None, "a write that was not acknowledged is not visible");
    drop(store);
    let store = options().open_device(disk.crash(5).device()).unwrap();
    assert_eq!(store.get("before").unwrap().unwrap(), b"1");
    store.put("after", "3").unwrap();
}

#[test]
fn after_a_power_cut_during_creation_a_device_is_empty_or_not_a_store() {
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
