//! What is copied of a damaged store, and what is said to be lost.

use oxrdf::{GraphName, Literal, NamedNode, Quad, Term, Triple};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use triple_store::{Durability, Error, Salvaged, TripleStore, TripleStoreOptions};
use vde_store::{Vde, VdeOptions};

/// The number of quads in the default graph, and in all.
const DEFAULT: u64 = 20;
const ALL: u64 = 62;

fn node(name: impl std::fmt::Display) -> NamedNode {
    NamedNode::new_unchecked(format!("http://example.com/{name}"))
}

fn open(path: &Path) -> TripleStore {
    let vde = VdeOptions::new().background(false).segment_size(1 << 18).open(path).unwrap();
    TripleStoreOptions::new().background(false).durability(Durability::Buffered).open_in(&vde).unwrap()
}

/// Quads with terms of every kind. The last one has a term that is stored in a value of its own.
fn checkpointed() -> Vec<Quad> {
    let quad = |n: u64| {
        let graph = if n.is_multiple_of(3) { GraphName::DefaultGraph } else { node("g").into() };
        let object: Term = match n % 4 {
            0 => Triple::new(node(n), node("p"), node("o")).into(),
            1 => Literal::new_typed_literal(format!("text {n}"), node("type")).into(),
            2 => Literal::new_language_tagged_literal_unchecked(format!("text {n}"), "en").into(),
            _ => Literal::from(n).into(),
        };
        Quad::new(node(n % 7), node("p"), object, graph)
    };
    let long = Literal::new_simple_literal("long ".repeat(2000));
    (0..60).map(quad).chain([Quad::new(node("s"), node("p"), long, node("g"))]).collect()
}

/// A store with a checkpoint, a commit that adds a quad with a new term, one that removes a quad, and a prefix.
fn create(path: &Path) {
    let store = open(path);
    store.extend(checkpointed()).unwrap();
    store.insert(&Quad::new(node("removed"), node("p"), node("o"), node("g"))).unwrap();
    store.checkpoint().unwrap();
    store.insert(&Quad::new(node("new"), node("p"), node("o"), node("g"))).unwrap();
    store.remove(&Quad::new(node("removed"), node("p"), node("o"), node("g"))).unwrap();
    store.set_namespace("ex", "http://example.com/").unwrap();
    assert_eq!(store.len(), ALL);
}

fn contents(store: &TripleStore) -> BTreeSet<String> {
    store.snapshot().iter().map(|quad| quad.unwrap().to_string()).collect()
}

/// What the salvage says, the content of the copy, and its prefixes.
type Copied = (Salvaged, BTreeSet<String>, Vec<(String, String)>);

/// The copy of a store. It is a store without a problem, and its content is what the salvage has said.
fn salvage(path: &Path) -> Result<Copied, Error> {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.vde");
    let salvaged = TripleStore::salvage(path, &copy)?;
    assert!(salvaged.lost_quads == 0 || !salvaged.lost.is_empty());
    let store = TripleStore::open(&copy).unwrap();
    assert_eq!(store.verify().unwrap().problems, [""; 0]);
    assert_eq!(store.len(), salvaged.quads);
    let again = TripleStore::salvage(path, &copy);
    assert!(matches!(again, Err(Error::InUse(_) | Error::Storage(_))), "the copy exists: {again:?}");
    Ok((salvaged, contents(&store), store.namespaces()))
}

struct Damaged {
    dir: tempfile::TempDir,
    expected: BTreeSet<String>,
}

impl Damaged {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        create(&dir.path().join("sound.vde"));
        let expected = contents(&open(&dir.path().join("sound.vde")));
        Self { dir, expected }
    }

    /// Replaces or removes some values, and salvages the rest.
    fn salvage(&self, damage: impl Fn(&Vde)) -> (Salvaged, BTreeSet<String>, usize) {
        let path = self.dir.path().join("damaged.vde");
        fs::copy(self.dir.path().join("sound.vde"), &path).unwrap();
        damage(&VdeOptions::new().background(false).open(&path).unwrap());
        let before = fs::read(&path).unwrap();
        let (salvaged, found, prefixes) = salvage(&path).unwrap();
        assert!(fs::read(&path).unwrap() == before, "the damaged file is not changed");
        assert!(found.is_subset(&self.possible()));
        (salvaged, found, prefixes.len())
    }

    /// The quads that the store has or had.
    fn possible(&self) -> BTreeSet<String> {
        let removed = Quad::new(node("removed"), node("p"), node("o"), node("g"));
        self.expected.iter().cloned().chain([removed.to_string()]).collect()
    }

    fn keys(&self, prefix: &str) -> Vec<Vec<u8>> {
        let vde = VdeOptions::new().background(false).open(self.dir.path().join("sound.vde")).unwrap();
        vde.list(prefix).map(|entry| entry.unwrap().into_key().to_vec()).collect()
    }
}

/// One value is missing or another one. Only what is stored once is lost, and the salvage says what.
#[test]
fn one_damaged_value_loses_only_what_is_stored_nowhere_else() {
    let store = Damaged::new();
    let (mut complete, mut lost) = (0, Vec::new());
    for key in store.keys("") {
        let letter = char::from(key[0]);
        // Another format is refused, and a store without its last commit is sound.
        let states = [false, true].into_iter();
        for is_missing in
            states.filter(|is_missing| !matches!((is_missing, letter), (false, 'f') | (true, 't')))
        {
            let (salvaged, found, prefixes) = store.salvage(|vde| {
                if is_missing {
                    assert!(vde.delete(&key).unwrap());
                } else {
                    vde.put(&key, "damage").map(drop).unwrap();
                }
            });
            if salvaged.lost.is_empty() {
                assert!(found == store.expected, "{letter}");
                complete += 1;
            } else {
                lost.push((letter, salvaged.lost_quads, salvaged.quads));
            }
            assert_eq!(prefixes, usize::from(letter != 'n'), "{letter}");
        }
    }
    // The manifest and its copy, seven orders and the index of terms. The version of the format and the prefix, if missing.
    assert_eq!(complete, 2 * (2 + 7 + 1) + 2, "{lost:?}");
}

/// Quads that are in no order are lost, and those of the other graphs are not.
#[test]
fn quads_in_no_order_are_counted() {
    let store = Damaged::new();
    let pages = store.keys("p");
    let damage =
        |pages: &[Vec<u8>]| store.salvage(|vde| assert!(pages.iter().all(|key| vde.delete(key).unwrap())));
    let (salvaged, found, _) = damage(&pages[..3]);
    assert_eq!((salvaged.lost_quads, salvaged.quads), (DEFAULT, ALL - DEFAULT));
    assert_eq!(found.len() as u64, ALL - DEFAULT);
    let (salvaged, ..) = damage(&pages[3..7]);
    assert_eq!(salvaged.quads, DEFAULT + 1);
    let (salvaged, ..) = damage(&pages[..7]);
    assert_eq!(salvaged.quads, 1, "the recent quad");
    assert!(salvaged.lost[0].contains("in no order"), "{:?}", salvaged.lost);
    // The recent quad has terms of the checkpoint.
    let (salvaged, ..) = damage(&pages);
    assert_eq!(salvaged.quads, 0);
    assert!(
        salvaged.lost.iter().any(|lost| lost.contains("<http://example.com/new> ?")),
        "{:?}",
        salvaged.lost
    );
}

/// Any wrong byte of the file: the copy has no quad that was never there, and what it lacks is said to be lost.
#[test]
fn a_wrong_byte_anywhere_loses_nothing_unsaid() {
    let store = Damaged::new();
    let path = store.dir.path().join("damaged.vde");
    let image = fs::read(store.dir.path().join("sound.vde")).unwrap();
    let (mut refused, mut complete, mut partial) = (0, 0, 0);
    for place in (0..image.len()).filter(|at| image[*at] != 0).step_by(149) {
        let mut damaged = image.clone();
        damaged[place] ^= 0x10;
        fs::write(&path, damaged).unwrap();
        let Ok((salvaged, found, _)) = salvage(&path) else {
            refused += 1;
            continue;
        };
        assert!(found.is_subset(&store.possible()), "byte {place}");
        if salvaged.lost.is_empty() {
            assert_eq!(found, store.expected, "byte {place}");
            complete += 1;
        } else {
            partial += 1;
        }
    }
    assert!(complete > 0 && partial > 0, "{refused} {complete} {partial}");
}

#[test]
fn other_files_are_no_stores() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("other.vde"), dir.path().join("copy.vde"));
    assert!(matches!(TripleStore::salvage(&path, &copy), Err(Error::Storage(_))), "there is no file");
    let vde = Vde::create(&path).unwrap();
    vde.put("a", "b").unwrap();
    assert!(matches!(TripleStore::salvage(&path, &copy), Err(Error::InUse(_))));
    drop(vde);
    assert!(matches!(TripleStore::salvage(&path, &copy), Err(Error::Corrupt(_))));
    assert!(!copy.exists());
}
