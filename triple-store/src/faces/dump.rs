//! Writing a snapshot as an RDF document.

use crate::documents::compression::{self, Writer};
use crate::error::{Error, Result};
use crate::faces::snapshot::Snapshot;
use oxrdf::{GraphName, GraphNameRef};
use oxrdfio::{RdfFormat, RdfSerializer};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The options of a dump.
///
/// # Examples
///
/// ```
/// use oxrdf::GraphName;
/// use triple_store::{DumpOptions, RdfFormat, TripleStore};
///
/// let store = TripleStore::in_memory();
/// store.update("INSERT DATA { <urn:s> <urn:p> 1 . GRAPH <urn:g> { <urn:s> <urn:p> 2 } }")?;
/// let dir = tempfile::tempdir()?;
/// let file = dir.path().join("default.txt");
/// let options = DumpOptions::new().graph(GraphName::DefaultGraph).format(RdfFormat::NTriples);
/// store.snapshot().dump_file_with(&file, &options)?;
/// assert_eq!(std::fs::read_to_string(&file)?.lines().count(), 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until a file is dumped with them"]
pub struct DumpOptions {
    format: Option<RdfFormat>,
    graph: Option<GraphName>,
}

impl DumpOptions {
    /// The defaults: all graphs, in the syntax of the file's extension.
    ///
    /// # Examples
    ///
    /// See [`DumpOptions`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the syntax. It overrides the file's extension.
    ///
    /// # Examples
    ///
    /// See [`DumpOptions`].
    pub fn format(mut self, format: RdfFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Dumps only this graph, as triples.
    ///
    /// # Examples
    ///
    /// See [`DumpOptions`].
    pub fn graph(mut self, graph: impl Into<GraphName>) -> Self {
        self.graph = Some(graph.into());
        self
    }
}

impl Snapshot {
    /// Writes every quad to a file, in the syntax of its extension. With the feature `compression`, the extension may
    /// be followed by `.gz` or `.zst`. An existing file is replaced.
    ///
    /// # Errors
    ///
    /// As [`dump`](Self::dump), and [`Error::UnknownFormat`] if the extension is unknown: the file is not changed then.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = triple_store::TripleStore::in_memory();
    /// store.update("INSERT DATA { <urn:s> <urn:p> 1 . GRAPH <urn:g> { <urn:s> <urn:p> 2 } }")?;
    /// let dir = tempfile::tempdir()?;
    /// let file = dir.path().join("all.trig");
    /// store.snapshot().dump_file(&file)?;
    /// assert_eq!(triple_store::TripleStore::in_memory().load_file(&file)?.added, 2);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn dump_file(&self, path: impl AsRef<Path>) -> Result<()> {
        self.dump_file_with(path, &DumpOptions::new())
    }

    /// [`dump_file`](Self::dump_file) with options.
    ///
    /// # Errors
    ///
    /// As [`dump_file`](Self::dump_file).
    ///
    /// # Examples
    ///
    /// See [`DumpOptions`].
    pub fn dump_file_with(&self, path: impl AsRef<Path>, options: &DumpOptions) -> Result<()> {
        let path = path.as_ref();
        let name = || path.display().to_string();
        let (format, compression) = compression::of_file(path);
        let format = options.format.or(format).ok_or_else(|| Error::UnknownFormat(name()))?;
        if options.graph.is_none() {
            self.check_holds(format)?;
        }
        let io = |source| Error::Io { name: name(), source };
        let writer = Writer::new(File::create(path).map_err(io)?, compression).map_err(io)?;
        let written = match &options.graph {
            None => self.dump(writer, format),
            Some(graph) => self.dump_graph(writer, format, graph),
        };
        match written {
            Ok(writer) => writer.finish().map_err(io),
            Err(Error::Io { source, .. }) => Err(io(source)),
            Err(error) => Err(error),
        }
    }

    /// Checks that the syntax can hold all graphs.
    fn check_holds(&self, format: RdfFormat) -> Result<()> {
        if !format.supports_datasets() && !self.source.view.graphs()?.is_empty() {
            return Err(Error::Unsupported(format!(
                "{format} can hold only one graph, and the store has named graphs"
            )));
        }
        Ok(())
    }

    /// Writes every quad, in a syntax for datasets. Returns the writer.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the syntax has no named graphs and the store has some, [`Error::Io`] from the
    /// writer, [`Error::Corrupt`] from the store.
    ///
    /// # Examples
    ///
    /// ```
    /// use triple_store::{RdfFormat, TripleStore};
    ///
    /// let store = TripleStore::in_memory();
    /// let line = "<urn:s> <urn:p> \"o\" <urn:g> .\n";
    /// store.load(line.as_bytes(), RdfFormat::NQuads, "one.nq")?;
    /// assert_eq!(store.snapshot().dump(Vec::new(), RdfFormat::NQuads)?, line.as_bytes());
    /// # Ok::<_, triple_store::Error>(())
    /// ```
    pub fn dump<W: Write>(&self, writer: W, format: RdfFormat) -> Result<W> {
        self.check_holds(format)?;
        let mut serializer = RdfSerializer::from_format(format).for_writer(writer);
        for quad in self {
            serializer.serialize_quad(&quad?).map_err(unwritten)?;
        }
        serializer.finish().map_err(unwritten)
    }

    /// Writes the triples of one graph, in any syntax. Returns the writer.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] from the writer, [`Error::Corrupt`] from the store.
    ///
    /// # Examples
    ///
    /// ```
    /// use oxrdf::NamedNodeRef;
    /// use triple_store::{RdfFormat, TripleStore};
    ///
    /// let store = TripleStore::in_memory();
    /// store.load("<urn:s> <urn:p> \"o\" <urn:g> .".as_bytes(), RdfFormat::NQuads, "one.nq")?;
    /// let graph = NamedNodeRef::new("urn:g")?;
    /// let text = store.snapshot().dump_graph(Vec::new(), RdfFormat::NTriples, graph)?;
    /// assert_eq!(text, b"<urn:s> <urn:p> \"o\" .\n");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn dump_graph<'a, W: Write>(
        &self,
        writer: W,
        format: RdfFormat,
        graph_name: impl Into<GraphNameRef<'a>>,
    ) -> Result<W> {
        let mut serializer = RdfSerializer::from_format(format).for_writer(writer);
        for quad in self.quads_for_pattern(None, None, None, Some(graph_name.into())) {
            let quad = quad?;
            let triple = oxrdf::TripleRef::new(&quad.subject, &quad.predicate, &quad.object);
            serializer.serialize_triple(triple).map_err(unwritten)?;
        }
        serializer.finish().map_err(unwritten)
    }
}

fn unwritten(source: io::Error) -> Error {
    Error::Io { name: "output".into(), source }
}
