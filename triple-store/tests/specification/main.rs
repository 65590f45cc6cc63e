//! Answers, compared with those of a naive evaluator that follows the specification.
//!
//! Both use the same parser, and the same crate for numbers and dates. They share no evaluator, planner or index.

mod aggregate;
mod algebra;
mod cases;
mod comparisons;
mod expression;
mod generate;
mod path;
mod update;
mod value;

use algebra::{Evaluation, Row};
use generate::Generator;
use oxrdf::{Quad, Term};
use spargebra::{Query, SparqlParser};
use std::cell::Cell;
use std::ops::Range;
use triple_store::{QueryResults, RdfFormat, TripleStore};

/// The number of pairs of solutions after which a case is skipped.
const BUDGET: usize = 200_000;

/// Solutions as sorted text. The parts of a `GROUP_CONCAT`, whose variables begin with `c`, are sorted too.
fn lines(rows: impl IntoIterator<Item = Row>) -> Vec<String> {
    let value = |name: &str, term: &Term| match term {
        Term::Literal(literal) if name.starts_with('c') => {
            let mut parts: Vec<_> = literal.value().split('|').collect();
            parts.sort_unstable();
            parts.join("|")
        }
        term => term.to_string(),
    };
    let line = |row: Row| {
        let shown = row.iter().filter(|(name, _)| !name.starts_with("_:"));
        shown.map(|(name, term)| format!("{name} = {}", value(name, term))).collect::<Vec<_>>().join(", ")
    };
    let mut lines: Vec<_> = rows.into_iter().map(line).collect();
    lines.sort();
    lines
}

fn rows(results: QueryResults<'_>) -> Vec<String> {
    let QueryResults::Solutions(rows) = results else { panic!("a SELECT has solutions") };
    lines(rows.map(|row| {
        let row = row.unwrap();
        row.iter().map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect()
    }))
}

fn quads(store: &TripleStore) -> Vec<Quad> {
    store.snapshot().iter().map(Result::unwrap).collect()
}

/// The answer by the specification. `None` if it takes too long.
fn expected(data: &[Quad], query: &str) -> Option<Vec<String>> {
    let Query::Select { pattern, dataset, .. } = SparqlParser::new().parse_query(query).expect(query) else {
        panic!("{query} is no SELECT")
    };
    let budget = Cell::new(BUDGET);
    let data = algebra::of_dataset(data, dataset.as_ref());
    let rows = Evaluation::new(&data, &budget).pattern(&pattern);
    (budget.get() > 0).then(|| lines(rows))
}

fn store_of(generator: &mut Generator) -> TripleStore {
    let store = TripleStore::in_memory();
    store.load(generator.data().as_bytes(), RdfFormat::TriG, "data.trig").unwrap();
    store
}

/// The seeds of the cases: `TRIPLES_SPECIFICATION_CASES` of them, from `TRIPLES_SPECIFICATION_SEED` on.
fn seeds(share: u64) -> Range<u64> {
    let number =
        |name: &str, default| std::env::var(name).map_or(default, |number| number.parse().expect("a number"));
    let first = number("TRIPLES_SPECIFICATION_SEED", 0);
    let seeds = first..first + number("TRIPLES_SPECIFICATION_CASES", 2_000) / share;
    println!("seeds {} to {}", seeds.start, seeds.end);
    seeds
}

/// The difference between the answer of a query and the expected answer.
fn difference(seed: u64, answer: impl Fn(&TripleStore, &str) -> Vec<String>) -> Option<String> {
    let mut generator = Generator::new(seed);
    let (store, query) = (store_of(&mut generator), generator.query());
    let expected = expected(&quads(&store), &query)?;
    let found = answer(&store, &query);
    let dump = || String::from_utf8(store.snapshot().dump(Vec::new(), RdfFormat::NQuads).unwrap()).unwrap();
    (found != expected)
        .then(|| format!("seed {seed}\n{}{query}\nfound\n{found:#?}\nexpected\n{expected:#?}", dump()))
}

#[test]
fn queries_answer_as_the_specification_says() {
    let answer = |store: &TripleStore, query: &str| rows(store.query(query).expect(query));
    let mut differences: Vec<_> = seeds(1).filter_map(|seed| difference(seed, answer)).collect();
    differences.sort_by_key(String::len);
    assert!(differences.is_empty(), "{} differ; the shortest: {}", differences.len(), differences[0]);
}

/// The negative control: without this crate's corrections, the comparison finds faults of the evaluator.
#[test]
fn faults_are_found() {
    let answer = |store: &TripleStore, query: &str| {
        let data: oxrdf::Dataset = quads(store).into_iter().collect();
        let query = SparqlParser::new().parse_query(query).unwrap();
        rows(spareval::QueryEvaluator::new().prepare(&query).execute(&data).unwrap())
    };
    let found = (0..500).filter(|seed| difference(*seed, answer).is_some()).count();
    assert!(found > 5, "only {found} of 500 queries differ");
}

#[test]
fn updates_change_data_as_the_specification_says() {
    for seed in seeds(4) {
        let mut generator = Generator::new(seed | 1 << 40);
        let (store, request) = (store_of(&mut generator), generator.update());
        let before = quads(&store);
        let (mut data, budget) = (before.clone(), Cell::new(BUDGET));
        for operation in SparqlParser::new().parse_update(&request).expect(&request).operations {
            update::run(&mut data, &operation, &budget);
        }
        if budget.get() == 0 {
            continue;
        }
        store.update(&request).expect(&request);
        let sorted = |quads: Vec<Quad>| {
            let mut lines: Vec<_> = quads.iter().map(Quad::to_string).collect();
            lines.sort();
            lines
        };
        let (found, expected) = (sorted(quads(&store)), sorted(data));
        assert_eq!(found, expected, "seed {seed}\n{before:#?}\n{request}");
    }
}
