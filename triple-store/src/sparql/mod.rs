//! SPARQL 1.1: the parser is `spargebra`, the evaluator `spareval`; here are the data they run on, and the updates.

mod aggregates;
mod custom;
mod dataset;
mod depth;
mod exact;
mod fault;
mod fetch;
mod functions;
mod graphs;
mod order;
mod paths;
mod plan;
mod query;
mod regular;
mod rename;
mod results;
mod rules;
mod scope;
mod service;
mod simple;
mod text;
mod update;
mod visible;
mod walk;
mod within;
mod words;

pub use query::QueryOptions;
pub use results::ResultFormat;
#[cfg(feature = "server")]
pub(crate) use text::without_graph;
pub use update::{UpdateOptions, Updated};
