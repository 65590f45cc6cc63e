//! Iteration over keys, in both directions and from both ends at once, compared with a map. The changes are in the
//! newest memtable, in a frozen one and in the index, and are also read through views.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use fastrand::Rng;
use vde_store::{Durability, Entries, ReadView, Vde, VdeOptions};

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;
type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// There are few keys, so that deletes, overwrites and neighbours are common. Keys are long, so that pages have few
/// cells.
fn key(rng: &mut Rng) -> Vec<u8> {
    let tail = if rng.u8(..12) == 0 { rng.usize(..3000) } else { rng.usize(..3) };
    let mut key = vec![rng.u8(b'a'..=b'e'), rng.u8(..12)];
    key.extend(std::iter::repeat_n(rng.u8(..2) * 255, tail));
    key
}

fn range(rng: &mut Rng) -> Range {
    let mut bound = || match rng.u8(..4) {
        0 => Bound::Unbounded,
        1 => Bound::Excluded(key(rng)),
        _ => Bound::Included(key(rng)),
    };
    (bound(), bound())
}

/// The part of the model in a range. A map would panic for a range that ends before it begins.
fn expected(model: &Contents, range: &Range) -> VecDeque<(Vec<u8>, Vec<u8>)> {
    let is_in = |key: &Vec<u8>| std::ops::RangeBounds::<Vec<u8>>::contains(range, key);
    model.iter().filter(|(key, _)| is_in(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn taken(entry: Option<vde_store::Result<vde_store::Entry>>) -> Option<(Vec<u8>, Vec<u8>)> {
    let entry = entry?.unwrap();
    assert_eq!(entry.len(), entry.value().unwrap().len() as u64);
    assert_eq!(entry.metadata().unwrap().len, entry.len());
    Some((entry.key().to_vec(), entry.value().unwrap().to_vec()))
}

/// Iterates over a range, from a random end at each step, and sometimes skips.
fn iterate(rng: &mut Rng, mut entries: Entries, mut expected: VecDeque<(Vec<u8>, Vec<u8>)>) {
    let mut is_reversed = rng.bool();
    if is_reversed {
        entries = entries.reversed();
    }
    let from_one_end = rng.bool();
    loop {
        match rng.u8(..20) {
            0 => {
                let to = key(rng);
                entries.seek(&to);
                if is_reversed {
                    while expected.pop_back_if(|(key, _)| *key > to).is_some() {}
                } else {
                    while expected.pop_front_if(|(key, _)| *key < to).is_some() {}
                }
            }
            1 => {
                entries = entries.reversed();
                is_reversed = !is_reversed;
            }
            _ => {}
        }
        let from_front = from_one_end || rng.bool();
        let found = taken(if from_front { entries.next() } else { entries.next_back() });
        let due = if from_front == is_reversed { expected.pop_back() } else { expected.pop_front() };
        assert_eq!(found, due);
        if found.is_none() {
            assert!(
                entries.next().is_none() && entries.next_back().is_none(),
                "an iteration that has ended yields no more entries"
            );
            return;
        }
    }
}

fn check(rng: &mut Rng, view: &ReadView, model: &Contents) {
    for _ in 0..4 {
        let range = range(rng);
        let entries = view.range::<Vec<u8>>(range.clone());
        iterate(rng, entries, expected(model, &range));
    }
    for _ in 0..4 {
        let key = key(rng);
        assert_eq!(view.get(&key).unwrap().as_ref(), model.get(&key));
        assert_eq!(view.metadata(&key).unwrap().is_some(), model.contains_key(&key));
    }
    let prefix = &key(rng)[..rng.usize(..3)];
    let listed: VecDeque<_> = model
        .iter()
        .filter(|(key, _)| key.starts_with(prefix))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    iterate(rng, view.list(prefix), listed);
    let own = |entry: Option<(&Vec<u8>, &Vec<u8>)>| entry.map(|(key, value)| (key.clone(), value.clone()));
    assert_eq!(taken(view.first().transpose()), own(model.first_key_value()));
    assert_eq!(taken(view.last().transpose()), own(model.last_key_value()));
}

/// Deletes a range, a prefix or everything, or a range in a batch that puts some of its keys again.
fn delete_many(rng: &mut Rng, store: &Vde, model: &mut Contents) {
    match rng.u8(..8) {
        0 => {
            store.clear().unwrap();
            model.clear();
        }
        1..4 => {
            let prefix = &key(rng)[..rng.usize(1..3)];
            store.delete_prefix(prefix).unwrap();
            model.retain(|key, _| !key.starts_with(prefix));
        }
        what => {
            let (range, kept) = (range(rng), key(rng));
            model.retain(|key, _| !std::ops::RangeBounds::<Vec<u8>>::contains(&range, key));
            if what % 2 == 0 {
                store.delete_range::<Vec<u8>>(range).unwrap();
            } else {
                let mut batch = store.batch();
                batch
                    .put(&kept, "deleted if it lies in the range")
                    .delete_range::<Vec<u8>>(range)
                    .put(&kept, "kept");
                batch.commit().unwrap();
                model.insert(kept, b"kept".to_vec());
            }
        }
    }
}

/// `scale` is the number of changes between two comparisons.
fn matches_the_model(seed: u64, scale: usize) {
    let rng = &mut Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let open = || {
        let options = VdeOptions::new().segment_size(1 << 18).background(false);
        options.open(&path).unwrap().with_durability(Durability::Buffered)
    };
    let mut store = open();
    let mut model = Contents::new();
    let mut views = VecDeque::new();
    for _ in 0..60 {
        for _ in 0..rng.usize(..scale) {
            if rng.usize(..2 * scale) == 0 {
                delete_many(rng, &store, &mut model);
            }
            let key = key(rng);
            if rng.u8(..3) == 0 {
                assert_eq!(store.delete(&key).unwrap(), model.remove(&key).is_some());
            } else {
                let value = vec![rng.u8(..); [3, 300][rng.usize(..2)]];
                store.put(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
        match rng.u8(..16) {
            0..5 => {
                store.checkpoint().unwrap();
                assert_eq!(store.stats().unwrap().keys, model.len() as u64);
                let report = store.verify(|_| {}).unwrap();
                assert!(report.is_clean(), "{:?}", report.problems);
            }
            5 => drop(store.compact().unwrap()),
            6 => {
                views.clear();
                drop(store);
                store = open();
            }
            _ => {}
        }
        views.push_back((store.read_view(), model.clone()));
        if views.len() > 5 {
            views.pop_front();
        }
        for (view, model) in &views {
            check(rng, view, model);
        }
    }
}

#[test]
fn small_stores_match_the_model() {
    (0..8).for_each(|seed| matches_the_model(seed, 12));
}

#[test]
fn larger_stores_match_the_model() {
    (100..103).for_each(|seed| matches_the_model(seed, 400));
}

#[test]
fn an_iteration_is_not_changed_by_checkpoints_and_writers() {
    let options = VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(64 << 10);
    let store = options.in_memory().unwrap().with_durability(Durability::Buffered);
    for i in 0..3000u32 {
        store.put(i.to_be_bytes(), [1; 100]).unwrap();
    }
    let (mut up, mut down) = (store.list(""), store.list("").reversed());
    for i in 0..3000u32 {
        store.delete((i * 7 % 3000).to_be_bytes()).unwrap();
        store.put([&[9], &i.to_be_bytes()[..]].concat(), "later").unwrap();
        assert_eq!(*up.next().unwrap().unwrap().key(), i.to_be_bytes());
        assert_eq!(*down.next().unwrap().unwrap().key(), (2999 - i).to_be_bytes());
    }
    assert!(up.next().is_none() && down.next().is_none());
    assert!(store.stats().unwrap().checkpoints > 1, "no checkpoint was made during the iteration");
}

#[test]
fn a_queue_whose_first_key_is_popped_is_checkpointed() {
    let store = VdeOptions::new().in_memory().unwrap().with_durability(Durability::Buffered);
    for i in 0..40_000u32 {
        store.put(i.to_be_bytes(), "message").unwrap();
    }
    for i in 0..40_000u32 {
        let first = store.first().unwrap().unwrap().into_key();
        assert_eq!(*first, i.to_be_bytes());
        store.delete(first).unwrap();
        // The deletes alone are too few to make a checkpoint due.
    }
    assert!(store.stats().unwrap().checkpoints > 0);
}
