//! Quads and terms that are read from the disk when they are needed: damage on the disk, readers of earlier runs, and
//! compaction.

use oxrdf::{GraphName, Literal, NamedNode, Quad};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use triple_store::{Durability, Error, QueryResults, RdfFormat, TripleStore, TripleStoreOptions};
use vde_store::testing::SimDisk;
use vde_store::{Device, Vde, VdeOptions};

/// A disk that returns one wrong bit.
struct Damaged {
    disk: Arc<dyn Device>,
    /// The place of the wrong byte.
    at: Arc<AtomicU64>,
}

const NOWHERE: u64 = u64::MAX;

impl Device for Damaged {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.read_at(buf, offset)?;
        let at = self.at.load(Ordering::Relaxed).checked_sub(offset);
        if let Some(byte) = at.and_then(|at| buf.get_mut(usize::try_from(at).unwrap())) {
            *byte ^= 0x10;
        }
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }
}

const SUBJECTS: u64 = 12;

fn node(name: impl std::fmt::Display) -> NamedNode {
    NamedNode::new_unchecked(format!("http://example.com/{name}"))
}

fn quads() -> impl Iterator<Item = Quad> {
    (0..SUBJECTS * 20).map(|n| {
        let graph = if n % 3 == 0 { GraphName::DefaultGraph } else { node(format!("g{}", n % 2)).into() };
        Quad::new(node(format!("s{}", n % SUBJECTS)), node(format!("p{}", n % 7)), node(n / 5), graph)
    })
}

fn vde(disk: &SimDisk, at: &Arc<AtomicU64>) -> vde_store::Result<Vde> {
    let device = Damaged { disk: disk.device(), at: Arc::clone(at) };
    VdeOptions::new().background(false).segment_size(1 << 18).open_device(Arc::new(device))
}

fn open(vde: &Vde, cache: usize) -> Result<TripleStore, Error> {
    TripleStoreOptions::new().background(false).durability(Durability::Buffered).cache(cache).open_in(vde)
}

/// What the store answers to all kinds of questions.
fn answers(store: &TripleStore) -> Vec<Result<String, Error>> {
    let ask = |query: &str| -> Result<String, Error> {
        Ok(match store.query(query)? {
            QueryResults::Solutions(rows) => {
                let mut rows = rows
                    .map(|row| Ok(format!("{:?}", row?.values())))
                    .collect::<Result<Vec<String>, Error>>()?;
                rows.sort_unstable();
                rows.join("\n")
            }
            QueryResults::Boolean(answer) => answer.to_string(),
            QueryResults::Graph(_) => unreachable!("no query asks for a graph"),
        })
    };
    let scan = || -> Result<String, Error> {
        let mut lines =
            store.snapshot().iter().map(|quad| Ok(quad?.to_string())).collect::<Result<Vec<_>, Error>>()?;
        lines.sort_unstable();
        Ok(lines.join("\n"))
    };
    let there = Quad::new(node("s1"), node("p1"), node(0), node("g1"));
    let absent = Quad::new(node("s1"), node("p1"), node(0), node("g0"));
    vec![
        store.contains(&there).map(|found| found.to_string()),
        store.contains(&absent).map(|found| found.to_string()),
        store.stats().map(|stats| format!("{stats:?}")),
        store.snapshot().named_graphs().map(|graphs| format!("{graphs:?}")),
        scan(),
        ask("SELECT (COUNT(*) AS ?n) { GRAPH ?g { ?s ?p ?o } }"),
        ask("SELECT ?g ?o { GRAPH ?g { <http://example.com/s3> <http://example.com/p3> ?o } }"),
        ask("SELECT ?s ?p { ?s ?p <http://example.com/7> }"),
        ask("SELECT ?s ?o ?b { ?s <http://example.com/p2> ?o . ?s <http://example.com/p4> ?b }"),
        ask("ASK { GRAPH <http://example.com/g0> { ?s <http://example.com/p5> ?o } }"),
        ask("SELECT ?x { <http://example.com/s1> (<http://example.com/p1>|^<http://example.com/p1>)+ ?x }"),
    ]
}

/// Whatever byte is wrong, and whether it is wrong before the store is opened or only later: each answer is right or
/// an error.
#[test]
fn a_wrong_byte_anywhere_gives_no_wrong_answer() {
    let (disk, at) = (SimDisk::new(), Arc::new(AtomicU64::new(NOWHERE)));
    let expected: Vec<_> = {
        let vde = vde(&disk, &at).unwrap();
        let store = open(&vde, usize::MAX).unwrap();
        store.extend(quads()).unwrap();
        store.checkpoint().unwrap();
        vde.checkpoint().unwrap();
        answers(&store).into_iter().map(Result::unwrap).collect()
    };
    let image = disk.contents();
    let (mut refused, mut wrong_later) = (0, 0);
    // An odd step meets every kind of field.
    for place in (0..image.len()).filter(|at| image[*at] != 0).step_by(251) {
        for later in [false, true] {
            let disk = SimDisk::holding(&image);
            at.store(if later { NOWHERE } else { place as u64 }, Ordering::Relaxed);
            let Ok(store) = vde(&disk, &at).map_err(Error::from).and_then(|vde| open(&vde, 0)) else {
                refused += 1;
                continue;
            };
            at.store(place as u64, Ordering::Relaxed);
            for (number, (found, expected)) in answers(&store).iter().zip(&expected).enumerate() {
                match found {
                    Ok(found) => assert!(found == expected, "byte {place}, answer {number}: {found}"),
                    Err(Error::Storage(_) | Error::Corrupt(_)) => wrong_later += usize::from(later),
                    Err(error) => panic!("byte {place}, answer {number}: {error}"),
                }
            }
        }
    }
    assert!(refused > 0 && wrong_later > 0, "{refused} refused, {wrong_later} errors after opening");
}

/// Damages each of the nine pages of a store. Returns how many of the stores are refused, how many give all answers, and how
/// many are repaired.
fn damage_each_page(has_recent_quads: bool) -> (u32, u32, u32) {
    let (mut refused, mut right, mut repaired) = (0, 0, 0);
    for damaged in 0..9 {
        let vde = Vde::in_memory().unwrap();
        let store = open(&vde, 0).unwrap();
        store.extend(quads()).unwrap();
        store.checkpoint().unwrap();
        if has_recent_quads {
            store.insert(&Quad::new(node("s1"), node("p1"), node("recent"), node("g1"))).unwrap();
        }
        let expected: Vec<_> = answers(&store).into_iter().map(Result::unwrap).collect();
        drop(store);
        let pages: Vec<_> = vde.list("p").map(|entry| entry.unwrap().into_key()).collect();
        assert_eq!(pages.len(), 9);
        vde.put(&pages[damaged], "damage").unwrap();

        let Ok(store) = open(&vde, 0) else {
            refused += 1;
            continue;
        };
        let found: Vec<_> = answers(&store).into_iter().map(Result::ok).collect();
        let agree =
            |(found, expected): (&Option<String>, &String)| found.as_ref().is_none_or(|f| f == expected);
        assert!(found.iter().zip(&expected).all(agree));
        right += u32::from(found.iter().all(Option::is_some));
        assert!(!store.verify().unwrap().problems.is_empty());
        if store.repair().unwrap() {
            repaired += 1;
            for store in [&store, &open(&vde, 0).unwrap()] {
                assert_eq!(answers(store).into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
                assert_eq!(store.verify().unwrap().problems, [""; 0]);
                assert!(!store.repair().unwrap());
            }
            assert!(store.remove(&quads().next().unwrap()).unwrap());
            store.checkpoint().unwrap();
            assert_eq!(store.verify().unwrap().problems, [""; 0]);
        }
    }
    (refused, right, repaired)
}

/// A damaged chunk of quads is answered from another order, and written again by a repair. So is the index of terms. A block of
/// terms is stored once.
#[test]
fn a_damaged_page_is_repaired_from_the_others() {
    assert_eq!(damage_each_page(false), (0, 7, 8));
}

/// Recent quads are read from their records when the store is opened, and then both the index and the block are needed.
#[test]
fn a_damaged_order_does_not_prevent_opening() {
    assert_eq!(damage_each_page(true), (2, 7, 7));
}

/// A quad that can be read in no order is lost. A repair says so, and changes nothing.
#[test]
fn a_repair_that_would_lose_quads_is_refused() {
    let vde = Vde::in_memory().unwrap();
    let store = open(&vde, 0).unwrap();
    store.extend(quads()).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    let pages: Vec<_> = vde.list("p").map(|entry| entry.unwrap().into_key()).collect();
    for page in &pages {
        vde.put(page, "damage").unwrap();
    }
    let store = open(&vde, 0).unwrap();
    assert!(matches!(store.repair(), Err(Error::Corrupt(lost)) if lost.contains("in no order")));
    assert_eq!(vde.list("p").count(), pages.len());
}

/// A snapshot reads its run although later checkpoints have replaced it, and their chunks are deleted once it is gone.
#[test]
fn a_snapshot_outlives_the_run_that_it_reads() {
    let (disk, at) = (SimDisk::new(), Arc::new(AtomicU64::new(NOWHERE)));
    let vde = vde(&disk, &at).unwrap();
    let store = open(&vde, 0).unwrap();
    let chunks = || vde.list("p").count();
    store.extend(quads()).unwrap();
    store.checkpoint().unwrap();
    let (kept, before) = (store.snapshot(), chunks());
    for _ in 0..3 {
        store.update("DELETE WHERE { GRAPH ?g { ?s ?p ?o } }").unwrap();
        store.checkpoint().unwrap();
        store.extend(quads().take(50)).unwrap();
        store.checkpoint().unwrap();
    }
    assert_eq!(kept.iter().map(Result::unwrap).count() as u64, kept.len());
    assert_eq!(kept.len(), quads().collect::<std::collections::HashSet<_>>().len() as u64);
    assert!(chunks() > before);
    drop(kept);
    store.insert(&quads().last().unwrap()).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(chunks(), 9, "one for each order, one for the index of the terms, and one block of terms");
}

/// Loads, updates and merges need no more of the run in memory than the cache has.
#[test]
fn a_store_larger_than_its_cache_answers_as_one_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let options = || TripleStoreOptions::new().cache(1 << 20).durability(Durability::Buffered);
    let line = |n: u64| format!("<urn:s{}> <urn:p{}> <urn:o{}> .\n", n % 9973, n % 11, n % 4007);
    let text: String = (0..70_000).map(line).collect();
    let memory = TripleStore::in_memory();
    let change =
        "DELETE { ?s ?p ?o } INSERT { ?o ?p ?s } WHERE { ?s ?p ?o . FILTER(?p = <urn:p3> && ?o < <urn:o2>) }";
    {
        let store = options().open(&path).unwrap();
        for store in [&store, &memory] {
            store.load(text.as_bytes(), RdfFormat::NTriples, "text").unwrap();
            store.update(change).unwrap();
            store.checkpoint().unwrap();
        }
    }
    let store = options().open(&path).unwrap();
    let count = |store: &TripleStore| -> Vec<String> {
        let query = "SELECT ?p (COUNT(?o) AS ?n) { ?s ?p ?o } GROUP BY ?p ORDER BY ?p";
        let QueryResults::Solutions(rows) = store.query(query).unwrap() else { unreachable!("SELECT") };
        rows.map(|row| row.unwrap().iter().map(|(_, value)| value.to_string()).collect()).collect()
    };
    assert_eq!(count(&store), count(&memory));
    assert_eq!(store.len(), memory.len());
    assert!(store.verify().unwrap().problems.is_empty());
}

/// Terms that only refused documents had are gone when the store is opened again. Those of quads stay, in whatever way
/// the quads came.
#[test]
fn a_refused_document_leaves_no_terms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let open = || TripleStoreOptions::new().durability(Durability::Buffered).open(&path).unwrap();
    let text = |name: &str, quads: u64| -> String {
        let own =
            |n| format!("<urn:{name}:s{n}> <urn:{name}:p> \"a text of {name}, {n}\"^^<urn:{name}:type> .\n");
        (0..quads).map(own).collect()
    };
    let load = |store: &TripleStore, text: &str| store.load(text.as_bytes(), RdfFormat::NTriples, "text");
    let (terms, quads) = {
        let store = open();
        load(&store, &text("few", 10)).unwrap();
        // A document of this length is written to a run at once, without records.
        load(&store, &text("many", 70_000)).unwrap();
        store.checkpoint().unwrap();
        (store.stats().unwrap().terms, store.len())
    };
    {
        let store = open();
        assert!(load(&store, &(text("refused", 1000) + "oops")).is_err());
        store
            .remove(&Quad::new(node("absent"), node("absent"), node("absent"), GraphName::DefaultGraph))
            .unwrap();
        assert!(store.stats().unwrap().terms > terms + 2000);
        load(&store, "<urn:last> <urn:last> <urn:last> .").unwrap();
        load(&store, &text("further", 100)).unwrap();
        store.update("DELETE WHERE { <urn:last> ?p ?o }").unwrap();
        store.checkpoint().unwrap();
        assert!(store.verify().unwrap().problems.is_empty());
    }
    let store = open();
    let verified = store.verify().unwrap();
    assert_eq!(verified.problems, [""; 0]);
    assert_eq!((verified.quads, store.len()), (quads + 100, quads + 100));
    assert_eq!(verified.terms, terms + 1 + 202, "<urn:last> was in a quad");
}

/// Long terms are values of their own. Those that a checkpoint has moved to the disk are found and read there, also by a
/// store that has no cache, and their numbers stay.
#[test]
fn terms_on_the_disk_are_found_and_read() {
    let (disk, at) = (SimDisk::new(), Arc::new(AtomicU64::new(NOWHERE)));
    let vde = vde(&disk, &at).unwrap();
    let literal = |n: usize| Literal::new_simple_literal(format!("{n} {}", "long ".repeat(n * n)));
    let quad = |n: usize| {
        let (subject, predicate) = (node(format!("s{}", n % 3)), node("text"));
        Quad::new(subject, predicate, literal(n), GraphName::DefaultGraph)
    };
    for round in 0..3 {
        // The first numbers of each round are known already.
        let store = open(&vde, 0).unwrap();
        let texts: Vec<_> = (0..20 * (round + 1)).map(quad).collect();
        assert_eq!(store.extend(texts.clone()).unwrap(), 20);
        for checkpoint in [false, true] {
            if checkpoint {
                store.checkpoint().unwrap();
            }
            let found: std::collections::HashSet<_> = store.snapshot().iter().map(Result::unwrap).collect();
            assert_eq!(found, texts.iter().cloned().collect());
            assert!(texts.iter().all(|quad| store.contains(quad).unwrap()));
            assert!(!store.contains(&quad(20 * (round + 1))).unwrap());
            assert_eq!(store.stats().unwrap().terms as usize, 4 + texts.len() - 2, "two literals are short");
            assert_eq!(store.verify().unwrap().problems, [""; 0]);
        }
    }
    assert_eq!(open(&vde, 0).unwrap().extend((0..60).map(quad)).unwrap(), 0);
}

/// Terms go that no quad has. Parts of terms stay with them. The file shrinks.
#[test]
fn compaction_removes_the_terms_of_no_quad() {
    let (disk, at) = (SimDisk::new(), Arc::new(AtomicU64::new(NOWHERE)));
    let vde = vde(&disk, &at).unwrap();
    let mut store = open(&vde, 0).unwrap();
    let load = |store: &TripleStore, text: &str| store.load(text.as_bytes(), RdfFormat::NTriples, "text");
    for round in 0..3 {
        let line =
            |n: u64| format!("<urn:s{round}:{n}> <urn:p> \"text {n} of {round}\"^^<urn:type{round}> .\n");
        load(&store, &(0..2000).map(line).collect::<String>()).unwrap();
        let long = "long ".repeat(5000);
        load(&store, &format!("<urn:p> <urn:p> \"{long}{round}\" .")).unwrap();
        store.checkpoint().unwrap();
        store.update("CLEAR ALL").unwrap();
    }
    let long = "kept ".repeat(5000);
    store
        .update(&format!(
            "INSERT DATA {{ <urn:s1:7> <urn:says> <<( <urn:a> <urn:b> 'a typed text'^^<urn:type1> )>>, '{long}' }}"
        ))
        .unwrap();
    assert!(load(&store, "<urn:refused> <urn:refused> <urn:refused> .\noops").is_err());
    let contents = |store: &TripleStore| -> Vec<String> {
        store.snapshot().iter().map(|quad| quad.unwrap().to_string()).collect()
    };
    let (before, values) = (contents(&store), vde.list([]).count());
    let reader = store.snapshot();
    assert!(matches!(store.compact(), Err(Error::Unsupported(_))), "the snapshot may read any term");
    drop(reader);
    let terms = store.stats().unwrap().terms;
    let compacted = store.compact().unwrap();
    // The subject, the predicate, the four of the triple term with its datatype, itself, and the long text.
    assert_eq!((store.stats().unwrap().terms, compacted.terms), (8, terms - 8));
    assert_eq!(vde.list("l").count(), 1, "long texts are values of their own");
    assert!(vde.list([]).count() < values / 3);
    for _ in 0..2 {
        assert_eq!(contents(&store), before);
        let verified = store.verify().unwrap();
        assert_eq!((verified.terms, verified.problems), (8, Vec::<String>::new()));
        store = open(&vde, 0).unwrap();
    }
    load(&store, "<urn:s0:1> <urn:p> \"text 1 of 0\"^^<urn:type0> .").unwrap();
    store.checkpoint().unwrap();
    assert_eq!(contents(&store).len(), 3);
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
}

#[test]
fn a_store_of_an_older_format_says_what_to_do() {
    let vde = Vde::in_memory().unwrap();
    vde.put("f", "triple-store 3").unwrap();
    let error = TripleStoreOptions::new().open_in(&vde).unwrap_err().to_string();
    assert!(
        error.contains("\"triple-store 3\"") && error.contains("`dump`") && error.contains("`load`"),
        "{error}"
    );
}
