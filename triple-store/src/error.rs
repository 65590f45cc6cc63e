//! What can go wrong.

use std::io;

/// The result of an operation on a store.
///
/// # Examples
///
/// ```
/// fn count(store: &triple_store::TripleStore) -> triple_store::Result<u64> {
///     Ok(store.len())
/// }
/// # assert_eq!(count(&triple_store::TripleStore::in_memory())?, 0);
/// # Ok::<_, triple_store::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a store did not happen.
///
/// # Examples
///
/// ```
/// use triple_store::{Error, RdfFormat, TripleStore};
///
/// let store = TripleStore::in_memory();
/// let text = "<http://example.com/s> <http://example.com/p> 1 .\n<http://example.com/s> oops .\n";
/// match store.load(text.as_bytes(), RdfFormat::Turtle, "example.ttl") {
///     Err(Error::Syntax { file, line, .. }) => assert_eq!((&*file, line), ("example.ttl", 2)),
///     other => panic!("{other:?}"),
/// }
/// assert!(store.is_empty(), "nothing of that file is kept");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A document does not follow its syntax.
    #[error("{file}:{line}:{column}: {message}")]
    Syntax {
        /// The file, as the caller named it.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The column in characters, from 1; 1 where the parser tells no more than the line.
        column: u64,
        /// What is wrong there.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{name}: {source}")]
    Io {
        /// The file, as the caller named it.
        name: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Another server, which `SERVICE` or `LOAD` names, could not be asked, or its answer not be read.
    #[error("{iri}: {source}")]
    Remote {
        /// The endpoint or document.
        iri: String,
        /// What is wrong.
        source: io::Error,
    },
    /// No RDF syntax is known for the file.
    #[error("{0}: the extension names no RDF syntax")]
    UnknownFormat(String),
    /// The disk engine below reported an error.
    #[error(transparent)]
    Storage(#[from] vde_store::Error),
    /// The store holds something this version does not write.
    #[error("corrupt store: {0}")]
    Corrupt(String),
    /// Another process has the store open, so that this one can't write it, or not read what it is now.
    #[error("{0} is open elsewhere: ask the server that has it open, by its address in place of the file")]
    InUse(String),
    /// The store was opened for reading alone.
    #[error("the store was opened for reading alone")]
    ReadOnly,
    /// An earlier write could not be made durable, so none is accepted until the store is opened again; what was
    /// acknowledged before can be read.
    #[error("the store takes no more writes since one failed: {0}")]
    Failed(String),
    /// A transaction on given subjects touched another one.
    #[error("the transaction reads or writes a subject that it was not begun on")]
    OutsideTransaction,
    /// A query or an update does not follow the syntax of SPARQL.
    #[error("SPARQL syntax: {0}")]
    Sparql(SparqlError),
    /// An option of the store is out of its range.
    #[error("option `{option}`: {reason}")]
    InvalidOption {
        /// The name of the option.
        option: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// A query, an update or a term is nested too deeply: the code that reads it is recursive.
    #[error("nested too deeply: more than {most} {what}")]
    TooDeep {
        /// What there is too much of.
        what: &'static str,
        /// How much of it there may be.
        most: usize,
    },
    /// A term has more bytes than the store takes.
    #[error("a term is longer than {0} bytes, the most it may have")]
    TooLong(usize),
    /// A query or an update could not be evaluated.
    #[error(transparent)]
    Evaluation(spareval::QueryEvaluationError),
    /// A query or an update was cancelled, or ran out of the time given to it.
    #[error("the evaluation was cancelled or took too long")]
    Cancelled,
    /// A query or an update needs more memory than it was allowed to, in bytes.
    #[error("the evaluation needs more than {0} bytes of memory")]
    TooMuchMemory(usize),
    /// All queries and updates together take the memory that they were allowed to, in bytes.
    #[error("other queries use the {0} bytes of memory that all may use together; try again")]
    MemoryInUse(usize),
    /// An update changes more quads than it was allowed to.
    #[error("the update changes more than {0} quads")]
    TooManyChanges(usize),
    /// An update copies or moves a graph that holds nothing, and does not say `SILENT`.
    #[error("the graph <{0}> does not exist")]
    UnknownGraph(String),
    /// The request asks for something that this store does not do.
    #[error("not supported: {0}")]
    Unsupported(String),
}

/// Why a query or an update does not follow the syntax of SPARQL.
///
/// # Examples
///
/// ```
/// use triple_store::{Error, TripleStore};
///
/// match TripleStore::in_memory().query("SELECT * { ?s foaf:name ?name }") {
///     Err(Error::Sparql(error)) => {
///         assert_eq!((error.line, error.column), (1, 15));
///         assert!(error.to_string().starts_with("unknown prefix foaf:"));
///     }
///     _ => panic!("the query declares no prefix"),
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct SparqlError {
    /// The line, from 1.
    pub line: u64,
    /// The column in characters, from 1.
    pub column: u64,
    /// What is wrong, and where.
    pub message: String,
}

impl From<spareval::QueryEvaluationError> for Error {
    fn from(error: spareval::QueryEvaluationError) -> Self {
        match error {
            spareval::QueryEvaluationError::Cancelled => Self::Cancelled,
            // What the store itself reported comes back as it was.
            spareval::QueryEvaluationError::Dataset(error) => match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(error) => Self::Evaluation(spareval::QueryEvaluationError::Dataset(error)),
            },
            error => Self::Evaluation(error),
        }
    }
}
