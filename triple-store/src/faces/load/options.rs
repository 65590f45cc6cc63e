//! The options of a load.

use crate::documents::document::{Document, Limits};
use crate::error::{Error, Result};
use crate::terms::quad::EncodedQuad;
use oxrdf::{GraphName, Quad};
use oxrdfio::{JsonLdProfile, LoadedDocument, RdfFormat, RdfParseError, RdfParser};
use spareval::CancellationToken;
use std::collections::HashMap;
use std::sync::Arc;

/// The options of a load.
///
/// # Examples
///
/// ```
/// use oxrdf::NamedNode;
/// use triple_store::{LoadOptions, RdfFormat, TripleStore};
///
/// let graph = NamedNode::new("http://example.com/graph")?;
/// let options = LoadOptions::new().graph(graph.clone()).base_iri("http://example.com/");
/// let store = TripleStore::in_memory();
/// store.load_with("<s> <p> <o> .".as_bytes(), RdfFormat::Turtle, "example.ttl", &options)?;
/// assert_eq!(store.clear(&graph)?, 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "options do nothing until a document is loaded with them"]
pub struct LoadOptions {
    lenient: bool,
    pub(super) keep_partial: bool,
    pub(super) format: Option<RdfFormat>,
    pub(super) graph: Option<GraphName>,
    one_graph: bool,
    base_iri: Option<String>,
    pub(super) progress: Option<Progress>,
    contexts: Arc<HashMap<String, Vec<u8>>>,
    pub(super) limits: Limits,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The part of a context's IRI that is compared: without `http:` or `https:`, and without a slash at the end.
fn context_key(iri: &str) -> &str {
    iri.trim_start_matches("https:").trim_start_matches("http:").trim_end_matches('/')
}

type Progress = Arc<dyn Fn(u64) + Send + Sync>;

impl LoadOptions {
    /// The defaults: strict checks, and quads go to the graphs that the document names.
    ///
    /// # Examples
    ///
    /// See [`LoadOptions`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Skips checks that are not needed to parse the document, mainly those of IRIs and language tags.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{LoadOptions, RdfFormat, TripleStore};
    ///
    /// let (store, options) = (TripleStore::in_memory(), LoadOptions::new().lenient(true));
    /// let line = "<http://example.com/s> <http://example.com/p> \"o\"@muchtoolong .";
    /// assert!(store.load(line.as_bytes(), RdfFormat::NTriples, "odd.nt").is_err());
    /// assert_eq!(store.load_with(line.as_bytes(), RdfFormat::NTriples, "odd.nt", &options)?.added, 1);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn lenient(mut self, lenient: bool) -> Self {
        self.lenient = lenient;
        self
    }

    /// Stores the quads before an error. The error is reported in either case. By default, nothing of a document with
    /// an error is stored.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{Error, LoadOptions, RdfFormat, TripleStore};
    ///
    /// let (store, options) = (TripleStore::in_memory(), LoadOptions::new().keep_partial(true));
    /// let result = store.load_with("<urn:s> <urn:p> 1 .\noops".as_bytes(), RdfFormat::Turtle, "a.ttl", &options);
    /// assert!(matches!(result, Err(Error::Syntax { line: 2, .. })));
    /// assert_eq!(store.len(), 1);
    /// ```
    pub fn keep_partial(mut self, keep: bool) -> Self {
        self.keep_partial = keep;
        self
    }

    /// Sets the syntax of files, and overrides their extension. It has no effect on methods that have an argument for
    /// the syntax.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{LoadOptions, RdfFormat, TripleStore};
    ///
    /// let dir = tempfile::tempdir()?;
    /// let file = dir.path().join("example.txt");
    /// std::fs::write(&file, "<urn:s> <urn:p> 1, 2 .")?;
    /// let options = LoadOptions::new().format(RdfFormat::Turtle);
    /// assert_eq!(TripleStore::in_memory().load_file_with(&file, &options)?.added, 2);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn format(mut self, format: RdfFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Puts the quads of the document's default graph into this graph.
    ///
    /// # Examples
    ///
    /// See [`LoadOptions`].
    pub fn graph(mut self, graph: impl Into<GraphName>) -> Self {
        self.graph = Some(graph.into());
        self
    }

    /// Makes a named graph in the document an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{LoadOptions, RdfFormat, TripleStore};
    ///
    /// let (store, options) = (TripleStore::in_memory(), LoadOptions::new().one_graph(true));
    /// let line = "<urn:s> <urn:p> <urn:o> <urn:g> .";
    /// assert!(store.load_with(line.as_bytes(), RdfFormat::NQuads, "one.nq", &options).is_err());
    /// ```
    pub fn one_graph(mut self, one_graph: bool) -> Self {
        self.one_graph = one_graph;
        self
    }

    /// Resolves relative IRIs of the document against this IRI.
    ///
    /// # Examples
    ///
    /// See [`LoadOptions`].
    pub fn base_iri(mut self, iri: impl Into<String>) -> Self {
        self.base_iri = Some(iri.into());
        self
    }

    /// Cancelling the token ends the load with [`Error::Cancelled`]. Nothing is stored then. The token is checked for
    /// each quad, and whenever text is read.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{CancellationToken, Error, LoadOptions, RdfFormat, TripleStore};
    ///
    /// let (store, token) = (TripleStore::in_memory(), CancellationToken::new());
    /// token.cancel();
    /// let options = LoadOptions::new().cancellation(token);
    /// let result = store.load_with("<urn:s> <urn:p> 1 .".as_bytes(), RdfFormat::Turtle, "a.ttl", &options);
    /// assert!(matches!(result, Err(Error::Cancelled)));
    /// assert!(store.is_empty());
    /// ```
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.limits.token = Some(token);
        self
    }

    /// Refuses a document with more than `quads` quads. The error message names `limit`.
    #[cfg(feature = "server")]
    pub(crate) fn most_quads(mut self, quads: usize, limit: usize) -> Self {
        self.limits.most = Some((quads, limit));
        self
    }

    /// Provides the content of a context that JSON-LD documents refer to. Contexts are never fetched. IRIs that differ
    /// only in `http` and `https`, or in a slash at the end, name the same context.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{LoadOptions, RdfFormat, TripleStore};
    ///
    /// let json = r#"{ "@context": "https://schema.org", "@id": "urn:s", "name": "A name" }"#;
    /// let context = r#"{ "@context": { "name": "http://schema.org/name" } }"#;
    /// let options = LoadOptions::new().context("https://schema.org/", context);
    /// let (store, format) = (TripleStore::in_memory(), RdfFormat::from_extension("jsonld").expect("a format"));
    /// assert!(store.load(json.as_bytes(), format, "a.jsonld").is_err());
    /// assert_eq!(store.load_with(json.as_bytes(), format, "a.jsonld", &options)?.added, 1);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn context(mut self, iri: &str, document: impl Into<Vec<u8>>) -> Self {
        Arc::make_mut(&mut self.contexts).insert(context_key(iri).to_owned(), document.into());
        self
    }

    /// Returns a document that a JSON-LD document refers to.
    pub(super) fn loader(&self) -> impl Fn(&str) -> Result<LoadedDocument, Failure> + Send + Sync + 'static {
        let contexts = Arc::clone(&self.contexts);
        move |iri| match contexts.get(context_key(iri)) {
            Some(content) => Ok(LoadedDocument {
                url: iri.to_owned(),
                content: content.clone(),
                format: RdfFormat::JsonLd { profile: JsonLdProfile::Context.into() },
            }),
            None => Err(format!("the context {iri} is not fetched: name a file that holds it").into()),
        }
    }

    /// Calls `progress` with the number of bytes read since its last call. For a compressed file, compressed bytes
    /// are counted.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use triple_store::{LoadOptions, RdfFormat, TripleStore};
    ///
    /// let read = Arc::new(AtomicU64::new(0));
    /// let counter = Arc::clone(&read);
    /// let options = LoadOptions::new().progress(move |bytes| _ = counter.fetch_add(bytes, Ordering::Relaxed));
    /// TripleStore::in_memory().load_with("<urn:s> <urn:p> 1 .".as_bytes(), RdfFormat::Turtle, "a.ttl", &options)?;
    /// assert_eq!(read.load(Ordering::Relaxed), 19);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn progress(mut self, progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }

    pub(super) fn parser(&self, format: RdfFormat) -> Result<RdfParser> {
        let mut parser = RdfParser::from_format(format);
        if let Some(iri) = &self.base_iri {
            parser = parser
                .with_base_iri(iri)
                .map_err(|error| Error::Unsupported(format!("the base IRI <{iri}>: {error}")))?;
        }
        if let Some(graph) = &self.graph {
            parser = parser.with_default_graph(graph.clone());
        }
        if self.one_graph {
            parser = parser.without_named_graphs();
        }
        Ok(if self.lenient { parser.lenient() } else { parser })
    }

    /// Encodes the quads of a document. If there is an error and partial documents are kept, returns the quads before
    /// the error, and the error.
    pub(super) fn encode(
        &self,
        document: &Document<'_>,
        quads: impl Iterator<Item = Result<Quad, RdfParseError>>,
    ) -> Result<(Vec<EncodedQuad>, Option<Error>)> {
        let mut encoded = Vec::new();
        match document.encode(quads, 0, &mut encoded) {
            Err(error) if self.keep_partial => Ok((encoded, Some(error))),
            result => result.map(|()| (encoded, None)),
        }
    }
}

impl std::fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadOptions")
            .field("lenient", &self.lenient)
            .field("keep_partial", &self.keep_partial)
            .field("format", &self.format)
            .field("graph", &self.graph)
            .field("base_iri", &self.base_iri)
            .finish_non_exhaustive()
    }
}
