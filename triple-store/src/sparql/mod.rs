//! SPARQL 1.1: the parser is `spargebra`, the evaluator `spareval`; here are the data they run on, and the updates.

mod dataset;
mod depth;
mod plan;
mod query;
mod results;
mod scope;
mod simple;
mod update;

pub use query::QueryOptions;
pub use results::ResultFormat;
pub use update::{UpdateOptions, Updated};
