//! How documents are read.

use crate::documents::document::{Document, Limits};
use crate::error::{Error, Result};
use crate::terms::quad::EncodedQuad;
use oxrdf::{GraphName, Quad};
use oxrdfio::{JsonLdProfile, LoadedDocument, RdfFormat, RdfParseError, RdfParser};
use spareval::CancellationToken;
use std::collections::HashMap;
use std::sync::Arc;

/// How a document is read.
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

/// What tells contexts apart.
fn context_key(iri: &str) -> &str {
    iri.trim_start_matches("https:").trim_start_matches("http:").trim_end_matches('/')
}

type Progress = Arc<dyn Fn(u64) + Send + Sync>;

impl LoadOptions {
    /// The defaults: strict, into the graphs that the document names.
    ///
    /// # Examples
    ///
    /// See [`LoadOptions`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Skips checks that are not needed to understand the document, of IRIs and language tags above all.
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

    /// Keeps what stands before an error, which is reported all the same; if not, which is the default, nothing of the
    /// document is kept.
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

    /// The syntax of files, whatever their extension. Documents that come with their syntax keep it.
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

    /// The graph that takes what the document leaves in the default graph.
    ///
    /// # Examples
    ///
    /// See [`LoadOptions`].
    pub fn graph(mut self, graph: impl Into<GraphName>) -> Self {
        self.graph = Some(graph.into());
        self
    }

    /// Takes a named graph in the document for an error.
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

    /// The IRI that relative IRIs of the document resolve against.
    ///
    /// # Examples
    ///
    /// See [`LoadOptions`].
    pub fn base_iri(mut self, iri: impl Into<String>) -> Self {
        self.base_iri = Some(iri.into());
        self
    }

    /// Lets the holder of the token end the load with [`Error::Cancelled`], with nothing kept. It is looked at for each quad, and
    /// whenever text is read.
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

    /// Refuses a document of more quads; `told` is what the error calls the limit.
    #[cfg(feature = "server")]
    pub(crate) fn most_quads(mut self, quads: usize, told: usize) -> Self {
        self.limits.most = Some((quads, told));
        self
    }

    /// What a JSON-LD document means that refers to this context, which is never fetched. `http` and `https` are one here,
    /// and so are IRIs with and without a slash at the end.
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

    /// Reads a document that a JSON-LD document refers to.
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

    /// Called with the number of bytes read since it was called last, compressed ones for a compressed file.
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

    /// Encodes the quads of a document; or those before an error, with the error, if they are to be kept.
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
