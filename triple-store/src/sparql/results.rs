//! Writing the results of queries.

use crate::error::{Error, Result};
use oxrdfio::{RdfFormat, RdfSerializer};
use sparesults::{QueryResultsFormat, QueryResultsSerializer};
use spareval::QueryResults;
use std::io::{self, Write};

/// The syntaxes of results: one for solutions and booleans, and one for graphs.
///
/// # Examples
///
/// ```
/// use triple_store::{ResultFormat, TripleStore};
///
/// let results = TripleStore::in_memory().query("SELECT ?x WHERE { VALUES ?x { 1 2 } }")?;
/// let csv = ResultFormat::from_extension("csv").expect("a known format");
/// assert_eq!(csv.write(results, Vec::new())?, b"x\r\n1\r\n2\r\n");
/// # Ok::<_, triple_store::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResultFormat {
    /// For the results of `SELECT` and `ASK`.
    pub solutions: Option<QueryResultsFormat>,
    /// For the results of `CONSTRUCT` and `DESCRIBE`.
    pub graph: Option<RdfFormat>,
}

/// TSV, and N-Triples for graphs.
impl Default for ResultFormat {
    fn default() -> Self {
        Self { solutions: Some(QueryResultsFormat::Tsv), graph: Some(RdfFormat::NTriples) }
    }
}

impl ResultFormat {
    /// The syntaxes of a file extension (`json`, `xml`, `csv`, `tsv`, `nt`, `ttl` and so on). `None` if it is unknown.
    ///
    /// # Examples
    ///
    /// See [`ResultFormat`].
    pub fn from_extension(extension: &str) -> Option<Self> {
        let solutions = QueryResultsFormat::from_extension(extension);
        let graph = RdfFormat::from_extension(extension);
        (solutions.is_some() || graph.is_some()).then_some(Self { solutions, graph })
    }

    /// Evaluates all results and writes them. Returns the writer.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if there is no syntax for results of this kind, [`Error::Evaluation`] or
    /// [`Error::Cancelled`] from the query, [`Error::Io`] from the writer.
    ///
    /// # Examples
    ///
    /// See [`ResultFormat`].
    pub fn write<W: Write>(self, results: QueryResults<'_>, writer: W) -> Result<W> {
        let mismatch = |what: &str| Error::Unsupported(format!("the chosen format can't hold {what}"));
        let solutions = || self.solutions.map(QueryResultsSerializer::from_format);
        match results {
            QueryResults::Boolean(value) => solutions()
                .ok_or_else(|| mismatch("a boolean"))?
                .serialize_boolean_to_writer(writer, value)
                .map_err(unwritten),
            QueryResults::Solutions(rows) => {
                let serializer = solutions().ok_or_else(|| mismatch("solutions"))?;
                let mut serializer = serializer
                    .serialize_solutions_to_writer(writer, rows.variables().to_vec())
                    .map_err(unwritten)?;
                for row in rows {
                    serializer.serialize(&row?).map_err(unwritten)?;
                }
                serializer.finish().map_err(unwritten)
            }
            QueryResults::Graph(triples) => {
                let format = self.graph.ok_or_else(|| mismatch("a graph"))?;
                let mut serializer = RdfSerializer::from_format(format).for_writer(writer);
                for triple in triples {
                    serializer.serialize_triple(&triple?).map_err(unwritten)?;
                }
                serializer.finish().map_err(unwritten)
            }
        }
    }
}

fn unwritten(source: io::Error) -> Error {
    Error::Io { name: "output".into(), source }
}
