//! Concurrent threads.

use oxrdf::{GraphName, Literal, NamedNode, NamedNodeRef, Quad};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use triple_store::TripleStore;

fn node(name: impl std::fmt::Display) -> NamedNode {
    NamedNode::new_unchecked(format!("http://example.com/{name}"))
}

fn quad(subject: impl std::fmt::Display, object: u64) -> Quad {
    Quad::new(node(subject), node("p"), Literal::from(object), GraphName::DefaultGraph)
}

/// Runs `work` in `count` threads, each with its number.
fn threads(count: usize, work: impl Fn(usize) + Sync) {
    let work = &work;
    thread::scope(|scope| {
        for n in 0..count {
            scope.spawn(move || work(n));
        }
    });
}

#[test]
fn sixteen_threads_with_a_thousand_subjects_each_lose_nothing() {
    let store = TripleStore::in_memory();
    threads(16, |n| (0..1000).for_each(|i| assert!(store.insert(&quad(format!("{n}/{i}"), 1)).unwrap())));
    assert_eq!(store.len(), 16_000);
    assert_eq!(store.snapshot().iter().count(), 16_000);
}

#[test]
fn sixteen_threads_on_one_subject_lose_nothing() {
    let store = TripleStore::in_memory();
    threads(16, |n| (0..100).for_each(|i| assert!(store.insert(&quad("s", (n * 100 + i) as u64)).unwrap())));
    assert_eq!(store.len(), 1600);
    assert_eq!(store.quads_for_pattern(Some(node("s").as_ref().into()), None, None, None).count(), 1600);
}

#[test]
fn eight_threads_add_and_remove_the_same_quads() {
    let store = TripleStore::in_memory();
    let (added, removed) = (AtomicU64::new(0), AtomicU64::new(0));
    threads(8, |n| {
        for i in 0..500 {
            let quad = quad(i % 50, 1);
            if (i + n) % 2 == 0 {
                added.fetch_add(u64::from(store.insert(&quad).unwrap()), Ordering::Relaxed);
            } else {
                removed.fetch_add(u64::from(store.remove(&quad).unwrap()), Ordering::Relaxed);
            }
        }
    });
    // Each success added or removed one quad, so the difference must equal the number of quads that are left.
    let left = added.into_inner() - removed.into_inner();
    assert_eq!((store.len(), store.snapshot().iter().count() as u64), (left, left));
}

/// No quad survives a removal that began after its addition was acknowledged and ended before it was added again. No
/// quad is missing without a removal that can have removed it. Each quad is added twice: the result of the second
/// addition says whether it existed then, and the final state whether it exists now.
#[test]
fn additions_and_wildcard_removals_exclude_each_other() {
    let store = TripleStore::in_memory();
    let (clock, stop) = (AtomicU64::new(1), AtomicBool::new(false));
    let (added, emptied) = (AtomicU64::new(0), AtomicU64::new(0));
    let tick = || clock.fetch_add(1, Ordering::SeqCst);
    let (removals, written) = thread::scope(|scope| {
        // For every schedule of the threads, both cases below occur. Between two removals at least 200 quads are added.
        // So one of the four writers adds at least 50, and no removal runs during most of its additions. The writers
        // continue until there were 10 removals.
        let remover = scope.spawn(|| {
            let mut removals = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let began = tick();
                store.remove_matching(None, Some(node("p").as_ref()), None, None).unwrap();
                removals.push((began, tick()));
                emptied.fetch_add(1, Ordering::Relaxed);
                let enough = added.load(Ordering::Relaxed) + 200;
                while added.load(Ordering::Relaxed) < enough && !stop.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
            }
            removals
        });
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let (store, tick, added, emptied) = (&store, &tick, &added, &emptied);
                scope.spawn(move || {
                    let add = |i: u64| {
                        let began = tick();
                        let was_there = !store.insert(&quad(format!("{n}/{i}"), 1)).unwrap();
                        added.fetch_add(1, Ordering::Relaxed);
                        (was_there, began, tick())
                    };
                    let mut first = Vec::new();
                    let mut again = Vec::new();
                    while first.len() < 1000 || emptied.load(Ordering::Relaxed) < 10 {
                        let i = first.len() as u64;
                        first.push(add(i));
                        if i >= 5 {
                            again.push(add(i - 5));
                        }
                    }
                    again.extend((again.len()..first.len()).map(|i| add(i as u64)));
                    (n, first, again)
                })
            })
            .collect();
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        (remover.join().unwrap(), written)
    });
    // Whether a quad that was added at time `added` must be absent, or must be present, at time `now`.
    let gone = |added: u64, now: u64| removals.iter().any(|(began, ended)| *began > added && *ended < now);
    let there = |added: u64, now: u64| !removals.iter().any(|(began, ended)| *ended > added && *began < now);
    let (mut seen_gone, mut seen_there) = (0, 0);
    for (n, first, again) in written {
        for (i, ((_, began, added), (was_there, again_began, again_added))) in
            first.into_iter().zip(again).enumerate()
        {
            assert!(!(gone(added, again_began) && was_there), "{n}/{i} survived a removal");
            assert!(!there(began, again_added) || was_there, "{n}/{i} was lost");
            let is_there = store.contains(&quad(format!("{n}/{i}"), 1)).unwrap();
            assert!(!(gone(again_added, u64::MAX) && is_there), "{n}/{i} survived a removal");
            assert!(!there(again_began, u64::MAX) || is_there, "{n}/{i} was lost");
            seen_gone += u64::from(gone(added, again_began) || gone(again_added, u64::MAX));
            seen_there += u64::from(there(began, again_added) || there(again_began, u64::MAX));
        }
    }
    assert!(seen_gone > 0 && seen_there > 0, "both cases must occur: {seen_gone} {seen_there}");
}

#[test]
fn a_pair_in_two_stripes_is_never_seen_half() {
    let store = TripleStore::in_memory();
    let pair = |i: u64| [quad("left", i), quad("right", i)];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let snapshot = store.snapshot();
                    let count = |subject: &str| {
                        snapshot
                            .quads_for_pattern(Some(node(subject).as_ref().into()), None, None, None)
                            .count()
                    };
                    let (left, right, again) = (count("left"), count("right"), count("left"));
                    assert_eq!((left, left), (right, again));
                    assert_eq!(snapshot.len(), 2 * left as u64);
                }
            });
        }
        for i in 0..3000 {
            store.extend(pair(i)).unwrap();
            if i % 100 == 99 {
                store.remove_matching(None, None, None, None).unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn bulk_additions_in_opposite_orders_do_not_deadlock() {
    let store = TripleStore::in_memory();
    threads(8, |n| {
        for i in 0..50 {
            let mut quads: Vec<_> = (0..64).map(|s| quad(s, (n * 50 + i) as u64)).collect();
            if n % 2 == 1 {
                quads.reverse();
            }
            assert_eq!(store.extend(quads).unwrap(), 64);
        }
    });
    assert_eq!(store.len(), 8 * 50 * 64);
}

#[test]
fn wildcard_removals_are_not_starved() {
    let store = TripleStore::in_memory();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..4 {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                for i in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    store.insert(&quad(format!("{n}/{}", i % 1000), 1)).unwrap();
                }
            });
        }
        let predicate = NamedNodeRef::new_unchecked("http://example.com/p");
        // A removal that finds a quad has run between additions. If removals starved, this would not end.
        let mut between = 0;
        while between < 50 {
            between += u64::from(store.remove_matching(None, Some(predicate), None, None).unwrap() > 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn snapshots_stay_constant_under_writers() {
    let store = TripleStore::in_memory();
    store.extend((0..500).map(|i| quad(i, 1))).unwrap();
    let read = |snapshot: &triple_store::Snapshot| {
        let mut quads: Vec<_> = snapshot.iter().map(|quad| quad.unwrap().to_string()).collect();
        quads.sort();
        quads
    };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                store.remove(&quad(i % 500, 1)).unwrap();
                store.insert(&quad(i % 700, 2)).unwrap();
                store.insert(&quad((i + 250) % 500, 1)).unwrap();
            }
        });
        for _ in 0..20 {
            let snapshot = store.snapshot();
            let first = read(&snapshot);
            assert_eq!(first.len() as u64, snapshot.len());
            for _ in 0..5 {
                assert_eq!(read(&snapshot), first);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn snapshots_and_writers_outlive_checkpoints() {
    let store = TripleStore::in_memory();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                store.checkpoint().unwrap();
            }
        });
        let writers: Vec<_> = (0..4u64)
            .map(|n| {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..2000 {
                        let subject = format!("{n}/{}", i % 100);
                        assert!(store.insert(&quad(&subject, i)).unwrap());
                        if i >= 100 {
                            assert!(store.remove(&quad(&subject, i - 100)).unwrap());
                        }
                    }
                })
            })
            .collect();
        let mut held = Vec::new();
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let snapshot = store.snapshot();
            held.push((snapshot.iter().count() as u64, snapshot));
            held.drain(..held.len().saturating_sub(20)).for_each(|(count, snapshot)| {
                assert_eq!((snapshot.len(), snapshot.iter().count() as u64), (count, count));
            });
        }
        for (count, snapshot) in held {
            assert_eq!((snapshot.len(), snapshot.iter().count() as u64), (count, count));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(store.len(), 400);
    assert!(store.verify().unwrap().problems.is_empty());
}

#[test]
fn a_bulk_load_and_single_writers_lose_nothing_of_each_other() {
    let store = TripleStore::in_memory();
    let bulk =
        |n: u64| -> Vec<Quad> { (0..70_000).map(|i| quad(format!("bulk/{n}/{}", i % 7000), i)).collect() };
    thread::scope(|scope| {
        for n in 0..2 {
            let store = &store;
            scope.spawn(move || assert_eq!(store.extend(bulk(n)).unwrap(), 70_000));
            scope.spawn(move || {
                (0..2000).for_each(|i| assert!(store.insert(&quad(format!("one/{n}/{i}"), i)).unwrap()));
            });
        }
    });
    assert_eq!(store.extend(bulk(0)).unwrap(), 0, "all of it was there");
    assert_eq!((store.len(), store.snapshot().iter().count()), (144_000, 144_000));
    assert!(store.verify().unwrap().problems.is_empty());
}
