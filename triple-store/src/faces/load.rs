//! Reading RDF documents into a store.
//!
//! A document is one transaction: it is [parsed and encoded](crate::documents::document) to its end before anything is
//! written.

mod options;

use crate::documents::blank::Scope;
use crate::documents::compression;
use crate::documents::document::{ByLine, Counted, Document};
use crate::documents::encoding::{Text, readable_xml};
use crate::documents::markup::{Json, Scanned, Xml};
use crate::documents::nesting::Flat;
use crate::engine::bulk::Batches;
use crate::engine::core::Outcome;
use crate::error::{Error, Result};
use crate::faces::store::{TripleStore, Updated};
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::quad::EncodedQuad;
use oxrdf::GraphName;
use oxrdfio::{RdfFormat, RdfParseError};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicU64;

pub use options::LoadOptions;

/// The result of a load.
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
    /// The number of quads in the document, including repeated ones.
    pub quads: u64,
    /// The number of quads that the store did not have before.
    pub added: u64,
}

impl TripleStore {
    /// Loads a document as one transaction. Its blank nodes are new: none equals a blank node of an earlier load.
    /// `name` is its name in error messages.
    ///
    /// # Errors
    ///
    /// [`Error::Syntax`] has the line and column of a syntax error. [`Error::Io`] has the reader's error.
    /// [`Error::TooDeep`] means that triple terms, XML elements or JSON values nest too deeply, and
    /// [`Error::TooLong`] that a term is longer than 16 MiB. Nothing of the document is stored then. Otherwise as
    /// [`insert`](Self::insert).
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
    /// As [`load`](Self::load), and [`Error::Unsupported`] for an invalid base IRI.
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
        let batches = self.engine.batches();
        let (mut encoded, error) = self.encode(reader, format, name, options, Some(&batches))?;
        let quads = batches.quads() + encoded.len() as u64;
        options.limits.check(0)?;
        let added = if batches.quads() == 0 {
            self.engine.add_all(encoded)?
        } else {
            batches.add(&mut encoded)?;
            options.limits.check(0)?;
            batches.publish(None)?.added
        };
        error.map_or(Ok(Loaded { quads, added }), Err)
    }

    /// Replaces a graph, or all quads, by a document as one transaction: no reader sees the graph empty or
    /// incomplete. The [options](LoadOptions::graph) name the graph. Without a name, all quads are replaced.
    ///
    /// # Errors
    ///
    /// As [`load_with`](Self::load_with): nothing is changed then.
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
        let batches = self.engine.batches();
        let (mut encoded, error) = self.encode(reader, format, name, options, Some(&batches))?;
        if let Some(error) = error {
            return Err(error);
        }
        if batches.quads() == 0 {
            return self.replace(options.graph.as_ref(), encoded);
        }
        batches.add(&mut encoded)?;
        options.limits.check(0)?;
        let graphs = self.graphs(options.graph.as_ref())?;
        Ok(updated(batches.publish(Some(&Pattern { graphs, ..Pattern::ALL }))?))
    }

    /// Replaces a graph, or all quads, by `quads`.
    pub(crate) fn replace(&self, graph: Option<&GraphName>, quads: Vec<EncodedQuad>) -> Result<Updated> {
        Ok(updated(self.engine.replace(self.graphs(graph)?, quads)?))
    }

    fn graphs(&self, graph: Option<&GraphName>) -> Result<Graphs> {
        let intern = |graph: &GraphName| self.engine.dictionary.intern_graph(graph.as_ref());
        Ok(graph.map(intern).transpose()?.map_or(Graphs::All, Graphs::One))
    }

    /// The quads of a document, which is read to its end.
    pub(crate) fn encode_whole(
        &self,
        reader: impl Read,
        format: RdfFormat,
        name: &str,
        options: &LoadOptions,
    ) -> Result<Vec<EncodedQuad>> {
        let (quads, error) = self.encode(reader, format, name, options, None)?;
        error.map_or(Ok(quads), Err)
    }

    /// The quads of a document that are not in the batches. If there is an error and partial documents are kept, returns
    /// the quads before the error, and the error.
    fn encode(
        &self,
        reader: impl Read,
        format: RdfFormat,
        name: &str,
        options: &LoadOptions,
        batches: Option<&Batches<'_>>,
    ) -> Result<(Vec<EncodedQuad>, Option<Error>)> {
        let parser = options.parser(format)?;
        let dictionary = &self.engine.dictionary;
        let (blanks, limits) = (Scope::default(), &options.limits);
        let line = AtomicU64::new(0);
        let document = Document { dictionary, batches, parser, name, blanks, limits, line };
        let io = |source| document.located(RdfParseError::Io(source), 0);
        let progress = options.progress.as_deref();
        let reader = Counted { reader, progress, limits: Some(&options.limits) };
        let reader = Text::new(reader).map_err(io)?;
        let parser = document.parser.clone();
        match format {
            // Blocks are parsed in any order, so it is not known which of them come before an error.
            RdfFormat::NTriples | RdfFormat::NQuads if !options.keep_partial => {
                Ok((document.lines(reader)?, None))
            }
            RdfFormat::NTriples | RdfFormat::NQuads | RdfFormat::Turtle | RdfFormat::TriG => {
                options.encode(&document, parser.for_reader(Flat::new(reader)))
            }
            RdfFormat::RdfXml => {
                let reader = readable_xml(reader).map_err(io)?;
                let reader = Scanned::<_, Xml>::new(reader, name);
                options.encode(&document, parser.for_reader(ByLine::new(reader, &document.line)))
            }
            RdfFormat::JsonLd { .. } => {
                let reader = Scanned::<_, Json>::new(reader, name);
                let parser = parser.for_reader(ByLine::new(reader, &document.line));
                options.encode(&document, parser.with_document_loader(options.loader()))
            }
            _ => options.encode(&document, parser.for_reader(reader)),
        }
    }

    /// Loads a file as one transaction, in the syntax of its extension. With the feature `compression`, the extension
    /// may be followed by `.gz` or `.zst`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), and [`Error::UnknownFormat`] if the extension is unknown.
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
        let (format, compression) = compression::of_file(path);
        let Some(format) = options.format.or(format) else { return Err(Error::UnknownFormat(name)) };
        let io = |source| Error::Io { name: name.clone(), source };
        let progress = options.progress.as_deref();
        let file = Counted { reader: File::open(path).map_err(io)?, progress, limits: None };
        let mut options = options.clone();
        options.progress = None;
        match compression {
            None => self.load_with(file, format, &name, &options),
            Some(compression) => {
                self.load_with(compression.reader(file).map_err(io)?, format, &name, &options)
            }
        }
    }
}

fn updated(Outcome { added, removed }: Outcome) -> Updated {
    Updated { added, removed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QuadIter;
    use crate::documents::document::BLOCK;
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
    fn an_error_in_any_block_has_its_line_and_stores_nothing() {
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
            let options = LoadOptions::new().keep_partial(true);
            let kept = store.load_with(lines.join("\n").as_bytes(), RdfFormat::NTriples, "a.nt", &options);
            assert!(matches!(kept, Err(Error::Syntax { line: found, .. }) if found == line as u64));
            assert_eq!(store.len(), line as u64 - 1, "the quads before the error are stored");
            store.clear(GraphName::DefaultGraph.as_ref()).unwrap();
        }
    }

    #[test]
    fn a_reader_that_fails_stores_nothing() {
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
