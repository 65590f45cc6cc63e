//! Power failures and failing disks, on the simulated disk of vde-store. Every acknowledged change is present and
//! complete, and no other change is.

use oxrdf::{GraphName, Literal, NamedNode, Quad};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use triple_store::{Durability, Error, TripleStore, TripleStoreOptions};
use vde_store::VdeOptions;
use vde_store::testing::{Fault, SimDisk};

type Quads = BTreeSet<String>;

fn open(disk: &SimDisk, durability: Durability) -> Result<TripleStore, Error> {
    // The store has no threads of its own, so that a seed determines the run. It has small segments, so that several
    // are used.
    let vde = VdeOptions::new().background(false).segment_size(1 << 18).open_device(disk.device())?;
    TripleStoreOptions::new().stripes(4).background(false).durability(durability).open_in(&vde)
}

fn quad(subject: u64, object: u64, graph: bool) -> Quad {
    let node = |name: String| NamedNode::new_unchecked(format!("http://example.com/{name}"));
    let object = Literal::new_simple_literal(format!("a text of its own, number {object}"));
    let graph = if graph { node("g".into()).into() } else { GraphName::DefaultGraph };
    Quad::new(node(format!("s{subject}")), node("p".into()), object, graph)
}

fn contents(store: &TripleStore) -> Quads {
    store.snapshot().iter().map(|quad| quad.unwrap().to_string()).collect()
}

/// Runs step `i` of a workload on the store and on its model.
fn step(store: &mut TripleStore, i: u64, model: &mut Quads) -> Result<(), Error> {
    let mix = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    match i % 8 {
        0..3 => {
            let quad = quad(mix % 10, i, mix.is_multiple_of(3));
            model.insert(quad.to_string());
            store.insert(&quad).map(drop)
        }
        3 => {
            let quads: Vec<_> = (0..10).map(|n| quad(n, i, n % 2 == 0)).collect();
            model.extend(quads.iter().map(Quad::to_string));
            store.extend(quads).map(drop)
        }
        4 => {
            let subject = quad(mix % 10, 0, false).subject;
            model.retain(|quad| !quad.starts_with(&format!("{subject} ")));
            store.remove_matching(Some(subject.as_ref()), None, None, None).map(drop)
        }
        5 => {
            let (added, removed) =
                (quad(mix % 10, i, false), quad((mix + 1) % 10, i - 2, (mix + 1).is_multiple_of(2)));
            model.remove(&removed.to_string());
            model.insert(added.to_string());
            store.transaction(|tx| tx.remove(&removed).and_then(|_| tx.insert(&added))).map(drop)
        }
        6 => {
            let update = format!("DELETE WHERE {{ ?s ?p 'a text of its own, number {}' }}", i - 6);
            model.retain(|quad| {
                !(quad.contains(&format!("number {}\" .", i - 6))
                    || quad.ends_with(&format!("number {}\"", i - 6)))
            });
            store.update(&update).map(drop)
        }
        _ if mix.is_multiple_of(2) => store.checkpoint(),
        _ => store.compact().map(drop),
    }
}

const STEPS: u64 = 96;

/// Runs the workload with a power failure before every operation of the disk, `images` times each. Returns the number
/// of power failures, and the errors after them.
fn cut_everywhere(durability: Durability, images: u64) -> (u64, Vec<String>) {
    let disk = SimDisk::new();
    let mut store = open(&disk, durability).unwrap();
    // The states after each step. The last one is not acknowledged yet.
    let states = Arc::new(Mutex::new(vec![Quads::new()]));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let (cuts, wrong) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    disk.before_each_operation({
        let (states, acknowledged) = (Arc::clone(&states), Arc::clone(&acknowledged));
        let (cuts, wrong) = (Arc::clone(&cuts), Arc::clone(&wrong));
        move |cut| {
            for image in 0..images {
                let seed = cut.number() * images + image;
                cuts.fetch_add(1, Ordering::Relaxed);
                let allowed = states.lock().unwrap()[acknowledged.load(Ordering::Relaxed)..].to_vec();
                if let Err(problem) = check(&cut.image(seed), &allowed) {
                    wrong.lock().unwrap().push(format!("seed {seed}: {problem}"));
                }
            }
        }
    });
    for i in 0..STEPS {
        let mut model = states.lock().unwrap().last().unwrap().clone();
        let before = model.clone();
        let mut after = model.clone();
        // The model comes first: the new state must be allowed during the step.
        step(&mut TripleStore::in_memory(), i, &mut after).unwrap();
        states.lock().unwrap().push(after.clone());
        model.clone_from(&before);
        step(&mut store, i, &mut model).unwrap();
        assert_eq!(contents(&store), after, "step {i}");
        acknowledged.store(usize::try_from(i).unwrap() + 1, Ordering::Relaxed);
    }
    drop(store);
    let wrong = std::mem::take(&mut *wrong.lock().unwrap());
    (cuts.load(Ordering::Relaxed), wrong)
}

fn check(image: &SimDisk, allowed: &[Quads]) -> Result<(), String> {
    let store = open(image, Durability::Sync).map_err(|error| error.to_string())?;
    let found = contents(&store);
    if !allowed.contains(&found) {
        return Err(format!(
            "the {} quads are not the state after any step since the last acknowledged one",
            found.len()
        ));
    }
    let verified = store.verify().map_err(|error| error.to_string())?;
    verified.problems.first().map_or(Ok(()), |problem| Err(problem.clone()))
}

#[test]
fn no_power_failure_loses_or_splits_an_acknowledged_step() {
    let (cuts, wrong) = cut_everywhere(Durability::Sync, 32);
    assert_eq!(wrong, [""; 0]);
    assert!(cuts >= 5000, "{cuts} cuts");
}

/// The negative control: without the sync, the same power failures find losses.
#[test]
fn power_failures_detect_a_store_that_does_not_sync() {
    let (_, wrong) = cut_everywhere(Durability::Buffered, 2);
    assert!(!wrong.is_empty());
}

#[test]
fn a_disk_that_fails_once_loses_no_acknowledged_step() {
    let operations = {
        let disk = SimDisk::new();
        let mut store = open(&disk, Durability::Sync).unwrap();
        (0..STEPS / 2).for_each(|i| step(&mut store, i, &mut Quads::new()).unwrap());
        disk.operations()
    };
    for at in (0..operations).step_by(3) {
        let disk = SimDisk::new();
        disk.fail(Fault { at, error: ErrorKind::StorageFull, forever: at % 2 == 0 });
        let (mut before, mut after) = (Quads::new(), Quads::new());
        // If the disk fails while the store is created, there is no store, and nothing was acknowledged.
        let Ok(mut store) = open(&disk, Durability::Sync) else { continue };
        for i in 0..STEPS / 2 {
            after.clone_from(&before);
            if step(&mut store, i, &mut after).is_err() {
                assert!(contents(&store) == before || contents(&store) == after, "operation {at}");
                break;
            }
            before.clone_from(&after);
        }
        drop(store);
        let image = disk.crash(at);
        check(&image, &[before, after]).unwrap_or_else(|problem| panic!("operation {at}: {problem}"));
    }
}
