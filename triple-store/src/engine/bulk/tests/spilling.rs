//! Loads that spill their terms, beside writers that use them: what is there when the store is opened again, after a crash
//! too, and when the disk fails.

use super::*;
use oxrdf::{Term, Triple};
use std::io::ErrorKind;
use vde_store::testing::Fault;

pub(crate) type Quads = BTreeSet<String>;

/// A quad of terms that no other number has. The object has parts that are in no quad, and every seventh is long.
pub(crate) fn own(number: u64) -> Quad {
    let node = |name: &str| NamedNode::new_unchecked(format!("urn:{name}{number}"));
    let text = if number.is_multiple_of(7) { "a long text ".repeat(500) } else { "text".into() };
    let text = Literal::new_typed_literal(text, node("type"));
    let object: Term = match number % 3 {
        0 => node("o").into(),
        1 => text.into(),
        _ => Triple::new(node("a"), node("b"), text).into(),
    };
    Quad::new(node("s"), NamedNode::new_unchecked("urn:p"), object, GraphName::DefaultGraph)
}

/// The quad with this number of a writer: it has two terms of the load.
pub(crate) fn used(number: u64) -> Quad {
    Quad { predicate: NamedNode::new_unchecked("urn:used"), ..own(number) }
}

const LOADED: std::ops::Range<u64> = 100..130;

/// Adds quads of a load, whose terms are spilled before and after each batch.
fn add(store: &TripleStore, batches: &Batches<'_>, numbers: std::ops::Range<u64>) -> Result<(), Error> {
    let intern = |number| store.engine.dictionary.intern_quad(own(number).as_ref());
    for first in numbers.clone().step_by(10) {
        let mut quads = (first..first + 10).map(intern).collect::<Result<_, _>>()?;
        store.engine.spill_terms()?;
        batches.add(&mut quads)?;
    }
    Ok(())
}

/// A load that is refused, and one that may be, beside writers of single quads and checkpoints. `next` gets the quads that are
/// there after the next step. Returns the quads that are there at the end.
fn run(store: &TripleStore, publishes: bool, next: &mut dyn FnMut(&Quads)) -> Result<Quads, Error> {
    let mut quads = Quads::new();
    let mut insert = |quads: &mut Quads, quad: Quad| {
        quads.insert(quad.to_string());
        next(quads);
        store.insert(&quad).map(drop)
    };
    insert(&mut quads, own(1))?;
    let refused = store.engine.batches();
    add(store, &refused, 0..30)?;
    insert(&mut quads, used(8))?;
    drop(refused);
    let batches = store.engine.batches();
    add(store, &batches, LOADED)?;
    insert(&mut quads, used(LOADED.start + 2))?;
    store.checkpoint()?;
    insert(&mut quads, used(LOADED.start + 14))?;
    insert(&mut quads, own(LOADED.start + 3))?;
    insert(&mut quads, used(21))?;
    if publishes {
        quads.extend(LOADED.map(|number| own(number).to_string()));
        next(&quads);
        batches.publish(None)?;
    } else {
        drop(batches);
    }
    let mut insert = |quads: &mut Quads, quad: Quad| {
        quads.insert(quad.to_string());
        next(quads);
        store.insert(&quad).map(drop)
    };
    insert(&mut quads, used(LOADED.start + 7))?;
    insert(&mut quads, own(200))?;
    store.checkpoint()?;
    insert(&mut quads, used(LOADED.start + 8))?;
    Ok(quads)
}

pub(crate) fn open_in(vde: &Vde) -> Result<TripleStore, Error> {
    let options = TripleStoreOptions::new().background(false).stripes(4).cache(0);
    options.durability(Durability::Sync).open_in(vde)
}

/// What is wrong with a store that should have these quads.
pub(crate) fn problems(store: &TripleStore, quads: &Quads) -> Vec<String> {
    let mut problems = store.verify().unwrap().problems;
    if contents(store) != *quads {
        problems.push("it has other quads".into());
    }
    problems
}

/// What is wrong when the store is opened again.
fn wrong_after_reopening(publishes: bool) -> Vec<String> {
    let vde = Vde::in_memory().unwrap();
    let quads = {
        let store = open_in(&vde).unwrap();
        let quads = run(&store, publishes, &mut |_| {}).unwrap();
        assert!(store.engine.dictionary.archive().len() > store.engine.dictionary.durable().len());
        assert_eq!(problems(&store, &quads), [""; 0]);
        quads
    };
    let store = match open_in(&vde) {
        Ok(store) => store,
        Err(error) => return vec![error.to_string()],
    };
    let mut problems = problems(&store, &quads);
    let expected = TripleStore::in_memory();
    let lines: Vec<_> = quads.iter().map(|quad| format!("{quad} .\n")).collect();
    let text = lines.concat();
    expected.load(text.as_bytes(), RdfFormat::NQuads, "expected").unwrap();
    let terms = [store.stats().unwrap().terms, expected.stats().unwrap().terms];
    if terms[0] != terms[1] {
        problems.push(format!("{terms:?} terms"));
    }
    if store.checkpoint().is_err() {
        return problems;
    }
    let long = quads.iter().filter(|quad| quad.contains("long")).count();
    if problems.is_empty() {
        assert_eq!(vde.list("l").count(), long, "texts of refused documents go");
        assert_eq!(store.verify().unwrap().problems, [""; 0]);
    }
    problems
}

#[test]
fn terms_that_a_load_has_spilled_are_durable_only_if_a_quad_has_them() {
    for publishes in [false, true] {
        assert_eq!(wrong_after_reopening(publishes), [""; 0]);
    }
}

/// The negative controls of the test above.
#[test]
fn spilled_terms_that_get_lost_or_stay_are_found() {
    for bug in [Bug::OmitSpilled, Bug::LoseSpilled, Bug::KeepRefused] {
        let test = move || {
            planted::plant(bug);
            terms_that_a_load_has_spilled_are_durable_only_if_a_quad_has_them();
        };
        assert!(thread::spawn(test).join().is_err(), "{bug:?}");
    }
}

fn open_on(disk: &SimDisk) -> Result<TripleStore, Error> {
    open_in(&VdeOptions::new().background(false).segment_size(1 << 18).open_device(disk.device())?)
}

/// A history of one store. It passes the quads that are there after each step to a function before it makes the step. Returns
/// those at the end.
type History = fn(&TripleStore, &mut dyn FnMut(&Quads)) -> Result<Quads, Error>;

fn published(store: &TripleStore, next: &mut dyn FnMut(&Quads)) -> Result<Quads, Error> {
    run(store, true, next)
}

fn refused(store: &TripleStore, next: &mut dyn FnMut(&Quads)) -> Result<Quads, Error> {
    run(store, false, next)
}

/// The power fails before each operation of the disk.
pub(crate) fn check_power_failures(history: History) {
    let disk = SimDisk::new();
    let store = open_on(&disk).unwrap();
    let states = Arc::new(Mutex::new(vec![Quads::new(); 2]));
    let wrong = Arc::new(Mutex::new(Vec::new()));
    disk.before_each_operation({
        let (states, wrong) = (Arc::clone(&states), Arc::clone(&wrong));
        move |cut| {
            let found = open_on(&cut.image(cut.number()))
                .and_then(|store| Ok((contents(&store), store.verify()?.problems)));
            let (quads, problems) = match found {
                Ok(found) => found,
                Err(error) => return wrong.lock().push((cut.number(), vec![error.to_string()])),
            };
            if !states.lock().contains(&quads) || !problems.is_empty() {
                wrong.lock().push((cut.number(), problems));
            }
        }
    });
    let quads = history(&store, &mut |quads| {
        let mut states = states.lock();
        states.remove(0);
        states.push(quads.clone());
    });
    assert_eq!(*wrong.lock(), []);
    assert_eq!(contents(&open_on(&disk.crash(1)).unwrap()), quads.unwrap());
}

#[test]
fn a_power_failure_leaves_no_quad_without_its_terms() {
    check_power_failures(refused);
    check_power_failures(published);
}

/// Any operation of the disk fails, once or for good. What was acknowledged is there when the store is opened again.
pub(crate) fn check_failing_disk(history: History) {
    let operations = {
        let disk = SimDisk::new();
        history(&open_on(&disk).unwrap(), &mut |_| {}).unwrap();
        disk.operations()
    };
    for at in 0..operations {
        let disk = SimDisk::new();
        let forever = at % 2 == 0;
        disk.fail(Fault { at, error: ErrorKind::StorageFull, forever });
        let Ok(store) = open_on(&disk) else { continue };
        let mut states = vec![Quads::new(); 2];
        let done = history(&store, &mut |quads| {
            states.remove(0);
            states.push(quads.clone());
        });
        // Without a cache, a disk that fails for good can't be read.
        if done.is_err() && !forever {
            assert!(states.contains(&contents(&store)), "operation {at}");
        }
        drop(store);
        let store = open_on(&disk.crash(at)).unwrap();
        assert!(states.contains(&contents(&store)), "operation {at}");
        assert_eq!(store.verify().unwrap().problems, [""; 0], "operation {at}");
    }
}

#[test]
fn a_disk_that_fails_leaves_no_quad_without_its_terms() {
    check_failing_disk(published);
}
