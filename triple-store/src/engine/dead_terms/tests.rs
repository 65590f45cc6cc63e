//! Tests of sweeps: what may still use a term when one is made, crashes, and what is left after many.

use super::*;
use crate::engine::bulk::BULK;
use crate::engine::bulk::tests::contents;
use crate::engine::bulk::tests::spilling::{
    Quads, check_failing_disk, check_power_failures, open_in, own, problems, used,
};
use crate::engine::core::Core;
use crate::terms::quad::Change;
use crate::{Durability, Error, RdfFormat, TripleStore, TripleStoreOptions};
use oxrdf::{GraphName, Literal, NamedNode, Quad};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use vde_store::Vde;

/// Quads that stay, and quads whose terms are in the archive, and in no quad.
const STAY: Range<u64> = 0..30;
const GONE: Range<u64> = 30..60;

fn terms(store: &TripleStore) -> u64 {
    store.stats().unwrap().terms
}

fn terms_of(quads: &Quads) -> u64 {
    let store = TripleStore::in_memory();
    let lines: Vec<_> = quads.iter().map(|quad| format!("{quad} .\n")).collect();
    store.load(lines.concat().as_bytes(), RdfFormat::NQuads, "quads").unwrap();
    terms(&store)
}

fn texts(quads: impl IntoIterator<Item = Quad>) -> Quads {
    quads.into_iter().map(|quad| quad.to_string()).collect()
}

/// A store with terms that no quad has. No sweep has begun.
fn with_dead_terms(vde: &Vde) -> TripleStore {
    let store = open_in(vde).unwrap();
    store.extend(STAY.chain(GONE).map(own)).unwrap();
    store.checkpoint().unwrap();
    for number in GONE {
        store.remove(&own(number)).unwrap();
    }
    store.checkpoint().unwrap();
    assert!(!store.engine.dictionary.sweeps() && terms(&store) > terms_of(&contents(&store)));
    store
}

/// Makes a checkpoint, after which a sweep begins. It ends too, unless something holds the epoch before it.
fn begin(store: &TripleStore) {
    store.engine.count_gone(1000);
    store.checkpoint().unwrap();
}

/// Ends a sweep that waits, if it can end.
fn go_on(core: &Core) {
    core.sweep_terms(&mut core.manifest.lock());
}

fn encoded(core: &Core, quad: &Quad) -> crate::terms::quad::EncodedQuad {
    core.dictionary.intern_quad(quad.as_ref()).unwrap()
}

/// Each gets a store with dead terms, and returns the quads that it adds.
type Case = fn(&TripleStore) -> Vec<Quad>;

/// A write has looked up terms before the sweep begins.
fn found_before(store: &TripleStore) -> Vec<Quad> {
    let terms = store.engine.hold_terms();
    let quad = encoded(&store.engine, &own(40));
    begin(store);
    go_on(&store.engine);
    store.engine.commit(vec![Change { quad, adds: true }]).unwrap();
    drop(terms);
    vec![own(40)]
}

/// A write looks up terms while the sweep waits for a snapshot.
fn found_meanwhile(store: &TripleStore) -> Vec<Quad> {
    let snapshot = store.snapshot();
    begin(store);
    let terms = store.engine.hold_terms();
    let quad = encoded(&store.engine, &own(40));
    drop(snapshot);
    go_on(&store.engine);
    assert!(!store.engine.dictionary.sweeps());
    store.engine.commit(vec![Change { quad, adds: true }]).unwrap();
    drop(terms);
    vec![own(40)]
}

/// The sweep ends between the moment when a term is found and the moment when that is recorded.
fn found_at_the_end(store: &TripleStore) -> Vec<Quad> {
    let snapshot = store.snapshot();
    begin(store);
    let other = store.clone();
    planted::set_meanwhile(move || {
        drop(snapshot);
        go_on(&other.engine);
        assert!(!other.engine.dictionary.sweeps());
    });
    store.insert(&own(40)).unwrap();
    vec![own(40)]
}

/// While a sweep waits, a quad comes and goes, and a checkpoint forgets it. A snapshot has it.
fn merged_meanwhile(store: &TripleStore) -> Vec<Quad> {
    let terms = store.engine.hold_terms();
    let quad = encoded(&store.engine, &own(40));
    begin(store);
    store.engine.commit(vec![Change { quad, adds: true }]).unwrap();
    let snapshot = store.snapshot();
    store.engine.commit(vec![Change { quad, adds: false }]).unwrap();
    drop(terms);
    store.checkpoint().unwrap();
    assert!(!store.engine.dictionary.sweeps());
    assert!(snapshot.iter().any(|quad| quad.unwrap() == own(40)));
    Vec::new()
}

/// A load that began before the sweep is published, and is cleared. A snapshot has its quads.
fn loaded_meanwhile(store: &TripleStore) -> Vec<Quad> {
    let batches = store.engine.batches();
    batches.add(&mut GONE.map(|number| encoded(&store.engine, &own(number))).collect()).unwrap();
    begin(store);
    batches.publish(None).unwrap();
    let snapshot = store.snapshot();
    assert!(store.engine.dictionary.sweeps());
    let everything = crate::terms::pattern::Pattern::ALL;
    let batches = store.engine.batches();
    batches.add(&mut STAY.map(|number| encoded(&store.engine, &own(number))).collect()).unwrap();
    batches.publish(Some(&everything)).unwrap();
    go_on(&store.engine);
    assert!(!store.engine.dictionary.sweeps());
    assert_eq!(texts(snapshot.iter().map(Result::unwrap)), texts(STAY.chain(GONE).map(own)));
    Vec::new()
}

/// A record has a change that had no effect.
fn recorded_before(store: &TripleStore) -> Vec<Quad> {
    let terms = store.engine.hold_terms();
    let gone = encoded(&store.engine, &own(40));
    let quad = encoded(&store.engine, &own(200));
    begin(store);
    let changes = vec![Change { quad: gone, adds: false }, Change { quad, adds: true }];
    store.engine.commit(changes).unwrap();
    drop(terms);
    go_on(&store.engine);
    assert!(!store.engine.dictionary.sweeps());
    vec![own(200)]
}

/// A term in memory that is in no quad has a part in the archive.
fn part_of_a_term_in_memory(store: &TripleStore) -> Vec<Quad> {
    let datatype = NamedNode::new_unchecked("urn:type40");
    let literal = Literal::new_typed_literal("another text", datatype);
    store.engine.dictionary.intern(literal.as_ref().into()).unwrap();
    begin(store);
    let quad = Quad { object: literal.into(), ..own(1) };
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
    store.insert(&quad).unwrap();
    vec![quad]
}

const CASES: [(Case, Bug); 7] = [
    (found_before, Bug::SweepAtOnce),
    (found_meanwhile, Bug::ForgetFound),
    (found_at_the_end, Bug::TrustFound),
    (merged_meanwhile, Bug::ForgetMerged),
    (loaded_meanwhile, Bug::ForgetLoaded),
    (recorded_before, Bug::ForgetCommits),
    (part_of_a_term_in_memory, Bug::ForgetParts),
];

fn check_case(case: Case) {
    let vde = Vde::in_memory().unwrap();
    let store = with_dead_terms(&vde);
    let added = case(&store);
    let expected = texts(STAY.map(own).chain(added));
    for store in [store, open_in(&vde).unwrap()] {
        assert_eq!(problems(&store, &expected), [""; 0]);
    }
    // The terms that no quad has go now at last.
    let store = open_in(&vde).unwrap();
    store.checkpoint().unwrap();
    begin(&store);
    assert_eq!(problems(&store, &expected), [""; 0]);
    assert_eq!(terms(&store), terms_of(&expected));
    let long = expected.iter().filter(|quad| quad.contains("long")).count();
    assert_eq!(vde.list("l").count(), long, "the texts of terms that are gone are deleted");
}

#[test]
fn a_term_that_something_uses_stays() {
    for (case, _) in CASES {
        check_case(case);
    }
}

/// The negative controls of the test above.
#[test]
fn a_sweep_that_overlooks_a_use_is_found() {
    for (case, bug) in CASES {
        let test = move || {
            planted::plant(bug);
            check_case(case);
        };
        assert!(thread::spawn(test).join().is_err(), "{bug:?}");
    }
}

#[test]
fn a_sweep_waits_for_a_snapshot_and_for_an_iterator() {
    let vde = Vde::in_memory().unwrap();
    let store = with_dead_terms(&vde);
    let before = terms(&store);
    // All rows are read, so the scan itself does not hold the view any more.
    let mut rows = store.quads_for_pattern(Some(own(1).subject.as_ref()), None, None, None);
    begin(&store);
    store.checkpoint().unwrap();
    assert!(store.engine.dictionary.sweeps() && terms(&store) == before);
    assert_eq!(rows.next().unwrap().unwrap(), own(1));
    drop(rows);
    store.checkpoint().unwrap();
    assert!(!store.engine.dictionary.sweeps());
    assert_eq!(terms(&store), terms_of(&texts(STAY.map(own))));
}

/// The bytes of all values.
fn stored_bytes(vde: &Vde) -> usize {
    vde.list([]).map(|entry| entry.unwrap().value().unwrap().len()).sum()
}

/// Rounds of loads and clears, of documents that are refused, and of quads that come and go, without a compaction.
#[test]
fn what_comes_and_goes_leaves_few_terms_and_few_bytes() {
    const QUADS: u64 = 2 * BULK as u64;
    let vde = Vde::in_memory().unwrap();
    let options = TripleStoreOptions::new().background(false).durability(Durability::Buffered);
    let store = options.cache(0).checkpoint_after(50).open_in(&vde).unwrap();
    let stay = texts(STAY.map(own));
    store.extend(STAY.map(own)).unwrap();
    let mut sizes = Vec::new();
    for round in 1..7 {
        let quads = || (round * QUADS..(round + 1) * QUADS).map(own);
        let lines: Vec<_> = quads().map(|quad| format!("{quad} .\n")).collect();
        let load = |text: String| store.load(text.as_bytes(), RdfFormat::NQuads, "quads");
        assert!(load(lines.concat().replace("urn:", "urn:refused") + "oops").is_err());
        load(lines.concat()).unwrap();
        store.update("DELETE WHERE { ?s ?p ?o }").unwrap();
        for quad in quads().take(60) {
            store.insert(&quad).unwrap();
            store.remove(&quad).unwrap();
        }
        store.extend(STAY.map(own)).unwrap();
        sizes.push((terms(&store), stored_bytes(&vde)));
    }
    let most = terms_of(&texts((0..QUADS).map(own)));
    assert!(sizes.iter().all(|(terms, _)| *terms < 2 * most), "{sizes:?}, {most} terms in a round");
    assert!(sizes[5].1 < 2 * sizes[1].1, "{sizes:?}");
    assert_eq!(problems(&store, &stay), [""; 0]);
}

/// The thread that merges makes the sweeps.
#[test]
fn terms_go_in_the_background() {
    let vde = Vde::in_memory().unwrap();
    let store = TripleStoreOptions::new().open_in(&vde).unwrap();
    store.extend((0..1000).map(own)).unwrap();
    store.clear(GraphName::DefaultGraph.as_ref()).unwrap();
    let snapshot = store.snapshot();
    store.extend(STAY.map(own)).unwrap();
    store.checkpoint().unwrap();
    drop(snapshot);
    let left = terms_of(&texts(STAY.map(own)));
    for _ in 0..60_000 {
        if terms(&store) == left {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(terms(&store), left);
    assert_eq!(problems(&store, &texts(STAY.map(own))), [""; 0]);
}

/// Quads go, a sweep is made, and their terms come back.
fn run(store: &TripleStore, next: &mut dyn FnMut(&Quads)) -> Result<Quads, Error> {
    let mut quads = texts((0..16).map(own));
    next(&quads);
    store.extend((0..16).map(own))?;
    store.checkpoint()?;
    for number in [1, 2, 7, 13, 14] {
        quads.remove(&own(number).to_string());
        next(&quads);
        store.remove(&own(number))?;
    }
    store.engine.count_gone(1000);
    store.checkpoint()?;
    for number in [1, 7] {
        quads.insert(used(number).to_string());
        next(&quads);
        store.insert(&used(number))?;
    }
    go_on(&store.engine);
    quads.insert(own(14).to_string());
    next(&quads);
    store.insert(&own(14))?;
    store.checkpoint()?;
    Ok(quads)
}

#[test]
fn a_power_failure_during_a_sweep_leaves_no_quad_without_its_terms() {
    let vde = Vde::in_memory().unwrap();
    let store = open_in(&vde).unwrap();
    let quads = run(&store, &mut |_| {}).unwrap();
    assert_eq!(terms(&store), terms_of(&quads), "the sweep has been made");
    check_power_failures(run);
}

#[test]
fn a_disk_that_fails_during_a_sweep_leaves_no_quad_without_its_terms() {
    check_failing_disk(run);
}

/// What one writer does. Returns its quads at the end.
fn write(store: &TripleStore, writer: u64) -> Quads {
    let number = |n: u64| writer * 1000 + n;
    let mut quads = BTreeSet::new();
    let mut random = writer + 1;
    for step in 0..200u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (what, n) = (random >> 60, (random >> 33) % 40);
        match what {
            0..=5 => {
                assert_eq!(store.insert(&own(number(n))).unwrap(), quads.insert(n), "{step}");
            }
            6..=11 => {
                assert_eq!(store.remove(&own(number(n))).unwrap(), quads.remove(&n), "{step}");
            }
            12 => {
                store.extend((0..n).map(|n| own(number(n)))).unwrap();
                quads.extend(0..n);
            }
            13 => {
                let object = own(number(n)).object;
                let removed = store.remove_matching(None, None, Some(object.as_ref()), None).unwrap();
                assert_eq!(removed > 0, quads.remove(&n), "{step}");
            }
            14 => {
                let lines: Vec<_> = (0..n).map(|n| format!("{} .\n", own(number(n)))).collect();
                let text = lines.concat();
                let loaded = store.load(format!("{text}oops").as_bytes(), RdfFormat::NTriples, "refused");
                assert!(loaded.is_err());
            }
            _ => {
                let batches = store.engine.batches();
                let encode = |n| store.engine.dictionary.intern_quad(own(number(n)).as_ref());
                batches.add(&mut (0..n).map(encode).collect::<Result<_, _>>().unwrap()).unwrap();
                if n % 2 == 0 {
                    batches.publish(None).unwrap();
                    quads.extend(0..n);
                }
            }
        }
    }
    texts(quads.into_iter().map(|n| own(number(n))))
}

/// Reads the same snapshot twice.
fn read(store: &TripleStore) {
    let snapshot = store.snapshot();
    let rows = || texts(snapshot.iter().map(Result::unwrap));
    let first = rows();
    assert_eq!(first.len() as u64, snapshot.len());
    thread::sleep(Duration::from_millis(1));
    assert!(first == rows());
    for quad in snapshot.iter().take(5) {
        assert!(snapshot.contains(&quad.unwrap()).unwrap());
    }
}

/// Writers, readers and sweeps at the same time.
#[test]
fn sweeps_beside_writers_and_readers_change_no_quad() {
    let vde = Vde::in_memory().unwrap();
    let store = open_in(&vde).unwrap();
    let (is_over, mut expected) = (AtomicBool::new(false), Quads::new());
    thread::scope(|scope| {
        let until_over = |work: &dyn Fn()| {
            while !is_over.load(Ordering::Relaxed) {
                work();
            }
        };
        let store = &store;
        scope.spawn(move || until_over(&|| read(store)));
        scope.spawn(move || until_over(&|| assert_eq!(store.verify().unwrap().problems, [""; 0])));
        scope.spawn(move || until_over(&|| begin(store)));
        scope.spawn(move || until_over(&|| go_on(&store.engine)));
        let writers: Vec<_> = (0..3).map(|writer| scope.spawn(move || write(store, writer))).collect();
        let written: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        for written in written {
            expected.extend(written.unwrap());
        }
    });
    assert_eq!(problems(&store, &expected), [""; 0]);
    drop(store);
    let store = open_in(&vde).unwrap();
    assert_eq!(problems(&store, &expected), [""; 0]);
    store.checkpoint().unwrap();
    begin(&store);
    assert_eq!(problems(&store, &expected), [""; 0]);
    assert_eq!(terms(&store), terms_of(&expected));
}
