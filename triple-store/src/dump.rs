//! Writing a snapshot as an RDF document.

use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use oxrdf::GraphNameRef;
use oxrdfio::{RdfFormat, RdfSerializer};
use std::io::{self, Write};

impl Snapshot {
    /// Writes every quad, in a syntax for datasets. Returns the writer.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the syntax has no named graphs and there are some; [`Error::Io`] from the writer;
    /// [`Error::Corrupt`] from the store.
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
        if !format.supports_datasets() && !self.source.view.graphs().is_empty() {
            return Err(Error::Unsupported(format!("{format} holds one graph, and there are named graphs")));
        }
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
    /// [`Error::Io`] from the writer; [`Error::Corrupt`] from the store.
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
