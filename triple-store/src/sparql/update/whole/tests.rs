//! Tests of changes of whole graphs. In unit tests, 256 quads are very many.

use super::super::parse;
use super::*;
use crate::storage::planted::{self, Bug};
use crate::{CancellationToken, TripleStoreOptions};
use oxrdf::{GraphName, Literal, NamedNode, Quad};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::thread;
use vde_store::Vde;

/// The generator xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    fn quad(&mut self) -> Quad {
        let node = |name: &str, n: u64| NamedNode::new_unchecked(format!("urn:{name}{n}"));
        let graph = match self.below(4) {
            0 => GraphName::DefaultGraph,
            n => node("g", n).into(),
        };
        Quad::new(node("s", self.below(9)), node("p", self.below(2)), Literal::from(self.below(40)), graph)
    }
}

/// Requests that change whole graphs.
const WHOLE: [&str; 18] = [
    "ADD <urn:g1> TO <urn:g2>",
    "COPY <urn:g2> TO DEFAULT",
    "MOVE <urn:g1> TO <urn:g3>",
    "ADD DEFAULT TO <urn:new>",
    "COPY SILENT DEFAULT TO <urn:g1>",
    "MOVE SILENT DEFAULT TO <urn:g2>",
    "MOVE <urn:g3> TO DEFAULT",
    "CLEAR GRAPH <urn:g1>; COPY <urn:g2> TO <urn:g3>; DROP DEFAULT",
    "CLEAR GRAPH <urn:g1>; COPY <urn:g2> TO <urn:g3>; DELETE WHERE { GRAPH <urn:g2> { ?s <urn:p1> ?o } }",
    "CLEAR DEFAULT",
    "DROP GRAPH <urn:g1>",
    "CLEAR NAMED",
    "DELETE WHERE { ?s ?p ?o }",
    "DELETE { GRAPH ?g { ?s ?p ?o } } WHERE { GRAPH ?g { ?s ?p ?o } }",
    "DELETE WHERE { GRAPH <urn:g2> { ?x <urn:p1> ?y } }",
    "WITH <urn:g1> DELETE { ?s ?p ?o } WHERE { ?s ?p ?o }",
    "INSERT { GRAPH <urn:g1> { ?a ?b ?c } } WHERE { GRAPH <urn:g3> { ?a ?b ?c } }",
    "CLEAR ALL",
];

/// Requests that do not, or whose operations depend on each other.
const OTHER: [&str; 13] = [
    "DELETE WHERE { ?s ?p ?s }",
    "DELETE WHERE { GRAPH ?g { ?g ?p ?o } }",
    "DELETE WHERE { ?s ?p 1 }",
    "DELETE WHERE { ?s ?p ?o . ?o ?q ?r }",
    "DELETE { ?s ?p ?o } WHERE { GRAPH ?g { ?s ?p ?o } }",
    "DELETE { ?s ?p ?o } USING <urn:g1> USING NAMED <urn:g2> WHERE { ?s ?p ?o }",
    "INSERT { GRAPH <urn:g1> { ?o ?p ?s } } WHERE { ?s ?p ?o }",
    "INSERT { GRAPH ?g { ?s ?p ?o } } WHERE { GRAPH ?g { ?s ?p ?o } }",
    "INSERT { GRAPH <urn:g1> { ?s <urn:p1> ?o } } WHERE { ?s <urn:p1> ?o }",
    "COPY <urn:g1> TO <urn:g2>; CLEAR GRAPH <urn:g2>",
    "CLEAR NAMED; ADD SILENT <urn:g1> TO <urn:g2>",
    "ADD <urn:g1> TO <urn:g2>; ADD <urn:g2> TO <urn:g3>",
    "CLEAR ALL; INSERT DATA { <urn:s> <urn:p> 1 }",
];

fn contents(store: &TripleStore) -> BTreeSet<String> {
    store.snapshot().iter().map(|quad| quad.unwrap().to_string()).collect()
}

fn change(store: &TripleStore, text: &str) -> Option<GraphChange> {
    let update = parse(text, &UpdateOptions::new()).unwrap();
    Whole::of(&update.operations, &store.engine.dictionary).unwrap().map(|whole| whole.change)
}

/// A store with a small cache, and the same quads in memory.
struct Twins {
    vde: Vde,
    store: TripleStore,
    memory: TripleStore,
}

impl Twins {
    fn new() -> Self {
        let vde = Vde::in_memory().unwrap();
        Self { store: open(&vde), vde, memory: TripleStore::in_memory() }
    }

    /// Changes the same quads in both. Some are in the run, some are recent, and some were removed from the run.
    fn fill(&self, random: &mut Random) {
        let quads: Vec<_> = (0..4800).map(|_| random.quad()).collect();
        for store in [&self.store, &self.memory] {
            for quads in quads.chunks(200) {
                store.extend(quads.iter().cloned()).unwrap();
            }
        }
        self.store.checkpoint().unwrap();
        (0..90).for_each(|_| write(&[&self.store, &self.memory], random));
    }

    fn check(&self, text: &str) {
        for store in [&self.store, &open(&self.vde)] {
            assert_eq!(contents(store), contents(&self.memory), "{text}");
            assert_eq!(store.len(), self.memory.len(), "{text}");
            assert_eq!(store.verify().unwrap().problems, [""; 0], "{text}");
        }
    }
}

fn open(vde: &Vde) -> TripleStore {
    TripleStoreOptions::new().background(false).cache(1 << 13).open_in(vde).unwrap()
}

fn write(stores: &[&TripleStore], random: &mut Random) {
    let (quad, adds) = (random.quad(), random.below(2) == 0);
    let write = |store: &TripleStore| if adds { store.insert(&quad) } else { store.remove(&quad) };
    let changed: BTreeSet<_> = stores.iter().map(|store| write(store).unwrap()).collect();
    assert_eq!(changed.len(), 1);
}

/// Runs the request by the plain evaluation. Returns how many quads come and how many go.
fn plainly(store: &TripleStore, text: &str) -> (u64, u64) {
    let before = contents(store);
    store.transaction(|tx| tx.update(text)).unwrap();
    let after = contents(store);
    (after.difference(&before).count() as u64, before.difference(&after).count() as u64)
}

/// What very many quads need not be listed for does the same as the plain evaluation, whatever writers do meanwhile: the
/// change comes after theirs.
#[test]
fn a_change_of_graphs_is_that_of_the_plain_evaluation() {
    let random = RefCell::new(Random(7));
    let twins = Twins::new();
    let Twins { store, memory, .. } = &twins;
    for text in WHOLE {
        twins.fill(&mut random.borrow_mut());
        let before = store.snapshot();
        let unseen = contents(store);
        let change = change(store, text).expect(text);
        let calls = Cell::new(0);
        let meanwhile = || {
            calls.set(calls.get() + 1);
            (0..30).for_each(|_| write(&[store, memory], &mut random.borrow_mut()));
            false
        };
        let conditions = Conditions { is_cancelled: &meanwhile, ..Conditions::default() };
        let outcome = store.engine.change_graphs(change, &conditions).unwrap();
        assert!(calls.get() > 0);
        assert_eq!((outcome.added, outcome.removed), plainly(memory, text), "{text}");
        twins.check(text);
        assert_eq!(before.iter().map(|quad| quad.unwrap().to_string()).collect::<BTreeSet<_>>(), unseen);
    }
}

/// The negative controls of the test above.
#[test]
fn a_change_of_graphs_that_nobody_coordinates_is_found() {
    for bug in [Bug::ForgetDelta, Bug::ForgetCopies, Bug::TrustCopies] {
        let test = move || {
            planted::plant(bug);
            a_change_of_graphs_is_that_of_the_plain_evaluation();
        };
        assert!(thread::spawn(test).join().is_err(), "{bug:?}");
    }
}

/// Only an update of very many quads rewrites the run. Its result is the same.
#[test]
fn an_update_of_whole_graphs_rewrites_the_run() {
    let mut random = Random(11);
    for (text, rewrites) in WHOLE.map(|text| (text, true)).into_iter().chain(OTHER.map(|text| (text, false)))
    {
        let twins = Twins::new();
        let Twins { store, memory, .. } = &twins;
        twins.fill(&mut random);
        assert_eq!(change(store, text).is_some(), rewrites, "{text}");
        let rewritten = store.engine.latest().rewritten;
        let updated = store.update(text).unwrap();
        assert_eq!(store.engine.latest().rewritten > rewritten, rewrites, "{text}");
        assert_eq!((updated.added, updated.removed), plainly(memory, text), "{text}");
        twins.check(text);
    }
}

/// A change that is refused changes nothing, and leaves no pages.
#[test]
fn a_change_of_graphs_that_is_refused_leaves_nothing() {
    let twins = Twins::new();
    let Twins { vde, store, memory } = &twins;
    twins.fill(&mut Random(5));
    store.checkpoint().unwrap();
    let pages = || vde.list("p").count();
    let before = pages();
    for text in WHOLE {
        let few = UpdateOptions::new().most_changes(20);
        assert!(matches!(store.update_with(text, &few), Err(Error::TooManyChanges(20))), "{text}");
        let token = CancellationToken::new();
        token.cancel();
        let cancelled = UpdateOptions::new().cancellation(token);
        assert!(matches!(store.update_with(text, &cancelled), Err(Error::Cancelled)), "{text}");
        assert_eq!(pages(), before, "{text}");
    }
    twins.check("nothing");
    // The run has very many quads of the graph, and all were removed since.
    let text = "MOVE <urn:g1> TO <urn:g2>";
    let filtered = "{ GRAPH <urn:g1> { ?s ?p ?o FILTER(isIRI(?s)) } }";
    for store in [store, memory] {
        store.update(&format!("DELETE {{ GRAPH <urn:g1> {{ ?s ?p ?o }} }} WHERE {filtered}")).unwrap();
        assert!(matches!(store.update(text), Err(Error::UnknownGraph(graph)) if graph == "urn:g1"));
        assert_eq!(store.update("MOVE SILENT <urn:g1> TO <urn:g3>").unwrap().added, 0);
    }
    twins.check(text);
}
