//! SPARQL 1.1. The parser is `spargebra` and the evaluator `spareval`. This module has the datasets on which they
//! run, the planner, and the updates.

mod aggregates;
mod all_pairs;
mod closure;
mod custom;
mod dataset;
mod depth;
mod exact;
mod explain;
mod fault;
mod fetch;
mod functions;
mod graphs;
mod measure;
pub(crate) mod memory;
mod meter;
mod once;
mod operators;
mod order;
mod outer;
mod parsed;
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
mod values;
mod visible;
mod walk;
mod within;
mod words;

pub use query::QueryOptions;
pub use results::ResultFormat;
#[cfg(feature = "server")]
pub(crate) use text::without_graph;
pub use update::UpdateOptions;
