//! Updates of one graph: this graph is their default graph, and they change no other.

use crate::error::{Error, Result};
use spargebra::GraphUpdateOperation;
use spargebra::algebra::{GraphTarget, QueryDataset};
use spargebra::term::{GraphName, GraphNamePattern};

/// Makes `graph` the default graph of an operation.
///
/// # Errors
///
/// [`Error::Unsupported`] for an operation that may change another graph or names a dataset, and for a graph whose name
/// is a blank node, which no update can name.
pub(super) fn within(operation: &mut GraphUpdateOperation, graph: &oxrdf::GraphName) -> Result<()> {
    let graph = &match graph {
        oxrdf::GraphName::DefaultGraph => GraphName::DefaultGraph,
        oxrdf::GraphName::NamedNode(node) => GraphName::NamedNode(node.clone()),
        oxrdf::GraphName::BlankNode(_) => return Err(refused()),
    };
    let own = |name: &mut GraphName| take(name, graph.clone(), &GraphName::DefaultGraph);
    let pattern: GraphNamePattern = graph.clone().into();
    let own_pattern =
        |name: &mut GraphNamePattern| take(name, pattern.clone(), &GraphNamePattern::DefaultGraph);
    match operation {
        GraphUpdateOperation::InsertData { data } => {
            data.iter_mut().try_for_each(|quad| own(&mut quad.graph_name))
        }
        GraphUpdateOperation::DeleteData { data } => {
            data.iter_mut().try_for_each(|quad| own(&mut quad.graph_name))
        }
        GraphUpdateOperation::DeleteInsert { delete, insert, using: using @ None, .. } => {
            delete.iter_mut().try_for_each(|quad| own_pattern(&mut quad.graph_name))?;
            insert.iter_mut().try_for_each(|quad| own_pattern(&mut quad.graph_name))?;
            if let GraphName::NamedNode(graph) = graph {
                *using = Some(QueryDataset { default: vec![graph.clone()], named: None });
            }
            Ok(())
        }
        GraphUpdateOperation::Clear { graph: target, .. }
        | GraphUpdateOperation::Drop { graph: target, .. } => {
            let own = match graph {
                GraphName::NamedNode(graph) => GraphTarget::NamedNode(graph.clone()),
                GraphName::DefaultGraph => GraphTarget::DefaultGraph,
            };
            take(target, own, &GraphTarget::DefaultGraph)
        }
        _ => Err(refused()),
    }
}

/// Replaces the default graph by another one.
fn take<T: PartialEq>(name: &mut T, own: T, default: &T) -> Result<()> {
    if name == default || *name == own {
        *name = own;
        return Ok(());
    }
    Err(refused())
}

fn refused() -> Error {
    Error::Unsupported("an operation on another graph, or a dataset, in an update of one graph".into())
}
