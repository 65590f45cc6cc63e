//! A store whose every state is known.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use vde_ship::{Bucket, Point, ShipOptions, restore_with};
use vde_store::{Metadata, ReadView, Vde, VdeOptions};

pub(crate) type Contents = BTreeMap<Vec<u8>, (Vec<u8>, Metadata)>;

pub(crate) fn contents(view: &ReadView) -> Contents {
    let entries = view.list("").map(|entry| {
        let entry = entry.unwrap();
        let value = entry.value().unwrap().to_vec();
        (entry.key().to_vec(), (value, entry.metadata().unwrap()))
    });
    entries.filter(|(key, _)| key != b"\0vde-ship").collect()
}

/// The contents of a store after each of its writes, by version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model(pub(crate) BTreeMap<u64, Contents>);

impl Model {
    pub(crate) fn note(&mut self, store: &Vde) {
        self.0.insert(store.durable(), contents(&store.read_view()));
    }

    /// The contents that the store had with exactly the writes up to `version`.
    pub(crate) fn at(&self, version: u64) -> Contents {
        self.0.range(..=version).next_back().map(|(_, contents)| contents.clone()).unwrap_or_default()
    }

    /// Makes a random durable write.
    pub(crate) fn write(&mut self, store: &Vde, rng: &mut Rng) {
        let key = |rng: &mut Rng| [b'a' + rng.u8(..12)];
        let (a, b) = (key(rng), key(rng));
        match rng.u8(..12) {
            0..=4 => _ = store.put(a, [rng.u8(..)]).unwrap(),
            5 => drop(store.delete(a).unwrap()),
            6 => _ = store.put(a, vec![rng.u8(..); 70_000]).unwrap(),
            7 => store.delete_range(a..b).unwrap(),
            8 => _ = store.put(a, vec![rng.u8(..); 3000]).unwrap(),
            9 => {
                let user = [("name".to_owned(), rng.u8(..).to_string())].into();
                _ = store.put_with(a, &b"with metadata"[..], &user).unwrap();
            }
            _ => {
                let mut batch = store.batch();
                batch.put(a, "1").delete_range(b..).put(b, [rng.u8(..)]);
                _ = batch.commit().unwrap();
            }
        }
        self.note(store);
    }
}

pub(crate) fn small() -> VdeOptions {
    VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(64 << 10).background(false)
}

pub(crate) fn quick() -> ShipOptions {
    ShipOptions::new().interval(Duration::from_millis(1)).chunk_bytes(5000)
}

/// What is restored at a point: the version, the contents, and the number of entries after the base.
pub(crate) async fn restored(bucket: &Bucket, point: Point) -> vde_ship::Result<(u64, Contents, u64)> {
    let (store, restored) =
        restore_with(bucket, point, |options| options.segment_size(1 << 18).background(false).in_memory())
            .await?;
    Ok((restored.version, contents(&store.read_view()), restored.entries))
}
