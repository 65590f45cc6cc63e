//! A store whose checkpoints are shipped beside the process that writes it.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Flaky, Model, contents, quick, restored, small};
use fastrand::Rng;
use vde_ship::{CheckpointShipper, Error, Point, verify};
use vde_store::{Vde, VdeOptions};

/// Ships the newest checkpoint of `path`, whatever the object store does. Returns the version, if there is a newer one.
async fn ship(shipper: &mut CheckpointShipper) -> Option<u64> {
    loop {
        match shipper.ship().await {
            Ok(point) => return point.map(|point| point.version),
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    }
}

/// The numbers of bases and of entries.
async fn uploads(flaky: &Flaky) -> (usize, usize) {
    let names = flaky.names().await;
    let count = |folder| names.iter().filter(|name| name.as_ref().contains(folder)).count();
    (count("/base/"), count("/log/"))
}

// In real time: a paused clock does not advance while a thread waits for a chunk to be uploaded again.
#[tokio::test]
async fn what_changed_between_checkpoints_is_shipped() {
    for (seed, percent) in [(1, 0), (2, 0), (3, 30)] {
        let (flaky, mut rng, mut model) = (Flaky::new(seed), Rng::with_seed(seed), Model::default());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.vde");
        let store = small().create(&path).unwrap();
        store.put("kept", vec![7; 20_000]).unwrap();
        model.note(&store);
        let mut shipper = quick().checkpoints(&path, flaky.bucket());
        let mut points = Vec::new();
        for round in 0..25_u8 {
            for _ in 0..rng.u8(1..4) {
                model.write(&store, &mut rng);
            }
            store.put("round", [round]).unwrap();
            model.note(&store);
            store.checkpoint().unwrap();
            if round % 5 == 4 {
                // Segments are moved, given back and used again.
                store.compact().unwrap();
            }
            flaky.fail_percent(percent);
            points.push(ship(&mut shipper).await.expect("there is a newer checkpoint"));
            flaky.fail_percent(0);
            assert_eq!(ship(&mut shipper).await, None);
        }
        for point in points {
            let (_, found, _) = restored(&flaky.steady(), Point::Version(point)).await.unwrap();
            assert_eq!(found, model.at(point), "seed {seed}, version {point}");
        }
        let verified = verify(&flaky.steady()).await.unwrap();
        assert!(verified.is_clean(), "{verified:?}");
        if percent == 0 {
            assert_eq!(uploads(&flaky).await, (1, 25), "a takeover and 24 parts");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shipper_of_checkpoints_that_fails_at_any_call_goes_on() {
    for call in 1.. {
        let flaky = Flaky::new(call);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.vde");
        let store = small().create(&path).unwrap();
        let mut shipper = quick().base_every(Duration::ZERO).checkpoints(&path, flaky.bucket());
        flaky.fail_at(call);
        for round in 0..4_u8 {
            store.put([round % 3], vec![round; 6000]).unwrap();
            store.delete([round.wrapping_sub(1) % 3]).unwrap();
            store.checkpoint().unwrap();
            let outcome = shipper.ship().await;
            // Another process ends here, and is started again.
            if outcome.is_err() && call % 2 == 0 {
                shipper = quick().checkpoints(&path, flaky.bucket());
            }
        }
        let is_over = flaky.calls() < call;
        ship(&mut shipper).await;
        let (_, found, _) = restored(&flaky.steady(), Point::Newest).await.unwrap();
        assert_eq!(found, contents(&store.read_view()), "call {call}");
        assert!(verify(&flaky.steady()).await.unwrap().is_clean(), "call {call}");
        if is_over {
            assert!(call > 20, "{call} calls");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_checkpoints_of_another_file_begin_a_new_history() {
    let flaky = Flaky::new(1);
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("store.vde"), dir.path().join("copy.vde"));
    let store = small().create(&path).unwrap();
    store.put("k", "1").unwrap();
    store.checkpoint().unwrap();
    std::fs::copy(&path, &copy).unwrap();
    let mut shipper = CheckpointShipper::new(&path, flaky.bucket());
    ship(&mut shipper).await.unwrap();
    store.put("k", "2").unwrap();
    store.put("l", "2").unwrap();
    store.checkpoint().unwrap();
    ship(&mut shipper).await.unwrap();
    drop(store);

    // An earlier copy comes back, and gives the same versions to other writes.
    std::fs::rename(&copy, &path).unwrap();
    let store = VdeOptions::new().open(&path).unwrap();
    for value in ["3", "4", "5"] {
        store.put("k", value).unwrap();
    }
    store.checkpoint().unwrap();
    ship(&mut shipper).await.unwrap();
    let (_, found, _) = restored(&flaky.steady(), Point::Newest).await.unwrap();
    assert_eq!(found, contents(&store.read_view()));
    assert_eq!(uploads(&flaky).await.0, 2);

    // Another shipper takes over.
    let mut other = CheckpointShipper::new(&path, flaky.bucket());
    ship(&mut other).await.unwrap();
    store.put("k", "6").unwrap();
    store.checkpoint().unwrap();
    assert!(matches!(shipper.ship().await, Err(Error::Fenced { .. })));
    assert!(matches!(shipper.ship().await, Err(Error::Fenced { .. })), "it does not take over again");
    ship(&mut other).await.unwrap();
    assert_eq!(restored(&flaky.steady(), Point::Newest).await.unwrap().1, contents(&store.read_view()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_no_process_writes_is_not_kept_open() {
    let flaky = Flaky::new(1);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    Vde::create(&path).unwrap().put("k", "1").unwrap();
    let mut shipper = CheckpointShipper::new(&path, flaky.bucket());
    ship(&mut shipper).await.unwrap();
    assert_eq!(ship(&mut shipper).await, None);
    let store = VdeOptions::new().open(&path).expect("a writer can open it");
    assert_eq!(ship(&mut shipper).await, None, "its newest checkpoint is older than what was shipped");
    store.delete("k").unwrap();
    store.checkpoint().unwrap();
    assert!(ship(&mut shipper).await.is_some());
    assert_eq!(restored(&flaky.steady(), Point::Newest).await.unwrap().1.len(), 0);
    assert_eq!(uploads(&flaky).await.0, 2);
}

/// How many keys the writing process has.
const KEYS: u32 = 40;
/// Set in the writing process: the store.
const WRITES: &str = "VDE_SHIP_TEST_WRITES";

/// The process that writes: each number under the key of its remainder.
#[test]
fn writer() {
    let Ok(path) = std::env::var(WRITES) else { return };
    let store = loop {
        match small().open(&path) {
            // The shipper reads the whole store while no process writes it.
            Err(vde_store::Error::AlreadyOpen { .. }) => std::thread::sleep(Duration::from_millis(1)),
            opened => break opened.unwrap(),
        }
    };
    let mut next = newest(&store).map_or(0, |newest| newest + 1);
    loop {
        store.put((next % KEYS).to_be_bytes(), next.to_be_bytes()).unwrap();
        next += 1;
        if next.is_multiple_of(7) {
            store.checkpoint().unwrap();
        }
    }
}

/// The newest number in a store. Panics if an earlier number is missing.
fn newest(store: &Vde) -> Option<u32> {
    let mut numbers: Vec<_> = store
        .list("")
        .map(|entry| u32::from_be_bytes((*entry.unwrap().value().unwrap()).try_into().unwrap()))
        .collect();
    numbers.sort_unstable();
    let newest = *numbers.last()?;
    let expected: Vec<_> = (newest.saturating_sub(KEYS - 1)..=newest).collect();
    assert_eq!(numbers, expected, "it is no prefix of the writes");
    Some(newest)
}

struct Writer(Child);

impl Writer {
    fn new(path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        Self(
            command
                .args(["--exact", "writer", "--quiet"])
                .env(WRITES, path)
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_writer_that_is_killed_and_restarted_is_shipped() {
    let flaky = Flaky::new(1);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    drop(small().create(&path).unwrap());
    let mut shipper = quick().checkpoints(&path, flaky.bucket());
    let mut last = None;
    for _ in 0..4 {
        let writer = Writer::new(&path);
        let mut parts = 0;
        while parts < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if ship(&mut shipper).await.is_none() {
                continue;
            }
            parts += 1;
            let (store, _) =
                vde_ship::restore_with(&flaky.steady(), Point::Newest, VdeOptions::in_memory).await.unwrap();
            let newest = newest(&store);
            assert!(newest >= last, "{newest:?} after {last:?}");
            last = newest;
        }
        drop(writer);
    }
    assert!(last > Some(KEYS), "{last:?}");
    assert!(verify(&flaky.steady()).await.unwrap().is_clean());
    let (bases, entries) = uploads(&flaky).await;
    // One at the beginning, and at most one for each time without a writer.
    assert!(bases <= 5 && entries >= 12, "{bases} bases, {entries} entries");
}
