//! What is restored is what was shipped: at every point, with an object store that fails, after crashes of the store,
//! and after the end of the shipper at every call of the object store.

mod common;

use std::time::Duration;

use common::{Flaky, Model, contents, quick, restored, small};
use fastrand::Rng;
use vde_ship::{Bug, Error, Point, ShipOptions, Shipper, restore, verify};
use vde_store::VdeOptions;
use vde_store::testing::SimDisk;

#[tokio::test(start_paused = true)]
async fn every_point_is_restored() {
    for seed in 0..3 {
        let (flaky, mut rng, mut model) = (Flaky::new(seed), Rng::with_seed(seed), Model::default());
        let store = small().in_memory().unwrap();
        let shipper = quick().start(&store, flaky.bucket()).await.unwrap();
        let mut points = Vec::new();
        for _ in 0..40 {
            for _ in 0..rng.u8(1..4) {
                model.write(&store, &mut rng);
            }
            shipper.wait(store.durable()).await.unwrap();
            points.push(store.durable());
            if rng.u8(..8) == 0 {
                store.compact().unwrap();
            }
        }
        assert_eq!(shipper.uploads().1, 1, "one base is enough");
        for point in points {
            let (version, found, _) = restored(&flaky.bucket(), Point::Version(point)).await.unwrap();
            assert!(version <= point);
            assert_eq!(found, model.at(point), "seed {seed}, version {point}");
        }
        let (_, newest, entries) = restored(&flaky.bucket(), Point::Newest).await.unwrap();
        assert_eq!(newest, contents(&store.read_view()));
        assert!(entries > 20, "{entries}");
        let verified = verify(&flaky.bucket()).await.unwrap();
        assert!(verified.is_clean(), "{verified:?}");
        shipper.close().await.unwrap();
    }
}

/// Ships a store through failures of the object store, crashes of the store and ends of the shipper. Returns what is
/// wrong with what can be restored.
async fn chaos(options: &ShipOptions, seed: u64) -> Result<(), String> {
    let (flaky, mut rng, mut model) = (Flaky::new(seed), Rng::with_seed(seed), Model::default());
    let mut disk = SimDisk::new();
    let mut promised = 0;
    for round in 0..4 {
        let store = small().open_device(disk.device()).unwrap();
        // What was not durable is lost, and its versions are given to other writes.
        model.0.retain(|version, _| *version <= store.durable());
        model.note(&store);
        flaky.fail_percent(0);
        let shipper = options.clone().start(&store, flaky.bucket()).await.map_err(|e| format!("{e}"))?;
        flaky.fail_percent(30);
        for _ in 0..rng.u8(5..25) {
            model.write(&store, &mut rng);
            match rng.u8(..10) {
                0 => {
                    let waited = shipper.wait(store.durable());
                    let waited = tokio::time::timeout(Duration::from_millis(rng.u64(..20)), waited).await;
                    if let Ok(Err(error)) = waited {
                        return Err(format!("round {round}: {error}"));
                    }
                }
                1 => store.checkpoint().unwrap(),
                2..4 => tokio::time::sleep(Duration::from_millis(2)).await,
                _ => tokio::task::yield_now().await,
            }
            promised = promised.max(shipper.shipped());
            if rng.u8(..8) == 0 {
                check(&flaky, &model, promised)
                    .await
                    .map_err(|e| format!("seed {seed}, round {round}: {e}"))?;
            }
        }
        if rng.bool() {
            let late = shipper.wait(store.durable());
            let late = tokio::time::timeout(Duration::from_secs(20), late).await;
            late.map_err(|_| "it does not catch up")?.map_err(|e| format!("{e}"))?;
        }
        promised = promised.max(shipper.shipped());
        drop(shipper);
        disk = disk.crash(rng.u64(..));
        check(&flaky, &model, promised).await.map_err(|e| format!("seed {seed}, round {round}, end: {e}"))?;
    }
    Ok(())
}

/// Whether a prefix of the writes is restored that has everything up to `promised`.
async fn check(flaky: &Flaky, model: &Model, promised: u64) -> Result<(), String> {
    let (version, found, _) = match restored(&flaky.steady(), Point::Newest).await {
        Err(Error::NoBase) if promised == 0 => return Ok(()),
        restored => restored.map_err(|e| format!("{e}, where {promised} was promised"))?,
    };
    // Versions between the restored one and the promised one have changed no key.
    if found != model.at(version) {
        return Err(format!("it is not as it was at version {version}"));
    }
    if version < promised && found != model.at(promised) {
        return Err(format!("version {version} is restored, and {promised} was promised"));
    }
    let verified = verify(&flaky.steady()).await.map_err(|e| format!("{e}"))?;
    if verified.is_clean() { Ok(()) } else { Err(format!("{:?}", verified.problems)) }
}

// In real time: a paused clock does not advance while a thread waits for a chunk to be uploaded again.
#[tokio::test]
async fn every_promise_is_kept_through_failures_and_crashes() {
    for seed in 0..8 {
        chaos(&quick(), seed).await.unwrap();
    }
}

/// Whether keys that change several times in one part are restored with the times that they have in the store.
async fn are_times_kept(options: ShipOptions) -> bool {
    let flaky = Flaky::new(1);
    let store = small().in_memory().unwrap();
    let shipper = options.interval(Duration::from_mins(1)).start(&store, flaky.bucket()).await.unwrap();
    store.put("again", "1").unwrap();
    shipper.wait(store.put("over", "1").unwrap()).await.unwrap();
    for write in 2..5 {
        std::thread::sleep(Duration::from_millis(1));
        store.delete("again").unwrap();
        for key in ["again", "over", "new"] {
            store.put(key, [write]).unwrap();
        }
    }
    shipper.close().await.unwrap();
    let (_, found, entries) = restored(&flaky.steady(), Point::Newest).await.unwrap();
    entries <= 2 && found == contents(&store.read_view())
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_deleted_and_put_again_is_new() {
    assert!(are_times_kept(quick()).await);
    assert!(!are_times_kept(quick().plant(Bug::ContinueAlways)).await, "the planted bug is found");
}

// In real time: a paused clock does not advance while a thread waits for a chunk to be uploaded again.
#[tokio::test]
async fn planted_bugs_are_found() {
    for bug in [Bug::TellEarly, Bug::LeaveOut, Bug::ForgetUnsent] {
        let mut seeds = 0..20;
        let found = loop {
            let Some(seed) = seeds.next() else { break false };
            if chaos(&quick().plant(bug), seed).await.is_err() {
                break true;
            }
        };
        assert!(found, "{bug:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shipper_that_ends_at_any_call_breaks_no_promise() {
    let mut call = 1;
    loop {
        let (flaky, mut rng, mut model) = (Flaky::new(call), Rng::with_seed(7), Model::default());
        let store = small().in_memory().unwrap();
        model.write(&store, &mut rng);
        flaky.stick_at(call);
        let options = quick().base_every(Duration::ZERO).keep(Duration::ZERO);
        let limit = Duration::from_millis(60);
        let mut promised = 0;
        let mut done = false;
        if let Ok(shipper) = tokio::time::timeout(limit, options.clone().start(&store, flaky.bucket())).await
        {
            let shipper = shipper.unwrap();
            done = true;
            for _ in 0..4 {
                model.write(&store, &mut rng);
                done &= tokio::time::timeout(limit, shipper.wait(store.durable())).await.is_ok();
                tokio::time::sleep(Duration::from_millis(5)).await;
                promised = shipper.shipped();
            }
            done &= flaky.calls() < call;
        }
        check(&flaky, &model, promised).await.unwrap_or_else(|e| panic!("call {call}: {e}"));
        // The next shipper continues.
        flaky.stick_at(0);
        let shipper = options.start(&store, flaky.bucket()).await.unwrap();
        model.write(&store, &mut rng);
        shipper.close().await.unwrap();
        check(&flaky, &model, store.durable()).await.unwrap_or_else(|e| panic!("after call {call}: {e}"));
        if done {
            break;
        }
        call += 1;
    }
    assert!(call > 20, "{call} calls");
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_fails_at_any_call_leaves_nothing_and_can_be_repeated() {
    let (flaky, mut rng, mut model) = (Flaky::new(1), Rng::with_seed(1), Model::default());
    let store = small().in_memory().unwrap();
    let shipper = quick().start(&store, flaky.bucket()).await.unwrap();
    for _ in 0..3 {
        model.write(&store, &mut rng);
        store.put("large", vec![7; 12_000]).unwrap();
        shipper.wait(store.durable()).await.unwrap();
    }
    shipper.close().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("restored.vde");
    // As a crash leaves it.
    std::fs::write(dir.path().join("restored.vde.restoring"), "garbage").unwrap();
    for call in 1.. {
        flaky.fail_at(call);
        match restore(&flaky.bucket(), &path, Point::Newest).await {
            Err(Error::Objects { .. }) => assert!(!path.exists(), "call {call}"),
            Ok(_) => {
                assert!(call > 8, "{call}");
                break;
            }
            other => panic!("call {call}: {other:?}"),
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(matches!(restore(&flaky.bucket(), &path, Point::Newest).await, Err(Error::File { .. })));
    let copy = VdeOptions::new().open(&path).unwrap();
    assert_eq!(contents(&copy.read_view()), contents(&store.read_view()));
    assert!(copy.put("k", "v").unwrap() > store.durable(), "versions keep growing");
}

#[tokio::test(start_paused = true)]
async fn damage_and_missing_objects_are_found() {
    use object_store::ObjectStoreExt;
    let (flaky, mut rng, mut model) = (Flaky::new(1), Rng::with_seed(3), Model::default());
    let store = small().in_memory().unwrap();
    store.put("large", vec![7; 12_000]).unwrap();
    let shipper = quick().start(&store, flaky.bucket()).await.unwrap();
    for _ in 0..3 {
        model.write(&store, &mut rng);
        store.put("large", vec![8; 12_000]).unwrap();
        shipper.wait(store.durable()).await.unwrap();
    }
    shipper.close().await.unwrap();
    assert!(verify(&flaky.steady()).await.unwrap().is_clean());
    let mut checked = 0;
    for name in flaky.names().await {
        let needed = ["/base/", "/data/", "/log/"].iter().any(|folder| name.as_ref().contains(folder));
        // The first takeover comes before the first base.
        if !needed || name.as_ref().ends_with("log/00000000000000000000") {
            continue;
        }
        let bytes = flaky.memory.get(&name).await.unwrap().bytes().await.unwrap();
        let mut changed = bytes.to_vec();
        let at = rng.usize(..changed.len());
        changed[at] ^= 1 << rng.u8(..8);
        flaky.memory.put(&name, changed.into()).await.unwrap();
        assert!(!verify(&flaky.steady()).await.unwrap().is_clean(), "{name} at {at}");
        assert!(restored(&flaky.steady(), Point::Newest).await.is_err(), "{name} at {at}");
        flaky.memory.delete(&name).await.unwrap();
        let is_last = name.as_ref().ends_with(&format!("log/{:020}", 3));
        let is_base = name.as_ref().contains("/base/");
        if !is_last && !is_base {
            assert!(!verify(&flaky.steady()).await.unwrap().is_clean(), "{name}");
            assert!(restored(&flaky.steady(), Point::Newest).await.is_err(), "{name}");
        }
        flaky.memory.put(&name, bytes.into()).await.unwrap();
        checked += 1;
    }
    assert!(checked > 8, "{checked}");
    assert!(verify(&flaky.steady()).await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_store_without_a_base_cannot_be_restored() {
    let flaky = Flaky::new(1);
    assert!(matches!(restored(&flaky.bucket(), Point::Newest).await, Err(Error::NoBase)));
    let store = small().in_memory().unwrap();
    store.put("k", "v").unwrap();
    let shipper = Shipper::new(&store, flaky.bucket()).await.unwrap();
    shipper.wait(1).await.unwrap();
    assert!(matches!(restored(&flaky.bucket(), Point::Version(0)).await, Err(Error::NoBase)));
    let then = std::time::SystemTime::UNIX_EPOCH;
    assert!(matches!(restored(&flaky.bucket(), Point::Time(then)).await, Err(Error::NoBase)));
    let now = std::time::SystemTime::now();
    assert_eq!(restored(&flaky.bucket(), Point::Time(now)).await.unwrap().0, 1);
}
