//! The store compared with a simple model: a `BTreeMap` of quads.

use oxrdf::{GraphName, Literal, NamedNode, NamedOrBlankNode, Quad, Term};
use std::collections::BTreeMap;
use triple_store::{Durability, Snapshot, StripeHasher, TripleStore, TripleStoreOptions};

/// The generator xorshift64*, because the tests must be repeatable.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

fn node(n: u64) -> NamedNode {
    NamedNode::new_unchecked(format!("http://example.com/{n}"))
}

fn quad(random: &mut Random) -> Quad {
    let object: Term = match random.below(4) {
        0 => node(random.below(4)).into(),
        1 => Literal::from(random.below(3)).into(),
        2 => Literal::new_simple_literal(format!("a text that is not inlined {}", random.below(3))).into(),
        _ => Literal::new_language_tagged_literal_unchecked("chat", ["en", "fr"][random.below(2) as usize])
            .into(),
    };
    let graph = match random.below(4) {
        0 | 1 => GraphName::DefaultGraph,
        n => node(n).into(),
    };
    Quad::new(node(random.below(8)), node(random.below(3)), object, graph)
}

/// Quads by their text, because quads have no order. The text of a quad is unique.
type Model = BTreeMap<String, Quad>;

struct Pattern {
    subject: Option<NamedOrBlankNode>,
    predicate: Option<NamedNode>,
    object: Option<Term>,
    graph_name: Option<GraphName>,
}

impl Pattern {
    fn of(quad: Quad, bound: u64) -> Self {
        Self {
            subject: (bound & 1 != 0).then_some(quad.subject),
            predicate: (bound & 2 != 0).then_some(quad.predicate),
            object: (bound & 4 != 0).then_some(quad.object),
            graph_name: (bound & 8 != 0).then_some(quad.graph_name),
        }
    }

    fn matches(&self, quad: &Quad) -> bool {
        self.subject.as_ref().is_none_or(|s| *s == quad.subject)
            && self.predicate.as_ref().is_none_or(|p| *p == quad.predicate)
            && self.object.as_ref().is_none_or(|o| *o == quad.object)
            && self.graph_name.as_ref().is_none_or(|g| *g == quad.graph_name)
    }
}

fn check_pattern(snapshot: &Snapshot, model: &Model, pattern: &Pattern) {
    let mut found: Vec<_> = snapshot
        .quads_for_pattern(
            pattern.subject.as_ref().map(NamedOrBlankNode::as_ref),
            pattern.predicate.as_ref().map(NamedNode::as_ref),
            pattern.object.as_ref().map(Term::as_ref),
            pattern.graph_name.as_ref().map(GraphName::as_ref),
        )
        .map(|quad| quad.unwrap().to_string())
        .collect();
    found.sort();
    let expected: Vec<_> =
        model.iter().filter(|(_, quad)| pattern.matches(quad)).map(|(text, _)| text.clone()).collect();
    assert_eq!(found, expected);
}

fn check(snapshot: &Snapshot, model: &Model, random: &mut Random) {
    assert_eq!(snapshot.len(), model.len() as u64);
    for bound in 0..16 {
        check_pattern(snapshot, model, &Pattern::of(quad(random), bound));
    }
    let wanted = quad(random);
    assert_eq!(snapshot.contains(&wanted).unwrap(), model.contains_key(&wanted.to_string()));
}

/// One random change to both.
fn step(store: &TripleStore, model: &mut Model, random: &mut Random) {
    match random.below(20) {
        _ if random.below(200) == 0 => store.checkpoint().unwrap(),
        0..10 => {
            let quad = quad(random);
            assert_eq!(store.insert(&quad).unwrap(), model.insert(quad.to_string(), quad).is_none());
        }
        10..16 => {
            let quad = quad(random);
            assert_eq!(store.remove(&quad).unwrap(), model.remove(&quad.to_string()).is_some());
        }
        16 | 17 => {
            let quads: Vec<_> = (0..random.below(30)).map(|_| quad(random)).collect();
            let before = model.len();
            model.extend(quads.iter().map(|quad| (quad.to_string(), quad.clone())));
            assert_eq!(store.extend(quads).unwrap(), (model.len() - before) as u64);
        }
        18 => {
            let pattern = Pattern::of(quad(random), 1 + random.below(15));
            let before = model.len();
            model.retain(|_, quad| !pattern.matches(quad));
            let removed = store.remove_matching(
                pattern.subject.as_ref().map(NamedOrBlankNode::as_ref),
                pattern.predicate.as_ref().map(NamedNode::as_ref),
                pattern.object.as_ref().map(Term::as_ref),
                pattern.graph_name.as_ref().map(GraphName::as_ref),
            );
            assert_eq!(removed.unwrap(), (before - model.len()) as u64);
        }
        _ => {
            let graph = quad(random).graph_name;
            let before = model.len();
            model.retain(|_, quad| quad.graph_name != graph);
            assert_eq!(store.clear(&graph).unwrap(), (before - model.len()) as u64);
        }
    }
}

#[test]
fn random_changes_in_memory() {
    let mut random = Random(0x5eed_0001);
    let (store, mut model) = (TripleStore::in_memory(), Model::new());
    let mut kept: Vec<(Snapshot, Model)> = Vec::new();
    for i in 0..40_000 {
        step(&store, &mut model, &mut random);
        if i % 20 == 0 {
            check(&store.snapshot(), &model, &mut random);
        }
        if i % 4000 == 0 {
            kept.push((store.snapshot(), model.clone()));
        }
    }
    for (snapshot, model) in &kept {
        check(snapshot, model, &mut random);
    }
}

/// `TRIPLES_MODEL_CHANGES` sets the number of changes. A million changes take some minutes.
#[test]
fn random_changes_with_reopening() {
    let changes = std::env::var("TRIPLES_MODEL_CHANGES").map_or(4000, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let mut random = Random(0x5eed_0002);
    let mut model = Model::new();
    for round in 0..40 {
        let hasher = if round % 2 == 0 { StripeHasher::Fnv1a } else { StripeHasher::keyed() };
        let options = TripleStoreOptions::new().stripes(1 << (round % 7)).hasher(hasher);
        let options = options.durability(Durability::Buffered).run_block(1 + round * 3 % 64);
        let options = options.checkpoint_after(if round % 3 == 0 { 40 } else { usize::MAX });
        let options = options.cache(if round % 4 < 2 { 0 } else { 1 << 20 });
        let mut store = options.open(&path).unwrap();
        check(&store.snapshot(), &model, &mut random);
        for i in 0..changes / 40 {
            step(&store, &mut model, &mut random);
            if i % 100 == 0 {
                check(&store.snapshot(), &model, &mut random);
            }
        }
        check(&store.snapshot(), &model, &mut random);
        assert!(store.verify().unwrap().problems.is_empty());
        if round % 5 == 4 {
            store.compact().unwrap();
            check(&store.snapshot(), &model, &mut random);
            assert!(store.verify().unwrap().problems.is_empty());
        }
    }
}
