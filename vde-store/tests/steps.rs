//! Following a store in steps, and copying what changed: after each step, the follower has what the step's view has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fastrand::Rng;
use vde_store::testing::{Bug, SimDisk};
use vde_store::{
    Change, ChangeKind, Durability, Error, Metadata, ReadView, Step, UserMetadata, Vde, VdeOptions,
};

type Contents = BTreeMap<Box<[u8]>, (Metadata, Vec<u8>)>;

fn contents(view: &ReadView) -> Contents {
    let entries = view.list("").map(|entry| {
        let entry = entry.unwrap();
        (entry.key().into(), (entry.metadata().unwrap(), entry.value().unwrap().to_vec()))
    });
    entries.collect()
}

/// Applies the net effect of a step: first the ranges, then the keys as the view has them.
fn apply(contents: &mut Contents, step: &Step) {
    for Change { key, kind, .. } in &step.changes {
        if let ChangeKind::DeleteRange(until) = kind {
            contents.retain(|k, _| **k < **key || until.as_ref().is_some_and(|until| **k >= **until));
        }
    }
    let is_key = |change: &&Change| !matches!(change.kind, ChangeKind::DeleteRange(_));
    let keys: BTreeSet<_> = step.changes.iter().filter(is_key).map(|change| &change.key).collect();
    for key in keys {
        match step.view.metadata(key).unwrap() {
            Some(metadata) => {
                contents.insert((**key).into(), (metadata, step.view.get(key).unwrap().unwrap()));
            }
            None => drop(contents.remove(&**key)),
        }
    }
}

fn write(store: &Vde, rng: &mut Rng) {
    let key = |rng: &mut Rng| [b'a' + rng.u8(..8)];
    let (a, b) = (key(rng), key(rng));
    match rng.u8(..10) {
        0..=3 => drop(store.put(a, [rng.u8(..)]).unwrap()),
        4 => drop(store.delete(a).unwrap()),
        5 => drop(store.put(a, vec![rng.u8(..); 70_000]).unwrap()),
        6 => store.delete_range(a..b).unwrap(),
        7 => drop(store.put(a, vec![rng.u8(..); 1000]).unwrap()),
        _ => {
            let mut batch = store.batch();
            batch.put(a, "1").delete_range(b..).put(b, [rng.u8(..)]);
            batch.commit().unwrap();
        }
    }
}

fn options() -> VdeOptions {
    VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(64 << 10)
}

#[test]
fn each_step_leads_to_its_view() {
    for seed in 0..2 {
        let store = options().in_memory().unwrap();
        write(&store, &mut Rng::with_seed(seed));
        let (view, mut watch) = store.watch().unwrap();
        let mut followed = contents(&view);
        let done = &AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = (0..2)
                .map(|n| {
                    let mut rng = Rng::with_seed(seed * 10 + n);
                    let buffered = store.with_durability(Durability::Buffered);
                    let store = if n == 0 { store.clone() } else { buffered };
                    scope.spawn(move || (0..150).for_each(|_| write(&store, &mut rng)))
                })
                .collect();
            let (tidying, following) = (store.clone(), store.clone());
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    tidying.compact().unwrap();
                }
            });
            let (watch, followed) = (&mut watch, &mut followed);
            scope.spawn(move || {
                let mut version = 0;
                while !done.load(Ordering::Relaxed) {
                    let step = following.catch_up(watch).unwrap();
                    assert!(
                        step.changes
                            .iter()
                            .all(|change| (version + 1..=step.version).contains(&change.version))
                    );
                    version = step.version;
                    apply(followed, &step);
                    assert_eq!(*followed, contents(&step.view));
                }
            });
            for writer in writers {
                writer.join().unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        store.flush().unwrap();
        apply(&mut followed, &store.catch_up(&mut watch).unwrap());
        assert_eq!(followed, contents(&store.read_view()));
    }
}

#[test]
fn a_follower_continues_after_a_crash_of_the_store() {
    let mut continued = 0;
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let disk = SimDisk::new();
        let store = options().background(false).open_device(disk.device()).unwrap();
        let (view, mut watch) = store.watch().unwrap();
        let (mut followed, mut version) = (contents(&view), 0);
        for _ in 0..rng.u8(..40) {
            let hasty = store.with_durability(Durability::Buffered);
            write(if rng.bool() { &hasty } else { &store }, &mut rng);
            match rng.u8(..12) {
                0 => store.checkpoint().unwrap(),
                1..=4 => {
                    let step = store.catch_up(&mut watch).unwrap();
                    version = step.version;
                    apply(&mut followed, &step);
                }
                _ => {}
            }
        }
        let left = options().background(false).open_device(disk.crash(rng.u64(..)).device()).unwrap();
        assert!(left.watch_after(left.durable() + 1).unwrap().is_none(), "there is no such version");
        let Some((step, mut watch)) = left.watch_after(version).unwrap() else { continue };
        continued += 1;
        apply(&mut followed, &step);
        assert_eq!(followed, contents(&step.view), "seed {seed}");
        (0..5).for_each(|_| write(&left, &mut rng));
        apply(&mut followed, &left.catch_up(&mut watch).unwrap());
        assert_eq!(followed, contents(&left.read_view()), "seed {seed}");
    }
    assert!((20..60).contains(&continued), "{continued}");
}

#[test]
fn a_copy_keeps_the_metadata_and_is_seen_by_watchers() {
    let store = options().in_memory().unwrap();
    let user = UserMetadata::from([("type".to_owned(), "text".to_owned())]);
    store.put("gone", "v").unwrap();
    store.put("range/1", "v").unwrap();
    store.put_with("tagged", &b"v"[..], &user).unwrap();
    let version = store.put("large", vec![7; 200_000]).unwrap();
    let copy = options().background(false).first_version(version + 1).in_memory().unwrap();
    let (_, mut watch) = copy.watch().unwrap();
    let mut batch = copy.copy_batch();
    for entry in store.list("") {
        let entry = entry.unwrap();
        batch.put(entry.key(), entry.reader().unwrap(), &entry.metadata().unwrap()).unwrap();
    }
    assert!(batch.bytes() < 10_000, "the large value takes no memory");
    batch.delete("gone").delete_range("range/", Some(b"range0"));
    assert!(batch.commit().unwrap() > version);
    store.delete("gone").unwrap();
    store.delete_prefix("range/").unwrap();
    assert_eq!(contents(&copy.read_view()), contents(&store.read_view()));
    assert_eq!(copy.catch_up(&mut watch).unwrap().changes.len(), 6);
    assert!(copy.verify(|_| {}).unwrap().is_clean());

    // A batch that is dropped leaves nothing behind.
    let before = copy.stats().unwrap().page_bytes;
    let mut batch = copy.copy_batch();
    batch.put("dropped", &vec![1; 200_000][..], &store.metadata("large").unwrap().unwrap()).unwrap();
    drop(batch);
    assert_eq!(copy.stats().unwrap().page_bytes, before);
    let mut batch = copy.copy_batch();
    batch.delete("");
    assert!(matches!(batch.commit(), Err(Error::InvalidKey { len: 0 })));
}

/// Whether records are read as they were put, while everything is overwritten again and again.
fn are_records_kept(options: VdeOptions) -> bool {
    let store = options.background(false).in_memory().unwrap();
    let (view, mut watch) = store.watch().unwrap();
    let records = view.later_records();
    drop(view);
    let user = UserMetadata::from([("type".to_owned(), "text".to_owned())]);
    let mut rng = Rng::with_seed(1);
    let mut puts = Vec::new();
    for round in 0..1000_u32 {
        let (key, tag) = ([b'a' + rng.u8(..8)], round.to_le_bytes());
        let value = tag.repeat(rng.usize(1..1000));
        if rng.bool() {
            store.put_with(key, &value[..], &user).unwrap();
        } else {
            store.put(key, &value).unwrap();
        }
        let step = store.catch_up(&mut watch).unwrap();
        puts.push((key, value, store.metadata(key).unwrap().unwrap(), step.changes[0].logged.unwrap()));
        if rng.u8(..20) == 0 {
            store.compact().unwrap();
        }
    }
    puts.iter().all(|(key, value, metadata, logged)| {
        let same = records.read(key, logged, |put| {
            let (version, modified, user) = (metadata.version, metadata.modified, &metadata.user);
            (&*put.value, put.version, put.modified, &put.user) == (value, version, modified, user)
        });
        same.is_ok_and(|same| same.expect("it is after the view"))
    })
}

#[test]
fn records_are_read_as_they_were_while_they_are_held() {
    assert!(are_records_kept(options()));
    assert!(!are_records_kept(options().plant(Bug::ReuseAtOnce)), "the planted bug is found");
}

#[test]
fn a_value_that_replaces_another_one_keeps_the_time_of_its_creation() {
    let mut rng = Rng::with_seed(1);
    let [at_once, one_by_one] = [(); 2].map(|()| options().first_version(1 << 40).in_memory().unwrap());
    let mut version = 0;
    for _ in 0..300 {
        let mut batch = at_once.copy_batch();
        for _ in 0..rng.u8(1..9) {
            version += 1;
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(version);
            let metadata = Metadata::copied(version, time, time, UserMetadata::new());
            let (a, b, until) = ([b'a' + rng.u8(..8)], [b'a' + rng.u8(..8)], rng.u8(..5) > 0);
            let until = until.then_some(&b[..]);
            let mut single = one_by_one.copy_batch();
            for batch in [&mut batch, &mut single] {
                match version % 7 {
                    0 => batch.put(a, &b"v"[..], &metadata).unwrap(),
                    1 => batch.delete(a),
                    2 => batch.delete_range(a, until),
                    _ => batch.replace(a, &b"v"[..], &metadata).unwrap(),
                };
            }
            single.commit().unwrap();
        }
        batch.commit().unwrap();
        assert_eq!(contents(&at_once.read_view()), contents(&one_by_one.read_view()));
        if rng.u8(..20) == 0 {
            at_once.checkpoint().unwrap();
        }
    }
}
