//! Updates: section 4.3 of SPARQL 1.1 Update.

use crate::algebra::{Evaluation, Row, name, of_dataset, subject};
use oxrdf::{GraphName, NamedNode, Quad, Term};
use spargebra::GraphUpdateOperation as Operation;
use spargebra::algebra::GraphTarget;
use spargebra::term::{
    GraphNamePattern, GroundQuadPattern, GroundTermPattern, NamedNodePattern, QuadPattern, TermPattern,
};
use std::cell::Cell;

/// The dataset after an operation.
pub(crate) fn run(data: &mut Vec<Quad>, operation: &Operation, budget: &Cell<usize>) {
    match operation {
        Operation::InsertData { data: quads } => {
            for quad in quads {
                let (subject, predicate) = (quad.subject.clone(), quad.predicate.clone());
                insert(data, Quad::new(subject, predicate, quad.object.clone(), graph(&quad.graph_name)));
            }
        }
        Operation::DeleteData { data: quads } => {
            for quad in quads {
                let graph = graph(&quad.graph_name);
                let object = Term::from(quad.object.clone());
                let gone = Quad::new(quad.subject.clone(), quad.predicate.clone(), object, graph);
                data.retain(|quad| *quad != gone);
            }
        }
        Operation::DeleteInsert { delete, insert: added, using, pattern } => {
            let read = of_dataset(data, using.as_ref());
            let rows = Evaluation::new(&read, budget).pattern(pattern);
            let gone: Vec<_> =
                rows.iter().flat_map(|row| delete.iter().filter_map(|quad| of_ground(quad, row))).collect();
            let new: Vec<_> =
                rows.iter().flat_map(|row| added.iter().filter_map(|quad| of(quad, row))).collect();
            data.retain(|quad| !gone.contains(quad));
            for quad in new {
                insert(data, quad);
            }
        }
        Operation::Clear { graph, .. } | Operation::Drop { graph, .. } => data.retain(|quad| match graph {
            GraphTarget::NamedNode(node) => quad.graph_name != node.clone().into(),
            GraphTarget::DefaultGraph => !quad.graph_name.is_default_graph(),
            GraphTarget::NamedGraphs => quad.graph_name.is_default_graph(),
            GraphTarget::AllGraphs => false,
        }),
        Operation::Create { .. } => {}
        Operation::Load { .. } => panic!("the generator writes no LOAD"),
    }
}

fn insert(data: &mut Vec<Quad>, quad: Quad) {
    if !data.contains(&quad) {
        data.push(quad);
    }
}

fn node(pattern: &NamedNodePattern, row: &Row) -> Option<NamedNode> {
    match pattern {
        NamedNodePattern::NamedNode(node) => Some(node.clone()),
        NamedNodePattern::Variable(variable) => match row.get(&name(variable))? {
            Term::NamedNode(node) => Some(node.clone()),
            _ => None,
        },
    }
}

fn graph(name: &spargebra::term::GraphName) -> GraphName {
    match name {
        spargebra::term::GraphName::NamedNode(node) => node.clone().into(),
        spargebra::term::GraphName::DefaultGraph => GraphName::DefaultGraph,
    }
}

fn graph_of(pattern: &GraphNamePattern, row: &Row) -> Option<GraphName> {
    match pattern {
        GraphNamePattern::NamedNode(node) => Some(node.clone().into()),
        GraphNamePattern::DefaultGraph => Some(GraphName::DefaultGraph),
        GraphNamePattern::Variable(variable) => {
            node(&NamedNodePattern::Variable(variable.clone()), row).map(Into::into)
        }
    }
}

/// The quad of a template for a solution. `None` if a variable is unbound, or if its term is not allowed in its
/// position.
fn of(template: &QuadPattern, row: &Row) -> Option<Quad> {
    let term = |pattern: &TermPattern| match pattern {
        TermPattern::NamedNode(node) => Some(node.clone().into()),
        TermPattern::Literal(literal) => Some(literal.clone().into()),
        TermPattern::Variable(variable) => row.get(&name(variable)).cloned(),
        other => panic!("the generator writes no {other} in templates"),
    };
    Some(Quad::new(
        subject(term(&template.subject)?)?,
        node(&template.predicate, row)?,
        term(&template.object)?,
        graph_of(&template.graph_name, row)?,
    ))
}

fn of_ground(template: &GroundQuadPattern, row: &Row) -> Option<Quad> {
    let term = |pattern: &GroundTermPattern| match pattern {
        GroundTermPattern::NamedNode(node) => Some(Term::from(node.clone())),
        GroundTermPattern::Literal(literal) => Some(literal.clone().into()),
        GroundTermPattern::Variable(variable) => row.get(&name(variable)).cloned(),
        GroundTermPattern::Triple(_) => panic!("the generator writes no triple terms"),
    };
    Some(Quad::new(
        subject(term(&template.subject)?)?,
        node(&template.predicate, row)?,
        term(&template.object)?,
        graph_of(&template.graph_name, row)?,
    ))
}
