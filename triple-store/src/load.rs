//! Reading RDF documents into a store.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::store::TripleStore;
use oxrdfio::{RdfFormat, RdfParseError, RdfParser};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

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

impl TripleStore {
    /// Loads a document as one transaction. Its blank nodes are its own: none is the same as one loaded before.
    /// `name` is what errors call it; if it is an IRI, relative IRIs resolve against it.
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
        let parser = RdfParser::from_format(format).rename_blank_nodes();
        let parser = parser.clone().with_base_iri(name).unwrap_or(parser);
        load(&self.engine, parser.for_reader(reader), name)
    }

    /// Loads a file as one transaction, in the syntax that its extension names.
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
        let path = path.as_ref();
        let name = path.display().to_string();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let Some(format) = extension.and_then(RdfFormat::from_extension) else {
            return Err(Error::UnknownFormat(name));
        };
        let file = File::open(path).map_err(|source| Error::Io { name: name.clone(), source })?;
        self.load(file, format, &name)
    }
}

fn load(
    engine: &Engine,
    quads: impl Iterator<Item = Result<oxrdf::Quad, RdfParseError>>,
    name: &str,
) -> Result<Loaded> {
    let mut encoded = Vec::new();
    for quad in quads {
        let quad = quad.map_err(|error| located(error, name))?;
        encoded.push(engine.dictionary.intern_quad(quad.as_ref()));
    }
    let quads = encoded.len() as u64;
    Ok(Loaded { quads, added: engine.add_all(encoded)? })
}

/// A parser's error, with the place as editors count it.
fn located(error: RdfParseError, name: &str) -> Error {
    match error {
        RdfParseError::Io(source) => Error::Io { name: name.into(), source },
        RdfParseError::Syntax(error) => match error.location() {
            Some(place) => Error::Syntax {
                file: name.into(),
                line: place.start.line + 1,
                column: place.start.column + 1,
                message: error.to_string(),
            },
            None => Error::Io { name: name.into(), source: io::Error::from(error) },
        },
    }
}
