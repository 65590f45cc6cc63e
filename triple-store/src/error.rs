//! Errors.

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

/// Why an operation on a store failed.
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
    /// A document has a syntax error.
    #[error("{file}:{line}:{column}: {message}")]
    Syntax {
        /// The name of the file, as the caller gave it.
        file: String,
        /// The line, counted from 1.
        line: u64,
        /// The column in characters, counted from 1. It is 1 if the parser reports only the line.
        column: u64,
        /// The description of the error.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{name}: {source}")]
    Io {
        /// The name of the file, as the caller gave it.
        name: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A server that `SERVICE` or `LOAD` names could not be reached, or its answer could not be read.
    #[error("{iri}: {source}")]
    Remote {
        /// The endpoint or document.
        iri: String,
        /// The cause.
        source: io::Error,
    },
    /// The file's extension belongs to no RDF syntax.
    #[error("{0}: the extension names no RDF syntax")]
    UnknownFormat(String),
    /// The disk engine reported an error.
    #[error(transparent)]
    Storage(#[from] vde_store::Error),
    /// The store has data that this version does not write.
    #[error("corrupt store: {0}")]
    Corrupt(String),
    /// Another process has the store open, so this process can't write it, or can't read its current state.
    #[error("{0} is open in another process: if that is a server, give its address in place of the file")]
    InUse(String),
    /// The store was opened read-only.
    #[error("the store was opened read-only")]
    ReadOnly,
    /// An earlier write could not be made durable, so no write is accepted until the store is opened again.
    /// Everything that was acknowledged before can be read.
    #[error("the store accepts no writes because an earlier one failed: {0}")]
    Failed(String),
    /// A transaction on given subjects accessed another subject.
    #[error("the transaction reads or writes a subject that was not given when it began")]
    OutsideTransaction,
    /// A query or an update has a syntax error.
    #[error("SPARQL syntax: {0}")]
    Sparql(SparqlError),
    /// An option of the store is out of its range.
    #[error("option `{option}`: {reason}")]
    InvalidOption {
        /// The name of the option.
        option: &'static str,
        /// The values that are allowed.
        reason: &'static str,
    },
    /// A query, an update or a term is nested too deeply. The limit exists because the code that reads it is recursive.
    #[error("nested too deeply: more than {most} {what}")]
    TooDeep {
        /// The kind of nesting.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// A term has more bytes than the store accepts.
    #[error("a term is longer than the limit of {0} bytes")]
    TooLong(usize),
    /// A query or an update could not be evaluated.
    #[error(transparent)]
    Evaluation(spareval::QueryEvaluationError),
    /// A query or an update was cancelled, or reached its time limit.
    #[error("the evaluation was cancelled or took too long")]
    Cancelled,
    /// A query or an update needs more memory than its limit, in bytes.
    #[error("the evaluation needs more than {0} bytes of memory")]
    TooMuchMemory(usize),
    /// All queries and updates together have reached the memory limit that they share, in bytes.
    #[error("other queries use the {0} bytes of memory that all queries share; try again")]
    MemoryInUse(usize),
    /// An update changes more quads than its limit.
    #[error("the update changes more than {0} quads")]
    TooManyChanges(usize),
    /// An update copies or moves an empty graph, and does not say `SILENT`.
    #[error("the graph <{0}> does not exist")]
    UnknownGraph(String),
    /// The store does not support the request.
    #[error("not supported: {0}")]
    Unsupported(String),
}

/// A syntax error in a query or an update.
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
    /// The line, counted from 1.
    pub line: u64,
    /// The column in characters, counted from 1.
    pub column: u64,
    /// The description of the error, with its position.
    pub message: String,
}

impl From<spareval::QueryEvaluationError> for Error {
    fn from(error: spareval::QueryEvaluationError) -> Self {
        match error {
            spareval::QueryEvaluationError::Cancelled => Self::Cancelled,
            // An error of the store itself is returned unchanged.
            spareval::QueryEvaluationError::Dataset(error) => match error.downcast::<Self>() {
                Ok(error) => *error,
                Err(error) => Self::Evaluation(spareval::QueryEvaluationError::Dataset(error)),
            },
            error => Self::Evaluation(error),
        }
    }
}
