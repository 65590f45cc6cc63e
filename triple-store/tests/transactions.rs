//! Concurrent transactions and updates: the guarantees of isolation, and what a weaker isolation permits.

use oxrdf::{GraphName, Literal, NamedNode, Quad, Term};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;
use triple_store::{
    Durability, Error, Isolation, QueryResults, Transaction, TripleStore, TripleStoreOptions, UpdateOptions,
};

fn node(name: impl std::fmt::Display) -> NamedNode {
    NamedNode::new_unchecked(format!("urn:{name}"))
}

fn quad(subject: &str, object: i64) -> Quad {
    Quad::new(node(subject), node("value"), Literal::from(object), GraphName::DefaultGraph)
}

/// The only value of a subject.
fn value(store: &TripleStore, subject: &str) -> i64 {
    let quads: Vec<_> =
        store.quads_for_pattern(Some(node(subject).as_ref().into()), None, None, None).collect();
    let [Ok(Quad { object: Term::Literal(value), .. })] = &*quads else { panic!("{quads:?}") };
    value.value().parse().unwrap()
}

fn values(tx: &Transaction, subject: &str) -> Vec<i64> {
    tx.quads_for_pattern(Some(node(subject).as_ref().into()), None, None, None)
        .map(|quad| match quad.unwrap().object {
            Term::Literal(value) => value.value().parse().unwrap(),
            other => panic!("{other}"),
        })
        .collect()
}

const THREADS: i64 = 16;

fn increments_are_not_lost(increment: impl Fn(&TripleStore) + Sync, each: i64) {
    let dir = tempfile::tempdir().unwrap();
    let options = TripleStoreOptions::new().durability(Durability::Buffered);
    let store = options.open(dir.path().join("counter.vde")).unwrap();
    store.insert(&quad("counter", 0)).unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..each).for_each(|_| increment(&store)));
        }
    });
    assert_eq!(value(&store, "counter"), THREADS * each);
}

#[test]
fn no_increment_by_update_is_lost() {
    let update = "DELETE { <urn:counter> ?p ?n } INSERT { <urn:counter> ?p ?next }
                  WHERE { <urn:counter> ?p ?n BIND(?n + 1 AS ?next) }";
    increments_are_not_lost(|store| assert_eq!(store.update(update).unwrap().added, 1), 125);
}

#[test]
fn no_increment_by_an_update_that_does_not_name_its_subject_is_lost() {
    let update = "DELETE { ?s ?p ?n } INSERT { ?s ?p ?next } WHERE { ?s ?p ?n BIND(?n + 1 AS ?next) }";
    increments_are_not_lost(|store| assert_eq!(store.update(update).unwrap().removed, 1), 40);
}

fn increment(tx: &mut Transaction) -> Result<(), Error> {
    let [n] = values(tx, "counter")[..] else { panic!("one value") };
    assert!(tx.remove(&quad("counter", n))? && tx.insert(&quad("counter", n + 1))?);
    Ok(())
}

#[test]
fn no_increment_by_transaction_is_lost() {
    increments_are_not_lost(|store| store.transaction(increment).unwrap(), 50);
}

#[test]
fn no_increment_by_snapshot_transaction_is_lost() {
    increments_are_not_lost(|store| store.transaction_with(Isolation::Snapshot, increment).unwrap(), 50);
}

#[test]
fn no_increment_by_transaction_on_the_subject_is_lost() {
    increments_are_not_lost(
        |store| store.transaction_on([node("counter").as_ref().into()], increment).unwrap(),
        125,
    );
}

/// Runs two overlapping transactions, each of which adds to one side if the other side is empty. Returns how many
/// sides have a quad at the end.
fn write_skew(isolation: Isolation) -> usize {
    let store = TripleStore::in_memory();
    let both_have_read = Barrier::new(2);
    thread::scope(|scope| {
        for (mine, other) in [("left", "right"), ("right", "left")] {
            let (store, both_have_read) = (&store, &both_have_read);
            scope.spawn(move || {
                let first_run = Cell::new(true);
                store.transaction_with(isolation, |tx| {
                    let free = values(tx, other).is_empty();
                    if first_run.replace(false) {
                        both_have_read.wait();
                    }
                    if free {
                        tx.insert(&quad(mine, 1))?;
                    }
                    Ok::<_, Error>(())
                })
            });
        }
    });
    store.len() as usize
}

#[test]
fn serializable_transactions_do_not_skew() {
    assert_eq!(write_skew(Isolation::Serializable), 1);
}

/// The negative control of the test above: write skew happens where it is permitted.
#[test]
fn snapshot_transactions_do_skew() {
    assert_eq!(write_skew(Isolation::Snapshot), 2);
}

/// Each transaction adds a number that is larger than all existing ones. It reads by a wildcard, so it must detect
/// numbers that others add concurrently, although it has not read them.
#[test]
fn serializable_transactions_see_no_phantoms() {
    let store = TripleStore::in_memory();
    thread::scope(|scope| {
        for n in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..20 {
                    store
                        .transaction(|tx| {
                            let count = tx.quads_for_pattern(None, Some(node("value").as_ref()), None, None);
                            let next = i64::try_from(count.count()).unwrap();
                            tx.insert(&quad(&format!("{n}/{next}"), next))
                        })
                        .unwrap();
                }
            });
        }
    });
    let mut numbers: Vec<i64> = store
        .snapshot()
        .iter()
        .map(|quad| match quad.unwrap().object {
            Term::Literal(value) => value.value().parse().unwrap(),
            other => panic!("{other}"),
        })
        .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..160), "each count was seen once");
}

#[test]
fn a_transaction_sees_its_own_changes_and_others_see_all_or_none() {
    let store = TripleStore::in_memory();
    store.extend([quad("a", 1), quad("b", 1)]).unwrap();
    store
        .transaction(|tx| {
            assert!(tx.remove(&quad("a", 1))? && !tx.remove(&quad("a", 1))?);
            assert!(tx.insert(&quad("a", 2))? && !tx.insert(&quad("a", 2))?);
            assert!(tx.insert(&quad("a", 1))?, "removed and added again");
            assert_eq!(tx.remove_matching(Some(node("b").as_ref().into()), None, None, None)?, 1);
            assert_eq!(values(tx, "a").len(), 2);
            assert!(values(tx, "b").is_empty() && !tx.contains(&quad("b", 1))?);
            let QueryResults::Boolean(found) = tx.query("ASK { <urn:a> <urn:value> 2 }")? else { panic!() };
            assert!(found);
            assert!(store.contains(&quad("b", 1)).unwrap() && !store.contains(&quad("a", 2)).unwrap());
            Ok::<_, Error>(())
        })
        .unwrap();
    assert!(
        store.contains(&quad("a", 1)).unwrap() && store.contains(&quad("a", 2)).unwrap() && store.len() == 2
    );
}

#[test]
fn an_error_in_a_transaction_changes_nothing() {
    let store = TripleStore::in_memory();
    store.insert(&quad("a", 1)).unwrap();
    let result: Result<(), Error> = store.transaction(|tx| {
        tx.insert(&quad("a", 2))?;
        tx.remove(&quad("a", 1))?;
        Err(Error::Cancelled)
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    assert!(store.contains(&quad("a", 1)).unwrap() && store.len() == 1);
    let update = "INSERT DATA { <urn:a> <urn:value> 3 }; LOAD <urn:nowhere>";
    assert!(matches!(store.update(update), Err(Error::Unsupported(_))));
    assert_eq!(store.len(), 1, "the first operation did not happen either");
}

#[test]
fn a_panic_in_a_transaction_releases_its_stripes() {
    let store = TripleStore::in_memory();
    let panicked = thread::scope(|scope| {
        let run = || {
            store.transaction_on([node("a").as_ref().into()], |_| -> Result<(), Error> {
                panic!("on purpose")
            })
        };
        scope.spawn(run).join()
    });
    assert!(panicked.is_err());
    assert!(store.insert(&quad("a", 1)).unwrap());
}

#[test]
fn a_transaction_on_subjects_touches_no_other() {
    let store = TripleStore::in_memory();
    let outside = |run: &dyn Fn(&mut Transaction) -> Result<(), Error>| {
        let result = store.transaction_on([node("a").as_ref().into()], run);
        assert!(matches!(result, Err(Error::OutsideTransaction)), "{result:?}");
    };
    outside(&|tx| tx.insert(&quad("b", 1)).map(drop));
    outside(&|tx| tx.contains(&quad("b", 1)).map(drop));
    outside(&|tx| tx.quads_for_pattern(None, None, None, None).try_for_each(|quad| quad.map(drop)));
    outside(&|tx| tx.remove_matching(None, None, None, None).map(drop));
    outside(&|tx| tx.update("DELETE WHERE { ?s ?p ?o }"));
    assert!(store.is_empty());
}

#[test]
fn a_transaction_on_subjects_looks_up_what_exists_for_them() {
    let store = TripleStore::in_memory();
    store
        .update("INSERT DATA { <urn:a> <urn:p> 1, 2, 3, 4, 5, 6, 7 ; <urn:q> 4 . <urn:b> <urn:q> 9 }")
        .unwrap();
    let query =
        "SELECT ?v { VALUES ?s { <urn:a> } ?s <urn:p> ?v FILTER EXISTS { ?s <urn:q> ?w FILTER(?w > ?v) } }";
    let count = |results| match results {
        QueryResults::Solutions(rows) => rows.map(Result::unwrap).count(),
        _ => panic!("a SELECT has solutions"),
    };
    assert_eq!(count(store.query(query).unwrap()), 3);
    let within = store.transaction_on([node("a").as_ref().into()], |tx| tx.query(query).map(count));
    assert_eq!(within.unwrap(), 3);
}

#[test]
fn no_reader_sees_half_of_an_update() {
    let store = TripleStore::in_memory();
    store.update("INSERT DATA { <urn:left> <urn:value> 0 . <urn:right> <urn:value> 0 }").unwrap();
    let update = "DELETE { <urn:left> ?p ?n } INSERT { <urn:left> ?p ?m } WHERE { <urn:left> ?p ?n BIND(?n + 1 AS ?m) };
                  DELETE { <urn:right> ?p ?n } INSERT { <urn:right> ?p ?m } WHERE { <urn:right> ?p ?n BIND(?n + 1 AS ?m) }";
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let query = "ASK { <urn:left> <urn:value> ?n . <urn:right> <urn:value> ?n }";
                        assert!(matches!(store.query(query).unwrap(), QueryResults::Boolean(true)));
                    }
                })
            })
            .collect();
        let writers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..50).for_each(|_| _ = store.update(update).unwrap()))).collect();
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!((value(&store, "left"), value(&store, "right")), (200, 200));
}

#[test]
fn a_quad_that_is_added_and_removed_repeatedly_is_counted_and_merged_away() {
    let options = triple_store::TripleStoreOptions::new().checkpoint_after(500).background(false);
    let store = options.in_memory();
    let update = |text: &str| store.update(text).unwrap();
    let held = store.snapshot();
    for round in 0..3000 {
        update("INSERT DATA { <urn:s> <urn:p> 1 }");
        assert!(!store.is_empty(), "{round}");
        update("DELETE DATA { <urn:s> <urn:p> 1 }");
        assert!(store.stats().unwrap().recent <= 1000, "{round}: {:?}", store.stats());
    }
    assert!(store.is_empty() && held.is_empty());
    assert_eq!(store.verify().unwrap().problems, Vec::<String>::new());
}

/// A store of which [`SLOW`] reads many patterns.
fn with_many_subjects() -> TripleStore {
    let store = TripleStore::in_memory();
    let quad =
        |n: u64, predicate| Quad::new(node(n), node(predicate), Literal::from(1), GraphName::DefaultGraph);
    let quads: Vec<_> = (0..SUBJECTS).flat_map(|n| [quad(n, "p"), quad(n, "q")]).collect();
    store.extend(quads).unwrap();
    store
}

const SUBJECTS: u64 = 5000;

const SLOW: &str =
    "INSERT { ?s <urn:r> ?x } WHERE { ?s <urn:p> ?o . ?s <urn:q> ?q . BIND(<urn:f>(?o) AS ?x) }";

/// Runs [`SLOW`], and `beside` on another thread once the first row is evaluated. The update goes on when that has ended. Returns how
/// many rows were evaluated.
fn slow_beside(store: &TripleStore, beside: impl FnOnce() + Send) -> u64 {
    let (rows, started, ended) = (Arc::new(AtomicU64::new(0)), channel(), channel());
    let (count, start) = (Arc::clone(&rows), started.0);
    let end = Mutex::new(ended.1);
    let options = UpdateOptions::new().function(node("f"), move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            start.send(()).unwrap();
            end.lock()
                .unwrap()
                .recv_timeout(Duration::from_mins(1))
                .expect("the other writer waits for the update");
        }
        Some(Literal::from(2).into())
    });
    thread::scope(|scope| {
        let (started, ended) = (started.1, ended.0);
        scope.spawn(move || {
            started.recv().unwrap();
            beside();
            ended.send(()).unwrap();
        });
        store.update_with(SLOW, &options).unwrap();
    });
    rows.load(Ordering::SeqCst)
}

#[test]
fn a_slow_update_of_any_subject_neither_waits_for_an_unrelated_insert_nor_makes_it_wait() {
    let store = with_many_subjects();
    let rows =
        slow_beside(&store, || store.update("INSERT DATA { <urn:1> <urn:other> 1 }").map(drop).unwrap());
    assert_eq!(rows, SUBJECTS, "it was evaluated once");
    assert_eq!(store.len(), 3 * SUBJECTS + 1);
}

#[test]
fn a_slow_update_sees_what_was_inserted_meanwhile() {
    let store = with_many_subjects();
    let insert = "INSERT DATA { <urn:new> <urn:p> 1 ; <urn:q> 1 }";
    let rows = slow_beside(&store, || store.update(insert).map(drop).unwrap());
    assert_eq!(rows, 2 * SUBJECTS + 1, "it was evaluated again");
    assert_eq!(
        store.quads_for_pattern(None, Some(node("r").as_ref()), None, None).count() as u64,
        SUBJECTS + 1
    );
}
