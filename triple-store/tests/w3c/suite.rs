//! One folder of the suites: its manifest, and how its tests run.

use crate::answers::{Answer, answer, bindings, dataset, result_set, same, same_answer};
use crate::{Outcome, text};
use oxrdf::{GraphName, NamedNode, NamedOrBlankNode, Term};
use sparesults::{QueryResultsFormat, QueryResultsParser, SliceQueryResultsParserOutput};
use spargebra::SparqlParser;
use std::fs;
use std::path::{Path, PathBuf};
use triple_store::{
    Error, LoadOptions, QueryOptions, QueryResults, RdfFormat, ResultFormat, TripleStore, UpdateOptions,
};

pub(crate) const BASE: &str = "https://w3c.github.io/rdf-tests/";
pub(crate) const MF: &str = "http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#";
const QT: &str = "http://www.w3.org/2001/sw/DataAccess/tests/test-query#";
const UT: &str = "http://www.w3.org/2009/sparql/tests/test-update#";
const RDFT: &str = "http://www.w3.org/ns/rdftest#";
const LABEL: &str = "http://www.w3.org/2000/01/rdf-schema#label";

/// One folder's manifest.
pub(crate) struct Suite<'a> {
    pub(crate) root: &'a Path,
    pub(crate) manifest: TripleStore,
}

impl Suite<'_> {
    fn file(&self, iri: &str) -> Result<PathBuf, String> {
        let path = iri.strip_prefix(BASE).ok_or_else(|| format!("{iri} lies outside the suites"))?;
        Ok(self.root.join(path))
    }

    fn read(&self, iri: &str) -> Result<String, String> {
        fs::read_to_string(self.file(iri)?).map_err(text)
    }

    fn objects(&self, subject: &Term, predicate: &str) -> Vec<Term> {
        let subject = match subject {
            Term::NamedNode(node) => NamedOrBlankNode::from(node.clone()),
            Term::BlankNode(node) => node.clone().into(),
            _ => return Vec::new(),
        };
        let predicate = NamedNode::new_unchecked(predicate);
        self.manifest
            .quads_for_pattern(Some(subject.as_ref()), Some(predicate.as_ref()), None, None)
            .map(|quad| quad.unwrap().object)
            .collect()
    }

    fn object(&self, subject: &Term, predicate: &str) -> Option<Term> {
        self.objects(subject, predicate).pop()
    }

    pub(crate) fn load(&self, store: &TripleStore, iri: &str, graph: GraphName) -> Outcome {
        let file = self.file(iri)?;
        let options = LoadOptions::new().base_iri(iri).graph(graph);
        store.load_file_with(&file, &options).map(drop).map_err(text)
    }

    /// Loads the data that a test names. `prefix` is the prefix of its properties.
    fn load_all(&self, store: &TripleStore, holder: &Term, prefix: &str) -> Outcome {
        for data in self.objects(holder, &format!("{prefix}data")) {
            self.load(store, iri(&data), GraphName::DefaultGraph)?;
        }
        for data in self.objects(holder, &format!("{prefix}graphData")) {
            let named = self.object(&data, &format!("{prefix}graph"));
            let name = match self.object(&data, LABEL) {
                Some(Term::Literal(label)) => label.value().to_owned(),
                _ => iri(named.as_ref().unwrap_or(&data)).to_owned(),
            };
            self.load(store, iri(named.as_ref().unwrap_or(&data)), NamedNode::new_unchecked(name).into())?;
        }
        Ok(())
    }

    pub(crate) fn run(&self, test: &Term, kind: &str) -> Option<Outcome> {
        let action = self.object(test, &format!("{MF}action"))?;
        let result = self.object(test, &format!("{MF}result"));
        let short = kind.strip_prefix(MF).or_else(|| kind.strip_prefix(RDFT))?;
        Some(match short {
            "QueryEvaluationTest" => self.query(test, &action, &result?),
            "CSVResultFormatTest" => self.csv(&action, &result?),
            "UpdateEvaluationTest" => self.update(&action, &result?),
            "PositiveSyntaxTest" | "PositiveSyntaxTest11" => self.parse_query(&action),
            "NegativeSyntaxTest" | "NegativeSyntaxTest11" => fails(&self.parse_query(&action)),
            "PositiveUpdateSyntaxTest" | "PositiveUpdateSyntaxTest11" => self.parse_update(&action),
            "NegativeUpdateSyntaxTest" | "NegativeUpdateSyntaxTest11" => fails(&self.parse_update(&action)),
            name if name.ends_with("Eval") && !name.contains("Negative") => self.same_data(&action, &result?),
            name if name.contains("Negative") => fails(&self.parse_data(&action)),
            name if name.contains("Positive") => self.parse_data(&action),
            _ => return None,
        })
    }

    /// Checks that a query parses. Its answer is not checked.
    fn parse_query(&self, action: &Term) -> Outcome {
        let options = QueryOptions::new().base_iri(iri(action));
        parses(TripleStore::in_memory().query_with(&self.read(iri(action))?, &options).map(drop))
    }

    fn parse_update(&self, action: &Term) -> Outcome {
        let options = UpdateOptions::new().base_iri(iri(action));
        parses(TripleStore::in_memory().update_with(&self.read(iri(action))?, &options).map(drop))
    }

    fn parse_data(&self, action: &Term) -> Outcome {
        self.load(&TripleStore::in_memory(), iri(action), GraphName::DefaultGraph)
    }

    fn same_data(&self, action: &Term, result: &Term) -> Outcome {
        let (found, expected) = (TripleStore::in_memory(), TripleStore::in_memory());
        self.load(&found, iri(action), GraphName::DefaultGraph)?;
        self.load(&expected, iri(result), GraphName::DefaultGraph)?;
        same(dataset(&found), dataset(&expected))
    }

    fn update(&self, action: &Term, result: &Term) -> Outcome {
        let (found, expected) = (TripleStore::in_memory(), TripleStore::in_memory());
        self.load_all(&found, action, UT)?;
        self.load_all(&expected, result, UT)?;
        let request = self.object(action, &format!("{UT}request")).ok_or("no request")?;
        let options = UpdateOptions::new().base_iri(iri(&request));
        found.update_with(&self.read(iri(&request))?, &options).map_err(text)?;
        // A checkpoint must not change the quads.
        same(dataset(&found), dataset(&expected))?;
        found.checkpoint().map_err(text)?;
        same(dataset(&found), dataset(&expected))
    }

    /// The store of a query test.
    fn prepare(&self, action: &Term) -> Result<TripleStore, String> {
        let query = self.object(action, &format!("{QT}query")).ok_or("no query")?;
        let store = TripleStore::in_memory();
        self.load_all(&store, action, QT)?;
        if store.is_empty() && self.objects(action, &format!("{QT}data")).is_empty() {
            // If the plain parser rejects the query, no dataset is loaded.
            let parser = SparqlParser::new().with_base_iri(iri(&query)).map_err(text)?;
            let parsed = parser.parse_query(&self.read(iri(&query))?).ok();
            let dataset = parsed.as_ref().and_then(|query| query.dataset()).into_iter();
            for name in
                dataset.flat_map(|dataset| dataset.default.iter().chain(dataset.named.iter().flatten()))
            {
                self.load(&store, name.as_str(), name.clone().into())?;
            }
        }
        if store.len().is_multiple_of(2) {
            // Half of the tests read a run, half a delta.
            store.checkpoint().map_err(text)?;
        }
        Ok(store)
    }

    fn results(&self, store: &TripleStore, action: &Term) -> Result<QueryResults<'static>, String> {
        let query = self.object(action, &format!("{QT}query")).ok_or("no query")?;
        let options = QueryOptions::new().base_iri(iri(&query));
        store.query_with(&self.read(iri(&query))?, &options).map_err(text)
    }

    fn csv(&self, action: &Term, result: &Term) -> Outcome {
        let format = ResultFormat::from_extension("csv").expect("a format");
        let store = self.prepare(action)?;
        let written = format.write(self.results(&store, action)?, Vec::new()).map_err(text)?;
        // The order of rows and columns and the names of blank nodes may differ, so they are not compared.
        let sorted = |text: &str| -> Vec<String> {
            let cells = |line: &str| line.replace("\"4,4\"", "4;4").replace("\"5,5\"", "5;5");
            let mut lines = text.lines().map(cells);
            let header: Vec<_> = lines.next().unwrap_or_default().split(',').map(str::to_owned).collect();
            let row = |line: String| -> String {
                let mut row: Vec<_> = header.iter().zip(line.split(',')).collect();
                row.sort();
                let cell = |(name, cell): (&String, &str)| {
                    format!("{name}={}", if cell.starts_with("_:") { "_:" } else { cell })
                };
                row.into_iter().map(cell).collect::<Vec<_>>().join(" ")
            };
            let mut rows: Vec<_> = lines.map(row).collect();
            rows.sort();
            rows
        };
        let (found, expected) = (String::from_utf8(written).map_err(text)?, self.read(iri(result))?);
        if sorted(&found) == sorted(&expected) {
            Ok(())
        } else {
            Err(format!("{found}\nexpected\n{expected}"))
        }
    }

    fn query(&self, test: &Term, action: &Term, result: &Term) -> Outcome {
        let lax = self.object(test, &format!("{MF}resultCardinality")).is_some();
        let store = self.prepare(action)?;
        let found = answer(self.results(&store, action)?)?;
        let expected = self.expected(iri(result))?;
        same_answer(&found, &expected, lax)
    }

    fn expected(&self, result: &str) -> Result<Answer, String> {
        let extension = result.rsplit('.').next().unwrap_or_default();
        if RdfFormat::from_extension(extension).is_some()
            && !matches!(extension, "srj" | "srx" | "json" | "xml")
        {
            let store = TripleStore::in_memory();
            self.load(&store, result, GraphName::DefaultGraph)?;
            return result_set(&store);
        }
        let format = QueryResultsFormat::from_extension(extension).ok_or("an unknown result format")?;
        let bytes = self.read(result)?;
        Ok(match QueryResultsParser::from_format(format).for_slice(bytes.as_bytes()).map_err(text)? {
            SliceQueryResultsParserOutput::Boolean(value) => Answer::Boolean(value),
            SliceQueryResultsParserOutput::Solutions(solutions) => Answer::Rows(
                solutions
                    .map(|row| Ok(bindings(row.map_err(text)?.iter())))
                    .collect::<Result<_, String>>()?,
            ),
        })
    }
}

pub(crate) fn iri(term: &Term) -> &str {
    match term {
        Term::NamedNode(node) => node.as_str(),
        other => panic!("{other} is no IRI"),
    }
}

fn fails(outcome: &Outcome) -> Outcome {
    match outcome {
        Ok(()) => Err("it should have been refused".into()),
        Err(_) => Ok(()),
    }
}

fn parses(result: Result<(), Error>) -> Outcome {
    match result {
        Ok(()) | Err(Error::Evaluation(_) | Error::Unsupported(_)) => Ok(()),
        Err(error) => Err(text(error)),
    }
}
