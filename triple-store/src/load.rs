//! Reading RDF documents into a store.
//!
//! A document is one transaction: it is [parsed and encoded](crate::document) to its end before anything is written.

use crate::blank::Scope;
use crate::compression::Compression;
use crate::document::{Counted, Document};
use crate::error::{Error, Result};
use crate::pattern::Graphs;
use crate::quad::EncodedQuad;
use crate::sparql::Updated;
use crate::store::TripleStore;
use oxrdf::GraphName;
use oxrdfio::{RdfFormat, RdfParser};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// What a load did.
///
/// # Examples
///
/// ```
/// use triple_store::{RdfFormat, TripleStore};
///
/// let store = TripleStore::in_memory();
/// let line = "<http://example.com/s> <http://example.com/p> <http://example.com/o> .\n".repeat(2);
/// let loaded = store.load(line.as_bytes(), RdfFormat::NTriples, "twice.nt")?;
/// assert_eq!((loaded.quads, loaded.added), (2, 1));
/// # Ok::<_, triple_store::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// Quads in the document, repetitions included.
    pub quads: u64,
    /// Quads that the store did not hold before.
    pub added: u64,
}

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
    graph: Option<GraphName>,
    one_graph: bool,
    base_iri: Option<String>,
    progress: Option<Progress>,
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
    /// let line = "<http://example.com/s> <http://example.com/p> \"o\"@not_a_tag_at_all .";
    /// assert!(store.load(line.as_bytes(), RdfFormat::NTriples, "odd.nt").is_err());
    /// # let _ = store.load_with(line.as_bytes(), RdfFormat::NTriples, "odd.nt", &options);
    /// ```
    pub fn lenient(mut self, lenient: bool) -> Self {
        self.lenient = lenient;
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

    fn parser(&self, format: RdfFormat) -> Result<RdfParser> {
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
}

impl std::fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadOptions")
            .field("lenient", &self.lenient)
            .field("graph", &self.graph)
            .field("base_iri", &self.base_iri)
            .finish_non_exhaustive()
    }
}

impl TripleStore {
    /// Loads a document as one transaction. Its blank nodes are its own: none is the same as one loaded before.
    /// `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// [`Error::Syntax`] names the line and column, [`Error::Io`] what the reader reported; nothing of the document
    /// is kept. Otherwise as [`insert`](Self::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{RdfFormat, TripleStore};
    ///
    /// let store = TripleStore::in_memory();
    /// let turtle = "PREFIX ex: <http://example.com/> ex:s ex:p ex:o1, ex:o2 .";
    /// assert_eq!(store.load(turtle.as_bytes(), RdfFormat::Turtle, "example.ttl")?.added, 2);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn load(&self, reader: impl Read, format: RdfFormat, name: &str) -> Result<Loaded> {
        self.load_with(reader, format, name, &LoadOptions::new())
    }

    /// [`load`](Self::load) with options.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and [`Error::Unsupported`] for a base IRI that is none.
    ///
    /// # Examples
    ///
    /// See [`LoadOptions`].
    pub fn load_with(
        &self,
        reader: impl Read,
        format: RdfFormat,
        name: &str,
        options: &LoadOptions,
    ) -> Result<Loaded> {
        let encoded = self.encode(reader, format, name, options)?;
        let quads = encoded.len() as u64;
        Ok(Loaded { quads, added: self.engine.add_all(encoded)? })
    }

    /// Puts a document in the place of the graph that the [options](LoadOptions::graph) name, or of everything if
    /// they name none, as one transaction: no reader sees the graph empty or half.
    ///
    /// # Errors
    ///
    /// As [`load_with`](Self::load_with); everything is as it was then.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{LoadOptions, RdfFormat, TripleStore};
    ///
    /// let store = TripleStore::in_memory();
    /// let replace = |text: &str| {
    ///     store.replace_with(text.as_bytes(), RdfFormat::Turtle, "doc.ttl", &LoadOptions::new())
    /// };
    /// replace("<urn:s> <urn:p> 1, 2 .")?;
    /// let replaced = replace("<urn:s> <urn:p> 2, 3, 4 .")?;
    /// assert_eq!((replaced.added, replaced.removed, store.len()), (2, 1, 3));
    /// assert!(replace("oops").is_err());
    /// assert_eq!(store.len(), 3);
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn replace_with(
        &self,
        reader: impl Read,
        format: RdfFormat,
        name: &str,
        options: &LoadOptions,
    ) -> Result<Updated> {
        let encoded = self.encode(reader, format, name, options)?;
        let graph = options.graph.as_ref().map(|graph| self.engine.dictionary.intern_graph(graph.as_ref()));
        let graphs = graph.map_or(Graphs::All, Graphs::One);
        let outcome = self.engine.replace(graphs, encoded)?;
        Ok(Updated { added: outcome.added, removed: outcome.removed })
    }

    fn encode(
        &self,
        reader: impl Read,
        format: RdfFormat,
        name: &str,
        options: &LoadOptions,
    ) -> Result<Vec<EncodedQuad>> {
        let parser = options.parser(format)?;
        let document =
            Document { dictionary: &self.engine.dictionary, parser, name, blanks: Scope::default() };
        let reader = Counted { reader, progress: options.progress.as_deref() };
        match format {
            RdfFormat::NTriples | RdfFormat::NQuads => document.lines(reader),
            _ => {
                let mut encoded = Vec::new();
                document.encode(document.parser.clone().for_reader(reader), 0, &mut encoded)?;
                Ok(encoded)
            }
        }
    }

    /// Loads a file as one transaction, in the syntax that its extension names; with the feature `compression` that
    /// may be followed by `.gz` or `.zst`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and [`Error::UnknownFormat`] if the extension says nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir()?;
    /// let file = dir.path().join("example.nt");
    /// std::fs::write(&file, "<http://example.com/s> <http://example.com/p> \"o\" .")?;
    /// let store = triple_store::TripleStore::in_memory();
    /// assert_eq!(store.load_file(&file)?.added, 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<Loaded> {
        self.load_file_with(path, &LoadOptions::new())
    }

    /// [`load_file`](Self::load_file) with options.
    ///
    /// # Errors
    ///
    /// As [`load_file`](Self::load_file).
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{Error, LoadOptions, TripleStore};
    ///
    /// let result = TripleStore::in_memory().load_file_with("data.doc", &LoadOptions::new());
    /// assert!(matches!(result, Err(Error::UnknownFormat(_))));
    /// ```
    pub fn load_file_with(&self, path: impl AsRef<Path>, options: &LoadOptions) -> Result<Loaded> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let extension =
            |path: &Path| path.extension().and_then(|extension| Some(extension.to_str()?.to_owned()));
        let compression = extension(path).and_then(|extension| Compression::from_extension(&extension));
        let inner = if compression.is_some() { path.with_extension("") } else { path.to_owned() };
        let Some(format) = extension(&inner).and_then(|extension| RdfFormat::from_extension(&extension))
        else {
            return Err(Error::UnknownFormat(name));
        };
        let io = |source| Error::Io { name: name.clone(), source };
        let file = Counted { reader: File::open(path).map_err(io)?, progress: options.progress.as_deref() };
        let options = LoadOptions { progress: None, ..options.clone() };
        match compression {
            None => self.load_with(file, format, &name, &options),
            Some(compression) => {
                self.load_with(compression.reader(file).map_err(io)?, format, &name, &options)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QuadIter;
    use crate::document::BLOCK;
    use std::io;

    /// About five blocks of lines that share blank nodes.
    fn text() -> String {
        let line = |i| format!("_:b{} <http://example.com/p> \"the text of number {i}\" .\n", i % 1000);
        (0..60_000).map(line).collect()
    }

    fn subjects(quads: QuadIter) -> std::collections::HashSet<String> {
        quads.map(|quad| quad.unwrap().subject.to_string()).collect()
    }

    #[test]
    fn blocks_of_one_document_share_its_blank_nodes() {
        let store = TripleStore::in_memory();
        for round in 1..=2 {
            assert_eq!(store.load(text().as_bytes(), RdfFormat::NTriples, "a.nt").unwrap().added, 60_000);
            let subjects = subjects(store.quads_for_pattern(None, None, None, None));
            assert_eq!(subjects.len(), round * 1000);
        }
    }

    #[test]
    fn an_error_in_any_block_names_its_line_and_leaves_nothing() {
        let store = TripleStore::in_memory();
        for line in [1, 20_000, 59_999, 60_001] {
            let mut lines: Vec<_> = text().lines().map(str::to_owned).collect();
            lines.insert(line - 1, "<http://example.com/s> <http://example.com/p> oops .".into());
            lines.push("and another error".into());
            match store.load(lines.join("\n").as_bytes(), RdfFormat::NTriples, "a.nt") {
                Err(Error::Syntax { file, line: found, column, .. }) => {
                    assert_eq!((&*file, found, column), ("a.nt", line as u64, 47));
                }
                other => panic!("{other:?}"),
            }
            assert!(store.is_empty());
        }
    }

    #[test]
    fn a_reader_that_fails_leaves_nothing() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let store = TripleStore::in_memory();
        for format in [RdfFormat::NTriples, RdfFormat::Turtle] {
            let text = "<urn:a> <urn:b> <urn:c> .\n".repeat(100_000);
            let result = store.load(text.as_bytes().chain(Failing), format, "a");
            assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
            assert!(store.is_empty());
        }
    }

    #[test]
    fn a_line_longer_than_a_block_is_one_line() {
        let store = TripleStore::in_memory();
        let text = format!("<urn:a> <urn:b> \"{}\" .\n<urn:a> <urn:b> <urn:c> .", "x".repeat(3 * BLOCK));
        assert_eq!(store.load(text.as_bytes(), RdfFormat::NTriples, "long.nt").unwrap().added, 2);
    }
}
