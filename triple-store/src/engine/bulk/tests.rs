//! Tests of bulk changes. In unit tests, 256 quads are very many.

pub(crate) mod spilling;

use super::*;
use crate::terms::pattern::Graphs;
use crate::{Durability, LoadOptions, RdfFormat, TripleStore, TripleStoreOptions};
use oxrdf::{GraphName, GraphNameRef, Literal, NamedNode, NamedNodeRef, Quad};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use vde_store::testing::SimDisk;
use vde_store::{Vde, VdeOptions};

fn quad(number: u64) -> Quad {
    let node = |name: &str, number: u64| NamedNode::new_unchecked(format!("urn:{name}{number}"));
    let graph = if number.is_multiple_of(2) { node("g", 0).into() } else { GraphName::DefaultGraph };
    Quad::new(node("s", number % 7), node("p", number % 3), Literal::from(number), graph)
}

fn encoded(core: &Core, numbers: impl Iterator<Item = u64>) -> Vec<EncodedQuad> {
    numbers.map(|number| core.dictionary.intern_quad(quad(number).as_ref()).unwrap()).collect()
}

pub(crate) fn contents(store: &TripleStore) -> BTreeSet<String> {
    store.snapshot().iter().map(|quad| quad.unwrap().to_string()).collect()
}

/// Writers change quads while a run is made that has them already, or has them no more. All cases of what the run says
/// before and after, and of what the writers do.
#[test]
fn what_writers_change_meanwhile_comes_before_it() {
    let vde = vde_store::Vde::in_memory().unwrap();
    let open = || TripleStoreOptions::new().background(false).open_in(&vde).unwrap();
    let mut expected: BTreeSet<u64> = BTreeSet::new();
    let mut round = 0;
    let texts = |numbers: &BTreeSet<u64>| numbers.iter().map(|number| quad(*number).to_string()).collect();
    for removes in [false, true] {
        for writes in 0..9u64 {
            let store = open();
            let core: &Core = &store.engine;
            let batches = core.batches();
            // Each number below 60 is in some batch or in none, in the store or not, and changed before or not.
            let loaded: Vec<_> = (0..60).filter(|number| (number / 2 + round) % 3 > 0).collect();
            for part in loaded.chunks(loaded.len() / 3) {
                batches.add(&mut encoded(core, part.iter().copied())).unwrap();
                batches.add(&mut encoded(core, part.iter().copied().step_by(4))).unwrap();
            }
            let gathered = std::mem::replace(&mut *batches.gathered.lock(), Gathered::none());
            let pattern = Pattern { graphs: Graphs::Named, ..Pattern::ALL };
            let change =
                GraphChange { removed: removes.then_some(pattern).into_iter().collect(), copied: None };
            let conditions = Conditions::default();
            let prepared = core.prepare(gathered, change, &conditions).unwrap();
            let commit = |number: u64, adds: bool| {
                let quad = encoded(core, std::iter::once(number))[0];
                core.commit(vec![Change { quad, adds }]).unwrap()
            };
            let before = store.snapshot();
            let unseen = contents(&store);
            for number in (0..60).filter(|number| (number / 3 + round) % 2 == 0) {
                for adds in [writes % 3, writes / 3].into_iter().filter(|write| *write > 0) {
                    commit(number, adds == 1);
                    if adds == 1 {
                        expected.insert(number)
                    } else {
                        expected.remove(&number)
                    };
                }
            }
            assert_eq!(contents(&store), texts(&expected));
            let (begun, _) = core.snapshot();
            let outcome = prepared.publish(&conditions).unwrap();
            assert!(outcome == Outcome::default() || core.changed_since(&begun, &[Pattern::ALL]));
            let mut after: BTreeSet<u64> = expected.clone();
            after.retain(|number| !removes || number % 2 == 1);
            after.extend(loaded);
            assert_eq!(outcome.added, after.difference(&expected).count() as u64);
            assert_eq!(outcome.removed, expected.difference(&after).count() as u64);
            expected = after;
            assert_eq!(before.iter().map(|quad| quad.unwrap().to_string()).collect::<BTreeSet<_>>(), unseen);
            drop(before);
            for round in 0..3 {
                let store = if round == 0 { store.clone() } else { open() };
                assert_eq!(contents(&store), texts(&expected));
                assert_eq!(store.len(), expected.len() as u64);
                assert_eq!(store.verify().unwrap().problems, [""; 0]);
                if round == 1 {
                    store.checkpoint().unwrap();
                }
            }
            let gone: Vec<_> = expected.iter().copied().filter(|number| number % 5 == round % 5).collect();
            for number in gone {
                assert!(store.remove(&quad(number)).unwrap());
                expected.remove(&number);
            }
            if round % 2 == 0 {
                store.checkpoint().unwrap();
            }
            round += 1;
        }
    }
}

/// The negative controls of the test above.
#[test]
fn a_bulk_change_that_nobody_coordinates_is_found() {
    for bug in [Bug::ForgetDelta, Bug::ForgetRewrite] {
        let test = move || {
            planted::plant(bug);
            what_writers_change_meanwhile_comes_before_it();
        };
        assert!(thread::spawn(test).join().is_err(), "{bug:?}");
    }
}

/// The power fails before each operation of the disk while graphs are replaced that also have recent quads.
#[test]
fn a_power_failure_leaves_all_of_a_bulk_change_or_nothing() {
    let disk = SimDisk::new();
    let open = |disk: &SimDisk| {
        let vde =
            VdeOptions::new().background(false).segment_size(1 << 18).open_device(disk.device()).unwrap();
        TripleStoreOptions::new().background(false).open_in(&vde).unwrap()
    };
    let store = open(&disk);
    let change = |numbers: std::ops::Range<u64>, adds| {
        let quads = encoded(&store.engine, numbers).into_iter();
        store.engine.commit(quads.map(|quad| Change { quad, adds }).collect()).unwrap();
    };
    change(0..40, true);
    store.checkpoint().unwrap();
    change(10..20, false);
    change(40..50, true);
    let before = contents(&store);
    let batches = store.engine.batches();
    batches.add(&mut encoded(&store.engine, 15..70)).unwrap();
    let named = |number: &u64| number.is_multiple_of(2);
    let left = (0..10).filter(|number| !named(number)).chain(15..70);
    let after: BTreeSet<_> = left.map(|number| quad(number).to_string()).collect();

    let wrong = Arc::new(Mutex::new(Vec::new()));
    disk.before_each_operation({
        let (wrong, before, after) = (Arc::clone(&wrong), before.clone(), after.clone());
        move |cut| {
            for seed in 4 * cut.number()..4 * cut.number() + 4 {
                let store = open(&cut.image(seed));
                let (found, problems) = (contents(&store), store.verify().unwrap().problems);
                if found != before && found != after || !problems.is_empty() {
                    wrong.lock().push((seed, found, problems));
                }
            }
        }
    });
    batches.publish(Some(&Pattern { graphs: Graphs::Named, ..Pattern::ALL })).unwrap();
    assert_eq!(contents(&store), after);
    assert_eq!(*wrong.lock(), []);
    assert_eq!(contents(&open(&disk.crash(1))), after, "it was acknowledged");
}

const GRAPH: NamedNodeRef<'_> = NamedNodeRef::new_unchecked("urn:g");

/// Quads of a document, of which some occur twice. A third are in the default graph.
fn text(from: u64, to: u64) -> String {
    let line = |n: u64| {
        let graph = if n.is_multiple_of(3) { "" } else { "<urn:g>" };
        format!("<urn:s{}> <urn:p{}> {} {graph} .\n", n % 97, n % 5, format_args!("<urn:o{}>", n % 409))
    };
    (from..to).map(line).collect()
}

fn sorted(store: &TripleStore) -> Vec<[String; 4]> {
    let mut quads: Vec<_> = store
        .snapshot()
        .iter()
        .map(|quad| {
            let Quad { subject, predicate, object, graph_name } = quad.unwrap();
            [subject.to_string(), predicate.to_string(), object.to_string(), graph_name.to_string()]
        })
        .collect();
    quads.sort_unstable();
    quads
}

/// A change of a store. It returns how many quads it changed.
type Step<'a> = &'a dyn Fn(&TripleStore) -> Result<u64, Error>;

/// A store with a small cache keeps few quads of a load in memory. It does the same as one in memory.
#[test]
fn a_load_in_batches_is_one_transaction() {
    let vde = Vde::in_memory().unwrap();
    let open =
        || TripleStoreOptions::new().cache(1 << 14).durability(Durability::Buffered).open_in(&vde).unwrap();
    let (mut store, memory) = (open(), TripleStore::in_memory());
    let in_graph = LoadOptions::new().graph(GRAPH);
    let steps: [Step<'_>; 6] = [
        &|store| Ok(store.load(text(0, 900).as_bytes(), RdfFormat::NQuads, "a")?.added),
        &|store| store.insert(&Quad::new(GRAPH, GRAPH, GRAPH, GRAPH)).map(u64::from),
        &|store| Ok(store.load(text(600, 1200).as_bytes(), RdfFormat::NQuads, "b")?.added),
        &|store| {
            let few = "<urn:s1> <urn:p1> <urn:o1>, <urn:o2> .";
            Ok(store.replace_with(few.as_bytes(), RdfFormat::Turtle, "c", &in_graph)?.removed)
        },
        &|store| store.remove_matching(None, Some(NamedNodeRef::new_unchecked("urn:p2")), None, None),
        &|store| store.clear(GraphNameRef::DefaultGraph),
    ];
    for (number, step) in steps.iter().enumerate() {
        assert_eq!(step(&store).unwrap(), step(&memory).unwrap(), "step {number}");
        assert_eq!(store.len(), memory.len());
        if number % 2 == 0 {
            store = open();
        }
        let (pages, terms) = (vde.list("p").count(), store.stats().unwrap().terms);
        if number == 2 {
            // A document that is refused at its end has moved quads to the disk.
            let refused = text(0, 900) + "oops";
            assert!(store.load(refused.as_bytes(), RdfFormat::NQuads, "refused").is_err());
            assert_eq!((vde.list("p").count(), store.stats().unwrap().terms), (pages, terms));
        }
        assert!(sorted(&store) == sorted(&memory), "step {number}");
    }
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
}

/// Beside loads and removals of very many quads, writers write, and readers see all quads of a load or none.
#[test]
fn writers_and_readers_work_beside_bulk_changes() {
    let store =
        TripleStoreOptions::new().durability(Durability::Buffered).open_in(&Vde::in_memory().unwrap());
    let store = store.unwrap();
    let document = text(0, 700);
    let quads = {
        let memory = TripleStore::in_memory();
        memory.load(document.as_bytes(), RdfFormat::NQuads, "a").unwrap();
        [GraphName::DefaultGraph, GRAPH.into_owned().into()]
            .map(|graph| memory.quads_for_pattern(None, None, None, Some(graph.as_ref())).count())
    };
    let own = |writer: u64, n: u64| {
        let subject = NamedNode::new_unchecked(format!("urn:writer{writer}"));
        Quad::new(subject, GRAPH, Literal::from(n), NamedNode::new_unchecked("urn:writers"))
    };
    let done = AtomicBool::new(false);
    let written: u64 = thread::scope(|scope| {
        let (store, done, own) = (&store, &done, &own);
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                scope.spawn(move || {
                    let mut written = 0;
                    while written < 300 {
                        assert!(store.insert(&own(writer, written)).unwrap());
                        assert!(store.contains(&own(writer, written)).unwrap());
                        // The document has this quad too.
                        let shared = NamedNode::new_unchecked(format!("urn:o{written}"));
                        let subject = NamedNode::new_unchecked(format!("urn:s{written}"));
                        let predicate = NamedNode::new_unchecked(format!("urn:p{}", written % 5));
                        store
                            .insert(&Quad::new(subject, predicate, shared, GraphName::DefaultGraph))
                            .unwrap();
                        written += 1;
                    }
                    written
                })
            })
            .collect();
        let reader = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let snapshot = store.snapshot();
                let found = snapshot.quads_for_pattern(None, None, None, Some(GRAPH.into())).count();
                assert!([0, quads[1]].contains(&found), "{found} of {}", quads[1]);
            }
        });
        for _ in 0..2 {
            store.load(document.as_bytes(), RdfFormat::NQuads, "a").unwrap();
            store.clear(GRAPH).unwrap();
        }
        store.load(document.as_bytes(), RdfFormat::NQuads, "a").unwrap();
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert_eq!(store.quads_for_pattern(None, None, None, Some(GRAPH.into())).count(), quads[1]);
    let graph = NamedNodeRef::new_unchecked("urn:writers");
    assert_eq!(store.quads_for_pattern(None, None, None, Some(graph.into())).count() as u64, written);
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
}
