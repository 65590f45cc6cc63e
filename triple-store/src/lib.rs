//! An RDF quad store with SPARQL whose subjects load in parallel.
