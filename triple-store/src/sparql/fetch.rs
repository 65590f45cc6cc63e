//! `LOAD`: documents of other servers. They are fetched before the transaction that stores them begins.

use super::query::QueryOptions;
use super::update::graph;
use crate::documents::remote::RemoteDocument;
use crate::error::{Error, Result};
use crate::faces::load::LoadOptions;
use crate::faces::store::TripleStore;
use crate::terms::quad::EncodedQuad;
use oxrdf::NamedNode;
use oxrdfio::RdfFormat;
use spargebra::term::GraphName;
use spargebra::{GraphUpdateOperation, Update};
use std::io;
use std::path::Path;
use std::time::Instant;

/// The quads of a document.
pub(super) type Loaded = Vec<EncodedQuad>;

impl TripleStore {
    /// The quads of the document of each `LOAD` of an update, in order. A `LOAD SILENT` that fails has no quads.
    pub(super) fn documents(&self, update: &Update, options: &QueryOptions) -> Result<Vec<Loaded>> {
        let started = Instant::now();
        let mut documents = Vec::new();
        for operation in &update.operations {
            if let GraphUpdateOperation::Load { silent, source, destination } = operation {
                documents.push(match self.document(source, destination, options, started) {
                    Err(error) if *silent && !matches!(error, Error::Cancelled) => Vec::new(),
                    document => document?,
                });
            }
        }
        Ok(documents)
    }

    fn document(
        &self,
        source: &NamedNode,
        destination: &GraphName,
        options: &QueryOptions,
        started: Instant,
    ) -> Result<Loaded> {
        let time = options.time_left(started)?;
        let remote = options.remote.as_ref().ok_or_else(|| refused(source))?;
        let failed = |error| Error::Remote { iri: source.clone().into_string(), source: error };
        let RemoteDocument { media_type, body } = remote.fetch(source, time).map_err(failed)?;
        let format = format(&media_type, source.as_str()).ok_or_else(|| {
            failed(io::Error::new(io::ErrorKind::InvalidData, format!("{media_type:?} is not an RDF syntax")))
        })?;
        let load = LoadOptions::new().base_iri(source.as_str()).graph(graph(destination)).one_graph(true);
        self.encode_whole(body, format, source.as_str(), &load).map_err(|error| match error {
            Error::Io { source, .. } => failed(source),
            error => error,
        })
    }
}

/// The syntax of a document by its media type, or by its extension if the media type is one that servers use for
/// unknown files.
fn format(media_type: &str, iri: &str) -> Option<RdfFormat> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is_vague = ["", "text/plain", "application/octet-stream"].contains(&essence);
    let by_type = RdfFormat::from_media_type(media_type);
    let path = iri.split(['?', '#']).next().unwrap_or_default();
    let by_name = || RdfFormat::from_extension(Path::new(path).extension()?.to_str()?);
    if is_vague { by_name().or(by_type) } else { by_type.or_else(by_name) }
}

/// The error if there is no client.
pub(super) fn refused(source: &NamedNode) -> Error {
    Error::Unsupported(format!("LOAD {source}: requests to other servers are not allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_follows_the_media_type_and_then_the_extension() {
        for (media_type, iri, expected) in [
            ("text/turtle; charset=utf-8", "http://example.com/a.rdf", Some(RdfFormat::Turtle)),
            ("text/plain", "http://example.com/a.ttl?b.rdf#c", Some(RdfFormat::Turtle)),
            ("text/plain", "http://example.com/a", Some(RdfFormat::NTriples)),
            ("", "http://example.com/a.rdf", Some(RdfFormat::RdfXml)),
            ("text/html", "http://example.com/a", None),
        ] {
            assert_eq!(format(media_type, iri), expected, "{media_type} {iri}");
        }
    }
}
