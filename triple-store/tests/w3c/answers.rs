//! Answers of queries, and whether two are the same.

use crate::{Outcome, text};
use oxrdf::dataset::CanonicalizationAlgorithm;
use oxrdf::{BlankNode, Dataset, GraphName, Literal, NamedNode, Quad, Term};
use std::collections::{BTreeMap, BTreeSet};
use triple_store::{QueryResults, TripleStore};

const RS: &str = "http://www.w3.org/2001/sw/DataAccess/tests/result-set#";

pub(crate) type Row = BTreeMap<String, Term>;

#[derive(Debug)]
pub(crate) enum Answer {
    Boolean(bool),
    Rows(Vec<Row>),
    Graph(Box<Dataset>),
}

pub(crate) fn answer(results: QueryResults<'_>) -> Result<Answer, String> {
    Ok(match results {
        QueryResults::Boolean(value) => Answer::Boolean(value),
        QueryResults::Solutions(rows) => Answer::Rows(
            rows.map(|row| Ok(bindings(row.map_err(text)?.iter()))).collect::<Result<_, String>>()?,
        ),
        QueryResults::Graph(triples) => {
            let quad = |triple: Result<oxrdf::Triple, _>| {
                triple.map(|triple| triple.in_graph(GraphName::DefaultGraph))
            };
            let quads = triples.map(quad).collect::<Result<_, spareval::QueryEvaluationError>>();
            Answer::Graph(Box::new(quads.map_err(text)?))
        }
    })
}

pub(crate) fn same_answer(found: &Answer, expected: &Answer, lax: bool) -> Outcome {
    match (found, expected) {
        (Answer::Boolean(found), Answer::Boolean(expected)) if found == expected => Ok(()),
        (Answer::Graph(found), Answer::Graph(expected)) => {
            same(Dataset::clone(found), Dataset::clone(expected))
        }
        (Answer::Rows(found), Answer::Rows(expected)) => same_rows(found.clone(), expected.clone(), lax),
        (found, expected) => Err(format!("{found:?}\nexpected\n{expected:?}")),
    }
}

pub(crate) fn bindings<'a>(row: impl Iterator<Item = (&'a oxrdf::Variable, &'a Term)>) -> Row {
    row.map(|(variable, term)| (variable.as_str().to_owned(), by_value(term))).collect()
}

/// The term. For a number, a representative of its value and datatype: results are compared by value, because the
/// specification does not say which lexical form a computed number has.
fn by_value(term: &Term) -> Term {
    use oxrdf::vocab::xsd;
    match term {
        Term::Literal(literal) if [xsd::DECIMAL, xsd::DOUBLE, xsd::FLOAT].contains(&literal.datatype()) => {
            let value = literal
                .value()
                .parse::<f64>()
                .map_or(literal.value().to_owned(), |value| format!("{value:e}"));
            Literal::new_typed_literal(value, literal.datatype()).into()
        }
        term => term.clone(),
    }
}

pub(crate) fn dataset(store: &TripleStore) -> Dataset {
    store.snapshot().iter().map(|quad| quad.unwrap()).collect()
}

pub(crate) fn same(mut found: Dataset, mut expected: Dataset) -> Outcome {
    found.canonicalize(CanonicalizationAlgorithm::Unstable);
    expected.canonicalize(CanonicalizationAlgorithm::Unstable);
    if found == expected { Ok(()) } else { Err(format!("{found}\nexpected\n{expected}")) }
}

fn same_rows(mut found: Vec<Row>, mut expected: Vec<Row>, lax: bool) -> Outcome {
    let print = |rows: &[Row]| {
        let mut lines: Vec<_> = rows.iter().map(|row| format!("{row:?}")).collect();
        lines.sort();
        lines
    };
    if lax {
        let distinct = |rows: &mut Vec<Row>| {
            let mut seen = BTreeSet::new();
            rows.retain(|row| seen.insert(format!("{row:?}")));
        };
        distinct(&mut found);
        distinct(&mut expected);
    }
    let blank = |row: &Row| row.values().any(Term::is_blank_node);
    if !found.iter().chain(&expected).any(blank) {
        let (found, expected) = (print(&found), print(&expected));
        return if found == expected { Ok(()) } else { Err(format!("{found:#?}\nexpected\n{expected:#?}")) };
    }
    if found.len() != expected.len() {
        return Err(format!("{found:#?}\nexpected\n{expected:#?}"));
    }
    same(as_graph(&found), as_graph(&expected))
}

/// Rows as a graph, so that the comparison ignores the names of blank nodes.
fn as_graph(rows: &[Row]) -> Dataset {
    let mut dataset = Dataset::new();
    for row in rows {
        let node = BlankNode::default();
        let is_row = NamedNode::new_unchecked("urn:row");
        dataset.insert(&Quad::new(node.clone(), is_row, Literal::from(true), GraphName::DefaultGraph));
        for (variable, term) in row {
            let variable = NamedNode::new_unchecked(format!("urn:variable:{variable}"));
            dataset.insert(&Quad::new(node.clone(), variable, term.clone(), GraphName::DefaultGraph));
        }
    }
    dataset
}

/// The results in the vocabulary of result sets, or the graph itself if there are none.
pub(crate) fn result_set(store: &TripleStore) -> Result<Answer, String> {
    let rows = |query: &str| -> Result<Vec<Row>, String> {
        let QueryResults::Solutions(solutions) =
            store.query(&format!("PREFIX rs: <{RS}> {query}")).map_err(text)?
        else {
            unreachable!("a SELECT has solutions")
        };
        solutions.map(|row| Ok(bindings(row.map_err(text)?.iter()))).collect()
    };
    if let Some(row) = rows("SELECT ?value { ?set rs:boolean ?value }")?.first() {
        return Ok(Answer::Boolean(row["value"] == Literal::from(true).into()));
    }
    if rows("SELECT ?set { ?set a rs:ResultSet }")?.is_empty() {
        return Ok(Answer::Graph(Box::new(dataset(store))));
    }
    let mut solutions: BTreeMap<String, Row> = BTreeMap::new();
    for row in rows("SELECT ?solution { ?set rs:solution ?solution }")? {
        solutions.insert(row["solution"].to_string(), Row::new());
    }
    for row in rows("SELECT * { ?solution rs:binding ?b . ?b rs:variable ?variable ; rs:value ?value }")? {
        let Term::Literal(variable) = &row["variable"] else { return Err("a variable is no literal".into()) };
        let solution = solutions.entry(row["solution"].to_string()).or_default();
        solution.insert(variable.value().to_owned(), by_value(&row["value"]));
    }
    Ok(Answer::Rows(solutions.into_values().collect()))
}
