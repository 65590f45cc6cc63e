//! The power is cut before every operation of a disk: that of the writer, and that of a restore.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Contents, Model, contents, quick, restored, small};
use fastrand::Rng;
use object_store::memory::InMemory;
use vde_ship::{Bucket, Bug, Point, ShipOptions, Shipper, restore, restore_with};
use vde_store::testing::SimDisk;
use vde_store::{Vde, VdeOptions};

/// What is left after a power cut: the writer's disk, the objects, and up to which version they were promised to be
/// shipped.
struct Cut {
    disk: SimDisk,
    objects: InMemory,
    promised: u64,
}

/// A writer whose store is shipped meanwhile. Returns what a power cut before each operation of its disk leaves, and all
/// states of the store.
async fn cuts(options: &ShipOptions, seed: u64) -> (Vec<Cut>, Model) {
    let (disk, objects) = (SimDisk::new(), Arc::new(InMemory::new()));
    let store = small().open_device(disk.device()).unwrap();
    let shipper = options.clone().start(&store, Bucket::new(objects.clone(), "")).await.unwrap();
    let shipper: Arc<Shipper> = Arc::new(shipper);
    let cuts: Arc<Mutex<Vec<Cut>>> = Arc::default();
    let (left, watched) = (cuts.clone(), shipper.clone());
    disk.before_each_operation(move |cut| {
        // What was promised before the objects are copied is in the copy.
        let promised = watched.shipped();
        left.lock().unwrap().push(Cut { disk: cut.image(cut.number()), objects: objects.fork(), promised });
    });
    let (mut rng, mut model) = (Rng::with_seed(seed), Model::default());
    for step in 0..12 {
        model.write(&store, &mut rng);
        match step % 4 {
            1 => shipper.wait(store.durable()).await.unwrap(),
            2 => tokio::time::sleep(Duration::from_millis(2)).await,
            3 => store.checkpoint().unwrap(),
            _ => {}
        }
    }
    shipper.wait(store.durable()).await.unwrap();
    disk.before_each_operation(|_| {});
    drop(shipper);
    let cuts = std::mem::take(&mut *cuts.lock().unwrap());
    (cuts, model)
}

/// Whether every promise is kept after the cut.
async fn check(cut: Cut, model: &Model) -> Result<(), String> {
    let bucket = Bucket::new(Arc::new(cut.objects), "");
    // The disk is lost.
    let lost = match restored(&bucket, Point::Newest).await {
        Err(vde_ship::Error::NoBase) if cut.promised == 0 => 0,
        Err(error) => return Err(format!("{error}, where {} was promised", cut.promised)),
        Ok((version, found, _)) => {
            if found != model.at(version) {
                return Err(format!("it is not as it was at version {version}"));
            }
            if version < cut.promised && found != model.at(cut.promised) {
                return Err(format!("version {version} is restored, and {} was promised", cut.promised));
            }
            version
        }
    };
    // The disk is there. It has all that was shipped, and shipping continues.
    let store = small().open_device(cut.disk.device()).unwrap();
    if contents(&store.read_view()) != model.at(store.durable()) || store.durable() < lost {
        return Err(format!("version {lost} was shipped, and {} is on the disk", store.durable()));
    }
    let shipper = quick().start(&store, bucket.clone()).await.unwrap();
    shipper.wait(store.put("after", "the cut").unwrap()).await.unwrap();
    let (_, found, _) = restored(&bucket, Point::Newest).await.map_err(|error| error.to_string())?;
    if found == contents(&store.read_view()) { Ok(()) } else { Err("it does not continue".into()) }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_loses_power_before_any_operation_breaks_no_promise() {
    let (cuts, model) = cuts(&quick(), 1).await;
    assert!(cuts.len() > 30, "{} operations", cuts.len());
    for (number, cut) in cuts.into_iter().enumerate() {
        check(cut, &model).await.unwrap_or_else(|wrong| panic!("operation {number}: {wrong}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_promise_that_comes_too_early_is_found() {
    for bug in [Bug::TellEarly, Bug::LeaveOut] {
        let mut found = false;
        for seed in 0..4 {
            let (cuts, model) = cuts(&quick().plant(bug), seed).await;
            for cut in cuts {
                found = found || check(cut, &model).await.is_err();
            }
        }
        assert!(found, "{bug:?}");
    }
}

/// The contents of the store in a file.
fn of_file(path: &std::path::Path) -> Contents {
    contents(&Vde::open(path).unwrap().read_view())
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_loses_power_before_any_operation_is_repeated_or_whole() {
    let (objects, mut rng, mut model) = (Arc::new(InMemory::new()), Rng::with_seed(2), Model::default());
    let bucket = Bucket::new(objects, "");
    let store = small().in_memory().unwrap();
    let shipper = quick().start(&store, bucket.clone()).await.unwrap();
    for _ in 0..6 {
        model.write(&store, &mut rng);
        shipper.wait(store.durable()).await.unwrap();
    }
    let expected = contents(&store.read_view());

    let disk = SimDisk::new();
    let images: Arc<Mutex<Vec<SimDisk>>> = Arc::default();
    let seen = images.clone();
    disk.before_each_operation(move |cut| seen.lock().unwrap().push(cut.image(cut.number())));
    let device = disk.device();
    let (restored, _) = restore_with(&bucket, Point::Newest, move |options| {
        options.segment_size(1 << 18).background(false).open_device(device)
    })
    .await
    .unwrap();
    // The file gets its name after this. So it is whole if it has the name.
    restored.close().unwrap();
    disk.before_each_operation(|_| {});
    for seed in 0..8 {
        let after = VdeOptions::new().open_device(disk.crash(seed).device()).unwrap();
        assert_eq!(contents(&after.read_view()), expected, "seed {seed}");
    }

    // A cut before that leaves a file of another name. The next restore replaces it.
    let images = std::mem::take(&mut *images.lock().unwrap());
    assert!(images.len() > 10, "{} operations", images.len());
    let dir = tempfile::tempdir().unwrap();
    let (path, partial) = (dir.path().join("restored.vde"), dir.path().join("restored.vde.restoring"));
    for (number, image) in images.into_iter().enumerate() {
        std::fs::write(&partial, image.contents()).unwrap();
        restore(&bucket, &path, Point::Newest).await.unwrap();
        assert_eq!(of_file(&path), expected, "operation {number}");
        assert!(!partial.exists());
        std::fs::remove_file(&path).unwrap();
    }
}
