//! A disk fails while several threads write and the store's own threads work. One thread gets the error, and no other
//! thread may treat its own writes as durable.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};

use fastrand::Rng;
use vde_store::testing::{Bug, Fault, SimDisk};
use vde_store::{Device, Error, Vde, VdeOptions};

fn options(bug: Option<Bug>) -> VdeOptions {
    let options = VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(1 << 16);
    bug.map_or(options.clone(), |bug| options.plant(bug))
}

/// The steps of [`failure_reported_to_the_checkpoint`], in order.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    #[default]
    Nothing,
    CheckpointSyncs,
    Written,
    Told,
    Synced,
}

#[derive(Default)]
struct Stage {
    writer: Option<ThreadId>,
    step: Step,
}

/// A device on which a checkpoint syncs at the same time as a writer. The checkpoint's sync fails because of the
/// writer's page. The writer's own sync returns first, and succeeds.
struct TellsTheCheckpoint {
    disk: SimDisk,
    file: Arc<dyn Device>,
    stage: Mutex<Stage>,
    changed: Condvar,
}

impl TellsTheCheckpoint {
    fn reach(&self, step: Step) {
        let mut stage = self.stage.lock().unwrap();
        stage.step = stage.step.max(step);
        self.changed.notify_all();
    }

    fn wait(&self, step: Step) {
        let stage = self.stage.lock().unwrap();
        drop(self.changed.wait_while(stage, |stage| stage.step < step).unwrap());
    }

    /// The writing thread. Before there is one, the device works normally.
    fn writer(&self) -> Option<ThreadId> {
        self.stage.lock().unwrap().writer
    }
}

impl Device for TellsTheCheckpoint {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(data, offset)?;
        if self.writer() == Some(thread::current().id()) {
            self.reach(Step::Written);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let Some(writer) = self.writer() else { return self.file.sync() };
        if writer == thread::current().id() {
            self.wait(Step::Told);
            let synced = self.file.sync();
            self.reach(Step::Synced);
            return synced;
        }
        self.reach(Step::CheckpointSyncs);
        self.wait(Step::Written);
        self.disk.fail_write_back(0, ErrorKind::Other);
        let synced = self.file.sync();
        self.reach(Step::Told);
        self.wait(Step::Synced);
        synced
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
}

/// Puts while the sync of the checkpoint fails. Returns the result of the put, and the disk.
fn failure_reported_to_the_checkpoint(bug: Option<Bug>) -> (vde_store::Result<u64>, SimDisk) {
    let disk = SimDisk::new();
    let (stage, changed) = Default::default();
    let device = Arc::new(TellsTheCheckpoint { file: disk.device(), disk: disk.clone(), stage, changed });
    let store = options(bug).background(false).open_device(device.clone()).unwrap();
    // This put is durable, so that the checkpoint's first sync is that of its index.
    store.put("before", "1").unwrap();
    let put = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            device.wait(Step::CheckpointSyncs);
            store.put("beside", [7; 9000])
        });
        device.stage.lock().unwrap().writer = Some(writer.thread().id());
        assert!(store.checkpoint().is_err());
        writer.join().unwrap()
    });
    assert!(matches!(store.put("after", "2"), Err(Error::Poisoned { .. })));
    (put, disk)
}

fn is_there_after_a_power_cut(disk: &SimDisk, key: &str) -> bool {
    options(None).background(false).open_device(disk.crash(1).device()).unwrap().contains(key).unwrap()
}

#[test]
fn a_write_whose_failure_another_thread_receives_is_not_acknowledged() {
    let (put, disk) = failure_reported_to_the_checkpoint(None);
    assert!(matches!(put, Err(Error::Poisoned { .. })), "{put:?}");
    assert!(is_there_after_a_power_cut(&disk, "before"));
}

#[test]
fn the_bug_syncs_apart_is_found() {
    let (put, disk) = failure_reported_to_the_checkpoint(Some(Bug::SyncsApart));
    assert!(
        put.is_ok() && !is_there_after_a_power_cut(&disk, "beside"),
        "the planted bug loses an acknowledged write"
    );
}

/// The possible values of each key: the last acknowledged value, and the values of later writes without an
/// acknowledgement.
type Possible = BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>;

/// Makes random writes until the disk fails or all are done.
fn write(store: &Vde, thread: u8, rng: &mut Rng, possible: &mut Possible) -> vde_store::Result<()> {
    for step in 0..60 {
        let key = vec![b't', thread, rng.u8(..6)];
        let len = if rng.u8(..8) == 0 { rng.usize(60_000..150_000) } else { rng.usize(..3000) };
        let value = vec![rng.u8(..); len];
        possible.entry(key.clone()).or_insert_with(|| vec![None]).push(Some(value.clone()));
        store.put(&key, &value)?;
        possible.insert(key, vec![Some(value)]);
        if step % 16 == 15 {
            store.checkpoint()?;
        }
    }
    Ok(())
}

fn check(store: &Vde, possible: &Possible) -> Result<(), String> {
    for (key, values) in possible {
        let found = store.get(key).map_err(|e| format!("get: {e}"))?;
        if !values.contains(&found) {
            return Err(format!("{key:?} has neither the acknowledged value nor one that was tried since"));
        }
    }
    Ok(())
}

fn check_left(disk: &SimDisk, seed: u64, possible: &Possible) -> Result<(), String> {
    (seed..seed + 3).try_for_each(|seed| {
        let left = disk.crash(seed);
        let store = options(None).background(false).open_device(left.device());
        let store = store.map_err(|e| format!("open after a power cut: {e}"))?;
        check(&store, possible)?;
        let report = store.verify(|_| {}).map_err(|e| format!("verify: {e}"))?;
        if report.is_clean() { Ok(()) } else { Err(format!("verify: {:?}", report.problems)) }
    })
}

/// Runs three writers and the store's own threads on a disk that fails once. Then the power fails, or the store is
/// opened again in the same boot and written to before the power fails. Returns whether the failure happened.
fn fails_once(seed: u64, bug: Option<Bug>) -> Result<bool, String> {
    let mut rng = Rng::with_seed(seed);
    let disk = SimDisk::new();
    let store = options(bug).open_device(disk.device()).unwrap();
    let at = disk.operations() + rng.u64(..150);
    match rng.u8(..3) {
        0 => disk.fail(Fault { at, error: ErrorKind::Other, forever: false }),
        1 => disk.fail(Fault { at, error: ErrorKind::StorageFull, forever: true }),
        _ => disk.fail_write_back(at, ErrorKind::Other),
    }
    let mut possible = Possible::new();
    let mut failed = false;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3u8)
            .map(|thread| {
                let (store, mut rng) = (&store, rng.fork());
                scope.spawn(move || {
                    let mut possible = Possible::new();
                    (write(store, thread, &mut rng, &mut possible).is_err(), possible)
                })
            })
            .collect();
        for writer in writers {
            let (stopped, of_one) = writer.join().unwrap();
            failed |= stopped;
            possible.extend(of_one);
        }
    });
    drop(store);
    check_left(&disk, seed, &possible)?;

    disk.fail(Fault { at: u64::MAX, error: ErrorKind::Other, forever: false });
    disk.fail_write_back(u64::MAX, ErrorKind::Other);
    if rng.bool() {
        disk.evict(seed);
    }
    let store = options(bug).open_device(disk.device()).map_err(|e| format!("reopen: {e}"))?;
    check(&store, &possible)?;
    // A value that a reopened store has shown must not change.
    for (key, values) in &mut possible {
        *values = vec![store.get(key).map_err(|e| format!("get: {e}"))?];
    }
    for i in 0..3 {
        let (key, value) = (vec![b'a', i], vec![i; 2000]);
        store.put(&key, &value).map_err(|e| format!("put after reopening: {e}"))?;
        possible.insert(key, vec![Some(value)]);
        check_left(&disk, seed, &possible)?;
    }
    Ok(failed)
}

#[test]
fn acknowledged_writes_of_several_threads_survive_any_failure() {
    let failed =
        (0..60).filter(|seed| fails_once(*seed, None).unwrap_or_else(|e| panic!("{seed}: {e}"))).count();
    assert!(failed > 30, "{failed} of 60 disks failed");
}

#[test]
fn the_bug_trust_cached_log_is_found_beside_other_threads() {
    let lost = (0..2000).find_map(|seed| fails_once(seed, Some(Bug::TrustCachedLog)).err());
    println!("{}", lost.expect("the bug loses something"));
}
