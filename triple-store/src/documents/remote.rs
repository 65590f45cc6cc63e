//! Other servers, to which `SERVICE` and `LOAD` send requests.

use oxrdf::NamedNode;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

/// Sends requests to other servers for `SERVICE` and `LOAD` in queries and updates. Without an implementation in the
/// options, both are errors.
///
/// With the feature `client`, `HttpClient` implements it for HTTP.
///
/// # Examples
///
/// ```
/// use oxrdf::NamedNode;
/// use std::io;
/// use std::time::Duration;
/// use triple_store::{QueryOptions, QueryResults, Remote, RemoteDocument, TripleStore};
///
/// /// An endpoint whose answer is always the same.
/// #[derive(Debug)]
/// struct Always;
///
/// impl Remote for Always {
///     fn query(&self, _: &NamedNode, _: &str, _: Option<Duration>) -> io::Result<RemoteDocument> {
///         let body = r#"{"head":{"vars":["x"]},"results":{"bindings":[{"x":{"type":"literal","value":"42"}}]}}"#;
///         Ok(RemoteDocument::new("application/sparql-results+json", body.as_bytes()))
///     }
///
///     fn fetch(&self, source: &NamedNode, _: Option<Duration>) -> io::Result<RemoteDocument> {
///         Err(io::Error::new(io::ErrorKind::NotFound, source.as_str()))
///     }
/// }
///
/// let options = QueryOptions::new().remote(Always);
/// let query = "SELECT ?x { SERVICE <http://example.com/sparql> { ?s ?p ?x } }";
/// let QueryResults::Solutions(mut rows) = TripleStore::in_memory().query_with(query, &options)? else { panic!() };
/// assert_eq!(rows.next().expect("one row")?["x"], oxrdf::Literal::from("42").into());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Remote: fmt::Debug + Send + Sync {
    /// Sends a `SELECT` query to an endpoint. Returns the results in the SPARQL 1.1 Query Results JSON or XML Format.
    ///
    /// # Errors
    ///
    /// An error of the kind `PermissionDenied` if requests to the endpoint are not allowed. Another kind if the
    /// endpoint does not answer within the caller's remaining time, or answers with an error.
    fn query(&self, endpoint: &NamedNode, query: &str, time: Option<Duration>) -> io::Result<RemoteDocument>;

    /// Fetches a document in an RDF syntax.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    fn fetch(&self, source: &NamedNode, time: Option<Duration>) -> io::Result<RemoteDocument>;
}

impl<R: Remote + ?Sized> Remote for Arc<R> {
    fn query(&self, endpoint: &NamedNode, query: &str, time: Option<Duration>) -> io::Result<RemoteDocument> {
        (**self).query(endpoint, query, time)
    }

    fn fetch(&self, source: &NamedNode, time: Option<Duration>) -> io::Result<RemoteDocument> {
        (**self).fetch(source, time)
    }
}

/// A document from another server.
///
/// # Examples
///
/// See [`Remote`].
pub struct RemoteDocument {
    /// Its `Content-Type`.
    pub media_type: String,
    /// Its content.
    pub body: Box<dyn Read + Send>,
}

impl RemoteDocument {
    /// A document of this media type.
    ///
    /// # Examples
    ///
    /// See [`Remote`].
    pub fn new(media_type: impl Into<String>, body: impl Read + Send + 'static) -> Self {
        Self { media_type: media_type.into(), body: Box::new(body) }
    }
}

impl fmt::Debug for RemoteDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteDocument").field("media_type", &self.media_type).finish_non_exhaustive()
    }
}
